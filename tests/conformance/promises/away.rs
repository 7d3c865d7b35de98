//! What holds while a store is out of reach: calls wait or say so, nothing that was answered is lost,
//! and work goes on by itself when it is back.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join5;
use posthaste::domain::delivery::{Delivery, DeliveryState};
use posthaste::domain::retry::Due;
use posthaste::storage::StorageError;
use posthaste::storage::journal::Acceptance;
use posthaste::storage::ladder::Waiting;

use crate::bench::{
    Anything, Bench, delivered, endpoint, event_id, failed, key, owed, publication, taken,
};
use crate::breach::{Breach, Kept, hold, same};
use crate::support::{clock, until};

/// How long the store is away.
const AWAY: Duration = Duration::from_millis(300);

pub(crate) async fn while_the_store_is_away_calls_wait_or_say_so_and_then_everything_is_there(
    bench: &mut Bench,
) -> Kept {
    let waits = bench.owing("waits", &["one"]).await?;
    let waits = Delivery::first(waits.event, endpoint("one"));
    let due = Due::exactly(clock() + Duration::from_millis(100));
    bench.settle(failed(&waits, due)).await?;
    let up = [Waiting { delivery: waits.after(1), due }];
    let ends = bench.owing("ends", &["one"]).await?;
    let ends = Delivery::first(ends.event, endpoint("one"));
    bench.publish(&["came before"]).await?;
    let before = bench.event_named("came before").await?;
    let (to_publish, accepted) = ([publication("published")], owed(&before.event, &["two"]));
    let (journal, ladder) = (bench.ports().journal.clone(), bench.ports().ladder.clone());
    let publisher = bench.ports().publisher.clone();

    bench.house.go_away().await;
    let house = &mut bench.house;
    let settled = delivered(&ends);
    let (publishing, postponing, recording, accepting, ()) = join5(
        publisher.publish(&to_publish),
        ladder.postpone(&up),
        journal.record(vec![settled.clone()]),
        journal.accept(vec![accepted.clone()]),
        async {
            let back_at = clock() + AWAY;
            until("a while away", AWAY * 20, async || clock() >= back_at).await;
            house.come_back().await;
        },
    )
    .await;
    for error in [
        publishing.as_ref().err(),
        postponing.as_ref().err(),
        recording.as_ref().err(),
        accepting.as_ref().err(),
    ] {
        let Some(error) = error else { continue };
        hold!(matches!(error, StorageError::Unavailable(_)), "away, and it says {error:?}");
    }

    // Whoever was told so makes the same call again until it is done.
    let (was_told, is_told) = (publishing.is_err(), postponing.is_err());
    let publish_again =
        async |_: &mut Bench| Ok(!was_told || publisher.publish(&to_publish).await.is_ok());
    bench.until("publishing", publish_again).await?;
    let postpone_again = async |_: &mut Bench| Ok(!is_told || ladder.postpone(&up).await.is_ok());
    bench.until("postponing", postpone_again).await?;
    if recording.is_err() {
        journal.record(vec![settled]).await?;
    }
    if accepting.is_err() {
        journal.accept(vec![accepted]).await?;
    }
    bench.is(key("ends", "one"), DeliveryState::Delivered).await?;
    bench.is(key("came before", "two"), DeliveryState::Pending).await?;

    // What was unfinished may come again; what was published and what waited has to come.
    let (mut event_came, mut settled) = (false, 0);
    while !event_came || settled == 0 {
        match bench.anything().await? {
            Anything::Event(came) => {
                event_came |= came.event.id == event_id("published");
                let accepted = bench.accept(&came.event, &["one"]).await?;
                let is_new = came.event.id == event_id("published");
                hold!(is_new || accepted != Acceptance::New, "forgotten: {:?}", came.event);
            }
            Anything::Delivery(back) => {
                hold!(back.at >= due.at, "early, by {:?}", due.at.since(back.at));
                settled += u32::from(bench.through_the_fence(back).await?);
            }
        }
    }
    same!(settled, 1, "settlements of what waited");
    same!(bench.ports().journal.books().await?.owed, 4, "deliveries owed");
    Ok(())
}

pub(crate) async fn what_came_due_while_the_store_was_away_comes_when_it_is_back(
    bench: &mut Bench,
) -> Kept {
    let mut waiting = BTreeMap::new();
    for way in bench.ways() {
        let (delivery, receipt) = bench.delivery(&format!("{way:?}")).await?;
        let (delivery, due_at) = bench.postpone_by(delivery, 150, *way).await?;
        waiting.insert(delivery.key(), due_at);
        receipt.give_back();
    }
    bench.house.heard().await;

    bench.house.go_away().await;
    let last = waiting.values().max().copied().unwrap_or_default();
    let looked = tokio::time::timeout(AWAY, bench.inbox().next()).await;
    // What came before the store was away has ended the look at once.
    until("they are due", AWAY * 20, async || clock() >= last).await;
    bench.house.come_back().await;

    // What had arrived before is a router's; how it is settled is of no matter here.
    let mut found = match looked.ok().flatten().map(taken).transpose()? {
        Some(Anything::Delivery(back)) => usize::from(bench.through_the_fence(back).await?),
        Some(Anything::Event(came)) => {
            return Err(Breach(format!("it is finished: {:?}", came.event)));
        }
        None => 0,
    };
    while found < waiting.len() {
        let back = bench.back().await?;
        let due_at = waiting.get(&back.delivery.key()).copied().unwrap_or_default();
        hold!(back.at >= due_at, "early, by {:?}", due_at.since(back.at));
        found += usize::from(bench.through_the_fence(back).await?);
    }
    Ok(())
}
