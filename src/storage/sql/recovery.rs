//! The recovery's port in SQL: walks over what the record believes to be in others' hands, in the order of
//! the indexes on what is pending and what waits.

use async_trait::async_trait;

use super::Sql;
use super::books::Movement;
use super::engine::{Connection, OptionalExtension, Row, params};
use super::rows::{self, State};
use crate::domain::delivery::{DeliveryKey, Holder};
use crate::domain::event::Rejection;
use crate::domain::id::EventId;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::recovery::{Hands, InHand, Noted, Place, Recovery};

/// A page of notes ends when its payloads come to this: they are in memory until they are routed.
const BYTES_MAX: usize = 8 * 1024 * 1024;

// The statements that look for something among all that is unfinished; a test reads their plans.
pub(super) const PENDING: &str = "SELECT e.id, d.endpoint, d.turn, 0, d.event \
     FROM deliveries d INDEXED BY deliveries_pending CROSS JOIN events e ON e.seq = d.event \
     WHERE d.state = 0 AND (d.event, d.endpoint) > (?1, ?2) \
     ORDER BY d.event, d.endpoint LIMIT ?3";
pub(super) const WAITING: &str = "SELECT e.id, d.endpoint, d.turn, d.due_at, d.event \
     FROM deliveries d INDEXED BY deliveries_waiting CROSS JOIN events e ON e.seq = d.event \
     WHERE d.state = 1 AND d.held_by = ?1 AND (d.due_at, d.event, d.endpoint) > (?2, ?3, ?4) \
     ORDER BY d.due_at, d.event, d.endpoint LIMIT ?5";

#[async_trait]
impl Recovery for Sql {
    async fn in_hand(
        &self,
        hands: Hands,
        behind: Place,
        limit: u32,
    ) -> Result<Vec<InHand>, StorageError> {
        self.browse(move |connection| in_hand(connection, hands, behind, limit)).await
    }

    async fn offer_again(&self, lost: Vec<InHand>, now: Timestamp) -> Result<u64, StorageError> {
        self.write(move |connection| offer_again(connection, &lost, now)).await
    }

    async fn noted(&self, behind: i64, limit: u32) -> Result<Vec<Noted>, StorageError> {
        self.browse(move |connection| noted(connection, behind, limit)).await
    }

    async fn put_away(
        &self,
        events: Vec<(EventId, Rejection)>,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        self.write(move |connection| put_away(connection, &events, now)).await
    }
}

fn in_hand(
    connection: &Connection,
    hands: Hands,
    behind: Place,
    limit: u32,
) -> Result<Vec<InHand>, StorageError> {
    let Place { due_at, event, endpoint } = behind;
    let read = |row: &Row<'_>| {
        let endpoint = row.get(1)?;
        Ok(InHand {
            key: DeliveryKey { event: row.get(0)?, endpoint },
            turn: row.get(2)?,
            place: Place { due_at: row.get(3)?, event: row.get(4)?, endpoint },
        })
    };
    let waiting = |holder: Holder| {
        let mut find = connection.prepare_cached(WAITING)?;
        let found = find.query_map(params![holder, due_at, event, endpoint, limit], read)?;
        Ok(found.collect::<Result<_, _>>()?)
    };
    match hands {
        Hands::Inbox => {
            let mut find = connection.prepare_cached(PENDING)?;
            let found = find.query_map(params![event, endpoint, limit], read)?;
            Ok(found.collect::<Result<_, _>>()?)
        }
        Hands::Router => waiting(Holder::Router),
        Hands::Ladder => waiting(Holder::Ladder),
    }
}

/// What has moved on since, or is the journal's already, is passed over.
fn offer_again(
    connection: &Connection,
    lost: &[InHand],
    now: Timestamp,
) -> Result<u64, StorageError> {
    let mut find = connection.prepare_cached(
        "SELECT state FROM deliveries WHERE event = ?1 AND endpoint = ?2 AND turn = ?3 \
         AND (state = 0 OR (state = 1 AND held_by < 2))",
    )?;
    // What was never settled has no moment of its own: now, unless its producer wants it later.
    let mut offer = connection.prepare_cached(
        "UPDATE deliveries SET turn = turn + 1, state = 1, held_by = 2, \
             due_at = coalesce(due_at, max(?3, coalesce((SELECT deliver_at FROM events \
                                                         WHERE seq = ?1), ?3))) \
         WHERE event = ?1 AND endpoint = ?2",
    )?;
    let mut movement = Movement::default();
    let mut offered = 0;
    for InHand { turn, place, .. } in lost {
        let row = params![place.event, place.endpoint, turn];
        let state: Option<State> = find.query_row(row, |row| row.get(0)).optional()?;
        let Some(state) = state else { continue };
        offer.execute(params![place.event, place.endpoint, now])?;
        movement.moves(state, State::Waiting);
        offered += 1;
    }
    movement.post(connection)?;
    Ok(offered)
}

fn noted(connection: &Connection, behind: i64, limit: u32) -> Result<Vec<Noted>, StorageError> {
    let mut find = connection.prepare_cached(
        "SELECT e.* FROM inbox i CROSS JOIN events e ON e.seq = i.event \
         WHERE i.event > ?1 ORDER BY i.event LIMIT ?2",
    )?;
    let mut found = find.query(params![behind, limit])?;
    let (mut noted, mut bytes) = (Vec::new(), 0);
    while bytes < BYTES_MAX
        && let Some(row) = found.next()?
    {
        let event = rows::event(&row)?;
        bytes += event.payload.len();
        noted.push(Noted { number: row.get("seq")?, event });
    }
    Ok(noted)
}

fn put_away(
    connection: &Connection,
    events: &[(EventId, Rejection)],
    now: Timestamp,
) -> Result<(), StorageError> {
    let mut take = connection.prepare_cached(
        "DELETE FROM inbox WHERE event = (SELECT seq FROM events WHERE id = ?1) RETURNING event",
    )?;
    let mut put =
        connection.prepare_cached("INSERT OR IGNORE INTO quarantine VALUES (?1, ?2, ?3, ?4)")?;
    for (event, why) in events {
        let seq: Option<i64> = take.query_row([event], |row| row.get(0)).optional()?;
        if let Some(seq) = seq {
            put.execute(params![seq, why.reason(), why.to_string(), now])?;
        }
    }
    Ok(())
}
