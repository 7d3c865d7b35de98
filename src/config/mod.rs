//! What the operator decides: defaults ← file ← environment ← flags.
//!
//! Every setting has one row in [`settings::SETTINGS`]: its key, default, what is accepted and a
//! sentence about it. A start with several mistakes reports all of them, each with its place and
//! what would be accepted: nobody should have to restart a server once per typing error.
//!
//! Not here: reading the process's environment and arguments (`cli` hands them in as
//! [`Sources`]), and opening what the settings name (`runtime`).

mod layers;
mod read;
pub mod settings;
pub mod values;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use crate::domain::event::ApplicationName;

pub use self::values::{BrokerUrl, Colour, DatabaseUrl, KeyPlace, KeySource, LogFormat};

/// Everything that can be decided from outside, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything lies that is kept on this machine.
    pub data_dir: PathBuf,
    /// Whether this is a developer's machine. What follows from it (loopback and `http` are
    /// allowed) is worked into `egress` already.
    pub dev: bool,
    /// The broker.
    pub rabbitmq: RabbitMq,
    /// Where catalogue and journal are.
    pub storage: Storage,
    /// How secrets are sealed.
    pub encryption: Encryption,
    /// Which addresses may be called, and how we introduce ourselves.
    pub egress: Egress,
    /// What requests carry.
    pub delivery: Delivery,
    /// What bounds memory.
    pub limits: Limits,
    /// The HTTP API.
    pub api: Api,
    /// How the tenants' portal looks, and where it may be shown.
    pub portal: Portal,
    /// Who is told what operators should know.
    pub operator: Operator,
    /// What becomes of endpoints by themselves.
    pub endpoints: Endpoints,
    /// How long history is kept.
    pub retention: Retention,
    /// Metrics and probes.
    pub admin: Admin,
    /// What is said while running.
    pub log: Log,
    /// How a stop goes.
    pub shutdown: Shutdown,
}

impl Config {
    /// Whether everything is kept in the SQLite file and there is no broker.
    pub fn is_embedded(&self) -> bool {
        self.rabbitmq.urls.is_empty()
    }

    /// The SQLite file with catalogue and journal.
    pub fn database(&self) -> PathBuf {
        self.data_dir.join("posthaste.db")
    }

    /// The key that tokens are signed with, made on first start when `api.token_key` is empty.
    pub fn token_key_file(&self) -> PathBuf {
        self.data_dir.join("token.key")
    }

    /// The key file that is made on first start when `encryption.keys` is empty.
    pub fn key_file(&self) -> PathBuf {
        self.data_dir.join("secret.key")
    }
}

/// The broker.
#[derive(Debug, Clone)]
pub struct RabbitMq {
    /// Nodes of one cluster, tried in turn. Without any there is no broker: inbox and ladder are in the
    /// SQLite file.
    pub urls: Vec<BrokerUrl>,
    /// What every exchange and queue is called by.
    pub prefix: String,
    /// Events that may be unacknowledged at the same time.
    pub prefetch: u16,
    /// Whether outcomes are published back for producers.
    pub results: bool,
}

/// Where catalogue and journal are.
#[derive(Debug, Clone)]
pub struct Storage {
    /// The PostgreSQL database; `None`: [`Config::database`].
    pub postgres: Option<DatabaseUrl>,
}

/// How secrets are sealed.
#[derive(Debug, Clone)]
pub struct Encryption {
    /// Keys to open with; the first seals. Empty: [`Config::key_file`].
    pub keys: Vec<KeySource>,
}

/// Which addresses may be called, and how we introduce ourselves.
#[derive(Debug, Clone)]
pub struct Egress {
    /// Whether endpoints may have `http` URLs.
    pub allow_http: bool,
    /// Addresses that may be called although the built-in rules forbid them.
    pub allow_cidrs: Vec<IpNet>,
    /// Addresses that may never be called.
    pub deny_cidrs: Vec<IpNet>,
    /// The `user-agent` of every request.
    pub user_agent: String,
}

/// What requests carry.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Whether `svix-…` headers stand beside `webhook-…`.
    pub svix_headers: bool,
    /// Whether endpoints may have requests without a signature.
    pub allow_unsigned: bool,
}

/// What bounds memory.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest payload that is accepted.
    pub max_payload_bytes: usize,
    /// Requests on the way at the same time, over all endpoints.
    pub max_in_flight: usize,
    /// Those of them that may be to one host.
    pub max_in_flight_per_host: usize,
    /// Deliveries kept in memory at the same time.
    pub max_deliveries_in_memory: usize,
    /// Bytes of their payloads.
    pub max_payload_bytes_in_memory: usize,
    /// How long an event may hold the receipt that it came with.
    pub escrow_after: Duration,
}

/// The HTTP API.
#[derive(Debug, Clone)]
pub struct Api {
    /// Where it is served.
    pub listen: std::net::SocketAddr,
    /// What links for tenants begin with; `None`: where it is served.
    pub public_url: Option<Url>,
    /// What tokens are signed with; `None`: [`Config::token_key_file`].
    pub token_key: Option<KeyPlace>,
    /// Requests per second of one caller, publishing aside; 0 for no limit.
    pub requests_per_second: u16,
}

/// How the tenants' portal looks, and where it may be shown.
#[derive(Debug, Clone)]
pub struct Portal {
    /// What it is called.
    pub name: String,
    /// Sites that may show it in a frame.
    pub embed_origins: Vec<Url>,
    /// The colour of its links and buttons.
    pub accent: Option<Colour>,
    /// The file of its logo.
    pub logo: Option<String>,
}

/// Who is told what operators should know.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The id or uid of the operator's own application; `None`: nobody is told.
    pub application: Option<ApplicationName>,
}

/// What becomes of endpoints by themselves.
#[derive(Debug, Clone, Copy)]
pub struct Endpoints {
    /// How long one may do nothing but fail before it is disabled; `None`: for ever.
    pub disable_after: Option<Duration>,
}

/// How long history is kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Events with their payloads, attempts and finished deliveries, from their acceptance on.
    pub events: Duration,
    /// Dead letters with their events, from when they were given up.
    pub dead_letters: Duration,
}

/// Metrics and probes.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Where they are served.
    pub listen: std::net::SocketAddr,
}

/// What is said while running.
#[derive(Debug, Clone)]
pub struct Log {
    /// For people or for programs.
    pub format: LogFormat,
    /// Directives of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

/// How a stop goes.
#[derive(Debug, Clone)]
pub struct Shutdown {
    /// How long requests on the way may take to end.
    pub grace: Duration,
}

/// Where settings come from, besides the defaults.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A TOML file. It has to be there.
    pub file: Option<PathBuf>,
    /// The process's environment; only `POSTHASTE_…` is looked at.
    pub environment: Vec<(String, String)>,
    /// What flags say.
    pub flags: Vec<FlagValue>,
}

/// What one flag says about one setting.
#[derive(Debug, Clone)]
pub struct FlagValue {
    /// The flag as it is typed: `--data-dir`.
    pub flag: &'static str,
    /// The setting's key.
    pub key: String,
    /// The value as text.
    pub value: String,
}

/// One setting as it holds, with where it came from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Effective {
    /// The setting's key.
    pub key: &'static str,
    /// The value as text, without secrets.
    pub value: String,
    /// `default`, `file:<path>`, `environment:<variable>`, `flag:<flag>` or `dev`.
    pub origin: String,
}

impl Effective {
    /// Why its value is not safe outside a developer's machine, if it is not, in a sentence.
    pub fn danger(&self) -> Option<&'static str> {
        settings::danger(self.key, &self.value)
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The setting's key; the file's path when the file itself is wrong.
    pub key: String,
    /// Where the value came from.
    pub origin: String,
    /// What is wrong, and what is accepted.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.key, self.origin, self.what)
    }
}

/// Everything that is wrong; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        write!(f, "the configuration has {count} {noun}")?;
        for mistake in &self.0 {
            write!(f, "\n  {mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// Reads and checks all settings.
///
/// # Errors
/// Every mistake in every source, unknown settings too.
pub fn load(sources: &Sources) -> Result<(Config, Vec<Effective>), Mistakes> {
    let mut mistakes = Vec::new();
    let layers = layers::stack(sources, &mut mistakes);
    let loaded = read::config(&layers, &mut mistakes);
    if mistakes.is_empty() { Ok(loaded) } else { Err(Mistakes(mistakes)) }
}

#[cfg(test)]
mod tests;
