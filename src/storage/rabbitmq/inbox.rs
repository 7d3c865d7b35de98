//! Hands over what the consumer brings: the port's side of consuming.
//!
//! Also how it ends: [`StopHandle`]. Stopping hands over nothing more but keeps the connection, so
//! that receipts of what is under way can still be given back; closing waits until the broker has
//! heard of those, and then returns the rest to the queue by hanging up.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::acks::Note;
use super::message::Raw;
use super::message::outgoing;
use super::publisher::Publisher;
use super::topology::Topology;
use crate::domain::event::Rejection;
use crate::storage::StorageError;
use crate::storage::inbox::{Arrival, Inbox, Original};

/// Longest wait until the broker has heard of every receipt: acknowledgements take milliseconds, and
/// what is not heard comes again and is recognised.
const FLUSH_DEADLINE: Duration = Duration::from_secs(5);

/// Longest wait for the consumer to hang up.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// What arrives from the broker. Dropping it stops it.
#[derive(Debug)]
pub struct RabbitInbox {
    pub(super) arrivals: mpsc::Receiver<(u64, Arrival)>,
    /// The connection whose receipts mean something; 0 for none.
    pub(super) epoch: Arc<AtomicU64>,
    pub(super) handle: StopHandle,
}

impl RabbitInbox {
    /// How to stop it from elsewhere.
    pub fn stop_handle(&self) -> StopHandle {
        self.handle.clone()
    }

    /// Whether an arrival can still be finished. One of a lost connection comes again.
    fn is_current(&self, epoch: u64) -> bool {
        self.epoch.load(Ordering::Acquire) == epoch
    }
}

#[async_trait]
impl Inbox for RabbitInbox {
    async fn next(&mut self) -> Option<Arrival> {
        loop {
            // A stop first: what is in the channel by then goes back to the queue.
            let (epoch, arrival) = tokio::select! { biased;
                () = self.handle.shared.stop.cancelled() => return None,
                arrived = self.arrivals.recv() => arrived?,
            };
            if self.is_current(epoch) {
                return Some(arrival);
            }
        }
    }

    fn ready(&mut self) -> Option<Arrival> {
        while !self.handle.shared.stop.is_cancelled() {
            let (epoch, arrival) = self.arrivals.try_recv().ok()?;
            if self.is_current(epoch) {
                return Some(arrival);
            }
        }
        None
    }
}

impl Drop for RabbitInbox {
    fn drop(&mut self) {
        self.handle.stop();
    }
}

/// Stops an inbox. Cheap to clone; when the last one is gone, the inbox is closed.
#[derive(Debug, Clone)]
pub struct StopHandle {
    pub(super) shared: Arc<Shared>,
}

/// What an inbox, its handles and its tasks have in common.
#[derive(Debug)]
pub(super) struct Shared {
    /// Nothing more is handed over.
    pub stop: CancellationToken,
    /// Nothing more is acknowledged.
    pub closing: CancellationToken,
    pub notes: mpsc::UnboundedSender<Note>,
    pub consumer: TaskTracker,
}

impl StopHandle {
    /// Stops consuming. From now on `next` says `None`; receipts can still be given back.
    pub fn stop(&self) {
        self.shared.stop.cancel();
    }

    /// Waits until the broker has heard of every receipt given back so far. Bounded.
    pub async fn flush(&self) {
        let (done, heard) = oneshot::channel();
        let asked = self.shared.notes.send(Note::Flush(done));
        if asked.is_ok() && tokio::time::timeout(FLUSH_DEADLINE, heard).await.is_err() {
            warn!("the broker did not hear of every receipt within {FLUSH_DEADLINE:?}");
        }
    }

    /// Stops, flushes and hangs up: what is not finished goes back to the queue. Bounded.
    pub async fn close(&self) {
        self.stop();
        self.flush().await;
        self.shared.closing.cancel();
        if tokio::time::timeout(CLOSE_DEADLINE, self.shared.consumer.wait()).await.is_err() {
            warn!("consuming did not end within {CLOSE_DEADLINE:?}");
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop.cancel();
        self.closing.cancel();
    }
}

/// A message as it came, for quarantine.
pub(super) struct AsItCame {
    pub message: Raw,
    pub publisher: Publisher,
    pub topology: Arc<Topology>,
}

#[async_trait]
impl Original for AsItCame {
    async fn quarantine(&self, why: &Rejection) -> Result<(), StorageError> {
        let kept = outgoing::quarantined(&self.message, why, &self.topology);
        self.publisher.publish(vec![kept]).await
    }
}

impl fmt::Debug for AsItCame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsItCame")
            .field("exchange", &self.message.exchange)
            .field("routing_key", &self.message.routing_key)
            .field("bytes", &self.message.body.len())
            .finish_non_exhaustive()
    }
}
