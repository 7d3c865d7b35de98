//! Connections that only read: they never wait for the writer, nor it for them (write-ahead log).

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::storage::StorageError;

/// How many: enough that a page over a large table does not hold up the fence.
pub(super) const READERS: usize = 3;

/// How many more for those who browse.
pub(super) const BROWSERS: usize = 2;

/// A few reading connections, lent to one reader each.
#[derive(Debug)]
pub(super) struct Readers {
    idle: Mutex<Vec<Connection>>,
    free: Arc<Semaphore>,
}

impl Readers {
    /// A pool of these connections.
    pub(super) fn of(connections: Vec<Connection>) -> Self {
        #[cfg(feature = "failpoints")]
        let connections = watch::all(connections);
        let free = Arc::new(Semaphore::new(connections.len()));
        Self { idle: Mutex::new(connections), free }
    }

    /// Runs `work` in a transaction that sees one moment of the file. The wait for a connection ends
    /// with the reads ahead, each of which is one walk over an index or a table.
    ///
    /// # Errors
    /// What `work` returned; `Unavailable` when it panicked.
    pub(super) async fn run<T, F>(self: &Arc<Self>, work: F) -> Result<T, StorageError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StorageError> + Send + 'static,
    {
        let permit = Arc::clone(&self.free).acquire_owned().await.expect("it is never closed");
        let readers = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || {
            let lent = readers.lend();
            let transaction = lent.connection().unchecked_transaction()?;
            let result = work(&transaction);
            drop(transaction);
            drop(lent); // before the permit: who gets the next one finds a connection
            drop(permit);
            result
        });
        reading.await.map_err(|error| {
            StorageError::Unavailable(format!("a reader of sqlite did not end: {error}"))
        })?
    }

    fn lend(self: Arc<Self>) -> Lent {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = idle.pop();
        drop(idle);
        assert!(connection.is_some(), "there are as many connections as permits");
        Lent { connection, readers: self }
    }
}

/// A connection on loan: it goes back also when its reader panics.
struct Lent {
    connection: Option<Connection>,
    readers: Arc<Readers>,
}

impl Lent {
    fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("it is taken only as the loan ends")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut idle = self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extend(self.connection.take());
    }
}

#[cfg(feature = "failpoints")]
mod watch {
    //! Tells tests of statements that read a table from its beginning: over a store that they have filled, no page may.

    use std::collections::HashMap;

    use rusqlite::trace::{TraceEvent, TraceEventCodes};
    use rusqlite::{Connection, StatementStatus};

    /// More rows than a page of a list looks at, and fewer than any table has that grows with traffic in those tests.
    const SCAN: i32 = 20_000;

    pub(super) fn all(mut connections: Vec<Connection>) -> Vec<Connection> {
        for connection in &mut connections {
            scans(connection, |rows, sql| {
                tracing::warn!(rows, sql, "a statement has read a whole table");
            });
        }
        connections
    }

    fn scans(connection: &mut Connection, mut told: impl FnMut(i32, &str) + Send + 'static) {
        // A statement that is used again counts on.
        let mut before: HashMap<String, i32> = HashMap::new();
        let heard = move |event: TraceEvent<'_>| {
            let TraceEvent::Profile(statement, _) = event else { return };
            let all = statement.get_status(StatementStatus::FullscanStep);
            let sql = statement.sql().into_owned();
            let earlier = before.insert(sql.clone(), all).filter(|earlier| *earlier <= all);
            let rows = all - earlier.unwrap_or(0);
            if rows > SCAN {
                told(rows, &sql);
            }
        };
        let watched = connection.trace_v2(TraceEventCodes::SQLITE_TRACE_PROFILE, Some(heard));
        watched.expect("it is our own connection");
    }

    #[cfg(test)]
    mod tests {
        use std::sync::{Arc, Mutex};

        use super::*;

        #[test]
        fn a_walk_over_a_table_is_told_and_one_along_an_index_is_not() {
            let mut connection = Connection::open_in_memory().expect("opens");
            let lay = "CREATE TABLE t (n INTEGER PRIMARY KEY, s TEXT);
                INSERT INTO t WITH RECURSIVE r (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 30000)
                    SELECT i, 'x' FROM r;";
            connection.execute_batch(lay).expect("laid");
            let said = Arc::new(Mutex::new(Vec::new()));
            let book = Arc::clone(&said);
            scans(&mut connection, move |rows, sql| {
                book.lock().expect("no panic").push((rows, sql.to_owned()));
            });
            let count = |sql: &str| {
                let mut statement = connection.prepare_cached(sql).expect("prepared");
                statement.query_row([], |row| row.get::<_, i64>(0)).expect("read")
            };
            let (scan, seek) =
                ("SELECT count(*) FROM t WHERE s = 'y'", "SELECT count(*) FROM t WHERE n > 9000");
            assert_eq!([count(scan), count(seek), count(scan)], [0, 21_000, 0]);
            let said = said.lock().expect("no panic");
            let rows: Vec<_> = said.iter().map(|(_, sql)| sql.as_str()).collect();
            assert_eq!(rows, [scan, scan], "{said:?}");
        }
    }
}
