//! The broker's data folder is gone, in mid-run: a new node stands on the same port, and knows nothing.
//!
//! What was accepted into the journal is offered again from there, by the command that is meant for it; counted
//! first, and counted afterwards. What cannot come back is counted as well: events that the broker had confirmed to
//! their producer and that were not accepted yet.

mod support;

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use serde_json::{Value, json};
use support::api::Api;
use support::broker::Broker;
use support::producer::Producer;
use support::receiver::{Receiver, Script};
use support::router::{Posthaste, Running};
use support::{unique_prefix, until};

const SOON: Duration = Duration::from_mins(2);
/// The router's bound on deliveries in memory: the least that there is.
const MEMORY: i64 = 100;
/// Endpoints that never answer: with as many requests as a new one may have on the way, they fill the memory.
const HANGING: usize = 25;
/// How long deliveries wait for their second attempt: on the ladder, and longer than the broker takes to start.
const WAIT_MS: u64 = 25_000;

/// A router with little memory, an endpoint that fails each event once, and some that never answer.
struct Case {
    posthaste: Posthaste,
    receiver: Receiver,
}

impl Case {
    async fn new(broker: &Broker) -> Self {
        let mut posthaste = Posthaste::new(&broker.url(), &unique_prefix()).with_application();
        posthaste.set("POSTHASTE_LIMITS__MAX_DELIVERIES_IN_MEMORY", &MEMORY.to_string());
        posthaste.set("POSTHASTE_LIMITS__MAX_IN_FLIGHT_PER_HOST", "500");
        // What hangs is its message's while we look: what is taken over has tests of its own.
        posthaste.set("POSTHASTE_LIMITS__ESCROW_AFTER_MS", "60000");
        let receiver = Receiver::start().await;
        let flaky = receiver.endpoint("flaky", Script::FailFirst(1, 500));
        let wait = WAIT_MS.to_string();
        let waits = ["--events", "job.later", "--retry", &wait, "--jitter", "0"];
        // Each of its events is to fail once and wait on the ladder, and not for a circuit.
        let each = [&waits[..], &["--circuit-breaker", "false"]].concat();
        posthaste.endpoint("flaky", &flaky, &each);
        for number in 0..HANGING {
            let name = format!("hanging-{number}");
            let url = receiver.endpoint(&name, Script::Hang);
            // In memory for minutes: the waits are short, and each request is waited for.
            let waits = ["--retry", "1000,1000,1000,1000", "--circuit-breaker", "false"];
            let patient = ["--events", "job.stuck", "--timeout-ms", "60000"];
            posthaste.endpoint(&name, &url, &[&patient[..], &waits].concat());
        }
        Self { posthaste, receiver }
    }

    /// Publishes these to the broker itself, one by one, each confirmed.
    async fn publish(&self, event_type: &str, numbers: Range<usize>) {
        let producer = Producer::connect(&self.posthaste).await;
        for number in numbers {
            let id = format!("{event_type}-{number}");
            let body = format!(r#"{{"id":"{id}"}}"#);
            producer.publish_named(&format!("acme.{event_type}"), &id, &body).await;
        }
    }

    /// Publishes so many over HTTP.
    async fn post(&self, api: &Api, event_type: &str, count: usize) {
        for number in 0..count {
            let message = json!({
                "eventType": event_type,
                "eventId": format!("posted-{number}"),
                "payload": { "posted": number },
            });
            let answer = api.post_json("/api/v1/app/acme/msg", &message).await;
            assert_eq!(answer.status, 202, "{answer:?}");
        }
    }

    /// Everything that hung answers from now on.
    fn mend(&self) {
        for number in 0..HANGING {
            self.receiver.endpoint(&format!("hanging-{number}"), Script::Answer(200));
        }
    }
}

/// The ids of all events of a type that are on record.
async fn on_record(api: &Api, event_type: &str) -> BTreeSet<String> {
    let path =
        format!("/api/v1/app/acme/msg?event_types={event_type}&limit=250&with_content=false");
    let list = api.send("GET", &path, &[], &[]).await.json();
    assert_eq!(list["done"], true, "all on one page");
    let ids = list["data"].as_array().expect("a list").iter();
    ids.map(|one| one["id"].as_str().expect("an id").to_owned()).collect()
}

async fn recover(api: &Api, dry_run: bool) -> Value {
    let answer = api.post_json("/api/v1/admin/recover", &json!({ "dryRun": dry_run })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn state(router: &Running, state: &str) -> i64 {
    let series = format!("posthaste_ledger_deliveries{{state=\"{state}\"}}");
    router.metric(&series).await.unwrap_or(-1)
}

/// Waits until nothing is unfinished, and holds the books to it.
async fn all_is_delivered(router: &Running) {
    until("all that is owed is delivered", SOON, async || {
        // In this order: what is owed only grows, and was no more when so much was delivered.
        let delivered = state(router, "delivered").await;
        delivered > 0 && delivered == state(router, "owed").await
    })
    .await;
    for unfinished in ["pending", "waiting", "dead", "unknown"] {
        assert_eq!(state(router, unfinished).await, 0, "{unfinished}");
    }
}

#[tokio::test]
async fn broker_and_router_are_gone_and_nothing_that_was_accepted_is_missing() {
    const LATER: usize = 40;
    const STUCK: usize = 60;
    const FILLING: usize = 4; // for each endpoint: the memory
    const POSTED: usize = 10;
    let broker = Broker::start().await;
    let case = Case::new(&broker).await;
    let mut router = case.posthaste.serve().await;
    let api = Api::of(&case.posthaste, &router);

    // On the ladder: each has failed once.
    case.publish("job.later", 0..LATER).await;
    until("all wait on the ladder", SOON, async || recover(&api, true).await["waiting"] == LATER)
        .await;
    // In the inbox: those that fill the memory, those that were accepted behind them, and those that were not
    // even accepted: from the broker, and over HTTP.
    case.publish("job.stuck", 0..FILLING).await;
    until("the memory is full", SOON, async || {
        router.metric("posthaste_deliveries_in_memory").await == Some(MEMORY)
    })
    .await;
    // One behind them, and no more is taken out of the inbox: however late the rest is noticed.
    case.publish("job.stuck", FILLING..FILLING + 1).await;
    let accepted = i64::try_from((FILLING + 1) * HANGING).expect("few");
    until("one more is accepted", SOON, async || state(&router, "pending").await == accepted).await;
    case.publish("job.stuck", FILLING + 1..STUCK).await;
    case.post(&api, "job.stuck", POSTED).await;
    broker.kill_9().await;
    router.kill_9();

    broker.lose_everything().await;
    let router = case.posthaste.serve().await;
    let api = Api { address: router.api.clone(), ..api };
    case.mend();
    let counted = recover(&api, true).await;
    let recovered = recover(&api, false).await;

    let accepted = on_record(&api, "job.stuck").await;
    // What was posted is on record, and was not accepted; the rest came from the broker.
    let from_broker = accepted.len() - POSTED;
    let lost = STUCK - from_broker;
    println!("lost with the broker: {lost} of {STUCK} confirmed events were not accepted yet");
    assert!(lost > 0 && from_broker > FILLING, "the memory was full in the middle of them: {lost}");
    assert_eq!(counted["waiting"], LATER);
    assert_eq!(counted["unpublished"], POSTED);
    assert_eq!(counted["pending"], from_broker * HANGING);
    assert_eq!(counted["abandoned"], 0);
    assert_eq!(Value::Bool(true), counted["dryRun"]);
    for what in ["pending", "abandoned", "waiting", "unpublished", "unroutable", "inMemory"] {
        assert_eq!(recovered[what], counted[what], "{what} is what was counted");
    }
    all_is_delivered(&router).await;
    for number in 0..HANGING {
        let delivered = case.receiver.accepted(&format!("hanging-{number}")).into_iter().collect();
        assert_eq!(accepted, delivered, "nothing is missing, nothing was made up");
    }
    assert_eq!(case.receiver.accepted("flaky").len(), LATER);
    let arrived = case.receiver.arrived("flaky");
    assert_eq!(arrived.len(), LATER * 2, "each failed once and was accepted once");
    for second in arrived.iter().filter(|one| one.status == 200) {
        let first = arrived.iter().find(|one| one.id == second.id).expect("it failed before");
        assert!(second.at_ms >= first.at_ms + WAIT_MS, "no wait is shorter for having been lost");
    }
    let nothing = recover(&api, true).await;
    for what in ["pending", "abandoned", "waiting", "unpublished"] {
        assert_eq!(nothing[what], 0, "{what}: there is nothing more to be recovered");
    }
}

#[tokio::test]
async fn a_router_that_goes_on_keeps_what_it_has_in_memory_and_recovers_what_waited() {
    const LATER: usize = 30;
    const STUCK: usize = 4;
    let broker = Broker::start().await;
    let case = Case::new(&broker).await;
    let router = case.posthaste.serve().await;
    let api = Api::of(&case.posthaste, &router);
    case.publish("job.later", 0..LATER).await;
    until("all wait on the ladder", SOON, async || recover(&api, true).await["waiting"] == LATER)
        .await;
    case.publish("job.stuck", 0..STUCK).await;
    until("all hang", SOON, async || case.receiver.count("hanging-0") == STUCK).await;

    broker.lose_everything().await;
    until("the router is back on the new broker", SOON, async || {
        router.get("/readyz").await.is_some_and(|(status, _)| status == 200)
    })
    .await;
    let recovered = recover(&api, false).await;

    assert_eq!(recovered["waiting"], LATER);
    assert_eq!(recovered["inMemory"], STUCK * HANGING, "these go on by themselves");
    assert_eq!((&recovered["pending"], &recovered["abandoned"]), (&json!(0), &json!(0)));
    // The new broker is as good as the old one: events come in, and wait on it.
    case.mend();
    let producer = Producer::connect(&case.posthaste).await;
    producer.publish_named("acme.job.later", "behind", r#"{"behind":true}"#).await;
    until("what waited was tried again", SOON, async || {
        case.receiver.accepted("flaky").len() == LATER + 1
    })
    .await;
    all_is_delivered(&router).await;
    let log = api.send("GET", "/api/v1/audit?limit=1", &[], &[]).await.json();
    let entry = &log["data"][0];
    assert_eq!((&entry["action"], &entry["status"]), (&json!("POST /admin/recover"), &json!(200)));
    assert_eq!(entry["details"]["waiting"], LATER);
    assert_eq!(entry["details"]["dryRun"], false);
}

#[tokio::test]
async fn without_a_broker_there_is_nothing_to_recover_and_another_organisation_may_not() {
    let posthaste = Posthaste::embedded();
    let router = posthaste.serve().await;
    let api = Api::of(&posthaste, &router);

    let refused = api.post_json("/api/v1/admin/recover", &json!({ "dryRun": true })).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert!(refused.body.contains("no broker"), "{refused:?}");
    let misspelt = api.post_json("/api/v1/admin/recover", &json!({ "dryrun": true })).await;
    assert_eq!(misspelt.status, 422, "{misspelt:?}");
    let token = posthaste.json(&["token", "create", "--org", "org_2Mwk7aBcDeFgHiJkLmNoPqRsTuV"]);
    let theirs = api.with_token(token["token"].as_str().map(str::to_owned));
    let refused = theirs.post_json("/api/v1/admin/recover", &json!({})).await;
    assert_eq!(refused.status, 403, "{refused:?}");
}
