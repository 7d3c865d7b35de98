//! Carries out what the end of an attempt means: *decide, record, hand on, give back*, in that
//! order and in batches.
//!
//! Two tasks, so that a slow ladder does not stop successes from being recorded. [`Record`] decides
//! and writes each batch to the journal in one transaction; what was delivered is released there
//! and then. [`Release`] takes what goes on.
//!
//! **What if we die right here?** Before the record: nothing has happened, the delivery is tried
//! again from the message it came from. Behind the record and before the ladder has confirmed: that
//! message is still unacknowledged and comes again; its turn is over, the journal says that a router
//! held what comes after, so the copy takes over. Behind the confirm: the old copy comes again and
//! is dropped.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tracing::{debug, info};

use super::dispatch::Dispatcher;
use super::release::{Release, ReleaseQueue, Released};
use super::route::Routes;
use super::{Job, World, until_taken};
use crate::domain::delivery::{Attempt, Delivery, Holder, Trigger, Turn};
use crate::domain::event::ApplicationName;
use crate::domain::lane::HOLD_MAX;
use crate::domain::outcome::Meaning;
use crate::domain::retry::{Chance, Due};
use crate::domain::settlement::{Postponed, Settlement, counted, decide, decide_by_hand};
use crate::domain::time::Timestamp;
use crate::failpoint;
use crate::storage::journal::{Journal, Recorded, Settled, to_hand_on};
use crate::storage::ladder::{Ladder, Waiting};
use crate::storage::outlet::{Notice, Outlet, Verdict};
use crate::telemetry::metrics::Metrics;

/// Most settlements in one record, and most releases in one publish: the publisher's own bound.
pub(super) const BATCH_MAX: usize = 512;

/// How long a delivery may have been in memory and still wait there for its next attempt.
///
/// Fifteen seconds: a few short waits, not fifty. While it is here its event is unacknowledged, and
/// brokers do not like that for long (30 minutes, and it costs everybody's channel).
const STAY_MAX: Duration = Duration::from_secs(15);

/// Hears how deliveries ended. Its queue needs no bound: each message is a delivery with a place in
/// the window.
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
        let waiting = Some(Waiting { delivery, due: Due::exactly(due_at) });
        let _ = self.releases.send(Released { waiting, notice: None, share });
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
}

/// A decided settlement with what it settles.
struct Decided {
    job: Job,
    settled: Settled,
    next: Next,
}

/// What is done with a delivery once its settlement is on record.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// Nothing more: it is finished, or the journal holds it, or the ladder by the record alone.
    LetGo,
    /// It waits in its lane.
    Stay(Due),
    /// It goes on the ladder.
    HandOn(Due),
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
            let decided = batch.drain(..).map(|ending| self.decide(ending)).collect();
            self.record(decided).await;
        }
    }

    fn decide(&self, ending: Ending) -> Decided {
        let at = self.world.now();
        let (job, attempts, attempt, settlement) = match ending {
            Ending::Attempted { job, attempt } => {
                let attempts = counted(job.delivery.attempts, attempt.meaning);
                let settlement = if job.trigger.is_by_hand() {
                    decide_by_hand(&attempt.outcome, &attempt.policy, at)
                } else {
                    decide(
                        &attempt.outcome,
                        attempts,
                        &attempt.policy,
                        job.delivery.event.expires_at,
                        at,
                        Chance::from_bits(self.world.chance()),
                    )
                };
                log_attempt(&job, &attempt, &settlement);
                self.metrics.attempt_ended(&job.delivery, &attempt, at);
                (job, attempts, Some(*attempt), settlement)
            }
            Ending::Refused { job, settlement } => {
                let goes_on = matches!(settlement, Settlement::Postpone(..));
                let settlement = if job.trigger.is_by_hand() && !goes_on {
                    Settlement::Unchanged
                } else {
                    settlement
                };
                let attempts = job.delivery.attempts;
                (job, attempts, None, settlement)
            }
        };
        failpoint!("settle.decided");
        let (next, held_by) = self.next(&settlement, &job, at);
        let settled = Settled {
            key: job.delivery.key(),
            turn: job.delivery.turn,
            trigger: job.trigger,
            attempts,
            attempt,
            settlement,
            held_by,
            at,
            tells: self.tells(&job.delivery),
        };
        Decided { job, settled, next }
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
            return (Next::LetGo, Holder::Journal); // what is put off is so in its request's row
        }
        let Some(due) = to_hand_on(settlement) else { return (Next::LetGo, Holder::Journal) };
        let soon = due.at.since(now) <= HOLD_MAX && job.share.age() <= STAY_MAX;
        let retries = matches!(settlement, Settlement::Retry(_));
        if soon && retries && !self.outlet.wants(Verdict::Failed) {
            (Next::Stay(due), Holder::Router)
        } else if self.ladder.is_the_journal() {
            (Next::LetGo, Holder::Ladder)
        } else {
            (Next::HandOn(due), Holder::Router)
        }
    }

    async fn record(&self, decided: Vec<Decided>) {
        let batch: Vec<Settled> = decided.iter().map(|one| one.settled.clone()).collect();
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
        for (one, answer) in decided.into_iter().zip(answers) {
            if answer == Recorded::Stale && one.settled.trigger.is_by_hand() {
                one.job.share.release(); // it has moved nothing
            } else if answer == Recorded::Stale && !repeated {
                self.metrics.copy_dropped();
                debug!(delivery_id = %one.settled.key.id(), "turn was settled by another copy");
                one.job.share.release();
            } else {
                self.carry_on(one);
            }
        }
    }

    fn carry_on(&self, Decided { job, settled, next }: Decided) {
        self.metrics.settled(&settled.settlement);
        let notice = self.notice(&job.delivery, &settled);
        let Job { delivery, share, .. } = job;
        match (next, notice) {
            (Next::LetGo, None) => share.release(),
            (Next::LetGo, notice) => self.pass_on(Released { waiting: None, notice, share }),
            (Next::HandOn(due), notice) => {
                let waiting = Some(Waiting { delivery: delivery.after(settled.attempts), due });
                self.pass_on(Released { waiting, notice, share });
            }
            (Next::Stay(due), _) => {
                let delivery = delivery.after(settled.attempts);
                share.is_at(delivery.turn);
                let job = Job { delivery, trigger: Trigger::Turn, share, ready_at: due.at };
                if let Err(job) = self.dispatcher.hold_until(due.at, job) {
                    self.settler.put_off(*job, due.at);
                }
            }
        }
    }

    fn pass_on(&self, released: Released) {
        let _ = self.settler.releases.send(released);
    }

    fn notice(&self, delivery: &Delivery, settled: &Settled) -> Option<Notice> {
        let verdict = match settled.settlement {
            Settlement::Delivered => Verdict::Succeeded,
            Settlement::Retry(_) => Verdict::Failed,
            Settlement::DeadLetter(why) => Verdict::Dead(why),
            Settlement::Drop(why) => Verdict::Dropped(why),
            Settlement::Cancelled => Verdict::Cancelled,
            Settlement::Postpone(..) | Settlement::LetGo | Settlement::Unchanged => return None,
        };
        self.outlet.wants(verdict).then(|| Notice {
            event: Arc::clone(&delivery.event),
            endpoint: delivery.endpoint,
            verdict,
            attempts: settled.attempts,
            last_status: settled.attempt.as_ref().map_or(0, |attempt| attempt.outcome.status()),
            at: settled.at,
        })
    }
}

/// The canonical line: one for each attempt, with all that a search needs.
fn log_attempt(job: &Job, attempt: &Attempt, settlement: &Settlement) {
    let delivery = &job.delivery;
    let by_hand = job.trigger.is_by_hand();
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
