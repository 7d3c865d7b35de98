//! One application's flood, and another's few events behind it in the same inbox; one event for ten thousand.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;

use crate::support::api::Api;
use crate::support::producer::Producer;
use crate::support::receiver::{Receiver, Script};
use crate::support::router::Posthaste;
use crate::support::until;
use crate::{SOON, balanced, has_accepted, posthaste};

#[tokio::test(flavor = "multi_thread")]
async fn what_one_application_floods_does_not_delay_what_another_publishes_behind_it() {
    const QUIET: usize = 30;
    const FLOOD: usize = 100 * QUIET;
    let mut posthaste = posthaste().await;
    posthaste.set("POSTHASTE_RABBITMQ__PREFETCH", "200");
    let receiver = Receiver::start().await;
    // A slow endpoint of its own, and one that takes whatever comes.
    let slow = receiver.endpoint("slow", Script::Slowly(Duration::from_millis(100), 200));
    posthaste.endpoint("slow", &slow, &[]);
    posthaste.endpoint("flooded", &receiver.endpoint("flooded", Script::Answer(200)), &[]);
    posthaste.json(&["app", "create", "Other", "--uid", "other"]);
    let quiet = receiver.endpoint("quiet", Script::Answer(200));
    posthaste.json(&["endpoint", "create", "--app", "other", "--uid", "quiet", "--url", &quiet]);
    let router = posthaste.serve().await;
    let producer = Producer::connect(&posthaste).await;
    // Both are known to be there.
    producer.publish("other.job.created", "{}").await;
    has_accepted(&receiver, "quiet", 1).await;

    producer.publish_many("acme.job.created", FLOOD).await;
    producer.publish_many("other.job.completed", QUIET).await;
    has_accepted(&receiver, "quiet", 1 + QUIET).await;

    let last = receiver.arrived("quiet").iter().map(|one| one.at_ms).max().expect("all came");
    let before = |name| receiver.arrived(name).iter().filter(|one| one.at_ms <= last).count();
    let (slow, flooded) = (before("slow"), before("flooded"));
    // In one line behind the flood, all of the flood would have come first.
    assert!(
        slow + flooded < FLOOD,
        "{slow} and {flooded} of {FLOOD} each before the last of the other's"
    );
    has_accepted(&receiver, "flooded", FLOOD).await;
    has_accepted(&receiver, "slow", FLOOD).await;
    let crowded = "posthaste_deliveries_postponed_total{reason=\"crowded\"}";
    assert!(router.metric(crowded).await > Some(0));
    balanced(&router).await;
    println!("{slow} and {flooded} of {FLOOD} came before {QUIET} published behind them");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_reaches_ten_thousand_endpoints_through_a_small_window() {
    const ENDPOINTS: usize = 10_000;
    const WINDOW: i64 = 300;
    let mut posthaste = Posthaste::embedded().with_application();
    posthaste.set("POSTHASTE_LIMITS__MAX_DELIVERIES_IN_MEMORY", &WINDOW.to_string());
    posthaste.set("POSTHASTE_API__REQUESTS_PER_SECOND", "0");
    let receiver = Receiver::start().await;
    let router = posthaste.serve().await;
    let api = Api::of(&posthaste, &router);
    let made = futures_util::stream::iter(0..ENDPOINTS).map(|number| {
        let url = receiver.endpoint(&format!("e{number}"), Script::Answer(200));
        let api = &api;
        async move {
            let path = "/api/v1/app/acme/endpoint";
            assert_eq!(api.post_json(path, &json!({ "url": url })).await.status, 201);
        }
    });
    made.buffer_unordered(32).collect::<Vec<()>>().await;

    let payload = json!({ "of": "x".repeat(16 * 1_024) });
    let message = json!({ "eventType": "job.completed", "payload": payload });
    assert_eq!(api.post_json("/api/v1/app/acme/msg", &message).await.status, 202);

    let most = std::cell::Cell::new(0);
    until("each has it", SOON, async || {
        let now = router.metric("posthaste_deliveries_in_memory").await.unwrap_or(0);
        most.set(most.get().max(now));
        let delivered = "posthaste_ledger_deliveries{state=\"delivered\"}";
        router.metric(delivered).await == i64::try_from(ENDPOINTS).ok()
    })
    .await;
    assert!((1..=WINDOW).contains(&most.get()), "{} in memory", most.get());
    let each = (0..ENDPOINTS).all(|number| receiver.count(&format!("e{number}")) == 1);
    assert!(each, "each once");
    balanced(&router).await;
}
