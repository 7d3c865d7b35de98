//! What tenants ask of the record: whose it is, what a filter finds, what is forgotten.

use super::*;
use crate::domain::delivery::Shown;
use crate::domain::event::id_of;
use crate::storage::dead_letters::DeadLetterFilter;
use crate::storage::history::{
    AttemptEntry, AttemptFilter, DeliveryCounts, EXPUNGED, EventFilter, History,
};
use crate::storage::inbox::{Publication, Publish};
use crate::storage::journal::{Acceptance, Books, Ledger};
use crate::storage::page::{Listed, Order, Page, Place as InList};

pub(super) const MINUTE: Duration = Duration::from_mins(1);

pub(super) fn newest<K>(limit: usize, place: InList<K>) -> Page<K> {
    Page { limit, place, order: Order::Descending }
}

fn all<K>() -> Page<K> {
    newest(250, InList::Beginning)
}

pub(super) fn stranger() -> Tenant {
    application("other").tenant()
}

/// The names of listed events.
fn names(listed: Listed<Event, EventId>) -> Vec<String> {
    listed.rows.into_iter().filter_map(|event| event.event_id).map(String::from).collect()
}

/// The `number`th event, received so many minutes after the first.
fn numbered(number: u32) -> Arc<Event> {
    Arc::new(Event {
        received_at: NOW + number * MINUTE,
        ..event(&number.to_string()).as_ref().clone()
    })
}

/// A request that began at this moment, with an id as they are made.
pub(super) fn tried(
    key: DeliveryKey,
    turn: u32,
    at: Timestamp,
    outcome: Outcome,
    end: Settlement,
) -> Settled {
    let mut settled = settled(key, turn, Some(outcome), end);
    let attempt = settled.attempt.as_mut().expect("one was made");
    let mut chance = [0; 15];
    chance.copy_from_slice(&key.id().as_bytes()[..15]);
    (attempt.started_at, attempt.id) = (at, AttemptId::minted(at, chance));
    settled
}

pub(super) const fn answered(status: u16) -> Outcome {
    Outcome::Answered { status, retry_after: None }
}

pub(super) fn again() -> Settlement {
    Settlement::Retry(Due::exactly(NOW + 5 * SECOND))
}

impl Place {
    /// Events 1 to `count`, owed to `a`.
    async fn with_events(count: u32) -> Self {
        let place = Self::new();
        place.have_endpoint("a").await;
        for number in 1..=count {
            place.accept(vec![owed(&numbered(number), &["a"])]).await.expect("accepted");
        }
        place
    }

    async fn listed(&self, filter: &EventFilter, page: &Page<EventId>) -> Listed<Event, EventId> {
        self.events(acme(), filter, page, false).await.expect("read")
    }
}

#[tokio::test]
async fn events_are_listed_newest_first_and_each_tenant_has_its_own() {
    let place = Place::with_events(3).await;
    let theirs = Event { application: stranger().application(), ..numbered(4).as_ref().clone() };
    place.accept(vec![owed(&Arc::new(theirs), &[])]).await.expect("accepted");

    assert_eq!(names(place.listed(&EventFilter::default(), &all()).await), ["3", "2", "1"]);
    let theirs = place.events(stranger(), &EventFilter::default(), &all(), false).await;
    assert_eq!(names(theirs.expect("read")), ["4"]);
}

#[tokio::test]
async fn a_page_says_whether_there_is_anything_beyond_it() {
    let place = Place::with_events(4).await;
    let everything = EventFilter::default();
    let id = |number: u32| numbered(number).id;
    let none = EventFilter { subject: Some("nobody".into()), ..EventFilter::default() };
    let (first, behind, front) = (
        InList::Beginning,
        |number| InList::Behind(id(number)),
        |number| InList::InFrontOf(id(number)),
    );
    let table = [
        (&everything, newest(3, first.clone()), vec!["4", "3", "2"], Some(2)),
        (&everything, newest(4, first.clone()), vec!["4", "3", "2", "1"], None),
        (&everything, newest(5, first.clone()), vec!["4", "3", "2", "1"], None),
        (&everything, newest(2, behind(4)), vec!["3", "2"], Some(2)),
        (&everything, newest(2, behind(3)), vec!["2", "1"], None),
        (&everything, newest(2, behind(1)), vec![], None),
        (&everything, newest(2, front(1)), vec!["3", "2"], Some(3)),
        (&everything, newest(3, front(1)), vec!["4", "3", "2"], None),
        (&everything, newest(2, front(4)), vec![], None),
        (&everything, newest(2, InList::End), vec!["2", "1"], Some(2)),
        (&everything, newest(4, InList::End), vec!["4", "3", "2", "1"], None),
        (&none, newest(1, first), vec![], None),
    ];
    for (filter, page, expected, beyond) in table {
        let listed = place.listed(filter, &page).await;
        assert_eq!(listed.beyond, beyond.map(id), "{page:?}");
        assert_eq!(names(listed), expected, "{page:?}");
    }
}

#[tokio::test]
async fn a_place_that_is_not_in_the_list_is_told_from_everything_else() {
    let place = Place::with_events(1).await;
    let nobody = EventId::derived(&[b"nobody"]);
    for (tenant, id) in [(acme(), nobody), (stranger(), numbered(1).id)] {
        let page = newest(10, InList::Behind(id));
        let refused = place.events(tenant, &EventFilter::default(), &page, false).await;
        let Err(StorageError::Conflict(why)) = refused else { panic!("a conflict: {refused:?}") };
        assert!(why.ends_with("no such place in the list"), "{why}");
    }
    let page = newest(10, InList::Behind(nobody));
    let owed = place
        .deliveries_to(acme(), endpoint_id("a"), None, &EventFilter::default(), &page, false)
        .await;
    assert!(matches!(owed, Err(StorageError::Conflict(_))), "{owed:?}");
}

#[tokio::test]
async fn what_each_condition_finds() {
    let place = Place::new();
    let like = |number: u32, event_type: &str, channels: &[&str], subject: &str| {
        Arc::new(Event {
            event_type: event_type.parse().expect("a type"),
            channels: channels.iter().map(|name| (*name).into()).collect(),
            subject: Some(subject.into()),
            ..numbered(number).as_ref().clone()
        })
    };
    let events = [
        like(1, "job.completed", &["eu"], "one"),
        like(2, "job.failed", &[], "one"),
        like(3, "job.failed", &["us", "beta"], "two"),
    ];
    place.accept(events.iter().map(|event| owed(event, &[])).collect()).await.expect("accepted");
    let texts = |given: &[&str]| given.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    let none = EventFilter::default();
    let table = [
        (none.clone(), vec!["3", "2", "1"]),
        (EventFilter { event_types: texts(&["job.failed"]), ..none.clone() }, vec!["3", "2"]),
        (
            EventFilter { event_types: texts(&["job.completed", "job.x"]), ..none.clone() },
            vec!["1"],
        ),
        (EventFilter { channels: texts(&["beta", "eu"]), ..none.clone() }, vec!["3", "1"]),
        (EventFilter { subject: Some("one".into()), ..none.clone() }, vec!["2", "1"]),
        (EventFilter { before: Some(NOW + 3 * MINUTE), ..none.clone() }, vec!["2", "1"]),
        (EventFilter { after: Some(NOW + MINUTE), ..none.clone() }, vec!["3", "2"]),
        (
            EventFilter {
                after: Some(NOW + MINUTE),
                before: Some(NOW + 3 * MINUTE),
                ..none.clone()
            },
            vec!["2"],
        ),
        (EventFilter { before: Some(NOW), ..none.clone() }, vec![]),
        (EventFilter { after: Some(NOW + 3 * MINUTE), ..none.clone() }, vec![]),
        (EventFilter { before: Some(LONG_AGO), after: Some(Timestamp::NEVER), ..none }, vec![]),
    ];
    for (filter, expected) in table {
        let listed = place.listed(&filter, &all()).await;
        assert_eq!(listed.beyond, None, "{filter:?}");
        assert_eq!(names(listed), expected, "{filter:?}");
    }
}

#[tokio::test]
async fn with_a_moment_to_begin_behind_the_page_nearest_to_it_is_found() {
    let place = Place::with_events(9).await;
    let after = EventFilter { after: Some(NOW + 3 * MINUTE), ..EventFilter::default() };

    let listed = place.listed(&after, &newest(2, InList::End)).await;

    let five = numbered(5).id;
    assert_eq!(listed.beyond, Some(five), "from there it goes on towards what is newer");
    assert_eq!(names(listed), ["5", "4"]);
    let next = place.listed(&after, &newest(9, InList::InFrontOf(five))).await;
    assert_eq!(
        (next.beyond, names(next)),
        (None, vec!["9".into(), "8".into(), "7".into(), "6".into()])
    );
}

#[tokio::test]
async fn events_that_were_received_a_little_out_of_their_order_are_found_by_their_time() {
    let place = Place::new();
    // In the order of acceptance, five a second for a minute; each up to two seconds late.
    let ms: Vec<_> = (0..300_u64).map(|number| number * 200 + number * 677 % 1_900).collect();
    let events: Vec<_> = (0_u32..)
        .zip(&ms)
        .map(|(number, ms)| {
            let received_at = NOW + Duration::from_millis(*ms);
            Arc::new(Event { received_at, ..numbered(number).as_ref().clone() })
        })
        .collect();
    place.accept(events.iter().map(|event| owed(event, &[])).collect()).await.expect("accepted");
    let page = newest(300, InList::Beginning);
    for bound in (0..63_000).step_by(500) {
        let moment = NOW + Duration::from_millis(bound);
        let before = EventFilter { before: Some(moment), ..EventFilter::default() };
        let after = EventFilter { after: Some(moment), ..EventFilter::default() };
        let found = (
            place.listed(&before, &page).await.rows.len(),
            place.listed(&after, &page).await.rows.len(),
        );
        let count = |wanted: &dyn Fn(u64) -> bool| ms.iter().filter(|ms| wanted(**ms)).count();
        assert_eq!(found, (count(&|ms| ms < bound), count(&|ms| ms > bound)), "{bound} ms");
    }
}

#[tokio::test]
async fn payloads_come_when_they_are_asked_for_and_a_page_holds_no_more_than_so_much() {
    let place = Place::new();
    let large = |number| {
        let payload = Bytes::from(vec![b'7'; 3 * 1024 * 1024]);
        Arc::new(Event { payload, ..numbered(number).as_ref().clone() })
    };
    for number in 1..=4 {
        place.accept(vec![owed(&large(number), &[])]).await.expect("accepted");
    }
    let listed = place.listed(&EventFilter::default(), &all()).await;
    assert!(listed.rows.iter().all(|event| event.payload.is_empty()));
    assert_eq!(listed.rows.len(), 4);

    let listed = place.events(acme(), &EventFilter::default(), &all(), true).await.expect("read");
    assert!(listed.rows.iter().all(|event| event.payload.len() == 3 * 1024 * 1024));
    assert_eq!((listed.rows.len(), listed.beyond), (3, Some(large(2).id)));
}

#[tokio::test]
async fn an_event_is_found_by_its_id_and_by_its_producers() {
    let place = Place::new();
    let id = id_of(acme().application(), "run-7");
    let event = Arc::new(Event { id, ..event("run-7").as_ref().clone() });
    place.accept(vec![owed(&event, &[])]).await.expect("accepted");

    for name in [id.to_string().as_str(), "run-7"] {
        let found = place.event_of(acme(), name).await.expect("read").expect("there");
        assert_eq!(format!("{found:?}"), format!("{event:?}"));
        assert!(place.event_of(stranger(), name).await.expect("read").is_none(), "{name}");
    }
    assert!(place.event_of(acme(), "run-8").await.expect("read").is_none());
}

/// Events 1 and 2, owed to `a` and `b`; each was tried, at the moments that the list says.
async fn with_attempts() -> Place {
    let place = Place::new();
    let (one, two) = (place.owe("1", &["a", "b"]).await, place.owe("2", &["a"]).await);
    let at = |minute: u32| NOW + minute * MINUTE;
    let batch = vec![
        tried(key(&one, "a"), 0, at(1), answered(500), again()),
        tried(key(&one, "b"), 0, at(2), Outcome::TimedOut, again()),
        tried(key(&two, "a"), 0, at(3), answered(301), again()),
        tried(key(&one, "a"), 1, at(4), answered(204), Settlement::Delivered),
    ];
    place.record(batch).await.expect("recorded");
    place
}

/// In which minute each of them began.
fn minutes(listed: &Listed<AttemptEntry, AttemptId>) -> Vec<u64> {
    listed.rows.iter().map(|one| one.attempt.started_at.since(NOW).as_secs() / 60).collect()
}

#[tokio::test]
async fn attempts_are_found_at_their_endpoint_and_for_their_event() {
    let place = with_attempts().await;
    let one = event("1").id;
    let none = AttemptFilter::default();
    let at = |tenant, name: &str, filter: AttemptFilter, page: Page<AttemptId>| {
        let (place, id) = (&place, endpoint_id(name));
        async move { place.attempts_at(tenant, id, &filter, &page, true).await.expect("read") }
    };
    let of = |tenant, filter: AttemptFilter, page: Page<AttemptId>| {
        let place = &place;
        async move { place.attempts_for(tenant, one, &filter, &page, true).await.expect("read") }
    };

    let listed = at(acme(), "a", none.clone(), all()).await;
    assert_eq!(minutes(&listed), [4, 3, 1]);
    let entry = &listed.rows[2];
    assert_eq!((entry.event, entry.endpoint), (one, endpoint_id("a")));
    assert_eq!((entry.manual, entry.success, entry.attempt.status), (false, false, 500));
    assert_eq!((entry.attempt.response.as_slice(), entry.attempt.number), (&b"no"[..], 1));
    assert!(listed.rows[0].success);
    assert_eq!(minutes(&of(acme(), none.clone(), all()).await), [4, 2, 1]);
    assert!(at(stranger(), "a", none.clone(), all()).await.rows.is_empty());
    assert!(of(stranger(), none.clone(), all()).await.rows.is_empty());

    let only_b = AttemptFilter { endpoint: Some(endpoint_id("b")), ..none.clone() };
    assert_eq!(minutes(&of(acme(), only_b.clone(), all()).await), [2]);
    assert!(at(acme(), "a", only_b, all()).await.rows.is_empty());

    let three = listed.rows[1].attempt.id;
    let page = newest(1, InList::Behind(three));
    assert_eq!(minutes(&at(acme(), "a", none.clone(), page).await), [1]);
    let page = newest(1, InList::InFrontOf(three));
    assert_eq!(minutes(&at(acme(), "a", none, page).await), [4]);
}

#[tokio::test]
async fn what_each_condition_finds_among_attempts() {
    let place = with_attempts().await;
    let none = AttemptFilter::default();
    let times = |after: Option<u32>, before: Option<u32>| EventFilter {
        after: after.map(|minute| NOW + minute * MINUTE),
        before: before.map(|minute| NOW + minute * MINUTE),
        ..EventFilter::default()
    };
    let of_type = |name: &str| AttemptFilter {
        events: EventFilter { event_types: vec![name.to_owned()], ..EventFilter::default() },
        ..none.clone()
    };
    let class = |status| AttemptFilter { status_class: Some(status), ..none.clone() };
    let success = |success| AttemptFilter { success: Some(success), ..none.clone() };
    let between = |after, before| AttemptFilter { events: times(after, before), ..none.clone() };
    let table = [
        (success(true), vec![4]),
        (success(false), vec![3, 1]),
        (class(200), vec![4]),
        (class(300), vec![3]),
        (class(500), vec![1]),
        (class(0), vec![]),
        (between(Some(1), None), vec![4, 3]),
        (between(None, Some(4)), vec![3, 1]),
        (between(Some(1), Some(4)), vec![3]),
        (of_type("job.completed"), vec![4, 3, 1]),
        (of_type("job.failed"), vec![]),
    ];
    for (filter, expected) in table {
        let listed = place.attempts_at(acme(), endpoint_id("a"), &filter, &all(), false).await;
        let listed = listed.expect("read");
        assert_eq!((minutes(&listed), listed.beyond), (expected, None), "{filter:?}");
        assert!(listed.rows.iter().all(|one| one.attempt.response.is_empty()));
    }
    let no_answer = place.attempts_at(acme(), endpoint_id("b"), &class(0), &all(), false).await;
    assert_eq!(minutes(&no_answer.expect("read")), [2]);
}

#[tokio::test]
async fn an_answer_is_forgotten_and_its_attempt_stays() {
    let place = with_attempts().await;
    let (one, two) = (event("1").id, event("2").id);
    let listed = place.attempts_for(acme(), one, &AttemptFilter::default(), &all(), false).await;
    let id = listed.expect("read").rows[0].attempt.id;

    for (tenant, event) in [(stranger(), one), (acme(), two)] {
        assert_eq!(place.expunge_response(tenant, event, id).await, Ok(false));
        assert!(place.attempt_of(tenant, event, id).await.expect("read").is_none());
    }
    assert_eq!(place.expunge_response(acme(), one, id).await, Ok(true));

    let entry = place.attempt_of(acme(), one, id).await.expect("read").expect("there");
    assert_eq!(entry.attempt.response, EXPUNGED.as_bytes());
    assert_eq!((entry.attempt.status, entry.attempt.url.as_str()), (204, "https://a.example/hook"));
}

/// Events 1 to 6, owed to `a`, each in another state.
async fn in_each_state() -> Place {
    let place = Place::with_events(6).await;
    let key = |number: u32| key(&numbered(number), "a");
    let batch = vec![
        delivered(key(2), 0),
        given_up(key(3), 0),
        failed(key(4), 0),
        paused(key(5), 0),
        settled(key(6), 0, None, Settlement::Cancelled),
    ];
    place.record(batch).await.expect("recorded");
    place
}

#[tokio::test]
async fn what_an_endpoint_is_owed_is_listed_with_how_it_stands() {
    let place = in_each_state().await;
    let owed = async |tenant, shown, filter: &EventFilter| {
        let to = endpoint_id("a");
        let listed = place.deliveries_to(tenant, to, shown, filter, &all(), false).await;
        let listed = listed.expect("read");
        assert_eq!(listed.beyond, None);
        let one = |row: crate::storage::history::EventDelivery| {
            let name = row.event.event_id.expect("named").to_string();
            (name, row.standing.state.shown(), row.standing.state.next_attempt())
        };
        listed.rows.into_iter().map(one).collect::<Vec<_>>()
    };
    let none = EventFilter::default();
    let row = |name: &str, shown| (name.to_owned(), shown, None);
    let sending = ("4".to_owned(), Shown::Sending, Some(NOW + 5 * SECOND));
    let expected = vec![
        row("6", Shown::Canceled),
        row("5", Shown::Pending),
        sending.clone(),
        row("3", Shown::Fail),
        row("2", Shown::Success),
        row("1", Shown::Pending),
    ];
    assert_eq!(owed(acme(), None, &none).await, expected);
    assert_eq!(owed(acme(), Some(Shown::Sending), &none).await, [sending]);
    let pending = [row("5", Shown::Pending), row("1", Shown::Pending)];
    assert_eq!(owed(acme(), Some(Shown::Pending), &none).await, pending);
    let after = EventFilter { after: Some(NOW + 2 * MINUTE), ..EventFilter::default() };
    assert_eq!(owed(acme(), Some(Shown::Pending), &after).await, pending[..1]);
    assert!(owed(stranger(), None, &none).await.is_empty());
}

#[tokio::test]
async fn deliveries_are_counted_over_a_span_of_time() {
    let place = in_each_state().await;
    let counts = |tenant, since: u32, until: u32| {
        let (since, until) = (NOW + since * MINUTE, NOW + until * MINUTE);
        place.delivery_counts(tenant, endpoint_id("a"), since, until)
    };
    let one_each =
        DeliveryCounts { success: 1, fail: 1, sending: 1, canceled: 1, ..Default::default() };
    assert_eq!(counts(acme(), 0, 10).await, Ok(DeliveryCounts { pending: 2, ..one_each }));
    assert_eq!(counts(acme(), 2, 10).await, Ok(DeliveryCounts { pending: 1, ..one_each }));
    let two = DeliveryCounts { success: 1, fail: 1, ..Default::default() };
    assert_eq!(counts(acme(), 2, 4).await, Ok(two));
    assert_eq!(counts(acme(), 9, 4).await, Ok(DeliveryCounts::default()));
    assert_eq!(counts(stranger(), 0, 10).await, Ok(DeliveryCounts::default()));
}

#[tokio::test]
async fn those_that_an_event_is_owed_to_are_listed_also_when_they_are_deleted() {
    let place = Place::new();
    let event = place.owe("1", &["a", "b", "c"]).await;
    place.settle(delivered(key(&event, "b"), 0)).await;
    place.delete_endpoint(acme(), endpoint_id("b"), NOW + SECOND).await.expect("deleted");
    let ascending = |limit, place| Page { limit, place, order: Order::Ascending };
    let mut expected = ["a", "b", "c"].map(endpoint_id);
    expected.sort_unstable();

    let page = ascending(2, InList::Beginning);
    let first = place.deliveries_of(acme(), event.id, &page).await.expect("read");
    assert_eq!(first.beyond, Some(expected[1]));
    let page = ascending(2, InList::Behind(expected[1]));
    let rest = place.deliveries_of(acme(), event.id, &page).await.expect("read");
    assert_eq!(rest.beyond, None);
    let rows: Vec<_> = first.rows.into_iter().chain(rest.rows).collect();

    assert_eq!(rows.iter().map(|row| row.endpoint.id).collect::<Vec<_>>(), expected);
    for row in rows {
        let gone = row.endpoint.id == endpoint_id("b");
        assert_eq!(row.endpoint.deleted_at, gone.then_some(NOW + SECOND));
        assert_eq!(row.standing.state.shown() == Shown::Success, gone);
        assert_eq!(row.endpoint.channels, ["eu"]);
    }
    let theirs = place.deliveries_of(stranger(), event.id, &all()).await.expect("read");
    assert!(theirs.rows.is_empty());
}

#[tokio::test]
async fn how_a_delivery_stands_is_told_to_its_tenant_alone() {
    let place = Place::new();
    place.have_endpoint("late").await;
    let event = place.owe("1", &["a"]).await;
    let owed = |tenant, name: &str| place.owed(tenant, event.id, endpoint_id(name));

    let pending = standing(0, 0, DeliveryState::Pending);
    assert_eq!(owed(acme(), "a").await, Ok(Some(pending)));
    assert_eq!(owed(acme(), "late").await, Ok(None));
    assert_eq!(owed(stranger(), "a").await, Ok(None));
}

#[tokio::test]
async fn an_attempt_that_was_asked_for_is_not_made_once_the_payload_is_forgotten() {
    let place = Place::new();
    let event = place.owe("1", &["a"]).await;
    assert_eq!(place.resend(acme(), key(&event, "a"), NOW).await, Ok(true));

    place.expunge_payload(acme(), event.id).await.expect("forgotten");

    for _ in 0..2 {
        let claimed = place.claim_resends(NOW, NOW + MINUTE, 9).await.expect("claimed");
        assert!(claimed.is_empty());
    }
}

#[tokio::test]
async fn a_payload_is_forgotten_with_what_is_still_owed_of_it_and_the_event_stays() {
    let place = Place::new();
    let event = place.owe("1", &["got", "dead", "waits", "pending"]).await;
    let batch = vec![
        delivered(key(&event, "got"), 0),
        given_up(key(&event, "dead"), 0),
        failed(key(&event, "waits"), 0),
    ];
    place.record(batch).await.expect("recorded");
    assert_eq!(place.expunge_payload(stranger(), event.id).await, Ok(false));

    for _ in 0..2 {
        assert_eq!(place.expunge_payload(acme(), event.id).await, Ok(true), "twice is once");
        let books = Books { owed: 4, delivered: 1, cancelled: 3, ..Books::default() };
        assert_eq!(place.books().await, Ok(books));
    }

    let found = place.event_of(acme(), &event.id.to_string()).await.expect("read");
    assert!(found.expect("it stays").payload.is_empty());
    let none = DeadLetterFilter::default();
    assert_eq!(place.count_dead_letters(&none).await, Ok(0), "nobody could replay it");
    let late = place.settle(failed(key(&event, "pending"), 0)).await;
    assert_eq!(late, Recorded::Stale, "a request that was on its way changes nothing");
    let attempts = place.attempts(key(&event, "pending")).await.expect("read");
    assert_eq!(attempts.len(), 1, "and stays on record");
    assert_eq!(place.claim(overdue(NOW, NOW + MINUTE), NOW, 9).await.expect("none").len(), 0);
}

#[tokio::test]
async fn an_event_that_is_not_routed_yet_owes_nothing_once_its_payload_is_forgotten() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let publication = Publication {
        application: "acme".into(),
        event_type: "job.completed".into(),
        event_id: "run-7".into(),
        payload: Bytes::from_static(b"{}"),
        ..Publication::default()
    };
    place.publisher(Arc::new(|| NOW)).publish(&[publication]).await.expect("published");
    let event = place.event_of(acme(), "run-7").await.expect("read").expect("there");
    assert_eq!(place.expunge_payload(acme(), event.id).await, Ok(true));

    let routed = place.accept(vec![owed(&Arc::new(event), &["a"])]).await;
    assert_eq!(routed, Ok(vec![Acceptance::Known(vec![])]));
    assert_eq!(place.books().await, Ok(Books::default()));
}

#[tokio::test]
async fn what_is_forgotten_is_not_in_the_file_any_more() {
    let place = Place::on_file();
    let long = "needle-in-the-payload-".repeat(1_000);
    let payload = Bytes::from(format!("\"{long}\""));
    let event = Arc::new(Event { payload, ..event("1").as_ref().clone() });
    place.have_endpoint("a").await;
    place.accept(vec![owed(&event, &["a"])]).await.expect("accepted");
    let mut tried = tried(key(&event, "a"), 0, NOW, answered(200), Settlement::Delivered);
    let attempt = tried.attempt.as_mut().expect("one");
    attempt.response = Bytes::from("needle-in-the-answer-".repeat(700));
    let id = attempt.id;
    place.settle(tried).await;
    let in_file = |folder: &TempDir| {
        let file = std::fs::read(folder.path().join("journal.db")).expect("read");
        ["needle-in-the-payload", "needle-in-the-answer"]
            .map(|text| file.windows(text.len()).any(|bytes| bytes == text.as_bytes()))
    };
    let place = place.restarted().await;
    assert_eq!(in_file(&place.folder), [true, true], "folded in");

    place.expunge_payload(acme(), event.id).await.expect("forgotten");
    place.expunge_response(acme(), event.id, id).await.expect("forgotten");

    let place = place.restarted().await;
    assert_eq!(in_file(&place.folder), [false, false]);
}
