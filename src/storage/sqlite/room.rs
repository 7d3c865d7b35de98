//! How much room the disk has, and how large the log may grow in it.
//!
//! A log that takes the last of the room can never be folded into the file: for that the file has to
//! grow. Then the disk is full for the log's sake alone, and stays so. So the log gets a part of what
//! there is, measured as the file is opened and again when it could not be written: a log that is folded in begins anew
//! in the room that it has.

use std::io;
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::beside;
use crate::storage::StorageError;
use crate::storage::upkeep::Size;

/// Pages in the log before they are folded into the file, where there is room: 64 MiB. Sixteen times
/// SQLite's own number, because leaves of the events' ids, which are hashes, are written again and
/// again, and are folded in once: 10 to 20 % less time per event than at 16 MiB. Reading the log after a
/// crash takes a fraction of a second.
const LOG_PAGES: u64 = 16_000;
/// And at least: 1 MiB, some large transactions.
const LOG_PAGES_LEAST: u64 = 250;
/// The log's part of the room is one in this many: the file may grow by as much as the log has, which
/// in turn may be twice its size while a large group is committed, and others use the disk as well.
const PART: u64 = 8;
/// Bytes of a page: SQLite's default, which we leave.
const PAGE: u64 = 4_096;

/// What a trial writes, in bytes: more than most events, so that the last free page is not taken for
/// room, and little enough to be written every second.
const TRIAL: u32 = 256 * 1024;

/// Bytes that may still be written where this file lies.
///
/// # Errors
/// What the system says.
pub(super) fn available(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Sets how large the log may grow before it is folded in, by the room there is now, and that its file is
/// cut to that size when it begins anew.
pub(super) fn fit_log(connection: &Connection) -> rusqlite::Result<()> {
    // Where nobody tells, there is room.
    let available = connection.path().and_then(|path| available(path.as_ref()).ok());
    let pages = log_pages(available.unwrap_or(u64::MAX));
    connection.pragma_update(None, "wal_autocheckpoint", pages)?;
    connection.pragma_update(None, "journal_size_limit", pages * PAGE.cast_signed())
}

/// Folds the log in as far as it goes and writes a little, to see whether the file can be written again.
///
/// Two transactions: what is written and taken away in one never reaches the disk.
///
/// # Errors
/// `Unavailable`: it cannot.
pub(in crate::storage) fn try_again(connection: &Connection) -> Result<(), StorageError> {
    // Without waiting for readers. How far it comes is seen from what can be written behind it.
    let _folded = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    // What room appears is not the log's alone: with all of it, it could never be folded in.
    let _fitted = fit_log(connection);
    let write = |sql: &str| -> Result<(), StorageError> {
        let behaviour = TransactionBehavior::Immediate;
        let transaction = rusqlite::Transaction::new_unchecked(connection, behaviour)?;
        transaction.execute(sql, [])?;
        Ok(transaction.commit()?)
    };
    write(&format!("INSERT OR REPLACE INTO room VALUES (1, zeroblob({TRIAL}))"))?;
    write("DELETE FROM room")
}

/// Folds the log into the file, and closes it. Best effort: what is not folded in now is read from the log by whoever
/// opens the file next.
pub(in crate::storage) fn fold(connection: Connection) {
    let _folded = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    drop(connection);
}

/// How large the file is: three look-ups in the file system and two numbers of the first page.
///
/// # Errors
/// `Unavailable`: it cannot be read.
pub(in crate::storage) fn size(connection: &Connection, path: &Path) -> Result<Size, StorageError> {
    // A log that is not there is empty.
    let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    Ok(Size {
        file_bytes: bytes(path),
        log_bytes: bytes(&beside(path, "-wal")),
        free_bytes: u64::from(pragma("freelist_count")?) * u64::from(pragma("page_size")?),
        available_bytes: available(path).unwrap_or(0),
        oldest_event: None,
    })
}

fn log_pages(available: u64) -> i64 {
    (available / PART / PAGE).clamp(LOG_PAGES_LEAST, LOG_PAGES).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn a_log_is_large_where_there_is_room_and_small_where_there_is_little() {
        for (available, pages) in
            [(u64::MAX, 16_000), (600 * MIB, 16_000), (80 * MIB, 2_560), (4 * MIB, 250), (0, 250)]
        {
            assert_eq!(log_pages(available), pages, "{available} bytes");
        }
    }

    #[test]
    fn the_room_of_a_disk_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(available(folder.path()).expect("read") > 0);
        assert!(available(&folder.path().join("nothing")).is_err());
    }
}
