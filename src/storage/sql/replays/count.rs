//! Counting what became of what replays have offered, where settlements are recorded.
//!
//! Collected over a batch, so that a replay's row is written once for it. Of a delivery that no replay has
//! offered, nearly every one, nothing is looked up and nothing written.
//!
//! **Several writers** meet at the row of a replay that runs, once for each batch, and one runs again: a replay goes at its
//! rate, behind live traffic, so that there are few such batches at a time.

use std::collections::BTreeMap;

use super::super::engine::{Connection, params};
use crate::domain::replay::JUDGED_MOST;
use crate::domain::settlement::Settlement;
use crate::storage::StorageError;
use crate::storage::sql::rows::State;

/// What became of deliveries, by the number of the replay that offered them.
#[derive(Debug, Default)]
pub(in super::super) struct Tally(BTreeMap<i64, Ends>);

#[derive(Debug, Default)]
struct Ends {
    tried: u32,
    judged: u32,
    failed: u32,
    delivered: u32,
    dead: u32,
}

/// A delivery that a replay has offered, and what a settlement makes of it.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Settling {
    /// How it stood, and with how many attempts since it was offered.
    pub(in super::super) from: State,
    pub(in super::super) attempts_before: u32,
    /// How it stands.
    pub(in super::super) to: State,
    pub(in super::super) attempts: u32,
    /// Whether a request was made.
    pub(in super::super) was_attempted: bool,
    pub(in super::super) settlement: Settlement,
}

impl Tally {
    /// One that this replay has offered is settled.
    pub(in super::super) fn count(&mut self, replay: i64, settling: Settling) {
        let Settling { from, attempts_before, to, attempts, was_attempted, settlement } = settling;
        // What had ended was counted then; what was let go is counted now that its end is known.
        let is_open = matches!(from, State::Pending | State::Waiting);
        if !is_open && from != State::Unknown {
            return;
        }
        let ends = self.0.entry(replay).or_default();
        let is_first = is_open && attempts_before == 0 && (attempts > 0 || to.is_final());
        // What is taken back is counted by the table itself, whoever does it.
        ends.tried += u32::from(is_first && to != State::Cancelled);
        // Let go is not ended: that comes with its answer, if it comes.
        let is_told = settlement != Settlement::LetGo && was_attempted;
        if is_told && (is_first || from == State::Unknown) {
            ends.judged += 1;
            ends.failed += u32::from(settlement != Settlement::Delivered);
        }
        ends.delivered += u32::from(to == State::Delivered);
        ends.dead += u32::from(matches!(to, State::Dead | State::Dropped));
    }

    /// Writes it down.
    pub(in super::super) fn post(self, connection: &Connection) -> Result<(), StorageError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut update = connection.prepare_cached(
            "UPDATE replays SET tried = tried + ?2, judged = judged + ?3, failed = failed + ?4, \
                                delivered = delivered + ?5, dead = dead + ?6 \
             WHERE seq = ?1",
        )?;
        // What is long ago counts less and less: or thousands that went well would hide that none does now.
        let mut halve = connection.prepare_cached(
            "UPDATE replays SET judged = judged / 2, failed = failed / 2 \
             WHERE seq = ?1 AND judged > ?2",
        )?;
        for (replay, ends) in self.0 {
            let Ends { tried, judged, failed, delivered, dead } = ends;
            update.execute(params![replay, tried, judged, failed, delivered, dead])?;
            while halve.execute(params![replay, JUDGED_MOST])? == 1 {}
        }
        Ok(())
    }
}
