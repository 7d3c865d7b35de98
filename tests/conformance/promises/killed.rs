//! What outlives a kill: everything that was answered, and everything that was not finished.

use std::collections::BTreeSet;
use std::time::Duration;

use posthaste::domain::delivery::{Delivery, DeliveryState, Fence, Standing, Turn};
use posthaste::domain::id::EndpointId;
use posthaste::domain::retry::Due;
use posthaste::storage::dead_letters::DeadLetterFilter;
use posthaste::storage::journal::Acceptance;

use crate::bench::{Back, Bench, Way, delivered, endpoint, failed, given_up, key};
use crate::breach::{Breach, Kept, hold, same};
use crate::support::clock;

pub(crate) async fn what_was_confirmed_survives_a_kill(bench: &mut Bench) -> Kept {
    let names: Vec<_> = (0..20).map(|number| format!("run-{number}")).collect();
    bench.publish(&names.iter().map(String::as_str).collect::<Vec<_>>()).await?;

    bench.kill().await;

    for name in &names {
        let came = bench.event_named(name).await?;
        same!(bench.accept(&came.event, &["one"]).await?, Acceptance::New, name);
    }
    bench.nothing_arrives().await
}

pub(crate) async fn what_was_not_finished_comes_again_after_a_kill_and_what_was_does_not(
    bench: &mut Bench,
) -> Kept {
    bench.publish(&["untouched"]).await?;
    let untouched = bench.event_named("untouched").await?;
    let pending = bench.owing("pending", &["one"]).await?;
    let half = bench.owing("half", &["one", "two"]).await?;
    bench.settle(delivered(&Delivery::first(half.event.clone(), endpoint("one")))).await?;
    let finished = bench.owing("finished", &["one"]).await?;
    bench.settle(delivered(&Delivery::first(finished.event, endpoint("one")))).await?;
    finished.receipt.give_back();
    bench.owing("wanted by nobody", &[]).await?.receipt.give_back();
    drop([untouched, pending, half].map(|came| came.receipt));
    bench.house.heard().await;

    bench.kill().await;

    let stands = |name, turn, state| {
        let standing = Standing { turn: Turn(turn), attempts: turn, state };
        (endpoint(name), standing)
    };
    let mut again = BTreeSet::new();
    for came in bench.events(3).await? {
        let name = came.event.event_id.clone().unwrap_or_default();
        let accepted = sorted(bench.accept(&came.event, &["one"]).await?);
        match &*name {
            "untouched" => same!(accepted, Acceptance::New, name),
            "pending" => {
                let one = stands("one", 0, DeliveryState::Pending);
                same!(accepted, Acceptance::Known(vec![one]), name);
                hold!(came.redelivered, "{name} was handed out before, and does not say so");
            }
            "half" => {
                let one = stands("one", 1, DeliveryState::Delivered);
                let two = stands("two", 0, DeliveryState::Pending);
                same!(accepted, sorted(Acceptance::Known(vec![one, two])), name);
                hold!(came.redelivered, "{name} was handed out before, and does not say so");
            }
            other => return Err(Breach(format!("{other} came again, and was finished"))),
        }
        hold!(again.insert(name.clone()), "{name} came twice");
    }
    bench.nothing_arrives().await
}

fn sorted(mut acceptance: Acceptance) -> Acceptance {
    if let Acceptance::Known(standings) = &mut acceptance {
        standings.sort_by_key(|(endpoint, _): &(EndpointId, Standing)| *endpoint);
    }
    acceptance
}

pub(crate) async fn nothing_comes_twice_in_the_life_after_a_kill(bench: &mut Bench) -> Kept {
    bench.owing("pending", &["one"]).await?;
    bench.publish(&["run-1", "run-2", "run-3"]).await?;
    bench.event_named("run-1").await?;

    bench.kill().await;

    let mut came_again = BTreeSet::new();
    for _ in 0..4 {
        let came = bench.event().await?;
        let name = came.event.event_id.clone().unwrap_or_default();
        bench.accept(&came.event, &["one"]).await?; // pending from now on, as the first one is
        hold!(came_again.insert(name.clone()), "{name} came twice");
    }
    bench.publish(&["run-4"]).await?;
    bench.event_named("run-4").await?;
    bench.nothing_arrives().await
}

pub(crate) async fn what_waits_comes_back_after_a_kill(bench: &mut Bench) -> Kept {
    for way in bench.ways() {
        let (delivery, receipt) = bench.delivery(&format!("{way:?}")).await?;
        let (waiting, due_at) = bench.postpone_by(delivery, 400, *way).await?;
        receipt.give_back();
        bench.house.heard().await;

        bench.kill().await;

        let back = bench.back().await?;
        hold!(back.at >= due_at, "early, by {:?}", due_at.since(back.at));
        same!(format!("{:?}", back.delivery), format!("{waiting:?}"), "what came back");
        hold!(bench.through_the_fence(back).await?, "it is its turn");
    }
    Ok(())
}

pub(crate) async fn what_came_back_and_was_not_settled_comes_back_again(bench: &mut Bench) -> Kept {
    for way in bench.ways() {
        let (delivery, receipt) = bench.delivery(&format!("{way:?}")).await?;
        let (waiting, _) = bench.postpone_by(delivery, 50, *way).await?;
        receipt.give_back();
        bench.house.heard().await;
        let Back { delivery, receipt, .. } = bench.back().await?;
        same!(format!("{delivery:?}"), format!("{waiting:?}"), "what came back");
        drop(receipt);

        bench.kill().await;

        let again = bench.back().await?;
        same!(format!("{:?}", again.delivery), format!("{waiting:?}"), "what came back again");
        hold!(bench.through_the_fence(again).await?, "it is still its turn");
        bench.nothing_arrives().await?;
    }
    Ok(())
}

pub(crate) async fn killed_between_record_and_ladder_somebody_has_it(bench: &mut Bench) -> Kept {
    let (delivery, _receipt) = bench.delivery("run-7").await?;
    let key = delivery.key();
    let due = Due::exactly(clock() + Duration::from_millis(300));
    bench.settle(failed(&delivery, due)).await?;

    bench.kill().await;

    if bench.ports().ladder.is_the_journal() {
        let back = bench.back().await?;
        hold!(back.at >= due.at, "early, by {:?}", due.at.since(back.at));
        same!((back.delivery.turn, back.delivery.attempts), (Turn(1), 1), "turn and attempts");
        hold!(bench.through_the_fence(back).await?, "it is its turn");
    } else {
        let came = bench.event_named("run-7").await?;
        let known = bench.accept(&came.event, &["one"]).await?;
        let Acceptance::Known(standings) = known else {
            return Err(Breach("what was recorded is new again".into()));
        };
        let (_, standing) = standings[0];
        same!(standing.judge(Turn(0)), Fence::TakeOver, "the copy that came again");
        let taken_over = Delivery { turn: standing.turn, attempts: 1, ..delivery };
        bench.settle(delivered(&taken_over)).await?;
        came.receipt.give_back();
    }
    bench.is(key, DeliveryState::Delivered).await?;
    bench.nothing_arrives().await
}

pub(crate) async fn what_is_on_record_survives_a_kill(bench: &mut Bench) -> Kept {
    let mut keys = Vec::new();
    for name in ["pending", "waiting", "delivered", "dead", "handed on"] {
        let (delivery, receipt) = bench.delivery(name).await?;
        keys.push(key(name, "one"));
        let later = Due::exactly(clock() + Duration::from_mins(10));
        match name {
            "waiting" => bench.settle(failed(&delivery, later)).await?,
            "delivered" => bench.settle(delivered(&delivery)).await?,
            "dead" => bench.settle(given_up(&delivery)).await?,
            "handed on" => drop(bench.postpone(vec![(delivery, later)], Way::ByHand).await?),
            _ => {}
        }
        receipt.give_back();
    }
    let before = Found::of(bench, &keys).await?;

    bench.kill().await;

    same!(Found::of(bench, &keys).await?, before, "what is on record");
    Ok(())
}

/// What can be asked of the record, as far as it is the same in the next life.
#[derive(Debug, PartialEq)]
struct Found {
    standings: Vec<Option<(Turn, u32, &'static str)>>,
    attempts: Vec<usize>,
    dead: Vec<String>,
    books: String,
}

impl Found {
    async fn of(bench: &Bench, keys: &[posthaste::domain::delivery::DeliveryKey]) -> Kept<Self> {
        let ports = bench.ports();
        let standings = ports.journal.standings(keys.to_vec()).await?;
        let mut attempts = Vec::new();
        for key in keys {
            attempts.push(ports.ledger.attempts(*key).await?.len());
        }
        let dead = ports.ledger.dead_letters(&DeadLetterFilter::default(), None, 10).await?;
        Ok(Self {
            standings: standings
                .into_iter()
                .map(|found| found.map(|one| (one.turn, one.attempts, one.state.as_str())))
                .collect(),
            attempts,
            dead: dead.iter().map(|letter| format!("{letter:?}")).collect(),
            books: format!("{:?}", ports.journal.books().await?),
        })
    }
}
