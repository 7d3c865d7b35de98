//! Looks after the store while a router runs: removes what is old, reads its size for the metrics, and
//! sees whether it can be written again when it could not.
//!
//! Beside the pipeline and not in it: no event waits for this, and a store that has no upkeep (a
//! broker) has no use for it. Left to the store: what a step is, and that it is a small one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::Retention;
use crate::domain::time::Timestamp;
use crate::storage::upkeep::{Old, Place, Removed, Upkeep};
use crate::telemetry::metrics::Metrics;

/// How often the size is read and, in trouble, writing is tried.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked whether something has become old. A minute is little beside a day, the least
/// that anything is kept.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// How often the walk begins at the first event again, to find what was not finished when it came by. An
/// hour: a million events that are still not finished are read past in a few seconds of a reader's time.
const ROUND_EVERY: Duration = Duration::from_hours(1);

/// After each step of the walk comes a rest of so many times what it took. What it took has the wait for
/// the writer in it: so the steps are at most a third of what the writer does, and become rare when it
/// is busy.
const REST: u32 = 2;
/// Bounds of that rest: a step that found nothing to do is not followed by the next at once, and a
/// store that was stuck for a while is not left alone for longer than this.
const REST_LEAST: Duration = Duration::from_millis(5);
const REST_MOST: Duration = Duration::from_secs(1);

/// How long the key of a request that publishes is remembered. Twelve hours: longer than anybody repeats
/// a request, and short beside the least time that events are kept.
const REQUESTS_KEPT: Duration = Duration::from_hours(12);

/// Who looks after the store.
pub(super) struct Keeper {
    /// The store.
    pub(super) upkeep: Arc<dyn Upkeep>,
    /// Where its size is shown.
    pub(super) metrics: Arc<Metrics>,
    /// How long things are kept.
    pub(super) retention: Retention,
    /// What time it is.
    pub(super) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Keeper {
    /// Looks after it until stopped.
    pub(super) async fn run(self, stop: CancellationToken) {
        let both = async { tokio::join!(self.watch(), self.sweep()) };
        stop.run_until_cancelled(both).await;
    }

    async fn watch(&self) {
        loop {
            if self.upkeep.trouble().is_some() {
                // Whether it went well is for `trouble` to tell, to whoever asks.
                let _ = self.upkeep.try_again().await;
            }
            // A size that cannot be read stays as it was last.
            if let Ok(size) = self.upkeep.size().await {
                self.metrics.store(&size);
            }
            sleep(WATCH_EVERY).await;
        }
    }

    async fn sweep(&self) {
        let (mut place, mut round) = (Place::START, Instant::now());
        let mut away = false;
        loop {
            let begun = Instant::now();
            let rest = match self.upkeep.sweep(self.old(), place).await {
                Ok(swept) => {
                    away = false;
                    self.tell(&swept.removed);
                    place = swept.next;
                    if swept.caught_up {
                        if round.elapsed() >= ROUND_EVERY {
                            (place, round) = (Place::START, Instant::now());
                        }
                        SWEEP_EVERY
                    } else {
                        (begun.elapsed() * REST).clamp(REST_LEAST, REST_MOST)
                    }
                }
                Err(error) => {
                    if !away {
                        warn!(%error, "what is old cannot be removed, trying again every minute");
                    }
                    away = true;
                    SWEEP_EVERY
                }
            };
            sleep(rest).await;
        }
    }

    fn old(&self) -> Old {
        let now = (self.now)();
        Old {
            now,
            events: now - self.retention.events,
            dead_letters: now - self.retention.dead_letters,
            requests: now - REQUESTS_KEPT,
        }
    }

    fn tell(&self, removed: &Removed) {
        if *removed == Removed::default() {
            return;
        }
        self.metrics.removed(removed);
        let Removed { events, dead_letters, .. } = removed;
        // Dead letters were waiting for somebody, who may want to know that they do not any more.
        if *dead_letters > 0 {
            info!(dead_letters, events, "dead letters were discarded for their age");
        } else {
            debug!(events, "what was old is removed");
        }
    }
}
