//! Targets for development, and what has come to them.

use super::*;
use crate::domain::id::InspectedId;
use crate::storage::StorageError;
use crate::storage::inspector::{Inspected, Inspectors, hash_of};

fn request(number: u8, received_at: Timestamp) -> Inspected {
    Inspected {
        id: InspectedId::derived(&[&[number]]),
        received_at,
        method: "POST".into(),
        path: format!("/{number}"),
        headers: vec![("b".into(), "2".into()), ("a".into(), "1".into())],
        body: vec![0, 255, number],
        truncated: number == 1,
    }
}

/// A store with the applications `acme` and `other`, whose targets have these tokens.
async fn place(tokens: [&str; 2]) -> (Place, [Tenant; 2]) {
    let place = Place::new();
    let tenants = ["acme", "other"].map(|name| application(name).tenant());
    for ((name, tenant), token) in ["acme", "other"].iter().zip(tenants).zip(tokens) {
        place.add_application(&application(name)).await.expect("added");
        place.make_inspector(tenant, token, NOW).await.expect("made");
    }
    (place, tenants)
}

#[tokio::test]
async fn a_target_is_made_once_and_found_by_its_token_alone() {
    let (place, [acme, other]) = place(["one", "two"]).await;
    place.make_inspector(acme, "another", NOW).await.expect("there is one");

    let place = place.restarted().await;

    assert_eq!(place.inspector(acme).await, Ok(Some("one".to_owned())));
    assert_eq!(place.inspector(other).await, Ok(Some("two".to_owned())));
    assert_eq!(place.is_inspector(hash_of("one")).await, Ok(true));
    assert_eq!(place.is_inspector(hash_of("another")).await, Ok(false));
    let nobody = application("nobody").tenant();
    assert_eq!(place.inspector(nobody).await, Ok(None));
    assert!(matches!(place.make_inspector(nobody, "x", NOW).await, Err(StorageError::Conflict(_))));
}

#[tokio::test]
async fn the_newest_requests_of_each_are_kept_whole() {
    let (place, [acme, other]) = place(["one", "two"]).await;
    let to_other = request(9, NOW);
    assert_eq!(place.keep_inspected(hash_of("two"), to_other.clone(), 3).await, Ok(true));
    for number in 1..=5 {
        let kept = place.keep_inspected(hash_of("one"), request(number, NOW), 3).await;
        assert_eq!(kept, Ok(true));
    }

    let seen = place.inspected(acme, NOW, 50).await.expect("read");

    assert_eq!(seen, [5, 4, 3].map(|number| request(number, NOW)));
    assert_eq!(place.inspected(acme, NOW, 1).await.expect("read").len(), 1);
    assert_eq!(place.inspected(acme, NOW + SECOND, 50).await, Ok(Vec::new()), "too old");
    assert_eq!(place.inspected(other, NOW, 50).await, Ok(vec![to_other]), "each has its own");
}

#[tokio::test]
async fn renewed_it_is_empty_and_the_old_token_leads_nowhere() {
    let (place, [acme, other]) = place(["one", "two"]).await;
    for token in ["one", "two"] {
        place.keep_inspected(hash_of(token), request(1, NOW), 3).await.expect("kept");
    }

    place.renew_inspector(acme, "three", NOW).await.expect("renewed");

    assert_eq!(place.inspector(acme).await, Ok(Some("three".to_owned())));
    assert_eq!(place.inspected(acme, NOW, 50).await, Ok(Vec::new()));
    assert_eq!(place.keep_inspected(hash_of("one"), request(2, NOW), 3).await, Ok(false));
    assert_eq!(place.inspected(other, NOW, 50).await.expect("read").len(), 1);
}

#[tokio::test]
async fn with_its_application_a_target_is_gone() {
    let (place, [acme, _]) = place(["one", "two"]).await;
    place.keep_inspected(hash_of("one"), request(1, NOW), 3).await.expect("kept");

    place.delete_application(acme, NOW).await.expect("deleted");

    assert_eq!(place.is_inspector(hash_of("one")).await, Ok(false));
    assert_eq!(place.inspected(acme, LONG_AGO, 50).await, Ok(Vec::new()));
}

#[tokio::test]
async fn where_to_send_is_not_in_the_file() {
    let token = "a-token-that-would-be-seen";
    let place = Place::on_file();
    place.add_application(&application("acme")).await.expect("added");
    place.make_inspector(acme(), token, NOW).await.expect("made");
    let path = place.folder.path().join("journal.db");
    place.store.close().await;
    let bytes = std::fs::read(path).expect("readable");
    assert!(!bytes.windows(token.len()).any(|window| window == token.as_bytes()));
}
