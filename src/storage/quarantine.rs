//! Port: messages that are no events, or that nobody took, kept until a person has looked at them.
//!
//! Each lies on a [`Shelf`], with the reason. It is found again by an id that is made of what it is (what it was
//! published as, and its bytes), so that looking twice finds the same; two messages that are alike in all of that
//! have one id, and what is asked for is done to the first of them.
//!
//! What is resubmitted is published anew, corrected, and only then taken off its shelf. **What if we die right here?**
//! Behind the publish and before the taking off, the event is on its way and the message still lies on its shelf:
//! resubmitted again, it comes twice, and both times by one message id (the one that it had, or its id here), by which
//! it is recognised: one event. Where shelf and inbox are one store, there is nothing in between.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use bytes::Bytes;

use super::StorageError;
use crate::domain::id::HeldId;
use crate::domain::time::Timestamp;

/// Most messages that one look goes over: a page of four screens. A broker's queue shows its head alone, and each look
/// takes what it shows out and gives it back.
pub const LOOK_MAX: usize = 200;

/// Bytes of a body that are shown: as much as anybody reads, and a page's weight beside nothing else.
pub const BODY_SHOWN_MAX: usize = 64 * 1024;

/// Messages that one discard names at the most: those of a look.
pub const DISCARD_MAX: usize = LOOK_MAX;

/// Where messages are put that nobody takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shelf {
    /// Messages of the broker that are no events.
    Quarantine,
    /// Events on record that nobody can route: their application is gone.
    Record,
    /// Messages that no queue of the broker was bound for.
    Unroutable,
    /// Messages that the broker has delivered too often.
    Poison,
}

impl Shelf {
    /// Every shelf.
    pub const ALL: [Self; 4] = [Self::Quarantine, Self::Record, Self::Unroutable, Self::Poison];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quarantine => "quarantine",
            Self::Record => "record",
            Self::Unroutable => "unroutable",
            Self::Poison => "poison",
        }
    }

    /// What lies on it, in a sentence.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Quarantine => "Messages that came over the broker and are no events.",
            Self::Record => "Events on record that nobody can route: their application is gone.",
            Self::Unroutable => "Messages that no queue of the broker was bound for.",
            Self::Poison => "Messages that were delivered too often without being finished.",
        }
    }
}

impl fmt::Display for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Shelf {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|shelf| shelf.as_str() == word).ok_or_else(|| {
            format!("`{word}` is no shelf: quarantine, record, unroutable and poison are")
        })
    }
}

/// A message on a shelf, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What it is found by.
    pub id: HeldId,
    /// Why it is here, in one word.
    pub reason: String,
    /// Why it is here, in a sentence. It may quote its producer.
    pub why: String,
    /// The key that it was published with, `<application>.<event type>`.
    pub routing_key: String,
    /// The type that it names beside its key, if it does.
    pub event_type: Option<String>,
    /// What its producer calls it, if anything.
    pub message_id: Option<String>,
    /// Bytes of its body.
    pub body_bytes: usize,
    /// When it was put here, or, of a broker, when its producer says that it was published; where either is known.
    pub at: Option<Timestamp>,
}

/// What a look at a shelf came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// The messages, newest first.
    pub held: Vec<Held>,
    /// How many there are, where somebody knows.
    pub total: Option<u64>,
    /// Whether these are all. When they are not, they are of a broker the ones that have been there longest, since a
    /// queue shows its head alone; of the record the newest.
    pub all: bool,
}

/// A message on a shelf, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldMessage {
    /// As the list shows it.
    pub held: Held,
    /// The exchange that it was published to, where there was one.
    pub exchange: Option<String>,
    /// The media type that it says its body has.
    pub content_type: Option<String>,
    /// Its headers, in the order of their names, each value as text.
    pub headers: Vec<(String, String)>,
    /// Its body's first bytes, at most [`BODY_SHOWN_MAX`].
    pub body: Bytes,
}

impl HeldMessage {
    /// Whether the body is shown whole: only then can it be corrected by hand.
    pub fn is_whole(&self) -> bool {
        self.body.len() == self.held.body_bytes
    }
}

/// What is corrected of a message; what is `None` stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fix {
    /// The key, `<application>.<event type>`.
    pub routing_key: Option<String>,
    /// The type beside its key; an empty one is none, and the key's tail is its type.
    pub event_type: Option<String>,
    /// The body.
    pub body: Option<Bytes>,
    /// Headers, and the properties `timestamp` and `content_type`, that are left out: one that cannot be read is
    /// of no use, and cannot be put right by anybody but its producer. Of messages of a broker alone.
    pub without: Vec<String>,
}

/// A message that was resubmitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resubmitted {
    /// What the event is recognised by, within its application: the id that its producer gave it, or, when it had none, the
    /// one that it had on its shelf.
    pub message_id: String,
    /// The key that it was published with.
    pub routing_key: String,
}

/// Where such messages lie.
#[async_trait]
pub trait Quarantine: Send + Sync {
    /// The shelves that there are.
    fn shelves(&self) -> &'static [Shelf];

    /// Looks at a shelf: at most [`LOOK_MAX`] messages.
    ///
    /// # Errors
    /// `Unavailable`; `Conflict` for a shelf that is not one of [`shelves`](Self::shelves).
    async fn look(&self, on: Shelf) -> Result<Look, StorageError>;

    /// One message, if it is (still) among those that a look goes over, or found by its id.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    async fn held(&self, on: Shelf, id: HeldId) -> Result<Option<HeldMessage>, StorageError>;

    /// Publishes a message anew with this correction, and takes it off its shelf when that is durable. `None` when there is no
    /// such message (any more).
    ///
    /// # Errors
    /// `Conflict`: even so it is no event, with what is wrong and accepted; nothing was done. `Unavailable`: done, half done or
    /// not; doing it again is safe.
    async fn resubmit(
        &self,
        on: Shelf,
        id: HeldId,
        fix: &Fix,
    ) -> Result<Option<Resubmitted>, StorageError>;

    /// Throws messages away for good, at most [`DISCARD_MAX`]; how many were there.
    ///
    /// # Errors
    /// As for [`look`](Self::look); some may be gone then.
    async fn discard(&self, on: Shelf, ids: &[HeldId]) -> Result<usize, StorageError>;
}
