//! Port: keeps a store within bounds, and tells how it is.
//!
//! What is finished and old is removed in small steps, so that the pipeline's own work goes on between
//! them. How long things are kept, and how often a step is taken, is decided by the caller.

use async_trait::async_trait;

use super::StorageError;
use crate::domain::id::{ApplicationId, EndpointId};
use crate::domain::time::Timestamp;

/// What is old: whatever lies before these moments.
#[derive(Debug, Clone, Copy)]
pub struct Old {
    /// The moment it is. Events from a time to come, of a clock that went wrong, tell nothing about the
    /// age of what was received behind them.
    pub now: Timestamp,
    /// Events received before this go, with payload, deliveries and attempts, once nothing that they
    /// owe is unfinished or a dead letter that is kept.
    pub events: Timestamp,
    /// Dead letters given up before this go, and count as discarded.
    pub dead_letters: Timestamp,
    /// Idempotency keys used before this are forgotten, with what they were answered.
    pub requests: Timestamp,
    /// Replays that ended before this are forgotten, with which deliveries they offered.
    pub replays: Timestamp,
    /// Entries of the audit log from before this go.
    pub deeds: Timestamp,
    /// Requests that came to a target for development before this go.
    pub inspected: Timestamp,
    /// What charts are drawn from goes, of spans that began before this.
    pub rollups: Timestamp,
}

/// How far a walk over the events has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place(pub i64);

impl Place {
    /// Before the first event.
    pub const START: Self = Self(0);
}

/// How many rows are gone for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Events, with their payloads.
    pub events: u64,
    /// Deliveries that were finished.
    pub deliveries: u64,
    /// Their attempts.
    pub attempts: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Idempotency keys.
    pub requests: u64,
    /// What requests with such keys were answered.
    pub answers: u64,
    /// Replays that had ended, and what was kept of their offers.
    pub replays: u64,
    /// Entries of the audit log.
    pub deeds: u64,
    /// Requests to targets for development.
    pub inspected: u64,
    /// What charts are drawn from: rows of a span each.
    pub rollups: u64,
}

/// What one step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// What it removed.
    pub removed: Removed,
    /// Where the next one begins.
    pub next: Place,
    /// Whether it came to what is not old yet: the next step may wait.
    pub caught_up: bool,
}

/// How large a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes of what was written and is not folded into the file yet.
    pub log_bytes: u64,
    /// Bytes within the file that are free: they are used again before it grows.
    pub free_bytes: u64,
    /// Bytes that the disk it lies on has left.
    pub available_bytes: u64,
    /// When the oldest event that is kept was received.
    pub oldest_event: Option<Timestamp>,
}

/// What is left of an edit that did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undone {
    /// The endpoint is deleted: what it is owed is to be taken back.
    Deleted(EndpointId),
    /// The endpoint is active again: what waits for it is to be offered.
    Activated(EndpointId),
    /// The application lets its deliveries go on, or is deleted: what it has held back is to be offered.
    LetsGo(ApplicationId),
}

/// A store that has to be looked after.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// Removes some of what is old, from `from` on.
    ///
    /// One step: a bounded number of rows is looked at, without holding up anybody, and fewer are
    /// removed, in one transaction. What is in it is gone when this returns `Ok`.
    ///
    /// # Errors
    /// `Unavailable`: removed or not, we cannot know; repeating the same call is safe.
    async fn sweep(&self, old: Old, from: Place) -> Result<Swept, StorageError>;

    /// Endpoints whose last edit did not come to its end: one that is deleted and still owed something, or
    /// active with deliveries that wait for a person; and applications that were let go on, and what they
    /// held back is not offered yet. At most `limit` of each.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn left_undone(&self, limit: u32) -> Result<Vec<Undone>, StorageError>;

    /// How large it is. Reads a few numbers and no table.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn size(&self) -> Result<Size, StorageError>;

    /// Why nothing can be written, since a write failed and until [`try_again`](Self::try_again)
    /// succeeds. Reads memory.
    fn trouble(&self) -> Option<String>;

    /// Makes what room it can and writes a little, to see whether it can be written again.
    ///
    /// # Errors
    /// `Unavailable`: it cannot; [`trouble`](Self::trouble) says why.
    async fn try_again(&self) -> Result<(), StorageError>;
}
