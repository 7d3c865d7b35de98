//! How our words are written into columns, and read back.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::engine::{Connection, OptionalExtension, Params as _, Row, Rows, params};
use crate::domain::delivery::{DeliveryState, Holder, Standing, Turn};
use crate::domain::event::{Event, Webhook};
use crate::domain::id::{
    ApplicationId, AttemptId, DeliveryId, EndpointId, EventId, InspectedId, OrganisationId,
    ReplayId, RouterId,
};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::postgres::connection::Session;

/// A column holds something that this program never wrote there.
pub(super) fn corrupt(what: impl Into<String>) -> StorageError {
    StorageError::Corrupt(what.into())
}

/// A column of JSON.
pub(super) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("what we keep as JSON has text keys alone")
}

/// What a column of JSON says; `whose` names the row for people.
pub(super) fn read_json<T: DeserializeOwned>(
    json: &str,
    whose: impl std::fmt::Display,
    column: &str,
) -> Result<T, StorageError> {
    serde_json::from_str(json).map_err(|error| corrupt(format!("{column} of {whose}: {error}")))
}

macro_rules! bytes_column {
    ($($id:ident),+) => {$(
        impl ToSql for $id {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(self.as_bytes().as_slice()))
            }
        }

        impl FromSql for $id {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                FromSql::column_result(value).map(Self::from_bytes)
            }
        }
    )+};
}

bytes_column!(
    ApplicationId,
    AttemptId,
    DeliveryId,
    EndpointId,
    EventId,
    InspectedId,
    OrganisationId,
    ReplayId,
    RouterId
);

impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.as_millis()))
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self::from_millis)
    }
}

impl ToSql for Turn {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0))
    }
}

impl FromSql for Turn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        u32::column_result(value).map(Self)
    }
}

/// `deliveries.held_by`.
impl ToSql for Holder {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(match self {
            Self::Router => 0,
            Self::Ladder => 1,
            Self::Journal => 2,
            Self::Circuit => 3,
        }))
    }
}

impl FromSql for Holder {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_i64()? {
            0 => Ok(Self::Router),
            1 => Ok(Self::Ladder),
            2 => Ok(Self::Journal),
            3 => Ok(Self::Circuit),
            other => Err(FromSqlError::OutOfRange(other)),
        }
    }
}

/// `deliveries.state`: where a delivery is, without the particulars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Pending,
    Waiting,
    Delivered,
    Dead,
    Cancelled,
    Dropped,
    Unknown,
    Discarded,
}

impl State {
    /// Whether nothing more will happen to it by itself.
    pub(super) const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Delivered
                | Self::Dead
                | Self::Cancelled
                | Self::Dropped
                | Self::Unknown
                | Self::Discarded
        )
    }
}

impl From<DeliveryState> for State {
    fn from(state: DeliveryState) -> Self {
        match state {
            DeliveryState::Pending => Self::Pending,
            DeliveryState::Waiting { .. } => Self::Waiting,
            DeliveryState::Delivered => Self::Delivered,
            DeliveryState::Dead => Self::Dead,
            DeliveryState::Cancelled => Self::Cancelled,
            DeliveryState::Dropped => Self::Dropped,
            DeliveryState::Unknown => Self::Unknown,
            DeliveryState::Discarded => Self::Discarded,
        }
    }
}

impl ToSql for State {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(match self {
            Self::Pending => 0,
            Self::Waiting => 1,
            Self::Delivered => 2,
            Self::Dead => 3,
            Self::Cancelled => 4,
            Self::Dropped => 5,
            Self::Unknown => 6,
            Self::Discarded => 7,
        }))
    }
}

impl FromSql for State {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_i64()? {
            0 => Ok(Self::Pending),
            1 => Ok(Self::Waiting),
            2 => Ok(Self::Delivered),
            3 => Ok(Self::Dead),
            4 => Ok(Self::Cancelled),
            5 => Ok(Self::Dropped),
            6 => Ok(Self::Unknown),
            7 => Ok(Self::Discarded),
            other => Err(FromSqlError::OutOfRange(other)),
        }
    }
}

/// Reads columns `turn, attempts, state, held_by, due_at` of a delivery.
pub(super) fn standing(row: &Row<'_>) -> Result<Standing, StorageError> {
    let state = match row.get("state")? {
        State::Pending => DeliveryState::Pending,
        State::Waiting => {
            DeliveryState::Waiting { due_at: row.get("due_at")?, held_by: row.get("held_by")? }
        }
        State::Delivered => DeliveryState::Delivered,
        State::Dead => DeliveryState::Dead,
        State::Cancelled => DeliveryState::Cancelled,
        State::Dropped => DeliveryState::Dropped,
        State::Unknown => DeliveryState::Unknown,
        State::Discarded => DeliveryState::Discarded,
    };
    Ok(Standing { turn: row.get("turn")?, attempts: row.get("attempts")?, state })
}

/// Writes an event unless one of its id is there; its `seq` if it was written.
pub(super) fn add_event(
    connection: &Connection,
    event: &Event,
) -> Result<Option<i64>, StorageError> {
    const ADD: &str = "INSERT INTO events (id, application, type, event_id, subject, occurred_at, received_at, \
                             deliver_at, expires_at, content_type, traceparent, channels, \
                             webhook_url, webhook_mode, attributes, payload) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) \
         ON CONFLICT (id) DO NOTHING";
    match connection {
        Connection::Sqlite(file) => {
            let written =
                with_columns(event, |values| connection.prepare_cached(ADD)?.execute(values))?;
            Ok((written == 1).then(|| file.last_insert_rowid()))
        }
        // Said in the same statement: another would be another way to the server.
        Connection::Postgres(_) => {
            let mut add = connection.prepare_cached(&format!("{ADD} RETURNING seq"))?;
            let added = with_columns(event, |values| add.query_row(values, |row| row.get(0)));
            Ok(added.optional()?)
        }
    }
}

/// What is written of an event, in the order of its columns behind the seq.
fn with_columns<T>(event: &Event, with: impl FnOnce(&[&dyn ToSql]) -> T) -> T {
    with(params![
        event.id,
        event.application,
        event.event_type.as_str(),
        event.event_id,
        event.subject,
        event.occurred_at,
        event.received_at,
        event.deliver_at,
        event.expires_at,
        event.content_type,
        event.traceparent,
        (!event.channels.is_empty()).then(|| json(&event.channels)),
        event.webhook.as_ref().map(|webhook| webhook.url.as_str()),
        event.webhook.as_ref().map(|webhook| webhook.mode.as_str()),
        (!event.attributes.is_empty()).then(|| json(&event.attributes)),
        event.payload.as_ref(),
    ])
}

/// Writes those events whose ids are not there, in one statement; their `seq` by their ids.
pub(super) fn add_events<'e>(
    session: &Session,
    events: impl Iterator<Item = &'e Event>,
) -> Result<HashMap<EventId, i64>, StorageError> {
    let rows = events.map(|event| with_columns(event, |values| values.values()));
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    let mut written = HashMap::with_capacity(rows.len());
    if rows.is_empty() {
        return Ok(written);
    }
    let add = session.statement(
        "INSERT INTO events (id, application, type, event_id, subject, occurred_at, received_at, \
                             deliver_at, expires_at, content_type, traceparent, channels, \
                             webhook_url, webhook_mode, attributes, payload) \
         SELECT * FROM unnest(?1::bytea[], ?2::bytea[], ?3::text[], ?4::text[], ?5::text[], ?6::bigint[], \
                              ?7::bigint[], ?8::bigint[], ?9::bigint[], ?10::text[], ?11::text[], \
                              ?12::text[], ?13::text[], ?14::text[], ?15::text[], ?16::bytea[]) \
         RETURNING id, seq",
    );
    let added = add.and_then(|add| add.query_many(&rows)).map_err(|fault| fault.told)?;
    let mut added = Rows::Postgres(added);
    while let Some(row) = added.next()? {
        written.insert(row.get(0)?, row.get(1)?);
    }
    Ok(written)
}

/// The event of that `seq`.
pub(super) fn event_at(connection: &Connection, seq: i64) -> Result<Arc<Event>, StorageError> {
    let mut find = connection.prepare_cached("SELECT * FROM events WHERE seq = ?1")?;
    let mut rows = find.query([seq])?;
    match rows.next()? {
        Some(row) => event(&row).map(Arc::new),
        None => Err(corrupt(format!("event number {seq} is owed to somebody, and is not there"))),
    }
}

/// The event of that id.
pub(super) fn event_of(
    connection: &Connection,
    id: EventId,
) -> Result<Option<Event>, StorageError> {
    let mut find = connection.prepare_cached("SELECT * FROM events WHERE id = ?1")?;
    let mut rows = find.query([id])?;
    rows.next()?.map(|row| event(&row)).transpose()
}

/// The `seq` of the event of that id.
pub(super) fn seq_of(connection: &Connection, id: EventId) -> Result<Option<i64>, StorageError> {
    let mut find = connection.prepare_cached("SELECT seq FROM events WHERE id = ?1")?;
    Ok(find.query_row([id], |row| row.get(0)).optional()?)
}

/// Reads all columns of an event.
pub(super) fn event(row: &Row<'_>) -> Result<Event, StorageError> {
    let payload: Vec<u8> = row.get("payload")?;
    Ok(Event { payload: Bytes::from(payload), ..event_without_payload(row)? })
}

/// Reads all columns of an event but its payload, which is left empty.
pub(super) fn event_without_payload(row: &Row<'_>) -> Result<Event, StorageError> {
    let id: EventId = row.get("id")?;
    let event_type: String = row.get("type")?;
    Ok(Event {
        id,
        application: row.get("application")?,
        event_type: event_type.parse().map_err(|error| corrupt(format!("event {id}: {error}")))?,
        event_id: row.get("event_id")?,
        subject: row.get("subject")?,
        occurred_at: row.get("occurred_at")?,
        received_at: row.get("received_at")?,
        deliver_at: row.get("deliver_at")?,
        expires_at: row.get("expires_at")?,
        content_type: row.get("content_type")?,
        traceparent: row.get("traceparent")?,
        channels: match row.get::<_, Option<String>>("channels")? {
            Some(names) => read_json(&names, id, "channels")?,
            None => Box::default(),
        },
        webhook: webhook(row, id)?,
        attributes: match row.get::<_, Option<String>>("attributes")? {
            Some(named) => read_json(&named, id, "attributes")?,
            None => Box::default(),
        },
        payload: Bytes::new(),
    })
}

fn webhook(row: &Row<'_>, event: EventId) -> Result<Option<Webhook>, StorageError> {
    let Some(url) = row.get::<_, Option<String>>("webhook_url")? else { return Ok(None) };
    let url = Url::parse(&url).map_err(|e| corrupt(format!("webhook_url of {event}: {e}")))?;
    let mode: String = row.get("webhook_mode")?;
    let mode = mode.parse().map_err(|e| corrupt(format!("webhook_mode of {event}: {e}")))?;
    Ok(Some(Webhook { url, mode }))
}
