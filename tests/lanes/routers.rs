//! Several routers on one broker: they share what an endpoint may be sent, and nobody has to be told when one comes or goes.
//!
//! Each has a copy of the catalogue that they were set up with, in a data folder of its own, and the record of what it has taken from
//! the inbox. What an endpoint is sent is shared by the broker's count of them alone, whatever they keep their records in.

use std::time::Duration;

use crate::support::producer::Producer;
use crate::support::receiver::{Receiver, Script};
use crate::support::router::Running;
use crate::support::until;
use crate::{SOON, balanced, has_accepted, most_within, posthaste};

/// Waits until each of these routers counts so many.
async fn count_each_other(routers: &[&Running], count: i64) {
    until(&format!("each counts {count} routers"), SOON, async || {
        for router in routers {
            let known = router.get("/metrics").await.is_some_and(|(_, text)| {
                text.lines().any(|line| *line == format!("posthaste_routers {count}"))
            });
            if !known {
                return false;
            }
        }
        true
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_routers_keep_one_rate_while_one_is_killed_and_one_joins() {
    const RATE: usize = 100;
    const EVENTS: usize = 2_400;
    let first = posthaste().await;
    let receiver = Receiver::start().await;
    let url = receiver.endpoint("limited", Script::Answer(200));
    first.endpoint("limited", &url, &["--throttle-rate", &RATE.to_string()]);
    let (second, third) = (first.beside(), first.beside());
    let one = first.serve().await;
    let mut two = second.serve().await;
    let three = third.serve().await;
    count_each_other(&[&one, &two, &three], 3).await;

    Producer::connect(&first).await.publish_many("acme.job.completed", EVENTS).await;
    until("some have come", SOON, async || receiver.count("limited") > EVENTS / 6).await;
    two.kill_9();
    let killed = receiver.count("limited");
    count_each_other(&[&one, &three], 2).await;
    until("some more have come", SOON, async || receiver.count("limited") > killed + EVENTS / 6)
        .await;
    let two = second.serve().await;
    // What stood in line in the one that was killed, and was taken over, is its own again when its lease is over.
    until("all have come", SOON * 2, async || receiver.accepted("limited").len() == EVENTS).await;

    let arrived = receiver.arrived("limited");
    // A tenth of the rate at once, each its part of it, rounded up; and what was held up for a moment on its way.
    let burst = RATE / 10 + 3;
    for seconds in [1, 2, 5] {
        let most = most_within(&arrived, 1_000 * seconds);
        let allowed = RATE * usize::try_from(seconds).expect("few") + burst;
        println!("at most {most} within {seconds} s, by a rate of {RATE}/s and a burst of {burst}");
        assert!(most <= allowed + RATE / 10, "{most} within {seconds} s: {allowed} are allowed");
    }
    for router in [&one, &two, &three] {
        balanced(router).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_routers_keep_one_cap_between_them() {
    const CAP: usize = 6;
    let first = posthaste().await;
    let receiver = Receiver::start().await;
    let url = receiver.endpoint("capped", Script::Slowly(Duration::from_millis(100), 200));
    first.endpoint("capped", &url, &["--max-in-flight", &CAP.to_string()]);
    let second = first.beside();
    let one = first.serve().await;
    let two = second.serve().await;
    count_each_other(&[&one, &two], 2).await;

    Producer::connect(&first).await.publish_many("acme.job.completed", 200).await;
    has_accepted(&receiver, "capped", 200).await;

    let most = receiver.arrived("capped").iter().map(|one| one.open).max();
    assert_eq!(most, Some(CAP), "three of each");
    for router in [&one, &two] {
        balanced(router).await;
        assert!(router.metric("posthaste_events_accepted_total").await > Some(0), "both work");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_joins_others_sends_nothing_to_a_limited_endpoint_before_they_know_of_it() {
    let first = posthaste().await;
    let receiver = Receiver::start().await;
    let url = receiver.endpoint("limited", Script::Answer(200));
    first.endpoint("limited", &url, &["--throttle-rate", "10"]);
    let second = first.beside();
    let one = first.serve().await;
    Producer::connect(&first).await.publish_many("acme.job.completed", 300).await;
    until("it is called", SOON, async || receiver.count("limited") > 20).await;

    let two = second.serve().await;
    count_each_other(&[&one, &two], 2).await;
    let joined = receiver.count("limited");
    until("it is called by both", SOON, async || receiver.count("limited") > joined + 60).await;

    let most = most_within(&receiver.arrived("limited"), 5_000);
    assert!(most <= 5 * 10 + 2 + 5, "{most} within five seconds");
}
