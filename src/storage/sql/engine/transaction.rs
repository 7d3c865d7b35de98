//! Transactions by their statements, in which both engines spell them alike, with a guard that rolls back what was
//! neither committed nor given up.

use std::ops::Deref;

use super::{Connection, Result};

/// A transaction, open until it is committed or dropped: dropped, also by a panic, it is rolled back.
#[derive(Debug)]
#[must_use = "what is dropped is rolled back"]
pub(in super::super) struct Transaction<'c> {
    connection: &'c Connection,
}

impl Deref for Transaction<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl<'c> Transaction<'c> {
    pub(super) fn begin(connection: &'c Connection, how: &str) -> Result<Self> {
        connection.order(how)?;
        Ok(Self { connection })
    }

    /// Makes it last.
    ///
    /// # Errors
    /// Written or not, we cannot know, unless the engine [says](Connection::must_run_again) that it is to be run again.
    pub(in super::super) fn commit(self) -> Result<()> {
        self.connection.order("COMMIT") // dropped behind it, it is rolled back if that failed
    }

    /// Whether it is still there: some failures of SQLite (disk full, I/O) end it by themselves.
    pub(in super::super) fn is_open(&self) -> bool {
        self.connection.is_in_transaction()
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.connection.is_in_transaction() {
            // What cannot be rolled back is a lost connection's, and is rolled back by that.
            let _lost = self.connection.order("ROLLBACK");
        }
    }
}
