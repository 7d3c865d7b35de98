//! Applications, event types, endpoints.

use super::*;
use crate::domain::event::ApplicationName;
use crate::domain::event_type::EventTypeEntry;
use crate::domain::signature::Scheme;
use crate::storage::StorageError;
use crate::storage::catalogue::EventTypeFilter;
use crate::storage::page::{Order, Page, Place as InList};
use std::num::NonZeroU16;

const OURS: OrganisationId = OrganisationId::DEFAULT;

fn theirs() -> OrganisationId {
    OrganisationId::derived(&[b"theirs"])
}

/// The endpoints of `acme`.
async fn ours(store: &Sql) -> Vec<Endpoint> {
    let whole = Page::whole(Order::Ascending);
    store.endpoints(application("acme").tenant(), &whole).await.expect("read")
}

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

    let by_id = ApplicationName::Id(acme.id);
    assert_eq!(place.application(OURS, &by_id).await, Ok(Some(acme.clone())));
    assert_eq!(place.application(OURS, &"acme".into()).await, Ok(Some(acme)));
    assert_eq!(place.application(OURS, &"other".into()).await, Ok(None));
    for name in [by_id, "acme".into()] {
        assert_eq!(place.application(theirs(), &name).await, Ok(None), "another organisation's");
    }
}

#[tokio::test]
async fn organisations_do_not_see_each_others_and_may_use_the_same_uids() {
    let place = Place::new();
    let (ours, other) = (application("acme"), ApplicationId::derived(&[b"theirs"]));
    let other = Application { id: other, organisation: theirs(), ..ours.clone() };
    let edited = Application {
        uid: None,
        name: "Renamed".into(),
        throttle_rate: NonZeroU16::new(9),
        metadata: [("plan".to_owned(), "gold".to_owned())].into(),
        ..ours.clone()
    };
    for application in [&ours, &other] {
        place.add_application(application).await.expect("added");
    }

    place.edit_application(&edited).await.expect("edited");
    conflict(
        place.edit_application(&Application { organisation: theirs(), ..edited.clone() }).await,
    );

    let whole = Page::whole(Order::Ascending);
    assert_eq!(place.applications(OURS, &whole).await, Ok(vec![edited]));
    assert_eq!(place.applications(theirs(), &whole).await, Ok(vec![other]));
}

#[tokio::test]
async fn a_uid_is_taken_while_its_owner_lives() {
    let place = Place::new();
    let acme = application("acme");
    let second = Application { id: application("second").id, ..acme.clone() };
    place.add_application(&acme).await.expect("added");
    assert!(conflict(place.add_application(&second).await).contains("`acme`"));

    assert_eq!(place.delete_application(acme.tenant(), NOW).await, Ok(true));
    assert_eq!(place.delete_application(acme.tenant(), NOW).await, Ok(false));

    place.add_application(&second).await.expect("the uid is free again");
    let whole = Page::whole(Order::Ascending);
    assert_eq!(place.applications(OURS, &whole).await, Ok(vec![second]));
}

#[tokio::test]
async fn a_list_is_walked_by_pages_there_and_back() {
    use Order::{Ascending, Descending};
    let place = Place::new();
    let made = |number: u32| {
        let id = ApplicationId::minted(NOW + number * SECOND, [0; 15]);
        Application { id, uid: Some(format!("a{number}")), ..application("acme") }
    };
    for number in [3, 1, 5, 2, 4] {
        place.add_application(&made(number)).await.expect("added");
    }
    let page = async |place_in_list, order| {
        let page = Page { limit: 2, place: place_in_list, order };
        let listed = place.applications(OURS, &page).await.expect("read");
        listed.into_iter().filter_map(|one| one.uid).collect::<Vec<_>>()
    };

    assert_eq!(page(InList::Beginning, Ascending).await, ["a1", "a2"]);
    assert_eq!(page(InList::Behind(made(2).id), Ascending).await, ["a3", "a4"]);
    assert_eq!(page(InList::Behind(made(4).id), Ascending).await, ["a5"]);
    assert_eq!(page(InList::InFrontOf(made(5).id), Ascending).await, ["a3", "a4"]);
    assert_eq!(page(InList::Beginning, Descending).await, ["a5", "a4"]);
    assert_eq!(page(InList::Behind(made(4).id), Descending).await, ["a3", "a2"]);
    assert_eq!(page(InList::InFrontOf(made(1).id), Descending).await, ["a3", "a2"]);
}

#[tokio::test]
async fn an_event_type_is_put_changed_archived_and_deleted() {
    let place = Place::new();
    let entry = |name: &str, description: &str, at| EventTypeEntry {
        organisation: OURS,
        name: name.to_owned(),
        description: description.to_owned(),
        archived: false,
        deprecated: true,
        schemas: Some(serde_json::json!({"1": {"type": "object"}})),
        feature_flag: Some("beta".to_owned()),
        created_at: at,
        updated_at: at,
    };
    place.put_event_type(&entry("job.b", "one", NOW)).await.expect("put");
    place.put_event_type(&entry("job.a", "two", NOW)).await.expect("put");
    place.put_event_type(&entry("job.b", "three", NOW + SECOND)).await.expect("put");
    let archived = EventTypeEntry { archived: true, ..entry("job.c", "old", NOW) };
    place.put_event_type(&archived).await.expect("put");
    let strange = EventTypeEntry { organisation: theirs(), ..entry("job.a", "theirs", NOW) };
    place.put_event_type(&strange).await.expect("put");

    let changed = EventTypeEntry { created_at: NOW, ..entry("job.b", "three", NOW + SECOND) };
    let whole = Page::whole(Order::Ascending);
    let listed = vec![entry("job.a", "two", NOW), changed];
    let current = EventTypeFilter::default();
    assert_eq!(place.event_types(OURS, &current, &whole).await, Ok(listed.clone()));
    let all = EventTypeFilter { archived_too: true, ..EventTypeFilter::default() };
    let all = place.event_types(OURS, &all, &whole).await;
    assert_eq!(all, Ok([listed, vec![archived.clone()]].concat()));
    assert_eq!(place.event_type(OURS, "job.c").await, Ok(Some(archived)));
    assert_eq!(place.delete_event_type(OURS, "job.a").await, Ok(true));
    assert_eq!(place.delete_event_type(OURS, "job.a").await, Ok(false));
    assert_eq!(place.event_type(theirs(), "job.a").await, Ok(Some(strange)));
}

#[tokio::test]
async fn event_types_for_a_flag_are_left_out_before_a_page_is_counted() {
    let place = Place::new();
    for (name, flag) in [("a", Some("x'\"")), ("b", None), ("c", Some("beta")), ("d", None)] {
        let entry = EventTypeEntry {
            organisation: OURS,
            name: name.to_owned(),
            description: String::new(),
            archived: false,
            deprecated: false,
            schemas: None,
            feature_flag: flag.map(str::to_owned),
            created_at: NOW,
            updated_at: NOW,
        };
        place.put_event_type(&entry).await.expect("put");
    }
    let page = Page { limit: 2, place: InList::Beginning, order: Order::Ascending };
    let back = Page { place: InList::InFrontOf("d".to_owned()), ..page.clone() };
    for (flags, first, before_d) in [
        (None, ["a", "b"], ["b", "c"].as_slice()),
        (Some(vec![]), ["b", "d"], &["b"]),
        (Some(vec!["beta"]), ["b", "c"], &["b", "c"]),
        (Some(vec!["x'\"", "gamma"]), ["a", "b"], &["a", "b"]),
    ] {
        let shown_with = flags.map(|flags| flags.into_iter().map(str::to_owned).collect());
        let filter = EventTypeFilter { shown_with, ..EventTypeFilter::default() };
        let names = async |page| {
            let found = place.event_types(OURS, &filter, page).await.expect("read");
            found.into_iter().map(|entry| entry.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&page).await, first, "{filter:?}");
        assert_eq!(names(&back).await, before_d, "{filter:?}");
    }
}

#[tokio::test]
async fn an_endpoint_reads_back_as_it_was_added() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let (acme, other) = (application("acme").tenant(), application("other").tenant());
    let id = endpoint_id("a");

    let by_id = Catalogue::endpoint(&place.store, acme, &id.to_string()).await.expect("read");
    let named = Catalogue::endpoint(&place.store, acme, "a").await.expect("read");
    for read in [by_id, named, place.any_endpoint(id).await.expect("read")] {
        let read = read.expect("there");
        assert_eq!(format!("{read:?}"), format!("{:?}", endpoint("a")));
        assert_eq!(read.keys[0].key.expose(), [1; 32]);
    }
    for name in ["a", &*id.to_string()] {
        let read = Catalogue::endpoint(&place.store, other, name).await;
        assert!(read.expect("read").is_none(), "{name} is not another's");
    }
    assert!(place.any_endpoint(endpoint_id("nobody")).await.expect("read").is_none());
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

    let read = place.any_endpoint(edited.id).await.expect("read").expect("there");
    assert_eq!(read.url.as_str(), "https://new.example/");
    assert_eq!((read.headers.len(), read.throttle_rate), (0, None));
    assert_eq!((read.keys[0].key.expose(), read.state), (&[1; 32][..], EndpointState::Paused));

    edited.uid = Some("b".to_owned());
    assert!(conflict(place.edit_endpoint(&edited).await).contains("`b`"));
    place.delete_endpoint(edited.tenant(), edited.id, NOW).await.expect("deleted");
    assert!(conflict(place.edit_endpoint(&edited).await).contains("does not exist"));
}

#[tokio::test]
async fn keys_are_replaced_and_kept_in_their_order() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let id = endpoint_id("a");
    let old = EndpointKey { expires_at: Some(NOW + SECOND), ..signing_key(1) };

    place
        .set_endpoint_keys(endpoint("a").tenant(), id, &[signing_key(2), old], NOW)
        .await
        .expect("set");

    let read = ours(&place).await.remove(0);
    let keys: Vec<_> = read.keys.iter().map(|one| (one.key.expose()[0], one.expires_at)).collect();
    assert_eq!(keys, [(2, None), (1, Some(NOW + SECOND))]);
    let (nobody, theirs) = (endpoint_id("nobody"), application("other").tenant());
    for (tenant, id) in [(endpoint("a").tenant(), nobody), (theirs, id)] {
        let refused = conflict(place.set_endpoint_keys(tenant, id, &[], NOW).await);
        assert!(refused.contains("does not exist"), "{refused}");
    }
}

#[tokio::test]
async fn a_key_comes_back_with_its_scheme_and_opens_under_no_other() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let pair = SigningKey::generated_for(Scheme::V1a, [5; 32]);
    let keys = [EndpointKey { key: pair.clone(), ..signing_key(2) }, signing_key(1)];
    let (tenant, id) = (endpoint("a").tenant(), endpoint_id("a"));

    place.set_endpoint_keys(tenant, id, &keys, NOW).await.expect("set");

    let read = ours(&place).await.remove(0);
    assert_eq!(read.keys[0].key.reveal(), pair.reveal());
    assert_eq!(read.keys[1].key.scheme(), Scheme::V1);

    // Whoever can write the table, and has not the key of the vault, makes no pair of a shared key.
    place.say("UPDATE endpoint_keys SET scheme = 'v1a' WHERE position = 1");
    let Err(StorageError::Corrupt(_)) = place.snapshot().await else { panic!("opened") };
}

#[tokio::test]
async fn credentials_come_back_as_they_were_written_and_go_with_an_edit() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let each = [
        Auth::Bearer { token: "t".into() },
        Auth::Header { name: "X-Key".into(), value: "v".into() },
        Auth::Basic { username: "u".into(), password: "p".into() },
    ];
    for auth in each {
        let edited = Endpoint { auth: Some(auth.clone()), ..endpoint("a") };
        place.edit_endpoint(&edited).await.expect("edited");

        let read = ours(&place).await.remove(0).auth.expect("set");
        assert_eq!(read.header_name(), auth.header_name());
        assert_eq!(read.header_value(), auth.header_value());
    }
    place.edit_endpoint(&Endpoint { auth: None, ..endpoint("a") }).await.expect("edited");
    assert!(ours(&place).await.remove(0).auth.is_none());
}

#[tokio::test]
async fn a_deleted_endpoint_is_not_found_and_its_uid_is_free() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let id = endpoint_id("a");
    let twin = Endpoint { id: endpoint_id("twin"), ..endpoint("a") };
    assert!(conflict(place.add_endpoint(&twin).await).contains("`a`"));

    let theirs = application("other").tenant();
    let pause = |tenant| place.set_endpoint_state(tenant, id, EndpointState::Paused, None, NOW);
    assert_eq!(pause(theirs).await, Ok(false));
    assert_eq!(place.delete_endpoint(theirs, id, NOW).await, Ok(false));
    assert_eq!(place.delete_endpoint(acme(), id, NOW).await, Ok(true));
    assert_eq!(place.delete_endpoint(acme(), id, NOW).await, Ok(false));
    assert_eq!(pause(acme()).await, Ok(false));

    place.add_endpoint(&twin).await.expect("the uid is free again");
    let listed = ours(&place).await;
    assert_eq!(listed.iter().map(|one| one.id).collect::<Vec<_>>(), [twin.id]);
}

#[tokio::test]
async fn an_application_goes_with_its_endpoints() {
    let place = Place::new();
    place.have_endpoint("a").await;
    place.add_application(&application("other")).await.expect("added");
    let theirs = Endpoint { application: application("other").id, ..endpoint("theirs") };
    place.add_endpoint(&theirs).await.expect("added");

    place.delete_application(application("acme").tenant(), NOW).await.expect("deleted");

    let snapshot = place.snapshot().await.expect("read");
    assert_eq!(snapshot.endpoints.iter().map(|one| one.id).collect::<Vec<_>>(), [theirs.id]);
    let orphan = conflict(place.add_endpoint(&endpoint("late")).await);
    assert!(orphan.contains("does not exist"), "{orphan}");
}

#[tokio::test]
async fn endpoints_are_listed_with_their_own_keys() {
    let place = Place::new();
    place.have_endpoint("a").await;
    let b = Endpoint { keys: vec![signing_key(8)], ..endpoint("b") };
    place.add_endpoint(&b).await.expect("added");
    let whole = Page::whole(Order::Descending);

    let listed = place.endpoints(application("acme").tenant(), &whole).await.expect("read");
    let mut seen: Vec<_> =
        listed.iter().map(|one| (one.uid.as_deref(), one.keys[0].key.expose()[0])).collect();
    assert!(listed[0].id > listed[1].id, "largest id first");
    seen.sort_unstable();
    assert_eq!(seen, [(Some("a"), 1), (Some("b"), 8)]);
    assert!(place.endpoints(application("other").tenant(), &whole).await.expect("read").is_empty());
}

#[tokio::test]
async fn the_version_moves_with_each_edit_and_only_then() {
    let place = Place::new();
    let mut last = place.version().await.expect("read");
    let owner = application("acme");
    let mut moved = async |what: &str, expected: bool| {
        let version = place.version().await.expect("read");
        assert_eq!(version > last, expected, "{what}");
        last = version;
    };
    place.add_application(&owner).await.expect("added");
    moved("an application was added", true).await;
    place.add_endpoint(&endpoint("a")).await.expect("added");
    moved("an endpoint was added", true).await;
    place.edit_endpoint(&endpoint("a")).await.expect("edited");
    moved("an endpoint was edited", true).await;
    place
        .set_endpoint_state(acme(), endpoint_id("a"), EndpointState::Paused, None, NOW)
        .await
        .expect("set");
    moved("a state was set", true).await;
    place.set_endpoint_keys(acme(), endpoint_id("a"), &[], NOW).await.expect("set");
    moved("keys were set", true).await;
    place.delete_endpoint(acme(), endpoint_id("nobody"), NOW).await.expect("nothing to do");
    moved("nothing was deleted", false).await;
    place.add_application(&owner).await.expect_err("taken");
    moved("an edit failed", false).await;
    place.owe("run-7", &[]).await;
    moved("an event was accepted", false).await;
    place.delete_endpoint(acme(), endpoint_id("a"), NOW).await.expect("deleted");
    moved("an endpoint was deleted", true).await;
    place.delete_application(owner.tenant(), NOW).await.expect("deleted");
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
    there.delete_endpoint(acme(), endpoint_id("a"), NOW).await.expect("deleted");
    assert!(ours(&here).await.is_empty());
}

#[tokio::test]
async fn secrets_are_not_readable_in_the_file_and_need_the_key() {
    let place = Place::on_file();
    let mut secret = endpoint("a");
    let marked = SigningKey::from_bytes(b"signing-key-of-the-tenant-______".to_vec());
    secret.keys[0].key = marked.expect("a key");
    place.add_application(&application("acme")).await.expect("added");
    place.add_endpoint(&secret).await.expect("added");
    let Place { store, folder, .. } = place;
    store.close().await;

    let file = std::fs::read(folder.path().join("journal.db")).expect("read");
    for needle in
        [&b"tenants-secret"[..], b"tenants-user", b"tenants-password", b"signing-key-of-the-tenant"]
    {
        assert!(!file.windows(needle.len()).any(|bytes| bytes == needle));
    }
    let key = SecretBox::new(Box::new([9; 32]));
    let stranger = Arc::new(Vault::new(vec![(2, key)]).expect("a keyring"));
    let store = Sql::open(&settings(&folder), stranger).expect("opens");
    let Err(StorageError::Corrupt(why)) = store.snapshot().await else {
        panic!("should not open");
    };
    assert!(why.contains("encryption key 1, which is not configured"), "{why}");
}
