//! The one place that names back ends: what stands behind each port.

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tracing::warn;

use super::{clock, keys};
use crate::api::openapi;
use crate::api::routes::UrlCheck;
use crate::config::{Config, KeyPlace};
use crate::control::Ports;
use crate::control::adoption::{Adoption, Here};
use crate::control::tokens::TokenKey;
use crate::domain::policy::Ceiling;
use crate::egress::Sender;
use crate::egress::blocked::BlockedLog;
use crate::egress::guard::{self, EgressPolicy};
use crate::egress::http::HttpSender;
use crate::egress::resolve::{Resolve, SystemNames};
use crate::storage::StorageError;
use crate::storage::answers::Answers;
use crate::storage::audit::Audit;
use crate::storage::catalogue::Catalogue;
use crate::storage::directory::Directory;
use crate::storage::failing::FailingEndpoints;
use crate::storage::history::History;
use crate::storage::inbox::{Inbox, Publish};
use crate::storage::inspector::Inspectors;
use crate::storage::journal::Journal;
use crate::storage::ladder::Ladder;
use crate::storage::outlet::{self, Outlet};
use crate::storage::postgres;
use crate::storage::quarantine::Quarantine;
use crate::storage::queues;
use crate::storage::rabbitmq::topology::{self, Topology};
use crate::storage::rabbitmq::{self, Rabbit};
use crate::storage::recorded::Recorded;
use crate::storage::recovery::Recovery;
use crate::storage::replays::Replays;
use crate::storage::rollups::Rollups;
use crate::storage::routers::Routers;
use crate::storage::sessions::Sessions;
use crate::storage::sql::{self, Sql};
use crate::storage::sqlite;
use crate::storage::sqlite::backup::{self, Existing};
use crate::storage::tidings::Tidings;
use crate::storage::upkeep::Upkeep;
use crate::telemetry::broker::BrokerNumbers;

pub use super::serve::serve;

/// What a person's commands need.
pub struct Stores {
    /// What people may do stands on these.
    pub ports: Ports,
    /// Who goes by the catalogue.
    pub adoption: Adoption,
}

/// What a router needs.
pub(super) struct Backends {
    /// Who there is and who wants what.
    pub(super) catalogue: Arc<dyn Catalogue>,
    /// The record.
    pub(super) journal: Arc<dyn Journal>,
    /// Where deliveries wait.
    pub(super) ladder: Arc<dyn Ladder>,
    /// Who is told.
    pub(super) outlet: Arc<dyn Outlet>,
    /// Where events that come over HTTP are published.
    pub(super) publisher: Arc<dyn Publish>,
    /// What people may do stands on these.
    pub(super) control: Ports,
    tables: Sql,
    /// What brings events and keeps what waits.
    queues: Queues,
}

/// Where events come from and deliveries wait.
enum Queues {
    /// In the SQLite file, beside the journal.
    Embedded(Option<sql::inbox::SqlInbox>),
    /// On a broker.
    Rabbit(Rabbit),
}

/// Opens what a person's commands need.
///
/// # Errors
/// When the data folder, a key or the database cannot be opened.
pub async fn stores(config: &Config) -> anyhow::Result<Stores> {
    let tables = open_tables(config).await?;
    let adoption = adoption(config, &tables, None);
    Ok(Stores { ports: ports(&tables), adoption })
}

fn ports(tables: &Sql) -> Ports {
    Ports {
        catalogue: Arc::new(tables.clone()),
        ledger: Arc::new(tables.clone()),
        history: Arc::new(tables.clone()),
        attention: Arc::new(tables.clone()),
        dead_letters: Arc::new(tables.clone()),
        replays: Arc::new(tables.clone()),
    }
}

/// Who goes by the catalogue of this database: the router of this process, if it has one, and the one
/// that has the data folder.
fn adoption(config: &Config, tables: &Sql, here: Option<Box<dyn Here>>) -> Adoption {
    let config = config.clone();
    let elsewhere = config.storage.postgres.is_some(); // of other machines' routers nothing is to be seen
    let may_live = Box::new(move || elsewhere || super::serve::a_router_runs(&config));
    Adoption { routers: Arc::new(tables.clone()), here, may_live }
}

/// Opens where events are published.
///
/// # Errors
/// When the broker cannot be reached, or the database cannot be opened.
pub async fn publisher(config: &Config) -> anyhow::Result<Arc<dyn Publish>> {
    if config.is_embedded() {
        return Ok(Arc::new(open_tables(config).await?.publisher(Arc::new(clock::now))));
    }
    let rabbit = Rabbit::start(broker(config, "posthaste publish"), Arc::new(clock::now))?;
    Ok(rabbit.producer())
}

/// Copies the database to a file, as it is now; its bytes. A router may go on writing.
///
/// # Errors
/// When there is no database, the file is there and not to be replaced, or it cannot be written.
pub async fn backup(config: &Config, to: PathBuf, replace: bool) -> anyhow::Result<u64> {
    if let Some(url) = &config.storage.postgres {
        anyhow::bail!(
            "catalogue and journal are in PostgreSQL ({url}), which has tools of its own for this: pg_dump for a copy, \
             pg_basebackup and WAL archiving for one of any moment; the keys are not in it, keep them apart"
        );
    }
    let from = config.database();
    if let Some(own) = own_file(config, &to) {
        anyhow::bail!("{} belongs to the data folder: a file elsewhere is wanted", own.display());
    }
    let existing = if replace { Existing::Replace } else { Existing::Keep };
    let copying = tokio::task::spawn_blocking(move || backup::copy(&from, &to, existing));
    Ok(copying.await.context("copying the database")??)
}

/// The file of ours that this path is, by whatever name: a copy must not take its place.
fn own_file(config: &Config, path: &Path) -> Option<PathBuf> {
    let database = config.database();
    let beside = |end: &str| database.with_file_name(format!("posthaste.db{end}"));
    let mut own =
        vec![config.key_file(), config.token_key_file(), config.data_dir.join("serve.lock")];
    own.extend([database.clone(), beside("-wal"), beside("-shm")]);
    let places = config.encryption.keys.iter().map(|key| &key.place).chain(&config.api.token_key);
    own.extend(places.filter_map(|place| match place {
        KeyPlace::File(path) => Some(path.clone()),
        KeyPlace::Environment(_) => None,
    }));
    // Links and detours resolved; a file that is not there yet is told by its folder.
    let whole = |path: &Path| {
        path.canonicalize().ok().or_else(|| {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            Some(
                folder
                    .unwrap_or_else(|| Path::new("."))
                    .canonicalize()
                    .ok()?
                    .join(path.file_name()?),
            )
        })
    };
    let wanted = whole(path)?;
    own.into_iter().find(|own| whole(own).as_ref() == Some(&wanted))
}

/// What API tokens are signed with; made on first use unless one is configured.
///
/// # Errors
/// When the data folder or the key cannot be read or made.
pub fn token_key(config: &Config) -> anyhow::Result<TokenKey> {
    data_folder(config)?;
    keys::tokens(config)
}

/// The policy for endpoints' URLs.
pub fn url_check(config: &Config) -> UrlCheck {
    let policy = egress_policy(config);
    Box::new(move |text| guard::check_url(text, &policy).map_err(|refusal| refusal.to_string()))
}

/// What policies may say at the most.
pub fn ceiling(config: &Config) -> Ceiling {
    Ceiling { allow_unsigned: config.delivery.allow_unsigned }
}

/// The description of the HTTP API, as JSON.
pub fn api_document() -> String {
    openapi::document().to_pretty_json().expect("a document is JSON")
}

/// Declares every exchange and queue.
///
/// # Errors
/// When the broker cannot be reached, or has one with other arguments.
pub async fn apply_topology(config: &Config) -> anyhow::Result<()> {
    let settings = broker(config, "posthaste topology");
    Ok(topology::apply(&settings.urls, &settings.prefix).await?)
}

/// One exchange, queue or binding.
pub struct Declared {
    /// Which of them it is.
    pub kind: &'static str,
    /// Its name; the queue's, for a binding.
    pub name: String,
    /// Everything else, for people.
    pub details: String,
    /// The whole of it, for programs.
    pub whole: serde_json::Value,
}

/// Every exchange, queue and binding, in the order of their declaration.
///
/// # Errors
/// When the configured prefix cannot be part of a queue's name.
pub fn topology(config: &Config) -> anyhow::Result<Vec<Declared>> {
    let declarations = Topology::new(&config.rabbitmq.prefix)?.declarations();
    let declared = declarations.iter().map(|declaration| {
        let (kind, name, details) = declaration.row();
        Ok(Declared { kind, name, details, whole: serde_json::to_value(declaration)? })
    });
    declared.collect()
}

/// Opens everything that a router needs. Does not wait for the broker: it may come later.
pub(super) async fn backends(config: &Config) -> anyhow::Result<Backends> {
    let tables = open_tables_when_there(config).await?;
    let catalogue: Arc<dyn Catalogue> = Arc::new(tables.clone());
    let journal: Arc<dyn Journal> = Arc::new(tables.clone());
    let control = ports(&tables);
    if config.is_embedded() {
        let inbox = tables.inbox(Arc::new(clock::now)).await?;
        return Ok(Backends {
            catalogue,
            journal,
            ladder: Arc::new(tables.clone()),
            outlet: Arc::new(outlet::Nobody),
            publisher: Arc::new(tables.publisher(Arc::new(clock::now))),
            control,
            queues: Queues::Embedded(Some(inbox)),
            tables,
        });
    }
    let name = format!("posthaste {}", env!("CARGO_PKG_VERSION"));
    let rabbit = Rabbit::start(broker(config, &name), Arc::new(clock::now))?;
    Ok(Backends {
        catalogue,
        journal,
        ladder: rabbit.ladder(),
        outlet: rabbit.outlet(),
        publisher: Arc::new(Recorded::new(
            rabbit.producer(),
            Arc::new(tables.publisher(Arc::new(clock::now))),
        )),
        control,
        queues: Queues::Rabbit(rabbit),
        tables,
    })
}

/// The way out, and what operators look at of it.
pub(super) struct WayOut {
    /// It.
    pub(super) sender: Arc<dyn Sender>,
    /// What it may call.
    pub(super) policy: EgressPolicy,
    /// Whom it asks for addresses.
    pub(super) names: Arc<dyn Resolve>,
    /// What it was not allowed to send.
    pub(super) blocked: Arc<BlockedLog>,
}

/// The way out, under the configured policy.
pub(super) fn way_out(config: &Config) -> anyhow::Result<WayOut> {
    let policy = egress_policy(config);
    let names = Arc::new(SystemNames::new(&policy).map_err(anyhow::Error::msg)?);
    let blocked = Arc::new(BlockedLog::new(clock::now));
    let (user_agent, own) = (&config.egress.user_agent, Arc::clone(&names));
    let sender = HttpSender::with_names(policy.clone(), user_agent, own)?;
    let sender = Arc::new(sender.noting(Arc::clone(&blocked)));
    Ok(WayOut { sender, policy, names, blocked })
}

impl Backends {
    /// Begins to consume. Once: an embedded inbox is one router's own.
    pub(super) fn inbox(&mut self) -> Box<dyn Inbox> {
        match &mut self.queues {
            Queues::Embedded(inbox) => Box::new(inbox.take().expect("it is asked for once")),
            Queues::Rabbit(rabbit) => Box::new(rabbit.inbox()),
        }
    }

    /// Routers that share what endpoints may be sent: over a file this one alone.
    pub(super) fn routers_here(&self) -> watch::Receiver<Option<NonZeroU16>> {
        match &self.queues {
            Queues::Embedded(_) => watch::Sender::new(Some(NonZeroU16::MIN)).subscribe(),
            Queues::Rabbit(rabbit) => rabbit.routers(),
        }
    }

    /// What tenants ask of the record.
    #[expect(dead_code, reason = "the API's lists are about to ask it")]
    pub(super) fn history(&self) -> Arc<dyn History> {
        Arc::new(self.tables.clone())
    }

    /// What is offered again, by a filter and at a rate.
    pub(super) fn replays(&self) -> Arc<dyn Replays> {
        Arc::new(self.tables.clone())
    }

    /// Where routers say which version of the catalogue they go by.
    pub(super) fn routers(&self) -> Arc<dyn Routers> {
        Arc::new(self.tables.clone())
    }

    /// Who goes by the catalogue: this router.
    pub(super) fn adoption(&self, config: &Config, here: Box<dyn Here>) -> Adoption {
        adoption(config, &self.tables, Some(here))
    }

    /// What operators are to be told of.
    pub(super) fn tidings(&self) -> Arc<dyn Tidings> {
        Arc::new(self.tables.clone())
    }

    /// Who does nothing but fail.
    pub(super) fn failing(&self) -> Arc<dyn FailingEndpoints> {
        Arc::new(self.tables.clone())
    }

    /// What has to be looked after.
    pub(super) fn upkeep(&self) -> Arc<dyn Upkeep> {
        Arc::new(self.tables.clone())
    }

    /// What requests were answered.
    pub(super) fn answers(&self) -> Arc<dyn Answers> {
        Arc::new(self.tables.clone())
    }

    /// Who did what.
    pub(super) fn audit(&self) -> Arc<dyn Audit> {
        Arc::new(self.tables.clone())
    }

    /// What a broker may have lost, and where it is accepted and offered again; `None` where there is no broker.
    pub(super) fn recovery(&self) -> Option<(Arc<dyn Recovery>, Arc<dyn Journal>)> {
        match &self.queues {
            Queues::Embedded(_) => None,
            Queues::Rabbit(_) => Some((Arc::new(self.tables.clone()), Arc::clone(&self.journal))),
        }
    }

    /// Who is let in to the pages.
    pub(super) fn sessions(&self) -> Arc<dyn Sessions> {
        Arc::new(self.tables.clone())
    }

    /// Messages that nobody takes: on record, and those of a broker.
    pub(super) fn quarantines(&self, max_payload_bytes: usize) -> Vec<Arc<dyn Quarantine>> {
        let publisher = Arc::clone(&self.publisher);
        let record: Arc<dyn Quarantine> =
            Arc::new(self.tables.quarantine(publisher, max_payload_bytes));
        match &self.queues {
            Queues::Embedded(_) => vec![record],
            Queues::Rabbit(rabbit) => vec![rabbit.quarantine(), record],
        }
    }

    /// Where anything waits.
    pub(super) fn queues(&self) -> Vec<Arc<dyn queues::Queues>> {
        let tables: Arc<dyn queues::Queues> = Arc::new(self.tables.clone());
        match &self.queues {
            Queues::Embedded(_) => vec![tables],
            Queues::Rabbit(rabbit) => vec![rabbit.queues(), tables],
        }
    }

    /// What waits, by the record.
    pub(super) fn waits(&self) -> Arc<dyn queues::Waits> {
        Arc::new(self.tables.clone())
    }

    /// The endpoints of all applications.
    pub(super) fn directory(&self) -> Arc<dyn Directory> {
        Arc::new(self.tables.clone())
    }

    /// What charts are drawn from.
    pub(super) fn rollups(&self) -> Arc<dyn Rollups> {
        Arc::new(self.tables.clone())
    }

    /// What targets for development have received.
    pub(super) fn inspectors(&self) -> Arc<dyn Inspectors> {
        Arc::new(self.tables.clone())
    }

    /// Reads the broker's side for the metrics; `None` when there is no broker.
    pub(super) fn numbers(&self) -> Option<Box<dyn Fn() -> BrokerNumbers + Send + Sync>> {
        use std::sync::atomic::Ordering::Relaxed;
        let Queues::Rabbit(rabbit) = &self.queues else { return None };
        let health = rabbit.health();
        Some(Box::new(move || BrokerNumbers {
            publish_connected: health.publish_connected.load(Relaxed),
            consume_connected: health.consume_connected.load(Relaxed),
            publish_blocked: health.publish_blocked.load(Relaxed),
            publish_reconnects: health.publish_connects.load(Relaxed).saturating_sub(1),
            consume_reconnects: health.consume_connects.load(Relaxed).saturating_sub(1),
            confirmed: health.confirmed.load(Relaxed),
            nacked: health.nacked.load(Relaxed),
            returned: health.returned.load(Relaxed),
            batches_failed: health.batches_failed.load(Relaxed),
            routers: health.routers.load(Relaxed),
            inbox_ready: health.inbox_ready.load(Relaxed),
        }))
    }

    /// Sees the last acknowledgements off and closes everything.
    pub(super) async fn close(self) {
        if let Queues::Rabbit(rabbit) = &self.queues {
            rabbit.close().await;
        }
        drop((self.catalogue, self.journal, self.ladder, self.publisher, self.control));
        self.tables.close().await;
    }
}

/// Makes the data folder, readable by its owner only, unless it is there.
pub(super) fn data_folder(config: &Config) -> anyhow::Result<()> {
    let folder = &config.data_dir;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("data_dir: {} cannot be made", folder.display()))
}

/// The configured database server, if there is one.
///
/// # Errors
/// When the URL says something that the client does not know.
pub(super) fn postgres(config: &Config) -> anyhow::Result<Option<postgres::Settings>> {
    let url = config.storage.postgres.as_ref();
    url.map(|url| url.expose().parse()).transpose().context("storage.postgres")
}

/// First pause between two tries to open the database at a start, doubled with each up to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
/// Longest pause: an outage is over for us soon after it is over for the server.
const PAUSE_LAST: Duration = Duration::from_secs(5);

/// Opens the database of a router, which waits for a server that is away as it waits for a broker.
async fn open_tables_when_there(config: &Config) -> anyhow::Result<Sql> {
    let mut pause = PAUSE_FIRST;
    loop {
        let opened = open_tables(config).await;
        let is_away = |error: &anyhow::Error| {
            let error = error.downcast_ref::<StorageError>();
            matches!(error, Some(StorageError::Unavailable(_)))
        };
        match opened {
            Err(error) if config.storage.postgres.is_some() && is_away(&error) => {
                warn!(error = format!("{error:#}"), "the database is away: trying again");
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(PAUSE_LAST);
            }
            opened => return opened,
        }
    }
}

async fn open_tables(config: &Config) -> anyhow::Result<Sql> {
    data_folder(config)?;
    keys::prepare(config)?;
    let vault = Arc::new(keys::vault(config)?);
    let settings = match postgres(config)? {
        Some(server) => sql::Settings::Postgres(Box::new(server)),
        None => sql::Settings::Sqlite(sqlite::Settings { path: config.database() }),
    };
    let opened = tokio::task::spawn_blocking(move || Sql::open(&settings, vault)).await;
    Ok(opened.context("opening the database")??)
}

fn egress_policy(config: &Config) -> EgressPolicy {
    EgressPolicy {
        allow_http: config.egress.allow_http,
        allow_local_names: config.dev,
        allow_cidrs: config.egress.allow_cidrs.clone(),
        deny_cidrs: config.egress.deny_cidrs.clone(),
        own_addresses: Vec::new(),
        own_sockets: own_sockets(config),
    }
}

/// Where we listen and are not to be called. On a developer's machine the API may be: the inspector is
/// there, and everything else asks for a token.
fn own_sockets(config: &Config) -> Vec<SocketAddr> {
    let mut sockets = vec![config.admin.listen];
    if !config.dev {
        sockets.push(config.api.listen);
    }
    sockets
}

fn broker(config: &Config, connection_name: &str) -> rabbitmq::Settings {
    rabbitmq::Settings {
        urls: config.rabbitmq.urls.iter().map(|url| url.expose().to_owned()).collect(),
        prefix: config.rabbitmq.prefix.clone(),
        prefetch: config.rabbitmq.prefetch,
        max_payload_bytes: config.limits.max_payload_bytes,
        exact_rungs_ms: Vec::new(),
        results: config.rabbitmq.results,
        connection_name: connection_name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, FlagValue, Sources};

    #[test]
    fn our_own_ports_are_not_called_but_for_the_api_of_a_developers_machine() {
        let callable = |dev: &str, url: &str| {
            let flag = |key: &str, value: &str| FlagValue {
                flag: "--set",
                key: key.into(),
                value: value.into(),
            };
            let flags = vec![flag("dev", dev), flag("egress.allow_http", "true")];
            let loopback = flag("egress.allow_cidrs", "127.0.0.0/8");
            let sources = Sources { flags: [flags, vec![loopback]].concat(), ..Sources::default() };
            let (config, _) = config::load(&sources).expect("accepted");
            guard::check_url(url, &egress_policy(&config)).is_ok()
        };
        let (api, admin) = ("http://127.0.0.1:8071/inspect/x", "http://127.0.0.1:9464/metrics");
        assert!(callable("true", api) && !callable("true", admin));
        assert!(!callable("false", api) && !callable("false", admin));
        assert!(callable("false", "http://127.0.0.1:8072/"), "the address alone is allowed");
    }
}
