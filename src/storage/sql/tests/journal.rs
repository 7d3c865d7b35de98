//! The pipeline's half.

use super::*;
use crate::domain::delivery::{Fence, Holder};
use crate::storage::dead_letters::DeadLetterFilter;
use crate::storage::journal::{Acceptance, Ledger};

fn held(held_by: Holder, due_at: Timestamp) -> DeliveryState {
    DeliveryState::Waiting { due_at, held_by }
}

#[tokio::test]
async fn an_accepted_event_owes_a_pending_delivery_to_each_endpoint() {
    let place = Place::new();
    let event = event("run-7");

    let answers = place.accept(vec![owed(&event, &["a", "b"])]).await;

    assert_eq!(answers, Ok(vec![Acceptance::New]));
    let keys = vec![key(&event, "a"), key(&event, "b"), key(&event, "c")];
    let pending = Some(standing(0, 0, DeliveryState::Pending));
    assert_eq!(place.standings(keys).await, Ok(vec![pending, pending, None]));
}

#[tokio::test]
async fn the_same_event_twice_in_one_batch_is_new_once_and_known_once() {
    let place = Place::new();
    let event = event("run-7");

    let batch = vec![owed(&event, &["a"]), owed(&event, &["a", "late"])];
    let answers = place.accept(batch).await.expect("accepted");

    let pending = standing(0, 0, DeliveryState::Pending);
    let known = Acceptance::Known(vec![(endpoint_id("a"), pending)]);
    assert_eq!(answers, [Acceptance::New, known]);
    assert_eq!(place.books().await.expect("books").owed, 1, "nothing was written for the second");
}

#[tokio::test]
async fn a_known_event_is_answered_with_how_its_deliveries_stand_now() {
    let place = Place::new();
    let event = place.owe("run-7", &["a"]).await;
    place.settle(failed(key(&event, "a"), 0)).await;

    let answers = place.accept(vec![owed(&event, &["a"])]).await.expect("accepted");

    let stands = standing(1, 1, held(Holder::Router, NOW + 5 * SECOND));
    assert_eq!(answers, [Acceptance::Known(vec![(endpoint_id("a"), stands)])]);
}

#[tokio::test]
async fn an_event_that_nobody_wants_is_kept_and_known() {
    let place = Place::new();
    let event = place.owe("run-7", &[]).await;

    assert_eq!(place.accept(vec![owed(&event, &["a"])]).await, Ok(vec![Acceptance::Known(vec![])]));
}

#[tokio::test]
async fn an_event_reads_back_as_it_was_accepted() {
    let place = Place::new();
    let event = place.owe("run-7", &[]).await;

    let read = Ledger::event(&place.store, event.id).await.expect("read").expect("there");

    assert_eq!(format!("{read:?}"), format!("{event:?}"));
    let other = EventId::derived(&[b"other"]);
    assert!(Ledger::event(&place.store, other).await.expect("read").is_none());
}

#[tokio::test]
async fn each_settlement_moves_the_turn_and_says_where_the_delivery_is() {
    let soon = NOW + 5 * SECOND;
    let busy = Settlement::Postpone(Due::exactly(soon), Postponed::Busy);
    let on_hold = Settlement::Postpone(Due::exactly(Timestamp::NEVER), Postponed::Paused);
    let jittered = Settlement::Retry(Due { at: soon, earliest: NOW });
    let dead = Settlement::DeadLetter(DeathReason::Gone);
    let table = [
        (Settlement::Delivered, DeliveryState::Delivered),
        (jittered, held(Holder::Router, soon)),
        (busy, held(Holder::Router, soon)),
        (on_hold, held(Holder::Journal, Timestamp::NEVER)),
        (dead, DeliveryState::Dead),
        (Settlement::Cancelled, DeliveryState::Cancelled),
        (Settlement::Drop(DeathReason::Refused), DeliveryState::Dropped),
        (Settlement::LetGo, DeliveryState::Unknown),
    ];
    for (settlement, state) in table {
        let place = Place::new();
        let event = place.owe("run-7", &["a"]).await;
        let key = key(&event, "a");

        let recorded = place.settle(settled(key, 0, Some(FAILURE), settlement)).await;

        assert_eq!(recorded, Recorded::Now, "{settlement:?}");
        assert_eq!(place.standing(key).await, standing(1, 1, state), "{settlement:?}");
        assert_eq!(place.books().await.expect("books").unaccounted(), 0, "{settlement:?}");
    }
}

#[tokio::test]
async fn the_policy_of_the_last_attempt_is_kept_whole_and_each_version_once() {
    let place = Place::new();
    let event = place.owe("run-7", &["a", "b"]).await;
    let slow: Arc<Resolved> = Arc::new(Policy { timeout_ms: 30_000, ..Policy::default() }.into());
    let by = |settled: Settled, policy: &Arc<Resolved>| Settled {
        attempt: settled.attempt.map(|one| Attempt { policy: Arc::clone(policy), ..one }),
        ..settled
    };
    let usual = Arc::default();

    let key_a = key(&event, "a");
    let batch = vec![
        by(failed(key_a, 0), &usual),
        by(failed(key_a, 1), &slow),
        settled(key_a, 2, None, Settlement::Cancelled),
        by(delivered(key(&event, "b"), 0), &usual),
    ];
    place.record(batch).await.expect("recorded");

    let kept = |endpoint: &str| -> String {
        let sql = "SELECT p.policy FROM deliveries d JOIN policies p ON p.version = d.policy \
                   JOIN endpoints e ON e.id = d.endpoint WHERE e.uid = ";
        place.ask(&format!("{sql}'{endpoint}'"))
    };
    for (endpoint, policy) in [("a", &slow), ("b", &usual)] {
        let read: Policy = serde_json::from_str(&kept(endpoint)).expect("JSON");
        assert_eq!(&read, policy.policy(), "{endpoint}");
    }
    let versions: i64 = place.ask("SELECT count(*) FROM policies");
    assert_eq!(versions, 2);
}

#[tokio::test]
async fn a_turn_is_settled_once() {
    let place = Place::new();
    let event = place.owe("run-7", &["a"]).await;
    let key = key(&event, "a");

    let answers = place.record(vec![failed(key, 0), given_up(key, 0), failed(key, 1)]).await;

    assert_eq!(answers, Ok(vec![Recorded::Now, Recorded::Stale, Recorded::Now]));
    assert_eq!(place.standing(key).await.turn, Turn(2));
    assert_eq!(place.standing(key).await.judge(Turn(1)), Fence::TakeOver);
}

#[tokio::test]
async fn a_success_is_recorded_also_when_its_turn_is_over() {
    let place = Place::new();
    let event = place.owe("run-7", &["a"]).await;
    let key = key(&event, "a");
    place.record(vec![failed(key, 0), failed(key, 1)]).await.expect("recorded");

    assert_eq!(place.settle(delivered(key, 0)).await, Recorded::Now);

    assert_eq!(place.standing(key).await, standing(3, 2, DeliveryState::Delivered));
}

#[tokio::test]
async fn what_is_final_stays_as_it_is() {
    for last in [
        settled(key(&event("run-7"), "a"), 0, None, Settlement::Cancelled),
        given_up(key(&event("run-7"), "a"), 0),
        delivered(key(&event("run-7"), "a"), 0),
    ] {
        let place = Place::new();
        let event = place.owe("run-7", &["a"]).await;
        let key = key(&event, "a");
        place.settle(last.clone()).await;
        let before = place.standing(key).await;

        let answers =
            place.record(vec![delivered(key, 0), delivered(key, 1), failed(key, 1)]).await;

        assert_eq!(answers, Ok(vec![Recorded::Stale; 3]), "{last:?}");
        assert_eq!(place.standing(key).await, before, "{last:?}");
        assert_eq!(place.books().await.expect("books").unaccounted(), 0);
    }
}

#[tokio::test]
async fn a_stale_settlement_leaves_its_request_in_the_record() {
    let place = Place::new();
    let event = place.owe("run-7", &["a"]).await;
    let key = key(&event, "a");
    place
        .settle(settled(key, 0, None, Settlement::Postpone(Due::exactly(NOW), Postponed::Busy)))
        .await;

    assert_eq!(place.settle(failed(key, 0)).await, Recorded::Stale);
    assert_eq!(place.settle(failed(key, 0)).await, Recorded::Stale, "the same call again");

    let attempts = place.attempts(key).await.expect("read");
    assert_eq!(attempts.len(), 1, "and once only");
}

#[tokio::test]
async fn a_copy_ahead_of_a_restored_journal_is_recorded() {
    let place = Place::new();
    let event = place.owe("run-7", &["a"]).await;
    let key = key(&event, "a");
    assert_eq!(place.standing(key).await.judge(Turn(4)), Fence::Attempt);

    assert_eq!(place.settle(failed(key, 4)).await, Recorded::Now);

    assert_eq!(place.standing(key).await.turn, Turn(5));
}

#[tokio::test]
async fn a_settlement_of_what_was_never_owed_is_stale() {
    let place = Place::new();
    assert_eq!(place.settle(failed(key(&event("unknown"), "a"), 0)).await, Recorded::Stale);
}

#[tokio::test]
async fn attempts_read_back_oldest_first() {
    let place = Place::new();
    let event = place.owe("run-7", &["a", "b"]).await;
    let (a, b) = (key(&event, "a"), key(&event, "b"));
    place.record(vec![failed(a, 0), failed(b, 0), delivered(a, 1)]).await.expect("recorded");

    let attempts = place.attempts(a).await.expect("read");

    let seen: Vec<_> =
        attempts.iter().map(|one| (one.number, one.status, one.outcome.as_str())).collect();
    assert_eq!(seen, [(1, 500, "server_error"), (2, 200, "success")]);
    assert_eq!(attempts[0].response, b"no");
    assert_eq!(attempts[0].detail, "the receiver said 500");
    assert_eq!(attempts[0].url, "https://a.example/hook");
    assert_eq!((attempts[0].started_at, attempts[0].duration_ms), (NOW, 120));
}

#[tokio::test]
async fn what_was_handed_on_is_held_by_the_ladder() {
    let place = Place::new();
    let event = place.owe("run-7", &["a", "b", "c"]).await;
    let [a, b, c] = ["a", "b", "c"].map(|name| key(&event, name));
    place.record(vec![failed(a, 0), failed(b, 0), paused(c, 0)]).await.expect("recorded");

    let noted = place.handed_on(vec![(a, Turn(1)), (b, Turn(0)), (c, Turn(1))]).await;

    assert_eq!(noted, Ok(()));
    let due = NOW + 5 * SECOND;
    assert_eq!(place.standing(a).await.state, held(Holder::Ladder, due));
    assert_eq!(place.standing(b).await.state, held(Holder::Router, due), "another turn");
    let never = held(Holder::Journal, Timestamp::NEVER);
    assert_eq!(place.standing(c).await.state, never, "the journal's own");
}

#[tokio::test]
async fn what_the_journal_holds_is_claimed_once_it_is_due() {
    let place = Place::new();
    let event = place.owe("run-7", &["a", "b"]).await;
    let (a, b) = (key(&event, "a"), key(&event, "b"));
    place.record(vec![paused(a, 0), paused(b, 0)]).await.expect("recorded");
    assert!(place.claim_due(NOW + 1_000 * SECOND).await.is_empty(), "paused");
    place.recall(endpoint_id("a"), NOW + 2 * SECOND).await.expect("recalled");
    place.recall(endpoint_id("b"), NOW + SECOND).await.expect("recalled");

    assert_eq!(place.claim_due(NOW + SECOND).await.len(), 1);
    place.restart_lease(b).await;
    let claimed = place.claim_due(NOW + 2 * SECOND).await;

    assert_eq!(claimed.iter().map(Delivery::key).collect::<Vec<_>>(), [b, a], "oldest due first");
    assert_eq!(claimed[0].event.payload, event.payload);
    assert!(Arc::ptr_eq(&claimed[0].event, &claimed[1].event), "one event is loaded once");
}

impl Place {
    /// Offers a claimed delivery again, as the end of its lease would.
    async fn restart_lease(&self, key: DeliveryKey) {
        let turn = self.standing(key).await.turn.0;
        self.settle(paused(key, turn)).await;
        self.recall(key.endpoint, NOW + SECOND).await.expect("recalled");
    }
}

#[tokio::test]
async fn a_claim_is_one_callers_until_its_lease_ends() {
    let place = Place::new();
    let event = place.owe("run-7", &["a"]).await;
    let key = key(&event, "a");
    place.settle(paused(key, 0)).await;
    place.recall(key.endpoint, NOW).await.expect("recalled");

    let first = place.claim_due(NOW).await;
    assert_eq!(first[0].turn, place.standing(key).await.turn, "the turn that is claimed");
    assert_eq!(first[0].turn, Turn(3));
    assert!(place.claim_due(NOW + 59 * SECOND).await.is_empty());

    let second = place.claim_due(NOW + 60 * SECOND).await;
    assert_eq!(second[0].turn, Turn(4));
    assert_eq!(place.settle(failed(key, 3)).await, Recorded::Stale, "the first claimer is late");
    assert_eq!(place.settle(failed(key, 4)).await, Recorded::Now);
}

#[tokio::test]
async fn what_a_router_left_lying_can_be_claimed_and_later_what_the_ladder_has_lost() {
    let place = Place::new();
    let event = place.owe("run-7", &["a", "b"]).await;
    let (a, b) = (key(&event, "a"), key(&event, "b"));
    place.record(vec![failed(a, 0), failed(b, 0)]).await.expect("recorded");
    place.handed_on(vec![(b, Turn(1))]).await.expect("noted");
    let due = NOW + 5 * SECOND;

    let claim = async |abandoned_before, lost_before| {
        let overdue = Overdue { due_by: NOW, abandoned_before, ..overdue(LONG_AGO, LONG_AGO) };
        let overdue = Overdue { lost_before, ..overdue };
        place.claim(overdue, NOW + 60 * SECOND, 10).await.expect("claimed")
    };
    assert!(claim(due, due).await.is_empty(), "neither abandoned nor lost yet");
    let abandoned = claim(due + SECOND, due).await;
    let lost = claim(due + SECOND, due + SECOND).await;

    assert_eq!(abandoned.iter().map(Delivery::key).collect::<Vec<_>>(), [a]);
    assert_eq!((abandoned[0].turn, abandoned[0].attempts), (Turn(2), 1));
    assert_eq!(lost.iter().map(Delivery::key).collect::<Vec<_>>(), [b]);
    assert_eq!(place.standing(b).await.judge(Turn(1)), Fence::Drop, "its copy is of an old turn");
}

#[tokio::test]
async fn what_is_pending_and_forgotten_can_be_claimed_and_the_books_still_balance() {
    let place = Place::new();
    let event = place.owe("run-7", &["a"]).await;
    let claim = async |forgotten_before| {
        let overdue = Overdue {
            due_by: NOW,
            abandoned_before: LONG_AGO,
            lost_before: LONG_AGO,
            forgotten_before,
            replayed: true,
        };
        place.claim(overdue, NOW + 60 * SECOND, 10).await.expect("claimed")
    };
    assert!(claim(event.received_at).await.is_empty(), "not forgotten yet");
    let claimed = claim(event.received_at + SECOND).await;

    assert_eq!(claimed.iter().map(Delivery::key).collect::<Vec<_>>(), [key(&event, "a")]);
    assert_eq!(claimed[0].turn, Turn(1));
    let books = place.books().await.expect("read");
    assert_eq!((books.pending, books.waiting, books.unaccounted()), (0, 1, 0));
}

#[tokio::test]
async fn what_is_refused_as_paused_when_its_endpoint_was_resumed_meanwhile_is_due_at_once() {
    let place = Place::new();
    let event = place.owe("run-7", &["a"]).await;
    let active = EndpointState::Active;
    place.set_endpoint_state(acme(), endpoint_id("a"), active, None, NOW).await.expect("resumed");
    place.settle(paused(key(&event, "a"), 0)).await;

    let DeliveryState::Waiting { due_at, held_by } = place.standing(key(&event, "a")).await.state
    else {
        panic!("it waits")
    };
    assert_eq!(held_by, Holder::Journal);
    assert!(due_at < Timestamp::NEVER);
}

#[tokio::test]
async fn a_claim_takes_no_more_than_its_limit() {
    let place = Place::new();
    for name in ["1", "2", "3"] {
        let event = place.owe(name, &["a"]).await;
        place.settle(paused(key(&event, "a"), 0)).await;
    }
    place.recall(endpoint_id("a"), NOW).await.expect("recalled");

    let claim = || place.claim(overdue(NOW, LONG_AGO), NOW + SECOND, 2);
    assert_eq!(claim().await.expect("claimed").len(), 2);
    assert_eq!(claim().await.expect("claimed").len(), 1);
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let place = Place::new();
    let event = place.owe("run-7", &["a", "b", "c", "d"]).await;
    let keys = ["a", "b", "c", "d"].map(|name| key(&event, name));
    let [a, b, c, _] = keys;
    place.record(vec![delivered(a, 0), failed(b, 0), given_up(c, 0)]).await.expect("recorded");
    let before = (place.standings(keys.to_vec()).await, place.books().await);

    let place = place.restarted().await;

    assert_eq!((place.standings(keys.to_vec()).await, place.books().await), before);
    assert_eq!(place.attempts(a).await.expect("read").len(), 1);
    assert_eq!(
        place.dead_letters(&DeadLetterFilter::default(), None, 10).await.expect("read").len(),
        1
    );
    let again = place.accept(vec![owed(&event, &["a"])]).await.expect("accepted");
    assert!(matches!(again[0], Acceptance::Known(_)));
}
