//! Port: what requests were answered, so that one that is repeated is not done again.
//!
//! A client that heard nothing asks again with the same idempotency key. What it asked for may have been
//! done; then it gets the answer that was lost.

use async_trait::async_trait;

use super::StorageError;
use crate::domain::time::Timestamp;

/// A hash that tells one request from another.
pub type Hash = [u8; 32];

/// An answer that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Hash of the body that was asked with.
    pub request: Hash,
    /// The status.
    pub status: u16,
    /// The body, sealed at rest.
    pub body: Vec<u8>,
}

/// Answers by their requests' keys.
#[async_trait]
pub trait Answers: Send + Sync {
    /// The answer to the request of this key, if it was kept at `since` or later.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` when it cannot be opened.
    async fn answer(&self, key: Hash, since: Timestamp) -> Result<Option<Kept>, StorageError>;

    /// Keeps an answer. When this returns `Ok`, a power cut does not lose it. One that is there already
    /// stays.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn keep_answer(&self, key: Hash, kept: &Kept, now: Timestamp)
    -> Result<(), StorageError>;
}
