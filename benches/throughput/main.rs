//! Everything that can be measured of the whole router: beside its floors and its peers, in one run.
//!
//! A floor is what cannot be done without (posting, consuming, writing to disk), a peer is what one would use instead. All
//! work towards the same receiver, by turns and several times, because the machine is shared: only the ratios mean
//! anything. Load generator, receiver, broker, and whoever is measured are processes of their own (roles of this binary,
//! told by its first argument) on the same cores: what the first three take is the same for all.
//!
//! `make bench`, or `make bench ONLY=backlog,latency RUNS=5`; the cases are in [`CASES`]. With `--quick` everything is done
//! once with next to nothing: it shows that the suite works, and says nothing about speed.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints, reads the clock, and is told by the environment"
)]

#[path = "../../tests/support/broker.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod broker;
#[path = "../../tests/support/postgres.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod database;

mod backlog;
mod embedded;
mod floors;
mod load;
mod pace;
mod peers;
mod process;
mod receiver;
mod replay;
mod report;
mod routers;
mod tenants;
mod waiting;

use std::time::Duration;

use backlog::Place;
use process::setting;
use report::Report;

/// A payload of 1 KiB, as a job's event is.
const PAYLOAD_BYTES: usize = 1_024;

/// Longest that one turn may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// The parts of the suite, in their order.
const CASES: [&str; 9] = [
    "backlog",
    "latency",
    "sick",
    "flood",
    "endpoints",
    "waiting",
    "routers",
    "embedded",
    "replay",
];

/// Those of them that are done only when they are named: what they say is no bar.
const NAMED_ONLY: [&str; 2] = ["embedded", "replay"];

/// Where the router's journal is said to be, when it is not in its own file.
const POSTGRES_SETTING: &str = "POSTHASTE_STORAGE__POSTGRES";

/// How much is measured.
struct Plan {
    runs: usize,
    quick: bool,
    only: Vec<String>,
}

impl Plan {
    fn told() -> Self {
        let quick = std::env::args().any(|argument| argument == "--quick");
        let only = std::env::var("BENCH_ONLY").unwrap_or_default();
        let only: Vec<String> =
            only.split(',').filter(|one| !one.is_empty()).map(Into::into).collect();
        if let Some(unknown) = only.iter().find(|one| !CASES.contains(&one.as_str())) {
            panic!("no case is called {unknown}: {} are", CASES.join(", "));
        }
        Self { runs: if quick { 1 } else { setting("BENCH_RUNS", 5) }, quick, only }
    }

    /// The one when it is measured, the other when it is only shown that it works.
    const fn of(&self, measured: usize, quick: usize) -> usize {
        if self.quick { quick } else { measured }
    }

    /// How long something is left alone before its memory is read.
    const fn settling(&self) -> Duration {
        if self.quick { Duration::ZERO } else { Duration::from_secs(2) }
    }

    fn wants(&self, case: &str) -> bool {
        if self.only.is_empty() {
            return !NAMED_ONLY.contains(&case);
        }
        self.only.iter().any(|one| one == case)
    }
}

/// What one turn came to.
#[derive(Debug, Clone, Copy)]
struct Figures {
    per_second: f64,
    own_us: f64,
    /// CPU of the broker, where there is one.
    store_us: f64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let role = arguments.first().map(String::as_str).unwrap_or_default();
    let rest = arguments.get(1..).unwrap_or_default();
    // One thread each: the cheapest that these libraries do, for roles and floors alike.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the operating system gives us what a runtime wants");
    runtime.block_on(async {
        match role {
            "receiver" => receiver::serve().await,
            "publish" => load::publish(rest).await,
            "post" => floors::post(rest).await,
            "bare" => floors::bare(rest).await,
            "consume" => floors::consume(rest).await,
            "insert" => floors::insert(rest),
            "load" => embedded::load(rest).await,
            _ => measure(Plan::told()).await,
        }
    });
}

async fn measure(plan: Plan) {
    let mut report = Report::new(!plan.quick);
    report.say(&format!("{} runs of each, {PAYLOAD_BYTES} bytes of payload\n", plan.runs));
    let on_a_broker = ["backlog", "latency", "sick", "flood", "endpoints", "routers"];
    if on_a_broker.iter().any(|case| plan.wants(case)) {
        let place = Place::new().await;
        if plan.wants("backlog") {
            backlog::compare(&place, &plan, &mut report).await;
        }
        if plan.wants("latency") {
            pace::quiet(&place, &plan, &mut report).await;
        }
        if plan.wants("sick") {
            pace::beside_the_sick(&place, &plan, &mut report).await;
        }
        if plan.wants("flood") {
            pace::beside_a_flood(&place, &plan, &mut report).await;
        }
        if plan.wants("endpoints") {
            pace::many_endpoints(&place, &plan, &mut report).await;
        }
        if plan.wants("routers") {
            routers::shared(&place, &plan, &mut report).await;
        }
    }
    if plan.wants("embedded") {
        embedded::compare(&plan, &mut report).await;
    }
    if plan.wants("waiting") {
        waiting::measure(&plan, &mut report).await;
    }
    if plan.wants("replay") {
        replay::measure().await;
    }
    report.end();
}

/// The payload of the event of that number.
fn payload(number: usize) -> String {
    payload_at(number, 0)
}

/// The same, saying when it was published.
fn payload_at(number: usize, at_us: u64) -> String {
    let head = format!(r#"{{"n":{number},"at":{at_us},"padding":""#);
    let padding = PAYLOAD_BYTES - 2 - head.len();
    format!(r#"{head}{:x<padding$}"}}"#, "")
}
