//! Replays over the HTTP API, for a tenant and for the operator: counted, begun, refused with a sentence, looked
//! after; what is another's is not found, and each deed is written down with what was chosen, how many, and why.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::api::{Answer, Api};
use support::receiver::{Receiver, Script};
use support::router::{Posthaste, Running};
use support::until;

const SOON: Duration = Duration::from_mins(2);
const OTHER_ORGANISATION: &str = "org_2Mwk7aBcDeFgHiJkLmNoPqRsTuV";

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

    /// An endpoint of `acme` that answers so, and is not tried again; that is called however often it fails.
    fn endpoint(&self, uid: &str, script: Script) -> String {
        let url = self.receiver.endpoint(uid, script);
        let more = ["--retry", "none", "--circuit-breaker", "false"];
        self.posthaste.endpoint(uid, &url, &more).0
    }

    /// Publishes so many events, and waits until so many deliveries have died of it.
    async fn bury(&self, event_type: &str, count: usize, dead: usize) {
        for number in 0..count {
            let body = json!({
                "eventType": event_type,
                "eventId": format!("{event_type}-{number}"),
                "payload": { "n": number }
            });
            let answer = self.api.post_json("/api/v1/app/acme/msg", &body).await;
            assert_eq!(answer.status, 202, "{answer:?}");
        }
        until("they are dead letters", SOON, async || {
            let list = self.get("/app/acme/dead-letter?limit=250").await;
            list["data"].as_array().is_some_and(|rows| rows.len() == dead)
        })
        .await;
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.api.send("GET", &format!("/api/v1{path}"), &[], &[]).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.api.post_json(&format!("/api/v1{path}"), &body).await
    }

    /// A replay that is begun.
    async fn begin(&self, path: &str, body: Value) -> Value {
        let answer = self.post(path, body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()
    }

    async fn until_state(&self, id: &str, state: &str) -> Value {
        let path = format!("/app/acme/replay/{id}");
        let found = std::cell::RefCell::new(Value::Null);
        until(&format!("{id} is {state}"), SOON, async || {
            let replay = self.get(&path).await;
            let is_so = replay["state"] == state;
            *found.borrow_mut() = replay;
            is_so
        })
        .await;
        found.into_inner()
    }

    async fn until_delivered(&self, id: &str, count: u64) {
        let path = format!("/app/acme/replay/{id}");
        until("what was offered is delivered", SOON, async || {
            self.get(&path).await["delivered"] == count
        })
        .await;
    }

    async fn last_deed(&self) -> Value {
        self.get("/audit?limit=1").await["data"][0].clone()
    }
}

fn id(replay: &Value) -> String {
    replay["id"].as_str().expect("an id").to_owned()
}

/// The sentence about this field.
fn fault(answer: &Answer, field: &str) -> String {
    assert_eq!(answer.status, 422, "{field}: {answer:?}");
    let faults = answer.json()["detail"].as_array().expect("faults").clone();
    let about = |one: &&Value| one["loc"].as_array().is_some_and(|loc| loc.contains(&json!(field)));
    let found = faults.iter().find(about).unwrap_or_else(|| panic!("{field}: {answer:?}"));
    found["msg"].as_str().expect("a sentence").to_owned()
}

#[tokio::test]
async fn a_replay_is_counted_begun_and_comes_to_its_end() {
    let case = Case::new().await;
    let hook = case.endpoint("hook", Script::Answer(500));
    case.bury("job.failed", 3, 3).await;
    case.bury("document.lost", 2, 5).await;
    let wish = json!({ "filter": { "eventType": "job.*", "endpointId": "hook", "status": "5xx" } });

    let preview = case.post("/app/acme/replay/preview", wish.clone()).await;

    assert_eq!(preview.status, 200, "{preview:?}");
    let preview = preview.json();
    let row = json!([{ "endpointId": hook, "reason": "attempts_exhausted", "count": 3 }]);
    assert_eq!((&preview["matched"], &preview["replayable"]), (&json!(3), &json!(3)));
    assert_eq!((&preview["byEndpoint"], &preview["notReplayable"]), (&row, &json!([])));
    assert_eq!((&preview["rate"], &preview["estimatedSeconds"]), (&json!(50), &json!(1)));
    assert!(preview["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{preview}");
    assert!(preview["oldestDiedAt"].as_str() <= preview["newestDiedAt"].as_str(), "{preview}");

    let counted = case.post("/app/acme/replay", merged(&wish, json!({ "expect": 4 }))).await;
    assert_eq!(counted.status, 409, "{counted:?}");
    assert!(counted.body.contains("3 deliveries match now, and 4 were expected"), "{counted:?}");

    case.receiver.endpoint("hook", Script::Answer(200));
    let asked = merged(&wish, json!({ "expect": 3, "rate": 100, "reason": "it is mended" }));
    let replay = case.begin("/app/acme/replay", asked).await;
    assert_eq!((&replay["scope"], &replay["matched"]), (&json!("dead_letters"), &json!(3)));
    let deed = case.last_deed().await;
    assert_eq!((&deed["action"], &deed["status"]), (&json!("POST /app/{app}/replay"), &json!(202)));
    let details = &deed["details"];
    assert_eq!((&details["replayId"], &details["matched"]), (&replay["id"], &json!(3)));
    assert_eq!((&details["reason"], &details["rate"]), (&json!("it is mended"), &json!(100)));
    assert_eq!(details["filter"]["eventType"], "job.*");
    assert_eq!(details["filter"]["status"], "5xx");

    let ended = case.until_state(&id(&replay), "finished").await;
    assert_eq!((&ended["offered"], &ended["skipped"]), (&json!(3), &json!(0)));
    case.until_delivered(&id(&replay), 3).await;
    let left = case.get("/app/acme/dead-letter").await;
    assert_eq!(left["data"].as_array().map(Vec::len), Some(2), "what did not match stays");
    let listed = case.get("/admin/replay").await;
    assert_eq!(listed["data"][0]["id"], replay["id"]);
    // The delivery tells who offered it.
    let story = case.get("/app/acme/delivery/job.failed-0/hook").await;
    let replayed = story["timeline"].as_array().expect("a timeline").iter();
    let replayed = replayed.filter(|one| one["what"] == "replayed").collect::<Vec<_>>();
    assert_eq!(replayed.len(), 1, "{story}");
    assert!(replayed[0]["words"].as_str().is_some_and(|words| words.contains(&id(&replay))));
}

/// One object with the fields of both.
fn merged(one: &Value, other: Value) -> Value {
    let mut both = one.as_object().expect("an object").clone();
    if let Value::Object(fields) = other {
        both.extend(fields);
    }
    Value::Object(both)
}

#[tokio::test]
async fn it_is_paused_resumed_cancelled_and_made_faster_and_another_beside_it_is_refused() {
    let case = Case::new().await;
    case.endpoint("hook", Script::Answer(500));
    case.bury("job.failed", 30, 30).await;
    case.receiver.endpoint("hook", Script::Answer(200));
    let replay = case.begin("/app/acme/replay", json!({ "all": true, "rate": 1 })).await;
    let path = format!("/app/acme/replay/{}", id(&replay));

    let another =
        case.post("/app/acme/replay", json!({ "filter": { "endpointId": "hook" } })).await;
    assert_eq!((another.status, &another.json()["code"]), (409, &json!("conflict")), "{another:?}");
    assert!(another.body.contains(&id(&replay)), "it names the other: {another:?}");

    let paused = case.post(&format!("{path}/pause"), json!({})).await;
    assert_eq!((paused.status, &paused.json()["state"]), (200, &json!("paused")), "{paused:?}");
    let deed = case.last_deed().await;
    assert_eq!(deed["action"], "POST /app/{app}/replay/{replay}/pause");
    assert_eq!(
        (&deed["details"]["state"], &deed["details"]["matched"]),
        (&json!("paused"), &json!(30))
    );
    let faster = case.post(&format!("{path}/rate"), json!({ "rate": 500 })).await;
    assert_eq!((faster.status, &faster.json()["rate"]), (200, &json!(500)), "{faster:?}");
    assert_eq!(case.last_deed().await["details"]["rate"], 500);
    let resumed = case.post(&format!("{path}/resume"), json!({})).await;
    assert_eq!((resumed.status, &resumed.json()["state"]), (200, &json!("running")), "{resumed:?}");
    case.until_state(&id(&replay), "finished").await;
    // Finished is offered; what is offered and not yet sent would die again of the answers that come below.
    case.until_delivered(&id(&replay), 30).await;
    let ended = case.post(&format!("{path}/pause"), json!({})).await;
    assert_eq!(ended.status, 409, "{ended:?}");

    case.receiver.endpoint("hook", Script::Answer(500));
    // Half a minute's work, so that there is something left to be cancelled.
    case.bury("job.worse", 30, 30).await;
    let replay = case.begin("/admin/replay", json!({ "all": true, "rate": 1 })).await;
    let path = format!("/admin/replay/{}", id(&replay));
    let cancelled = case.post(&format!("{path}/cancel"), json!({})).await;
    assert_eq!(cancelled.json()["state"], "cancelled", "{cancelled:?}");
    assert_eq!(case.last_deed().await["details"]["state"], "cancelled");
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_field_and_what_is_accepted() {
    let case = Case::new().await;
    case.endpoint("hook", Script::Answer(500));
    case.bury("job.failed", 1, 1).await;
    let table = [
        (json!({}), "filter", "say `all`"),
        (json!({ "filter": { "endpiontId": "hook" } }), "filter", "unknown field"),
        (json!({ "filters": {} }), "filters", "unknown field"),
        (json!({ "filter": { "status": "sometimes" } }), "status", "accepted"),
        (json!({ "filter": { "error": "sadness" } }), "error", "accepted"),
        (json!({ "filter": { "reason": "boredom" } }), "reason", "attempts_exhausted"),
        (json!({ "filter": { "ids": ["msg_1"] } }), "ids", "dlv_"),
        (json!({ "all": true, "rate": 0 }), "rate", "1 to 10000"),
        (json!({ "all": true, "rate": 10_001 }), "rate", "1 to 10000"),
        (json!({ "all": true, "reason": "x".repeat(1_001) }), "reason", "at most 1000"),
        (json!({ "all": true, "scope": "everything" }), "scope", "delivered"),
        (json!({ "all": true, "endpointId": "hook" }), "scope", "belong into"),
        (json!({ "scope": "delivered" }), "endpointId", "of which endpoint"),
        (
            json!({ "scope": "missing", "endpointId": "hook", "filter": { "status": "5xx" } }),
            "filter",
            "an event type can be chosen",
        ),
    ];
    for (body, field, part) in table {
        for path in ["/app/acme/replay/preview", "/app/acme/replay", "/admin/replay"] {
            let answer = case.post(path, body.clone()).await;
            let sentence = fault(&answer, field);
            assert!(sentence.contains(part), "{path} {body}: {sentence}");
        }
    }
    let nowhere = json!({ "all": true, "toEndpointId": "nobody" });
    let answer = case.post("/app/acme/replay", nowhere).await;
    assert_eq!(answer.status, 404, "{answer:?}");
    assert_eq!(case.get("/app/acme/replay").await["data"], json!([]), "nothing was begun");
    for rate in [json!({ "rate": 0 }), json!({}), json!({ "rate": 5, "slow": true })] {
        let answer = case.post("/app/acme/replay/rpl_000000000000000000000000001/rate", rate).await;
        assert_eq!(answer.status, 422, "{answer:?}");
    }
}

#[tokio::test]
async fn what_is_anothers_is_not_found() {
    let case = Case::new().await;
    case.endpoint("hook", Script::Answer(500));
    case.bury("job.failed", 30, 30).await;
    case.posthaste.json(&["app", "create", "Other", "--uid", "other"]);
    let replay = case.begin("/app/acme/replay", json!({ "all": true, "rate": 1 })).await;
    let own = format!("/app/acme/replay/{}", id(&replay));
    // So that it is neither over nor further by the time the others have tried.
    let paused = case.post(&format!("{own}/pause"), json!({})).await;
    assert_eq!(paused.status, 200, "{paused:?}");
    let token = |arguments: &[&str]| {
        let all = [&["token", "create"], arguments].concat();
        case.api.with_token(case.posthaste.json(&all)["token"].as_str().map(str::to_owned))
    };
    let (other, stranger) = (token(&["--app", "other"]), token(&["--org", OTHER_ORGANISATION]));

    for (who, api, path) in [
        ("another application", &other, "/api/v1/app/other/replay"),
        ("another organisation", &stranger, "/api/v1/admin/replay"),
    ] {
        let list = api.send("GET", path, &[], &[]).await;
        assert_eq!((list.status, &list.json()["data"]), (200, &json!([])), "{who}: {list:?}");
        for (method, tail) in [("GET", ""), ("POST", "/resume"), ("POST", "/cancel")] {
            let path = format!("{path}/{}{tail}", id(&replay));
            let answer = api.send(method, &path, &[], &[]).await;
            assert_eq!(answer.status, 404, "{who}: {method} {path}: {answer:?}");
        }
        let preview = api.post_json(&format!("{path}/preview"), &json!({ "all": true })).await;
        assert_eq!(preview.json()["matched"], 0, "{who}: {preview:?}");
    }
    assert_eq!(other.send("GET", &format!("/api/v1{own}"), &[], &[]).await.status, 404);
    assert_eq!(other.send("GET", "/api/v1/admin/replay", &[], &[]).await.status, 403);
    assert_eq!(case.get(&format!("/admin/replay/{}", id(&replay))).await["state"], "paused");
}

#[tokio::test]
async fn one_that_makes_things_worse_pauses_itself_and_that_is_written_down() {
    let case = Case::new().await;
    case.endpoint("hook", Script::Answer(500));
    case.bury("job.failed", 120, 120).await;

    let replay = case.begin("/app/acme/replay", json!({ "all": true, "rate": 20 })).await;

    let paused = case.until_state(&id(&replay), "paused").await;
    let because = paused["because"].as_str().expect("why");
    let log = case.get("/audit?limit=5").await;
    let own = |one: &&Value| one["actor"] == "posthaste";
    let entries = log["data"].as_array().expect("a list");
    let entry = entries.iter().find(own).expect("an entry of its own");
    assert_eq!(entry["object"], format!("/replay/{}", id(&replay)));
    assert_eq!(entry["details"]["because"], because);
    assert_eq!(entry["details"]["state"], "paused");
}
