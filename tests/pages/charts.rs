//! What charts are drawn from: every request that a delivery had, whoever asked for it, and no test call.

use posthaste::domain::id::{ApplicationId, EndpointId, OrganisationId};
use serde_json::json;

use crate::case::Case;
use crate::support::operations::dead_letter;
use crate::support::receiver::{Receiver, Script};
use crate::support::{PATIENCE, until};

/// Delivered, failed and given up of one of them, and how many durations were counted.
fn sums(case: &Case, whose: &[u8; 20]) -> [i64; 4] {
    let path = case.posthaste.folder().join("posthaste.db");
    let database = rusqlite::Connection::open(path).expect("opens");
    let sql = "SELECT coalesce(sum(delivered), 0), coalesce(sum(failed), 0), \
               coalesce(sum(given_up), 0), \
               coalesce(sum(d0 + d1 + d2 + d3 + d4 + d5 + d6 + d7 + d8 + d9), 0) \
               FROM rollups WHERE whose = ?1 AND at % 300000 = 0";
    let row = |row: &rusqlite::Row<'_>| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]);
    database.query_row(sql, [whose.as_slice()], row).expect(sql)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_of_a_delivery_is_counted_and_no_test_call() {
    let mut case = Case::new().await;
    let receiver = Receiver::start().await;
    let url = json!({ "url": receiver.endpoint("fine", Script::Answer(200)) });
    let below = "/api/v1/app/acme";
    let made = case.api.post_json(&format!("{below}/endpoint"), &url).await.json();
    let fine = made["id"].as_str().expect("an id").to_owned();
    let mut event = String::new();
    for _ in 0..2 {
        let message = json!({ "eventType": "job.done", "payload": {} });
        let sent = case.api.post_json(&format!("{below}/msg"), &message).await.json();
        event = sent["id"].as_str().expect("an id").to_owned();
    }
    until("both are there", PATIENCE, async || receiver.count("fine") == 2).await;
    let again = format!("{below}/msg/{event}/endpoint/{fine}/resend");
    assert_eq!(case.api.post_json(&again, &json!({})).await.status, 202);
    until("one is there again", PATIENCE, async || receiver.count("fine") == 3).await;
    let test = format!("{below}/endpoint/{fine}/test");
    assert_eq!(case.api.post_json(&test, &json!({ "eventType": "svix.ping" })).await.status, 200);
    assert_eq!(receiver.count("fine"), 4);
    dead_letter(&case.api, &receiver, "acme").await; // given up at once; the other endpoint gets it, too

    case.router.signal("TERM"); // with what was counted in the last seconds
    assert!(case.router.end().await.success());

    let fine: EndpointId = fine.parse().expect("an id");
    assert_eq!(sums(&case, fine.as_bytes()), [4, 0, 0, 4], "four of five requests");
    let listed = case.posthaste.json(&["app", "show", "acme"]);
    let acme: ApplicationId = listed["id"].as_str().expect("an id").parse().expect("an id");
    assert_eq!(sums(&case, acme.as_bytes()), [4, 0, 1, 5]);
    assert_eq!(sums(&case, OrganisationId::DEFAULT.as_bytes()), [4, 0, 1, 5]);
}
