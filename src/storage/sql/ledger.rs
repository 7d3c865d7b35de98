//! The ledger's port in SQL: what people ask of the record, and have done with it.

use async_trait::async_trait;

use super::engine::{Connection, Row, params};
use super::offer::{self, Held, Step};
use super::{Sql, dead_letters, resend, rows};
use crate::domain::application::Tenant;
use crate::domain::delivery::DeliveryKey;
use crate::domain::event::Event;
use crate::domain::exchange::{Timing, shown};
use crate::domain::id::{ApplicationId, DeliveryId, EndpointId, EventId};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::dead_letters::{DeadLetter, DeadLetterFilter};
use crate::storage::journal::{AttemptRecord, Ledger, ReplayCount};

#[async_trait]
impl Ledger for Sql {
    async fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StorageError> {
        let filter = filter.clone();
        self.read(move |connection| dead_letters::behind(connection, &filter, after, limit)).await
    }

    async fn count_dead_letters(&self, filter: &DeadLetterFilter) -> Result<u64, StorageError> {
        let filter = filter.clone();
        self.read(move |connection| dead_letters::count(connection, &filter)).await
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>, StorageError> {
        self.read(move |connection| rows::event_of(connection, id)).await
    }

    async fn attempts(&self, key: DeliveryKey) -> Result<Vec<AttemptRecord>, StorageError> {
        self.read(move |connection| attempts(connection, key)).await
    }

    async fn count_replay(&self, filter: &DeadLetterFilter) -> Result<ReplayCount, StorageError> {
        let filter = filter.clone();
        self.read(move |connection| dead_letters::count_replay(connection, &filter)).await
    }

    async fn replay(&self, filter: &DeadLetterFilter, now: Timestamp) -> Result<u64, StorageError> {
        // What dies again while we are at it is behind this, and not replayed a second time.
        let last = self.read(dead_letters::last_seq).await?;
        let filter = filter.clone();
        self.in_steps(move |connection, from| offer::replay(connection, &filter, from..=last, now))
            .await
    }

    async fn recall(&self, endpoint: EndpointId, now: Timestamp) -> Result<u64, StorageError> {
        self.in_steps(move |connection, from| offer::recall(connection, endpoint, from, now)).await
    }

    async fn recall_held(
        &self,
        application: ApplicationId,
        now: Timestamp,
    ) -> Result<u64, StorageError> {
        // Asked first: an edit that comes while we walk wants a walk of its own.
        let wanted =
            self.read(move |connection| offer::recall_wanted(connection, application)).await?;
        let (mut moved, mut from) = (0, (0, EndpointId::from_bytes([0; 20])));
        loop {
            let look =
                self.read(move |connection| offer::held(connection, application, from)).await?;
            let Held { found, next } = look;
            if !found.is_empty() {
                moved += self.write(move |c| offer::let_go(c, &found, now)).await?;
            }
            match next {
                Some(next) => from = next,
                None => break,
            }
        }
        if let Some(version) = wanted {
            self.write(move |c| offer::recall_done(c, application, version)).await?;
        }
        Ok(moved)
    }

    async fn resend(
        &self,
        tenant: Tenant,
        key: DeliveryKey,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        self.write(move |connection| resend::ask(connection, tenant, key, now)).await
    }

    async fn cancel(&self, endpoint: EndpointId, _now: Timestamp) -> Result<u64, StorageError> {
        self.in_steps(move |connection, from| offer::cancel(connection, endpoint, from)).await
    }
}

impl Sql {
    /// Takes steps, each a job of its own with the pipeline's jobs between them, until one finds
    /// nothing more; how many deliveries they moved.
    async fn in_steps<F>(&self, step: F) -> Result<u64, StorageError>
    where
        F: Fn(&Connection, i64) -> Result<Step, StorageError> + Clone + Send + 'static,
    {
        let (mut moved, mut from) = (0, 0);
        loop {
            let step = step.clone();
            let done = self.write(move |connection| step(connection, from)).await?;
            moved += done.moved;
            match done.next {
                Some(next) => from = next,
                None => return Ok(moved),
            }
        }
    }
}

/// Every attempt of a delivery, oldest first.
pub(super) fn attempts(
    connection: &Connection,
    key: DeliveryKey,
) -> Result<Vec<AttemptRecord>, StorageError> {
    let Some(event) = rows::seq_of(connection, key.event)? else {
        return Ok(Vec::new());
    };
    let mut find = connection.prepare_cached(
        "SELECT a.*, f.form AS form_of FROM attempts a LEFT JOIN header_forms f ON f.number = a.form \
         WHERE a.event = ?1 AND a.endpoint = ?2 ORDER BY a.started_at, a.number, a.id",
    )?;
    find.query_and_then(params![event, key.endpoint], |row| attempt(row, key.event))?.collect()
}

fn attempt(row: &Row<'_>, event: EventId) -> Result<AttemptRecord, StorageError> {
    with_exchange(row, event, attempt_without_response(row)?)
}

/// The attempt with its response and the headers that it was sent with, from a row that has `response`, `varied` and its
/// form as `form_of`.
pub(super) fn with_exchange(
    row: &Row<'_>,
    event: EventId,
    attempt: AttemptRecord,
) -> Result<AttemptRecord, StorageError> {
    let (form, varied): (Option<String>, Option<String>) =
        (row.get("form_of")?, row.get("varied")?);
    let form = match form {
        Some(json) => rows::read_json(&json, attempt.id, "form")?,
        None => Vec::new(),
    };
    let headers = shown(&form, varied.as_deref().unwrap_or_default(), event, attempt.started_at);
    Ok(AttemptRecord { response: row.get("response")?, headers, ..attempt })
}

/// Reads all columns of an attempt but the response and the headers, which are left empty.
pub(super) fn attempt_without_response(row: &Row<'_>) -> Result<AttemptRecord, StorageError> {
    Ok(AttemptRecord {
        id: row.get("id")?,
        number: row.get("number")?,
        started_at: row.get("started_at")?,
        duration_ms: row.get("duration_ms")?,
        timing: Timing {
            dns_ms: row.get("dns_ms")?,
            connect_ms: row.get("connect_ms")?,
            tls_ms: row.get("tls_ms")?,
            first_byte_ms: row.get("first_byte_ms")?,
        },
        headers: Vec::new(),
        outcome: row.get("outcome")?,
        status: row.get("status")?,
        url: row.get("url")?,
        response: Vec::new(),
        detail: row.get("detail")?,
    })
}
