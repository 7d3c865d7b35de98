//! One event owed to one endpoint, and where it stands.
//!
//! A delivery's *turn* grows by one at each settlement. Whoever holds a copy of the delivery (the
//! broker, a router's memory, the ladder) holds it at some turn; when the journal is further on,
//! the copy is old and is dropped. That fence makes every step of the way repeatable.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use super::event::Event;
use super::exchange::{SentHeaders, Timing};
use super::id::{AttemptId, DeliveryId, EndpointId, EventId, NotAnId};
use super::outcome::{Meaning, Outcome};
use super::policy::Resolved;
use super::time::Timestamp;

/// Which delivery: the event and the endpoint it is owed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryKey {
    /// The event.
    pub event: EventId,
    /// The endpoint.
    pub endpoint: EndpointId,
}

impl DeliveryKey {
    /// The delivery's id, derived from both.
    pub fn id(&self) -> DeliveryId {
        DeliveryId::derived(&[self.event.as_bytes(), self.endpoint.as_bytes()])
    }
}

/// Both ids with a full stop between them: what a place in a list of deliveries is named by.
impl fmt::Display for DeliveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.event, self.endpoint)
    }
}

impl FromStr for DeliveryKey {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let (event, endpoint) = text.split_once('.').unwrap_or((text, ""));
        Ok(Self { event: event.parse()?, endpoint: endpoint.parse()? })
    }
}

/// Grows at each settlement of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Turn(pub u32);

impl Turn {
    /// The turn of a delivery that was never settled.
    pub const FIRST: Self = Self(0);

    /// The turn after a settlement of this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A delivery on its way, with all that is needed to send it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What is owed.
    pub event: Arc<Event>,
    /// To whom.
    pub endpoint: EndpointId,
    /// The turn that this copy is for.
    pub turn: Turn,
    /// Attempts that count, so far.
    pub attempts: u32,
    /// It was offered by a replay: live traffic goes first.
    pub replayed: bool,
}

impl Delivery {
    /// A delivery that was never attempted.
    pub fn first(event: Arc<Event>, endpoint: EndpointId) -> Self {
        Self { event, endpoint, turn: Turn::FIRST, attempts: 0, replayed: false }
    }

    /// Which delivery this is a copy of.
    pub fn key(&self) -> DeliveryKey {
        DeliveryKey { event: self.event.id, endpoint: self.endpoint }
    }

    /// The copy for what comes after this turn was settled.
    #[must_use]
    pub fn after(mut self, attempts: u32) -> Self {
        self.turn = self.turn.next();
        self.attempts = attempts;
        self
    }
}

/// What the journal says of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The turn that comes next.
    pub turn: Turn,
    /// Attempts that count, so far.
    pub attempts: u32,
    /// Where it is.
    pub state: DeliveryState,
}

/// Where a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// Owed, and never settled: whoever holds the event attempts it.
    Pending,
    /// Settled at least once, and to go on at `due_at`.
    Waiting {
        /// When it may go on.
        due_at: Timestamp,
        /// Who has the copy that will go on.
        held_by: Holder,
    },
    /// The receiver has it.
    Delivered,
    /// Given up; kept to be looked at and replayed.
    Dead,
    /// Taken back by a person.
    Cancelled,
    /// Given up, and not kept as a dead letter: its policy said so.
    Dropped,
    /// Given up, and its dead letter put away by a person: it does not come back with what was given up.
    Discarded,
    /// Its one request was let go, and no end of it is on record: it is on the way, or its router died with it.
    Unknown,
}

impl DeliveryState {
    /// Whether nothing more will happen to it by itself.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Delivered
                | Self::Dead
                | Self::Cancelled
                | Self::Dropped
                | Self::Discarded
                | Self::Unknown
        )
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Waiting { .. } => "waiting",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
            Self::Dropped => "dropped",
            Self::Discarded => "discarded",
            Self::Unknown => "unknown",
        }
    }

    /// How it is shown to its tenant.
    ///
    /// What the journal holds until a person acts (its endpoint is paused or disabled) is pending and
    /// not being sent: it may never be.
    pub fn shown(self) -> Shown {
        match self {
            Self::Pending => Shown::Pending,
            Self::Waiting { due_at, .. } if due_at == Timestamp::NEVER => Shown::Pending,
            Self::Waiting { .. } => Shown::Sending,
            Self::Delivered => Shown::Success,
            Self::Dead | Self::Dropped | Self::Discarded | Self::Unknown => Shown::Fail,
            Self::Cancelled => Shown::Canceled,
        }
    }

    /// When it is tried next, as far as is known: there is a moment for what is
    /// [`Sending`](Shown::Sending), and for nothing else.
    pub fn next_attempt(self) -> Option<Timestamp> {
        match self {
            Self::Waiting { due_at, .. } => (due_at != Timestamp::NEVER).then_some(due_at),
            Self::Pending
            | Self::Delivered
            | Self::Dead
            | Self::Cancelled
            | Self::Dropped
            | Self::Discarded
            | Self::Unknown => None,
        }
    }
}

/// How a delivery is shown to its tenant: the words and numbers that client libraries know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shown {
    /// The receiver has it.
    Success,
    /// Not tried yet; or nobody knows when it will be, since a person has to act.
    Pending,
    /// Given up.
    Fail,
    /// Tried, and to be tried again.
    Sending,
    /// Taken back.
    Canceled,
}

impl Shown {
    /// All of them, each at the place of its number.
    pub const ALL: [Self; 5] =
        [Self::Success, Self::Pending, Self::Fail, Self::Sending, Self::Canceled];

    /// Its number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Pending => "pending",
            Self::Fail => "fail",
            Self::Sending => "sending",
            Self::Canceled => "canceled",
        }
    }
}

/// Who holds the copy of a waiting delivery that will go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// The router that settled it, on the strength of the unacknowledged message it came from.
    Router,
    /// The ladder: a confirmed message.
    Ladder,
    /// The journal itself: a router claims it from there when it is due.
    Journal,
    /// The journal, until there is room for it at its endpoint, whose rate or cap is used up or whose circuit is open:
    /// claimed when it is due, and brought forward when there is more.
    Circuit,
}

impl Holder {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Ladder => "ladder",
            Self::Circuit => "circuit",
            Self::Journal => "journal",
        }
    }
}

/// What to do with a copy of a delivery that came back from the ladder or with a redelivered event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// It is this copy's turn.
    Attempt,
    /// Its turn is over, and what comes after it is in safe hands: drop it.
    Drop,
    /// Its turn is over, but nobody is known to hold what comes after: this copy takes its place.
    TakeOver,
}

impl Standing {
    /// Judges a copy that says it is for `turn`.
    ///
    /// The doubtful case is a turn that was recorded by a router which may have died before it
    /// handed the delivery on. Then the old copy takes over; at worst there are two copies of the
    /// new turn, and this same fence drops the second.
    pub fn judge(&self, turn: Turn) -> Fence {
        match self.state {
            DeliveryState::Delivered
            | DeliveryState::Dead
            | DeliveryState::Cancelled
            | DeliveryState::Dropped
            | DeliveryState::Discarded
            | DeliveryState::Unknown => Fence::Drop,
            // A copy ahead of the journal means that the journal was restored from a backup: the
            // copy knows better, and one request too many is better than one too few.
            DeliveryState::Pending | DeliveryState::Waiting { .. } if turn >= self.turn => {
                Fence::Attempt
            }
            DeliveryState::Pending
            | DeliveryState::Waiting {
                held_by: Holder::Ladder | Holder::Journal | Holder::Circuit,
                ..
            } => Fence::Drop,
            DeliveryState::Waiting { held_by: Holder::Router, .. } => Fence::TakeOver,
        }
    }
}

/// Why a delivery is attempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trigger {
    /// It is its turn.
    #[default]
    Turn,
    /// A person asked for it, by the request of this number: outside the turns, whatever they say, and
    /// without moving them, unless it succeeds.
    ByHand(i64),
}

impl Trigger {
    /// Whether a person asked for it.
    pub const fn is_by_hand(self) -> bool {
        matches!(self, Self::ByHand(_))
    }
}

/// One HTTP request for a delivery, ended.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Its id.
    pub id: AttemptId,
    /// Which attempt of the delivery it was, from 1; one that does not count has the number of the
    /// attempt that it would have been.
    pub number: u32,
    /// When the request began; at most once, when it was put on record that it would.
    pub started_at: Timestamp,
    /// From beginning to end, in milliseconds.
    pub duration_ms: u32,
    /// How long each phase of that took.
    pub timing: Timing,
    /// The headers that it was sent with.
    pub headers: SentHeaders,
    /// How it ended.
    pub outcome: Outcome,
    /// What that means, by its policy.
    pub meaning: Meaning,
    /// The policy that it was made by.
    pub policy: Arc<Resolved>,
    /// The URL it went to.
    pub url: Arc<str>,
    /// The first bytes of the answer's body, at most [`RESPONSE_KEPT_MAX`].
    pub response: Bytes,
    /// What went wrong, in words; empty when nothing did.
    pub detail: String,
}

impl Attempt {
    /// One word for how it ended: `success` for what its policy takes as one, and for nothing else.
    pub fn class(&self) -> &'static str {
        match (self.meaning, &self.outcome) {
            (Meaning::Delivered, _) => "success",
            (_, Outcome::Answered { status: 200..=299, .. }) => "odd_status",
            (_, outcome) => outcome.class(),
        }
    }
}

/// How much of an answer is kept: enough for any error message, bounded whatever comes.
pub const RESPONSE_KEPT_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_called_the_same_each_time() {
        let key = DeliveryKey {
            event: EventId::derived(&[b"event"]),
            endpoint: EndpointId::derived(&[b"endpoint"]),
        };
        assert_eq!(key.id(), key.id());
        assert!(key.id().to_string().starts_with("dlv_"));
    }

    #[test]
    fn a_place_among_deliveries_is_read_as_it_is_written() {
        let key = DeliveryKey {
            event: EventId::derived(&[b"event"]),
            endpoint: EndpointId::derived(&[b"endpoint"]),
        };
        assert_eq!(key.to_string().parse(), Ok(key));
        for wrong in ["", ".", &key.event.to_string(), &format!("{}.{}", key.event, key.event)] {
            assert!(wrong.parse::<DeliveryKey>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn how_each_state_is_shown_and_when_it_is_tried_next() {
        let soon = Timestamp::from_seconds(1_790_000_000);
        let waiting = |held_by, due_at| DeliveryState::Waiting { due_at, held_by };
        let table = [
            (DeliveryState::Delivered, Shown::Success, 0, "success", None),
            (DeliveryState::Pending, Shown::Pending, 1, "pending", None),
            (waiting(Holder::Journal, Timestamp::NEVER), Shown::Pending, 1, "pending", None),
            (DeliveryState::Dead, Shown::Fail, 2, "fail", None),
            (waiting(Holder::Router, soon), Shown::Sending, 3, "sending", Some(soon)),
            (waiting(Holder::Ladder, soon), Shown::Sending, 3, "sending", Some(soon)),
            (waiting(Holder::Journal, soon), Shown::Sending, 3, "sending", Some(soon)),
            (DeliveryState::Dropped, Shown::Fail, 2, "fail", None),
            (DeliveryState::Discarded, Shown::Fail, 2, "fail", None),
            (DeliveryState::Unknown, Shown::Fail, 2, "fail", None),
            (DeliveryState::Cancelled, Shown::Canceled, 4, "canceled", None),
        ];
        for (state, shown, number, word, next) in table {
            assert_eq!((state.shown(), state.next_attempt()), (shown, next), "{state:?}");
            assert_eq!((shown.number(), shown.as_str()), (number, word), "{state:?}");
            assert_eq!(Shown::ALL[usize::from(number)], shown);
        }
    }

    #[test]
    fn the_fence_row_by_row() {
        let waiting = |held_by| DeliveryState::Waiting { due_at: Timestamp::default(), held_by };
        let table = [
            // (journal's turn, journal's state, copy's turn, what to do)
            (0, DeliveryState::Pending, 0, Fence::Attempt),
            (2, waiting(Holder::Router), 2, Fence::Attempt),
            (2, waiting(Holder::Ladder), 2, Fence::Attempt),
            (2, waiting(Holder::Journal), 2, Fence::Attempt),
            (2, waiting(Holder::Ladder), 1, Fence::Drop),
            (2, waiting(Holder::Journal), 1, Fence::Drop),
            (2, waiting(Holder::Router), 1, Fence::TakeOver),
            (2, waiting(Holder::Ladder), 3, Fence::Attempt),
            (2, DeliveryState::Delivered, 1, Fence::Drop),
            (2, DeliveryState::Delivered, 2, Fence::Drop),
            (2, DeliveryState::Dead, 2, Fence::Drop),
            (2, DeliveryState::Cancelled, 2, Fence::Drop),
            (2, DeliveryState::Dropped, 2, Fence::Drop),
            (2, DeliveryState::Discarded, 2, Fence::Drop),
            (2, DeliveryState::Unknown, 1, Fence::Drop),
            (2, DeliveryState::Unknown, 2, Fence::Drop),
        ];
        for (journal, state, copy, expected) in table {
            let standing = Standing { turn: Turn(journal), attempts: 1, state };
            assert_eq!(standing.judge(Turn(copy)), expected, "{standing:?} {copy}");
        }
    }
}
