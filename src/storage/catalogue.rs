//! Port: applications and their settings, event types and endpoints.
//!
//! Edits are made through it by `control`; the router reads it whole, as a [`Snapshot`], whenever
//! its version has moved on.

use std::sync::Arc;

use async_trait::async_trait;

use super::StorageError;
use super::page::Page;
use crate::domain::application::{Application, Tenant};
use crate::domain::endpoint::{DisabledBecause, Endpoint, EndpointKey, EndpointState};
use crate::domain::event::ApplicationName;
use crate::domain::event_type::EventTypeEntry;
use crate::domain::id::{ApplicationId, EndpointId, OrganisationId};
use crate::domain::settings::{SchemaMode, Settings};
use crate::domain::time::Timestamp;

/// The catalogue at one version.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Grows with each edit.
    pub version: u64,
    /// Every application.
    pub applications: Vec<Application>,
    /// Every endpoint, with its keys.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// The settings of every application that has any, with its keys.
    pub settings: Vec<Settings>,
    /// The event types that have schemas and are not archived, of organisations with an application that has its
    /// events held to them.
    pub schemas: Vec<EventTypeEntry>,
}

/// Which event types of a list. All given conditions hold together.
#[derive(Debug, Clone, Default)]
pub struct EventTypeFilter {
    /// Archived ones, too.
    pub archived_too: bool,
    /// Those for everybody and those for one of these flags; all, when nothing is said.
    pub shown_with: Option<Vec<String>>,
}

impl EventTypeFilter {
    /// Whether it is one of them.
    pub fn wants(&self, entry: &EventTypeEntry) -> bool {
        let shown = match (&self.shown_with, &entry.feature_flag) {
            (None, _) | (_, None) => true,
            (Some(flags), Some(flag)) => flags.contains(flag),
        };
        shown && (self.archived_too || !entry.archived)
    }
}

/// Who there is and who wants what.
///
/// Deleted things are not found. A `uid` that is taken is a `Conflict`.
#[async_trait]
pub trait Catalogue: Send + Sync {
    /// The version: moves on with each edit, by whichever process. Cheap enough to ask often.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn version(&self) -> Result<u64, StorageError>;

    /// Everything that routing and sending need.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` when a secret cannot be opened with the keys we have.
    async fn snapshot(&self) -> Result<Snapshot, StorageError>;

    /// Adds an application.
    ///
    /// # Errors
    /// `Conflict` when its uid is taken within its organisation.
    async fn add_application(&self, application: &Application) -> Result<(), StorageError>;

    /// The application of that id or uid, if it is this organisation's.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn application(
        &self,
        organisation: OrganisationId,
        name: &ApplicationName,
    ) -> Result<Option<Application>, StorageError>;

    /// An organisation's applications, by id: in the order of their making.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn applications(
        &self,
        organisation: OrganisationId,
        page: &Page<ApplicationId>,
    ) -> Result<Vec<Application>, StorageError>;

    /// Writes everything of an application but its id and its organisation.
    ///
    /// # Errors
    /// `Conflict` when its uid is taken, or when it is gone.
    async fn edit_application(&self, application: &Application) -> Result<(), StorageError>;

    /// Deletes an application with its endpoints; whether there was one. Its uid is free again.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn delete_application(
        &self,
        tenant: Tenant,
        now: Timestamp,
    ) -> Result<bool, StorageError>;

    /// A tenant's settings; [`Settings::unset`] when it has set nothing.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` as for [`snapshot`](Self::snapshot).
    async fn settings(&self, tenant: Tenant) -> Result<Settings, StorageError>;

    /// What a tenant makes of payloads that are not by their schemas: that alone, for it is asked with each
    /// event that is published, and no key has to be opened for it.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn schema_mode(&self, tenant: Tenant) -> Result<SchemaMode, StorageError>;

    /// Writes all settings of an application anew, keys too, if nobody has written them since these were
    /// read: what is there has their [`revision`](Settings::revision), and then the next. What they say of policies is below what its
    /// endpoints say, from then on.
    ///
    /// When they let its deliveries go on that were held back before, that these are to be offered
    /// ([`recall_held`](super::journal::Ledger::recall_held)) is written with them.
    ///
    /// # Errors
    /// `Conflict` when they were written meanwhile, or the application is gone.
    async fn put_settings(&self, settings: &Settings) -> Result<(), StorageError>;

    /// Adds an event type, or changes everything of the one that is there but when it was made.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn put_event_type(&self, entry: &EventTypeEntry) -> Result<(), StorageError>;

    /// The event type of that name, if this organisation lists it, archived or not.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn event_type(
        &self,
        organisation: OrganisationId,
        name: &str,
    ) -> Result<Option<EventTypeEntry>, StorageError>;

    /// An organisation's event types, by name.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn event_types(
        &self,
        organisation: OrganisationId,
        filter: &EventTypeFilter,
        page: &Page<String>,
    ) -> Result<Vec<EventTypeEntry>, StorageError>;

    /// Deletes an event type; whether there was one.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn delete_event_type(
        &self,
        organisation: OrganisationId,
        name: &str,
    ) -> Result<bool, StorageError>;

    /// Adds an endpoint with its keys.
    ///
    /// # Errors
    /// `Conflict` when its uid is taken within its application.
    async fn add_endpoint(&self, endpoint: &Endpoint) -> Result<(), StorageError>;

    /// A tenant's endpoint of that id or uid.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` as for [`snapshot`](Self::snapshot).
    async fn endpoint(&self, tenant: Tenant, name: &str) -> Result<Option<Endpoint>, StorageError>;

    /// The endpoint of that id, whosever it is: for the operator at the command line, never for a caller
    /// of the API.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` as for [`snapshot`](Self::snapshot).
    async fn any_endpoint(&self, id: EndpointId) -> Result<Option<Endpoint>, StorageError>;

    /// An application's endpoints, by id: in the order of their making.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` as for [`snapshot`](Self::snapshot).
    async fn endpoints(
        &self,
        tenant: Tenant,
        page: &Page<EndpointId>,
    ) -> Result<Vec<Endpoint>, StorageError>;

    /// Writes everything of an endpoint but its keys and its state.
    ///
    /// # Errors
    /// `Conflict` when its uid is taken, or when it is gone.
    async fn edit_endpoint(&self, endpoint: &Endpoint) -> Result<(), StorageError>;

    /// Sets an endpoint's state, and why it is disabled, if it is; whether there was one.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn set_endpoint_state(
        &self,
        tenant: Tenant,
        id: EndpointId,
        state: EndpointState,
        because: Option<DisabledBecause>,
        now: Timestamp,
    ) -> Result<bool, StorageError>;

    /// Replaces an endpoint's keys.
    ///
    /// # Errors
    /// `Conflict` when it is gone.
    async fn set_endpoint_keys(
        &self,
        tenant: Tenant,
        id: EndpointId,
        keys: &[EndpointKey],
        now: Timestamp,
    ) -> Result<(), StorageError>;

    /// Deletes an endpoint; whether there was one. Its uid is free again.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn delete_endpoint(
        &self,
        tenant: Tenant,
        id: EndpointId,
        now: Timestamp,
    ) -> Result<bool, StorageError>;
}
