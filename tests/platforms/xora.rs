//! Xora: a URL for each job or a default one, three requests within a second and a half, and a test call
//! that answers `ok` and `status`.

use serde_json::{Value, json};

use super::stage::{Arrived, Published, Receiver, Stage};
use super::support::broker::two_free_ports;

const PATH: &str = "/webhooks/xora";

/// With its preset, and the receiver that is its default URL.
async fn xora() -> (Stage, Receiver) {
    let stage = Stage::of("xora").await;
    let receiver = stage.receiver("receiver.js", "http").await;
    stage.preset(&receiver.origin).await;
    (stage, receiver)
}

/// A job of this name that ended so.
fn job(name: &str, state: &str) -> Value {
    let mut job = json!({ "jobId": name, "state": state, "progress": 35 });
    match state {
        "completed" => {
            job["progress"] = json!(100);
            job["output"] =
                json!({ "signedUrl": "https://files.example/output.mp4?signature=aB%2F" });
            job["output_files"] = json!({ "output": { "size_mbytes": 12.5, "duration": 120.5 } });
        }
        "failed" => {
            job["error"] = json!({ "code": "TRANSCODE_ERROR", "message": "code 1",
                                   "stage": "transcoding", "retryable": true });
        }
        _ => {}
    }
    job
}

fn publish(stage: &Stage, job: &Value) -> Published {
    stage.publish("producer.js", &[&job.to_string()]).remove(0)
}

/// Xora's own settings call, in its words.
fn settings(stage: &Stage, arguments: &[&str]) -> Value {
    serde_json::from_str(&stage.run("settings.js", arguments)).expect("JSON")
}

/// Milliseconds from each request to the next.
fn gaps_ms(arrived: &[Arrived]) -> Vec<u64> {
    arrived.windows(2).map(|pair| pair[1].at_ms - pair[0].at_ms).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_terminal_state_arrives_byte_for_byte_at_the_default_url() {
    let (stage, receiver) = xora().await;
    let states = ["completed", "failed", "rejected", "cancelled"];
    let mut sent: Vec<_> =
        states.iter().map(|state| publish(&stage, &job("job-1", state)).body).collect();

    let arrived = receiver.receives(states.len()).await;

    let mut bodies: Vec<_> = arrived.iter().map(Arrived::body).collect();
    bodies.sort();
    sent.sort();
    assert_eq!(bodies, sent, "byte for byte");
    for one in &arrived {
        let body = one.json();
        let timestamp = body["timestamp"].as_u64().expect("milliseconds since 1970");
        assert!(timestamp.abs_diff(one.at_ms) < 60_000, "{timestamp}, and it is {}", one.at_ms);
        assert_eq!(body["data"].get("error").is_some(), body["data"]["state"] == "failed");
        assert_eq!((one.method.as_str(), one.path.as_str()), ("POST", PATH));
        assert_eq!(one.header("content-type"), Some("application/json"));
        assert_eq!(one.header("webhook-signature"), None, "{:?}", one.marks());
    }
    stage.settled("delivered", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jobs_own_url_goes_before_the_default_one() {
    let (stage, receiver) = xora().await;
    let own = stage.receiver("receiver.js", "http").await;
    let mut named = job("job-2", "completed");
    named["webhookUrl"] = json!(own.url(PATH));

    let there = publish(&stage, &named);
    let here = publish(&stage, &job("job-3", "completed"));

    assert_eq!(own.receives(1).await[0].body(), there.body);
    assert_eq!(receiver.receives(1).await[0].body(), here.body);
    assert!(!there.body.contains("webhookUrl"), "its URL is not part of a job's result");
    stage.settled("delivered", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_receiver_gets_three_requests_half_a_second_and_a_second_apart() {
    let (stage, receiver) = xora().await;
    receiver.in_trouble(&["500 always"]);

    let mut ratios = Vec::new();
    for (number, name) in ["job-a", "job-b", "job-c", "job-d", "job-e"].into_iter().enumerate() {
        let sent = publish(&stage, &job(name, "completed"));
        stage.settled("dropped", i64::try_from(number + 1).expect("small")).await;

        let mut arrived = receiver.receives(3 * (number + 1)).await;
        let arrived = arrived.split_off(3 * number);
        assert!(arrived.iter().all(|one| one.body() == sent.body), "the same bytes each time");
        let ids: Vec<_> = arrived.iter().map(|one| one.header("webhook-id")).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        let gaps = gaps_ms(&arrived);
        assert!(gaps[0] >= 500 && gaps[1] >= 1_000, "never early: {gaps:?}");
        ratios.push(100 * gaps[1] / gaps[0]);
    }

    // Twice as long, but for what a busy machine puts to both: one of five that it does not hold up is enough,
    // and one that it holds up is no fault.
    assert!(ratios.iter().any(|ratio| *ratio >= 130), "the second wait in percent: {ratios:?}");
    assert_eq!(stage.posthaste.list(&["dead-letters", "list"]), Vec::<Value>::new(), "abandoned");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_well_again_has_it_at_the_third_request() {
    let (stage, receiver) = xora().await;
    receiver.in_trouble(&["503", "404"]);

    publish(&stage, &job("job-5", "failed"));

    stage.settled("delivered", 1).await;
    receiver.receives(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_receiver_is_tried_three_times_too() {
    let (stage, _default) = xora().await;
    let [nobody, _] = two_free_ports();
    let mut named = job("job-6", "completed");
    named["webhookUrl"] = json!(format!("http://127.0.0.1:{nobody}{PATH}"));

    publish(&stage, &named);

    stage.settled("dropped", 1).await;
    let told = stage.owed("job-6").await.remove(0);
    assert_eq!((&told["attemptCount"], &told["state"]), (&json!(3), &json!("dropped")), "{told}");
    assert_eq!(
        (&told["lastResponseStatus"], &told["lastErrorCode"]),
        (&json!(0), &json!("connect"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_test_call_answers_ok_and_the_status_in_this_order() {
    let (stage, receiver) = xora().await;

    assert_eq!(stage.run("settings.js", &["TEST"]).trim(), r#"{"ok":true,"status":200}"#);
    let sample = receiver.receives(1).await.remove(0);
    assert_eq!(sample.json()["data"]["state"], "completed");
    assert_eq!(sample.header("webhook-test"), Some("true"));

    receiver.in_trouble(&["202"]); // by whom its body is not read: none was given
    let answer = stage.call("POST", "/settings/webhook/test", "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.starts_with(r#"{"ok":true,"status":202"#), "{}", answer.body);

    receiver.in_trouble(&["500 always"]);
    assert_eq!(stage.run("settings.js", &["TEST"]).trim(), r#"{"ok":false,"status":500}"#);
    receiver.receives(3).await; // never tried again

    let [nobody, _] = two_free_ports();
    let away = json!({ "defaultWebhookUrl": format!("http://127.0.0.1:{nobody}/") });
    settings(&stage, &["POST", &away.to_string()]);
    assert_eq!(stage.run("settings.js", &["TEST"]).trim(), r#"{"ok":false,"status":0}"#);

    settings(&stage, &["PUT", r#"{"defaultWebhookUrl":null}"#]);
    let refused = stage.call("POST", "/settings/webhook/test", "").await;
    assert_eq!(refused.status, 409, "there is nothing to test: {refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_read_set_by_post_and_cleared_by_put_with_null() {
    let (stage, receiver) = xora().await;
    let read = settings(&stage, &["GET"]);
    assert_eq!(read["defaultWebhookUrl"], receiver.url(PATH));
    assert_eq!(read["defaultStorageProviderId"], Value::Null);
    assert!(read["updatedAt"].as_str().expect("a time").ends_with('Z'), "{read}");

    let other = json!({ "defaultWebhookUrl": "https://hooks.example.com/xora",
                        "defaultStorageProviderId": "storage-1" });
    let set = settings(&stage, &["POST", &other.to_string()]);
    assert_eq!(set["defaultWebhookUrl"], "https://hooks.example.com/xora");
    assert_eq!(set["defaultStorageProviderId"], "storage-1");

    settings(&stage, &["PUT", r#"{"defaultWebhookUrl":null}"#]);
    let cleared = settings(&stage, &["GET"]);
    assert_eq!(cleared["defaultWebhookUrl"], Value::Null);
    assert_eq!(cleared["defaultStorageProviderId"], "storage-1", "what is not named stays");

    let own = stage.receiver("receiver.js", "http").await;
    let mut named = job("job-7", "completed");
    named["webhookUrl"] = json!(own.url(PATH));
    publish(&stage, &job("job-8", "completed"));
    publish(&stage, &named);
    stage.settled("delivered", 1).await;
    stage.recorded(2).await;
    assert_eq!(stage.owed("job-8").await, Vec::<Value>::new());
    own.receives(1).await;
    receiver.receives(0).await;
}
