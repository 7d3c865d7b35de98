//! SQLite: catalogue, journal, inbox and ladder in one file, with nothing to install.
//!
//! One thread writes, and commits in groups ([`writer`]); a few connections read beside it
//! ([`readers`]). Write-ahead log with `synchronous = FULL`: what was answered survives a power cut.
//! Several processes may have the file open (a router and the command line), on one machine.
//!
//! - [`journal`], with [`accept`], [`record`], [`claim`] and [`resend`]: the pipeline's half of the record.
//! - [`publish`], [`inbox`], [`ladder`]: events that come in and deliveries that wait, where there is no
//!   broker; [`bell`] wakes who waits for them.
//! - [`upkeep`], with [`retention`] and [`room`]: what keeps the file within bounds; [`backup`]: a copy
//!   while running.
//! - [`ledger`], with [`dead_letters`] and [`offer`]: what people ask of it.
//! - [`history`]: what tenants ask of it, page by page; [`replays`]: what is offered again, by a filter and at a rate.
//! - [`attention`]: what operators look at one by one; [`directory`], [`queues`], [`quarantine`]: all endpoints, how much waits,
//!   what nobody can route.
//! - [`recovery`]: what a broker had and has lost, offered again.
//! - [`inspector`]: targets for development and what came to them.
//! - [`failing`], [`tidings`]: endpoints that do nothing but fail, and what operators are told.
//! - [`routers`]: which version of the catalogue they go by.
//! - [`catalogue`]: applications, event types, endpoints; their secrets sealed by the vault.
//! - [`rows`], [`books`], [`faults`], [`migrations`]: columns, accounts, errors, the file's shape.
//!
//! Left to others: which of the ports are used. Beside a broker the file is catalogue and journal alone.

mod accept;
mod answers;
mod applications;
mod attention;
mod audit;
pub mod backup;
mod bell;
mod books;
mod catalogue;
mod claim;
mod dead_letters;
mod directory;
mod endpoints;
mod event_types;
mod failing;
mod faults;
mod history;
pub mod inbox;
mod inspector;
mod journal;
mod keys;
mod ladder;
mod ledger;
mod migrations;
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
mod room;
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

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use self::bell::Bell;
use self::readers::{BROWSERS, READERS, Readers};
use self::writer::Writer;
use super::StorageError;
use super::vault::Vault;

/// Where the file is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its path; `-wal` and `-shm` lie beside it. It is made when it is not there, with its folder.
    pub path: PathBuf,
}

/// How long a write waits for another process that is writing.
///
/// Five seconds: the command line writes in steps of milliseconds; what takes longer is stuck.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Pages that the writer keeps in memory, in KiB: 64 MiB hold the upper levels and the recent leaves
/// of every tree, so that a step of the hot path seldom reads the disk.
const WRITER_CACHE_KIB: i64 = 64 * 1024;
/// The same for each reader.
const READER_CACHE_KIB: i64 = 8 * 1024;
/// Statements that a connection keeps prepared: more than we have.
const STATEMENTS: usize = 128;

/// The stores in one SQLite file.
#[derive(Debug, Clone)]
pub struct Sqlite {
    writer: Writer,
    readers: Arc<Readers>,
    /// For those who browse: a long look of theirs does not keep the pipeline waiting.
    browsers: Arc<Readers>,
    vault: Arc<Vault>,
    bell: Arc<Bell>,
    path: Arc<Path>,
}

impl Sqlite {
    /// Opens the file, made and brought up to date where needed. A new one is readable by its owner
    /// alone; the mode of one that is there is its owner's choice.
    ///
    /// # Errors
    /// `Conflict` when the file is newer than this program or another program's; `Corrupt` when it
    /// is not a database; `Unavailable` when it cannot be opened or written.
    pub fn open(settings: &Settings, vault: Arc<Vault>) -> Result<Self, StorageError> {
        let path = &settings.path;
        let named = |error| match error {
            StorageError::Unavailable(why) => {
                StorageError::Unavailable(format!("{}: {why}", path.display()))
            }
            StorageError::Conflict(why) => {
                StorageError::Conflict(format!("{}: {why}", path.display()))
            }
            StorageError::Corrupt(why) => {
                StorageError::Corrupt(format!("{}: {why}", path.display()))
            }
        };
        make(path).map_err(|error| named(StorageError::Unavailable(error.to_string())))?;
        let writer = open_writer(path).map_err(named)?;
        let some = |count: usize| -> Result<Vec<Connection>, StorageError> {
            let opened = (0..count).map(|_| open_reader(path));
            opened.collect::<Result<_, _>>().map_err(|error| named(error.into()))
        };
        let (readers, browsers) = (some(READERS)?, some(BROWSERS)?);
        Ok(Self {
            writer: Writer::start(writer)?,
            readers: Arc::new(Readers::of(readers)),
            browsers: Arc::new(Readers::of(browsers)),
            vault,
            bell: Arc::new(Bell::new()),
            path: path.as_path().into(),
        })
    }

    /// Ends the writer: what is queued is written, and the log folded into the file. For every
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

/// The path with something behind its name, as SQLite names the files beside its own.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Makes the file, if it is not there, before SQLite would with a mode of its own. SQLite gives the
/// files beside it the mode of this one.
fn make(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn open_writer(path: &Path) -> Result<Connection, StorageError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(StorageError::Unavailable(format!(
            "journal mode is {mode}: a file system that can have a write-ahead log is wanted"
        )));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    room::fit_log(&connection)?;
    migrations::migrate(&mut connection)?;
    Ok(connection)
}

fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    Ok(connection)
}
