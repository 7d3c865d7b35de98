//! What each page costs over a million deliveries, beside the same page over a store with next to nothing.
//!
//! `cargo bench --bench pages`, or `BENCH_DELIVERIES=100000 …`. The pages are found by walking from the first one, so a new one is
//! measured by being linked to. The machine is shared: the ratio says something, the milliseconds little. That no page reads a whole
//! table is held by a test (`tests/long_lists.rs`).

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints, reads the clock, and is told by the environment"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::json;
use support::api::Api;
use support::receiver::{Receiver, Script};
use support::router::{Posthaste, Running};
use support::walk::Walker;
use support::{eventually, laid};

/// How often each page is asked for; the median is told.
const TIMES: usize = 9;

struct Place {
    posthaste: Posthaste,
    _router: Running,
    api: Api,
}

impl Place {
    /// An application with two endpoints, a delivery that arrived and a dead letter, over so long a history.
    async fn new(receiver: &Receiver, deliveries: i64) -> Self {
        let mut posthaste = Posthaste::embedded().with_application();
        posthaste.set("POSTHASTE_API__REQUESTS_PER_SECOND", "0");
        let once = r#"{"retry":{"kind":"schedule","delaysMs":[],"jitter":0.0}}"#;
        for (name, status) in [("well", 200), ("ill", 500)] {
            let url = receiver.endpoint(name, Script::Answer(status));
            posthaste.endpoint(name, &url, &["--policy", once]);
        }
        if deliveries > 0 {
            laid::lay(&posthaste, deliveries);
        }
        let router = posthaste.serve().await;
        let api = Api::of(&posthaste, &router);
        let event = json!({ "eventType": "job.type-1", "payload": { "job": 1 } });
        assert_eq!(api.post_json("/api/v1/app/acme/msg", &event).await.status, 202);
        eventually("it is given up", async || {
            let list =
                api.send("GET", "/api/v1/app/acme/dead-letter?limit=1", &[], b"").await.json();
            (list["data"].as_array()?.len() == 1).then_some(())
        })
        .await;
        Self { posthaste, _router: router, api }
    }

    /// Milliseconds and bytes of each kind of page.
    async fn measured(&self) -> BTreeMap<String, (f64, usize)> {
        let tenant = Walker::tenant(&self.api, "acme").await;
        let operator = Walker::operator(&self.posthaste, &self.api).await;
        let mut all = BTreeMap::new();
        for walker in [tenant, operator] {
            for page in walker.pages(2).await {
                let mut took = Vec::new();
                for _ in 0..TIMES {
                    let begun = Instant::now();
                    walker.get(&page.path).await;
                    took.push(begun.elapsed().as_secs_f64() * 1_000.0);
                }
                took.sort_by(f64::total_cmp);
                all.insert(page.kind, (took[TIMES / 2], page.bytes));
            }
        }
        all
    }
}

#[tokio::main]
async fn main() {
    let deliveries = std::env::var("BENCH_DELIVERIES").ok().and_then(|text| text.parse().ok());
    let deliveries: i64 = deliveries.unwrap_or(1_000_000);
    let receiver = Receiver::start().await;
    let begun = Instant::now();
    let full = Place::new(&receiver, deliveries).await;
    println!("{deliveries} deliveries, laid in {:.0} s", begun.elapsed().as_secs_f64());
    let empty = Place::new(&receiver, 0).await;
    let (full, empty) = (full.measured().await, empty.measured().await);
    println!("| page | empty, ms | with {deliveries}, ms | ratio | KiB |");
    println!("|---|---|---|---|---|");
    for (kind, (took, bytes)) in &full {
        let kib = bytes.div_ceil(1024);
        match empty.get(kind) {
            Some((idle, _)) => {
                println!("| {kind} | {idle:.1} | {took:.1} | {:.1} | {kib} |", took / idle);
            }
            None => println!("| {kind} | | {took:.1} | | {kib} |"),
        }
    }
}
