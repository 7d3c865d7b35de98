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
use crate::control::inspector;
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

/// After each step of the walk comes a rest as long as what it took, within these bounds. What it took
/// has the reader's part in it and the wait for the writer: so the steps are a quarter of what the
/// writer does, at most a half, and become rare when it is busy. Rarer than that, they would not keep up
/// with a writer that never rests.
///
/// A step that found nothing to do is not followed by the next at once, and a
/// store that was stuck for a while is not left alone for longer than this.
const REST_LEAST: Duration = Duration::from_millis(5);
const REST_MOST: Duration = Duration::from_secs(1);

/// How long the key of a request is remembered, and what it was answered. Twelve hours: longer than anybody repeats
/// a request, and short beside the least time that events are kept.
const REQUESTS_KEPT: Duration = Duration::from_hours(12);

/// How long an ended replay is remembered: as long as events are kept unless somebody says
/// otherwise. Whoever began it has long looked.
const REPLAYS_KEPT: Duration = Duration::from_hours(30 * 24);
/// How long the audit log is kept: a year, and a month to look at it.
const DEEDS_KEPT: Duration = Duration::from_hours(24 * 400);

/// How long what charts are drawn from is kept: eight days, for the longest of them shows seven, and its first step may
/// begin before them. Nothing else reads it: more of it would be written and removed for nobody.
const ROLLUPS_KEPT: Duration = Duration::from_hours(24 * 8);

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
                        begun.elapsed().clamp(REST_LEAST, REST_MOST)
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
            replays: now - REPLAYS_KEPT,
            deeds: now - DEEDS_KEPT,
            inspected: now - inspector::KEPT_FOR,
            rollups: now - ROLLUPS_KEPT,
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::storage::StorageError;
    use crate::storage::upkeep::{Size, Swept, Undone};

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
    const DAY: Duration = Duration::from_hours(24);

    /// A store with so many steps to do in each round, that writes down when it was asked for what.
    #[derive(Default)]
    struct Scripted {
        steps: i64,
        away: Mutex<Option<StorageError>>,
        trouble: Mutex<u32>,
        asked: Mutex<Vec<(Duration, Place)>>,
        began: Mutex<Option<Instant>>,
    }

    impl Scripted {
        fn asked(&self) -> Vec<(Duration, Place)> {
            std::mem::take(&mut *self.asked.lock().expect("no panic"))
        }
    }

    #[async_trait]
    impl Upkeep for Scripted {
        async fn left_undone(&self, _: u32) -> Result<Vec<Undone>, StorageError> {
            Ok(Vec::new())
        }

        async fn sweep(&self, old: Old, from: Place) -> Result<Swept, StorageError> {
            assert_eq!((old.now, old.events), (NOW, NOW - 30 * DAY));
            assert_eq!((old.dead_letters, old.requests), (NOW - 90 * DAY, NOW - DAY / 2));
            assert_eq!((old.replays, old.inspected), (NOW - 30 * DAY, NOW - DAY));
            assert_eq!(old.rollups, NOW - 8 * DAY);
            let since =
                self.began.lock().expect("no panic").get_or_insert_with(Instant::now).elapsed();
            self.asked.lock().expect("no panic").push((since, from));
            if let Some(error) = self.away.lock().expect("no panic").take() {
                return Err(error);
            }
            sleep(Duration::from_millis(20)).await; // as long as a step takes
            let next = Place((from.0 + 1).min(self.steps));
            let removed = Removed { events: 1, ..Removed::default() };
            Ok(Swept { removed, next, caught_up: next.0 == self.steps })
        }

        async fn size(&self) -> Result<Size, StorageError> {
            Ok(Size { file_bytes: 4_096, ..Size::default() })
        }

        fn trouble(&self) -> Option<String> {
            let left = *self.trouble.lock().expect("no panic");
            (left > 0).then(|| "disk full".to_owned())
        }

        async fn try_again(&self) -> Result<(), StorageError> {
            *self.trouble.lock().expect("no panic") -= 1;
            Ok(())
        }
    }

    /// Looks after it for so long; what the metrics say then.
    async fn kept_for(store: &Arc<Scripted>, span: Duration) -> String {
        let metrics = Arc::new(Metrics::new("0.0.0"));
        let keeper = Keeper {
            upkeep: Arc::clone(store) as Arc<dyn Upkeep>,
            metrics: Arc::clone(&metrics),
            retention: Retention { events: 30 * DAY, dead_letters: 90 * DAY },
            now: Arc::new(|| NOW),
        };
        let _ = tokio::time::timeout(span, keeper.run(CancellationToken::new())).await;
        metrics.text()
    }

    #[tokio::test(start_paused = true)]
    async fn steps_follow_each_other_with_rests_until_it_has_caught_up() {
        let store = Arc::new(Scripted { steps: 3, ..Scripted::default() });

        let metrics = kept_for(&store, Duration::from_secs(30)).await;

        let ms = Duration::from_millis;
        let steps = [(ms(0), Place(0)), (ms(40), Place(1)), (ms(80), Place(2))];
        assert_eq!(store.asked(), steps, "each takes 20 ms, and so does the rest");
        assert!(metrics.contains("posthaste_store_rows_removed_total{table=\"events\"} 3"));
        assert!(metrics.contains("posthaste_store_bytes{part=\"file\"} 4096"));
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_where_it_was_every_minute_and_from_the_start_every_hour() {
        let store = Arc::new(Scripted { steps: 1, ..Scripted::default() });

        kept_for(&store, Duration::from_mins(65)).await;

        let places: Vec<_> = store.asked().into_iter().map(|(_, place)| place).collect();
        let from_the_start = places.iter().filter(|place| **place == Place::START).count();
        assert_eq!(from_the_start, 2, "at first and after an hour");
        assert_eq!(places[0], Place::START);
        assert!((62..=66).contains(&places.len()), "{}", places.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_away_is_asked_again_after_a_minute() {
        let store = Arc::new(Scripted { steps: 1, ..Scripted::default() });
        *store.away.lock().expect("no panic") = Some(StorageError::Unavailable("away".into()));

        kept_for(&store, Duration::from_secs(70)).await;

        let asked = store.asked();
        assert_eq!(asked.len(), 2, "{asked:?}");
        assert_eq!(asked[1].1, Place::START, "where it was");
    }

    #[tokio::test(start_paused = true)]
    async fn in_trouble_it_is_tried_every_second_whether_it_is_over() {
        let store = Arc::new(Scripted { steps: 1, ..Scripted::default() });
        *store.trouble.lock().expect("no panic") = 5;

        kept_for(&store, Duration::from_millis(2_500)).await;
        assert_eq!(*store.trouble.lock().expect("no panic"), 2, "at 0, 1 and 2 s");

        kept_for(&store, Duration::from_secs(30)).await;
        assert_eq!(store.trouble(), None, "and not once more when it is over");
    }
}
