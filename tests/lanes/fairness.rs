//! One application's flood, and another's few events behind it in the same inbox; one event for ten thousand.

use std::time::Duration;

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
    // In one line behind the flood, all of it but the last few would have come first. How much does is a matter of how fast
    // the machine reads past it beside delivering it: a fifth is left on one that does ten other things.
    let most = 2 * FLOOD * 4 / 5;
    assert!(
        slow + flooded < most,
        "{slow} and {flooded} of {FLOOD} each came before {QUIET} behind them"
    );
    has_accepted(&receiver, "flooded", FLOOD).await;
    has_accepted(&receiver, "slow", FLOOD).await;
    let crowded = "posthaste_deliveries_postponed_total{reason=\"crowded\"}";
    assert!(router.metric(crowded).await > Some(0));
    balanced(&router).await;
    println!("{slow} and {flooded} of {FLOOD} each came before {QUIET} behind them");
}

/// Makes so many endpoints like the one that there is, at the URLs that it is given: straight in the file, for over the API
/// each would be an edit that a router has to take over.
fn multiply(posthaste: &Posthaste, count: usize, url: impl Fn(usize) -> String) {
    let path = posthaste.folder().join("posthaste.db");
    let connection = rusqlite::Connection::open(path).expect("it opens");
    let begin = "BEGIN; CREATE TEMP TABLE one AS SELECT * FROM endpoints;";
    connection.execute_batch(begin).expect("one is there");
    for number in 1..count {
        // As ids are: twenty bytes.
        let id = format!("{number:040x}");
        let values = rusqlite::params![id, url(number)];
        let change = "UPDATE one SET id = unhex(?1), uid = NULL, url = ?2";
        connection.execute(change, values).expect("changed");
        connection.execute("INSERT INTO endpoints SELECT * FROM one", []).expect("made");
    }
    connection.execute_batch("COMMIT").expect("kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_reaches_ten_thousand_endpoints_through_a_small_window() {
    const ENDPOINTS: usize = 10_000;
    const WINDOW: i64 = 300;
    let mut posthaste = Posthaste::embedded().with_application();
    posthaste.set("POSTHASTE_LIMITS__MAX_DELIVERIES_IN_MEMORY", &WINDOW.to_string());
    let receiver = Receiver::start().await;
    let url = |number| receiver.endpoint(&format!("e{number}"), Script::Answer(200));
    // Unsigned: keys are sealed for the endpoint that they are of, and cannot be multiplied.
    posthaste.set("POSTHASTE_DELIVERY__ALLOW_UNSIGNED", "true");
    posthaste.endpoint("first", &url(0), &["--signing", "none"]);
    multiply(&posthaste, ENDPOINTS, url);
    let router = posthaste.serve().await;
    let api = Api::of(&posthaste, &router);

    let payload = json!({ "of": "x".repeat(16 * 1_024) });
    let message = json!({ "eventType": "job.completed", "payload": payload });
    assert_eq!(api.post_json("/api/v1/app/acme/msg", &message).await.status, 202);

    let most = std::cell::Cell::new(0);
    until("each has it", SOON * 3, async || {
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
