//! Connections that only read: they never wait for those that write, nor these for them.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::engine::Connection;
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
        let free = Arc::new(Semaphore::new(connections.len()));
        Self { idle: Mutex::new(connections), free }
    }

    /// Runs `work` in a transaction that sees one moment of the store. The wait for a connection ends
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
            let result = reads(lent.connection(), work);
            drop(lent); // before the permit: who gets the next one finds a connection
            drop(permit);
            result
        });
        reading.await.map_err(|error| {
            StorageError::Unavailable(format!("a reader of the database did not end: {error}"))
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

fn reads<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    let transaction = connection.read()?;
    work(&transaction)
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
