//! A broker's queues, as far as the ports show them: published events, deliveries on the ladder, and
//! what was handed out and is not acknowledged.
//!
//! A message that is handed out has a tag of its own, which its receipt names; when the connection is
//! lost all of them go back to the front of their queues, marked as redelivered, and the old tags mean
//! nothing.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::domain::delivery::{Delivery, DeliveryKey, Turn};
use crate::domain::event::{Identity, NewEvent, Rejection};
use crate::domain::time::Timestamp;
use crate::storage::ladder::Waiting;

/// What a message carries.
#[derive(Debug, Clone)]
pub(super) enum Carried {
    /// A published event.
    Event(Box<NewEvent>),
    /// A delivery, and when it may go on.
    Due(Box<Delivery>, Timestamp),
}

/// A message.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) carried: Carried,
    pub(super) redelivered: bool,
}

/// The queues.
#[derive(Debug, Default)]
pub(super) struct Broker {
    events: VecDeque<Message>,
    due: VecDeque<Message>,
    /// By when it comes back, and a number.
    ladder: BTreeMap<(Timestamp, u64), Message>,
    /// Handed out, by tag.
    unacknowledged: BTreeMap<u64, Message>,
    /// Those of them that are events.
    events_out: usize,
    /// Messages and tags are numbered from one sequence.
    last_number: u64,
    pub(super) quarantined: Vec<(Message, Rejection)>,
}

impl Broker {
    /// Appends an event.
    pub(super) fn publish(&mut self, event: NewEvent) {
        let carried = Carried::Event(Box::new(event));
        self.events.push_back(Message { carried, redelivered: false });
    }

    /// Puts a copy on the ladder.
    pub(super) fn postpone(&mut self, waiting: &Waiting, now: Timestamp, hop_max: Duration) {
        let Waiting { delivery, due } = waiting;
        let back_at = due.at.min(now + hop_max);
        let carried = Carried::Due(Box::new(delivery.clone()), due.at);
        let number = self.next_number();
        self.ladder.insert((back_at, number), Message { carried, redelivered: false });
    }

    /// Hands a message out, with its tag: events and due deliveries by turns, at most `prefetch` of
    /// each.
    pub(super) fn hand_out(&mut self, now: Timestamp, prefetch: usize) -> Option<(u64, Message)> {
        self.bring_due(now);
        let due_out = self.unacknowledged.len() - self.events_out;
        let event_may = self.events_out < prefetch && !self.events.is_empty();
        let due_may = due_out < prefetch && !self.due.is_empty();
        let number = self.next_number();
        // Odd numbers prefer events: neither backlog keeps the other waiting.
        let message = if event_may && (number % 2 == 1 || !due_may) {
            self.events_out += 1;
            self.events.pop_front()
        } else if due_may {
            self.due.pop_front()
        } else {
            None
        }?;
        self.unacknowledged.insert(number, message.clone());
        Some((number, message))
    }

    /// When the ladder next gives a copy back.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.ladder.first_key_value().map(|((back_at, _), _)| *back_at)
    }

    /// Forgets a message that is finished. A tag of a lost connection means nothing.
    pub(super) fn acknowledge(&mut self, tag: u64) -> Option<Message> {
        let message = self.unacknowledged.remove(&tag)?;
        if matches!(message.carried, Carried::Event(_)) {
            self.events_out -= 1;
        }
        Some(message)
    }

    /// The connection is lost: what was handed out comes again.
    pub(super) fn hang_up(&mut self) {
        self.events_out = 0;
        for (_, message) in std::mem::take(&mut self.unacknowledged).into_iter().rev() {
            let again = Message { redelivered: true, ..message };
            match again.carried {
                Carried::Event(_) => self.events.push_front(again),
                Carried::Due(..) => self.due.push_front(again),
            }
        }
    }

    /// A message that was handed out.
    pub(super) fn handed_out(&self, tag: u64) -> Option<&Message> {
        self.unacknowledged.get(&tag)
    }

    /// The turns of every copy of every delivery that is anywhere here.
    pub(super) fn every_copy(&self) -> BTreeMap<DeliveryKey, Vec<Turn>> {
        let mut copies: BTreeMap<_, Vec<Turn>> = BTreeMap::new();
        for message in self.messages() {
            if let Carried::Due(delivery, _) = &message.carried {
                copies.entry(delivery.key()).or_default().push(delivery.turn);
            }
        }
        copies
    }

    /// The names of every event that is here, by their producers.
    pub(super) fn event_names(&self) -> impl Iterator<Item = &str> {
        self.messages().filter_map(|message| match &message.carried {
            Carried::Event(event) => match &event.identity {
                Identity::Given(name) | Identity::Sourced { id: name, .. } => Some(name.as_ref()),
                Identity::Fingerprint(_) | Identity::Stored(..) => None,
            },
            Carried::Due(..) => None,
        })
    }

    /// Every message.
    pub(super) fn messages(&self) -> impl Iterator<Item = &Message> {
        let queued = self.events.iter().chain(&self.due);
        queued.chain(self.ladder.values()).chain(self.unacknowledged.values())
    }

    fn bring_due(&mut self, now: Timestamp) {
        while let Some(first) = self.ladder.first_entry()
            && first.key().0 <= now
        {
            self.due.push_back(first.remove());
        }
    }

    const fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}
