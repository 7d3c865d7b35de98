//! Runs a router as a process: opens what it needs, starts the engine, serves the ports, and ends on
//! a signal: the engine and the API first, then the stores. A second signal ends the process at once,
//! which is safe, because being killed is.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::assemble::{self, Backends};
use super::failing::Warden;
use super::installation::Installed;
use super::loose_ends::LooseEnds;
use super::serving::Note;
use super::upkeep::Keeper;
use super::web::Web;
use super::{chance, clock, welcome};
use crate::api::admin::{self, Condition};
use crate::api::server;
use crate::config::{Config, Effective, LogFormat};
use crate::control::replays::runner::Runner;
use crate::control::{self, Control};
use crate::egress::Sender;
use crate::pipeline::World;
use crate::pipeline::engine::{Engine, Parts};
use crate::pipeline::herald::Operator;
use crate::pipeline::request::Options;
use crate::storage::upkeep::Upkeep;
use crate::telemetry::broker::BrokerNumbers;
use crate::telemetry::log;
use crate::telemetry::metrics::Metrics;

/// How long closing the stores may take: the last acknowledgements, the last commit. Ten seconds, the
/// time that a confirm may take.
const CLOSING: Duration = Duration::from_secs(10);

/// Routes events until it is told to stop. `effective` is the configuration as operators are shown it.
///
/// # Errors
/// When it cannot start. Trouble after that is waited out.
#[expect(clippy::too_many_lines, reason = "the order of start and stop stands in one place")]
pub async fn serve(config: Config, effective: Vec<Effective>) -> anyhow::Result<()> {
    let started_at = clock::now();
    let form = match config.log.format {
        LogFormat::Text => log::Format::Text,
        LogFormat::Json => log::Format::Json,
    };
    log::start(form, &config.log.filter).map_err(anyhow::Error::msg)?;
    let mut signals = Signals::listen()?;
    let version = env!("CARGO_PKG_VERSION");
    let metrics =
        if config.is_embedded() { Metrics::new(version) } else { Metrics::with_broker(version) };
    let metrics = Arc::new(metrics);
    metrics.in_flight_limit(config.limits.max_in_flight);
    let mut lock = only_router(&config)?;
    Note::clear(&config)?;
    // Both before anything is opened: a port that is taken is told at once.
    let admin_listener = listen("admin.listen", config.admin.listen).await?;
    let api_listener = listen("api.listen", config.api.listen).await?;
    let (admin_address, api_address) = (admin_listener.local_addr()?, api_listener.local_addr()?);
    let tokens = Arc::new(assemble::token_key(&config)?);
    // From here on it says that it lives, and that it is not ready: a server may have to be waited for.
    let door = Arc::new(Door { metrics: Arc::clone(&metrics), behind: OnceLock::new() });
    let admin_stop = CancellationToken::new();
    let admin = admin::serve(admin_listener, Arc::clone(&door) as _, admin_stop.clone());
    let admin = tokio::spawn(admin);
    let mut backends = tokio::select! {
        backends = assemble::backends(&config) => backends?,
        signal = signals.next() => {
            info!(signal, "stopped before it had begun");
            return Ok(());
        }
    };
    let way_out = Arc::new(assemble::way_out(&config)?);

    give_missing_keys(&backends).await?;
    let mut engine =
        Engine::start(parts(&config, &mut backends, &way_out.sender, &metrics)).await?;
    let upkeep = backends.upkeep();
    let condition = Arc::new(Shown {
        metrics: Arc::clone(&metrics),
        numbers: backends.numbers(),
        upkeep: Arc::clone(&upkeep),
    });
    let keeper = Keeper {
        upkeep,
        metrics: Arc::clone(&metrics),
        retention: config.retention,
        now: Arc::new(clock::now),
    };
    let keeper_stop = CancellationToken::new();
    let mut keeping = tokio::spawn(keeper.run(keeper_stop.clone()));
    let warden = warden(&config, &backends);
    let mut watching = tokio::spawn(warden.run(keeper_stop.clone()));
    let mut tying = tokio::spawn(loose_ends(&backends).run(keeper_stop.clone()));
    let runner = Runner { replays: backends.replays(), now: clock::now };
    let mut running = tokio::spawn(runner.run(keeper_stop.clone()));
    let welcome =
        welcome::Facts { api: api_address, admin: admin_address, config: &config, tokens: &tokens };
    welcome.print(&mut lock);
    let web = Web {
        engine: &engine,
        installed: Installed {
            config: &config,
            effective: &effective,
            backends: &backends,
            way_out: &way_out,
            shown: &condition,
            started_at,
        },
    };
    let web = web.routes(tokens, api_address)?;
    let api_stop = CancellationToken::new();
    let mut api = tokio::spawn(server::serve(api_listener, web, api_stop.clone()));
    let note = Note::write(&config, api_address)?;
    // Last: once it answers that it is ready, everything is.
    let _first = door.behind.set(condition);
    info!(
        version = env!("CARGO_PKG_VERSION"),
        api = %api_address,
        admin = %admin_address,
        data_dir = %config.data_dir.display(),
        "posthaste is routing"
    );

    let signal = tokio::select! {
        signal = signals.next() => signal,
        () = engine.ended_early() => anyhow::bail!("a part of the router has ended; see the log"),
        // A port or an upkeep that is gone, silently, is worse than a restart.
        _ = &mut keeping => anyhow::bail!("the upkeep of the store has ended: this is a defect"),
        _ = &mut watching => anyhow::bail!("the warden of endpoints has ended: this is a defect"),
        _ = &mut tying => anyhow::bail!("who ties loose ends has ended: this is a defect"),
        _ = &mut running => anyhow::bail!("the runner of replays has ended: this is a defect"),
        _ = &mut api => anyhow::bail!("the API has ended: this is a defect"),
    };
    info!(signal, grace_ms = millis(config.shutdown.grace), "stopping");
    metrics.drains();
    drop(note); // nobody comes any more; on every other way out it goes by itself
    keeper_stop.cancel();
    api_stop.cancel();
    let stopping = async {
        let _ = tokio::join!(keeping, watching, tying, running); // they end at their next breath
        // What the API is answering meanwhile is in the store for the next start; its requests are over
        // before the store is closed, or their senders ask again.
        let (api, ()) = tokio::join!(
            tokio::time::timeout(config.shutdown.grace, api),
            engine.stop(config.shutdown.grace)
        );
        if api.is_err() {
            warn!(
                "a request to the API has outlasted the grace time: it is left without an answer"
            );
        }
        if tokio::time::timeout(CLOSING, backends.close()).await.is_err() {
            warn!("a store is away: ending without its answer; what is unfinished comes again");
        }
    };
    tokio::select! {
        () = stopping => info!("stopped"),
        signal = signals.next() => {
            warn!(signal, "asked a second time: ending at once; what is unfinished comes again");
            std::process::exit(0);
        }
    }
    admin_stop.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(1), admin).await;
    Ok(())
}

/// What the engine is made of, by the configuration.
fn parts(
    config: &Config,
    backends: &mut Backends,
    sender: &Arc<dyn Sender>,
    metrics: &Arc<Metrics>,
) -> Parts {
    Parts {
        catalogue: Arc::clone(&backends.catalogue),
        routers: backends.routers(),
        operator: config.operator.application.clone().map(|application| Operator {
            application,
            tidings: backends.tidings(),
            publisher: Arc::clone(&backends.publisher),
        }),
        journal: Arc::clone(&backends.journal),
        inbox: backends.inbox(),
        ladder: Arc::clone(&backends.ladder),
        outlet: Arc::clone(&backends.outlet),
        rollups: backends.rollups(),
        sender: Arc::clone(sender),
        world: World { now: Arc::new(clock::now), chance: Arc::new(chance::bits) },
        metrics: Arc::clone(metrics),
        max_deliveries_in_memory: config.limits.max_deliveries_in_memory,
        max_payload_bytes_in_memory: config.limits.max_payload_bytes_in_memory,
        max_of_one_application: most_of_one_application(config),
        max_in_flight: config.limits.max_in_flight,
        max_in_flight_per_host: config.limits.max_in_flight_per_host,
        routers_here: backends.routers_here(),
        escrow_after: config.limits.escrow_after,
        options: options(config),
    }
}

/// Half of what there is room for: what one application has beyond it is put off while others have something too, so that
/// theirs is read from the inbox. An event that is not acknowledged takes a place of the broker's as well.
fn most_of_one_application(config: &Config) -> usize {
    let window = config.limits.max_deliveries_in_memory;
    let unacknowledged = usize::from(config.rabbitmq.prefetch);
    let room = if config.is_embedded() { window } else { window.min(unacknowledged) };
    room.div_ceil(2)
}

/// What holds for every request.
pub(super) fn options(config: &Config) -> Options {
    Options {
        svix_headers: config.delivery.svix_headers,
        ceiling: assemble::ceiling(config),
        test: false,
    }
}

/// Who looks after endpoints that fail.
fn warden(config: &Config, backends: &Backends) -> Warden {
    let application = config.operator.application.clone();
    Warden {
        failing: backends.failing(),
        disable_after: config.endpoints.disable_after,
        operator: application.map(|name| (name, Arc::clone(&backends.catalogue))),
        now: Arc::new(clock::now),
    }
}

/// Who brings to their end the edits that were cut off.
fn loose_ends(backends: &Backends) -> LooseEnds {
    LooseEnds {
        upkeep: backends.upkeep(),
        ledger: Arc::clone(&backends.control.ledger),
        now: Arc::new(clock::now),
    }
}

/// No application is without a signing key: what goes to URLs that its events name is signed with it.
async fn give_missing_keys(backends: &Backends) -> anyhow::Result<()> {
    let context = control::Context { now: clock::now, chance: chance::bytes };
    let given = Control::new(backends.control.clone(), context).give_missing_keys().await?;
    if given > 0 {
        info!(given, "applications have signing keys of their own now");
    }
    Ok(())
}

/// Takes a port.
async fn listen(setting: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "{setting}: {address} cannot be listened on; end what has it, or give another address \
             (--set {setting}={})",
            SocketAddr::new(address.ip(), address.port().checked_add(1).unwrap_or_default())
        )
    })
}

/// The data folder, taken for one router until this is dropped.
pub(super) struct Lock(File);

impl Lock {
    /// Whether a router has ever run here; if not, notes that one does now.
    pub(super) fn is_first_start(&mut self) -> std::io::Result<bool> {
        let first = self.0.metadata()?.len() == 0;
        if first {
            self.0.write_all(b"a router has run on this folder\n")?;
        }
        Ok(first)
    }
}

/// Takes the data folder for this router, until it ends.
fn only_router(config: &Config) -> anyhow::Result<Lock> {
    assemble::data_folder(config)?;
    let path = config.data_dir.join("serve.lock");
    let named = || path.display().to_string();
    // What is in it stays.
    let file = OpenOptions::new().create(true).append(true).open(&path).with_context(named)?;
    // Two routers on one file would each send at the whole of an endpoint's rate.
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => {
            let another = if config.is_embedded() {
                "another folder (--data-dir)"
            } else {
                "another folder (--data-dir) and another rabbitmq.prefix"
            };
            anyhow::bail!(
                "another router runs on the data folder {}: stop it, or use {another}",
                config.data_dir.display()
            )
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(named),
    }
}

/// Whether a router may be running on the data folder.
pub(super) fn a_router_runs(config: &Config) -> bool {
    let Ok(file) = File::open(config.data_dir.join("serve.lock")) else { return false };
    // Shared, and let go at once: who asks does not keep another from asking.
    !matches!(file.try_lock_shared(), Ok(()))
}

/// What the admin port shows of a running router.
pub(super) struct Shown {
    /// What is counted.
    pub(super) metrics: Arc<Metrics>,
    /// The broker's side, where there is a broker.
    pub(super) numbers: Option<Box<dyn Fn() -> BrokerNumbers + Send + Sync>>,
    /// The store.
    pub(super) upkeep: Arc<dyn Upkeep>,
}

impl Shown {
    /// Why the database cannot be written, which the metrics then know as well.
    fn trouble(&self) -> Option<String> {
        let trouble = self.upkeep.trouble();
        self.metrics.store_away(trouble.is_some());
        trouble
    }
}

impl Condition for Shown {
    fn metrics(&self) -> String {
        if let Some(numbers) = &self.numbers {
            self.metrics.broker(&numbers());
        }
        self.trouble();
        self.metrics.text()
    }

    fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        let mut needs = |there: bool, what: &str| {
            if !there {
                missing.push(what.to_owned());
            }
        };
        needs(!self.metrics.is_draining(), "it is stopping");
        if let Some(numbers) = self.numbers.as_ref().map(|numbers| numbers()) {
            needs(numbers.consume_connected, "the broker's consuming connection is down");
            needs(numbers.publish_connected, "the broker's publishing connection is down");
            needs(!numbers.publish_blocked, "the broker is in a memory or disk alarm");
        }
        if let Some(why) = self.trouble() {
            needs(false, &format!("the database cannot be written ({why})"));
        } else {
            needs(self.metrics.journal_is_up(), "the journal is away");
        }
        missing
    }
}

/// The admin port from the first moment on: of a router that has not begun, then of the one that has.
struct Door {
    metrics: Arc<Metrics>,
    behind: OnceLock<Arc<Shown>>,
}

impl Condition for Door {
    fn metrics(&self) -> String {
        self.behind.get().map_or_else(|| self.metrics.text(), |shown| shown.metrics())
    }

    fn missing(&self) -> Vec<String> {
        let starting = || vec!["it is starting: its stores are not open yet".to_owned()];
        self.behind.get().map_or_else(starting, |shown| shown.missing())
    }
}

/// The signals that ask us to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
