//! What a test sends, what it shows, and how many are made at once.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::control::applications::NewApplication;
use crate::control::endpoints::NewEndpoint;
use crate::control::event_types::NewEventType;
use crate::control::fake::World;
use crate::control::settings::SettingsEdit;
use crate::domain::id::OrganisationId;

/// Answers at once, or never.
struct Answering {
    outcome: Outcome,
    body: Bytes,
    hangs: AtomicBool,
    sent: Mutex<Vec<(Event, Endpoint)>>,
}

impl Answering {
    fn with(outcome: Outcome) -> Arc<Self> {
        let hangs = AtomicBool::new(false);
        let body = Bytes::from_static(b"taken");
        Arc::new(Self { outcome, body, hangs, sent: Mutex::default() })
    }

    fn last(&self) -> (Event, Endpoint) {
        self.sent.lock().expect("no panic").last().expect("one was sent").clone()
    }
}

#[async_trait]
impl TestCaller for Answering {
    async fn call(&self, event: &Event, endpoint: &Endpoint) -> Called {
        self.sent.lock().expect("no panic").push((event.clone(), endpoint.clone()));
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let (outcome, body) = (self.outcome.clone(), self.body.clone());
        Called { outcome, took: Duration::from_millis(12), body, detail: String::new() }
    }
}

/// Who is shown everything.
const OWNER: Caller = Caller::Organisation(OrganisationId::DEFAULT);

const fn answered(status: u16) -> Outcome {
    Outcome::Answered { status, retry_after: None }
}

fn any_url(text: &str) -> Result<Url, String> {
    Url::parse(text).map_err(|error| error.to_string())
}

async fn acme(world: &World) -> Tenant {
    let made = world.control.create_application(NewApplication::named("Acme", Some("acme"))).await;
    let tenant = made.expect("an application").tenant();
    let policy = serde_json::from_str(r#"{"successStatus":[200]}"#).expect("an edit");
    let new = NewEndpoint {
        url: "https://a.example/in".into(),
        uid: Some("hook".into()),
        policy,
        ..NewEndpoint::default()
    };
    world.control.create_endpoint(tenant, new, &any_url).await.expect("made");
    tenant
}

#[tokio::test]
async fn a_test_shows_what_was_answered_as_the_policy_takes_it() {
    let world = World::new();
    let acme = acme(&world).await;
    let table = [
        (answered(200), true, 200, None),
        (answered(204), false, 204, None),
        (answered(500), false, 500, None),
        (Outcome::TimedOut, false, 0, Some("timeout")),
        (Outcome::TargetNotAllowed, false, 0, Some("target_not_allowed")),
    ];
    for (outcome, ok, status, error) in table {
        let calls = TestCalls::new(Answering::with(outcome));
        let tested =
            calls.to_endpoint(&world.control, &OWNER, acme, "hook", TestWish::default()).await;
        let tested = tested.expect("tested");
        assert_eq!((tested.ok, tested.status, tested.error), (ok, status, error));
        assert_eq!((tested.latency_ms, tested.url.as_str()), (12, "https://a.example/in"));
        assert_eq!(tested.response.as_deref(), Some("taken"));
    }
}

#[tokio::test]
async fn an_endpoint_that_is_paused_may_be_tested_and_an_unknown_one_is_not_found() {
    let world = World::new();
    let acme = acme(&world).await;
    world.control.pause_endpoint_of(acme, "hook").await.expect("paused");
    let calls = TestCalls::new(Answering::with(answered(200)));

    let tested = calls.to_endpoint(&world.control, &OWNER, acme, "hook", TestWish::default()).await;
    let nobody =
        calls.to_endpoint(&world.control, &OWNER, acme, "nobody", TestWish::default()).await;

    assert!(tested.is_ok_and(|tested| tested.ok));
    assert!(matches!(nobody, Err(TestCallError::Control(ControlError::NotFound(_)))));
}

#[tokio::test]
async fn the_default_url_is_tested_with_the_settings_policy_and_key() {
    let world = World::new();
    let acme = acme(&world).await;
    let way = Answering::with(answered(200));
    let calls = TestCalls::new(way.clone());
    let none = calls.to_default_url(&world.control, &OWNER, acme, TestWish::default()).await;
    assert_eq!(none, Err(TestCallError::NoDefaultUrl(acme.application())));

    let edit = r#"{"defaultUrl":"https://d.example/in","policy":{"timeoutMs":2000}}"#;
    let edit: SettingsEdit = serde_json::from_str(edit).expect("an edit");
    world.control.edit_settings(acme, edit, &any_url).await.expect("set");
    let tested = calls.to_default_url(&world.control, &OWNER, acme, TestWish::default()).await;

    assert_eq!(tested.expect("tested").url.as_str(), "https://d.example/in");
    let (event, endpoint) = way.last();
    assert_eq!((endpoint.policy.timeout_ms, endpoint.keys.len()), (2_000, 1));
    assert_eq!(endpoint.id, default_of(acme.application()));
    assert_eq!(&event.payload[..], br#"{"test":true,"type":"webhook.test"}"#);
}

#[tokio::test]
async fn a_test_is_about_what_is_wished_and_what_cannot_be_an_event_is_refused() {
    let world = World::new();
    let acme = acme(&world).await;
    let way = Answering::with(answered(200));
    let calls = TestCalls::new(way.clone());
    let test = |event_type: Option<&str>, payload: Option<&'static str>| {
        let wish = TestWish {
            event_type: event_type.map(str::to_owned),
            payload: payload.map(|text| Bytes::from_static(text.as_bytes())),
        };
        let (calls, control) = (calls.clone(), world.control.clone());
        async move { calls.to_endpoint(&control, &OWNER, acme, "hook", wish).await }
    };

    test(Some("job.completed"), Some(r#"{"n": 1250.50}"#)).await.expect("tested");
    let (event, _) = way.last();
    assert_eq!(event.event_type.as_str(), "job.completed");
    assert_eq!(&event.payload[..], br#"{"n": 1250.50}"#, "to the byte");

    test(Some("job.failed"), None).await.expect("tested");
    assert_eq!(&way.last().0.payload[..], br#"{"test":true,"type":"job.failed"}"#);

    for (event_type, payload, expected) in
        [(Some("a b"), None, "eventType"), (None, Some("{"), "payload")]
    {
        let refused = test(event_type, payload).await;
        let Err(TestCallError::Control(ControlError::InvalidField { field, .. })) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(field, expected);
    }
}

#[tokio::test]
async fn the_example_of_a_type_that_is_hidden_from_who_asks_is_not_sent() {
    let world = World::new();
    let acme = acme(&world).await;
    let new = NewEventType {
        name: "job.beta".into(),
        feature_flag: Some("beta".into()),
        schemas: Some(json!({ "1": { "examples": [{ "secret": true }] } })),
        ..NewEventType::default()
    };
    world.control.create_event_type(new).await.expect("made");
    let way = Answering::with(answered(200));
    let calls = TestCalls::new(way.clone());
    let shown = |flags: &[&str]| Caller::Application {
        organisation: OrganisationId::DEFAULT,
        application: acme.application(),
        feature_flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
    };
    for (caller, expected) in [
        (OWNER, r#"{"secret":true}"#),
        (shown(&["beta"]), r#"{"secret":true}"#),
        (shown(&[]), r#"{"test":true,"type":"job.beta"}"#),
    ] {
        let wish = TestWish { event_type: Some("job.beta".into()), payload: None };
        calls.to_endpoint(&world.control, &caller, acme, "hook", wish).await.expect("tested");
        assert_eq!(way.last().0.payload, expected);
    }
}

#[tokio::test]
async fn no_more_are_made_at_once_than_may_be_and_a_place_is_free_when_its_test_has_ended() {
    let world = World::new();
    let acme = acme(&world).await;
    let way = Answering::with(answered(200));
    way.hangs.store(true, Ordering::Relaxed);
    let calls = TestCalls::new(way.clone());
    let test = || {
        let (calls, control) = (calls.clone(), world.control.clone());
        Box::pin(async move {
            calls.to_endpoint(&control, &OWNER, acme, "hook", TestWish::default()).await
        })
    };
    let mut hanging: Vec<_> = (0..AT_ONCE_OF_ONE).map(|_| test()).collect();
    for one in &mut hanging {
        assert!(futures_util::poll!(one).is_pending());
    }

    assert_eq!(test().await, Err(TestCallError::TooMany));

    hanging.pop();
    way.hangs.store(false, Ordering::Relaxed);
    assert!(test().await.is_ok());
    drop(hanging);
    let taken = calls.places.0.lock().expect("no panic");
    assert_eq!((taken.all, taken.by_application.len(), taken.by_host.len()), (0, 0, 0));
}

#[test]
fn a_host_and_all_together_have_bounds_of_their_own() {
    let places = Arc::<Places>::default();
    let application = |number: usize| ApplicationId::derived(&[&number.to_be_bytes()]);
    let mut taken = Vec::new();
    for number in 0..AT_ONCE_TO_A_HOST {
        taken.extend(Places::take(&places, application(number), "a.example"));
    }
    assert_eq!(taken.len(), AT_ONCE_TO_A_HOST);
    assert!(Places::take(&places, application(90), "a.example").is_none(), "the host is full");
    for number in AT_ONCE_TO_A_HOST..AT_ONCE {
        let host = format!("{number}.example");
        taken.extend(Places::take(&places, application(number), &host));
    }
    assert_eq!(taken.len(), AT_ONCE);
    assert!(Places::take(&places, application(91), "b.example").is_none(), "all are taken");
}

#[test]
fn what_is_shown_of_an_answer_is_text_and_short() {
    assert_eq!(shown(&Bytes::new()), None);
    assert_eq!(shown(&Bytes::from_static(b"\xff\x00")), None);
    assert_eq!(shown(&Bytes::from("a".repeat(5_000))).map(|text| text.len()), Some(SHOWN_MAX));
    let cut = format!("{}ä", "a".repeat(SHOWN_MAX - 1));
    assert_eq!(shown(&Bytes::from(cut)).map(|text| text.len()), Some(SHOWN_MAX - 1));
}
