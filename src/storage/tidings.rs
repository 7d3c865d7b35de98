//! Port: what operators are to be told of, and were not yet.
//!
//! A tiding is written in the transaction of what it tells, so that there is neither without the other.
//! Who reads it here publishes it as an event and takes it away; dying in between publishes it again, under
//! the same name.

use async_trait::async_trait;

use super::StorageError;
use crate::domain::time::Timestamp;

/// Something to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untold {
    /// Its number in the store.
    pub number: i64,
    /// The type of the event that it becomes: [`Tiding::as_str`](crate::domain::tiding::Tiding).
    pub kind: String,
    /// What there is to say, as a JSON object.
    pub data: String,
    /// When it happened.
    pub at: Timestamp,
}

/// What is to be told.
#[async_trait]
pub trait Tidings: Send + Sync {
    /// What was not told yet, oldest first.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn untold(&self, limit: usize) -> Result<Vec<Untold>, StorageError>;

    /// These were told.
    ///
    /// # Errors
    /// `Unavailable`: they may be told again.
    async fn told(&self, numbers: Vec<i64>) -> Result<(), StorageError>;
}
