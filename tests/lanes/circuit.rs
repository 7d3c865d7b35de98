//! An endpoint that does nothing but fail is left alone, found out when it is back, and given all that it is owed; a new
//! one is warmed up.

use std::time::Duration;

use crate::support::producer::Producer;
use crate::support::receiver::{Receiver, Script};
use crate::support::router::Running;
use crate::support::until;
use crate::{SOON, at_least, balanced, has_accepted, posthaste};

const OPENED: &str = "posthaste_endpoint_circuit_transitions_total{to=\"open\"}";
const CLOSED: &str = "posthaste_endpoint_circuit_transitions_total{to=\"closed\"}";

/// All that a router has published, by the broker's own confirms.
async fn published(router: &Running) -> i64 {
    let confirmed = router.metric("posthaste_broker_publishes_total{result=\"confirmed\"}").await;
    confirmed.unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_circuit_costs_no_attempts_and_no_hops_and_what_waits_comes_when_it_closes() {
    const EVENTS: usize = 60;
    let posthaste = posthaste().await;
    let receiver = Receiver::start().await;
    let slowly = |status| Script::Slowly(Duration::from_millis(50), status);
    let url = receiver.endpoint("sick", slowly(500));
    // Were each to fail by its own schedule, each would be dead at its second request.
    posthaste.endpoint("sick", &url, &["--retry", "1s", "--jitter", "0"]);
    let router = posthaste.serve().await;
    let producer = Producer::connect(&posthaste).await;
    let before = published(&router).await;

    producer.publish_many("acme.job.completed", EVENTS).await;
    // Opened, and found as it was by three probes.
    at_least(&router, OPENED, 4).await;

    let asked = receiver.count("sick");
    // Five that fail, what was beside the fifth, and a probe for each pause.
    assert!(asked <= 5 + 8 + 4, "{asked} requests to one that does nothing but fail");
    let hops = published(&router).await - before;
    assert!(
        hops <= 2 * i64::try_from(asked).expect("few"),
        "{hops} publishes behind {asked} requests: what waits for the circuit costs none"
    );
    let circuit = "posthaste_deliveries_postponed_total{reason=\"circuit_open\"}";
    at_least(&router, circuit, i64::try_from(EVENTS - asked).expect("few")).await;

    receiver.endpoint("sick", slowly(200));
    until("each is accepted, or was dead before it was mended", SOON, async || {
        receiver.accepted("sick").len() + dead(&router).await == EVENTS
    })
    .await;
    at_least(&router, CLOSED, 1).await;
    assert!(posthaste.log().contains("brought back"), "what waited came before its time");
    let arrived = receiver.arrived("sick");
    let mended = arrived.iter().position(|one| one.status == 200).expect("one succeeded");
    for (place, one) in arrived[mended..].iter().enumerate() {
        // One more for each that succeeded, and none is lost: so it is never further than this.
        assert!(
            one.open <= place + 1,
            "request {place} behind the probe beside {} others",
            one.open
        );
    }
    balanced(&router).await;
}

/// Deliveries that a router has given up.
async fn dead(router: &Running) -> usize {
    let dead = router.metric("posthaste_dead_letters").await.expect("it is told");
    usize::try_from(dead).expect("no debt")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_endpoint_is_warmed_up_with_one_more_for_each_that_it_takes() {
    const EVENTS: usize = 120;
    let posthaste = posthaste().await;
    let receiver = Receiver::start().await;
    let url = receiver.endpoint("new", Script::Slowly(Duration::from_millis(60), 200));
    posthaste.endpoint("new", &url, &["--max-in-flight", "24"]);
    let router = posthaste.serve().await;

    Producer::connect(&posthaste).await.publish_many("acme.job.completed", EVENTS).await;
    has_accepted(&receiver, "new", EVENTS).await;

    let arrived = receiver.arrived("new");
    for (place, one) in arrived.iter().enumerate() {
        let taken = place + 1 - one.open;
        assert!(one.open <= 4 + taken, "{} at once when {taken} had been taken", one.open);
    }
    let most = arrived.iter().map(|one| one.open).max().expect("all came");
    assert!((12..=24).contains(&most), "{most} at once in the end");
    balanced(&router).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_no_circuit_breaker_is_called_however_often_it_fails() {
    const EVENTS: usize = 30;
    let posthaste = posthaste().await;
    let receiver = Receiver::start().await;
    let url = receiver.endpoint("sick", Script::Answer(500));
    let each = ["--retry", "none", "--circuit-breaker", "false"];
    posthaste.endpoint("sick", &url, &each);
    let router = posthaste.serve().await;

    Producer::connect(&posthaste).await.publish_many("acme.job.completed", EVENTS).await;

    until("each is dead", SOON, async || dead(&router).await == EVENTS).await;
    assert_eq!((router.metric(OPENED).await, receiver.count("sick")), (Some(0), EVENTS));
}
