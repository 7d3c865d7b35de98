//! The back end in memory, in both of its shapes: one store, and a broker beside a journal.
//!
//! Its state is what a kill leaves. Away means that every call fails, in the broker's shape every call
//! of the broker, whose connection is lost as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use posthaste::storage::memory::faults::{Call, Fault, Faults, Moment};
use posthaste::storage::memory::{Memory, Shape};

use crate::house::{Character, House, Ports};
use crate::support::clock;

/// The house.
pub(crate) struct MemoryHouse {
    shape: Shape,
    memory: Memory,
    outage: Arc<Outage>,
}

/// A new one, as one store.
pub(crate) async fn one_store() -> Box<dyn House> {
    Box::new(MemoryHouse::of(Shape::OneStore))
}

/// A new one, as a broker beside a journal. Nothing waits in hops here, as nothing does on a broker
/// for so short a time.
pub(crate) async fn broker() -> Box<dyn House> {
    let hop_max = Duration::from_mins(1);
    Box::new(MemoryHouse::of(Shape::Broker { prefetch: 1_000, hop_max }))
}

impl MemoryHouse {
    fn of(shape: Shape) -> Self {
        let outage = Arc::new(Outage { shape, is_on: AtomicBool::new(false) });
        Self { shape, memory: Memory::new(shape, Arc::new(clock), outage.clone()), outage }
    }
}

/// Whether calls fail.
struct Outage {
    shape: Shape,
    is_on: AtomicBool,
}

impl Faults for Outage {
    fn at(&self, call: Call, _: Moment) -> Fault {
        let is_the_brokers = matches!(
            call,
            Call::Look | Call::GiveBack | Call::Quarantine | Call::Publish | Call::Postpone
        );
        let concerned = is_the_brokers || self.shape == Shape::OneStore;
        if concerned && self.is_on.load(Ordering::SeqCst) { Fault::Away } else { Fault::None }
    }
}

#[async_trait(?Send)]
impl House for MemoryHouse {
    fn character(&self) -> Character {
        let one_store = self.shape == Shape::OneStore;
        Character {
            name: if one_store { "memory as one store" } else { "memory as a broker" },
            knows_the_published: one_store,
            knows_applications: one_store,
            in_order_ms: &[200, 201, 202, 203, 204, 250, 251, 400],
            late_percent: 0,
            late_by: Duration::from_secs(10),    // a busy machine
            silence: Duration::from_millis(100), // whatever can be taken is taken at once
            patience: Duration::from_mins(1),
        }
    }

    async fn open(&mut self) -> Ports {
        let memory = self.memory.clone();
        let inbox = memory.inbox().await.expect("it is not away");
        Ports {
            catalogue: Arc::new(memory.clone()),
            journal: Arc::new(memory.clone()),
            ledger: Arc::new(memory.clone()),
            ladder: Arc::new(memory.clone()),
            publisher: Arc::new(memory),
            inbox: Box::new(inbox),
        }
    }

    async fn kill(&mut self, ports: Ports) {
        drop(ports); // every call is one step: nothing is left running
    }

    async fn heard(&mut self) {} // it hears at once

    async fn go_away(&mut self) {
        self.outage.is_on.store(true, Ordering::SeqCst);
        if self.shape != Shape::OneStore {
            self.memory.hang_up();
        }
    }

    async fn come_back(&mut self) {
        self.outage.is_on.store(false, Ordering::SeqCst);
    }

    async fn quarantined(&mut self) -> u64 {
        self.memory.backlog().quarantined as u64
    }
}
