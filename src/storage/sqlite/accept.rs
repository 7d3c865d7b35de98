//! Accepting events with the deliveries they owe, and telling how deliveries stand.

use rusqlite::{Connection, params};

use super::books::Movement;
use super::rows;
use crate::domain::delivery::{DeliveryKey, Standing, Turn};
use crate::domain::id::{EndpointId, EventId};
use crate::storage::StorageError;
use crate::storage::journal::{Acceptance, Owed};

/// Writes what is new, and says of the rest how it stands.
pub(super) fn accept(
    connection: &Connection,
    batch: &[Owed],
) -> Result<Vec<Acceptance>, StorageError> {
    let mut owe = connection.prepare_cached(
        "INSERT INTO deliveries (event, endpoint, turn, attempts, state) \
         VALUES (?1, ?2, ?3, 0, 0) ON CONFLICT DO NOTHING",
    )?;
    let mut movement = Movement::default();
    let mut answers = Vec::with_capacity(batch.len());
    for Owed { event, endpoints } in batch {
        let Some(seq) = rows::add_event(connection, event)? else {
            answers.push(Acceptance::Known(owed(connection, event.id)?));
            continue;
        };
        for endpoint in endpoints {
            // An endpoint that is named twice is owed one delivery.
            if owe.execute(params![seq, endpoint, Turn::FIRST])? == 1 {
                movement.owes();
            }
        }
        answers.push(Acceptance::New);
    }
    movement.post(connection)?;
    Ok(answers)
}

/// The deliveries that an event owed when it was accepted, as they stand.
fn owed(
    connection: &Connection,
    event: EventId,
) -> Result<Vec<(EndpointId, Standing)>, StorageError> {
    let mut find = connection.prepare_cached(
        "SELECT d.* FROM events e JOIN deliveries d ON d.event = e.seq WHERE e.id = ?1",
    )?;
    find.query_and_then([event], |row| Ok((row.get("endpoint")?, rows::standing(row)?)))?.collect()
}

/// How deliveries stand, in their order.
pub(super) fn standings(
    connection: &Connection,
    keys: &[DeliveryKey],
) -> Result<Vec<Option<Standing>>, StorageError> {
    let mut find = connection.prepare_cached(
        "SELECT d.* FROM events e JOIN deliveries d ON d.event = e.seq \
         WHERE e.id = ?1 AND d.endpoint = ?2",
    )?;
    keys.iter()
        .map(|key| {
            let mut found = find.query(params![key.event, key.endpoint])?;
            found.next()?.map(rows::standing).transpose()
        })
        .collect()
}
