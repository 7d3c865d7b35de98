//! Port: what an operator looks at one by one: what stopped an event or a delivery, and which endpoints are worst off.
//!
//! Each look costs the same however much there is: one row by its key, or a bounded number of rows at the end of
//! an index where the worst are found. What lies beyond is told as such ([`Looked::all`]).

use async_trait::async_trait;

use super::StorageError;
use crate::domain::application::Tenant;
use crate::domain::delivery::{DeliveryKey, DeliveryState};
use crate::domain::id::{ApplicationId, EndpointId, EventId, OrganisationId};
use crate::domain::settlement::DeathReason;
use crate::domain::time::Timestamp;

/// That a delivery was given up, and is kept as a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    /// Why.
    pub reason: DeathReason,
    /// When.
    pub at: Timestamp,
}

/// How far an event has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Routed {
    /// What it owes is fixed.
    Yes,
    /// It was published, and is on its way to being accepted.
    NotYet,
    /// Nobody can route it: why, in words.
    Never(String),
}

/// What taking a delivery back came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenBack {
    /// It is cancelled.
    Now,
    /// It has ended before: so.
    Ended(DeliveryState),
}

/// By what endpoints are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorstBy {
    /// How many deliveries are overdue.
    Overdue,
    /// How many requests have failed since the last success.
    Failures,
    /// How long requests take.
    Latency,
}

impl WorstBy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Overdue, Self::Failures, Self::Latency];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overdue => "overdue",
            Self::Failures => "failures",
            Self::Latency => "latency",
        }
    }
}

/// An endpoint that is worse off than others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worst {
    /// Which; also one that nobody lists.
    pub endpoint: EndpointId,
    /// Whose.
    pub application: ApplicationId,
    /// The name that its owner gave it.
    pub uid: Option<String>,
    /// Where it is, if somebody lists it.
    pub url: Option<String>,
    /// How many: deliveries that are overdue, requests that failed, requests that were measured.
    pub count: u64,
    /// Since when: the oldest due time, the first failure, the first measured request.
    pub since: Timestamp,
    /// How long its requests take on average, in milliseconds, where that was asked.
    pub mean_ms: Option<u32>,
    /// The longest of them.
    pub max_ms: Option<u32>,
}

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The worst first.
    pub worst: Vec<Worst>,
    /// Whether all there is was looked at, and not the oldest (or the newest) of it alone.
    pub all: bool,
}

/// The port.
#[async_trait]
pub trait Attention: Send + Sync {
    /// How a delivery was given up, if it is a dead letter.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn death(&self, key: DeliveryKey) -> Result<Option<Death>, StorageError>;

    /// How far an event has come.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn routed(&self, event: EventId) -> Result<Routed, StorageError>;

    /// Takes back one delivery of a tenant's that has not ended; `None` when there is none. Its turn is over then: a
    /// router that has it in memory finds that when it records what has come of it, and a copy on the ladder when it comes back.
    ///
    /// A request that is on its way ends as it would, and is kept; the delivery stays cancelled.
    ///
    /// # Errors
    /// `Unavailable`: repeating the call is safe, and tells that it has ended.
    async fn take_back(
        &self,
        tenant: Tenant,
        key: DeliveryKey,
    ) -> Result<Option<TakenBack>, StorageError>;

    /// An organisation's worst endpoints, at most `limit`.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn worst(
        &self,
        organisation: OrganisationId,
        by: WorstBy,
        limit: usize,
        now: Timestamp,
    ) -> Result<Looked, StorageError>;
}
