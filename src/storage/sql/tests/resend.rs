//! Attempts that people ask for: outside the turns, and done with in the transaction that keeps them.

use super::*;
use crate::storage::dead_letters::DeadLetterFilter;
use crate::storage::inbox::{Publication, Publish as _};
use crate::storage::journal::{Ledger as _, Resend};

const MINUTE: Duration = Duration::from_mins(1);

/// What came of the attempt that this request was for.
fn by_hand(resend: &Resend, outcome: Outcome, settlement: Settlement) -> Settled {
    let Delivery { turn, .. } = resend.delivery;
    let settled = settled(resend.delivery.key(), turn.0, Some(outcome), settlement);
    Settled {
        trigger: Trigger::ByHand(resend.number),
        attempts: resend.delivery.attempts + 1,
        attempt: settled.attempt.map(|attempt| Attempt {
            id: AttemptId::derived(&[b"by hand", &resend.number.to_be_bytes()]),
            ..attempt
        }),
        ..settled
    }
}

const SUCCESS: Outcome = Outcome::Answered { status: 200, retry_after: None };

impl Place {
    /// Asks for an attempt, and claims it.
    async fn resent(&self, key: DeliveryKey) -> Resend {
        assert_eq!(self.resend(acme(), key, NOW).await, Ok(true));
        let mut claimed = self.claim_resends(NOW, NOW + MINUTE, 10).await.expect("claimed");
        assert_eq!(claimed.len(), 1);
        claimed.remove(0)
    }

    async fn asked(&self) -> usize {
        self.claim_resends(Timestamp::NEVER, Timestamp::NEVER, 10).await.expect("claimed").len()
    }

    async fn balanced(&self) {
        let books = self.books().await.expect("books");
        assert_eq!(books.unaccounted(), 0);
        let dead = self.count_dead_letters(&DeadLetterFilter::default()).await;
        assert_eq!(dead, Ok(books.dead));
    }
}

/// A delivery in each state that it can be in.
async fn in_each_state() -> Vec<(&'static str, Place, DeliveryKey)> {
    let mut places = Vec::new();
    for name in ["pending", "waiting", "delivered", "dead", "cancelled", "never owed"] {
        let place = Place::new();
        let owed_to: &[&str] = if name == "never owed" { &[] } else { &["a"] };
        let event = place.owe("run-7", owed_to).await;
        place.have_endpoint("a").await;
        let key = key(&event, "a");
        let so_far = match name {
            "waiting" => Some(failed(key, 0)),
            "delivered" => Some(delivered(key, 0)),
            "dead" => Some(given_up(key, 0)),
            "cancelled" => Some(settled(key, 0, None, Settlement::Cancelled)),
            _ => None,
        };
        if let Some(settled) = so_far {
            place.settle(settled).await;
        }
        places.push((name, place, key));
    }
    places
}

#[tokio::test]
async fn a_success_by_hand_delivers_whatever_had_become_of_the_delivery() {
    for (name, place, key) in in_each_state().await {
        let resend = place.resent(key).await;

        let recorded = place.settle(by_hand(&resend, SUCCESS, Settlement::Delivered)).await;

        let moved = if name == "delivered" { Recorded::Stale } else { Recorded::Now };
        assert_eq!(recorded, moved, "{name}");
        let now = place.standing(key).await;
        assert_eq!(now.state, DeliveryState::Delivered, "{name}");
        let turn = resend.delivery.turn;
        assert_eq!(
            now.turn > turn,
            name != "delivered",
            "{name}: old copies die, if there are any"
        );
        assert_eq!(place.asked().await, 0, "{name}: the request is done with");
        place.balanced().await;
    }
}

#[tokio::test]
async fn a_failure_by_hand_is_kept_and_moves_nothing() {
    for (name, place, key) in in_each_state().await {
        let resend = place.resent(key).await;
        let before = place.standing(key).await;

        let recorded = place.settle(by_hand(&resend, FAILURE, Settlement::Unchanged)).await;

        assert_eq!(recorded, Recorded::Stale, "{name}");
        assert_eq!(place.standing(key).await, before, "{name}");
        let kept = place.attempts(key).await.expect("read");
        assert!(
            kept.iter()
                .any(|one| one.id == AttemptId::derived(&[b"by hand", &1_i64.to_be_bytes()]))
        );
        let marked: i64 = place.ask("SELECT count(*) FROM attempts WHERE by_hand = 1");
        assert_eq!(marked, 1, "{name}");
        assert_eq!(place.asked().await, 0, "{name}: the request is done with");
        place.balanced().await;
    }
}

#[tokio::test]
async fn a_delivery_that_waits_goes_on_at_its_own_turn_behind_a_failure_by_hand() {
    let place = Place::new();
    let event = place.owe("run-7", &["a"]).await;
    let key = key(&event, "a");
    place.settle(failed(key, 0)).await;
    let resend = place.resent(key).await;
    place.settle(by_hand(&resend, FAILURE, Settlement::Unchanged)).await;

    assert_eq!(place.settle(failed(key, 1)).await, Recorded::Now, "its own second attempt");

    assert_eq!(place.standing(key).await.attempts, 2);
}

#[tokio::test]
async fn an_attempt_that_was_not_made_is_made_later() {
    let place = Place::new();
    let event = place.owe("run-7", &["a"]).await;
    let key = key(&event, "a");
    let resend = place.resent(key).await;
    assert!(place.claim_resends(NOW, NOW + MINUTE, 10).await.expect("claimed").is_empty());

    let later = Settlement::Postpone(Due::exactly(NOW + 5 * SECOND), Postponed::Busy);
    let refused = Settled { attempt: None, ..by_hand(&resend, FAILURE, later) };
    place.settle(refused).await;

    for (ms, count) in [(4_999, 0), (5_000, 1)] {
        let now = NOW + Duration::from_millis(ms);
        let claimed = place.claim_resends(now, now + MINUTE, 10).await.expect("claimed");
        assert_eq!(claimed.len(), count, "{ms} ms later");
    }
    place.put_off_resends(vec![resend.number], NOW + MINUTE).await.expect("put off");
    assert!(place.claim_resends(NOW + 59 * SECOND, NOW, 10).await.expect("claimed").is_empty());
}

#[tokio::test]
async fn who_dies_with_a_claim_has_it_made_once_more() {
    let place = Place::new();
    let event = place.owe("run-7", &["a"]).await;
    let key = key(&event, "a");
    place.resent(key).await;
    let again = place.claim_resends(NOW + MINUTE, NOW + 2 * MINUTE, 10).await.expect("claimed");
    assert_eq!(again.len(), 1, "when the lease has ended");

    let place = place.restarted().await;
    place.inbox(Arc::new(|| NOW + MINUTE)).await.expect("opened");
    let again = place.claim_resends(NOW + MINUTE, NOW + 2 * MINUTE, 10).await.expect("claimed");
    assert_eq!(again.len(), 1, "at once, when nobody else has the file");
}

#[tokio::test]
async fn only_its_own_tenant_can_ask_and_only_for_what_can_be_sent() {
    let place = Place::new();
    let event = place.owe("run-7", &["a"]).await;
    let key_to_a = key(&event, "a");
    let stranger = application("stranger");
    assert_eq!(place.resend(stranger.tenant(), key_to_a, NOW).await, Ok(false));
    assert_eq!(place.resend(acme(), key(&event, "nobody"), NOW).await, Ok(false));

    let published = Publication {
        application: "acme".into(),
        event_type: "job.completed".into(),
        event_id: "run-8".into(),
        payload: Bytes::from_static(b"{}"),
        ..Publication::default()
    };
    let fresh = published.event().expect("an event").of(application("acme").id, NOW);
    place.publisher(Arc::new(|| NOW)).publish(&[published]).await.expect("published");
    let early = place.resend(acme(), key(&fresh, "a"), NOW).await;
    assert!(
        matches!(&early, Err(StorageError::Conflict(why)) if why.contains("not routed yet")),
        "{early:?}"
    );

    place.say("UPDATE events SET payload = substr(payload, 1, 0)"); // as expunging does
    let empty = place.resend(acme(), key_to_a, NOW).await;
    assert!(
        matches!(&empty, Err(StorageError::Conflict(why)) if why.contains("was deleted")),
        "{empty:?}"
    );
}

#[tokio::test]
async fn an_attempt_for_an_event_that_is_not_kept_any_more_is_forgotten() {
    let place = Place::new();
    let event = place.owe("run-7", &["a"]).await;
    let key = key(&event, "a");
    assert_eq!(place.resend(acme(), key, NOW).await, Ok(true));
    place.say("DELETE FROM deliveries; DELETE FROM events"); // as retention does

    assert!(place.claim_resends(NOW, NOW + MINUTE, 10).await.expect("claimed").is_empty());
    assert_eq!(place.asked().await, 0);
}
