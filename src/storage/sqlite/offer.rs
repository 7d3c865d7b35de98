//! Moving deliveries because a person said so: replay, recall, cancel.
//!
//! Each is a walk in small steps over what the person meant, in the order it was written, so that a
//! million deliveries never hold up the pipeline's own jobs; where one step ended the next begins.

use std::ops::RangeInclusive;

use rusqlite::types::Value;
use rusqlite::{Connection, params};

use super::books::Movement;
use super::dead_letters::Conditions;
use super::rows::State;
use crate::domain::id::EndpointId;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::journal::DeadLetterFilter;

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
/// or disabled are passed over: they stay where they are.
pub(super) fn replay(
    connection: &Connection,
    filter: &DeadLetterFilter,
    numbers: RangeInclusive<i64>,
    now: Timestamp,
) -> Result<Step, StorageError> {
    let mut conditions = Conditions::of(filter);
    let (first, last) = numbers.into_inner();
    conditions.and("d.seq BETWEEN ? AND ?", [Value::from(first), Value::from(last)]);
    let found: Vec<(i64, i64, EndpointId)> = conditions.rows(
        connection,
        "SELECT d.seq, d.event, d.endpoint FROM dead_letters d \
         JOIN endpoints e ON e.id = d.endpoint AND e.deleted_at IS NULL AND e.state <> 'disabled'",
        &format!("ORDER BY d.seq LIMIT {STEP}"),
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let mut revive = connection.prepare_cached(
        "UPDATE deliveries SET turn = turn + 1, attempts = 0, state = 1, held_by = 2, due_at = ?3 \
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
       AND (held_by = 1 OR (held_by = 2 AND due_at = ?3)) \
     ORDER BY event LIMIT ?4";
pub(super) const CANCEL: &str = "SELECT event, state FROM deliveries \
     WHERE endpoint = ?1 AND state < 2 AND event >= ?2 ORDER BY event LIMIT ?3";

/// Deliveries of one endpoint, by their event.
fn walk(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<(i64, State)>, StorageError> {
    let mut find = connection.prepare_cached(sql)?;
    let found = find.query_map(values, |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}
