//! One delivery and one message over the HTTP API: the whole story in words, an attempt now, taking back what is not
//! finished, the trail, and the endpoints that are worst off; and that each deed is written down.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::api::{Answer, Api};
use support::receiver::{Receiver, Script};
use support::router::{Posthaste, Running};
use support::until;

const SOON: Duration = Duration::from_mins(2);

/// A router with the application `acme`, and a receiver.
struct Case {
    posthaste: Posthaste,
    _router: Running,
    receiver: Receiver,
    api: Api,
}

impl Case {
    async fn new() -> Self {
        let posthaste = Posthaste::embedded().with_application();
        let router = posthaste.serve().await;
        let api = Api::of(&posthaste, &router);
        Self { posthaste, _router: router, receiver: Receiver::start().await, api }
    }

    /// An endpoint of `acme` that answers so.
    fn endpoint(&self, uid: &str, script: Script, more: &[&str]) -> String {
        let url = self.receiver.endpoint(uid, script);
        self.posthaste.endpoint(uid, &url, more).0
    }

    async fn publish(&self, event_id: &str, event_type: &str) -> String {
        let body = json!({
            "eventType": event_type, "eventId": event_id, "subject": "job-17", "payload": { "n": 1 }
        });
        let answer = self.api.post_json("/api/v1/app/acme/msg", &body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["id"].as_str().expect("an id").to_owned()
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    async fn ask(&self, method: &str, path: &str) -> Answer {
        self.api.send(method, &format!("/api/v1{path}"), &[], &[]).await
    }

    /// Waits until a delivery stands so; its story then.
    async fn story(&self, event: &str, endpoint: &str, state: &str) -> Value {
        let path = format!("/app/acme/delivery/{event}/{endpoint}");
        let found = std::cell::RefCell::new(Value::Null);
        until(&format!("{event} at {endpoint} is {state}"), SOON, async || {
            let answer = self.ask("GET", &path).await;
            let is_so = answer.status == 200 && answer.json()["state"] == state;
            if is_so {
                *found.borrow_mut() = answer.json();
            }
            is_so
        })
        .await;
        found.into_inner()
    }

    /// The last entry of the audit log.
    async fn last_deed(&self) -> Value {
        self.get("/audit?limit=1").await["data"][0].clone()
    }
}

fn what(story: &Value) -> Vec<&str> {
    let timeline = story["timeline"].as_array().expect("a timeline").iter();
    timeline.map(|moment| moment["what"].as_str().expect("a word")).collect()
}

fn words(story: &Value, place: usize) -> &str {
    story["timeline"][place]["words"].as_str().expect("words")
}

#[tokio::test]
async fn a_delivery_tells_its_story_and_why_it_is_tried_when() {
    let case = Case::new().await;
    let waits = ["--events", "job.*", "--retry", "100,600000", "--jitter", "0"];
    case.endpoint("slow", Script::FailFirst(2, 503), &waits);
    case.publish("one", "job.completed").await;

    let mut story = case.story("one", "slow", "waiting").await;
    until("it waits for its third attempt", SOON, async || {
        story = case.story("one", "slow", "waiting").await;
        story["attemptCount"] == 2
    })
    .await;

    assert_eq!(what(&story), ["accepted", "matched", "attempt", "attempt", "next"]);
    assert_eq!(words(&story, 0), "job.completed about job-17 was accepted");
    assert_eq!(words(&story, 1), "the endpoint wants job.*, which matches job.completed");
    assert!(words(&story, 2).starts_with("attempt 1 was answered 503"), "{story}");
    let why = "attempt 3 of 3: its schedule waits 10 min here, some of it by chance";
    let by_schedule = [why, "the receiver has asked to be called later, or less"];
    let told = story["nextAttemptWhy"].as_str().expect("why");
    assert!(by_schedule.contains(&told), "{told}");
    assert_eq!(story["timeline"][4]["at"], story["nextAttemptAt"]);
}

#[tokio::test]
async fn a_retry_is_made_now_and_a_cancelled_delivery_is_not_tried_any_more() {
    let case = Case::new().await;
    let waits = ["--retry", "600000", "--jitter", "0"];
    case.endpoint("hook", Script::FailFirst(1, 500), &waits);
    case.publish("again", "job.completed").await;
    case.publish("enough", "job.completed").await;
    for event in ["again", "enough"] {
        case.story(event, "hook", "waiting").await;
    }

    let path = "/api/v1/app/acme/delivery/again/hook/retry";
    let answer = case.api.post_json(path, &json!({ "reason": "it is mended" })).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let deed = case.last_deed().await;
    assert_eq!(deed["action"], "POST /app/{app}/delivery/{msg}/{endpoint}/retry");
    assert_eq!(deed["details"]["reason"], "it is mended");
    assert_eq!(deed["details"]["deliveryId"], answer.json()["id"]);
    let story = case.story("again", "hook", "delivered").await;
    assert_eq!(what(&story), ["accepted", "matched", "attempt", "attempt", "delivered"]);
    assert!(words(&story, 3).starts_with("a request that a person asked for was answered 200"));

    let cancel = "/app/acme/delivery/enough/hook/cancel";
    let answer = case.ask("POST", cancel).await;
    assert_eq!((answer.status, &answer.json()["state"]), (200, &json!("cancelled")), "{answer:?}");
    assert_eq!(answer.json()["nextAttemptAt"], Value::Null);
    assert_eq!(case.last_deed().await["details"]["state"], "cancelled");
    let again = case.ask("POST", cancel).await;
    assert_eq!(again.status, 409, "{again:?}");
    assert!(
        again.body.contains("is cancelled: one that is pending or waiting can be"),
        "{again:?}"
    );
    let delivered = case.ask("POST", "/app/acme/delivery/again/hook/cancel").await;
    assert_eq!(delivered.status, 409, "{delivered:?}");
    // Beside its turns a person may still have it.
    let answer = case.ask("POST", "/app/acme/delivery/enough/hook/retry").await;
    assert_eq!(answer.status, 202, "{answer:?}");
    case.story("enough", "hook", "delivered").await;
}

#[tokio::test]
async fn what_is_not_there_or_not_understood_is_refused_with_a_sentence() {
    let case = Case::new().await;
    case.endpoint("hook", Script::Answer(200), &["--events", "job.completed"]);
    case.endpoint("other", Script::Answer(200), &["--events", "job.failed"]);
    case.publish("one", "job.completed").await;
    case.story("one", "hook", "delivered").await;

    for (path, sentence) in [
        ("/app/acme/delivery/nothing/hook/retry", "no event is called `nothing`"),
        ("/app/acme/delivery/one/nobody/cancel", "no endpoint is called `nobody`"),
        ("/app/acme/delivery/one/other/retry", "event `one` is not owed to endpoint `other`"),
    ] {
        let answer = case.ask("POST", path).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert!(answer.body.contains(sentence), "{path}: {answer:?}");
    }
    let retry = "/api/v1/app/acme/delivery/one/hook/retry";
    for body in [json!({ "raeson": "x" }), json!({ "reason": "x".repeat(1_025) })] {
        let answer = case.api.post_json(retry, &body).await;
        assert_eq!(answer.status, 422, "{answer:?}");
    }
    for query in ["by=size", "limit=0", "limit=101", "limit=x"] {
        let answer = case.ask("GET", &format!("/admin/endpoint-top?{query}")).await;
        assert_eq!(answer.status, 422, "{query}: {answer:?}");
        assert!(answer.body.contains("is accepted"), "{query}: {answer:?}");
    }
}

#[tokio::test]
async fn a_trail_tells_who_got_it_and_who_did_not_and_why() {
    let case = Case::new().await;
    case.endpoint("wants", Script::Answer(200), &["--events", "job.*"]);
    case.endpoint("other", Script::Answer(200), &["--events", "document.*"]);
    let id = case.publish("one", "job.completed").await;
    case.story("one", "wants", "delivered").await;
    case.endpoint("late", Script::Answer(200), &[]);

    let trail = case.get("/app/acme/msg/one/trail").await;

    assert_eq!((&trail["routed"], &trail["isWhole"]), (&json!("routed"), &json!(true)));
    assert_eq!(trail["message"]["id"], id);
    let sent = case.get(&format!("/app/acme/msg/{id}")).await;
    assert_eq!(trail["message"], sent, "the message is told as it is elsewhere, payload and all");
    assert_ne!(trail["message"]["payload"], json!({}));
    let matched = trail["matched"].as_array().expect("a list");
    assert_eq!(matched.len(), 1);
    assert_eq!((&matched[0]["uid"], &matched[0]["state"]), (&json!("wants"), &json!("delivered")));
    assert_eq!(what(&matched[0]), ["accepted", "matched", "attempt", "delivered"]);
    let not_matched = trail["notMatched"].as_array().expect("a list");
    let why = |uid: &str| {
        let one = not_matched.iter().find(|one| one["uid"] == uid).expect("it is listed");
        one["why"].as_str().expect("why").to_owned()
    };
    assert_eq!(why("other"), "it wants document.*, and this is job.completed");
    assert!(why("late").ends_with("behind the event"), "{}", why("late"));

    assert_eq!(
        case.get(&format!("/admin/msg/{id}/trail")).await,
        trail,
        "the operator's is the same"
    );
    let token = case.posthaste.json(&["token", "create", "--app", "acme"]);
    let tenant = case.api.with_token(token["token"].as_str().map(str::to_owned));
    let path = format!("/api/v1/admin/msg/{id}/trail");
    assert_eq!(tenant.send("GET", &path, &[], &[]).await.status, 403);
    let other = ["token", "create", "--org", "org_2Mwk7aBcDeFgHiJkLmNoPqRsTuV"];
    let other = case.posthaste.json(&other)["token"].as_str().map(str::to_owned);
    let stranger = case.api.with_token(other);
    let answer = stranger.send("GET", &path, &[], &[]).await;
    assert_eq!(answer.status, 404, "{answer:?}");
    let top = stranger.send("GET", "/api/v1/admin/endpoint-top?by=latency", &[], &[]).await;
    assert_eq!(top.json()["data"], json!([]), "another organisation's are not shown");
}

#[tokio::test]
async fn the_endpoints_that_are_worst_off_come_first() {
    let case = Case::new().await;
    let waits = ["--retry", "600000", "--jitter", "0"];
    let bad = case.endpoint("bad", Script::Answer(500), &waits);
    case.endpoint("good", Script::Answer(200), &[]);
    for event in ["one", "two"] {
        case.publish(event, "job.completed").await;
        case.story(event, "bad", "waiting").await;
        case.story(event, "good", "delivered").await;
    }

    let failing = case.get("/admin/endpoint-top?by=failures").await;
    assert_eq!(failing["data"].as_array().expect("a list").len(), 1);
    let worst = &failing["data"][0];
    assert_eq!((&worst["endpointId"], &worst["uid"]), (&json!(bad), &json!("bad")));
    assert_eq!((&worst["count"], &failing["isWhole"]), (&json!(2), &json!(true)));
    let slow = case.get("/admin/endpoint-top?by=latency&limit=1").await;
    assert_eq!(slow["data"].as_array().expect("a list").len(), 1);
    assert!(slow["data"][0]["meanMs"].is_u64(), "{slow}");
    let overdue = case.get("/admin/endpoint-top").await;
    assert_eq!((&overdue["by"], &overdue["data"]), (&json!("overdue"), &json!([])));
}
