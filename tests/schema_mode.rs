//! Payloads held to the schemas of their types, whichever way they come: a producer with a broken event is
//! told which field. The real binary, a real RabbitMQ, the schemas that are published.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::api::Api;
use support::broker::Broker;
use support::producer::Producer;
use support::receiver::{Receiver, Script};
use support::router::{Posthaste, Running};
use support::{unique_prefix, until};

const SOON: Duration = Duration::from_mins(2);
const MESSAGES: &str = "/api/v1/app/acme/msg";

/// A router with the published types listed, and one endpoint for everything.
struct Case {
    posthaste: Posthaste,
    receiver: Receiver,
    router: Running,
    api: Api,
}

impl Case {
    async fn of(posthaste: Posthaste, mode: &str) -> Self {
        let posthaste = posthaste.with_application();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/events");
        let files = std::fs::read_dir(folder).expect("the schemas are there");
        let files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
        let mut import = vec!["event-type", "import"];
        import.extend(files.iter().map(|path| path.to_str().expect("text")));
        let imported = posthaste.list(&import);
        assert_eq!(imported.len(), 8);
        assert!(imported.iter().all(|one| one["result"] == "listed"), "{imported:?}");
        assert!(posthaste.list(&import).iter().all(|one| one["result"] == "unchanged"));
        let receiver = Receiver::start().await;
        posthaste.endpoint("all", &receiver.endpoint("all", Script::Answer(204)), &[]);
        let router = posthaste.serve().await;
        let api = Api::of(&posthaste, &router);
        let case = Self { posthaste, receiver, router, api };
        case.mode(mode).await;
        case
    }

    async fn mode(&self, mode: &str) {
        let body = json!({ "schemaMode": mode }).to_string();
        let headers = [("content-type", "application/json")];
        let answer =
            self.api.send("PATCH", "/api/v1/app/acme/settings", &headers, body.as_bytes()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    async fn arrive(&self, count: usize) {
        until("they have arrived", SOON, async || self.receiver.arrived("all").len() >= count)
            .await;
        assert_eq!(self.receiver.arrived("all").len(), count);
    }
}

/// The example of `job.failed`.
fn failed() -> Value {
    let text = include_str!("../schemas/events/job.failed.json");
    serde_json::from_str::<Value>(text).expect("JSON")["examples"][0].clone()
}

/// The same, with two things wrong.
fn broken() -> Value {
    let mut event = failed();
    event["data"]["status"] = json!("broke");
    event["data"]["error"] = json!({ "code": "no message in it" });
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_event_is_refused_over_http_with_a_pointer_to_each_fault() {
    let case = Case::of(Posthaste::embedded(), "enforce").await;
    let message = |payload| json!({ "eventType": "job.failed", "payload": payload });

    let answer = case.api.post_json(MESSAGES, &message(broken())).await;

    assert_eq!(answer.status, 422, "{answer:?}");
    let detail = answer.json()["detail"].clone();
    let told: Vec<_> = detail.as_array().expect("faults").iter().collect();
    assert!(told.iter().all(|one| one["loc"] == json!(["body", "payload"])), "{detail}");
    for pointer in ["/data/status: ", "/data/error: ", "/data/error/code: "] {
        let is_told = |one: &&Value| one["msg"].as_str().is_some_and(|m| m.starts_with(pointer));
        assert!(told.iter().any(is_told), "{pointer} {detail}");
    }
    assert!(!detail.to_string().contains("broke\""), "values are not told: {detail}");
    let good = case.api.post_json(MESSAGES, &message(failed())).await;
    assert_eq!(good.status, 202, "{good:?}");
    let unlisted = json!({ "eventType": "job.unlisted", "payload": broken() });
    assert_eq!(case.api.post_json(MESSAGES, &unlisted).await.status, 202);
    case.arrive(2).await;

    case.mode("warn").await;
    assert_eq!(case.api.post_json(MESSAGES, &message(broken())).await.status, 202);
    case.arrive(3).await;
    let counted = case.router.metric("posthaste_schema_faults_total{mode=\"warn\"}").await;
    assert_eq!(counted, Some(1));
    case.mode("off").await;
    assert_eq!(case.api.post_json(MESSAGES, &message(broken())).await.status, 202);
    case.arrive(4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_event_of_the_command_line_is_refused_as_over_http() {
    let case = Case::of(Posthaste::embedded(), "enforce").await;
    let publish = |payload: Value| {
        let data = payload.to_string();
        let args = ["publish", "--app", "acme", "--type", "job.failed", "--data", &data];
        case.posthaste.command(&args).output().expect("it runs")
    };

    let refused = publish(broken());

    let error = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{error}");
    for pointer in ["`job.failed`", "/data/status: ", "/data/error: ", "/data/error/code: "] {
        assert!(error.contains(pointer), "{pointer}: {error}");
    }
    assert!(refused.stdout.is_empty(), "nothing is published");
    assert!(publish(failed()).status.success());
    case.arrive(1).await;
    case.mode("off").await;
    assert!(publish(broken()).status.success());
    case.arrive(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_event_from_the_broker_is_quarantined_with_a_pointer_to_each_fault() {
    let broker = Broker::shared().await;
    let case = Case::of(Posthaste::new(&broker.url(), &unique_prefix()), "enforce").await;
    let producer = Producer::connect(&case.posthaste).await;
    let (key, body) = ("acme.job.failed", broken().to_string());

    producer.publish_named(key, "broken-1", &body).await;
    producer.publish_named(key, "good-1", &failed().to_string()).await;

    let kept = producer.take(&format!("{}.quarantine", case.posthaste.prefix())).await;
    assert_eq!(kept.header("x-reason"), "payload_not_by_schema");
    let error = kept.header("x-error");
    for pointer in ["`job.failed`", "/data/status: ", "/data/error: ", "/data/error/code: "] {
        assert!(error.contains(pointer), "{pointer}: {error}");
    }
    assert_eq!(kept.body, body.as_bytes(), "as it came");
    case.arrive(1).await;

    // What is edited holds for what is published behind it.
    let path = "/api/v1/event-type/job.failed";
    let edit = json!({ "schemas": { "1": { "required": ["timestamp"] } } }).to_string();
    let headers = [("content-type", "application/json")];
    let edited = case.api.send("PATCH", path, &headers, edit.as_bytes()).await;
    assert_eq!(edited.status, 200, "{edited:?}");
    producer.publish_named(key, "broken-2", &body).await;
    case.arrive(2).await;

    case.mode("warn").await;
    producer.publish_named(key, "broken-3", "{}").await;
    case.arrive(3).await;
    let counted = case.router.metric("posthaste_schema_faults_total{mode=\"warn\"}").await;
    assert_eq!(counted, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_payloads_cannot_be_held_to_is_refused_when_it_is_listed() {
    let case = Case::of(Posthaste::embedded(), "off").await;
    for (schema, why) in [
        (json!({ "pattern": "(?=a)b" }), "/1/pattern"),
        (json!({ "$ref": "#" }), "refers to itself"),
        (json!({ "$ref": "http://127.0.0.1:1/schema.json" }), "in the same schema"),
    ] {
        let body = json!({ "name": "job.new", "description": "", "schemas": { "1": schema } });
        let answer = case.api.post_json("/api/v1/event-type", &body).await;
        assert_eq!(answer.status, 422, "{answer:?}");
        assert!(answer.body.contains(why), "{answer:?}");
    }
}
