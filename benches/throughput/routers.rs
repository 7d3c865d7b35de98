//! Three routers and an endpoint with a rate, while one of them is killed and another joins.
//!
//! They share their catalogue and journal, in PostgreSQL. More is published than the endpoint may be sent, so something is due at every moment. What is sent in each second is
//! read from the receiver's book.

use std::time::Duration;

use super::backlog::Place;
use super::process::{now_us, precise};
use super::report::{Bar, Report};
use super::tenants::{Wish, laid};
use super::{Plan, receiver};

/// What the endpoint may be sent in a second, and what may come at once behind a pause.
const RATE: u32 = 50;
const BURST: u32 = 5;

/// What is published in a second: a fifth more.
const PUBLISHED: usize = 60;

/// How long a router that has come waits before it sends to an endpoint with a rate, and some.
const NEWCOMER: Duration = Duration::from_secs(6);

pub(super) async fn shared(place: &Place, plan: &Plan, report: &mut Report) {
    let seconds = plan.of(60, 3);
    report.case(&format!(
        "Three routers, an endpoint of {RATE}/s, {seconds} s; one is killed, one joins"
    ));
    let receiver = receiver::Process::start();
    let wish = Wish { per_second: Some(RATE), ..Wish::numbered(0, receiver.url(0)) };
    let folder = laid(place, vec![place.journal().await], &[], vec![wish]).await;
    let mut running: Vec<_> = (0..3).map(|_| folder.start_copy()).collect();
    tokio::time::sleep(NEWCOMER).await;
    let broker = place.broker.url();
    let load = Place::load(&broker, PUBLISHED * (seconds + 3), PUBLISHED).start();
    receiver.until(1, super::PATIENCE).await;
    // The beginning is not measured: whatever is saved up for a burst is.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let begun = now_us();
    let third = Duration::from_secs(seconds as u64) / 3;
    tokio::time::sleep(third).await;
    drop(running.remove(0));
    tokio::time::sleep(third).await;
    running.push(folder.start_copy());
    tokio::time::sleep(third).await;
    let ended = now_us();
    let mut times: Vec<u64> = receiver.book().await.iter().map(|one| one.came_us).collect();
    drop((running, load));
    place.purge().await;
    times.retain(|at| (begun..ended).contains(at));
    let rate = precise(times.len() as u64) / precise(ended - begun) * 1e6;
    let most = (0..times.len()).map(|first| {
        times[first..].iter().take_while(|at| **at < times[first] + 1_000_000).count()
    });
    let most = precise(most.max().unwrap_or_default() as u64);
    let mut seconds: Vec<usize> =
        vec![0; usize::try_from((ended - begun) / 1_000_000).expect("few") + 1];
    for at in &times {
        seconds[usize::try_from((at - begun) / 1_000_000).expect("few")] += 1;
    }
    report.say(&format!("Received in each second: {seconds:?}\n"));
    report.say(&format!(
        "{rate:.1}/s over all of it; in the busiest second of any beginning {most:.0}.\n"
    ));
    report.bar("rate of an endpoint of 50/s, over the minute", Bar::AtLeast(45.0), &[rate]);
    report.bar("the same, at the most", Bar::AtMost(f64::from(RATE + BURST)), &[rate]);
    report.bar("the same, in its busiest second", Bar::AtMost(f64::from(RATE + BURST)), &[most]);
}
