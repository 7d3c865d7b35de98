//! Attempts that people ask for: from the asking to the record of what came of them.
//!
//! **What if we die right here?** Before the row is committed, nobody was told that the attempt will be
//! made. With the row, a router claims it, and the row goes in the transaction that keeps the attempt;
//! a router that dies in between leaves a lease that ends, and the attempt is made once more. At most once, the
//! row goes before the request is made: a router that dies behind that leaves an attempt of unknown end.

use rusqlite::types::ValueRef;

use super::books::Movement;
use super::engine::{Connection, OptionalExtension, params};
use super::rows::{self, State};
use crate::domain::application::Tenant;
use crate::domain::delivery::{Delivery, DeliveryKey, Turn};
use crate::domain::endpoint::default_of;
use crate::domain::id::{ApplicationId, EndpointId};
use crate::domain::settlement::Settlement;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::journal::Resend;

/// Asks for an attempt; whether there are such an event and such an endpoint, or such a URL, of the tenant's.
pub(super) fn ask(
    connection: &Connection,
    tenant: Tenant,
    key: DeliveryKey,
    now: Timestamp,
) -> Result<bool, StorageError> {
    let mut find = connection.prepare_cached(
        "SELECT seq, length(payload), EXISTS (SELECT 1 FROM inbox WHERE event = seq) \
         FROM events WHERE id = ?1 AND application = ?2",
    )?;
    let found = find
        .query_row(params![key.event, tenant.application()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?, row.get::<_, bool>(2)?))
        })
        .optional()?;
    let Some((event, payload_bytes, is_new)) = found else { return Ok(false) };
    if !is_there(connection, tenant, event, key.endpoint)? {
        return Ok(false);
    }
    if is_new {
        // What it owes is not fixed yet: a delivery that is made up now would stand in the way.
        let event = key.event;
        return Err(StorageError::Conflict(format!(
            "event {event} was published just now and is not routed yet: ask again in a moment"
        )));
    }
    if payload_bytes == 0 {
        let event = key.event;
        return Err(StorageError::Conflict(format!(
            "the payload of event {event} was deleted: there is nothing to send"
        )));
    }
    let mut owe = connection.prepare_cached(
        "INSERT INTO deliveries (event, endpoint, turn, attempts, state) \
         VALUES (?1, ?2, ?3, 0, 4) ON CONFLICT DO NOTHING",
    )?;
    if owe.execute(params![event, key.endpoint, Turn::FIRST.next()])? == 1 {
        let mut movement = Movement::default();
        movement.owes();
        movement.moves(State::Pending, State::Cancelled);
        movement.post(connection)?;
    }
    let mut ask = connection.prepare_cached(
        "INSERT INTO resends (event, endpoint, due_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    ask.execute(params![event, key.endpoint, now])?;
    Ok(true)
}

/// Whether there is anything to claim.
pub(super) fn any(connection: &Connection, now: Timestamp) -> Result<bool, StorageError> {
    let mut look = connection.prepare_cached("SELECT 1 FROM resends WHERE due_at <= ?1 LIMIT 1")?;
    Ok(look.exists([now])?)
}

/// Whether there is such an endpoint of the tenant's, or such a URL for this event of the tenant's.
fn is_there(
    connection: &Connection,
    tenant: Tenant,
    event: i64,
    endpoint: EndpointId,
) -> Result<bool, StorageError> {
    let application = tenant.application();
    let mut listed =
        connection.prepare_cached("SELECT application, deleted_at FROM endpoints WHERE id = ?1")?;
    let listed = listed.query_row([endpoint], |row| {
        Ok(row.get::<_, ApplicationId>(0)? == application && row.get_ref(1)? == ValueRef::Null)
    });
    if let Some(is_it) = listed.optional()? {
        return Ok(is_it);
    }
    if endpoint == default_of(application) {
        let mut url = connection.prepare_cached(
            "SELECT 1 FROM settings WHERE application = ?1 AND default_url IS NOT NULL",
        )?;
        return Ok(url.exists([application])?);
    }
    Ok(rows::event_at(connection, event)?.names(endpoint))
}

/// Claims what may be made by `now`, longest due first. What cannot be made any more, because its event
/// or its payload is not kept any longer, is done with.
pub(super) fn claim(
    connection: &Connection,
    now: Timestamp,
    lease_until: Timestamp,
    limit: usize,
) -> Result<Vec<Resend>, StorageError> {
    let mut find = connection.prepare_cached(
        "SELECT r.number, r.event, r.endpoint, d.turn, d.attempts \
         FROM resends r LEFT JOIN deliveries d ON d.event = r.event AND d.endpoint = r.endpoint \
         WHERE r.due_at <= ?1 ORDER BY r.due_at LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = find
        .query_map(params![now, limit], |row| {
            let standing = row.get::<_, Option<Turn>>(3)?.zip(row.get::<_, Option<u32>>(4)?);
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, standing))
        })?
        .collect::<Result<Vec<(i64, i64, EndpointId, Option<(Turn, u32)>)>, _>>()?;
    let mut lease =
        connection.prepare_cached("UPDATE resends SET due_at = ?2 WHERE number = ?1")?;
    let mut claimed = Vec::with_capacity(found.len());
    for (number, event, endpoint, standing) in found {
        let Some((turn, attempts)) = standing else {
            done(connection, number)?;
            continue;
        };
        let event = rows::event_at(connection, event)?;
        if event.payload.is_empty() {
            done(connection, number)?; // expunged since it was asked for
            continue;
        }
        lease.execute(params![number, lease_until])?;
        claimed.push(Resend {
            number,
            delivery: Delivery { event, endpoint, turn, attempts, replayed: false },
        });
    }
    Ok(claimed)
}

/// Puts requests off.
pub(super) fn put_off(
    connection: &Connection,
    numbers: &[i64],
    until: Timestamp,
) -> Result<(), StorageError> {
    let mut update =
        connection.prepare_cached("UPDATE resends SET due_at = ?2 WHERE number = ?1")?;
    for number in numbers {
        update.execute(params![number, until])?;
    }
    Ok(())
}

/// What a router had claimed that is no more may be claimed again: nobody else has the file.
pub(super) fn end_leases(connection: &Connection, now: Timestamp) -> Result<(), StorageError> {
    connection.execute("UPDATE resends SET due_at = ?1 WHERE due_at > ?1", [now])?;
    Ok(())
}

/// Carries out what a settlement means for the request that it answers; whether the request was there, and
/// is done with now.
pub(super) fn settle(
    connection: &Connection,
    number: i64,
    settlement: &Settlement,
) -> Result<bool, StorageError> {
    match settlement {
        Settlement::Postpone(due, _) => {
            put_off(connection, &[number], due.at)?;
            Ok(false)
        }
        Settlement::Delivered
        | Settlement::Retry(_)
        | Settlement::DeadLetter(_)
        | Settlement::Drop(_)
        | Settlement::LetGo
        | Settlement::Cancelled
        | Settlement::Unchanged => done(connection, number),
    }
}

fn done(connection: &Connection, number: i64) -> Result<bool, StorageError> {
    let mut delete = connection.prepare_cached("DELETE FROM resends WHERE number = ?1")?;
    Ok(delete.execute([number])? == 1)
}
