//! Events that come over HTTP, whole: the real binary, embedded (and once over a broker), a client that
//! writes its requests byte for byte, real receivers.

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use posthaste::domain::signature::{ReceiverKey, verify};
use serde_json::{Value, json};
use support::api::{Answer, Api};
use support::broker::Broker;
use support::receiver::{Receiver, Script};
use support::router::{Posthaste, Running};
use support::{clock, unique_prefix, until};

const SOON: Duration = Duration::from_mins(2);
const MESSAGES: &str = "/api/v1/app/acme/msg";

/// An embedded router with the application `acme` and one endpoint that accepts everything.
struct Case {
    posthaste: Posthaste,
    receiver: Receiver,
    secret: String,
    router: Running,
    api: Api,
}

impl Case {
    async fn new() -> Self {
        Self::of(Posthaste::embedded().with_application()).await
    }

    async fn of(posthaste: Posthaste) -> Self {
        let receiver = Receiver::start().await;
        let url = receiver.endpoint("hook", Script::Answer(200));
        let (_, secret) = posthaste.endpoint("hook", &url, &[]);
        let router = posthaste.serve().await;
        let api = Api::of(&posthaste, &router);
        Self { posthaste, receiver, secret, router, api }
    }

    async fn has_come(&self, events: usize) {
        until("all have come", SOON, async || self.receiver.accepted("hook").len() >= events).await;
        until("nothing is on the way", SOON, async || {
            let state = "posthaste_ledger_deliveries{state=\"delivered\"}";
            self.router.metric(state).await == i64::try_from(events).ok()
        })
        .await;
        assert_eq!(self.receiver.count("hook"), events, "each came once");
    }
}

fn message(number: usize) -> Value {
    json!({ "eventType": "job.completed", "payload": { "n": number } })
}

fn id(answer: &Answer) -> String {
    answer.json()["id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_posted_is_delivered_to_the_byte_and_verifies() {
    let case = Case::new().await;
    let payload = "{ \"n\": 1.50e+0030 ,\t\"big\":123456789012345678901234567890, \"n\":2,\n \
                   \"s\":\"\\u00e9\\ud83d\\ude00é\\/\" }";
    let body = format!(
        " {{\"payload\" : {payload}, \"eventType\":\"job.completed\", \"eventId\":\"run-7\",\
         \"subject\":\"7\", \"occurredAt\":\"2026-08-21T12:11:12+02:00\", \"tags\":[\"passed over\"]}}\n"
    );

    let answer = case.api.post(MESSAGES, &[], body.as_bytes()).await;

    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.body.contains(payload), "the payload is answered as it came: {answer:?}");
    let answered = answer.json();
    assert_eq!(answered["eventType"], "job.completed");
    assert_eq!(answered["eventId"], "run-7");
    assert_eq!(answered["timestamp"], "2026-08-21T10:11:12.000Z");
    case.has_come(1).await;
    let arrived = &case.receiver.arrived("hook")[0];
    assert_eq!(arrived.body, payload);
    assert_eq!(arrived.id, id(&answer), "the id is the one that receivers see");
    let key: ReceiverKey = case.secret.parse().expect("a secret");
    let now_s = clock().as_seconds();
    let verified =
        verify([&key], &arrived.id, &arrived.timestamp, &arrived.signature, &arrived.body, now_s);
    assert!(verified.is_ok(), "{verified:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_answered_in_its_order_and_goes_in_whole_or_not_at_all() {
    let case = Case::new().await;
    let batch: Vec<_> = (0..500).map(message).collect();

    let answer =
        case.api.post_json(&format!("{MESSAGES}/?with_content=false"), &json!(batch)).await;

    assert_eq!(answer.status, 202, "{answer:?}");
    let answered = answer.json();
    let answered = answered.as_array().expect("a list");
    assert_eq!(answered.len(), 500);
    assert!(answered.iter().all(|one| one["payload"] == json!({})));
    case.has_come(500).await;
    for came in case.receiver.arrived("hook") {
        let sent: Value = serde_json::from_slice(&came.body).expect("JSON");
        let place = usize::try_from(sent["n"].as_u64().expect("a number")).expect("small");
        assert_eq!(answered[place]["id"], came.id.as_str(), "each id with its payload");
    }

    let mut wrong = vec![message(1), message(2), message(3)];
    wrong[1]["eventType"] = json!("job done");
    let answer = case.api.post_json(MESSAGES, &json!(wrong)).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.json()["detail"][0]["loc"], json!(["body", "[1]", "eventType"]));
    assert_eq!(answer.json()["detail"][0]["type"], "value_error");

    case.api.post_json(MESSAGES, &with_id(message(500), "taken")).await;
    let taken = json!([message(1), with_id(message(2), "new"), with_id(message(3), "taken")]);
    assert_eq!(case.api.post_json(MESSAGES, &taken).await.status, 409);
    // Had any of the refused been written, it would be delivered by the time the next one is.
    case.api.post_json(MESSAGES, &with_id(message(501), "new")).await;
    case.has_come(502).await;
    assert_eq!(case.api.post_json(MESSAGES, &json!(vec![message(1); 501])).await.status, 422);
    assert_eq!(case.api.post_json(MESSAGES, &json!([])).await.status, 422);
}

fn with_id(mut message: Value, id: &str) -> Value {
    message["eventId"] = json!(id);
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_one_event_and_gets_the_same_answer() {
    let case = Case::new().await;
    let keyed = |key: &'static str, body: Value| {
        let api = &case.api;
        async move { api.post(MESSAGES, &[("idempotency-key", key)], body.to_string().as_bytes()).await }
    };
    let batch = json!([message(3), with_id(message(4), "run-4")]);
    for (key, body) in
        [("one", message(1)), ("two", with_id(message(2), "run-2")), ("three", batch)]
    {
        let first = keyed(key, body.clone()).await;
        let again = keyed(key, body).await;
        assert_eq!((first.status, again.status), (202, 202), "{key}: {first:?} {again:?}");
        assert_eq!(first.body, again.body, "{key}");
    }
    case.has_come(4).await;

    for (key, body, why) in [
        ("one", message(7), "another payload with the same key"),
        ("one", json!([message(1), message(7)]), "more with the same key"),
        ("two", with_id(message(7), "run-2"), "another payload with the same key and id"),
        ("four", with_id(message(2), "run-2"), "the same id with another key"),
    ] {
        let answer = keyed(key, body).await;
        assert_eq!(answer.status, 409, "{why}: {answer:?}");
        assert_eq!(answer.json()["code"], "conflict");
    }
    let answer = case.api.post_json(MESSAGES, &with_id(message(2), "run-2")).await;
    assert_eq!(answer.status, 409, "the same id without a key");
    assert!(answer.json()["detail"].as_str().expect("a text").contains("`run-2`"), "{answer:?}");

    let last = case.api.post_json(MESSAGES, &message(5)).await;
    let twin = case.api.post_json(MESSAGES, &message(5)).await;
    assert_ne!(id(&last), id(&twin), "without id and key each is an event");
    case.has_come(6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_at_once_arrive_once_each() {
    let case = Case::new().await;
    let api = &case.api;
    let posts =
        (0..200).map(|number| async move { api.post_json(MESSAGES, &message(number)).await });

    let answers = futures_util::future::join_all(posts).await;

    let mut ids: Vec<_> = answers.iter().map(id).collect();
    ids.sort();
    case.has_come(200).await;
    assert_eq!(case.receiver.accepted("hook"), ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_refused_in_the_form_that_clients_read() {
    let case = Case::new().await;
    let api = &case.api;
    let good = message(1).to_string();

    let answer = api.with_token(None).post(MESSAGES, &[], good.as_bytes()).await;
    assert_eq!(
        (answer.status, answer.json()),
        (401, json!({ "code": "authentication_failed", "detail": "Invalid token" }))
    );
    let other = api.token[..api.token.len() - 1].to_owned();
    assert_eq!(api.with_token(Some(other)).post(MESSAGES, &[], b"{").await.status, 401);
    let made = case.posthaste.json(&["token", "create", "--expires", "1s"]);
    assert!(made["expiresAt"].is_string(), "{made}");

    let app = case.posthaste.json(&["token", "create", "--app", "acme"]);
    let token = app["token"].as_str().expect("a token").to_owned();
    let answer = api.with_token(Some(token)).post(MESSAGES, &[], good.as_bytes()).await;
    assert_eq!((answer.status, &answer.json()["code"]), (403, &json!("insufficient access")));

    let answer = api.post("/api/v1/app/nobody/msg", &[], good.as_bytes()).await;
    assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("not_found")));
    assert!(answer.json()["detail"].as_str().expect("a text").contains("`nobody`"), "{answer:?}");
    for path in ["/", "/api/v1/nothing", "/api/v1/app/%ff/msg"] {
        let answer = api.post(path, &[], good.as_bytes()).await;
        assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("not_found")), "{path}");
    }
    let answer = api.send("DELETE", MESSAGES, &[], b"").await;
    assert_eq!((answer.status, &answer.json()["code"]), (405, &json!("method_not_allowed")));
    assert!(answer.header("allow").is_some_and(|methods| methods.contains("POST")), "{answer:?}");

    let large = json!({ "eventType": "a", "payload": { "s": "x".repeat(1_048_577) } });
    let answer = api.post_json(MESSAGES, &large).await;
    assert_eq!((answer.status, &answer.json()["code"]), (413, &json!("payload_too_large")));
    let answer = api.post(MESSAGES, &[("content-length", "99999999")], b"").await;
    assert_eq!((answer.status, &answer.json()["code"]), (413, &json!("payload_too_large")));
    let answer = api.post(MESSAGES, &[("content-encoding", "gzip")], good.as_bytes()).await;
    assert_eq!((answer.status, &answer.json()["code"]), (415, &json!("unsupported_media_type")));

    for (body, loc, kind) in [
        ("{", json!(["body"]), "value_error.jsondecode"),
        (r#"{"payload":{}}"#, json!(["body", "eventType"]), "value_error.jsondecode"),
        (r#"{"eventType":"a b","payload":{}}"#, json!(["body", "eventType"]), "value_error"),
        (
            r#"{"eventType":"a","payload":{},"channels":["x y"]}"#,
            json!(["body", "channels"]),
            "value_error",
        ),
    ] {
        let answer = api.post(MESSAGES, &[], body.as_bytes()).await;
        let detail = answer.json()["detail"].clone();
        assert_eq!((answer.status, &detail[0]["loc"]), (422, &loc), "{body}");
        assert_eq!(detail[0]["type"], kind, "{body}");
        assert!(detail[0]["msg"].is_string(), "{body}");
    }
    assert_eq!(case.receiver.count("hook"), 0, "nothing of it was published");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_a_503_with_its_reason() {
    let mut posthaste = Posthaste::embedded().with_application();
    let nobody = format!("amqp://127.0.0.1:{}", support::broker::two_free_ports()[0]);
    posthaste.set("POSTHASTE_RABBITMQ__URLS", &nobody);
    let router = posthaste.start();
    until("it is alive", SOON, async || router.get("/livez").await.is_some()).await;
    let api = Api::of(&posthaste, &router);

    let answer = api.post_json(MESSAGES, &message(1)).await;

    assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("unavailable")), "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("5"));
    let detail = answer.json()["detail"].as_str().expect("a text").to_owned();
    assert!(detail.contains("may be sent again"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_written_is_a_503_until_it_can() {
    let case = Case::new().await;
    let file = case.posthaste.folder().join("posthaste.db");
    let hog = rusqlite::Connection::open(file).expect("another program opens it");
    hog.execute_batch("BEGIN IMMEDIATE").expect("and holds it");

    let answer = case.api.post(MESSAGES, &[("idempotency-key", "k")], KEYED).await;

    assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("unavailable")), "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("5"));
    let detail = answer.json()["detail"].as_str().expect("a text").to_owned();
    assert!(detail.starts_with("sqlite: database is locked"), "{detail}");
    hog.execute_batch("ROLLBACK").expect("and lets it go");
    let answer = case.api.post(MESSAGES, &[("idempotency-key", "k")], KEYED).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    case.has_come(1).await;
}

/// A message for a request with a key.
const KEYED: &[u8] = br#"{"eventType":"job.completed","payload":{}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn over_a_broker_it_goes_through_the_broker_and_is_found_at_once() {
    let posthaste = Posthaste::new(&Broker::shared().await.url(), &unique_prefix());
    let case = Case::of(posthaste.with_application()).await;
    let keyed = |key: &'static str, body: Value| {
        let api = &case.api;
        async move { api.post(MESSAGES, &[("idempotency-key", key)], body.to_string().as_bytes()).await }
    };
    let see =
        async |name: &str| case.api.send("GET", &format!("{MESSAGES}/{name}"), &[], b"").await;

    let first = keyed("one", with_id(message(1), "run-1")).await;
    let found = [see(&id(&first)).await, see("run-1").await];
    let again = keyed("one", with_id(message(1), "run-1")).await;
    let nameless = [keyed("two", message(2)).await, keyed("two", message(2)).await];
    let other = case.api.post_json(MESSAGES, &message(3)).await;

    assert_eq!((first.status, again.status, other.status), (202, 202, 202), "{first:?}");
    assert_eq!(first.body, again.body, "the same request has the same answer");
    assert_eq!(nameless[0].body, nameless[1].body, "without an id too");
    for answer in found {
        assert_eq!((answer.status, answer.body), (200, first.body.clone()), "at once");
    }
    let taken = case.api.post_json(MESSAGES, &with_id(message(1), "run-1")).await;
    assert_eq!((taken.status, &taken.json()["code"]), (409, &json!("conflict")), "{taken:?}");
    let batch = json!([message(4), with_id(message(1), "run-1")]);
    assert_eq!(case.api.post_json(MESSAGES, &batch).await.status, 409, "all of it or nothing");
    assert_eq!(keyed("two", message(7)).await.status, 409, "another with the same key");
    case.has_come(3).await;
    let mut ids = [id(&first), id(&nameless[0]), id(&other)];
    ids.sort();
    assert_eq!(case.receiver.accepted("hook"), ids);
    let received = "posthaste_broker_messages_received_total{redelivered=\"false\"}";
    assert_eq!(case.router.metric(received).await, Some(3), "through the broker");
    let found = see("run-1").await;
    assert_eq!(found.body, first.body, "and when it is delivered, too");
}

/// Posts ten events, each until it is confirmed, to a router that is killed at the `hit`th time that an event
/// is confirmed by the broker and not recorded yet.
async fn killed_before_the_record(broker: &str, hit: usize) {
    let mut posthaste = Posthaste::new(broker, &unique_prefix()).with_application();
    let receiver = Receiver::start().await;
    posthaste.endpoint("hook", &receiver.endpoint("hook", Script::Answer(200)), &[]);
    posthaste.set("FAILPOINT_KILL_AT", &format!("publish.confirmed={hit}"));
    let mut router = posthaste.serve().await;
    let token = posthaste.json(&["token", "create"])["token"].as_str().expect("one").to_owned();
    let client = reqwest_client();
    let mut ids = Vec::new();
    for number in 0..10 {
        let mut answer = post(&client, &router, &token, number).await;
        if answer.is_none() {
            assert!(!router.end().await.success(), "it was killed");
            posthaste.set("FAILPOINT_KILL_AT", "none");
            router = posthaste.serve().await;
            answer = post(&client, &router, &token, number).await;
        }
        ids.push(answer.expect("confirmed"));
    }
    assert_eq!(posthaste.environment.last().expect("set").1, "none", "it was killed on the way");
    ids.sort();
    until("all have come", SOON, async || receiver.accepted("hook") == ids).await;
    let series = |state: &str| format!("posthaste_ledger_deliveries{{state=\"{state}\"}}");
    until("nothing is on the way", SOON, async || {
        router.metric(&series("delivered")).await == Some(10)
    })
    .await;
    assert_eq!(router.metric(&series("owed")).await, Some(10), "each is one event");
    // What was on its way when the router was killed is asked for again, under the same id.
    assert!(receiver.count("hook") <= 10 + hit, "{} requests", receiver.count("hook"));
    assert_eq!(router.metric("posthaste_ledger_unaccounted_deliveries").await, Some(0));
    let api = Api { address: router.api.clone(), token };
    for id in &ids {
        let found = api.send("GET", &format!("{MESSAGES}/{id}"), &[], b"").await;
        assert_eq!(found.status, 200, "{id}");
    }
    let notes = rusqlite::Connection::open(posthaste.folder().join("posthaste.db"))
        .and_then(|file| file.query_row("SELECT count(*) FROM inbox", [], |row| row.get(0)));
    assert_eq!(notes, Ok(0_i64), "nothing waits to be routed any more");
}

fn reqwest_client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

/// One try, by a client that may lose its connection; the id, if it was confirmed.
async fn post(
    client: &reqwest::Client,
    router: &Running,
    token: &str,
    number: usize,
) -> Option<String> {
    let request = client
        .post(format!("http://{}{MESSAGES}", router.api))
        .bearer_auth(token)
        .header("idempotency-key", format!("key-{number}"))
        .body(message(number).to_string());
    let answer = request.send().await.ok().filter(|answer| answer.status() == 202)?;
    let body: Value = serde_json::from_str(&answer.text().await.ok()?).ok()?;
    Some(body["id"].as_str()?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_confirmed_and_not_recorded_is_neither_lost_nor_there_twice() {
    let broker = Broker::shared().await;
    for hit in [1, 4, 10] {
        killed_before_the_record(&broker.url(), hit).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_command_line_publishes_is_found_by_a_running_router() {
    let case = Case::new().await;

    let published = case.posthaste.list(&[
        "publish",
        "--app",
        "acme",
        "--type",
        "job.completed",
        "--count",
        "3",
        "--data",
        "{}",
    ]);
    assert_eq!(published.len(), 3);
    case.has_come(3).await;

    let refused = case.posthaste.run(&["publish", "--app", "nobody", "--type", "job.completed"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(said.contains("no application is called `nobody`"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_says_what_there_is_and_later_ones_are_short() {
    let mut posthaste = Posthaste::embedded();
    let data = posthaste.folder().join("new/data");
    posthaste.set("POSTHASTE_DATA_DIR", data.to_str().expect("a path"));
    let mut router = posthaste.serve().await;

    let first = posthaste.said();
    let token = first.lines().map(str::trim).find(|line| line.starts_with("eyJ"));
    let mut api = Api::of(&posthaste, &router);
    api.token = token.unwrap_or_else(|| panic!("no token in {first}")).to_owned();
    let shown = [
        format!("http://{}/api/v1", router.api),
        format!("http://{}/metrics", router.admin),
        data.display().to_string(),
    ];
    for part in &shown {
        assert!(first.contains(part), "{part} in {first}");
    }

    // What to try, tried as it is shown, by a shell that knows nothing but what it is told.
    let lines: Vec<_> = first.lines().skip_while(|line| !line.contains("export ")).collect();
    let receiver = Receiver::start().await;
    let url = receiver.endpoint("hook", Script::Answer(200));
    let script = lines.join("\n").replace("http://127.0.0.1:8765/", &url);
    let script: Vec<_> = script.lines().filter(|line| !line.contains(" listen ")).collect();
    let shell = std::process::Command::new("bash")
        .args(["-ec", &script.join("\n")])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").expect("a path"))
        .output()
        .expect("bash runs");
    let said = String::from_utf8_lossy(&shell.stdout).into_owned();
    assert!(shell.status.success(), "{said}{}", String::from_utf8_lossy(&shell.stderr));
    assert!(said.contains("\"eventType\":\"job.completed\""), "{said}");
    until("the event has come", SOON, async || receiver.accepted("hook").len() == 1).await;
    assert_eq!(api.post_json(MESSAGES, &message(1)).await.status, 202, "with the printed token");

    let mode =
        |path: &std::path::Path| path.metadata().expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for file in ["posthaste.db", "secret.key", "token.key"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }

    let second = posthaste.command(&["serve", "--set", "admin.listen=127.0.0.1:0"]).output();
    let second = second.expect("the binary runs");
    let error = String::from_utf8_lossy(&second.stderr);
    assert!(error.contains("another router runs on the data folder"), "{error}");
    assert!(!error.contains("rabbitmq"), "{error}");

    router.signal("TERM");
    router.end().await;
    let again = posthaste.serve().await;
    let said = posthaste.said();
    let later = said.strip_prefix(&first).expect("behind the first");
    assert_eq!(later.lines().count(), 1, "{later}");
    assert!(later.contains(&again.api) && later.contains("token create"), "{later}");
    api = Api { address: again.api.clone(), ..api };
    assert_eq!(api.post_json(MESSAGES, &message(1)).await.status, 202, "tokens outlive a restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_named_with_its_setting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    for setting in ["api.listen", "admin.listen"] {
        let posthaste = Posthaste::embedded();
        let set = format!("{setting}={address}");
        let free = if setting == "api.listen" { "admin.listen" } else { "api.listen" };
        let free = format!("{free}=127.0.0.1:0");

        let refused = posthaste.run(&["serve", "--set", &set, "--set", &free]);

        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("{setting}: {address}")), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn for_programs_nothing_is_printed_for_people() {
    let mut posthaste = Posthaste::embedded();
    posthaste.set("POSTHASTE_LOG__FORMAT", "json");
    let _router = posthaste.serve().await;
    assert_eq!(posthaste.said(), "");
}
