//! What people may do to an application's settings.

use serde_json::json;
use url::Url;

use super::*;
use crate::control::applications::NewApplication;
use crate::control::endpoints::NewEndpoint;
use crate::control::fake::{NOW, World};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn any_url(text: &str) -> Result<Url, String> {
    Url::parse(text).map_err(|error| format!("`{text}` is not a URL: {error}"))
}

async fn acme(world: &World) -> Tenant {
    let made = world.control.create_application(NewApplication::named("Acme", Some("acme"))).await;
    made.expect("an application").tenant()
}

async fn edit(world: &World, tenant: Tenant, json: Value) -> Answer<Settings> {
    let edit = serde_json::from_value(json).expect("an edit");
    world.control.edit_settings(tenant, edit, &any_url).await
}

#[tokio::test]
async fn what_an_edit_does_not_name_stays_and_null_clears() {
    let world = World::new();
    let acme = acme(&world).await;
    let first = json!({
        "defaultUrl": "https://a.example/in", "defaultUrlWhen": "no_override",
        "policy": { "timeoutMs": 10000, "format": "standard" }, "schemaMode": "warn",
    });
    edit(&world, acme, first).await.expect("edited");

    let next = json!({ "defaultUrl": null, "policy": { "timeoutMs": null }, "updatedAt": 1 });
    let after = edit(&world, acme, next).await.expect("edited");

    assert_eq!(after.default_url, None);
    assert_eq!(after.default_url_when, DefaultUrlWhen::NoOverride);
    assert_eq!(serde_json::to_value(&after.policy).expect("JSON"), json!({ "format": "standard" }));
    assert_eq!((after.schema_mode, after.updated_at), (SchemaMode::Warn, Some(NOW)));
    let clear = json!({ "policy": null, "defaultUrlWhen": null, "schemaMode": null });
    let cleared = edit(&world, acme, clear).await.expect("edited");
    assert_eq!(cleared.policy, PolicyPart::default());
    assert_eq!(cleared.default_url_when, DefaultUrlWhen::NoMatch);
    assert_eq!(cleared.schema_mode, SchemaMode::Off);
}

#[tokio::test]
async fn attributes_are_merged_name_by_name_and_bounded() {
    let world = World::new();
    let acme = acme(&world).await;
    let of = |json: Value| json!({ "attributes": json });
    edit(&world, acme, of(json!({ "a": { "b": 1, "c": 2 }, "d": [1] }))).await.expect("edited");

    let patch = of(json!({ "a": { "b": null, "e": { "f": null, "g": 3 } }, "d": "x" }));
    let after = edit(&world, acme, patch).await.expect("edited");

    let merged = json!({ "a": { "c": 2, "e": { "g": 3 } }, "d": "x" });
    assert_eq!(Value::Object(after.attributes), merged);
    let large = edit(&world, acme, of(json!({ "x": "x".repeat(4_090) }))).await;
    let Err(ControlError::InvalidField { field: "attributes", why }) = large else {
        panic!("{large:?}")
    };
    assert!(why.contains("at most 4096"), "{why}");
    let cleared = edit(&world, acme, of(Value::Null)).await.expect("edited");
    assert!(cleared.attributes.is_empty());
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_field_and_nothing_is_written() {
    let world = World::new();
    let acme = acme(&world).await;
    for (wrong, expected) in [
        (json!({ "defaultUrl": "nowhere" }), "defaultUrl"),
        (json!({ "policy": { "timeoutMs": 1 } }), "policy"),
    ] {
        let refused = edit(&world, acme, wrong).await;
        let Err(ControlError::InvalidField { field, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(field, expected);
    }
    let settings = world.control.settings_of(acme).await.expect("there");
    assert_eq!((settings.updated_at, settings.policy.timeout_ms), (None, None));
}

#[tokio::test]
async fn an_edit_that_says_nothing_writes_nothing() {
    let world = World::new();
    let acme = acme(&world).await;

    let answered = edit(&world, acme, json!({})).await.expect("answered");

    assert_eq!(answered.updated_at, None);
}

#[tokio::test]
async fn an_application_has_a_key_from_the_first_and_a_rotated_one_signs_on() {
    let world = World::new();
    let acme = acme(&world).await;
    let first = world.control.settings_key_of(acme).await.expect("a key");
    edit(&world, acme, json!({ "attributes": { "a": 2 } })).await.expect("edited");
    let same = world.control.settings_key_of(acme).await.expect("a key");
    assert_eq!(same.reveal(), first.reveal(), "it stays");

    let given = NewKey::Given(SECRET);
    let rotated = world.control.rotate_settings_secret_of(acme, given, 60).await.expect("rotated");

    assert_eq!(world.control.settings_key_of(acme).await.expect("a key").reveal(), SECRET);
    assert_eq!(rotated.keys.len(), 2);
    assert_eq!(rotated.keys[1].key.reveal(), first.reveal());
    assert_eq!(rotated.keys[1].expires_at, Some(NOW + std::time::Duration::from_mins(1)));
    let again = world.control.rotate_settings_secret_of(acme, given, 60).await;
    assert!(matches!(again, Err(ControlError::InvalidField { field: "key", .. })), "{again:?}");
}

#[tokio::test]
async fn of_two_edits_at_once_neither_takes_back_what_the_other_changed() {
    let world = World::new();
    let acme = acme(&world).await;
    world.crossed_by(|settings| settings.delivery = DeliverySwitch::Hold);

    let after = edit(&world, acme, json!({ "attributes": { "a": 1 } })).await.expect("edited");

    assert_eq!((after.delivery, &after.attributes["a"]), (DeliverySwitch::Hold, &json!(1)));
    let kept = world.control.settings_of(acme).await.expect("there");
    assert_eq!((kept.delivery, kept.revision), (DeliverySwitch::Hold, after.revision));

    let rotated = SECRET.parse::<SigningKey>().expect("a key");
    world.crossed_by(|settings| settings.keys[0].key = rotated);
    edit(&world, acme, json!({ "attributes": { "b": 2 } })).await.expect("edited");
    assert_eq!(world.control.settings_key_of(acme).await.expect("a key").reveal(), SECRET);
    world.crossed_by(|settings| settings.schema_mode = SchemaMode::Warn);
    let rotated = world.control.rotate_settings_secret_of(acme, None.into(), 0).await;
    assert_eq!(rotated.expect("rotated").schema_mode, SchemaMode::Warn);
}

#[tokio::test]
async fn an_edit_that_others_cross_each_time_gives_way_to_them() {
    let world = World::new();
    let acme = acme(&world).await;
    for _ in 0..TRIES {
        world.crossed_by(|settings| settings.delivery = DeliverySwitch::Hold);
    }

    let refused = edit(&world, acme, json!({ "delivery": "on", "schemaMode": "warn" })).await;

    assert!(matches!(refused, Err(ControlError::Conflict(_))), "{refused:?}");
    let kept = world.control.settings_of(acme).await.expect("there");
    assert_eq!((kept.delivery, kept.schema_mode), (DeliverySwitch::Hold, SchemaMode::Off));
}

#[tokio::test]
async fn switching_on_again_offers_what_was_held() {
    let world = World::new();
    let acme = acme(&world).await;
    let switch = |word: &str| edit(&world, acme, json!({ "delivery": word }));
    switch("hold").await.expect("held");
    let before = world.log();

    switch("on").await.expect("on");

    let since = world.log().split_off(before.len());
    assert_eq!(since, ["let go"]);
    switch("on").await.expect("on");
    assert_eq!(world.log().len(), before.len() + 1, "one that is on is not switched on again");
}

#[tokio::test]
async fn endpoints_go_by_the_policy_of_their_application_where_they_say_nothing() {
    let world = World::new();
    let acme = acme(&world).await;
    let policy = json!({ "policy": { "timeoutMs": 9000, "format": "standard" } });
    edit(&world, acme, policy).await.expect("edited");
    let new = NewEndpoint {
        url: "https://a.example/".into(),
        policy: serde_json::from_value(json!({ "timeoutMs": 5000 })).expect("an edit"),
        ..NewEndpoint::default()
    };

    let endpoint = world.control.create_endpoint(acme, new, &any_url).await.expect("made");

    assert_eq!(endpoint.policy.timeout_ms, 5_000);
    assert_eq!(endpoint.policy.format, crate::domain::policy::Format::Standard);
    let said = serde_json::to_value(&endpoint.policy_part).expect("JSON");
    assert_eq!(said, json!({ "timeoutMs": 5000 }));
}

#[tokio::test]
async fn settings_say_no_more_than_the_operator_allows_and_do_not_contradict_themselves() {
    let world = World::new();
    let acme = acme(&world).await;
    let at_fault = |answer: Answer<Settings>| {
        let Err(ControlError::InvalidField { field, .. }) = answer else { panic!("{answer:?}") };
        field
    };

    let unsigned = json!({ "policy": { "signing": { "scheme": "none" } } });
    assert_eq!(at_fault(edit(&world, acme, unsigned).await), "policy");
    let strict = || json!({ "policy": { "allowHttp": false } });
    edit(&world, acme, json!({ "defaultUrl": "http://a.example/" }))
        .await
        .expect("http is allowed");
    assert_eq!(at_fault(edit(&world, acme, strict()).await), "policy");
    let both = json!({ "defaultUrl": null, "policy": { "allowHttp": false } });
    edit(&world, acme, both).await.expect("no URL to contradict");
    let http = json!({ "defaultUrl": "http://a.example/" });
    assert_eq!(at_fault(edit(&world, acme, http).await), "defaultUrl");
}
