//! Taking a step of a replay: what a look found is offered, and the replay's place is behind it, in one
//! transaction.

use std::collections::HashMap;

use super::super::engine::{Connection, OptionalExtension, params};
use super::look::{Found, Look, is_wanted};
use super::{Entry, set_state};
use crate::domain::delivery::DeliveryKey;
use crate::domain::id::EndpointId;
use crate::domain::replay::{ReplayState, Scope};
use crate::domain::time::Timestamp;
use crate::failpoint;
use crate::storage::StorageError;
use crate::storage::replays::{Replay, Selection, Stepped};
use crate::storage::sql::books::Movement;
use crate::storage::sql::dead_letters::{TAKES_REPLAYS, WHOSE};
use crate::storage::sql::history::deliveries;
use crate::storage::sql::rows::State;

/// Takes the step.
pub(super) fn take(
    connection: &Connection,
    look: &Look,
    now: Timestamp,
) -> Result<Stepped, StorageError> {
    let Look { entry, found, next, state } = look;
    let Entry { seq, replay, place: from, .. } = entry;
    // Before anything else: whatever it says of the replay, a step that is late says nothing.
    let mut advance = connection.prepare_cached(
        "UPDATE replays SET place = ?3, updated_at = ?4 \
         WHERE seq = ?1 AND place = ?2 AND state = 'running'",
    )?;
    if advance.execute(params![seq, from, next, now])? == 0 {
        // Somebody else has taken this step, or the replay was stopped.
        let state = super::entry(connection, replay.id)?
            .map_or(ReplayState::Failed, |entry| entry.replay.state);
        return Ok(Stepped { offered: 0, skipped: 0, state });
    }
    if let Some(because) = nobody_to_offer_to(connection, replay)? {
        set_state(connection, *seq, ReplayState::Failed, Some(&because), now)?;
        return Ok(Stepped { offered: 0, skipped: 0, state: ReplayState::Failed });
    }
    let mut step = Step {
        connection,
        seq: *seq,
        scope: replay.selection.scope(),
        now,
        movement: Movement::default(),
        takes: HashMap::new(),
    };
    let (mut offered, mut skipped) = (0_u32, 0_u32);
    for one in found {
        if step.offer(one, replay.to)? { offered += 1 } else { skipped += 1 }
    }
    step.movement.post(connection)?;
    let mut count = connection.prepare_cached(
        "UPDATE replays SET offered = offered + ?2, skipped = skipped + ?3 WHERE seq = ?1",
    )?;
    count.execute(params![seq, offered, skipped])?;
    if *state == ReplayState::Finished {
        // What was gone when its turn came was not even seen.
        let mut gone = connection.prepare_cached(
            "UPDATE replays SET skipped = max(skipped, matched - offered) \
             WHERE seq = ?1 AND matched IS NOT NULL",
        )?;
        gone.execute([seq])?;
        set_state(connection, *seq, ReplayState::Finished, None, now)?;
    }
    failpoint!("replay.offered"); // written, and not committed
    Ok(Stepped { offered: offered.into(), skipped: skipped.into(), state: *state })
}

/// Why there is nobody whom anything could be offered to, when all of it is for one endpoint that is listed.
fn nobody_to_offer_to(
    connection: &Connection,
    replay: &Replay,
) -> Result<Option<String>, StorageError> {
    let Some(endpoint) = replay.to.or(replay.endpoint) else { return Ok(None) };
    let mut find = connection
        .prepare_cached("SELECT deleted_at IS NOT NULL, state FROM endpoints WHERE id = ?1")?;
    let found: Option<(bool, String)> =
        find.query_row([endpoint], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let is_listed = replay.to.is_some() || matches!(replay.selection, Selection::OfEndpoint(_));
    Ok(match found {
        Some((true, _)) => {
            Some(format!("endpoint {endpoint} was deleted: what was not offered stays as it was"))
        }
        Some((false, state)) if state == "disabled" => Some(format!(
            "endpoint {endpoint} is disabled: what was not offered stays as it was; enable it and begin \
             another replay"
        )),
        Some(_) => None,
        None if is_listed => Some(format!("endpoint {endpoint} is not there any more")),
        None => None, // a URL that nobody lists: each delivery tells
    })
}

struct Step<'c> {
    connection: &'c Connection,
    /// The replay's number.
    seq: i64,
    scope: Scope,
    now: Timestamp,
    movement: Movement,
    /// Whether there is somebody to offer it to, of those that were looked up.
    takes: HashMap<EndpointId, bool>,
}

impl Step<'_> {
    /// Offers one; whether it was.
    fn offer(&mut self, one: &Found, to: Option<EndpointId>) -> Result<bool, StorageError> {
        if one.is_expired(self.now) {
            return Ok(false);
        }
        let receiver = to.unwrap_or(one.endpoint);
        let turn = if to.is_some() || self.scope == Scope::Missing {
            let owes = deliveries::owe(
                self.connection,
                one.event,
                receiver,
                Some(self.seq),
                self.now,
                &mut self.movement,
            )?;
            owes.then_some(0)
        } else {
            self.revive(one)?
        };
        let Some(turn) = turn else { return Ok(false) };
        let mut note = self.connection.prepare_cached(
            "INSERT INTO offers (event, endpoint, turn, replay, at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        note.execute(params![one.event, receiver, turn, self.seq, self.now])?;
        Ok(true)
    }

    /// Brings a delivery that has ended back to waiting, with its attempts beginning anew; its turn, if it was
    /// still what the look saw and there is somebody to take it.
    fn revive(&mut self, one: &Found) -> Result<Option<i64>, StorageError> {
        let mut find = self.connection.prepare_cached(
            "SELECT d.state, d.turn, \
                    EXISTS (SELECT 1 FROM offers o WHERE o.event = ?1 AND o.endpoint = ?2 AND o.replay = ?3), \
                    (SELECT length(payload) FROM events WHERE seq = ?1) \
             FROM deliveries d WHERE d.event = ?1 AND d.endpoint = ?2",
        )?;
        let found = find
            .query_row(params![one.event, one.endpoint, self.seq], |row| {
                let (state, turn): (State, i64) = (row.get(0)?, row.get(1)?);
                let (had, bytes): (bool, Option<i64>) = (row.get(2)?, row.get(3)?);
                Ok((state, turn, had, bytes.unwrap_or(0)))
            })
            .optional()?;
        let Some((state, turn, had, bytes)) = found else { return Ok(None) };
        // One that has died again since this replay offered it is not offered by it once more.
        if had || bytes == 0 || !is_wanted(self.scope, state) || !self.is_taken(one)? {
            return Ok(None);
        }
        if state == State::Dead {
            let key = DeliveryKey { event: one.id, endpoint: one.endpoint };
            let mut lift =
                self.connection.prepare_cached("DELETE FROM dead_letters WHERE id = ?1")?;
            if lift.execute([key.id()])? == 0 {
                if self.scope == Scope::DeadLetters {
                    return Ok(None); // it was put away since it was looked at
                }
                self.movement.discards(-1); // put away, and wanted after all
            }
        }
        let turn = turn + 1;
        let mut revive = self.connection.prepare_cached(
            "UPDATE deliveries SET turn = ?3, attempts = 0, state = 1, held_by = 2, due_at = ?4, replay = ?5 \
             WHERE event = ?1 AND endpoint = ?2",
        )?;
        revive.execute(params![one.event, one.endpoint, turn, self.now, self.seq])?;
        self.movement.moves(state, State::Waiting);
        Ok(Some(turn))
    }

    /// Whether there is somebody to take a dead letter: of one endpoint's deliveries that is known already.
    fn is_taken(&mut self, one: &Found) -> Result<bool, StorageError> {
        if self.scope != Scope::DeadLetters {
            return Ok(true);
        }
        if let Some(known) = self.takes.get(&one.endpoint) {
            return Ok(*known);
        }
        let key = DeliveryKey { event: one.id, endpoint: one.endpoint };
        let mut find = self.connection.prepare_cached(&format!(
            "SELECT {TAKES_REPLAYS} FROM dead_letters d {WHOSE} WHERE d.id = ?1"
        ))?;
        let Some(takes) = find.query_row([key.id()], |row| row.get(0)).optional()? else {
            return Ok(false); // it was put away
        };
        self.takes.insert(one.endpoint, takes);
        Ok(takes)
    }
}
