//! Carries out what the end of an attempt means: *decide, record, hand on, give back*, in that
//! order and in batches.
//!
//! Two tasks, so that a slow ladder does not stop successes from being recorded. [`Record`] decides
//! and writes each batch to the journal in one transaction; what was delivered is released there
//! and then. [`Release`] takes what goes on.
//!
//! At most once, it is the other way about: *record, give back, request, record*. That a request is about to
//! be made is a settlement of its own ([`Settlement::LetGo`]), and [`LetGo`], which is needed to make the
//! request, is given to nobody but who was answered that it is on record now. When the answer is that the turn
//! was over, it may be over by our own doing (a first try whose answer was lost): who cannot know makes no
//! request, and the delivery stays unknown.
//!
//! **What if we die right here?** Before the record: nothing has happened, the delivery is tried
//! again from the message it came from. Behind it: what goes on is [`Release`]'s to tell; what was let go
//! stays unknown, whether its request was made, was answered, or not even begun, and is never tried again by
//! itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};

use super::dispatch::Dispatcher;
use super::release::{Release, ReleaseQueue, Released};
use super::route::Routes;
use super::tally::Tallies;
use super::window::Share;
use super::{Job, World, until_taken};
use crate::domain::delivery::{Attempt, Delivery, Holder, Trigger, Turn};
use crate::domain::event::ApplicationName;
use crate::domain::lane::HOLD_MAX;
use crate::domain::outcome::Meaning;
use crate::domain::retry::{Chance, Due};
use crate::domain::settlement::{
    Postponed, Settlement, counted, decide, decide_by_hand, decide_once,
};
use crate::domain::time::Timestamp;
use crate::failpoint;
use crate::storage::journal::{Journal, Recorded, Settled, to_hand_on, waits_for_room};
use crate::storage::ladder::{Ladder, Waiting};
use crate::storage::outlet::{Made, Notice, Outlet, Verdict};
use crate::telemetry::metrics::Metrics;

/// Most settlements in one record, and most releases in one publish: the publisher's own bound.
pub(super) const BATCH_MAX: usize = 512;

/// How long a delivery may have been in memory and still wait there for its next attempt.
///
/// Fifteen seconds: a few short waits, not fifty. While it is here its event is unacknowledged, and
/// brokers do not like that for long (30 minutes, and it costs everybody's channel).
const STAY_MAX: Duration = Duration::from_secs(15);

/// Hears how deliveries ended. Its queue needs no bound: each message is a delivery with a place in
/// the window, or one whose request has its place among those on the way.
#[derive(Debug, Clone)]
pub struct Settler {
    endings: UnboundedSender<Ending>,
    releases: UnboundedSender<Released>,
}

/// The other ends of a settler.
#[derive(Debug)]
pub struct Endings {
    endings: UnboundedReceiver<Ending>,
    releases: UnboundedReceiver<Released>,
}

#[derive(Debug)]
enum Ending {
    Attempted { job: Job, attempt: Box<Attempt> },
    Refused { job: Job, settlement: Settlement },
    Going { job: Job, attempt: Box<Attempt>, go: oneshot::Sender<LetGo> },
    Gone { let_go: LetGo, attempt: Box<Attempt> },
}

/// Leave to make the one request of a delivery, which is on record: moved and not cloned, so that there is
/// no second.
#[derive(Debug)]
#[must_use = "a request that is not made leaves its delivery unknown"]
pub struct LetGo {
    /// The delivery, at the turn at which its end is recorded.
    delivery: Delivery,
    trigger: Trigger,
}

impl LetGo {
    /// What is delivered.
    pub const fn delivery(&self) -> &Delivery {
        &self.delivery
    }
}

impl Settler {
    /// A settler's address, and its letter box.
    pub fn address() -> (Self, Endings) {
        let (endings, endings_in) = mpsc::unbounded_channel();
        let (releases, releases_in) = mpsc::unbounded_channel();
        (Self { endings, releases }, Endings { endings: endings_in, releases: releases_in })
    }

    /// An attempt has ended.
    pub fn attempted(&self, job: Job, attempt: Attempt) {
        self.post(Ending::Attempted { job, attempt: Box::new(attempt) });
    }

    /// The one request of a delivery is about to be made: puts on record that it is, releases the share, and
    /// gives leave. No leave comes when the request must not be made; and when nobody waits for it any more
    /// before it is on record, nothing has happened.
    pub fn let_go(&self, job: Job, attempt: Attempt) -> oneshot::Receiver<LetGo> {
        let (go, leave) = oneshot::channel();
        self.post(Ending::Going { job, attempt: Box::new(attempt), go });
        leave
    }

    /// The request that there was leave for has ended.
    pub fn ended(&self, let_go: LetGo, attempt: Attempt) {
        self.post(Ending::Gone { let_go, attempt: Box::new(attempt) });
    }

    /// A delivery was not attempted; this is what becomes of it instead.
    pub fn refused(&self, job: Job, settlement: Settlement) {
        self.post(Ending::Refused { job, settlement });
    }

    /// A delivery that is not to be sent before `due_at`, and has to wait elsewhere than here.
    pub fn put_off(&self, job: Job, due_at: Timestamp) {
        if job.delivery.turn == Turn::FIRST {
            // Never settled, so nothing is on record that a ladder could hold: its producer wants it later.
            let settlement = Settlement::Postpone(Due::exactly(due_at), Postponed::NotYet);
            self.refused(job, settlement);
        } else {
            self.hand_on(job, due_at);
        }
    }

    /// A delivery that goes on the ladder at the turn it has: a wait in two hops, or one that we took
    /// over, or that was to be short and has no place in its lane.
    fn hand_on(&self, job: Job, due_at: Timestamp) {
        let Job { delivery, share, .. } = job;
        share.is_leaving(); // a short wait may be over before the broker has confirmed it
        let waiting = Some(Waiting { delivery, due: Due::exactly(due_at) });
        let _ = self.releases.send(Released { waiting, notice: None, share: Some(share) });
    }

    fn post(&self, ending: Ending) {
        // Nobody is there only after the time to finish is over; what is dropped then comes again.
        let _ = self.endings.send(ending);
    }
}

impl Endings {
    /// Splits the letter box between its two tasks.
    pub fn split(
        self,
        record: impl FnOnce(RecordQueue) -> Record,
        release: impl FnOnce(ReleaseQueue) -> Release,
    ) -> (Record, Release) {
        (record(RecordQueue(self.endings)), release(ReleaseQueue(self.releases)))
    }
}

/// What [`Record`] reads from.
#[derive(Debug)]
pub struct RecordQueue(UnboundedReceiver<Ending>);

/// The first task: decides and records.
pub struct Record {
    /// What it reads.
    pub queue: RecordQueue,
    /// Where it records.
    pub journal: Arc<dyn Journal>,
    /// Where long waits are kept.
    pub ladder: Arc<dyn Ladder>,
    /// Who is told of which verdicts.
    pub outlet: Arc<dyn Outlet>,
    /// Where short waits are kept.
    pub dispatcher: Dispatcher,
    /// Where endpoints are looked up: who is disabled by its own answer has to be known there.
    pub routes: Routes,
    /// The operator's own application, if there is one to be told in.
    pub operator: Option<ApplicationName>,
    /// Where what goes on is passed on to.
    pub settler: Settler,
    /// Clock and chance.
    pub world: World,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The same for charts.
    pub tallies: Tallies,
}

/// A decided settlement with what it settles.
struct Decided {
    delivery: Delivery,
    /// None of what was let go: it was released before its request.
    share: Option<Share>,
    settled: Settled,
    next: Next,
}

/// What is done with a delivery once its settlement is on record.
#[derive(Debug)]
enum Next {
    /// Nothing more: it is finished, or the journal holds it, or the ladder by the record alone.
    Nothing,
    /// It waits in its lane.
    Stay(Due),
    /// It goes on the ladder.
    HandOn(Due),
    /// Its one request is made.
    Go(oneshot::Sender<LetGo>),
}

impl Record {
    /// Records until `stop` is called and nothing is left in the queue.
    ///
    /// The caller stops it only when nobody sends any more: it holds a settler itself.
    pub async fn run(mut self, stop: tokio_util::sync::CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            tokio::select! {
                biased; // what is there is recorded before a stop is heard
                count = self.queue.0.recv_many(&mut batch, BATCH_MAX) => if count == 0 { return },
                () = stop.cancelled() => return,
            }
            let decided: Vec<_> =
                batch.drain(..).filter_map(|ending| self.decide(ending)).collect();
            if !decided.is_empty() {
                self.record(decided).await;
            }
        }
    }

    /// What is to be recorded; `None` of a request that nobody is there to make any more.
    fn decide(&self, ending: Ending) -> Option<Decided> {
        let at = self.world.now();
        let decided = match ending {
            Ending::Attempted { job, attempt } => {
                let attempts = counted(job.delivery.attempts, attempt.meaning);
                let settlement = if job.trigger.is_by_hand() {
                    decide_by_hand(&attempt.outcome, &attempt.policy, at)
                } else {
                    decide(
                        &attempt.outcome,
                        attempts,
                        &attempt.policy,
                        job.delivery.event.as_ref().into(),
                        at,
                        Chance::from_bits(self.world.chance()),
                    )
                };
                self.has_ended(&job.delivery, job.trigger, &attempt, &settlement, at);
                self.decided(job, attempts, Some(*attempt), settlement, at)
            }
            Ending::Refused { job, settlement } => {
                let goes_on = matches!(settlement, Settlement::Postpone(..));
                let settlement = if job.trigger.is_by_hand() && !goes_on {
                    Settlement::Unchanged
                } else {
                    settlement
                };
                let attempts = job.delivery.attempts;
                self.decided(job, attempts, None, settlement, at)
            }
            Ending::Going { go, .. } if go.is_closed() => return None, // its share is dropped: it comes again
            Ending::Going { job, attempt, go } => {
                let attempts = job.delivery.attempts; // whether it counts is known at its end
                let decided = self.decided(job, attempts, Some(*attempt), Settlement::LetGo, at);
                Decided { next: Next::Go(go), ..decided }
            }
            Ending::Gone { let_go: LetGo { delivery, trigger }, attempt } => {
                let attempts = counted(delivery.attempts, attempt.meaning);
                let by_hand = trigger.is_by_hand();
                let settlement = decide_once(&attempt.outcome, &attempt.policy, by_hand);
                self.has_ended(&delivery, trigger, &attempt, &settlement, at);
                let settled = Settled {
                    trigger,
                    attempts,
                    attempt: Some(*attempt),
                    ..self.settled(&delivery, settlement, at)
                };
                Decided { delivery, share: None, settled, next: Next::Nothing }
            }
        };
        failpoint!("settle.decided");
        Some(decided)
    }

    fn decided(
        &self,
        job: Job,
        attempts: u32,
        attempt: Option<Attempt>,
        settlement: Settlement,
        at: Timestamp,
    ) -> Decided {
        let (next, held_by) = self.next(&settlement, &job, at);
        let Job { delivery, trigger, share, .. } = job;
        let settled = self.settled(&delivery, settlement, at);
        let settled = Settled { trigger, attempts, attempt, held_by, ..settled };
        Decided { delivery, share: Some(share), settled, next }
    }

    /// The settlement of a delivery's turn behind no attempt.
    fn settled(&self, delivery: &Delivery, settlement: Settlement, at: Timestamp) -> Settled {
        Settled {
            key: delivery.key(),
            turn: delivery.turn,
            trigger: Trigger::Turn,
            attempts: delivery.attempts,
            attempt: None,
            settlement,
            held_by: Holder::Journal,
            at,
            tells: self.tells(delivery),
        }
    }

    fn has_ended(
        &self,
        delivery: &Delivery,
        trigger: Trigger,
        attempt: &Attempt,
        settlement: &Settlement,
        at: Timestamp,
    ) {
        log_attempt(delivery, trigger, attempt, settlement);
        self.metrics.attempt_ended(delivery, attempt, at);
        self.tallies.ended(delivery, attempt, settlement, at);
    }

    /// Whether what becomes of a delivery is told to the operator: not of the operator's own.
    fn tells(&self, delivery: &Delivery) -> bool {
        let table = self.operator.as_ref().map(|name| (name, self.routes.table()));
        let operator = table.and_then(|(name, table)| table.application(name));
        operator.is_some_and(|own| own != delivery.event.application)
    }

    /// Where a delivery goes on, and who holds it from the record on. A short wait stays in memory,
    /// unless somebody wants to be told of it.
    fn next(&self, settlement: &Settlement, job: &Job, now: Timestamp) -> (Next, Holder) {
        if job.trigger.is_by_hand() {
            return (Next::Nothing, Holder::Journal); // what is put off is so in its request's row
        }
        if waits_for_room(settlement) {
            return (Next::Nothing, Holder::Circuit);
        }
        let Some(due) = to_hand_on(settlement) else { return (Next::Nothing, Holder::Journal) };
        let soon = due.at.since(now) <= HOLD_MAX && job.share.age() <= STAY_MAX;
        let retries = matches!(settlement, Settlement::Retry(_));
        if soon && retries && !self.outlet.wants(Verdict::Failed) {
            (Next::Stay(due), Holder::Router)
        } else if self.ladder.is_the_journal() {
            (Next::Nothing, Holder::Ladder)
        } else {
            (Next::HandOn(due), Holder::Router)
        }
    }

    async fn record(&self, decided: Vec<Decided>) {
        // Apart, and together again behind the record: a settlement is cloned for each try, and no more often.
        let apart = |one: Decided| (one.settled, (one.delivery, one.share, one.next));
        let (batch, rest): (Vec<Settled>, Vec<_>) = decided.into_iter().map(apart).unzip();
        let tries = std::sync::atomic::AtomicU32::new(0);
        let answers = until_taken(
            "recording settlements",
            || {
                tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                self.journal.record(batch.clone())
            },
            &|away| self.metrics.journal_away(away),
        )
        .await;
        failpoint!("settle.recorded");
        let gone = |one: &Settled| {
            one.attempt.as_ref().is_some_and(|attempt| attempt.meaning == Meaning::Gone)
        };
        if batch.iter().any(gone) {
            self.routes.ring();
        }
        // When the first try failed we cannot know whether it was written: then a turn that is over
        // may be over by our own doing, and is carried on. At worst there are two copies.
        let repeated = tries.into_inner() > 1;
        for ((settled, (delivery, share, next)), answer) in batch.into_iter().zip(rest).zip(answers)
        {
            let one = Decided { delivery, share, settled, next };
            match answer {
                Recorded::Now => self.carry_on(one),
                Recorded::Stale => self.is_over(one, repeated),
            }
        }
    }

    /// A turn was over already; `repeated`: perhaps by our own doing.
    fn is_over(&self, one: Decided, repeated: bool) {
        let Decided { delivery, share, settled, next } = one;
        let (id, by_hand) = (settled.key.id(), settled.trigger.is_by_hand());
        if matches!(next, Next::Go(_)) {
            // Nobody else may have been given leave, or somebody may: no request is made, and no answer told.
            if repeated {
                warn!(delivery_id = %id, "not sent, at most once: whether it was let go is not known");
            }
            share.into_iter().for_each(Share::release);
        } else if repeated && !by_hand {
            self.carry_on(Decided { delivery, share, settled, next });
        } else if by_hand || share.is_none() {
            // It has moved nothing, and its request was made: who wants to hear of it does.
            let notice = self.notice(&delivery, &settled);
            self.finish(notice, share);
        } else {
            self.metrics.copy_dropped();
            debug!(delivery_id = %id, "turn was settled by another copy");
            share.into_iter().for_each(Share::release);
        }
    }

    fn carry_on(&self, Decided { delivery, share, settled, next }: Decided) {
        self.metrics.settled(&settled.settlement);
        let notice = self.notice(&delivery, &settled);
        match next {
            Next::Nothing => self.finish(notice, share),
            Next::HandOn(due) => {
                let waiting = Some(Waiting { delivery: delivery.after(settled.attempts), due });
                self.pass_on(Released { waiting, notice, share });
            }
            Next::Stay(due) => {
                let share = share.expect("what stays in memory has not been released");
                let delivery = delivery.after(settled.attempts);
                share.is_at(delivery.turn);
                let job = Job { delivery, trigger: Trigger::Turn, share, ready_at: due.at };
                if let Err(job) = self.dispatcher.hold_until(due.at, job) {
                    self.settler.put_off(*job, due.at);
                }
            }
            Next::Go(go) => {
                let trigger = settled.trigger;
                let by_hand = trigger.is_by_hand(); // and then its turn stays as it is
                let delivery = if by_hand { delivery } else { delivery.after(settled.attempts) };
                // Before the request and not behind it: with its message acknowledged nothing brings it back.
                share.into_iter().for_each(Share::release);
                let _nobody_waits = go.send(LetGo { delivery, trigger });
            }
        }
    }

    /// Releases what nothing more is done with, behind the telling if anybody is told.
    fn finish(&self, notice: Option<Notice>, share: Option<Share>) {
        match notice {
            None => share.into_iter().for_each(Share::release),
            notice => self.pass_on(Released { waiting: None, notice, share }),
        }
    }

    fn pass_on(&self, released: Released) {
        let _ = self.settler.releases.send(released);
    }

    fn notice(&self, delivery: &Delivery, settled: &Settled) -> Option<Notice> {
        let by_hand = settled.trigger.is_by_hand();
        let verdict = match settled.settlement {
            Settlement::Delivered => Verdict::Succeeded,
            Settlement::Retry(_) => Verdict::Failed,
            Settlement::DeadLetter(why) => Verdict::Dead(why),
            Settlement::Drop(why) => Verdict::Dropped(why),
            Settlement::Cancelled => Verdict::Cancelled,
            Settlement::Unchanged => match settled.attempt.as_ref()?.meaning {
                Meaning::NotTheirDoing => Verdict::Unknown,
                Meaning::Delivered | Meaning::Failed | Meaning::Gone | Meaning::Refused => {
                    Verdict::Failed
                }
            },
            Settlement::Postpone(..) | Settlement::LetGo => return None,
        };
        self.outlet.wants(verdict).then(|| Notice {
            event: Arc::clone(&delivery.event),
            endpoint: delivery.endpoint,
            verdict,
            attempts: settled.attempts,
            last: settled.attempt.as_ref().map(Made::of),
            by_hand,
            at: settled.at,
        })
    }
}

/// The canonical line: one for each attempt, with all that a search needs.
fn log_attempt(delivery: &Delivery, trigger: Trigger, attempt: &Attempt, settlement: &Settlement) {
    let by_hand = trigger.is_by_hand();
    let outcome = attempt.class();
    let status = attempt.outcome.status();
    let (next, wait) = match settlement {
        Settlement::Delivered => ("delivered", None),
        Settlement::Retry(due) => ("retry", Some(due.at)),
        Settlement::Postpone(due, _) => ("postpone", Some(due.at)),
        Settlement::DeadLetter(_) => ("dead_letter", None),
        Settlement::Drop(_) => ("drop", None),
        Settlement::LetGo => ("let_go", None),
        Settlement::Cancelled => ("cancelled", None),
        Settlement::Unchanged => ("unchanged", None),
    };
    let wait_ms = wait.map_or(Duration::ZERO, |at| at.since(attempt.started_at)).as_millis();
    macro_rules! line {
        ($level:ident) => {
            $level!(
                event_id = %delivery.event.id,
                endpoint_id = %delivery.endpoint,
                attempt_id = %attempt.id,
                event_type = %delivery.event.event_type,
                attempt = attempt.number,
                by_hand,
                outcome,
                status,
                duration_ms = attempt.duration_ms,
                next,
                wait_ms,
                detail = %attempt.detail,
                "attempt ended: {outcome}"
            )
        };
    }
    // The healthy path is not logged line by line unless asked: at a thousand a second nobody reads.
    if matches!(settlement, Settlement::Delivered) { line!(debug) } else { line!(info) }
}
