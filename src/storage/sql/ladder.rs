//! The ladder's port in SQL: an index on the due time.
//!
//! What is recorded as held by the ladder is on it. So most of what waits never comes by here; only
//! what a router kept in memory and has to let go of is handed over.

use async_trait::async_trait;

use super::Sql;
use super::engine::{Connection, params};
use crate::domain::delivery::{DeliveryKey, Turn};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::ladder::{Ladder, Waiting};

#[async_trait]
impl Ladder for Sql {
    async fn postpone(&self, batch: &[Waiting]) -> Result<(), StorageError> {
        let waits: Vec<_> =
            batch.iter().map(|one| (one.delivery.key(), one.delivery.turn, one.due.at)).collect();
        let earliest = waits.iter().map(|(_, _, due_at)| *due_at).min();
        self.write(move |connection| postpone(connection, &waits)).await?;
        if let Some(at) = earliest {
            self.bell.due_at(at);
        }
        Ok(())
    }

    fn is_the_journal(&self) -> bool {
        true
    }
}

fn postpone(
    connection: &Connection,
    waits: &[(DeliveryKey, Turn, Timestamp)],
) -> Result<(), StorageError> {
    // Not what the journal holds: it was recalled or claimed at this turn, and goes on from there. A
    // row at another turn has been settled by another copy, which carries it on.
    let mut update = connection.prepare_cached(
        "UPDATE deliveries SET held_by = 1, due_at = ?4 \
         WHERE event = (SELECT seq FROM events WHERE id = ?1) AND endpoint = ?2 AND turn = ?3 \
           AND state = 1 AND held_by < 2",
    )?;
    for (key, turn, due_at) in waits {
        update.execute(params![key.event, key.endpoint, turn, due_at])?;
    }
    Ok(())
}
