//! How the connections to the broker are: plain counters, written here and read by whoever reports.
//!
//! Atomics and not a metrics library, so that the back end does not know how it is watched.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How the back end is. Everything is current when read, and nothing is consistent with the rest.
#[derive(Debug, Default)]
pub struct Health {
    /// The publishing connection is up.
    pub publish_connected: AtomicBool,
    /// The consuming connection is up and consuming.
    pub consume_connected: AtomicBool,
    /// The broker refuses to take publishes: it is out of memory or disk.
    pub publish_blocked: AtomicBool,
    /// Times that the publishing connection was made.
    pub publish_connects: AtomicU64,
    /// Times that the consuming connection was made.
    pub consume_connects: AtomicU64,
    /// Messages that the broker confirmed.
    pub confirmed: AtomicU64,
    /// Messages that the broker refused.
    pub nacked: AtomicU64,
    /// Messages that the broker could not route: with a whole topology, none.
    pub returned: AtomicU64,
    /// Batches that were not wholly confirmed, for whatever reason.
    pub batches_failed: AtomicU64,
    /// Messages that arrived.
    pub delivered: AtomicU64,
    /// Messages that were acknowledged.
    pub acknowledged: AtomicU64,
    /// Consumers of the inbox over all routers, as the broker counted them last; 0 when unknown.
    pub routers: AtomicU64,
    /// Messages ready in the inbox, as the broker counted them last.
    pub inbox_ready: AtomicU64,
}

impl Health {
    pub(super) fn count(counter: &AtomicU64, more: usize) {
        counter.fetch_add(more as u64, Ordering::Relaxed);
    }

    pub(super) fn set(flag: &AtomicBool, value: bool) {
        flag.store(value, Ordering::Relaxed);
    }
}
