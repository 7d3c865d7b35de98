//! Port: applications, event types and endpoints.
//!
//! Edits are made through it by `control`; the router reads it whole, as a [`Snapshot`], whenever
//! its version has moved on.

use std::sync::Arc;

use async_trait::async_trait;

use super::StorageError;
use crate::domain::endpoint::{Application, Endpoint, EndpointKey, EndpointState, EventTypeEntry};
use crate::domain::event::ApplicationName;
use crate::domain::id::{ApplicationId, EndpointId};
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
    /// `Conflict` when its uid is taken.
    async fn add_application(&self, application: &Application) -> Result<(), StorageError>;

    /// The application of that id or uid.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn application(
        &self,
        name: &ApplicationName,
    ) -> Result<Option<Application>, StorageError>;

    /// Every application, oldest first.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn applications(&self) -> Result<Vec<Application>, StorageError>;

    /// Deletes an application with its endpoints; whether there was one. Its uid is free again.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn delete_application(
        &self,
        id: ApplicationId,
        now: Timestamp,
    ) -> Result<bool, StorageError>;

    /// Adds an event type, or changes its description.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn put_event_type(&self, entry: &EventTypeEntry) -> Result<(), StorageError>;

    /// Every event type, by name.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn event_types(&self) -> Result<Vec<EventTypeEntry>, StorageError>;

    /// Deletes an event type; whether there was one.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn delete_event_type(&self, name: &str) -> Result<bool, StorageError>;

    /// Adds an endpoint with its keys.
    ///
    /// # Errors
    /// `Conflict` when its uid is taken within its application.
    async fn add_endpoint(&self, endpoint: &Endpoint) -> Result<(), StorageError>;

    /// The endpoint of that id, or of that uid within `application`.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` as for [`snapshot`](Self::snapshot).
    async fn endpoint(
        &self,
        application: Option<ApplicationId>,
        name: &str,
    ) -> Result<Option<Endpoint>, StorageError>;

    /// The endpoints of an application, or all, newest first.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn endpoints(
        &self,
        application: Option<ApplicationId>,
    ) -> Result<Vec<Endpoint>, StorageError>;

    /// Writes everything of an endpoint but its keys and its state.
    ///
    /// # Errors
    /// `Conflict` when its uid is taken, or when it is gone.
    async fn edit_endpoint(&self, endpoint: &Endpoint) -> Result<(), StorageError>;

    /// Sets an endpoint's state; whether there was one.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn set_endpoint_state(
        &self,
        id: EndpointId,
        state: EndpointState,
        now: Timestamp,
    ) -> Result<bool, StorageError>;

    /// Replaces an endpoint's keys.
    ///
    /// # Errors
    /// `Conflict` when it is gone.
    async fn set_endpoint_keys(
        &self,
        id: EndpointId,
        keys: &[EndpointKey],
        now: Timestamp,
    ) -> Result<(), StorageError>;

    /// Deletes an endpoint; whether there was one. Its uid is free again.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn delete_endpoint(&self, id: EndpointId, now: Timestamp) -> Result<bool, StorageError>;
}
