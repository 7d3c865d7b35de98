//! Port: offers again, from the record, what a broker had and has lost.
//!
//! A broker's data folder can be gone: a disk, a wrong volume, a node that was set up anew. The record knows
//! what the broker had of it, and a router goes on from there:
//!
//! | what the broker had | what is left of it | what becomes of it |
//! |---|---|---|
//! | deliveries on the ladder | `waiting`, held by the *ladder*, with when they are due | held by the *journal*, due as before |
//! | events in the inbox whose deliveries have not ended: unacknowledged, or about to be | `pending`, or `waiting` held by the *router* | held by the *journal*; what was never settled is due now |
//! | events that were published over HTTP and not accepted yet | the event, with a note that it is not routed | routed, and owed |
//! | deliveries that are made at most once and were let go | `unknown` | nothing: nobody knows whether their request was made |
//! | native copies of dead letters | the dead letters themselves | nothing: they are replayed from the record |
//! | results on their way to producers | the deliveries and their attempts | nothing: they are not told a second time |
//! | what waits for a person, or for an attempt that one has asked for | all of it: no broker has it | nothing has to |
//! | events that a producer has published to the broker itself, and that were not accepted yet | nothing | **lost**: the broker's confirm was all that stood for them |
//!
//! Left to itself a router does the most of it, only later: what is pending is claimed a quarter of an hour after it
//! came, what is overdue on the ladder after two hours ([`Journal::claim`](super::journal::Journal::claim)). What
//! waits for tomorrow on the ladder would wait two hours longer than that, and what is noted for ever.
//!
//! Everything is offered at its next turn, so that a copy which comes back after all (the broker was not
//! empty, or its folder was found again) is for an old turn, and dropped. So recovering is safe at any time, also
//! when nothing was lost: at worst a request is repeated.
//!
//! **What if we die right here?** Each step is one transaction, and what it has offered is no longer among what
//! is looked for. Asked again, it goes on with the rest.

use async_trait::async_trait;

use super::StorageError;
use crate::domain::delivery::{DeliveryKey, Turn};
use crate::domain::event::{Event, Rejection};
use crate::domain::id::{EndpointId, EventId};
use crate::domain::time::Timestamp;

/// In whose hands the record believes a delivery to be that a broker may have lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hands {
    /// Never settled: its event is in the inbox, or was.
    Inbox,
    /// A router's, which has its event unacknowledged, or was about to hand it on.
    Router,
    /// The ladder's.
    Ladder,
}

impl Hands {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Inbox, Self::Router, Self::Ladder];
}

/// A delivery in somebody's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InHand {
    /// Which.
    pub key: DeliveryKey,
    /// The turn that it is at.
    pub turn: Turn,
    /// Where it lies, for the look behind it.
    pub place: Place,
}

/// A place among what is in somebody's hands: when it is due, and which row it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// When it is due; for what was never settled the moment 0.
    pub due_at: Timestamp,
    /// The event's number.
    pub event: i64,
    /// The endpoint.
    pub endpoint: EndpointId,
}

impl Place {
    /// In front of everything.
    pub const START: Self = Self {
        due_at: Timestamp::from_millis(i64::MIN),
        event: i64::MIN,
        endpoint: EndpointId::from_bytes([0; 20]),
    };
}

/// An event that was published and is not accepted yet.
#[derive(Debug, Clone)]
pub struct Noted {
    /// Its number: later ones have larger ones.
    pub number: i64,
    /// The event.
    pub event: Event,
}

/// The port.
#[async_trait]
pub trait Recovery: Send + Sync {
    /// What is in these hands, in a fixed order, behind a place; at most `limit`.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn in_hand(
        &self,
        hands: Hands,
        behind: Place,
        limit: u32,
    ) -> Result<Vec<InHand>, StorageError>;

    /// Offers these again, unless they have moved on since they were looked for: held by the journal at their
    /// next turn, due when they were, and not before their event is to be delivered; how many.
    ///
    /// # Errors
    /// `Unavailable`: repeating the call is safe.
    async fn offer_again(&self, lost: Vec<InHand>, now: Timestamp) -> Result<u64, StorageError>;

    /// Events that were published and are not accepted yet, by their numbers, behind this one; at most `limit`,
    /// and fewer when their payloads are large.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn noted(&self, behind: i64, limit: u32) -> Result<Vec<Noted>, StorageError>;

    /// Puts events away that nobody can route, with the reason; those of them that were accepted meanwhile
    /// stay as they are.
    ///
    /// # Errors
    /// `Unavailable`: repeating the call is safe.
    async fn put_away(
        &self,
        events: Vec<(EventId, Rejection)>,
        now: Timestamp,
    ) -> Result<(), StorageError>;
}
