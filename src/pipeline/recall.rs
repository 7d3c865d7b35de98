//! Brings back what waited for room at an endpoint, once there is more: its circuit has closed, its rate or its cap was
//! raised, or it is another endpoint now.
//!
//! What a lane has no room for is held by the journal until the moment when it was to come back. Here it is
//! brought forward, spread over the time that its endpoint needs for it: a backlog of a million is neither offered at
//! once, nor made to wait for moments that were meant for a slower endpoint.
//!
//! Each router does it that hears of it, so that nobody has to be chosen: the second finds everything where the first has
//! brought it, since nothing is put to later than it was.
//!
//! **What if we die right here?** What was brought forward is due, whoever claims it; the rest comes at the moment that it
//! was given before: as if nobody had noticed that there is more room.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{World, until_taken};
use crate::domain::id::EndpointId;
use crate::failpoint;
use crate::storage::journal::Journal;
use crate::telemetry::metrics::Metrics;

/// Is told where there is more room.
#[derive(Debug, Clone)]
pub struct Recaller(UnboundedSender<Wider>);

/// Where there is more room, in turn. Its queue needs no bound: it has one small entry for each endpoint that an edit is
/// about, and each edit waits for the one before; a circuit takes seconds to close.
#[derive(Debug)]
pub struct Recalls(UnboundedReceiver<Wider>);

/// An endpoint with more room than it had.
#[derive(Debug)]
struct Wider {
    endpoint: EndpointId,
    /// How far apart its requests start.
    interval: Duration,
}

impl Recaller {
    /// A recaller's address, and its letter box.
    pub fn address() -> (Self, Recalls) {
        let (sender, receiver) = unbounded_channel();
        (Self(sender), Recalls(receiver))
    }

    /// An endpoint has more room than it had, and takes one request in each such interval.
    pub fn bring_back(&self, endpoint: EndpointId, interval: Duration) {
        // Nobody is there only when we stop: what waits comes by itself.
        let _ = self.0.send(Wider { endpoint, interval });
    }
}

/// The stage.
pub(super) struct Recall {
    /// Where what waits is kept.
    pub(super) journal: Arc<dyn Journal>,
    /// Clock and chance.
    pub(super) world: World,
    /// What is counted.
    pub(super) metrics: Arc<Metrics>,
}

impl Recall {
    /// Brings back until stopped, one endpoint's after the other's.
    pub(super) async fn run(self, Recalls(mut recalls): Recalls, stop: CancellationToken) {
        let all = async {
            while let Some(wider) = recalls.recv().await {
                self.bring_back(wider).await;
            }
        };
        stop.run_until_cancelled(all).await;
    }

    async fn bring_back(&self, Wider { endpoint, interval }: Wider) {
        let bring = || self.journal.bring_forward(endpoint, self.world.now(), interval);
        let away = |away| self.metrics.journal_away(away);
        let brought = until_taken("bringing back what waited", bring, &away).await;
        failpoint!("recall.brought");
        if brought > 0 {
            info!(endpoint_id = %endpoint, deliveries = brought, "brought back");
        }
    }
}
