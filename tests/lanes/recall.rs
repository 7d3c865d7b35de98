//! What waits for room comes back at once when there is more, as fast as its endpoint takes it.

use crate::support::producer::Producer;
use crate::support::receiver::{Receiver, Script, now_ms};
use crate::support::router::Posthaste;
use crate::{at_least, balanced, has_accepted, most_within, posthaste};

const EVENTS: usize = 90;
const LIMITED: &str = "posthaste_deliveries_postponed_total{reason=\"rate_limited\"}";

/// An endpoint that may have one request a second and is owed a minute and a half of them, most of which wait on record.
async fn limited(posthaste: &Posthaste, receiver: &Receiver) -> crate::support::router::Running {
    let url = receiver.endpoint("limited", Script::Answer(200));
    posthaste.endpoint("limited", &url, &["--throttle-rate", "1"]);
    let router = posthaste.serve().await;
    Producer::connect(posthaste).await.publish_many("acme.job.completed", EVENTS).await;
    at_least(&router, LIMITED, i64::try_from(EVENTS / 2).expect("few")).await;
    router
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raised_rate_brings_back_what_waits_for_the_old_one_and_is_itself_kept() {
    let posthaste = posthaste().await;
    let receiver = Receiver::start().await;
    let router = limited(&posthaste, &receiver).await;

    let (before, raised_at) = (receiver.count("limited"), now_ms());
    let raise = ["endpoint", "edit", "limited", "--app", "acme", "--throttle-rate", "10"];
    posthaste.json(&raise);
    has_accepted(&receiver, "limited", EVENTS).await;

    let arrived = receiver.arrived("limited");
    assert_eq!(arrived.len(), EVENTS, "each once: the old copies are none");
    let took = arrived.iter().map(|one| one.at_ms).max().expect("all came") - raised_at;
    let by_the_old = 1_000 * u64::try_from(EVENTS - before).expect("few");
    assert!(took * 2 < by_the_old, "{took} ms, and by the old rate {by_the_old}");
    // Ten, one at once after a pause, and what a busy machine holds up and lets go together.
    let most = most_within(&arrived, 1_000);
    assert!(most <= 10 + 1 + 3, "{most} within a second");
    balanced(&router).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_rate_all_of_it_comes_and_after_a_pause_too() {
    let posthaste = posthaste().await;
    let receiver = Receiver::start().await;
    let router = limited(&posthaste, &receiver).await;

    posthaste.json(&["endpoint", "pause", "limited", "--app", "acme"]);
    let paused_at = receiver.count("limited");
    let free = ["endpoint", "edit", "limited", "--app", "acme", "--clear-throttle-rate"];
    posthaste.json(&free);
    assert!(paused_at < EVENTS / 2, "{paused_at} came before there was more room");
    let resumed_at = now_ms();
    posthaste.json(&["endpoint", "resume", "limited", "--app", "acme"]);
    has_accepted(&receiver, "limited", EVENTS).await;

    let arrived = receiver.arrived("limited");
    assert_eq!(arrived.len(), EVENTS, "each once");
    let took = arrived.iter().map(|one| one.at_ms).max().expect("all came") - resumed_at;
    let by_the_old = 1_000 * u64::try_from(EVENTS - paused_at).expect("few");
    assert!(took * 2 < by_the_old, "{took} ms, and by the old rate {by_the_old}");
    balanced(&router).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_the_application_that_lets_more_through_brings_back_as_well() {
    let posthaste = Posthaste::embedded().with_application();
    let receiver = Receiver::start().await;
    let slowly = Script::Slowly(std::time::Duration::from_secs(1), 200);
    let cap = ["app", "settings", "set", "acme", "--max-in-flight"];
    posthaste.json(&[&cap[..], &["1"]].concat());
    posthaste.endpoint("slow", &receiver.endpoint("slow", slowly), &[]);
    let router = posthaste.serve().await;
    let count = EVENTS.to_string();
    let publish = ["publish", "--app", "acme", "--type", "job.completed", "--count", &count];
    posthaste.list(&publish);
    let busy = "posthaste_deliveries_postponed_total{reason=\"busy\"}";
    at_least(&router, busy, i64::try_from(EVENTS / 2).expect("few")).await;

    let (before, raised_at) = (receiver.count("slow"), now_ms());
    posthaste.json(&[&cap[..], &["30"]].concat());
    has_accepted(&receiver, "slow", EVENTS).await;

    let arrived = receiver.arrived("slow");
    assert_eq!(arrived.len(), EVENTS, "each once");
    let took = arrived.iter().map(|one| one.at_ms).max().expect("all came") - raised_at;
    let one_by_one = 1_000 * u64::try_from(EVENTS - before).expect("few");
    assert!(took * 2 < one_by_one, "{took} ms, and one by one {one_by_one}");
    balanced(&router).await;
}
