//! A history that forgets, for the tests of `control`: as little as its rules need.

use std::sync::Mutex;

use async_trait::async_trait;

use crate::domain::application::Tenant;
use crate::domain::delivery::{DeliveryKey, Shown, Standing};
use crate::domain::event::Event;
use crate::domain::id::{AttemptId, EndpointId, EventId, OrganisationId};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::attention::{Attention, Death, Looked, Routed, TakenBack, WorstBy};
use crate::storage::history::{
    AttemptEntry, AttemptFilter, DeliveryCounts, DeliveryEntry, DeliveryFilter, EndpointDelivery,
    EventDelivery, EventFilter, History, TrackedDelivery,
};
use crate::storage::page::{Listed, Page};

type Stored<T> = Result<T, StorageError>;

/// Events, and which spans were counted.
#[derive(Default)]
pub(super) struct Past {
    pub(super) events: Vec<Event>,
    pub(super) counted: Mutex<Vec<(Timestamp, Timestamp)>>,
}

#[async_trait]
impl History for Past {
    async fn events(
        &self,
        _: Tenant,
        _: &EventFilter,
        _: &Page<EventId>,
        _: bool,
    ) -> Stored<Listed<Event, EventId>> {
        Ok(Listed { rows: self.events.clone(), beyond: None })
    }

    async fn event_of(&self, _: Tenant, name: &str) -> Stored<Option<Event>> {
        Ok(self.events.iter().find(|event| event.id.to_string() == name).cloned())
    }

    async fn attempts_at(
        &self,
        _: Tenant,
        _: EndpointId,
        _: &AttemptFilter,
        _: &Page<AttemptId>,
        _: bool,
    ) -> Stored<Listed<AttemptEntry, AttemptId>> {
        Ok(Listed::nothing())
    }

    async fn attempts_for(
        &self,
        _: Tenant,
        _: EventId,
        _: &AttemptFilter,
        _: &Page<AttemptId>,
        _: bool,
    ) -> Stored<Listed<AttemptEntry, AttemptId>> {
        Ok(Listed::nothing())
    }

    async fn attempt_of(
        &self,
        _: Tenant,
        _: EventId,
        _: AttemptId,
    ) -> Stored<Option<AttemptEntry>> {
        Ok(None)
    }

    async fn deliveries_to(
        &self,
        _: Tenant,
        _: EndpointId,
        _: Option<Shown>,
        _: &EventFilter,
        _: &Page<EventId>,
        _: bool,
    ) -> Stored<Listed<EventDelivery, EventId>> {
        Ok(Listed::nothing())
    }

    async fn deliveries_of(
        &self,
        _: Tenant,
        _: EventId,
        _: &Page<EndpointId>,
    ) -> Stored<Listed<EndpointDelivery, EndpointId>> {
        Ok(Listed::nothing())
    }

    async fn deliveries(
        &self,
        _: Tenant,
        _: &DeliveryFilter,
        _: &Page<DeliveryKey>,
    ) -> Stored<Listed<DeliveryEntry, DeliveryKey>> {
        Ok(Listed::nothing())
    }

    async fn delivery_of(
        &self,
        _: Tenant,
        _: DeliveryKey,
        _: Timestamp,
    ) -> Stored<Option<TrackedDelivery>> {
        Ok(None)
    }

    async fn delivery_counts(
        &self,
        _: Tenant,
        _: EndpointId,
        since: Timestamp,
        until: Timestamp,
    ) -> Stored<DeliveryCounts> {
        self.counted.lock().expect("no panic").push((since, until));
        Ok(DeliveryCounts::default())
    }

    async fn owed(&self, _: Tenant, _: EventId, _: EndpointId) -> Stored<Option<Standing>> {
        Ok(None)
    }

    async fn send_only(&self, _: Tenant, _: &Event, _: EndpointId, _: Timestamp) -> Stored<()> {
        Ok(())
    }

    async fn expunge_payload(&self, _: Tenant, _: EventId) -> Stored<bool> {
        Ok(false)
    }

    async fn expunge_response(&self, _: Tenant, _: EventId, _: AttemptId) -> Stored<bool> {
        Ok(false)
    }
}

#[async_trait]
impl Attention for Past {
    async fn death(&self, _: DeliveryKey) -> Stored<Option<Death>> {
        Ok(None)
    }

    async fn routed(&self, _: EventId) -> Stored<Routed> {
        Ok(Routed::Yes)
    }

    async fn take_back(&self, _: Tenant, _: DeliveryKey) -> Stored<Option<TakenBack>> {
        Ok(None)
    }

    async fn worst(&self, _: OrganisationId, _: WorstBy, _: usize, _: Timestamp) -> Stored<Looked> {
        Ok(Looked { worst: Vec::new(), all: true })
    }
}
