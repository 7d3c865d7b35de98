//! The journal's port in SQL: which call is a job for the writer, and which only reads.

use std::time::Duration;

use async_trait::async_trait;

use super::{Sql, accept, books, claim, offer, record, resend, rows};
use crate::domain::delivery::{Delivery, DeliveryKey, Holder, Standing, Turn};
use crate::domain::id::{EndpointId, EventId};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::journal::{
    Acceptance, Books, Journal, Overdue, Owed, Recorded, Resend, Settled, to_hand_on,
};

#[async_trait]
impl Journal for Sql {
    async fn accept(&self, batch: Vec<Owed>) -> Result<Vec<Acceptance>, StorageError> {
        self.write(move |connection| accept::accept(connection, &batch)).await
    }

    async fn standings(
        &self,
        keys: Vec<DeliveryKey>,
    ) -> Result<Vec<Option<Standing>>, StorageError> {
        self.read(move |connection| accept::standings(connection, &keys)).await
    }

    async fn has_events(&self, ids: Vec<EventId>) -> Result<Vec<bool>, StorageError> {
        self.read(move |connection| {
            ids.iter().map(|id| Ok(rows::seq_of(connection, *id)?.is_some())).collect()
        })
        .await
    }

    async fn record(&self, batch: Vec<Settled>) -> Result<Vec<Recorded>, StorageError> {
        let waits = batch.iter().filter(|settled| settled.held_by == Holder::Ladder);
        let earliest =
            waits.filter_map(|settled| to_hand_on(&settled.settlement)).map(|due| due.at).min();
        let recorded = self.write(move |connection| record::record(connection, &batch)).await?;
        if let Some(at) = earliest {
            self.bell.due_at(at);
        }
        Ok(recorded)
    }

    async fn handed_on(&self, batch: Vec<(DeliveryKey, Turn)>) -> Result<(), StorageError> {
        self.write(move |connection| record::handed_on(connection, &batch)).await
    }

    async fn escrow(
        &self,
        batch: Vec<(DeliveryKey, Turn)>,
        now: Timestamp,
    ) -> Result<Vec<bool>, StorageError> {
        self.write(move |connection| record::escrow(connection, &batch, now)).await
    }

    async fn bring_forward(
        &self,
        endpoint: EndpointId,
        now: Timestamp,
        interval: Duration,
    ) -> Result<u64, StorageError> {
        let (mut moved, mut from, mut due) = (0, 0, now);
        loop {
            let step =
                self.write(move |c| offer::bring_forward(c, endpoint, from, due, interval)).await?;
            moved += step.moved;
            due = due + interval.saturating_mul(u32::try_from(step.moved).unwrap_or(u32::MAX));
            match step.next {
                Some(next) => from = next,
                None => return Ok(moved),
            }
        }
    }

    async fn claim(
        &self,
        overdue: Overdue,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Delivery>, StorageError> {
        // Asked often and mostly in vain: a look from a reader keeps the idle writer idle.
        if !self.read(move |connection| claim::any(connection, overdue)).await? {
            return Ok(Vec::new());
        }
        self.write(move |connection| claim::claim(connection, overdue, lease_until, limit)).await
    }

    async fn claim_resends(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Resend>, StorageError> {
        if !self.read(move |connection| resend::any(connection, now)).await? {
            return Ok(Vec::new());
        }
        self.write(move |connection| resend::claim(connection, now, lease_until, limit)).await
    }

    async fn put_off_resends(
        &self,
        numbers: Vec<i64>,
        until: Timestamp,
    ) -> Result<(), StorageError> {
        self.write(move |connection| resend::put_off(connection, &numbers, until)).await
    }

    async fn books(&self) -> Result<Books, StorageError> {
        self.read(books::read).await
    }
}
