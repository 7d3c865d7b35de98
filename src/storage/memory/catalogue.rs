//! The catalogue's port: applications, event types and endpoints, and the version that every edit moves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;

use super::Memory;
use super::faults::Call;
use crate::domain::application::{Application, Tenant};
use crate::domain::endpoint::{DisabledBecause, Endpoint, EndpointKey, EndpointState};
use crate::domain::event::ApplicationName;
use crate::domain::event_type::EventTypeEntry;
use crate::domain::id::{ApplicationId, EndpointId, OrganisationId};
use crate::domain::policy::{Policy, Resolved};
use crate::domain::settings::{SchemaMode, Settings};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::catalogue::{Catalogue, EventTypeFilter, Snapshot};
use crate::storage::page::Page;

/// What there is. Deleted things are gone.
#[derive(Debug, Default)]
pub(super) struct Entries {
    version: u64,
    applications: BTreeMap<ApplicationId, Application>,
    event_types: BTreeMap<(OrganisationId, String), EventTypeEntry>,
    endpoints: BTreeMap<EndpointId, Arc<Endpoint>>,
    settings: BTreeMap<ApplicationId, Settings>,
}

#[async_trait]
impl Catalogue for Memory {
    async fn version(&self) -> Result<u64, StorageError> {
        self.call(Call::Version, |store| Ok(store.catalogue.version)).await
    }

    async fn snapshot(&self) -> Result<Snapshot, StorageError> {
        self.call(Call::Snapshot, |store| {
            let entries = &store.catalogue;
            Ok(Snapshot {
                version: entries.version,
                applications: entries.applications.values().cloned().collect(),
                endpoints: entries.endpoints.values().cloned().collect(),
                settings: entries.settings.values().cloned().collect(),
                schemas: entries.schemas(),
            })
        })
        .await
    }

    async fn add_application(&self, application: &Application) -> Result<(), StorageError> {
        self.edit(|entries| entries.add_application(application)).await
    }

    async fn application(
        &self,
        organisation: OrganisationId,
        name: &ApplicationName,
    ) -> Result<Option<Application>, StorageError> {
        self.call(Call::Catalogue, |store| {
            Ok(store.catalogue.application(organisation, name).cloned())
        })
        .await
    }

    async fn applications(
        &self,
        organisation: OrganisationId,
        page: &Page<ApplicationId>,
    ) -> Result<Vec<Application>, StorageError> {
        self.call(Call::Catalogue, |store| {
            let all = store.catalogue.applications.values();
            let own = all.filter(|one| one.organisation == organisation).cloned().collect();
            Ok(page.cut(own, |one| one.id))
        })
        .await
    }

    async fn edit_application(&self, application: &Application) -> Result<(), StorageError> {
        self.edit(|entries| {
            entries.application_uid_is_free(application)?;
            let id = application.id;
            let known = entries.applications.get_mut(&id);
            let known = known.filter(|known| known.organisation == application.organisation);
            let known = known.ok_or_else(|| {
                StorageError::Conflict(format!("application {id} does not exist"))
            })?;
            *known = Application { created_at: known.created_at, ..application.clone() };
            Ok(())
        })
        .await
    }

    async fn delete_application(
        &self,
        tenant: Tenant,
        _now: Timestamp,
    ) -> Result<bool, StorageError> {
        let id = tenant.application();
        self.edit(|entries| {
            entries.endpoints.retain(|_, endpoint| endpoint.application != id);
            entries.settings.remove(&id);
            Ok(entries.applications.remove(&id).is_some())
        })
        .await
    }

    async fn settings(&self, tenant: Tenant) -> Result<Settings, StorageError> {
        let application = tenant.application();
        self.call(Call::Catalogue, |store| {
            let known = store.catalogue.settings.get(&application);
            Ok(known.cloned().unwrap_or_else(|| Settings::unset(application)))
        })
        .await
    }

    async fn schema_mode(&self, tenant: Tenant) -> Result<SchemaMode, StorageError> {
        self.call(Call::Catalogue, |store| {
            let known = store.catalogue.settings.get(&tenant.application());
            Ok(known.map_or_else(SchemaMode::default, |own| own.schema_mode))
        })
        .await
    }

    async fn put_settings(&self, settings: &Settings) -> Result<(), StorageError> {
        let application = settings.application;
        self.edit(|entries| {
            if !entries.applications.contains_key(&application) {
                let why = format!("application {application} does not exist");
                return Err(StorageError::Conflict(why));
            }
            let known = entries.settings.get(&application).map_or(0, |known| known.revision);
            if known != settings.revision {
                let why =
                    format!("the settings of application {application} were changed meanwhile");
                return Err(StorageError::Conflict(why));
            }
            let written = Settings { revision: known + 1, ..settings.clone() };
            entries.settings.insert(application, written);
            let below = settings.policy.over(&Policy::default());
            let all = entries.endpoints.values_mut();
            for endpoint in all.filter(|one| one.application == application) {
                let endpoint = Arc::make_mut(endpoint);
                endpoint.policy = Arc::new(endpoint.policy_part.over(&below).into());
            }
            Ok(())
        })
        .await
    }

    async fn put_event_type(&self, entry: &EventTypeEntry) -> Result<(), StorageError> {
        self.edit(|entries| {
            let key = (entry.organisation, entry.name.clone());
            let created_at =
                entries.event_types.get(&key).map_or(entry.created_at, |e| e.created_at);
            entries.event_types.insert(key, EventTypeEntry { created_at, ..entry.clone() });
            Ok(())
        })
        .await
    }

    async fn event_type(
        &self,
        organisation: OrganisationId,
        name: &str,
    ) -> Result<Option<EventTypeEntry>, StorageError> {
        self.call(Call::Catalogue, |store| {
            Ok(store.catalogue.event_types.get(&(organisation, name.to_owned())).cloned())
        })
        .await
    }

    async fn event_types(
        &self,
        organisation: OrganisationId,
        filter: &EventTypeFilter,
        page: &Page<String>,
    ) -> Result<Vec<EventTypeEntry>, StorageError> {
        self.call(Call::Catalogue, |store| {
            let all = store.catalogue.event_types.values();
            let wanted =
                |one: &&EventTypeEntry| one.organisation == organisation && filter.wants(one);
            Ok(page.cut(all.filter(wanted).cloned().collect(), |one| one.name.clone()))
        })
        .await
    }

    async fn delete_event_type(
        &self,
        organisation: OrganisationId,
        name: &str,
    ) -> Result<bool, StorageError> {
        let key = (organisation, name.to_owned());
        self.edit(|entries| Ok(entries.event_types.remove(&key).is_some())).await
    }

    async fn add_endpoint(&self, endpoint: &Endpoint) -> Result<(), StorageError> {
        self.edit(|entries| entries.add_endpoint(endpoint)).await
    }

    async fn endpoint(&self, tenant: Tenant, name: &str) -> Result<Option<Endpoint>, StorageError> {
        self.call(Call::Catalogue, |store| {
            Ok(store.catalogue.named(tenant, name).map(|found| found.as_ref().clone()))
        })
        .await
    }

    async fn any_endpoint(&self, id: EndpointId) -> Result<Option<Endpoint>, StorageError> {
        self.call(Call::Catalogue, |store| {
            Ok(store.catalogue.endpoint(id).map(|found| found.as_ref().clone()))
        })
        .await
    }

    async fn endpoints(
        &self,
        tenant: Tenant,
        page: &Page<EndpointId>,
    ) -> Result<Vec<Endpoint>, StorageError> {
        self.call(Call::Catalogue, |store| {
            let all = store.catalogue.endpoints.values();
            let own = all.filter(|one| one.application == tenant.application());
            Ok(page.cut(own.map(|one| one.as_ref().clone()).collect(), |one| one.id))
        })
        .await
    }

    async fn edit_endpoint(&self, endpoint: &Endpoint) -> Result<(), StorageError> {
        self.edit(|entries| {
            entries.uid_is_free(endpoint)?;
            let policy = entries.resolved(endpoint);
            let known = entries.known(endpoint.tenant(), endpoint.id)?;
            *known = Endpoint {
                policy,
                state: known.state,
                disabled_because: known.disabled_because,
                keys: known.keys.clone(),
                created_at: known.created_at,
                ..endpoint.clone()
            };
            Ok(())
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
        self.edit(|entries| {
            let Ok(known) = entries.known(tenant, id) else { return Ok(false) };
            (known.state, known.disabled_because, known.updated_at) = (state, because, now);
            Ok(true)
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
        self.edit(|entries| {
            let known = entries.known(tenant, id)?;
            (known.keys, known.updated_at) = (keys.to_vec(), now);
            Ok(())
        })
        .await
    }

    async fn delete_endpoint(
        &self,
        tenant: Tenant,
        id: EndpointId,
        _now: Timestamp,
    ) -> Result<bool, StorageError> {
        self.edit(|entries| {
            let there = entries.known(tenant, id).is_ok();
            Ok(there && entries.endpoints.remove(&id).is_some())
        })
        .await
    }
}

/// What an edit answers: whether it has changed anything.
trait Edited {
    fn changed(&self) -> bool;
}

impl Edited for () {
    fn changed(&self) -> bool {
        true
    }
}

impl Edited for bool {
    fn changed(&self) -> bool {
        *self
    }
}

impl Memory {
    /// An edit that changed something moves the version on.
    async fn edit<T: Edited>(
        &self,
        edit: impl FnOnce(&mut Entries) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.call(Call::Catalogue, |store| {
            let edited = edit(&mut store.catalogue)?;
            store.catalogue.version += u64::from(edited.changed());
            Ok(edited)
        })
        .await
    }
}

impl Entries {
    /// The event types that events are held to.
    fn schemas(&self) -> Vec<EventTypeEntry> {
        let held = self.settings.values().filter(|one| one.schema_mode != SchemaMode::Off);
        let held = held.filter_map(|one| self.applications.get(&one.application));
        let wanting: BTreeSet<_> = held.map(|application| application.organisation).collect();
        let all = self.event_types.values();
        all.filter(|one| one.schemas.is_some() && !one.archived)
            .filter(|one| wanting.contains(&one.organisation))
            .cloned()
            .collect()
    }

    /// The application of that id or uid.
    pub(super) fn application(
        &self,
        organisation: OrganisationId,
        name: &ApplicationName,
    ) -> Option<&Application> {
        let named = |one: &&Application| match name {
            ApplicationName::Id(id) => one.id == *id,
            ApplicationName::Uid(uid) => one.uid.as_deref() == Some(uid.as_ref()),
        };
        self.applications.values().filter(|one| one.organisation == organisation).find(named)
    }

    /// An endpoint.
    pub(super) fn endpoint(&self, id: EndpointId) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(&id)
    }

    /// Whether there is such an application.
    pub(super) fn has(&self, application: ApplicationId) -> bool {
        self.applications.contains_key(&application)
    }

    /// Whose an application is.
    pub(super) fn organisation_of(&self, application: ApplicationId) -> Option<OrganisationId> {
        self.applications.get(&application).map(|one| one.organisation)
    }

    /// What an application has set, if anything.
    pub(super) fn settings_of(&self, application: ApplicationId) -> Option<&Settings> {
        self.settings.get(&application)
    }

    /// Disables an endpoint that has answered that it is gone, unless it was edited since it was asked.
    pub(super) fn close(&mut self, id: EndpointId, asked_at: Timestamp, now: Timestamp) {
        let Some(found) = self.endpoints.get_mut(&id) else { return };
        if found.state == EndpointState::Disabled || found.updated_at > asked_at {
            return;
        }
        let endpoint = Arc::make_mut(found);
        (endpoint.state, endpoint.updated_at) = (EndpointState::Disabled, now);
        endpoint.disabled_because = Some(DisabledBecause::Gone);
        self.version += 1;
    }

    /// A tenant's endpoint of that id or uid.
    fn named(&self, tenant: Tenant, name: &str) -> Option<&Arc<Endpoint>> {
        let found = match name.parse::<EndpointId>() {
            Ok(id) => self.endpoints.get(&id),
            Err(_) => self.endpoints.values().find(|one| {
                one.application == tenant.application() && one.uid.as_deref() == Some(name)
            }),
        };
        found.filter(|one| one.application == tenant.application())
    }

    fn known(&mut self, tenant: Tenant, id: EndpointId) -> Result<&mut Endpoint, StorageError> {
        let found = self.endpoints.get_mut(&id);
        let own = found.filter(|one| one.application == tenant.application());
        own.map(Arc::make_mut).ok_or_else(|| gone(id))
    }

    /// An endpoint's policy: what it says, over what its application says.
    fn resolved(&self, endpoint: &Endpoint) -> Arc<Resolved> {
        let below = self.settings.get(&endpoint.application).map(|own| &own.policy);
        let below = below.map_or_else(Policy::default, |part| part.over(&Policy::default()));
        Arc::new(endpoint.policy_part.over(&below).into())
    }

    fn add_application(&mut self, application: &Application) -> Result<(), StorageError> {
        let id = application.id;
        if self.applications.contains_key(&id) {
            return Err(StorageError::Conflict(format!("application {id} exists already")));
        }
        self.application_uid_is_free(application)?;
        self.applications.insert(id, application.clone());
        Ok(())
    }

    fn application_uid_is_free(&self, application: &Application) -> Result<(), StorageError> {
        let Application { id, organisation, uid: Some(uid), .. } = application else {
            return Ok(());
        };
        match self.application(*organisation, &ApplicationName::Uid(uid.as_str().into())) {
            Some(known) if known.id != *id => Err(StorageError::Conflict(format!(
                "an application with the uid `{uid}` exists already"
            ))),
            Some(_) | None => Ok(()),
        }
    }

    fn add_endpoint(&mut self, endpoint: &Endpoint) -> Result<(), StorageError> {
        if !self.applications.contains_key(&endpoint.application) {
            return Err(StorageError::Conflict(format!(
                "application {} does not exist",
                endpoint.application
            )));
        }
        if self.endpoints.contains_key(&endpoint.id) {
            let id = endpoint.id;
            return Err(StorageError::Conflict(format!("endpoint {id} exists already")));
        }
        self.uid_is_free(endpoint)?;
        let policy = self.resolved(endpoint);
        self.endpoints.insert(endpoint.id, Arc::new(Endpoint { policy, ..endpoint.clone() }));
        Ok(())
    }

    fn uid_is_free(&self, endpoint: &Endpoint) -> Result<(), StorageError> {
        let Some(uid) = &endpoint.uid else { return Ok(()) };
        let taken = self.endpoints.values().any(|one| {
            one.id != endpoint.id
                && one.application == endpoint.application
                && one.uid.as_deref() == Some(uid.as_str())
        });
        if taken {
            return Err(StorageError::Conflict(format!(
                "an endpoint with the uid `{uid}` exists already"
            )));
        }
        Ok(())
    }
}

fn gone(id: EndpointId) -> StorageError {
    StorageError::Conflict(format!("endpoint {id} does not exist"))
}
