//! Deliveries a second and CPU for each, of the whole router beside a bare loop, in one run.
//!
//! The bare loop is what one would write in an afternoon with the same libraries: consume, sign,
//! POST, acknowledge; no journal, no limits, no retries. What the router costs more is what its
//! promises cost. Both work off the same backlog on the same broker, towards the same receiver, by
//! turns and several times, because the machine is shared: only the ratios mean anything.
//!
//! `make bench`, or `BENCH_EVENTS=20000 BENCH_ROUNDS=5 make bench`. Each role is a process of its own
//! (this binary, told by its first argument), so that each one's CPU can be read.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints, and is told by the environment"
)]

#[path = "../../tests/support/broker.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod broker;

mod bare;
mod receiver;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use broker::Broker;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueuePurgeOptions};
use lapin::{BasicProperties, Connection, ConnectionProperties};

/// A payload of 1 KiB, as a job's event is.
const PAYLOAD_BYTES: usize = 1_024;

/// Longest that one turn may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// What one turn came to.
#[derive(Clone, Copy)]
struct Figures {
    per_second: f64,
    own_us: f64,
    broker_us: f64,
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("receiver") => receiver::serve().await,
        Some("bare") => bare::run(&arguments[1..]).await,
        _ => compare().await,
    }
}

async fn compare() {
    let events = setting("BENCH_EVENTS", 10_000);
    let rounds = setting("BENCH_ROUNDS", 3);
    let broker = Broker::start().await;
    println!("{events} events of {PAYLOAD_BYTES} bytes, {rounds} rounds, medians\n");
    println!(
        "{:<9} {:<14} {:>14} {:>18} {:>20}",
        "fan-out", "", "deliveries/s", "own CPU us each", "broker CPU us each"
    );
    for fanout in [1, 5] {
        let (mut bare, mut router) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let prefix = format!("bench{fanout}x{round}");
            bare.push(turn(&broker, &format!("{prefix}b"), events, fanout, Kind::Bare).await);
            router.push(turn(&broker, &format!("{prefix}r"), events, fanout, Kind::Router).await);
        }
        let (bare, router) = (median(bare), median(router));
        for (name, figures) in [("bare loop", bare), ("posthaste", router)] {
            println!(
                "{fanout:<9} {name:<14} {:>14.0} {:>18.1} {:>20.1}",
                figures.per_second, figures.own_us, figures.broker_us
            );
        }
        println!(
            "{fanout:<9} {:<14} {:>13.2}x {:>17.2}x {:>19.2}x\n",
            "ratio",
            router.per_second / bare.per_second,
            router.own_us / bare.own_us,
            router.broker_us / bare.broker_us
        );
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bare,
    Router,
}

/// Lays a backlog of events in the inbox, lets one of them work it off, and takes its figures.
async fn turn(broker: &Broker, prefix: &str, events: usize, fanout: usize, kind: Kind) -> Figures {
    let mut receiver = receiver::Process::start();
    let urls: Vec<String> = (0..fanout).map(|n| receiver.url(n)).collect();
    let router = Router::new(broker, prefix);
    router.run(&["topology", "--apply"]);
    router.run(&["app", "create", "Bench", "--uid", "bench"]);
    for url in &urls {
        router.run(&["endpoint", "create", "--app", "bench", "--url", url]);
    }
    publish(broker, prefix, events).await;

    let broker_before = cpu_us(broker.pid());
    let worker = match kind {
        Kind::Router => router.start(),
        Kind::Bare => {
            own_role("bare", &[&broker.url(), &format!("{prefix}.v1.inbox"), &urls.join(",")])
        }
    };
    let worker = Killed(worker);
    let deliveries = events * fanout;
    let took = receiver.wait_for(deliveries, PATIENCE).await;
    let own = cpu_us(worker.0.id());
    let broker_cpu = cpu_us(broker.pid()) - broker_before;
    drop(worker);
    purge(broker, &format!("{prefix}.v1.inbox")).await;
    let each = |us: u64| precise(us) / precise(deliveries as u64);
    Figures {
        per_second: precise(deliveries as u64) / took.as_secs_f64(),
        own_us: each(own),
        broker_us: each(broker_cpu),
    }
}

async fn publish(broker: &Broker, prefix: &str, events: usize) {
    let connection = Connection::connect(&broker.url(), ConnectionProperties::default())
        .await
        .expect("the broker is up");
    let channel = connection.create_channel().await.expect("a channel");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    let exchange = format!("{prefix}.events");
    let padding = "x".repeat(PAYLOAD_BYTES - 32);
    for chunk in (0..events).collect::<Vec<_>>().chunks(500) {
        let mut confirms = Vec::with_capacity(chunk.len());
        for number in chunk {
            let body = format!(r#"{{"n":{number:>8},"padding":"{padding}"}}"#);
            let properties = BasicProperties::default()
                .with_delivery_mode(2)
                .with_message_id(format!("e{number}").into());
            let confirm = channel
                .basic_publish(
                    exchange.as_str().into(),
                    "bench.job.completed".into(),
                    BasicPublishOptions::default(),
                    body.as_bytes(),
                    properties,
                )
                .await
                .expect("published");
            confirms.push(confirm);
        }
        for confirm in confirms {
            assert!(confirm.await.expect("answered").is_ack(), "confirmed");
        }
    }
}

async fn purge(broker: &Broker, queue: &str) {
    let connection = Connection::connect(&broker.url(), ConnectionProperties::default())
        .await
        .expect("the broker is up");
    let channel = connection.create_channel().await.expect("a channel");
    channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await.expect("purged");
}

/// The product, as it is used.
struct Router {
    folder: tempfile::TempDir,
    broker: String,
    prefix: String,
}

impl Router {
    fn new(broker: &Broker, prefix: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, broker: broker.url(), prefix: prefix.into() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_posthaste"));
        command
            .args(arguments)
            .env("POSTHASTE_DATA_DIR", self.folder.path())
            .env("POSTHASTE_RABBITMQ__URLS", &self.broker)
            .env("POSTHASTE_RABBITMQ__PREFIX", &self.prefix)
            .env("POSTHASTE_ADMIN__LISTEN", "127.0.0.1:0")
            .env("POSTHASTE_LOG__FILTER", "warn")
            .env("POSTHASTE_DEV", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) {
        let status = self.command(arguments).stderr(Stdio::null()).status().expect("runs");
        assert!(status.success(), "{arguments:?}");
    }

    fn start(&self) -> Child {
        self.command(&["serve"]).spawn().expect("starts")
    }
}

/// This binary in another role.
fn own_role(role: &str, arguments: &[&str]) -> Child {
    let own = std::env::current_exe().expect("we run from a file");
    Command::new(own)
        .arg(role)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts")
}

/// A process that is killed when we are done with it.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// CPU that a process has used, user and system, in microseconds.
///
/// From `/proc`, in ticks of 10 ms: fine for turns of seconds.
fn cpu_us(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let after_name = stat.rsplit_once(')').expect("the name is in brackets").1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |place: usize| fields[place].parse::<u64>().expect("a number");
    (ticks(11) + ticks(12)) * 10_000
}

fn median(mut turns: Vec<Figures>) -> Figures {
    let mut middle = |by: fn(&Figures) -> f64| {
        turns.sort_by(|one, other| by(one).total_cmp(&by(other)));
        by(&turns[turns.len() / 2])
    };
    Figures {
        per_second: middle(|turn| turn.per_second),
        own_us: middle(|turn| turn.own_us),
        broker_us: middle(|turn| turn.broker_us),
    }
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn precise(count: u64) -> f64 {
    count as f64
}
