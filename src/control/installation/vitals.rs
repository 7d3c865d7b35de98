//! How this router is, at a glance: what its metrics know and a person wants first.
//!
//! Everything is this router's own but the books and what is late, which are the store's. Counters are since it started.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Installation;
use crate::domain::time::Timestamp;
use crate::storage::journal::Books;
use crate::storage::upkeep::Size;

/// How this router is.
#[derive(Debug, Clone)]
pub struct Vitals {
    /// Its version.
    pub version: &'static str,
    /// When it started.
    pub started_at: Timestamp,
    /// How long ago.
    pub uptime: Duration,
    /// What it is not ready for, in a sentence each; none when it is ready.
    pub missing: Vec<String>,
    /// Whether it is stopping.
    pub is_draining: bool,
    /// Events, since it started.
    pub events: EventVitals,
    /// Deliveries, now.
    pub deliveries: DeliveryVitals,
    /// The books, as read within the last second; `None` while the journal is away.
    pub books: Option<Books>,
    /// When the delivery could have been sent that has been late for longest; `None` when nothing is late, or nobody can tell.
    pub oldest_late: Option<Timestamp>,
    /// The broker, if there is one.
    pub broker: Option<BrokerVitals>,
    /// The store's file.
    pub store: StoreVitals,
}

/// Events, since the router started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventVitals {
    /// Recorded for the first time.
    pub accepted: u64,
    /// That were on record already: redelivered, or published twice.
    pub known: u64,
    /// Messages that are no events.
    pub quarantined: u64,
}

/// Deliveries, now; and attempts, since the router started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeliveryVitals {
    /// In this router's memory.
    pub in_memory: u64,
    /// As many as there may be.
    pub in_memory_max: u64,
    /// Requests on the way.
    pub in_flight: u64,
    /// As many as there may be.
    pub in_flight_max: u64,
    /// Requests that have ended.
    pub attempts: u64,
    /// Of these: those that delivered.
    pub delivered: u64,
}

/// The broker, as this router sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BrokerVitals {
    /// Whether the publishing connection is up.
    pub publish_connected: bool,
    /// Whether the consuming connection is up.
    pub consume_connected: bool,
    /// Whether the broker takes no publishes: it is out of memory or disk.
    pub is_blocked: bool,
    /// Times that a connection had to be made again.
    pub reconnects: u64,
    /// Messages that it has delivered to this router.
    pub received: u64,
    /// Publishes that it has confirmed.
    pub confirmed: u64,
    /// Publishes that it has refused or returned, and batches that were not wholly confirmed.
    pub refused: u64,
    /// Routers on its inbox, as counted last; `None` when that is not known.
    pub routers: Option<u64>,
    /// Events ready in its inbox, as counted last.
    pub inbox_ready: u64,
}

/// The store's file.
#[derive(Debug, Clone, Default)]
pub struct StoreVitals {
    /// Why it cannot be written, if it cannot.
    pub trouble: Option<String>,
    /// How large it is; `None` when it cannot be read.
    pub size: Option<Size>,
}

/// What knows how this router is.
#[async_trait]
pub trait VitalSigns: Send + Sync {
    /// How it is. What cannot be read is left out: there is no error, for this is looked at when something is wrong.
    async fn vitals(&self) -> Vitals;
}

/// Where that is asked.
#[derive(Clone)]
pub struct VitalsDesk(Arc<dyn VitalSigns>);

impl VitalsDesk {
    /// A desk over this.
    pub fn new(signs: Arc<dyn VitalSigns>) -> Self {
        Self(signs)
    }

    /// How it is.
    pub async fn vitals(&self, _: Installation) -> Vitals {
        self.0.vitals().await
    }
}
