//! What tenants see of their messages over HTTP, and what they do about them: the real binary, embedded, a
//! client that writes its requests byte for byte, real receivers.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::api::{Answer, Api};
use support::receiver::{Receiver, Script};
use support::router::{Posthaste, Running};
use support::{clock, eventually, until};

const SOON: Duration = Duration::from_mins(2);
const APP: &str = "/api/v1/app/acme";
const MESSAGES: &str = "/api/v1/app/acme/msg";

/// An embedded router with the applications `acme` and `other`.
struct Case {
    posthaste: Posthaste,
    receiver: Receiver,
    /// Killed when it is dropped.
    _router: Running,
    api: Api,
}

impl Case {
    async fn new() -> Self {
        let posthaste = Posthaste::embedded().with_application();
        posthaste.json(&["app", "create", "Other", "--uid", "other"]);
        let receiver = Receiver::start().await;
        let router = posthaste.serve().await;
        let api = Api::of(&posthaste, &router);
        Self { posthaste, receiver, _router: router, api }
    }

    /// An endpoint of `acme` that answers so; its id.
    fn endpoint(&self, name: &str, script: Script, more: &[&str]) -> String {
        let url = self.receiver.endpoint(name, script);
        self.posthaste.endpoint(name, &url, more).0
    }

    async fn get(&self, path: &str) -> Answer {
        self.api.send("GET", path, &[], b"").await
    }

    /// What is there.
    async fn see(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    async fn delete(&self, path: &str) -> u16 {
        self.api.send("DELETE", path, &[], b"").await.status
    }

    /// Publishes; the id.
    async fn publish(&self, message: &Value) -> String {
        let answer = self.api.post_json(MESSAGES, message).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["id"].as_str().expect("an id").to_owned()
    }

    /// The same API with a token of this application.
    fn tenant(&self, app: &str) -> Api {
        let made = self.posthaste.json(&["token", "create", "--app", app]);
        self.api.with_token(Some(made["token"].as_str().expect("a token").to_owned()))
    }

    /// Waits until a list has so many rows.
    async fn has(&self, path: &str, rows: usize) -> Vec<Value> {
        eventually(&format!("{path} has {rows}"), async || {
            let data = self.see(path).await["data"].as_array().expect("rows").clone();
            (data.len() == rows).then_some(data)
        })
        .await
    }
}

fn message(number: usize) -> Value {
    json!({ "eventType": "job.completed", "payload": { "n": number } })
}

/// The rows' values of a field.
fn each(rows: &Value, field: &str) -> Vec<String> {
    let rows = rows["data"].as_array().expect("rows");
    rows.iter().map(|row| row[field].as_str().expect("a text").to_owned()).collect()
}

/// Walks a list to its end and back again; its rows' values of a field.
async fn walk(case: &Case, path: &str, limit: usize, field: &str) -> Vec<String> {
    let joint = if path.contains('?') { '&' } else { '?' };
    let part = async |iterator: &str| {
        case.see(&format!("{path}{joint}limit={limit}&iterator={iterator}")).await
    };
    let (mut forth, mut next) = (Vec::new(), String::new());
    let mut last = loop {
        let rows = part(&next).await;
        forth.push(each(&rows, field));
        if rows["done"] == true {
            break rows;
        }
        next = rows["iterator"].as_str().expect("there is more").to_owned();
    };
    let mut back = vec![each(&last, field)];
    while back.iter().flatten().count() < forth.iter().flatten().count() {
        last = part(last["prevIterator"].as_str().expect("there are rows in front")).await;
        back.push(each(&last, field));
    }
    assert_eq!(last["done"], true, "there is nothing in front of the first row: {last}");
    let forth: Vec<_> = forth.concat();
    back.reverse();
    assert_eq!(back.concat(), forth, "the same rows on the way back");
    forth
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_listed_newest_first_and_walked_both_ways() {
    let case = Case::new().await;
    let mut ids = Vec::new();
    for number in 0..7 {
        ids.push(case.publish(&message(number)).await);
    }
    ids.reverse();

    assert_eq!(walk(&case, MESSAGES, 3, "id").await, ids);
    assert_eq!(walk(&case, MESSAGES, 7, "id").await, ids, "a part that is the whole");
    let rows = case.see(&format!("{MESSAGES}/?limit=2")).await;
    assert_eq!(each(&rows, "id"), ids[..2]);
    assert_eq!((&rows["iterator"], &rows["done"]), (&json!(ids[1]), &json!(false)));
    assert_eq!(rows["prevIterator"], format!("-{}", ids[0]));
    assert_eq!(rows["data"][0]["payload"], json!({ "n": 6 }));
    let rows = case.see(&format!("{MESSAGES}?with_content=false")).await;
    assert!(rows["data"].as_array().expect("rows").iter().all(|row| row["payload"] == json!({})));
    let nothing = case.see("/api/v1/app/other/msg").await;
    assert_eq!(nothing, json!({ "data": [], "iterator": null, "done": true }));
    let unknown = "iterator=msg_1srOrx2ZWZBpBUvZwXKQmoEYga2";
    for wrong in ["limit=0", "limit=251", "iterator=x", unknown, "with_content=x", "before=soon"] {
        let answer = case.get(&format!("{MESSAGES}?{wrong}")).await;
        assert_eq!(answer.status, 422, "{wrong}: {answer:?}");
        assert_eq!(answer.json()["detail"][0]["loc"][0], "query", "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_found_by_type_channel_subject_and_time() {
    let case = Case::new().await;
    let with = |number: usize, more: Value| {
        let mut message = message(number);
        message.as_object_mut().expect("one").extend(more.as_object().expect("fields").clone());
        message
    };
    let first = case.publish(&with(1, json!({ "eventType": "job.created" }))).await;
    let second = case.publish(&with(2, json!({ "channels": ["eu", "team.7"] }))).await;
    let behind = clock();
    until("the clock has moved", SOON, async || clock() > behind).await;
    let between = clock();
    until("the clock has moved on", SOON, async || clock() > between).await;
    let third = case.publish(&with(3, json!({ "subject": "7", "channels": ["us"] }))).await;
    let fourth = case.publish(&with(4, json!({ "eventType": "job.failed" }))).await;

    for (query, expected) in [
        ("event_types=job.created,job.failed".to_owned(), vec![&fourth, &first]),
        ("event_types=job.created&event_types=job.failed".to_owned(), vec![&fourth, &first]),
        ("event_types[]=job.failed".to_owned(), vec![&fourth]),
        ("event_types=job.none".to_owned(), vec![]),
        ("channel=eu".to_owned(), vec![&second]),
        ("channel=us&subject=7".to_owned(), vec![&third]),
        ("channel=us&subject=8".to_owned(), vec![]),
        (format!("before={between}"), vec![&second, &first]),
        (format!("after={between}"), vec![&fourth, &third]),
        (format!("after={between}&limit=1"), vec![&third]),
        (format!("after={between}&before={between}"), vec![]),
    ] {
        let rows = case.see(&format!("{MESSAGES}?{query}")).await;
        let expected: Vec<_> = expected.into_iter().cloned().collect();
        assert_eq!(each(&rows, "id"), expected, "{query}");
    }
    let one = case.see(&format!("{MESSAGES}/{second}")).await;
    assert_eq!(one["channels"], json!(["eu", "team.7"]));
    for (wrong, loc) in [
        (json!({ "channels": [] }), "channels"),
        (json!({ "channels": ["a", "b", "c", "d", "e", "f"] }), "channels"),
        (json!({ "channels": ["a b"] }), "channels"),
        (json!({ "payloadRetentionPeriod": 4 }), "payloadRetentionPeriod"),
        (json!({ "payloadRetentionPeriod": 91 }), "payloadRetentionPeriod"),
    ] {
        let answer = case.api.post_json(MESSAGES, &with(5, wrong.clone())).await;
        assert_eq!(answer.status, 422, "{wrong}");
        assert_eq!(answer.json()["detail"][0]["loc"], json!(["body", loc]), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_found_by_its_id_and_its_event_id_and_by_nobody_else() {
    let case = Case::new().await;
    let payload = "{ \"n\": 1.50e+0030 ,\t\"n\":2, \"s\":\"\\u00e9/\\/\" }";
    let body =
        format!("{{\"payload\":{payload},\"eventType\":\"job.completed\",\"eventId\":\"run-7\"}}");
    let made = case.api.post(MESSAGES, &[], body.as_bytes()).await;
    let id = made.json()["id"].as_str().expect("an id").to_owned();

    for name in [id.as_str(), "run-7"] {
        let answer = case.get(&format!("{MESSAGES}/{name}")).await;
        assert_eq!((answer.status, &answer.body), (200, &made.body), "as it was answered first");
        assert!(answer.body.contains(payload), "to the byte");
        let without = case.see(&format!("{MESSAGES}/{name}?with_content=false")).await;
        assert_eq!(without["payload"], json!({}));
    }
    let (own, theirs) = (case.tenant("acme"), case.tenant("other"));
    let get = async |api: &Api, path: &str| api.send("GET", path, &[], b"").await.status;
    assert_eq!(get(&own, &format!("{MESSAGES}/{id}")).await, 200);
    assert_eq!(get(&own, MESSAGES).await, 200);
    for path in [format!("{MESSAGES}/{id}"), MESSAGES.to_owned()] {
        assert_eq!(get(&theirs, &path).await, 404, "another tenant's {path}");
        assert_eq!(get(&case.api.with_token(None), &path).await, 401, "{path}");
    }
    for path in [
        format!("/api/v1/app/other/msg/{id}"),
        "/api/v1/app/other/msg/run-7".to_owned(),
        format!("{MESSAGES}/run-8"),
        format!("/api/v1/app/other/attempt/msg/{id}"),
        format!("/api/v1/app/other/msg/{id}/endpoint"),
        format!("/api/v1/app/other/msg/{id}/attempt/atmpt_1srOrx2ZWZBpBUvZwXKQmoEYga2"),
    ] {
        let answer = case.get(&path).await;
        assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("not_found")), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_payload_is_gone_for_good_and_its_message_stays() {
    let case = Case::new().await;
    let hook = case.endpoint("hook", Script::Answer(200), &[]);
    let id = case.publish(&message(1)).await;
    case.has(&format!("{APP}/attempt/msg/{id}"), 1).await;
    let content = format!("{MESSAGES}/{id}/content");

    let by_tenant = case.tenant("acme").send("DELETE", &content, &[], b"").await;
    assert_eq!((by_tenant.status, &by_tenant.json()["code"]), (403, &json!("insufficient access")));
    assert_eq!(case.delete(&format!("/api/v1/app/other/msg/{id}/content")).await, 404);
    assert_eq!(case.delete(&content).await, 204);

    let gone = json!({ "expired": true });
    assert_eq!(case.see(&format!("{MESSAGES}/{id}")).await["payload"], gone);
    assert_eq!(case.see(MESSAGES).await["data"][0]["payload"], gone);
    let rows = case.see(&format!("{APP}/endpoint/{hook}/msg")).await;
    assert_eq!((&rows["data"][0]["payload"], &rows["data"][0]["status"]), (&gone, &json!(0)));
    assert_eq!(case.delete(&content).await, 204, "once more is no mistake");
    let answer = case.api.post(&format!("{MESSAGES}/{id}/endpoint/hook/resend"), &[], b"").await;
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("missing_payload")));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attempt_is_told_with_what_was_answered() {
    let case = Case::new().await;
    let wait = ["--retry", "200ms", "--jitter", "0"];
    let flaky = case.endpoint("flaky", Script::FailFirst(1, 503), &wait);
    let good = case.endpoint("good", Script::Answer(204), &[]);
    let id = case.publish(&message(1)).await;
    let (at, of) = (format!("{APP}/attempt/endpoint/{flaky}"), format!("{APP}/attempt/msg/{id}"));
    case.has(&of, 3).await;
    let rows = case.has(&at, 2).await;

    let (last, first) = (&rows[0], &rows[1]);
    for (row, number, status, text, code, outcome) in
        [(first, 1, 2, "fail", 503, "server_error"), (last, 2, 0, "success", 200, "success")]
    {
        assert_eq!(row["number"], number);
        assert_eq!((&row["status"], &row["statusText"]), (&json!(status), &json!(text)), "{row}");
        assert_eq!(row["responseStatusCode"], code);
        assert_eq!(row["outcome"], outcome);
        assert_eq!((&row["msgId"], &row["endpointId"]), (&json!(id), &json!(flaky)));
        assert_eq!(row["triggerType"], 0);
        assert!(row["url"].as_str().expect("a URL").ends_with("/flaky"), "{row}");
        assert!(row["responseDurationMs"].is_u64() && row["timestamp"].is_string(), "{row}");
        assert!(row["response"].is_string() && row["detail"].is_string(), "{row}");
        assert!(row.get("msg").is_none(), "it was not asked for");
    }
    for (query, expected) in [
        (format!("{at}?status=0"), 1),
        (format!("{at}?status=2"), 1),
        (format!("{at}?status=1"), 0),
        (format!("{at}?status_code_class=500"), 1),
        (format!("{at}?status_code_class=400"), 0),
        (format!("{at}?event_types=job.completed"), 2),
        (format!("{at}?event_types=job.failed"), 0),
        (format!("{at}?channel=eu"), 0),
        (format!("{of}?endpoint_id={good}"), 1),
        (format!("{of}?endpoint_id=flaky"), 2),
        (format!("{at}?before={}", first["timestamp"].as_str().expect("a time")), 0),
    ] {
        let rows = case.see(&query).await;
        assert_eq!(rows["data"].as_array().expect("rows").len(), expected, "{query}: {rows}");
    }
    assert_eq!(walk(&case, &of, 1, "id").await.len(), 3);
    let rows = case.see(&format!("{at}?with_msg=true")).await;
    assert_eq!(rows["data"][0]["msg"]["payload"], json!({ "n": 1 }));
    let rows =
        case.see(&format!("{at}?with_msg=true&with_content=false&expanded_statuses=true")).await;
    assert_eq!(rows["data"][0]["msg"]["payload"], json!({}));
    assert_eq!(rows["data"][0]["response"], "{}");

    assert_eq!(case.get(&format!("{of}?endpoint_id=nobody")).await.status, 404);
    assert_eq!(case.get(&format!("{APP}/attempt/endpoint/nobody")).await.status, 404);
    for wrong in ["status=7", "status_code_class=404"] {
        assert_eq!(case.get(&format!("{at}?{wrong}")).await.status, 422, "{wrong}");
    }
    let attempt = first["id"].as_str().expect("an id");
    let one = format!("{MESSAGES}/{id}/attempt/{attempt}");
    assert_eq!(&case.see(&one).await, first);
    assert_eq!(case.delete(&format!("{one}/content")).await, 204);
    assert_eq!(case.see(&one).await["response"], "EXPUNGED");
    let other = case.publish(&message(2)).await;
    for path in [
        format!("{MESSAGES}/{other}/attempt/{attempt}"),
        format!("/api/v1/app/other/msg/{id}/attempt/{attempt}"),
        format!("{MESSAGES}/{id}/attempt/nothing"),
    ] {
        assert_eq!(case.get(&path).await.status, 404, "{path}");
        assert_eq!(case.delete(&format!("{path}/content")).await, 404, "{path}");
    }
    assert_eq!(case.get(&format!("/api/v1/app/other/attempt/endpoint/{flaky}")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_message_stands_is_told_from_either_side_and_counted() {
    let case = Case::new().await;
    let good = case.endpoint("good", Script::Answer(200), &[]);
    let dead = case.endpoint("dead", Script::Answer(500), &["--retry", "100ms", "--jitter", "0"]);
    let slow = case.endpoint("slow", Script::Answer(500), &["--retry", "1h", "--jitter", "0"]);
    let held = case.endpoint("held", Script::Answer(200), &[]);
    case.posthaste.json(&["endpoint", "pause", &held]);
    let id = case.publish(&message(1)).await;
    let of = format!("{MESSAGES}/{id}/endpoint");
    let stands = async |endpoint: &str| {
        let rows = case.see(&of).await["data"].as_array().expect("rows").clone();
        let row = rows.into_iter().find(|row| row["id"] == endpoint)?;
        Some((row["status"].as_u64()?, row["statusText"].as_str()?.to_owned(), row))
    };

    for (endpoint, number, word) in
        [(&good, 0, "success"), (&dead, 2, "fail"), (&slow, 3, "sending"), (&held, 1, "pending")]
    {
        until("it stands so", SOON, async || {
            stands(endpoint).await.is_some_and(|(status, ..)| status == number)
        })
        .await;
        let (_, text, row) = stands(endpoint).await.expect("it is owed");
        assert_eq!(text, word);
        assert_eq!(row["nextAttempt"].is_string(), number == 3, "{row}");
        let path = format!("{APP}/endpoint/{endpoint}/msg");
        let rows = case.see(&path).await;
        let row = &rows["data"][0];
        assert_eq!((&row["id"], &row["payload"]), (&json!(id), &json!({ "n": 1 })), "{row}");
        assert_eq!((&row["status"], &row["statusText"]), (&json!(number), &json!(word)));
        assert_eq!(row["nextAttempt"].is_string(), number == 3, "{row}");
        for status in 0..5 {
            let rows = case.see(&format!("{path}?status={status}")).await;
            let count = rows["data"].as_array().expect("rows").len();
            assert_eq!(count, usize::from(status == number), "{word} as {status}");
        }
        // Events of the last two seconds may be counted or not.
        let counts = eventually("it is counted", async || {
            let counts = case.see(&format!("{APP}/endpoint/{endpoint}/stats")).await;
            (counts[word] == 1).then_some(counts)
        })
        .await;
        for other in ["success", "pending", "sending", "fail", "canceled"] {
            assert_eq!(counts[other], u64::from(other == word), "{counts}");
        }
    }
    let mut ids = [good.clone(), dead.clone(), slow.clone(), held];
    ids.sort();
    assert_eq!(walk(&case, &of, 3, "id").await, ids);
    for field in ["url", "description", "version", "disabled", "createdAt", "updatedAt"] {
        assert!(!stands(&good).await.expect("it is owed").2[field].is_null(), "{field}");
    }
    case.posthaste.json(&["endpoint", "delete", &good]);
    let (status, _, row) = stands(&good).await.expect("it is still told");
    assert_eq!((status, row["deletedAt"].is_string()), (0, true), "{row}");

    let (old, soon) = ("2020-01-01T00:00:00Z", "2990-01-01T00:00:00Z");
    for wrong in [format!("until={soon}"), format!("since={old}"), format!("since={soon}")] {
        let answer = case.get(&format!("{APP}/endpoint/{dead}/stats?{wrong}")).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid_range")));
    }
    for path in ["msg", "stats"] {
        let path = format!("/api/v1/app/other/endpoint/{dead}/{path}");
        assert_eq!(case.get(&path).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_recovered_and_what_was_missed_is_sent() {
    let case = Case::new().await;
    let early = case.publish(&message(1)).await;
    let wait = ["--retry", "100ms", "--jitter", "0"];
    let hook = case.endpoint("hook", Script::Answer(500), &wait);
    let failed = case.publish(&message(2)).await;
    case.has(&format!("{APP}/endpoint/{hook}/msg?status=2"), 1).await;
    case.receiver.endpoint("hook", Script::Answer(200));
    let post = async |what: &str, body: Value| {
        case.api.post_json(&format!("{APP}/endpoint/{hook}/{what}"), &body).await
    };

    for (what, task) in [("recover", "endpoint.recover"), ("replay-missing", "endpoint.replay")] {
        let since = clock() - Duration::from_hours(1);
        let answer = post(what, json!({ "since": since.to_string() })).await;
        let begun = answer.json();
        assert_eq!((answer.status, &begun["task"]), (202, &json!(task)), "{answer:?}");
        assert!(begun["id"].as_str().expect("an id").starts_with("rpl_"), "{begun}");
        assert_eq!(begun["status"], "running");
        assert!(begun["updatedAt"].is_string(), "{begun}");
        let path = format!("/api/v1/background-task/{}", begun["id"].as_str().expect("an id"));
        let ended = eventually("it is finished", async || {
            let task = case.see(&path).await;
            (task["status"] == "finished").then_some(task)
        })
        .await;
        assert_eq!(
            ended["data"],
            json!({ "appId": ended["data"]["appId"], "endpointId": hook, "messages": 1 })
        );
        let by_tenant = case.tenant("acme").send("GET", &path, &[], b"").await;
        assert_eq!(by_tenant.status, 403, "tasks are the organisation's");

        let fifteen_days_ago = clock() - Duration::from_hours(24 * 15);
        let answer = post(what, json!({ "since": fifteen_days_ago.to_string() })).await;
        assert_eq!(answer.status, 422, "{answer:?}");
        assert_eq!(answer.json()["detail"][0]["loc"], json!(["body", "since"]));
        let answer = post(what, json!({})).await;
        assert_eq!(answer.json()["detail"][0]["type"], "value_error.jsondecode");
        let path = format!("/api/v1/app/other/endpoint/{hook}/{what}");
        let answer = case.api.post_json(&path, &json!({ "since": since.to_string() })).await;
        assert_eq!(answer.status, 404, "another's endpoint");
    }
    let mut ids = vec![early, failed];
    ids.sort();
    until("both have come", SOON, async || case.receiver.accepted("hook") == ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_sent_once_more_when_a_person_asks() {
    let case = Case::new().await;
    let hook = case.endpoint("hook", Script::Answer(200), &["--events", "job.failed"]);
    let gone = case.endpoint("gone", Script::Answer(410), &["--events", "job.failed"]);
    let id = case.publish(&message(1)).await;
    let resend = async |app: &str, endpoint: &str| {
        let path = format!("/api/v1/app/{app}/msg/{id}/endpoint/{endpoint}/resend");
        case.api.post(&path, &[], b"").await
    };

    let answer = eventually("the message is routed", async || {
        let answer = resend("acme", "hook").await;
        (answer.status != 409).then_some(answer)
    })
    .await;

    assert_eq!((answer.status, answer.json()), (202, json!({})), "{answer:?}");
    let rows = case.has(&format!("{APP}/attempt/endpoint/{hook}"), 1).await;
    assert_eq!((&rows[0]["triggerType"], &rows[0]["status"]), (&json!(1), &json!(0)));
    assert_eq!(case.receiver.accepted("hook"), std::slice::from_ref(&id));
    assert_eq!(resend("other", "hook").await.status, 404);
    assert_eq!(resend("acme", "nobody").await.status, 404);

    // An endpoint that says it is gone is disabled.
    assert_eq!(resend("acme", &gone).await.status, 202);
    let answer = eventually("the endpoint is disabled", async || {
        let answer = resend("acme", &gone).await;
        (answer.status != 202).then_some(answer)
    })
    .await;
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("generic_error")));
    assert!(answer.json()["detail"].as_str().expect("a text").contains("disabled"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_made_with_its_first_message_or_its_first_visitor() {
    let case = Case::new().await;
    let with = |uid: &str| {
        let mut message = message(1);
        message["application"] = json!({ "name": "New", "uid": uid });
        message
    };
    let answer = case.api.post_json("/api/v1/app/new/msg", &message(1)).await;
    assert_eq!(answer.status, 404, "there is none, and none is to be made");
    let answer = case.api.post_json("/api/v1/app/new/msg", &with("other")).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert_eq!(answer.json()["detail"][0]["loc"], json!(["body", "application", "uid"]));

    let answer = case.api.post_json("/api/v1/app/new/msg", &with("new")).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(case.see("/api/v1/app/new").await["name"], "New");
    let answer = case.api.post_json("/api/v1/app/new/msg", &with("new")).await;
    assert_eq!(answer.status, 202, "there is one now");
    case.has("/api/v1/app/new/msg", 2).await;

    let access = json!({ "application": { "name": "Visitor" } });
    let path = "/api/v1/auth/app-portal-access/visitor";
    assert_eq!(case.api.post_json(path, &json!({})).await.status, 404);
    assert_eq!(case.api.post_json(path, &access).await.status, 200);
    assert_eq!(case.see("/api/v1/app/visitor").await["name"], "Visitor");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_let_in_with_a_token_for_its_own_matters() {
    let case = Case::new().await;
    let id = case.publish(&message(1)).await;
    let path = "/api/v1/auth/app-portal-access/acme";

    let answer = case.api.post(path, &[], b"").await;

    assert_eq!(answer.status, 200, "{answer:?}");
    let (url, token) = (answer.json()["url"].clone(), answer.json()["token"].clone());
    let (url, token) = (url.as_str().expect("a URL"), token.as_str().expect("a token"));
    let code = url.strip_prefix(&format!("http://{}/portal/enter#t=", case.api.address));
    let code = code.expect("behind `#`, which browsers keep to themselves");
    assert_eq!((code.len(), code == token), (43, false), "32 bytes of chance, and not the token");
    let tenant = case.api.with_token(Some(token.to_owned()));
    let get = async |path: &str| tenant.send("GET", path, &[], b"").await.status;
    assert_eq!(get(&format!("{MESSAGES}/{id}")).await, 200);
    assert_eq!(get("/api/v1/app/other/msg").await, 404);
    assert_eq!(tenant.post_json(MESSAGES, &message(2)).await.status, 403);
    assert_eq!(tenant.post_json(path, &json!({})).await.status, 403, "nor let others in");
    let nobody = case.api.with_token(None);
    assert_eq!(tenant.post("/api/v1/auth/logout", &[], b"").await.status, 204);
    assert_eq!(nobody.post("/api/v1/auth/logout", &[], b"").await.status, 401);
    for (wrong, field) in [
        (json!({ "capabilities": [] }), "capabilities"),
        (json!({ "capabilities": ["ManageEndpoint"] }), "capabilities"),
        (json!({ "capabilities": ["ViewBase", "RuleTheWorld"] }), "capabilities"),
        (json!({ "capabilities": "ViewBase" }), "capabilities"),
        (json!({ "sessionId": "" }), "sessionId"),
        (json!({ "sessionId": "with a space" }), "sessionId"),
        (json!({ "expiry": 604_801 }), "expiry"),
        (json!({ "expiry": 0 }), "expiry"),
        (json!({ "featureFlags": [""] }), "featureFlags"),
    ] {
        let answer = case.api.post_json(path, &wrong).await;
        assert_eq!(answer.status, 422, "{wrong}");
        let place = answer.json()["detail"][0]["loc"].clone();
        assert_eq!((&place[0], &place[1]), (&json!("body"), &json!(field)), "{wrong}");
    }
    let answer = nobody.send("GET", "/api/v1/health", &[], b"").await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""), "for whoever asks");
}
