//! A copy of the file as it was at one moment, made while a router goes on writing.
//!
//! `VACUUM INTO` reads one snapshot and writes a file without gaps. The writer does not wait for it;
//! only the log cannot begin anew while the snapshot is read, and grows by what is written meanwhile.
//! SQLite's own backup interface would begin again each time another process writes, and under load
//! never end. Copying the files by hand takes a page of one moment and the next page of another.
//!
//! **What if we die right here?** The copy is written beside its place under another name, and gets its
//! own when it is on the disk: whoever sees it sees all of it. What a copy that was interrupted left
//! behind is written over by the next one.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::{BUSY_TIMEOUT, beside};
use crate::storage::StorageError;

/// Whether a file that is there already may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It may.
    Replace,
    /// It is in the way.
    Keep,
}

/// Copies the database `from` to the file `to`, readable by its owner alone; its bytes.
///
/// When this returns `Ok`, the copy survives a power cut. Blocks, for a second or so for each hundred
/// megabytes.
///
/// # Errors
/// `Conflict` when `to` is there and is to be kept, or is being written by another call; `Unavailable`
/// when the database cannot be read or the copy cannot be written: then there is no copy, and a file
/// that was there is as it was.
pub fn copy(from: &Path, to: &Path, existing: Existing) -> Result<u64, StorageError> {
    if !from.is_file() {
        return Err(StorageError::Unavailable(format!(
            "{}: there is no database to copy",
            from.display()
        )));
    }
    is_free(to, existing)?;
    let partial = beside(to, ".partial");
    let file = begin(&partial)?;
    let copied = snapshot(from, &partial)
        .and_then(|()| finish(&file, &partial, to, existing).map_err(|error| named(to, &error)));
    if copied.is_err() {
        // What cannot be removed now is written over by the next copy.
        let _left = fs::remove_file(&partial);
    }
    copied
}

fn is_free(to: &Path, existing: Existing) -> Result<(), StorageError> {
    if to.is_dir() {
        return Err(StorageError::Conflict(format!(
            "{} is a folder: the path of a file is wanted",
            to.display()
        )));
    }
    if existing == Existing::Keep && to.exists() {
        return Err(StorageError::Conflict(format!("{} is there already", to.display())));
    }
    Ok(())
}

/// The empty file that SQLite will fill, ours until it is dropped.
fn begin(partial: &Path) -> Result<File, StorageError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(partial).map_err(|error| named(partial, &error))?;
    let taken = || {
        StorageError::Conflict(format!("{} is being written by another backup", partial.display()))
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(taken()),
        Err(TryLockError::Error(error)) => return Err(named(partial, &error)),
    }
    // Another may have ended between our opening and our locking: then this is its finished copy.
    let number = |file: io::Result<fs::Metadata>| file.map(|file| file.ino()).ok();
    if number(fs::metadata(partial)) != number(file.metadata()) {
        return Err(taken());
    }
    file.set_len(0).map_err(|error| named(partial, &error))?; // what was left by one that was killed
    Ok(file)
}

fn snapshot(from: &Path, partial: &Path) -> Result<(), StorageError> {
    let Some(partial) = partial.to_str() else {
        return Err(StorageError::Unavailable(format!(
            "{}: a path in UTF-8 is wanted",
            partial.display()
        )));
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(from, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute("VACUUM INTO ?1", [partial])?;
    Ok(())
}

/// To the disk, and to its place.
fn finish(file: &File, partial: &Path, to: &Path, existing: Existing) -> io::Result<u64> {
    file.sync_all()?; // SQLite does not, for a file of this kind
    let bytes = file.metadata()?.len();
    if existing == Existing::Keep && to.exists() {
        return Err(io::ErrorKind::AlreadyExists.into()); // it has come meanwhile
    }
    fs::rename(partial, to)?;
    File::open(folder_of(to))?.sync_all()?;
    Ok(bytes)
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

fn named(path: &Path, error: &io::Error) -> StorageError {
    StorageError::Unavailable(format!("{}: {error}", path.display()))
}
