//! Recovering what a broker has lost: counted, and offered again from the record.
//!
//! What is lost, what comes back and what cannot is told where the record is asked
//! ([`storage::recovery`](crate::storage::recovery)). Here it is taken step by step, by the router that is
//! running: only it knows what it has in its memory, which is nobody's loss and is left alone.
//!
//! A broker is the whole installation's, and so is this: all organisations' deliveries are offered again.

use std::sync::Arc;

use async_trait::async_trait;
use tracing::info;

use super::Answer;
use crate::domain::delivery::DeliveryKey;
use crate::domain::event::{Event, Rejection};
use crate::domain::id::EndpointId;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::journal::{Journal, Owed};
use crate::storage::recovery::{Hands, Noted, Place, Recovery};

/// Deliveries that one step looks at, and offers at the most: some 10 ms of the writer's time. A million are two
/// thousand steps, with the pipeline's own jobs between them.
const STEP: u32 = 500;

/// Events that are routed in one step: as many as ingest takes in one batch.
const NOTES: u32 = 256;

/// The router that is running, as recovering needs it.
#[async_trait]
pub trait Living: Send + Sync {
    /// Whether it has this delivery in its memory.
    fn holds(&self, key: DeliveryKey) -> bool;

    /// Whom an event is owed to by the catalogue as it is now; `None` when its application is gone.
    ///
    /// # Errors
    /// As [`Catalogue::snapshot`](crate::storage::catalogue::Catalogue::snapshot).
    async fn wanting(&self, event: &Event) -> Result<Option<Vec<EndpointId>>, StorageError>;
}

/// What recovering came to, or would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Deliveries that were never settled.
    pub pending: u64,
    /// Deliveries that a router held which is no more.
    pub abandoned: u64,
    /// Deliveries that the ladder held.
    pub waiting: u64,
    /// Events that were published over HTTP and not accepted yet.
    pub unpublished: u64,
    /// Of these: put into quarantine, because their application is gone.
    pub unroutable: u64,
    /// Deliveries that the running router has in its memory: left alone.
    pub in_memory: u64,
}

/// Where what a broker has lost is recovered.
#[derive(Clone)]
pub struct RecoveryDesk {
    /// What is asked, and offers again.
    pub recovery: Arc<dyn Recovery>,
    /// Where events are accepted.
    pub journal: Arc<dyn Journal>,
    /// The router that is running.
    pub living: Arc<dyn Living>,
    /// The clock.
    pub now: fn() -> Timestamp,
}

impl RecoveryDesk {
    /// Counts what would be offered again. Reads, and changes nothing.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn count(&self) -> Answer<Recovered> {
        self.walk(false).await
    }

    /// Offers it again; what was. Dropped in the middle, what is done stays done, and the next call does the
    /// rest.
    ///
    /// # Errors
    /// `Unavailable`: the rest is still to be done, and the same call does it.
    pub async fn recover(&self) -> Answer<Recovered> {
        let recovered = self.walk(true).await?;
        if recovered.unpublished > 0 {
            // What was routed just now is pending, and no router has it: offered with the rest.
            let mut routed = Recovered::default();
            self.take_back(Hands::Inbox, true, &mut routed).await?;
        }
        info!(
            pending = recovered.pending,
            abandoned = recovered.abandoned,
            waiting = recovered.waiting,
            unpublished = recovered.unpublished,
            unroutable = recovered.unroutable,
            in_memory = recovered.in_memory,
            "what the broker had is offered again from the journal"
        );
        Ok(recovered)
    }

    async fn walk(&self, for_good: bool) -> Answer<Recovered> {
        let mut recovered = Recovered::default();
        for hands in Hands::ALL {
            self.take_back(hands, for_good, &mut recovered).await?;
        }
        self.route(for_good, &mut recovered).await?;
        Ok(recovered)
    }

    /// Takes back what is in these hands, in steps.
    async fn take_back(
        &self,
        hands: Hands,
        for_good: bool,
        recovered: &mut Recovered,
    ) -> Answer<()> {
        let mut place = Place::START;
        loop {
            let mut lost = self.recovery.in_hand(hands, place, STEP).await?;
            let Some(end) = lost.last() else { return Ok(()) };
            place = end.place;
            let seen = lost.len();
            lost.retain(|one| !self.living.holds(one.key));
            recovered.in_memory += (seen - lost.len()) as u64;
            let count = match for_good {
                false => lost.len() as u64,
                true if lost.is_empty() => 0,
                true => self.recovery.offer_again(lost, (self.now)()).await?,
            };
            *match hands {
                Hands::Inbox => &mut recovered.pending,
                Hands::Router => &mut recovered.abandoned,
                Hands::Ladder => &mut recovered.waiting,
            } += count;
            if seen < STEP as usize {
                return Ok(());
            }
        }
    }

    /// Routes what was published and never came.
    ///
    /// Accepted as if the broker had brought it: should it, the event is known, and its copy is dropped. It was held to
    /// its schema before its request was answered, and is not again.
    async fn route(&self, for_good: bool, recovered: &mut Recovered) -> Answer<()> {
        let mut behind = i64::MIN;
        loop {
            let noted = self.recovery.noted(behind, NOTES).await?;
            let Some(last) = noted.last() else { return Ok(()) };
            behind = last.number;
            recovered.unpublished += noted.len() as u64;
            let (mut owed, mut gone) = (Vec::with_capacity(noted.len()), Vec::new());
            for Noted { event, .. } in noted {
                if let Some(endpoints) = self.living.wanting(&event).await? {
                    owed.push(Owed { event: Arc::new(event), endpoints });
                } else {
                    let why = Rejection::UnknownApplication(event.application.to_string());
                    gone.push((event.id, why));
                }
            }
            recovered.unroutable += gone.len() as u64;
            if !for_good {
                continue;
            }
            if !gone.is_empty() {
                self.recovery.put_away(gone, (self.now)()).await?;
            }
            if !owed.is_empty() {
                self.journal.accept(owed).await?;
            }
        }
    }
}
