//! What a call promises that is dropped before it has ended: it may have happened, never half, and the
//! same call may be made again.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::poll;
use posthaste::domain::delivery::{Delivery, Turn};
use posthaste::domain::event::Event;
use posthaste::domain::retry::Due;
use posthaste::storage::journal::{Acceptance, Recorded};
use posthaste::storage::ladder::Waiting;

use crate::bench::{Anything, Bench, endpoint, failed, publication};
use crate::breach::{Breach, Kept, hold, same};
use crate::support::clock;

/// How often each call is dropped, each time a little later on its way.
const DROPS: u32 = 8;

/// Goes with a call for some steps and drops it then, every other time a moment later, unless it has
/// ended.
async fn dropped_after<F: Future>(steps: u32, call: F) -> Option<F::Output> {
    let mut call = pin!(call);
    for _ in 0..=steps / 2 {
        if let Poll::Ready(done) = poll!(call.as_mut()) {
            return Some(done);
        }
        tokio::task::yield_now().await;
    }
    if steps.is_multiple_of(2) {
        return None;
    }
    tokio::time::timeout(Duration::from_micros(u64::from(steps) * 300), call).await.ok()
}

pub(crate) async fn a_dropped_call_of_next_loses_nothing_and_holds_nothing(
    bench: &mut Bench,
) -> Kept {
    let waiting = 20;
    let mut due = Vec::new();
    for number in 0..waiting {
        let (delivery, receipt) = bench.delivery(&format!("waits {number}")).await?;
        receipt.give_back();
        due.push((delivery, Due::exactly(clock() + Duration::from_millis(300 + number * 10))));
    }
    bench.postpone(due, bench.ways()[0]).await?;
    let names: Vec<_> = (0..60).map(|number| format!("run-{number}")).collect();
    let mut to_publish = names.iter();
    let mut came = BTreeMap::new();
    let everything = names.len() + usize::try_from(waiting).expect("a few");
    let begun = clock();

    for round in 0_u32.. {
        if round % 5 == 0
            && let Some(name) = to_publish.next()
        {
            bench.publish(&[name]).await?;
        }
        let next = dropped_after(round % 6, bench.anything()).await;
        if let Some(arrival) = next {
            let (name, receipt) = match arrival? {
                Anything::Event(came) => (format!("{:?}", came.event.event_id), came.receipt),
                Anything::Delivery(back) => (format!("{:?}", back.delivery.key()), back.receipt),
            };
            *came.entry(name).or_insert(0) += 1;
            receipt.give_back();
        }
        if came.len() == everything {
            break;
        }
        let waited = clock().since(begun);
        hold!(waited < bench.character.patience, "{} of {everything} arrived", came.len());
    }

    bench.nothing_arrives().await?;
    let twice: Vec<_> = came.iter().filter(|(_, count)| **count != 1).collect();
    hold!(twice.is_empty(), "arrived more than once: {twice:?}");
    Ok(())
}

pub(crate) async fn a_dropped_publish_may_have_happened_and_can_be_repeated(
    bench: &mut Bench,
) -> Kept {
    let mut missing = BTreeMap::new();
    for drop in 0..DROPS {
        let names: Vec<_> = (0..3).map(|number| format!("run-{drop}-{number}")).collect();
        let batch: Vec<_> = names.iter().map(|name| publication(name)).collect();
        missing.extend(names.into_iter().map(|name| (name, 0)));
        let publisher = bench.ports().publisher.clone();

        dropped_after(drop, publisher.publish(&batch)).await;

        publisher.publish(&batch).await?;
    }
    while missing.values().any(|count| *count == 0) {
        let came = bench.event().await?;
        count_new(bench, &came.event, &mut missing).await?;
        came.receipt.give_back();
    }
    for another in bench.rest().await? {
        let Anything::Event(came) = another else {
            return Err(Breach("a delivery came, and nothing waits".into()));
        };
        count_new(bench, &came.event, &mut missing).await?;
    }
    hold!(missing.values().all(|count| *count == 1), "accepted as new: {missing:?}");
    Ok(())
}

async fn count_new(bench: &Bench, event: &Arc<Event>, new: &mut BTreeMap<String, u32>) -> Kept {
    let name = event.event_id.as_deref().unwrap_or_default();
    let count = new.get_mut(name).ok_or_else(|| Breach(format!("nobody published {name}")))?;
    if bench.accept(event, &["one"]).await? == Acceptance::New {
        *count += 1;
    }
    Ok(())
}

pub(crate) async fn a_dropped_record_is_whole_or_not_at_all(bench: &mut Bench) -> Kept {
    for drop in 0..DROPS {
        let due = Due::exactly(clock() + Duration::from_mins(10));
        let mut deliveries = Vec::new();
        for number in 0..5 {
            let (delivery, receipt) = bench.delivery(&format!("run-{drop}-{number}")).await?;
            receipt.give_back();
            deliveries.push(delivery);
        }
        let batch: Vec<_> = deliveries.iter().map(|one| failed(one, due)).collect();
        let journal = bench.ports().journal.clone();

        dropped_after(drop, journal.record(batch.clone())).await;

        let answers = journal.record(batch).await?;
        let first = answers.first().copied();
        hold!(answers.iter().all(|one| Some(*one) == first), "half of it: {answers:?}");
        for delivery in deliveries {
            let key = delivery.key();
            let stands = bench.standing(key).await?;
            same!((stands.turn, stands.attempts), (Turn(1), 1), "turn and attempts");
            let attempts = bench.ports().ledger.attempts(key).await?;
            same!(attempts.len(), 1, "requests on record");
            same!(
                bench.record(failed(&delivery, due)).await?,
                Recorded::Stale,
                "settled, and settled again"
            );
        }
        bench.books_balance().await?;
    }
    same!(bench.ports().journal.books().await?.waiting, u64::from(DROPS) * 5, "waiting");
    Ok(())
}

pub(crate) async fn a_dropped_postpone_can_be_repeated(bench: &mut Bench) -> Kept {
    let mut events = Vec::new();
    for drop in 0..DROPS {
        events.push(bench.owing(&format!("run-{drop}"), &["one", "two"]).await?);
    }
    let mut due = BTreeMap::new();
    for (drop, came) in (0..).zip(events) {
        let at = clock() + Duration::from_millis(300);
        let mut up = Vec::new();
        for name in ["one", "two"] {
            let delivery = Delivery::first(came.event.clone(), endpoint(name));
            bench.settle(failed(&delivery, Due::exactly(at))).await?;
            due.insert(delivery.key(), at);
            up.push(Waiting { delivery: delivery.after(1), due: Due::exactly(at) });
        }
        let ladder = bench.ports().ladder.clone();

        dropped_after(drop, ladder.postpone(&up)).await;

        ladder.postpone(&up).await?;
        let noted = up.iter().map(|up| (up.delivery.key(), up.delivery.turn)).collect();
        bench.ports().journal.handed_on(noted).await?;
        came.receipt.give_back();
    }
    let mut settled = 0;
    while settled < due.len() {
        let back = bench.back().await?;
        let due_at = due[&back.delivery.key()];
        hold!(back.at >= due_at, "early, by {:?}", due_at.since(back.at));
        settled += usize::from(bench.through_the_fence(back).await?);
    }
    for another in bench.rest().await? {
        let Anything::Delivery(another) = another else {
            return Err(Breach("an event came, and its receipt was given back".into()));
        };
        hold!(!bench.through_the_fence(another).await?, "it was settled twice");
    }
    same!(bench.ports().journal.books().await?.delivered, u64::from(DROPS) * 2, "delivered");
    Ok(())
}
