//! The ports as the engine gets them: the stores in memory, watched, and sabotaged where a test wants to
//! know that the checks would notice.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use posthaste::domain::delivery::{Delivery, DeliveryKey, DeliveryState, Holder, Standing, Turn};
use posthaste::domain::id::{EndpointId, EventId};
use posthaste::domain::retry::Due;
use posthaste::domain::settlement::Settlement;
use posthaste::domain::time::Timestamp;
use posthaste::storage::StorageError;
use posthaste::storage::journal::{
    Acceptance, Books, Journal, Overdue, Owed, Recorded, Resend, Settled, to_hand_on,
};
use posthaste::storage::ladder::{Ladder, Waiting};
use posthaste::storage::memory::Shape;

use super::world::World;

/// A mistake that is built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// The engine acknowledges an event before its deliveries are settled.
    GivesBackEarly,
    /// The journal answers before it has written what became of a delivery.
    AnswersBeforeRecording,
    /// The journal says that an event is accepted and has not written it, one time in ten.
    ForgetsAccepted,
    /// What waits comes back when seven tenths of its wait are over.
    ReleasesEarly,
    /// What is put on the ladder is not there, one time in five.
    LosesPostponed,
    /// The journal says of each delivery that it was never settled.
    IgnoresTheFence,
    /// The journal gives leave to whoever asks, and says of what was let go that it was not.
    LetsGoAgain,
}

impl Sabotage {
    pub(crate) const ALL: [Self; 7] = [
        Self::GivesBackEarly,
        Self::AnswersBeforeRecording,
        Self::ForgetsAccepted,
        Self::ReleasesEarly,
        Self::LosesPostponed,
        Self::IgnoresTheFence,
        Self::LetsGoAgain,
    ];

    /// Whether it is a mistake there: one store has no receipts, and never two copies of a turn.
    pub(crate) fn shows_in(self, shape: Shape) -> bool {
        match self {
            Self::GivesBackEarly | Self::IgnoresTheFence | Self::LetsGoAgain => {
                shape != Shape::OneStore
            }
            Self::AnswersBeforeRecording
            | Self::ForgetsAccepted
            | Self::ReleasesEarly
            | Self::LosesPostponed => true,
        }
    }
}

/// The journal and the ladder, watched.
#[derive(Clone)]
pub(crate) struct Watched(pub(crate) Arc<World>);

impl Watched {
    fn is(&self, sabotage: Sabotage) -> bool {
        self.0.sabotage == Some(sabotage)
    }

    fn one_in(&self, times: u64) -> bool {
        self.0.state().stores.one_in(times)
    }

    /// A due moment, as a sabotaged ladder understands it.
    fn moved(&self, due: Due) -> Due {
        let now = self.0.now();
        let sooner = |at: Timestamp| now + at.since(now).mul_f64(0.7);
        // Not the short ones, or what is put back again and again comes at no time at all.
        let long = due.at.since(now) > Duration::from_secs(1) && due.at < Timestamp::NEVER;
        if self.is(Sabotage::ReleasesEarly) && long {
            return Due { at: sooner(due.at), earliest: sooner(due.earliest) };
        }
        due
    }

    fn sabotaged(&self, mut settled: Settled) -> Settled {
        match &mut settled.settlement {
            Settlement::Retry(due) | Settlement::Postpone(due, _) => {
                *due = self.moved(*due);
                // One store: what is recorded as held by the ladder is on it by that alone.
                if self.is(Sabotage::LosesPostponed)
                    && settled.held_by == Holder::Ladder
                    && self.one_in(5)
                {
                    *due = Due::exactly(Timestamp::NEVER);
                }
            }
            Settlement::Delivered
            | Settlement::DeadLetter(_)
            | Settlement::Drop(_)
            | Settlement::LetGo
            | Settlement::Cancelled
            | Settlement::Unchanged => {}
        }
        settled
    }
}

#[async_trait]
impl Journal for Watched {
    async fn accept(&self, batch: Vec<Owed>) -> Result<Vec<Acceptance>, StorageError> {
        self.0.accepts(&batch);
        if self.is(Sabotage::ForgetsAccepted) && self.one_in(10) {
            return Ok(vec![Acceptance::New; batch.len()]);
        }
        let mut answers = self.0.memory().accept(batch).await?;
        if self.is(Sabotage::LetsGoAgain) {
            for answer in &mut answers {
                if let Acceptance::Known(standings) = answer {
                    for (_, one) in standings.iter_mut() {
                        *one = not_let_go(*one);
                    }
                }
            }
        }
        Ok(answers)
    }

    async fn has_events(&self, ids: Vec<EventId>) -> Result<Vec<bool>, StorageError> {
        self.0.memory().has_events(ids).await
    }

    async fn standings(
        &self,
        keys: Vec<DeliveryKey>,
    ) -> Result<Vec<Option<Standing>>, StorageError> {
        let standings = self.0.memory().standings(keys).await?;
        if self.is(Sabotage::IgnoresTheFence) {
            let unsettled = |standing: Option<Standing>| {
                let state = DeliveryState::Pending;
                standing.map(|one| Standing { turn: Turn::FIRST, state, ..one })
            };
            return Ok(standings.into_iter().map(unsettled).collect());
        }
        if self.is(Sabotage::LetsGoAgain) {
            return Ok(standings.into_iter().map(|one| one.map(not_let_go)).collect());
        }
        Ok(standings)
    }

    async fn record(&self, batch: Vec<Settled>) -> Result<Vec<Recorded>, StorageError> {
        self.0.records(&batch);
        let written: Vec<_> = batch.iter().map(|one| self.sabotaged(one.clone())).collect();
        if self.is(Sabotage::AnswersBeforeRecording) {
            let world = Arc::clone(&self.0);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(300)).await;
                let _ = world.memory().record(written).await;
            });
            let answers = vec![Recorded::Now; batch.len()];
            self.0.recorded(&batch, &answers);
            return Ok(answers);
        }
        let mut answers = self.0.memory().record(written).await?;
        if self.is(Sabotage::LetsGoAgain) {
            for (settled, answer) in batch.iter().zip(&mut answers) {
                if settled.settlement == Settlement::LetGo {
                    *answer = Recorded::Now;
                }
            }
        }
        self.0.recorded(&batch, &answers);
        Ok(answers)
    }

    async fn handed_on(&self, batch: Vec<(DeliveryKey, Turn)>) -> Result<(), StorageError> {
        self.0.memory().handed_on(batch).await
    }

    async fn escrow(
        &self,
        batch: Vec<(DeliveryKey, Turn)>,
        now: Timestamp,
    ) -> Result<Vec<bool>, StorageError> {
        let known = self.0.memory().escrow(batch.clone(), now).await?;
        self.0.takes_over(batch);
        if self.0.dies_here("with deliveries that were just taken over") {
            return std::future::pending().await;
        }
        Ok(known)
    }

    async fn bring_forward(
        &self,
        endpoint: EndpointId,
        now: Timestamp,
        interval: Duration,
    ) -> Result<u64, StorageError> {
        self.0.memory().bring_forward(endpoint, now, interval).await
    }

    async fn claim(
        &self,
        overdue: Overdue,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Delivery>, StorageError> {
        let claimed = self.0.memory().claim(overdue, lease_until, limit).await?;
        if !claimed.is_empty() {
            self.0.claims(&claimed);
            if self.0.dies_here("with deliveries that were just claimed") {
                return std::future::pending().await;
            }
        }
        Ok(claimed)
    }

    async fn claim_resends(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Resend>, StorageError> {
        self.0.memory().claim_resends(now, lease_until, limit).await
    }

    async fn put_off_resends(
        &self,
        numbers: Vec<i64>,
        until: Timestamp,
    ) -> Result<(), StorageError> {
        self.0.memory().put_off_resends(numbers, until).await
    }

    async fn books(&self) -> Result<Books, StorageError> {
        self.0.memory().books().await
    }
}

#[async_trait]
impl Ladder for Watched {
    async fn postpone(&self, batch: &[Waiting]) -> Result<(), StorageError> {
        let mut batch: Vec<Waiting> = batch
            .iter()
            .map(|one| Waiting { delivery: one.delivery.clone(), due: self.moved(one.due) })
            .collect();
        if self.is(Sabotage::LosesPostponed) {
            batch.retain(|_| !self.one_in(5));
        }
        self.0.memory().postpone(&batch).await
    }

    fn is_the_journal(&self) -> bool {
        self.0.memory().is_the_journal()
    }
}

/// How a delivery stands, as if it had never been let go.
fn not_let_go(standing: Standing) -> Standing {
    if standing.state == DeliveryState::Unknown {
        return Standing { turn: Turn::FIRST, state: DeliveryState::Pending, ..standing };
    }
    standing
}

/// When a settlement lets its delivery go on: never before this.
pub(crate) fn not_before(settled: &Settled) -> Option<Timestamp> {
    to_hand_on(&settled.settlement).map(|due| due.earliest)
}
