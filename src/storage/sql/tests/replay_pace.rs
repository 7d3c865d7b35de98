//! What a replay waits for, and what it must not wait for; and what it is judged by.

use super::history::MINUTE;
use super::replays::{events, of, of_a, replay_id};
use super::*;
use crate::domain::replay::{Judgement, Rate, ReplayState, STEP_MAX, Scope};
use crate::storage::dead_letters::DeadLetterFilter;
use crate::storage::history::History;
use crate::storage::journal::Ledger;
use crate::storage::replays::{ACTIVE_MAX_OF_APPLICATION, NewReplay, Obstacle, Replays, Selection};

/// Five hundred of these may be offered and not tried.
const SLOW: u32 = 10;

impl Place {
    /// Endpoints `a` and `b` with so many dead letters each, all of which are to be replayed: those of `a` first.
    async fn replays_of_two(&self, each: u32) {
        let events = events(2 * each);
        let (of_a, of_b) = events.split_at(each as usize);
        for (name, events) in [("a", of_a), ("b", of_b)] {
            self.have_active(name, &[], &[]).await;
            self.accept(events.iter().map(|one| owed(one, &[name])).collect())
                .await
                .expect("accepted");
            let dead = events.iter().map(|one| given_up(key(one, name), 0)).collect();
            self.record(dead).await.expect("recorded");
        }
        let rate = Rate::try_from(SLOW).expect("a rate");
        let selection = Selection::DeadLetters(DeadLetterFilter::default());
        self.have_begun(NewReplay { selection, rate, ..of_a_dead() }).await;
    }

    /// How many may be offered now.
    async fn room(&self) -> u32 {
        let pulse = self.pulse(replay_id(1), NOW + MINUTE).await.expect("read");
        pulse.room(Rate::try_from(SLOW).expect("a rate"))
    }

    /// Offers as many as may be, lets routers do this with them, and so on until the replay has ended.
    async fn goes_on(&self, end: impl Fn(&Delivery) -> Settled) {
        for _ in 0..10 {
            if self.state_of(1).await.0 == ReplayState::Finished {
                return;
            }
            let room = self.room().await;
            assert!(room > 0, "it stalls: {:?}", self.found(1).await);
            self.step(replay_id(1), room, NOW + MINUTE).await.expect("taken");
            let due = overdue(NOW + MINUTE, LONG_AGO);
            let claimed = self.claim(due, NOW + 2 * MINUTE, 2_000).await.expect("claimed");
            self.record(claimed.iter().map(&end).collect()).await.expect("recorded");
        }
        panic!("it does not end: {:?}", self.found(1).await);
    }
}

fn of_a_dead() -> NewReplay {
    of_a_dead_by_number(1)
}

fn of_a_dead_by_number(number: u32) -> NewReplay {
    of_a(number, Scope::DeadLetters)
}

#[tokio::test]
async fn what_waits_at_a_paused_endpoint_keeps_nothing_else_back() {
    let place = Place::new();
    place.replays_of_two(600).await;
    place.set("a", EndpointState::Paused).await;

    place
        .goes_on(|one| {
            let (key, turn) = (one.key(), one.turn.0);
            let is_paused = one.endpoint == endpoint_id("a");
            if is_paused {
                Settled { attempts: 0, ..paused(key, turn) }
            } else {
                delivered(key, turn)
            }
        })
        .await;

    let replay = place.found(1).await;
    assert_eq!((replay.offered, replay.delivered), (1_200, 600));
    assert_eq!(place.books().await.expect("books").waiting, 600, "they wait for a person");
    assert_eq!(place.room().await, STEP_MAX);
    // When it is resumed they are waited for as any other.
    place.set("a", EndpointState::Active).await;
    place.recall(endpoint_id("a"), NOW + MINUTE).await.expect("recalled");
    assert_eq!(place.room().await, 0);
}

#[tokio::test]
async fn an_endpoint_that_is_deleted_while_its_offers_wait_keeps_nothing_else_back() {
    let place = Place::new();
    place.replays_of_two(600).await;
    place.step(replay_id(1), STEP_MAX, NOW + MINUTE).await.expect("taken");
    assert_eq!(place.room().await, 0, "500 wait");

    place.delete_endpoint(acme(), endpoint_id("a"), NOW + MINUTE).await.expect("deleted");
    place.cancel(endpoint_id("a"), NOW + MINUTE).await.expect("cancelled");

    place.goes_on(|one| delivered(one.key(), one.turn.0)).await;
    let replay = place.found(1).await;
    assert_eq!((replay.offered, replay.delivered, replay.skipped), (1_100, 600, 100));
    assert_eq!(replay.tried, replay.offered, "what was taken back is not to be tried any more");
}

#[tokio::test]
async fn what_is_gone_when_its_turn_comes_was_passed_over_whatever_the_scope_is() {
    for scope in [Scope::DeadLetters, Scope::GivenUp] {
        let place = Place::new();
        place.have_active("a", &[], &[]).await;
        let events = events(5);
        place.with_given_up(&events, |_| false).await;
        assert_eq!(place.have_begun(of_a(1, scope)).await.matched, Some(5));

        place.expunge_payload(acme(), events[2].id).await.expect("forgotten");

        assert_eq!(place.take_all().await.1, 4);
        assert_eq!(place.found(1).await.skipped, 1, "{scope:?}");
    }
}

#[tokio::test]
async fn what_it_waits_for_is_said_while_it_runs_and_no_longer() {
    let place = Place::new();
    place.have_active("a", &[], &[]).await;
    place.with_given_up(&events(1), |_| false).await;
    let id = place.have_begun(of_a_dead()).await.id;
    let waits = async || place.running().await.expect("read")[0].waits;

    place.waits(id, Some("live traffic goes first")).await.expect("said");
    assert!(waits().await);
    let found = place.found(1).await;
    assert_eq!(found.state, ReplayState::Running);
    assert_eq!(found.because.as_deref(), Some("live traffic goes first"));

    place.waits(id, None).await.expect("said");
    assert!(!waits().await);
    place.take_all().await;
    place.waits(id, Some("too late")).await.expect("nothing to say");
    assert_eq!(place.found(1).await.because, None);
}

#[tokio::test]
async fn a_payload_that_is_forgotten_while_its_offer_waits_keeps_nothing_back() {
    let place = Place::new();
    place.replays_of_two(1).await;
    place.step(replay_id(1), STEP_MAX, NOW + MINUTE).await.expect("taken");
    let room = place.room().await;

    place.expunge_payload(acme(), events(1)[0].id).await.expect("forgotten");

    assert_eq!(place.room().await, room + 1);
}

#[tokio::test]
async fn thousands_that_went_well_do_not_hide_that_none_does_now() {
    let place = Place::new();
    place.have_active("a", &[], &[]).await;
    place.with_given_up(&events(1_300), |_| false).await;
    place.have_begun(of_a_dead()).await;
    place.take_all().await;
    let due = overdue(NOW + MINUTE, LONG_AGO);
    let claimed = place.claim(due, NOW + 2 * MINUTE, 2_000).await.expect("claimed");
    assert_eq!(claimed.len(), 1_300);
    let judged = async || {
        let pulse = place.pulse(replay_id(1), NOW + MINUTE).await.expect("read");
        pulse.judge(Rate::default(), 1)
    };
    let (good, bad) = claimed.split_at(1_000);
    // As a router records them: some at a time.
    for batch in good.chunks(50) {
        let ends = batch.iter().map(|one| delivered(one.key(), one.turn.0));
        place.record(ends.collect()).await.expect("recorded");
        assert_ne!(judged().await, Judgement::Failing);
    }

    let mut failures = 0;
    for batch in bad.chunks(50) {
        failures += batch.len();
        let ends = batch.iter().map(|one| failed(one.key(), one.turn.0));
        place.record(ends.collect()).await.expect("recorded");
        if judged().await == Judgement::Failing {
            break;
        }
    }
    assert!((100..=250).contains(&failures), "found out after {failures}");
}

#[tokio::test]
async fn what_dies_when_the_newest_dead_letter_has_gone_is_not_in_a_replay_begun_before() {
    let place = Place::new();
    place.have_active("a", &[], &[]).await;
    let (events, late) = (events(3), event("late"));
    place.with_given_up(&events, |_| false).await;
    place.have_begun(of_a_dead()).await;

    place.expunge_payload(acme(), events[2].id).await.expect("forgotten, and its dead letter");
    place.accept(vec![owed(&late, &["a"])]).await.expect("accepted");
    place.settle(given_up(key(&late, "a"), 0)).await;

    assert_eq!(place.take_all().await.1, 2);
    assert_eq!(place.stands(&late).await.expect("owed").state, DeliveryState::Dead);
}

#[tokio::test]
async fn one_application_cannot_have_all_the_replays_that_there_may_be() {
    let place = Place::new();
    for number in 0..=ACTIVE_MAX_OF_APPLICATION {
        place.have_active(&number.to_string(), &[], &[]).await;
    }
    let one =
        |number: u32| of(replay_id(number), Scope::GivenUp, endpoint_id(&number.to_string()), NOW);
    for number in 0..ACTIVE_MAX_OF_APPLICATION {
        place.have_begun(one(number)).await;
    }

    let refused = place.begin(one(ACTIVE_MAX_OF_APPLICATION), NOW + MINUTE).await;

    let Err(StorageError::Conflict(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("8 replays of this application are running or paused"), "{why}");
    // Whoever looks after all applications still can.
    let all = Selection::DeadLetters(DeadLetterFilter::default());
    place.have_begun(NewReplay { selection: all, ..of_a_dead_by_number(99) }).await;
}

#[tokio::test]
async fn what_has_expired_is_counted_as_such_and_left_where_it_is() {
    for scope in [Scope::DeadLetters, Scope::GivenUp] {
        let place = Place::new();
        place.have_active("a", &[], &[]).await;
        let mut events = events(5);
        for event in &mut events[..2] {
            let over = Event { expires_at: Some(NOW + 30 * SECOND), ..event.as_ref().clone() };
            *event = Arc::new(over);
        }
        place.with_given_up(&events, |_| false).await;
        let begun = place.have_begun(of_a(1, scope)).await;

        let preview = place.preview(begun.organisation, &begun.selection, None, NOW + MINUTE).await;
        let preview = preview.expect("counted");
        assert_eq!((preview.matched, preview.replayable()), (Some(5), 3), "{scope:?}");
        assert_eq!(preview.not_replayable, [(Obstacle::Expired, 2)], "{scope:?}");
        assert_eq!((place.take_all().await.1, place.found(1).await.skipped), (3, 2), "{scope:?}");
        assert_eq!(place.books().await.expect("books").dead, 2);
    }
}
