//! Catalogue, journal, inbox and ladder in tables, in SQL that two engines read: SQLite, with nothing to install, and
//! PostgreSQL, for several routers.
//!
//! What writes commits in groups ([`writer`]); a few connections read beside it ([`readers`]). What they speak is in
//! [`engine`]; the engines themselves, their connections and the shapes of their tables, are in `sqlite` and `postgres`.
//!
//! - [`journal`], with [`accept`], [`record`], [`claim`] and [`resend`]: the pipeline's half of the record.
//! - [`publish`], [`inbox`], [`ladder`]: events that come in and deliveries that wait, where there is no
//!   broker; [`bell`] wakes who waits for them.
//! - [`upkeep`], with [`retention`]: what keeps the tables within bounds.
//! - [`ledger`], with [`dead_letters`] and [`offer`]: what people ask of it.
//! - [`history`]: what tenants ask of it, page by page; [`replays`]: what is offered again, by a filter and at a rate.
//! - [`attention`]: what operators look at one by one; [`directory`], [`queues`], [`quarantine`]: all endpoints, how much waits,
//!   what nobody can route.
//! - [`recovery`]: what a broker had and has lost, offered again.
//! - [`inspector`]: targets for development and what came to them.
//! - [`failing`], [`tidings`]: endpoints that do nothing but fail, and what operators are told.
//! - [`routers`]: which version of the catalogue they go by.
//! - [`catalogue`]: applications, event types, endpoints; their secrets sealed by the vault.
//! - [`rows`], [`hand`], [`books`]: columns, accounts.
//!
//! Left to others: which of the ports are used. Beside a broker these are catalogue and journal alone.

mod accept;
mod answers;
mod applications;
mod attention;
mod audit;
mod bell;
mod books;
mod catalogue;
mod claim;
mod dead_letters;
mod directory;
mod endpoints;
mod engine;
mod event_types;
mod failing;
mod hand;
mod history;
pub mod inbox;
mod inspector;
mod journal;
mod keys;
mod ladder;
mod ledger;
mod offer;
pub mod publish;
pub mod quarantine;
mod queues;
mod readers;
mod record;
mod recovery;
mod replays;
mod resend;
mod retention;
mod rollups;
mod routers;
mod rows;
mod sessions;
mod settings;
mod tidings;
mod upkeep;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::bell::Bell;
use self::engine::Connection;
use self::readers::{BROWSERS, READERS, Readers};
use self::writer::Writer;
use super::postgres::connect::Purpose;
use super::postgres::connection::Session;
use super::vault::Vault;
use super::{StorageError, postgres, sqlite};

/// Which engine keeps the tables, and where it is.
#[derive(Debug, Clone)]
pub enum Settings {
    /// A file of SQLite.
    Sqlite(sqlite::Settings),
    /// A database of PostgreSQL.
    Postgres(Box<postgres::Settings>),
}

/// How many groups are written at the same time to a server: each waits for the line and for the server's disk, and the
/// others go on meanwhile. More would meet each other more often.
const WRITERS: usize = 4;

/// The stores in the tables of one engine.
#[derive(Debug, Clone)]
pub struct Sql {
    writer: Writer,
    readers: Arc<Readers>,
    /// For those who browse: a long look of theirs does not keep the pipeline waiting.
    browsers: Arc<Readers>,
    vault: Arc<Vault>,
    bell: Arc<Bell>,
    settings: Arc<Settings>,
}

impl Sql {
    /// Opens the store, made and brought up to date where that is the engine's way.
    ///
    /// # Errors
    /// `Conflict` when the store is newer than this program or another program's; `Corrupt` when it
    /// is not a database; `Unavailable` when it cannot be opened or written.
    pub fn open(settings: &Settings, vault: Arc<Vault>) -> Result<Self, StorageError> {
        let (writers, mut readers) = match settings {
            Settings::Sqlite(file) => {
                let sqlite::Opened { writer, readers } = sqlite::open(file, READERS + BROWSERS)?;
                let readers: Vec<_> = readers.into_iter().map(Connection::Sqlite).collect();
                (vec![Connection::Sqlite(writer)], readers)
            }
            Settings::Postgres(server) => {
                postgres::migrations::up(server, postgres::migrations::STEPS, false)?;
                let session = |purpose| {
                    Connection::Postgres(Box::new(Session::new((**server).clone(), purpose)))
                };
                let readers = (0..READERS + BROWSERS).map(|_| session(Purpose::Reading));
                ((0..WRITERS).map(|_| session(Purpose::Writing)).collect(), readers.collect())
            }
        };
        let browsers = readers.split_off(READERS);
        Ok(Self {
            writer: Writer::start(writers)?,
            readers: Arc::new(Readers::of(readers)),
            browsers: Arc::new(Readers::of(browsers)),
            vault,
            bell: Arc::new(Bell::new()),
            settings: Arc::new(settings.clone()),
        })
    }

    /// Ends the writer: what is queued is written, and the store left in good order. For every
    /// clone; a write after it is `Unavailable`. Without it, the last clone to be dropped does the
    /// same, with nobody waiting.
    pub async fn close(self) {
        self.writer.close().await;
    }

    async fn write<T, F>(&self, work: F) -> Result<T, StorageError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, StorageError> + Send + 'static,
    {
        self.writer.run(work).await
    }

    async fn read<T, F>(&self, work: F) -> Result<T, StorageError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StorageError> + Send + 'static,
    {
        self.readers.run(work).await
    }

    /// As `read`, for what people and their programs look through.
    async fn browse<T, F>(&self, work: F) -> Result<T, StorageError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StorageError> + Send + 'static,
    {
        self.browsers.run(work).await
    }
}
