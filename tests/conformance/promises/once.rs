//! What the journal promises of deliveries that are made at most once, and of those that are dropped: leave for
//! one request and no more, on record before it; its end behind it; and nothing by itself from then on.

use std::time::Duration;

use bytes::Bytes;
use posthaste::domain::delivery::{Attempt, Delivery, DeliveryState, Fence, Trigger, Turn};
use posthaste::domain::id::AttemptId;
use posthaste::domain::outcome::Outcome;
use posthaste::domain::policy::Policy;
use posthaste::domain::retry::Due;
use posthaste::domain::settlement::{DeathReason, Postponed, Settlement};
use posthaste::storage::dead_letters::DeadLetterFilter;
use posthaste::storage::journal::{Acceptance, Overdue, Recorded, Settled};

use crate::bench::{Anything, Bench, Came, delivered, given_up, settled, tenant};
use crate::breach::{Breach, Kept, hold, same};
use crate::support::clock;

const MINUTE: Duration = Duration::from_mins(1);

/// The one request of this copy is about to be made.
fn let_go(delivery: &Delivery) -> Settled {
    let made = settled(delivery, Some(200), Settlement::LetGo);
    Settled {
        attempts: delivery.attempts,
        attempt: made.attempt.map(|attempt| Attempt {
            outcome: Outcome::Unknown,
            meaning: Policy::default().judge(&Outcome::Unknown),
            response: Bytes::new(),
            ..attempt
        }),
        ..made
    }
}

/// The request that was let go has ended: with this status, or cut off.
fn ended(gone: &Settled, status: Option<u16>, settlement: Settlement) -> Settled {
    let outcome = match status {
        Some(status) => Outcome::Answered { status, retry_after: None },
        None => Outcome::Interrupted,
    };
    let by_hand = gone.trigger.is_by_hand();
    Settled {
        turn: if by_hand { gone.turn } else { gone.turn.next() },
        attempts: gone.attempts + u32::from(status.is_some()),
        settlement,
        attempt: gone.attempt.clone().map(|attempt| Attempt {
            meaning: Policy::default().judge(&outcome),
            outcome,
            duration_ms: 34,
            response: Bytes::from_static(b"as you say"),
            ..attempt
        }),
        ..gone.clone()
    }
}

/// Everything that somebody could claim, at any time.
fn anything_at_all() -> Overdue {
    let then = clock() + 1_000 * MINUTE;
    Overdue {
        due_by: then,
        abandoned_before: then,
        forgotten_before: then,
        lost_before: then,
        replayed: true,
    }
}

/// Holds that nobody brings this delivery back: not its event, not the ladder, not a claim.
async fn nobody_brings_it_back(bench: &mut Bench, delivery: &Delivery) -> Kept {
    for came in bench.rest().await? {
        match came {
            Anything::Event(Came { event, receipt, .. }) => {
                let known = bench.accept(&event, &["one"]).await?;
                let Acceptance::Known(standings) = known else {
                    return Err(Breach("its event is new, and it was accepted".into()));
                };
                for (_, standing) in standings {
                    same!(standing.judge(Turn::FIRST), Fence::Drop, "a copy that came again");
                }
                receipt.give_back();
            }
            Anything::Delivery(back) => {
                hold!(!bench.through_the_fence(back).await?, "it came back, and it was its turn");
            }
        }
    }
    let (overdue, then) = (anything_at_all(), clock() + 2_000 * MINUTE);
    let claimed = bench.ports().journal.claim(overdue, then, 100).await?;
    let claimed: Vec<_> = claimed.iter().map(Delivery::key).collect();
    hold!(!claimed.contains(&delivery.key()), "it was claimed");
    Ok(())
}

pub(crate) async fn what_is_let_go_is_given_leave_once_and_never_comes_back(
    bench: &mut Bench,
) -> Kept {
    let (delivery, receipt) = bench.delivery("run-7").await?;
    let gone = let_go(&delivery);
    bench.settle(gone.clone()).await?;

    let stands = bench.standing(delivery.key()).await?;
    same!((stands.turn, stands.state), (Turn(1), DeliveryState::Unknown), "how it stands");
    let another = Settled {
        attempt: gone
            .attempt
            .clone()
            .map(|attempt| Attempt { id: AttemptId::derived(&[b"another router's"]), ..attempt }),
        ..gone.clone()
    };
    let ahead = Settled { turn: Turn(1), ..another.clone() };
    for (who, again) in [("who let it go", &gone), ("another", &another), ("one ahead", &ahead)] {
        let answer = bench.record(again.clone()).await?;
        same!(answer, Recorded::Stale, format!("leave for {who}, again"));
    }
    let due = Due::exactly(clock() + MINUTE);
    let busy = Settlement::Postpone(due, Postponed::Busy);
    for settlement in [Settlement::Retry(due), busy, Settlement::Cancelled] {
        let put_off = settled(&delivery.clone().after(0), None, settlement);
        same!(bench.record(put_off).await?, Recorded::Stale, format!("{settlement:?} of it"));
    }
    let made = bench.ports().ledger.attempts(delivery.key()).await?;
    let seen: Vec<_> = made.iter().map(|one| (one.outcome.as_str(), one.status)).collect();
    same!(seen, [("unknown", 0)], "requests on record");

    drop(receipt); // killed before its message was acknowledged
    bench.kill().await;
    nobody_brings_it_back(bench, &delivery).await?;
    same!(bench.standing(delivery.key()).await?, stands, "how it stands after a kill");
    same!(bench.ports().journal.books().await?.unknown, 1, "unknown in the books");
    Ok(())
}

pub(crate) async fn what_was_let_go_ends_as_its_receiver_says_or_stays_unknown(
    bench: &mut Bench,
) -> Kept {
    let exhausted = DeathReason::AttemptsExhausted;
    let table = [
        ("took", Some(200), Settlement::Delivered, Some(DeliveryState::Delivered), "success"),
        (
            "died",
            Some(500),
            Settlement::DeadLetter(exhausted),
            Some(DeliveryState::Dead),
            "server_error",
        ),
        (
            "dropped",
            Some(404),
            Settlement::Drop(DeathReason::Refused),
            Some(DeliveryState::Dropped),
            "client_error",
        ),
        ("cut off", None, Settlement::Unchanged, None, "interrupted"),
    ];
    for (name, status, settlement, ends, outcome) in table {
        let (delivery, receipt) = bench.delivery(name).await?;
        let gone = let_go(&delivery);
        bench.settle(gone.clone()).await?;
        receipt.give_back();
        let end = ended(&gone, status, settlement);

        let answer = bench.record(end.clone()).await?;

        let expected = if ends.is_some() { Recorded::Now } else { Recorded::Stale };
        same!(answer, expected, format!("{name}: its end"));
        let state = ends.unwrap_or(DeliveryState::Unknown);
        bench.is(delivery.key(), state).await?;
        same!(bench.record(end).await?, Recorded::Stale, format!("{name}: its end, again"));
        let made = bench.ports().ledger.attempts(delivery.key()).await?;
        let seen: Vec<_> = made.iter().map(|one| (one.outcome.as_str(), one.status)).collect();
        same!(seen, [(outcome, status.unwrap_or(0))], format!("{name}: requests on record"));
        same!(made[0].duration_ms, 34, format!("{name}: how long it took"));
        nobody_brings_it_back(bench, &delivery).await?;
        bench.is(delivery.key(), state).await?;
    }
    let books = bench.ports().journal.books().await?;
    let ends = (books.delivered, books.dead, books.dropped, books.unknown);
    same!(ends, (1, 1, 1, 1), "delivered, dead, dropped, unknown");
    let letters = bench.ports().ledger.count_dead_letters(&DeadLetterFilter::default()).await?;
    same!(letters, 1, "dead letters");
    Ok(())
}

pub(crate) async fn a_late_success_of_what_was_let_go_is_a_fact(bench: &mut Bench) -> Kept {
    let (delivery, receipt) = bench.delivery("run-7").await?;
    let gone = let_go(&delivery);
    bench.settle(gone.clone()).await?;
    receipt.give_back();
    same!(bench.ports().ledger.resend(tenant(), delivery.key(), clock()).await?, true, "asked");
    let claimed = bench.ports().journal.claim_resends(clock(), clock() + MINUTE, 10).await?;
    let by_hand = Trigger::ByHand(claimed[0].number);
    let attempt = AttemptId::derived(&[b"by hand"]);
    let asked = Settled { trigger: by_hand, ..delivered(&claimed[0].delivery) };
    let asked =
        Settled { attempt: asked.attempt.map(|one| Attempt { id: attempt, ..one }), ..asked };
    bench.settle(asked).await?;
    bench.is(delivery.key(), DeliveryState::Delivered).await?;

    let late = ended(&gone, Some(500), Settlement::DeadLetter(DeathReason::AttemptsExhausted));

    same!(bench.record(late).await?, Recorded::Stale, "a failure beside a success");
    bench.is(delivery.key(), DeliveryState::Delivered).await?;
    let made = bench.ports().ledger.attempts(delivery.key()).await?;
    let mut statuses: Vec<_> = made.iter().map(|one| one.status).collect();
    statuses.sort_unstable();
    same!(statuses, [200, 500], "requests on record, each with its end");
    Ok(())
}

pub(crate) async fn an_attempt_by_hand_that_is_let_go_is_asked_for_no_more(
    bench: &mut Bench,
) -> Kept {
    for (name, status, ends) in [("fails", 500, Recorded::Stale), ("succeeds", 200, Recorded::Now)]
    {
        let (delivery, receipt) = bench.delivery(name).await?;
        let key = delivery.key();
        bench.settle(given_up(&delivery)).await?;
        receipt.give_back();
        let stands = bench.standing(key).await?;
        same!(bench.ports().ledger.resend(tenant(), key, clock()).await?, true, "asked");
        let claimed = bench.ports().journal.claim_resends(clock(), clock() + MINUTE, 10).await?;
        same!(claimed.len(), 1, format!("{name}: claimed"));
        let gone =
            Settled { trigger: Trigger::ByHand(claimed[0].number), ..let_go(&claimed[0].delivery) };

        same!(bench.record(gone.clone()).await?, Recorded::Now, format!("{name}: leave"));

        same!(bench.record(gone.clone()).await?, Recorded::Stale, format!("{name}: leave, again"));
        same!(bench.standing(key).await?, stands, format!("{name}: how it stands meanwhile"));
        let later = clock() + 10 * MINUTE;
        let asked = bench.ports().journal.claim_resends(later, later, 10).await?;
        same!(asked.len(), 0, format!("{name}: asked for still"));
        let settlement = if status == 200 { Settlement::Delivered } else { Settlement::Unchanged };
        same!(bench.record(ended(&gone, Some(status), settlement)).await?, ends, "its end");
        let made = bench.ports().ledger.attempts(key).await?;
        let statuses: Vec<_> = made.iter().map(|one| one.status).collect();
        same!(statuses, [500, status], format!("{name}: requests on record"));
    }
    Ok(())
}

pub(crate) async fn what_is_dropped_is_final_and_no_dead_letter(bench: &mut Bench) -> Kept {
    let (delivery, receipt) = bench.delivery("run-7").await?;
    let drop = Settlement::Drop(DeathReason::Refused);
    bench.settle(settled(&delivery, Some(404), drop)).await?;
    receipt.give_back();
    bench.kill().await;

    nobody_brings_it_back(bench, &delivery).await?;

    bench.is(delivery.key(), DeliveryState::Dropped).await?;
    same!(bench.record(delivered(&delivery.after(1))).await?, Recorded::Stale, "a copy of it");
    let everything = DeadLetterFilter::default();
    let ledger = bench.ports().ledger.clone();
    same!(ledger.count_dead_letters(&everything).await?, 0, "dead letters");
    same!(ledger.replay(&everything, clock()).await?, 0, "replayed");
    let books = bench.ports().journal.books().await?;
    same!((books.owed, books.dropped, books.dead), (1, 1, 0), "the books");
    Ok(())
}
