//! Counts how requests end, for charts: by endpoint and span of five minutes, in memory, and added up in the store every
//! few seconds.
//!
//! Counting is a lock, a look-up and three additions for each request that has ended, beside a record in the journal; no
//! stage waits for a store because of it. What is counted twice or not at all when a store fails is so in a
//! chart: the books are the record ([`storage::rollups`](crate::storage::rollups)). So nothing here is ever tried for
//! long: what a store does not take is kept for the next time, up to [`KEPT_MAX`], and beyond it forgotten.
//!
//! Requests that people ask for count as well; test calls do not come by here.
//!
//! **What if we die right here?** What was counted since the last time is in no chart. Nothing else is missing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::domain::delivery::{Attempt, Delivery};
use crate::domain::id::{ApplicationId, EndpointId};
use crate::domain::outcome::Meaning;
use crate::domain::settlement::Settlement;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::rollups::{Counted, Rollups, SPAN, Tally};

/// How often what was counted is added up. Five seconds: whoever looks at a chart of five minutes sees that it moves, and
/// a row that is written by every request is written once for all of them.
const ADD_EVERY: Duration = Duration::from_secs(5);

/// Most tallies that are kept: of an endpoint and a span each. Ten thousand are two megabytes; with a store that is away, a
/// hundred busy endpoints for eight hours.
const KEPT_MAX: usize = 10_000;

/// With so many it is not waited for the time: half of what there is place for.
const ADD_AT: usize = KEPT_MAX / 2;

/// Tallies in one call. Some milliseconds of the writer's: what it does for deliveries goes on in between.
const PART: usize = 256;

/// How a request ended, as a chart has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Delivered,
    Failed,
    GivenUp,
}

/// What was counted and is not added up yet: told of requests by whoever settles them.
#[derive(Debug, Clone, Default)]
pub struct Tallies(Arc<Held>);

#[derive(Debug, Default)]
struct Held {
    kept: Mutex<Kept>,
    many: Notify,
}

#[derive(Debug, Default)]
struct Kept {
    tallies: HashMap<(EndpointId, Timestamp), (ApplicationId, Tally)>,
    /// Requests that were not counted, because there was no place.
    forgotten: u64,
}

impl Tallies {
    /// A request has ended at `at`, and this is what that means.
    pub(super) fn ended(
        &self,
        delivery: &Delivery,
        attempt: &Attempt,
        settlement: &Settlement,
        at: Timestamp,
    ) {
        let Some(how) = how(attempt.meaning, settlement) else { return };
        let mut tally = Tally::default();
        match how {
            How::Delivered => tally.delivered = 1,
            How::Failed => tally.failed = 1,
            How::GivenUp => tally.given_up = 1,
        }
        tally.took(attempt.duration_ms);
        self.add(&Counted {
            at: span_of(at),
            application: delivery.event.application,
            endpoint: delivery.endpoint,
            tally,
        });
    }

    fn add(&self, counted: &Counted) {
        let Counted { at, application, endpoint, tally } = *counted;
        let mut kept = self.kept();
        let has_place = kept.tallies.len() < KEPT_MAX;
        match kept.tallies.get_mut(&(endpoint, at)) {
            Some((_, sum)) => sum.add(&tally),
            None if has_place => {
                kept.tallies.insert((endpoint, at), (application, tally));
            }
            None => kept.forgotten += tally.all(),
        }
        if kept.tallies.len() >= ADD_AT {
            self.0.many.notify_one();
        }
    }

    /// All of them, which are then nobody's but the caller's; and how many requests are in none.
    fn take(&self) -> (Vec<Counted>, u64) {
        let Kept { tallies, forgotten } = std::mem::take(&mut *self.kept());
        let counted =
            |((endpoint, at), (application, tally))| Counted { at, application, endpoint, tally };
        (tallies.into_iter().map(counted).collect(), forgotten)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().expect("nobody panics with it")
    }
}

/// `None` of what says nothing about the endpoint.
const fn how(meaning: Meaning, settlement: &Settlement) -> Option<How> {
    match meaning {
        Meaning::Delivered => Some(How::Delivered),
        Meaning::NotTheirDoing => None,
        Meaning::Failed | Meaning::Gone | Meaning::Refused => match settlement {
            Settlement::DeadLetter(_) | Settlement::Drop(_) => Some(How::GivenUp),
            Settlement::Delivered
            | Settlement::Retry(_)
            | Settlement::Postpone(..)
            | Settlement::LetGo
            | Settlement::Cancelled
            | Settlement::Unchanged => Some(How::Failed),
        },
    }
}

/// When the span begins that this moment lies in.
fn span_of(at: Timestamp) -> Timestamp {
    let span_ms = i64::try_from(SPAN.as_millis()).expect("minutes");
    Timestamp::from_millis(at.as_millis().div_euclid(span_ms) * span_ms)
}

/// The task that adds them up.
pub struct AddUp {
    /// What was counted.
    pub tallies: Tallies,
    /// Where it is added up.
    pub rollups: Arc<dyn Rollups>,
}

impl AddUp {
    /// Adds up every few seconds, and once more when it is stopped.
    pub async fn run(self, stop: CancellationToken) {
        let mut away = false;
        loop {
            // A store that is away is asked no more often, however much there is.
            let waiting = async {
                tokio::select! {
                    () = tokio::time::sleep(ADD_EVERY) => {}
                    () = self.tallies.0.many.notified(), if !away => {}
                }
            };
            let stopped = stop.run_until_cancelled(waiting).await.is_none();
            let added = self.add_up().await;
            if let Err(error) = &added
                && !away
            {
                warn!(%error, "what charts are drawn from cannot be added up: kept, and tried again");
            }
            away = added.is_err();
            if stopped {
                return;
            }
        }
    }

    /// What the store does not take is kept, behind what has been counted meanwhile.
    async fn add_up(&self) -> Result<(), StorageError> {
        let (counted, forgotten) = self.tallies.take();
        if forgotten > 0 {
            info!(requests = forgotten, "charts do not show these: more was counted than is kept");
        }
        for (number, part) in counted.chunks(PART).enumerate() {
            if let Err(error) = self.rollups.add_up(part).await {
                counted[number * PART..].iter().for_each(|one| self.tallies.add(one));
                return Err(error);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use tokio::time::sleep;

    use super::*;
    use crate::domain::retry::Due;
    use crate::domain::settlement::{DeathReason, Postponed};
    use crate::storage::rollups::Of;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_100);

    /// A store that writes down what it was asked to add, or refuses it.
    #[derive(Default)]
    struct Scripted {
        added: Mutex<Vec<Vec<Counted>>>,
        away: Mutex<bool>,
    }

    impl Scripted {
        fn calls(&self) -> Vec<Vec<Counted>> {
            std::mem::take(&mut *self.added.lock().expect("no panic"))
        }

        fn is_away(&self, away: bool) {
            *self.away.lock().expect("no panic") = away;
        }
    }

    #[async_trait]
    impl Rollups for Scripted {
        async fn add_up(&self, counted: &[Counted]) -> Result<(), StorageError> {
            if *self.away.lock().expect("no panic") {
                return Err(StorageError::Unavailable("as it was told".into()));
            }
            self.added.lock().expect("no panic").push(counted.to_vec());
            Ok(())
        }

        async fn tallies(
            &self,
            _: Of,
            _: Timestamp,
            _: Timestamp,
            _: Duration,
        ) -> Result<Vec<(Timestamp, Tally)>, StorageError> {
            Ok(Vec::new())
        }
    }

    fn one(endpoint: &str, at: Timestamp) -> Counted {
        let tally = Tally { delivered: 1, ..Tally::default() };
        let (application, endpoint) =
            (ApplicationId::derived(&[b"acme"]), EndpointId::derived(&[endpoint.as_bytes()]));
        Counted { at: span_of(at), application, endpoint, tally }
    }

    fn running() -> (Tallies, Arc<Scripted>, CancellationToken, tokio::task::JoinHandle<()>) {
        let (tallies, store, stop) =
            (Tallies::default(), Arc::new(Scripted::default()), CancellationToken::new());
        let adding = AddUp { tallies: tallies.clone(), rollups: store.clone() };
        let task = tokio::spawn(adding.run(stop.clone()));
        (tallies, store, stop, task)
    }

    #[test]
    fn what_ended_is_of_one_kind_or_says_nothing_about_the_endpoint() {
        let due = Due::exactly(NOW);
        let why = DeathReason::AttemptsExhausted;
        for (meaning, settlement, expected) in [
            (Meaning::Delivered, Settlement::Delivered, Some(How::Delivered)),
            (Meaning::Failed, Settlement::Retry(due), Some(How::Failed)),
            (Meaning::Failed, Settlement::DeadLetter(why), Some(How::GivenUp)),
            (Meaning::Gone, Settlement::DeadLetter(DeathReason::Gone), Some(How::GivenUp)),
            (Meaning::Refused, Settlement::Drop(DeathReason::Refused), Some(How::GivenUp)),
            (Meaning::Failed, Settlement::Unchanged, Some(How::Failed)), // a person asked for it
            (Meaning::NotTheirDoing, Settlement::Postpone(due, Postponed::OurDoing), None),
            (Meaning::NotTheirDoing, Settlement::Unchanged, None),
        ] {
            assert_eq!(how(meaning, &settlement), expected, "{meaning:?}, {settlement:?}");
        }
    }

    #[test]
    fn a_moment_lies_in_the_span_that_began_before_it() {
        let begin = Timestamp::from_seconds(1_790_000_100);
        for (at, expected) in [
            (begin, begin),
            (begin + SPAN - Duration::from_millis(1), begin),
            (begin + SPAN, begin + SPAN),
            (begin - Duration::from_millis(1), begin - SPAN),
        ] {
            assert_eq!(span_of(at), expected, "{at}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_counted_is_added_up_every_few_seconds_and_at_the_end() {
        let (tallies, store, stop, task) = running();
        tallies.add(&one("a", NOW));
        tallies.add(&one("a", NOW));
        tallies.add(&one("b", NOW));
        sleep(ADD_EVERY / 2).await;
        assert_eq!(store.calls(), Vec::<Vec<Counted>>::new());

        sleep(ADD_EVERY).await;

        let mut sums: Vec<_> =
            store.calls().concat().iter().map(|one| one.tally.delivered).collect();
        sums.sort_unstable();
        assert_eq!(sums, [1, 2], "one tally for each endpoint");
        sleep(4 * ADD_EVERY).await;
        assert_eq!(store.calls(), Vec::<Vec<Counted>>::new(), "nothing new, nothing to do");

        tallies.add(&one("a", NOW + SPAN));
        stop.cancel();
        task.await.expect("no panic");
        assert_eq!(store.calls(), [[one("a", NOW + SPAN)]]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_fails_is_told_later() {
        let (tallies, store, stop, task) = running();
        store.is_away(true);
        tallies.add(&one("a", NOW));
        sleep(10 * ADD_EVERY).await;
        tallies.add(&one("a", NOW));
        store.is_away(false);

        sleep(ADD_EVERY).await;

        let added = store.calls().concat();
        assert_eq!((added.len(), added[0].tally.delivered), (1, 2));
        store.is_away(true);
        stop.cancel();
        task.await.expect("it ends also when the store is away");
    }

    #[tokio::test(start_paused = true)]
    async fn so_much_is_kept_and_no_more() {
        let (tallies, store, stop, task) = running();
        store.is_away(true);
        let name = |number: usize| format!("endpoint {number}");
        for number in 0..KEPT_MAX + 500 {
            tallies.add(&one(&name(number), NOW));
        }
        tallies.add(&one(&name(0), NOW)); // has its place
        let kept = |tallies: &Tallies| {
            let kept = tallies.kept();
            (kept.tallies.len(), kept.forgotten)
        };
        assert_eq!(kept(&tallies), (KEPT_MAX, 500));
        sleep(ADD_EVERY).await;
        assert_eq!(kept(&tallies), (KEPT_MAX, 0), "what was not taken is put back");

        store.is_away(false);
        sleep(ADD_EVERY).await;

        let calls = store.calls();
        assert!(calls.iter().all(|part| part.len() <= PART), "in small steps");
        let delivered: u64 = calls.concat().iter().map(|one| one.tally.delivered).sum();
        assert_eq!(delivered, KEPT_MAX as u64 + 1);
        stop.cancel();
        task.await.expect("no panic");
    }

    #[tokio::test(start_paused = true)]
    async fn many_endpoints_are_not_waited_for() {
        let (tallies, store, stop, task) = running();
        for number in 0..ADD_AT {
            tallies.add(&one(&format!("endpoint {number}"), NOW));
        }
        sleep(Duration::from_millis(1)).await;
        assert_eq!(store.calls().concat().len(), ADD_AT);
        stop.cancel();
        task.await.expect("no panic");
    }
}
