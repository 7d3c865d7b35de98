//! Forgetting for good: a payload, an answer.
//!
//! **What if we die right here?** Each is one transaction: what is owed of an event is taken back in the
//! one that forgets its payload, so that nothing is ever sent with an empty one.

use super::super::books::Movement;
use super::super::engine::{Connection, params};
use super::super::rows::State;
use super::events;
use crate::domain::application::Tenant;
use crate::domain::delivery::DeliveryKey;
use crate::domain::id::{AttemptId, EndpointId, EventId};
use crate::storage::StorageError;
use crate::storage::history::EXPUNGED;

/// Forgets a payload; whether there was such an event.
pub(super) fn payload(
    connection: &Connection,
    tenant: Tenant,
    event: EventId,
) -> Result<bool, StorageError> {
    let Some(seq) = events::seq_of(connection, tenant, event)? else { return Ok(false) };
    take_back(connection, seq, event)?;
    overwriting(connection, || {
        let mut forget =
            connection.prepare_cached("UPDATE events SET payload = x'' WHERE seq = ?1")?;
        forget.execute([seq])?;
        Ok(())
    })?;
    Ok(true)
}

/// Takes back what an event owes or gave up, and lifts its dead letters: of no use without what they are about.
fn take_back(connection: &Connection, seq: i64, event: EventId) -> Result<(), StorageError> {
    // Not routed yet: it is known from now on, and owes nothing.
    connection.prepare_cached("DELETE FROM inbox WHERE event = ?1")?.execute([seq])?;
    let mut find = connection.prepare_cached(
        "SELECT endpoint, state FROM deliveries WHERE event = ?1 AND state IN (0, 1, 3, 5, 7)",
    )?;
    let found = find
        .query_map([seq], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<Vec<(EndpointId, State)>, _>>()?;
    let mut cancel = connection.prepare_cached(
        "UPDATE deliveries SET turn = turn + 1, state = 4, held_by = NULL, due_at = NULL \
         WHERE event = ?1 AND endpoint = ?2",
    )?;
    let mut lift = connection.prepare_cached("DELETE FROM dead_letters WHERE id = ?1")?;
    let mut movement = Movement::default();
    for (endpoint, state) in found {
        cancel.execute(params![seq, endpoint])?;
        if state == State::Dead {
            lift.execute([DeliveryKey { event, endpoint }.id()])?;
        }
        movement.moves(state, State::Cancelled);
    }
    movement.post(connection)
}

/// Forgets an answer; whether there was such an attempt.
pub(super) fn response(
    connection: &Connection,
    tenant: Tenant,
    event: EventId,
    attempt: AttemptId,
) -> Result<bool, StorageError> {
    let Some(seq) = events::seq_of(connection, tenant, event)? else { return Ok(false) };
    overwriting(connection, || {
        let mut forget = connection
            .prepare_cached("UPDATE attempts SET response = ?3 WHERE event = ?1 AND id = ?2")?;
        Ok(forget.execute(params![seq, attempt, EXPUNGED.as_bytes()])? == 1)
    })
}

/// Does something with what it removes written over, and not only marked as free: "for good" means in the
/// file as well. The log still has it until it begins anew. A server has no such word: what a row was before is gone with
/// the next vacuum of its table, some seconds or minutes later.
fn overwriting<T>(
    connection: &Connection,
    work: impl FnOnce() -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    if connection.is_shared() {
        return work();
    }
    let set = |sql| connection.query_row(sql, [], |_| Ok(()));
    set("PRAGMA secure_delete = ON")?;
    let done = work();
    set("PRAGMA secure_delete = OFF")?;
    done
}
