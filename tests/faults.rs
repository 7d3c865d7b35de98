//! What we promise, broken on purpose and counted: the router killed at every step of the way, and
//! the broker in mid-stream.
//!
//! A checker compares what the producer saw confirmed with what the receivers accepted. It is shown
//! to work by a router that acknowledges too early: that one it must catch.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use support::broker::Broker;
use support::producer::Producer;
use support::receiver::{Receiver, Script};
use support::router::{Posthaste, Running};
use support::{unique_prefix, until};

/// What a router took over from its messages is another's two minutes behind that one's start.
const SOON: Duration = Duration::from_mins(5);
/// Events of one case: more than the batches and waits in memory that it has to break in the middle.
const EVENTS: usize = 120;

/// Waits between attempts that a lane keeps in memory, most of them.
const SHORT_WAITS: &str = "300,300,300,300";

/// Three kinds of receiver, so that every step of the way is taken: one that accepts, one that fails
/// each event once (some of its waits are kept in memory, what is more goes on the ladder), and one
/// that is broken and not tried again, so that all it is owed becomes dead letters.
struct Case {
    posthaste: Posthaste,
    receiver: Receiver,
}

/// What the comparison came to.
#[derive(Debug, Default)]
struct Verdict {
    /// Confirmed, and not accepted by an endpoint that wanted it.
    lost: Vec<String>,
    /// Requests beyond those that the scripts call for.
    repeated: usize,
}

impl Case {
    async fn new(broker: &str, flaky_waits: &str) -> Self {
        let posthaste = Posthaste::new(broker, &unique_prefix()).with_application();
        let receiver = Receiver::start().await;
        let good = receiver.endpoint("good", Script::Answer(200));
        let flaky = receiver.endpoint("flaky", Script::FailFirst(1, 500));
        let failing = receiver.endpoint("broken", Script::Answer(500));
        posthaste.endpoint("good", &good, &[]);
        // Every step is to be taken many times: who fails all the time is called all the same.
        let all_the_same = ["--circuit-breaker", "false", "--retry"];
        let flaky_waits = [flaky_waits, "--jitter", "0"];
        posthaste.endpoint("flaky", &flaky, &[&all_the_same[..], &flaky_waits].concat());
        posthaste.endpoint("broken", &failing, &[&all_the_same[..], &["none"]].concat());
        Self { posthaste, receiver }
    }

    /// Publishes, each confirmed before the next so that they come in many small batches; and, when
    /// asked, each received before the next, so that they leave in as many.
    async fn publish(&self, one_by_one: bool, router: &mut Running) -> BTreeSet<String> {
        let producer = Producer::connect(&self.posthaste).await;
        let mut confirmed = BTreeSet::new();
        for number in 0..EVENTS {
            let body = format!(r#"{{"n":{number}}}"#);
            if producer.try_publish("acme.job.completed", &format!("e{number}"), &body).await {
                confirmed.insert(body);
            }
            if one_by_one && router.ended().is_none() {
                until("it has come, or the router is gone", SOON, async || {
                    self.receiver.count("flaky") > number || router.ended().is_some()
                })
                .await;
            }
        }
        assert_eq!(confirmed.len(), EVENTS, "the broker is well");
        confirmed
    }

    /// Waits until nothing is on the way any more: all is delivered, or dead.
    async fn settled(&self, router: &Running) {
        let state = async |state: &str| {
            let series = format!("posthaste_ledger_deliveries{{state=\"{state}\"}}");
            router.metric(&series).await.unwrap_or(-1)
        };
        let counts = std::cell::Cell::new([0; 4]);
        let settled = async || {
            let memory = router.metric("posthaste_deliveries_in_memory").await;
            let now = [
                state("owed").await,
                state("pending").await,
                state("waiting").await,
                memory.unwrap_or(-1),
            ];
            counts.set(now);
            now == [i64::try_from(EVENTS * 3).expect("few"), 0, 0, 0]
        };
        let waited = tokio::time::timeout(SOON, until("everything is settled", SOON * 2, settled));
        assert!(
            waited.await.is_ok(),
            "[owed, pending, waiting, in memory] are {:?} after {SOON:?}",
            counts.get()
        );
    }

    /// Mends the receiver that was broken, replays what it missed, and waits for that.
    async fn replay(&self, router: &Running) {
        self.receiver.endpoint("broken", Script::Answer(200));
        self.posthaste.replay_all();
        until("nothing is dead any more", SOON, async || {
            router.metric("posthaste_dead_letters").await == Some(0)
        })
        .await;
        self.settled(router).await;
    }

    /// Lets so many requests a second go to the one that accepts. When it answers, a running router goes by that.
    fn limit_the_good_to(&self, rate: usize) {
        let edit =
            ["endpoint", "edit", "good", "--app", "acme", "--throttle-rate", &rate.to_string()];
        // What it says is not asked: its router may die of it.
        self.posthaste.run(&edit);
    }

    fn verdict(&self, confirmed: &BTreeSet<String>) -> Verdict {
        let mut verdict = Verdict::default();
        for name in ["good", "flaky", "broken"] {
            let accepted = self.receiver.accepted_bodies(name);
            let missing = confirmed.difference(&accepted);
            verdict.lost.extend(missing.map(|body| format!("{name}: {body}")));
        }
        let requests: usize =
            ["good", "flaky", "broken"].iter().map(|name| self.receiver.count(name)).sum();
        // Once to the good one, twice to the flaky one, twice to the one that was broken.
        verdict.repeated = requests.saturating_sub(confirmed.len() * 5);
        verdict
    }
}

/// Kills the router at the `hit`th time it comes to `step`, starts it again, and judges.
async fn killed_at(broker: &str, step: &str, hit: usize) -> Verdict {
    // To reach the ladder often, what fails has to wait for longer than a lane keeps it.
    let waits = if step == "release.postponed" { "6000,300,300,300" } else { SHORT_WAITS };
    let mut case = Case::new(broker, waits).await;
    case.posthaste.set("FAILPOINT_KILL_AT", &format!("{step}={hit}"));
    if step == "escrow.recorded" {
        case.posthaste.set("POSTHASTE_LIMITS__ESCROW_AFTER_MS", "100");
        case.receiver.endpoint("good", Script::Slowly(Duration::from_millis(400), 200));
    }
    if step == "recall.brought" {
        case.limit_the_good_to(1);
    }
    let mut doomed = case.posthaste.serve().await;
    // These are taken once for a whole batch: one by one, there are as many batches as events.
    let one_by_one =
        step.starts_with("release.") || matches!(step, "ingest.accepted" | "settle.recorded");
    let confirmed = case.publish(one_by_one, &mut doomed).await;
    if step == "reclaim.claimed" {
        case.settled(&doomed).await;
        case.receiver.endpoint("broken", Script::Answer(200));
        case.posthaste.replay_all_and_die();
    }
    if step == "recall.brought" {
        // Each time that it may have more, what waits for its rate is brought back; edits may be heard of together.
        for time in 1..=10 * hit {
            if doomed.ended().is_none() {
                case.limit_the_good_to(10 + 5 * time);
            }
        }
    }
    let what = format!("{step} is reached {hit} times and kills it");
    until(&what, SOON, async || doomed.ended().is_some()).await;

    case.posthaste.set("FAILPOINT_KILL_AT", "none");
    // What a dead router had claimed is claimed again when its lease ends; not to wait for minutes
    // here, the clock of the next one is ahead.
    case.posthaste.set("FAILPOINT_CLOCK_AHEAD_MS", "180000");
    let router = case.posthaste.serve().await;
    case.settled(&router).await;
    case.replay(&router).await;
    assert_eq!(
        router.metric("posthaste_ledger_unaccounted_deliveries").await,
        Some(0),
        "the books balance after {step}={hit}"
    );
    case.verdict(&confirmed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_killed_at_any_step_loses_nothing() {
    let broker = Broker::shared().await;
    let mut cases: Vec<(&str, usize)> = Vec::new();
    for step in posthaste::failpoint::ALL {
        cases.extend([(step, 1), (step, 2), (step, 17)]);
    }
    let url = broker.url();
    // A few at a time: each is a router and a receiver, and the machine may be small.
    let mut verdicts = futures_util::StreamExt::buffer_unordered(
        futures_util::stream::iter(cases.iter().map(|(step, hit)| {
            let url = &url;
            async move { (*step, *hit, killed_at(url, step, *hit).await) }
        })),
        3,
    );
    let mut repeated = 0;
    while let Some((step, hit, verdict)) = futures_util::StreamExt::next(&mut verdicts).await {
        println!(
            "killed at {step}, hit {hit}: {} lost, {} repeated",
            verdict.lost.len(),
            verdict.repeated
        );
        assert!(verdict.lost.is_empty(), "killed at {step}, hit {hit}: {:?}", verdict.lost);
        repeated += verdict.repeated;
    }
    println!("{} kills, 0 lost, {repeated} requests repeated", cases.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checker_catches_a_router_that_acknowledges_too_early() {
    let broker = Broker::shared().await;
    let mut case = Case::new(&broker.url(), SHORT_WAITS).await;
    for name in ["good", "flaky", "broken"] {
        case.receiver.endpoint(name, Script::Hang);
    }
    case.posthaste.set("FAILPOINT_SABOTAGE", "give_back_early");
    case.posthaste.set("POSTHASTE_RABBITMQ__PREFETCH", "10");
    let mut doomed = case.posthaste.serve().await;
    let confirmed = case.publish(false, &mut doomed).await;
    // Nothing is answered: an honest router would never be given an eleventh.
    until("the broker has let go of all but ten", SOON, async || {
        let received = "posthaste_broker_messages_received_total{redelivered=\"false\"}";
        doomed.metric(received).await == i64::try_from(EVENTS).ok()
    })
    .await;
    doomed.kill_9();

    for name in ["good", "flaky", "broken"] {
        case.receiver.endpoint(name, Script::Answer(200));
    }
    case.posthaste.set("FAILPOINT_SABOTAGE", "none");
    let _router = case.posthaste.serve().await;
    let producer = Producer::connect(&case.posthaste).await;
    assert!(producer.try_publish("acme.job.completed", "last", r#"{"n":"last"}"#).await);
    until("the last one has come", SOON, async || {
        case.receiver.accepted_bodies("good").contains(r#"{"n":"last"}"#)
    })
    .await;

    let verdict = case.verdict(&confirmed);
    println!("sabotaged: {} lost", verdict.lost.len());
    assert!(!verdict.lost.is_empty(), "an early acknowledgement has to show");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_in_mid_stream_loses_nothing_that_it_confirmed() {
    let broker = Broker::start().await;
    let case = Case::new(&broker.url(), SHORT_WAITS).await;
    let router = case.posthaste.serve().await;
    let mut confirmed = BTreeSet::new();
    let mut producer = Producer::connect(&case.posthaste).await;
    for number in 0..EVENTS {
        if number == EVENTS / 3 || number == EVENTS * 2 / 3 {
            broker.settle().await;
            broker.kill_9().await;
            let live = router.get("/livez").await.map(|(status, _)| status);
            assert_eq!(live, Some(200), "the process is alive without its broker");
            until("it says that it is not ready", SOON, async || {
                router.get("/readyz").await.is_some_and(|(status, _)| status == 503)
            })
            .await;
            broker.restart().await;
            producer = Producer::connect(&case.posthaste).await;
        }
        let body = format!(r#"{{"n":{number}}}"#);
        until("the producer has its confirm", SOON, async || {
            producer.try_publish("acme.job.completed", &format!("e{number}"), &body).await
        })
        .await;
        confirmed.insert(body);
    }
    case.settled(&router).await;
    case.replay(&router).await;

    let verdict = case.verdict(&confirmed);
    println!("broker killed twice: {} lost, {} repeated", verdict.lost.len(), verdict.repeated);
    assert!(verdict.lost.is_empty(), "{:?}", verdict.lost);
    assert_eq!(router.metric("posthaste_ledger_unaccounted_deliveries").await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_and_then_the_router_killed_with_requests_on_the_way_loses_nothing() {
    let broker = Broker::start().await;
    let mut posthaste = Posthaste::new(&broker.url(), &unique_prefix()).with_application();
    // What hangs is its message's for as long as this takes: what is taken over is killed elsewhere.
    posthaste.set("POSTHASTE_LIMITS__ESCROW_AFTER_MS", "60000");
    let receiver = Receiver::start().await;
    let url = receiver.endpoint("slow", Script::Hang);
    posthaste.endpoint("slow", &url, &["--timeout-ms", "60000"]);
    let mut router = posthaste.serve().await;
    Producer::connect(&posthaste).await.publish_many("acme.job.created", 20).await;
    // As many as an endpoint is given that nothing is known of; the others stand in line.
    until("requests are on the way", SOON, async || receiver.count("slow") == 4).await;

    // The broker forgets whom it gave the events to, and gives them again over the new connection.
    // What is on the way still holds receipts of the old one.
    broker.settle().await;
    broker.kill_9().await;
    broker.restart().await;
    until("the events came again", SOON, async || {
        let again = "posthaste_broker_messages_received_total{redelivered=\"true\"}";
        router.metric(again).await >= Some(20)
    })
    .await;
    router.kill_9();

    receiver.endpoint("slow", Script::Answer(200));
    let router = posthaste.serve().await;
    until("all are delivered after all", SOON, async || receiver.accepted("slow").len() == 20)
        .await;
    assert_eq!(router.metric("posthaste_ledger_unaccounted_deliveries").await, Some(0));
}
