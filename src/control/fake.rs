//! Stores that forget, for the tests of `control` and of who asks it: as little as its rules
//! need.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;

use super::fake_history::Past;
use super::fake_replays::FakeReplays;
use super::{Context, Control, Ports};
use crate::domain::application::{Application, Tenant};
use crate::domain::delivery::DeliveryKey;
use crate::domain::endpoint::{DisabledBecause, Endpoint, EndpointKey, EndpointState};
use crate::domain::event::{ApplicationName, Event};
use crate::domain::event_type::EventTypeEntry;
use crate::domain::id::{ApplicationId, DeliveryId, EndpointId, EventId, OrganisationId};
use crate::domain::settings::{SchemaMode, Settings};
use crate::domain::settlement::DeathReason;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::catalogue::{Catalogue, EventTypeFilter, Snapshot};
use crate::storage::dead_letters::{DeadLetter, DeadLetterFilter};
use crate::storage::journal::{AttemptRecord, Ledger, ReplayCount};
use crate::storage::page::Page;

/// When everything in these tests happens.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

type Stored<T> = Result<T, StorageError>;

/// An edit that somebody else makes.
type Crossing = Box<dyn FnOnce(&mut Settings) + Send>;

/// A control with its stores.
pub(crate) struct World {
    pub(crate) control: Control,
    pub(crate) stores: Arc<Stores>,
}

/// Both stores in one, with a log of what changed deliveries.
#[derive(Default)]
pub(crate) struct Stores {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    settings: std::collections::HashMap<ApplicationId, Settings>,
    crossing: Vec<Crossing>,
    applications: Vec<Application>,
    event_types: Vec<EventTypeEntry>,
    endpoints: Vec<Endpoint>,
    dead: Vec<DeadLetter>,
    log: Vec<String>,
    ledger_away: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Arc::default())
    }

    /// One with a past.
    pub(super) fn with(past: Arc<Past>) -> Self {
        let stores = Arc::new(Stores::default());
        let context = Context { now: || NOW, chance: counting };
        let (catalogue, ledger) = (stores.clone(), stores.clone());
        let (history, attention, dead_letters) = (past.clone(), past, stores.clone());
        let replays = Arc::<FakeReplays>::default();
        let ports = Ports { catalogue, ledger, history, attention, dead_letters, replays };
        Self { control: Control::new(ports, context), stores }
    }

    pub(super) fn bury(&self, event: &str, died_at: Timestamp) {
        let key = DeliveryKey {
            event: EventId::derived(&[event.as_bytes()]),
            endpoint: EndpointId::derived(&[b"endpoint"]),
        };
        self.stores.inner().dead.push(DeadLetter {
            number: 1,
            id: key.id(),
            key,
            application: ApplicationId::derived(&[b"application"]),
            event_id: None,
            event_type: "job.failed".into(),
            subject: None,
            reason: DeathReason::Gone,
            attempts: 1,
            last_status: 410,
            last_outcome: "gone".into(),
            last_detail: String::new(),
            payload_bytes: 2,
            died_at,
        });
    }

    /// What was done to deliveries, in order.
    pub(super) fn log(&self) -> Vec<String> {
        self.stores.inner().log.clone()
    }

    /// Somebody else changes settings between the next look at them and their writing; the last of these
    /// that were said comes first.
    pub(super) fn crossed_by(&self, edit: impl FnOnce(&mut Settings) + Send + 'static) {
        self.stores.inner().crossing.push(Box::new(edit));
    }

    pub(super) fn ledger_away(&self, away: bool) {
        self.stores.inner().ledger_away = away;
    }
}

/// Different each time, as chance should be.
fn counting() -> [u8; 32] {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    bytes
}

impl Stores {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test panics while it holds this")
    }

    fn ledger(&self) -> Stored<MutexGuard<'_, Inner>> {
        let inner = self.inner();
        if inner.ledger_away { Err(StorageError::Unavailable("away".into())) } else { Ok(inner) }
    }
}

#[async_trait]
impl Catalogue for Stores {
    async fn version(&self) -> Stored<u64> {
        Ok(0)
    }

    async fn snapshot(&self) -> Stored<Snapshot> {
        Ok(Snapshot::default())
    }

    async fn settings(&self, tenant: Tenant) -> Stored<Settings> {
        let known = self.inner().settings.get(&tenant.application()).cloned();
        Ok(known.unwrap_or_else(|| Settings::unset(tenant.application())))
    }

    async fn schema_mode(&self, tenant: Tenant) -> Stored<SchemaMode> {
        Ok(self.settings(tenant).await?.schema_mode)
    }

    async fn put_settings(&self, settings: &Settings) -> Stored<()> {
        let mut inner = self.inner();
        let crossing = inner.crossing.pop();
        let unset = || Settings::unset(settings.application);
        let known = inner.settings.entry(settings.application).or_insert_with(unset);
        if let Some(edit) = crossing {
            edit(known);
            known.revision += 1;
        }
        if known.revision != settings.revision {
            return Err(StorageError::Conflict("changed meanwhile".into()));
        }
        *known = Settings { revision: known.revision + 1, ..settings.clone() };
        Ok(())
    }

    async fn add_application(&self, application: &Application) -> Stored<()> {
        let mut inner = self.inner();
        let taken = |known: &Application| known.uid.is_some() && known.uid == application.uid;
        if inner.applications.iter().any(taken) {
            return Err(StorageError::Conflict("taken".into()));
        }
        inner.applications.push(application.clone());
        Ok(())
    }

    async fn application(
        &self,
        organisation: OrganisationId,
        name: &ApplicationName,
    ) -> Stored<Option<Application>> {
        let named = |known: &&Application| {
            known.organisation == organisation
                && match name {
                    ApplicationName::Id(id) => known.id == *id,
                    ApplicationName::Uid(uid) => known.uid.as_deref() == Some(uid.as_ref()),
                }
        };
        Ok(self.inner().applications.iter().find(named).cloned())
    }

    async fn applications(
        &self,
        organisation: OrganisationId,
        page: &Page<ApplicationId>,
    ) -> Stored<Vec<Application>> {
        let mut own = self.inner().applications.clone();
        own.retain(|known| known.organisation == organisation);
        Ok(page.cut(own, |known| known.id))
    }

    async fn edit_application(&self, application: &Application) -> Stored<()> {
        let mut inner = self.inner();
        let known = inner.applications.iter_mut().find(|known| known.id == application.id);
        *known.expect("edited after it was found") = application.clone();
        Ok(())
    }

    async fn delete_application(&self, tenant: Tenant, _: Timestamp) -> Stored<bool> {
        let id = tenant.application();
        let mut inner = self.inner();
        inner.endpoints.retain(|endpoint| endpoint.application != id);
        let before = inner.applications.len();
        inner.applications.retain(|application| application.id != id);
        Ok(inner.applications.len() < before)
    }

    async fn put_event_type(&self, entry: &EventTypeEntry) -> Stored<()> {
        let mut inner = self.inner();
        inner.event_types.retain(|known| known.name != entry.name);
        inner.event_types.push(entry.clone());
        Ok(())
    }

    async fn event_type(
        &self,
        organisation: OrganisationId,
        name: &str,
    ) -> Stored<Option<EventTypeEntry>> {
        let named =
            |known: &&EventTypeEntry| known.organisation == organisation && known.name == name;
        Ok(self.inner().event_types.iter().find(named).cloned())
    }

    async fn event_types(
        &self,
        organisation: OrganisationId,
        filter: &EventTypeFilter,
        page: &Page<String>,
    ) -> Stored<Vec<EventTypeEntry>> {
        let mut own = self.inner().event_types.clone();
        own.retain(|known| known.organisation == organisation && filter.wants(known));
        Ok(page.cut(own, |known| known.name.clone()))
    }

    async fn delete_event_type(&self, organisation: OrganisationId, name: &str) -> Stored<bool> {
        let mut inner = self.inner();
        let before = inner.event_types.len();
        inner.event_types.retain(|entry| entry.organisation != organisation || entry.name != name);
        Ok(inner.event_types.len() < before)
    }

    async fn add_endpoint(&self, endpoint: &Endpoint) -> Stored<()> {
        self.inner().endpoints.push(endpoint.clone());
        Ok(())
    }

    async fn endpoint(&self, tenant: Tenant, name: &str) -> Stored<Option<Endpoint>> {
        let named = |known: &&Endpoint| {
            known.tenant() == tenant
                && (known.id.to_string() == name || known.uid.as_deref() == Some(name))
        };
        Ok(self.inner().endpoints.iter().find(named).cloned())
    }

    async fn any_endpoint(&self, id: EndpointId) -> Stored<Option<Endpoint>> {
        Ok(self.inner().endpoints.iter().find(|known| known.id == id).cloned())
    }

    async fn endpoints(&self, tenant: Tenant, page: &Page<EndpointId>) -> Stored<Vec<Endpoint>> {
        let mut own = self.inner().endpoints.clone();
        own.retain(|known| known.tenant() == tenant);
        Ok(page.cut(own, |known| known.id))
    }

    async fn edit_endpoint(&self, endpoint: &Endpoint) -> Stored<()> {
        let mut inner = self.inner();
        let known = inner.endpoints.iter_mut().find(|known| known.id == endpoint.id);
        *known.expect("edited after it was found") = endpoint.clone();
        Ok(())
    }

    async fn set_endpoint_state(
        &self,
        _: Tenant,
        id: EndpointId,
        state: EndpointState,
        because: Option<DisabledBecause>,
        _: Timestamp,
    ) -> Stored<bool> {
        let mut inner = self.inner();
        inner.log.push(format!("{state}"));
        let known = inner.endpoints.iter_mut().find(|known| known.id == id);
        Ok(known.map(|known| (known.state, known.disabled_because) = (state, because)).is_some())
    }

    async fn set_endpoint_keys(
        &self,
        _: Tenant,
        id: EndpointId,
        keys: &[EndpointKey],
        _: Timestamp,
    ) -> Stored<()> {
        let mut inner = self.inner();
        let known = inner.endpoints.iter_mut().find(|known| known.id == id);
        known.expect("rotated after it was found").keys = keys.to_vec();
        Ok(())
    }

    async fn delete_endpoint(&self, _: Tenant, id: EndpointId, _: Timestamp) -> Stored<bool> {
        let mut inner = self.inner();
        inner.log.push("deleted".into());
        let before = inner.endpoints.len();
        inner.endpoints.retain(|endpoint| endpoint.id != id);
        Ok(inner.endpoints.len() < before)
    }
}

impl Stores {
    pub(super) fn buried(&self, filter: &DeadLetterFilter) -> Vec<DeadLetter> {
        // Whose they are is not known here: everything is everybody's.
        let filter = DeadLetterFilter { organisation: None, ..filter.clone() };
        self.inner().matching(&filter)
    }

    pub(super) fn note(&self, what: String) {
        self.inner().log.push(what);
    }
}

impl Inner {
    fn matching(&self, filter: &DeadLetterFilter) -> Vec<DeadLetter> {
        let matches = |letter: &&DeadLetter| filter.matches(None, letter);
        self.dead.iter().filter(matches).cloned().collect()
    }
}

#[async_trait]
impl Ledger for Stores {
    async fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
        _: Option<DeliveryId>,
        limit: usize,
    ) -> Stored<Vec<DeadLetter>> {
        let mut letters = self.ledger()?.matching(filter);
        letters.truncate(limit);
        Ok(letters)
    }

    async fn count_dead_letters(&self, filter: &DeadLetterFilter) -> Stored<u64> {
        Ok(self.ledger()?.matching(filter).len() as u64)
    }

    async fn event(&self, _: EventId) -> Stored<Option<Event>> {
        Ok(None)
    }

    async fn attempts(&self, _: DeliveryKey) -> Stored<Vec<AttemptRecord>> {
        Ok(Vec::new())
    }

    async fn count_replay(&self, filter: &DeadLetterFilter) -> Stored<ReplayCount> {
        let letters = self.ledger()?.matching(filter);
        let by_endpoint = letters.iter().map(|letter| (letter.key.endpoint, 1)).collect();
        Ok(ReplayCount { by_endpoint, ..ReplayCount::default() })
    }

    async fn replay(&self, filter: &DeadLetterFilter, _: Timestamp) -> Stored<u64> {
        Ok(self.ledger()?.matching(filter).len() as u64)
    }

    async fn recall(&self, _: EndpointId, _: Timestamp) -> Stored<u64> {
        self.ledger()?.log.push("recalled".into());
        Ok(3)
    }

    async fn recall_held(&self, _: ApplicationId, _: Timestamp) -> Stored<u64> {
        self.ledger()?.log.push("let go".into());
        Ok(5)
    }

    async fn resend(&self, _: Tenant, _: DeliveryKey, _: Timestamp) -> Stored<bool> {
        self.ledger()?.log.push("resent".into());
        Ok(true)
    }

    async fn cancel(&self, _: EndpointId, _: Timestamp) -> Stored<u64> {
        self.ledger()?.log.push("cancelled".into());
        Ok(2)
    }
}
