//! Recording what became of deliveries: the fence, the attempt, the dead letter, the books.
//!
//! What is let go, at most once, is on record before its request is made: see [`Record::let_go`].
//!
//! How endpoints fare is counted on the way ([`Heard`]), and what became of what replays have offered
//! ([`Tally`]): at most one row for each endpoint, and for each replay, of a batch.
//!
//! What a person asked for is outside the fence: see [`Record::by_hand`].

use std::collections::BTreeSet;

use super::books::Movement;
use super::engine::{Connection, OptionalExtension, params};
use super::failing::Heard;
use super::hand::{Found, Hand};
use super::replays::count::{Settling, Tally};
use super::rows::{State, json};
use super::tidings::{self, About};
use super::{catalogue, dead_letters, endpoints, resend};
use crate::domain::dead_letter::{NO_ATTEMPT, told};
use crate::domain::delivery::{Attempt, DeliveryKey, Holder, Trigger, Turn};
use crate::domain::exchange::FormNumber;
use crate::domain::outcome::Meaning;
use crate::domain::policy::PolicyVersion;
use crate::domain::settlement::{DeathReason, Settlement};
use crate::domain::tiding::Tiding;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::journal::{Recorded, Settled};

/// Records settlements, in their order.
///
/// A settlement of a turn that the journal has not reached is recorded too: then the journal was
/// restored from a backup, and the copy knows better
/// ([`Standing::judge`](crate::domain::delivery::Standing::judge) lets it through as well).
pub(super) fn record(
    connection: &Connection,
    batch: &[Settled],
) -> Result<Vec<Recorded>, StorageError> {
    let mut record = Record {
        connection,
        hand: Hand::of(connection, batch)?,
        movement: Movement::default(),
        heard: Heard::default(),
        tally: Tally::default(),
    };
    keep_policies(connection, batch)?;
    let answers = batch.iter().map(|settled| record.one(settled)).collect::<Result<_, _>>()?;
    record.hand.end()?;
    record.movement.post(connection)?;
    record.heard.post(connection)?;
    record.tally.post(connection)?;
    Ok(answers)
}

/// Keeps every policy that these attempts were made by, and every form that their headers have, each once.
///
/// Several writers meet here when they see one for the first time, and one runs again; from then on it is there for all.
fn keep_policies(connection: &Connection, batch: &[Settled]) -> Result<(), StorageError> {
    let mut keep = connection.prepare_cached(
        "INSERT INTO policies (version, policy) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    )?;
    let mut keep_form = connection.prepare_cached(
        "INSERT INTO header_forms (number, form) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    )?;
    let (mut known, mut known_forms) = (BTreeSet::new(), BTreeSet::new());
    for attempt in batch.iter().filter_map(|settled| settled.attempt.as_ref()) {
        let PolicyVersion(version) = attempt.policy.version();
        if known.insert(version) {
            keep.execute(params![version, json(attempt.policy.policy())])?;
        }
        if let Some(FormNumber(number)) = attempt.headers.number()
            && known_forms.insert(number)
        {
            keep_form.execute(params![number, json(&attempt.headers.form())])?;
        }
    }
    Ok(())
}

struct Record<'c> {
    connection: &'c Connection,
    hand: Hand<'c>,
    movement: Movement,
    heard: Heard,
    tally: Tally,
}

impl Record<'_> {
    fn one(&mut self, settled: &Settled) -> Result<Recorded, StorageError> {
        let found = self.hand.find(settled.key)?;
        let was_asked = match settled.trigger {
            Trigger::Turn => false,
            Trigger::ByHand(number) => {
                resend::settle(self.connection, number, &settled.settlement)?
            }
        };
        let Some(found) = found else {
            return Ok(Recorded::Stale); // never owed: there is nothing to settle
        };
        if settled.settlement == Settlement::LetGo {
            return self.let_go(&found, settled, was_asked);
        }
        // A request that was made is history, whoever settles the turn.
        if let Some(attempt) = &settled.attempt {
            self.keep(found.event, settled, attempt)?;
            let by_hand = settled.trigger.is_by_hand();
            self.heard.hear(settled.key.endpoint, attempt, by_hand, settled.at);
        }
        self.close_if_gone(settled)?;
        if settled.trigger.is_by_hand() {
            return self.by_hand(&found, settled);
        }
        let delivered = settled.settlement == Settlement::Delivered;
        let is_its_turn = settled.turn >= found.turn || delivered;
        let is_open = !found.state.is_final()
            || (found.state == State::Unknown && settled.settlement.is_an_answer());
        if !is_open || !is_its_turn {
            return Ok(Recorded::Stale);
        }
        self.settle(&found, settled)?;
        Ok(Recorded::Now)
    }

    /// Puts on record that a request is about to be made. Not made yet, it is no history: unless it may be
    /// made, nothing is written, and whoever asks a second time is told that somebody was told before.
    fn let_go(
        &mut self,
        found: &Found,
        settled: &Settled,
        was_asked: bool,
    ) -> Result<Recorded, StorageError> {
        let by_hand = settled.trigger.is_by_hand();
        let may_be =
            if by_hand { was_asked } else { !found.state.is_final() && settled.turn >= found.turn };
        if !may_be {
            return Ok(Recorded::Stale);
        }
        if let Some(attempt) = &settled.attempt {
            self.keep(found.event, settled, attempt)?;
        }
        if !by_hand {
            self.settle(found, settled)?;
        }
        Ok(Recorded::Now)
    }

    /// Disables an endpoint that says it is gone, in the transaction that keeps its word. Whatever the
    /// delivery's turn: what it says is about itself, and a person who asks hears it as well.
    fn close_if_gone(&mut self, settled: &Settled) -> Result<(), StorageError> {
        let gone = |one: &&Attempt| one.meaning == Meaning::Gone;
        let Some(attempt) = settled.attempt.as_ref().filter(gone) else { return Ok(()) };
        let (id, asked_at) = (settled.key.endpoint, attempt.started_at);
        if endpoints::close(self.connection, id, asked_at, settled.at)? {
            catalogue::edited(self.connection)?;
            self.tell(Tiding::EndpointDisabled, settled)?;
        }
        Ok(())
    }

    /// An attempt that a person asked for: a success is a fact, whatever had become of the delivery. Its
    /// dead letter is lifted; a copy on the ladder is for an old turn now, and dies when it comes back.
    fn by_hand(&mut self, found: &Found, settled: &Settled) -> Result<Recorded, StorageError> {
        if settled.settlement != Settlement::Delivered || found.state == State::Delivered {
            return Ok(Recorded::Stale);
        }
        if found.state == State::Dead {
            let mut lift =
                self.connection.prepare_cached("DELETE FROM dead_letters WHERE id = ?1")?;
            if lift.execute([settled.key.id()])? == 0 {
                self.movement.discards(-1); // it was put away for its age, and is delivered after all
            }
        }
        self.settle(found, settled)?;
        Ok(Recorded::Now)
    }

    fn keep(
        &mut self,
        event: i64,
        settled: &Settled,
        attempt: &Attempt,
    ) -> Result<(), StorageError> {
        self.hand.keep(params![
            event,
            settled.key.endpoint,
            attempt.id,
            attempt.number,
            attempt.started_at,
            attempt.duration_ms,
            attempt.class(),
            attempt.outcome.status(),
            attempt.url,
            attempt.detail,
            attempt.response.as_ref(),
            settled.trigger.is_by_hand(),
            attempt.timing.dns_ms,
            attempt.timing.connect_ms,
            attempt.timing.tls_ms,
            attempt.timing.first_byte_ms,
            attempt.headers.number().map(|FormNumber(number)| number),
            (!attempt.headers.varied().is_empty()).then(|| attempt.headers.varied()),
        ])?;
        if settled.trigger.is_by_hand() {
            // What moves a delivery notes its policy with the move; this mostly moves nothing.
            let mut note = self.connection.prepare_cached(
                "UPDATE deliveries SET policy = ?3 WHERE event = ?1 AND endpoint = ?2",
            )?;
            let PolicyVersion(version) = attempt.policy.version();
            note.execute(params![event, settled.key.endpoint, version])?;
        }
        Ok(())
    }

    fn settle(&mut self, found: &Found, settled: &Settled) -> Result<(), StorageError> {
        let (state, waits) = match settled.settlement {
            Settlement::Delivered => (State::Delivered, None),
            Settlement::Retry(_) | Settlement::Postpone(..) => {
                (State::Waiting, Some(self.waits(found.event, settled)?))
            }
            Settlement::DeadLetter(_) => (State::Dead, None),
            Settlement::Drop(_) => (State::Dropped, None),
            Settlement::LetGo => (State::Unknown, None),
            Settlement::Cancelled => (State::Cancelled, None),
            Settlement::Unchanged => return Ok(()),
        };
        // A success at an old turn, or beside it: what was counted since then stays counted.
        let attempts = if settled.turn < found.turn || settled.trigger.is_by_hand() {
            settled.attempts.max(found.attempts)
        } else {
            settled.attempts
        };
        self.hand.settle(params![
            found.event,
            settled.key.endpoint,
            settled.turn.max(found.turn).next(),
            attempts,
            state,
            waits.map(|(held_by, _)| held_by),
            waits.map(|(_, due_at)| due_at),
            settled.attempt.as_ref().map(|attempt| attempt.policy.version().0),
        ])?;
        if let Settlement::DeadLetter(reason) = settled.settlement {
            self.lay_down(found.event, settled, reason)?;
        }
        self.movement.moves(found.state, state);
        if let Some(replay) = found.replay {
            let settling = Settling {
                from: found.state,
                attempts_before: found.attempts,
                to: state,
                attempts,
                was_attempted: settled.attempt.is_some(),
                settlement: settled.settlement,
            };
            self.tally.count(replay, settling);
        }
        if let Some(tiding) = Tiding::of(&settled.settlement, attempts) {
            self.tell(tiding, settled)?;
        }
        Ok(())
    }

    /// Writes down what operators are to know of a settlement, if they want to.
    fn tell(&self, tiding: Tiding, settled: &Settled) -> Result<(), StorageError> {
        if !settled.tells {
            return Ok(());
        }
        let last_attempt = settled.attempt.as_ref();
        let event = Some(settled.key.event);
        let about = About { event, last_attempt, ..About::default() };
        tidings::tell(self.connection, tiding, settled.key.endpoint, &about, settled.at)
    }

    /// Who holds what goes on, and until when: whom the settlement says; or, when nobody has to hand
    /// it on, the journal until a person acts.
    ///
    /// Whether there is anything to wait for is decided here, in the transaction: a router that saw
    /// the endpoint paused, or its application holding back, may have seen an old version of it, and its
    /// resumption has passed by. Either is enough, whichever the router saw: each has its own resumption.
    fn waits(
        &mut self,
        event: i64,
        settled: &Settled,
    ) -> Result<(Holder, Timestamp), StorageError> {
        if let Some(due) = settled.settlement.due() {
            return Ok((settled.held_by, due.at));
        }
        let mut find = self.connection.prepare_cached(
            "SELECT 1 FROM endpoints WHERE id = ?1 AND state <> 'active' AND deleted_at IS NULL \
             UNION ALL \
             SELECT 1 FROM events e JOIN settings s ON s.application = e.application \
             WHERE e.seq = ?2 AND s.delivery <> 'on'",
        )?;
        let waits = find.exists(params![settled.key.endpoint, event])?;
        Ok((Holder::Journal, if waits { Timestamp::NEVER } else { settled.at }))
    }

    fn lay_down(
        &mut self,
        event: i64,
        settled: &Settled,
        reason: DeathReason,
    ) -> Result<(), StorageError> {
        let last = settled.attempt.as_ref();
        let (endpoint, reason) = (settled.key.endpoint, reason.as_str());
        let status = last.map_or(0, |attempt| attempt.outcome.status());
        let outcome = last.map_or(NO_ATTEMPT, |attempt| told(attempt.class(), &attempt.url));
        let kind = dead_letters::kind(self.connection, event, endpoint, reason, status, outcome)?;
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO dead_letters (id, event, event_id, endpoint, application, organisation, kind, \
                                       event_type, producer_id, subject, reason, attempts, last_status, \
                                       last_outcome, last_detail, payload_bytes, died_at, \
                                       expires_at) \
             SELECT ?1, e.seq, e.id, ?3, e.application, g.organisation, g.number, e.type, e.event_id, \
                    e.subject, ?4, \
                    ?5, ?6, ?7, ?8, length(e.payload), ?9, e.expires_at \
             FROM events e JOIN dead_letter_groups g ON g.number = ?10 WHERE e.seq = ?2",
        )?;
        insert.execute(params![
            settled.key.id(),
            event,
            endpoint,
            reason,
            settled.attempts,
            status,
            outcome,
            last.map_or("", |attempt| &attempt.detail),
            settled.at,
            kind,
        ])?;
        Ok(())
    }
}

/// Notes that the ladder holds what goes on at these turns.
pub(super) fn handed_on(
    connection: &Connection,
    batch: &[(DeliveryKey, Turn)],
) -> Result<(), StorageError> {
    // Not what the journal holds: it was recalled or claimed at this turn, and goes on from there.
    let mut update = connection.prepare_cached(
        "UPDATE deliveries SET held_by = 1 \
         WHERE event = (SELECT seq FROM events WHERE id = ?1) AND endpoint = ?2 AND turn = ?3 \
           AND state = 1 AND held_by = 0",
    )?;
    for (key, turn) in batch {
        update.execute(params![key.event, key.endpoint, turn])?;
    }
    Ok(())
}

/// Puts on record that a router holds these, if their turn has come and nobody else has them.
pub(super) fn escrow(
    connection: &Connection,
    batch: &[(DeliveryKey, Turn)],
    now: Timestamp,
) -> Result<Vec<bool>, StorageError> {
    let mut find = connection.prepare_cached(
        "SELECT d.event, d.turn, d.state FROM events e JOIN deliveries d ON d.event = e.seq \
         WHERE e.id = ?1 AND d.endpoint = ?2",
    )?;
    // A router's own short wait is its own still; and of what was on the ladder, it has what came back. What the journal
    // gave out is leased.
    let mut hold = connection.prepare_cached(
        "UPDATE deliveries SET state = 1, held_by = 0, due_at = max(?3, coalesce(due_at, 0)) \
         WHERE event = ?1 AND endpoint = ?2 AND (state = 0 OR (state = 1 AND held_by < 2))",
    )?;
    let mut movement = Movement::default();
    let mut known = Vec::with_capacity(batch.len());
    for (key, turn) in batch {
        let found: Option<(i64, Turn, State)> = find
            .query_row(params![key.event, key.endpoint], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        known.push(found.is_some());
        if let Some((event, at, state)) = found
            && at == *turn
            && hold.execute(params![event, key.endpoint, now])? == 1
        {
            movement.moves(state, State::Waiting);
        }
    }
    movement.post(connection)?;
    Ok(known)
}
