//! Looking for what the next step of a replay offers: a reader's work, over a bounded number of rows.
//!
//! It begins where the replay is, and says how far it came, whether or not it found anything: so a filter that
//! matches one dead letter in a million costs many small looks, and no long one.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use rusqlite::types::Value;

use super::super::engine::{Connection, Row, Rows, params};
use super::Entry;
use super::preview::of_organisation;
use crate::domain::endpoint::Endpoint;
use crate::domain::event::{Channels, EventType, WebhookMode};
use crate::domain::id::{EndpointId, EventId};
use crate::domain::replay::{ReplayState, Scope};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::replays::{OfEndpoint, Selection};
use crate::storage::sql::dead_letters::Conditions;
use crate::storage::sql::endpoints;
use crate::storage::sql::rows::{State, corrupt, read_json};
use crate::storage::vault::Vault;

/// Most rows that one look goes over: some 20 ms of a reader's time.
const LOOK: u32 = 5_000;
/// A look ends after this long, on a slow disk too.
const LOOK_FOR: Duration = Duration::from_millis(50);
/// As many as are looked for to be counted: as many as a look goes over.
pub(super) const COUNTED: usize = LOOK as usize;

/// A delivery that is to be offered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// The number of its event, and the event's id.
    pub(super) event: i64,
    pub(super) id: EventId,
    pub(super) endpoint: EndpointId,
    /// Bytes of the payload; 0 when it was forgotten.
    pub(super) bytes: i64,
    /// When the event was received; of a dead letter, when it was given up.
    pub(super) at: Timestamp,
    /// Until when the event is of use, if it ends.
    pub(super) expires_at: Option<Timestamp>,
}

impl Found {
    /// Whether it would be given up without an attempt.
    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

/// How far a look came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walked {
    /// To the end.
    All,
    /// Up to this number.
    UpTo(i64),
}

/// What a look found.
pub(in super::super) struct Look {
    pub(super) entry: Entry,
    pub(super) found: Vec<Found>,
    /// Where the replay is when this is done, and what it is then.
    pub(super) next: i64,
    pub(super) state: ReplayState,
}

/// Looks for what the next step offers, at most so many; `None` for a replay that is not running.
pub(super) fn look(
    connection: &Connection,
    vault: &Vault,
    entry: Entry,
    most: u32,
) -> Result<Option<Look>, StorageError> {
    if entry.replay.state != ReplayState::Running {
        return Ok(None);
    }
    let (most, ahead) = (most as usize, entry.place..=entry.last);
    let (found, walked) = match &entry.replay.selection {
        Selection::DeadLetters(_) => dead(connection, &entry, most)?,
        Selection::OfEndpoint(of) => of_endpoint(connection, vault, of, ahead, most)?,
    };
    let (next, state) = match walked {
        Walked::All => (entry.last, ReplayState::Finished),
        Walked::UpTo(next) => (next, ReplayState::Running),
    };
    Ok(Some(Look { entry, found, next, state }))
}

/// How far so many of all dead letters reach.
const REACH: &str = "SELECT max(seq) FROM \
     (SELECT seq FROM dead_letters WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3) AS few";

/// The walk over dead letters, in the order in which they were laid down: whatever the filter says, by no index but
/// their numbers.
fn dead(
    connection: &Connection,
    entry: &Entry,
    most: usize,
) -> Result<(Vec<Found>, Walked), StorageError> {
    let Selection::DeadLetters(filter) = &entry.replay.selection else {
        unreachable!("the caller has looked")
    };
    let begun = Instant::now();
    let mut reach = connection.prepare_cached(REACH)?;
    let (mut found, mut from) = (Vec::new(), entry.place);
    while begun.elapsed() < LOOK_FOR {
        let to: Option<i64> = reach.query_row(params![from, entry.last, LOOK], |row| row.get(0))?;
        let Some(to) = to else { return Ok((found, Walked::All)) };
        let mut conditions = Conditions::of(filter);
        conditions.and("d.seq > ? AND d.seq <= ?", [Value::from(from), Value::from(to)]);
        of_organisation(&mut conditions, entry.replay.organisation);
        let wanted = most - found.len();
        let rows = conditions.rows(
            connection,
            "SELECT d.seq, d.event, d.event_id, d.endpoint, d.payload_bytes, d.died_at, d.expires_at \
             FROM dead_letters d NOT INDEXED",
            &format!("ORDER BY d.seq LIMIT {wanted}"),
            |row| {
                let found = Found {
                    event: row.get(1)?,
                    id: row.get(2)?,
                    endpoint: row.get(3)?,
                    bytes: row.get(4)?,
                    at: row.get(5)?,
                    expires_at: row.get(6)?,
                };
                Ok((row.get::<_, i64>(0)?, found))
            },
        )?;
        let is_full = rows.len() == wanted;
        let end = rows.last().map(|(seq, _)| *seq);
        found.extend(rows.into_iter().map(|(_, one)| one));
        if is_full {
            return Ok((found, Walked::UpTo(end.unwrap_or(to))));
        }
        from = to;
    }
    Ok((found, Walked::UpTo(from)))
}

/// The walk over an endpoint's deliveries, or over the events of its application: behind the first number, up to the
/// last.
pub(super) fn of_endpoint(
    connection: &Connection,
    vault: &Vault,
    of: &OfEndpoint,
    ahead: RangeInclusive<i64>,
    most: usize,
) -> Result<(Vec<Found>, Walked), StorageError> {
    match of.scope {
        Scope::GivenUp | Scope::Delivered => owed(connection, of, &ahead, most),
        // Whether it may be called is for the writer to say, at the moment that it offers something.
        Scope::Missing => match endpoints::any(connection, vault, of.endpoint)? {
            Some(endpoint) => missed(connection, of, &endpoint, &ahead, most),
            None => Ok((Vec::new(), Walked::All)),
        },
        Scope::DeadLetters => unreachable!("a selection of dead letters has a filter"),
    }
}

/// Whether a delivery in this state is what is asked for.
///
/// Given up is not what is unknown: its receiver may have it, and was promised that it comes at most once. Who
/// wants one of those sent again asks for it by name. Nor is what a person has put away.
pub(super) const fn is_wanted(scope: Scope, state: State) -> bool {
    match state {
        State::Dead => matches!(scope, Scope::GivenUp | Scope::DeadLetters),
        State::Dropped => matches!(scope, Scope::GivenUp),
        State::Delivered => matches!(scope, Scope::Delivered),
        State::Pending | State::Waiting | State::Cancelled | State::Unknown | State::Discarded => {
            false
        }
    }
}

/// Goes over rows in the order of their events, by the number in their first column.
fn over(
    mut rows: Rows<'_>,
    from: i64,
    most: usize,
    mut wanted: impl FnMut(&Row<'_>, i64) -> Result<Option<Found>, StorageError>,
) -> Result<(Vec<Found>, Walked), StorageError> {
    let begun = Instant::now();
    let (mut found, mut seen, mut next) = (Vec::new(), 0, from);
    while found.len() < most && begun.elapsed() < LOOK_FOR {
        let Some(row) = rows.next()? else {
            let walked = if seen < LOOK { Walked::All } else { Walked::UpTo(next) };
            return Ok((found, walked));
        };
        next = row.get(0)?;
        found.extend(wanted(&row, next)?);
        seen += 1;
    }
    Ok((found, Walked::UpTo(next)))
}

/// The walk over what an endpoint was owed.
pub(in super::super) const OWED: &str = "SELECT event, state FROM deliveries INDEXED BY deliveries_to \
     WHERE endpoint = ?1 AND event > ?2 AND event <= ?3 ORDER BY event LIMIT ?4";

/// What was given up, or delivered.
fn owed(
    connection: &Connection,
    of: &OfEndpoint,
    ahead: &RangeInclusive<i64>,
    most: usize,
) -> Result<(Vec<Found>, Walked), StorageError> {
    let mut find = connection.prepare_cached(OWED)?;
    let mut event = connection.prepare_cached(
        "SELECT id, type, received_at, length(payload), expires_at FROM events WHERE seq = ?1",
    )?;
    let rows = find.query(params![of.endpoint, ahead.start(), ahead.end(), LOOK])?;
    over(rows, *ahead.start(), most, |row, seq| {
        if !is_wanted(of.scope, row.get("state")?) {
            return Ok(None);
        }
        let mut event = event.query([seq])?;
        let Some(event) = event.next()? else { return Ok(None) };
        let at = event.get(2)?;
        let is_wanted = is_in(of, at) && is_of_type(of, &event)?;
        let (id, bytes, expires_at) = (event.get(0)?, event.get(3)?, event.get(4)?);
        let found = Found { event: seq, id, endpoint: of.endpoint, bytes, at, expires_at };
        Ok(is_wanted.then_some(found))
    })
}

/// The walk over an application's events.
pub(in super::super) const EVENTS: &str = "SELECT seq, id, type, channels, webhook_mode, received_at, \
            length(payload) AS bytes, expires_at \
     FROM events INDEXED BY events_of \
     WHERE application = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq LIMIT ?4";

/// What the endpoint wants now and was never owed.
fn missed(
    connection: &Connection,
    of: &OfEndpoint,
    endpoint: &Endpoint,
    ahead: &RangeInclusive<i64>,
    most: usize,
) -> Result<(Vec<Found>, Walked), StorageError> {
    let mut find = connection.prepare_cached(EVENTS)?;
    let mut owed =
        connection.prepare_cached("SELECT 1 FROM deliveries WHERE event = ?1 AND endpoint = ?2")?;
    let rows = find.query(params![of.application, ahead.start(), ahead.end(), LOOK])?;
    over(rows, *ahead.start(), most, |row, seq| {
        let at = row.get("received_at")?;
        if !is_in(of, at)
            || !is_of_type(of, row)?
            || !wants(endpoint, row)?
            || owed.exists(params![seq, of.endpoint])?
        {
            return Ok(None);
        }
        let (id, bytes, expires_at) = (row.get("id")?, row.get("bytes")?, row.get("expires_at")?);
        Ok(Some(Found { event: seq, id, endpoint: of.endpoint, bytes, at, expires_at }))
    })
}

/// Whether an endpoint wants the event of this row, as routing would say.
fn wants(endpoint: &Endpoint, row: &Row<'_>) -> Result<bool, StorageError> {
    let event_type = event_type(row)?;
    let elsewhere = Some(WebhookMode::Override.as_str());
    if !endpoint.filter.wants(&event_type)
        || row.get::<_, Option<String>>("webhook_mode")?.as_deref() == elsewhere
    {
        return Ok(false);
    }
    let channels: Channels = match row.get::<_, Option<String>>("channels")? {
        Some(names) => read_json(&names, "an event", "channels")?,
        None => Channels::default(),
    };
    Ok(endpoint.listens_on(&channels))
}

fn event_type(row: &Row<'_>) -> Result<EventType, StorageError> {
    let text: String = row.get("type")?;
    text.parse().map_err(|error| corrupt(format!("an event: {error}")))
}

fn is_of_type(of: &OfEndpoint, row: &Row<'_>) -> Result<bool, StorageError> {
    match &of.event_type {
        None => Ok(true),
        Some(pattern) => Ok(pattern.matches(&event_type(row)?)),
    }
}

fn is_in(of: &OfEndpoint, received_at: Timestamp) -> bool {
    received_at >= of.since && of.until.is_none_or(|until| received_at < until)
}
