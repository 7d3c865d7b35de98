//! Which endpoints want an event: an index of the catalogue, in memory.
//!
//! The index is rebuilt whole when the catalogue's version has moved on and then swapped in; whoever
//! is reading goes on with the one it has (when nobody does any more: `adopt`). Its cost per event does not grow with the number of
//! endpoints, only with the number that match and with the prefixes of one application.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tracing::info;

use crate::domain::endpoint::{Endpoint, EndpointState};
use crate::domain::event::{ApplicationName, EventType};
use crate::domain::filter::Pattern;
use crate::domain::id::{ApplicationId, EndpointId, OrganisationId};
use crate::storage::StorageError;
use crate::storage::catalogue::{Catalogue, Snapshot};

/// The index that everybody reads.
#[derive(Debug, Clone)]
pub struct Routes {
    current: Arc<ArcSwap<Table>>,
    /// Rung by whoever knows that the catalogue has changed, so that the follower looks at once.
    bell: Arc<Notify>,
}

impl Routes {
    /// Reads the catalogue for the first time.
    ///
    /// # Errors
    /// As [`Catalogue::snapshot`].
    pub async fn load(catalogue: &dyn Catalogue) -> Result<Self, StorageError> {
        let table = Table::of(catalogue.snapshot().await?);
        Ok(Self { current: Arc::new(ArcSwap::from_pointee(table)), bell: Arc::default() })
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
        let table = Arc::new(Table::of(catalogue.snapshot().await?));
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
    applications: HashMap<ApplicationId, Wants>,
    endpoints: HashMap<EndpointId, Arc<Endpoint>>,
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
        let mut table = Self { version: snapshot.version, ..Self::default() };
        for application in snapshot.applications {
            // A routing key says no organisation: a uid there is one of the default organisation's.
            if let Some(uid) = application.uid
                && application.organisation == OrganisationId::DEFAULT
            {
                table.by_uid.insert(uid.into(), application.id);
            }
            table.applications.insert(application.id, Wants::default());
        }
        for endpoint in snapshot.endpoints {
            if let Some(wants) = table.applications.get_mut(&endpoint.application) {
                wants.add(&endpoint);
                table.endpoints.insert(endpoint.id, endpoint);
            }
        }
        table
    }

    /// The application of that name, if there is one.
    pub fn application(&self, name: &ApplicationName) -> Option<ApplicationId> {
        match name {
            ApplicationName::Id(id) => self.applications.contains_key(id).then_some(*id),
            ApplicationName::Uid(uid) => self.by_uid.get(uid).copied(),
        }
    }

    /// The endpoints that want an event of this type with these channels, each once.
    pub fn wanting(
        &self,
        application: ApplicationId,
        event_type: &EventType,
        channels: &[Box<str>],
    ) -> Vec<EndpointId> {
        let Some(wants) = self.applications.get(&application) else { return Vec::new() };
        let mut found = wants.everything.clone();
        found.extend(wants.exact.get(event_type).into_iter().flatten());
        for (prefix, endpoint) in &wants.prefixes {
            // An endpoint may match twice over; few do, so looking is cheaper than a set.
            if event_type.as_str().starts_with(prefix.as_ref()) && !found.contains(endpoint) {
                found.push(*endpoint);
            }
        }
        found.retain(|id| self.endpoints.get(id).is_some_and(|one| one.listens_on(channels)));
        found
    }

    /// An endpoint, if it is still there.
    pub fn endpoint(&self, id: EndpointId) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(&id)
    }

    /// All endpoints.
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
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::application::Application;
    use crate::domain::filter::Filter;
    use crate::domain::policy::PolicyPart;
    use crate::domain::time::Timestamp;

    fn endpoint(application: ApplicationId, name: &str, patterns: &[&str]) -> Arc<Endpoint> {
        let patterns = patterns.iter().map(|p| p.parse().expect("a pattern")).collect();
        Arc::new(Endpoint {
            id: EndpointId::derived(&[name.as_bytes()]),
            application,
            uid: Some(name.into()),
            description: String::new(),
            url: "https://example.com/".parse().expect("a URL"),
            filter: Filter::of(patterns),
            channels: Vec::new(),
            state: EndpointState::Active,
            disabled_because: None,
            throttle_rate: None,
            policy: Arc::default(),
            headers: Vec::new(),
            auth: None,
            keys: Vec::new(),
            metadata: BTreeMap::new(),
            version: std::num::NonZeroU16::MIN,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
            policy_part: PolicyPart::default(),
        })
    }

    fn application(uid: &str) -> Application {
        Application {
            id: ApplicationId::derived(&[uid.as_bytes()]),
            organisation: OrganisationId::DEFAULT,
            uid: Some(uid.into()),
            name: uid.into(),
            throttle_rate: None,
            metadata: BTreeMap::new(),
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        }
    }

    fn matching(table: &Table, application: &str, event_type: &str) -> Vec<String> {
        matching_on(table, application, event_type, &[])
    }

    fn matching_on(
        table: &Table,
        application: &str,
        event_type: &str,
        channels: &[&str],
    ) -> Vec<String> {
        let id = table.application(&application.into()).expect("known");
        let channels: Vec<Box<str>> = channels.iter().map(|name| (*name).into()).collect();
        let mut names: Vec<_> = table
            .wanting(id, &event_type.parse().expect("a type"), &channels)
            .into_iter()
            .filter_map(|id| table.endpoint(id)?.uid.clone())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn each_endpoint_gets_what_its_filter_says_once_and_only_of_its_own_application() {
        let (acme, other) = (application("acme"), application("other"));
        let disabled = Arc::new(Endpoint {
            state: EndpointState::Disabled,
            ..endpoint(acme.id, "disabled", &[]).as_ref().clone()
        });
        let table = Table::of(Snapshot {
            version: 1,
            endpoints: vec![
                endpoint(acme.id, "all", &[]),
                endpoint(acme.id, "jobs", &["job.*", "job.completed"]),
                endpoint(acme.id, "done", &["job.completed", "job.completed"]),
                endpoint(acme.id, "documents", &["document.ready"]),
                endpoint(other.id, "stranger", &[]),
                disabled,
            ],
            applications: vec![acme, other],
            settings: Vec::new(),
        });

        assert_eq!(matching(&table, "acme", "job.completed"), ["all", "done", "jobs"]);
        assert_eq!(matching(&table, "acme", "job.failed"), ["all", "jobs"]);
        assert_eq!(matching(&table, "acme", "document.ready"), ["all", "documents"]);
        assert_eq!(matching(&table, "other", "job.completed"), ["stranger"]);
        assert_eq!(table.application(&"nobody".into()), None);
    }

    #[test]
    fn an_endpoint_with_channels_gets_only_events_that_share_one() {
        let acme = application("acme");
        let on = |name: &str, patterns: &[&str], channels: &[&str]| {
            let channels = channels.iter().map(|name| (*name).to_owned()).collect();
            let endpoint = endpoint(acme.id, name, patterns);
            Arc::new(Endpoint { channels, ..endpoint.as_ref().clone() })
        };
        let table = Table::of(Snapshot {
            version: 1,
            endpoints: vec![
                on("all", &[], &[]),
                on("eu", &[], &["eu"]),
                on("both", &["job.*"], &["eu", "us"]),
                on("documents", &["document.ready"], &["us"]),
            ],
            applications: vec![acme],
            settings: Vec::new(),
        });

        let rows: [(&[&str], &[&str]); 5] = [
            (&[], &["all"]),
            (&["eu"], &["all", "both", "eu"]),
            (&["us"], &["all", "both"]),
            (&["asia", "us"], &["all", "both"]),
            (&["EU"], &["all"]),
        ];
        for (channels, wanted) in rows {
            assert_eq!(matching_on(&table, "acme", "job.completed", channels), wanted);
        }
    }
}
