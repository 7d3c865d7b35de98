//! The history's port in SQL: which call only reads, and which is a job for the writer.
//!
//! - [`moments`]: where a moment lies among the events.
//! - [`events`], [`attempts`], [`deliveries`]: the lists, each walked in the order of an index.
//! - [`tracking`]: deliveries with what became of each, by what their events are about.
//! - [`expunge`]: what is forgotten for good.

pub(super) mod attempts;
pub(super) mod deliveries;
pub(super) mod events;
mod expunge;
pub(super) mod moments;
mod only;
pub(super) mod tracking;

use async_trait::async_trait;

use super::Sql;
use crate::domain::application::Tenant;
use crate::domain::delivery::{DeliveryKey, Shown, Standing};
use crate::domain::event::Event;
use crate::domain::id::{AttemptId, EndpointId, EventId};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::history::{
    AttemptEntry, AttemptFilter, DeliveryCounts, DeliveryEntry, DeliveryFilter, EndpointDelivery,
    EventDelivery, EventFilter, History, TrackedDelivery,
};
use crate::storage::page::{Listed, Page};

#[async_trait]
impl History for Sql {
    async fn events(
        &self,
        tenant: Tenant,
        filter: &EventFilter,
        page: &Page<EventId>,
        payloads: bool,
    ) -> Result<Listed<Event, EventId>, StorageError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.browse(move |connection| events::list(connection, tenant, &filter, &page, payloads))
            .await
    }

    async fn event_of(&self, tenant: Tenant, name: &str) -> Result<Option<Event>, StorageError> {
        let name = name.to_owned();
        self.browse(move |connection| events::named(connection, tenant, &name)).await
    }

    async fn attempts_at(
        &self,
        tenant: Tenant,
        endpoint: EndpointId,
        filter: &AttemptFilter,
        page: &Page<AttemptId>,
        responses: bool,
    ) -> Result<Listed<AttemptEntry, AttemptId>, StorageError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.browse(move |connection| {
            attempts::at(connection, tenant, endpoint, &filter, &page, responses)
        })
        .await
    }

    async fn attempts_for(
        &self,
        tenant: Tenant,
        event: EventId,
        filter: &AttemptFilter,
        page: &Page<AttemptId>,
        responses: bool,
    ) -> Result<Listed<AttemptEntry, AttemptId>, StorageError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.browse(move |connection| {
            attempts::of_event(connection, tenant, event, &filter, &page, responses)
        })
        .await
    }

    async fn attempt_of(
        &self,
        tenant: Tenant,
        event: EventId,
        attempt: AttemptId,
    ) -> Result<Option<AttemptEntry>, StorageError> {
        self.browse(move |connection| attempts::one(connection, tenant, event, attempt)).await
    }

    async fn deliveries_to(
        &self,
        tenant: Tenant,
        endpoint: EndpointId,
        shown: Option<Shown>,
        filter: &EventFilter,
        page: &Page<EventId>,
        payloads: bool,
    ) -> Result<Listed<EventDelivery, EventId>, StorageError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.browse(move |connection| {
            deliveries::to(connection, tenant, endpoint, shown, &filter, &page, payloads)
        })
        .await
    }

    async fn deliveries_of(
        &self,
        tenant: Tenant,
        event: EventId,
        page: &Page<EndpointId>,
    ) -> Result<Listed<EndpointDelivery, EndpointId>, StorageError> {
        let page = page.clone();
        self.browse(move |connection| deliveries::of(connection, tenant, event, &page)).await
    }

    async fn deliveries(
        &self,
        tenant: Tenant,
        filter: &DeliveryFilter,
        page: &Page<DeliveryKey>,
    ) -> Result<Listed<DeliveryEntry, DeliveryKey>, StorageError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.browse(move |connection| tracking::list(connection, tenant, &filter, &page)).await
    }

    async fn delivery_of(
        &self,
        tenant: Tenant,
        key: DeliveryKey,
        now: Timestamp,
    ) -> Result<Option<TrackedDelivery>, StorageError> {
        self.browse(move |connection| tracking::one(connection, tenant, key, now)).await
    }

    async fn delivery_counts(
        &self,
        tenant: Tenant,
        endpoint: EndpointId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<DeliveryCounts, StorageError> {
        let span = move |connection: &_| {
            deliveries::Count::over(connection, tenant, endpoint, since, until)
        };
        let mut count = self.browse(span).await?;
        // Each step is a read of its own: others have their turn between them.
        while !count.is_done() {
            count = self.browse(move |connection| count.step(connection)).await?;
        }
        Ok(count.counts)
    }

    async fn owed(
        &self,
        tenant: Tenant,
        event: EventId,
        endpoint: EndpointId,
    ) -> Result<Option<Standing>, StorageError> {
        self.browse(move |connection| deliveries::owed(connection, tenant, event, endpoint)).await
    }

    async fn send_only(
        &self,
        tenant: Tenant,
        event: &Event,
        endpoint: EndpointId,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let event = event.clone();
        self.write(move |connection| only::send(connection, tenant, &event, endpoint, now)).await
    }

    async fn expunge_payload(&self, tenant: Tenant, event: EventId) -> Result<bool, StorageError> {
        self.write(move |connection| expunge::payload(connection, tenant, event)).await
    }

    async fn expunge_response(
        &self,
        tenant: Tenant,
        event: EventId,
        attempt: AttemptId,
    ) -> Result<bool, StorageError> {
        self.write(move |connection| expunge::response(connection, tenant, event, attempt)).await
    }
}
