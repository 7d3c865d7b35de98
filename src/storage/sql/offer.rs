//! Moving deliveries because a person said so: replay, recall, cancel.
//!
//! Each is a walk in small steps over what the person meant, in the order it was written, so that a
//! million deliveries never hold up the pipeline's own jobs; where one step ended the next begins.

use std::ops::RangeInclusive;
use std::time::Duration;

use rusqlite::types::Value;

use super::books::Movement;
use super::dead_letters::{Conditions, TAKES_REPLAYS, WHOSE};
use super::engine::{Connection, OptionalExtension, Params, params};
use super::rows::State;
use crate::domain::id::{ApplicationId, EndpointId};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::dead_letters::DeadLetterFilter;

/// Most deliveries that one step moves: about 5 ms of the writer's time.
const STEP: u32 = 500;

/// What a step came to.
pub(super) struct Step {
    /// Deliveries that it moved.
    pub(super) moved: u64,
    /// Where the next one begins; `None` when there is nothing more.
    pub(super) next: Option<i64>,
}

impl Step {
    /// A step that moved what lies at these places, in their order.
    fn over(places: impl ExactSizeIterator<Item = i64>) -> Self {
        let moved = places.len() as u64;
        // Fewer than a step holds: these were the last.
        let next = places.last().filter(|_| moved == u64::from(STEP)).map(|last| last + 1);
        Self { moved, next }
    }
}

/// Brings dead letters with these numbers that match back to waiting. Those whose endpoint is gone
/// or disabled, or whose default URL is gone, are passed over: they stay where they are.
pub(super) fn replay(
    connection: &Connection,
    filter: &DeadLetterFilter,
    numbers: RangeInclusive<i64>,
    now: Timestamp,
) -> Result<Step, StorageError> {
    let mut conditions = Conditions::of(filter);
    let (first, last) = numbers.into_inner();
    conditions.and("d.seq BETWEEN ? AND ?", [Value::from(first), Value::from(last)]);
    conditions.and(TAKES_REPLAYS, []);
    let found: Vec<(i64, i64, EndpointId)> = conditions.rows(
        connection,
        &format!("SELECT d.seq, d.event, d.endpoint FROM dead_letters d {WHOSE}"),
        &format!("ORDER BY d.seq LIMIT {STEP}"),
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let mut revive = connection.prepare_cached(
        "UPDATE deliveries SET turn = turn + 1, attempts = 0, state = 1, held_by = 2, due_at = ?3, \
                               replay = NULL \
         WHERE event = ?1 AND endpoint = ?2",
    )?;
    let mut lift = connection.prepare_cached("DELETE FROM dead_letters WHERE seq = ?1")?;
    let mut movement = Movement::default();
    for (seq, event, endpoint) in &found {
        revive.execute(params![event, endpoint, now])?;
        lift.execute([seq])?;
        movement.moves(State::Dead, State::Waiting);
    }
    movement.post(connection)?;
    Ok(Step::over(found.iter().map(|(seq, ..)| *seq)))
}

/// Offers again what waits for an endpoint, from this event on: what is on the ladder, and what the
/// journal holds until a person acts.
///
/// Not what a router holds, or has claimed until a moment to come: that copy is in its memory, goes
/// on by itself, and a second one would repeat its request. Nor what is on offer already.
pub(super) fn recall(
    connection: &Connection,
    endpoint: EndpointId,
    from: i64,
    now: Timestamp,
) -> Result<Step, StorageError> {
    let found = walk(connection, RECALL, params![endpoint, from, Timestamp::NEVER, STEP])?;
    let mut offer = connection.prepare_cached(
        "UPDATE deliveries SET turn = turn + 1, held_by = 2, due_at = ?3 \
         WHERE event = ?1 AND endpoint = ?2",
    )?;
    for (event, _) in &found {
        offer.execute(params![event, endpoint, now])?;
    }
    Ok(Step::over(found.iter().map(|(event, _)| *event)))
}

/// Brings forward what waits for an endpoint's circuit, from this event on: the first to `due`, each next one so much
/// behind it; nothing is put later than it was. No turn ends: nobody else has a copy.
pub(super) fn bring_forward(
    connection: &Connection,
    endpoint: EndpointId,
    from: i64,
    due: Timestamp,
    interval: Duration,
) -> Result<Step, StorageError> {
    let found = walk(connection, KEPT_BY_CIRCUIT, params![endpoint, from, STEP])?;
    let mut bring = connection.prepare_cached(
        "UPDATE deliveries SET due_at = min(due_at, ?3) WHERE event = ?1 AND endpoint = ?2",
    )?;
    let mut due = due;
    for (event, _) in &found {
        bring.execute(params![event, endpoint, due])?;
        due = due + interval;
    }
    Ok(Step::over(found.iter().map(|(event, _)| *event)))
}

/// Where a walk over what waits for people has come to: an event's number, and an endpoint.
pub(super) type Place = (i64, EndpointId);

/// What a look over it found of an application's.
pub(super) struct Held {
    pub(super) found: Vec<Place>,
    /// Where the next look begins; `None` when there is nothing more.
    pub(super) next: Option<Place>,
}

/// Most rows that one look goes over: some 20 ms of a reader's time.
const LOOK: i64 = 5_000;

/// What waits for people, behind a place, in the order of `deliveries_waiting`: whether it is the
/// application's, and waits for it alone.
pub(super) const HELD: &str = "SELECT d.event, d.endpoint, \
            e.application = ?1 AND NOT EXISTS \
            (SELECT 1 FROM endpoints p \
             WHERE p.id = d.endpoint AND p.state <> 'active' AND p.deleted_at IS NULL) \
     FROM deliveries d INDEXED BY deliveries_waiting CROSS JOIN events e ON e.seq = d.event \
     WHERE d.state = 1 AND d.held_by = 2 AND d.due_at = ?2 AND (d.event, d.endpoint) > (?3, ?4) \
     ORDER BY d.event, d.endpoint LIMIT ?5";

/// Looks for what an application has held back, behind a place: a reader's work, for among it lies what
/// others wait for.
pub(super) fn held(
    connection: &Connection,
    application: ApplicationId,
    (event, endpoint): Place,
) -> Result<Held, StorageError> {
    let mut find = connection.prepare_cached(HELD)?;
    let mut rows = find.query(params![application, Timestamp::NEVER, event, endpoint, LOOK])?;
    let mut held = Held { found: Vec::new(), next: None };
    let mut seen = 0;
    while let Some(row) = rows.next()? {
        let place = (row.get(0)?, row.get(1)?);
        if row.get(2)? {
            held.found.push(place);
        }
        seen += 1;
        if seen == LOOK || held.found.len() == STEP as usize {
            held.next = Some(place);
            break;
        }
    }
    Ok(held)
}

/// Offers what a look found and still waits; how many.
pub(super) fn let_go(
    connection: &Connection,
    found: &[Place],
    now: Timestamp,
) -> Result<u64, StorageError> {
    let mut offer = connection.prepare_cached(
        "UPDATE deliveries SET turn = turn + 1, due_at = ?3 \
         WHERE event = ?1 AND endpoint = ?2 AND state = 1 AND held_by = 2 AND due_at = ?4",
    )?;
    let mut moved = 0;
    for (event, endpoint) in found {
        moved += offer.execute(params![event, endpoint, now, Timestamp::NEVER])? as u64;
    }
    Ok(moved)
}

/// The edit behind which an application's deliveries are to be offered, if there was one.
pub(super) fn recall_wanted(
    connection: &Connection,
    application: ApplicationId,
) -> Result<Option<i64>, StorageError> {
    let mut find =
        connection.prepare_cached("SELECT version FROM recalls WHERE application = ?1")?;
    Ok(find.query_row([application], |row| row.get(0)).optional()?)
}

/// What that edit wanted is done. A later one of the same kind wants it once more.
pub(super) fn recall_done(
    connection: &Connection,
    application: ApplicationId,
    version: i64,
) -> Result<(), StorageError> {
    let mut done =
        connection.prepare_cached("DELETE FROM recalls WHERE application = ?1 AND version = ?2")?;
    done.execute(params![application, version])?;
    Ok(())
}

/// Takes back what an endpoint is owed and has not got, from this event on.
pub(super) fn cancel(
    connection: &Connection,
    endpoint: EndpointId,
    from: i64,
) -> Result<Step, StorageError> {
    let found = walk(connection, CANCEL, params![endpoint, from, STEP])?;
    let mut cancel = connection.prepare_cached(
        "UPDATE deliveries SET turn = turn + 1, state = 4, held_by = NULL, due_at = NULL \
         WHERE event = ?1 AND endpoint = ?2",
    )?;
    let mut movement = Movement::default();
    for (event, state) in &found {
        cancel.execute(params![event, endpoint])?;
        movement.moves(*state, State::Cancelled);
    }
    movement.post(connection)?;
    Ok(Step::over(found.iter().map(|(event, _)| *event)))
}

/// What a recall is about, through `deliveries_unfinished`: `state < 2` says nothing new, it is there
/// for the planner to see that the index fits.
pub(super) const RECALL: &str = "SELECT event, state FROM deliveries \
     WHERE endpoint = ?1 AND state < 2 AND event >= ?2 AND state = 1 \
       AND (held_by IN (1, 3) OR (held_by = 2 AND due_at = ?3)) \
     ORDER BY event LIMIT ?4";
pub(super) const KEPT_BY_CIRCUIT: &str = "SELECT event, state FROM deliveries \
     WHERE endpoint = ?1 AND state < 2 AND event >= ?2 AND state = 1 AND held_by = 3 \
     ORDER BY event LIMIT ?3";
pub(super) const CANCEL: &str = "SELECT event, state FROM deliveries \
     WHERE endpoint = ?1 AND state < 2 AND event >= ?2 ORDER BY event LIMIT ?3";

/// Deliveries of one endpoint, by their event.
fn walk(
    connection: &Connection,
    sql: &str,
    values: impl Params,
) -> Result<Vec<(i64, State)>, StorageError> {
    let mut find = connection.prepare_cached(sql)?;
    let found = find.query_map(values, |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}
