//! The people's half.

use super::*;
use crate::domain::dead_letter::StatusIs;
use crate::domain::delivery::Holder;
use crate::domain::id::{DeliveryId, OrganisationId};
use crate::storage::StorageError;
use crate::storage::dead_letters::DeadLetterFilter;
use crate::storage::journal::{Books, Ledger, ReplayCount};

fn everything() -> DeadLetterFilter {
    DeadLetterFilter::default()
}

impl Place {
    /// Events with these names and types, all given up for endpoint `a`, a second apart.
    async fn with_dead(names: &[(&str, &str)]) -> (Self, Vec<DeliveryKey>) {
        let place = Self::new();
        place.have_endpoint("a").await;
        let mut keys = Vec::new();
        for (second, (name, event_type)) in (0_u32..).zip(names) {
            let event = typed_event(name, event_type);
            place.accept(vec![owed(&event, &["a"])]).await.expect("accepted");
            let key = key(&event, "a");
            place.settle(Settled { at: NOW + second * SECOND, ..given_up(key, 0) }).await;
            keys.push(key);
        }
        (place, keys)
    }

    async fn ids(&self, filter: &DeadLetterFilter) -> Vec<DeliveryId> {
        let found = self.dead_letters(filter, None, 100).await.expect("read");
        let counted = self.count_dead_letters(filter).await.expect("counted");
        assert_eq!(counted, found.len() as u64, "{filter:?}");
        found.into_iter().map(|letter| letter.id).collect()
    }
}

#[tokio::test]
async fn a_dead_letter_says_what_died_and_why() {
    let (place, keys) = Place::with_dead(&[("run-7", "job.failed")]).await;

    let found = place.dead_letters(&everything(), None, 10).await.expect("read");

    let [letter] = found.as_slice() else { panic!("one is there: {found:?}") };
    assert_eq!((letter.id, letter.key), (keys[0].id(), keys[0]));
    assert_eq!(letter.application, application("acme").id);
    assert_eq!(
        (letter.event_type.as_str(), letter.subject.as_deref()),
        ("job.failed", Some("job-1"))
    );
    assert_eq!((letter.reason, letter.attempts), (DeathReason::AttemptsExhausted, 1));
    assert_eq!((letter.last_status, letter.last_outcome.as_str()), (500, "server_error"));
    assert_eq!(letter.last_detail, "the receiver said 500");
    assert_eq!(letter.died_at, NOW);
}

#[tokio::test]
async fn what_died_without_a_request_says_so() {
    let place = Place::new();
    let event = place.owe("run-7", &["a"]).await;
    let expired = Settlement::DeadLetter(DeathReason::Expired);
    place.settle(settled(key(&event, "a"), 0, None, expired)).await;

    let found = place.dead_letters(&everything(), None, 10).await.expect("read");

    assert_eq!((found[0].last_status, found[0].last_outcome.as_str()), (0, "none"));
    assert_eq!(found[0].reason, DeathReason::Expired);
}

#[tokio::test]
async fn dead_letters_are_listed_newest_first_page_by_page() {
    let names = [("1", "job.a"), ("2", "job.a"), ("3", "job.a"), ("4", "job.a"), ("5", "job.a")];
    let (place, keys) = Place::with_dead(&names).await;
    let mut expected: Vec<_> = keys.iter().map(DeliveryKey::id).collect();
    expected.reverse();

    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = place.dead_letters(&everything(), after, 2).await.expect("read");
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        seen.extend(page.iter().map(|letter| letter.id));
    }
    assert_eq!(seen, expected);

    place.replay(&everything(), NOW).await.expect("replayed");
    let gone = place.dead_letters(&everything(), Some(expected[0]), 2).await;
    assert!(matches!(gone, Err(StorageError::Conflict(_))), "the list cannot be continued");
}

#[tokio::test]
async fn what_each_condition_finds() {
    let names = [("1", "job.failed"), ("2", "jobs.failed"), ("3", "job.step.done")];
    let (place, keys) = Place::with_dead(&names).await;
    let [one, two, three] = [keys[0].id(), keys[1].id(), keys[2].id()];
    let pattern = |text: &str| Some(text.parse().expect("a pattern"));
    let nobody = Some(endpoint_id("nobody"));
    let error = |word: &str| Some(word.parse().expect("a word"));
    let ours = Some(application("acme").organisation);
    let others = Some(OrganisationId::derived(&[b"others"]));
    let table = [
        (everything(), vec![three, two, one]),
        (DeadLetterFilter { ids: vec![one, three], ..everything() }, vec![three, one]),
        (
            DeadLetterFilter { application: Some(application("acme").id), ..everything() },
            vec![three, two, one],
        ),
        (DeadLetterFilter { application: Some(application("other").id), ..everything() }, vec![]),
        (
            DeadLetterFilter { endpoint: Some(endpoint_id("a")), ..everything() },
            vec![three, two, one],
        ),
        (DeadLetterFilter { endpoint: nobody, ..everything() }, vec![]),
        (DeadLetterFilter { event_type: pattern("*"), ..everything() }, vec![three, two, one]),
        (DeadLetterFilter { event_type: pattern("job.*"), ..everything() }, vec![three, one]),
        (DeadLetterFilter { event_type: pattern("jobs.failed"), ..everything() }, vec![two]),
        (DeadLetterFilter { reason: Some(DeathReason::Gone), ..everything() }, vec![]),
        (
            DeadLetterFilter { status: Some(StatusIs::Code(500)), ..everything() },
            vec![three, two, one],
        ),
        (DeadLetterFilter { status: Some(StatusIs::Code(404)), ..everything() }, vec![]),
        (
            DeadLetterFilter { status: Some(StatusIs::Class(5)), ..everything() },
            vec![three, two, one],
        ),
        (DeadLetterFilter { status: Some(StatusIs::Class(4)), ..everything() }, vec![]),
        (DeadLetterFilter { error: error("server_error"), ..everything() }, vec![three, two, one]),
        (DeadLetterFilter { error: error("timeout"), ..everything() }, vec![]),
        (DeadLetterFilter { text: Some("JOBS.".into()), ..everything() }, vec![two]),
        (DeadLetterFilter { text: Some("%".into()), ..everything() }, vec![]),
        (DeadLetterFilter { subject: Some("nobody".into()), ..everything() }, vec![]),
        (DeadLetterFilter { organisation: ours, ..everything() }, vec![three, two, one]),
        (DeadLetterFilter { organisation: others, ..everything() }, vec![]),
        (DeadLetterFilter { since: Some(NOW + SECOND), ..everything() }, vec![three, two]),
        (DeadLetterFilter { until: Some(NOW + SECOND), ..everything() }, vec![one]),
        (
            DeadLetterFilter {
                since: Some(NOW + SECOND),
                event_type: pattern("job.*"),
                ..everything()
            },
            vec![three],
        ),
    ];
    for (filter, expected) in table {
        assert_eq!(place.ids(&filter).await, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn a_replay_offers_what_matches_with_its_attempts_beginning_anew() {
    let (place, keys) = Place::with_dead(&[("1", "job.a"), ("2", "job.b")]).await;
    let only_a =
        DeadLetterFilter { event_type: Some("job.a".parse().expect("a type")), ..everything() };

    assert_eq!(place.replay(&only_a, NOW).await, Ok(1));

    let held = DeliveryState::Waiting { due_at: NOW, held_by: Holder::Journal };
    assert_eq!(place.standing(keys[0]).await, standing(2, 0, held));
    assert_eq!(place.standing(keys[1]).await.state, DeliveryState::Dead);
    assert_eq!(place.ids(&everything()).await, [keys[1].id()]);
    let books = place.books().await.expect("books");
    assert_eq!(books, Books { owed: 2, waiting: 1, dead: 1, ..Books::default() });
    let claimed = place.claim_due(NOW).await;
    assert_eq!((claimed[0].turn, claimed[0].attempts), (Turn(3), 0));
    assert_eq!(place.replay(&only_a, NOW).await, Ok(0), "once");
}

#[tokio::test]
async fn what_was_replayed_can_die_and_be_replayed_again() {
    let (place, keys) = Place::with_dead(&[("1", "job.a")]).await;
    place.replay(&everything(), NOW).await.expect("replayed");
    let claimed = place.claim_due(NOW).await;

    assert_eq!(place.settle(given_up(keys[0], claimed[0].turn.0)).await, Recorded::Now);

    assert_eq!(place.ids(&everything()).await, [keys[0].id()]);
    assert_eq!(place.replay(&everything(), NOW).await, Ok(1));
}

#[tokio::test]
async fn a_replay_leaves_what_belongs_to_a_deleted_or_disabled_endpoint() {
    let place = Place::new();
    let event = place.owe("1", &["a", "off", "gone", "paused"]).await;
    for name in ["a", "off", "gone", "paused"] {
        place.settle(given_up(key(&event, name), 0)).await;
    }
    let set = |name, state| place.set_endpoint_state(acme(), endpoint_id(name), state, None, NOW);
    set("off", EndpointState::Disabled).await.expect("set");
    set("paused", EndpointState::Paused).await.expect("set");
    place.delete_endpoint(acme(), endpoint_id("gone"), NOW).await.expect("deleted");

    let count = place.count_replay(&everything()).await.expect("counted");
    assert_eq!((count.total(), count.without_endpoint), (2, 2));
    assert_eq!(place.replay(&everything(), NOW).await, Ok(2));

    let left = place.count_replay(&everything()).await.expect("counted");
    assert_eq!(left, ReplayCount { without_endpoint: 2, ..ReplayCount::default() });
    assert_eq!(place.standing(key(&event, "off")).await.state, DeliveryState::Dead);
    assert_eq!(place.standing(key(&event, "gone")).await.state, DeliveryState::Dead);
}

#[tokio::test]
async fn a_replay_is_counted_before_it_is_done() {
    let place = Place::new();
    for (second, (name, endpoints)) in
        (0_u32..).zip([("1", &["a", "b"][..]), ("2", &["b"]), ("3", &["b"])])
    {
        let event = place.owe(name, endpoints).await;
        for endpoint in endpoints {
            let at = NOW + second * SECOND;
            place.settle(Settled { at, ..given_up(key(&event, endpoint), 0) }).await;
        }
    }

    let count = place.count_replay(&everything()).await.expect("counted");

    assert_eq!(count.by_endpoint, [(endpoint_id("b"), 3), (endpoint_id("a"), 1)]);
    assert_eq!(count.bytes, 4 * 18);
    assert_eq!(count.span, Some((NOW, NOW + 2 * SECOND)));
}

#[tokio::test]
async fn a_recall_offers_what_waits_and_the_old_copies_are_recognised() {
    let place = Place::new();
    let [on_ladder, on_hold, in_memory, pending] = {
        let mut keys = Vec::new();
        for name in ["1", "2", "3", "4"] {
            keys.push(key(&*place.owe(name, &["a", "b"]).await, "a"));
        }
        [keys[0], keys[1], keys[2], keys[3]]
    };
    let other = DeliveryKey { endpoint: endpoint_id("b"), ..on_ladder };
    let batch =
        vec![failed(on_ladder, 0), paused(on_hold, 0), failed(in_memory, 0), paused(other, 0)];
    place.record(batch).await.expect("recorded");
    place.handed_on(vec![(on_ladder, Turn(1))]).await.expect("noted");

    assert_eq!(place.recall(endpoint_id("a"), NOW).await, Ok(2));

    let offered = DeliveryState::Waiting { due_at: NOW, held_by: Holder::Journal };
    assert_eq!(place.standing(on_ladder).await, standing(2, 1, offered));
    assert_eq!(place.standing(on_hold).await, standing(2, 0, offered));
    assert_eq!(place.standing(in_memory).await.turn, Turn(1), "it goes on by itself");
    assert_eq!(place.standing(pending).await.turn, Turn(0));
    assert_eq!(place.standing(other).await.turn, Turn(1), "another endpoint's");
    assert_eq!(place.settle(failed(on_ladder, 1)).await, Recorded::Stale);
    assert_eq!(place.recall(endpoint_id("a"), NOW).await, Ok(0), "it is on offer already");
}

#[tokio::test]
async fn a_recall_leaves_what_somebody_has_claimed() {
    let place = Place::new();
    let event = place.owe("1", &["a"]).await;
    place.settle(paused(key(&event, "a"), 0)).await;
    place.recall(endpoint_id("a"), NOW).await.expect("recalled");
    let claimed = place.claim_due(NOW).await;

    assert_eq!(place.recall(endpoint_id("a"), NOW + SECOND).await, Ok(0));

    assert_eq!(place.settle(delivered(key(&event, "a"), claimed[0].turn.0)).await, Recorded::Now);
}

#[tokio::test]
async fn what_is_cancelled_is_taken_back_for_good() {
    let place = Place::new();
    let mut keys = Vec::new();
    for name in ["1", "2", "3", "4"] {
        keys.push(key(&*place.owe(name, &["a"]).await, "a"));
    }
    let batch = vec![failed(keys[0], 0), delivered(keys[1], 0), given_up(keys[2], 0)];
    place.record(batch).await.expect("recorded");

    assert_eq!(place.cancel(endpoint_id("a"), NOW).await, Ok(2));

    assert_eq!(place.standing(keys[0]).await, standing(2, 1, DeliveryState::Cancelled));
    assert_eq!(place.standing(keys[1]).await.state, DeliveryState::Delivered);
    assert_eq!(place.standing(keys[2]).await.state, DeliveryState::Dead);
    assert_eq!(place.standing(keys[3]).await, standing(1, 0, DeliveryState::Cancelled));
    assert_eq!(place.settle(delivered(keys[3], 0)).await, Recorded::Stale);
    let books = place.books().await.expect("books");
    assert_eq!(books, Books { owed: 4, delivered: 1, dead: 1, cancelled: 2, ..Books::default() });
}

#[tokio::test]
async fn more_than_one_step_is_moved_in_steps_and_completely() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let events: Vec<_> = (0..1_200).map(|n| event(&format!("run-{n}"))).collect();
    let keys: Vec<_> = events.iter().map(|event| key(event, "a")).collect();
    place.accept(events.iter().map(|event| owed(event, &["a"])).collect()).await.expect("accepted");
    place.record(keys.iter().map(|key| given_up(*key, 0)).collect()).await.expect("recorded");

    assert_eq!(place.replay(&everything(), NOW).await, Ok(1_200));
    let claimed = place.claim(overdue(NOW, LONG_AGO), NOW + SECOND, 2_000).await.expect("claimed");
    assert_eq!(claimed.len(), 1_200);
    let paused = claimed.iter().map(|one| paused(one.key(), one.turn.0)).collect();
    place.record(paused).await.expect("recorded");
    assert_eq!(place.recall(endpoint_id("a"), NOW).await, Ok(1_200));
    assert_eq!(place.cancel(endpoint_id("a"), NOW).await, Ok(1_200));

    let books = place.books().await.expect("books");
    assert_eq!(books, Books { owed: 1_200, cancelled: 1_200, ..Books::default() });
}
