//! The record's tables: events, deliveries, attempts, dead letters and the books, with the two indexes
//! that keep a claim from looking at everything.
//!
//! A delivery's row changes through [`Rows::put`] alone, which moves indexes and books along.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::delivery::{Attempt, DeliveryKey, DeliveryState, Holder, Standing, Turn};
use crate::domain::event::Event;
use crate::domain::id::{EndpointId, EventId};
use crate::domain::outcome::Outcome;
use crate::domain::time::Timestamp;
use crate::storage::dead_letters::DeadLetter;
use crate::storage::journal::{AttemptRecord, Books};

/// Where a delivery's row is: the event's number, and the endpoint.
pub(super) type Place = (u64, EndpointId);

/// The tables.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// By number, which is the order of acceptance.
    events: BTreeMap<u64, Arc<Event>>,
    numbers: BTreeMap<EventId, u64>,
    deliveries: BTreeMap<Place, Standing>,
    /// What waits, by who holds it and until when.
    waiting: BTreeSet<(u8, Timestamp, Place)>,
    /// What was never settled.
    pending: BTreeSet<Place>,
    attempts: BTreeMap<Place, Vec<AttemptRecord>>,
    /// By number, which is the order of dying.
    pub(super) dead_letters: BTreeMap<u64, DeadLetter>,
    dead_letters_ever: u64,
    books: Books,
}

impl Rows {
    /// Writes an event unless it is there; its number if it was written.
    pub(super) fn add_event(&mut self, event: &Arc<Event>) -> Option<u64> {
        if self.numbers.contains_key(&event.id) {
            return None;
        }
        let number = self.numbers.len() as u64 + 1;
        self.numbers.insert(event.id, number);
        self.events.insert(number, Arc::clone(event));
        Some(number)
    }

    /// The number of an event.
    pub(super) fn number(&self, event: EventId) -> Option<u64> {
        self.numbers.get(&event).copied()
    }

    /// The number of the event that came last; 0 when there is none.
    pub(super) fn newest(&self) -> u64 {
        self.numbers.len() as u64
    }

    /// An event.
    pub(super) fn event(&self, number: u64) -> &Arc<Event> {
        self.events.get(&number).expect("an event is never taken away")
    }

    /// Where a delivery's row is, if its event is there.
    pub(super) fn place(&self, key: DeliveryKey) -> Option<Place> {
        self.number(key.event).map(|number| (number, key.endpoint))
    }

    /// Which delivery's row it is.
    pub(super) fn key(&self, place: Place) -> DeliveryKey {
        DeliveryKey { event: self.event(place.0).id, endpoint: place.1 }
    }

    /// How a delivery stands.
    pub(super) fn standing(&self, place: Place) -> Option<Standing> {
        self.deliveries.get(&place).copied()
    }

    /// Every delivery of an event.
    pub(super) fn of_event(&self, number: u64) -> impl Iterator<Item = (EndpointId, Standing)> {
        let all = (number, EndpointId::from_bytes([0; 20]))
            ..=(number, EndpointId::from_bytes([u8::MAX; 20]));
        self.deliveries.range(all).map(|((_, endpoint), standing)| (*endpoint, *standing))
    }

    /// Every delivery.
    pub(super) fn all(&self) -> impl Iterator<Item = (Place, Standing)> {
        self.deliveries.iter().map(|(place, standing)| (*place, *standing))
    }

    /// Owes a delivery, unless it is owed already.
    pub(super) fn owe(&mut self, place: Place) {
        if !self.deliveries.contains_key(&place) {
            let state = DeliveryState::Pending;
            self.put(place, Standing { turn: Turn::FIRST, attempts: 0, state });
        }
    }

    /// Writes a delivery's row.
    pub(super) fn put(&mut self, place: Place, standing: Standing) {
        if let Some(before) = self.deliveries.insert(place, standing) {
            match before.state {
                DeliveryState::Pending => _ = self.pending.remove(&place),
                DeliveryState::Waiting { due_at, held_by } => {
                    self.waiting.remove(&(rank(held_by), due_at, place));
                }
                DeliveryState::Delivered
                | DeliveryState::Dead
                | DeliveryState::Cancelled
                | DeliveryState::Dropped
                | DeliveryState::Discarded
                | DeliveryState::Unknown => {}
            }
            *account(&mut self.books, before.state) -= 1;
        } else {
            self.books.owed += 1;
        }
        match standing.state {
            DeliveryState::Pending => _ = self.pending.insert(place),
            DeliveryState::Waiting { due_at, held_by } => {
                self.waiting.insert((rank(held_by), due_at, place));
            }
            DeliveryState::Delivered
            | DeliveryState::Dead
            | DeliveryState::Cancelled
            | DeliveryState::Dropped
            | DeliveryState::Discarded
            | DeliveryState::Unknown => {}
        }
        *account(&mut self.books, standing.state) += 1;
    }

    /// What this one holds and is due by `until`, longest due first.
    pub(super) fn waiting(
        &self,
        held_by: Holder,
        until: Timestamp,
    ) -> impl Iterator<Item = (Timestamp, Place)> {
        let nowhere = (0, EndpointId::from_bytes([0; 20]));
        let everywhere = (u64::MAX, EndpointId::from_bytes([u8::MAX; 20]));
        let first = (rank(held_by), Timestamp::from_millis(i64::MIN), nowhere);
        let last = (rank(held_by), until, everywhere);
        self.waiting.range(first..=last).map(|(_, due_at, place)| (*due_at, *place))
    }

    /// What was never settled, oldest first, behind an event.
    pub(super) fn pending_after(&self, number: u64) -> impl Iterator<Item = Place> {
        self.pending.range((number + 1, EndpointId::from_bytes([0; 20]))..).copied()
    }

    /// What is not finished.
    pub(super) fn every_unfinished(&self) -> impl Iterator<Item = (Place, Standing)> {
        let waiting = self.waiting.iter().map(|(_, _, place)| *place);
        let places = self.pending.iter().copied().chain(waiting);
        places.map(|place| (place, self.deliveries[&place]))
    }

    /// What is not finished for an endpoint, in the order of acceptance.
    pub(super) fn unfinished(&self, endpoint: EndpointId) -> Vec<(Place, Standing)> {
        let of_it = |(place, _): &(Place, Standing)| place.1 == endpoint;
        let mut found: Vec<_> = self.every_unfinished().filter(of_it).collect();
        found.sort_unstable_by_key(|(place, _)| *place);
        found
    }

    /// Keeps an attempt, once; one whose end was not known is brought up to date.
    pub(super) fn keep(&mut self, place: Place, attempt: &Attempt) {
        let event = self.event(place.0).id;
        let kept = self.attempts.entry(place).or_default();
        let record = AttemptRecord {
            id: attempt.id,
            number: attempt.number,
            started_at: attempt.started_at,
            duration_ms: attempt.duration_ms,
            timing: attempt.timing,
            headers: attempt.headers.shown(event, attempt.started_at),
            outcome: attempt.class().to_owned(),
            status: attempt.outcome.status(),
            url: attempt.url.to_string(),
            response: attempt.response.to_vec(),
            detail: attempt.detail.clone(),
        };
        match kept.iter_mut().find(|one| one.id == attempt.id) {
            None => kept.push(record),
            Some(known) if known.outcome == Outcome::Unknown.class() => *known = record,
            Some(_) => {}
        }
    }

    /// Every attempt of a delivery, oldest first.
    pub(super) fn attempts(&self, place: Place) -> Vec<AttemptRecord> {
        let mut found = self.attempts.get(&place).cloned().unwrap_or_default();
        found.sort_by_key(|one| (one.started_at, one.number, one.id));
        found
    }

    /// How many attempts of a delivery are kept.
    pub(super) fn attempts_kept(&self, place: Place) -> usize {
        self.attempts.get(&place).map_or(0, Vec::len)
    }

    /// Lays a dead letter down.
    pub(super) fn lay_down(&mut self, dead_letter: DeadLetter) {
        self.dead_letters_ever += 1;
        self.dead_letters.insert(self.dead_letters_ever, dead_letter);
    }

    /// The number of the dead letter that is laid down next.
    pub(super) fn next_dead_letter(&self) -> i64 {
        i64::try_from(self.dead_letters_ever + 1).unwrap_or(i64::MAX)
    }

    /// The books as they are kept.
    pub(super) const fn books(&self) -> Books {
        self.books
    }
}

/// The order of `waiting`.
const fn rank(held_by: Holder) -> u8 {
    match held_by {
        Holder::Router => 0,
        Holder::Ladder => 1,
        Holder::Journal => 2,
        Holder::Circuit => 3,
    }
}

/// Where a state is counted.
pub(super) const fn account(books: &mut Books, state: DeliveryState) -> &mut u64 {
    match state {
        DeliveryState::Pending => &mut books.pending,
        DeliveryState::Waiting { .. } => &mut books.waiting,
        DeliveryState::Delivered => &mut books.delivered,
        DeliveryState::Dead => &mut books.dead,
        DeliveryState::Cancelled => &mut books.cancelled,
        DeliveryState::Dropped => &mut books.dropped,
        DeliveryState::Unknown => &mut books.unknown,
        DeliveryState::Discarded => &mut books.discarded,
    }
}
