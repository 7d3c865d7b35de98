//! Endpoints and applications beside each other, whole: real routers on a real broker. Who fails, hangs, is limited or is
//! flooded has what it is owed in the end, and nobody else has to wait for that.
//!
//! What is compared are counts by the receivers' own books and the broker's, and ratios within one run: how fast the machine is
//! says nothing here.

mod circuit;
mod escrow;
mod fairness;
mod recall;
mod routers;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use support::broker::Broker;
use support::receiver::{Arrived, Receiver};
use support::router::{Posthaste, Running};
use support::{unique_prefix, until};

/// Longest that anything here may take on a busy machine.
const SOON: Duration = Duration::from_mins(3);

/// One on the broker that these tests share, with the application `acme`.
async fn posthaste() -> Posthaste {
    Posthaste::new(&Broker::shared().await.url(), &unique_prefix()).with_application()
}

/// Waits until a series of a router's says at least so much.
async fn at_least(router: &Running, series: &str, count: i64) {
    until(&format!("{series} is {count} or more"), SOON, async || {
        router.metric(series).await >= Some(count)
    })
    .await;
}

/// Waits until an endpoint has accepted so many different events.
async fn has_accepted(receiver: &Receiver, name: &str, count: usize) {
    until(&format!("{name} has {count}"), SOON, async || receiver.accepted(name).len() >= count)
        .await;
}

/// The most that came within any stretch of so many milliseconds.
fn most_within(arrived: &[Arrived], ms: u64) -> usize {
    let mut times: Vec<_> = arrived.iter().map(|one| one.at_ms).collect();
    times.sort_unstable();
    let ends = times.iter().enumerate();
    let within = |(first, from): (usize, &u64)| {
        times[first..].iter().take_while(|at| **at < from + ms).count()
    };
    ends.map(within).max().unwrap_or(0)
}

/// The books of a router balance.
async fn balanced(router: &Running) {
    let unaccounted = router.metric("posthaste_ledger_unaccounted_deliveries").await;
    assert_eq!(unaccounted, Some(0));
}
