//! Catalogue and journal on PostgreSQL, beside a real broker: the real binary, several of it, and a server that dies.
//!
//! Every test has a database of its own; those that kill the server have a server of their own.

mod support;

use std::sync::Arc;
use std::time::Duration;

use posthaste::domain::time::Timestamp;
use posthaste::storage::StorageError;
use posthaste::storage::postgres::migrations::{self, STEPS, Step};
use posthaste::storage::sql::{Settings, Sql};
use posthaste::storage::upkeep::{Old, Place, Upkeep as _};
use posthaste::storage::vault::Vault;
use secrecy::SecretBox;

use support::broker::Broker;
use support::postgres::{Postgres, count, say};
use support::producer::Producer;
use support::receiver::{Receiver, Script, now_ms};
use support::router::{Posthaste, Running};
use support::{clock, unique_prefix, until};

const SOON: Duration = Duration::from_mins(2);
const DAY: Duration = Duration::from_hours(24);

/// A router's folder and settings; with the same prefix and database, another router of the same.
async fn router_on(database: &str, prefix: &str) -> Posthaste {
    let mut posthaste = Posthaste::new(&Broker::shared().await.url(), prefix);
    posthaste.set("POSTHASTE_STORAGE__POSTGRES", database);
    // What several have to have in common.
    posthaste.set("POSTHASTE_ENCRYPTION__KEYS", "1:env:SEALING_KEY");
    posthaste.set("SEALING_KEY", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
    posthaste.set("POSTHASTE_API__TOKEN_KEY", "env:TOKEN_KEY");
    posthaste.set("TOKEN_KEY", "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=");
    posthaste
}

async fn state(router: &Running, state: &str) -> Option<i64> {
    router.metric(&format!("posthaste_ledger_deliveries{{state=\"{state}\"}}")).await
}

async fn delivered(router: &Running, many: i64) {
    until("everything is delivered", SOON, async || {
        state(router, "delivered").await == Some(many)
            && state(router, "pending").await == Some(0)
            && state(router, "waiting").await == Some(0)
    })
    .await;
    assert_eq!(router.metric("posthaste_ledger_unaccounted_deliveries").await, Some(0));
}

/// Publishes events by these numbers: what the broker brings twice is known again.
async fn publish(producer: &Producer, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let (id, body) = (format!("run-{number}"), format!("{{\"n\":{number}}}"));
        producer.publish_named("acme.job.completed", &id, &body).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_killed_in_the_middle_loses_nothing() {
    const EVENTS: i64 = 600;
    let server = Postgres::start(true).await;
    let database = server.database().await;
    let posthaste = router_on(&database, &unique_prefix()).await.with_application();
    let receiver = Receiver::start().await;
    posthaste.endpoint("all", &receiver.endpoint("all", Script::Answer(200)), &[]);
    let router = posthaste.serve().await;
    let producer = Producer::connect(&posthaste).await;

    publish(&producer, 0..200).await;
    until("some have come", SOON, async || receiver.count("all") >= 50).await;
    server.kill_9().await;
    publish(&producer, 200..400).await; // the broker takes them meanwhile
    until("it says that it is not ready", SOON, async || {
        router.get("/readyz").await.is_some_and(|(status, _)| status == 503)
    })
    .await;
    let (alive, _) = router.get("/livez").await.expect("it answers");
    assert_eq!(alive, 200, "nobody restarts it for its database");
    server.restart().await;
    publish(&producer, 400..600).await;

    delivered(&router, EVENTS).await;
    println!("{EVENTS} events, {} requests", receiver.count("all"));
    let ids: std::collections::BTreeSet<_> =
        receiver.arrived("all").into_iter().map(|one| one.id).collect();
    assert_eq!(ids.len(), usize::try_from(EVENTS).expect("few"), "each came");
    let (status, _) = router.get("/readyz").await.expect("it answers");
    assert_eq!(status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_routers_share_the_work_of_one_database_and_an_edit_holds_at_both_within_a_second() {
    let server = Postgres::shared().await;
    let (database, prefix) = (server.database().await, unique_prefix());
    let one = router_on(&database, &prefix).await.with_application();
    let other = router_on(&database, &prefix).await;
    let receiver = Receiver::start().await;
    let slowly = Script::Slowly(Duration::from_millis(20), 200);
    let (endpoint, _) = one.endpoint("hook", &receiver.endpoint("before", slowly), &[]);
    let (first, second) = (one.serve().await, other.serve().await);
    let producer = Producer::connect(&one).await;

    producer.publish_many("acme.job.completed", 400).await;
    until("all have come", SOON, async || receiver.count("before") >= 400).await;
    let attempts = "SELECT count(*) FROM attempts";
    until("all are on record", SOON, async || count(&database, attempts).await >= 400).await;
    let success = "posthaste_delivery_attempts_total{attempt=\"first\",outcome=\"delivered\"}";
    let made = [first.metric(success).await, second.metric(success).await];
    println!("the routers have made {made:?} attempts");

    let url = receiver.endpoint("after", Script::Answer(200));
    one.json(&["endpoint", "edit", &endpoint, "--url", &url]);
    let answered_at = now_ms();
    producer.publish_many("acme.job.completed", 200).await;
    until("all have come", SOON, async || receiver.count("after") >= 190).await;
    let late = receiver.arrived("before").iter().map(|arrived| arrived.at_ms).max().expect("some");
    assert!(late <= answered_at + 1_000, "the old URL was called {} ms later", late - answered_at);
    until("everything is settled", SOON, async || state(&first, "delivered").await == Some(600))
        .await;
    let known = "SELECT count(*) FROM routers";
    assert_eq!(count(&database, known).await, 2, "neither forgets the other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_waits_for_its_database_and_says_so() {
    let server = Postgres::start(false).await;
    let database = server.database().await;
    server.kill_9().await;
    let posthaste = router_on(&database, &unique_prefix()).await;
    let router = posthaste.start();
    until("it answers", SOON, async || router.get("/livez").await.is_some()).await;
    let (status, why) = router.get("/readyz").await.expect("it answers");
    assert_eq!(status, 503, "{why}");
    assert!(why.contains("not open yet"), "{why}");

    server.restart().await;

    until("it is ready", SOON, async || {
        router.get("/readyz").await.is_some_and(|(status, _)| status == 200)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shape_is_shown_planned_and_taken() {
    let database = Postgres::shared().await.database().await;
    let posthaste = router_on(&database, &unique_prefix()).await;
    let states = || -> Vec<String> {
        let listed = posthaste.list(&["migrate", "status"]);
        listed.iter().map(|step| step["state"].as_str().expect("a state").to_owned()).collect()
    };
    assert_eq!(states(), vec!["pending"; STEPS.len()]);
    let plan = posthaste.json(&["migrate", "plan"]);
    let sql = plan["pending"][0]["sql"].as_str().expect("its text");
    assert!(sql.contains("CREATE TABLE events "), "{sql}");
    assert_eq!(states()[0], "pending", "a plan does nothing");

    let taken = posthaste.json(&["migrate", "up"]);
    assert_eq!(taken["taken"][0], "0001_first");
    assert_eq!(states(), vec!["taken"; STEPS.len()]);
    assert_eq!(posthaste.json(&["migrate", "up"])["taken"], serde_json::json!([]));

    let file = Posthaste::embedded();
    file.json(&["migrate", "up"]);
    let listed = file.list(&["migrate", "status"]);
    assert!(listed.iter().all(|step| step["state"] == "taken"), "{listed:?}");

    let refused = posthaste.run(&["backup", "--to", "/nowhere/copy"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("pg_dump"), "{said}");
}

/// The steps of a program that is newer than this one.
fn newer() -> Vec<Step> {
    let number = i64::try_from(STEPS.len()).expect("few");
    let expand = "-- expand: events are marked\nALTER TABLE events ADD COLUMN mark bigint;";
    let contract = "-- contract: nobody reads what endpoints say\nALTER TABLE endpoints DROP COLUMN description;";
    let mut steps = STEPS.to_vec();
    steps.push(Step { number: number + 1, name: "made_up_expand", sql: expand });
    steps.push(Step { number: number + 2, name: "made_up_contract", sql: contract });
    steps
}

async fn up(database: &str, contract: bool) -> Result<Vec<i64>, StorageError> {
    let settings = database.parse().expect("a URL");
    let upping = move || migrations::up(&settings, &newer(), contract);
    tokio::task::spawn_blocking(upping).await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_router_goes_on_behind_an_expand_step_and_keeps_a_contract_step_from_being_taken()
{
    let database = Postgres::shared().await.database().await;
    let posthaste = router_on(&database, &unique_prefix()).await.with_application();
    let receiver = Receiver::start().await;
    posthaste.endpoint("all", &receiver.endpoint("all", Script::Answer(200)), &[]);
    let mut router = posthaste.serve().await;
    let producer = Producer::connect(&posthaste).await;
    producer.publish_many("acme.job.completed", 50).await;

    let taken = up(&database, false).await.expect("taken");
    assert_eq!(taken, [newer()[STEPS.len()].number]);

    producer.publish_many("acme.job.completed", 50).await;
    delivered(&router, 100).await;
    let status = posthaste.list(&["migrate", "status"]);
    assert_eq!(status.last().expect("a step")["state"], "unknown", "{status:?}");
    drop(posthaste.json(&["endpoint", "list", "--app", "acme"]));

    let refused = up(&database, true).await.expect_err("a router runs that needs it");
    assert!(refused.to_string().contains("needs the older shape"), "{refused}");

    router.signal("TERM");
    router.end().await;
    up(&database, true).await.expect("nobody needs it any more");
    let too_old = posthaste.run(&["migrate", "status"]);
    let said = String::from_utf8_lossy(&too_old.stderr).into_owned();
    assert!(!too_old.status.success() && said.contains("newer than this program"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_finds_its_table_in_use_gives_up_and_says_so() {
    let database = Postgres::shared().await.database().await;
    let settings: posthaste::storage::postgres::Settings = database.parse().expect("a URL");
    let first = move || migrations::up(&settings, STEPS, false);
    tokio::task::spawn_blocking(first).await.expect("no panic").expect("taken");
    let keeping = "BEGIN; LOCK TABLE events IN ACCESS SHARE MODE; SELECT pg_sleep(20)";
    let (url, held) = (database.clone(), keeping.to_owned());
    let holding = tokio::spawn(async move { say(&url, &held).await });
    until("it is in use", SOON, async || {
        let locks = "SELECT count(*) FROM pg_locks WHERE relation = 'events'::regclass AND mode = 'AccessShareLock' \
                     AND pid <> pg_backend_pid()";
        count(&database, locks).await > 0
    })
    .await;

    let refused = up(&database, false).await.expect_err("it is in use");

    assert!(refused.to_string().contains("is in use, and nothing was changed"), "{refused}");
    holding.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_nobody_wants_any_more_goes_as_a_whole_and_one_with_a_dead_letter_stays() {
    let database = Postgres::shared().await.database().await;
    let vault = Vault::new(vec![(1, SecretBox::new(Box::new([7; 32])))]).expect("a keyring");
    let settings = Settings::Postgres(Box::new(database.parse().expect("a URL")));
    let opening = tokio::task::spawn_blocking(move || Sql::open(&settings, Arc::new(vault)));
    let store = opening.await.expect("no panic").expect("it opens");
    let now = clock();
    let today = now.as_millis() / 86_400_000;
    let ahead = format!("SELECT count(*) FROM pg_class WHERE relname = 'attempts_{}'", today + 7);
    assert_eq!(count(&database, &ahead).await, 1, "a week is made ahead");
    // Three days, long ago: one finished, one with something dead, one unfinished; and today.
    for (day, state) in [(today - 40, 2), (today - 39, 3), (today - 38, 0), (today, 2)] {
        let (seq, at) = (day * 1_000_000_000_000 + 1, day * 86_400_000);
        say(
            &database,
            &format!(
                "SELECT make_day({day}); \
                 INSERT INTO events (seq, id, application, type, occurred_at, received_at, payload) \
                 VALUES ({seq}, decode('{day:040}', 'hex'), '\\x01', 'job.done', {at}, {at}, '\\x7b7d'); \
                 INSERT INTO deliveries (event, endpoint, turn, attempts, state) \
                 VALUES ({seq}, '\\x02', 1, 1, {state})"
            ),
        )
        .await;
    }
    let old = Old {
        now,
        events: now - 30 * DAY,
        dead_letters: now - 90 * DAY,
        requests: now - DAY,
        replays: now - DAY,
        deeds: now - DAY,
        inspected: now - DAY,
        rollups: now - DAY,
    };

    let swept = store.sweep(old, Place::START).await.expect("swept");

    assert_eq!((swept.removed.events, swept.removed.deliveries), (1, 1));
    let left = "SELECT count(*) FROM pg_class WHERE relname ~ '^(events|deliveries|attempts)_[0-9]+$' \
                AND relkind = 'r'";
    assert_eq!(count(&database, left).await, 3 * (8 + 2), "the two days stay, and those ahead");
    assert_eq!(count(&database, "SELECT count(*) FROM event_ids").await, 3, "and its ids went");
    let again = store.sweep(old, Place::START).await.expect("swept");
    assert_eq!(again.removed.events, 0);
    assert!(Timestamp::from_millis(0) < old.events);
}
