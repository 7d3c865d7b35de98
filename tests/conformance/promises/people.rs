//! What the journal does for people and for what was forgotten: claims, pauses, replays, recalls,
//! cancellations.

use std::collections::BTreeSet;
use std::time::Duration;

use posthaste::domain::delivery::{Delivery, DeliveryState, Fence, Holder, Trigger, Turn};
use posthaste::domain::endpoint::{DisabledBecause, EndpointState};
use posthaste::domain::retry::Due;
use posthaste::domain::settlement::Settlement;
use posthaste::domain::time::Timestamp;
use posthaste::storage::dead_letters::DeadLetterFilter;
use posthaste::storage::journal::{Overdue, Recorded, Settled};

use crate::bench::{
    Anything, Bench, Way, delivered, endpoint, failed, given_up, gone, journals_own, key, paused,
    tenant,
};
use crate::breach::{Breach, Kept, hold, same};
use crate::support::clock;

const MINUTE: Duration = Duration::from_mins(1);

/// Deliveries for endpoint `one` that the journal itself holds: paused, for nobody else to take.
async fn held_by_the_journal(bench: &mut Bench, names: &[&str]) -> Kept<Vec<Delivery>> {
    let (one, now) = (endpoint("one"), clock());
    bench
        .ports()
        .catalogue
        .set_endpoint_state(tenant(), one, EndpointState::Paused, None, now)
        .await?;
    let mut held = Vec::new();
    for name in names {
        let (delivery, receipt) = bench.delivery(name).await?;
        bench.settle(paused(&delivery)).await?;
        receipt.give_back();
        held.push(delivery.after(0));
    }
    Ok(held)
}

pub(crate) async fn what_is_claimed_is_leased_once_and_again_when_the_lease_is_over(
    bench: &mut Bench,
) -> Kept {
    let names: Vec<_> = (0..10).map(|number| format!("run-{number}")).collect();
    held_by_the_journal(bench, &names.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let now = clock();
    let recalled = bench.ports().ledger.recall(endpoint("one"), now).await?;
    same!(recalled, 10, "deliveries recalled");
    let (journal, lease_until) = (bench.ports().journal.clone(), now + MINUTE);

    let claims = (0..4).map(|_| journal.claim(journals_own(now), lease_until, 3));
    let claimed = futures_util::future::try_join_all(claims).await?;

    hold!(claimed.iter().all(|some| some.len() <= 3), "more than was asked for");
    let mut turns: Vec<_> = claimed.iter().flatten().map(|one| (one.key(), one.turn)).collect();
    let keys: BTreeSet<_> = turns.iter().map(|(key, _)| *key).collect();
    same!((turns.len(), keys.len()), (10, 10), "claimed, each by one");
    for due_by in [now, lease_until - Duration::from_millis(1)] {
        let early = bench.claim(due_by, lease_until).await?;
        hold!(early.is_empty(), "claimed again before the lease was over: {early:?}");
    }
    let again = bench.claim(lease_until, lease_until + MINUTE).await?;
    same!(again.len(), 10, "claimed again when it was");
    turns.sort();
    let mut later: Vec<_> = again.iter().map(|one| (one.key(), one.turn)).collect();
    later.sort();
    for ((key, first), (_, second)) in turns.into_iter().zip(later) {
        let standing = bench.standing(key).await?;
        same!(standing.judge(first), Fence::Drop, "the copy whose lease is over");
        same!(standing.judge(second), Fence::Attempt, "the copy that was claimed again");
    }
    Ok(())
}

pub(crate) async fn what_is_not_due_is_not_claimed(bench: &mut Bench) -> Kept {
    held_by_the_journal(bench, &["paused"]).await?;
    let later = Due::exactly(clock() + MINUTE);
    for name in ["pending", "the router's", "the ladder's", "delivered", "dead"] {
        let (delivery, _receipt) = bench.delivery(name).await?;
        match name {
            "the router's" => bench.settle(failed(&delivery, later)).await?,
            "the ladder's" => drop(bench.postpone(vec![(delivery, later)], Way::ByHand).await?),
            "delivered" => bench.settle(delivered(&delivery)).await?,
            "dead" => bench.settle(given_up(&delivery)).await?,
            _ => {}
        }
    }
    // As the pipeline asks: what was overdue a minute ago is somebody's loss.
    let now = clock();
    let overdue = Overdue {
        due_by: now,
        abandoned_before: now - MINUTE,
        forgotten_before: now - MINUTE,
        lost_before: now - MINUTE,
        replayed: true,
    };
    let claimed = bench.ports().journal.claim(overdue, now + MINUTE, 100).await?;
    hold!(claimed.is_empty(), "claimed: {claimed:?}");
    Ok(())
}

pub(crate) async fn what_everybody_has_forgotten_is_claimed(bench: &mut Bench) -> Kept {
    let (soon, mut expected) = (Due::exactly(clock() + MINUTE), BTreeSet::new());
    for name in ["pending", "the router's", "the ladder's"] {
        let (delivery, _receipt) = bench.delivery(name).await?;
        match name {
            "the router's" => bench.settle(failed(&delivery, soon)).await?,
            "the ladder's" => drop(bench.postpone(vec![(delivery, soon)], Way::ByHand).await?),
            _ => {}
        }
        let turn = bench.standing(key(name, "one")).await?.turn;
        expected.insert((key(name, "one"), turn.next()));
    }
    // Two minutes from now, and nobody has done anything about them.
    let then = clock() + 2 * MINUTE;
    let overdue = Overdue {
        due_by: then,
        abandoned_before: then,
        forgotten_before: then,
        lost_before: then,
        replayed: true,
    };

    let claimed = bench.ports().journal.claim(overdue, then + MINUTE, 100).await?;

    let turns: BTreeSet<_> = claimed.iter().map(|one| (one.key(), one.turn)).collect();
    same!(turns, expected, "claimed, each at its next turn");
    let again = bench.ports().journal.claim(overdue, then + MINUTE, 100).await?;
    hold!(again.is_empty(), "claimed twice: {again:?}");
    for delivery in claimed {
        let standing = bench.standing(delivery.key()).await?;
        let before = Turn(delivery.turn.0 - 1);
        same!(standing.judge(before), Fence::Drop, "the copy that nobody believes in");
        bench.settle(delivered(&delivery)).await?;
    }
    Ok(())
}

pub(crate) async fn what_is_paused_waits_for_nobody_until_it_is_recalled(
    bench: &mut Bench,
) -> Kept {
    let held = held_by_the_journal(bench, &["run-7"]).await?;
    let (one, key) = (endpoint("one"), held[0].key());
    let never = DeliveryState::Waiting { due_at: Timestamp::NEVER, held_by: Holder::Journal };
    bench.is(key, never).await?;
    let in_a_year = clock() + Duration::from_hours(24 * 365);
    hold!(bench.claim(in_a_year, in_a_year).await?.is_empty(), "claimed, and it is paused");
    bench.nothing_arrives().await?;
    bench.kill().await;
    bench.nothing_arrives().await?;
    bench.is(key, never).await?;

    let now = clock();
    bench
        .ports()
        .catalogue
        .set_endpoint_state(tenant(), one, EndpointState::Active, None, now)
        .await?;
    same!(bench.ports().ledger.recall(one, now).await?, 1, "deliveries recalled");

    let claimed = bench.claim(now, now + MINUTE).await?;
    same!(claimed.len(), 1, "deliveries to claim");
    hold!(claimed[0].turn > held[0].turn, "claimed at {}, an old turn", claimed[0].turn);
    same!(claimed[0].attempts, 0, "a pause costs no attempt: attempts");
    bench.settle(delivered(&claimed[0])).await
}

pub(crate) async fn a_recall_lets_the_old_copies_die(bench: &mut Bench) -> Kept {
    for way in bench.ways() {
        let (delivery, receipt) = bench.delivery(&format!("{way:?}")).await?;
        let (waiting, _) = bench.postpone_by(delivery, 250, *way).await?;
        receipt.give_back();
        let now = clock();

        same!(bench.ports().ledger.recall(endpoint("one"), now).await?, 1, "recalled");

        let standing = bench.standing(waiting.key()).await?;
        same!(standing.judge(waiting.turn), Fence::Drop, "the copy that waits");
        let claimed = bench.claim(now, now + MINUTE).await?;
        same!(claimed.len(), 1, "deliveries to claim");
        same!(claimed[0].attempts, 1, "attempts so far");
        if !bench.ports().ladder.is_the_journal() {
            let old = bench.back().await?;
            same!(
                bench.standing(old.delivery.key()).await?.judge(old.delivery.turn),
                Fence::Drop,
                "it"
            );
            old.receipt.give_back();
        }
        bench.nothing_arrives().await?;
        bench.settle(delivered(&claimed[0])).await?;
    }
    Ok(())
}

pub(crate) async fn a_replay_brings_a_dead_letter_back_once(bench: &mut Bench) -> Kept {
    let (everything, one) = (DeadLetterFilter::default(), endpoint("one"));
    let (delivery, receipt) = bench.delivery("run-7").await?;
    bench.settle(given_up(&delivery)).await?;
    receipt.give_back();
    bench.kill().await;
    let ledger = bench.ports().ledger.clone();
    let letters = ledger.dead_letters(&everything, None, 10).await?;
    same!(letters.len(), 1, "dead letters");
    same!((letters[0].key, letters[0].attempts), (delivery.key(), 1), "whose it is");
    let count = ledger.count_replay(&everything).await?;
    same!(count.by_endpoint, vec![(one, 1)], "what a replay would do");

    let now = clock();
    same!(ledger.replay(&everything, now).await?, 1, "replayed");
    same!(ledger.replay(&everything, now).await?, 0, "replayed again");

    same!(ledger.count_dead_letters(&everything).await?, 0, "dead letters left");
    let claimed = bench.claim(now, now + MINUTE).await?;
    same!(claimed.len(), 1, "deliveries to claim");
    same!(claimed[0].attempts, 0, "attempts begin anew");
    hold!(claimed[0].event.payload == delivery.event.payload, "its payload has other bytes");
    hold!(bench.claim(now, now + MINUTE).await?.is_empty(), "it came back twice");
    same!(bench.record(given_up(&delivery)).await?, Recorded::Stale, "its death, again");
    bench.settle(delivered(&claimed[0])).await?;
    let books = bench.ports().journal.books().await?;
    same!((books.owed, books.dead, books.delivered), (1, 0, 1), "the books");
    Ok(())
}

pub(crate) async fn what_is_cancelled_never_goes_on(bench: &mut Bench) -> Kept {
    let both = bench.owing("pending", &["one", "two"]).await?;
    let pending = Delivery::first(both.event, endpoint("one"));
    let (waiting, event) = bench.delivery("waiting").await?;
    for (name, end) in [("delivered", delivered as fn(&_) -> _), ("dead", given_up)] {
        let (delivery, receipt) = bench.delivery(name).await?;
        bench.settle(end(&delivery)).await?;
        receipt.give_back();
    }
    let (waiting, _) = bench.postpone_by(waiting, 150, bench.ways()[0]).await?;
    event.give_back();

    same!(bench.ports().ledger.cancel(endpoint("one"), clock()).await?, 2, "cancelled");

    same!(bench.ports().ledger.cancel(endpoint("one"), clock()).await?, 0, "cancelled again");
    for (name, state) in [
        ("pending", DeliveryState::Cancelled),
        ("waiting", DeliveryState::Cancelled),
        ("delivered", DeliveryState::Delivered),
        ("dead", DeliveryState::Dead),
    ] {
        bench.is(key(name, "one"), state).await?;
    }
    bench.is(key("pending", "two"), DeliveryState::Pending).await?;
    for delivery in [&pending, &waiting] {
        same!(bench.record(delivered(delivery)).await?, Recorded::Stale, "settled all the same");
    }
    for late in bench.rest().await? {
        let Anything::Delivery(late) = late else {
            return Err(Breach("an event came that is under way already".into()));
        };
        hold!(!bench.through_the_fence(late).await?, "a cancelled delivery went on");
    }
    let then = clock() + MINUTE;
    hold!(bench.claim(then, then).await?.is_empty(), "a cancelled delivery was claimed");
    same!(bench.ports().journal.books().await?.cancelled, 2, "cancelled in the books");
    Ok(())
}

pub(crate) async fn an_attempt_by_hand_delivers_or_moves_nothing(bench: &mut Bench) -> Kept {
    for name in ["waits", "dead", "is taken back"] {
        let (delivery, _receipt) = bench.delivery(name).await?;
        let key = delivery.key();
        let later = Due::exactly(clock() + 10 * MINUTE);
        let so_far = match name {
            "waits" => failed(&delivery, later),
            "dead" => given_up(&delivery),
            _ => {
                Settled { settlement: Settlement::Cancelled, attempt: None, ..delivered(&delivery) }
            }
        };
        bench.settle(so_far).await?;
        let stands = bench.standing(key).await?;
        for (settlement, recorded) in
            [(Settlement::Unchanged, Recorded::Stale), (Settlement::Delivered, Recorded::Now)]
        {
            same!(bench.ports().ledger.resend(tenant(), key, clock()).await?, true, "asked");
            let (now, lease_until) = (clock(), clock() + MINUTE);
            let claimed = bench.ports().journal.claim_resends(now, lease_until, 10).await?;
            same!(claimed.len(), 1, format!("{name}: claimed"));
            let again = bench.ports().journal.claim_resends(now, lease_until, 10).await?;
            same!(again.len(), 0, format!("{name}: claimed a second time"));
            let trigger = Trigger::ByHand(claimed[0].number);
            let settled = Settled { settlement, trigger, ..delivered(&claimed[0].delivery) };

            same!(bench.record(settled).await?, recorded, format!("{name}: {settlement:?}"));

            let moved = recorded == Recorded::Now;
            same!(bench.standing(key).await? != stands, moved, format!("{name}: whether it moved"));
            let asked = bench.ports().journal.claim_resends(lease_until, lease_until, 10).await?;
            same!(asked.len(), 0, format!("{name}: asked for still"));
        }
        bench.is(key, DeliveryState::Delivered).await?;
        same!(
            bench.standing(key).await?.judge(Turn(1)),
            Fence::Drop,
            format!("{name}: old copies")
        );
    }
    let books = bench.ports().journal.books().await?;
    same!((books.delivered, books.owed, books.unaccounted()), (3, 3, 0), "the books");
    let letters = bench.ports().ledger.count_dead_letters(&DeadLetterFilter::default()).await?;
    same!(letters, 0, "dead letters");
    Ok(())
}

pub(crate) async fn who_says_that_it_is_gone_is_disabled_with_the_record_of_it(
    bench: &mut Bench,
) -> Kept {
    let one = endpoint("one");
    let state = async |bench: &Bench| {
        let found = bench.ports().catalogue.any_endpoint(one).await?;
        let found = found.ok_or_else(|| Breach("the endpoint is not there".into()))?;
        Kept::Ok((found.state, found.disabled_because))
    };
    let (asked_before, _receipt) = bench.delivery("asked before it was edited").await?;
    let answer = gone(&asked_before);
    let later = clock() + MINUTE;
    let catalogue = bench.ports().catalogue.clone();
    catalogue.set_endpoint_state(tenant(), one, EndpointState::Active, None, later).await?;
    bench.settle(answer).await?;
    same!(state(bench).await?, (EndpointState::Active, None), "after an answer of the one before");

    let version = catalogue.version().await?;
    catalogue
        .set_endpoint_state(tenant(), one, EndpointState::Active, None, clock() - MINUTE)
        .await?;
    let (last, _receipt) = bench.delivery("the last").await?;
    let (next, _receipt) = bench.delivery("the next").await?;
    bench.settle(gone(&last)).await?;

    let because = Some(DisabledBecause::Gone);
    same!(state(bench).await?, (EndpointState::Disabled, because), "after its own answer");
    hold!(catalogue.version().await? > version + 1, "the version has not moved on");
    bench.is(last.key(), DeliveryState::Dead).await?;
    bench.settle(paused(&next)).await?;
    let forever = DeliveryState::Waiting { due_at: Timestamp::NEVER, held_by: Holder::Journal };
    bench.is(next.key(), forever).await
}
