//! An event for one endpoint alone: an example, sent because somebody asked for it.
//!
//! **What if we die right here?** The event and what it owes are one transaction, and a router claims it
//! from the journal: it is sent, or it was never asked for.

use super::super::books::Movement;
use super::super::engine::{Connection, params};
use super::super::rows::{self, State};
use crate::domain::application::Tenant;
use crate::domain::delivery::Turn;
use crate::domain::event::Event;
use crate::domain::id::EndpointId;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;

/// Records the event with its one delivery.
pub(super) fn send(
    connection: &Connection,
    tenant: Tenant,
    event: &Event,
    endpoint: EndpointId,
    now: Timestamp,
) -> Result<(), StorageError> {
    let mut find = connection.prepare_cached(
        "SELECT 1 FROM endpoints WHERE id = ?1 AND application = ?2 AND deleted_at IS NULL",
    )?;
    if event.application != tenant.application()
        || !find.exists(params![endpoint, tenant.application()])?
    {
        return Err(StorageError::Conflict(format!("endpoint {endpoint} does not exist")));
    }
    let Some(seq) = rows::add_event(connection, event)? else {
        return Err(StorageError::Conflict(format!("event {} is there already", event.id)));
    };
    let mut owe = connection.prepare_cached(
        "INSERT INTO deliveries (event, endpoint, turn, attempts, state, held_by, due_at) \
         VALUES (?1, ?2, ?3, 0, 1, 2, ?4)",
    )?;
    owe.execute(params![seq, endpoint, Turn::FIRST.next(), now])?;
    let mut movement = Movement::default();
    movement.owes();
    movement.moves(State::Pending, State::Waiting);
    movement.post(connection)
}
