//! Wakes the inbox when there is something to take before it would look by itself; and knows why it cannot
//! look, for whoever asks how the store is.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::domain::time::Timestamp;

/// Rung behind commits of this process. What other processes commit is found by looking.
#[derive(Debug)]
pub(super) struct Bell {
    wake: Notify,
    /// When the sleeper wakes by itself; `i64::MAX` while it is awake, so that every ring is kept.
    sleeps_until: AtomicI64,
    trouble: Mutex<Option<String>>,
}

impl Bell {
    /// A bell that keeps every ring.
    pub(super) fn new() -> Self {
        Self {
            wake: Notify::new(),
            sleeps_until: AtomicI64::new(i64::MAX),
            trouble: Mutex::new(None),
        }
    }

    /// There are new events.
    pub(super) fn events(&self) {
        self.wake.notify_one();
    }

    /// Something is due at this moment: of no interest to who wakes before it.
    pub(super) fn due_at(&self, at: Timestamp) {
        if at.as_millis() < self.sleeps_until.load(Ordering::SeqCst) {
            self.wake.notify_one();
        }
    }

    /// From here on every ring is kept for the next [`rung`](Self::rung): said before looking.
    pub(super) fn awake(&self) {
        self.sleeps_until.store(i64::MAX, Ordering::SeqCst);
    }

    /// The sleeper has looked, and will wake by itself at `until`.
    pub(super) fn asleep_until(&self, until: Timestamp) {
        self.sleeps_until.store(until.as_millis(), Ordering::SeqCst);
    }

    /// Why the inbox cannot look; `None` when it can.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The inbox cannot look, for this reason; or can again.
    pub(super) fn in_trouble(&self, why: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Waits for a ring, or takes one that was kept. Cancel safe.
    pub(super) async fn rung(&self) {
        self.wake.notified().await;
    }
}
