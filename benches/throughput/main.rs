//! Deliveries a second and CPU for each, of the whole router beside bare loops, in one run.
//!
//! A bare loop is what one would write in an afternoon with the same libraries: no journal, no limits,
//! no retries. What the router costs more is what its promises cost. All work towards the same
//! receiver, by turns and several times, because the machine is shared: only the ratios mean anything.
//!
//! `make bench`, or `BENCH_EVENTS=20000 BENCH_ROUNDS=5 BENCH_ONLY=embedded make bench`; the parts are
//! `rabbitmq`, `embedded`, `waiting` and `replay`. Each role is a process of its own (this binary, told by its
//! first argument), so that each one's CPU can be read.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints, and is told by the environment"
)]

#[path = "../../tests/support/broker.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod broker;

mod bare;
mod embedded;
mod process;
mod rabbitmq;
mod receiver;
mod replay;
mod waiting;

use std::time::Duration;

use process::setting;

/// A payload of 1 KiB, as a job's event is.
const PAYLOAD_BYTES: usize = 1_024;

/// Longest that one turn may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// How much is measured.
#[derive(Clone, Copy)]
struct Plan {
    events: usize,
    rounds: usize,
}

/// What one turn came to.
#[derive(Clone, Copy)]
struct Figures {
    per_second: f64,
    own_us: f64,
    /// CPU of the broker, where there is one.
    store_us: f64,
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("receiver") => receiver::serve().await,
        Some("bare") => bare::run(&arguments[1..]).await,
        Some("post") => embedded::post(&arguments[1..]).await,
        Some("insert") => embedded::insert(&arguments[1..]),
        Some("load") => embedded::load(&arguments[1..]).await,
        _ => compare().await,
    }
}

async fn compare() {
    let plan = Plan { events: setting("BENCH_EVENTS", 10_000), rounds: setting("BENCH_ROUNDS", 3) };
    let Plan { events, rounds } = plan;
    println!("{events} events of {PAYLOAD_BYTES} bytes, {rounds} rounds, medians\n");
    let only = std::env::var("BENCH_ONLY").unwrap_or_default();
    let wanted = |part: &str| only.is_empty() || only == part;
    if wanted("rabbitmq") {
        rabbitmq::compare(plan).await;
    }
    if wanted("embedded") {
        embedded::compare(plan).await;
    }
    if wanted("waiting") {
        waiting::measure().await;
    }
    if wanted("replay") {
        replay::measure().await;
    }
}

/// The payload of the event of that number.
fn payload(number: usize) -> String {
    let padding = "x".repeat(PAYLOAD_BYTES - 32);
    format!(r#"{{"n":{number:>8},"padding":"{padding}"}}"#)
}
