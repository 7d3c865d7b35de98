//! How much waits, counted up to a bound and by the ends of indexes.

use super::super::queues::{FIRST_PENDING, LATEST, PENDING, WAITING};
use super::*;
use crate::storage::queues::{COUNT_MAX, Count, Queues, Role, SPANS, Waits};

fn on_ladder(key: DeliveryKey, wait: Duration) -> Settled {
    let retry = Settlement::Retry(Due::exactly(NOW + wait));
    Settled { held_by: Holder::Ladder, ..settled(key, 0, Some(FAILURE), retry) }
}

#[tokio::test]
async fn what_waits_is_told_by_when_it_goes_on() {
    let place = Place::new();
    let waits = [0, 10, 11, 60, 3_599, 3_600, 86_400, 86_401];
    for (number, seconds) in waits.into_iter().enumerate() {
        let event = place.owe(&format!("w{number}"), &["a"]).await;
        place.settle(on_ladder(key(&event, "a"), Duration::from_secs(seconds))).await;
    }
    let event = place.owe("more", &["never-tried", "in-memory", "held"]).await;
    place.settle(failed(key(&event, "in-memory"), 0)).await;
    place.settle(paused(key(&event, "held"), 0)).await;

    let found = place.waiting(NOW).await.expect("read");

    let counts: Vec<_> = found.spans.iter().map(|span| span.count.least).collect();
    // 0 s · 10 s · 1 min · 10 min · 1 h · 6 h · 24 h · later
    assert_eq!(counts, [1, 1, 2, 0, 2, 0, 1, 1]);
    let ends: Vec<_> = found.spans.iter().map(|span| span.until).collect();
    assert_eq!(ends, SPANS.into_iter().map(Some).chain([None]).collect::<Vec<_>>());
    assert_eq!(found.pending, Count::exactly(1));
    let both = found.in_memory.and(found.held_back);
    assert_eq!(both, Count::exactly(2), "between two attempts, and for a person: {found:?}");
    assert!(found.spans.iter().all(|span| !span.count.or_more));
}

#[tokio::test]
async fn the_latest_is_the_one_that_could_have_been_sent_for_longest() {
    let place = Place::new();
    assert_eq!(place.oldest_late(NOW).await, Ok(None), "nothing waits");
    let event = place.owe("due", &["a"]).await;
    place.settle(on_ladder(key(&event, "a"), Duration::from_secs(5))).await;
    assert_eq!(place.oldest_late(NOW).await, Ok(None), "nothing is late");
    assert_eq!(place.oldest_late(NOW + 9 * SECOND).await, Ok(Some(NOW + 5 * SECOND)));
    place.owe("pending", &["a"]).await; // received a second behind NOW
    assert_eq!(place.oldest_late(NOW + 9 * SECOND).await, Ok(Some(NOW + SECOND)));
}

#[tokio::test]
async fn rows_are_counted_up_to_a_bound() {
    let place = Place::new();
    place
        .write(|connection| {
            connection.execute_batch(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10001) \
                 INSERT INTO inbox SELECT i FROM n",
            )?;
            Ok(())
        })
        .await
        .expect("laid");
    let depths = place.depths().await.expect("read");
    let of = |role| {
        let found = depths.queues.iter().find(|queue| queue.role == role);
        found.expect("one for each").ready
    };
    assert_eq!(of(Role::Inbox), Count { least: COUNT_MAX.into(), or_more: true });
    for role in [Role::Resends, Role::Tidings, Role::Quarantine] {
        assert_eq!(of(role), Count::exactly(0), "{role:?}");
    }
    assert!(depths.missing.is_empty());
}

#[test]
fn what_waits_is_counted_by_indexes() {
    let place = Place::on_file();
    let connection = place.file();
    let waiting = "SEARCH deliveries USING COVERING INDEX deliveries_waiting";
    for (sql, wanted) in [
        (WAITING, format!("{waiting} (held_by=? AND due_at>? AND due_at<?)")),
        (PENDING, "SCAN deliveries USING COVERING INDEX deliveries_pending".to_owned()),
        (LATEST, format!("{waiting} (held_by=? AND due_at<?)")),
        (FIRST_PENDING, "SCAN deliveries USING COVERING INDEX deliveries_pending".to_owned()),
    ] {
        let plan = long_history::plan(&connection, sql);
        assert!(plan.contains(&wanted), "{sql}:\n{plan:#?}");
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{sql}:\n{plan:#?}");
    }
}
