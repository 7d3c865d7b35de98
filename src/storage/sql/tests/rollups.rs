//! What charts are drawn from: added up for an endpoint, its application and its organisation, and read by spans.

use super::*;
use crate::storage::rollups::{BARS_MAX, Counted, Of, Rollups as _, SPAN, Tally};
use crate::storage::upkeep::{Old, Place as Walked, Upkeep as _};

/// The beginning of a span, and of an hour.
const BEGIN: Timestamp = Timestamp::from_seconds(1_789_999_200);
const HOUR: Duration = Duration::from_hours(1);

/// So many requests of this endpoint, each of a kind, that took 60 ms.
fn counted(endpoint: &str, at: Timestamp, [delivered, failed, given_up]: [u64; 3]) -> Counted {
    let mut tally = Tally { delivered, failed, given_up, ..Tally::default() };
    (0..tally.all()).for_each(|_| tally.took(60));
    let application = application("acme").id;
    Counted { at, application, endpoint: endpoint_id(endpoint), tally }
}

impl Place {
    /// What one was told for each bar: delivered, failed, given up.
    async fn bars(&self, of: Of, until: Timestamp, step: Duration) -> Vec<[u64; 3]> {
        let tallies = self.tallies(of, BEGIN, until, step).await.expect("read");
        for (number, (at, tally)) in tallies.iter().enumerate() {
            assert_eq!(
                *at,
                BEGIN + step * u32::try_from(number).expect("few"),
                "no bar is missing"
            );
            assert_eq!(tally.durations[1], tally.all(), "60 ms are in the second class");
        }
        tallies.iter().map(|(_, one)| [one.delivered, one.failed, one.given_up]).collect()
    }
}

#[tokio::test]
async fn what_is_counted_is_added_to_what_is_there_for_all_whose_it_is() {
    let place = Place::new();
    for name in ["a", "b"] {
        place.have_endpoint(name).await;
    }
    let first = [
        counted("a", BEGIN, [3, 1, 0]),
        counted("b", BEGIN, [1, 0, 1]),
        counted("a", BEGIN + SPAN, [0, 2, 0]),
    ];

    place.add_up(&first).await.expect("added");
    place.add_up(&[counted("a", BEGIN, [10, 0, 0])]).await.expect("added");

    let until = BEGIN + 3 * SPAN;
    let own = |name| Of::Endpoint(acme(), endpoint_id(name));
    assert_eq!(place.bars(own("a"), until, SPAN).await, [[13, 1, 0], [0, 2, 0], [0; 3]]);
    assert_eq!(place.bars(own("b"), until, SPAN).await, [[1, 0, 1], [0; 3], [0; 3]]);
    let all = [[14, 1, 1], [0, 2, 0], [0; 3]];
    assert_eq!(place.bars(Of::Tenant(acme()), until, SPAN).await, all);
    let organisation = Of::Organisation(OrganisationId::DEFAULT);
    assert_eq!(place.bars(organisation, until, SPAN).await, all);
}

#[tokio::test]
async fn bars_are_as_wide_as_they_were_asked_for_and_bounded_in_number() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let last = BEGIN + 2 * HOUR - SPAN;
    place
        .add_up(&[
            counted("a", BEGIN - SPAN, [100, 0, 0]), // before
            counted("a", BEGIN, [1, 0, 0]),
            counted("a", BEGIN + HOUR - SPAN, [2, 0, 0]),
            counted("a", BEGIN + HOUR, [4, 0, 0]),
            counted("a", last, [8, 0, 0]),
            counted("a", BEGIN + 2 * HOUR, [100, 0, 0]), // behind
        ])
        .await
        .expect("added");
    let of = Of::Tenant(acme());

    let hours = place.bars(of, BEGIN + 2 * HOUR, HOUR).await;
    assert_eq!(hours, [[3, 0, 0], [12, 0, 0]]);
    // A bar that has begun is whole: who asks until now sees what there is of the last one.
    assert_eq!(place.bars(of, BEGIN + HOUR + SECOND, HOUR).await, [[3, 0, 0], [12, 0, 0]]);
    assert_eq!(
        place.bars(of, BEGIN, HOUR).await,
        [[0; 3]; 0],
        "nothing between a moment and itself"
    );
    let many = place.bars(of, BEGIN + 2_000 * HOUR, HOUR).await;
    assert_eq!(many.len(), BARS_MAX);
    let finer = place.tallies(of, BEGIN, BEGIN + SPAN, SECOND).await.expect("read");
    assert_eq!(finer.len(), 1, "nothing is finer than it was counted");
}

#[tokio::test]
async fn another_tenants_endpoint_has_counted_nothing() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let other = application("other");
    place.add_application(&other).await.expect("added");
    place.add_up(&[counted("a", BEGIN, [5, 0, 0])]).await.expect("added");

    let theirs = Of::Endpoint(other.tenant(), endpoint_id("a"));
    assert_eq!(place.bars(theirs, BEGIN + SPAN, SPAN).await, [[0; 3]]);
    assert_eq!(place.bars(Of::Tenant(other.tenant()), BEGIN + SPAN, SPAN).await, [[0; 3]]);
    let stranger = Of::Organisation(OrganisationId::derived(&[b"theirs"]));
    assert_eq!(place.bars(stranger, BEGIN + SPAN, SPAN).await, [[0; 3]]);
    let never = Of::Endpoint(acme(), endpoint_id("never"));
    assert_eq!(place.bars(never, BEGIN + SPAN, SPAN).await, [[0; 3]]);
}

#[tokio::test]
async fn what_is_old_goes_in_small_steps() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let spans: Vec<_> = (0..100).map(|n| counted("a", BEGIN + n * SPAN, [1, 0, 0])).collect();
    place.add_up(&spans).await.expect("added");
    let before = BEGIN + 60 * SPAN;
    let old = Old {
        now: before,
        events: LONG_AGO,
        dead_letters: LONG_AGO,
        requests: LONG_AGO,
        replays: LONG_AGO,
        deeds: LONG_AGO,
        inspected: LONG_AGO,
        rollups: before,
    };

    let (mut steps, mut removed) = (0, 0);
    loop {
        let swept = place.sweep(old, Walked::START).await.expect("swept");
        assert!(swept.removed.rollups <= 100, "a small step");
        removed += swept.removed.rollups;
        steps += 1;
        if swept.caught_up {
            break;
        }
    }

    assert_eq!((removed, steps), (180, 2), "of the endpoint, its application and its organisation");
    let left = place.bars(Of::Tenant(acme()), BEGIN + 100 * SPAN, SPAN).await;
    assert_eq!(left.iter().position(|bar| bar[0] == 1), Some(60));
    assert_eq!(left.iter().map(|bar| bar[0]).sum::<u64>(), 40);
}
