//! What becomes of deliveries, seen from outside: at most one request where that is promised, with the router
//! killed at every step of the way; and what producers are told of each.
//!
//! The checker compares what receivers counted with what is on record. That a delivery is unknown is no loss: it
//! is the word for "perhaps". A delivery that nobody received and that is not unknown is one; two requests are
//! the other.

#![allow(clippy::print_stdout, reason = "what each kill came to is told")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use support::broker::Broker;
use support::producer::Producer;
use support::receiver::{Receiver, Script};
use support::router::{Posthaste, Running};
use support::store::Store;
use support::{unique_prefix, until};

const SOON: Duration = Duration::from_mins(2);

/// Events of one case: a few that are there before the router is, and some that come one by one.
const BACKLOG: usize = 8;
const ONE_BY_ONE: usize = 14;
const EVENTS: usize = BACKLOG + ONE_BY_ONE;

/// `deliveries.state` of what is unknown.
const UNKNOWN: i64 = 6;

/// Three endpoints: one that is called at most once and accepts, one that is called at most once and refuses
/// (what it is owed dies), and one that is called at least once.
struct Case {
    posthaste: Posthaste,
    receiver: Receiver,
}

impl Case {
    async fn new(posthaste: Posthaste) -> Self {
        let posthaste = posthaste.with_application();
        let receiver = Receiver::start().await;
        for (name, status) in [("once", 200), ("refusing", 500), ("good", 200)] {
            let url = receiver.endpoint(name, Script::Answer(status));
            posthaste.endpoint(name, &url, &[]);
        }
        let case = Self { posthaste, receiver };
        case.policy("once", &json!({"guarantee": "at_most_once"}));
        // So that each of its events dies, and not the first five alone.
        let each = json!({"guarantee": "at_most_once", "circuitBreaker": false});
        case.policy("refusing", &each);
        case
    }

    /// Says how an endpoint is called, before a router runs.
    fn policy(&self, uid: &str, policy: &Value) {
        let sql = "UPDATE endpoints SET policy = ?2 WHERE uid = ?1";
        let changed = self.file().execute(sql, rusqlite::params![uid, policy.to_string()]);
        assert_eq!(changed, Ok(1), "{uid}");
    }

    fn file(&self) -> rusqlite::Connection {
        let path = self.posthaste.folder().join("posthaste.db");
        rusqlite::Connection::open(path).expect("opens")
    }

    /// How many of an endpoint's deliveries are in each state.
    fn states(&self, uid: &str) -> BTreeMap<i64, usize> {
        let file = self.file();
        let mut find = file
            .prepare(
                "SELECT d.state, count(*) FROM deliveries d JOIN endpoints e ON e.id = d.endpoint \
                 WHERE e.uid = ?1 GROUP BY d.state",
            )
            .expect("a statement");
        let rows = find
            .query_map([uid], |row| Ok((row.get(0)?, row.get::<_, u32>(1)? as usize)))
            .expect("read");
        rows.map(|row| row.expect("read")).collect()
    }

    /// One number that the database knows.
    fn number(&self, sql: &str) -> i64 {
        self.file().query_row(sql, [], |row| row.get(0)).expect(sql)
    }

    fn unknown(&self, uid: &str) -> usize {
        self.states(uid).get(&UNKNOWN).copied().unwrap_or_default()
    }

    /// Waits until nothing is on the way any more.
    async fn settled(&self, router: &Running, owed: usize) {
        let owed = i64::try_from(owed).expect("few");
        let state = async |state: &str| {
            let series = format!("posthaste_ledger_deliveries{{state=\"{state}\"}}");
            router.metric(&series).await.unwrap_or(-1)
        };
        until("everything is settled", SOON, async || {
            state("owed").await == owed
                && state("pending").await == 0
                && state("waiting").await == 0
                && router.metric("posthaste_deliveries_in_memory").await == Some(0)
                && router.metric("posthaste_delivery_in_flight").await == Some(0)
        })
        .await;
    }

    /// Holds what is promised of endpoints that are called at most once; how many of their deliveries are
    /// unknown, and how many nobody received.
    fn holds(&self, step: &str) -> (usize, usize) {
        let (mut unknown, mut missing) = (0, 0);
        for uid in ["once", "refusing"] {
            let mut requests: BTreeMap<String, usize> = BTreeMap::new();
            for one in self.receiver.arrived(uid) {
                *requests.entry(one.id).or_default() += 1;
            }
            let twice: Vec<_> = requests.iter().filter(|(_, count)| **count > 1).collect();
            assert!(twice.is_empty(), "{step}: {uid} was asked more than once: {twice:?}");
            let states = self.states(uid);
            assert_eq!(states.values().sum::<usize>(), EVENTS, "{step}: {uid}: {states:?}");
            let lost = EVENTS - requests.len();
            assert!(lost <= self.unknown(uid), "{step}: {uid} missed {lost}: {states:?}");
            unknown += self.unknown(uid);
            missing += lost;
        }
        let good = self.receiver.accepted("good").len();
        assert_eq!(good, EVENTS, "{step}: at least once");
        let repeated = self.number(
            "SELECT count(*) FROM (SELECT 1 FROM attempts a JOIN endpoints e ON e.id = a.endpoint \
             WHERE e.uid <> 'good' GROUP BY a.event, a.endpoint HAVING count(*) > 1)",
        );
        assert_eq!(repeated, 0, "{step}: attempts on record");
        let unmarked = self.number(
            "SELECT count(*) FROM deliveries d WHERE d.state = 6 AND NOT EXISTS \
             (SELECT 1 FROM attempts a WHERE a.event = d.event AND a.endpoint = d.endpoint \
                                         AND a.outcome = 'unknown' AND a.status = 0)",
        );
        assert_eq!(unmarked, 0, "{step}: unknown without an attempt of unknown end");
        (unknown, missing)
    }
}

/// Kills an embedded router, or one on a broker, at the `hit`th time it comes to `step`, and twice more at rest;
/// how many deliveries are unknown then.
async fn killed_at(broker: Option<&str>, step: &str, hit: usize) -> usize {
    let posthaste = match broker {
        Some(url) => Posthaste::new(url, &unique_prefix()),
        None => Posthaste::embedded(),
    };
    let mut case = Case::new(posthaste).await;
    case.posthaste.set("FAILPOINT_KILL_AT", &format!("{step}={hit}"));
    let publish = ["publish", "--app", "acme", "--type", "job.created"];
    let mut doomed = if broker.is_some() {
        let mut doomed = case.posthaste.serve().await;
        let producer = Producer::connect(&case.posthaste).await;
        for number in 0..EVENTS {
            let body = format!(r#"{{"n":{number}}}"#);
            producer.publish_named("acme.job.created", &format!("e{number}"), &body).await;
            if number < BACKLOG {
                continue;
            }
            until("it has come, or the router is gone", SOON, async || {
                case.receiver.count("refusing") > number || doomed.ended().is_some()
            })
            .await;
        }
        doomed
    } else {
        case.posthaste.list(&[publish.as_slice(), &["--count", &BACKLOG.to_string()]].concat());
        let mut doomed = case.posthaste.start();
        for number in BACKLOG..EVENTS {
            case.posthaste.list(&publish); // into the file, whether there is a router or not
            until("it has come, or the router is gone", SOON, async || {
                case.receiver.count("refusing") > number || doomed.ended().is_some()
            })
            .await;
        }
        doomed
    };
    let what = format!("{step} is reached {hit} times and kills it");
    until(&what, SOON, async || doomed.ended().is_some()).await;

    case.posthaste.set("FAILPOINT_KILL_AT", "none");
    let mut seen = Vec::new();
    for _ in 0..2 {
        let mut router = case.posthaste.serve().await;
        case.settled(&router, EVENTS * 3).await;
        let unaccounted = router.metric("posthaste_ledger_unaccounted_deliveries").await;
        assert_eq!(unaccounted, Some(0), "{step}={hit}: the books");
        seen.push((case.holds(&format!("{step}={hit}")), case.receiver.count("once")));
        router.kill_9();
    }
    assert_eq!(
        seen[0], seen[1],
        "{step}={hit}: what is unknown stays so, and is not asked for again"
    );
    let (unknown, missing) = seen[0].0;
    if step == "send.let_go" {
        assert!(unknown >= 1 && missing >= 1, "{step}={hit}: {unknown} unknown, {missing} missing");
    }
    println!("killed at {step}, hit {hit}: {unknown} unknown, {missing} of them not received");
    unknown
}

async fn killed_at_each(broker: Option<&str>, steps: &[&'static str]) {
    let cases: Vec<_> = steps.iter().flat_map(|step| [1, 2, 9].map(|hit| (*step, hit))).collect();
    // A few at a time: each is a router and a receiver, and the machine may be small.
    let unknown: Vec<usize> =
        futures_util::StreamExt::collect(futures_util::StreamExt::buffer_unordered(
            futures_util::stream::iter(
                cases.into_iter().map(async |(step, hit)| killed_at(broker, step, hit).await),
            ),
            3,
        ))
        .await;
    let (kills, unknown) = (unknown.len(), unknown.iter().sum::<usize>());
    println!("{kills} kills, no request twice, {unknown} deliveries unknown");
    assert!(unknown > 0, "a kill between record and end has to show");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_router_killed_at_any_step_never_asks_twice_at_most_once() {
    let steps: Vec<_> = posthaste::failpoint::AT_MOST_ONCE
        .into_iter()
        .filter(|step| !step.starts_with("release.")) // nothing is handed on, and nobody is told
        .collect();
    killed_at_each(None, &steps).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_on_a_broker_killed_at_any_step_never_asks_twice_at_most_once() {
    let broker = Broker::shared().await;
    killed_at_each(Some(&broker.url()), &posthaste::failpoint::AT_MOST_ONCE).await;
}

/// A router with one endpoint that is called at most once, and one delivery of it that has been delivered.
async fn delivered_once() -> (Case, String, String) {
    let case = Case::new(Posthaste::embedded()).await;
    let mut router = case.posthaste.serve().await;
    case.posthaste.list(&["publish", "--app", "acme", "--type", "job.created"]);
    case.settled(&router, 3).await;
    router.kill_9();
    let event = case.receiver.arrived("once").remove(0).id;
    let shown = case.posthaste.json(&["endpoint", "show", "once", "--app", "acme"]);
    (case, event, shown["id"].as_str().expect("an id").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_a_person_asks_for_is_made_once_at_most_though_its_router_is_killed() {
    for (step, requests) in [("resend.claimed", 2), ("send.let_go", 1), ("send.answered", 2)] {
        let (mut case, event, endpoint) = delivered_once().await;
        case.posthaste.set("FAILPOINT_KILL_AT", &format!("{step}=1"));
        let mut doomed = case.posthaste.serve().await;
        Store::of(&case.posthaste).await.resend(&event, &endpoint).await;
        assert!(!doomed.end().await.success(), "{step} killed it");

        case.posthaste.set("FAILPOINT_KILL_AT", "none");
        let router = case.posthaste.serve().await;
        until("the wish is done with", SOON, async || {
            case.number("SELECT count(*) FROM resends") == 0
        })
        .await;
        case.settled(&router, 3).await;

        assert_eq!(case.receiver.count("once"), requests, "killed at {step}");
        assert_eq!(case.unknown("once"), 0, "killed at {step}: it was delivered, and is");
        let ended = "SELECT count(*) FROM attempts WHERE by_hand = 1 AND outcome <> 'unknown'";
        let known = i64::from(step == "resend.claimed");
        assert_eq!(case.number(ended), known, "killed at {step}: attempts whose end is known");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_a_request_at_most_once_and_what_it_cuts_off_is_unknown() {
    let mut case = Case::new(Posthaste::embedded()).await;
    case.receiver.endpoint("once", Script::Slowly(Duration::from_millis(700), 200));
    case.receiver.endpoint("refusing", Script::Hang);
    // Many times what the one takes, and less than the other may: 15 s.
    case.posthaste.set("POSTHASTE_SHUTDOWN__GRACE_MS", "8000");
    let mut router = case.posthaste.serve().await;
    case.posthaste.list(&["publish", "--app", "acme", "--type", "job.created"]);
    until("requests are on the way", SOON, async || {
        case.receiver.count("once") + case.receiver.count("refusing") == 2
    })
    .await;

    router.signal("TERM");
    assert_eq!(router.end().await.code(), Some(0));

    assert_eq!(case.receiver.accepted("once").len(), 1, "it was waited for");
    assert_eq!((case.unknown("once"), case.unknown("refusing")), (0, 1));
    let interrupted = "SELECT count(*) FROM attempts WHERE outcome = 'interrupted'";
    assert_eq!(case.number(interrupted), 1);
    let router = case.posthaste.serve().await;
    case.settled(&router, 3).await;
    assert_eq!(case.receiver.count("refusing"), 1, "and never again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_is_dropped_where_its_policy_says_so() {
    let case = Case::new(Posthaste::embedded()).await;
    let dropping = json!({"onExhausted": "drop", "giveUpStatus": [404], "retry": {"kind": "none"}});
    case.policy("once", &json!({"giveUpStatus": [404]}));
    case.policy("refusing", &dropping);
    case.receiver.endpoint("once", Script::Answer(404));
    case.receiver.endpoint("refusing", Script::Answer(404));
    let router = case.posthaste.serve().await;
    case.posthaste.list(&["publish", "--app", "acme", "--type", "job.created"]);
    case.settled(&router, 3).await;

    let letters = case.posthaste.list(&["dead-letters", "list", "--reason", "refused"]);
    assert_eq!(letters.len(), 1, "what is dropped is no dead letter");
    assert_eq!(case.receiver.count("once"), 1, "no second try behind what its policy gives up at");
    for (series, count) in [
        ("posthaste_ledger_deliveries{state=\"dropped\"}", 1),
        ("posthaste_ledger_deliveries{state=\"dead\"}", 1),
        ("posthaste_ledger_unaccounted_deliveries", 0),
    ] {
        assert_eq!(router.metric(series).await, Some(count), "{series}");
    }
    let policies = "SELECT count(DISTINCT d.policy) FROM deliveries d \
                    JOIN policies p ON p.version = d.policy";
    assert_eq!(case.number(policies), 3, "each by the policy that it was attempted by");
}

#[tokio::test(flavor = "multi_thread")]
async fn producers_are_told_of_each_attempt_and_of_each_end() {
    let broker = Broker::shared().await;
    let posthaste = Posthaste::new(&broker.url(), &unique_prefix());
    let mut case = Case::new(posthaste).await;
    case.posthaste.set("POSTHASTE_RABBITMQ__RESULTS", "true");
    case.receiver.endpoint("good", Script::FailFirst(1, 503));
    case.policy("good", &json!({"retry": {"kind": "schedule", "delaysMs": [100], "jitter": 0.0}}));
    let router = case.posthaste.serve().await;
    let producer = Producer::connect(&case.posthaste).await;
    let exchange = format!("{}.results", case.posthaste.prefix());
    let queue = format!("{}.told", case.posthaste.prefix());
    producer.listen(&exchange, "#", &queue).await;
    producer.publish_named("acme.job.completed", "run-7", r#"{"n":1}"#).await;
    case.settled(&router, 3).await;

    let mut told: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for _ in 0..4 {
        let result: Value =
            serde_json::from_slice(&producer.take(&queue).await.body).expect("JSON");
        let url = result["url"].as_str().expect("a request was made").to_owned();
        let (_, uid) = url.rsplit_once('/').expect("a path");
        told.entry(uid.to_owned()).or_default().push(result);
    }
    let outcomes = |uid: &str| -> Vec<_> {
        let facts = |one: &Value| {
            json!([one["outcome"], one["http_status"], one["attempt"], one["by_hand"]])
        };
        told[uid].iter().map(facts).collect()
    };
    assert_eq!(outcomes("once"), [json!(["succeeded", 200, 1, false])]);
    assert_eq!(outcomes("refusing"), [json!(["dead", 500, 1, false])]);
    let good = [json!(["failed", 503, 1, false]), json!(["succeeded", 200, 2, false])];
    assert_eq!(outcomes("good"), good);
    for result in told.values().flatten() {
        assert_eq!(result["producer_event_id"], "run-7");
        assert!(result["attempt_id"].as_str().is_some_and(|id| id.starts_with("atmpt_")));
        assert!(result["attempted_at"].as_str() <= result["at"].as_str(), "{result}");
        assert_eq!(result["error"], Value::Null, "{result}");
    }
    assert_eq!(producer.waiting_in(&queue).await, 0, "and no more than that");
}
