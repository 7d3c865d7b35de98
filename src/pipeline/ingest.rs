//! Takes arrivals in: accepts events into the journal, checks the turn of what comes back, and
//! quarantines what is neither.
//!
//! Arrivals are taken in batches of whatever has come, so that one commit covers many: under load
//! the batch grows while the last one is being written. Each event is on record, with the
//! deliveries it owes, before the first of its requests is made; what was routed then is what is
//! owed, whatever the catalogue says when the event comes again.
//!
//! **What if we die right here?** Before the commit: the event comes again and is new. Behind it:
//! the event comes again, is known, and its deliveries go on from where the journal says they stand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::by_schema::Came;
use super::dispatch::Dispatcher;
use super::route::Routes;
use super::settle::Settler;
use super::window::{Hold, Share, Watch, Window};
use super::{Job, World, until_taken};
use crate::domain::delivery::{
    Delivery, DeliveryKey, DeliveryState, Fence, Standing, Trigger, Turn,
};
use crate::domain::event::{Event, Identity, NewEvent, Rejection};
use crate::domain::id::{EndpointId, EventId};
use crate::domain::time::Timestamp;
use crate::failpoint;
use crate::storage::catalogue::Catalogue;
use crate::storage::inbox::{Arrival, Content, Inbox, Original, Receipt};
use crate::storage::journal::{Acceptance, Journal, Owed};
use crate::telemetry::metrics::Metrics;

/// Most arrivals in one batch.
///
/// 256: a commit is already shared so widely that more would only lengthen the wait for it.
const BATCH_MAX: usize = 256;

/// The stage.
pub struct Ingest {
    /// Where they are recorded.
    pub journal: Arc<dyn Journal>,
    /// Who wants them.
    pub routes: Routes,
    /// Where that is read from.
    pub catalogue: Arc<dyn Catalogue>,
    /// Where they take their places.
    pub window: Arc<Window>,
    /// Where they go next.
    pub dispatcher: Dispatcher,
    /// Where those go that came back too early.
    pub settler: Settler,
    /// Clock and chance.
    pub world: World,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// An event of a known application, with what it came with.
struct Accepted {
    event: Arc<Event>,
    nameless: bool,
    redelivered: bool,
    receipt: Receipt,
}

/// A delivery that came back from the ladder.
struct Returned {
    delivery: Delivery,
    due_at: Timestamp,
    receipt: Receipt,
}

impl Ingest {
    /// Takes arrivals in until the inbox ends or `stop` is called.
    ///
    /// Returns the inbox: receipts are still to be given back to it.
    pub async fn run(self, mut inbox: Box<dyn Inbox>, stop: CancellationToken) -> Box<dyn Inbox> {
        // Stopping comes first: what has arrived and was not taken in comes again.
        while let Some(Some(first)) = stop.run_until_cancelled(inbox.next()).await {
            let mut batch = vec![first];
            while batch.len() < BATCH_MAX
                && let Some(arrival) = inbox.ready()
            {
                batch.push(arrival);
            }
            if stop.run_until_cancelled(self.take_in(batch)).await.is_none() {
                break;
            }
        }
        inbox
    }

    async fn take_in(&self, batch: Vec<Arrival>) {
        let now = self.world.now();
        // Asked for each batch: what was published behind an edit is routed by it. Waited for: by an old
        // version an event of a new application would be quarantined, and one for a new endpoint lost to it.
        let away = |away| self.metrics.journal_away(away);
        let refresh = || self.routes.refresh(self.catalogue.as_ref());
        until_taken("reading the catalogue", refresh, &away).await;
        let table = self.routes.table();
        let mut events = Vec::with_capacity(batch.len());
        let mut returned = Vec::new();
        for Arrival { content, redelivered, receipt, original } in batch {
            failpoint!("ingest.arrived");
            self.metrics.broker_received(redelivered);
            match content {
                Content::Event(new) => {
                    let Some(application) = table.application(&new.application) else {
                        let why = Rejection::UnknownApplication(new.application.to_string());
                        self.quarantine(original.as_ref(), receipt, &why).await;
                        continue;
                    };
                    let nameless = matches!(new.identity, Identity::Fingerprint(_));
                    let stored = matches!(new.identity, Identity::Stored(..));
                    let came = if stored { Came::Stored } else { Came::Published };
                    let event = Arc::new(NewEvent::of(*new, application, now));
                    if let Some(why) = self.breach(&table, &event, came).await {
                        self.quarantine(original.as_ref(), receipt, &why).await;
                        continue;
                    }
                    events.push(Accepted { event, nameless, redelivered, receipt });
                }
                Content::Due { delivery, due_at } => {
                    returned.push(Returned { delivery: *delivery, due_at, receipt });
                }
                Content::Unreadable(why) => {
                    self.quarantine(original.as_ref(), receipt, &why).await;
                }
            }
        }
        if !events.is_empty() {
            self.accept(events).await;
        }
        if !returned.is_empty() {
            self.check(returned).await;
        }
    }

    async fn accept(&self, mut events: Vec<Accepted>) {
        let table = self.routes.table();
        // Twice at most: the second round is for nameless events that only look like known ones.
        loop {
            let owed: Vec<Owed> = events
                .iter()
                .map(|accepted| Owed {
                    event: Arc::clone(&accepted.event),
                    endpoints: table.wanting(&accepted.event),
                })
                .collect();
            let tries = AtomicU32::new(0);
            let accept = || {
                tries.fetch_add(1, Ordering::Relaxed);
                self.journal.accept(owed.clone())
            };
            let away = |away| self.metrics.journal_away(away);
            let watch = self.window.watch(events.iter().map(|accepted| accepted.event.id));
            let answers = until_taken("accepting events", accept, &away).await;
            // When the first try failed we cannot know whether it was written: what is known then may
            // be known by our own doing.
            let repeated = tries.into_inner() > 1;
            failpoint!("ingest.accepted");
            let mut again = Vec::new();
            for ((accepted, owed), answer) in events.into_iter().zip(owed).zip(answers) {
                match answer {
                    Acceptance::New => self.offer_new(accepted, owed.endpoints, &watch).await,
                    Acceptance::Known(_)
                        if accepted.nameless && !accepted.redelivered && !repeated =>
                    {
                        again.push(self.renamed(accepted));
                    }
                    Acceptance::Known(standings) => self.rejoin(accepted, standings, &watch).await,
                }
            }
            if again.is_empty() {
                return;
            }
            events = again;
        }
    }

    async fn offer_new(&self, accepted: Accepted, endpoints: Vec<EndpointId>, watch: &Watch) {
        let Accepted { event, receipt, .. } = accepted;
        self.metrics.event_accepted(endpoints.len());
        let hold = Hold::of(receipt);
        #[cfg(feature = "failpoints")]
        let hold = sabotage(hold);
        let standing = Standing { turn: Turn::FIRST, attempts: 0, state: DeliveryState::Pending };
        for endpoint in endpoints {
            let delivery = Delivery::first(Arc::clone(&event), endpoint);
            self.bring(&delivery, event.deliver_at, standing, &hold, watch).await;
        }
        hold.complete();
    }

    /// Goes on with an event that was accepted before, by us before a crash or by another router.
    async fn rejoin(
        &self,
        accepted: Accepted,
        standings: Vec<(EndpointId, Standing)>,
        watch: &Watch,
    ) {
        let Accepted { event, receipt, redelivered, .. } = accepted;
        self.metrics.event_known(redelivered);
        debug!(event_id = %event.id, redelivered, "event seen before, going on where it stands");
        let hold = Hold::of(receipt);
        for (endpoint, standing) in standings {
            let delivery = Delivery::first(Arc::clone(&event), endpoint);
            self.bring(&delivery, event.deliver_at, standing, &hold, watch).await;
        }
        hold.complete();
    }

    /// Checks the turn of what came back from the ladder, all in one question to the journal.
    async fn check(&self, returned: Vec<Returned>) {
        let keys: Vec<DeliveryKey> = returned.iter().map(|back| back.delivery.key()).collect();
        let watch = self.window.watch(keys.iter().map(|key| key.event));
        let standings = self.standings(keys).await;
        for (back, standing) in returned.into_iter().zip(standings) {
            let Returned { delivery, due_at, receipt } = back;
            let hold = Hold::of(receipt);
            let standing = if let Some(standing) = standing {
                standing
            } else {
                self.enter_late(&delivery).await;
                let Delivery { turn, attempts, .. } = delivery;
                Standing { turn, attempts, state: DeliveryState::Pending }
            };
            if !self.bring(&delivery, Some(due_at), standing, &hold, &watch).await {
                self.metrics.copy_dropped();
            }
            hold.complete();
        }
    }

    async fn standings(&self, keys: Vec<DeliveryKey>) -> Vec<Option<Standing>> {
        let away = |away| self.metrics.journal_away(away);
        until_taken("checking turns", || self.journal.standings(keys.clone()), &away).await
    }

    /// Goes on with a copy of a delivery, unless the fence drops it; whether it did not.
    ///
    /// The journal was asked some time ago: its answer took a while, or we waited for a place. What
    /// was in memory then and has been settled since stands otherwise now, and is asked about again.
    async fn bring(
        &self,
        copy: &Delivery,
        due_at: Option<Timestamp>,
        mut standing: Standing,
        hold: &Hold,
        watch: &Watch,
    ) -> bool {
        let key = copy.key();
        loop {
            if self.window.join(key, copy.turn, hold) {
                return true; // another copy is on its way here
            }
            let mut delivery = copy.clone();
            let mut ready_at = due_at;
            match standing.judge(copy.turn) {
                Fence::Attempt => {}
                Fence::TakeOver => {
                    delivery.turn = standing.turn;
                    delivery.attempts = standing.attempts;
                    if let DeliveryState::Waiting { due_at: moved, .. } = standing.state {
                        ready_at = Some(moved);
                    }
                }
                Fence::Drop => return false,
            }
            let Some(share) =
                self.window.enter(key, delivery.turn, delivery.event.payload.len(), hold).await
            else {
                return true;
            };
            if !watch.has_left(key) {
                self.offer(delivery, ready_at, share);
                return true;
            }
            share.step_back(); // nothing is lost: the arrival is still held
            if let [Some(moved)] = self.standings(vec![key]).await[..] {
                standing = moved;
            }
        }
    }

    /// Records a delivery that the journal does not know: it was restored from a backup, or is another
    /// one. The copy carries all that is needed, and knows better.
    async fn enter_late(&self, delivery: &Delivery) {
        let owed = Owed { event: Arc::clone(&delivery.event), endpoints: vec![delivery.endpoint] };
        let accepted = || self.journal.accept(vec![owed.clone()]);
        let away = |away| self.metrics.journal_away(away);
        until_taken("accepting a delivery that came back", accepted, &away).await;
        warn!(delivery_id = %delivery.key().id(), "a delivery came back that was not on record");
    }

    fn offer(&self, delivery: Delivery, due_at: Option<Timestamp>, share: Share) {
        let now = self.world.now();
        let ready_at = due_at.unwrap_or(now);
        let job = Job { delivery, trigger: Trigger::Turn, share, ready_at };
        if ready_at <= now {
            self.dispatcher.offer(job);
        } else if ready_at.since(now) <= crate::domain::lane::HOLD_MAX {
            // A dispatcher that has stopped drops it: we are stopping too, and it comes again.
            let _ = self.dispatcher.hold_until(ready_at, job);
        } else {
            self.settler.put_off(job, ready_at);
        }
    }

    async fn quarantine(&self, original: &dyn Original, receipt: Receipt, why: &Rejection) {
        // Waited for: a receipt that is merely dropped would keep its place in a consumer's window for
        // as long as its connection lives.
        let away = |away| self.metrics.ladder_away(away);
        until_taken("quarantining a message", || original.quarantine(why), &away).await;
        self.metrics.event_quarantined(why.reason());
        warn!(reason = why.reason(), message_was = ?original, "message quarantined: {why}");
        receipt.give_back();
    }

    fn renamed(&self, accepted: Accepted) -> Accepted {
        let mut event = accepted.event.as_ref().clone();
        event.id = EventId::minted(self.world.now(), self.world.chance_bytes());
        Accepted { event: Arc::new(event), nameless: false, ..accepted }
    }
}

/// The mistake that this stage is built to avoid, for a test of the test: acknowledges before
/// anything is delivered.
#[cfg(feature = "failpoints")]
fn sabotage(hold: Hold) -> Hold {
    if failpoint::sabotaged("give_back_early") {
        hold.complete();
        return Hold::without_receipt();
    }
    hold
}
