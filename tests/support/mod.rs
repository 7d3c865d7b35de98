//! What integration tests share: real brokers, and waiting for a condition instead of for a time.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::print_stdout, reason = "a failing test shows what it has")]

pub(crate) mod api;
pub(crate) mod broker;
pub(crate) mod browser;
pub(crate) mod laid;
pub(crate) mod operations;
pub(crate) mod outside;
pub(crate) mod postgres;
pub(crate) mod producer;
pub(crate) mod receiver;
pub(crate) mod router;
pub(crate) mod store;
pub(crate) mod terminal;
pub(crate) mod walk;

use std::future::Future;
use std::time::{Duration, SystemTime};

use posthaste::domain::time::Timestamp;
use tokio::time::{Interval, MissedTickBehavior};

/// Longest that anything may take before a test gives up: a broker that boots on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// Asks again and again until there is an answer.
///
/// # Panics
/// When there is none within [`PATIENCE`], with the sentence of what was waited for.
pub(crate) async fn eventually<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let asking = async {
        let mut time = now_and_then();
        loop {
            time.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    within(what, asking).await
}

/// When to ask. What was missed while an answer took its time is not made up for: that many questions at
/// once would be refused as too many.
fn now_and_then() -> Interval {
    let mut time = tokio::time::interval(Duration::from_millis(20));
    time.set_missed_tick_behavior(MissedTickBehavior::Delay);
    time
}

/// Waits for something that has to happen.
///
/// # Panics
/// When it has not within [`PATIENCE`].
pub(crate) async fn within<T>(what: &str, happening: impl Future<Output = T>) -> T {
    let happened = tokio::time::timeout(PATIENCE, happening).await;
    happened.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

/// The time, by the machine's clock.
#[expect(clippy::disallowed_methods, reason = "tests of the whole live in real time")]
pub(crate) fn clock() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    Timestamp::from_millis(i64::try_from(since.as_millis()).expect("before the end of time"))
}

/// Asks again and again until something is so.
///
/// # Panics
/// When it is not within `patience`, with the sentence of what was waited for.
pub(crate) async fn until(what: &str, patience: Duration, mut is_so: impl AsyncFnMut() -> bool) {
    let asking = async {
        let mut time = now_and_then();
        loop {
            time.tick().await;
            if is_so().await {
                return;
            }
        }
    };
    assert!(
        tokio::time::timeout(patience, asking).await.is_ok(),
        "not within {patience:?}: {what}"
    );
}

/// A prefix for exchanges and queues that no other test uses.
pub(crate) fn unique_prefix() -> String {
    format!("t{:08x}", getrandom::u32().expect("chance from the system"))
}
