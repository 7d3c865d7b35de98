//! Axelered: endpoints of a workspace with the customer's own secret, a header of its own make beside the
//! standard's, growing waits, and what is given up kept for later review.

use serde_json::{Value, json};

use super::stage::{Receiver, Stage};
use super::support::broker::two_free_ports;

const PATH: &str = "/webhooks/axelered";
const ENDPOINT: &str = "/endpoint/production-notifications";
/// The customer's, as in `endpoints.json`.
const SECRET: &str = "whsec_b3VyIGN1c3RvbWVyIGJyaW5ncyBpdHMgb3duIHNlY3JldA==";

/// With its preset, the customer's endpoint, and its receiver, which verifies the header.
async fn axelered() -> (Stage, Receiver) {
    let stage = Stage::of("axelered").await;
    stage.event_types().await;
    stage.preset("").await;
    let receiver = receiver(&stage, SECRET).await;
    let secrets = stage.endpoints(&receiver.origin).await;
    assert_eq!(secrets[PATH], SECRET, "the customer's own");
    (stage, receiver)
}

async fn receiver(stage: &Stage, secret: &str) -> Receiver {
    let [port, _] = two_free_ports();
    stage.receiver_at("receiver.py", "https", port, &[("SIGNING_SECRET", secret)]).await
}

async fn edit(stage: &Stage, change: Value) {
    let answer = stage.call("PATCH", ENDPOINT, &change.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_run_arrives_signed_with_the_customers_secret_in_both_headers() {
    let (stage, receiver) = axelered().await;
    let mut sent: Vec<_> = [("run-1", "done"), ("run-2", "failed")]
        .map(|(run, end)| stage.publish("producer.py", &[run, end]).remove(0).body)
        .into();
    stage.publish("producer.py", &["document-1", "indexed"]); // not among what it chose

    // The receiver answers 204 to what it has verified, and 401 to everything else.
    stage.settled("delivered", 2).await;
    let arrived = receiver.receives(2).await;

    let mut bodies: Vec<_> = arrived.iter().map(super::stage::Arrived::body).collect();
    bodies.sort();
    sent.sort();
    assert_eq!(bodies, sent, "byte for byte");
    for one in &arrived {
        assert_eq!((one.method.as_str(), one.path.as_str()), ("POST", PATH));
        assert_eq!(one.header("content-type"), Some("application/json"));
        let marks =
            ["webhook-id", "webhook-signature", "webhook-timestamp", "x-axelered-signature"];
        assert_eq!(one.marks(), marks);
        let signature = one.header("x-axelered-signature").expect("it is there");
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        assert!(signature.len() == 64 && signature.bytes().all(is_hex), "{signature}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_tried_again_behind_the_presets_first_wait() {
    let (stage, receiver) = axelered().await;
    receiver.in_trouble(&["500"]);

    stage.publish("producer.py", &["run-1", "done"]);

    stage.settled("delivered", 1).await;
    let arrived = receiver.receives(2).await;
    let gap_ms = arrived[1].at_ms - arrived[0].at_ms;
    assert!(gap_ms >= 4_000, "5 s, and a fifth of it less at the most: {gap_ms} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_is_kept_shown_and_replayed_with_the_id_it_had() {
    let (stage, receiver) = axelered().await;
    // The preset's eight requests take ten minutes: this endpoint's own waits are shorter, and grow as well.
    let retry = json!({ "kind": "exponential", "baseMs": 100, "factor": 3.0, "maxDelayMs": 3_600_000,
                        "maxAttempts": 3, "jitter": 0.0 });
    edit(&stage, json!({ "policy": { "retry": retry } })).await;
    receiver.in_trouble(&["500 always"]);

    let sent = stage.publish("producer.py", &["run-1", "failed"]).remove(0);

    stage.settled("dead", 1).await;
    let failed = receiver.receives(3).await;
    let gaps = [failed[1].at_ms - failed[0].at_ms, failed[2].at_ms - failed[1].at_ms];
    assert!(gaps[0] >= 100 && gaps[1] >= 300, "never early, and growing: {gaps:?}");
    let letters = stage.posthaste.list(&["dead-letters", "list"]);
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0]["reason"], "attempts_exhausted");
    assert_eq!((&letters[0]["lastStatus"], &letters[0]["attemptCount"]), (&json!(500), &json!(3)));

    receiver.in_trouble(&[]);
    let of = ["--app", "axelered", "--endpoint", "production-notifications"];
    let replay = [&["replay", "start", "--yes", "--detach"][..], &of].concat();
    assert!(stage.posthaste.run(&replay).status.success());

    stage.settled("delivered", 1).await;
    let arrived = receiver.receives(4).await;
    assert_eq!(arrived[3].body(), sent.body);
    assert_eq!(arrived[3].header("webhook-id"), failed[0].header("webhook-id"));
    assert_eq!(stage.router.metric("posthaste_dead_letters").await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_webhook_gets_nothing_more_not_even_what_was_waiting() {
    let (stage, receiver) = axelered().await;
    let in_an_hour = json!({ "kind": "schedule", "delaysMs": [3_600_000] });
    edit(&stage, json!({ "policy": { "retry": in_an_hour } })).await;
    receiver.in_trouble(&["500"]);
    stage.publish("producer.py", &["run-1", "done"]);
    stage.settled("waiting", 1).await;
    receiver.receives(1).await;

    assert_eq!(stage.call("DELETE", ENDPOINT, "").await.status, 204);
    stage.publish("producer.py", &["run-2", "done"]);

    stage.settled("cancelled", 1).await;
    stage.recorded(2).await;
    assert_eq!(stage.owed("run-2").await, Vec::<Value>::new());
    receiver.receives(1).await;
    assert_eq!(stage.call("GET", ENDPOINT, "").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_read_listed_and_changed_its_secret_url_and_events_from_the_next_request_on() {
    let (stage, old) = axelered().await;
    let read = stage.call("GET", ENDPOINT, "").await.json();
    assert_eq!(read["description"], "Production Notifications");
    assert_eq!(read["filterTypes"], json!(["process.completed"]));
    let listed = stage.call("GET", "/endpoint", "").await.json();
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1));

    let secret = "whsec_YW5vdGhlciBvbmUsIG9mIHRoZWlyIG93biBhcyB3ZWxs";
    let new = receiver(&stage, secret).await;
    let events = ["process.completed", "document.ready"];
    edit(&stage, json!({ "url": new.url(PATH), "filterTypes": events })).await;
    let rotated = stage
        .call("POST", &format!("{ENDPOINT}/secret/rotate"), &json!({ "key": secret }).to_string())
        .await;
    assert_eq!(rotated.status, 200, "{rotated:?}");

    stage.publish("producer.py", &["document-1", "indexed"]);

    stage.settled("delivered", 1).await; // verified by the receiver that knows the new secret alone
    new.receives(1).await;
    old.receives(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_https_only() {
    let stage = Stage::of("axelered").await;
    stage.preset("").await;

    let plain = json!({ "url": "http://127.0.0.1:18080/webhooks/axelered" }).to_string();
    let refused = stage.call("POST", "/endpoint", &plain).await;

    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.body.contains("https"), "{refused:?}");
}
