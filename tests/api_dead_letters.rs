//! Dead letters over HTTP: the real binary, embedded, and a receiver that wants none of it. Searched, grouped,
//! looked at and put away, by their application and by its organisation.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::api::{Answer, Api};
use support::receiver::{Receiver, Script};
use support::router::{Posthaste, Running};
use support::{eventually, until};
use tokio::net::TcpSocket;

const SOON: Duration = Duration::from_mins(2);
const MINE: &str = "/api/v1/app/acme/dead-letter";
const GROUPS: &str = "/api/v1/app/acme/dead-letter-group";
const ALL: &str = "/api/v1/admin/dead-letter";
/// One attempt and no more.
const ONCE: &str =
    r#"{"retry":{"kind":"schedule","delaysMs":[],"jitter":0.0},"circuitBreaker":false}"#;

/// An embedded router with the applications `acme` and `other`.
struct Case {
    posthaste: Posthaste,
    receiver: Receiver,
    /// Has a port, and does not listen: nobody else does either.
    nobody: TcpSocket,
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
        let nobody = TcpSocket::new_v4().expect("a socket");
        nobody.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        Self { posthaste, receiver, nobody, _router: router, api }
    }

    /// Two endpoints of `acme`: one that answers 503 to `job.*`, and one where nobody is, for `run.*`; six dead
    /// letters, three of each.
    async fn with_dead() -> Self {
        let case = Self::new().await;
        let refusing = case.receiver.endpoint("refusing", Script::Answer(503));
        case.endpoint("refusing", &refusing, &["job.*"]).await;
        let nobody = format!("http://{}/hook", case.nobody.local_addr().expect("bound"));
        case.endpoint("nobody", &nobody, &["run.*"]).await;
        for number in 1..=3 {
            for event_type in ["job.failed", "run.ended"] {
                case.publish("acme", event_type, &format!("subject-{number}")).await;
            }
        }
        case.has(MINE, 6).await;
        case
    }

    async fn endpoint(&self, uid: &str, url: &str, types: &[&str]) {
        let policy: Value = serde_json::from_str(ONCE).expect("JSON");
        let body = json!({
            "url": url, "uid": uid, "filterTypes": types, "policy": policy,
            "headers": { "X-Key": "open sesame" },
        });
        let made = self.api.post_json("/api/v1/app/acme/endpoint", &body).await;
        assert_eq!(made.status, 201, "{made:?}");
        let headers = json!({ "headers": { "X-Key": "open sesame" } });
        let path = format!("/api/v1/app/acme/endpoint/{uid}/headers");
        let set = self.api.send("PUT", &path, &[], headers.to_string().as_bytes()).await;
        assert_eq!(set.status, 204, "{set:?}");
    }

    async fn publish(&self, app: &str, event_type: &str, subject: &str) {
        let message = json!({
            "eventType": event_type, "subject": subject, "payload": { "of": subject },
            "eventId": format!("{event_type}-{subject}"),
        });
        let answer = self.api.post_json(&format!("/api/v1/app/{app}/msg"), &message).await;
        assert_eq!(answer.status, 202, "{answer:?}");
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

    /// Waits until a list has so many rows.
    async fn has(&self, path: &str, rows: usize) -> Vec<Value> {
        eventually(&format!("{path} has {rows}"), async || {
            let data = self.see(path).await["data"].as_array().expect("rows").clone();
            (data.len() == rows).then_some(data)
        })
        .await
    }

    /// The same API with a token of this application.
    fn tenant(&self, app: &str) -> Api {
        let made = self.posthaste.json(&["token", "create", "--app", app]);
        self.api.with_token(Some(made["token"].as_str().expect("a token").to_owned()))
    }
}

fn rows(list: &Value) -> &Vec<Value> {
    list["data"].as_array().expect("rows")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_search_finds_what_it_says_for_an_application_and_for_its_organisation() {
    let case = Case::with_dead().await;
    let all = case.see(MINE).await;
    let id = |uid: &str| {
        let is = |row: &&Value| (row["lastStatus"] == 503) == (uid == "refusing");
        rows(&all).iter().find(is).expect("one")["endpointId"].as_str().expect("an id").to_owned()
    };
    let died_at = rows(&all)[5]["diedAt"].as_str().expect("a moment").to_owned();
    let table = [
        ("", 6),
        ("endpointId=refusing", 3),
        (&*format!("endpointId={}", id("nobody")), 3),
        ("eventType=job.*", 3),
        ("eventType=run.ended", 3),
        ("eventType=run.begun", 0),
        ("reason=attempts_exhausted", 6),
        ("reason=gone", 0),
        ("status=503", 3),
        ("status=5xx", 3),
        ("status=0", 3),
        ("error=connect", 3),
        ("error=server_error&status=0", 0),
        ("subject=subject-2", 2),
        ("subject=subject-2&eventType=job.*", 1),
        ("text=SUBJECT-3", 2),
        ("text=run.e", 3),
        (&*format!("since={died_at}"), 6),
        (&*format!("until={died_at}"), 0),
    ];
    for (query, expected) in table {
        let mine = case.see(&format!("{MINE}?{query}")).await;
        assert_eq!(rows(&mine).len(), expected, "{query}: {mine}");
        assert_eq!(mine["done"], true, "{query}");
        if query.starts_with("endpointId=refusing") {
            continue; // a uid is known beside its application
        }
        let all = case.see(&format!("{ALL}?{query}")).await;
        assert_eq!(rows(&all).len(), expected, "{query}");
        let named = case.see(&format!("{ALL}?{query}&applicationId=acme")).await;
        assert_eq!(rows(&named).len(), expected, "{query}");
    }
    assert_eq!(rows(&case.see(&format!("{ALL}?applicationId=other")).await).len(), 0);
    let uid = format!("{ALL}?applicationId=acme&endpointId=refusing");
    assert_eq!(rows(&case.see(&uid).await).len(), 3);

    // To its end and back, by parts of two.
    let ids = |list: &Value| -> Vec<String> {
        rows(list).iter().map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
    };
    let (mut walked, mut iterator, mut last) = (Vec::new(), String::new(), Value::Null);
    while walked.len() < 6 {
        last = case.see(&format!("{MINE}?limit=2&iterator={iterator}")).await;
        walked.extend(ids(&last));
        iterator = last["iterator"].as_str().expect("a place").to_owned();
    }
    assert_eq!((&walked, &last["done"]), (&ids(&all), &json!(true)));
    let before = last["prevIterator"].as_str().expect("a place");
    let back = case.see(&format!("{MINE}?limit=2&iterator={before}")).await;
    assert_eq!(ids(&back), walked[2..4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_a_search_is_said_with_what_is_accepted() {
    let case = Case::new().await;
    let table = [
        ("status=50", "status", "`5xx`"),
        ("status=timeout", "status", "`5xx`"),
        ("error=timed_out", "error", "timeout"),
        ("reason=tired", "reason", "attempts_exhausted"),
        ("eventType=*.failed", "eventType", "*.failed"),
        ("since=yesterday", "since", "RFC 3339"),
        ("since=2026-08-21T10:11:12Z&until=2026-08-21T10:11:12Z", "until", "later"),
        ("iterator=7", "iterator", "iterator of this list"),
        ("limit=251", "limit", "1 to 250"),
        ("staus=503", "staus", "status"),
        ("ids=dlv_1srOrx2ZWZBpBUvZwXKQmoEYga2", "ids", "endpointId"),
    ];
    for (query, field, said) in table {
        let answer = case.get(&format!("{MINE}?{query}")).await;
        assert_eq!(answer.status, 422, "{query}: {answer:?}");
        let fault = &answer.json()["detail"][0];
        assert_eq!(fault["loc"], json!(["query", field]), "{query}: {fault}");
        assert!(fault["msg"].as_str().expect("a sentence").contains(said), "{query}: {fault}");
    }
    let groups = case.get(&format!("{GROUPS}?text=x")).await;
    assert_eq!(groups.status, 422, "groups are not told apart by it: {groups:?}");
    let of_another = case.get(&format!("{MINE}?applicationId=other")).await;
    assert_eq!(of_another.json()["detail"][0]["loc"], json!(["query", "applicationId"]));
    let long = case.get(&format!("{MINE}?text={}", "x".repeat(1_000_000))).await;
    assert!((400..500).contains(&long.status), "a line of a MB: {}", long.status);

    let discards = [
        (json!({ "reason": "no use" }), json!(["body", "filter"])),
        (json!({ "reason": "no use", "filter": {} }), json!(["body", "filter"])),
        (json!({ "reason": " ", "all": true }), json!(["body", "reason"])),
        (json!({ "all": true }), json!(["body", "reason"])),
        (
            json!({ "reason": "x", "filter": { "staus": "503" } }),
            json!(["body", "filter", "staus"]),
        ),
        (
            json!({ "reason": "x", "filter": { "status": "50" } }),
            json!(["body", "filter", "status"]),
        ),
        (json!({ "reason": "x", "filter": { "text": "" } }), json!(["body", "filter", "text"])),
        (
            json!({ "reason": "x", "filter": { "ids": ["dlv_1"] } }),
            json!(["body", "filter", "ids"]),
        ),
        (json!({ "reason": "x", "filtre": { "status": "503" } }), json!(["body", "filtre"])),
    ];
    for (body, place) in discards {
        let answer = case.api.post_json(&format!("{MINE}/discard"), &body).await;
        assert_eq!(answer.status, 422, "{body}: {answer:?}");
        assert_eq!(answer.json()["detail"][0]["loc"], place, "{body}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_say_how_many_of_a_kind_from_when_to_when_with_a_sample() {
    let case = Case::with_dead().await;
    for path in [GROUPS, "/api/v1/admin/dead-letter-group"] {
        let groups = case.see(path).await;
        assert_eq!(rows(&groups).len(), 2, "{groups}");
        let refusing = rows(&groups).iter().find(|one| one["status"] == 503).expect("one");
        assert_eq!(refusing["count"], 3);
        assert_eq!(refusing["endpointUid"], "refusing");
        assert_eq!(
            (&refusing["reason"], &refusing["error"]),
            (&json!("attempts_exhausted"), &json!("server_error"))
        );
        assert!(refusing["url"].as_str().expect("a URL").ends_with("/refusing"));
        let newest = case.see(&format!("{MINE}?status=503&limit=1")).await;
        assert_eq!(refusing["sampleId"], newest["data"][0]["id"]);
        assert_eq!(refusing["lastSeenAt"], newest["data"][0]["diedAt"]);
    }
    assert_eq!(rows(&case.see(&format!("{GROUPS}?error=connect")).await).len(), 1);
    assert_eq!(rows(&case.see(&format!("{GROUPS}?endpointId=nobody&status=503")).await).len(), 0);
    let part = case.see(&format!("{GROUPS}?limit=1")).await;
    assert_eq!((rows(&part).len(), &part["done"]), (1, &json!(false)));
    let next = part["iterator"].as_str().expect("a place");
    let rest = case.see(&format!("{GROUPS}?limit=1&iterator={next}")).await;
    assert_eq!((rows(&rest).len(), &rest["done"]), (1, &json!(true)));
    assert_ne!(rows(&part)[0]["endpointId"], rows(&rest)[0]["endpointId"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_looked_at_with_its_event_and_every_request_and_without_secrets() {
    let case = Case::with_dead().await;
    let found = case.see(&format!("{MINE}?status=503&subject=subject-1")).await;
    let id = found["data"][0]["id"].as_str().expect("an id");
    for path in [format!("{MINE}/{id}"), format!("{ALL}/{id}")] {
        let answer = case.get(&path).await;
        let one = answer.json();
        for (name, value) in found["data"][0].as_object().expect("an object") {
            assert_eq!(&one[name], value, "{name}");
        }
        assert_eq!(one["eventId"], "job.failed-subject-1");
        assert_eq!(one["event"]["payload"], r#"{"of":"subject-1"}"#);
        let attempts = one["attempts"].as_array().expect("attempts");
        assert_eq!(attempts.len(), 1);
        let attempt = &attempts[0];
        assert_eq!((&attempt["status"], &attempt["number"]), (&json!(503), &json!(1)));
        let headers = &attempt["requestHeaders"];
        let arrived = case.receiver.arrived("refusing");
        let arrived = arrived.iter().find(|one| headers["webhook-id"] == one.id.as_str());
        let arrived = arrived.expect("it came, with the id that is shown");
        for (name, value) in headers.as_object().expect("headers") {
            let sent = arrived.headers.get(name.to_lowercase()).expect("it was sent");
            let is_secret = name.eq_ignore_ascii_case("x-key");
            assert_eq!(value == sent.to_str().expect("text"), !is_secret, "{name}: {value}");
        }
        assert!(headers.as_object().expect("some").len() >= 5, "{headers}");
        assert!(!answer.body.contains("sesame"), "{answer:?}");
        let timing = &attempt["timing"];
        assert!(timing["firstByteMs"].is_u64() && timing["totalMs"].is_u64(), "{timing}");
        assert!(timing["dnsMs"].is_null() && timing["tlsMs"].is_null(), "{timing}");
    }
    let nobody = case.see(&format!("{MINE}?status=0&limit=1")).await;
    let nobody = nobody["data"][0]["id"].as_str().expect("an id");
    let one = case.see(&format!("{MINE}/{nobody}")).await;
    assert_eq!(one["lastError"], "connect");
    assert!(one["attempts"][0]["timing"]["firstByteMs"].is_null(), "{one}");

    let gone = format!("{MINE}/dlv_000000000000000000000000001");
    for (api, path, expected) in [
        (&case.api, gone, 404),
        (&case.api, format!("{MINE}/nothing"), 404),
        (&case.api, format!("/api/v1/app/other/dead-letter/{id}"), 404),
        (&case.tenant("other"), format!("{MINE}/{id}"), 404),
        (&case.tenant("other"), format!("/api/v1/app/other/dead-letter/{id}"), 404),
        (&case.tenant("acme"), format!("{MINE}/{id}"), 200),
        (&case.tenant("acme"), format!("{ALL}/{id}"), 403),
    ] {
        assert_eq!(api.send("GET", &path, &[], b"").await.status, expected, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_discarded_is_away_for_good_and_stays_on_record() {
    let case = Case::with_dead().await;
    let discard = async |api: &Api, path: &str, body: &Value| {
        api.post_json(&format!("{path}/discard"), body).await
    };
    let wrong_count = json!({ "filter": { "status": "503" }, "reason": "no use", "expect": 4 });
    let answer = discard(&case.api, MINE, &wrong_count).await;
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(answer.body.contains("fewer dead letters match than the 4"), "{answer:?}");
    let (others, all) = ("/api/v1/app/other/dead-letter", json!({ "all": true, "reason": "x" }));
    let nothing = discard(&case.api, others, &all).await;
    assert_eq!(nothing.json(), json!({ "discarded": 0, "done": true }), "its own alone");
    case.has(MINE, 6).await;

    let found = case.see(&format!("{MINE}?status=503")).await;
    let id = rows(&found)[0]["id"].clone();
    let named = json!({ "filter": { "ids": [id] }, "reason": "seen to by hand" });
    let of_others = discard(&case.tenant("other"), "/api/v1/app/other/dead-letter", &named).await;
    assert_eq!(of_others.json()["discarded"], 0, "of another's nothing is found");
    let one = discard(&case.tenant("acme"), MINE, &named).await;
    assert_eq!(one.json(), json!({ "discarded": 1, "done": true }));
    let rest = json!({ "filter": { "status": "5xx", "applicationId": "acme" }, "reason": "no use", "expect": 2 });
    let rest = discard(&case.api, ALL, &rest).await;
    assert_eq!(rest.json(), json!({ "discarded": 2, "done": true }));

    case.has(MINE, 3).await;
    assert_eq!(rows(&case.see(GROUPS).await).len(), 1);
    let path = format!("{MINE}/{}", id.as_str().expect("an id"));
    assert_eq!(case.get(&path).await.status, 404);
    let discarded = case.see("/api/v1/app/acme/delivery?state=discarded").await;
    assert_eq!(rows(&discarded).len(), 3);
    let all = discard(&case.api, ALL, &json!({ "all": true, "reason": "an old test" })).await;
    assert_eq!(all.json(), json!({ "discarded": 3, "done": true }));
    case.has(ALL, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_is_answered_as_text_and_found_as_text() {
    let case = Case::new().await;
    let refusing = case.receiver.endpoint("refusing", Script::Answer(503));
    case.endpoint("refusing", &refusing, &["job.*"]).await;
    let subjects = [
        "\u{202e}gnp.tnemyap\u{202c}",
        "' OR 1=1 --",
        "100%_[a-z]*",
        "a\"b\\c</script>",
        "\u{1b}[2J\u{7}bell",
    ];
    let mut accepted = Vec::new();
    for subject in subjects {
        let message = json!({ "eventType": "job.failed", "subject": subject, "payload": {} });
        let answer = case.api.post_json("/api/v1/app/acme/msg", &message).await;
        if answer.status == 202 {
            accepted.push(subject);
        }
    }
    assert!(accepted.len() >= 4, "{accepted:?}");
    until("all of them died", SOON, async || rows(&case.see(MINE).await).len() == accepted.len())
        .await;
    for subject in accepted {
        let encoded: String = url::form_urlencoded::byte_serialize(subject.as_bytes()).collect();
        for parameter in ["subject", "text"] {
            let answer = case.get(&format!("{MINE}?{parameter}={encoded}")).await;
            let list = answer.json();
            assert_eq!(rows(&list).len(), 1, "{parameter} {subject:?}: {answer:?}");
            assert_eq!(rows(&list)[0]["subject"], subject);
            assert!(!answer.body.contains(|c: char| c.is_control()), "{answer:?}");
        }
    }
}
