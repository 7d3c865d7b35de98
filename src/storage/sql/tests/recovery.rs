//! What a broker had: looked for by index, and offered again once.

use super::super::recovery::{PENDING, WAITING};
use super::*;
use crate::storage::inbox::Publication;
use crate::storage::inbox::Publish as _;
use crate::storage::recovery::{Hands, InHand, Place as Where, Recovery};

async fn in_hand(place: &Place, hands: Hands) -> Vec<InHand> {
    place.in_hand(hands, Where::START, 100).await.expect("read")
}

async fn offer_all(place: &Place) -> u64 {
    let mut offered = 0;
    for hands in Hands::ALL {
        let lost = in_hand(place, hands).await;
        offered += place.offer_again(lost, NOW).await.expect("offered");
    }
    offered
}

#[tokio::test]
async fn what_each_had_in_hand_is_offered_at_its_next_turn_and_never_early() {
    let place = Place::new();
    let event = place.owe("run-7", &["inbox", "router", "ladder", "once", "done", "people"]).await;
    let to = |name: &str| key(&event, name);
    place.settle(failed(to("router"), 0)).await;
    place.settle(failed(to("ladder"), 0)).await;
    place.handed_on(vec![(to("ladder"), Turn(1))]).await.expect("noted");
    place.settle(settled(to("once"), 0, Some(Outcome::Unknown), Settlement::LetGo)).await;
    place.settle(delivered(to("done"), 0)).await;
    place.settle(paused(to("people"), 0)).await;

    assert_eq!(offer_all(&place).await, 3);

    let later = NOW + 5 * SECOND;
    let held = |due_at| DeliveryState::Waiting { due_at, held_by: Holder::Journal };
    assert_eq!(place.standing(to("inbox")).await, standing(1, 0, held(NOW)));
    assert_eq!(place.standing(to("router")).await, standing(2, 1, held(later)));
    assert_eq!(place.standing(to("ladder")).await, standing(2, 1, held(later)));
    assert_eq!(place.standing(to("once")).await.state, DeliveryState::Unknown);
    assert_eq!(place.standing(to("done")).await.state, DeliveryState::Delivered);
    assert_eq!(place.standing(to("people")).await, standing(1, 0, held(Timestamp::NEVER)));
    assert_eq!(offer_all(&place).await, 0, "there is nothing left to be offered");
    let books = place.books().await.expect("books");
    assert_eq!((books.pending, books.waiting, books.unaccounted()), (0, 4, 0));
}

#[tokio::test]
async fn what_moved_on_behind_the_look_stays_as_it_is() {
    let place = Place::new();
    let event = place.owe("run-7", &["a"]).await;
    let lost = in_hand(&place, Hands::Inbox).await;
    place.settle(failed(key(&event, "a"), 0)).await;

    assert_eq!(place.offer_again(lost, NOW).await, Ok(0));
    assert_eq!(place.standing(key(&event, "a")).await.turn, Turn(1));
}

#[tokio::test]
async fn what_its_producer_wants_later_is_due_then() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let wanted = NOW + 3_600 * SECOND;
    let event = Arc::new(Event { deliver_at: Some(wanted), ..event("run-7").as_ref().clone() });
    place.accept(vec![owed(&event, &["a"])]).await.expect("accepted");

    assert_eq!(offer_all(&place).await, 1);

    let due = DeliveryState::Waiting { due_at: wanted, held_by: Holder::Journal };
    assert_eq!(place.standing(key(&event, "a")).await.state, due);
}

#[tokio::test]
async fn a_look_goes_on_behind_its_place() {
    let place = Place::new();
    for name in ["one", "two", "three"] {
        let event = place.owe(name, &["a", "b"]).await;
        place.settle(failed(key(&event, "b"), 0)).await;
    }
    for hands in [Hands::Inbox, Hands::Router] {
        let (mut behind, mut seen) = (Where::START, Vec::new());
        loop {
            let found = place.in_hand(hands, behind, 2).await.expect("read");
            let Some(last) = found.last() else { break };
            behind = last.place;
            seen.extend(found);
        }
        assert_eq!(seen, in_hand(&place, hands).await, "{hands:?}");
        assert_eq!(seen.len(), 3, "{hands:?}");
    }
}

#[tokio::test]
async fn what_was_published_and_never_came_is_noted_until_it_is_accepted_or_put_away() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let publisher = place.publisher(Arc::new(|| NOW));
    let named = |name: &str| Publication {
        application: "acme".into(),
        event_type: "job.completed".into(),
        event_id: name.into(),
        payload: Bytes::from_static(b"{}"),
        ..Publication::default()
    };
    publisher.publish(&[named("one"), named("two")]).await.expect("published");

    let noted = place.noted(i64::MIN, 100).await.expect("read");
    assert_eq!(noted.len(), 2);
    assert_eq!(place.noted(noted[0].number, 100).await.expect("read").len(), 1);
    let first = Arc::new(noted[0].event.clone());
    place.accept(vec![owed(&first, &["a"])]).await.expect("accepted");
    let gone = crate::domain::event::Rejection::UnknownApplication("acme".into());
    let both = noted.into_iter().map(|one| (one.event.id, gone.clone())).collect();
    place.put_away(both, NOW).await.expect("put away");

    assert!(place.noted(i64::MIN, 100).await.expect("read").is_empty());
    assert_eq!(in_hand(&place, Hands::Inbox).await.len(), 1, "what was accepted is owed");
}

#[test]
fn it_is_looked_for_by_the_indexes_on_what_is_unfinished() {
    let place = Place::on_file();
    let connection = place.file();
    for (sql, index) in [
        (PENDING, "USING INDEX deliveries_pending ((event,endpoint)>(?,?))"),
        (WAITING, "USING INDEX deliveries_waiting (held_by=? AND (due_at,event,endpoint)>(?,?,?))"),
    ] {
        let plan = long_history::plan(&connection, sql).join("\n");
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{sql}:\n{plan}");
    }
}
