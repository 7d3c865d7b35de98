//! Putting dead letters away because a person said so, and counting what that would be.
//!
//! A walk, newest first, in small steps: a reader looks for what matches, and the writer judges each once
//! more, since it may have been replayed meanwhile. What dies while we are at it lies in front of the walk, and
//! is left.
//!
//! The delivery stays on record with its attempts, as `discarded`, in the books as well: it was owed, nobody
//! should take it for one that was missed, what was tried is what the person looked at who put it away, and it
//! does not come back when what was given up is offered again. Its event may go when it is old.
//!
//! **What if we die right here?** Each step is one transaction: what it put away is away, and the rest is dead.
//! The same call goes on.

use super::super::Sql;
use super::super::books::Movement;
use super::super::engine::{Connection, Row, params};
use super::super::rows::State;
use super::super::walk::LOOK;
use super::{groups, list};
use crate::domain::id::{DeliveryId, EndpointId};
use crate::storage::StorageError;
use crate::storage::dead_letters::{DeadLetterFilter, DeadLetterPlace, Discarded};
use crate::storage::page::{Listed, Order, Page, Place};

/// Most dead letters that one step puts away: some 10 ms of the writer's time.
const STEP: usize = 250;

/// One that is to be put away.
struct Found {
    seq: i64,
    id: DeliveryId,
    event: i64,
    endpoint: EndpointId,
}

/// Newest first, from behind a place on.
fn from(place: Option<DeadLetterPlace>, limit: usize) -> Page<DeadLetterPlace> {
    let place = place.map_or(Place::Beginning, Place::Behind);
    Page { limit, place, order: Order::Descending }
}

impl Sql {
    /// How many match; no more than `most` and a step are counted.
    pub(super) async fn count_in_steps(
        &self,
        filter: &DeadLetterFilter,
        most: u64,
    ) -> Result<u64, StorageError> {
        if filter.is_by_kind() {
            let wanted = filter.clone();
            let counted = self.browse(move |connection| groups::count(connection, &wanted)).await?;
            if let Some(letters) = counted {
                return Ok(letters);
            }
        }
        let (mut counted, mut place) = (0, None);
        loop {
            let wanted = filter.clone();
            let look = move |connection: &Connection| {
                list::look(connection, &wanted, &from(place, LOOK), |_, _| Ok(()))
            };
            let Listed { rows, beyond } = self.browse(look).await?;
            counted += rows.len() as u64;
            place = beyond;
            if place.is_none() || counted > most {
                return Ok(counted);
            }
        }
    }

    /// Puts away what matches, at the most so many.
    pub(super) async fn discard_in_steps(
        &self,
        filter: &DeadLetterFilter,
        most: u64,
    ) -> Result<Discarded, StorageError> {
        let (mut discarded, mut place) = (0, None);
        loop {
            let left = usize::try_from(most - discarded).unwrap_or(STEP).min(STEP);
            if left == 0 {
                return Ok(Discarded { discarded, done: false });
            }
            let wanted = filter.clone();
            let look = move |connection: &Connection| {
                list::look(connection, &wanted, &from(place, left), |row, _| found(row))
            };
            let Listed { rows, beyond } = self.browse(look).await?;
            if !rows.is_empty() {
                discarded += self.write(move |connection| put_away(connection, &rows)).await?;
            }
            place = beyond;
            if place.is_none() {
                return Ok(Discarded { discarded, done: true });
            }
        }
    }
}

fn found(row: &Row<'_>) -> Result<Found, StorageError> {
    Ok(Found {
        seq: row.get("seq")?,
        id: row.get("id")?,
        event: row.get("event")?,
        endpoint: row.get("endpoint")?,
    })
}

/// Puts these away, as far as they are still there; how many. A number may be another's by now, an id may not.
fn put_away(connection: &Connection, found: &[Found]) -> Result<u64, StorageError> {
    let mut lift =
        connection.prepare_cached("DELETE FROM dead_letters WHERE seq = ?1 AND id = ?2")?;
    let mut discard = connection.prepare_cached(
        "UPDATE deliveries SET turn = turn + 1, state = 7 \
         WHERE event = ?1 AND endpoint = ?2 AND state = 3",
    )?;
    let (mut movement, mut discarded) = (Movement::default(), 0);
    for one in found {
        if lift.execute(params![one.seq, one.id])? == 1 {
            discard.execute(params![one.event, one.endpoint])?;
            movement.moves(State::Dead, State::Discarded);
            discarded += 1;
        }
    }
    movement.post(connection)?;
    Ok(discarded)
}
