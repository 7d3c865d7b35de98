//! An operator's way: in by a token, to a group of dead letters, what is in it, its replay, and how that goes. With the pages' scripts
//! and without them.

use crate::stage::Stage;
use crate::support::browser::{Browser, Scripts};
use crate::support::receiver::Script;
use serde_json::json;

const ONCE: &str =
    r#"{"retry":{"kind":"schedule","delaysMs":[],"jitter":0.0},"circuitBreaker":false}"#;
const LETTERS: usize = 6;

async fn with_dead_letters() -> Stage {
    let stage = Stage::new().await;
    stage.endpoint("warehouse", Script::Answer(500), "Warehouse", ONCE).await;
    for number in 1..=LETTERS {
        stage.publish("job.completed", &format!("run-{number}"), &json!({ "job": number })).await;
    }
    stage.has_dead(LETTERS).await;
    stage
}

/// Waits for what a page says by itself, or when it is loaded again.
async fn in_time(browser: &Browser, scripts: Scripts, words: &str) {
    match scripts {
        Scripts::Run => browser.sees(words).await,
        Scripts::Off => browser.reloads_until(words).await,
    }
}

async fn replays_a_group(scripts: Scripts) {
    let stage = with_dead_letters().await;
    let browser = stage.operator(scripts).await;

    browser.press("Dead letters").await;
    browser.sees("the largest group first").await;
    browser.press_beside("500", "Look at it").await;
    browser.sees("500").await;
    browser.press("Dead letters").await;
    browser.press_beside("500", "Replay").await;
    browser.sees("Replay these dead letters?").await;
    browser.sees(&format!("Are sent again {LETTERS}")).await;

    // Mended meanwhile; slow enough to be watched.
    stage.receiver.endpoint("warehouse", Script::Answer(200));
    browser.fill("Deliveries a second", "2").await;
    browser.press_and_go(&format!("Replay {LETTERS}")).await;
    browser.sees("passed").await;
    in_time(&browser, scripts, &format!("Delivered {LETTERS}")).await;
    in_time(&browser, scripts, &format!("{LETTERS} of {LETTERS} passed")).await;
    assert_eq!(stage.receiver.accepted("warehouse").len(), LETTERS, "each of them has come");

    browser.press_and_go("Replays").await;
    browser.reloads_until("finished").await;
    browser.press("Dead letters").await;
    browser.sees("No dead letters").await;
    browser.press("Audit").await;
    browser.sees("replay").await;
    browser.press("Log out").await;
    browser.sees("Operator's token").await;
    browser.goto("/console/dead-letters").await;
    browser.sees("Operator's token").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_dead_letters_is_found_replayed_and_watched() {
    replays_a_group(Scripts::Run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_dead_letters_is_found_replayed_and_watched_without_scripts() {
    replays_a_group(Scripts::Off).await;
}
