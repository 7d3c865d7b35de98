//! The portal: tenants configure endpoints before events are sent, choose what each gets and how it is let
//! in, test them, look at what was sent, and verify with the official library.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::stage::{Receiver, Stage};
use super::support::api::Api;
use super::support::broker::two_free_ports;

const JOBS: &str = "/webhooks/jobs";
const ENDINGS: &str = "/webhooks/endings";

/// With its preset, two endpoints, and the customer's receiver behind them.
async fn portal(receiver: &str) -> (Stage, Receiver) {
    let stage = Stage::of("portal").await;
    stage.event_types().await;
    stage.preset("").await;
    let [port, _] = two_free_ports();
    let secrets = stage.endpoints(&format!("https://127.0.0.1:{port}")).await;
    let secrets = serde_json::to_string(&secrets).expect("JSON");
    let receiver = stage.receiver_at(receiver, "https", port, &[("SECRETS", &secrets)]).await;
    (stage, receiver)
}

async fn delivery(stage: &Stage, switch: &str) {
    let wanted = json!({ "delivery": switch }).to_string();
    let answer = stage.call("PATCH", "/settings", &wanted).await;
    assert_eq!(answer.json()["delivery"], switch, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_while_delivery_is_off_and_what_comes_later_is_when_it_is_on() {
    let (stage, receiver) = portal("receiver.js").await;

    stage.publish("producer.py", &["job-1", "completed"]);
    stage.recorded(3).await;
    assert_eq!(stage.owed("job-1").await, Vec::<Value>::new());

    delivery(&stage, "on").await;
    stage.publish("producer.py", &["job-2", "cancelled"]);

    stage.settled("delivered", 4).await;
    let arrived = receiver.receives(4).await;
    assert!(arrived.iter().all(|one| one.json()["data"]["job_id"] == "job-2"), "{arrived:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_endpoint_gets_the_types_it_chose_let_in_by_its_credentials_and_verified() {
    for receiver in ["receiver.js", "receiver.py"] {
        let (stage, receiver) = portal(receiver).await;
        delivery(&stage, "on").await;
        let mut sent = BTreeMap::new();
        for (name, end) in [("job-1", "completed"), ("job-2", "failed"), ("job-3", "cancelled")] {
            for event in stage.publish("producer.py", &[name, end]) {
                let body: Value = serde_json::from_str(&event.body).expect("JSON");
                let key = format!("{name} job.{}", body["status"].as_str().expect("a text"));
                sent.insert(key, event.body);
            }
        }

        // The receiver answers 204 to what it has verified, and 401 to everything else.
        stage.settled("delivered", 12).await;
        let arrived = receiver.receives(12).await;

        let mut got: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for one in &arrived {
            let body = one.json();
            let text = |name: &str| body[name].as_str().expect("a text").to_owned();
            assert_eq!(Some(text("id").as_str()), one.header("webhook-id"));
            assert!(text("timestamp").ends_with('Z'), "{body}");
            let job = body["data"]["job_id"].as_str().expect("a text");
            let key = format!("{job} {}", text("type"));
            let data = format!(r#""data":{}}}"#, sent[&key]);
            assert!(one.body().ends_with(&data), "the producer's bytes: {}", one.body());
            got.entry(&one.path).or_default().insert(key);
            assert_eq!(one.header("content-type"), Some("application/json"));
            let marks = ["webhook-id", "webhook-signature", "webhook-timestamp"];
            assert_eq!(one.marks(), marks);
            let basic = "Basic aG9va3M6b3BlbiBzZXNhbWU="; // hooks:open sesame
            let (authorization, team) = (one.header("authorization"), one.header("x-team"));
            match one.path.as_str() {
                JOBS => assert_eq!((authorization, team), (Some(basic), None)),
                _ => assert_eq!((authorization, team), (None, Some("billing"))),
            }
        }
        assert_eq!(got[JOBS], sent.keys().cloned().collect());
        let is_end = |key: &&String| !key.ends_with(".created") && !key.ends_with(".processing");
        assert_eq!(got[ENDINGS], sent.keys().filter(is_end).cloned().collect());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_comes_again_with_the_id_it_had_and_is_in_the_log() {
    let (stage, receiver) = portal("receiver.js").await;
    delivery(&stage, "on").await;
    receiver.in_trouble(&["500"]);

    stage.publish("producer.py", &["job-1", "completed"]);

    stage.settled("delivered", 4).await;
    let arrived = receiver.receives(5).await;
    let mut ids: Vec<_> = arrived
        .iter()
        .map(|one| (&one.path, one.header("webhook-id").expect("it has one")))
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4, "the second request has the id of the first: {ids:?}");

    let mut statuses = Vec::new();
    for endpoint in ["everything", "endings"] {
        let log = stage.call("GET", &format!("/attempt/endpoint/{endpoint}"), "").await.json();
        let attempts = log["data"].as_array().expect("a list").iter();
        statuses.extend(attempts.map(|one| one["responseStatusCode"].as_u64().expect("a status")));
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 204, 204, 204, 500]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_tested_by_one_marked_request_that_is_answered_at_once() {
    let (stage, receiver) = portal("receiver.js").await;

    let tested = stage.call("POST", "/endpoint/endings/test", "").await;
    assert_eq!(tested.status, 200, "{tested:?}");
    assert!(tested.body.starts_with(r#"{"ok":true,"status":204"#), "verified: {}", tested.body);
    let arrived = receiver.receives(1).await.remove(0);
    assert_eq!((arrived.path.as_str(), arrived.header("webhook-test")), (ENDINGS, Some("true")));

    receiver.in_trouble(&["500 always"]);
    let tested = stage.call("POST", "/endpoint/endings/test", "").await;
    assert!(tested.body.starts_with(r#"{"ok":false,"status":500"#), "{}", tested.body);
    receiver.receives(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_lets_a_tenant_in_to_its_own_endpoints_and_their_logs_alone() {
    let (stage, _receiver) = portal("receiver.js").await;
    let access = "/api/v1/auth/app-portal-access/portal";
    let link = stage.api.post_json(access, &json!({})).await;
    assert_eq!(link.status, 200, "{link:?}");
    let link = link.json();
    assert!(link["url"].as_str().expect("a URL").contains("/portal/"), "{link}");

    let tenant: Api = stage.api.with_token(link["token"].as_str().map(str::to_owned));
    let get = async |path: &str| tenant.send("GET", path, &[], b"").await;
    let endpoints = get("/api/v1/app/portal/endpoint").await;
    assert_eq!(endpoints.json()["data"].as_array().map(Vec::len), Some(2), "{endpoints:?}");
    assert_eq!(get("/api/v1/app/portal/attempt/endpoint/endings").await.status, 200);
    stage.posthaste.json(&["app", "create", "Another", "--uid", "another"]);
    assert_eq!(get("/api/v1/app/another/endpoint").await.status, 404, "not its own");

    let nobody = stage.api.with_token(None).post_json(access, &json!({})).await;
    assert_eq!(nobody.status, 401, "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_are_https_only() {
    let stage = Stage::of("portal").await;
    stage.preset("").await;

    let plain = json!({ "url": "http://127.0.0.1:18080/webhooks/jobs" }).to_string();
    let refused = stage.call("POST", "/endpoint", &plain).await;

    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.body.contains("https"), "{refused:?}");
}
