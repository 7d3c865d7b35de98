//! A tenant's way: in by a link, to an endpoint that works, through one that is broken, and out of it again. With the pages' scripts and
//! without them.

use serde_json::json;

use crate::stage::Stage;
use crate::support::browser::{Browser, Scripts};
use crate::support::receiver::Script;

async fn adds_an_endpoint(stage: &Stage, browser: &Browser) {
    browser.press("Add an endpoint").await;
    browser.fill("URL", "http://169.254.169.254/latest").await;
    browser.press("Add the endpoint").await;
    browser.sees("not accepted. Nothing was changed.").await; // and what was typed is kept
    browser.fill("URL", &stage.receiver.endpoint("mine", Script::Answer(200))).await;
    browser.fill("Description", "mine").await;
    browser.fill("When it fails", "1 attempt, and no other").await;
    browser.press("Add the endpoint").await;
    browser.sees("active").await;
}

async fn tests_it(stage: &Stage, browser: &Browser) {
    browser.press("Test…").await;
    browser.press("Send the test").await;
    browser.sees("It answered 200").await;
    assert_eq!(stage.receiver.count("mine"), 1, "the test call");
}

async fn sees_a_delivery(stage: &Stage, browser: &Browser) {
    stage.publish("job.completed", "run-1", &json!({ "job": "run-1" })).await;
    stage.has_delivered(1).await;
    browser.press("Deliveries").await;
    browser.press_beside("run-1", "job.completed").await;
    browser.sees("was answered 200").await;
    browser.sees("\"job\"").await;
}

/// Breaks the receiver; what is said of that.
async fn sees_why_one_failed(stage: &Stage, browser: &Browser) {
    stage.receiver.endpoint("mine", Script::Saying(500, "out of paper".into()));
    for subject in ["run-2", "run-3"] {
        stage.publish("job.completed", subject, &json!({ "job": subject })).await;
    }
    stage.has_dead(2).await;
    browser.press_and_go("Deliveries").await;
    browser.press_beside("run-2", "job.completed").await;
    browser.sees("was answered 500").await;
    browser.sees("out of paper").await;
}

async fn rotates_the_secret(browser: &Browser) {
    browser.press("Endpoints").await;
    browser.press_in("main table", "mine").await;
    browser.press("Signing").await;
    browser.press("Show the keys").await;
    browser.sees("whsec_").await;
    browser.press("Rotate").await;
    browser.sees("Rotated. The new key signs").await;
}

async fn sends_it_again(stage: &Stage, browser: &Browser) {
    stage.receiver.endpoint("mine", Script::Answer(200));
    let before = stage.receiver.count("mine");
    browser.press("Deliveries").await;
    browser.press_beside("run-2", "job.completed").await;
    browser.press_and_go("Send now").await;
    browser.reloads_until("was answered 200").await;
    let arrived = stage.receiver.arrived("mine");
    let signatures = arrived[before].signature.split(' ').count();
    assert_eq!(signatures, 2, "signed with the new key and with the one that it replaced");
}

async fn replays_the_rest(stage: &Stage, browser: &Browser, scripts: Scripts) {
    browser.press("Endpoints").await;
    browser.press_in("main table", "mine").await;
    browser.press("Recover…").await;
    browser.press("Count them").await;
    browser.sees("What that comes to").await;
    browser.press_and_go("Replay 1").await;
    match scripts {
        Scripts::Run => browser.sees("✓ Delivered 1").await,
        Scripts::Off => browser.reloads_until("✓ Delivered 1").await,
    }
    let bodies = stage.receiver.accepted_bodies("mine");
    let has = |subject: &str| bodies.iter().any(|body| body.contains(subject));
    assert!(["run-1", "run-2", "run-3"].into_iter().all(has), "{bodies:?}");
}

async fn goes_the_whole_way(scripts: Scripts) {
    let stage = Stage::new().await;
    let browser = stage.tenant(scripts).await;
    adds_an_endpoint(&stage, &browser).await;
    tests_it(&stage, &browser).await;
    sees_a_delivery(&stage, &browser).await;
    sees_why_one_failed(&stage, &browser).await;
    rotates_the_secret(&browser).await;
    sends_it_again(&stage, &browser).await;
    replays_the_rest(&stage, &browser, scripts).await;
    browser.press("Log out").await;
    browser.sees("This session is over").await;
    browser.goto("/portal/deliveries").await;
    browser.sees("This session is over").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_adds_an_endpoint_sees_it_break_and_mends_it() {
    goes_the_whole_way(Scripts::Run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_does_the_same_without_scripts() {
    goes_the_whole_way(Scripts::Off).await;
}
