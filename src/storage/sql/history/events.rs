//! An application's events: the list, and one by its name.

use bytes::Bytes;

use super::super::engine::{Connection, OptionalExtension, Row, params};
use super::super::rows;
use super::super::walk::Walk;
use super::moments;
use crate::domain::application::Tenant;
use crate::domain::event::{self, Event};
use crate::domain::id::EventId;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::history::EventFilter;
use crate::storage::page::{Listed, Page};

/// Everything of `events e` in front of its payload: reading none of it leaves its pages alone.
macro_rules! columns {
    () => {
        "e.seq AS seq, e.id AS id, e.application AS application, e.type AS type, \
         e.event_id AS event_id, e.subject AS subject, e.occurred_at AS occurred_at, \
         e.received_at AS received_at, e.deliver_at AS deliver_at, e.expires_at AS expires_at, \
         e.content_type AS content_type, e.traceparent AS traceparent, e.channels AS channels, \
         e.webhook_url AS webhook_url, e.webhook_mode AS webhook_mode, \
         e.attributes AS attributes"
    };
}
pub(super) use columns;

/// A page of them.
pub(super) fn list(
    connection: &Connection,
    tenant: Tenant,
    filter: &EventFilter,
    page: &Page<EventId>,
    payloads: bool,
) -> Result<Listed<Event, EventId>, StorageError> {
    walk(connection, tenant, filter, page)?.look(
        connection,
        |row| Ok(row.get("id")?),
        |row| {
            if !is_like(filter, row)? || !is_between(filter, row.get("received_at")?) {
                return Ok(None);
            }
            event(connection, row, payloads).map(Some)
        },
        |event| event.payload.len(),
    )
}

/// The walk over them.
pub(in super::super) fn walk(
    connection: &Connection,
    tenant: Tenant,
    filter: &EventFilter,
    page: &Page<EventId>,
) -> Result<Walk, StorageError> {
    let page = by_number(connection, tenant, page)?;
    let reach = moments::reach(connection, filter.after, filter.before)?;
    let walk = |from| {
        Walk::within(from, "e.seq", &page, &reach)
            .columns(columns!())
            .only("e.application = ?", tenant.application())
    };
    Ok(match &filter.subject {
        Some(subject) => walk("events e INDEXED BY events_about").only("e.subject = ?", subject),
        None => walk("events e INDEXED BY events_of"),
    })
}

/// The page as it lies among the events' numbers.
pub(super) fn by_number(
    connection: &Connection,
    tenant: Tenant,
    page: &Page<EventId>,
) -> Result<Page<i64>, StorageError> {
    page.named_by(|id| {
        seq_of(connection, tenant, *id)?
            .ok_or_else(|| StorageError::Conflict(format!("{id}: no such place in the list")))
    })
}

/// The number of a tenant's event.
pub(super) fn seq_of(
    connection: &Connection,
    tenant: Tenant,
    id: EventId,
) -> Result<Option<i64>, StorageError> {
    let mut find =
        connection.prepare_cached("SELECT seq FROM events WHERE id = ?1 AND application = ?2")?;
    Ok(find.query_row(params![id, tenant.application()], |row| row.get(0)).optional()?)
}

/// Reads an event, with its payload if that is wanted.
pub(super) fn event(
    connection: &Connection,
    row: &Row<'_>,
    payloads: bool,
) -> Result<Event, StorageError> {
    let event = rows::event_without_payload(row)?;
    if !payloads {
        return Ok(event);
    }
    let mut find = connection.prepare_cached("SELECT payload FROM events WHERE seq = ?1")?;
    let payload: Vec<u8> = find.query_row([row.get::<_, i64>("seq")?], |row| row.get(0))?;
    Ok(Event { payload: Bytes::from(payload), ..event })
}

/// Whether a row's event is what a filter wants, apart from its time.
pub(super) fn is_like(filter: &EventFilter, row: &Row<'_>) -> Result<bool, StorageError> {
    if !filter.event_types.is_empty() {
        let event_type: String = row.get("type")?;
        if !filter.event_types.contains(&event_type) {
            return Ok(false);
        }
    }
    if filter.subject.is_some() && filter.subject != row.get::<_, Option<String>>("subject")? {
        return Ok(false);
    }
    if filter.channels.is_empty() {
        return Ok(true);
    }
    let Some(names) = row.get::<_, Option<String>>("channels")? else { return Ok(false) };
    let channels: Vec<String> = rows::read_json(&names, "an event", "channels")?;
    Ok(channels.iter().any(|channel| filter.channels.contains(channel)))
}

/// Whether a moment is what a filter wants.
pub(super) fn is_between(filter: &EventFilter, moment: Timestamp) -> bool {
    filter.after.is_none_or(|after| moment > after)
        && filter.before.is_none_or(|before| moment < before)
}

/// An application's event by its id or its producer's.
pub(super) fn named(
    connection: &Connection,
    tenant: Tenant,
    name: &str,
) -> Result<Option<Event>, StorageError> {
    // What a producer called it is in its id: nothing has to be looked for.
    let id = name.parse().unwrap_or_else(|_| event::id_of(tenant.application(), name));
    let found = rows::event_of(connection, id)?;
    Ok(found.filter(|event| event.application == tenant.application()))
}
