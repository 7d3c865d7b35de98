//! What became of deliveries, as those ask for it who published their events.

use super::super::history::{events, tracking};
use super::history::{MINUTE, again, answered, newest, stranger, tried};
use super::long_history::plan;
use super::*;
use crate::domain::endpoint::default_of;
use crate::domain::policy::{Format, Resolved};
use crate::domain::settings::Settings as OwnSettings;
use crate::storage::history::{
    DeliveryEntry, DeliveryFilter, EventFilter, History, LastAttempt, ON_THE_WAY_MAX,
};
use crate::storage::page::{Listed, Page, Place as InList};

/// An event about something, received so many minutes after the first.
fn about(subject: &str, number: u32) -> Arc<Event> {
    Arc::new(Event {
        subject: Some(subject.into()),
        received_at: NOW + number * MINUTE,
        ..event(&format!("{subject}.{number}")).as_ref().clone()
    })
}

fn of(subject: &str) -> DeliveryFilter {
    let events = EventFilter { subject: Some(subject.into()), ..EventFilter::default() };
    DeliveryFilter { events, ..DeliveryFilter::default() }
}

fn wanted(state: &'static str) -> DeliveryFilter {
    DeliveryFilter { state: Some(state), ..DeliveryFilter::default() }
}

impl Place {
    async fn tracked(
        &self,
        filter: &DeliveryFilter,
        page: &Page<DeliveryKey>,
    ) -> Listed<DeliveryEntry, DeliveryKey> {
        self.deliveries(acme(), filter, page).await.expect("read")
    }

    async fn all_tracked(&self, filter: &DeliveryFilter) -> Vec<DeliveryEntry> {
        self.tracked(filter, &newest(250, InList::Beginning)).await.rows
    }

    /// Two events about `job-7` and one about `job-8`, each owed to two endpoints.
    async fn with_jobs() -> (Self, [Arc<Event>; 3]) {
        let place = Self::new();
        let events = [about("job-7", 1), about("job-8", 2), about("job-7", 3)];
        for endpoint in ["a", "b"] {
            place.have_endpoint(endpoint).await;
        }
        for event in &events {
            place.accept(vec![owed(event, &["a", "b"])]).await.expect("accepted");
        }
        (place, events)
    }
}

#[tokio::test]
async fn a_delivery_is_told_with_its_first_and_its_last_request() {
    let (place, [event, ..]) = Place::with_jobs().await;
    let key = key(&event, "a");
    let first = NOW + MINUTE;
    place.settle(tried(key, 0, first, Outcome::TimedOut, again())).await;
    place.settle(tried(key, 1, first + SECOND, answered(503), again())).await;
    place.settle(tried(key, 2, first + 3 * SECOND, answered(200), Settlement::Delivered)).await;

    let rows = place.all_tracked(&of("job-7")).await;

    let one = rows.iter().find(|row| row.key == key).expect("it is listed");
    assert_eq!(one.first_attempt_at, Some(first));
    let last =
        LastAttempt { started_at: first + 3 * SECOND, status: 200, outcome: "success".into() };
    assert_eq!(one.last, Some(last));
    assert_eq!((one.standing.state, one.standing.attempts), (DeliveryState::Delivered, 3));
    assert_eq!(one.url.as_deref(), Some("https://a.example/hook"));
    assert_eq!(one.event_id.as_deref(), Some("job-7.1"));
    assert_eq!((one.subject.as_deref(), one.created_at), (Some("job-7"), NOW + MINUTE));
    let other = rows.iter().find(|row| row.key != key).expect("it is listed");
    assert_eq!((other.first_attempt_at, &other.last), (None, &None), "there was no request");
    assert_eq!(other.url.as_deref(), Some("https://b.example/hook"), "where it would go");
}

#[tokio::test]
async fn no_answer_is_told_as_such() {
    let (place, [event, ..]) = Place::with_jobs().await;
    let key = key(&event, "a");
    place.settle(tried(key, 0, NOW, Outcome::ConnectFailed, again())).await;

    let rows = place.all_tracked(&of("job-7")).await;

    let last = rows.iter().find_map(|row| row.last.clone()).expect("there was a request");
    assert_eq!((last.status, last.outcome.as_str()), (0, "connect"));
}

#[tokio::test]
async fn a_request_at_most_once_is_on_the_way_until_nobody_can_know_any_more() {
    let (place, [event, ..]) = Place::with_jobs().await;
    let key = key(&event, "a");
    let let_go = tried(key, 0, NOW, Outcome::Unknown, Settlement::LetGo);
    place.settle(Settled { attempts: 0, ..let_go }).await;
    let at = |state, now| DeliveryFilter { now, ..wanted(state) };
    let (then, later) = (NOW + ON_THE_WAY_MAX - Duration::from_millis(1), NOW + ON_THE_WAY_MAX);

    let rows = place.all_tracked(&at("sending", then)).await;
    let row = rows.first().expect("it may still be");
    assert_eq!((rows.len(), row.key, row.attempts()), (1, key, 1));
    assert_eq!((row.state(), row.ended(), row.last.is_some()), ("sending", None, true));
    assert!(place.all_tracked(&at("unknown", then)).await.is_empty());

    let rows = place.all_tracked(&at("unknown", later)).await;
    let row = rows.first().expect("its router is dead");
    assert_eq!((rows.len(), row.state(), row.attempts()), (1, "unknown", 1));
    let ended = row.ended().map(|last| (last.status, last.outcome.as_str()));
    assert_eq!(ended, Some((0, "unknown")));
    assert!(place.all_tracked(&at("sending", later)).await.is_empty());
    for (now, state) in [(then, "sending"), (later, "unknown")] {
        let one = place.delivery_of(acme(), key, now).await.expect("read").expect("it is owed");
        assert_eq!(one.delivery.state(), state);
    }
}

#[tokio::test]
async fn each_row_comes_once_forth_and_back_however_short_the_pages_are() {
    let (place, events) = Place::with_jobs().await;
    let every = [DeliveryFilter::default(), of("job-7")];
    for (filter, count) in every.iter().zip([6, 4]) {
        let all: Vec<_> = place.all_tracked(filter).await.into_iter().map(|row| row.key).collect();
        assert_eq!(all.len(), count);
        assert_eq!(all[0].event, events[2].id, "newest first");
        for size in 1..=3 {
            let (mut forth, mut at) = (Vec::new(), InList::Beginning);
            loop {
                let part = place.tracked(filter, &newest(size, at)).await;
                assert!(part.rows.len() <= size);
                forth.extend(part.rows.iter().map(|row| row.key));
                let Some(beyond) = part.beyond else { break };
                at = InList::Behind(beyond);
            }
            assert_eq!(forth, all, "pages of {size}");
            let (mut back, mut at) = (Vec::new(), InList::End);
            loop {
                let part = place.tracked(filter, &newest(size, at)).await;
                back.splice(0..0, part.rows.iter().map(|row| row.key));
                let Some(beyond) = part.beyond else { break };
                at = InList::InFrontOf(beyond);
            }
            assert_eq!(back, all, "pages of {size}, from the end");
        }
    }
}

#[tokio::test]
async fn a_filter_finds_what_it_says() {
    let (place, [first, second, third]) = Place::with_jobs().await;
    place.settle(delivered(key(&first, "a"), 0)).await;
    let found = async |filter: DeliveryFilter| -> Vec<DeliveryKey> {
        place.all_tracked(&filter).await.into_iter().map(|row| row.key).collect()
    };
    let to_a = DeliveryFilter { endpoint: Some(endpoint_id("a")), ..DeliveryFilter::default() };
    assert_eq!(found(to_a.clone()).await, [key(&third, "a"), key(&second, "a"), key(&first, "a")]);
    let about_it = DeliveryFilter { endpoint: to_a.endpoint, ..of("job-7") };
    assert_eq!(found(about_it).await, [key(&third, "a"), key(&first, "a")]);
    let done = wanted("delivered");
    assert_eq!(found(done).await, [key(&first, "a")]);
    let events = EventFilter { event_types: vec!["job.failed".into()], ..EventFilter::default() };
    assert!(found(DeliveryFilter { events, ..DeliveryFilter::default() }).await.is_empty());
    assert!(found(of("job-9")).await.is_empty());
}

#[tokio::test]
async fn another_tenant_finds_nothing_whatever_it_names() {
    let (place, [event, ..]) = Place::with_jobs().await;
    let key = key(&event, "a");
    let all = newest(250, InList::Beginning);
    let to_a = DeliveryFilter { endpoint: Some(endpoint_id("a")), ..DeliveryFilter::default() };
    for filter in [DeliveryFilter::default(), of("job-7"), to_a] {
        let theirs = place.deliveries(stranger(), &filter, &all).await.expect("read");
        assert!(theirs.rows.is_empty() && theirs.beyond.is_none());
    }
    assert!(place.delivery_of(stranger(), key, NOW).await.expect("read").is_none());
    let never = DeliveryKey { event: EventId::derived(&[b"never"]), ..key };
    for beside in [key, never] {
        let page = newest(5, InList::Behind(beside));
        let refused = place.deliveries(stranger(), &of("job-7"), &page).await;
        let Err(StorageError::Conflict(why)) = refused else { panic!("it has a page") };
        assert_eq!(why, format!("{beside}: no such place in the list"));
    }
}

#[tokio::test]
async fn what_goes_to_the_default_url_is_told_with_it_and_one_comes_with_its_policy() {
    let (place, _) = Place::with_jobs().await;
    let own = default_of(acme().application());
    let url = Some("https://default.example/in".parse().expect("a URL"));
    let settings = OwnSettings { default_url: url, ..OwnSettings::unset(acme().application()) };
    place.put_settings(&settings).await.expect("set");
    let event = about("job-9", 4);
    let to_default = Owed { event: Arc::clone(&event), endpoints: vec![own] };
    place.accept(vec![to_default]).await.expect("accepted");
    let key = DeliveryKey { event: event.id, endpoint: own };

    let rows = place.all_tracked(&of("job-9")).await;
    assert_eq!(rows[0].url.as_deref(), Some("https://default.example/in"));
    let untried = place.delivery_of(acme(), key, NOW).await.expect("read").expect("it is owed");
    assert_eq!((untried.delivery.policy, untried.policy), (None, None));

    let policy = Policy { format: Format::Standard, ..Policy::default() };
    let resolved = Resolved::from(policy.clone());
    let (version, text) = (resolved.version(), serde_json::to_string(&policy).expect("JSON"));
    let id = event.id;
    let noted = place.write(move |connection| {
        // As a record of an attempt leaves them.
        connection.execute(
            "INSERT INTO policies (version, policy) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            rusqlite::params![version.0, text],
        )?;
        connection.execute(
            "UPDATE deliveries SET policy = ?1 WHERE event = (SELECT seq FROM events WHERE id = ?2)",
            rusqlite::params![version.0, id],
        )?;
        Ok(())
    });
    noted.await.expect("written");

    let tracked = place.delivery_of(acme(), key, NOW).await.expect("read").expect("it is owed");
    assert_eq!(tracked.delivery.policy, Some(version));
    assert_eq!(tracked.policy, Some(policy));
}

#[test]
fn each_list_is_walked_by_the_index_of_what_is_asked_for() {
    let place = Place::on_file();
    let connection = place.file();
    let to = Some(endpoint_id("a"));
    let during = |filter: &EventFilter| EventFilter {
        after: Some(NOW),
        before: Some(NOW),
        ..filter.clone()
    };
    let (no, about) = (EventFilter::default(), of("job-7").events);
    let tracked = |events: &EventFilter, endpoint| {
        let filter = DeliveryFilter { events: events.clone(), endpoint, ..wanted("dead") };
        let page = newest(250, InList::Beginning);
        tracking::walk(&place.beside(), acme(), &filter, &page).expect("one").sql(251)
    };
    let messages = events::walk(&place.beside(), acme(), &about, &newest(250, InList::Beginning));
    let about_it = "SEARCH e USING INDEX events_about (application=? AND subject=?)";
    let about_it_then =
        "SEARCH e USING INDEX events_about (application=? AND subject=? AND seq>? AND seq<?)";
    let owed_of = "SEARCH d USING PRIMARY KEY (event=?)";
    let table: [(String, &[&str]); 6] = [
        (messages.expect("one").sql(251), &[about_it]),
        (tracked(&about, None), &[about_it, owed_of]),
        (tracked(&during(&about), None), &[about_it_then, owed_of]),
        (tracked(&about, to), &[about_it, "SEARCH d USING PRIMARY KEY (event=? AND endpoint=?)"]),
        (
            tracked(&no, to),
            &[
                "SEARCH d USING INDEX deliveries_to (endpoint=?)",
                "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)",
            ],
        ),
        (tracked(&no, None), &["SEARCH e USING INDEX events_of (application=?)", owed_of]),
    ];
    for (sql, expected) in table {
        assert_eq!(plan(&connection, &sql), expected, "{sql}");
    }
}
