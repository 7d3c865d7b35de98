//! Port: what tenants ask of the record: their events, and what became of each.
//!
//! Every question is asked by a [`Tenant`], and nothing of another is found: it is the first argument of
//! each, so that a question without its tenant cannot be written. Lists are newest first, and each page
//! costs the same however long the history is.

use async_trait::async_trait;

use super::StorageError;
use super::journal::AttemptRecord;
use super::page::Page;
use crate::domain::application::Tenant;
use crate::domain::delivery::Standing;
use crate::domain::endpoint::Endpoint;
use crate::domain::event::Event;
use crate::domain::id::{AttemptId, EndpointId, EventId};
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
    /// Received before this moment.
    pub before: Option<Timestamp>,
    /// Received after this moment.
    pub after: Option<Timestamp>,
}

/// Which attempts. All given conditions hold together.
#[derive(Debug, Clone, Default)]
pub struct AttemptFilter {
    /// Of events like these; times are those of the attempts.
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

/// A delivery with its endpoint.
#[derive(Debug, Clone)]
pub struct EndpointDelivery {
    /// The endpoint, as it was last, should it be deleted.
    pub endpoint: Endpoint,
    /// How its delivery stands.
    pub standing: Standing,
}

/// What became of an endpoint's deliveries in a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeliveryCounts {
    /// Delivered.
    pub delivered: u64,
    /// Never settled yet.
    pub pending: u64,
    /// To be tried again.
    pub waiting: u64,
    /// Given up.
    pub dead: u64,
    /// Taken back.
    pub cancelled: u64,
}

/// The tenants' view of the record.
#[async_trait]
pub trait History: Send + Sync {
    /// An application's events. Without `payloads` they come with empty ones.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn events(
        &self,
        tenant: Tenant,
        filter: &EventFilter,
        page: &Page<EventId>,
        payloads: bool,
    ) -> Result<Vec<Event>, StorageError>;

    /// One event of an application, by its id or its producer's.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn event_of(&self, tenant: Tenant, name: &str) -> Result<Option<Event>, StorageError>;

    /// Attempts at an endpoint.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn attempts_at(
        &self,
        tenant: Tenant,
        endpoint: EndpointId,
        filter: &AttemptFilter,
        page: &Page<AttemptId>,
    ) -> Result<Vec<AttemptEntry>, StorageError>;

    /// Attempts for an event.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn attempts_for(
        &self,
        tenant: Tenant,
        event: EventId,
        filter: &AttemptFilter,
        page: &Page<AttemptId>,
    ) -> Result<Vec<AttemptEntry>, StorageError>;

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

    /// Events owed to an endpoint, with how each stands; only those in one of these states, when any
    /// are named (the words of [`DeliveryState::as_str`](crate::domain::delivery::DeliveryState)).
    ///
    /// # Errors
    /// `Unavailable`.
    async fn deliveries_to(
        &self,
        tenant: Tenant,
        endpoint: EndpointId,
        states: &[&'static str],
        filter: &EventFilter,
        page: &Page<EventId>,
        payloads: bool,
    ) -> Result<Vec<EventDelivery>, StorageError>;

    /// The endpoints that an event is owed to, by id, with how each stands.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn deliveries_of(
        &self,
        tenant: Tenant,
        event: EventId,
        page: &Page<EndpointId>,
    ) -> Result<Vec<EndpointDelivery>, StorageError>;

    /// What became of the deliveries of an endpoint whose events were received from `since` until
    /// `until`.
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

    /// Forgets an event's payload for good; whether there was such an event. What is still to be
    /// delivered of it is taken back first, by the caller.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn expunge_payload(&self, tenant: Tenant, event: EventId) -> Result<bool, StorageError>;

    /// Forgets what a receiver answered to an attempt, for good; whether there was such an attempt.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn expunge_response(
        &self,
        tenant: Tenant,
        event: EventId,
        attempt: AttemptId,
    ) -> Result<bool, StorageError>;
}
