//! Fills the desks of the installation: what stands behind the operators' pages about queues, addresses, settings and how the
//! router is.
//!
//! These desks ask by ports of `control`, which knows neither guard nor metrics nor settings; here the words of those rooms become
//! its words.

use std::sync::Arc;

use async_trait::async_trait;

use super::assemble::{Backends, WayOut};
use super::clock;
use super::serve::Shown;
use crate::api::admin::Condition as _;
use crate::config::settings::setting;
use crate::config::{Config, Effective};
use crate::control::installation::Desks;
use crate::control::installation::configuration::{ConfigurationDesk, EffectiveSetting};
use crate::control::installation::egress::{
    BlockedAttempt, EgressDesk, EgressRules, EgressWatch, Step, StepVerdict, Trial,
};
use crate::control::installation::quarantine::QuarantineDesk;
use crate::control::installation::queues::QueueDesk;
use crate::control::installation::vitals::{
    BrokerVitals, DeliveryVitals, EventVitals, StoreVitals, VitalSigns, Vitals, VitalsDesk,
};
use crate::domain::time::Timestamp;
use crate::egress::{guard, trial};
use crate::storage::journal::Journal;
use crate::storage::queues::Waits;

/// What they are filled from.
pub(super) struct Installed<'a> {
    /// What was configured.
    pub(super) config: &'a Config,
    /// Every setting as it holds.
    pub(super) effective: &'a [Effective],
    /// What stands behind the ports.
    pub(super) backends: &'a Backends,
    /// The way out, and who watches it.
    pub(super) way_out: &'a Arc<WayOut>,
    /// What the admin port shows.
    pub(super) shown: &'a Arc<Shown>,
    /// When the router started.
    pub(super) started_at: Timestamp,
}

impl Installed<'_> {
    /// The desks.
    pub(super) fn desks(&self) -> Desks {
        let Self { config, backends, .. } = self;
        let max_payload_bytes = config.limits.max_payload_bytes;
        let waits = backends.waits();
        Desks {
            quarantine: QuarantineDesk::new(
                backends.quarantines(max_payload_bytes),
                Arc::clone(&backends.catalogue),
            ),
            queues: QueueDesk::new(backends.queues(), Arc::clone(&waits), clock::now),
            egress: EgressDesk::new(Arc::new(Watched(Arc::clone(self.way_out)))),
            configuration: ConfigurationDesk::new(self.effective.iter().map(shown).collect()),
            vitals: VitalsDesk::new(Arc::new(Signs {
                shown: Arc::clone(self.shown),
                journal: Arc::clone(&backends.journal),
                waits,
                in_memory_max: config.limits.max_deliveries_in_memory,
                in_flight_max: config.limits.max_in_flight,
                started_at: self.started_at,
            })),
        }
    }
}

fn shown(effective: &Effective) -> EffectiveSetting {
    let row = setting(effective.key).expect("what holds is a setting of the list");
    EffectiveSetting {
        key: effective.key,
        value: effective.value.clone(),
        origin: effective.origin.clone(),
        default: row.default,
        accepted: row.accepted,
        doc: row.doc,
        danger: effective.danger(),
    }
}

/// The guard and the sender, in the words of `control`.
struct Watched(Arc<WayOut>);

#[async_trait]
impl EgressWatch for Watched {
    fn rules(&self) -> EgressRules {
        fn texts<T: ToString>(all: &[T]) -> Vec<String> {
            all.iter().map(ToString::to_string).collect()
        }
        let policy = &self.0.policy;
        let beyond = ("IPv6 outside 2000::/3".to_owned(), "outside_2000_3");
        let ranges = guard::refused_ranges().into_iter().map(|(net, word)| (net.to_string(), word));
        EgressRules {
            allow_http: policy.allow_http,
            allow_local_names: policy.allow_local_names,
            refused: ranges.chain([beyond]).collect(),
            metadata: texts(&guard::metadata_addresses()),
            allowed: texts(&policy.allow_cidrs),
            denied: texts(&policy.deny_cidrs),
            own_sockets: texts(&policy.own_sockets),
            special_names: guard::special_names().to_vec(),
            refused_ports: guard::refused_ports().to_vec(),
        }
    }

    fn blocked(&self) -> Vec<BlockedAttempt> {
        let last = self.0.blocked.last().into_iter();
        last.map(|one| BlockedAttempt {
            at: one.at,
            application: one.whose.application,
            endpoint: one.whose.endpoint,
            host: one.host,
            reason: one.refusal.reason(),
            sentence: one.refusal.to_string(),
            address: one.address,
        })
        .collect()
    }

    async fn try_out(&self, url: &str) -> Trial {
        let tried = trial::try_out(url, &self.0.policy, self.0.names.as_ref()).await;
        Trial {
            allowed: tried.is_allowed(),
            url: tried.url.map(Into::into),
            steps: tried
                .steps
                .into_iter()
                .map(|step| Step {
                    what: step.what,
                    verdict: match step.verdict {
                        trial::Verdict::Passed => StepVerdict::Passed,
                        trial::Verdict::Refused => StepVerdict::Refused,
                        trial::Verdict::Skipped => StepVerdict::Skipped,
                    },
                    found: step.found,
                })
                .collect(),
        }
    }
}

/// Metrics, books and the store, as one thing to look at.
struct Signs {
    shown: Arc<Shown>,
    journal: Arc<dyn Journal>,
    waits: Arc<dyn Waits>,
    in_memory_max: usize,
    in_flight_max: usize,
    started_at: Timestamp,
}

#[async_trait]
impl VitalSigns for Signs {
    async fn vitals(&self) -> Vitals {
        let Shown { metrics, numbers, upkeep } = self.shown.as_ref();
        let (now, reading) = (clock::now(), metrics.reading());
        let (books, oldest_late, size) =
            tokio::join!(self.journal.books(), self.waits.oldest_late(now), upkeep.size());
        let broker = numbers.as_ref().map(|numbers| {
            let numbers = numbers();
            BrokerVitals {
                publish_connected: numbers.publish_connected,
                consume_connected: numbers.consume_connected,
                is_blocked: numbers.publish_blocked,
                reconnects: numbers.publish_reconnects + numbers.consume_reconnects,
                received: reading.received,
                confirmed: numbers.confirmed,
                refused: numbers.nacked + numbers.returned + numbers.batches_failed,
                routers: (numbers.routers > 0).then_some(numbers.routers),
                inbox_ready: numbers.inbox_ready,
            }
        });
        Vitals {
            version: env!("CARGO_PKG_VERSION"),
            started_at: self.started_at,
            uptime: now.since(self.started_at),
            missing: self.shown.missing(),
            is_draining: metrics.is_draining(),
            events: EventVitals {
                accepted: reading.accepted,
                known: reading.known,
                quarantined: reading.quarantined,
            },
            deliveries: DeliveryVitals {
                in_memory: reading.in_memory,
                in_memory_max: self.in_memory_max as u64,
                in_flight: reading.in_flight,
                in_flight_max: self.in_flight_max as u64,
                attempts: reading.attempts,
                delivered: reading.delivered,
            },
            books: books.ok(),
            oldest_late: oldest_late.ok().flatten(),
            broker,
            store: StoreVitals { trouble: upkeep.trouble(), size: size.ok() },
        }
    }
}
