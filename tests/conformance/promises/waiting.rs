//! What the ladder promises: a wait is never early and hardly late, and what waits comes back whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use posthaste::domain::delivery::{Delivery, Turn};
use posthaste::domain::event::Event;
use posthaste::domain::id::EventId;
use posthaste::domain::retry::Due;
use posthaste::domain::settlement::{Postponed, Settlement};
use posthaste::domain::time::Timestamp;
use posthaste::storage::journal::{Acceptance, Settled};
use posthaste::storage::ladder::Waiting;

use crate::bench::{Anything, Bench, acme, endpoint, failed, key, owed};
use crate::breach::{Breach, Kept, hold, same};
use crate::support::clock;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) async fn a_wait_is_never_early_and_at_most_so_late(bench: &mut Bench) -> Kept {
    for way in bench.ways() {
        let waits_ms = [1, 60, 250, 1_500];
        let (mut up, mut due) = (Vec::new(), BTreeMap::new());
        for wait_ms in waits_ms {
            let (delivery, receipt) = bench.delivery(&format!("{way:?} {wait_ms}")).await?;
            receipt.give_back();
            up.push((delivery, ms(wait_ms)));
        }
        let now = clock();
        due.extend(up.iter().map(|(one, wait)| (one.key(), (*wait, now + *wait))));
        let up = up.into_iter().map(|(one, wait)| (one, Due::exactly(now + wait))).collect();
        bench.postpone(up, *way).await?;

        let mut told = Vec::new();
        for _ in waits_ms {
            let back = bench.back().await?;
            let what = format!("{way:?} {:?}", back.delivery);
            let (wait, due_at) = due[&back.delivery.key()];
            hold!(back.at >= due_at, "{what}: early, by {:?}", due_at.since(back.at));
            let (late, most) = (back.at.since(due_at), bench.character.lateness(wait));
            hold!(late <= most, "{what}: late by {late:?}, at most {most:?}");
            told.push((back.due_at, due_at));
            hold!(bench.through_the_fence(back).await?, "{what}: it is its turn");
        }
        for (told, due_at) in told {
            same!(told, due_at, "when it may go on, as it is told");
        }
    }
    bench.nothing_arrives().await
}

pub(crate) async fn a_wait_may_end_within_its_jitter_and_not_before(bench: &mut Bench) -> Kept {
    for way in bench.ways() {
        let (delivery, receipt) = bench.delivery(&format!("{way:?}")).await?;
        let now = clock();
        let due = Due { at: now + ms(1_500), earliest: now + ms(1_200) };
        bench.postpone(vec![(delivery, due)], *way).await?;
        receipt.give_back();

        let back = bench.back().await?;

        hold!(back.at >= due.earliest, "early, by {:?}", due.earliest.since(back.at));
        hold!(back.at >= back.due_at, "told to go on at {}, not yet", back.due_at);
        let within = due.earliest..=due.at;
        hold!(within.contains(&back.due_at), "told {}, not within {due:?}", back.due_at);
    }
    Ok(())
}

pub(crate) async fn a_wait_that_is_over_already_ends_at_once(bench: &mut Bench) -> Kept {
    for way in bench.ways() {
        let (delivery, receipt) = bench.delivery(&format!("{way:?}")).await?;
        let due = Due::exactly(clock() - ms(5_000));
        let begun = clock();
        bench.postpone(vec![(delivery, due)], *way).await?;
        receipt.give_back();

        let back = bench.back().await?;

        let (late, most) = (back.at.since(begun), bench.character.lateness(ms(100)));
        hold!(late <= most, "{way:?}: after {late:?}, at most {most:?}");
        hold!(bench.through_the_fence(back).await?, "it is its turn");
    }
    Ok(())
}

pub(crate) async fn what_waits_carries_all_that_it_had(bench: &mut Bench) -> Kept {
    for way in bench.ways() {
        let event = Arc::new(Event {
            id: EventId::derived(&[format!("{way:?}").as_bytes()]),
            application: acme().id,
            event_type: "job.completed".parse().expect("a type"),
            event_id: Some("run-7 ü".into()),
            subject: Some("job-17".into()),
            occurred_at: Timestamp::from_millis(1_787_307_072_345),
            received_at: Timestamp::from_millis(1_787_307_072_999),
            deliver_at: Some(Timestamp::from_millis(1_787_307_073_001)),
            expires_at: Some(Timestamp::NEVER),
            content_type: Some("application/vnd.acme+json".into()),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            channels: Box::from(["eu".into(), "beta".into()]),
            payload: Bytes::from_static("{\"amount\": 1250.50, \"ü\": [] }\n".as_bytes()),
            webhook: None,
            attributes: Box::default(),
        });
        same!(bench.accept(&event, &["two"]).await?, Acceptance::New, "accepted");
        let fresh = Delivery::first(event, endpoint("two"));
        // A turn that cost no attempt, so that turn and attempts are told apart.
        let due = Due::exactly(clock() + ms(60_000));
        let limited = Settlement::Postpone(due, Postponed::RateLimited);
        let unattempted =
            Settled { settlement: limited, attempt: None, attempts: 0, ..failed(&fresh, due) };
        bench.settle(unattempted).await?;
        let (waiting, _) = bench.postpone_by(fresh.after(0), 50, *way).await?;

        let back = bench.back().await?;

        same!((waiting.turn, waiting.attempts), (Turn(2), 1), "turn and attempts of what waits");
        same!(format!("{:?}", back.delivery), format!("{waiting:?}"), "what came back");
    }
    Ok(())
}

pub(crate) async fn what_waits_is_released_in_the_order_of_its_due_times(
    bench: &mut Bench,
) -> Kept {
    for way in bench.ways() {
        let mut deliveries = Vec::new();
        for wait_ms in bench.character.in_order_ms {
            let (delivery, receipt) = bench.delivery(&format!("{way:?} {wait_ms}")).await?;
            receipt.give_back();
            deliveries.push((*wait_ms, delivery));
        }
        let now = clock();
        let due = |wait_ms| Due::exactly(now + ms(wait_ms));
        // Put up the other way round: it is not the order of putting up.
        let up = deliveries.into_iter().rev().map(|(wait_ms, one)| (one, due(wait_ms))).collect();
        let up: Vec<_> = bench.postpone(up, *way).await?.iter().map(Delivery::key).collect();

        for key in up.into_iter().rev() {
            same!(bench.back().await?.delivery.key(), key, format!("{way:?}: the next due"));
        }
    }
    Ok(())
}

pub(crate) async fn a_delivery_may_wait_again_and_again(bench: &mut Bench) -> Kept {
    let (mut delivery, receipt) = bench.delivery("run-7").await?;
    let mut receipt = Some(receipt);
    // The same wait thrice: a broker must not take it for a message that goes round in circles.
    for (wait_ms, way) in [100, 130, 100, 100].into_iter().zip(bench.ways().iter().cycle()) {
        let (waiting, due_at) = bench.postpone_by(delivery, wait_ms, *way).await?;
        receipt.take().expect("one for each arrival").give_back();
        let back = bench.back().await?;
        hold!(back.at >= due_at, "early, by {:?}", due_at.since(back.at));
        same!(format!("{:?}", back.delivery), format!("{waiting:?}"), "what came back");
        delivery = back.delivery;
        receipt = Some(back.receipt);
    }
    same!((delivery.turn, delivery.attempts), (Turn(4), 4), "turn and attempts");
    Ok(())
}

pub(crate) async fn many_that_wait_together_all_come_back(bench: &mut Bench) -> Kept {
    let names: Vec<_> = (0..150).map(|number| format!("run-{number}")).collect();
    bench.publish(&names.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let (mut batch, mut deliveries) = (Vec::new(), Vec::new());
    let now = clock();
    for (number, came) in (0..).zip(bench.events(names.len()).await?) {
        batch.push(owed(&came.event, &["one", "two"]));
        came.receipt.give_back();
        for (half, name) in (0..).zip(["one", "two"]) {
            // Anywhere between 200 and 800 ms from now, in no order.
            let wait = ms(200 + (number * 2 + half) * 37 % 600);
            let delivery = Delivery::first(came.event.clone(), endpoint(name));
            deliveries.push((delivery, Due::exactly(now + wait)));
        }
    }
    bench.ports().journal.accept(batch).await?;
    let mut due: BTreeMap<_, _> = deliveries.iter().map(|(one, due)| (one.key(), due.at)).collect();

    let ways = bench.ways();
    for (part, way) in deliveries.chunks(deliveries.len() / ways.len()).zip(ways) {
        bench.postpone(part.to_vec(), *way).await?;
    }

    while !due.is_empty() {
        let back = bench.back().await?;
        let key = back.delivery.key();
        let due_at = due.remove(&key).ok_or_else(|| Breach(format!("{key:?} came twice")))?;
        hold!(back.at >= due_at, "early, by {:?}", due_at.since(back.at));
        back.receipt.give_back();
    }
    bench.nothing_arrives().await
}

pub(crate) async fn postponed_twice_it_is_settled_once(bench: &mut Bench) -> Kept {
    let (delivery, receipt) = bench.delivery("run-7").await?;
    let due = Due::exactly(clock() + ms(150));
    bench.settle(failed(&delivery, due)).await?;
    let up = [Waiting { delivery: delivery.after(1), due }];
    bench.ports().ladder.postpone(&up).await?;

    bench.ports().ladder.postpone(&up).await?;

    receipt.give_back();
    let first = bench.back().await?;
    hold!(first.at >= due.at, "early, by {:?}", due.at.since(first.at));
    hold!(bench.through_the_fence(first).await?, "nobody had settled it");
    for another in bench.rest().await? {
        let Anything::Delivery(another) = another else {
            return Err(Breach("an event came, and its receipt was given back".into()));
        };
        hold!(!bench.through_the_fence(another).await?, "it was settled twice");
    }
    let books = bench.ports().journal.books().await?;
    same!((books.owed, books.delivered), (1, 1), "owed and delivered");
    same!(bench.standing(key("run-7", "one")).await?.attempts, 2, "attempts");
    Ok(())
}
