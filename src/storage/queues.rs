//! Port: how much waits, where, and until when: for people who look, not for the router.
//!
//! Nothing is counted beyond [`COUNT_MAX`]: a page costs the same with ten deliveries waiting and with ten million.

use std::time::Duration;

use async_trait::async_trait;

use super::StorageError;
use crate::domain::time::Timestamp;

/// Up to where rows are counted one by one: as far as anybody reads a number digit by digit; some 2 ms of a reader's time.
pub const COUNT_MAX: u32 = 10_000;

/// A count that ends somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// So many at least.
    pub least: u64,
    /// Whether there may be more.
    pub or_more: bool,
}

impl Count {
    /// So many, and no more.
    pub const fn exactly(least: u64) -> Self {
        Self { least, or_more: false }
    }

    /// What rows come to of which one more than [`COUNT_MAX`] was looked for.
    pub fn of(found: u32) -> Self {
        Self { least: found.min(COUNT_MAX).into(), or_more: found > COUNT_MAX }
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { least: self.least + other.least, or_more: self.or_more || other.or_more }
    }
}

/// What a queue is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Events that wait to be routed.
    Inbox,
    /// Deliveries that wait for so long.
    Rung(Duration),
    /// Deliveries whose wait is over.
    Due,
    /// Copies of dead letters, for the broker's own tools.
    DeadLetters,
    /// Messages that are no events.
    Quarantine,
    /// Messages that no queue was bound for.
    Unroutable,
    /// Deliveries that found no rung, or no way back.
    Orphans,
    /// Messages that were delivered too often.
    Poison,
    /// Attempts that people have asked for.
    Resends,
    /// What operators are to be told of.
    Tidings,
}

impl Role {
    /// What lies in it, in a few words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Inbox => "events that wait to be routed",
            Self::Rung(_) => "deliveries that wait on the ladder",
            Self::Due => "deliveries whose wait is over",
            Self::DeadLetters => "copies of dead letters, for the broker's own tools",
            Self::Quarantine => "messages that are no events",
            Self::Unroutable => "messages that no queue was bound for",
            Self::Orphans => "deliveries that found no rung, or no way back",
            Self::Poison => "messages that were delivered too often",
            Self::Resends => "attempts that people have asked for",
            Self::Tidings => "what operators are to be told of",
        }
    }

    /// Whether anything in it wants a person.
    pub const fn wants_a_person(self) -> bool {
        match self {
            Self::Quarantine | Self::Unroutable | Self::Orphans | Self::Poison => true,
            Self::Inbox
            | Self::Rung(_)
            | Self::Due
            | Self::DeadLetters
            | Self::Resends
            | Self::Tidings => false,
        }
    }
}

/// How a queue stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depth {
    /// What it is called: the queue's name on a broker, the table's in a file.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// How much is ready in it.
    pub ready: Count,
    /// Who consumes it; `None` where nobody counts them.
    pub consumers: Option<u32>,
}

/// What was found of all queues.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Depths {
    /// The queues: first those that something happens to, then the rungs that are in use, then those for people.
    pub queues: Vec<Depth>,
    /// Queues that are not there although they should be, by name: the topology is not whole.
    pub missing: Vec<String>,
}

/// The queues of a store.
#[async_trait]
pub trait Queues: Send + Sync {
    /// How each stands. Ends within ten seconds.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn depths(&self) -> Result<Depths, StorageError>;
}

/// Deliveries that go on within one span from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its end, from now; `None`: the last, without one. The first, of 0, is what is due already.
    pub until: Option<Duration>,
    /// How many.
    pub count: Count,
}

/// Ends of the spans, from now.
pub const SPANS: [Duration; 7] = [
    Duration::ZERO,
    Duration::from_secs(10),
    Duration::from_mins(1),
    Duration::from_mins(10),
    Duration::from_hours(1),
    Duration::from_hours(6),
    Duration::from_hours(24),
];

/// What waits, by the record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WaitingBySpan {
    /// Never attempted yet.
    pub pending: Count,
    /// In a router's memory, between two attempts.
    pub in_memory: Count,
    /// On the ladder, or left to the journal: by when they go on. One for each of [`SPANS`], and one beyond.
    pub spans: Vec<Span>,
    /// Held back until a person lets them go: their endpoint is paused or disabled, or their application holds its deliveries.
    pub held_back: Count,
    /// When the delivery could have been sent that has been late for longest; `None` when nothing is late.
    pub oldest: Option<Timestamp>,
}

/// What waits, by the record.
#[async_trait]
pub trait Waits: Send + Sync {
    /// By when it goes on.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn waiting(&self, now: Timestamp) -> Result<WaitingBySpan, StorageError>;

    /// When the delivery could have been sent that has been late for longest, all applications' together; `None` when nothing
    /// is late. Reads the ends of indexes.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn oldest_late(&self, now: Timestamp) -> Result<Option<Timestamp>, StorageError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_ends_at_its_bound_and_says_so() {
        assert_eq!(Count::of(10_000), Count::exactly(10_000));
        let many = Count::of(10_001);
        assert_eq!(many, Count { least: 10_000, or_more: true });
        assert_eq!(many.and(Count::exactly(5)), Count { least: 10_005, or_more: true });
    }
}
