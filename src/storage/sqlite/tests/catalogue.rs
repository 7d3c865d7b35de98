//! Applications, event types, endpoints.

use super::*;
use crate::domain::endpoint::EventTypeEntry;
use crate::storage::StorageError;

fn conflict<T: std::fmt::Debug>(result: Result<T, StorageError>) -> String {
    match result {
        Err(StorageError::Conflict(why)) => why,
        other => panic!("should be a conflict: {other:?}"),
    }
}

#[tokio::test]
async fn an_application_is_found_by_its_id_and_by_its_uid() {
    let place = Place::new();
    let acme = application("acme");
    place.add_application(&acme).await.expect("added");

    let by_id = place.application(&acme.id.to_string().as_str().into()).await;
    assert_eq!(by_id, Ok(Some(acme.clone())));
    assert_eq!(place.application(&"acme".into()).await, Ok(Some(acme)));
    assert_eq!(place.application(&"other".into()).await, Ok(None));
}

#[tokio::test]
async fn a_uid_is_taken_while_its_owner_lives() {
    let place = Place::new();
    let acme = application("acme");
    let second = Application { id: application("second").id, ..acme.clone() };
    place.add_application(&acme).await.expect("added");
    assert!(conflict(place.add_application(&second).await).contains("`acme`"));

    assert_eq!(place.delete_application(acme.id, NOW).await, Ok(true));
    assert_eq!(place.delete_application(acme.id, NOW).await, Ok(false));

    place.add_application(&second).await.expect("the uid is free again");
    assert_eq!(place.applications().await, Ok(vec![second]));
}

#[tokio::test]
async fn applications_are_listed_oldest_first() {
    let place = Place::new();
    for (uid, age) in [("young", 1_u32), ("old", 9), ("middle", 5)] {
        let made = Application { created_at: NOW - age * SECOND, ..application(uid) };
        place.add_application(&made).await.expect("added");
    }
    let listed = place.applications().await.expect("read");
    let names: Vec<_> = listed.iter().filter_map(|one| one.uid.as_deref()).collect();
    assert_eq!(names, ["old", "middle", "young"]);
}

#[tokio::test]
async fn an_event_type_is_put_changed_and_deleted() {
    let place = Place::new();
    let entry = |name: &str, description: &str, at| EventTypeEntry {
        name: name.to_owned(),
        description: description.to_owned(),
        created_at: at,
        updated_at: at,
    };
    place.put_event_type(&entry("job.b", "one", NOW)).await.expect("put");
    place.put_event_type(&entry("job.a", "two", NOW)).await.expect("put");
    place.put_event_type(&entry("job.b", "three", NOW + SECOND)).await.expect("put");

    let changed = EventTypeEntry { created_at: NOW, ..entry("job.b", "three", NOW + SECOND) };
    assert_eq!(place.event_types().await, Ok(vec![entry("job.a", "two", NOW), changed]));
    assert_eq!(place.delete_event_type("job.a").await, Ok(true));
    assert_eq!(place.delete_event_type("job.a").await, Ok(false));
}

#[tokio::test]
async fn an_endpoint_reads_back_as_it_was_added() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let acme = application("acme").id;
    let id = endpoint_id("a").to_string();

    for (application, name) in [(None, &*id), (Some(acme), &*id), (Some(acme), "a")] {
        let read = Catalogue::endpoint(&place.store, application, name).await;
        let read = read.expect("read").expect("there");
        assert_eq!(format!("{read:?}"), format!("{:?}", endpoint("a")));
        assert_eq!(read.keys[0].key.expose(), [1; 32]);
    }
    let other = application("other").id;
    for (application, name) in [(None, "a"), (Some(other), "a"), (Some(other), &*id)] {
        let read = Catalogue::endpoint(&place.store, application, name).await;
        assert!(read.expect("read").is_none(), "{application:?} {name}");
    }
}

#[tokio::test]
async fn an_edit_changes_everything_but_keys_and_state() {
    let place = Place::new();
    place.have_endpoint("a").await;
    place.have_endpoint("b").await;
    let mut edited = endpoint("a");
    edited.url = "https://new.example/".parse().expect("a url");
    edited.headers = Vec::new();
    edited.throttle_rate = None;
    edited.keys = vec![signing_key(9)];
    edited.state = EndpointState::Disabled;

    place.edit_endpoint(&edited).await.expect("edited");

    let id = edited.id.to_string();
    let read = Catalogue::endpoint(&place.store, None, &id).await.expect("read").expect("there");
    assert_eq!(read.url.as_str(), "https://new.example/");
    assert_eq!((read.headers.len(), read.throttle_rate), (0, None));
    assert_eq!((read.keys[0].key.expose(), read.state), (&[1; 32][..], EndpointState::Paused));

    edited.uid = Some("b".to_owned());
    assert!(conflict(place.edit_endpoint(&edited).await).contains("`b`"));
    place.delete_endpoint(edited.id, NOW).await.expect("deleted");
    assert!(conflict(place.edit_endpoint(&edited).await).contains("does not exist"));
}

#[tokio::test]
async fn keys_are_replaced_and_kept_in_their_order() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let id = endpoint_id("a");
    let old = EndpointKey { expires_at: Some(NOW + SECOND), ..signing_key(1) };

    place.set_endpoint_keys(id, &[signing_key(2), old], NOW).await.expect("set");

    let read = place.endpoints(None).await.expect("read").remove(0);
    let keys: Vec<_> = read.keys.iter().map(|one| (one.key.expose()[0], one.expires_at)).collect();
    assert_eq!(keys, [(2, None), (1, Some(NOW + SECOND))]);
    let nobody = endpoint_id("nobody");
    assert!(conflict(place.set_endpoint_keys(nobody, &[], NOW).await).contains("does not exist"));
}

#[tokio::test]
async fn a_deleted_endpoint_is_not_found_and_its_uid_is_free() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let id = endpoint_id("a");
    let twin = Endpoint { id: endpoint_id("twin"), ..endpoint("a") };
    assert!(conflict(place.add_endpoint(&twin).await).contains("`a`"));

    assert_eq!(place.delete_endpoint(id, NOW).await, Ok(true));
    assert_eq!(place.delete_endpoint(id, NOW).await, Ok(false));
    assert_eq!(place.set_endpoint_state(id, EndpointState::Paused, NOW).await, Ok(false));

    place.add_endpoint(&twin).await.expect("the uid is free again");
    let listed = place.endpoints(None).await.expect("read");
    assert_eq!(listed.iter().map(|one| one.id).collect::<Vec<_>>(), [twin.id]);
}

#[tokio::test]
async fn an_application_goes_with_its_endpoints() {
    let place = Place::new();
    place.have_endpoint("a").await;
    place.add_application(&application("other")).await.expect("added");
    let theirs = Endpoint { application: application("other").id, ..endpoint("theirs") };
    place.add_endpoint(&theirs).await.expect("added");

    place.delete_application(application("acme").id, NOW).await.expect("deleted");

    let snapshot = place.snapshot().await.expect("read");
    assert_eq!(snapshot.endpoints.iter().map(|one| one.id).collect::<Vec<_>>(), [theirs.id]);
    let orphan = conflict(place.add_endpoint(&endpoint("late")).await);
    assert!(orphan.contains("does not exist"), "{orphan}");
}

#[tokio::test]
async fn endpoints_are_listed_newest_first_with_their_own_keys() {
    let place = Place::new();
    place.have_endpoint("old").await;
    let young =
        Endpoint { created_at: NOW + SECOND, keys: vec![signing_key(8)], ..endpoint("young") };
    place.add_endpoint(&young).await.expect("added");

    for application in [None, Some(application("acme").id)] {
        let listed = place.endpoints(application).await.expect("read");
        let seen: Vec<_> =
            listed.iter().map(|one| (one.uid.as_deref(), one.keys[0].key.expose()[0])).collect();
        assert_eq!(seen, [(Some("young"), 8), (Some("old"), 1)]);
    }
    assert!(place.endpoints(Some(application("other").id)).await.expect("read").is_empty());
}

#[tokio::test]
async fn the_version_moves_with_each_edit_and_only_then() {
    let place = Place::new();
    let mut last = place.version().await.expect("read");
    let acme = application("acme");
    let mut moved = async |what: &str, expected: bool| {
        let version = place.version().await.expect("read");
        assert_eq!(version > last, expected, "{what}");
        last = version;
    };
    place.add_application(&acme).await.expect("added");
    moved("an application was added", true).await;
    place.add_endpoint(&endpoint("a")).await.expect("added");
    moved("an endpoint was added", true).await;
    place.edit_endpoint(&endpoint("a")).await.expect("edited");
    moved("an endpoint was edited", true).await;
    place.set_endpoint_state(endpoint_id("a"), EndpointState::Paused, NOW).await.expect("set");
    moved("a state was set", true).await;
    place.set_endpoint_keys(endpoint_id("a"), &[], NOW).await.expect("set");
    moved("keys were set", true).await;
    place.delete_endpoint(endpoint_id("nobody"), NOW).await.expect("nothing to do");
    moved("nothing was deleted", false).await;
    place.add_application(&acme).await.expect_err("taken");
    moved("an edit failed", false).await;
    place.owe("run-7", &[]).await;
    moved("an event was accepted", false).await;
    place.delete_endpoint(endpoint_id("a"), NOW).await.expect("deleted");
    moved("an endpoint was deleted", true).await;
    place.delete_application(acme.id, NOW).await.expect("deleted");
    moved("an application was deleted", true).await;
}

#[tokio::test]
async fn two_processes_see_each_others_edits() {
    let here = Place::new();
    let there = here.elsewhere();
    let before = there.version().await.expect("read");

    here.have_endpoint("a").await;

    let snapshot = there.snapshot().await.expect("read");
    assert!(snapshot.version > before);
    assert_eq!((snapshot.applications.len(), snapshot.endpoints.len()), (1, 1));
    there.delete_endpoint(endpoint_id("a"), NOW).await.expect("deleted");
    assert!(here.endpoints(None).await.expect("read").is_empty());
}

#[tokio::test]
async fn secrets_are_not_readable_in_the_file_and_need_the_key() {
    let place = Place::new();
    let mut secret = endpoint("a");
    let marked = SigningKey::from_bytes(b"signing-key-of-the-tenant-______".to_vec());
    secret.keys[0].key = marked.expect("a key");
    place.add_application(&application("acme")).await.expect("added");
    place.add_endpoint(&secret).await.expect("added");
    let Place { store, folder } = place;
    store.close().await;

    let file = std::fs::read(folder.path().join("journal.db")).expect("read");
    for needle in [&b"tenants-secret"[..], b"signing-key-of-the-tenant"] {
        assert!(!file.windows(needle.len()).any(|bytes| bytes == needle));
    }
    let key = SecretBox::new(Box::new([9; 32]));
    let stranger = Arc::new(Vault::new(vec![(2, key)]).expect("a keyring"));
    let store = Sqlite::open(&settings(&folder), stranger).expect("opens");
    let Err(StorageError::Corrupt(why)) = store.snapshot().await else {
        panic!("should not open");
    };
    assert!(why.contains("encryption key 1, which is not configured"), "{why}");
}
