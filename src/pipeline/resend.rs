//! Makes the attempts that people have asked for, beside the deliveries' own turns.
//!
//! A request for one is a row of the journal, claimed here and turned into a job that goes through its
//! endpoint's lane as any other: rate and cap hold. What comes of it is decided apart
//! ([`decide_by_hand`](crate::domain::settlement::decide_by_hand)): a success delivers, a failure moves
//! nothing, and what the lane cannot start soon puts the request off in its row. So an attempt by hand
//! never goes on the ladder, and never shares the fate of a copy that has its turn.
//!
//! A delivery that is in memory for its turn is left to leave first: a success beside it could not call
//! that copy back, and the receiver would be asked twice.
//!
//! **What if we die right here?** A claim is a lease, and the row goes with the record of the attempt: in
//! between, a death means that it is made once more.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::dispatch::Dispatcher;
use super::window::Window;
use super::{Job, World, until_taken};
use crate::domain::delivery::Trigger;
use crate::failpoint;
use crate::storage::journal::{Journal, Resend};
use crate::telemetry::metrics::Metrics;

/// How often the journal is asked. A quarter of a second: a person is watching.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Requests in one claim: a person's dozen at most, and few enough that a lease covers them.
const PAGE: usize = 50;

/// How long a claim holds. Two minutes: more than the longest wait in a lane (5 s) and the longest
/// request (60 s) together, as for what is reclaimed.
const LEASE: Duration = Duration::from_mins(2);

/// When a delivery that is in memory is looked at again.
const AGAIN: Duration = Duration::from_secs(1);

/// The stage.
pub struct Resends {
    /// What is asked.
    pub journal: Arc<dyn Journal>,
    /// Where they take their places.
    pub window: Arc<Window>,
    /// Where they go.
    pub dispatcher: Dispatcher,
    /// Clock and chance.
    pub world: World,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Resends {
    /// Claims until stopped.
    pub async fn run(self, stop: CancellationToken) {
        let asking = async {
            loop {
                self.claim().await;
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        stop.run_until_cancelled(asking).await;
    }

    async fn claim(&self) {
        let away = |away| self.metrics.journal_away(away);
        let claim = || {
            let now = self.world.now();
            self.journal.claim_resends(now, now + LEASE, PAGE)
        };
        let claimed = until_taken("claiming attempts that people asked for", claim, &away).await;
        let mut busy = Vec::new();
        for Resend { number, delivery } in claimed {
            failpoint!("resend.claimed");
            if self.window.holds(delivery.key()) {
                busy.push(number);
                continue;
            }
            let share = self.window.beside(delivery.key(), delivery.event.payload.len()).await;
            let (trigger, ready_at) = (Trigger::ByHand(number), self.world.now());
            self.dispatcher.offer(Job { delivery, trigger, share, ready_at });
        }
        if !busy.is_empty() {
            let until = self.world.now() + AGAIN;
            let put_off = || self.journal.put_off_resends(busy.clone(), until);
            until_taken("putting off attempts that people asked for", put_off, &away).await;
        }
    }
}
