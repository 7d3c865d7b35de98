//! Cortex: a worker that reports how its workload ended to the URL of its configuration, once, and lets
//! nothing about the report trouble the workload.

use serde_json::json;

use super::stage::{Stage, ended, published, said};
use super::support::broker::two_free_ports;

const PATH: &str = "/reports";

#[tokio::test(flavor = "multi_thread")]
async fn a_report_goes_to_the_default_url_byte_for_byte_its_timestamp_without_a_zone() {
    let stage = Stage::of("cortex").await;
    let receiver = stage.receiver("receiver.py", "http").await;
    stage.preset(&receiver.origin).await;

    let report = stage.publish("producer.py", &["request-1"]).remove(0);

    let arrived = receiver.receives(1).await.remove(0);
    assert_eq!(arrived.body(), report.body, "byte for byte");
    let body = arrived.json();
    assert_eq!((&body["id"], &body["status"]), (&json!("request-1"), &json!("completed")));
    assert_eq!(body["result"], json!({ "data": "hello" }));
    let timestamp = body["timestamp"].as_str().expect("a text");
    let (_, time) = timestamp.split_once('T').expect("a date and a time");
    let naive = time.bytes().all(|byte| byte.is_ascii_digit() || b":.".contains(&byte));
    assert!(naive, "a zone was put to {timestamp}");
    assert_eq!((arrived.method.as_str(), arrived.path.as_str()), ("POST", PATH));
    assert_eq!(arrived.header("content-type"), Some("application/json"));
    assert_eq!(arrived.header("webhook-signature"), None, "{:?}", arrived.marks());
    stage.settled("delivered", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_that_fails_is_reported_and_its_own_error_raised() {
    let stage = Stage::of("cortex").await;
    let receiver = stage.receiver("receiver.py", "http").await;
    stage.preset(&receiver.origin).await;

    let worker = ended(stage.script("producer.py", &["request-2", "out of memory"]));

    let errors = said(&worker.stderr);
    assert!(!worker.status.success() && errors.contains("RuntimeError: out of memory"), "{errors}");
    let report = published(&said(&worker.stdout)).remove(0);
    assert_eq!(report.body, r#"{"id": "request-2", "status": "failed"}"#);
    assert_eq!(receiver.receives(1).await[0].body(), report.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_no_trouble_of_the_workload() {
    let stage = Stage::of("cortex").await;
    let [nobody, _] = two_free_ports();
    let away = format!("amqp://guest:guest@127.0.0.1:{nobody}/%2f");
    let without_broker = |arguments: &[&str]| {
        let mut worker = stage.script("producer.py", arguments);
        worker.env("AMQP_URL", &away);
        ended(worker)
    };

    let well = without_broker(&["request-3"]);
    assert!(well.status.success(), "{}", said(&well.stderr));
    assert_eq!(said(&well.stdout), "", "nothing was published");

    let failing = without_broker(&["request-4", "out of memory"]);
    let errors = said(&failing.stderr);
    let last = errors.lines().last();
    assert_eq!(last, Some("RuntimeError: out of memory"), "not the broker's error: {errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_gets_one_report_and_never_another() {
    let stage = Stage::of("cortex").await;
    let receiver = stage.receiver("receiver.py", "http").await;
    stage.preset(&receiver.origin).await;
    receiver.in_trouble(&["500 always"]);

    stage.publish("producer.py", &["request-5"]);

    stage.settled("dropped", 1).await;
    receiver.receives(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inspector_shows_a_report_and_no_third_party_has_seen_it() {
    let stage = Stage::of("cortex").await;
    stage.preset("https://receiver.example").await;
    let inspector = async || stage.call("GET", "/inspector", "").await.json();
    let target = json!({ "defaultUrl": inspector().await["url"] }).to_string();
    assert_eq!(stage.call("PATCH", "/settings", &target).await.status, 200);

    let report = stage.publish("producer.py", &["request-6"]).remove(0);

    stage.settled("delivered", 1).await;
    let seen = inspector().await["requests"].clone();
    assert_eq!(seen.as_array().map(Vec::len), Some(1), "{seen}");
    assert_eq!((&seen[0]["method"], &seen[0]["body"]), (&json!("POST"), &json!(report.body)));
    assert_eq!(seen[0]["headers"]["content-type"], "application/json");
}
