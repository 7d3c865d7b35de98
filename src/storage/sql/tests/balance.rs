//! Whatever happens in whatever order, the books are balanced, and say what the table says.

use super::*;
use crate::domain::id::{EndpointId, ReplayId};
use crate::domain::replay::Scope;
use crate::storage::dead_letters::DeadLetterFilter;
use crate::storage::history::History;
use crate::storage::journal::{Books, Ledger};
use crate::storage::replays::{NewReplay, Replays};
use crate::storage::upkeep::{self, Old, Upkeep};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Accept { event: u8, endpoints: u8 },
    Record { event: u8, endpoint: u8, turn: u32, how: u8 },
    HandedOn { event: u8, endpoint: u8, turn: u32 },
    Claim { seconds: u32 },
    Replay { endpoint: Option<u8> },
    Recall { endpoint: u8 },
    Cancel { endpoint: u8 },
    Sweep { seconds: u32 },
    Expunge { event: u8 },
    Offer { scope: Scope, endpoint: u8, to: Option<u8> },
    ByHand { event: u8, endpoint: u8, succeeds: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (event, endpoint, turn) = (0..6_u8, 0..3_u8, 0..5_u32);
    let step = prop_oneof![
        4 => (event.clone(), 0..8_u8)
            .prop_map(|(event, endpoints)| Step::Accept { event, endpoints }),
        12 => (event.clone(), endpoint.clone(), turn.clone(), 0..6_u8)
            .prop_map(|(event, endpoint, turn, how)| Step::Record { event, endpoint, turn, how }),
        4 => (event.clone(), endpoint.clone(), any::<bool>())
            .prop_map(|(event, endpoint, succeeds)| Step::ByHand { event, endpoint, succeeds }),
        2 => (event.clone(), endpoint.clone(), turn)
            .prop_map(|(event, endpoint, turn)| Step::HandedOn { event, endpoint, turn }),
        2 => (0..200_u32).prop_map(|seconds| Step::Claim { seconds }),
        2 => proptest::option::of(endpoint.clone()).prop_map(|endpoint| Step::Replay { endpoint }),
        1 => endpoint.clone().prop_map(|endpoint| Step::Recall { endpoint }),
        1 => endpoint.clone().prop_map(|endpoint| Step::Cancel { endpoint }),
        1 => (0..8_u32).prop_map(|seconds| Step::Sweep { seconds }),
        1 => event.prop_map(|event| Step::Expunge { event }),
        4 => (proptest::sample::select(&Scope::ALL), endpoint.clone(), proptest::option::of(endpoint))
            .prop_map(|(scope, endpoint, to)| Step::Offer { scope, endpoint, to }),
    ];
    proptest::collection::vec(step, 1..60)
}

fn name(number: u8) -> String {
    format!("n{number}")
}

fn endpoint_of(number: u8) -> EndpointId {
    endpoint_id(&name(number))
}

fn key_of(event_number: u8, endpoint: u8) -> DeliveryKey {
    key(&event(&name(event_number)), &name(endpoint))
}

async fn take(place: &Place, step: Step) {
    match step {
        Step::Accept { event: number, endpoints } => {
            let names: Vec<_> = (0..3).filter(|bit| endpoints >> bit & 1 == 1).map(name).collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            place.accept(vec![owed(&event(&name(number)), &names)]).await.expect("accepted");
        }
        Step::Record { event, endpoint, turn, how } => {
            let key = key_of(event, endpoint);
            let settled = match how {
                0 => delivered(key, turn),
                1 => failed(key, turn),
                2 => paused(key, turn),
                3 => settled(key, turn, None, Settlement::Cancelled),
                _ => given_up(key, turn),
            };
            place.settle(settled).await;
        }
        Step::ByHand { event, endpoint, succeeds } => {
            let key = key_of(event, endpoint);
            // What was expunged cannot be sent again.
            let asked = place.resend(acme(), key, NOW).await;
            assert!(matches!(asked, Ok(_) | Err(StorageError::Conflict(_))), "{asked:?}");
            for resend in place.claim_resends(NOW, NOW + SECOND, 10).await.expect("claimed") {
                let (key, turn) = (resend.delivery.key(), resend.delivery.turn.0);
                let settled = if succeeds {
                    delivered(key, turn)
                } else {
                    settled(key, turn, Some(FAILURE), Settlement::Unchanged)
                };
                let trigger = Trigger::ByHand(resend.number);
                place.settle(Settled { trigger, ..settled }).await;
            }
        }
        Step::HandedOn { event, endpoint, turn } => {
            place.handed_on(vec![(key_of(event, endpoint), Turn(turn))]).await.expect("noted");
        }
        Step::Claim { seconds } => {
            let now = NOW + seconds * SECOND;
            place.claim(overdue(now, now), now + 60 * SECOND, 3).await.expect("claimed");
        }
        Step::Replay { endpoint } => {
            let endpoint = endpoint.map(endpoint_of);
            let filter = DeadLetterFilter { endpoint, ..DeadLetterFilter::default() };
            Ledger::replay(&place.store, &filter, NOW).await.expect("replayed");
        }
        Step::Recall { endpoint } => {
            place.recall(endpoint_of(endpoint), NOW).await.expect("recalled");
        }
        Step::Cancel { endpoint } => {
            place.cancel(endpoint_of(endpoint), NOW).await.expect("cancelled");
        }
        Step::Sweep { seconds } => {
            let before = NOW + seconds * SECOND;
            let old = Old {
                now: before,
                events: before,
                dead_letters: before,
                requests: before,
                replays: before,
                deeds: before,
                inspected: before,
                rollups: before,
            };
            place.sweep(old, upkeep::Place::START).await.expect("swept");
        }
        Step::Expunge { event: number } => {
            place.expunge_payload(acme(), event(&name(number)).id).await.expect("forgotten");
        }
        Step::Offer { scope, endpoint, to } => {
            let forget = |connection: &Connection| {
                connection.execute("DELETE FROM replays", [])?;
                connection.execute("DELETE FROM replay_endpoints", [])?;
                Ok(())
            };
            place.write(forget).await.expect("room for one of the same id");
            let id = ReplayId::from_bytes([1; 20]);
            let replay = replays::of(id, scope, endpoint_of(endpoint), LONG_AGO);
            let replay = NewReplay { to: to.map(endpoint_of), ..replay };
            place.begin(replay, NOW).await.expect("begun");
            place.step(id, 500, NOW).await.expect("taken");
        }
    }
}

/// The books as the deliveries themselves say them. What is finished may have been removed: of that, the
/// `books` say how much there was.
fn counted(place: &Place, books: Books) -> Books {
    let count = |condition: &str| {
        let sql = format!("SELECT count(*) FROM deliveries WHERE {condition}");
        place.ask::<i64>(&sql).unsigned_abs()
    };
    let (owed, delivered, cancelled) =
        (count("state >= 0"), count("state = 2"), count("state = 4"));
    let removed = books.owed - owed;
    let accounted = (books.delivered - delivered) + (books.cancelled - cancelled) + books.discarded;
    assert_eq!(removed, accounted, "only what is finished goes");
    Books {
        pending: count("state = 0"),
        waiting: count("state = 1"),
        dead: count("state = 3"),
        ..books
    }
}

proptest! {
    // Each case is a database with some twenty commits: 48 take about two seconds.
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_books_are_balanced_whatever_happens(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let place = Place::new();
            for number in 0..3 {
                place.have_endpoint(&name(number)).await;
            }
            let mut turns = std::collections::HashMap::new();
            for step in steps {
                take(&place, step.clone()).await;
                let books = place.books().await.expect("books");
                prop_assert_eq!(books.unaccounted(), 0, "{:?}", step);
                prop_assert_eq!(books, counted(&place, books), "{:?}", step);
                let dead = place.count_dead_letters(&DeadLetterFilter::default()).await;
                prop_assert_eq!(dead, Ok(books.dead), "{:?}", step);
                // No step takes a turn back: the fence would let an old copy through.
                for event in 0..6 {
                    for endpoint in 0..3 {
                        let key = key_of(event, endpoint);
                        let stands = place.standings(vec![key]).await.expect("read")[0];
                        let Some(Standing { turn, .. }) = stands else {
                            turns.remove(&key); // not owed yet, or gone for good
                            continue;
                        };
                        let before = turns.insert(key, turn).unwrap_or(Turn::FIRST);
                        prop_assert!(turn >= before, "{step:?} {key:?}");
                    }
                }
            }
            Ok(())
        })?;
    }
}
