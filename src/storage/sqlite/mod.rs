//! The engine that needs nothing to be installed: SQLite, on one file.
//!
//! One connection writes and a few read beside it, on one machine. Write-ahead log with `synchronous = FULL`: what
//! was answered survives a power cut. Several processes may have the file open (a router and the command line).
//!
//! - [`migrations`]: the file's shape. - [`room`]: the disk it lies on, and the log beside it. - [`backup`]: a copy
//!   while running. - [`faults`]: what its errors mean for a caller.
//!
//! Left to others: everything that is written to the file and read from it (`sql`).

pub mod backup;
mod faults;
pub mod migrations;
pub(super) mod room;
#[cfg(feature = "failpoints")]
mod watch;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::StorageError;

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

/// What the file is opened with.
pub(super) struct Opened {
    /// The one that writes.
    pub(super) writer: Connection,
    /// Those that only read, as many as were asked for.
    pub(super) readers: Vec<Connection>,
}

/// Opens the file, made and brought up to date where needed. A new one is readable by its owner
/// alone; the mode of one that is there is its owner's choice.
///
/// # Errors
/// `Conflict` when the file is newer than this program or another program's; `Corrupt` when it
/// is not a database; `Unavailable` when it cannot be opened or written.
pub(super) fn open(settings: &Settings, readers: usize) -> Result<Opened, StorageError> {
    let path = &settings.path;
    let named = |error| match error {
        StorageError::Unavailable(why) => {
            StorageError::Unavailable(format!("{}: {why}", path.display()))
        }
        StorageError::Conflict(why) => StorageError::Conflict(format!("{}: {why}", path.display())),
        StorageError::Corrupt(why) => StorageError::Corrupt(format!("{}: {why}", path.display())),
    };
    make(path).map_err(|error| named(StorageError::Unavailable(error.to_string())))?;
    let writer = open_writer(path).map_err(named)?;
    let readers = (0..readers).map(|_| open_reader(path)).collect::<Result<_, _>>();
    Ok(Opened { writer, readers: readers.map_err(|error| named(error.into()))? })
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
    #[cfg_attr(not(feature = "failpoints"), expect(unused_mut, reason = "only tests watch it"))]
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    #[cfg(feature = "failpoints")]
    watch::scans(&mut connection, watch::tell);
    Ok(connection)
}
