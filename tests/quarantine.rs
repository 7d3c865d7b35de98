//! Messages that nobody takes, on a real broker: looked at without losing one or their order, corrected and published anew,
//! thrown away; also when we die, or the broker does, in the middle of it. And how its queues stand.

mod support;

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use posthaste::domain::delivery::{Delivery, Turn};
use posthaste::domain::event::{Event, Identity};
use posthaste::domain::id::{ApplicationId, EndpointId, EventId, HeldId};
use posthaste::domain::retry::Due;
use posthaste::storage::StorageError;
use posthaste::storage::inbox::{Content, Inbox, Publication};
use posthaste::storage::ladder::Waiting;
use posthaste::storage::quarantine::{Fix, LOOK_MAX, Look, Quarantine, Shelf};
use posthaste::storage::queues::{Count, Role};
use posthaste::storage::rabbitmq::inbox::RabbitInbox;
use posthaste::storage::rabbitmq::topology::{self, Topology};
use posthaste::storage::rabbitmq::{Rabbit, Settings};

use support::broker::Broker;
use support::{clock, eventually, unique_prefix, within};

/// What tells the test of a death that it is the one to die: where the broker is, the prefix, and the message.
const TO_DIE: &str = "POSTHASTE_TEST_QUARANTINE_DIES";

static TESTS: AtomicUsize = AtomicUsize::new(0);

/// A back end with names of its own, and a plain channel beside it to put messages away and to count them.
struct Bench {
    url: String,
    rabbit: Rabbit,
    topology: Topology,
    shelf: Arc<dyn Quarantine>,
    probe: Channel,
    _connection: Connection,
}

impl Bench {
    async fn new() -> Self {
        Self::on(Broker::shared().await).await
    }

    async fn on(broker: &Broker) -> Self {
        let number = TESTS.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("{}-{number}", unique_prefix());
        let urls = vec![broker.url()];
        topology::apply(&urls, &prefix).await.expect("a node of our own");
        let connection = Connection::connect(&broker.url(), ConnectionProperties::default())
            .await
            .expect("a node of our own");
        let probe = connection.create_channel().await.expect("a channel");
        probe.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        let rabbit = started(&broker.url(), &prefix);
        Self {
            url: broker.url(),
            shelf: rabbit.quarantine(),
            rabbit,
            topology: Topology::new(&prefix).expect("a prefix"),
            probe,
            _connection: connection,
        }
    }

    /// Puts a message into a queue as it lies there, and waits until it does.
    async fn put(&self, exchange: &str, key: &str, properties: BasicProperties, body: &str) {
        let options = BasicPublishOptions::default();
        let (exchange, properties) = (exchange.into(), properties.with_delivery_mode(2));
        let sent =
            self.probe.basic_publish(exchange, key.into(), options, body.as_bytes(), properties);
        assert!(sent.await.expect("sent").await.expect("answered").is_ack(), "confirmed");
    }

    /// Puts away a message that is not JSON, as quarantine does.
    async fn put_away(&self, name: Option<&str>, body: &str) {
        let mut headers = FieldTable::default();
        for (header, text) in [
            ("x-reason", "payload_not_json"),
            ("x-error", "the payload is not JSON: EOF"),
            ("x-original-exchange", "events"),
            ("x-original-routing-key", "acme.job.completed"),
            ("subject", "job-17"),
        ] {
            headers.insert(header.into(), AMQPValue::LongString(text.into()));
        }
        let mut properties = BasicProperties::default().with_headers(headers);
        if let Some(name) = name {
            properties = properties.with_message_id(name.into());
        }
        self.put(&self.topology.quarantine(), "acme.job.completed", properties, body).await;
    }

    async fn look(&self) -> Look {
        within("a look", self.shelf.look(Shelf::Quarantine)).await.expect("looked")
    }

    /// A look that no stall has cut short: it ends after some seconds, however far it has come.
    async fn full_look(&self) -> Look {
        eventually("a look over as many as there may be", || async {
            Some(self.look().await).filter(|look| look.held.len() == LOOK_MAX)
        })
        .await
    }

    async fn names(&self) -> Vec<String> {
        let look = self.look().await;
        look.held.into_iter().map(|one| one.message_id.expect("named")).collect()
    }

    /// Waits until so many messages are ready in a queue.
    async fn ready(&self, queue: &str, wanted: u32) {
        let passive = QueueDeclareOptions { passive: true, durable: true, ..Default::default() };
        eventually(&format!("{wanted} ready in {queue}"), || async {
            let asked = self.probe.queue_declare(queue.into(), passive, FieldTable::default());
            let found = asked.await.expect("the queue is there").message_count();
            (found == wanted).then_some(())
        })
        .await;
    }

    async fn depth_of(&self, wanted: Role) -> Option<Count> {
        let depths = self.rabbit.queues().depths().await.expect("asked");
        depths.queues.into_iter().find(|queue| queue.role == wanted).map(|queue| queue.ready)
    }
}

fn started(url: &str, prefix: &str) -> Rabbit {
    let settings =
        Settings { urls: vec![url.to_owned()], prefix: prefix.to_owned(), ..Settings::default() };
    Rabbit::start(settings, Arc::new(clock)).expect("good settings")
}

fn fixed(body: &'static str) -> Fix {
    Fix { body: Some(Bytes::from_static(body.as_bytes())), ..Fix::default() }
}

/// What the next event that arrives is called by its producer, and its payload.
async fn next(inbox: &mut RabbitInbox) -> (String, Bytes) {
    let arrival = within("an arrival", inbox.next()).await.expect("the inbox was not stopped");
    let Content::Event(event) = arrival.content else { panic!("an event was published") };
    let Identity::Given(name) = event.identity else { panic!("it has an id: {event:?}") };
    arrival.receipt.give_back();
    (name.into(), event.payload)
}

#[tokio::test]
async fn looking_takes_nothing_away_and_leaves_the_order_as_it_was() {
    let bench = Bench::new().await;
    for name in ["one", "two", "three"] {
        bench.put_away(Some(name), "{").await;
    }

    let first = bench.look().await;
    assert_eq!((first.total, first.all), (Some(3), true));
    assert_eq!(first.held[0].reason, "payload_not_json");
    assert_eq!(first.held[0].routing_key, "acme.job.completed");
    for _ in 0..5 {
        assert_eq!(bench.look().await, first, "as often as one looks");
    }
    assert_eq!(bench.names().await, ["three", "two", "one"], "newest first");

    let whole = bench.shelf.held(Shelf::Quarantine, first.held[2].id).await.expect("looked");
    let whole = whole.expect("it is there");
    assert_eq!(whole.held.message_id.as_deref(), Some("one"));
    assert_eq!((&whole.body[..], whole.exchange.as_deref()), (&b"{"[..], Some("events")));
    assert!(whole.headers.contains(&("subject".into(), "job-17".into())), "{:?}", whole.headers);
    let nobody = HeldId::derived(&[b"nobody"]);
    assert_eq!(bench.shelf.held(Shelf::Quarantine, nobody).await, Ok(None));
    bench.ready(&bench.topology.quarantine(), 3).await;
}

#[tokio::test]
async fn a_look_that_nobody_waits_for_gives_back_what_it_took_and_two_at_once_see_everything() {
    let bench = Bench::new().await;
    for number in 0..20 {
        bench.put_away(Some(&format!("m{number}")), "{").await;
    }
    for after_ms in [0, 5, 20, 40] {
        let look = bench.shelf.look(Shelf::Quarantine);
        // Given up somewhere in the middle: there is nothing to wait for but time.
        let _ = tokio::time::timeout(Duration::from_millis(after_ms), look).await;
    }
    let (one, other) = tokio::join!(bench.look(), bench.look());
    assert_eq!(one.held.len(), 20);
    assert_eq!(one, other);
    bench.ready(&bench.topology.quarantine(), 20).await;
}

#[tokio::test]
async fn a_look_goes_over_so_many_and_tells_how_many_there_are() {
    let bench = Bench::new().await;
    for number in 0..LOOK_MAX + 5 {
        bench.put_away(Some(&format!("m{number}")), "{").await;
    }
    let look = bench.full_look().await;
    assert_eq!((look.held.len(), look.total, look.all), (LOOK_MAX, Some(205), false));
    assert_eq!(look.held.last().and_then(|one| one.message_id.as_deref()), Some("m0"));
    let middle = look.held[100].id;
    assert!(bench.shelf.held(Shelf::Quarantine, middle).await.expect("looked").is_some());
    let ids = |look: &Look| look.held.iter().map(|one| one.id).collect::<BTreeSet<_>>();
    assert_eq!(
        ids(&bench.full_look().await),
        ids(&look),
        "those that nobody has looked at stay behind"
    );
    bench.ready(&bench.topology.quarantine(), 205).await;
}

#[tokio::test]
async fn the_newest_is_first_by_the_times_that_producers_gave() {
    let bench = Bench::new().await;
    for (name, seconds) in [("second", 200), ("third", 300), ("first", 100)] {
        let named = BasicProperties::default().with_message_id(name.into());
        let properties = named.with_timestamp(seconds);
        bench.put(&bench.topology.quarantine(), "acme.job.completed", properties, "{").await;
    }
    assert_eq!(bench.names().await, ["third", "second", "first"]);
}

#[tokio::test]
async fn what_was_corrected_arrives_by_its_own_id_and_lies_there_no_more() {
    let bench = Bench::new().await;
    for name in ["one", "two", "three"] {
        bench.put_away(Some(name), "{").await;
    }
    let two = bench.look().await.held[1].id;

    let refused = bench.shelf.resubmit(Shelf::Quarantine, two, &fixed("[}")).await;
    assert!(matches!(refused, Err(StorageError::Conflict(_))), "{refused:?}");
    assert_eq!(bench.names().await, ["three", "two", "one"], "nothing was done");

    let fix = Fix { routing_key: Some("globex.job.done".into()), ..fixed("{\"fixed\":1}") };
    let done = bench.shelf.resubmit(Shelf::Quarantine, two, &fix).await.expect("published");
    let done = done.expect("it was there");
    assert_eq!((&*done.message_id, &*done.routing_key), ("two", "globex.job.done"));

    let mut inbox = bench.rabbit.inbox();
    let (name, payload) = next(&mut inbox).await;
    assert_eq!((&*name, &payload[..]), ("two", &b"{\"fixed\":1}"[..]));
    assert_eq!(bench.names().await, ["three", "one"]);
    assert_eq!(bench.shelf.resubmit(Shelf::Quarantine, two, &fix).await, Ok(None), "it is gone");
}

#[tokio::test]
async fn what_is_thrown_away_is_gone_and_of_messages_that_are_alike_one_at_a_time() {
    let bench = Bench::new().await;
    for name in ["twin", "twin", "other", "kept"] {
        bench.put_away(Some(name), "{").await;
    }
    let look = bench.look().await;
    let id = |name: &str| {
        let found = look.held.iter().find(|one| one.message_id.as_deref() == Some(name));
        found.expect("it is there").id
    };
    let nobody = HeldId::derived(&[b"nobody"]);

    let gone = bench.shelf.discard(Shelf::Quarantine, &[id("twin"), id("other"), nobody]).await;
    assert_eq!(gone, Ok(2));
    assert_eq!(bench.names().await, ["kept", "twin"]);
    assert_eq!(bench.shelf.discard(Shelf::Quarantine, &[id("twin")]).await, Ok(1));
    assert_eq!(bench.names().await, ["kept"]);
}

#[tokio::test]
async fn what_found_no_queue_or_came_too_often_is_looked_after_in_the_same_way() {
    let bench = Bench::new().await;
    let named = BasicProperties::default().with_message_id("run-7".into());
    let (unroutable, poison) = (bench.topology.unroutable(), bench.topology.poison());
    bench.put(&unroutable, "acme.job.completed", named.clone(), "{}").await;
    bench.put(&poison, "acme.job.failed", named, "{}").await;
    assert_eq!(bench.shelf.shelves(), [Shelf::Quarantine, Shelf::Unroutable, Shelf::Poison]);

    let mut inbox = bench.rabbit.inbox();
    for (shelf, reason) in [(Shelf::Unroutable, "unroutable"), (Shelf::Poison, "poison")] {
        let look = bench.shelf.look(shelf).await.expect("looked");
        assert_eq!((look.held.len(), &*look.held[0].reason), (1, reason));
        let done = bench.shelf.resubmit(shelf, look.held[0].id, &Fix::default()).await;
        assert_eq!(done.expect("published").expect("there").message_id, "run-7");
        assert_eq!(next(&mut inbox).await.0, "run-7");
        assert_eq!(bench.shelf.look(shelf).await.expect("looked").held, []);
    }
    let refused = bench.shelf.look(Shelf::Record).await;
    assert!(matches!(refused, Err(StorageError::Conflict(_))), "{refused:?}");
}

/// It dies in a process of its own: this very test, started again with a word of what to do.
#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test that is two processes tells them apart by it"
)]
async fn killed_between_publish_and_taking_off_it_comes_twice_and_is_one_event() {
    if let Ok(word) = std::env::var(TO_DIE) {
        return dies(&word).await;
    }
    let bench = Bench::new().await;
    bench.put_away(None, "{").await;
    bench.put_away(None, "{{").await;
    let id = bench.look().await.held[1].id;
    let quarantine = bench.topology.quarantine();
    let prefix = quarantine.strip_suffix(".quarantine").expect("its own name");
    let word = format!("{} {prefix} {id}", bench.url);

    let own = std::env::current_exe().expect("a test has a program");
    let mut again = Command::new(own);
    again
        .args(["--exact", "killed_between_publish_and_taking_off_it_comes_twice_and_is_one_event"])
        .env(TO_DIE, word)
        .env("FAILPOINT_KILL_AT", "quarantine.published=1");
    let died = tokio::task::spawn_blocking(move || again.output()).await.expect("run");
    let died = died.expect("it can be started");
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&died.status),
        Some(9),
        "{}",
        String::from_utf8_lossy(&died.stdout)
    );

    bench.ready(&quarantine, 2).await; // the broker has both back
    let done = bench.shelf.resubmit(Shelf::Quarantine, id, &fixed("{\"fixed\":2}")).await;
    let done = done.expect("published").expect("it was there");
    assert_eq!(done.message_id, id.to_string(), "its producer gave it none");
    assert_eq!(bench.look().await.held.len(), 1);

    let mut inbox = bench.rabbit.inbox();
    let came = [next(&mut inbox).await, next(&mut inbox).await];
    assert_eq!(came[0].0, came[1].0, "by one id, which is one event");
    assert_eq!(came[0].0, id.to_string());
}

async fn dies(word: &str) {
    let mut words = word.split(' ');
    let mut word = || words.next().expect("three words");
    let (url, prefix, id) = (word(), word(), word().parse().expect("an id"));
    let rabbit = started(url, prefix);
    let done = rabbit.quarantine().resubmit(Shelf::Quarantine, id, &fixed("{\"fixed\":1}")).await;
    panic!("it was to die before this: {done:?}");
}

#[tokio::test]
async fn a_broker_that_dies_meanwhile_is_told_in_time_and_has_everything_when_it_is_back() {
    let broker = Broker::start().await;
    let bench = Bench::on(&broker).await;
    broker.settle().await;
    bench.put_away(Some("one"), "{").await;
    bench.put_away(Some("two"), "{").await;
    let id = bench.look().await.held[1].id;

    broker.kill_9().await;
    let away = within("an answer", bench.shelf.look(Shelf::Quarantine)).await;
    assert!(matches!(away, Err(StorageError::Unavailable(_))), "{away:?}");
    let away = within("an answer", bench.rabbit.queues().depths()).await;
    assert!(matches!(away, Err(StorageError::Unavailable(_))), "{away:?}");
    let away = within("an answer", bench.shelf.resubmit(Shelf::Quarantine, id, &fixed("{}"))).await;
    assert!(matches!(away, Err(StorageError::Unavailable(_))), "{away:?}");
    broker.restart().await;

    let done = eventually("it is back", || async {
        bench.shelf.resubmit(Shelf::Quarantine, id, &fixed("{}")).await.ok()
    })
    .await;
    assert_eq!(done.expect("it was there").message_id, "one");
    assert_eq!(bench.names().await, ["two"]);
}

#[tokio::test]
async fn each_queue_stands_as_the_broker_says_and_one_that_is_not_there_is_named() {
    let bench = Bench::new().await;
    bench.put_away(Some("one"), "{").await;
    let publication = Publication {
        application: "acme".into(),
        event_type: "job.completed".into(),
        event_id: "run-7".into(),
        payload: Bytes::from_static(b"{}"),
        ..Publication::default()
    };
    bench.rabbit.producer().publish(&[publication]).await.expect("published");
    let wait =
        Waiting { delivery: delivery(), due: Due::exactly(clock() + Duration::from_hours(24)) };
    bench.rabbit.ladder().postpone(&[wait]).await.expect("confirmed");

    eventually("all three are counted", || async {
        let inbox = bench.depth_of(Role::Inbox).await?;
        let quarantine = bench.depth_of(Role::Quarantine).await?;
        let rung = bench.depth_of(Role::Rung(Duration::from_hours(24))).await?;
        [inbox, quarantine, rung].iter().all(|count| *count == Count::exactly(1)).then_some(())
    })
    .await;
    let depths = bench.rabbit.queues().depths().await.expect("asked");
    let rungs = depths.queues.iter().filter(|queue| matches!(queue.role, Role::Rung(_))).count();
    assert_eq!((rungs, depths.missing), (1, Vec::<String>::new()), "those in use alone");

    let orphans = bench.topology.orphans();
    let deleting = bench.probe.queue_delete(orphans.as_str().into(), QueueDeleteOptions::default());
    deleting.await.expect("ours");
    let depths = bench.rabbit.queues().depths().await.expect("asked");
    assert_eq!(depths.missing, [orphans]);
}

fn delivery() -> Delivery {
    let event = Event {
        id: EventId::derived(&[b"run-8"]),
        application: ApplicationId::derived(&[b"acme"]),
        event_type: "job.completed".parse().expect("a type"),
        event_id: None,
        subject: None,
        occurred_at: clock(),
        received_at: clock(),
        deliver_at: None,
        expires_at: None,
        content_type: None,
        traceparent: None,
        channels: Box::default(),
        payload: Bytes::from_static(b"{}"),
        webhook: None,
        attributes: Box::default(),
    };
    let endpoint = EndpointId::derived(&[b"endpoint"]);
    Delivery { event: Arc::new(event), endpoint, turn: Turn(0), attempts: 0, replayed: false }
}
