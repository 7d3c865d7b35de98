//! Brings back what waited for a circuit, once it is closed.
//!
//! What an open circuit keeps waiting is held by the journal until the moment when it was to come back. Here it is
//! brought forward, spread over the time that its endpoint needs for it: a backlog of a million is neither offered at
//! once, nor made to wait for moments that were meant for a sick endpoint.
//!
//! **What if we die right here?** What was brought forward is due, whoever claims it; the rest comes at the moment that it
//! was given before, five minutes and its turn later at most.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{World, until_taken};
use crate::domain::id::EndpointId;
use crate::storage::journal::Journal;
use crate::telemetry::metrics::Metrics;

/// Is told whose circuit has closed.
#[derive(Debug, Clone)]
pub struct Recaller(UnboundedSender<Closed>);

/// Whose circuits have closed, in turn. Its queue needs no bound: one entry for each lane that exists, and
/// a lane that opens again while it is in here takes minutes to close.
#[derive(Debug)]
pub struct Closings(UnboundedReceiver<Closed>);

/// An endpoint whose circuit has closed.
#[derive(Debug)]
struct Closed {
    endpoint: EndpointId,
    /// How far apart its requests start.
    interval: Duration,
}

impl Recaller {
    /// A recaller's address, and its letter box.
    pub fn address() -> (Self, Closings) {
        let (sender, receiver) = unbounded_channel();
        (Self(sender), Closings(receiver))
    }

    /// An endpoint's circuit has closed, and it takes one request in each such interval.
    pub fn bring_back(&self, endpoint: EndpointId, interval: Duration) {
        // Nobody is there only when we stop: what waits comes by itself.
        let _ = self.0.send(Closed { endpoint, interval });
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
    pub(super) async fn run(self, Closings(mut closings): Closings, stop: CancellationToken) {
        let all = async {
            while let Some(closed) = closings.recv().await {
                self.bring_back(closed).await;
            }
        };
        stop.run_until_cancelled(all).await;
    }

    async fn bring_back(&self, Closed { endpoint, interval }: Closed) {
        let bring = || self.journal.bring_forward(endpoint, self.world.now(), interval);
        let away = |away| self.metrics.journal_away(away);
        let brought = until_taken("bringing back what waited", bring, &away).await;
        if brought > 0 {
            info!(endpoint_id = %endpoint, deliveries = brought, "brought back");
        }
    }
}
