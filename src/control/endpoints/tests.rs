//! What people may do to endpoints, their applications and their keys.

use std::time::Duration;

use super::*;
use crate::control::applications::NewApplication;
use crate::control::fake::{NOW, World};
use crate::control::{KEYS_MAX, NewKey};
use crate::domain::signature::{Scheme, SigningKey};

const MADE: NewKey<'_> = NewKey::Made(Scheme::V1);
const PRIVATE: &str = "whsk_cuUPEX3CcRfHbw2Ud2dmpi3cY6Y0XZ94Wx+GGzfjJ34=";
const PUBLIC: &str = "whpk_3hB8na+WW/FYcuiAxBLllocBVD1nSl3lBCUAt42JWeI=";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn any_url(text: &str) -> Result<url::Url, String> {
    url::Url::parse(text).map_err(|error| format!("`{text}` is not a URL: {error}"))
}

fn hook() -> NewEndpoint {
    NewEndpoint {
        application: "acme".into(),
        url: "https://hooks.example/in".into(),
        uid: Some("hook".into()),
        ..NewEndpoint::default()
    }
}

async fn world_with_an_endpoint() -> (World, Endpoint) {
    let world = World::new();
    let acme = world.control.create_application(NewApplication::named("Acme", Some("acme"))).await;
    acme.expect("an application");
    let endpoint = world.control.create_endpoint(hook(), &any_url).await.expect("an endpoint");
    (world, endpoint)
}

#[tokio::test]
async fn an_endpoint_is_found_by_its_id_or_by_its_uid_beside_its_application() {
    let (world, endpoint) = world_with_an_endpoint().await;
    world
        .control
        .create_application(NewApplication::named("Other", Some("other")))
        .await
        .expect("made");
    let id = endpoint.id.to_string();

    let found = |application, name: String| {
        let control = world.control.clone();
        async move { control.endpoint(application, &name).await.map(|endpoint| endpoint.id) }
    };
    assert_eq!(found(None, id.clone()).await, Ok(endpoint.id));
    assert_eq!(found(Some("acme"), "hook".into()).await, Ok(endpoint.id));
    assert!(matches!(found(None, "hook".into()).await, Err(ControlError::Invalid(_))));
    assert!(matches!(found(Some("other"), "hook".into()).await, Err(ControlError::NotFound(_))));
    assert!(matches!(found(Some("other"), id).await, Err(ControlError::NotFound(_))));
}

#[tokio::test]
async fn what_is_wrong_with_an_endpoint_is_refused_with_a_sentence() {
    let (world, _) = world_with_an_endpoint().await;
    let policy = |timeout_ms| PolicyEdit { timeout_ms: Some(timeout_ms), ..PolicyEdit::default() };
    let table = [
        (NewEndpoint { url: "nowhere".into(), ..hook() }, "is not a URL"),
        (NewEndpoint { uid: Some("ep_1".into()), ..hook() }, "is not a uid"),
        (NewEndpoint { patterns: vec!["job*".into()], ..hook() }, "`job*` is not a pattern"),
        (NewEndpoint { throttle_rate: Some(0), ..hook() }, "throttle rate of 0"),
        (NewEndpoint { policy: policy(5), ..hook() }, "timeoutMs is 5"),
        (NewEndpoint { headers: vec![("host".into(), "x".into())], ..hook() }, "header `host`"),
        (NewEndpoint { secret: Some("whsec_c2hvcnQ=".into()), ..hook() }, "5 bytes"),
    ];
    for (new, sentence) in table {
        let refused = world.control.create_endpoint(new, &any_url).await;
        let Err(ControlError::Invalid(what)) = refused else { panic!("{sentence}: {refused:?}") };
        assert!(what.contains(sentence), "{what}");
    }
    let stranger = NewEndpoint { application: "nobody".into(), ..hook() };
    let refused = world.control.create_endpoint(stranger, &any_url).await;
    assert!(matches!(refused, Err(ControlError::NotFound(_))), "{refused:?}");
}

#[tokio::test]
async fn an_edit_changes_what_it_names_and_nothing_else() {
    let (world, endpoint) = world_with_an_endpoint().await;
    let edit = EndpointEdit {
        patterns: Some(vec!["job.*".into()]),
        throttle_rate: Change::Set(20),
        ..EndpointEdit::default()
    };
    world.control.edit_endpoint(Some("acme"), "hook", edit, &any_url).await.expect("edited");
    let clear = EndpointEdit { throttle_rate: Change::Clear, ..EndpointEdit::default() };
    let edited = world.control.edit_endpoint(Some("acme"), "hook", clear, &any_url).await;

    let edited = edited.expect("edited");
    assert_eq!(edited.filter.to_string(), "job.*");
    assert_eq!(edited.throttle_rate, None);
    assert_eq!((edited.url, edited.uid), (endpoint.url, endpoint.uid));
}

#[tokio::test]
async fn resuming_makes_an_endpoint_active_before_it_recalls_what_waits() {
    let (world, endpoint) = world_with_an_endpoint().await;
    let id = endpoint.id.to_string();

    world.control.pause_endpoint(None, &id).await.expect("paused");
    let (resumed, recalled) = world.control.resume_endpoint(None, &id).await.expect("resumed");

    assert_eq!((resumed.state, recalled), (EndpointState::Active, 3));
    assert_eq!(world.log(), ["paused", "active", "recalled"]);
}

#[tokio::test]
async fn deleting_takes_back_what_is_owed_even_when_it_takes_two_calls() {
    let (world, endpoint) = world_with_an_endpoint().await;
    let id = endpoint.id.to_string();

    world.ledger_away(true);
    let half = world.control.delete_endpoint(None, &id).await;
    world.ledger_away(false);
    let whole = world.control.delete_endpoint(None, &id).await;

    assert!(matches!(half, Err(ControlError::Unavailable(_))), "{half:?}");
    assert_eq!(whole, Ok(2));
    assert_eq!(world.log(), ["deleted", "cancelled"]);
}

#[tokio::test]
async fn deleting_an_application_takes_back_what_its_endpoints_are_owed() {
    let (world, endpoint) = world_with_an_endpoint().await;

    assert_eq!(world.control.delete_application("acme").await, Ok(2));
    let gone = world.control.endpoint(None, &endpoint.id.to_string()).await;
    assert!(matches!(gone, Err(ControlError::NotFound(_))), "{gone:?}");
    let again = world.control.delete_application("acme").await;
    assert!(matches!(again, Err(ControlError::NotFound(_))), "{again:?}");
}

#[tokio::test]
async fn a_rotated_key_signs_on_for_the_overlap() {
    let (world, endpoint) = world_with_an_endpoint().await;
    let id = endpoint.id.to_string();

    let rotated =
        world.control.rotate_secret(None, &id, NewKey::Given(SECRET), 60).await.expect("rotated");

    assert_eq!(rotated.keys[0].key.reveal(), SECRET);
    assert_eq!(rotated.keys[0].expires_at, None);
    assert_eq!(rotated.keys[1].expires_at, Some(NOW + Duration::from_mins(1)));
    assert_eq!(world.control.secrets(None, &id).await.expect("shown").len(), 2);
}

#[tokio::test]
async fn a_rotation_may_change_the_scheme_and_both_sign_until_the_overlap_ends() {
    let (world, endpoint) = world_with_an_endpoint().await;
    let id = endpoint.id.to_string();
    let (made, given) = (NewKey::Made(Scheme::V1a), NewKey::Given(PRIVATE));

    let made = world.control.rotate_secret(None, &id, made, 60).await.expect("rotated");
    let given = world.control.rotate_secret(None, &id, given, 60).await.expect("rotated");

    assert!(made.keys[0].key.reveal().starts_with("whpk_"));
    assert_eq!(given.keys[0].key.reveal(), PUBLIC, "the private half is never told");
    let schemes: Vec<_> = given.live_keys(NOW).map(SigningKey::scheme).collect();
    assert_eq!(schemes, [Scheme::V1a, Scheme::V1a, Scheme::V1]);
    let public = world.control.rotate_secret(None, &id, NewKey::Given(PUBLIC), 60).await;
    assert!(matches!(public, Err(ControlError::Invalid(_))), "{public:?}");
}

#[tokio::test]
async fn credentials_stay_through_an_edit_until_they_are_taken_away() {
    let (world, endpoint) = world_with_an_endpoint().await;
    let id = endpoint.id.to_string();
    let edited = async |edit| world.control.edit_endpoint(None, &id, edit, &any_url).await;
    let bearer = Auth::Bearer { token: "t".into() };
    let set = EndpointEdit { auth: Change::Set(bearer), ..EndpointEdit::default() };
    let own = vec![("Authorization".to_owned(), "x".to_owned())];

    assert!(edited(set).await.expect("edited").auth.is_some());
    assert!(edited(EndpointEdit::default()).await.expect("edited").auth.is_some());
    let twice = edited(EndpointEdit { headers: Some(own), ..EndpointEdit::default() }).await;
    assert!(matches!(twice, Err(ControlError::Invalid(_))), "{twice:?}");
    let clear = EndpointEdit { auth: Change::Clear, ..EndpointEdit::default() };
    assert!(edited(clear).await.expect("edited").auth.is_none());
}

#[tokio::test]
async fn an_overlap_of_zero_ends_all_older_keys_now() {
    let (world, endpoint) = world_with_an_endpoint().await;
    let id = endpoint.id.to_string();
    world.control.rotate_secret(None, &id, MADE, 60).await.expect("rotated");

    let rotated = world.control.rotate_secret(None, &id, MADE, 0).await.expect("rotated");

    assert_eq!(rotated.keys.len(), 1);
}

#[tokio::test]
async fn no_more_than_eleven_keys_sign_and_none_of_them_twice() {
    let (world, endpoint) = world_with_an_endpoint().await;
    let id = endpoint.id.to_string();
    for _ in 1..KEYS_MAX {
        world.control.rotate_secret(None, &id, MADE, 60).await.expect("rotated");
    }
    let one_more = world.control.rotate_secret(None, &id, MADE, 60).await;
    assert!(matches!(one_more, Err(ControlError::LimitReached(_))), "{one_more:?}");

    world.control.rotate_secret(None, &id, NewKey::Given(SECRET), 0).await.expect("rotated");
    let same = world.control.rotate_secret(None, &id, NewKey::Given(SECRET), 60).await;
    assert!(matches!(same, Err(ControlError::Invalid(_))), "{same:?}");
    let long = world.control.rotate_secret(None, &id, MADE, 604_801).await;
    assert!(matches!(long, Err(ControlError::Invalid(_))), "{long:?}");
}

#[tokio::test]
async fn an_event_type_is_listed_once() {
    let control = World::new().control;
    control.create_event_type("job.completed", String::new()).await.expect("listed");

    let again = control.create_event_type("job.completed", String::new()).await;
    assert!(matches!(again, Err(ControlError::Conflict(_))), "{again:?}");
    let wrong = control.create_event_type("job.*", String::new()).await;
    assert!(matches!(wrong, Err(ControlError::Invalid(_))), "{wrong:?}");
    assert_eq!(control.delete_event_type("job.completed").await, Ok(()));
    let gone = control.delete_event_type("job.completed").await;
    assert!(matches!(gone, Err(ControlError::NotFound(_))), "{gone:?}");
}
