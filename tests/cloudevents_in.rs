//! `CloudEvents` that the official SDK for Python makes, taken in over HTTP and from a real RabbitMQ.
//!
//! What it does stands in `tests/sdk/cloudevents_producer.py`, in its language.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use support::api::Api;
use support::broker::Broker;
use support::outside::python;
use support::producer::Producer;
use support::receiver::{Receiver, Script};
use support::router::Posthaste;
use support::{unique_prefix, until};
use tokio::process::Command;

const SOON: Duration = Duration::from_mins(2);
const CLOUDEVENT: &str = "/api/v1/app/acme/cloudevent";
/// Every way in that the SDK knows.
const WAYS: [&str; 7] = [
    "http-structured",
    "http-binary",
    "amqp-structured",
    "amqp-binary",
    "amqp-colon",
    "rabbitmq-structured",
    "rabbitmq-binary",
];

/// Runs the producer to its end; what it told.
async fn produce(posthaste: &Posthaste, api: &Api) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/cloudevents_producer.py");
    let mut command = Command::new(python());
    command
        .arg(script)
        .args([&api.address, &api.token, posthaste.broker(), posthaste.prefix(), "acme"])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONIOENCODING", "utf-8")
        .kill_on_drop(true);
    let output = support::within("the SDK is through", command.output()).await;
    let output = output.expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).expect("text");
    said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_sdk_makes_is_taken_in_every_way_and_what_it_breaks_is_told() {
    let broker = Broker::shared().await;
    let posthaste = Posthaste::new(&broker.url(), &unique_prefix()).with_application();
    let receiver = Receiver::start().await;
    posthaste.endpoint("all", &receiver.endpoint("all", Script::Answer(204)), &[]);
    let router = posthaste.serve().await;
    let api = Api::of(&posthaste, &router);

    let answers = produce(&posthaste, &api).await;

    until("each has arrived", SOON, async || receiver.arrived("all").len() >= WAYS.len()).await;
    let arrived = receiver.arrived("all");
    assert_eq!(arrived.len(), WAYS.len(), "each once");
    let expected = json!({ "job_id": "job-17", "amount": 1250.5, "note": "räksmörgås ☃ 😀" });
    for one in &arrived {
        let payload: Value = serde_json::from_slice(&one.body).expect("JSON");
        assert_eq!(payload, expected);
    }
    let list = api.send("GET", "/api/v1/app/acme/msg", &[], b"").await.json();
    let list = list["data"].as_array().expect("a list");
    let ids: BTreeSet<_> = list.iter().map(|one| one["eventId"].as_str().expect("an id")).collect();
    assert_eq!(ids, BTreeSet::from(WAYS));
    for one in list {
        let way = &one["eventId"];
        assert_eq!(one["eventType"], "job.completed", "{way}");
        assert_eq!(one["timestamp"], "2026-08-21T10:11:12.250Z", "{way}");
        assert_eq!(one["subject"], "job \"7\" 100% räksmörgås", "{way}");
    }

    let answer = |way: &str| answers.iter().find(|one| one["way"] == way).expect("told").clone();
    for way in ["http-structured", "http-binary"] {
        let (first, again) = (answer(way), answer(&format!("{way}-again")));
        assert_eq!((&first["status"], &again["status"]), (&json!(202), &json!(202)), "{again}");
        assert_eq!(first["body"], again["body"], "the same source and id is the same event");
    }
    let refused = answer("http-broken");
    assert_eq!(refused["status"], 422, "{refused}");
    assert_eq!(refused["body"]["detail"][0]["loc"], json!(["header", "ce-source"]), "{refused}");

    let producer = Producer::connect(&posthaste).await;
    let kept = producer.take(&format!("{}.quarantine", posthaste.prefix())).await;
    assert_eq!(kept.header("x-reason"), "not_a_cloudevent");
    let error = kept.header("x-error");
    assert!(error.contains("`source`: it is missing"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloudevent_over_http_keeps_its_bytes_and_is_one_event_by_its_source_and_id() {
    let posthaste = Posthaste::embedded().with_application();
    let receiver = Receiver::start().await;
    posthaste.endpoint("all", &receiver.endpoint("all", Script::Answer(204)), &[]);
    let router = posthaste.serve().await;
    let api = Api::of(&posthaste, &router);
    let data = r#"{ "amount" : 1250.50,"esc":"a\/b" }"#;
    let body = format!(
        r#"{{"specversion":"1.0","id":"a/b:1","source":"/jobs","type":"job.completed",
            "datacontenttype":"application/vnd.job+json","data":{data}}}"#
    );

    let kind = ("content-type", "application/cloudevents+json; charset=utf-8");
    let answer = api.post(CLOUDEVENT, &[kind], body.as_bytes()).await;

    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.json()["eventId"], "a/b:1");
    until("it has arrived", SOON, async || receiver.arrived("all").len() == 1).await;
    let arrived = receiver.arrived("all").remove(0);
    assert_eq!(arrived.body, data.as_bytes());
    assert_eq!(Some(arrived.id.as_str()), answer.json()["id"].as_str());

    // The same source and id with something else in it is somebody's mistake.
    let other = body.replace("1250.50", "1250.51");
    let answer = api.post(CLOUDEVENT, &[kind], other.as_bytes()).await;
    assert_eq!(answer.status, 409, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_cloudevent_is_refused_with_the_place_of_each_fault() {
    let posthaste = Posthaste::embedded().with_application();
    let router = posthaste.serve().await;
    let api = Api::of(&posthaste, &router);
    let structured = ("content-type", "application/cloudevents+json");
    for (headers, body, expected) in [
        (vec![structured], "{}", vec!["body.specversion", "body.id", "body.source", "body.type"]),
        (vec![structured], "[", vec!["body"]),
        (
            vec![("content-type", "application/cloudevents-batch+json")],
            "[]",
            vec!["header.content-type"],
        ),
        (vec![("content-type", "application/json"), ("ce-id", "%zz")], "{}", vec!["header.ce-id"]),
        (
            vec![("ce-specversion", "0.3"), ("ce-id", "1"), ("ce-source", "/a"), ("ce-type", "a")],
            "{}",
            vec!["header.ce-specversion"],
        ),
        (
            vec![("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/a"), ("ce-type", "a")],
            "{",
            vec!["body"],
        ),
        (
            vec![structured],
            r#"{"specversion":"1.0","id":"1","source":"/a","type":"a","data_base64":"/w=="}"#,
            vec!["body.data"],
        ),
    ] {
        let answer = api.post(CLOUDEVENT, &headers, body.as_bytes()).await;
        assert_eq!(answer.status, 422, "{body}: {answer:?}");
        let detail = answer.json()["detail"].as_array().expect("faults").clone();
        let places: Vec<_> = detail
            .iter()
            .map(|fault| {
                let words = fault["loc"].as_array().expect("a place").iter();
                words.map(|word| word.as_str().expect("a word")).collect::<Vec<_>>().join(".")
            })
            .collect();
        assert_eq!(places, expected, "{body}: {answer:?}");
    }
}
