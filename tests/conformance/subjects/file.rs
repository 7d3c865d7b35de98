//! A SQLite file that can be killed: the journal of every subject that is on disk.
//!
//! A process cannot kill a part of itself. So the disk is: whatever the file and its log hold at that
//! moment is copied, and the next life begins on the copy. What the old life still does, it does to a
//! file that nobody reads. That is what a power cut leaves behind, and less than a closed file.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use posthaste::storage::sql::{Settings, Sql};
use posthaste::storage::sqlite;
use posthaste::storage::vault::Vault;
use rusqlite::Connection;
use secrecy::SecretBox;
use tempfile::TempDir;

/// The file, through its lives.
pub(crate) struct MortalFile {
    folder: TempDir,
    life: u32,
    lock: Option<Connection>,
}

impl MortalFile {
    /// A file that is not there yet.
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), life: 0, lock: None }
    }

    /// Opens it.
    pub(crate) fn open(&self) -> Sql {
        let vault = Vault::new(vec![(1, SecretBox::new(Box::new([7; 32])))]).expect("a keyring");
        let settings = Settings::Sqlite(sqlite::Settings { path: self.path() });
        Sql::open(&settings, Arc::new(vault)).expect("it opens")
    }

    /// Leaves the next life what is on disk now.
    pub(crate) fn kill(&mut self) {
        self.unlock();
        let writes_nothing = self.connection("BEGIN IMMEDIATE"); // while it is copied
        let old = self.path();
        self.life += 1;
        for suffix in ["", "-wal"] {
            let part = |path: &PathBuf| PathBuf::from(format!("{}{suffix}", path.display()));
            fs::copy(part(&old), part(&self.path())).expect("a file that was open");
        }
        drop(writes_nothing);
    }

    /// Holds what a second process holds while it writes: nobody else can.
    pub(crate) fn lock(&mut self) {
        self.lock = Some(self.connection("BEGIN EXCLUSIVE"));
    }

    /// Lets go of it.
    pub(crate) fn unlock(&mut self) {
        self.lock = None; // what it had begun is rolled back
    }

    /// A number that the file can tell.
    pub(crate) fn count(&self, sql: &str) -> u64 {
        let count: i64 = self.connection("").query_row(sql, [], |row| row.get(0)).expect("a count");
        u64::try_from(count).expect("not below zero")
    }

    fn connection(&self, begin: &str) -> Connection {
        let connection = Connection::open(self.path()).expect("it opens");
        connection.execute_batch(begin).expect("nobody holds it for long");
        connection
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(format!("life-{}.db", self.life))
    }
}
