//! The way of an event, in running order: ingest → route → dispatch → send → settle.
//!
//! ```text
//! inbox ─▶ ingest ─▶ dispatch ─▶ send ─▶ settle ─▶ release ─▶ receipt given back
//!            │ route     ▲  lanes    one POST  │ record    │ ladder, dead letters
//!            ▼           └───── short waits ───┘           ▼
//!         journal ◀── reclaim, resend                    ladder ─▶ (inbox)
//! ```
//!
//! Each stage is a task that owns its state and is spoken to by messages. What is in memory is
//! bounded once, at the door: a delivery that wants in takes a place in the [`window`], and every
//! queue between stages holds only what has one. So the queues themselves need no bound, and no
//! stage can block another in a circle.
//!
//! **What if we die right here?** Nothing in memory is the only copy of anything. Until its receipt
//! is given back an event is the inbox's, and comes again; the journal then tells which of its
//! deliveries are settled ([`crate::domain::delivery::Standing::judge`]). The order at the end is
//! always *record, then hand on, then give back*: dying between two of them repeats a step, and
//! each step can be repeated.

pub mod adopt;
pub mod by_schema;
pub mod dispatch;
pub mod engine;
mod escrow;
pub mod herald;
pub mod ingest;
mod recall;
pub mod reclaim;
pub mod release;
pub mod request;
pub mod resend;
pub mod route;
pub mod send;
pub mod settle;
mod starting;
pub mod tally;
pub mod window;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::domain::delivery::{Delivery, Trigger};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;

/// The two things that a pipeline may not take from thin air.
#[derive(Clone)]
pub struct World {
    /// What time it is.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// 64 random bits.
    pub chance: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl World {
    fn now(&self) -> Timestamp {
        (self.now)()
    }

    fn chance(&self) -> u64 {
        (self.chance)()
    }

    /// Fifteen random bytes: what an id is minted from.
    fn chance_bytes(&self) -> [u8; 15] {
        let mut bytes = [0; 15];
        bytes[..8].copy_from_slice(&self.chance().to_be_bytes());
        bytes[7..].copy_from_slice(&self.chance().to_be_bytes());
        bytes
    }
}

/// A delivery in this router's memory, with its place in the window.
#[derive(Debug)]
pub struct Job {
    /// The delivery, at the turn it is for.
    pub delivery: Delivery,
    /// Why it is attempted.
    pub trigger: Trigger,
    /// Its place, and its part in the receipt of what it came from.
    pub share: window::Share,
    /// From when on it could have been sent: where its queueing time is counted from.
    pub ready_at: Timestamp,
}

/// Waits between tries of a call that a store could not take.
const AGAIN_FIRST: Duration = Duration::from_millis(50);
/// Five seconds: what an operator who has just mended the store is willing to wait.
const AGAIN_MOST: Duration = Duration::from_secs(5);

/// Calls a store until it takes it, with growing waits between tries.
///
/// For ever, because giving up would mean to forget deliveries: while this waits, the window fills
/// and consumption stops by itself. Logs when the trouble begins and when it is over, not each try.
/// `trouble` hears of both.
async fn until_taken<T, F>(
    what: &str,
    mut call: impl FnMut() -> F,
    trouble: &(dyn Fn(bool) + Sync),
) -> T
where
    F: Future<Output = Result<T, StorageError>>,
{
    let mut wait = AGAIN_FIRST;
    let mut since: Option<Instant> = None;
    loop {
        match call().await {
            Ok(taken) => {
                if let Some(since) = since {
                    trouble(false);
                    info!(what, outage_ms = elapsed_ms(since), "store is back: {what}");
                }
                return taken;
            }
            Err(error) => {
                if since.is_none() {
                    since = Some(Instant::now());
                    trouble(true);
                    warn!(what, %error, "store is away, trying until it is back: {what}");
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(AGAIN_MOST);
            }
        }
    }
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
