//! What a checker may see that no port shows: every row, the books counted anew, and where the copies
//! are. Nothing here changes anything, and no fault is met.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Memory;
use super::broker::Carried;
use super::rows::account;
use crate::domain::delivery::{DeliveryKey, Standing, Turn};
use crate::domain::endpoint::Endpoint;
use crate::domain::event::Event;
use crate::domain::id::{EndpointId, EventId};
use crate::storage::dead_letters::DeadLetter;
use crate::storage::journal::{AttemptRecord, Books};
use crate::storage::outlet::Notice;

/// What has not come to an end outside the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Events that are published and not routed yet: noted, or messages.
    pub events: usize,
    /// Copies of deliveries at the broker, handed out or not.
    pub copies: usize,
    /// Messages and events in quarantine.
    pub quarantined: usize,
}

impl Memory {
    /// Every delivery, as it stands.
    pub fn every_delivery(&self) -> Vec<(DeliveryKey, Standing)> {
        let store = self.store();
        store.rows.all().map(|(place, standing)| (store.rows.key(place), standing)).collect()
    }

    /// How a delivery stands.
    pub fn standing_of(&self, key: DeliveryKey) -> Option<Standing> {
        let store = self.store();
        store.rows.standing(store.rows.place(key)?)
    }

    /// The endpoint of that id, as a person would see it.
    pub fn endpoint_of(&self, id: EndpointId) -> Option<Arc<Endpoint>> {
        self.store().catalogue.endpoint(id).cloned()
    }

    /// The event of that id, accepted or noted.
    pub fn event_of(&self, id: EventId) -> Option<Arc<Event>> {
        let store = self.store();
        Some(Arc::clone(store.rows.event(store.rows.number(id)?)))
    }

    /// Every attempt of a delivery that is on record.
    pub fn attempts_of(&self, key: DeliveryKey) -> Vec<AttemptRecord> {
        let store = self.store();
        store.rows.place(key).map(|place| store.rows.attempts(place)).unwrap_or_default()
    }

    /// How many attempts of a delivery are on record.
    pub fn attempts_on_record(&self, key: DeliveryKey) -> usize {
        let store = self.store();
        store.rows.place(key).map_or(0, |place| store.rows.attempts_kept(place))
    }

    /// Deliveries that are not finished, as they stand.
    pub fn unfinished(&self) -> Vec<(DeliveryKey, Standing)> {
        let store = self.store();
        let places = store.rows.every_unfinished();
        places.map(|(place, standing)| (store.rows.key(place), standing)).collect()
    }

    /// Every dead letter, in the order of dying.
    pub fn every_dead_letter(&self) -> Vec<DeadLetter> {
        self.store().rows.dead_letters.values().cloned().collect()
    }

    /// Everything that was told, in its order.
    pub fn told(&self) -> Vec<Notice> {
        self.store().told.clone()
    }

    /// The books as they are kept.
    pub fn books_kept(&self) -> Books {
        self.store().rows.books()
    }

    /// The books, counted from the rows.
    pub fn books_counted(&self) -> Books {
        let mut books = Books::default();
        for (_, standing) in self.store().rows.all() {
            books.owed += 1;
            *account(&mut books, standing.state) += 1;
        }
        books
    }

    /// What has not come to an end outside the rows.
    pub fn backlog(&self) -> Backlog {
        let store = self.store();
        let messages = store.broker.messages();
        let (events, copies): (Vec<_>, Vec<_>) =
            messages.partition(|message| matches!(message.carried, Carried::Event(_)));
        Backlog {
            events: events.len() + store.noted.count(),
            copies: copies.len(),
            quarantined: store.broker.quarantined.len() + store.noted.quarantined.len(),
        }
    }

    /// The turns of every copy of every delivery at the broker.
    pub fn every_copy(&self) -> BTreeMap<DeliveryKey, Vec<Turn>> {
        self.store().broker.every_copy()
    }

    /// What producers called the events whose messages the broker has, handed out or not.
    pub fn events_at_the_broker(&self) -> BTreeSet<String> {
        self.store().broker.event_names().map(str::to_owned).collect()
    }
}
