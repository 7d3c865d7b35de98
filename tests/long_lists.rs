//! Pages over a long history: every page that can be reached is made without reading a table from its beginning.
//!
//! The router tells of such statements when it is built for tests (`storage::sqlite::watch`). How long a page takes over a million
//! deliveries is a bench (`pages`): here nothing is held to a time.

mod support;

use serde_json::json;
use support::api::Api;
use support::laid;
use support::receiver::{Receiver, Script};
use support::router::Posthaste;
use support::walk::Walker;

/// Several times more than what the router takes for much.
const DELIVERIES: i64 = 100_000;
const SCANNED: &str = "a statement has read a whole table";

#[tokio::test(flavor = "multi_thread")]
async fn no_page_reads_a_whole_table_however_much_there_is() {
    let receiver = Receiver::start().await;
    let mut posthaste = Posthaste::embedded().with_application();
    posthaste.set("POSTHASTE_API__REQUESTS_PER_SECOND", "0");
    for name in ["a", "b", "c"] {
        posthaste.endpoint(name, &receiver.endpoint(name, Script::Answer(200)), &[]);
    }
    laid::lay(&posthaste, DELIVERIES);
    let router = posthaste.serve().await;
    let api = Api::of(&posthaste, &router);
    let event = json!({ "eventType": "job.type-1", "payload": { "job": 1 } });
    assert_eq!(api.post_json("/api/v1/app/acme/msg", &event).await.status, 202);
    let before = posthaste.log().matches(SCANNED).count();

    let mut kinds = Vec::new();
    for walker in [Walker::tenant(&api, "acme").await, Walker::operator(&posthaste, &api).await] {
        kinds.extend(walker.pages(usize::MAX).await.into_iter().map(|page| page.kind));
    }

    let log = posthaste.log();
    let told: Vec<_> = log.lines().filter(|line| line.contains(SCANNED)).skip(before).collect();
    assert!(told.is_empty(), "of {kinds:?}:\n{}", told.join("\n"));
    assert!(
        kinds.iter().any(|kind| kind == "/console") && kinds.iter().any(|kind| kind == "/portal")
    );
}
