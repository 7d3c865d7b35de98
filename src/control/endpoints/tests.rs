//! What people may do to endpoints, their applications and their keys.

use std::time::Duration;

use super::*;
use crate::control::applications::NewApplication;
use crate::control::fake::{NOW, World};
use crate::control::{KEYS_MAX, NewKey};
use crate::domain::policy::Ceiling;
use crate::domain::signature::{Scheme, Signing, SigningKey};

const MADE: NewKey<'_> = NewKey::Made(Scheme::V1);
const PRIVATE: &str = "whsk_cuUPEX3CcRfHbw2Ud2dmpi3cY6Y0XZ94Wx+GGzfjJ34=";
const PUBLIC: &str = "whpk_3hB8na+WW/FYcuiAxBLllocBVD1nSl3lBCUAt42JWeI=";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn any_url(text: &str) -> Result<url::Url, String> {
    url::Url::parse(text).map_err(|error| format!("`{text}` is not a URL: {error}"))
}

fn hook() -> NewEndpoint {
    NewEndpoint {
        url: "https://hooks.example/in".into(),
        uid: Some("hook".into()),
        ..NewEndpoint::default()
    }
}

async fn world_with_an_endpoint() -> (World, Endpoint) {
    let world = World::new();
    let acme = world.control.create_application(NewApplication::named("Acme", Some("acme"))).await;
    let acme = acme.expect("an application").tenant();
    let endpoint = world.control.create_endpoint(acme, hook(), &any_url).await;
    let endpoint = endpoint.expect("an endpoint");
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
    let (world, endpoint) = world_with_an_endpoint().await;
    let acme = endpoint.tenant();
    let policy =
        |timeout_ms| PolicyEdit { timeout_ms: Change::Set(timeout_ms), ..PolicyEdit::default() };
    let many = |count: u32| (0..count).map(|number| number.to_string()).collect::<Vec<_>>();
    let twice = vec!["eu".to_owned(), "eu".to_owned()];
    let metadata = Metadata::from([("a".into(), "x".repeat(4_096))]);
    let table = [
        (NewEndpoint { url: "nowhere".into(), ..hook() }, "url", "is not a URL"),
        (NewEndpoint { uid: Some("ep_1".into()), ..hook() }, "uid", "is not a uid"),
        (NewEndpoint { patterns: vec!["job*".into()], ..hook() }, "eventTypes", "`job*` is not"),
        (NewEndpoint { patterns: many(101), ..hook() }, "eventTypes", "101 patterns"),
        (NewEndpoint { channels: many(11), ..hook() }, "channels", "11 channels"),
        (NewEndpoint { channels: twice, ..hook() }, "channels", "`eu` is given twice"),
        (NewEndpoint { throttle_rate: Some(0), ..hook() }, "throttleRate", "rate of 0"),
        (NewEndpoint { policy: policy(5), ..hook() }, "policy", "timeoutMs is 5"),
        (
            NewEndpoint { headers: vec![("host".into(), "x".into())], ..hook() },
            "headers",
            "header `host`",
        ),
        (NewEndpoint { secret: Some("whsec_c2hvcnQ=".into()), ..hook() }, "secret", "5 bytes"),
        (NewEndpoint { metadata, ..hook() }, "metadata", "at most 4096"),
        (
            NewEndpoint { description: "x".repeat(4_097), ..hook() },
            "description",
            "4097 characters",
        ),
    ];
    for (new, wrong, sentence) in table {
        let refused = world.control.create_endpoint(acme, new, &any_url).await;
        let Err(ControlError::InvalidField { field, why }) = refused else {
            panic!("{sentence}: {refused:?}")
        };
        assert_eq!(field, wrong);
        assert!(why.contains(sentence), "{why}");
    }
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

    assert_eq!(world.control.delete_application("acme").await, Ok(4), "and its default URL");
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
    assert!(matches!(public, Err(ControlError::InvalidField { .. })), "{public:?}");
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
    assert!(matches!(twice, Err(ControlError::InvalidField { .. })), "{twice:?}");
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
    assert!(matches!(same, Err(ControlError::InvalidField { .. })), "{same:?}");
    let long = world.control.rotate_secret(None, &id, MADE, 604_801).await;
    assert!(matches!(long, Err(ControlError::InvalidField { .. })), "{long:?}");
}

#[tokio::test]
async fn a_disabled_endpoint_is_enabled_with_what_waits_and_a_paused_one_stays_paused() {
    let (world, endpoint) = world_with_an_endpoint().await;
    let acme = endpoint.tenant();
    let disabled = async |disabled| {
        let edit = EndpointEdit { disabled: Some(disabled), ..EndpointEdit::default() };
        let edited = world.control.edit_endpoint_of(acme, "hook", edit, &any_url).await;
        let edited = edited.expect("edited");
        (edited.state, edited.disabled_because)
    };

    assert_eq!(disabled(false).await, (EndpointState::Active, None));
    assert_eq!(disabled(true).await, (EndpointState::Disabled, Some(DisabledBecause::Asked)));
    let pause = world.control.pause_endpoint_of(acme, "hook").await;
    assert!(matches!(pause, Err(ControlError::Conflict(_))), "{pause:?}");
    assert_eq!(disabled(false).await, (EndpointState::Active, None));
    world.control.pause_endpoint_of(acme, "hook").await.expect("paused");
    assert_eq!(disabled(false).await, (EndpointState::Paused, None));
    assert_eq!(disabled(true).await, (EndpointState::Disabled, Some(DisabledBecause::Asked)));

    let log = ["disabled", "active", "recalled", "paused", "disabled"];
    assert_eq!(world.log(), log, "what stays as it is is not written");
}

#[tokio::test]
async fn the_same_put_twice_is_one_endpoint() {
    let (world, endpoint) = world_with_an_endpoint().await;
    let acme = endpoint.tenant();
    let put = async |name: &str, new: NewEndpoint| {
        world.control.put_endpoint(acme, name, new, &any_url).await.expect("put")
    };
    let plain = || NewEndpoint { uid: None, ..hook() };

    let Put::Made(made) = put("other", plain()).await else { panic!("it was not there") };
    assert_eq!(made.uid.as_deref(), Some("other"));
    let Put::Known(known) = put("other", plain()).await else { panic!("it was there") };
    assert_eq!((known.id, known.uid.as_deref()), (made.id, Some("other")));
    let Put::Known(cleared) = put(&made.id.to_string(), plain()).await else { panic!("there") };
    assert_eq!(cleared.uid, None, "all of it is written anew");
}

#[tokio::test]
async fn a_put_writes_all_anew_but_keys_headers_and_what_is_not_said_of_the_policy() {
    let (world, endpoint) = world_with_an_endpoint().await;
    let full = EndpointEdit {
        description: Some("first".into()),
        patterns: Some(vec!["job.*".into()]),
        channels: Some(vec!["eu".into()]),
        throttle_rate: Change::Set(20),
        policy: PolicyEdit { timeout_ms: Change::Set(5_000), ..PolicyEdit::default() },
        headers: Some(vec![("x-team".into(), "red".into())]),
        metadata: Some(Metadata::from([("a".into(), "b".into())])),
        version: NonZeroU16::new(7),
        ..EndpointEdit::default()
    };
    let acme = endpoint.tenant();
    world.control.edit_endpoint_of(acme, "hook", full, &any_url).await.expect("edited");

    let most = PolicyEdit {
        max_in_flight: NonZeroU16::new(7).map_or(Change::Keep, Change::Set),
        ..PolicyEdit::default()
    };
    let new = NewEndpoint { url: "https://b.example/".into(), policy: most, ..hook() };
    let put = world.control.put_endpoint(acme, "hook", new, &any_url).await.expect("put");

    let Put::Known(put) = put else { panic!("it was there") };
    assert_eq!(put.url.as_str(), "https://b.example/");
    assert_eq!((put.description.as_str(), put.filter.to_string()), ("", "everything".into()));
    assert_eq!((put.channels.len(), put.throttle_rate, put.metadata.len()), (0, None, 0));
    assert_eq!(put.version, NonZeroU16::MIN);
    assert_eq!((put.policy.timeout_ms, put.policy.max_in_flight.get()), (5_000, 7));
    assert_eq!(put.headers.len(), 1);
    assert_eq!(put.keys[0].key.expose(), endpoint.keys[0].key.expose());
}

#[tokio::test]
async fn deleting_in_the_wrong_application_takes_nothing_back() {
    let (world, endpoint) = world_with_an_endpoint().await;
    let other = world.control.create_application(NewApplication::named("Other", Some("other")));
    let other = other.await.expect("made").tenant();
    let id = endpoint.id.to_string();

    let by_operator = world.control.delete_endpoint(Some("other"), &id).await;
    let by_tenant = world.control.delete_endpoint_of(other, &id).await;

    for refused in [by_operator, by_tenant] {
        assert!(matches!(refused, Err(ControlError::NotFound(_))), "{refused:?}");
    }
    assert!(world.log().is_empty(), "{:?}", world.log());
}

fn with_policy(policy: PolicyEdit) -> EndpointEdit {
    EndpointEdit { policy, ..EndpointEdit::default() }
}

#[tokio::test]
async fn requests_go_unsigned_only_where_the_operator_allows_it() {
    let (world, endpoint) = world_with_an_endpoint().await;
    let unsigned: Signing = serde_json::from_str(r#"{"scheme":"none"}"#).expect("signing");
    let id = endpoint.id.to_string();
    let edited =
        async |control: &Control, edit| control.edit_endpoint(None, &id, edit, &any_url).await;
    let wish = || {
        with_policy(PolicyEdit { signing: Change::Set(unsigned.clone()), ..PolicyEdit::default() })
    };

    let refused = edited(&world.control, wish()).await.expect_err("above the ceiling");
    let lax = world.control.clone().under(Ceiling { allow_unsigned: true });
    let allowed = edited(&lax, wish()).await.expect("allowed");

    assert!(matches!(&refused, ControlError::InvalidField { field: "policy", .. }), "{refused:?}");
    assert!(refused.to_string().contains("delivery.allow_unsigned"), "{refused}");
    assert_eq!(allowed.policy.signing, unsigned);
    // What was said under another ceiling does not stand in the way of other edits.
    let description = EndpointEdit { description: Some("x".into()), ..EndpointEdit::default() };
    assert!(edited(&world.control, description).await.is_ok());
}

#[tokio::test]
async fn an_http_url_and_a_policy_without_http_are_not_accepted_together() {
    let (world, endpoint) = world_with_an_endpoint().await;
    let (tenant, id) = (endpoint.tenant(), endpoint.id.to_string());
    let edited = async |edit| world.control.edit_endpoint(None, &id, edit, &any_url).await;
    let strict = || PolicyEdit { allow_http: Change::Set(false), ..PolicyEdit::default() };
    let to_http =
        || EndpointEdit { url: Some("http://a.example/".into()), ..EndpointEdit::default() };
    let at_fault = |answer: Answer<Endpoint>| {
        let Err(ControlError::InvalidField { field, why }) = answer else { panic!("{answer:?}") };
        (field, why.contains("allowHttp"))
    };

    let new =
        NewEndpoint { url: "http://a.example/".into(), policy: strict(), ..NewEndpoint::default() };
    let made = world.control.create_endpoint(tenant, new, &any_url).await;
    assert_eq!(at_fault(made), ("url", true));
    edited(to_http()).await.expect("http is allowed by default");
    assert_eq!(at_fault(edited(with_policy(strict())).await), ("policy", true));
    let to_https = EndpointEdit { url: Some("https://a.example/".into()), ..with_policy(strict()) };
    edited(to_https).await.expect("both at once");
    assert_eq!(at_fault(edited(to_http()).await), ("url", true));
}
