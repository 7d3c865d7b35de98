//! What the journal keeps meanwhile: for endpoints that take too long, and for those that are not called for now.

use std::time::Duration;

use posthaste::domain::delivery::{Delivery, DeliveryState, Holder, Turn};
use posthaste::domain::retry::Due;
use posthaste::domain::settlement::{Postponed, Settlement};
use posthaste::domain::time::Timestamp;
use posthaste::storage::journal::{Overdue, Recorded, Settled};

use crate::bench::{Bench, delivered, endpoint, failed, journals_own, key, settled};
use crate::breach::{Kept, hold, same};
use crate::support::clock;

const MINUTE: Duration = Duration::from_mins(1);

/// It was not attempted: its endpoint's circuit is open.
fn kept_waiting(delivery: &Delivery, due: Timestamp) -> Settled {
    let postponed = Settlement::Postpone(Due::exactly(due), Postponed::CircuitOpen);
    Settled { held_by: Holder::Circuit, ..settled(delivery, None, postponed) }
}

pub(crate) async fn what_takes_too_long_is_taken_over_at_its_turn_and_ends_as_it_ends(
    bench: &mut Bench,
) -> Kept {
    let (slow, _receipt) = bench.delivery("slow").await?;
    let (quick, _receipt) = bench.delivery("quick").await?;
    bench.settle(delivered(&quick)).await?;
    let now = clock();
    let stranger = key("never published", "one");
    let batch = vec![(slow.key(), slow.turn), (stranger, Turn(0)), (quick.key(), quick.turn)];

    let known = bench.ports().journal.escrow(batch.clone(), now).await?;

    same!(known, [true, false, true], "which are on record");
    let held = DeliveryState::Waiting { due_at: now, held_by: Holder::Router };
    let stands = bench.standing(slow.key()).await?;
    same!((stands.turn, stands.attempts, stands.state), (Turn(0), 0, held), "how it stands");
    bench.is(quick.key(), DeliveryState::Delivered).await?;
    let books = bench.ports().journal.books().await?;
    same!((books.pending, books.waiting, books.delivered), (0, 1, 1), "the books");
    // Once more, for its message came again: the router has it still.
    same!(bench.ports().journal.escrow(batch, now + MINUTE).await?, known, "the second time");
    same!(bench.record(delivered(&slow)).await?, Recorded::Now, "its end");
    bench.books_balance().await
}

pub(crate) async fn what_was_taken_over_by_a_router_that_died_is_claimed_behind_its_lease(
    bench: &mut Bench,
) -> Kept {
    let (slow, receipt) = bench.delivery("slow").await?;
    let now = clock();
    bench.ports().journal.escrow(vec![(slow.key(), slow.turn)], now).await?;
    receipt.give_back();
    let left = |before| Overdue { abandoned_before: before, ..journals_own(now) };

    let early = bench.ports().journal.claim(left(now), now + MINUTE, 10).await?;
    same!(early.len(), 0, "claimed while its router may live");
    let later = now + Duration::from_millis(1);
    let claimed = bench.ports().journal.claim(left(later), now + MINUTE, 10).await?;

    let claimed: Vec<_> = claimed.iter().map(|one| (one.key(), one.turn, one.attempts)).collect();
    same!(claimed, [(slow.key(), Turn(1), 0)], "claimed");
    // The router was only slow: what its request came to is a fact, and nothing else of it counts.
    let due = Due::exactly(now + MINUTE);
    same!(bench.record(failed(&slow, due)).await?, Recorded::Stale, "a failure at the old turn");
    same!(bench.record(delivered(&slow)).await?, Recorded::Now, "a success at the old turn");
    bench.books_balance().await
}

pub(crate) async fn what_came_back_from_the_ladder_and_takes_too_long_is_the_routers(
    bench: &mut Bench,
) -> Kept {
    let (delivery, receipt) = bench.delivery("run-7").await?;
    let due = clock();
    bench.settle(failed(&delivery, Due::exactly(due))).await?;
    receipt.give_back();
    let back = delivery.after(1);
    bench.ports().journal.handed_on(vec![(back.key(), back.turn)]).await?;
    let now = due + MINUTE;

    bench.ports().journal.escrow(vec![(back.key(), back.turn)], now).await?;

    let held = DeliveryState::Waiting { due_at: now, held_by: Holder::Router };
    let stands = bench.standing(back.key()).await?;
    same!((stands.turn, stands.state), (back.turn, held), "how it stands");
    Ok(())
}

pub(crate) async fn what_waits_for_a_circuit_is_claimed_when_it_is_due(bench: &mut Bench) -> Kept {
    let (delivery, receipt) = bench.delivery("run-7").await?;
    let due = clock() + MINUTE;

    bench.settle(kept_waiting(&delivery, due)).await?;
    receipt.give_back();

    let waits = DeliveryState::Waiting { due_at: due, held_by: Holder::Circuit };
    let stands = bench.standing(delivery.key()).await?;
    same!((stands.turn, stands.attempts, stands.state), (Turn(1), 0, waits), "how it stands");
    let early = bench.claim(due - Duration::from_millis(1), due + MINUTE).await?;
    same!(early.len(), 0, "claimed before it is due");
    let claimed = bench.claim(due, due + MINUTE).await?;
    let claimed: Vec<_> = claimed.iter().map(|one| (one.key(), one.turn)).collect();
    same!(claimed, [(delivery.key(), Turn(2))], "claimed");
    bench.nothing_arrives().await
}

pub(crate) async fn what_waited_for_a_circuit_is_brought_forward_in_its_order_and_apart(
    bench: &mut Bench,
) -> Kept {
    let now = clock();
    let mut kept = Vec::new();
    // The last one would have been due before its turn in the order: it stays so.
    for (name, minutes) in [("a", 30), ("b", 20), ("c", 10), ("d", 0)] {
        let (delivery, receipt) = bench.delivery(name).await?;
        bench.settle(kept_waiting(&delivery, now + MINUTE * minutes)).await?;
        receipt.give_back();
        kept.push(delivery.key());
    }
    let (other, _receipt) = bench.delivery("e").await?;
    let retry = now + MINUTE * 5;
    bench.settle(failed(&other, Due::exactly(retry))).await?;

    let interval = Duration::from_secs(90);
    let brought = bench.ports().journal.bring_forward(endpoint("one"), now, interval).await?;

    same!(brought, 4, "brought forward");
    let mut due = Vec::new();
    for key in &kept {
        let state = bench.standing(*key).await?.state;
        if let DeliveryState::Waiting { due_at, held_by: Holder::Circuit } = state {
            due.push(due_at.since(now).as_secs());
        } else {
            hold!(false, "{key:?} stands so: {state:?}");
        }
    }
    same!(due, [0, 90, 180, 0], "when they are due, in seconds");
    let failed = DeliveryState::Waiting { due_at: retry, held_by: Holder::Router };
    same!(bench.standing(other.key()).await?.state, failed, "what waits for its own schedule");
    let nobody = bench.ports().journal.bring_forward(endpoint("two"), now, interval).await?;
    same!(nobody, 0, "of an endpoint that nothing waits for");
    Ok(())
}

pub(crate) async fn a_resumed_endpoint_has_back_what_waited_for_its_circuit_too(
    bench: &mut Bench,
) -> Kept {
    let (delivery, receipt) = bench.delivery("run-7").await?;
    let now = clock();
    bench.settle(kept_waiting(&delivery, now + MINUTE)).await?;
    receipt.give_back();

    same!(bench.ports().ledger.recall(endpoint("one"), now).await?, 1, "recalled");

    let claimed = bench.claim(now, now + MINUTE).await?;
    same!(claimed.len(), 1, "claimed at once");
    Ok(())
}
