//! Port: endpoints that do nothing but fail.
//!
//! That an endpoint fails is counted with each settlement ([`Journal::record`](super::journal::Journal)),
//! and forgotten with its first success. Here somebody asks, now and then, who has failed for so long that
//! their owner should be warned, and who for so long that they are not to be called any more. How long
//! that is, is decided by the caller.

use std::time::Duration;

use async_trait::async_trait;

use super::StorageError;
use crate::domain::id::{ApplicationId, EndpointId};
use crate::domain::time::Timestamp;

/// An endpoint that has failed since its last success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// Which one.
    pub endpoint: EndpointId,
    /// Whose it is.
    pub application: ApplicationId,
    /// Its first failure since then.
    pub since: Timestamp,
    /// Its last.
    pub last_at: Timestamp,
    /// How often it has failed since then: attempts that count, and were not asked for by a person.
    pub attempts: u32,
}

/// What is too much: both together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// So long from the first failure to the last: an endpoint that is not called does not fail.
    pub lasting: Duration,
    /// So many attempts.
    pub attempts: u32,
}

/// Whether operators are told, in the same transaction, and of whom not: of their own application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tells {
    /// The operator's own application.
    pub but_of: ApplicationId,
}

/// Who fails.
#[async_trait]
pub trait FailingEndpoints: Send + Sync {
    /// Those that are called, try this patience and were not named by this before: each is named once for
    /// each time that it begins to fail. A bounded number; the rest comes with the next call.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn newly_failing(
        &self,
        patience: Patience,
        tells: Option<Tells>,
        now: Timestamp,
    ) -> Result<Vec<Failing>, StorageError>;

    /// Disables those that try this patience and that [`newly_failing`](Self::newly_failing) has named;
    /// which they were. A bounded number; the rest comes with the next call.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn disable_failing(
        &self,
        patience: Patience,
        tells: Option<Tells>,
        now: Timestamp,
    ) -> Result<Vec<Failing>, StorageError>;
}
