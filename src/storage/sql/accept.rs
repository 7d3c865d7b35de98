//! Accepting events with the deliveries they owe, and telling how deliveries stand.
//!
//! An event that was published into this file is there already, with a note in `inbox`: accepting it
//! takes the note away and adds what it owes, in one transaction.

use super::books::Movement;
use super::engine::{Connection, OptionalExtension, Params as _, params};
use super::rows;
use crate::domain::delivery::{DeliveryKey, Standing, Turn};
use crate::domain::id::{EndpointId, EventId};
use crate::storage::StorageError;
use crate::storage::journal::{Acceptance, Owed};
use crate::storage::postgres::connection::Session;

/// Writes what is new, and says of the rest how it stands.
pub(super) fn accept(
    connection: &Connection,
    batch: &[Owed],
) -> Result<Vec<Acceptance>, StorageError> {
    if let Connection::Postgres(session) = connection {
        return accept_together(connection, session, batch);
    }
    let mut owe = connection.prepare_cached(
        "INSERT INTO deliveries (event, endpoint, turn, attempts, state) \
         VALUES (?1, ?2, ?3, 0, 0) ON CONFLICT DO NOTHING",
    )?;
    let mut movement = Movement::default();
    let mut answers = Vec::with_capacity(batch.len());
    for Owed { event, endpoints } in batch {
        let seq = match rows::add_event(connection, event)? {
            Some(seq) => Some(seq),
            None => noted(connection, event.id)?,
        };
        let Some(seq) = seq else {
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

/// The same in a statement for all of the events, and one for all that they owe: each would be a way to the server and
/// back.
fn accept_together(
    connection: &Connection,
    session: &Session,
    batch: &[Owed],
) -> Result<Vec<Acceptance>, StorageError> {
    let mut written = rows::add_events(session, batch.iter().map(|owed| &*owed.event))?;
    let mut movement = Movement::default();
    let mut owes = Vec::new();
    // Of an event that is in the batch twice, the first is new.
    let mut is_new = Vec::with_capacity(batch.len());
    for Owed { event, endpoints } in batch {
        let seq = match written.remove(&event.id) {
            Some(seq) => Some(seq),
            None => noted(connection, event.id)?,
        };
        is_new.push(seq.is_some());
        let Some(seq) = seq else { continue };
        for endpoint in endpoints {
            owes.push(params![seq, endpoint, Turn::FIRST].values()?);
        }
    }
    if !owes.is_empty() {
        // An endpoint that is named twice is owed one delivery.
        let owe = session.statement(
            "INSERT INTO deliveries (event, endpoint, turn, attempts, state) \
             SELECT event, endpoint, turn, 0, 0 \
             FROM unnest(?1::bigint[], ?2::bytea[], ?3::bigint[]) AS n (event, endpoint, turn) \
             ON CONFLICT DO NOTHING",
        );
        let owed = owe.and_then(|owe| owe.execute_many(&owes)).map_err(|fault| fault.told)?;
        (0..owed).for_each(|_| movement.owes());
    }
    let answers = batch.iter().zip(is_new).map(|(Owed { event, .. }, is_new)| {
        if is_new { Ok(Acceptance::New) } else { owed(connection, event.id).map(Acceptance::Known) }
    });
    let answers = answers.collect::<Result<_, StorageError>>()?;
    movement.post(connection)?;
    Ok(answers)
}

/// The `seq` of an event that was published and not accepted yet; it is not noted any more.
fn noted(connection: &Connection, event: EventId) -> Result<Option<i64>, StorageError> {
    let mut take = connection.prepare_cached(
        "DELETE FROM inbox WHERE event = (SELECT seq FROM events WHERE id = ?1) RETURNING event",
    )?;
    Ok(take.query_row([event], |row| row.get(0)).optional()?)
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
            found.next()?.map(|row| rows::standing(&row)).transpose()
        })
        .collect()
}
