//! Brings back what the journal itself holds: replayed dead letters, what was recalled, what a router
//! left lying, and what the ladder has lost.
//!
//! Replay and recall are edits of the journal and need no router. Here a router claims what they
//! left due, a page at a time and only as fast as the window takes it in. A claim is a lease: who
//! claims and dies loses nothing, the lease ends and somebody claims again.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::dispatch::Dispatcher;
use super::window::Window;
use super::{Job, World, until_taken};
use crate::domain::delivery::{Delivery, Standing, Trigger};
use crate::domain::time::Timestamp;
use crate::failpoint;
use crate::storage::journal::{Journal, Overdue};
use crate::storage::ladder::Ladder;
use crate::telemetry::metrics::Metrics;

/// How often the journal is asked when it last had nothing.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Rest behind a full page.
///
/// Twenty milliseconds, ten thousand deliveries a second: a full page can be one that comes straight
/// back as well, and would go round as fast as the journal writes.
const BREATH: Duration = Duration::from_millis(20);

/// Deliveries in one claim: few enough that a lease covers them, many enough to keep lanes busy.
const PAGE: usize = 200;

/// How long a claim holds, and how long a delivery must be overdue before we believe that the
/// router which held it is gone.
///
/// Two minutes: more than the longest wait in a lane (5 s) and the longest request (60 s) together,
/// so that what is merely slow is not offered twice.
const LEASE: Duration = Duration::from_mins(2);

/// How long a delivery must be overdue before we believe that the ladder has lost it.
///
/// Two hours: the ladder may be late by 6 % of a wait of a day and by some minutes after a broker's
/// restart. A broker that loses a queue is rare, and this is the second line behind it.
const LADDER_LATE: Duration = Duration::from_hours(2);

/// How long a delivery must have been pending before we believe that its event comes no more.
///
/// Fifteen minutes: an event is accepted just before its deliveries are attempted, and only a store
/// that is away for so long keeps one pending. If it does come, its turn is over.
const FORGOTTEN: Duration = Duration::from_mins(15);

/// The stage.
pub struct Reclaim {
    /// What is asked.
    pub journal: Arc<dyn Journal>,
    /// Who may have lost what it holds.
    pub ladder: Arc<dyn Ladder>,
    /// Where claimed deliveries take their places.
    pub window: Arc<Window>,
    /// Where they go.
    pub dispatcher: Dispatcher,
    /// Clock and chance.
    pub world: World,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Reclaim {
    /// Claims until stopped.
    pub async fn run(self, stop: CancellationToken) {
        let began = self.world.now();
        while let Some(found) = stop.run_until_cancelled(self.claim(began)).await {
            // Not at once again, though there may be more: what is claimed for an endpoint that this router
            // still believes paused goes back at once, and would come round and round.
            let rest = if found < PAGE { ASK_EVERY } else { BREATH };
            if stop.run_until_cancelled(tokio::time::sleep(rest)).await.is_none() {
                return;
            }
        }
    }

    /// What can be claimed at `now`.
    ///
    /// A ladder that is the journal cannot lose what the journal has: what is overdue there is a backlog,
    /// and comes in its order. Nor can an event be forgotten whose message is its row: what was pending when
    /// a router ended comes again when the next one opens the inbox.
    ///
    /// What others have left is theirs for as long as a lease behind our own start as well: however long
    /// nobody was there, what was in their memory comes again by itself first, with its message. A claim
    /// beside it would make its attempt one of an old turn, which does not count.
    fn overdue(&self, began: Timestamp, now: Timestamp) -> Overdue {
        let never = Timestamp::default();
        let one_store = self.ladder.is_the_journal();
        let others = now.since(began) >= LEASE;
        Overdue {
            due_by: now,
            abandoned_before: if others { now - LEASE } else { never },
            lost_before: if one_store { never } else { now - LADDER_LATE },
            forgotten_before: if others && !one_store { now - FORGOTTEN } else { never },
            // Behind live traffic: what it may need is not taken up.
            replayed: self.window.has_ample_room(),
        }
    }

    async fn claim(&self, began: Timestamp) -> usize {
        let claimed = until_taken(
            "claiming what is due",
            || {
                let now = self.world.now();
                self.journal.claim(self.overdue(began, now), now + LEASE, PAGE)
            },
            &|away| self.metrics.journal_away(away),
        )
        .await;
        let found = claimed.len();
        let watch = self.window.watch(claimed.iter().map(|delivery| delivery.event.id));
        let standings = self.standings(&claimed).await;
        for (delivery, standing) in claimed.into_iter().zip(standings) {
            failpoint!("reclaim.claimed");
            let key = delivery.key();
            // A copy that was in memory may have been settled since: the claim is old then. What it left
            // to be done, if anything, is claimed again when the lease has ended.
            let current = standing.is_some_and(|one| one.turn == delivery.turn);
            let Some(share) =
                self.window.enter_alone(key, delivery.turn, delivery.event.payload.len()).await
            else {
                continue; // on its way here already
            };
            if !current || watch.has_left(key) {
                share.step_back();
                continue;
            }
            self.dispatcher.offer(Job {
                delivery,
                trigger: Trigger::Turn,
                share,
                ready_at: self.world.now(),
            });
        }
        found
    }

    async fn standings(&self, claimed: &[Delivery]) -> Vec<Option<Standing>> {
        if claimed.is_empty() {
            return Vec::new();
        }
        let keys: Vec<_> = claimed.iter().map(Delivery::key).collect();
        let away = |away| self.metrics.journal_away(away);
        until_taken("checking claims", || self.journal.standings(keys.clone()), &away).await
    }
}
