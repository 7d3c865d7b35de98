//! Ports with a mistake in front of sound ones.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a mistake is one port's: the others stay sound, also for a mistake to come"
)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use posthaste::domain::delivery::{Delivery, DeliveryKey, Holder, Standing, Turn};
use posthaste::domain::event::Rejection;
use posthaste::domain::id::{EndpointId, EventId};
use posthaste::domain::retry::Due;
use posthaste::domain::settlement::Settlement;
use posthaste::domain::time::Timestamp;
use posthaste::storage::StorageError;
use posthaste::storage::inbox::{
    Arrival, Content, Desk, Inbox, Original, Publication, Publish, Published, Receipt,
};
use posthaste::storage::journal::{
    Acceptance, Books, Journal, Overdue, Owed, Recorded, Resend, Settled,
};
use posthaste::storage::ladder::{Ladder, Waiting};

use super::mistakes::Mistake;
use crate::support::clock;

/// What was answered and is not written. It ends with its life.
struct Unwritten<T>(Mutex<Vec<T>>);

impl<T> Unwritten<T> {
    fn new() -> Self {
        Self(Mutex::default())
    }

    fn add(&self, more: impl IntoIterator<Item = T>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(more);
    }

    fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A wait as the mistake has it.
fn mistaken(mistake: Mistake, due: Due) -> Due {
    let half = |at: Timestamp| clock() + at.since(clock()) / 2;
    match mistake {
        Mistake::ReleasesEarly => Due { at: half(due.at), earliest: half(due.earliest) },
        Mistake::ReleasesLate => Due { at: due.at + Duration::from_secs(1), ..due },
        _ => due,
    }
}

/// Publishes with a mistake.
pub(super) struct MistakenPublisher {
    sound: Arc<dyn Publish>,
    mistake: Mistake,
    unwritten: Unwritten<Publication>,
}

impl MistakenPublisher {
    pub(super) fn of(sound: Arc<dyn Publish>, mistake: Mistake) -> Self {
        Self { sound, mistake, unwritten: Unwritten::new() }
    }

    async fn write(&self) {
        let late = self.unwritten.take();
        let _too_late_to_tell = self.sound.publish(&late).await;
    }
}

#[async_trait]
impl Publish for MistakenPublisher {
    async fn publish(&self, batch: &[Publication]) -> Result<Vec<Published>, StorageError> {
        if self.mistake == Mistake::AnswersBeforeItPublishes {
            self.write().await;
            self.unwritten.add(batch.iter().cloned());
            return Ok(vec![Published::Now; batch.len()]);
        }
        match self.sound.publish(batch).await {
            Err(_) if self.mistake == Mistake::SaysYesWhileAway => {
                Ok(vec![Published::Now; batch.len()])
            }
            answer => answer,
        }
    }

    async fn publish_whole(&self, batch: &[Publication]) -> Result<Vec<Published>, StorageError> {
        if self.mistake == Mistake::PublishesHalf {
            return self.sound.publish(batch).await;
        }
        self.sound.publish_whole(batch).await
    }
}

/// Puts on the ladder with a mistake.
pub(super) struct MistakenLadder {
    pub(super) sound: Arc<dyn Ladder>,
    pub(super) mistake: Mistake,
}

#[async_trait]
impl Ladder for MistakenLadder {
    async fn postpone(&self, batch: &[Waiting]) -> Result<(), StorageError> {
        if self.mistake == Mistake::LosesWhatWaits {
            return Ok(());
        }
        let batch: Vec<_> = batch
            .iter()
            .cloned()
            .map(|up| Waiting { due: mistaken(self.mistake, up.due), ..up })
            .collect();
        self.sound.postpone(&batch).await
    }

    fn is_the_journal(&self) -> bool {
        self.sound.is_the_journal()
    }
}

/// Records with a mistake.
pub(super) struct MistakenJournal {
    sound: Arc<dyn Journal>,
    mistake: Mistake,
    unwritten: Unwritten<Settled>,
}

impl MistakenJournal {
    pub(super) fn of(sound: Arc<dyn Journal>, mistake: Mistake) -> Self {
        Self { sound, mistake, unwritten: Unwritten::new() }
    }

    async fn write(&self) {
        let late = self.unwritten.take();
        if !late.is_empty() {
            let _too_late_to_tell = self.sound.record(late).await;
        }
    }

    fn mistaken(&self, settled: Settled) -> Settled {
        let settlement = match settled.settlement {
            Settlement::Retry(due) => Settlement::Retry(mistaken(self.mistake, due)),
            other => other,
        };
        // Where the record is the ladder, this is how it is lost.
        let held_by = match settled.held_by {
            Holder::Ladder if self.mistake == Mistake::LosesWhatWaits => Holder::Router,
            other => other,
        };
        Settled { settlement, held_by, ..settled }
    }
}

#[async_trait]
impl Journal for MistakenJournal {
    async fn accept(&self, batch: Vec<Owed>) -> Result<Vec<Acceptance>, StorageError> {
        self.write().await;
        self.sound.accept(batch).await
    }

    async fn has_events(&self, ids: Vec<EventId>) -> Result<Vec<bool>, StorageError> {
        self.write().await;
        self.sound.has_events(ids).await
    }

    async fn standings(
        &self,
        keys: Vec<DeliveryKey>,
    ) -> Result<Vec<Option<Standing>>, StorageError> {
        self.write().await;
        self.sound.standings(keys).await
    }

    async fn record(&self, batch: Vec<Settled>) -> Result<Vec<Recorded>, StorageError> {
        self.write().await;
        let mut batch: Vec<_> = batch.into_iter().map(|one| self.mistaken(one)).collect();
        match self.mistake {
            Mistake::AnswersBeforeItRecords => {
                let answers = vec![Recorded::Now; batch.len()];
                self.unwritten.add(batch);
                Ok(answers)
            }
            Mistake::ForgetsTheFence => {
                let answers = self.sound.record(batch).await?;
                Ok(vec![Recorded::Now; answers.len()])
            }
            Mistake::RecordsInTwoSteps => {
                let behind = batch.split_off(batch.len() / 2);
                let mut answers = self.sound.record(batch).await?;
                tokio::task::yield_now().await;
                answers.extend(self.sound.record(behind).await?);
                Ok(answers)
            }
            _ => self.sound.record(batch).await,
        }
    }

    async fn handed_on(&self, batch: Vec<(DeliveryKey, Turn)>) -> Result<(), StorageError> {
        self.write().await;
        if self.mistake == Mistake::LosesWhatWaits {
            return Ok(());
        }
        self.sound.handed_on(batch).await
    }

    async fn escrow(
        &self,
        batch: Vec<(DeliveryKey, Turn)>,
        now: Timestamp,
    ) -> Result<Vec<bool>, StorageError> {
        self.sound.escrow(batch, now).await
    }

    async fn bring_forward(
        &self,
        endpoint: EndpointId,
        now: Timestamp,
        interval: Duration,
    ) -> Result<u64, StorageError> {
        self.sound.bring_forward(endpoint, now, interval).await
    }

    async fn claim(
        &self,
        overdue: Overdue,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Delivery>, StorageError> {
        self.write().await;
        let until = match self.mistake {
            Mistake::ClaimsWithoutALease => overdue.due_by,
            _ => lease_until,
        };
        self.sound.claim(overdue, until, limit).await
    }

    async fn claim_resends(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Resend>, StorageError> {
        self.sound.claim_resends(now, lease_until, limit).await
    }

    async fn put_off_resends(
        &self,
        numbers: Vec<i64>,
        until: Timestamp,
    ) -> Result<(), StorageError> {
        self.sound.put_off_resends(numbers, until).await
    }

    async fn books(&self) -> Result<Books, StorageError> {
        self.write().await;
        self.sound.books().await
    }
}

/// Hands out with a mistake.
pub(super) struct MistakenInbox {
    sound: Box<dyn Inbox>,
    mistake: Mistake,
    publisher: Arc<MistakenPublisher>,
    arrivals: VecDeque<Arrival>,
}

impl MistakenInbox {
    pub(super) fn of(
        sound: Box<dyn Inbox>,
        mistake: Mistake,
        publisher: Arc<MistakenPublisher>,
    ) -> Self {
        Self { sound, mistake, publisher, arrivals: VecDeque::new() }
    }

    fn mistaken(&mut self, arrival: Arrival) -> Arrival {
        let Arrival { content, redelivered, receipt, original } = arrival;
        match self.mistake {
            Mistake::GivesBackAtOnce => {
                receipt.give_back();
                Arrival { content, redelivered, receipt: worthless(), original }
            }
            Mistake::HandsOutTwice => {
                let again = match &content {
                    Content::Event(event) => Content::Event(event.clone()),
                    Content::Due { delivery, due_at } => {
                        Content::Due { delivery: delivery.clone(), due_at: *due_at }
                    }
                    Content::Unreadable(why) => Content::Unreadable(why.clone()),
                };
                self.arrivals.push_back(Arrival {
                    content: again,
                    redelivered,
                    receipt: worthless(),
                    original: Box::new(NoOriginal),
                });
                Arrival { content, redelivered, receipt, original }
            }
            Mistake::KeepsNothingInQuarantine => {
                Arrival { content, redelivered, receipt, original: Box::new(NoOriginal) }
            }
            _ => Arrival { content, redelivered, receipt, original },
        }
    }
}

#[async_trait]
impl Inbox for MistakenInbox {
    async fn next(&mut self) -> Option<Arrival> {
        if self.mistake == Mistake::AnswersBeforeItPublishes {
            self.publisher.write().await;
        }
        if let Some(arrival) = self.arrivals.pop_front() {
            return Some(arrival);
        }
        let arrival = self.sound.next().await?;
        match self.mistake {
            Mistake::LosesDroppedCalls => tokio::task::yield_now().await,
            Mistake::HandsOutInPairs => {
                self.arrivals.push_back(arrival);
                // Whatever comes soon goes first.
                let soon = Duration::from_millis(50);
                let second = tokio::time::timeout(soon, self.sound.next()).await;
                return second.ok().flatten().or_else(|| self.arrivals.pop_front());
            }
            _ => {}
        }
        Some(self.mistaken(arrival))
    }

    fn ready(&mut self) -> Option<Arrival> {
        let arrival = self.arrivals.pop_front();
        arrival.or_else(|| self.sound.ready().map(|arrival| self.mistaken(arrival)))
    }
}

/// A receipt that brings nothing back.
fn worthless() -> Receipt {
    Receipt::new(0, Arc::new(NoDesk))
}

#[derive(Debug)]
struct NoDesk;

impl Desk for NoDesk {
    fn finished(&self, _: u64) {}
}

#[derive(Debug)]
struct NoOriginal;

#[async_trait]
impl Original for NoOriginal {
    async fn quarantine(&self, _: &Rejection) -> Result<(), StorageError> {
        Ok(())
    }
}
