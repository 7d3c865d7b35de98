//! Reaching a server: where, how long, by which bounds, and how soon again.
//!
//! **Every wait has an end.** A session says to the server itself how long a statement may take, how long it waits for
//! a lock and how long a transaction may lie open, so that also a router that hangs holds up nobody for long. A server
//! that is gone without a word is noticed by keepalives and by what it has not acknowledged.
//!
//! A connection that is lost is dropped, and the next call makes a new one; while the server refuses, calls are
//! refused at once, and it is asked again after a pause that grows.
//!
//! TLS is what the URL says (`sslmode=disable`, `prefer`, `require`). Where there is TLS, the certificate is verified,
//! for the name, by what the machine trusts (`SSL_CERT_FILE` adds to it): there is no encryption with whoever answers.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postgres::config::{Host, SslMode};
use postgres::{Client, Config, NoTls};
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::{info, warn};

use super::{faults, migrations};
use crate::storage::StorageError;

/// Longest wait for a connection to one host, its handshake included: a host that is away refuses at once, and one that
/// drops packets must not hold up the others in the URL.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// How long the line may be silent before the server is asked whether it is there, and how often and how many times then.
/// Sixteen seconds together: as long as a broker's heartbeat takes to notice.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_RETRIES: u32 = 3;
/// How long what was sent may go unacknowledged by the other machine: the same.
const UNACKNOWLEDGED: Duration = Duration::from_secs(16);

/// Longest that one statement may take. The longest of ours, a step of retention or a page of a list, takes some ten
/// milliseconds; at a hundred times that something is stuck, and who waits behind it is told so.
const STATEMENT_MS: u32 = 30_000;
/// Longest wait for a lock, as for a file that somebody else is writing. Only a change of the tables' shape holds one for
/// longer than a commit.
const LOCK_MS: u32 = 5_000;
/// Longest that a transaction may lie open with nothing said in it: a router that was stopped in the middle of one
/// must not keep the others from their rows, nor the server from cleaning up.
const IDLE_IN_TRANSACTION_MS: u32 = 15_000;

/// First pause between two tries, doubled with each up to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// Longest pause: an outage is over for us soon after it is over for the server.
const PAUSE_LAST: Duration = Duration::from_secs(5);

/// Where the database is.
#[derive(Clone)]
pub struct Settings {
    config: Config,
    tls: Arc<ClientConfig>,
}

impl FromStr for Settings {
    type Err = StorageError;

    /// Reads `postgres://user:password@host:port/database`, with `sslmode` and the other parameters of a connection
    /// string where they are wanted.
    ///
    /// # Errors
    /// `Conflict`: it is none. What is said does not repeat it, since it may hold a password.
    fn from_str(url: &str) -> Result<Self, StorageError> {
        let wanted = |why: &str| {
            StorageError::Conflict(format!(
                "the PostgreSQL URL {why}: postgres://user:password@host:port/database is wanted"
            ))
        };
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(wanted("does not begin with postgres://"));
        }
        // The library's own words can repeat a part of it.
        let mut config = Config::from_str(url).map_err(|_| wanted("is not one"))?;
        if config.get_hosts().is_empty() {
            return Err(wanted("names no host"));
        }
        if config.get_dbname().is_none() {
            return Err(wanted("names no database"));
        }
        config
            .application_name("posthaste")
            .connect_timeout(CONNECT_DEADLINE)
            .keepalives(true)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .tcp_user_timeout(UNACKNOWLEDGED);
        let tls =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .and_then(BuilderVerifierExt::with_platform_verifier)
                .map_err(|error| {
                    StorageError::Unavailable(format!("TLS towards PostgreSQL: {error}"))
                })?
                .with_no_client_auth();
        Ok(Self { config, tls: Arc::new(tls) })
    }
}

impl fmt::Display for Settings {
    /// `host:port/database`: never the user or the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, host) in self.config.get_hosts().iter().enumerate() {
            let ports = self.config.get_ports();
            let port = ports.get(index).or_else(|| ports.first()).copied().unwrap_or(5432);
            let comma = if index == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}:{port}")?,
                Host::Unix(path) => write!(f, "{comma}{}:{port}", path.display())?,
            }
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Settings({self})")
    }
}

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) enum Purpose {
    /// Jobs that write, in groups.
    Writing,
    /// Jobs that read.
    Reading,
    /// Changes of the tables' shape: they may take as long as they take, and wait for locks briefly.
    Shaping,
}

impl Purpose {
    /// What a session says of itself to the server.
    ///
    /// `synchronous_commit`: what was answered survives a power cut, whatever the server's default. Plans are made once
    /// for each statement of a session: with partitions, making them costs more than carrying them out.
    fn words(self) -> String {
        let common = format!(
            "SET idle_in_transaction_session_timeout = {IDLE_IN_TRANSACTION_MS}; SET lock_timeout = {LOCK_MS}; \
             SET timezone = 'UTC'; SET client_min_messages = warning; SET bytea_output = hex; \
             SET standard_conforming_strings = on; SET posthaste.shape = {}; ",
            migrations::shape()
        );
        // What is written and read is written for indexes. A plan that was made while a table was empty would read all of
        // it ever after.
        let by_index = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off";
        let own = match self {
            Self::Writing => format!(
                "SET statement_timeout = {STATEMENT_MS}; SET plan_cache_mode = force_generic_plan; \
                 {by_index}; SET default_transaction_isolation = 'serializable'; \
                 SELECT set_config('synchronous_commit', 'on', false) \
                 WHERE current_setting('synchronous_commit') IN ('off', 'local')"
            ),
            Self::Reading => format!(
                "SET statement_timeout = {STATEMENT_MS}; {by_index}; \
                 SET default_transaction_isolation = 'repeatable read'; SET default_transaction_read_only = on"
            ),
            Self::Shaping => {
                "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 60000"
                    .to_owned()
            }
        };
        common + &own
    }
}

impl Settings {
    /// A session for this.
    ///
    /// Blocks; not to be called where async code runs.
    ///
    /// # Errors
    /// `Unavailable`, naming the server.
    pub(super) fn connect(&self, purpose: Purpose) -> Result<Client, StorageError> {
        let named = |error: &postgres::Error| match faults::told(error) {
            StorageError::Unavailable(why)
            | StorageError::Conflict(why)
            | StorageError::Corrupt(why) => StorageError::Unavailable(format!("{self}: {why}")),
        };
        let connected = if self.config.get_ssl_mode() == SslMode::Disable {
            self.config.connect(NoTls)
        } else {
            self.config.connect(MakeRustlsConnect::new(ClientConfig::clone(&self.tls)))
        };
        let mut client = connected.map_err(|error| named(&error))?;
        client.batch_execute(&purpose.words()).map_err(|error| named(&error))?;
        Ok(client)
    }
}

/// How soon a server that has refused is asked again.
#[derive(Debug, Default)]
pub(super) struct Patience {
    refused: Option<Refused>,
}

#[derive(Debug)]
struct Refused {
    why: StorageError,
    not_before: Instant,
    pause: Duration,
}

impl Patience {
    /// A session, or why there is none: asked for now, or not long ago.
    ///
    /// # Errors
    /// As [`Settings::connect`].
    pub(super) fn connect(
        &mut self,
        settings: &Settings,
        purpose: Purpose,
    ) -> Result<Client, StorageError> {
        if let Some(Refused { why, not_before, .. }) = &self.refused
            && Instant::now() < *not_before
        {
            return Err(why.clone());
        }
        match settings.connect(purpose) {
            Ok(client) => {
                if self.refused.take().is_some() {
                    info!(server = %settings, "the database can be reached again");
                }
                Ok(client)
            }
            Err(why) => {
                let pause = if let Some(before) = &self.refused {
                    (before.pause * 2).min(PAUSE_LAST)
                } else {
                    warn!(server = %settings, %why, "the database cannot be reached");
                    PAUSE_FIRST
                };
                let not_before = Instant::now() + pause;
                self.refused = Some(Refused { why: why.clone(), not_before, pause });
                Err(why)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_shown_without_its_password() {
        let settings: Settings =
            "postgres://me:secret@db.example:5433/hooks?sslmode=disable".parse().expect("a URL");
        assert_eq!(settings.to_string(), "db.example:5433/hooks");
        assert_eq!(format!("{settings:?}"), "Settings(db.example:5433/hooks)");
    }

    #[test]
    fn what_is_no_database_is_refused_without_being_repeated() {
        for url in [
            "mysql://me:secret@db/x",
            "postgres://me:secret@db",
            "postgres:///x",
            "postgres://a:secret@b/c?what=1",
        ] {
            let error = url.parse::<Settings>().expect_err(url).to_string();
            assert!(error.contains("is wanted") && !error.contains("secret"), "{error}");
        }
    }
}
