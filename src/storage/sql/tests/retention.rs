//! What is old goes, what is not finished stays, and the file does not grow for ever.

use super::super::retention::WALK;
use super::*;
use crate::domain::event::Rejection;
use crate::domain::id::InspectedId;
use crate::storage::StorageError;
use crate::storage::audit::{Audit, Deed};
use crate::storage::dead_letters::DeadLetterFilter;
use crate::storage::inbox::{Inbox, Publication, Publish, Published};
use crate::storage::inspector::{Inspected, Inspectors as _, hash_of};
use crate::storage::journal::{Acceptance, Books, Ledger};
use crate::storage::page::{Order, Page};
use crate::storage::upkeep::{Old, Place as Walked, Removed, Size, Swept, Upkeep};

const DAY: Duration = Duration::from_hours(24);
/// When `event` was received.
const RECEIVED: Timestamp = Timestamp::from_seconds(1_790_000_001);

/// Everything from before this moment is old.
fn old_at(moment: Timestamp) -> Old {
    let now = moment + DAY;
    Old {
        now,
        events: moment,
        dead_letters: moment,
        requests: moment,
        replays: moment,
        deeds: moment,
        inspected: moment,
        rollups: moment,
    }
}

/// Only events.
fn old_events(moment: Timestamp) -> Old {
    Old {
        dead_letters: LONG_AGO,
        requests: LONG_AGO,
        replays: LONG_AGO,
        deeds: LONG_AGO,
        inspected: LONG_AGO,
        rollups: LONG_AGO,
        ..old_at(moment)
    }
}

impl Place {
    /// Takes steps from the start until there is nothing more; what they removed.
    async fn sweep_all(&self, old: Old) -> Removed {
        let (mut all, mut from) = (Removed::default(), Walked::START);
        loop {
            let Swept { removed, next, caught_up } = self.sweep(old, from).await.expect("swept");
            all.events += removed.events;
            all.deliveries += removed.deliveries;
            all.attempts += removed.attempts;
            all.dead_letters += removed.dead_letters;
            all.requests += removed.requests;
            all.answers += removed.answers;
            all.replays += removed.replays;
            all.deeds += removed.deeds;
            all.inspected += removed.inspected;
            all.rollups += removed.rollups;
            if caught_up {
                return all;
            }
            from = next;
        }
    }

    /// An event received at this moment, owed to `a` and delivered.
    async fn have_delivered(&self, name: &str, received_at: Timestamp) -> Arc<Event> {
        let event = received(name, received_at);
        self.accept(vec![owed(&event, &["a"])]).await.expect("accepted");
        self.settle(delivered(key(&event, "a"), 0)).await;
        event
    }

    async fn has(&self, event: &Event) -> bool {
        Ledger::event(&self.store, event.id).await.expect("read").is_some()
    }

    /// Rows of a table.
    pub(super) fn rows(&self, table: &str) -> i64 {
        self.ask(&format!("SELECT count(*) FROM {table}"))
    }

    async fn publish(&self, name: &str, at: Timestamp) -> Published {
        let publication = Publication {
            application: "acme".into(),
            event_type: "job.completed".into(),
            event_id: name.into(),
            idempotency_key: Some(name.into()),
            payload: Bytes::from_static(b"{}"),
            ..Publication::default()
        };
        self.publisher(Arc::new(move || at)).publish(&[publication]).await.expect("published")[0]
    }
}

fn received(name: &str, received_at: Timestamp) -> Arc<Event> {
    Arc::new(Event { received_at, ..event(name).as_ref().clone() })
}

#[tokio::test]
async fn an_old_event_goes_with_all_that_hangs_on_it_and_a_young_one_stays() {
    let place = Place::new();
    let old = place.owe("old", &["a", "b"]).await;
    for endpoint in ["a", "b"] {
        place.settle(failed(key(&old, endpoint), 0)).await;
        place.settle(delivered(key(&old, endpoint), 1)).await;
    }
    let young = place.have_delivered("young", RECEIVED + DAY).await;

    let removed = place.sweep_all(old_at(RECEIVED + DAY)).await;

    let gone = Removed { events: 1, deliveries: 2, attempts: 4, ..Removed::default() };
    assert_eq!(removed, gone);
    assert!(!place.has(&old).await && place.has(&young).await);
    assert_eq!((place.rows("deliveries"), place.rows("attempts")), (1, 1));
    let books = Books { owed: 3, delivered: 3, ..Books::default() };
    assert_eq!(place.books().await, Ok(books), "the books say what was ever owed");
}

#[tokio::test]
async fn what_is_not_finished_keeps_its_event_whatever_its_age() {
    let place = Place::new();
    let pending = place.owe("pending", &["a"]).await;
    let waiting = place.owe("waiting", &["a", "b"]).await;
    place.settle(delivered(key(&waiting, "a"), 0)).await;
    place.settle(failed(key(&waiting, "b"), 0)).await;
    let dead = place.owe("dead", &["a"]).await;
    place.settle(given_up(key(&dead, "a"), 0)).await;
    place.publish("not-routed", RECEIVED).await;
    place.have_delivered("last", RECEIVED + DAY).await;

    let removed = place.sweep_all(old_events(RECEIVED + DAY)).await;

    assert_eq!(removed, Removed::default());
    for event in [&pending, &waiting, &dead] {
        assert!(place.has(event).await, "{:?}", event.event_id);
    }
    assert_eq!((place.rows("inbox"), place.rows("attempts")), (1, 4));
}

#[tokio::test]
async fn an_old_dead_letter_is_discarded_and_only_then_its_event_goes() {
    let place = Place::new();
    let event = place.owe("run-7", &["a", "b"]).await;
    place.settle(given_up(key(&event, "a"), 0)).await;
    place.settle(failed(key(&event, "b"), 0)).await;
    place.have_delivered("last", RECEIVED + DAY).await;
    let none_dead = Old { dead_letters: NOW, ..old_at(RECEIVED + DAY) };
    assert_eq!(place.sweep_all(none_dead).await, Removed::default(), "it died at NOW");

    let removed = place.sweep_all(old_at(RECEIVED + DAY)).await;

    let gone = Removed { dead_letters: 1, deliveries: 1, attempts: 1, ..Removed::default() };
    assert_eq!(removed, gone, "the event waits for `b`");
    let books = place.books().await.expect("books");
    assert_eq!((books.dead, books.discarded, books.unaccounted()), (0, 1, 0));
    assert_eq!(place.count_dead_letters(&DeadLetterFilter::default()).await, Ok(0));
    let standings = place.standings(vec![key(&event, "a")]).await.expect("read");
    assert_eq!(standings, [None]);

    place.settle(delivered(key(&event, "b"), 1)).await;
    assert_eq!(place.sweep_all(old_at(RECEIVED + DAY)).await.events, 1);
    let books = place.books().await.expect("books");
    assert_eq!((books.owed, books.discarded, books.delivered), (3, 1, 2));
}

#[tokio::test]
async fn a_replayed_dead_letter_is_none_and_keeps_its_event() {
    let place = Place::new();
    let event = place.owe("run-7", &["a"]).await;
    place.settle(given_up(key(&event, "a"), 0)).await;
    Ledger::replay(&place.store, &DeadLetterFilter::default(), NOW).await.expect("replayed");
    place.have_delivered("last", RECEIVED + DAY).await;

    assert_eq!(place.sweep_all(old_at(RECEIVED + DAY)).await, Removed::default());
    assert!(place.has(&event).await);
}

#[tokio::test]
async fn the_newest_event_stays_so_that_no_number_is_used_twice() {
    let place = Place::new();
    place.have_endpoint("a").await;
    place.have_delivered("first", RECEIVED).await;
    let last = place.have_delivered("last", RECEIVED).await;

    assert_eq!(place.sweep_all(old_at(RECEIVED + DAY)).await.events, 1);
    assert!(place.has(&last).await);

    // And an inbox that had come past the last one is handed the next.
    let clock = Arc::new(|| RECEIVED + DAY);
    let mut inbox = place.inbox(clock).await.expect("opens");
    assert!(futures_util::poll!(Box::pin(inbox.next())).is_pending());
    place.publish("next", RECEIVED + DAY).await;
    let arrival = tokio::time::timeout(120 * SECOND, inbox.next()).await.expect("it comes");
    assert!(arrival.is_some());
}

#[tokio::test]
async fn an_event_that_is_gone_is_new_when_it_is_published_again() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let event = place.have_delivered("run-7", RECEIVED).await;
    place.have_delivered("last", RECEIVED).await;
    place.sweep_all(old_at(RECEIVED + DAY)).await;

    let answer = place.accept(vec![owed(&event, &["a"])]).await.expect("accepted");

    assert_eq!(answer, [Acceptance::New]);
}

#[tokio::test]
async fn the_key_of_a_request_is_forgotten_by_its_own_age() {
    let place = Place::new();
    place.have_endpoint("a").await;
    assert_eq!(place.publish("one", RECEIVED).await, Published::Now);
    assert_eq!(place.publish("two", RECEIVED + DAY).await, Published::Now);
    assert_eq!(place.publish("one", RECEIVED + DAY).await, Published::Before);

    let requests_only = Old { events: LONG_AGO, dead_letters: LONG_AGO, ..old_at(RECEIVED + DAY) };
    let removed = place.sweep_all(requests_only).await;

    assert_eq!(removed, Removed { requests: 1, ..Removed::default() });
    assert_eq!(place.publish("one", RECEIVED + DAY).await, Published::Taken);
    assert_eq!(place.publish("two", RECEIVED + DAY).await, Published::Before);
}

#[tokio::test]
async fn what_was_quarantined_is_kept_from_then_on() {
    let place = Place::new();
    place.have_endpoint("a").await;
    place.publish("stray", RECEIVED).await;
    let mut inbox = place.inbox(Arc::new(|| RECEIVED + DAY)).await.expect("opens");
    let arrival = inbox.next().await.expect("it comes");
    let why = Rejection::UnknownApplication("acme".into());
    arrival.original.quarantine(&why).await.expect("kept");
    place.publish("last", RECEIVED + 3 * DAY).await;

    assert_eq!(place.sweep_all(old_at(RECEIVED + DAY)).await.events, 0, "quarantined just now");
    assert_eq!(place.sweep_all(old_at(RECEIVED + 2 * DAY)).await.events, 1);
    assert_eq!(place.rows("quarantine"), 0);
}

#[tokio::test]
async fn a_step_is_bounded_and_the_next_goes_on_where_it_ended() {
    let place = Place::on_file();
    place.have_endpoint("a").await;
    let waits: Vec<_> =
        (0..2_500).map(|number| received(&format!("w{number}"), RECEIVED)).collect();
    for batch in waits.chunks(500) {
        let batch = batch.iter().map(|event| owed(event, &["a"])).collect();
        place.accept(batch).await.expect("accepted");
    }
    place.have_delivered("done", RECEIVED).await;
    place.have_delivered("last", RECEIVED + DAY).await;
    let old = old_at(RECEIVED + DAY);

    // A step may be short, where the machine is slow: a look has its time.
    let (mut from, mut steps, mut removed) = (Walked::START, 0, 0);
    loop {
        let step = place.sweep(old, from).await.expect("swept");
        assert!((0..=1_000).contains(&(step.next.0 - from.0)), "{step:?} from {from:?}");
        removed += step.removed.events;
        assert!(!step.caught_up || removed == 1, "not before the end: {step:?}");
        from = step.next;
        steps += 1;
        if step.caught_up {
            break;
        }
    }
    assert!(steps >= 3, "no step looks at more than a thousand: {steps}");

    // What has become old since then is found without going past the others again.
    place.have_delivered("behind", RECEIVED + DAY).await;
    let later = old_at(RECEIVED + 2 * DAY);
    let mut removed = 0;
    loop {
        let step = place.sweep(later, from).await.expect("swept");
        removed += step.removed.events;
        assert!(step.next.0 - from.0 <= 1, "past one event: {step:?} from {from:?}");
        from = step.next;
        if step.caught_up {
            break;
        }
    }
    assert_eq!(removed, 1, "`last`, which is not the last now");
}

#[tokio::test]
async fn no_step_removes_more_than_a_few_hundred_events() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let events: Vec<_> =
        (0..1_200).map(|number| received(&format!("e{number}"), RECEIVED)).collect();
    for batch in events.chunks(400) {
        place.accept(batch.iter().map(|event| owed(event, &[])).collect()).await.expect("accepted");
    }
    let (mut from, mut removed) = (Walked::START, 0);
    loop {
        let step = place.sweep(old_at(RECEIVED + DAY), from).await.expect("swept");
        assert!(step.removed.events <= 250, "{step:?}");
        (from, removed) = (step.next, removed + step.removed.events);
        if step.caught_up {
            break;
        }
    }
    assert_eq!(removed, 1_199, "all but the newest");
}

#[tokio::test]
async fn events_of_a_clock_that_was_ahead_do_not_hide_what_is_behind_them() {
    let place = Place::new();
    let ahead = RECEIVED + 10_000 * DAY;
    let from_the_future: Vec<_> =
        (0..300).map(|number| owed(&received(&format!("f{number}"), ahead), &[])).collect();
    place.accept(from_the_future).await.expect("accepted");
    place.have_endpoint("a").await;
    let event = place.have_delivered("old", RECEIVED).await;
    place.have_delivered("last", RECEIVED).await;

    assert_eq!(place.sweep_all(old_at(RECEIVED + DAY)).await.events, 1);
    assert!(!place.has(&event).await);
}

#[tokio::test]
async fn the_file_stays_bounded_over_many_generations() {
    let place = Place::on_file();
    place.have_endpoint("a").await;
    // A log that begins anew sixteen times as often as ours, so that it does so here many times.
    let often = |connection: &Connection| -> Result<(), StorageError> {
        let Connection::Sqlite(file) = connection else { return Ok(()) };
        Ok(file.pragma_update(None, "wal_autocheckpoint", 1_000)?)
    };
    place.write(often).await.expect("set");
    let (mut round_4, mut largest_log) = (Size::default(), 0);
    for round in 0..20_u32 {
        let received_at = RECEIVED + round * DAY;
        for batch in 0..5 {
            let events: Vec<_> = (0..100)
                .map(|number| {
                    let mut event = received(&format!("{round}.{batch}.{number}"), received_at)
                        .as_ref()
                        .clone();
                    event.payload = vec![b'x'; 200 + number * 40].into();
                    Arc::new(event)
                })
                .collect();
            let owed = events.iter().map(|event| owed(event, &["a"])).collect();
            place.accept(owed).await.expect("accepted");
            let settled = events.iter().map(|event| delivered(key(event, "a"), 0)).collect();
            place.record(settled).await.expect("recorded");
        }
        // Two generations are kept.
        let keep_from = received_at - DAY;
        place.sweep_all(old_at(keep_from)).await;
        let size = place.size().await.expect("read");
        largest_log = largest_log.max(size.log_bytes);
        assert!(size.oldest_event >= Some(keep_from), "{size:?}");
        if round == 3 {
            round_4 = folded(&place).await;
        }
    }
    let round_20 = folded(&place).await;
    assert_eq!(place.rows("events"), 1_000);
    assert!(round_20.file_bytes * 10 <= round_4.file_bytes * 13, "{round_4:?}, then {round_20:?}");
    assert!(round_4.file_bytes > 1_000_000, "{round_4:?}");
    // Its 4 MiB, and twice the group that it ends with.
    assert!((1_000_000..8_000_000).contains(&largest_log), "{largest_log}");
}

/// The size with the log folded in.
async fn folded(place: &Place) -> Size {
    let other = place.file();
    other.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).expect("folded");
    place.size().await.expect("read")
}

#[test]
fn a_walk_reads_no_more_than_it_goes_past() {
    let place = Place::on_file();
    let connection = place.file();
    let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {WALK}")).expect("prepared");
    let steps = explain.query_map([0, 0, 0], |row| row.get::<_, String>(3)).expect("run");
    let plan = steps.collect::<Result<Vec<_>, _>>().expect("read");
    for step in [
        "SEARCH e USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        "SEARCH inbox USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH deliveries USING PRIMARY KEY (event=?)",
        "SEARCH quarantine USING INTEGER PRIMARY KEY (rowid=?)",
    ] {
        assert!(plan.iter().any(|line| line == step), "{step}: {plan:#?}");
    }
    assert!(!plan.iter().any(|line| line.starts_with("SCAN")), "{plan:#?}");
}

#[tokio::test]
async fn the_audit_log_goes_from_its_oldest_entry_on() {
    let place = Place::new();
    for day in 0..3 {
        let deed = Deed {
            organisation: OrganisationId::DEFAULT,
            actor: "org".into(),
            action: "POST /app".into(),
            object: "/app".into(),
            at: NOW + day * DAY,
        };
        place.begin_deed(&deed).await.expect("written down");
    }

    let removed = place.sweep_all(Old { deeds: NOW + 2 * DAY, ..old_events(LONG_AGO) }).await;

    assert_eq!(removed, Removed { deeds: 2, ..Removed::default() });
    let page = Page::whole(Order::Ascending);
    assert_eq!(place.deeds(OrganisationId::DEFAULT, &page).await.expect("read").len(), 1);
}

#[tokio::test]
async fn what_came_to_a_target_for_development_goes_by_its_age() {
    let place = Place::new();
    place.add_application(&application("acme")).await.expect("added");
    let acme = application("acme").tenant();
    place.make_inspector(acme, "token", NOW).await.expect("made");
    for day in 0..3_u32 {
        let request = Inspected {
            id: InspectedId::derived(&[&day.to_be_bytes()]),
            received_at: NOW + day * DAY,
            method: "POST".into(),
            path: "/".into(),
            headers: Vec::new(),
            body: Vec::new(),
            truncated: false,
        };
        place.keep_inspected(hash_of("token"), request, 50).await.expect("kept");
    }

    let removed = place.sweep_all(Old { inspected: NOW + 2 * DAY, ..old_events(LONG_AGO) }).await;

    assert_eq!(removed, Removed { inspected: 2, ..Removed::default() });
    assert_eq!(place.inspected(acme, LONG_AGO, 50).await.expect("read").len(), 1);
}
