//! The main job, whole: a real RabbitMQ, the real binary as a process, real receivers.
//!
//! Every test has a data folder and a prefix of its own on one private broker.

mod support;

use std::time::Duration;

use support::broker::Broker;
use support::producer::Producer;
use support::receiver::{Arrived, Receiver, Script, now_ms};
use support::router::Posthaste;
use support::store::Store;
use support::{unique_prefix, until};

const SOON: Duration = Duration::from_mins(2);

async fn posthaste() -> Posthaste {
    Posthaste::new(&Broker::shared().await.url(), &unique_prefix()).with_application()
}

/// Milliseconds between one request and the next.
fn gaps_ms(arrived: &[Arrived]) -> Vec<u64> {
    arrived.windows(2).map(|pair| pair[1].at_ms - pair[0].at_ms).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_events_reach_exactly_who_wants_them_and_verify_with_the_official_library() {
    use support::outside::{VerifyingReceiver, publish_with_pika};
    let posthaste = posthaste().await;
    let receiver = VerifyingReceiver::start(posthaste.folder());
    let filters: [(&str, &[&str]); 5] = [
        ("everything", &[]),
        ("jobs", &["job.*"]),
        ("endings", &["job.completed", "job.failed"]),
        ("documents", &["document.ready"]),
        ("mixed", &["process.*", "job.created"]),
    ];
    for (name, events) in filters {
        let more: Vec<_> = events.iter().flat_map(|pattern| ["--events", *pattern]).collect();
        let (_, secret) = posthaste.endpoint(name, &receiver.url(name), &more);
        receiver.knows(name, &secret);
    }
    let router = posthaste.serve().await;

    let published = publish_with_pika(&posthaste, 1_000);

    let wants = |name: &str, event_type: &str| match name {
        "everything" => true,
        "jobs" => event_type.starts_with("job."),
        "endings" => ["job.completed", "job.failed"].contains(&event_type),
        "documents" => event_type == "document.ready",
        _ => event_type.starts_with("process.") || event_type == "job.created",
    };
    let mut expected: Vec<(String, String)> = Vec::new();
    for (name, _) in filters {
        let wanted = published.iter().filter(|event| wants(name, &event.event_type));
        expected.extend(wanted.map(|event| (name.to_owned(), event.sha256.clone())));
    }
    expected.sort();
    until("everything has arrived", SOON, async || receiver.book().len() >= expected.len()).await;
    until("everything is settled", SOON, async || {
        router.metric("posthaste_ledger_deliveries{state=\"delivered\"}").await
            == i64::try_from(expected.len()).ok()
    })
    .await;

    let book = receiver.book();
    let unverified: Vec<_> = book.iter().filter(|entry| !entry.verified).collect();
    assert!(unverified.is_empty(), "refused by the official library: {unverified:?}");
    let mut arrived: Vec<_> =
        book.iter().map(|entry| (entry.to.clone(), entry.sha256.clone())).collect();
    arrived.sort();
    assert_eq!(arrived.len(), expected.len());
    assert!(arrived == expected, "each endpoint got what its filter says, byte for byte");
    assert_eq!(router.metric("posthaste_ledger_unaccounted_deliveries").await, Some(0));
    assert_eq!(router.metric("posthaste_ledger_deliveries{state=\"waiting\"}").await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_amqp_publish_sends_arrives_as_it_was_sent() {
    let posthaste = posthaste().await;
    let receiver = Receiver::start().await;
    posthaste.endpoint("all", &receiver.endpoint("all", Script::Answer(200)), &[]);
    let _router = posthaste.serve().await;

    let body = r#"{"total": 1250.50, "when": "2026-08-21T10:11:12"}"#;
    support::outside::amqp_publish(&posthaste, "acme.job.completed", body);

    until("it has arrived", SOON, async || receiver.count("all") == 1).await;
    assert_eq!(receiver.arrived("all")[0].body, body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_endpoint_is_tried_again_as_its_schedule_says_and_then_delivered_once() {
    let posthaste = posthaste().await;
    let receiver = Receiver::start().await;
    // One wait that the lane keeps, one that goes over the ladder.
    let url = receiver.endpoint("flaky", Script::FailFirst(2, 500));
    posthaste.endpoint("flaky", &url, &["--retry", "1000,6000", "--jitter", "0"]);
    let router = posthaste.serve().await;

    Producer::connect(&posthaste).await.publish("acme.job.completed", "{}").await;

    until("the third request has come", SOON, async || receiver.count("flaky") == 3).await;
    let arrived = receiver.arrived("flaky");
    let gaps = gaps_ms(&arrived);
    // Never early. How late, the machine decides here; what is waited for is held by the ladder's own tests.
    assert!(gaps[0] >= 1_000 && gaps[1] >= 6_000, "{gaps:?} ms");
    assert!(arrived.iter().all(|one| one.id == arrived[0].id), "the same webhook-id");
    let times: Vec<i64> = arrived.iter().map(|one| one.timestamp.parse().expect("s")).collect();
    assert!(times[2] - times[0] >= 6, "a fresh webhook-timestamp for each attempt: {times:?}");
    until("it is on record as delivered", SOON, async || {
        router.metric("posthaste_ledger_deliveries{state=\"delivered\"}").await == Some(1)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_every_time_is_dead_lettered_listed_and_replayed_with_the_same_id() {
    let posthaste = posthaste().await;
    let receiver = Receiver::start().await;
    let url = receiver.endpoint("broken", Script::Answer(503));
    let (endpoint, _) =
        posthaste.endpoint("broken", &url, &["--retry", "100,200", "--jitter", "0"]);
    let router = posthaste.serve().await;
    let producer = Producer::connect(&posthaste).await;

    producer.publish("acme.job.failed", r#"{"job_id":"j1"}"#).await;

    until("it is in the dead letters", SOON, async || {
        router.metric("posthaste_dead_letters").await == Some(1)
    })
    .await;
    assert_eq!(receiver.count("broken"), 3);
    let listed = posthaste.list(&["dead-letters", "list"]);
    let letter = &listed[0];
    assert_eq!(letter["reason"], "attempts_exhausted");
    assert_eq!(letter["lastStatus"], 503);
    assert_eq!(letter["attemptCount"], 3);
    assert_eq!(letter["endpointId"], endpoint.as_str());
    let native = producer.take(&format!("{}.dead-letters", posthaste.prefix())).await;
    assert_eq!(native.body, br#"{"job_id":"j1"}"#);

    receiver.endpoint("broken", Script::Answer(200));
    let counted = posthaste.json(&["replay", "start", "--endpoint", &endpoint, "--dry-run"]);
    assert_eq!(counted["replayable"], 1);
    let lines = posthaste.list(&["replay", "start", "--endpoint", &endpoint, "--yes"]);
    let ended = lines.last().expect("the end has a line");
    assert_eq!((&ended["state"], &ended["offered"]), (&"finished".into(), &1.into()), "{ended}");

    until("the replay is delivered", SOON, async || {
        receiver.accepted("broken").len() == 1
            && router.metric("posthaste_dead_letters").await == Some(0)
    })
    .await;
    let arrived = receiver.arrived("broken");
    assert_eq!(arrived.len(), 4);
    assert!(arrived.iter().all(|one| one.id == arrived[0].id), "the same webhook-id");
    assert_eq!(posthaste.list(&["dead-letters", "list"]), Vec::<serde_json::Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_never_exceeded_everything_arrives_and_others_do_not_notice() {
    let posthaste = posthaste().await;
    let receiver = Receiver::start().await;
    let slow = receiver.endpoint("slow", Script::Answer(200));
    let free = receiver.endpoint("free", Script::Answer(200));
    let (endpoint, _) = posthaste.endpoint("slow", &slow, &["--throttle-rate", "20"]);
    posthaste.endpoint("free", &free, &[]);
    let router = posthaste.serve().await;
    let began = now_ms();

    Producer::connect(&posthaste).await.publish_many("acme.job.created", 200).await;

    until("the other has all", SOON, async || receiver.count("free") == 200).await;
    let free_took = receiver.arrived("free").last().expect("200").at_ms - began;
    until("all have arrived", SOON, async || receiver.accepted("slow").len() == 200).await;
    let arrived = receiver.arrived("slow");
    let times: Vec<u64> = arrived.iter().map(|one| one.at_ms).collect();
    // Never more than the rate has brought by then, and the burst of a tenth of it at the beginning. Requests
    // that a busy machine reads late come together, but none comes before it was sent.
    for (number, at) in (1..).zip(&times) {
        let brought = (at - began) * 20 / 1_000 + 2;
        assert!(number <= brought + 1, "{number} within {} ms", at - began);
    }
    until("all are on record", SOON, async || {
        router.metric("posthaste_ledger_deliveries{state=\"delivered\"}").await == Some(400)
    })
    .await;
    // So within a second it is the router's own record that tells.
    let sent = Store::of(&posthaste).await.attempts_began(&endpoint);
    assert_eq!(sent.len(), 200, "each once");
    let most = (0..sent.len())
        .map(|first| sent[first..].iter().take_while(|at| **at < sent[first] + 1_000).count())
        .max()
        .expect("200 of them");
    // The rate, and the burst of a tenth of it after a pause. Four more, because between its leave and its
    // beginning a request may wait for the machine: some that had theirs 200 ms apart begin together.
    assert!(most <= 20 + 2 + 4, "{most} within one second");
    assert_eq!(arrived.len(), 200, "each once");
    let slow_took = times.last().expect("200") - began;
    assert!(free_took * 4 < slow_took * 3, "{free_took} ms beside {slow_took} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_cap_of_one_there_are_never_two_at_once() {
    let posthaste = posthaste().await;
    let receiver = Receiver::start().await;
    let url = receiver.endpoint("one", Script::Slowly(Duration::from_millis(20), 200));
    posthaste.endpoint("one", &url, &["--max-in-flight", "1"]);
    let _router = posthaste.serve().await;

    Producer::connect(&posthaste).await.publish_many("acme.job.created", 60).await;

    until("all have arrived", SOON, async || receiver.accepted("one").len() == 60).await;
    assert_eq!(receiver.arrived("one").iter().map(|one| one.open).max(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_room_for_one_request_in_all_every_endpoint_gets_its_turn() {
    let mut posthaste = posthaste().await;
    posthaste.set("POSTHASTE_LIMITS__MAX_IN_FLIGHT", "1");
    let receiver = Receiver::start().await;
    for name in ["one", "other", "third"] {
        let url = receiver.endpoint(name, Script::Slowly(Duration::from_millis(10), 200));
        posthaste.endpoint(name, &url, &[]);
    }
    let router = posthaste.serve().await;

    Producer::connect(&posthaste).await.publish_many("acme.job.created", 40).await;

    until("all have all", SOON, async || {
        ["one", "other", "third"].iter().all(|name| receiver.accepted(name).len() == 40)
    })
    .await;
    assert!(router.metric("posthaste_delivery_in_flight").await <= Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_endpoint_gets_what_is_published_behind_it() {
    let posthaste = posthaste().await;
    let receiver = Receiver::start().await;
    let _router = posthaste.serve().await;
    let producer = Producer::connect(&posthaste).await;

    for name in ["first", "second", "third"] {
        posthaste.endpoint(name, &receiver.endpoint(name, Script::Answer(200)), &[]);
        producer.publish("acme.job.created", "{}").await;
    }

    until("each has what was published since it was made", SOON, async || {
        [("first", 3), ("second", 2), ("third", 1)]
            .iter()
            .all(|(name, count)| receiver.count(name) == *count)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_is_kept() {
    let posthaste = posthaste().await;
    let receiver = Receiver::start().await;
    let url = receiver.endpoint("busy", Script::ComeBack("7"));
    posthaste.endpoint("busy", &url, &["--retry", "100,100", "--jitter", "0"]);
    let _router = posthaste.serve().await;

    Producer::connect(&posthaste).await.publish("acme.job.completed", "{}").await;

    until("it came back", SOON, async || receiver.count("busy") == 2).await;
    let gap = gaps_ms(&receiver.arrived("busy"))[0];
    assert!(gap >= 7_000, "came back after {gap} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_of_half_a_second_and_a_second_holds_to_a_tenth_where_the_machine_does() {
    let posthaste = posthaste().await;
    let receiver = Receiver::start().await;
    let url = receiver.endpoint("xora", Script::Answer(500));
    // All of it fails, and is tried all the same.
    let waits = ["--retry", "500,1000", "--jitter", "0", "--circuit-breaker", "false"];
    posthaste.endpoint("xora", &url, &waits);
    let _router = posthaste.serve().await;
    let producer = Producer::connect(&posthaste).await;

    // None is ever early. How late one is, a busy machine may decide: so it goes on until one is held to a tenth,
    // which no router does that is slow by itself.
    let mut published = 0;
    until("the schedule is held to a tenth", SOON, async || {
        producer.publish_many("acme.job.rejected", 20).await;
        published += 20;
        until("all attempts are made", SOON, async || receiver.count("xora") == 3 * published)
            .await;
        let arrived = receiver.arrived("xora");
        let ids = arrived.iter().map(|one| &one.id).collect::<std::collections::BTreeSet<_>>();
        let mut held = 0;
        for id in ids {
            let of_one: Vec<_> = arrived.iter().filter(|one| one.id == *id).cloned().collect();
            let gaps = gaps_ms(&of_one);
            assert!(gaps[0] >= 500 && gaps[1] >= 1_000, "early: {gaps:?} ms");
            held += usize::from(gaps[0] <= 600 && gaps[1] <= 1_100);
        }
        held > 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_an_event_is_quarantined_once_with_its_fault_and_others_flow() {
    let posthaste = posthaste().await;
    let receiver = Receiver::start().await;
    posthaste.endpoint("all", &receiver.endpoint("all", Script::Answer(200)), &[]);
    let router = posthaste.serve().await;
    let producer = Producer::connect(&posthaste).await;

    producer.publish("acme.job.created", "{ not json").await;
    producer.publish("acme", "{}").await;
    producer.publish_typed("acme.x", &"x".repeat(129), b"{}").await;
    producer.publish_typed("acme.job.created", "job.created", b"{\"a\":\"\xff\xfe\"}").await;
    let large = format!("\"{}\"", "x".repeat(2_000_000));
    producer.publish("acme.job.created", &large).await;
    producer.publish("nobody.job.created", "{}").await;
    producer.publish("acme.job.created", r#"{"good":true}"#).await;

    until("the good one has arrived", SOON, async || receiver.count("all") == 1).await;
    let quarantine = format!("{}.quarantine", posthaste.prefix());
    let mut reasons = Vec::new();
    for _ in 0..6 {
        let message = producer.take(&quarantine).await;
        let error = message.header("x-error");
        assert!(!error.is_empty(), "the fault in words");
        reasons.push(message.header("x-reason"));
    }
    reasons.sort();
    assert_eq!(
        reasons,
        [
            "application_unknown",
            "event_type_missing",
            "event_type_too_long",
            "payload_not_json",
            "payload_not_utf8",
            "payload_too_large",
        ]
    );
    assert_eq!(producer.waiting_in(&quarantine).await, 0, "each once");
    assert_eq!(producer.waiting_in(&format!("{}.v1.inbox", posthaste.prefix())).await, 0);
    // Counted behind the broker's confirm, which comes after the message can be taken.
    until("it is counted", SOON, async || {
        router.metric("posthaste_events_quarantined_total{reason=\"payload_too_large\"}").await
            == Some(1)
    })
    .await;
    assert_eq!(receiver.arrived("all")[0].body, r#"{"good":true}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_twice_is_one_event_and_no_id_twice_is_two() {
    let posthaste = posthaste().await;
    let receiver = Receiver::start().await;
    posthaste.endpoint("all", &receiver.endpoint("all", Script::Answer(200)), &[]);
    let router = posthaste.serve().await;
    let producer = Producer::connect(&posthaste).await;

    for _ in 0..3 {
        producer.publish_named("acme.job.created", "run-7", r#"{"n":1}"#).await;
    }
    for _ in 0..2 {
        producer.publish("acme.job.created", r#"{"n":2}"#).await;
    }

    until("all are taken in", SOON, async || {
        router.metric("posthaste_broker_messages_received_total{redelivered=\"false\"}").await
            == Some(5)
    })
    .await;
    until("three are delivered", SOON, async || receiver.count("all") == 3).await;
    assert_eq!(receiver.accepted("all").len(), 3, "three ids");
    assert_eq!(
        router.metric("posthaste_events_known_total{cause=\"published_twice\"}").await,
        Some(2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_hold_from_the_next_attempt_on() {
    let posthaste = posthaste().await;
    let receiver = Receiver::start().await;
    let (endpoint, _) =
        posthaste.endpoint("old", &receiver.endpoint("old", Script::Answer(200)), &[]);
    let router = posthaste.serve().await;
    let producer = Producer::connect(&posthaste).await;
    producer.publish("acme.job.created", r#"{"n":1}"#).await;
    until("the first came to the old URL", SOON, async || receiver.count("old") == 1).await;

    let new = receiver.endpoint("new", Script::Answer(200));
    posthaste.json(&["endpoint", "edit", &endpoint, "--url", &new]);
    until("requests go to the new URL", SOON, async || {
        producer.publish("acme.job.created", r#"{"n":2}"#).await;
        receiver.count("new") > 0
    })
    .await;

    posthaste.json(&["endpoint", "pause", &endpoint]);
    until("it is paused", SOON, async || {
        producer.publish("acme.job.created", r#"{"n":3}"#).await;
        router.metric("posthaste_deliveries_postponed_total{reason=\"paused\"}").await > Some(0)
    })
    .await;
    let before = receiver.count("new");
    posthaste.json(&["endpoint", "resume", &endpoint]);
    until("what waited is delivered", SOON, async || {
        receiver.count("new") > before
            && router.metric("posthaste_ledger_deliveries{state=\"waiting\"}").await == Some(0)
    })
    .await;

    posthaste.json(&["endpoint", "delete", &endpoint]);
    assert_eq!(router.metric("posthaste_ledger_unaccounted_deliveries").await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_finishes_what_is_on_the_way_and_loses_nothing() {
    let posthaste = posthaste().await;
    let receiver = Receiver::start().await;
    let url = receiver.endpoint("slow", Script::Slowly(Duration::from_millis(300), 200));
    posthaste.endpoint("slow", &url, &["--max-in-flight", "10"]);
    let mut router = posthaste.serve().await;
    let producer = Producer::connect(&posthaste).await;
    producer.publish_many("acme.job.created", 100).await;
    until("requests are on the way", SOON, async || receiver.count("slow") >= 10).await;

    router.signal("TERM");
    let status = router.end().await;

    assert_eq!(status.code(), Some(0), "{}", posthaste.log());
    let open = receiver.arrived("slow").iter().filter(|one| one.status == 0).count();
    assert_eq!(open, 0, "no request was cut off");
    let before: Vec<_> = receiver.accepted("slow");

    let _again = posthaste.serve().await;
    until("the rest is delivered", SOON, async || receiver.accepted("slow").len() == 100).await;
    let arrived = receiver.arrived("slow");
    for id in before {
        assert_eq!(arrived.iter().filter(|one| one.id == id).count(), 1, "{id} was finished");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_outlasts_the_grace_time_is_interrupted_and_costs_no_attempt() {
    let mut posthaste = posthaste().await;
    posthaste.set("POSTHASTE_SHUTDOWN__GRACE_MS", "500");
    let receiver = Receiver::start().await;
    let url = receiver.endpoint("hanging", Script::Hang);
    posthaste.endpoint("hanging", &url, &["--retry", "none"]);
    let mut router = posthaste.serve().await;
    Producer::connect(&posthaste).await.publish("acme.job.created", "{}").await;
    until("the request is on the way", SOON, async || receiver.count("hanging") == 1).await;

    router.signal("TERM");
    assert_eq!(router.end().await.code(), Some(0));

    receiver.endpoint("hanging", Script::Answer(200));
    let _again = posthaste.serve().await;
    // With a single attempt it would be a dead letter by now, had the interrupted one counted.
    until("it is delivered after all", SOON, async || receiver.accepted("hanging").len() == 1)
        .await;
    assert_eq!(posthaste.list(&["dead-letters", "list"]), Vec::<serde_json::Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_router_on_the_same_data_folder_is_refused() {
    let posthaste = posthaste().await;
    let _router = posthaste.serve().await;

    let second = posthaste.command(&["serve", "--set", "admin.listen=127.0.0.1:0"]).output();

    let second = second.expect("the binary runs");
    assert!(!second.status.success());
    let error = String::from_utf8_lossy(&second.stderr);
    assert!(error.contains("another router runs on the data folder"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_process_at_once() {
    let mut posthaste = posthaste().await;
    posthaste.set("POSTHASTE_SHUTDOWN__GRACE_MS", "600000");
    let receiver = Receiver::start().await;
    let url = receiver.endpoint("hanging", Script::Hang);
    posthaste.endpoint("hanging", &url, &["--timeout-ms", "60000"]);
    let mut router = posthaste.serve().await;
    Producer::connect(&posthaste).await.publish("acme.job.created", "{}").await;
    until("the request is on the way", SOON, async || receiver.count("hanging") == 1).await;

    router.signal("TERM");
    until("it is draining", SOON, async || {
        router.get("/readyz").await.is_some_and(|(_, text)| text.contains("stopping"))
    })
    .await;
    router.signal("TERM");

    let began = now_ms();
    assert_eq!(router.end().await.code(), Some(0));
    assert!(now_ms() - began < 30_000, "the request has a minute, and the grace time is ten");
}
