//! The quarantine's port in SQL: events on record that nobody can route, because their application is gone.
//!
//! Such an event has its row among the events, owes nothing, and a row of `quarantine` says why. Resubmitting publishes it
//! anew, as any producer would and wherever this installation's events are published, to the application that a person names;
//! then the row of `quarantine` goes. The old event stays without its payload until it is old: numbers of events are never
//! used again, and so the last of them is not removed.
//!
//! **What if we die right here?** Between the two the new event is published and the old one is still shown. Resubmitting it
//! again is answered that an event of this id was published before, by which its person sees that the first try has succeeded.

use std::sync::Arc;

use async_trait::async_trait;

use super::engine::{Connection, OptionalExtension, Row, params};
use super::{Sql, rows};
use crate::domain::event::{Event, EventType, check_payload};
use crate::domain::id::{EventId, HeldId};
use crate::failpoint;
use crate::storage::StorageError;
use crate::storage::inbox::{Publication, Publish, Published};
use crate::storage::quarantine::{
    BODY_SHOWN_MAX, Fix, Held, HeldMessage, LOOK_MAX, Look, Quarantine, Resubmitted, Shelf,
};
use crate::storage::queues::COUNT_MAX;

// Newest first, and no more than are shown; a test reads its plan.
pub(super) const LOOK: &str = "SELECT q.reason, q.detail, q.at, e.id, e.application, e.type, e.event_id, length(e.payload) \
     FROM quarantine q CROSS JOIN events e ON e.seq = q.event ORDER BY q.event DESC LIMIT ?1";
const ONE: &str = "SELECT e.*, q.reason, q.detail, q.at FROM events e JOIN quarantine q ON q.event = e.seq \
     WHERE e.id = ?1";

/// The shelf of a file.
pub struct SqlQuarantine {
    store: Sql,
    publisher: Arc<dyn Publish>,
    max_payload_bytes: usize,
}

impl Sql {
    /// Events on record that nobody can route; `publisher` is where they are published anew, with payloads of at most
    /// so many bytes.
    pub fn quarantine(
        &self,
        publisher: Arc<dyn Publish>,
        max_payload_bytes: usize,
    ) -> SqlQuarantine {
        SqlQuarantine { store: self.clone(), publisher, max_payload_bytes }
    }
}

#[async_trait]
impl Quarantine for SqlQuarantine {
    fn shelves(&self) -> &'static [Shelf] {
        &[Shelf::Record]
    }

    async fn look(&self, on: Shelf) -> Result<Look, StorageError> {
        own(on)?;
        self.store.browse(look).await
    }

    async fn held(&self, on: Shelf, id: HeldId) -> Result<Option<HeldMessage>, StorageError> {
        own(on)?;
        let found = self.found(id).await?;
        Ok(found.map(|(event, held)| shown(&event, held)))
    }

    async fn resubmit(
        &self,
        on: Shelf,
        id: HeldId,
        fix: &Fix,
    ) -> Result<Option<Resubmitted>, StorageError> {
        own(on)?;
        let Some((event, held)) = self.found(id).await? else { return Ok(None) };
        let publication = corrected(event, &held, fix)?;
        check_payload(&publication.payload, self.max_payload_bytes)
            .map_err(|why| StorageError::Conflict(why.to_string()))?;
        let answers = self.publisher.publish(std::slice::from_ref(&publication)).await?;
        if answers != [Published::Now] {
            return Err(StorageError::Conflict(format!(
                "`{}` has an event `{}` already: an earlier try has published it, or it is another one; look at it, and \
                 throw this one away if it is the same",
                publication.application, publication.event_id
            )));
        }
        failpoint!("quarantine.published");
        self.take_off(&[id]).await?;
        Ok(Some(Resubmitted {
            routing_key: format!("{}.{}", publication.application, publication.event_type),
            message_id: publication.event_id,
        }))
    }

    async fn discard(&self, on: Shelf, ids: &[HeldId]) -> Result<usize, StorageError> {
        own(on)?;
        self.take_off(ids).await
    }
}

impl SqlQuarantine {
    async fn found(&self, id: HeldId) -> Result<Option<(Event, Held)>, StorageError> {
        let event = EventId::from_bytes(*id.as_bytes());
        self.store
            .browse(move |connection| {
                let mut find = connection.prepare_cached(ONE)?;
                let mut found = find.query([event])?;
                let Some(row) = found.next()? else { return Ok(None) };
                let event = rows::event(&row)?;
                let why = (row.get("reason")?, row.get("detail")?);
                let held = Held { at: row.get("at")?, ..about(&event, why) };
                Ok(Some((event, held)))
            })
            .await
    }

    /// Takes messages off the shelf, and forgets what they carried; how many were there.
    async fn take_off(&self, ids: &[HeldId]) -> Result<usize, StorageError> {
        let events: Vec<_> = ids.iter().map(|id| EventId::from_bytes(*id.as_bytes())).collect();
        self.store.write(move |connection| take_off(connection, &events)).await
    }
}

fn own(on: Shelf) -> Result<(), StorageError> {
    if on == Shelf::Record {
        return Ok(());
    }
    Err(StorageError::Conflict(format!("there is no shelf `{on}` in a file: `record` is")))
}

fn look(connection: &Connection) -> Result<Look, StorageError> {
    let mut find = connection.prepare_cached(LOOK)?;
    let found = find.query_and_then([i64::try_from(LOOK_MAX).unwrap_or(i64::MAX) + 1], line)?;
    let mut held = found.collect::<Result<Vec<_>, _>>()?;
    let all = held.len() <= LOOK_MAX;
    held.truncate(LOOK_MAX);
    let count: u32 = connection
        .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM quarantine LIMIT ?1) AS few")?
        .query_row([COUNT_MAX + 1], |row| row.get(0))?;
    Ok(Look { held, total: (count <= COUNT_MAX).then(|| count.into()), all })
}

fn line(row: &Row<'_>) -> Result<Held, StorageError> {
    let id: EventId = row.get("id")?;
    let application: crate::domain::id::ApplicationId = row.get("application")?;
    Ok(Held {
        id: HeldId::from_bytes(*id.as_bytes()),
        reason: row.get("reason")?,
        why: row.get("detail")?,
        routing_key: format!("{application}.{}", row.get::<_, String>("type")?),
        event_type: None,
        message_id: row.get("event_id")?,
        body_bytes: usize::try_from(row.get::<_, u32>(7)?).unwrap_or(usize::MAX),
        at: row.get("at")?,
    })
}

fn about(event: &Event, (reason, why): (String, String)) -> Held {
    Held {
        id: HeldId::from_bytes(*event.id.as_bytes()),
        reason,
        why,
        routing_key: format!("{}.{}", event.application, event.event_type),
        event_type: None,
        message_id: event.event_id.as_deref().map(Into::into),
        body_bytes: event.payload.len(),
        at: None,
    }
}

fn shown(event: &Event, held: Held) -> HeldMessage {
    let moment = |moment: Option<crate::domain::time::Timestamp>| moment.map(|at| at.to_string());
    let channels: Vec<&str> = event.channels.iter().map(AsRef::as_ref).collect();
    let named = [
        ("channels", (!channels.is_empty()).then(|| channels.join(","))),
        ("deliver-at", moment(event.deliver_at)),
        ("event", Some(event.id.to_string())),
        ("expires-at", moment(event.expires_at)),
        ("occurred-at", moment(Some(event.occurred_at))),
        ("received-at", moment(Some(event.received_at))),
        ("subject", event.subject.as_deref().map(Into::into)),
        ("traceparent", event.traceparent.as_deref().map(Into::into)),
        ("webhook-mode", event.webhook.as_ref().map(|own| own.mode.as_str().into())),
        ("webhook-url", event.webhook.as_ref().map(|own| own.url.to_string())),
    ];
    let headers =
        named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    let end = event.payload.len().min(BODY_SHOWN_MAX);
    HeldMessage {
        held,
        exchange: None,
        content_type: event.content_type.as_deref().map(Into::into),
        headers,
        body: event.payload.slice(..end),
    }
}

/// The event as it is published anew.
fn corrected(event: Event, held: &Held, fix: &Fix) -> Result<Publication, StorageError> {
    if !fix.without.is_empty() {
        return Err(StorageError::Conflict(
            "of an event on record nothing is left out: its key, type and body can be corrected"
                .into(),
        ));
    }
    let key = fix.routing_key.as_deref().unwrap_or(&held.routing_key);
    let (application, tail) = key.split_once('.').unwrap_or((key, ""));
    let named = fix.event_type.as_deref().filter(|named| !named.is_empty()).unwrap_or(tail);
    let event_type: EventType =
        named.parse().map_err(|fault: crate::domain::event::NotAnEventType| {
            StorageError::Conflict(fault.to_string())
        })?;
    Ok(Publication {
        application: application.to_owned(),
        event_type: event_type.to_string(),
        // One that its producer did not name goes by the id that it had.
        event_id: event.event_id.map_or_else(|| event.id.to_string(), Into::into),
        idempotency_key: None,
        subject: event.subject.map(Into::into),
        occurred_at: Some(event.occurred_at),
        deliver_at: event.deliver_at,
        expires_at: event.expires_at,
        content_type: event.content_type.map(Into::into),
        traceparent: event.traceparent.map(Into::into),
        channels: event.channels.iter().map(ToString::to_string).collect(),
        webhook: event.webhook,
        attributes: event.attributes,
        payload: fix.body.clone().unwrap_or(event.payload),
    })
}

fn take_off(connection: &Connection, events: &[EventId]) -> Result<usize, StorageError> {
    let mut lift = connection.prepare_cached(
        "DELETE FROM quarantine WHERE event = (SELECT seq FROM events WHERE id = ?1) RETURNING event",
    )?;
    let mut forget = connection.prepare_cached("UPDATE events SET payload = x'' WHERE seq = ?1")?;
    let mut gone = 0;
    for event in events {
        let seq: Option<i64> = lift.query_row(params![event], |row| row.get(0)).optional()?;
        if let Some(seq) = seq {
            forget.execute([seq])?;
            gone += 1;
        }
    }
    Ok(gone)
}
