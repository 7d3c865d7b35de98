//! What operators look at one by one.

use super::super::attention::{FAILING, OVERDUE, SLOW, UNTRIED};
use super::*;
use crate::domain::id::OrganisationId;
use crate::storage::attention::{Attention, Death, Routed, TakenBack, WorstBy};
use crate::storage::inbox::{Publication, Publish as _};

#[tokio::test]
async fn one_delivery_is_taken_back_whoever_holds_it_and_its_turn_is_over() {
    let place = Place::new();
    let event = place.owe("run-7", &["pending", "waiting", "done"]).await;
    let to = |name: &str| key(&event, name);
    place.settle(failed(to("waiting"), 0)).await;
    place.settle(delivered(to("done"), 0)).await;

    for name in ["pending", "waiting"] {
        assert_eq!(place.take_back(acme(), to(name)).await, Ok(Some(TakenBack::Now)), "{name}");
        assert_eq!(place.standing(to(name)).await.state, DeliveryState::Cancelled, "{name}");
    }

    // Who has them in memory is too late.
    assert_eq!(place.settle(failed(to("pending"), 0)).await, Recorded::Stale);
    assert_eq!(place.settle(failed(to("waiting"), 1)).await, Recorded::Stale);
    let ended = Ok(Some(TakenBack::Ended(DeliveryState::Delivered)));
    assert_eq!(place.take_back(acme(), to("done")).await, ended);
    assert_eq!(place.take_back(acme(), to("nobody")).await, Ok(None));
    let theirs = application("theirs").tenant();
    assert_eq!(place.take_back(theirs, to("pending")).await, Ok(None));
    let books = place.books().await.expect("books");
    assert_eq!((books.cancelled, books.delivered, books.unaccounted()), (2, 1, 0));
}

#[tokio::test]
async fn how_it_was_given_up_and_how_far_an_event_came() {
    let place = Place::new();
    let event = place.owe("run-7", &["a"]).await;
    assert_eq!(place.death(key(&event, "a")).await, Ok(None));
    place.settle(given_up(key(&event, "a"), 0)).await;
    let death = Death { reason: DeathReason::AttemptsExhausted, at: NOW };
    assert_eq!(place.death(key(&event, "a")).await, Ok(Some(death)));

    assert_eq!(place.routed(event.id).await, Ok(Routed::Yes));
    let publication = Publication {
        application: "acme".into(),
        event_type: "job.completed".into(),
        event_id: "noted".into(),
        payload: Bytes::from_static(b"{}"),
        ..Publication::default()
    };
    let publisher = place.publisher(Arc::new(|| NOW));
    publisher.publish(&[publication]).await.expect("published");
    let noted: EventId = place
        .read(|connection| {
            Ok(connection.query_row(
                "SELECT id FROM events WHERE event_id = 'noted'",
                [],
                |row| row.get(0),
            )?)
        })
        .await
        .expect("read");
    assert_eq!(place.routed(noted).await, Ok(Routed::NotYet));
    place
        .write(|connection| {
            connection.execute_batch(
                "INSERT INTO quarantine SELECT event, 'unknown_application', 'gone', 0 FROM inbox; \
                 DELETE FROM inbox",
            )?;
            Ok(())
        })
        .await
        .expect("written");
    assert_eq!(place.routed(noted).await, Ok(Routed::Never("gone".into())));
}

#[tokio::test]
async fn the_worst_come_first_and_nobody_elses() {
    let place = Place::new();
    for name in ["one", "two", "three"] {
        let event = place.owe(name, &["bad"]).await;
        place.settle(failed(key(&event, "bad"), 0)).await;
    }
    let event = place.owe("four", &["good", "late"]).await;
    place.settle(delivered(key(&event, "good"), 0)).await;
    let look = async |organisation, by, now| {
        let looked = place.worst(organisation, by, 10, now).await.expect("read");
        assert!(looked.all, "few are looked at whole");
        let rows = looked.worst.into_iter();
        rows.map(|one| (one.uid.expect("listed"), one.count, one.since)).collect::<Vec<_>>()
    };
    let ours = OrganisationId::DEFAULT;
    let (due, later) = (NOW + 5 * SECOND, NOW + 60 * SECOND);
    let row = |name: &str, count, since| (name.to_owned(), count, since);

    assert_eq!(
        look(ours, WorstBy::Overdue, later).await,
        [row("bad", 3, due), row("late", 1, NOW + SECOND)]
    );
    assert_eq!(look(ours, WorstBy::Overdue, NOW).await, [row("late", 1, NOW + SECOND)]);
    assert_eq!(look(ours, WorstBy::Failures, later).await, [row("bad", 3, NOW)]);
    assert_eq!(look(ours, WorstBy::Latency, later).await.len(), 2, "those that have had requests");
    let looked = place.worst(ours, WorstBy::Latency, 1, later).await.expect("read");
    assert_eq!((looked.worst[0].mean_ms, looked.worst[0].max_ms), (Some(120), Some(120)));
    assert_eq!(looked.worst.len(), 1);
    let theirs = OrganisationId::derived(&[b"theirs"]);
    for by in WorstBy::ALL {
        assert_eq!(look(theirs, by, later).await, [], "{by:?}");
    }
}

#[test]
fn the_worst_are_looked_for_at_the_ends_of_indexes() {
    let place = Place::on_file();
    let connection = place.file();
    for (sql, look) in [
        (
            OVERDUE,
            "SEARCH deliveries USING COVERING INDEX deliveries_waiting (held_by=? AND due_at<?)",
        ),
        (UNTRIED, "SCAN deliveries USING COVERING INDEX deliveries_pending"),
        (FAILING, "SCAN failing"),
        (SLOW, "SCAN attempts"),
    ] {
        // What is sorted is what was looked at: the groups, behind the limit.
        let plan = long_history::plan(&connection, sql);
        assert!(plan.iter().any(|step| step == look), "{sql}:\n{plan:#?}");
        let scans = plan.iter().filter(|step| step.starts_with("SCAN")).count();
        assert!(scans <= 2, "one table, up to a bound, and what was found there:\n{plan:#?}");
        assert!(!plan.iter().any(|step| step.contains("ORDER BY")), "{sql}:\n{plan:#?}");
    }
}
