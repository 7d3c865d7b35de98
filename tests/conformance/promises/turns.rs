//! What the journal promises of turns: each is settled once, and an old copy is recognised.

use std::time::Duration;

use posthaste::domain::delivery::{Delivery, DeliveryState, Fence, Holder, Turn};
use posthaste::domain::id::AttemptId;
use posthaste::domain::retry::Due;
use posthaste::domain::settlement::Settlement;
use posthaste::storage::journal::{Recorded, Settled};

use crate::bench::{Bench, delivered, endpoint, failed, given_up, key};
use crate::breach::{Kept, same};
use crate::support::clock;

/// Later than any promise lasts.
fn much_later() -> Due {
    Due::exactly(clock() + Duration::from_mins(10))
}

pub(crate) async fn an_old_turn_is_refused(bench: &mut Bench) -> Kept {
    let (delivery, _receipt) = bench.delivery("run-7").await?;
    let due = much_later();
    bench.settle(failed(&delivery, due)).await?;
    let stands = bench.standing(delivery.key()).await?;
    let waits = DeliveryState::Waiting { due_at: due.at, held_by: Holder::Router };
    same!((stands.turn, stands.attempts, stands.state), (Turn(1), 1, waits), "how it stands");

    let others = [failed(&delivery, much_later()), given_up(&delivery)];
    for settled in [failed(&delivery, due)].into_iter().chain(others) {
        let what = format!("settling an old turn as {:?}", settled.settlement);
        same!(bench.record(settled).await?, Recorded::Stale, what);
    }

    same!(bench.standing(delivery.key()).await?, stands, "how it stands");
    bench.settle(given_up(&delivery.clone().after(1))).await?;
    same!(bench.record(given_up(&delivery.after(1))).await?, Recorded::Stale, "a second end");
    same!(bench.ports().journal.books().await?.dead, 1, "dead letters");
    Ok(())
}

pub(crate) async fn a_success_at_an_old_turn_is_a_fact(bench: &mut Bench) -> Kept {
    let (delivery, _receipt) = bench.delivery("run-7").await?;
    bench.settle(failed(&delivery, much_later())).await?;

    bench.settle(delivered(&delivery)).await?;

    bench.is(delivery.key(), DeliveryState::Delivered).await?;
    let later = delivery.after(1);
    same!(bench.record(failed(&later, much_later())).await?, Recorded::Stale, "a later turn");
    same!(bench.standing(later.key()).await?.judge(Turn(1)), Fence::Drop, "the copy that waits");
    let books = bench.ports().journal.books().await?;
    same!((books.delivered, books.waiting), (1, 0), "delivered and waiting");
    Ok(())
}

pub(crate) async fn what_is_final_stays_as_it_is(bench: &mut Bench) -> Kept {
    let ends: [fn(&Delivery) -> Settled; 3] = [delivered, given_up, |delivery| Settled {
        settlement: Settlement::Cancelled,
        ..delivered(delivery)
    }];
    for (name, end) in ["delivered", "dead", "cancelled"].into_iter().zip(ends) {
        let (delivery, _receipt) = bench.delivery(name).await?;
        bench.settle(end(&delivery)).await?;
        let stands = bench.standing(delivery.key()).await?;
        same!(stands.state.as_str(), name, "how it ended");

        let next = delivery.clone().after(1);
        let whatever =
            [delivered(&delivery), delivered(&next), given_up(&next), failed(&next, much_later())];
        for settled in whatever {
            let what = format!("{name}, and then {:?}", settled.settlement);
            same!(bench.record(settled).await?, Recorded::Stale, what);
        }
        bench.ports().journal.handed_on(vec![(next.key(), next.turn)]).await?;

        same!(bench.standing(delivery.key()).await?, stands, format!("{name}: how it stands"));
        for turn in [Turn(0), Turn(1), Turn(2)] {
            same!(stands.judge(turn), Fence::Drop, format!("{name}: a copy at turn {turn}"));
        }
    }
    let books = bench.ports().journal.books().await?;
    same!((books.delivered, books.dead, books.cancelled), (1, 1, 1), "the books");
    Ok(())
}

pub(crate) async fn what_was_handed_on_makes_an_old_copy_drop(bench: &mut Bench) -> Kept {
    let (delivery, _receipt) = bench.delivery("run-7").await?;
    bench.settle(failed(&delivery, much_later())).await?;
    let (key, now) = (delivery.key(), Turn(1));
    let judged = async |bench: &Bench, turn| bench.standing(key).await.map(|one| one.judge(turn));
    same!(judged(bench, Turn(0)).await?, Fence::TakeOver, "an old copy, nothing handed on");
    bench.ports().journal.handed_on(vec![(key, Turn(0))]).await?;
    same!(judged(bench, Turn(0)).await?, Fence::TakeOver, "another turn handed on");

    bench.ports().journal.handed_on(vec![(key, now)]).await?;

    same!(judged(bench, Turn(0)).await?, Fence::Drop, "an old copy, handed on");
    same!(judged(bench, now).await?, Fence::Attempt, "the copy that was handed on");
    Ok(())
}

pub(crate) async fn what_was_never_owed_has_no_standing_and_nothing_to_settle(
    bench: &mut Bench,
) -> Kept {
    let came = bench.owing("run-7", &["one"]).await?;
    let known = Delivery::first(came.event.clone(), endpoint("one"));
    let stranger = Delivery::first(came.event, endpoint("two"));
    let keys = vec![stranger.key(), known.key(), key("never published", "one")];

    let found = bench.ports().journal.standings(keys).await?;

    let found: Vec<_> = found.iter().map(Option::is_some).collect();
    same!(found, [false, true, false], "who has a standing, in their order");
    let batch = vec![delivered(&stranger), delivered(&known), delivered(&stranger)];
    let answers = bench.ports().journal.record(batch).await?;
    same!(answers, [Recorded::Stale, Recorded::Now, Recorded::Stale], "answers in their order");
    same!(bench.ports().journal.books().await?.owed, 1, "deliveries owed");
    Ok(())
}

pub(crate) async fn a_request_that_was_made_is_on_record_once(bench: &mut Bench) -> Kept {
    let (delivery, _receipt) = bench.delivery("run-7").await?;
    let first = failed(&delivery, much_later());
    bench.settle(first.clone()).await?;
    same!(bench.record(first.clone()).await?, Recorded::Stale, "the same again");
    bench.settle(delivered(&delivery.clone().after(1))).await?;

    let found = bench.ports().ledger.attempts(delivery.key()).await?;

    let made = first.attempt.expect("a failure has one");
    let seen: Vec<(AttemptId, u32, u16)> =
        found.iter().map(|one| (one.id, one.number, one.status)).collect();
    same!(seen.len(), 2, "requests on record");
    same!(seen[0], (made.id, 1, 503), "the first");
    same!((seen[1].1, seen[1].2), (2, 200), "the second");
    same!(found[0].started_at, made.started_at, "when it began");
    same!(found[0].response.as_slice(), made.response.as_ref(), "what was answered");
    Ok(())
}
