//! A back end as the suite sees it: a house where the ports stand, through several lives.
//!
//! A life begins with [`House::open`], on whatever the life before has left, and ends with
//! [`House::kill`], which closes nothing. Within a life the store can be away for a while. What a back
//! end promises beyond the ports, and how exactly, is its [`Character`]: the promises ask it instead
//! of asking for a name.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use posthaste::storage::catalogue::Catalogue;
use posthaste::storage::inbox::{Inbox, Publish};
use posthaste::storage::journal::{Journal, Ledger};
use posthaste::storage::ladder::Ladder;

/// The ports of one life.
pub(crate) struct Ports {
    /// Who there is and who wants what.
    pub(crate) catalogue: Arc<dyn Catalogue>,
    /// The record.
    pub(crate) journal: Arc<dyn Journal>,
    /// What people ask of it.
    pub(crate) ledger: Arc<dyn Ledger>,
    /// Where deliveries wait.
    pub(crate) ladder: Arc<dyn Ladder>,
    /// Where events are published.
    pub(crate) publisher: Arc<dyn Publish>,
    /// Where both arrive.
    pub(crate) inbox: Box<dyn Inbox>,
}

/// Where a back end lives.
#[async_trait(?Send)]
pub(crate) trait House {
    /// What it promises beyond the ports.
    fn character(&self) -> Character;

    /// Begins a life.
    async fn open(&mut self) -> Ports;

    /// Ends it as a power cut would: nothing is closed, nothing is said, and whatever of the old life
    /// is still running reaches the store no more.
    async fn kill(&mut self, ports: Ports);

    /// Waits until the store has heard of every receipt that was given back so far.
    async fn heard(&mut self);

    /// From here on the store, or the part of it that can, is out of reach.
    async fn go_away(&mut self);

    /// It is back.
    async fn come_back(&mut self);

    /// How many messages are kept in quarantine.
    async fn quarantined(&mut self) -> u64;
}

/// What a back end promises beyond the ports, and how exactly.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Character {
    /// Its name.
    pub(crate) name: &'static str,
    /// Whether publishing tells that an event was published before. A broker cannot.
    pub(crate) knows_the_published: bool,
    /// Whether publishing knows the applications. A broker finds out when the event arrives.
    pub(crate) knows_applications: bool,
    /// Waits that begin together and end in this order, in milliseconds. On a broker, each has to have
    /// a rung of its own.
    pub(crate) in_order_ms: &'static [u64],
    /// By how much of a wait it may come back late, in percent: a broker's rungs round it up.
    pub(crate) late_percent: u32,
    /// And by how much more, whatever the wait: the machine's doing, not the store's.
    pub(crate) late_by: Duration,
    /// How long nothing may arrive before the suite believes that nothing will.
    pub(crate) silence: Duration,
    /// How long the suite waits for what has to happen before it calls it a breach.
    pub(crate) patience: Duration,
}

impl Character {
    /// How late a wait of this length may be over.
    pub(crate) fn lateness(&self, wait: Duration) -> Duration {
        wait * self.late_percent / 100 + self.late_by
    }
}
