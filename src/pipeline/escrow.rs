//! Takes over from the messages that they came with what deliveries take too long: so that no event holds the consumer's window
//! for longer than a bound, whatever its endpoints do.
//!
//! An event whose endpoint hangs would stay unacknowledged for as long as its request lasts, or its delivery
//! stands in line. A hundred such endpoints would fill a consumer's window, and no event of anybody's would come in any more;
//! and before RabbitMQ 4.3 a message that is unacknowledged for long stops its queue's log from being cut off.
//! So what is here longer than [`Escrow::after`] is put on record as held by this router, and its receipt is given
//! back at once. Its place in the window it keeps: that is what bounds memory.
//!
//! The durable copy is the journal's own row ([`Journal::escrow`]), which has all that is needed, and not a
//! message on the ladder: a hop over the broker less, and one store to ask (decision 19).
//!
//! **What if we die right here?** Before the record the receipt was not given back: the event comes again. Behind it the
//! row says that a router holds it, which is believed for as long as a lease; then somebody claims it, as all
//! that a dead router has left ([`super::reclaim`]).

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::window::Window;
use super::{World, until_taken};
use crate::failpoint;
use crate::storage::journal::Journal;
use crate::telemetry::metrics::Metrics;

/// How often it is looked for what has been here too long: an eighth of what an event may take by default, so that the
/// bound is kept about to that.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Deliveries in one record, as in one of settlements.
const BATCH_MAX: usize = 512;

/// The stage.
pub(super) struct Escrow {
    /// What deliveries are in.
    pub(super) window: Arc<Window>,
    /// Where they are put on record.
    pub(super) journal: Arc<dyn Journal>,
    /// How long an event may hold its receipt.
    pub(super) after: Duration,
    /// Clock and chance.
    pub(super) world: World,
    /// What is counted.
    pub(super) metrics: Arc<Metrics>,
}

impl Escrow {
    /// Takes over until stopped.
    pub(super) async fn run(self, stop: CancellationToken) {
        let looking = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                self.look().await;
            }
        };
        stop.run_until_cancelled(looking).await;
    }

    async fn look(&self) {
        let here_too_long = self.window.overstaying(self.after);
        for batch in here_too_long.chunks(BATCH_MAX) {
            let record = || self.journal.escrow(batch.to_vec(), self.world.now());
            let away = |away| self.metrics.journal_away(away);
            let known = until_taken("taking deliveries over", record, &away).await;
            let known = batch.iter().zip(known).filter_map(|(one, is_known)| {
                failpoint!("escrow.recorded");
                is_known.then_some(*one)
            });
            let released = self.window.release_early(known);
            self.metrics.escrowed(released);
        }
    }
}
