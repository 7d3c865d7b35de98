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
