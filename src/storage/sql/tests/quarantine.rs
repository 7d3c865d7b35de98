//! Events that nobody can route: looked at, published anew for somebody else, thrown away.

use super::super::quarantine::{LOOK, SqlQuarantine};
use super::*;
use crate::domain::event::id_of;
use crate::domain::id::HeldId;
use crate::storage::inbox::{Publication, Publish};
use crate::storage::quarantine::{Fix, LOOK_MAX, Quarantine, Shelf};

const LIMIT: usize = 1_000;

fn publication(application: &str, name: &str) -> Publication {
    Publication {
        application: application.into(),
        event_type: "job.completed".into(),
        event_id: name.into(),
        subject: Some("job-17".into()),
        payload: Bytes::from(format!("{{\"name\":\"{name}\"}}")),
        ..Publication::default()
    }
}

/// A file in which `acme` has published events by these names and is gone since; `other` is there.
async fn orphaned(names: &[&str]) -> (Place, SqlQuarantine) {
    let place = Place::new();
    for uid in ["acme", "other"] {
        place.add_application(&application(uid)).await.expect("added");
    }
    let publisher = Arc::new(place.publisher(Arc::new(|| NOW)));
    for name in names {
        publisher.publish(&[publication("acme", name)]).await.expect("published");
    }
    place.delete_application(acme(), NOW).await.expect("deleted");
    place
        .write(|connection| {
            connection.execute_batch(
                "INSERT INTO quarantine \
                 SELECT event, 'application_unknown', 'no application is called so', 1790000000000 FROM inbox; \
                 DELETE FROM inbox",
            )?;
            Ok(())
        })
        .await
        .expect("put away");
    let shelf = place.quarantine(publisher, LIMIT);
    (place, shelf)
}

fn held(name: &str) -> HeldId {
    HeldId::from_bytes(*id_of(application("acme").id, name).as_bytes())
}

fn to_other() -> Fix {
    Fix { routing_key: Some("other.job.failed".into()), ..Fix::default() }
}

async fn payload(place: &Place, id: EventId) -> Option<Vec<u8>> {
    let find = place.read(move |connection| {
        let mut find = connection.prepare_cached("SELECT payload FROM events WHERE id = ?1")?;
        let mut rows = find.query([id])?;
        Ok(match rows.next()? {
            Some(row) => Some(row.get(0)?),
            None => None,
        })
    });
    find.await.expect("read")
}

#[tokio::test]
async fn what_nobody_can_route_is_shown_newest_first_and_whole() {
    let (_place, shelf) = orphaned(&["one", "two"]).await;

    let look = shelf.look(Shelf::Record).await.expect("looked");
    let ids: Vec<_> = look.held.iter().map(|one| one.id).collect();
    assert_eq!((ids, look.total, look.all), (vec![held("two"), held("one")], Some(2), true));
    assert_eq!(look.held[0].reason, "application_unknown");
    assert_eq!(look.held[0].message_id.as_deref(), Some("two"));
    assert_eq!(look.held[0].at, Some(NOW));
    assert!(look.held[0].routing_key.ends_with(".job.completed"), "{}", look.held[0].routing_key);

    let one = shelf.held(Shelf::Record, held("one")).await.expect("looked").expect("there");
    assert_eq!((&one.body[..], one.is_whole()), (&b"{\"name\":\"one\"}"[..], true));
    assert!(one.headers.contains(&("subject".into(), "job-17".into())), "{:?}", one.headers);
    assert_eq!(shelf.held(Shelf::Record, held("none")).await, Ok(None));
    assert!(matches!(shelf.look(Shelf::Poison).await, Err(StorageError::Conflict(_))));
}

#[tokio::test]
async fn resubmitted_to_somebody_else_it_is_their_event_by_the_name_that_it_had() {
    let (place, shelf) = orphaned(&["run-7"]).await;

    let as_it_was = shelf.resubmit(Shelf::Record, held("run-7"), &Fix::default()).await;
    let why = as_it_was.expect_err("nobody is there").to_string();
    assert!(why.contains("no application is called"), "{why}");

    let fix = Fix { body: Some(Bytes::from_static(b"{\"fixed\":1}")), ..to_other() };
    let done = shelf.resubmit(Shelf::Record, held("run-7"), &fix).await.expect("published");
    let done = done.expect("it was there");
    assert_eq!(
        (&*done.message_id, &*done.routing_key),
        ("run-7", "other.job.failed"),
        "what its producer calls it"
    );

    let theirs = id_of(application("other").id, "run-7");
    assert_eq!(payload(&place, theirs).await.as_deref(), Some(&b"{\"fixed\":1}"[..]));
    let old = EventId::from_bytes(*held("run-7").as_bytes());
    assert_eq!(payload(&place, old).await.as_deref(), Some(&b""[..]), "carried on, not kept twice");
    assert_eq!(place.rows("inbox"), 1, "to be routed");
    assert_eq!(place.rows("quarantine"), 0);
    assert_eq!(shelf.resubmit(Shelf::Record, held("run-7"), &to_other()).await, Ok(None));
}

#[tokio::test]
async fn cut_off_behind_its_publish_it_is_still_there_and_is_not_published_twice() {
    let (place, shelf) = orphaned(&["run-7"]).await;
    // As the first try left it: published, and not taken off.
    let publisher = place.publisher(Arc::new(|| NOW));
    publisher.publish(&[publication("other", "run-7")]).await.expect("published");

    let again = shelf.resubmit(Shelf::Record, held("run-7"), &to_other()).await;
    let why = again.expect_err("it is known").to_string();
    assert!(why.contains("has an event `run-7` already"), "{why}");
    assert_eq!((place.rows("inbox"), place.rows("quarantine")), (1, 1));

    assert_eq!(shelf.discard(Shelf::Record, &[held("run-7")]).await, Ok(1));
    assert_eq!(shelf.discard(Shelf::Record, &[held("run-7")]).await, Ok(0), "it is gone");
    assert_eq!((place.rows("inbox"), place.rows("quarantine")), (1, 0));
}

#[tokio::test]
async fn what_is_no_event_even_so_is_refused_and_stays() {
    let (place, shelf) = orphaned(&["run-7"]).await;
    let large = Bytes::from(format!("\"{}\"", "x".repeat(LIMIT)));
    for fix in [
        Fix { body: Some(Bytes::from_static(b"{")), ..to_other() },
        Fix { body: Some(large), ..to_other() },
        Fix { event_type: Some("no type".into()), ..to_other() },
        Fix { without: vec!["subject".into()], ..to_other() },
    ] {
        let refused = shelf.resubmit(Shelf::Record, held("run-7"), &fix).await;
        assert!(matches!(refused, Err(StorageError::Conflict(_))), "{fix:?}: {refused:?}");
    }
    assert_eq!((place.rows("inbox"), place.rows("quarantine")), (0, 1));
}

#[tokio::test]
async fn a_look_goes_over_so_many_and_no_more() {
    let names: Vec<_> = (0..=LOOK_MAX).map(|number| format!("n{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let (_place, shelf) = orphaned(&names).await;
    let look = shelf.look(Shelf::Record).await.expect("looked");
    assert_eq!((look.held.len(), look.total, look.all), (LOOK_MAX, Some(201), false));
    assert_eq!(look.held[0].id, held("n200"), "the newest");

    let file = Place::on_file();
    let connection = file.file();
    let plan = long_history::plan(&connection, LOOK);
    assert_eq!(plan, ["SCAN q", "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)"]);
}
