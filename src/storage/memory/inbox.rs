//! The inbox's port, in both shapes, and what opening it means: whoever had it before is gone.
//!
//! One store: events that are noted as not routed yet, what was left pending, and rows whose wait is
//! over, which a router holds from then on. Receipts mean nothing. Broker: messages, each until its
//! receipt is given back or the connection is lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::broker::Carried;
use super::faults::{Call, Fault, Moment};
use super::rows::Rows;
use super::{Memory, Shape, Store};
use crate::domain::delivery::{Delivery, DeliveryState, Holder, Standing};
use crate::domain::event::{ApplicationName, Event, Identity, NewEvent, Rejection};
use crate::domain::id::ApplicationId;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::inbox::{Arrival, Content, Desk, Inbox, Original, Receipt};

/// Most events, and most deliveries, that one look takes: as many as ingest takes in one batch.
const PAGE: usize = 256;

/// First wait behind a look that failed; it doubles up to [`AGAIN_MOST`].
const AGAIN_FIRST: Duration = Duration::from_millis(50);
/// Longest wait between looks while they fail: what somebody who mended the store will wait.
const AGAIN_MOST: Duration = Duration::from_secs(5);

/// What one store notes beside its rows.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// Events that are not routed yet.
    events: BTreeSet<u64>,
    /// What requests with a key published.
    pub(super) requests: BTreeMap<(ApplicationId, String), u64>,
    pub(super) quarantined: BTreeMap<u64, Rejection>,
}

impl Noted {
    /// Notes an event as not routed yet.
    pub(super) fn add(&mut self, number: u64) {
        self.events.insert(number);
    }

    /// Takes the note away; whether there was one.
    pub(super) fn take(&mut self, number: u64) -> bool {
        self.events.remove(&number)
    }

    /// Whether an event is not routed yet.
    pub(super) fn has(&self, number: u64) -> bool {
        self.events.contains(&number)
    }

    /// How many events are not routed yet.
    pub(super) fn count(&self) -> usize {
        self.events.len()
    }
}

/// The inbox of the one router that has it.
pub struct MemoryInbox {
    memory: Memory,
    arrivals: VecDeque<Arrival>,
    /// A look that is done and not yet answered: kept, so that a call that is dropped loses nothing.
    found: Option<Found>,
    place: Place,
    away: Option<Duration>,
}

/// How far each kind of event was handed out, by number: fresh ones, and those with deliveries that
/// the router before left pending, up to and with `left_last`.
#[derive(Debug, Clone, Copy)]
struct Place {
    routed: u64,
    left: u64,
    left_last: u64,
}

/// What one look at one store found.
struct Found {
    left: Vec<u64>,
    fresh: Vec<u64>,
    due: Vec<(Delivery, Timestamp)>,
}

impl Memory {
    /// Opens the inbox, as after a restart: what the router before had in its hands comes again.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn inbox(&self) -> Result<MemoryInbox, StorageError> {
        let (shape, now) = (self.shape(), self.now());
        let left_last = self
            .call(Call::Open, |store| {
                match shape {
                    Shape::OneStore => {
                        give_back(&mut store.rows);
                        end_leases(&mut store.rows, now);
                    }
                    Shape::Broker { .. } => store.broker.hang_up(),
                }
                Ok(store.rows.newest())
            })
            .await?;
        Ok(MemoryInbox {
            memory: self.clone(),
            arrivals: VecDeque::new(),
            found: None,
            place: Place { routed: 0, left: 0, left_last },
            away: None,
        })
    }

    /// Loses the broker's connection: what is not acknowledged comes again, to the same router.
    pub fn hang_up(&self) {
        self.store().broker.hang_up();
        self.ring();
    }
}

/// What a router held that is no more goes back on the ladder.
fn give_back(rows: &mut Rows) {
    let held: Vec<_> = rows.waiting(Holder::Router, Timestamp::NEVER).collect();
    for (due_at, place) in held {
        let standing = rows.standing(place).expect("it was found just now");
        let state = DeliveryState::Waiting { due_at, held_by: Holder::Ladder };
        rows.put(place, Standing { state, ..standing });
    }
}

/// What a router that is no more had claimed may be claimed again: nobody else has the store.
fn end_leases(rows: &mut Rows, now: Timestamp) {
    let leased: Vec<_> = rows.waiting(Holder::Journal, Timestamp::NEVER).collect();
    for (due_at, place) in leased {
        if due_at > now && due_at < Timestamp::NEVER {
            let standing = rows.standing(place).expect("it was found just now");
            let state = DeliveryState::Waiting { due_at: now, held_by: Holder::Journal };
            rows.put(place, Standing { state, ..standing });
        }
    }
}

#[async_trait]
impl Inbox for MemoryInbox {
    async fn next(&mut self) -> Option<Arrival> {
        loop {
            if let Some(arrival) = self.arrivals.pop_front() {
                return Some(arrival);
            }
            if self.look().await.is_err() {
                let wait = self.away.map_or(AGAIN_FIRST, |wait| (wait * 2).min(AGAIN_MOST));
                self.away = Some(wait);
                tokio::time::sleep(wait).await; // a ring would only make it look again in vain
                continue;
            }
            self.away = None;
            if self.arrivals.is_empty() {
                self.rest().await;
            }
        }
    }

    fn ready(&mut self) -> Option<Arrival> {
        if self.arrivals.is_empty()
            && matches!(self.memory.shape(), Shape::Broker { .. })
            && self.memory.shared.faults.at(Call::Look, Moment::Before) == Fault::None
        {
            self.receive();
        }
        self.arrivals.pop_front()
    }
}

impl MemoryInbox {
    /// Fills `arrivals` with what is there.
    async fn look(&mut self) -> Result<(), StorageError> {
        if self.found.is_none() {
            self.memory.meet(Call::Look, Moment::Before).await?;
            match self.memory.shape() {
                Shape::OneStore => {
                    let now = self.memory.now();
                    self.found = Some(find(&mut self.memory.store(), self.place, now));
                }
                Shape::Broker { .. } => {
                    self.receive();
                    return Ok(());
                }
            }
        }
        let answered = self.memory.meet(Call::Look, Moment::After).await;
        let found = self.found.take();
        answered?; // what was taken is a router's now, and claimed when nobody settles it
        self.take(found.expect("it was found just now, or by a call that was dropped"));
        Ok(())
    }

    fn take(&mut self, found: Found) {
        let store = self.memory.store();
        self.place.left = found.left.last().copied().unwrap_or(self.place.left_last);
        self.place.routed = found.fresh.last().copied().unwrap_or(self.place.routed);
        for number in found.left {
            let content = Content::Event(Box::new(again(store.rows.event(number))));
            self.arrivals.push_back(self.arrival(number, content, true));
        }
        // By turns: neither a backlog of events nor one of deliveries keeps the other waiting.
        let mut fresh = found.fresh.into_iter();
        let mut due = found.due.into_iter();
        loop {
            let (number, delivery) = (fresh.next(), due.next());
            if number.is_none() && delivery.is_none() {
                return;
            }
            if let Some(number) = number {
                let content = Content::Event(Box::new(again(store.rows.event(number))));
                self.arrivals.push_back(self.arrival(number, content, false));
            }
            if let Some((delivery, due_at)) = delivery {
                let content = Content::Due { delivery: Box::new(delivery), due_at };
                self.arrivals.push_back(self.arrival(0, content, false));
            }
        }
    }

    /// Takes one message, if there is one.
    fn receive(&mut self) {
        let Shape::Broker { prefetch, .. } = self.memory.shape() else { return };
        let now = self.memory.now();
        let Some((tag, message)) = self.memory.store().broker.hand_out(now, prefetch) else {
            return;
        };
        let content = match message.carried {
            Carried::Event(event) => Content::Event(event),
            Carried::Due(delivery, due_at) => Content::Due { delivery, due_at },
        };
        self.arrivals.push_back(self.arrival(tag, content, message.redelivered));
    }

    fn arrival(&self, number: u64, content: Content, redelivered: bool) -> Arrival {
        let place = Numbered { memory: self.memory.clone(), number };
        Arrival {
            content,
            redelivered,
            receipt: Receipt::new(number, Arc::new(place.clone())),
            original: Box::new(place),
        }
    }

    /// Waits until there may be something: a ring, or the next due time.
    async fn rest(&self) {
        let now = self.memory.now();
        let next = {
            let store = self.memory.store();
            match self.memory.shape() {
                Shape::OneStore => {
                    let waiting = &mut store.rows.waiting(Holder::Ladder, Timestamp::NEVER);
                    waiting.next().map(|(due_at, _)| due_at)
                }
                Shape::Broker { .. } => store.broker.next_due(),
            }
        };
        let rung = self.memory.shared.bell.notified();
        match next {
            // A time-out is not an error here: it is time to look.
            Some(due_at) => _ = tokio::time::timeout(due_at.since(now), rung).await,
            None => rung.await,
        }
    }
}

/// Takes what is due, longest due first: the router holds it from now on.
fn find(store: &mut Store, place: Place, now: Timestamp) -> Found {
    let rows = &mut store.rows;
    let mut left = Vec::new();
    for (number, _) in rows.pending_after(place.left) {
        if number > place.left_last || left.len() == PAGE {
            break;
        }
        if left.last() != Some(&number) {
            left.push(number);
        }
    }
    // Behind all of those: a fresh event is pending as soon as it is accepted, and would be taken for
    // one that was left.
    let page = if left.is_empty() { PAGE } else { 0 };
    let fresh = store.noted.events.range(place.routed + 1..).take(page).copied().collect();
    let waiting: Vec<_> = rows.waiting(Holder::Ladder, now).take(PAGE).collect();
    let mut due = Vec::with_capacity(waiting.len());
    for (due_at, place) in waiting {
        let standing = rows.standing(place).expect("it was found just now");
        // `due_at` says from now on since when the router has it, so that it is not thought abandoned.
        let state = DeliveryState::Waiting { due_at: now, held_by: Holder::Router };
        rows.put(place, Standing { state, ..standing });
        let event = Arc::clone(rows.event(place.0));
        let Standing { turn, attempts, .. } = standing;
        due.push((Delivery { event, endpoint: place.1, turn, attempts, replayed: false }, due_at));
    }
    Found { left, fresh, due }
}

/// A stored event as it is published.
fn again(event: &Event) -> NewEvent {
    NewEvent {
        application: ApplicationName::Id(event.application),
        event_type: event.event_type.clone(),
        identity: Identity::Stored(event.id, event.event_id.clone()),
        subject: event.subject.clone(),
        occurred_at: Some(event.occurred_at),
        received_at: Some(event.received_at),
        deliver_at: event.deliver_at,
        expires_at: event.expires_at,
        content_type: event.content_type.clone(),
        traceparent: event.traceparent.clone(),
        channels: event.channels.clone(),
        webhook: event.webhook.clone(),
        attributes: event.attributes.clone(),
        payload: event.payload.clone(),
    }
}

/// An arrival's place: the event's number, or the message's tag.
#[derive(Clone)]
struct Numbered {
    memory: Memory,
    number: u64,
}

impl std::fmt::Debug for Numbered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "arrival {}", self.number)
    }
}

impl Desk for Numbered {
    fn finished(&self, number: u64) {
        let heard = self.memory.shared.faults.at(Call::GiveBack, Moment::Before) == Fault::None;
        if heard && self.memory.shape() != Shape::OneStore {
            self.memory.store().broker.acknowledge(number);
            self.memory.ring(); // there is room for another
        }
    }
}

#[async_trait]
impl Original for Numbered {
    async fn quarantine(&self, why: &Rejection) -> Result<(), StorageError> {
        let shape = self.memory.shape();
        self.memory
            .call(Call::Quarantine, |store| {
                match shape {
                    Shape::OneStore => {
                        store.noted.take(self.number);
                        store.noted.quarantined.entry(self.number).or_insert_with(|| why.clone());
                    }
                    Shape::Broker { .. } => {
                        let message = store.broker.handed_out(self.number).cloned();
                        store.broker.quarantined.extend(message.map(|one| (one, why.clone())));
                    }
                }
                Ok(())
            })
            .await
    }
}
