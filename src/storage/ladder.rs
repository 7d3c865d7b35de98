//! Port: deliveries that must wait.
//!
//! One ladder for everything that means "this delivery, not before T": retries, `Retry-After`, rate
//! limits, `deliver-at`. What is on it carries everything it needs to be sent, and comes back
//! through the [inbox](super::inbox) when its time has come.

use async_trait::async_trait;

use super::StorageError;
use crate::domain::delivery::Delivery;
use crate::domain::retry::Due;

/// A delivery with its moment.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The delivery, at the turn that comes next.
    pub delivery: Delivery,
    /// When it goes on.
    pub due: Due,
}

/// Where deliveries wait.
#[async_trait]
pub trait Ladder: Send + Sync {
    /// Puts deliveries on the ladder, all or none known.
    ///
    /// When this returns `Ok`, each is durable and will come back: never before its `earliest`.
    ///
    /// # Errors
    /// `Unavailable`: some may be on it, none is known to be. Repeating the call is safe: a second
    /// copy of a turn is recognised when it comes back.
    async fn postpone(&self, batch: &[Waiting]) -> Result<(), StorageError>;

    /// Whether ladder and journal are one store: then what is recorded as held by the ladder is on it
    /// by that alone, in the same transaction, and nothing is left to hand on.
    fn is_the_journal(&self) -> bool {
        false
    }
}
