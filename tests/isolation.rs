//! Endpoints do not wait for each other. A binary of its own, so that nothing else of the tests runs
//! beside what is measured here.

mod support;

use std::time::Duration;

use support::broker::Broker;
use support::producer::Producer;
use support::receiver::{Receiver, Script, now_ms};
use support::router::Posthaste;
use support::{unique_prefix, until};

const SOON: Duration = Duration::from_mins(2);

/// The time from publishing to arrival that 99 of 100 deliveries stay below, in ms: 100 events a
/// second for six seconds, each to the four healthy endpoints.
async fn p99_of_the_healthy(producer: &Producer, receiver: &Receiver, kind: &str) -> u64 {
    const EVENTS: usize = 600;
    let names = ["h1", "h2", "h3", "h4"];
    let before = names.map(|name| receiver.count(name));
    let mut sent = std::collections::HashMap::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    for number in 0..EVENTS {
        ticks.tick().await;
        let body = format!(r#"{{"run":"{kind}","n":{number}}}"#);
        sent.insert(body.clone(), now_ms());
        producer.publish("acme.job.processing", &body).await;
    }
    until("the healthy have all", SOON, async || {
        names.iter().zip(before).all(|(name, before)| receiver.count(name) >= before + EVENTS)
    })
    .await;
    let mut took: Vec<u64> = names
        .iter()
        .flat_map(|name| receiver.arrived(name))
        .filter_map(|one| {
            let sent_at = sent.get(std::str::from_utf8(&one.body).expect("ours"))?;
            Some(one.at_ms.saturating_sub(*sent_at))
        })
        .collect();
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

/// Rounds before we believe that it is the router and not the machine's other work.
const ROUNDS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_hangs_does_not_slow_the_others() {
    let broker = Broker::start().await;
    let posthaste = Posthaste::new(&broker.url(), &unique_prefix()).with_application();
    let receiver = Receiver::start().await;
    for name in ["h1", "h2", "h3", "h4"] {
        posthaste.endpoint(name, &receiver.endpoint(name, Script::Answer(200)), &[]);
    }
    let hanging = receiver.endpoint("hanging", Script::Hang);
    let (hanging, _) = posthaste.endpoint("hanging", &hanging, &[]);
    let _router = posthaste.serve().await;
    let producer = Producer::connect(&posthaste).await;

    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        posthaste.json(&["endpoint", "pause", &hanging]);
        let quiet = p99_of_the_healthy(&producer, &receiver, &format!("quiet-{round}")).await;
        posthaste.json(&["endpoint", "resume", &hanging]);
        let called = receiver.count("hanging");
        until("the hanging one is called", SOON, async || {
            producer.publish("acme.job.created", "{}").await;
            receiver.count("hanging") > called
        })
        .await;
        let beside = p99_of_the_healthy(&producer, &receiver, &format!("beside-{round}")).await;
        rounds.push((quiet, beside));
        // Half as much again, and a few of the milliseconds that the clocks count in.
        if beside <= quiet * 3 / 2 + 5 {
            println!("p99 of the healthy in ms, (quiet, beside one that hangs): {rounds:?}");
            return;
        }
    }
    panic!("p99 of the healthy in ms, (quiet, beside one that hangs): {rounds:?}");
}
