//! What publishing and the inbox promise: everything arrives, as it was meant, in its order, once.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use posthaste::domain::delivery::{Delivery, DeliveryState, Standing, Turn};
use posthaste::domain::event::{Rejection, id_of_sourced};
use posthaste::domain::id::EventId;
use posthaste::domain::time::Timestamp;
use posthaste::storage::StorageError;
use posthaste::storage::inbox::{Publication, Published};
use posthaste::storage::journal::{Acceptance, Owed};

use crate::bench::{Bench, acme, delivered, endpoint, event_id, given_up, owed, publication};
use crate::breach::{Breach, Kept, hold, same};
use crate::support::clock;

/// Events in a backlog: many pages of the embedded inbox, and more than a broker hands out at once.
const BACKLOG: usize = 5_000;
/// Events in one call of `publish`, and arrivals in one batch, as ingest takes them.
const CALL: usize = 500;
const BATCH: usize = 256;

pub(crate) async fn what_is_published_arrives_byte_for_byte_with_its_fields(
    bench: &mut Bench,
) -> Kept {
    let odd = "{ \"amount\": 1250.50,\n\t\"n\": 1e2, \"ü\": \"\\u00fc\", \"ü\": \"twice\" } ";
    let large = format!("[\"{}\"]", "x".repeat(200_000));
    let ours = EventId::derived(&[b"made for it"]).to_string();
    let meant = [
        Publication { payload: Bytes::from(odd), ..publication("plain") },
        Publication {
            event_type: "job.sub-type.x_1".into(),
            subject: Some("job-17 ü".into()),
            occurred_at: Some(Timestamp::from_millis(1_787_307_072_345)),
            deliver_at: Some(Timestamp::from_millis(1_987_307_072_001)),
            payload: Bytes::from(large),
            ..publication("full")
        },
        Publication { event_id: ours.clone(), ..publication("named by us") },
    ];
    let before = clock();

    bench.ports().publisher.publish(&meant).await?;

    for meant in &meant {
        let came = bench.event().await?;
        let event = &came.event;
        same!(event.id, event_id(&meant.event_id), "the event's id");
        same!(event.application, acme().id, "its application");
        same!(event.event_type.as_str(), meant.event_type, "its type");
        let named = (meant.event_id != ours).then_some(meant.event_id.as_str());
        same!(event.event_id.as_deref(), named, "its producer's id");
        same!(event.subject.as_deref(), meant.subject.as_deref(), "its subject");
        same!(event.deliver_at, meant.deliver_at, "when it may be delivered");
        same!(event.expires_at, None, "when it expires");
        hold!(event.payload == meant.payload, "its payload has other bytes");
        hold!(!came.redelivered, "it was never handed out before");
        let received = event.received_at;
        hold!(received >= before && received <= clock(), "received at {received}, not just now");
        same!(event.occurred_at, meant.occurred_at.unwrap_or(received), "when it happened");
    }
    bench.nothing_arrives().await
}

pub(crate) async fn events_arrive_in_the_order_of_their_publishing(bench: &mut Bench) -> Kept {
    let names: Vec<_> = (0..40).map(|number| format!("run-{number}")).collect();
    let (together, singly) = names.split_at(20);
    bench.publish(&together.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    for name in singly {
        bench.publish(&[name]).await?;
    }
    for name in &names {
        bench.event_named(name).await?.receipt.give_back();
    }
    Ok(())
}

pub(crate) async fn an_event_that_is_published_twice_is_accepted_once(bench: &mut Bench) -> Kept {
    bench.publish(&["run-7", "run-8", "run-7"]).await?;
    bench.publish(&["run-7"]).await?;
    bench.publish(&["run-9"]).await?;
    let mut new = BTreeMap::new();
    loop {
        let came = bench.event().await?;
        let name = came.event.event_id.clone().unwrap_or_default();
        match bench.accept(&came.event, &["one"]).await? {
            Acceptance::New => *new.entry(name.clone()).or_insert(0) += 1,
            Acceptance::Known(standings) => same!(standings, pending(&["one"]), "standings"),
        }
        came.receipt.give_back();
        if &*name == "run-9" {
            break;
        }
    }
    hold!(new.len() == 3 && new.values().all(|count| *count == 1), "accepted as new: {new:?}");
    same!(bench.ports().journal.books().await?.owed, 3, "deliveries owed");
    bench.nothing_arrives().await
}

pub(crate) async fn a_cloudevent_is_one_event_by_its_source_and_id_and_keeps_its_attributes(
    bench: &mut Bench,
) -> Kept {
    let from = |source: &str| Publication {
        attributes: vec![("source".into(), source.into()), ("tenant".into(), "eu/north ü".into())]
            .into(),
        content_type: Some("application/vnd.job+json".into()),
        ..publication("run-7")
    };
    for source in ["/a", "/a", "/b"] {
        bench.ports().publisher.publish(&[from(source)]).await?;
    }
    bench.publish(&["run-7", "run-9"]).await?;

    let mut new = BTreeSet::new();
    loop {
        let came = bench.event().await?;
        let event = &came.event;
        if event.event_id.as_deref() == Some("run-9") {
            break;
        }
        same!(event.event_id.as_deref(), Some("run-7"), "its producer's id");
        let source = event.attributes.iter().find(|(name, _)| &**name == "source");
        let expected = source.map_or_else(Vec::new, |(_, source)| from(source).attributes.to_vec());
        same!(event.attributes.to_vec(), expected, "its attributes");
        if let Some((_, source)) = source {
            let id = id_of_sourced(acme().id, source, "run-7");
            same!(event.id, id, "the id of its source and its own");
            let kind = event.content_type.as_deref();
            same!(kind, Some("application/vnd.job+json"), "its media type");
        }
        if bench.accept(event, &["one"]).await? == Acceptance::New {
            new.insert(event.id);
        }
        came.receipt.give_back();
    }
    same!(new.len(), 3, "of two sources, and of none");
    Ok(())
}

pub(crate) async fn an_event_twice_in_one_batch_is_new_once(bench: &mut Bench) -> Kept {
    bench.publish(&["run-7", "run-8"]).await?;
    let (seven, eight) = (bench.event().await?.event, bench.event().await?.event);
    let batch = vec![owed(&seven, &["one"]), owed(&eight, &["two"]), owed(&seven, &["one"])];

    let answers = bench.ports().journal.accept(batch).await?;

    let known = Acceptance::Known(pending(&["one"]));
    same!(answers, vec![Acceptance::New, Acceptance::New, known], "answers in their order");
    same!(bench.ports().journal.books().await?.owed, 2, "deliveries owed");
    Ok(())
}

pub(crate) async fn a_known_event_says_how_its_deliveries_stand(bench: &mut Bench) -> Kept {
    let came = bench.owing("run-7", &["one", "two"]).await?;
    bench.settle(delivered(&Delivery::first(came.event.clone(), endpoint("one")))).await?;
    bench.settle(given_up(&Delivery::first(came.event.clone(), endpoint("two")))).await?;

    // What is wanted now is of no matter: what was owed is.
    let Acceptance::Known(mut found) = bench.accept(&came.event, &["one"]).await? else {
        return Err(Breach("an event that was accepted is new again".into()));
    };

    let stands = |state| Standing { turn: Turn(1), attempts: 1, state };
    let mut expected = vec![
        (endpoint("one"), stands(DeliveryState::Delivered)),
        (endpoint("two"), stands(DeliveryState::Dead)),
    ];
    found.sort_by_key(|(endpoint, _)| *endpoint);
    expected.sort_by_key(|(endpoint, _)| *endpoint);
    same!(found, expected, "how they stand");
    Ok(())
}

pub(crate) async fn publishing_again_says_what_it_can_tell(bench: &mut Bench) -> Kept {
    let publisher = bench.ports().publisher.clone();
    let keyed =
        |key: &str| Publication { idempotency_key: Some(key.into()), ..publication("run-7") };
    let told = if bench.character.knows_the_published {
        [Published::Now, Published::Before, Published::Taken, Published::Taken]
    } else {
        [Published::Now; 4]
    };

    same!(publisher.publish(&[keyed("k1")]).await?, vec![told[0]], "the first time");
    same!(publisher.publish(&[keyed("k1")]).await?, vec![told[1]], "the same request again");
    same!(publisher.publish(&[keyed("k2")]).await?, vec![told[2]], "another request");
    same!(publisher.publish(&[publication("run-7")]).await?, vec![told[3]], "one without a key");

    bench.kill().await;
    let publisher = bench.ports().publisher.clone();
    same!(publisher.publish(&[keyed("k1")]).await?, vec![told[1]], "again after a kill");
    let batch = [publication("run-8"), keyed("k1")];
    same!(publisher.publish(&batch).await?, vec![Published::Now, told[1]], "beside another");
    Ok(())
}

pub(crate) async fn a_batch_that_stands_and_falls_as_one_is_published_whole_or_not_at_all(
    bench: &mut Bench,
) -> Kept {
    bench.publish(&["run-1"]).await?;
    let batch = ["run-2", "run-1", "run-3"].map(publication);
    let publisher = bench.ports().publisher.clone();

    let answers = publisher.publish_whole(&batch).await?;

    let mut expected = vec!["run-1"];
    if bench.character.knows_the_published {
        same!(answers, [Published::Now, Published::Taken, Published::Now], "one is taken");
    } else {
        same!(answers, [Published::Now; 3], "a broker's answers");
        expected.extend(["run-2", "run-1", "run-3"]);
    }
    let answers = publisher.publish_whole(&["run-4", "run-5"].map(publication)).await?;
    same!(answers, [Published::Now; 2], "none is taken");
    for name in expected.into_iter().chain(["run-4", "run-5"]) {
        bench.event_named(name).await?;
    }
    bench.nothing_arrives().await
}

pub(crate) async fn what_can_never_be_an_event_is_refused_with_its_whole_batch(
    bench: &mut Bench,
) -> Kept {
    let mut never = vec![
        Publication { event_type: "job..completed".into(), ..publication("no type") },
        Publication { event_type: String::new(), ..publication("none either") },
        Publication { event_id: String::new(), ..publication("no id") },
        publication(&"x".repeat(256)),
    ];
    if bench.character.knows_applications {
        never.push(Publication { application: "nobody".into(), ..publication("no application") });
    }
    for never in never {
        let batch = [publication("run-7"), never.clone(), publication("run-8")];
        let refused = bench.ports().publisher.publish(&batch).await;
        hold!(matches!(refused, Err(StorageError::Conflict(_))), "{never:?}: {refused:?}");
    }
    bench.publish(&["run-9"]).await?;
    bench.event_named("run-9").await?;
    bench.nothing_arrives().await
}

pub(crate) async fn nothing_arrives_twice_in_one_life(bench: &mut Bench) -> Kept {
    let names: Vec<_> = (0..40).map(|number| format!("run-{number}")).collect();
    bench.publish(&names.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let mut receipts = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let came = bench.event_named(name).await?;
        match number % 3 {
            0 => {} // it is not even accepted
            1 => same!(bench.accept(&came.event, &["one"]).await?, Acceptance::New, "accepted"),
            _ => {
                same!(bench.accept(&came.event, &["one"]).await?, Acceptance::New, "accepted");
                bench.settle(delivered(&Delivery::first(came.event, endpoint("one")))).await?;
            }
        }
        receipts.push(came.receipt);
    }
    bench.nothing_arrives().await?;
    for receipt in receipts {
        receipt.give_back();
    }
    bench.house.heard().await;
    bench.nothing_arrives().await
}

pub(crate) async fn a_large_backlog_arrives_whole_and_in_order(bench: &mut Bench) -> Kept {
    let names: Vec<_> = (0..BACKLOG).map(|number| format!("run-{number}")).collect();
    for call in names.chunks(CALL) {
        bench.publish(&call.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    }
    let mut expected = names.iter();
    while expected.len() > 0 {
        let mut batch = vec![bench.event().await?];
        while batch.len() < BATCH
            && let Some(came) = bench.ready()?
        {
            batch.push(came);
        }
        let nobody_wants = |event| Owed { event, endpoints: Vec::new() };
        let owed: Vec<_> = batch.iter().map(|came| nobody_wants(came.event.clone())).collect();
        let answers = bench.ports().journal.accept(owed).await?;
        hold!(answers.iter().all(|answer| *answer == Acceptance::New), "known: {answers:?}");
        for came in batch {
            let name = expected.next().ok_or_else(|| Breach("more than was published".into()))?;
            same!(came.event.event_id.as_deref(), Some(name.as_str()), "the next of the backlog");
            came.receipt.give_back();
        }
    }
    bench.nothing_arrives().await
}

pub(crate) async fn what_is_in_quarantine_is_kept_and_never_comes_again(bench: &mut Bench) -> Kept {
    bench.publish(&["strange", "run-7"]).await?;
    let strange = bench.event_named("strange").await?;

    strange.original.quarantine(&Rejection::UnknownApplication("acme".into())).await?;
    strange.receipt.give_back();

    bench.house.heard().await;
    let kept = async |bench: &mut Bench| Ok(bench.house.quarantined().await == 1);
    bench.until("it is in quarantine", kept).await?;
    bench.event_named("run-7").await?;
    bench.nothing_arrives().await?;
    bench.kill().await;
    bench.event_named("run-7").await?;
    bench.nothing_arrives().await?;
    same!(bench.house.quarantined().await, 1, "messages in quarantine");
    Ok(())
}

fn pending(endpoints: &[&str]) -> Vec<(posthaste::domain::id::EndpointId, Standing)> {
    let standing = Standing { turn: Turn::FIRST, attempts: 0, state: DeliveryState::Pending };
    endpoints.iter().map(|name| (endpoint(name), standing)).collect()
}
