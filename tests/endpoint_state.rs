//! What an endpoint's state means for who is called and when: attempts by hand, endpoints that want it
//! slower, that are gone, that fail for days, that are edited and deleted while they are called.

mod support;

use std::time::Duration;

use support::receiver::{Receiver, Script};
use support::router::{Posthaste, Running};
use support::store::Store;
use support::{until, within};

const SOON: Duration = Duration::from_mins(2);

const DEAD: &str = "posthaste_ledger_deliveries{state=\"dead\"}";
const DELIVERED: &str = "posthaste_ledger_deliveries{state=\"delivered\"}";
const WAITING: &str = "posthaste_ledger_deliveries{state=\"waiting\"}";

/// Publishes events of `acme` from the command line.
fn publish(posthaste: &Posthaste, count: usize) {
    let count = count.to_string();
    let publish = ["publish", "--app", "acme", "--type", "job.created", "--count", &count];
    posthaste.list(&publish);
}

async fn books_say(router: &Running, series: &str, count: i64) {
    until(&format!("{series} is {count}"), SOON, async || {
        router.metric(series).await == Some(count)
    })
    .await;
    assert_eq!(router.metric("posthaste_ledger_unaccounted_deliveries").await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resend_that_fails_leaves_the_automatic_retries_as_they_are() {
    let posthaste = Posthaste::embedded().with_application();
    let receiver = Receiver::start().await;
    // The first attempt fails, and the one by hand; the second automatic one succeeds.
    let url = receiver.endpoint("hook", Script::FailFirst(2, 500));
    let more = ["--retry", "12s,12s", "--jitter", "0"];
    let (endpoint, _) = posthaste.endpoint("hook", &url, &more);
    let router = posthaste.serve().await;
    publish(&posthaste, 1);
    books_say(&router, WAITING, 1).await;
    let event = receiver.arrived("hook")[0].id.clone();
    let store = Store::of(&posthaste).await;
    let due = || store.number("SELECT due_at FROM deliveries");
    let before = due();

    store.resend(&event, &endpoint).await;

    until("the attempt by hand is made", SOON, async || {
        receiver.count("hook") == 2 && store.number("SELECT count(*) FROM resends") == 0
    })
    .await;
    assert_eq!(due(), before, "when the next automatic one is due");
    books_say(&router, DELIVERED, 1).await;
    let arrived = receiver.arrived("hook");
    let at: Vec<u64> = arrived.iter().map(|one| one.at_ms - arrived[0].at_ms).collect();
    assert!(at.len() == 3 && at[1] < 12_000 && at[2] >= 12_000, "{at:?}");
    assert!(arrived.iter().all(|one| one.id == event));
    assert_eq!(store.number("SELECT attempts FROM deliveries"), 2, "those that count");
    assert_eq!(store.number("SELECT count(*) FROM attempts WHERE by_hand = 1"), 1);
    assert_eq!(store.number("SELECT count(*) FROM resends"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resend_that_succeeds_lifts_a_dead_letter_and_ends_the_wait() {
    let posthaste = Posthaste::embedded().with_application();
    let receiver = Receiver::start().await;
    let (dead, waits) = (Script::Answer(500), Script::FailFirst(1, 500));
    let (dead, waits) = (receiver.endpoint("dead", dead), receiver.endpoint("waits", waits));
    let (dead, _) = posthaste.endpoint("dead", &dead, &["--retry", "none"]);
    let (waits, _) = posthaste.endpoint("waits", &waits, &["--retry", "12s", "--jitter", "0"]);
    let router = posthaste.serve().await;
    publish(&posthaste, 1);
    books_say(&router, DEAD, 1).await;
    books_say(&router, WAITING, 1).await;
    receiver.endpoint("dead", Script::Answer(200));
    let event = receiver.arrived("dead")[0].id.clone();
    let store = Store::of(&posthaste).await;

    store.resend(&event, &dead).await;
    store.resend(&event, &waits).await;

    books_say(&router, DELIVERED, 2).await;
    books_say(&router, DEAD, 0).await;
    assert!(posthaste.list(&["dead-letters", "list"]).is_empty());
    let began = receiver.arrived("waits")[0].at_ms;
    let passed = async || support::receiver::now_ms() > began + 13_000;
    until("the copy on the ladder has had its time", SOON, passed).await;
    assert_eq!((receiver.count("dead"), receiver.count("waits")), (2, 2), "and no third");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_killed_with_a_resend_makes_it_all_the_same() {
    for (step, least, most) in [("resend.claimed", 2, 2), ("send.answered", 3, 3)] {
        let mut posthaste = Posthaste::embedded().with_application();
        let receiver = Receiver::start().await;
        let url = receiver.endpoint("hook", Script::Answer(200));
        let (endpoint, _) = posthaste.endpoint("hook", &url, &[]);
        let router = posthaste.serve().await;
        publish(&posthaste, 1);
        books_say(&router, DELIVERED, 1).await;
        let event = receiver.arrived("hook")[0].id.clone();
        drop(router);
        posthaste.set("FAILPOINT_KILL_AT", &format!("{step}=1"));
        let mut doomed = posthaste.start();
        let store = Store::of(&posthaste).await;
        store.resend(&event, &endpoint).await;
        until(&format!("{step} kills it"), SOON, async || doomed.ended().is_some()).await;

        posthaste.set("FAILPOINT_KILL_AT", "none");
        let router = posthaste.serve().await;
        let asked = "SELECT count(*) FROM resends";
        until("it is done with", SOON, async || store.number(asked) == 0).await;

        let count = receiver.count("hook");
        assert!((least..=most).contains(&count), "killed at {step}: {count} requests");
        within("it ends", async { drop(router) }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_asks_for_three_seconds_gets_them_for_all_its_events() {
    const EVENTS: usize = 10;
    let posthaste = Posthaste::embedded().with_application();
    let receiver = Receiver::start().await;
    let (hook, other) = (Script::SlowDown("3"), Script::Answer(200));
    let (hook, other) = (receiver.endpoint("hook", hook), receiver.endpoint("other", other));
    posthaste.endpoint("hook", &hook, &["--max-in-flight", "1"]);
    posthaste.endpoint("other", &other, &[]);
    let router = posthaste.serve().await;

    publish(&posthaste, EVENTS);

    books_say(&router, DELIVERED, 2 * i64::try_from(EVENTS).expect("few")).await;
    let arrived = receiver.arrived("hook");
    let gap = arrived[1].at_ms - arrived[0].at_ms;
    assert!(gap >= 3_000, "nothing for three seconds: {gap} ms");
    assert_eq!(arrived.len(), EVENTS + 1, "one was tried twice");
    let last = receiver.arrived("other").iter().map(|one| one.at_ms).max().expect("all came");
    assert!(last < arrived[1].at_ms, "others go on meanwhile");
    let store = Store::of(&posthaste).await;
    assert_eq!(store.number("SELECT count(*) FROM attempts WHERE status = 429"), 1);
    assert_eq!(store.number("SELECT sum(attempts) FROM deliveries"), 2 * 10 + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_slowed_endpoint_is_owed_waits_on_record_and_costs_no_attempt() {
    let posthaste = Posthaste::embedded().with_application();
    let receiver = Receiver::start().await;
    let url = receiver.endpoint("hook", Script::SlowDown("8"));
    posthaste.endpoint("hook", &url, &["--max-in-flight", "1", "--retry", "none"]);
    let router = posthaste.serve().await;

    publish(&posthaste, 10);

    let slowed = "posthaste_deliveries_postponed_total{reason=\"slowed_down\"}";
    until("they wait elsewhere", SOON, async || router.metric(slowed).await > Some(0)).await;
    books_say(&router, WAITING, 9).await;
    assert_eq!(receiver.count("hook"), 1);
    books_say(&router, DELIVERED, 9).await;
    let arrived = receiver.arrived("hook");
    assert!(arrived[1].at_ms - arrived[0].at_ms >= 8_000);
    assert_eq!(
        router.metric(DEAD).await,
        Some(1),
        "the one that was answered, which had one attempt"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_says_it_is_gone_is_disabled_and_what_it_is_owed_waits_for_a_person() {
    let posthaste = Posthaste::embedded().with_application();
    let receiver = Receiver::start().await;
    // Slowly, so that it is disabled before all have been sent there.
    let slowly = Script::Slowly(Duration::from_millis(200), 410);
    let url = receiver.endpoint("hook", slowly);
    let (endpoint, _) = posthaste.endpoint("hook", &url, &["--max-in-flight", "1"]);
    let router = posthaste.serve().await;

    publish(&posthaste, 20);

    until("the rest waits", SOON, async || {
        let asked = i64::try_from(receiver.count("hook")).expect("few");
        router.metric(WAITING).await.zip(router.metric(DEAD).await).is_some_and(
            |(waiting, dead)| waiting + dead == 20 && waiting > 0 && dead > 0 && dead == asked,
        )
    })
    .await;
    let shown = posthaste.json(&["endpoint", "show", &endpoint]);
    assert_eq!(shown["state"], "disabled", "{shown}");
    let asked = receiver.count("hook");
    assert_eq!(router.metric(DEAD).await, i64::try_from(asked).ok(), "each that it was asked for");
    publish(&posthaste, 1);
    // What nobody wants is owed to nobody.
    books_say(&router, "posthaste_events_filtered_total", 1).await;

    receiver.endpoint("hook", Script::Answer(200));
    posthaste.json(&["endpoint", "resume", &endpoint]);
    books_say(&router, DELIVERED, 20 - i64::try_from(asked).expect("few")).await;
    books_say(&router, WAITING, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_has_failed_for_days_is_disabled_and_one_that_recovered_is_not() {
    let posthaste = Posthaste::embedded().with_application();
    let receiver = Receiver::start().await;
    let (sick, well) = (Script::Answer(500), Script::Answer(200));
    let (sick, well) = (receiver.endpoint("sick", sick), receiver.endpoint("well", well));
    let (sick, _) = posthaste.endpoint("sick", &sick, &["--retry", "none"]);
    let (well, _) = posthaste.endpoint("well", &well, &[]);
    let router = posthaste.serve().await;
    publish(&posthaste, 1);
    books_say(&router, DEAD, 1).await;
    drop(router);
    let store = Store::of(&posthaste).await;
    assert_eq!(store.number("SELECT sum(attempts) FROM failing"), 1, "the sick one is counted");
    // As if it had failed, and been warned of, all these days.
    store.change(
        "UPDATE failing SET since = since - 6 * 86400000, attempts = 40, warned_at = since",
    );

    let router = posthaste.serve().await;

    let state = |endpoint: &str| posthaste.json(&["endpoint", "show", endpoint])["state"].clone();
    until("it is disabled", SOON, async || state(&sick) == "disabled").await;
    assert_eq!(state(&well), "active");
    publish(&posthaste, 1);
    books_say(&router, DELIVERED, 2).await;
    assert_eq!(receiver.count("sick"), 1, "it is owed nothing new");
}

/// The types of the events that the operator was told, and their bodies.
fn told(receiver: &Receiver) -> Vec<(String, serde_json::Value)> {
    let mut told: Vec<_> = receiver
        .arrived("operator")
        .into_iter()
        .map(|one| {
            let body: serde_json::Value = serde_json::from_slice(&one.body).expect("JSON");
            (body["type"].as_str().expect("a type").to_owned(), body["data"].clone())
        })
        .collect();
    told.sort_by(|one, other| one.0.cmp(&other.0));
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_are_told_by_ordinary_events_once_though_the_router_is_killed_at_it() {
    let mut posthaste = Posthaste::embedded().with_application();
    posthaste.json(&["app", "create", "Operators", "--uid", "operators"]);
    posthaste.set("POSTHASTE_OPERATOR__APPLICATION", "operators");
    let receiver = Receiver::start().await;
    let hook = receiver.endpoint("hook", Script::Answer(410));
    let (hook, _) = posthaste.endpoint("hook", &hook, &["--max-in-flight", "1"]);
    let operator = receiver.endpoint("operator", Script::Answer(200));
    posthaste.json(&["endpoint", "create", "--app", "operators", "--url", &operator]);
    posthaste.set("FAILPOINT_KILL_AT", "herald.published=1");
    let mut doomed = posthaste.start();
    publish(&posthaste, 1);
    until("it is killed at it", SOON, async || doomed.ended().is_some()).await;
    posthaste.set("FAILPOINT_KILL_AT", "none");
    let router = posthaste.serve().await;

    let store = Store::of(&posthaste).await;
    let untold = "SELECT count(*) FROM tidings";
    until("all is told", SOON, async || store.number(untold) == 0).await;
    books_say(&router, DELIVERED, 2).await;

    let told = told(&receiver);
    let kinds: Vec<_> = told.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["endpoint.disabled", "message.attempt.exhausted"], "each once");
    for (_, data) in &told {
        assert_eq!((&data["endpointId"], &data["appUid"]), (&hook.as_str().into(), &"acme".into()));
        assert_eq!(data["msgId"], receiver.arrived("hook")[0].id.as_str());
        assert_eq!(data["lastAttempt"]["responseStatusCode"], 410);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_to_the_operators_own_events_is_told_to_nobody() {
    let mut posthaste = Posthaste::embedded().with_application();
    posthaste.set("POSTHASTE_OPERATOR__APPLICATION", "acme");
    let receiver = Receiver::start().await;
    let url = receiver.endpoint("hook", Script::Answer(500));
    posthaste.endpoint("hook", &url, &["--retry", "none"]);
    let router = posthaste.serve().await;

    publish(&posthaste, 3);

    books_say(&router, DEAD, 3).await;
    assert_eq!(Store::of(&posthaste).await.number("SELECT count(*) FROM tidings"), 0);
    books_say(&router, "posthaste_ledger_deliveries{state=\"owed\"}", 3).await;
}
