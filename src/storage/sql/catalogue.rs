//! The catalogue's port in SQL: what each call reads and writes is in [`applications`],
//! [`event_types`] and [`endpoints`].
//!
//! Each edit moves the version in its own transaction, so a router that asks for the version sees
//! the edits of every process. Deleted rows stay, with `deleted_at`: the record still names them.

use std::sync::Arc;

use async_trait::async_trait;

use super::engine::Connection;
use super::{Sql, applications, endpoints, event_types, settings};
use crate::domain::application::{Application, Tenant};
use crate::domain::endpoint::{DisabledBecause, Endpoint, EndpointKey, EndpointState};
use crate::domain::event::ApplicationName;
use crate::domain::event_type::EventTypeEntry;
use crate::domain::id::{ApplicationId, EndpointId, OrganisationId};
use crate::domain::settings::{SchemaMode, Settings};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::catalogue::{Catalogue, EventTypeFilter, Snapshot};
use crate::storage::page::Page;

#[async_trait]
impl Catalogue for Sql {
    async fn version(&self) -> Result<u64, StorageError> {
        self.read(version).await
    }

    async fn snapshot(&self) -> Result<Snapshot, StorageError> {
        let vault = Arc::clone(&self.vault);
        self.read(move |connection| {
            Ok(Snapshot {
                version: version(connection)?,
                applications: applications::all(connection)?,
                endpoints: endpoints::all(connection, &vault)?.into_iter().map(Arc::new).collect(),
                settings: settings::all(connection, &vault)?,
                schemas: event_types::held_to(connection)?,
            })
        })
        .await
    }

    async fn add_application(&self, application: &Application) -> Result<(), StorageError> {
        let application = application.clone();
        self.write(move |connection| {
            applications::add(connection, &application)?;
            edited(connection)
        })
        .await
    }

    async fn application(
        &self,
        organisation: OrganisationId,
        name: &ApplicationName,
    ) -> Result<Option<Application>, StorageError> {
        let name = name.clone();
        self.read(move |connection| applications::named(connection, organisation, &name)).await
    }

    async fn applications(
        &self,
        organisation: OrganisationId,
        page: &Page<ApplicationId>,
    ) -> Result<Vec<Application>, StorageError> {
        let page = page.clone();
        self.read(move |connection| applications::page(connection, organisation, &page)).await
    }

    async fn edit_application(&self, application: &Application) -> Result<(), StorageError> {
        let application = application.clone();
        self.write(move |connection| {
            applications::edit(connection, &application)?;
            edited(connection)
        })
        .await
    }

    async fn delete_application(
        &self,
        tenant: Tenant,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        self.write(move |connection| {
            let there = applications::delete(connection, tenant.application(), now)?;
            edited_if(connection, there)
        })
        .await
    }

    async fn settings(&self, tenant: Tenant) -> Result<Settings, StorageError> {
        let vault = Arc::clone(&self.vault);
        self.read(move |connection| settings::of(connection, &vault, tenant)).await
    }

    async fn schema_mode(&self, tenant: Tenant) -> Result<SchemaMode, StorageError> {
        self.read(move |connection| settings::schema_mode(connection, tenant)).await
    }

    async fn put_settings(&self, settings: &Settings) -> Result<(), StorageError> {
        let (vault, settings) = (Arc::clone(&self.vault), settings.clone());
        self.write(move |connection| {
            settings::put(connection, &vault, &settings)?;
            edited(connection)
        })
        .await
    }

    async fn put_event_type(&self, entry: &EventTypeEntry) -> Result<(), StorageError> {
        let entry = entry.clone();
        self.write(move |connection| {
            event_types::put(connection, &entry)?;
            edited(connection) // events may be held to its schemas
        })
        .await
    }

    async fn event_type(
        &self,
        organisation: OrganisationId,
        name: &str,
    ) -> Result<Option<EventTypeEntry>, StorageError> {
        let name = name.to_owned();
        self.read(move |connection| event_types::named(connection, organisation, &name)).await
    }

    async fn event_types(
        &self,
        organisation: OrganisationId,
        filter: &EventTypeFilter,
        page: &Page<String>,
    ) -> Result<Vec<EventTypeEntry>, StorageError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.read(move |connection| event_types::page(connection, organisation, &filter, &page))
            .await
    }

    async fn delete_event_type(
        &self,
        organisation: OrganisationId,
        name: &str,
    ) -> Result<bool, StorageError> {
        let name = name.to_owned();
        self.write(move |connection| {
            let there = event_types::delete(connection, organisation, &name)?;
            edited_if(connection, there)
        })
        .await
    }

    async fn add_endpoint(&self, endpoint: &Endpoint) -> Result<(), StorageError> {
        let (endpoint, vault) = (endpoint.clone(), Arc::clone(&self.vault));
        self.write(move |connection| {
            endpoints::add(connection, &vault, &endpoint)?;
            edited(connection)
        })
        .await
    }

    async fn endpoint(&self, tenant: Tenant, name: &str) -> Result<Option<Endpoint>, StorageError> {
        let (name, vault) = (name.to_owned(), Arc::clone(&self.vault));
        self.read(move |connection| endpoints::named(connection, &vault, tenant, &name)).await
    }

    async fn any_endpoint(&self, id: EndpointId) -> Result<Option<Endpoint>, StorageError> {
        let vault = Arc::clone(&self.vault);
        self.read(move |connection| endpoints::any(connection, &vault, id)).await
    }

    async fn endpoints(
        &self,
        tenant: Tenant,
        page: &Page<EndpointId>,
    ) -> Result<Vec<Endpoint>, StorageError> {
        let (page, vault) = (page.clone(), Arc::clone(&self.vault));
        self.read(move |connection| endpoints::page(connection, &vault, tenant, &page)).await
    }

    async fn edit_endpoint(&self, endpoint: &Endpoint) -> Result<(), StorageError> {
        let (endpoint, vault) = (endpoint.clone(), Arc::clone(&self.vault));
        self.write(move |connection| {
            endpoints::edit(connection, &vault, &endpoint)?;
            edited(connection)
        })
        .await
    }

    async fn set_endpoint_state(
        &self,
        tenant: Tenant,
        id: EndpointId,
        state: EndpointState,
        because: Option<DisabledBecause>,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        self.write(move |connection| {
            let there = endpoints::set_state(connection, tenant, id, state, because, now)?;
            edited_if(connection, there)
        })
        .await
    }

    async fn set_endpoint_keys(
        &self,
        tenant: Tenant,
        id: EndpointId,
        keys: &[EndpointKey],
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let (keys, vault) = (keys.to_vec(), Arc::clone(&self.vault));
        self.write(move |connection| {
            endpoints::set_keys(connection, &vault, tenant, id, &keys, now)?;
            edited(connection)
        })
        .await
    }

    async fn delete_endpoint(
        &self,
        tenant: Tenant,
        id: EndpointId,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        self.write(move |connection| {
            let there = endpoints::delete(connection, tenant, id, now)?;
            edited_if(connection, there)
        })
        .await
    }
}

fn version(connection: &Connection) -> Result<u64, StorageError> {
    let mut find = connection.prepare_cached("SELECT version FROM catalogue")?;
    let version: i64 = find.query_row([], |row| row.get(0))?;
    Ok(u64::try_from(version).unwrap_or(0))
}

/// Moves the version on.
pub(super) fn edited(connection: &Connection) -> Result<(), StorageError> {
    connection.execute("UPDATE catalogue SET version = version + 1", [])?;
    Ok(())
}

/// Moves the version on if there was something to edit; whether there was.
fn edited_if(connection: &Connection, there: bool) -> Result<bool, StorageError> {
    if there {
        edited(connection)?;
    }
    Ok(there)
}
