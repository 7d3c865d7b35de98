//! Port: what tenants ask of the record: their events, and what became of each.
//!
//! Every question is asked by a [`Tenant`], and nothing of another is found: it is the first argument of
//! each, so that a question without its tenant cannot be written. Lists are newest first, and each page
//! costs the same however long the history is: where few rows match, a page looks at so many and no more,
//! and says where to go on ([`Listed::beyond`]).
//!
//! Events are listed in the order of their acceptance, attempts in the order of their ids, which begin
//! with the second of their making.
//!
//! Sending an event once more is asked of the ledger ([`Ledger::resend`](super::journal::Ledger::resend)),
//! and many of them by a replay ([`replays`](super::replays)).
//!
//! On SQLite alone, beside any inbox and ladder. There is no back end in memory: what these questions have
//! to show is that their cost stays the same over a history that is on a disk, and the simulation, which is
//! what the stores in memory are for, has no tenants who look at pages.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use super::StorageError;
use super::journal::AttemptRecord;
use super::page::{Listed, Page};
use crate::domain::application::{Metadata, Tenant};
use crate::domain::delivery::{DeliveryKey, DeliveryState, Shown, Standing};
use crate::domain::endpoint::{DisabledBecause, EndpointState};
use crate::domain::event::Event;
use crate::domain::filter::Filter;
use crate::domain::id::{AttemptId, EndpointId, EventId};
use crate::domain::policy::{Policy, PolicyVersion, TIMEOUT_MS};
use crate::domain::time::Timestamp;

/// Which events. All given conditions hold together.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Of one of these types, when any are named.
    pub event_types: Vec<String>,
    /// With one of these channels, when any are named.
    pub channels: Vec<String>,
    /// About this.
    pub subject: Option<String>,
    /// Received before this moment, and not at it.
    pub before: Option<Timestamp>,
    /// Received after this moment, and not at it.
    pub after: Option<Timestamp>,
}

/// Which attempts. All given conditions hold together.
#[derive(Debug, Clone, Default)]
pub struct AttemptFilter {
    /// Of events like these; its times are those at which attempts began.
    pub events: EventFilter,
    /// To this endpoint.
    pub endpoint: Option<EndpointId>,
    /// That ended so.
    pub success: Option<bool>,
    /// With a status of this hundred: 200 for 200 to 299; 0 for no answer.
    pub status_class: Option<u16>,
}

/// An attempt with the event and the endpoint that it was about.
#[derive(Debug, Clone)]
pub struct AttemptEntry {
    /// The event.
    pub event: EventId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Whether a person asked for it.
    pub manual: bool,
    /// Whether the receiver took the event.
    pub success: bool,
    /// The attempt.
    pub attempt: AttemptRecord,
}

/// A delivery with its event.
#[derive(Debug, Clone)]
pub struct EventDelivery {
    /// The event.
    pub event: Event,
    /// How its delivery stands.
    pub standing: Standing,
}

/// What there is to see of an endpoint, and what stays of it when it is deleted: everything but its
/// secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointFacts {
    /// Its id.
    pub id: EndpointId,
    /// Whether anybody lists it: not an application's default URL, nor one that an event names. Of those there
    /// is a URL to see and nothing else.
    pub listed: bool,
    /// The name that its owner gave it; another one may have it now, if this one is deleted.
    pub uid: Option<String>,
    /// For people.
    pub description: String,
    /// Where requests go.
    pub url: Url,
    /// What it wants.
    pub filter: Filter,
    /// Channels that it listens on.
    pub channels: Vec<String>,
    /// Whether it is called at all.
    pub state: EndpointState,
    /// Why it is disabled, when it is.
    pub disabled_because: Option<DisabledBecause>,
    /// Requests per second that it agreed to.
    pub throttle_rate: Option<NonZeroU32>,
    /// What its owner keeps with it.
    pub metadata: Metadata,
    /// The version of the payloads that its owner expects.
    pub version: NonZeroU16,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was deleted, if it was.
    pub deleted_at: Option<Timestamp>,
}

/// A delivery with its endpoint.
#[derive(Debug, Clone)]
pub struct EndpointDelivery {
    /// The endpoint, as it was last, should it be deleted.
    pub endpoint: EndpointFacts,
    /// How its delivery stands.
    pub standing: Standing,
}

/// Which deliveries. All given conditions hold together.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Of events like these.
    pub events: EventFilter,
    /// To this endpoint, which need not be one that is listed.
    pub endpoint: Option<EndpointId>,
    /// That stand so, by the word for it ([`DeliveryEntry::WORDS`]).
    pub state: Option<&'static str>,
    /// When this is asked: what is on the way then is told from what nobody knows.
    pub now: Timestamp,
}

/// A delivery with what became of it so far.
#[derive(Debug, Clone)]
pub struct DeliveryEntry {
    /// Which it is.
    pub key: DeliveryKey,
    /// Its event, by its producer's id.
    pub event_id: Option<String>,
    /// What happened.
    pub event_type: String,
    /// What it is about.
    pub subject: Option<String>,
    /// Where its last request went; before the first, where it would go now, if anybody knows.
    pub url: Option<String>,
    /// How it stands.
    pub standing: Standing,
    /// Whether its one request, at the most, may still be on the way ([`ON_THE_WAY_MAX`]).
    pub is_on_the_way: bool,
    /// When its first request began.
    pub first_attempt_at: Option<Timestamp>,
    /// Its last request, if there was any.
    pub last: Option<LastAttempt>,
    /// The policy that its last request was made by.
    pub policy: Option<PolicyVersion>,
    /// When its event was received, and it was owed.
    pub created_at: Timestamp,
}

/// How long a request that is made at most once may be on the way from the moment in which it was put on
/// record: the longest timeout that a policy can have, and five seconds until its end is on record. Behind
/// that its router died with it.
pub const ON_THE_WAY_MAX: Duration = Duration::from_millis(*TIMEOUT_MS.end() as u64 + 5_000);

impl DeliveryEntry {
    /// Every word that [`state`](Self::state) can say.
    pub const WORDS: [&'static str; 9] = [
        "pending",
        "waiting",
        "sending",
        "delivered",
        "dead",
        "cancelled",
        "dropped",
        "discarded",
        "unknown",
    ];

    /// The word for how it stands; `sending` for what may be on the way, rather than that nobody knows.
    pub const fn state(&self) -> &'static str {
        if self.is_on_the_way { "sending" } else { self.standing.state.as_str() }
    }

    /// Requests that counted. One that nobody knows the end of was made, as far as anybody can say.
    pub fn attempts(&self) -> u32 {
        let least = u32::from(self.standing.state == DeliveryState::Unknown);
        self.standing.attempts.max(least)
    }

    /// How its last request ended, if there was one and it is not on the way.
    pub fn ended(&self) -> Option<&LastAttempt> {
        self.last.as_ref().filter(|_| !self.is_on_the_way)
    }
}

/// The last request of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastAttempt {
    /// When it began.
    pub started_at: Timestamp,
    /// The answer's status; 0 when there was none.
    pub status: u16,
    /// How it ended, in one word ([`Outcome::class`](crate::domain::outcome::Outcome::class)).
    pub outcome: String,
}

/// A delivery with the whole policy that its last request was made by, where that is on record.
#[derive(Debug, Clone)]
pub struct TrackedDelivery {
    /// The delivery.
    pub delivery: DeliveryEntry,
    /// The policy.
    pub policy: Option<Policy>,
}

/// What became of an endpoint's deliveries in a span of time, as tenants see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeliveryCounts {
    /// The receiver has them.
    pub success: u64,
    /// Not tried yet, or held until a person acts.
    pub pending: u64,
    /// Given up.
    pub fail: u64,
    /// To be tried again.
    pub sending: u64,
    /// Taken back.
    pub canceled: u64,
    /// There were too many to count them all: those of events received from this moment on were.
    pub only_since: Option<Timestamp>,
}

impl DeliveryCounts {
    /// Counts one more.
    pub fn count(&mut self, shown: Shown) {
        match shown {
            Shown::Success => self.success += 1,
            Shown::Pending => self.pending += 1,
            Shown::Fail => self.fail += 1,
            Shown::Sending => self.sending += 1,
            Shown::Canceled => self.canceled += 1,
        }
    }
}

/// The tenants' view of the record.
#[async_trait]
pub trait History: Send + Sync {
    /// An application's events. Without `payloads` they come with empty ones; so does an event whose
    /// payload was expunged. A page with large payloads may be shorter than asked for.
    ///
    /// # Errors
    /// `Conflict` when the page lies beside an event that is not there (any more). `Unavailable`.
    async fn events(
        &self,
        tenant: Tenant,
        filter: &EventFilter,
        page: &Page<EventId>,
        payloads: bool,
    ) -> Result<Listed<Event, EventId>, StorageError>;

    /// One event of an application, by its id or its producer's.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn event_of(&self, tenant: Tenant, name: &str) -> Result<Option<Event>, StorageError>;

    /// Attempts at an endpoint. Without `responses` they come with empty ones.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn attempts_at(
        &self,
        tenant: Tenant,
        endpoint: EndpointId,
        filter: &AttemptFilter,
        page: &Page<AttemptId>,
        responses: bool,
    ) -> Result<Listed<AttemptEntry, AttemptId>, StorageError>;

    /// Attempts for an event. Without `responses` they come with empty ones, and without the headers of their requests.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn attempts_for(
        &self,
        tenant: Tenant,
        event: EventId,
        filter: &AttemptFilter,
        page: &Page<AttemptId>,
        responses: bool,
    ) -> Result<Listed<AttemptEntry, AttemptId>, StorageError>;

    /// One attempt for an event.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn attempt_of(
        &self,
        tenant: Tenant,
        event: EventId,
        attempt: AttemptId,
    ) -> Result<Option<AttemptEntry>, StorageError>;

    /// Events owed to an endpoint, with how each stands; only those that are shown as this, when it is
    /// given. Payloads as for [`events`](Self::events).
    ///
    /// # Errors
    /// As [`events`](Self::events).
    async fn deliveries_to(
        &self,
        tenant: Tenant,
        endpoint: EndpointId,
        shown: Option<Shown>,
        filter: &EventFilter,
        page: &Page<EventId>,
        payloads: bool,
    ) -> Result<Listed<EventDelivery, EventId>, StorageError>;

    /// The endpoints that an event is owed to, by id, with how each stands; also those that are deleted.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn deliveries_of(
        &self,
        tenant: Tenant,
        event: EventId,
        page: &Page<EndpointId>,
    ) -> Result<Listed<EndpointDelivery, EndpointId>, StorageError>;

    /// A tenant's deliveries, by their events and for one event by their endpoints, with what became of
    /// each so far.
    ///
    /// # Errors
    /// As [`events`](Self::events).
    async fn deliveries(
        &self,
        tenant: Tenant,
        filter: &DeliveryFilter,
        page: &Page<DeliveryKey>,
    ) -> Result<Listed<DeliveryEntry, DeliveryKey>, StorageError>;

    /// One of them.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn delivery_of(
        &self,
        tenant: Tenant,
        key: DeliveryKey,
        now: Timestamp,
    ) -> Result<Option<TrackedDelivery>, StorageError>;

    /// What became of the deliveries of an endpoint whose events were received from `since` until
    /// `until`, newest first: when they are more than a few hundred thousand, the oldest are left out
    /// ([`DeliveryCounts::only_since`]). Events that were received within two seconds of either end may
    /// be counted or not.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn delivery_counts(
        &self,
        tenant: Tenant,
        endpoint: EndpointId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<DeliveryCounts, StorageError>;

    /// How a delivery stands; `None` when this event of the tenant's was never owed to this endpoint of
    /// the tenant's.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn owed(
        &self,
        tenant: Tenant,
        event: EventId,
        endpoint: EndpointId,
    ) -> Result<Option<Standing>, StorageError>;

    /// Records an event that is owed to one endpoint alone, whatever others want: held by the journal, due
    /// `now`. When this returns `Ok`, a power cut does not lose it.
    ///
    /// # Errors
    /// `Conflict` when the endpoint is not the tenant's, or gone; `Unavailable`.
    async fn send_only(
        &self,
        tenant: Tenant,
        event: &Event,
        endpoint: EndpointId,
        now: Timestamp,
    ) -> Result<(), StorageError>;

    /// Forgets an event's payload for good; whether there was such an event. What is still owed of it is
    /// taken back, and so are its dead letters, since nobody could replay them: all in one transaction.
    /// An attempt that somebody has asked for is not made. The event stays, and what became of it.
    ///
    /// A request that is on its way at this moment ends as it would have; what a broker has of the event
    /// is dropped when it comes back.
    ///
    /// # Errors
    /// `Unavailable`: forgotten or not, we cannot know; repeating the call is safe.
    async fn expunge_payload(&self, tenant: Tenant, event: EventId) -> Result<bool, StorageError>;

    /// Forgets what a receiver answered to an attempt, for good: [`EXPUNGED`] stands there instead.
    /// Whether there was such an attempt.
    ///
    /// # Errors
    /// `Unavailable`: forgotten or not, we cannot know; repeating the call is safe.
    async fn expunge_response(
        &self,
        tenant: Tenant,
        event: EventId,
        attempt: AttemptId,
    ) -> Result<bool, StorageError>;
}

/// What stands in the place of an answer that was expunged: the word that client libraries know.
pub const EXPUNGED: &str = "EXPUNGED";
