//! RabbitMQ behind the ports inbox, ladder and outlet.
//!
//! - [`topology`]: every name and argument; declared here and nowhere else.
//! - [`rungs`]: which rung a wait takes.
//! - `message`: between AMQP messages and what they stand for.
//! - `connection`, `link`: reaching a broker; keeping the publishing connection.
//! - `publisher`: batches, confirmed as a whole. `ladder`, `outlet`, `producer` publish through it.
//! - `consumer`, [`inbox`], `acks`: consuming, handing over, acknowledging.
//! - `shelves`, `depths`: what people look at: messages that nobody takes, and how the queues stand.
//! - [`health`]: counters for whoever reports.
//!
//! The order that holds everywhere: publish, await the confirm, and only then acknowledge what it
//! came from. Nothing is requeued as a way of trying again. Every wait on the broker has a deadline.
//!
//! Not here yet: offering orphans again. They are kept in their queue, and people see them there.

mod acks;
mod chance;
mod connection;
mod consumer;
mod depths;
pub mod health;
pub mod inbox;
mod ladder;
mod link;
mod message;
mod outlet;
mod producer;
mod publisher;
pub mod rungs;
mod shelves;
pub mod topology;

use std::num::NonZeroU16;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::acks::run as acknowledge;
use self::connection::Addresses;
use self::consumer::{Consumer, due_prefetch};
use self::depths::RabbitQueues;
use self::health::Health;
use self::inbox::{RabbitInbox, Shared, StopHandle};
use self::ladder::RabbitLadder;
use self::outlet::RabbitOutlet;
use self::producer::Producer;
use self::publisher::Publisher;
use self::rungs::Rungs;
use self::shelves::Shelves;
use self::topology::Topology;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::inbox::Publish;
use crate::storage::ladder::Ladder;
use crate::storage::outlet::Outlet;
use crate::storage::quarantine::Quarantine;
use crate::storage::queues::Queues;

/// Most unacknowledged messages that a quorum queue hands to one consumer, whatever it is asked for.
const PREFETCH_MAX: u16 = 2_000;

/// The time, as its reader hands it in.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How to reach the broker and what to ask of it.
#[derive(Clone)]
pub struct Settings {
    /// The brokers of the cluster, as `amqp://user:password@host:port/vhost`.
    pub urls: Vec<String>,
    /// What every name begins with.
    pub prefix: String,
    /// Most unfinished events that the broker hands to this router; half as many due deliveries.
    pub prefetch: u16,
    /// Largest payload; larger ones are quarantined.
    pub max_payload_bytes: usize,
    /// Waits that shall be rungs of their own: those of the configured schedules.
    pub exact_rungs_ms: Vec<u64>,
    /// Whether every outcome is fed back to producers.
    pub results: bool,
    /// What the broker's operators see beside our connections.
    pub connection_name: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            urls: vec!["amqp://127.0.0.1:5672".into()],
            prefix: "posthaste".into(),
            prefetch: 1_000,
            max_payload_bytes: 256 * 1024,
            exact_rungs_ms: Vec::new(),
            results: false,
            connection_name: "posthaste".into(),
        }
    }
}

/// Without the URLs, which hold passwords.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("urls", &self.urls.len())
            .field("prefix", &self.prefix)
            .field("prefetch", &self.prefetch)
            .field("max_payload_bytes", &self.max_payload_bytes)
            .field("exact_rungs_ms", &self.exact_rungs_ms)
            .field("results", &self.results)
            .field("connection_name", &self.connection_name)
            .finish()
    }
}

/// The back end: its connections, and the ports that stand on them.
///
/// Has to be started within a tokio runtime. Dropping it stops everything without waiting.
pub struct Rabbit {
    settings: Settings,
    addresses: Addresses,
    topology: Arc<Topology>,
    rungs: Rungs,
    publisher: Publisher,
    health: Arc<Health>,
    now: Now,
    inboxes: Mutex<Vec<StopHandle>>,
    routers: watch::Sender<Option<NonZeroU16>>,
    /// One look at what nobody takes at a time.
    looking: Arc<Semaphore>,
}

impl Rabbit {
    /// Starts connecting. That the broker is away is no error: it is tried until it is back.
    ///
    /// # Errors
    /// `Conflict` with settings that can never work.
    pub fn start(settings: Settings, now: Now) -> Result<Self, StorageError> {
        let addresses = Addresses::parse(&settings.urls)?;
        let topology = Arc::new(Topology::new(&settings.prefix)?);
        if !(1..=PREFETCH_MAX).contains(&settings.prefetch) {
            return Err(StorageError::Conflict(format!(
                "a prefetch of {}: 1 to {PREFETCH_MAX} is accepted",
                settings.prefetch
            )));
        }
        let health = Arc::new(Health::default());
        let publisher =
            Publisher::start(addresses.clone(), &settings.connection_name, &topology, &health);
        let rungs = Rungs::new(&settings.exact_rungs_ms);
        let (inboxes, looking) = (Mutex::default(), Arc::new(Semaphore::new(1)));
        let routers = watch::Sender::new(None);
        Ok(Self {
            settings,
            addresses,
            topology,
            rungs,
            publisher,
            health,
            now,
            inboxes,
            routers,
            looking,
        })
    }

    /// Starts consuming: each call is another consumer, with a connection of its own.
    pub fn inbox(&self) -> RabbitInbox {
        let prefetch = self.settings.prefetch;
        let window = usize::from(prefetch) + usize::from(due_prefetch(prefetch));
        let (arrive, arrivals) = mpsc::channel(window);
        let (notes, box_of_notes) = mpsc::unbounded_channel();
        let (tell_lost, lost) = watch::channel(0);
        let (stop, closing) = (CancellationToken::new(), CancellationToken::new());
        let epoch = Arc::new(AtomicU64::new(0));
        let tasks = TaskTracker::new();
        tokio::spawn(acknowledge(box_of_notes, tell_lost, self.health.clone()));
        let consumer = Consumer {
            addresses: self.addresses.clone(),
            name: format!("{} consume", self.settings.connection_name),
            topology: self.topology.clone(),
            prefetch,
            max_payload_bytes: self.settings.max_payload_bytes,
            health: self.health.clone(),
            routers: self.routers.clone(),
            publisher: self.publisher.clone(),
            notes: notes.clone(),
            lost,
            arrivals: arrive,
            epoch: epoch.clone(),
            stop: stop.clone(),
            closing: closing.clone(),
        };
        tasks.spawn(consumer.run());
        tasks.close();
        let handle =
            StopHandle { shared: Arc::new(Shared { stop, closing, notes, consumer: tasks }) };
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner).push(handle.clone());
        RabbitInbox { arrivals, epoch, handle }
    }

    /// Where deliveries wait.
    pub fn ladder(&self) -> Arc<dyn Ladder> {
        Arc::new(RabbitLadder {
            publisher: self.publisher.clone(),
            topology: self.topology.clone(),
            rungs: self.rungs.clone(),
            now: self.now.clone(),
        })
    }

    /// Where notices go.
    pub fn outlet(&self) -> Arc<dyn Outlet> {
        Arc::new(RabbitOutlet {
            publisher: self.publisher.clone(),
            topology: self.topology.clone(),
            results: self.settings.results,
        })
    }

    /// Where events are published.
    pub fn producer(&self) -> Arc<dyn Publish> {
        Arc::new(Producer { publisher: self.publisher.clone(), topology: self.topology.clone() })
    }

    /// Messages that nobody takes.
    pub fn quarantine(&self) -> Arc<dyn Quarantine> {
        Arc::new(Shelves {
            addresses: self.addresses.clone(),
            name: format!("{} look", self.settings.connection_name),
            topology: self.topology.clone(),
            publisher: self.publisher.clone(),
            max_payload_bytes: self.settings.max_payload_bytes,
            turn: self.looking.clone(),
        })
    }

    /// How the queues stand.
    pub fn queues(&self) -> Arc<dyn Queues> {
        Arc::new(RabbitQueues {
            addresses: self.addresses.clone(),
            name: format!("{} look", self.settings.connection_name),
            topology: self.topology.clone(),
            rungs: self.rungs.clone(),
        })
    }

    /// How many routers consume the inbox, this one among them; `None` while that is not known, or not known to them.
    pub fn routers(&self) -> watch::Receiver<Option<NonZeroU16>> {
        self.routers.subscribe()
    }

    /// How the connections are.
    pub fn health(&self) -> Arc<Health> {
        self.health.clone()
    }

    /// Closes every inbox, lets what is being published end, and hangs up. Bounded.
    pub async fn close(&self) {
        let handles =
            std::mem::take(&mut *self.inboxes.lock().unwrap_or_else(PoisonError::into_inner));
        join_all(handles.iter().map(StopHandle::close)).await;
        self.publisher.close().await;
    }
}
