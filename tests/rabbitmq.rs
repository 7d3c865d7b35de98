//! The RabbitMQ back end on a real node: what it promises its ports, and what it does when the
//! broker does not do its part.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use posthaste::domain::delivery::{Delivery, Turn};
use posthaste::domain::event::{Event, Identity, Rejection};
use posthaste::domain::id::{ApplicationId, EndpointId, EventId};
use posthaste::domain::retry::Due;
use posthaste::domain::settlement::DeathReason;
use posthaste::domain::time::Timestamp;
use posthaste::storage::StorageError;
use posthaste::storage::inbox::{Arrival, Content, Inbox, Publication, Receipt};
use posthaste::storage::ladder::Waiting;
use posthaste::storage::outlet::{Notice, Verdict};
use posthaste::storage::rabbitmq::inbox::RabbitInbox;
use posthaste::storage::rabbitmq::topology::{self, Topology};
use posthaste::storage::rabbitmq::{Rabbit, Settings};

use support::broker::Broker;
use support::{clock, eventually, within};

static TESTS: AtomicUsize = AtomicUsize::new(0);

/// A back end with names of its own on a node, and a plain connection beside it to look and meddle.
struct Bench {
    settings: Settings,
    rabbit: Rabbit,
    topology: Topology,
    probe: Channel,
    _connection: Connection,
}

impl Bench {
    async fn on(broker: &Broker) -> Self {
        let number = TESTS.fetch_add(1, Ordering::Relaxed);
        let settings = Settings {
            urls: vec![broker.url()],
            prefix: format!("test-{number}"),
            results: true,
            ..Settings::default()
        };
        topology::apply(&settings.urls, &settings.prefix).await.expect("a node of our own");
        let connection = Connection::connect(&broker.url(), ConnectionProperties::default())
            .await
            .expect("a node of our own");
        Self {
            rabbit: started(&settings),
            topology: Topology::new(&settings.prefix).expect("a prefix"),
            probe: connection.create_channel().await.expect("a channel"),
            _connection: connection,
            settings,
        }
    }

    async fn shared() -> Self {
        Self::on(Broker::shared().await).await
    }

    /// Publishes events by these names.
    async fn publish(&self, names: &[&str]) {
        let events: Vec<_> = names.iter().map(|name| publication(name)).collect();
        self.rabbit.producer().publish(&events).await.expect("published");
    }

    /// Messages that wait in a queue.
    async fn ready(&self, queue: &str) -> u32 {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let declared = self.probe.queue_declare(queue.into(), passive, FieldTable::default());
        declared.await.expect("the queue is there").message_count()
    }

    /// Takes a message out of a queue.
    async fn take(&self, queue: &str) -> lapin::message::Delivery {
        eventually("a message in the queue", || async {
            let got = self.probe.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await;
            got.expect("the queue is there").map(|got| got.delivery)
        })
        .await
    }
}

fn started(settings: &Settings) -> Rabbit {
    Rabbit::start(settings.clone(), Arc::new(clock)).expect("good settings")
}

fn publication(name: &str) -> Publication {
    Publication {
        application: "acme".into(),
        event_type: "job.completed".into(),
        event_id: name.into(),
        payload: Bytes::from(format!("{{\"name\":\"{name}\"}}")),
        ..Publication::default()
    }
}

fn delivery(name: &str) -> Delivery {
    let event = Event {
        id: EventId::derived(&[name.as_bytes()]),
        application: ApplicationId::derived(&[b"acme"]),
        event_type: "job.completed".parse().expect("a type"),
        event_id: Some(name.into()),
        subject: Some("job-17".into()),
        occurred_at: Timestamp::from_millis(1_787_307_072_345),
        received_at: Timestamp::from_millis(1_787_307_072_999),
        deliver_at: None,
        expires_at: Some(Timestamp::NEVER),
        content_type: Some("application/json".into()),
        traceparent: None,
        channels: Box::default(),
        payload: Bytes::from_static(b"{\"amount\": 1250.50}"),
        webhook: None,
        attributes: Box::default(),
    };
    let endpoint = EndpointId::derived(&[b"endpoint"]);
    Delivery { event: Arc::new(event), endpoint, turn: Turn(3), attempts: 2, replayed: true }
}

async fn next(inbox: &mut RabbitInbox) -> Arrival {
    within("an arrival", inbox.next()).await.expect("the inbox was not stopped")
}

/// The producer's name of an event that arrived, and its receipt.
fn named(arrival: Arrival) -> (String, Receipt) {
    match arrival.content {
        Content::Event(event) => match event.identity {
            Identity::Given(name) => (name.into(), arrival.receipt),
            Identity::Sourced { .. } | Identity::Fingerprint(_) | Identity::Stored(..) => {
                panic!("published with a name")
            }
        },
        Content::Due { .. } | Content::Unreadable(_) => panic!("an event was published"),
    }
}

fn header(properties: &BasicProperties, name: &str) -> Option<String> {
    let value = properties.headers().as_ref()?.inner().get(name)?;
    value.as_long_string().map(ToString::to_string)
}

#[tokio::test]
async fn declaring_twice_is_fine_and_what_is_there_with_other_arguments_is_named() {
    let bench = Bench::shared().await;
    let (urls, prefix) = (&bench.settings.urls, &bench.settings.prefix);
    topology::apply(urls, prefix).await.expect("the same again");
    bench.rabbit.close().await;

    let inbox = bench.topology.inbox();
    bench
        .probe
        .queue_delete(inbox.as_str().into(), QueueDeleteOptions::default())
        .await
        .expect("ours");
    let mut other = FieldTable::default();
    other.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    bench.probe.queue_declare(inbox.as_str().into(), durable, other).await.expect("ours");

    let refused = topology::apply(urls, prefix).await.expect_err("other arguments");

    let StorageError::Conflict(sentence) = refused else { panic!("{refused}") };
    assert!(sentence.contains(&format!("queue `{inbox}` is there")), "{sentence}");
}

#[tokio::test]
async fn what_is_published_arrives_as_it_was_meant() {
    let bench = Bench::shared().await;
    let meant = Publication {
        subject: Some("job-17".into()),
        occurred_at: Some(Timestamp::from_millis(1_787_307_072_345)),
        ..publication("run-7")
    };
    let mut inbox = bench.rabbit.inbox();

    bench.rabbit.producer().publish(std::slice::from_ref(&meant)).await.expect("published");

    let arrival = next(&mut inbox).await;
    assert!(!arrival.redelivered);
    let Content::Event(event) = arrival.content else { panic!("an event was published") };
    assert_eq!(event.application.to_string(), "acme");
    assert_eq!(event.event_type.as_str(), "job.completed");
    assert_eq!(event.identity, Identity::Given("run-7".into()));
    assert_eq!((event.subject.as_deref(), event.occurred_at), (Some("job-17"), meant.occurred_at));
    assert_eq!(event.payload, meant.payload);
    arrival.receipt.give_back();
}

#[tokio::test]
async fn a_delivery_comes_back_whole_and_never_early_however_often_it_goes_up() {
    let bench = Bench::shared().await;
    let (ladder, mut inbox) = (bench.rabbit.ladder(), bench.rabbit.inbox());
    let mut waiting = delivery("run-7");
    // Three times: up to 3.13 the broker would take a message with its old marks for a cycle.
    for wait_ms in [100, 130, 100] {
        let due_at = clock() + Duration::from_millis(wait_ms);
        let up = Waiting { delivery: waiting.clone(), due: Due::exactly(due_at) };
        ladder.postpone(&[up]).await.expect("on the ladder");

        let arrival = next(&mut inbox).await;

        assert!(clock() >= due_at, "early");
        let Content::Due { delivery, due_at: told } = arrival.content else { panic!("a delivery") };
        assert_eq!((format!("{delivery:?}"), told), (format!("{waiting:?}"), due_at));
        arrival.receipt.give_back();
        waiting = delivery.after(waiting.attempts + 1);
    }
    assert_eq!(bench.ready(&bench.topology.orphans()).await, 0);
}

#[tokio::test]
async fn many_deliveries_on_many_rungs_all_come_back() {
    let bench = Bench::shared().await;
    let (ladder, mut inbox) = (bench.rabbit.ladder(), bench.rabbit.inbox());
    let names: Vec<_> = (0..700).map(|number| format!("run-{number}")).collect();
    let now = clock();
    let up: Vec<_> = names
        .iter()
        .zip((100..).step_by(2))
        .map(|(name, ms)| Waiting {
            delivery: delivery(name),
            due: Due::exactly(now + Duration::from_millis(ms)),
        })
        .collect();

    ladder.postpone(&up).await.expect("on the ladder");

    let mut back = BTreeSet::new();
    while back.len() < names.len() {
        let arrival = next(&mut inbox).await;
        let Content::Due { delivery, due_at } = arrival.content else { panic!("a delivery") };
        assert!(clock() >= due_at, "early");
        back.insert(delivery.event.event_id.clone().expect("named").into_string());
        arrival.receipt.give_back();
    }
    assert_eq!(back, names.into_iter().collect());
}

#[tokio::test]
async fn what_is_not_an_event_is_quarantined_once_with_its_reason() {
    let bench = Bench::shared().await;
    let mut inbox = bench.rabbit.inbox();
    let mut headers = FieldTable::default();
    headers.insert("tenant".into(), AMQPValue::LongString("a".into()));
    let properties = BasicProperties::default().with_app_id("billing".into()).with_headers(headers);
    let options = BasicPublishOptions::default();
    let events = bench.topology.events();
    bench
        .probe
        .basic_publish(events.as_str().into(), "acme.job.done".into(), options, b"{", properties)
        .await
        .expect("written");

    let arrival = next(&mut inbox).await;
    let Content::Unreadable(why) = &arrival.content else { panic!("not JSON") };
    assert!(matches!(why, Rejection::NotJson(_)), "{why}");
    arrival.original.quarantine(why).await.expect("kept");
    arrival.receipt.give_back();
    bench.rabbit.close().await;

    let kept = bench.take(&bench.topology.quarantine()).await;
    assert_eq!(kept.data, b"{");
    assert_eq!(header(&kept.properties, "x-reason").as_deref(), Some("payload_not_json"));
    assert_eq!(
        header(&kept.properties, "x-original-routing-key").as_deref(),
        Some("acme.job.done")
    );
    assert_eq!(header(&kept.properties, "tenant").as_deref(), Some("a"));
    assert_eq!(kept.properties.app_id().as_ref().map(ShortString::as_str), Some("billing"));
    assert_eq!(bench.ready(&bench.topology.quarantine()).await, 0, "once");
    assert_eq!(bench.ready(&bench.topology.inbox()).await, 0, "and not in the inbox any more");
}

#[tokio::test]
async fn receipts_in_any_order_empty_the_queue() {
    let bench = Bench::shared().await;
    let names: Vec<_> = (0..200).map(|number| format!("run-{number}")).collect();
    bench.publish(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut inbox = bench.rabbit.inbox();
    let mut receipts = Vec::new();
    for _ in &names {
        receipts.push(next(&mut inbox).await.receipt);
    }
    // Every third, then from the back, the very first last: gaps that open and close.
    let (mut rest, mut first) = (Vec::new(), Vec::new());
    for (position, receipt) in receipts.into_iter().enumerate() {
        if position % 3 == 1 {
            first.push(receipt);
        } else {
            rest.push(receipt);
        }
    }
    for receipt in first.into_iter().chain(rest.into_iter().rev()) {
        receipt.give_back();
    }
    inbox.stop_handle().flush().await;
    assert_eq!(bench.rabbit.health().acknowledged.load(Ordering::Relaxed), 200);

    bench.rabbit.close().await;

    assert_eq!(bench.ready(&bench.topology.inbox()).await, 0);
}

#[tokio::test]
async fn what_was_not_finished_comes_again() {
    let bench = Bench::shared().await;
    bench.publish(&["one", "two", "three"]).await;
    let mut inbox = bench.rabbit.inbox();
    for _ in 0..3 {
        let (name, receipt) = named(next(&mut inbox).await);
        if name == "two" {
            receipt.give_back();
        }
    }
    bench.rabbit.close().await;

    let again = started(&bench.settings);
    let mut inbox = again.inbox();

    let mut names = BTreeSet::new();
    for _ in 0..2 {
        let arrival = next(&mut inbox).await;
        assert!(arrival.redelivered);
        names.insert(named(arrival).0);
    }
    assert_eq!(names, BTreeSet::from(["one".to_owned(), "three".to_owned()]));
    again.close().await;
}

#[tokio::test]
async fn a_stopped_inbox_hands_over_nothing_more_but_takes_receipts() {
    let bench = Bench::shared().await;
    bench.publish(&["one", "two"]).await;
    let mut inbox = bench.rabbit.inbox();
    let (_, receipt) = named(next(&mut inbox).await);

    inbox.stop_handle().stop();
    assert!(within("the end", inbox.next()).await.is_none());
    assert!(inbox.ready().is_none());
    receipt.give_back();
    inbox.stop_handle().close().await;

    eventually("one event back in the queue", || async {
        (bench.ready(&bench.topology.inbox()).await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_queue_that_is_deleted_under_its_consumer_comes_back() {
    let bench = Bench::shared().await;
    let mut inbox = bench.rabbit.inbox();
    bench.publish(&["before"]).await;
    named(next(&mut inbox).await).1.give_back();

    let queue = bench.topology.inbox();
    bench
        .probe
        .queue_delete(queue.as_str().into(), QueueDeleteOptions::default())
        .await
        .expect("ours");

    let connects = bench.rabbit.health();
    eventually("another consumer", || async {
        (connects.consume_connects.load(Ordering::Relaxed) >= 2).then_some(())
    })
    .await;
    bench.publish(&["after"]).await;
    assert_eq!(named(next(&mut inbox).await).0, "after");
}

#[tokio::test]
async fn what_finds_no_queue_is_not_published_and_the_topology_is_mended() {
    let bench = Bench::shared().await;
    let mut inbox = bench.rabbit.inbox();
    bench.publish(&["run-7"]).await;
    let arrival = next(&mut inbox).await;
    let quarantine = bench.topology.quarantine();
    let deleted =
        bench.probe.queue_delete(quarantine.as_str().into(), QueueDeleteOptions::default());
    deleted.await.expect("ours");
    let why = Rejection::UnknownApplication("acme".into());

    let refused = arrival.original.quarantine(&why).await.expect_err("no queue");

    assert!(
        matches!(&refused, StorageError::Unavailable(s) if s.contains("found no queue")),
        "{refused}"
    );
    assert_eq!(bench.rabbit.health().returned.load(Ordering::Relaxed), 1);
    eventually("a quarantine again", || async { arrival.original.quarantine(&why).await.ok() })
        .await;
    assert!(bench.ready(&quarantine).await >= 1);
}

#[tokio::test]
async fn events_without_an_inbox_are_kept_for_people() {
    let bench = Bench::shared().await;
    bench.publish(&["opens the channels"]).await;
    let queue = bench.topology.inbox();
    bench
        .probe
        .queue_delete(queue.as_str().into(), QueueDeleteOptions::default())
        .await
        .expect("ours");

    bench.publish(&["run-7"]).await;

    let kept = bench.take(&bench.topology.unroutable()).await;
    assert_eq!(kept.properties.message_id().as_ref().map(ShortString::as_str), Some("run-7"));
}

#[tokio::test]
async fn dead_letters_are_kept_and_results_need_no_listener() {
    let bench = Bench::shared().await;
    let notice = |verdict| Notice {
        event: delivery("run-7").event,
        endpoint: EndpointId::derived(&[b"endpoint"]),
        verdict,
        attempts: 3,
        last: None,
        by_hand: false,
        at: clock(),
    };
    let outlet = bench.rabbit.outlet();
    let dead = notice(Verdict::Dead(DeathReason::AttemptsExhausted));

    outlet.tell(&[notice(Verdict::Succeeded), dead]).await.expect("nobody has to listen");

    let kept = bench.take(&bench.topology.dead_letters()).await;
    let application = ApplicationId::derived(&[b"acme"]);
    assert_eq!(kept.routing_key.as_str(), format!("{application}.job.completed"));
    assert_eq!(kept.data, b"{\"amount\": 1250.50}");
    assert_eq!(header(&kept.properties, "x-reason").as_deref(), Some("attempts_exhausted"));
    assert_eq!(bench.rabbit.health().returned.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn calls_that_come_together_leave_together_and_are_all_confirmed() {
    let bench = Bench::shared().await;
    let producer = bench.rabbit.producer();
    let calls = (0..1_500).map(|number| {
        let producer = producer.clone();
        tokio::spawn(async move { producer.publish(&[publication(&number.to_string())]).await })
    });
    for call in calls.collect::<Vec<_>>() {
        within("a confirm", call).await.expect("no panic").expect("published");
    }
    eventually("every event in the queue", || async {
        (bench.ready(&bench.topology.inbox()).await == 1_500).then_some(())
    })
    .await;
}

#[tokio::test]
async fn routers_are_counted_by_the_broker() {
    let bench = Bench::shared().await;
    let (_one, _two) = (bench.rabbit.inbox(), bench.rabbit.inbox());
    let health = bench.rabbit.health();
    eventually("two consumers", || async {
        (health.routers.load(Ordering::Relaxed) == 2).then_some(())
    })
    .await;
}

/// Publishes one event after the other, each until it is confirmed, until told to stop; how many
/// there were.
async fn publish_on(rabbit: Arc<Rabbit>, stop: Arc<std::sync::atomic::AtomicBool>) -> usize {
    let producer = rabbit.producer();
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let event = [publication(&format!("run-{count}"))];
        eventually("a confirm", || async { producer.publish(&event).await.ok() }).await;
        count += 1;
    }
    count
}

#[tokio::test]
async fn a_killed_broker_loses_nothing_that_was_confirmed_and_work_goes_on_by_itself() {
    let broker = Broker::start().await;
    let bench = Bench::on(&broker).await;
    let Bench { rabbit, .. } = bench;
    let rabbit = Arc::new(rabbit);
    let mut inbox = rabbit.inbox();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let publishing = tokio::spawn(publish_on(rabbit.clone(), stop.clone()));

    let mut seen = BTreeSet::new();
    while seen.len() < 100 {
        let (name, receipt) = named(next(&mut inbox).await);
        receipt.give_back();
        seen.insert(name);
    }
    broker.settle().await;
    broker.kill_9().await;
    let health = rabbit.health();
    eventually("the loss is noticed", || async {
        let up = &health.publish_connected;
        (!up.load(Ordering::Relaxed)).then_some(())
    })
    .await;
    let away = rabbit.producer().publish(&[publication("away")]).await;
    assert!(matches!(away, Err(StorageError::Unavailable(_))), "{away:?}");
    broker.restart().await;
    let before = seen.len();
    while seen.len() < before + 100 {
        let (name, receipt) = named(next(&mut inbox).await);
        receipt.give_back();
        seen.insert(name);
    }
    broker.ctl(&["close_all_connections", "a test"]).await;
    let before = seen.len();
    while seen.len() < before + 100 {
        let (name, receipt) = named(next(&mut inbox).await);
        receipt.give_back();
        seen.insert(name);
    }
    stop.store(true, Ordering::Relaxed);
    let count = publishing.await.expect("no panic");

    let confirmed: BTreeSet<_> = (0..count).map(|number| format!("run-{number}")).collect();
    while !seen.is_superset(&confirmed) {
        let (name, receipt) = named(next(&mut inbox).await);
        receipt.give_back();
        seen.insert(name);
    }
    assert!(health.consume_connects.load(Ordering::Relaxed) >= 3);
    rabbit.close().await;
}

#[tokio::test]
async fn a_broker_without_memory_refuses_publishes_and_still_hears_what_is_finished() {
    let broker = Broker::start().await;
    let bench = Bench::on(&broker).await;
    let mut inbox = bench.rabbit.inbox();
    bench.publish(&["one", "two"]).await;
    let receipts = [next(&mut inbox).await.receipt, next(&mut inbox).await.receipt];

    broker.ctl(&["set_vm_memory_high_watermark", "absolute", "1MB"]).await;
    // The first is taken into the socket's buffer at the most; then the broker says that it is
    // blocked, and what follows is refused at once.
    let health = bench.rabbit.health();
    let producer = bench.rabbit.producer();
    eventually("a refusal", || async {
        producer.publish(&[publication("refused")]).await.is_err().then_some(())
    })
    .await;
    assert!(health.publish_blocked.load(Ordering::Relaxed));

    receipts.into_iter().for_each(Receipt::give_back);
    inbox.stop_handle().flush().await;
    assert_eq!(health.acknowledged.load(Ordering::Relaxed), 2);
    let queue = bench.topology.inbox();
    eventually("the broker has heard of both", || async {
        let listed = broker.ctl(&["-q", "list_queues", "name", "messages_unacknowledged"]).await;
        listed.lines().any(|line| line.split_whitespace().eq([queue.as_str(), "0"])).then_some(())
    })
    .await;

    broker.ctl(&["set_vm_memory_high_watermark", "absolute", "1GB"]).await;
    eventually("publishing again", || async {
        producer.publish(&[publication("later")]).await.ok()
    })
    .await;
    bench.rabbit.close().await;
}

#[tokio::test]
async fn a_router_that_starts_before_its_broker_waits_for_it() {
    let broker = Broker::start().await;
    let settings = Settings { urls: vec![broker.url()], ..Settings::default() };
    broker.kill_9().await;

    let rabbit = started(&settings);
    let mut inbox = rabbit.inbox();
    let refused = rabbit.producer().publish(&[publication("early")]).await;
    assert!(matches!(refused, Err(StorageError::Unavailable(_))), "{refused:?}");
    broker.restart().await;

    let producer = rabbit.producer();
    eventually("a confirm", || async { producer.publish(&[publication("run-7")]).await.ok() })
        .await;
    assert_eq!(named(next(&mut inbox).await).0, "run-7");
    rabbit.close().await;
}
