//! The books: a row of sums, moved in the same transaction as every change of a delivery's state.
//!
//! **Several writers.** Each moves the row of its own [slot](Connection::slot), so that transactions which write at the
//! same time do not meet here, where all of them come by; the books are the sum over the rows. SQLite has one writer, and
//! one row. A row may go below zero in an account (owed by one writer, delivered by another); the sums may not.

use super::engine::{Connection, params};
use super::rows::State;
use crate::storage::StorageError;
use crate::storage::journal::Books;

/// What a job does to the books, collected so that the row is written once.
#[derive(Debug, Default)]
pub(super) struct Movement {
    owed: i64,
    pending: i64,
    waiting: i64,
    delivered: i64,
    dead: i64,
    discarded: i64,
    cancelled: i64,
    dropped: i64,
    unknown: i64,
}

impl Movement {
    /// Another delivery is owed, and pending.
    pub(super) fn owes(&mut self) {
        self.owed += 1;
        self.pending += 1;
    }

    /// A delivery has moved on.
    pub(super) fn moves(&mut self, from: State, to: State) {
        *self.account(from) -= 1;
        *self.account(to) += 1;
    }

    /// Dead letters are put away for good.
    pub(super) fn discards(&mut self, count: i64) {
        self.dead -= count;
        self.discarded += count;
    }

    fn account(&mut self, state: State) -> &mut i64 {
        match state {
            State::Pending => &mut self.pending,
            State::Waiting => &mut self.waiting,
            State::Delivered => &mut self.delivered,
            State::Dead => &mut self.dead,
            State::Cancelled => &mut self.cancelled,
            State::Dropped => &mut self.dropped,
            State::Unknown => &mut self.unknown,
            State::Discarded => &mut self.discarded,
        }
    }

    /// Writes it down.
    pub(super) fn post(self, connection: &Connection) -> Result<(), StorageError> {
        let mut update = connection.prepare_cached(
            "UPDATE books SET owed = owed + ?1, pending = pending + ?2, waiting = waiting + ?3, \
                              delivered = delivered + ?4, dead = dead + ?5, \
                              cancelled = cancelled + ?6, discarded = discarded + ?7, \
                              dropped = dropped + ?8, unknown = unknown + ?9 \
             WHERE one = ?10",
        )?;
        update.execute(params![
            self.owed,
            self.pending,
            self.waiting,
            self.delivered,
            self.dead,
            self.cancelled,
            self.discarded,
            self.dropped,
            self.unknown,
            connection.slot(),
        ])?;
        Ok(())
    }
}

/// The books as they are.
pub(super) fn read(connection: &Connection) -> Result<Books, StorageError> {
    let mut find = connection.prepare_cached(
        "SELECT CAST(sum(owed) AS bigint), CAST(sum(pending) AS bigint), \
                CAST(sum(waiting) AS bigint), CAST(sum(delivered) AS bigint), \
                CAST(sum(dead) AS bigint), CAST(sum(cancelled) AS bigint), \
                CAST(sum(discarded) AS bigint), CAST(sum(dropped) AS bigint), \
                CAST(sum(unknown) AS bigint) \
         FROM books",
    )?;
    let accounts: [i64; 9] = find.query_row([], |row| {
        Ok([
            row.get(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get(4)?,
            row.get(5)?,
            row.get(6)?,
            row.get(7)?,
            row.get(8)?,
        ])
    })?;
    // An account below zero is a mistake of ours; as 0 it shows as unaccounted, which is watched.
    let [owed, pending, waiting, delivered, dead, cancelled, discarded, dropped, unknown] =
        accounts.map(|account| u64::try_from(account).unwrap_or(0));
    Ok(Books { owed, pending, waiting, delivered, dead, discarded, cancelled, dropped, unknown })
}
