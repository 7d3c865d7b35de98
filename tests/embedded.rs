//! The whole without a broker: everything in one SQLite file, published over HTTP or by the command
//! line, and killed while it is at work.
//!
//! The checker is the simplest there is: what a producer saw confirmed is compared with what the
//! receivers accepted.

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use support::receiver::{Receiver, Script};
use support::router::{Posthaste, Running};
use support::{until, within};

const SOON: Duration = Duration::from_mins(2);

/// Events of a case that is killed once: a backlog, and then some that come one by one, so that every
/// step is taken many times.
const BACKLOG: usize = 40;
const ONE_BY_ONE: usize = 25;
const EVENTS: usize = BACKLOG + ONE_BY_ONE;

/// Publishes over HTTP until it is confirmed, as a producer does that never gives up.
struct Producer {
    client: reqwest::Client,
    token: String,
    /// Where the API is now: it moves with each start.
    api: Arc<Mutex<String>>,
}

impl Producer {
    fn new(posthaste: &Posthaste, api: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let token = posthaste.json(&["token", "create"])["token"].as_str().expect("one").to_owned();
        Self {
            client: reqwest::Client::builder().no_proxy().build().expect("a client"),
            token,
            api: Arc::new(Mutex::new(api.to_owned())),
        }
    }

    fn moved_to(&self, api: &str) {
        api.clone_into(&mut self.api.lock().expect("no panic"));
    }

    /// One try; whether it was confirmed.
    async fn try_publish(&self, key: &str, payload: &str) -> bool {
        let api = self.api.lock().expect("no panic").clone();
        let body = format!(r#"{{"eventType":"job.completed","payload":{payload}}}"#);
        let request = self
            .client
            .post(format!("http://{api}/api/v1/app/acme/msg"))
            .bearer_auth(&self.token)
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .timeout(Duration::from_secs(10))
            .body(body);
        request.send().await.is_ok_and(|answer| answer.status() == 202)
    }

    /// Tries until it is confirmed.
    async fn publish(&self, key: &str, payload: &str) {
        let trying = async {
            let mut time = tokio::time::interval(Duration::from_millis(20));
            while !self.try_publish(key, payload).await {
                time.tick().await;
            }
        };
        within("it is confirmed", trying).await;
    }
}

/// Three kinds of receiver: one that accepts, one that fails each event twice (the first wait is kept
/// in memory, the second on the ladder), one that is broken and not tried again.
async fn three_endpoints(posthaste: &Posthaste) -> Receiver {
    let receiver = Receiver::start().await;
    let good = receiver.endpoint("good", Script::Answer(200));
    let flaky = receiver.endpoint("flaky", Script::FailFirst(2, 500));
    let broken = receiver.endpoint("broken", Script::Answer(500));
    posthaste.endpoint("good", &good, &[]);
    // Each event is to fail as often as that, however many do.
    let all_the_same = ["--circuit-breaker", "false", "--retry"];
    let waits = ["200ms,5500ms,1s,1s", "--jitter", "0"];
    posthaste.endpoint("flaky", &flaky, &[&all_the_same[..], &waits].concat());
    posthaste.endpoint("broken", &broken, &[&all_the_same[..], &["none"]].concat());
    receiver
}

/// Waits until nothing is on the way any more.
async fn settled(router: &Running, owed: usize) {
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
    })
    .await;
    assert_eq!(router.metric("posthaste_ledger_unaccounted_deliveries").await, Some(0));
}

/// Mends the receiver that was broken, and replays what it missed.
async fn replayed(posthaste: &Posthaste, receiver: &Receiver, router: &Running, owed: usize) {
    receiver.endpoint("broken", Script::Answer(200));
    posthaste.replay_all();
    until("nothing is dead any more", SOON, async || {
        router.metric("posthaste_dead_letters").await == Some(0)
    })
    .await;
    settled(router, owed).await;
}

/// What was confirmed and not accepted by an endpoint that wanted it.
fn lost(receiver: &Receiver, confirmed: &BTreeSet<String>) -> Vec<String> {
    let mut lost = Vec::new();
    for name in ["good", "flaky", "broken"] {
        let accepted = receiver.accepted_bodies(name);
        lost.extend(confirmed.difference(&accepted).map(|body| format!("{name}: {body}")));
    }
    lost
}

/// What SQLite says of the file.
fn integrity(posthaste: &Posthaste) -> String {
    let file = posthaste.folder().join("posthaste.db");
    let connection = rusqlite::Connection::open(file).expect("opens");
    connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_needs_no_broker() {
    let posthaste = Posthaste::embedded().with_application();
    let receiver = three_endpoints(&posthaste).await;
    let router = posthaste.serve().await;
    let producer = Producer::new(&posthaste, &router.api);
    let mut confirmed = BTreeSet::new();
    for number in 0..20 {
        let body = format!(r#"{{"n": {number:>3}}}"#);
        producer.publish(&format!("e{number}"), &body).await;
        confirmed.insert(body);
    }
    settled(&router, 60).await;

    assert_eq!(receiver.count("good"), 20, "each once");
    assert_eq!(receiver.count("flaky"), 60, "each three times");
    assert_eq!(receiver.count("broken"), 20, "each once: it is not tried again");
    for page in ["good", "flaky"] {
        for one in receiver.arrived(page) {
            assert!(one.id.starts_with("msg_") && !one.signature.is_empty());
        }
    }
    let mut times = receiver.arrived("flaky");
    times.sort_by(|one, other| (&one.id, one.at_ms).cmp(&(&other.id, other.at_ms)));
    for three in times.chunks(3) {
        let gaps = [three[1].at_ms - three[0].at_ms, three[2].at_ms - three[1].at_ms];
        assert!(gaps[0] >= 200 && gaps[1] >= 5_500, "never early: {gaps:?}");
    }
    let dead = posthaste.list(&["dead-letters", "list"]);
    assert_eq!(dead.len(), 20);
    assert_eq!(dead[0]["reason"], json!("attempts_exhausted"));
    replayed(&posthaste, &receiver, &router, 60).await;
    assert_eq!(lost(&receiver, &confirmed), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_command_line_publishes_is_found_by_a_router_that_runs() {
    let posthaste = Posthaste::embedded().with_application();
    let receiver = Receiver::start().await;
    posthaste.endpoint("good", &receiver.endpoint("good", Script::Answer(200)), &[]);
    let router = posthaste.serve().await;

    posthaste.list(&["publish", "--app", "acme", "--type", "job.created", "--count", "700"]);

    until("all have come", SOON, async || receiver.count("good") == 700).await;
    settled(&router, 700).await;
    assert_eq!(receiver.accepted("good").len(), 700, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_events_with_one_delivery_time_all_come_then_and_none_before() {
    let posthaste = Posthaste::embedded().with_application();
    let receiver = Receiver::start().await;
    posthaste.endpoint("good", &receiver.endpoint("good", Script::Answer(200)), &[]);
    let router = posthaste.serve().await;
    let before = support::receiver::now_ms();

    // More than a lane keeps in memory for later (64): the rest has to wait in the store.
    let publish = ["publish", "--app", "acme", "--type", "job.created", "--deliver-at", "3s"];
    posthaste.list(&[publish.as_slice(), &["--count", "200"]].concat());

    until("all have come", SOON, async || receiver.count("good") == 200).await;
    settled(&router, 200).await;
    let early: Vec<_> =
        receiver.arrived("good").into_iter().filter(|one| one.at_ms < before + 3_000).collect();
    assert!(early.is_empty(), "{early:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_is_there_though_its_publisher_was_killed_before_it_knew() {
    let mut posthaste = Posthaste::embedded().with_application();
    let receiver = Receiver::start().await;
    posthaste.endpoint("good", &receiver.endpoint("good", Script::Answer(200)), &[]);
    posthaste.set("FAILPOINT_KILL_AT", "publish.appended=1");
    let publish = ["publish", "--app", "acme", "--type", "job.created", "--id", "run-7"];
    assert!(!posthaste.run(&publish).status.success(), "it was killed");
    posthaste.set("FAILPOINT_KILL_AT", "none");

    let router = posthaste.serve().await;
    posthaste.run(&publish); // as a producer does that was not answered

    until("it has come", SOON, async || receiver.count("good") == 1).await;
    settled(&router, 1).await;
    assert_eq!(receiver.count("good"), 1, "published twice is one event");
}

/// Kills the router at the `hit`th time it comes to `step`, starts it again, and says what is lost.
async fn killed_at(step: &str, hit: usize) -> Vec<String> {
    let mut posthaste = Posthaste::embedded().with_application();
    let receiver = three_endpoints(&posthaste).await;
    let (publish, count) =
        (["publish", "--app", "acme", "--type", "job.created"], BACKLOG.to_string());
    posthaste.list(&[publish.as_slice(), &["--count", &count]].concat());
    posthaste.set("FAILPOINT_KILL_AT", &format!("{step}={hit}"));
    let mut doomed = posthaste.start();
    for number in BACKLOG..EVENTS {
        posthaste.list(&publish); // into the file, whether there is a router or not
        // Each received before the next, so that they are taken in as many batches.
        until("it has come, or the router is gone", SOON, async || {
            receiver.count("good") > number || doomed.ended().is_some()
        })
        .await;
    }
    if step == "reclaim.claimed" {
        settled(&doomed, EVENTS * 3).await;
        receiver.endpoint("broken", Script::Answer(200));
        posthaste.replay_all_and_die();
    }
    let what = format!("{step} is reached {hit} times and kills it");
    until(&what, SOON, async || doomed.ended().is_some()).await;

    posthaste.set("FAILPOINT_KILL_AT", "none");
    let router = posthaste.serve().await;
    settled(&router, EVENTS * 3).await;
    replayed(&posthaste, &receiver, &router, EVENTS * 3).await;
    assert_eq!(integrity(&posthaste), "ok");
    let mut lost = Vec::new();
    for name in ["good", "flaky", "broken"] {
        let accepted = receiver.accepted(name).len();
        if accepted != EVENTS {
            lost.push(format!("{name} accepted {accepted} of {EVENTS}"));
        }
    }
    lost
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_router_killed_at_any_step_loses_nothing() {
    let mut cases: Vec<(&str, usize)> = Vec::new();
    for step in posthaste::failpoint::EMBEDDED {
        // These two are taken once for a whole batch.
        let by_batch = matches!(step, "ingest.accepted" | "settle.recorded");
        cases.extend([(step, 1), (step, if by_batch { 3 } else { 17 })]);
    }
    // A few at a time: each is a router and a receiver, and the machine may be small.
    let mut verdicts = futures_util::StreamExt::buffer_unordered(
        futures_util::stream::iter(
            cases.iter().map(async |(step, hit)| (*step, *hit, killed_at(step, *hit).await)),
        ),
        3,
    );
    while let Some((step, hit, lost)) = futures_util::StreamExt::next(&mut verdicts).await {
        assert!(lost.is_empty(), "killed at {step}, hit {hit}: {lost:?}");
    }
}

/// How often the router is killed, and how many events are confirmed between two kills at least.
const KILLS: usize = 50;
const BETWEEN: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_router_killed_fifty_times_under_load_loses_nothing() {
    let posthaste = Posthaste::embedded().with_application();
    let receiver = three_endpoints(&posthaste).await;
    let mut router = posthaste.serve().await;
    let producer = Arc::new(Producer::new(&posthaste, &router.api));
    let confirmed = Arc::new(Mutex::new(BTreeSet::new()));
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let next = Arc::new(AtomicUsize::new(0));
    let producers: Vec<_> = (0..4)
        .map(|_| {
            let (producer, confirmed) = (Arc::clone(&producer), Arc::clone(&confirmed));
            let (done, next) = (Arc::clone(&done), Arc::clone(&next));
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let body = format!(r#"{{"n":{number}}}"#);
                    producer.publish(&format!("e{number}"), &body).await;
                    confirmed.lock().expect("no panic").insert(body);
                }
            })
        })
        .collect();

    for kill in 0..KILLS {
        let before = confirmed.lock().expect("no panic").len();
        until("some more are confirmed", SOON, async || {
            confirmed.lock().expect("no panic").len() >= before + BETWEEN + kill % 7
        })
        .await;
        router.kill_9();
        router = posthaste.start();
        producer.moved_to(&router.api);
    }
    done.store(true, Ordering::Relaxed);
    for task in producers {
        task.await.expect("no panic");
    }

    let confirmed = confirmed.lock().expect("no panic").clone();
    settled(&router, next.load(Ordering::Relaxed) * 3).await;
    replayed(&posthaste, &receiver, &router, next.load(Ordering::Relaxed) * 3).await;
    let requests: usize = ["good", "flaky", "broken"].iter().map(|name| receiver.count(name)).sum();
    println!(
        "{KILLS} kills, {} events confirmed, {requests} requests, {} lost",
        confirmed.len(),
        lost(&receiver, &confirmed).len()
    );
    assert_eq!(lost(&receiver, &confirmed), Vec::<String>::new());
    assert_eq!(integrity(&posthaste), "ok");
}
