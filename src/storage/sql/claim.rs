//! Claiming what the journal holds, what a router left lying, what the ladder has lost, and what
//! everybody has forgotten.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::books::Movement;
use super::engine::{Connection, params};
use super::rows::{self, State};
use crate::domain::delivery::{Delivery, Turn};
use crate::domain::id::EndpointId;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::journal::Overdue;

/// What can be claimed: the journal's due by `?1`, its own and what it holds for a circuit, a router's abandoned before `?2`, the ladder's
/// lost before `?3`, each through `deliveries_waiting`; and what is pending and forgotten since before
/// `?5`. Of the pending only the oldest are looked at: they are in the order in which they were received.
macro_rules! to_claim {
    ($held:literal) => {
        concat!(
            "SELECT event, endpoint, turn, attempts, state, due_at, replay IS NOT NULL AS replayed \
         FROM deliveries ",
            $held,
            " \
         UNION ALL \
         SELECT event, endpoint, turn, attempts, state, due_at, replay IS NOT NULL AS replayed \
         FROM deliveries \
         WHERE state = 1 AND held_by = 3 AND due_at <= ?1 \
         UNION ALL \
         SELECT event, endpoint, turn, attempts, state, due_at, replay IS NOT NULL AS replayed \
         FROM deliveries \
         WHERE state = 1 AND held_by = 0 AND due_at < ?2 \
         UNION ALL \
         SELECT event, endpoint, turn, attempts, state, due_at, replay IS NOT NULL AS replayed \
         FROM deliveries \
         WHERE state = 1 AND held_by = 1 AND due_at < ?3 \
         UNION ALL \
         SELECT oldest.event, endpoint, turn, attempts, state, received_at, replayed \
         FROM (SELECT event, endpoint, turn, attempts, state, replay IS NOT NULL AS replayed \
               FROM deliveries \
               WHERE state = 0 ORDER BY event LIMIT 200) AS oldest \
         JOIN events ON events.seq = oldest.event \
         WHERE received_at < ?5 \
         ORDER BY due_at LIMIT ?4"
        )
    };
}
pub(super) const TO_CLAIM: &str = to_claim!("WHERE state = 1 AND held_by = 2 AND due_at <= ?1");
/// The same without what replays have offered: by an index in which that is not, or each claim would go over all
/// of it.
pub(super) const TO_CLAIM_LIVE: &str = to_claim!(
    "INDEXED BY deliveries_live \
     WHERE state = 1 AND held_by = 2 AND replay IS NULL AND due_at <= ?1"
);

const fn to_claim(replayed: bool) -> &'static str {
    if replayed { TO_CLAIM } else { TO_CLAIM_LIVE }
}

/// Payloads of one claim, together: they are read in the writer's transaction, and held in memory until
/// the window takes them in.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// Whether there is anything to claim.
pub(super) fn any(connection: &Connection, overdue: Overdue) -> Result<bool, StorageError> {
    let Overdue { due_by, abandoned_before, lost_before, forgotten_before, replayed } = overdue;
    let mut look = connection.prepare_cached(to_claim(replayed))?;
    Ok(look.exists(params![due_by, abandoned_before, lost_before, 1, forgotten_before])?)
}

/// Claims up to `limit`, or up to [`BYTES_MAX`], oldest due first: their turn grows, and their lease ends at `lease_until`.
pub(super) fn claim(
    connection: &Connection,
    overdue: Overdue,
    lease_until: Timestamp,
    limit: usize,
) -> Result<Vec<Delivery>, StorageError> {
    let Overdue { due_by, abandoned_before, lost_before, forgotten_before, replayed } = overdue;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut find = connection.prepare_cached(to_claim(replayed))?;
    let due = find
        .query_map(
            params![due_by, abandoned_before, lost_before, limit, forgotten_before],
            |row| {
                Ok(Due {
                    seq: row.get(0)?,
                    endpoint: row.get(1)?,
                    turn: row.get(2)?,
                    attempts: row.get(3)?,
                    state: row.get(4)?,
                    replayed: row.get(6)?,
                })
            },
        )?
        .collect::<Result<Vec<_>, _>>()?;
    let mut lease = connection.prepare_cached(
        "UPDATE deliveries SET turn = ?3, state = 1, held_by = 2, due_at = ?4 \
         WHERE event = ?1 AND endpoint = ?2",
    )?;
    let mut movement = Movement::default();
    // One event may be due for many endpoints: its payload is loaded once and shared.
    let mut events = HashMap::new();
    let mut bytes = 0;
    let mut claimed = Vec::with_capacity(due.len());
    for Due { seq, endpoint, turn, attempts, state, replayed } in due {
        if bytes >= BYTES_MAX {
            break; // the rest is claimed next
        }
        let turn = turn.next();
        lease.execute(params![seq, endpoint, turn, lease_until])?;
        movement.moves(state, State::Waiting);
        let event = match events.entry(seq) {
            Entry::Occupied(loaded) => Arc::clone(loaded.get()),
            Entry::Vacant(place) => {
                let event = rows::event_at(connection, seq)?;
                bytes += event.payload.len();
                Arc::clone(place.insert(event))
            }
        };
        claimed.push(Delivery { event, endpoint, turn, attempts, replayed });
    }
    movement.post(connection)?;
    Ok(claimed)
}

/// A row that can be claimed.
struct Due {
    seq: i64,
    endpoint: EndpointId,
    turn: Turn,
    attempts: u32,
    state: State,
    replayed: bool,
}
