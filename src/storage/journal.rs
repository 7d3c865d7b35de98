//! Port: the record of every event, delivery and attempt.
//!
//! The journal decides what has happened. Its promises to the pipeline are few: what was accepted
//! or recorded survives a power cut once the call has returned, each turn of a delivery is settled
//! once, and an event seen before is recognised when it is accepted again.
//!
//! The second half ([`Ledger`]) is what people ask of it: dead letters, attempts, replay.

use std::sync::Arc;

use std::time::Duration;

use async_trait::async_trait;

use super::StorageError;
use super::dead_letters::{DeadLetter, DeadLetterFilter};
use crate::domain::application::Tenant;
use crate::domain::delivery::{Attempt, Delivery, DeliveryKey, Holder, Standing, Trigger, Turn};
use crate::domain::event::Event;
use crate::domain::exchange::Timing;
use crate::domain::id::{ApplicationId, DeliveryId, EndpointId, EventId};
use crate::domain::retry::Due;
use crate::domain::settlement::Settlement;
use crate::domain::time::Timestamp;

/// An event with the deliveries it owes.
#[derive(Debug, Clone)]
pub struct Owed {
    /// The event.
    pub event: Arc<Event>,
    /// The endpoints that want it.
    pub endpoints: Vec<EndpointId>,
}

/// What accepting an event came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acceptance {
    /// It is new: its deliveries are pending, at their first turn.
    New,
    /// It was accepted before. Nothing was written; these are the deliveries it owed then, as they
    /// stand now.
    Known(Vec<(EndpointId, Standing)>),
}

/// A settlement to be recorded.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The delivery.
    pub key: DeliveryKey,
    /// The turn that is over; of an attempt by hand, the one that the delivery was at.
    pub turn: Turn,
    /// Why it was attempted, or was to be.
    pub trigger: Trigger,
    /// Attempts that count, now.
    pub attempts: u32,
    /// The request, if one was made.
    pub attempt: Option<Attempt>,
    /// What it means.
    pub settlement: Settlement,
    /// Who holds what goes on, when it does and [`to_hand_on`] says until when: the router, which keeps
    /// it or is about to hand it on, or a ladder that is one store with the journal.
    pub held_by: Holder,
    /// When it was decided.
    pub at: Timestamp,
    /// Whether operators are told what is worth it, in the same transaction
    /// ([`tidings`](super::tidings)).
    pub tells: bool,
}

/// What recording a settlement came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is on record, and its turn is over.
    Now,
    /// Its turn was over already: another copy settled it, and carries it on.
    Stale,
}

/// The whole accounting: `owed = pending + waiting + delivered + dead + discarded + cancelled + dropped +
/// unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Books {
    /// Deliveries ever owed.
    pub owed: u64,
    /// Never settled yet.
    pub pending: u64,
    /// Settled, and to go on.
    pub waiting: u64,
    /// Delivered.
    pub delivered: u64,
    /// Given up, and neither replayed nor discarded since.
    pub dead: u64,
    /// Given up, and put away for good: by age.
    pub discarded: u64,
    /// Taken back.
    pub cancelled: u64,
    /// Given up, and not kept: their policy said so, or a person put them away.
    pub dropped: u64,
    /// Let go once, and no end of it is on record.
    pub unknown: u64,
}

impl Books {
    /// What is neither finished nor waiting: 0, or something was lost (or counted twice).
    pub fn unaccounted(&self) -> i64 {
        let accounted = self.pending
            + self.waiting
            + self.delivered
            + self.dead
            + self.discarded
            + self.cancelled
            + self.dropped
            + self.unknown;
        i64::try_from(self.owed).unwrap_or(i64::MAX) - i64::try_from(accounted).unwrap_or(i64::MAX)
    }
}

/// Which waiting deliveries may be claimed from the journal, by who holds them.
#[derive(Debug, Clone, Copy)]
pub struct Overdue {
    /// Held by the journal itself, and due by this moment.
    pub due_by: Timestamp,
    /// Held by a router, and due before this: it is gone, or it would have settled them.
    pub abandoned_before: Timestamp,
    /// Never settled, and received before this: the message that it would come again with is gone.
    pub forgotten_before: Timestamp,
    /// Held by the ladder, and due before this: the ladder has lost them (a queue that was purged,
    /// or that its broker could not recover). A copy that comes back after all is an old turn.
    pub lost_before: Timestamp,
    /// Whether those that a replay has offered may be among what the journal holds.
    pub replayed: bool,
}

/// An attempt that a person has asked for.
#[derive(Debug, Clone)]
pub struct Resend {
    /// The number of the request.
    pub number: i64,
    /// The delivery, as it stands.
    pub delivery: Delivery,
}

/// The pipeline's half.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Accepts events with the deliveries they owe, one answer each and in their order.
    ///
    /// When this returns `Ok`, a power cut loses none of them. The same event twice in one batch is
    /// new once and known once.
    ///
    /// # Errors
    /// `Unavailable`: written or not, we cannot know; repeating the same call is safe.
    async fn accept(&self, batch: Vec<Owed>) -> Result<Vec<Acceptance>, StorageError>;

    /// How deliveries stand, in their order; `None` for one that was never owed.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn standings(
        &self,
        keys: Vec<DeliveryKey>,
    ) -> Result<Vec<Option<Standing>>, StorageError>;

    /// Whether events are on record, in their order: accepted, or published and not accepted yet.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn has_events(&self, ids: Vec<EventId>) -> Result<Vec<bool>, StorageError>;

    /// Records settlements, one answer each and in their order: the turn moves on, the attempt is
    /// kept, a dead letter is laid down, the books are balanced, all in one transaction.
    ///
    /// What goes on is recorded as held by whom the settlement says, until
    /// [`handed_on`](Self::handed_on) says otherwise; what is paused is held by the journal itself. A success is a fact: it is recorded
    /// also when its turn is over, unless the delivery is final.
    ///
    /// An endpoint that answered that it is gone (410) is disabled in the same transaction, and the version
    /// of the catalogue moves on; not when it was edited since it was asked. What it is owed is held by
    /// the journal until a person acts, as for one that is paused.
    ///
    /// Whoever keeps count of failing endpoints ([`failing`](super::failing)) counts here.
    ///
    /// An attempt by hand is outside the turns: it is kept, and a success delivers whatever was not
    /// delivered yet, given up or taken back too. Its request is done with in the same transaction, or,
    /// when it is postponed, put off until then. `Now` says that the delivery has moved.
    ///
    /// [`LetGo`](Settlement::LetGo) comes before its request: with `Now` the delivery is unknown, the attempt
    /// is kept as one of unknown outcome, and nobody else gets `Now` for that turn, so that only who was
    /// answered so may make the request; with `Stale` nothing is written. Of an attempt by hand, `Now` says
    /// that its request was still there and is done with: the delivery stays as it was. What an unknown
    /// delivery comes to is recorded at its next turn, with the attempt of the same id, whose row is brought up
    /// to date: a [receiver's word](Settlement::is_an_answer), and nothing else.
    ///
    /// The policy that an attempt was made by is kept with it, each version once.
    ///
    /// # Errors
    /// `Unavailable`: recorded or not, we cannot know; repeating the same call answers `Stale` for
    /// what was, which the caller must not take for somebody else's.
    async fn record(&self, batch: Vec<Settled>) -> Result<Vec<Recorded>, StorageError>;

    /// Notes that deliveries which go on at these turns are safely on the ladder.
    ///
    /// Lazy: when it returns they are noted, but a crash before costs only a repeated copy.
    ///
    /// # Errors
    /// `Unavailable`; may be dropped.
    async fn handed_on(&self, batch: Vec<(DeliveryKey, Turn)>) -> Result<(), StorageError>;

    /// Takes deliveries over from the messages that they came from: who is at this turn and not settled is from now
    /// on waiting, held by a router, which had it at `now`. Whether each is on record; what became of one
    /// that has been settled since is no longer asked here.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn escrow(
        &self,
        batch: Vec<(DeliveryKey, Turn)>,
        now: Timestamp,
    ) -> Result<Vec<bool>, StorageError>;

    /// Brings forward what waits for room at an endpoint, oldest first: the first to `now`, each next one
    /// `interval` behind it, and nothing to later than it was; how many.
    ///
    /// In small steps; a crash between two leaves the rest where it was.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn bring_forward(
        &self,
        endpoint: EndpointId,
        now: Timestamp,
        interval: Duration,
    ) -> Result<u64, StorageError>;

    /// Claims deliveries that wait in vain or for nobody else, oldest due first: see [`Overdue`].
    ///
    /// Each is claimed for one caller: its turn grows, and until `lease_until` nobody else can claim
    /// it. A claimer that dies loses nothing: the lease ends and it is claimed again.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn claim(
        &self,
        overdue: Overdue,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Delivery>, StorageError>;

    /// Claims attempts that people have asked for and that may be made by `now`, longest due first.
    ///
    /// A claim is a lease, as for [`claim`](Self::claim): who dies with it has it made once more.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn claim_resends(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Resend>, StorageError>;

    /// Puts off attempts that people have asked for, by the numbers of their requests.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn put_off_resends(
        &self,
        numbers: Vec<i64>,
        until: Timestamp,
    ) -> Result<(), StorageError>;

    /// The books, as kept with each transaction.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn books(&self) -> Result<Books, StorageError>;
}

/// An attempt as it was recorded.
#[derive(Debug, Clone)]
pub struct AttemptRecord {
    /// Its id.
    pub id: crate::domain::id::AttemptId,
    /// Which attempt of the delivery.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: u32,
    /// How long each phase of that took.
    pub timing: Timing,
    /// The headers that it was sent with, as far as they are anybody's to see; where they are asked for.
    pub headers: Vec<(String, String)>,
    /// The outcome in one word.
    pub outcome: String,
    /// The status code; 0 when there was no answer.
    pub status: u16,
    /// The URL it went to.
    pub url: String,
    /// The kept part of the answer.
    pub response: Vec<u8>,
    /// What went wrong, in words.
    pub detail: String,
}

/// What a replay would do, or did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayCount {
    /// Dead letters that match and can be replayed, by endpoint.
    pub by_endpoint: Vec<(EndpointId, u64)>,
    /// Those whose endpoint is gone or disabled, or whose default URL is: left where they are.
    pub without_endpoint: u64,
    /// Payload bytes that would be sent.
    pub bytes: u64,
    /// When the oldest and the newest were given up.
    pub span: Option<(Timestamp, Timestamp)>,
}

impl ReplayCount {
    /// Dead letters that match and can be replayed.
    pub fn total(&self) -> u64 {
        self.by_endpoint.iter().map(|(_, count)| count).sum()
    }
}

/// The people's half.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Dead letters that match, newest first; `after` continues behind the last one seen.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StorageError>;

    /// How many dead letters match.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn count_dead_letters(&self, filter: &DeadLetterFilter) -> Result<u64, StorageError>;

    /// One event, with its payload.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn event(&self, id: EventId) -> Result<Option<Event>, StorageError>;

    /// Every attempt of a delivery, oldest first.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn attempts(&self, key: DeliveryKey) -> Result<Vec<AttemptRecord>, StorageError>;

    /// What replaying the dead letters that match would do.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn count_replay(&self, filter: &DeadLetterFilter) -> Result<ReplayCount, StorageError>;

    /// Brings dead letters that match back to waiting, held by the journal, due `now`, with their
    /// attempts beginning anew and the next turn; how many. In small steps: each is atomic, and a
    /// crash between two leaves the rest dead, for the same call again.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn replay(&self, filter: &DeadLetterFilter, now: Timestamp) -> Result<u64, StorageError>;

    /// Offers what waits for an endpoint again at once: held by the journal, due `now`, at the next
    /// turn, so that copies on the ladder die when they come back; how many.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn recall(&self, endpoint: EndpointId, now: Timestamp) -> Result<u64, StorageError>;

    /// Offers what an application has held back again at once, as [`recall`](Self::recall) does: now that
    /// its settings let it go on, or that it is gone. What waits for an endpoint that is paused or disabled
    /// goes on waiting. How many.
    ///
    /// In bounded steps, over all that waits for people. That it has to be done is written with the settings:
    /// should nobody bring it to its end, [`left_undone`](super::upkeep::Upkeep::left_undone) tells.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn recall_held(
        &self,
        application: ApplicationId,
        now: Timestamp,
    ) -> Result<u64, StorageError>;

    /// Asks for one attempt more, now, whatever the endpoint's filter says and however its delivery
    /// stands; whether there are such an event and such an endpoint, or such a URL (its application's default
    /// one, or one that the event names). When this returns `Ok(true)`, it is
    /// durable and will be made.
    ///
    /// An event that was not owed to the endpoint is from now on, as one that was taken back: it is not
    /// tried again by itself.
    ///
    /// # Errors
    /// `Conflict` when the event is not routed yet, or its payload was forgotten.
    async fn resend(
        &self,
        tenant: Tenant,
        key: DeliveryKey,
        now: Timestamp,
    ) -> Result<bool, StorageError>;

    /// Takes back all that an endpoint is owed and has not got; how many.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn cancel(&self, endpoint: EndpointId, now: Timestamp) -> Result<u64, StorageError>;
}

/// When a delivery that is settled goes on, if it does and not by the journal's own doing.
///
/// Kept here because it is part of the contract of [`Journal::record`]: what this names is what the
/// caller has to hand on. What waits for room is not: the journal holds it, so that a slow endpoint costs a broker
/// nothing, and what waits for it is brought forward when there is more.
pub fn to_hand_on(settlement: &Settlement) -> Option<Due> {
    if waits_for_room(settlement) { None } else { settlement.due() }
}

/// Whether a settlement puts its delivery off until there is room for it
/// ([`waits_for_room`](crate::domain::settlement::Postponed::waits_for_room)).
pub const fn waits_for_room(settlement: &Settlement) -> bool {
    matches!(settlement, Settlement::Postpone(_, why) if why.waits_for_room())
}
