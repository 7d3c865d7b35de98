//! The inbox and the ladder in the file: what is found when, and what the process before left.

use std::sync::Mutex;

use super::*;
use crate::domain::event::{Identity, Rejection};
use crate::storage::inbox::{Arrival, Content, Inbox, Publication, Publish, Published, Record};
use crate::storage::journal::Acceptance;
use crate::storage::ladder::{Ladder, Waiting};
use crate::storage::sql::inbox::SqlInbox;

/// A clock that a test sets.
#[derive(Clone)]
struct Clock(Arc<Mutex<Timestamp>>);

impl Clock {
    fn at(moment: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(moment)))
    }

    fn set(&self, moment: Timestamp) {
        *self.0.lock().expect("no panic") = moment;
    }

    fn read(&self) -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
        let clock = self.clone();
        Arc::new(move || *clock.0.lock().expect("no panic"))
    }
}

fn publication(name: &str) -> Publication {
    Publication {
        application: "acme".into(),
        event_type: "job.completed".into(),
        event_id: name.into(),
        payload: Bytes::from_static(b"{\"amount\":1250.50}"),
        ..Publication::default()
    }
}

async fn publish(store: &Sql, names: &[&str]) -> Vec<Published> {
    let batch: Vec<_> = names.iter().map(|name| publication(name)).collect();
    store.publisher(Clock::at(NOW).read()).publish(&batch).await.expect("published")
}

async fn next(inbox: &mut SqlInbox) -> Arrival {
    let waiting = tokio::time::timeout(Duration::from_mins(2), inbox.next());
    waiting.await.expect("something is there").expect("an inbox of this kind never ends")
}

/// What an arrival is, in short.
fn shown(arrival: &Arrival) -> String {
    match &arrival.content {
        Content::Event(event) => {
            let name = match &event.identity {
                Identity::Stored(_, name) => name.as_deref().unwrap_or("nameless"),
                Identity::Given(_) | Identity::Sourced { .. } | Identity::Fingerprint(_) => {
                    panic!("it was stored")
                }
            };
            format!("{name}{}", if arrival.redelivered { " again" } else { "" })
        }
        Content::Due { delivery, .. } => format!("due at turn {}", delivery.turn),
        Content::Unreadable(why) => panic!("{why}"),
    }
}

/// Accepts the event that arrived, as ingest does.
async fn accept(place: &Place, arrival: Arrival, endpoints: &[&str]) -> Arc<Event> {
    let Content::Event(new) = arrival.content else { panic!("an event was published") };
    let event = Arc::new(new.of(application("acme").id, NOW));
    let answers = place.accept(vec![owed(&event, endpoints)]).await.expect("accepted");
    assert_eq!(answers, [Acceptance::New]);
    event
}

#[tokio::test]
async fn a_published_event_is_new_when_it_is_accepted_and_is_written_once() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let mut inbox = place.inbox(Clock::at(NOW).read()).await.expect("opens");

    assert_eq!(publish(&place, &["run-7"]).await, [Published::Now]);

    let arrival = next(&mut inbox).await;
    assert_eq!(shown(&arrival), "run-7");
    let event = accept(&place, arrival, &["a"]).await;
    let stored = crate::storage::journal::Ledger::event(&place.store, event.id).await;
    assert_eq!(stored.expect("read").expect("there").payload, event.payload);
    assert_eq!(place.standing(key(&event, "a")).await.state, DeliveryState::Pending);
    let known = place.accept(vec![owed(&event, &["a"])]).await.expect("accepted");
    assert!(matches!(known[0], Acceptance::Known(_)));
}

#[tokio::test]
async fn an_event_id_is_taken_once_and_a_repeated_request_is_told_so() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let publisher = place.publisher(Clock::at(NOW).read());
    let with_key =
        |key: &str| Publication { idempotency_key: Some(key.to_owned()), ..publication("run-7") };

    let answers = [
        publisher.publish(&[with_key("first")]).await,
        publisher.publish(&[with_key("first")]).await,
        publisher.publish(&[with_key("second")]).await,
        publisher.publish(&[publication("run-7"), publication("run-8")]).await,
    ];

    assert_eq!(
        answers.map(|answer| answer.expect("answered")).concat(),
        [Published::Now, Published::Before, Published::Taken, Published::Taken, Published::Now]
    );
}

#[tokio::test]
async fn a_batch_that_stands_as_one_is_not_written_when_one_of_it_is_taken() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let publisher = place.publisher(Clock::at(NOW).read());
    let whole = async |names: &[&str]| {
        let batch: Vec<_> = names.iter().map(|name| publication(name)).collect();
        publisher.publish_whole(&batch).await.expect("answered")
    };

    assert_eq!(whole(&["run-7"]).await, [Published::Now]);
    let answers = [Published::Now, Published::Taken, Published::Now];
    assert_eq!(whole(&["run-8", "run-7", "run-9"]).await, answers);
    let answers = [Published::Now, Published::Now];
    assert_eq!(whole(&["run-8", "run-9"]).await, answers, "they were not written before");
    assert_eq!(whole(&["run-9"]).await, [Published::Taken], "and now they are");
}

#[tokio::test]
async fn what_can_never_be_an_event_is_refused_and_nothing_of_its_batch_is_written() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let publisher = place.publisher(Clock::at(NOW).read());
    let nobody = Publication { application: "nobody".into(), ..publication("run-8") };
    let wrong = Publication { event_type: "job..done".into(), ..publication("run-9") };

    for (bad, why) in [(nobody, "no application is called `nobody`"), (wrong, "`job..done`")] {
        let refused = publisher.publish(&[publication("run-7"), bad]).await.expect_err("refused");
        assert!(
            matches!(&refused, StorageError::Conflict(text) if text.contains(why)),
            "{refused}"
        );
    }
    assert_eq!(publish(&place, &["run-7"]).await, [Published::Now], "it was not written before");
}

#[tokio::test]
async fn what_a_broker_confirmed_is_found_before_it_is_accepted_and_is_new_then() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let record = place.publisher(Clock::at(NOW).read());
    let one = Publication { idempotency_key: Some("k".into()), ..publication("run-7") };
    assert_eq!(record.foresee(std::slice::from_ref(&one)).await, Ok(vec![Published::Now]));

    record.announce(std::slice::from_ref(&one)).await.expect("recorded");

    let event = Arc::new(one.event().expect("an event").of(application("acme").id, NOW));
    let stored = crate::storage::journal::Ledger::event(&place.store, event.id).await;
    assert_eq!(stored.expect("read").expect("there").payload, event.payload);
    assert_eq!(record.foresee(std::slice::from_ref(&one)).await, Ok(vec![Published::Before]));
    assert_eq!(record.foresee(&[publication("run-7")]).await, Ok(vec![Published::Taken]));
    let brought = place.accept(vec![owed(&event, &["a"])]).await.expect("accepted");
    assert_eq!(brought, [Acceptance::New]);
    assert_eq!(place.standing(key(&event, "a")).await.state, DeliveryState::Pending);
    let again = place.accept(vec![owed(&event, &["a"])]).await.expect("accepted");
    assert!(matches!(again[0], Acceptance::Known(_)));
}

#[tokio::test]
async fn what_the_broker_brought_before_it_was_recorded_stays_as_it_is_and_has_its_key() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let record = place.publisher(Clock::at(NOW).read());
    let one = Publication { idempotency_key: Some("k".into()), ..publication("run-7") };
    let event = Arc::new(one.event().expect("an event").of(application("acme").id, NOW));
    place.accept(vec![owed(&event, &["a"])]).await.expect("accepted");
    place.settle(delivered(key(&event, "a"), 0)).await;

    record.announce(std::slice::from_ref(&one)).await.expect("recorded");

    assert_eq!(record.foresee(&[one]).await, Ok(vec![Published::Before]));
    let mut inbox = place.inbox(Clock::at(NOW).read()).await.expect("opens");
    publish(&place, &["next"]).await;
    assert_eq!(shown(&next(&mut inbox).await), "next", "it is not to be routed once more");
}

#[tokio::test]
async fn what_is_not_finished_comes_again_after_a_restart_and_nothing_else_does() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let mut inbox = place.inbox(Clock::at(NOW).read()).await.expect("opens");
    publish(&place, &["done", "pending", "not accepted", "waiting"]).await;
    let done = accept(&place, next(&mut inbox).await, &["a"]).await;
    place.settle(delivered(key(&done, "a"), 0)).await;
    accept(&place, next(&mut inbox).await, &["a"]).await;
    let _not_accepted = next(&mut inbox).await;
    let waiting = accept(&place, next(&mut inbox).await, &["a"]).await;
    place.settle(failed(key(&waiting, "a"), 0)).await; // held by the router, due in five seconds
    drop(inbox);

    let place = place.restarted().await;
    let clock = Clock::at(NOW);
    let mut inbox = place.inbox(clock.read()).await.expect("opens");

    assert_eq!(shown(&next(&mut inbox).await), "pending again");
    assert_eq!(shown(&next(&mut inbox).await), "not accepted");
    clock.set(NOW + 4 * SECOND);
    publish(&place, &["fresh"]).await;
    assert_eq!(shown(&next(&mut inbox).await), "fresh");
    assert!(inbox.ready().is_none(), "what waits was not due when it looked");
    clock.set(NOW + 5 * SECOND);
    assert_eq!(shown(&next(&mut inbox).await), "due at turn 1");
}

#[tokio::test]
async fn what_is_recorded_as_held_by_the_ladder_is_on_it() {
    let place = Place::new();
    let event = place.owe("run-7", &["a", "b"]).await;
    let mut inbox = place.inbox(Clock::at(NOW + 60 * SECOND).read()).await.expect("opens");
    for (endpoint, wait) in [("a", 9), ("b", 7)] {
        let settlement = Settlement::Retry(Due::exactly(NOW + wait * SECOND));
        let settled = settled(key(&event, endpoint), 0, Some(FAILURE), settlement);
        place.settle(Settled { held_by: Holder::Ladder, ..settled }).await;
    }

    let came: Vec<_> = [next(&mut inbox).await, next(&mut inbox).await]
        .into_iter()
        .map(|arrival| match arrival.content {
            Content::Due { delivery, due_at } => (delivery.endpoint, delivery.attempts, due_at),
            Content::Event(_) | Content::Unreadable(_) => panic!("they wait"),
        })
        .collect();

    assert_eq!(
        came,
        [(endpoint_id("b"), 1, NOW + 7 * SECOND), (endpoint_id("a"), 1, NOW + 9 * SECOND)],
        "in the order of their due times"
    );
    let taken = place.standing(key(&event, "a")).await;
    let held = DeliveryState::Waiting { due_at: NOW + 60 * SECOND, held_by: Holder::Router };
    assert_eq!(taken, standing(1, 1, held), "the router has it since now");
}

#[tokio::test]
async fn an_old_turn_does_not_go_back_on_the_ladder() {
    let place = Place::new();
    let event = place.owe("run-7", &["a"]).await;
    place.settle(failed(key(&event, "a"), 0)).await;
    place.settle(failed(key(&event, "a"), 1)).await;
    let now = place.standing(key(&event, "a")).await;

    let delivery = Delivery { turn: Turn(1), ..Delivery::first(event.clone(), endpoint_id("a")) };
    let old = Waiting { delivery, due: Due::exactly(NOW) };
    place.postpone(&[old]).await.expect("answered");

    assert_eq!(place.standing(key(&event, "a")).await, now);
}

#[tokio::test]
async fn what_another_process_publishes_is_found() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let mut inbox = place.inbox(Clock::at(NOW).read()).await.expect("opens");
    assert!(futures_util::poll!(Box::pin(inbox.next())).is_pending());

    publish(&place.elsewhere(), &["run-7"]).await; // rings no bell of ours

    assert_eq!(shown(&next(&mut inbox).await), "run-7");
}

#[tokio::test]
async fn a_long_backlog_comes_in_pages_and_in_order() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let names: Vec<String> = (0..700).map(|number| format!("e{number:03}")).collect();
    publish(&place, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut inbox = place.inbox(Clock::at(NOW).read()).await.expect("opens");

    let mut came = vec![shown(&next(&mut inbox).await)];
    let mut in_page = 1;
    while let Some(arrival) = inbox.ready() {
        came.push(shown(&arrival));
        in_page += 1;
    }
    while came.len() < names.len() {
        came.push(shown(&next(&mut inbox).await));
    }

    assert_eq!(in_page, 256, "no more than a page is in memory");
    assert_eq!(came, names);
}

#[tokio::test]
async fn what_nobody_can_route_is_put_aside_and_does_not_come_again() {
    let place = Place::new();
    place.have_endpoint("a").await;
    publish(&place, &["run-7"]).await;
    let mut inbox = place.inbox(Clock::at(NOW).read()).await.expect("opens");
    let arrival = next(&mut inbox).await;

    let why = Rejection::UnknownApplication("acme".into());
    arrival.original.quarantine(&why).await.expect("kept");

    let place = place.restarted().await;
    let mut inbox = place.inbox(Clock::at(NOW).read()).await.expect("opens");
    publish(&place, &["run-8"]).await;
    assert_eq!(shown(&next(&mut inbox).await), "run-8");
}
