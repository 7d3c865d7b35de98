//! xlsxapi: one request for each execute call that names a URL, at most once, and two fields on the job's
//! row that say what became of it.

use std::time::Duration;

use posthaste::domain::time::Timestamp;
use serde_json::{Value, json};

use super::stage::{Published, Receiver, Stage};
use super::support::broker::two_free_ports;
use super::support::clock;

const PATH: &str = "/webhooks/xlsxapi";

async fn xlsxapi() -> Stage {
    let stage = Stage::of("xlsxapi").await;
    stage.preset("").await;
    stage
}

/// One execute call; what its service published.
fn execute(stage: &Stage, request: &Value) -> Published {
    stage.publish("producer.py", &["execute", &request.to_string()]).remove(0)
}

fn wanted_at(url: &str) -> Value {
    json!({ "inputs": { "customerAge": 35, "propertyValue": 500_000 }, "webhook_url": url })
}

/// The job's row, once its service has had this many results.
fn row(stage: &Stage, job: &Published, results: &str) -> Value {
    stage.run("producer.py", &["track", results]);
    let printed = stage.run("producer.py", &["status", &job.subject]);
    serde_json::from_str(&printed).expect("a row")
}

/// A moment as the row has it, in milliseconds since 1970.
fn moment(field: &Value) -> i64 {
    let moment: Timestamp = field.as_str().expect("a text").parse().expect("RFC 3339");
    moment.as_millis()
}

async fn receives_a_completed_job(stage: &Stage, receiver: &Receiver) {
    let before = clock().as_millis();
    let job = execute(stage, &wanted_at(&receiver.url(PATH)));

    let arrived = receiver.receives(1).await.remove(0);
    assert_eq!(arrived.body(), job.body, "byte for byte");
    assert!(arrived.body().contains(r#""premium": 1250.50,"#), "the digits of a number stay");
    let names = ["job_id", "status", "inputs", "outputs", "created_at", "completed_at"];
    let body = arrived.json();
    assert!(names.iter().all(|name| body.get(name).is_some()), "{body}");
    assert_eq!(body["status"], "completed");
    assert_eq!((arrived.method.as_str(), arrived.path.as_str()), ("POST", PATH));
    assert_eq!(arrived.header("content-type"), Some("application/json"));
    assert_eq!(arrived.header("webhook-signature"), None, "{:?}", arrived.marks());

    stage.settled("delivered", 1).await;
    let row = row(stage, &job, "1");
    assert_eq!(row["status"], "completed");
    assert_eq!(row["webhook_url"], receiver.url(PATH));
    assert_eq!(row["webhook_response_status"], 200);
    assert_eq!(row["webhook_sent_at"].as_str().map(str::len), Some("2026-03-18T10:30:09Z".len()));
    let sent_at = moment(&row["webhook_sent_at"]) + 999; // it is to the second
    let came_at = i64::try_from(arrived.at_ms).expect("a time");
    assert!(before <= sent_at && sent_at - 999 <= came_at, "{before} {sent_at} {came_at}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completed_job_arrives_byte_for_byte_and_its_row_says_so() {
    let stage = xlsxapi().await;
    let receiver = stage.receiver("receiver.py", "http").await;
    receives_a_completed_job(&stage, &receiver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_express_receiver_of_its_pages_gets_the_same_over_https() {
    let stage = xlsxapi().await;
    let receiver = stage.receiver("receiver.js", "https").await;
    receives_a_completed_job(&stage, &receiver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_arrives_with_its_error_and_without_outputs() {
    let stage = xlsxapi().await;
    let receiver = stage.receiver("receiver.py", "http").await;
    let mut request = wanted_at(&receiver.url(PATH));
    request["inputs"]["propertyValue"] = json!(0);

    let job = execute(&stage, &request);

    let arrived = receiver.receives(1).await.remove(0);
    assert_eq!(arrived.body(), job.body, "byte for byte");
    let body = arrived.json();
    let names: Vec<_> = body.as_object().expect("an object").keys().cloned().collect();
    assert_eq!(names, ["created_at", "error_message", "job_id", "status", "updated_at"]);
    assert_eq!(body["status"], "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_answers_an_error_gets_one_request_and_never_another() {
    let stage = xlsxapi().await;
    let receiver = stage.receiver("receiver.py", "http").await;
    receiver.in_trouble(&["500 always"]);

    let job = execute(&stage, &wanted_at(&receiver.url(PATH)));

    stage.settled("dropped", 1).await;
    receiver.receives(1).await;
    assert_eq!(stage.posthaste.list(&["dead-letters", "list"]), Vec::<Value>::new());
    let row = row(&stage, &job, "1");
    assert_eq!(row["status"], "completed", "the job itself is as it was");
    assert_eq!(row["webhook_response_status"], 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_0_is_a_receiver_that_is_away_or_silent_for_ten_seconds() {
    let stage = xlsxapi().await;
    let [nobody, _] = two_free_ports();
    let job = execute(&stage, &wanted_at(&format!("http://127.0.0.1:{nobody}{PATH}")));
    let away = row(&stage, &job, "1");
    assert_eq!(away["webhook_response_status"], 0);
    assert!(away["webhook_sent_at"].is_string(), "it was attempted");

    let receiver = stage.receiver("receiver.py", "http").await;
    receiver.in_trouble(&["hang"]);
    let job = execute(&stage, &wanted_at(&receiver.url(PATH)));
    let silent = row(&stage, &job, "1");

    let began = moment(&stage.owed(&job.subject).await[0]["lastAttemptAt"]);
    let waited = clock().as_millis() - began;
    let timeout = i64::try_from(Duration::from_secs(10).as_millis()).expect("small");
    assert!(waited >= timeout, "given up after {waited} ms");
    assert_eq!(silent["webhook_response_status"], 0);
    stage.settled("dropped", 2).await;
    receiver.receives(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_a_url_is_owed_to_nobody() {
    let stage = xlsxapi().await;
    let receiver = stage.receiver("receiver.py", "http").await;
    let silent = execute(&stage, &json!({ "inputs": wanted_at("")["inputs"] }));
    execute(&stage, &wanted_at(&receiver.url(PATH)));

    stage.settled("delivered", 1).await;
    assert_ne!(receiver.receives(1).await[0].body(), silent.body);
    stage.recorded(2).await;
    assert_eq!(stage.owed(&silent.subject).await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_a_job_is_asked_for_by_its_id() {
    let stage = xlsxapi().await;
    let receiver = stage.receiver("receiver.py", "http").await;
    let [nobody, _] = two_free_ports();
    let away = format!("http://127.0.0.1:{nobody}{PATH}");

    let well = execute(&stage, &wanted_at(&receiver.url(PATH)));
    let lost = execute(&stage, &wanted_at(&away));
    stage.settled("delivered", 1).await;
    stage.settled("dropped", 1).await;

    let told = stage.owed(&well.subject).await.remove(0);
    assert_eq!((&told["url"], &told["state"]), (&json!(receiver.url(PATH)), &json!("delivered")));
    assert_eq!((&told["lastResponseStatus"], &told["lastErrorCode"]), (&json!(200), &Value::Null));
    assert_eq!(told["firstAttemptAt"], told["lastAttemptAt"], "there was one");
    let told = stage.owed(&lost.subject).await.remove(0);
    assert_eq!((&told["url"], &told["state"]), (&json!(away), &json!("dropped")));
    assert_eq!(
        (&told["lastResponseStatus"], &told["lastErrorCode"]),
        (&json!(0), &json!("connect"))
    );
}
