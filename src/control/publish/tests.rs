//! What holds for publishing, whatever stands behind the ports.

use std::sync::Mutex;

use async_trait::async_trait;
use serde_json::json;

use super::super::applications::NewApplication;
use super::super::endpoints::Change;
use super::super::event_types::{EventTypeEdit, NewEventType};
use super::super::fake::{NOW, World};
use super::*;
use crate::domain::settings::{SchemaMode, Settings};
use crate::storage::StorageError;

/// A store that says of the events whose names are listed that they are there already.
#[derive(Default)]
struct Shelf {
    answers: HashMap<String, Published>,
    published: Mutex<Vec<Publication>>,
}

#[async_trait]
impl Publish for Shelf {
    async fn publish(&self, batch: &[Publication]) -> Result<Vec<Published>, StorageError> {
        self.published.lock().expect("no panic").extend_from_slice(batch);
        let answer = |event: &Publication| self.answers.get(&event.event_id).copied();
        Ok(batch.iter().map(|event| answer(event).unwrap_or(Published::Now)).collect())
    }
}

struct Desk {
    intake: Intake,
    shelf: Arc<Shelf>,
    application: Application,
}

impl Desk {
    async fn new() -> Self {
        Self::with(|_| HashMap::new()).await
    }

    async fn with(answers: impl FnOnce(ApplicationId) -> HashMap<String, Published>) -> Self {
        let control = World::new().control;
        let made = control.create_application(NewApplication::named("Acme", Some("acme"))).await;
        let application = made.expect("a free uid");
        let shelf = Arc::new(Shelf { answers: answers(application.id), ..Shelf::default() });
        let urls = Arc::new(|text: &str| match text {
            "https://inside.example/" => Err("it may not be called".to_owned()),
            text => text.parse().map_err(|error: url::ParseError| error.to_string()),
        });
        let intake = Intake::new(control, shelf.clone(), urls, 100);
        Self { intake, shelf, application }
    }

    async fn publish(&self, drafts: Vec<Draft>, key: Option<&str>) -> Outcome {
        self.intake.publish(&self.application, drafts, key).await
    }

    fn published(&self) -> Vec<Publication> {
        self.shelf.published.lock().expect("no panic").clone()
    }
}

type Outcome = Result<Vec<Accepted>, PublishError>;

fn draft() -> Draft {
    Draft {
        event_type: "job.completed".into(),
        payload: Bytes::from_static(b"{\"n\":1}"),
        ..Draft::default()
    }
}

fn named(id: &str) -> Draft {
    Draft { event_id: Some(id.into()), ..draft() }
}

fn conflict(outcome: Outcome) -> String {
    match outcome {
        Err(PublishError::Control(ControlError::Conflict(why))) => why,
        other => panic!("a conflict is wanted: {other:?}"),
    }
}

#[tokio::test]
async fn an_event_gets_the_id_that_its_receivers_will_see() {
    let desk = Desk::new().await;

    let drafts = vec![draft(), Draft { channels: vec!["eu".into()], ..named("run-7") }];
    let accepted = desk.publish(drafts, None).await.expect("accepted");

    for (one, publication) in accepted.iter().zip(desk.published()) {
        assert_eq!(one.id, event::id_of(desk.application.id, &publication.event_id));
        assert_eq!(one.occurred_at, NOW);
        assert_eq!(publication.idempotency_key, None);
        assert_eq!(publication.channels, one.channels);
        assert_eq!(publication.application, desk.application.id.to_string());
    }
    assert_eq!(accepted[1].event_id.as_deref(), Some("run-7"));
    assert_eq!(accepted[1].channels, ["eu"]);
    let name = &desk.published()[0].event_id;
    assert!(name.parse::<EventId>().is_ok(), "{name} is not taken for its producer's id");
}

#[tokio::test]
async fn a_key_names_what_has_no_id_and_stands_beside_what_has_one() {
    let desk = Desk::new().await;
    for _ in 0..2 {
        desk.publish(vec![draft(), draft(), named("run-7")], Some("k")).await.expect("accepted");
    }
    desk.publish(vec![draft()], Some("other")).await.expect("accepted");

    let published = desk.published();
    let names: Vec<_> = published.iter().map(|event| event.event_id.as_str()).collect();
    assert_eq!(names[..3], names[3..6], "the same request gives the same names");
    assert_ne!(names[0], names[1], "each place its own");
    assert_ne!(names[0], names[6], "each key its own");
    assert_eq!(names[2], "run-7");
    let keys: Vec<_> = published[..3].iter().map(|event| &event.idempotency_key).collect();
    assert_eq!(keys, [&None, &None, &Some("k\n2".into())]);
}

#[tokio::test]
async fn an_event_id_that_is_taken_is_a_conflict_unless_the_same_request_took_it() {
    let answers = [("theirs".into(), Published::Taken), ("ours".into(), Published::Before)];
    let desk = Desk::with(|_| answers.into()).await;

    let why = conflict(desk.publish(vec![named("new"), named("theirs")], None).await);
    assert!(why.contains("`theirs`"), "{why}");
    let again = desk.publish(vec![named("ours")], Some("k")).await.expect("the same again");
    assert_eq!(again[0].event_id.as_deref(), Some("ours"));
}

#[tokio::test]
async fn a_key_that_published_before_gives_the_same_answer_and_no_more_than_that() {
    let desk = Desk::with(|application| {
        HashMap::from([(of_key(application, "k", 0).to_string(), Published::Taken)])
    })
    .await;

    let first = desk.publish(vec![draft()], Some("k")).await.expect("the same again");
    assert_eq!(first, desk.publish(vec![draft()], Some("k")).await.expect("and again"));
    let why = conflict(desk.publish(vec![draft(), draft()], Some("k")).await);
    assert!(why.contains("idempotency key"), "{why}");
}

#[tokio::test]
async fn every_fault_is_told_with_its_place_and_nothing_is_published() {
    let desk = Desk::new().await;
    let drafts = vec![
        draft(),
        Draft { event_type: "job done".into(), payload: Bytes::from_static(b"{"), ..draft() },
        Draft { subject: Some(String::new()), ..named("run 7") },
        named("msg_1"),
        named("run-7"),
        named("run-7"),
        Draft { channels: vec!["team a".into()], ..draft() },
        Draft { channels: vec!["x".into(); 6], ..draft() },
    ];

    let Err(PublishError::Refused(faults)) = desk.publish(drafts, None).await else {
        panic!("they are refused");
    };

    let places: Vec<_> = faults.iter().map(|fault| (fault.place, fault.field)).collect();
    let expected = [
        (1, Field::Payload),
        (1, Field::EventType),
        (2, Field::EventId),
        (2, Field::Subject),
        (3, Field::EventId),
        (5, Field::EventId),
        (6, Field::Channels),
        (7, Field::Channels),
    ];
    assert_eq!(places, expected);
    assert!(desk.published().is_empty());
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let desk = Desk::new().await;
    let large = Draft { payload: format!("\"{}\"", "x".repeat(99)).into(), ..draft() };

    let refused = desk.publish(vec![large], None).await;
    assert!(matches!(refused, Err(PublishError::TooLarge(_))), "{refused:?}");
    assert!(desk.published().is_empty());
}

/// An application that has its events held to their schemas, as `mode` says, and a type that wants a status.
async fn held(mode: SchemaMode) -> Desk {
    let desk = Desk::new().await;
    let schemas = json!({ "1": {
        "required": ["status"],
        "properties": { "status": { "const": "done" }, "n": { "type": "integer" } },
    } });
    let new = NewEventType {
        name: "job.completed".into(),
        schemas: Some(schemas),
        ..NewEventType::default()
    };
    desk.intake.control.create_event_type(new).await.expect("a schema");
    let control = &desk.intake.control;
    let known = control.settings_of(desk.application.tenant()).await.expect("read");
    let settings = Settings { schema_mode: mode, ..known };
    control.catalogue.put_settings(&settings).await.expect("kept");
    desk
}

fn with(payload: &'static str) -> Draft {
    Draft { payload: Bytes::from_static(payload.as_bytes()), ..draft() }
}

#[tokio::test]
async fn a_payload_that_breaks_its_schema_is_refused_with_each_fault_and_its_place() {
    let desk = held(SchemaMode::Enforce).await;
    let good = with(r#"{"status":"done","n":1}"#);

    let refused = desk.publish(vec![good.clone(), with(r#"{"n":"one"}"#)], None).await;

    let Err(PublishError::Refused(faults)) = refused else { panic!("{refused:?}") };
    let told: Vec<_> = faults.iter().map(|fault| (fault.place, fault.field)).collect();
    assert_eq!(told, [(1, Field::Payload); 2], "{faults:?}");
    assert!(faults.iter().any(|fault| fault.why.starts_with("/n: ")), "{faults:?}");
    assert!(faults.iter().any(|fault| fault.why.contains("\"status\"")), "{faults:?}");
    assert!(desk.published().is_empty(), "all or none");
    assert!(desk.publish(vec![good], None).await.is_ok());
    let unknown = Draft { event_type: "job.unlisted".into(), ..with("{}") };
    assert!(desk.publish(vec![unknown], None).await.is_ok());
}

#[tokio::test]
async fn an_edited_schema_holds_from_the_next_request_on_and_an_archived_type_has_none() {
    let desk = held(SchemaMode::Enforce).await;
    assert!(desk.publish(vec![with("{}")], None).await.is_err());
    let edit =
        EventTypeEdit { schemas: Change::Set(json!({ "1": {} })), ..EventTypeEdit::default() };
    let control = &desk.intake.control;
    control.edit_event_type("job.completed", edit).await.expect("edited");
    assert!(desk.publish(vec![with("{}")], None).await.is_ok());
    let edit = EventTypeEdit {
        schemas: Change::Set(json!({ "1": { "required": ["n"] } })),
        archived: Some(true),
        ..EventTypeEdit::default()
    };
    control.edit_event_type("job.completed", edit).await.expect("edited");
    assert!(desk.publish(vec![with("{}")], None).await.is_ok());
}

#[tokio::test]
async fn whoever_does_not_want_it_is_not_held_to_schemas() {
    for mode in [SchemaMode::Off, SchemaMode::Warn] {
        let desk = held(mode).await;
        assert!(desk.publish(vec![with("{}")], None).await.is_ok(), "{mode:?}");
    }
}

fn sourced(source: &str, id: &str) -> Draft {
    let attributes = vec![("source".into(), source.into())].into();
    let content_type = Some("application/vnd.job+json".into());
    Draft { event_id: Some(id.into()), attributes, content_type, ..draft() }
}

#[tokio::test]
async fn a_cloudevent_is_named_by_its_source_and_id_together() {
    let desk = Desk::new().await;
    let ids = async |draft: Draft| desk.publish(vec![draft], None).await.expect("taken")[0].id;

    let one = ids(sourced("/a", "id/with:anything")).await;
    assert_eq!(ids(sourced("/a", "id/with:anything")).await, one);
    assert_ne!(ids(sourced("/b", "id/with:anything")).await, one);
    assert_ne!(ids(sourced("/a", "A-1")).await, ids(named("A-1")).await);

    let published = desk.published();
    assert_eq!(published[0].event_id, "id/with:anything");
    assert_eq!(published[0].content_type.as_deref(), Some("application/vnd.job+json"));
    assert_eq!(published[0].attributes[0], ("source".into(), "/a".into()));
    let keys: Vec<_> = published.iter().map(|one| one.idempotency_key.as_deref()).collect();
    assert_eq!(keys[0], Some("cloudevent\n/a\nid/with:anything"));
    assert_eq!(keys.last(), Some(&None));
}

#[tokio::test]
async fn an_event_may_name_a_url_and_a_moment_behind_which_it_is_of_no_use() {
    let desk = Desk::new().await;
    let own = |url: &str, mode: Option<&str>| Draft {
        webhook_url: Some(url.into()),
        webhook_mode: mode.map(str::to_owned),
        ..draft()
    };
    let end = NOW + std::time::Duration::from_mins(1);
    let drafts = vec![
        own("https://hook.example/a", None),
        own("https://hook.example/a", Some("add")),
        own("", Some("")),
        Draft { expires_at: Some(end), deliver_at: Some(NOW), ..draft() },
    ];

    let accepted = desk.publish(drafts, None).await.expect("accepted");

    let modes = accepted.iter().map(|one| one.webhook.as_ref().map(|own| own.mode.as_str()));
    assert_eq!(modes.collect::<Vec<_>>(), [Some("override"), Some("add"), None, None]);
    assert_eq!(accepted[3].expires_at, Some(end));
    for (one, published) in accepted.iter().zip(desk.published()) {
        assert_eq!((&one.webhook, one.expires_at), (&published.webhook, published.expires_at));
    }

    let wrong = vec![
        own("https://inside.example/", None),
        own("https://hook.example/a", Some("both")),
        Draft { webhook_mode: Some("add".into()), ..draft() },
        Draft { expires_at: Some(end), deliver_at: Some(end), ..draft() },
    ];
    let Err(PublishError::Refused(faults)) = desk.publish(wrong, None).await else {
        panic!("each is wrong");
    };
    let fields: Vec<_> = faults.iter().map(|fault| (fault.place, fault.field)).collect();
    let mode = Field::WebhookMode;
    assert_eq!(fields, [(0, Field::WebhookUrl), (1, mode), (2, mode), (3, Field::ExpiresAt)]);
}
