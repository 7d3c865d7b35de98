//! Where an event goes: an index of the catalogue, in memory.
//!
//! | the event names | goes to |
//! |---|---|
//! | a URL, `override` | that URL alone |
//! | a URL, `add` | that URL, and the endpoints that match |
//! | none | the endpoints that match; and to its application's default URL, when none does (`no_match`) or in any case (`no_override`) |
//!
//! An endpoint that is paused matches, one that is disabled does not. An application whose deliveries are
//! switched off owes nothing to anybody. What goes to a URL is owed to an endpoint that nobody lists: it is
//! made here of the application's settings, for the default URL once, for one that an event names whenever
//! it is called. None of them is kept longer than it is used, however many hosts events name.
//!
//! The index is rebuilt whole when the catalogue's version has moved on and then swapped in; whoever
//! is reading goes on with the one it has (when nobody does any more: `adopt`). Its cost per event does not grow with the number of
//! endpoints, only with the number that match and with the prefixes of one application.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, Semaphore};
use tracing::info;
use url::Url;

use super::by_schema::BySchema;
use crate::domain::endpoint::{Endpoint, EndpointState, default_of, named_at};
use crate::domain::event::{ApplicationName, Event, EventType, WebhookMode};
use crate::domain::filter::Pattern;
use crate::domain::id::{ApplicationId, EndpointId, OrganisationId};
use crate::domain::policy::Resolved;
use crate::domain::settings::{DefaultUrlWhen, DeliverySwitch, Settings};
use crate::storage::StorageError;
use crate::storage::catalogue::{Catalogue, Snapshot};

/// The index that everybody reads.
#[derive(Debug, Clone)]
pub struct Routes {
    current: Arc<ArcSwap<Table>>,
    /// Rung by whoever knows that the catalogue has changed, so that the follower looks at once.
    bell: Arc<Notify>,
    /// One place: whoever reads the catalogue. Of many edits at once each wants it read, and who has waited finds it done.
    reading: Arc<Semaphore>,
}

impl Routes {
    /// Reads the catalogue for the first time.
    ///
    /// # Errors
    /// As [`Catalogue::snapshot`].
    pub async fn load(catalogue: &dyn Catalogue) -> Result<Self, StorageError> {
        let table = Table::of(catalogue.snapshot().await?);
        Ok(Self {
            current: Arc::new(ArcSwap::from_pointee(table)),
            bell: Arc::default(),
            reading: Arc::new(Semaphore::new(1)),
        })
    }

    /// The index as it is now.
    pub fn table(&self) -> Arc<Table> {
        self.current.load_full()
    }

    /// Says that the catalogue has changed: it is looked at without waiting for the time to look.
    pub fn ring(&self) {
        self.bell.notify_one();
    }

    /// The version of the index as it is now.
    pub fn version(&self) -> u64 {
        self.current.load().version
    }

    /// Waits until somebody says that the catalogue has changed, at most so long.
    pub async fn rung_or_after(&self, most: Duration) {
        // A time-out is not an error here: it is time to look.
        let _ = tokio::time::timeout(most, self.bell.notified()).await;
    }

    /// Reads the catalogue again if its version has moved on; whether it had.
    ///
    /// # Errors
    /// As [`Catalogue::snapshot`]; the index is as it was.
    pub async fn refresh(&self, catalogue: &dyn Catalogue) -> Result<bool, StorageError> {
        if catalogue.version().await? == self.current.load().version {
            return Ok(false);
        }
        let _place = self.reading.acquire().await.expect("it is never closed");
        if catalogue.version().await? == self.current.load().version {
            return Ok(true); // somebody else has read it meanwhile
        }
        let before = self.table();
        let table = Arc::new(Table::behind(catalogue.snapshot().await?, before.by_schema()));
        info!(version = table.version, endpoints = table.endpoints.len(), "catalogue changed");
        // Two may refresh at once: the later version stays, whoever is the last to store.
        self.current.rcu(|current| {
            if current.version > table.version { Arc::clone(current) } else { Arc::clone(&table) }
        });
        Ok(true)
    }
}

/// The catalogue, laid out for routing.
#[derive(Debug, Default)]
pub struct Table {
    version: u64,
    by_uid: HashMap<Box<str>, ApplicationId>,
    applications: HashMap<ApplicationId, Own>,
    endpoints: HashMap<EndpointId, Arc<Endpoint>>,
    by_schema: BySchema,
    /// What default URLs are called by.
    defaults: HashMap<EndpointId, Arc<Endpoint>>,
}

/// What there is of one application.
#[derive(Debug)]
struct Own {
    wants: Wants,
    settings: Settings,
    /// What the settings' policy comes to.
    policy: Arc<Resolved>,
}

/// Who wants what within one application.
#[derive(Debug, Default)]
struct Wants {
    everything: Vec<EndpointId>,
    exact: HashMap<EventType, Vec<EndpointId>>,
    prefixes: Vec<(Box<str>, EndpointId)>,
}

impl Table {
    /// Lays a snapshot out.
    pub fn of(snapshot: Snapshot) -> Self {
        Self::behind(snapshot, &BySchema::default())
    }

    /// The same; schemas that are ready in `before` and have not changed stay ready.
    fn behind(snapshot: Snapshot, before: &BySchema) -> Self {
        let by_schema = BySchema::of(&snapshot, before);
        let mut table = Self { version: snapshot.version, by_schema, ..Self::default() };
        let settings = snapshot.settings.into_iter().map(|own| (own.application, own));
        let mut settings: HashMap<ApplicationId, Settings> = settings.collect();
        let unset: Arc<Resolved> = Arc::default();
        for application in snapshot.applications {
            // A routing key says no organisation: a uid there is one of the default organisation's.
            if let Some(uid) = application.uid
                && application.organisation == OrganisationId::DEFAULT
            {
                table.by_uid.insert(uid.into(), application.id);
            }
            let own = match settings.remove(&application.id) {
                Some(settings) => {
                    let policy = Arc::new(settings.policy_of_urls());
                    if let Some(url) = &settings.default_url {
                        let id = default_of(application.id);
                        let to = settings.endpoint_at(id, url.clone(), Arc::clone(&policy));
                        table.defaults.insert(id, Arc::new(to));
                    }
                    Own { wants: Wants::default(), settings, policy }
                }
                None => Own {
                    wants: Wants::default(),
                    settings: Settings::unset(application.id),
                    policy: Arc::clone(&unset),
                },
            };
            table.applications.insert(application.id, own);
        }
        for endpoint in snapshot.endpoints {
            if let Some(own) = table.applications.get_mut(&endpoint.application) {
                own.wants.add(&endpoint);
                table.endpoints.insert(endpoint.id, endpoint);
            }
        }
        table
    }

    /// What events are held to.
    pub const fn by_schema(&self) -> &BySchema {
        &self.by_schema
    }

    /// The application of that name, if there is one.
    pub fn application(&self, name: &ApplicationName) -> Option<ApplicationId> {
        match name {
            ApplicationName::Id(id) => self.applications.contains_key(id).then_some(*id),
            ApplicationName::Uid(uid) => self.by_uid.get(uid).copied(),
        }
    }

    /// Those that an event is owed to, each once.
    pub fn wanting(&self, event: &Event) -> Vec<EndpointId> {
        let Some(own) = self.applications.get(&event.application) else { return Vec::new() };
        if own.settings.delivery == DeliverySwitch::Off {
            return Vec::new();
        }
        if let Some(webhook) = &event.webhook {
            let named = named_at(event.application, &webhook.url);
            let mut found = match webhook.mode {
                WebhookMode::Override => Vec::new(),
                WebhookMode::Add => self.matching(&own.wants, event),
            };
            found.push(named);
            return found;
        }
        let mut found = self.matching(&own.wants, event);
        let default = match own.settings.default_url_when {
            DefaultUrlWhen::NoMatch => found.is_empty(),
            DefaultUrlWhen::NoOverride => true,
        };
        if default && own.settings.default_url.is_some() {
            found.push(default_of(event.application));
        }
        found
    }

    /// The endpoints that want an event of this type with these channels, each once.
    fn matching(&self, wants: &Wants, event: &Event) -> Vec<EndpointId> {
        let mut found = wants.everything.clone();
        found.extend(wants.exact.get(&event.event_type).into_iter().flatten());
        for (prefix, endpoint) in &wants.prefixes {
            // An endpoint may match twice over; few do, so looking is cheaper than a set.
            let matches = event.event_type.as_str().starts_with(prefix.as_ref());
            if matches && !found.contains(endpoint) {
                found.push(*endpoint);
            }
        }
        let channels = &event.channels;
        found.retain(|id| self.endpoints.get(id).is_some_and(|one| one.listens_on(channels)));
        found
    }

    /// Whether what an application is owed waits until a person lets it go on.
    pub fn holds(&self, application: ApplicationId) -> bool {
        let own = self.applications.get(&application);
        own.is_some_and(|own| !own.settings.delivery.sends())
    }

    /// An endpoint, or an application's default URL, if it is still there.
    pub fn endpoint(&self, id: EndpointId) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(&id).or_else(|| self.defaults.get(&id))
    }

    /// What an event's delivery to this id is sent by, if it is still there: looked up, or made for a URL
    /// that the event names.
    pub fn destination(&self, event: &Event, id: EndpointId) -> Option<Arc<Endpoint>> {
        if let Some(known) = self.endpoint(id) {
            return Some(Arc::clone(known));
        }
        self.named(event.application, id, &event.webhook.as_ref()?.url)
    }

    /// Whether what was made before for a URL that events name could be made now.
    pub fn still_names(&self, last: &Endpoint) -> bool {
        self.applications.contains_key(&last.application) && last.is_named_by_events()
    }

    /// What was looked up or made before, as it is now; `None` when it is gone.
    pub fn anew(&self, last: &Endpoint) -> Option<Arc<Endpoint>> {
        let known = self.endpoint(last.id).map(Arc::clone);
        known.or_else(|| self.named(last.application, last.id, &last.url))
    }

    fn named(
        &self,
        application: ApplicationId,
        id: EndpointId,
        url: &Url,
    ) -> Option<Arc<Endpoint>> {
        let own = self.applications.get(&application)?;
        let to = || own.settings.endpoint_at(id, url.clone(), Arc::clone(&own.policy));
        (named_at(application, url) == id).then(|| Arc::new(to()))
    }

    /// What is known here by its id and is not the same as by an index of before, what is new among it.
    pub fn changed_since<'a>(
        &'a self,
        before: &'a Self,
    ) -> impl Iterator<Item = &'a Arc<Endpoint>> {
        let same_version = self.version == before.version;
        let all = (!same_version).then(|| self.endpoints.values().chain(self.defaults.values()));
        all.into_iter()
            .flatten()
            .filter(|now| before.endpoint(now.id).is_none_or(|then| !Arc::ptr_eq(then, now)))
    }

    /// All endpoints that somebody lists.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.values()
    }
}

impl Wants {
    fn add(&mut self, endpoint: &Endpoint) {
        if endpoint.state == EndpointState::Disabled {
            return; // owed nothing new
        }
        let patterns = endpoint.filter.patterns();
        if patterns.is_empty() || patterns.contains(&Pattern::All) {
            self.everything.push(endpoint.id);
            return;
        }
        for pattern in patterns {
            match pattern {
                Pattern::All => {}
                Pattern::Prefix(prefix) => self.prefixes.push((prefix.clone(), endpoint.id)),
                Pattern::Exact(event_type) => {
                    let exact = self.exact.entry(event_type.clone()).or_default();
                    if !exact.contains(&endpoint.id) {
                        exact.push(endpoint.id);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
