//! Steps of a replay: what each looks at, and that each is taken once, whatever is killed meanwhile.

use super::history::MINUTE;
use super::replays::{MOST, events, of, of_a, offered, replay_id};
use super::*;
use crate::domain::replay::{ReplayState, Scope};
use crate::storage::history::History;
use crate::storage::inbox::{Publication, Publish};
use crate::storage::journal::Books;
use crate::storage::replays::{Change, Replays, Stepped};
use crate::storage::upkeep::{Old, Place as Walked, Upkeep};

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

    place.have_begun(of_a(1, Scope::Missing)).await;
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
    place.have_begun(of_a(2, Scope::Missing)).await;
    assert_eq!(place.step(replay_id(2), MOST, NOW).await.expect("taken").offered, 0);
}

#[tokio::test]
async fn what_dies_again_while_the_replay_runs_is_not_offered_a_second_time() {
    let place = Place::new();
    place.have_active("a", &[], &[]).await;
    let events = events(700);
    place.with_given_up(&events, |_| false).await;
    place.have_begun(of_a(1, Scope::DeadLetters)).await;
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
    for scope in Scope::ALL {
        let mut place = Place::new();
        place.have_active("a", &[], &[]).await;
        let events = events(1_700);
        match scope {
            Scope::DeadLetters | Scope::GivenUp => {
                place.with_given_up(&events, |number| number % 10 == 0).await;
            }
            Scope::Delivered => place.with_given_up(&events, |number| number % 10 != 0).await,
            Scope::Missing => {
                let owed = events.iter().map(|event| owed(event, &[])).collect();
                place.accept(owed).await.expect("accepted");
            }
        }
        place.have_begun(of_a(1, scope)).await;
        let (mut moved, mut lives) = (0, 0);
        while place.state_of(1).await.0 == ReplayState::Running {
            // A step whose answer nobody waits for, as when the process is killed in it: it was taken, or
            // it was not.
            let mut unheard = Box::pin(place.step(replay_id(1), MOST, NOW + MINUTE));
            let _ = futures_util::poll!(&mut unheard);
            drop(unheard);
            let Place { store, settings, folder } = place;
            drop(store); // nothing is closed
            place = Place::of(settings, folder);
            let before = place.state_of(1).await.1;
            assert!(before == moved || lives == 0 || before > moved, "{before} of {moved}");
            place.take_step().await;
            moved = place.state_of(1).await.1;
            lives += 1;
        }

        let is_missing = scope == Scope::Missing;
        let wanted = if is_missing { 1_700 } else { 1_530 };
        assert_eq!(place.state_of(1).await, (ReplayState::Finished, wanted), "{scope:?}");
        assert!(lives >= 3, "{lives}");
        let turn = if is_missing { 0 } else { 2 };
        for (number, event) in events.iter().enumerate() {
            let stands = place.stands(event).await.expect("owed");
            if !is_missing && number % 10 == 0 {
                let left = scope == Scope::Delivered;
                let left = if left { DeliveryState::Dead } else { DeliveryState::Delivered };
                assert_eq!(stands.state, left);
            } else {
                assert_eq!(stands, offered(turn), "once, and no turn more");
            }
        }
        assert_eq!(place.books().await.expect("books").unaccounted(), 0);
    }
}

#[tokio::test]
async fn a_step_that_is_late_leaves_a_replay_that_was_ended_meanwhile_as_it_is() {
    let place = Place::new();
    place.have_active("a", &[], &[]).await;
    place.with_given_up(&events(3), |_| false).await;
    let begun = place.have_begun(of_a(1, Scope::GivenUp)).await;
    let (_, look) = place.look_ahead(begun.id, MOST).await.expect("looked");

    let cancel = place.change(begun.organisation, begun.id, Change::Cancel, NOW + MINUTE).await;
    assert!(cancel.is_ok(), "{cancel:?}");
    place.set("a", EndpointState::Disabled).await;
    let stepped = place.take(look.expect("it was running"), NOW + MINUTE).await;

    let nothing = Stepped { offered: 0, skipped: 0, state: ReplayState::Cancelled };
    assert_eq!(stepped, Ok(nothing));
    let replay = place.found(1).await;
    assert_eq!((replay.state, replay.because), (ReplayState::Cancelled, None));
}

#[tokio::test]
async fn two_who_take_the_same_step_offer_each_delivery_once() {
    let place = Place::new();
    place.have_active("a", &[], &[]).await;
    let events = events(1_200);
    place.with_given_up(&events, |_| false).await;
    let other = place.elsewhere();
    place.have_begun(of_a(1, Scope::DeadLetters)).await;

    let mut moved = 0;
    while place.state_of(1).await.0 == ReplayState::Running {
        let (here, there) = tokio::join!(
            place.step(replay_id(1), MOST, NOW + MINUTE),
            other.step(replay_id(1), MOST, NOW + MINUTE)
        );
        moved += here.expect("taken").offered + there.expect("taken").offered;
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
    place.have_begun(of_a(1, Scope::Missing)).await;

    let (steps, moved) = place.take_all().await;

    assert_eq!(moved, 1);
    assert!(steps >= 3, "5,000 at the most: {steps}");
}

#[tokio::test]
async fn a_replay_fails_when_its_endpoint_is_disabled_or_gone_and_leaves_the_rest() {
    for gone in [false, true] {
        let place = Place::new();
        place.have_active("a", &[], &[]).await;
        place.with_given_up(&events(700), |_| false).await;
        place.have_begun(of_a(1, Scope::DeadLetters)).await;
        assert_eq!(place.take_step().await, 500);
        if gone {
            place.delete_endpoint(acme(), endpoint_id("a"), NOW).await.expect("deleted");
        } else {
            place.set("a", EndpointState::Disabled).await;
        }

        assert_eq!(place.take_step().await, 0);

        assert_eq!(place.state_of(1).await, (ReplayState::Failed, 500));
        assert_eq!(place.take_step().await, 0);
        assert_eq!(place.books().await.expect("books").dead, 200);
        assert_eq!(place.running().await.expect("read"), []);
        let because = place.found(1).await.because.expect("it says why");
        assert!(because.contains(&endpoint_id("a").to_string()), "{because}");
    }
}

#[tokio::test]
async fn replays_that_ended_long_ago_are_forgotten_with_their_offers_and_old_answers_too() {
    let place = Place::new();
    for name in ["a", "b", "c"] {
        place.have_active(name, &[], &[]).await;
    }
    place.with_given_up(&events(2), |_| false).await;
    place.have_begun(of_a(1, Scope::DeadLetters)).await;
    assert_eq!(place.take_step().await, 2);
    for (number, name) in [(2, "b"), (3, "c")] {
        place.have_begun(of(replay_id(number), Scope::GivenUp, endpoint_id(name), NOW)).await;
    }
    let end = async |number: u32, seconds: u32| {
        let at = NOW + 2 * MINUTE + seconds * SECOND;
        place
            .write(move |connection| {
                connection.execute(
                    "UPDATE replays SET state = 'finished', ended_at = ?2 WHERE id = ?1",
                    rusqlite::params![replay_id(number), at],
                )?;
                Ok(())
            })
            .await
            .expect("ended");
    };
    end(1, 4).await;
    end(3, 6).await;
    let answer = |connection: &Connection| {
        let sql = "INSERT INTO answers VALUES (?1, x'00', 200, x'00', ?2)";
        for number in 0..8_u8 {
            let at = NOW + 2 * MINUTE + u32::from(number) * SECOND;
            connection.execute(sql, rusqlite::params![[number; 16], at])?;
        }
        Ok(())
    };
    place.write(answer).await.expect("written");
    let before = NOW + 2 * MINUTE + 5 * SECOND;
    let old = Old {
        now: before,
        events: LONG_AGO,
        dead_letters: LONG_AGO,
        requests: before,
        replays: before,
        deeds: NOW,
        inspected: NOW,
        rollups: NOW,
    };

    let swept = place.sweep(old, Walked::START).await.expect("swept");

    assert_eq!((swept.removed.replays, swept.removed.answers), (3, 5), "one, and its two offers");
    let organisation = OrganisationId::DEFAULT;
    let left =
        [1, 2, 3].map(|number| Replays::replay(&place.store, organisation, replay_id(number)));
    let left = futures_util::future::join_all(left).await;
    let left: Vec<_> = left.into_iter().map(|one| one.expect("read").is_some()).collect();
    assert_eq!(left, [false, true, true], "one runs, and one has ended just now");
    let again = place.sweep(old, Walked::START).await.expect("swept");
    assert_eq!((again.removed.replays, again.removed.answers), (0, 0));
}
