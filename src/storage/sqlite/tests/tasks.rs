//! What is offered again behind the answer: each delivery once, whatever is killed meanwhile.

use super::history::MINUTE;
use super::*;
use crate::domain::id::TaskId;
use crate::storage::dead_letters::DeadLetterFilter;
use crate::storage::history::History;
use crate::storage::inbox::{Publication, Publish};
use crate::storage::journal::{Books, Ledger};
use crate::storage::tasks::{NewTask, RUNNING_MAX, TaskKind, TaskState, Tasks};
use crate::storage::upkeep::{Old, Place as Walked, Upkeep};

fn task_id(number: u32) -> TaskId {
    TaskId::minted(NOW + number * SECOND, [0; 15])
}

fn task(kind: TaskKind) -> NewTask {
    let endpoint = endpoint_id("a");
    NewTask { id: task_id(1), kind, endpoint, since: NOW, until: None }
}

/// Events 0 to `count`, received a second apart.
fn events(count: u32) -> Vec<Arc<Event>> {
    let one = |number: u32| Event {
        received_at: NOW + number * SECOND,
        ..event(&number.to_string()).as_ref().clone()
    };
    (0..count).map(one).map(Arc::new).collect()
}

/// Offered by the journal at this moment, as if it were new.
fn offered(turn: u32) -> Standing {
    let state = DeliveryState::Waiting { due_at: NOW + MINUTE, held_by: Holder::Journal };
    standing(turn, 0, state)
}

impl Place {
    /// An active endpoint that wants these types.
    async fn have_active(&self, name: &str, patterns: &[&str], channels: &[&str]) {
        self.have_endpoint(name).await;
        let patterns = patterns.iter().map(|one| one.parse().expect("a pattern")).collect();
        let channels = channels.iter().map(|one| (*one).to_owned()).collect();
        let edited = Endpoint { filter: Filter::of(patterns), channels, ..endpoint(name) };
        self.edit_endpoint(&edited).await.expect("edited");
        self.set(name, EndpointState::Active).await;
    }

    async fn set(&self, name: &str, state: EndpointState) {
        let there = self.set_endpoint_state(acme(), endpoint_id(name), state, None, NOW).await;
        assert_eq!(there, Ok(true));
    }

    /// These events owed to `a`, and given up, all but those that `delivered` names.
    async fn with_given_up(&self, events: &[Arc<Event>], got: impl Fn(usize) -> bool) {
        self.accept(events.iter().map(|one| owed(one, &["a"])).collect()).await.expect("accepted");
        let settled = events.iter().enumerate().map(|(number, event)| {
            let key = key(event, "a");
            if got(number) { delivered(key, 0) } else { given_up(key, 0) }
        });
        self.record(settled.collect()).await.expect("recorded");
    }

    async fn begin_task(&self, task: NewTask) {
        Tasks::begin(&self.store, acme(), task, NOW).await.expect("begun");
    }

    /// Takes a step; how many deliveries it offered.
    async fn take_step(&self) -> u64 {
        self.step(task_id(1), NOW + MINUTE).await.expect("taken")
    }

    async fn state_of(&self, number: u32) -> (TaskState, u64) {
        let task = Tasks::task(&self.store, acme(), task_id(number)).await.expect("read");
        let task = task.expect("there");
        (task.state, task.moved)
    }

    /// Takes steps until the task has ended; how many, and what they offered.
    async fn take_all(&self) -> (u32, u64) {
        let (mut steps, mut moved) = (0, 0);
        while self.state_of(1).await.0 == TaskState::Running {
            moved += self.take_step().await;
            steps += 1;
        }
        (steps, moved)
    }

    async fn stands(&self, event: &Event) -> Option<Standing> {
        self.owed(acme(), event.id, endpoint_id("a")).await.expect("read")
    }
}

#[tokio::test]
async fn what_was_dropped_is_recovered_and_what_is_unknown_is_not() {
    let place = Place::new();
    place.have_active("a", &[], &[]).await;
    let events = events(3);
    place.accept(events.iter().map(|one| owed(one, &["a"])).collect()).await.expect("accepted");
    let ends = [
        Settlement::Drop(DeathReason::Refused),
        Settlement::LetGo,
        Settlement::DeadLetter(DeathReason::Refused),
    ];
    for (event, end) in events.iter().zip(ends) {
        place.settle(settled(key(event, "a"), 0, Some(FAILURE), end)).await;
    }

    place.begin_task(task(TaskKind::Recover)).await;

    assert_eq!(place.take_all().await.1, 2);
    let stands = async |number: usize| place.stands(&events[number]).await.expect("owed");
    assert_eq!((stands(0).await, stands(2).await), (offered(2), offered(2)));
    assert_eq!(stands(1).await.state, DeliveryState::Unknown);
    let books = place.books().await.expect("books");
    assert_eq!((books.waiting, books.dropped, books.dead, books.unknown), (2, 0, 0, 1));
    assert_eq!(books.unaccounted(), 0);
}

#[tokio::test]
async fn what_was_given_up_in_the_span_goes_on_as_if_it_were_new() {
    let place = Place::new();
    place.have_active("a", &[], &[]).await;
    let events = events(10);
    place.with_given_up(&events, |number| number == 4).await;
    place.have_active("b", &[], &[]).await;
    place.accept(vec![owed(&event("other"), &["b"])]).await.expect("accepted");
    place.settle(given_up(key(&event("other"), "b"), 0)).await;

    let until = Some(NOW + 7 * SECOND);
    place.begin_task(NewTask { since: NOW + 2 * SECOND, until, ..task(TaskKind::Recover) }).await;
    assert_eq!(place.take_all().await.1, 4);

    for (number, event) in events.iter().enumerate() {
        let stands = place.stands(event).await.expect("owed");
        match number {
            4 => assert_eq!(stands.state, DeliveryState::Delivered),
            2..7 => assert_eq!(stands, offered(2), "{number}"),
            _ => assert_eq!(stands.state, DeliveryState::Dead, "{number}"),
        }
    }
    let dead = place.count_dead_letters(&DeadLetterFilter::default()).await;
    let books = Books { owed: 11, waiting: 4, delivered: 1, dead: 6, ..Books::default() };
    assert_eq!((place.books().await, dead), (Ok(books), Ok(6)));
    assert_eq!(place.state_of(1).await, (TaskState::Finished, 4));
    assert_eq!(place.claim_due(NOW + MINUTE).await.len(), 4);
}

#[tokio::test]
async fn what_was_missed_is_what_the_endpoint_wants_now_and_was_never_owed() {
    let place = Place::new();
    place.have_active("a", &["job.*"], &["eu"]).await;
    let like = |number: u32, event_type: &str, channels: &[&str]| {
        Arc::new(Event {
            event_type: event_type.parse().expect("a type"),
            channels: channels.iter().map(|name| (*name).into()).collect(),
            received_at: NOW + number * SECOND,
            ..event(&number.to_string()).as_ref().clone()
        })
    };
    let missed = [like(1, "job.completed", &["eu"]), like(2, "job.failed", &["us", "eu"])];
    let had = like(3, "job.failed", &["eu"]);
    let others = [
        like(4, "document.ready", &["eu"]),
        like(5, "job.failed", &["us"]),
        like(6, "job.failed", &[]),
        Arc::new(Event {
            application: application("other").id,
            ..like(7, "job.failed", &["eu"]).as_ref().clone()
        }),
    ];
    let expunged = like(8, "job.failed", &["eu"]);
    let not_owed = missed.iter().chain(&others).chain([&expunged]);
    place.accept(not_owed.map(|event| owed(event, &[])).collect()).await.expect("accepted");
    place.accept(vec![owed(&had, &["a"])]).await.expect("accepted");
    place.settle(delivered(key(&had, "a"), 0)).await;
    place.expunge_payload(acme(), expunged.id).await.expect("forgotten");
    // Not routed yet: it will say itself what it owes.
    let fresh = Publication {
        application: "acme".into(),
        event_type: "job.completed".into(),
        event_id: "fresh".into(),
        channels: vec!["eu".into()],
        payload: Bytes::from_static(b"{}"),
        ..Publication::default()
    };
    place.publisher(Arc::new(|| NOW)).publish(&[fresh]).await.expect("published");

    place.begin_task(task(TaskKind::ReplayMissing)).await;
    assert_eq!(place.take_all().await.1, 2);

    for event in &missed {
        assert_eq!(place.stands(event).await, Some(offered(0)));
    }
    for event in others.iter().chain([&expunged]) {
        assert_eq!(place.stands(event).await, None);
    }
    let books = Books { owed: 3, waiting: 2, delivered: 1, ..Books::default() };
    assert_eq!(place.books().await, Ok(books));
    assert_eq!(place.claim_due(NOW + MINUTE).await.len(), 2);

    // The same once more finds nothing: it is owed now.
    place.begin_task(NewTask { id: task_id(2), ..task(TaskKind::ReplayMissing) }).await;
    assert_eq!(place.step(task_id(2), NOW).await, Ok(0));
}

#[tokio::test]
async fn what_dies_again_while_the_task_runs_is_not_offered_a_second_time() {
    let place = Place::new();
    place.have_active("a", &[], &[]).await;
    let events = events(700);
    place.with_given_up(&events, |_| false).await;
    place.begin_task(task(TaskKind::Recover)).await;
    assert_eq!(place.take_step().await, 500);

    let claimed = place.claim(overdue(NOW + MINUTE, LONG_AGO), NOW + 2 * MINUTE, 999).await;
    let again = claimed.expect("claimed").into_iter().map(|one| given_up(one.key(), one.turn.0));
    place.record(again.collect()).await.expect("recorded");

    assert_eq!(place.take_all().await, (1, 200));
    let books = place.books().await.expect("books");
    assert_eq!((books.dead, books.waiting), (500, 200));
}

#[tokio::test]
async fn killed_between_any_two_steps_each_delivery_is_offered_once() {
    for kind in TaskKind::ALL {
        let mut place = Place::new();
        place.have_active("a", &[], &[]).await;
        let events = events(1_700);
        match kind {
            TaskKind::Recover => place.with_given_up(&events, |number| number % 10 == 0).await,
            TaskKind::ReplayMissing => {
                let owed = events.iter().map(|event| owed(event, &[])).collect();
                place.accept(owed).await.expect("accepted");
            }
        }
        place.begin_task(task(kind)).await;
        let (mut moved, mut lives) = (0, 0);
        while place.state_of(1).await.0 == TaskState::Running {
            // A step whose answer nobody waits for, as when the process is killed in it: it was taken, or
            // it was not.
            let mut unheard = Box::pin(place.step(task_id(1), NOW + MINUTE));
            let _ = futures_util::poll!(&mut unheard);
            drop(unheard);
            let Place { store, folder } = place;
            drop(store); // nothing is closed
            place =
                Place { store: Sqlite::open(&settings(&folder), vault()).expect("opens"), folder };
            let before = place.state_of(1).await.1;
            assert!(before == moved || lives == 0 || before > moved, "{before} of {moved}");
            place.take_step().await;
            moved = place.state_of(1).await.1;
            lives += 1;
        }

        let wanted = if kind == TaskKind::Recover { 1_530 } else { 1_700 };
        assert_eq!(place.state_of(1).await, (TaskState::Finished, wanted), "{kind:?}");
        assert!(lives >= 3, "{lives}");
        let turn = if kind == TaskKind::Recover { 2 } else { 0 };
        for (number, event) in events.iter().enumerate() {
            let stands = place.stands(event).await.expect("owed");
            if kind == TaskKind::Recover && number % 10 == 0 {
                assert_eq!(stands.state, DeliveryState::Delivered);
            } else {
                assert_eq!(stands, offered(turn), "once, and no turn more");
            }
        }
        assert_eq!(place.books().await.expect("books").unaccounted(), 0);
    }
}

#[tokio::test]
async fn two_who_take_the_same_step_offer_each_delivery_once() {
    let place = Place::new();
    place.have_active("a", &[], &[]).await;
    let events = events(1_200);
    place.with_given_up(&events, |_| false).await;
    let other = place.elsewhere();
    place.begin_task(task(TaskKind::Recover)).await;

    let mut moved = 0;
    while place.state_of(1).await.0 == TaskState::Running {
        let (here, there) = tokio::join!(
            place.step(task_id(1), NOW + MINUTE),
            other.step(task_id(1), NOW + MINUTE)
        );
        moved += here.expect("taken") + there.expect("taken");
    }

    assert_eq!((moved, place.state_of(1).await.1), (1_200, 1_200));
    for event in &events {
        assert_eq!(place.stands(event).await, Some(offered(2)));
    }
}

#[tokio::test]
async fn a_step_looks_at_a_bounded_number_of_rows_when_there_is_little_to_offer() {
    let place = Place::new();
    place.have_active("a", &["job.*"], &[]).await;
    let mut events = events(12_000);
    let wanted = Arc::clone(&events[11_990]);
    for event in &mut events {
        Arc::make_mut(event).event_type = "document.ready".parse().expect("a type");
    }
    events[11_990] = wanted;
    for batch in events.chunks(2_000) {
        place.accept(batch.iter().map(|one| owed(one, &[])).collect()).await.expect("accepted");
    }
    place.begin_task(task(TaskKind::ReplayMissing)).await;

    let (steps, moved) = place.take_all().await;

    assert_eq!(moved, 1);
    assert!(steps >= 3, "5,000 at the most: {steps}");
}

#[tokio::test]
async fn a_task_fails_when_its_endpoint_is_disabled_or_gone_and_leaves_the_rest() {
    for gone in [false, true] {
        let place = Place::new();
        place.have_active("a", &[], &[]).await;
        place.with_given_up(&events(700), |_| false).await;
        place.begin_task(task(TaskKind::Recover)).await;
        assert_eq!(place.take_step().await, 500);
        if gone {
            place.delete_endpoint(acme(), endpoint_id("a"), NOW).await.expect("deleted");
        } else {
            place.set("a", EndpointState::Disabled).await;
        }

        assert_eq!(place.take_step().await, 0);

        assert_eq!(place.state_of(1).await, (TaskState::Failed, 500));
        assert_eq!(place.take_step().await, 0);
        assert_eq!(place.books().await.expect("books").dead, 200);
        assert_eq!(place.next_running(None).await, Ok(None));
    }
}

#[tokio::test]
async fn running_tasks_have_their_turns_and_are_their_tenants_own() {
    let place = Place::new();
    place.have_active("a", &[], &[]).await;
    assert_eq!(place.next_running(None).await, Ok(None));
    for number in 1..=RUNNING_MAX {
        place.begin_task(NewTask { id: task_id(number), ..task(TaskKind::Recover) }).await;
    }
    let more = NewTask { id: task_id(99), ..task(TaskKind::Recover) };
    let refused = Tasks::begin(&place.store, acme(), more, NOW).await;
    assert!(matches!(refused, Err(StorageError::Conflict(_))), "{refused:?}");

    place.fail(task_id(2), NOW).await.expect("given up");

    for (after, next) in [(None, 1), (Some(1), 3), (Some(3), 4), (Some(RUNNING_MAX), 1)] {
        assert_eq!(place.next_running(after.map(task_id)).await, Ok(Some(task_id(next))));
    }
    let stranger = application("other").tenant();
    assert_eq!(Tasks::task(&place.store, stranger, task_id(1)).await, Ok(None));
    let theirs = Tasks::begin(&place.store, stranger, more, NOW).await;
    assert!(matches!(theirs, Err(StorageError::Conflict(_))), "not their endpoint: {theirs:?}");
    place.begin_task(more).await;
}

#[tokio::test]
async fn tasks_that_ended_long_ago_and_old_answers_are_forgotten() {
    let place = Place::new();
    place.have_active("a", &[], &[]).await;
    for number in 1..=3 {
        place.begin_task(NewTask { id: task_id(number), ..task(TaskKind::Recover) }).await;
    }
    place.fail(task_id(1), NOW + 4 * SECOND).await.expect("given up");
    place.fail(task_id(3), NOW + 6 * SECOND).await.expect("given up");
    let answer = |connection: &rusqlite::Connection| {
        let sql = "INSERT INTO answers VALUES (?1, x'00', 200, x'00', ?2)";
        for number in 0..8_u8 {
            connection
                .execute(sql, rusqlite::params![[number; 16], NOW + u32::from(number) * SECOND])?;
        }
        Ok(())
    };
    place.write(answer).await.expect("written");
    let before = NOW + 5 * SECOND;
    let old = Old {
        now: before,
        events: LONG_AGO,
        dead_letters: LONG_AGO,
        requests: before,
        tasks: before,
        deeds: NOW,
        inspected: NOW,
    };

    let swept = place.sweep(old, Walked::START).await.expect("swept");

    assert_eq!((swept.removed.tasks, swept.removed.answers), (1, 5));
    let left = [1, 2, 3].map(|number| Tasks::task(&place.store, acme(), task_id(number)));
    let left = futures_util::future::join_all(left).await;
    let left: Vec<_> = left.into_iter().map(|task| task.expect("read").is_some()).collect();
    assert_eq!(left, [false, true, true], "one runs, and one has ended just now");
    let again = place.sweep(old, Walked::START).await.expect("swept");
    assert_eq!((again.removed.tasks, again.removed.answers), (0, 0));
}
