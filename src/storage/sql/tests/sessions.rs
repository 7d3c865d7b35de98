//! Sessions and links in their tables.

use super::*;
use crate::domain::capability::{Capabilities, Capability};
use crate::storage::inspector::hash_of;
use crate::storage::sessions::{IDLE, SESSION_MAX, Sessions, Visitor};

fn visitor() -> Visitor {
    Visitor {
        organisation: OrganisationId::DEFAULT,
        application: Some(application("acme").id),
        capabilities: Capabilities::from_iter([Capability::ViewBase]),
        feature_flags: vec!["beta".to_owned()],
        label: Some("who-it-was".to_owned()),
        expires_at: NOW + SESSION_MAX,
    }
}

#[tokio::test]
async fn who_looks_now_and_then_stays_in() {
    let place = Place::new();
    let (used, unused) = (hash_of("used"), hash_of("unused"));
    for session in [used, unused] {
        place.begin_session(session, &visitor(), NOW).await.expect("begun");
    }

    let late = NOW + IDLE - SECOND;
    assert_eq!(place.session(used, late).await, Ok(Some(visitor())));

    place.end_session(hash_of("another")).await.expect("written behind the note");
    assert_eq!(place.session(used, late + 2 * SECOND).await, Ok(Some(visitor())));
    assert_eq!(place.session(unused, late + 2 * SECOND).await, Ok(None));
}

#[tokio::test]
async fn a_store_that_cannot_be_written_goes_on_to_know_its_sessions() {
    let place = Place::new();
    let session = hash_of("one");
    place.begin_session(session, &visitor(), NOW).await.expect("begun");

    place.store.clone().close().await; // whatever is written from now on is refused

    for minutes in [2, 10, 29] {
        let then = NOW + 60 * minutes * SECOND;
        assert_eq!(place.session(session, then).await, Ok(Some(visitor())), "{minutes} minutes on");
    }
}

#[tokio::test]
async fn a_link_is_looked_at_without_being_used_and_those_that_are_over_go_with_the_next() {
    let place = Place::new();
    let (first, second) = (hash_of("first"), hash_of("second"));
    let until = NOW + 60 * SECOND;
    place.add_link(first, &visitor(), until, NOW).await.expect("kept");
    for _ in 0..3 {
        assert_eq!(place.link(first, NOW).await, Ok(Some(visitor())));
    }
    assert_eq!(place.link(first, until).await, Ok(None), "over");
    assert_eq!(place.link(second, NOW).await, Ok(None), "never made");

    place.add_link(second, &visitor(), until + 60 * SECOND, until).await.expect("kept");

    let count = |connection: &Connection| {
        let links = "SELECT count(*) FROM portal_links";
        Ok(connection.query_row(links, [], |row| row.get::<_, i64>(0))?)
    };
    assert_eq!(place.browse(count).await, Ok(1), "nobody has opened the first");
}
