//! Endpoints and event types over HTTP: the real binary, embedded, and a client that writes its requests
//! byte for byte.

mod support;

use serde_json::{Value, json};
use support::api::{Answer, Api};
use support::receiver::{Receiver, Script};
use support::router::{Posthaste, Running};
use support::{PATIENCE, clock, until};

const ENDPOINTS: &str = "/api/v1/app/acme/endpoint";
const TYPES: &str = "/api/v1/event-type";
const URL: &str = "https://hooks.example/in";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// An embedded router with the application `acme`.
struct Case {
    posthaste: Posthaste,
    router: Running,
    api: Api,
}

impl Case {
    async fn new() -> Self {
        let posthaste = Posthaste::embedded().with_application();
        let router = posthaste.serve().await;
        let api = Api::of(&posthaste, &router);
        Self { posthaste, router, api }
    }

    /// The API for whoever these arguments of `token create` are for.
    fn caller(&self, arguments: &[&str]) -> Api {
        let made = self.posthaste.json(&[&["token", "create"], arguments].concat());
        self.api.with_token(made["token"].as_str().map(str::to_owned))
    }

    async fn endpoint(&self, body: &Value) -> Value {
        self.api.post_json(ENDPOINTS, body).await.is(201)
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        send(&self.api, method, path, body).await
    }

    async fn get(&self, path: &str) -> Value {
        send(&self.api, "GET", path, &Value::Null).await.is(200)
    }

    async fn event_type(&self, name: &str) -> Value {
        let new = json!({ "name": name, "description": "" });
        self.api.post_json(TYPES, &new).await.is(201)
    }
}

async fn send(api: &Api, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    api.send(method, path, &[], body.as_bytes()).await
}

trait Is {
    /// The body of an answer that has to have this status; null when it has none.
    fn is(&self, status: u16) -> Value;
    /// The place of the only fault of an answer that has to be 422.
    fn fault(&self) -> Value;
}

impl Is for Answer {
    fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    fn fault(&self) -> Value {
        let detail = self.is(422)["detail"].clone();
        assert_eq!(detail.as_array().map(Vec::len), Some(1), "{self:?}");
        assert!(detail[0]["msg"].is_string() && detail[0]["type"].is_string(), "{self:?}");
        detail[0]["loc"].clone()
    }
}

fn at(endpoint: &Value, more: &str) -> String {
    format!("{ENDPOINTS}/{}{more}", endpoint["id"].as_str().expect("an id"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_answered_in_the_shape_that_clients_read() {
    let case = Case::new().await;
    case.event_type("job.completed").await;
    let plain = case.endpoint(&json!({ "url": URL })).await;
    for field in ["id", "url", "description", "createdAt", "updatedAt"] {
        assert!(plain[field].is_string(), "{field}: {plain}");
    }
    for unset in ["uid", "throttleRate", "rateLimit", "eventTypes", "filterTypes", "channels"] {
        assert_eq!(plain.get(unset), Some(&Value::Null), "{unset}: {plain}");
    }
    assert_eq!((&plain["version"], &plain["disabled"]), (&json!(1), &json!(false)));
    assert_eq!((&plain["metadata"], &plain["state"]), (&json!({}), &json!("active")));

    let retry = json!({ "kind": "schedule", "delaysMs": [500], "jitter": 0.0 });
    let full = case
        .endpoint(&json!({
            "url": URL, "uid": "hook", "description": "ours", "throttleRate": 7, "version": 2,
            "disabled": true, "eventTypes": ["job.completed", "document.*"], "channels": ["eu"],
            "metadata": { "a": "b" }, "secret": SECRET, "headers": { "X-Team": "red" },
            "policy": { "retry": retry, "timeoutMs": 5000 },
            "auth": { "kind": "bearer", "token": "s3cret" }, "unknown": [{}],
        }))
        .await;
    for (field, value) in [
        ("uid", json!("hook")),
        ("throttleRate", json!(7)),
        ("rateLimit", json!(7)),
        ("version", json!(2)),
        ("disabled", json!(true)),
        ("state", json!("disabled")),
        ("disabledReason", json!("asked")),
        ("eventTypes", json!(["job.completed", "document.*"])),
        ("filterTypes", json!(["job.completed", "document.*"])),
        ("channels", json!(["eu"])),
        ("metadata", json!({ "a": "b" })),
        (
            "policy",
            json!({
                "guarantee": "at_least_once", "retry": retry, "timeoutMs": 5000, "maxInFlight": 32,
                "successStatus": ["2xx"], "giveUpStatus": [], "onExhausted": "dead_letter",
                "allowHttp": true, "circuitBreaker": true, "format": "passthrough",
                "signing": { "scheme": "standard", "legacy": null },
            }),
        ),
        ("ownPolicy", json!({ "retry": retry, "timeoutMs": 5000 })),
        ("authKind", json!("bearer")),
    ] {
        assert_eq!(full[field], value, "{field}");
    }
    for name in ["hook", full["id"].as_str().expect("an id")] {
        assert_eq!(case.get(&format!("{ENDPOINTS}/{name}")).await, full);
    }
    let older = json!({ "url": URL, "filterTypes": ["*"], "rateLimit": 3 });
    let older = case.endpoint(&older).await;
    assert_eq!((&older["eventTypes"], &older["throttleRate"]), (&json!(["*"]), &json!(3)));
    case.send("PUT", &at(&full, ""), &full).await.is(200); // what was answered can be sent back
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_refused_with_its_place() {
    let case = Case::new().await;
    case.event_type("job.listed").await;
    case.event_type("job.archived").await;
    case.send("DELETE", &format!("{TYPES}/job.archived"), &Value::Null).await.is(204);
    case.endpoint(&json!({ "url": URL, "uid": "taken" })).await;
    for (field, value) in [
        ("url", json!("nowhere")),
        ("url", json!(7)),
        ("uid", json!("a b")),
        ("uid", json!("ep_1")),
        ("description", Value::Null),
        ("throttleRate", json!(0)),
        ("throttleRate", json!(65_536)),
        ("version", json!(0)),
        ("eventTypes", json!([])),
        ("eventTypes", json!(["job.unknown"])),
        ("eventTypes", json!(["job.archived"])),
        ("eventTypes", json!(["job*"])),
        ("channels", json!([])),
        ("channels", json!(["a b"])),
        ("secret", json!("whsec_c2hvcnQ=")),
        ("metadata", json!({ "a": "x".repeat(4_096) })),
        ("headers", json!({ "Host": "x" })),
        ("policy", json!({ "timeoutMs": 1 })),
        ("auth", json!({ "kind": "bearer", "token": "a b" })),
    ] {
        let mut new = json!({ "url": URL, "eventTypes": ["job.listed", "later.*"] });
        new[field] = value.clone();
        let answer = case.api.post_json(ENDPOINTS, &new).await;
        assert_eq!(answer.fault(), json!(["body", field]), "{value}");
    }
    assert_eq!(case.api.post_json(ENDPOINTS, &json!({})).await.fault(), json!(["body", "url"]));
    let typo = json!({ "url": URL, "policy": { "timeout": 5000 } });
    assert_eq!(case.api.post_json(ENDPOINTS, &typo).await.fault()[1], "policy");
    let taken = case.api.post_json(ENDPOINTS, &json!({ "url": URL, "uid": "taken" })).await;
    assert_eq!(taken.is(409)["code"], "conflict");
    let list = case.get(ENDPOINTS).await;
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1), "nothing of it was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_put_patched_paused_and_deleted() {
    let case = Case::new().await;
    let hook = format!("{ENDPOINTS}/hook");
    let full = json!({
        "url": URL, "throttleRate": 7, "eventTypes": ["job.*"], "channels": ["eu"], "disabled": true,
        "metadata": { "a": "b" }, "description": "ours", "policy": { "timeoutMs": 5000 },
    });
    let made = case.send("PUT", &hook, &full).await.is(201);
    assert_eq!(made["uid"], "hook");
    let secret = case.get(&at(&made, "/secret")).await;
    let headers = json!({ "headers": { "X-Team": "red" } });
    case.send("PUT", &format!("{hook}/headers"), &headers).await.is(204);

    let kept = case.send("PATCH", &hook, &json!({})).await.is(200);
    assert_eq!((&kept["throttleRate"], &kept["disabled"]), (&json!(7), &json!(true)));
    let clear = json!({ "throttleRate": null, "eventTypes": null, "channels": null, "uid": null });
    let cleared = case.send("PATCH", &hook, &clear).await.is(200);
    for field in ["throttleRate", "eventTypes", "channels", "uid"] {
        assert_eq!(cleared[field], Value::Null, "{field}");
    }
    assert_eq!((&cleared["description"], &cleared["metadata"]["a"]), (&json!("ours"), &json!("b")));
    for field in ["url", "description", "disabled", "metadata", "version", "policy"] {
        let null = json!({ field: null });
        assert_eq!(case.send("PATCH", &at(&made, ""), &null).await.fault(), json!(["body", field]));
    }
    case.send("PATCH", &hook, &json!({})).await.is(404); // its uid is gone

    let update = json!({ "url": "https://b.example/", "uid": "hook", "secret": SECRET });
    let put = case.send("PUT", &at(&made, ""), &update).await.is(200);
    assert_eq!((&put["id"], &put["url"]), (&made["id"], &json!("https://b.example/")));
    assert_eq!((&put["description"], &put["metadata"]), (&json!(""), &json!({})));
    assert_eq!(put["policy"]["timeoutMs"], 5000, "what is not said of it stays");
    assert_eq!((&put["disabled"], &put["disabledReason"]), (&json!(false), &Value::Null));
    assert_eq!(case.get(&format!("{hook}/secret")).await, secret, "never touched by it");
    assert_eq!(case.get(&format!("{hook}/headers")).await["headers"]["X-Team"], "red");

    let paused = case.send("POST", &format!("{hook}/pause"), &Value::Null).await.is(200);
    assert_eq!((&paused["state"], &paused["disabled"]), (&json!("paused"), &json!(false)));
    let still = case.send("PATCH", &hook, &json!({ "disabled": false })).await.is(200);
    assert_eq!(still["state"], "paused");
    let resumed = case.send("POST", &format!("{hook}/resume"), &Value::Null).await.is(200);
    assert_eq!(resumed["state"], "active");
    case.send("PATCH", &hook, &json!({ "disabled": true })).await.is(200);
    case.send("POST", &format!("{hook}/pause"), &Value::Null).await.is(409);

    let gone = case.send("DELETE", &hook, &Value::Null).await;
    assert_eq!((gone.is(204), gone.body.as_str()), (Value::Null, ""));
    for method in ["GET", "DELETE", "PATCH"] {
        assert_eq!(case.send(method, &hook, &json!({})).await.is(404)["code"], "not_found");
    }
    case.send("PUT", &hook, &json!({ "url": URL })).await.is(201); // its uid is free
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_walked_to_their_end_and_back() {
    let case = Case::new().await;
    for number in 0..5 {
        case.endpoint(&json!({ "url": URL, "uid": format!("e{number}") })).await;
        case.event_type(&format!("t{number}")).await;
        // The list goes by ids, which tell moments apart that are four milliseconds apart.
        let made = clock().as_millis();
        until("the clock has moved", PATIENCE, async || clock().as_millis() >= made + 4).await;
    }
    let walked = async |path: &str, key: &str| {
        let (mut iterator, mut seen, mut pages) = (String::new(), Vec::new(), Vec::new());
        loop {
            let page = case.get(&format!("{path}?limit=2{iterator}")).await;
            let rows = page["data"].as_array().expect("a list").iter();
            seen.extend(rows.map(|row| row[key].as_str().expect("a name").to_owned()));
            iterator = format!("&iterator={}", page["iterator"].as_str().expect("an iterator"));
            let done = page["done"] == true;
            pages.push(page);
            if done {
                break;
            }
        }
        let back = pages[2]["prevIterator"].as_str().expect("an iterator");
        let back = case.get(&format!("{path}?limit=2&iterator={back}")).await;
        assert_eq!(back["data"], pages[1]["data"]);
        assert_eq!(back["done"], false);
        seen.join(" ")
    };
    let both = [(ENDPOINTS, "uid", "e4 e3 e2 e1 e0"), (TYPES, "name", "t0 t1 t2 t3 t4")];
    for (path, key, expected) in both {
        assert_eq!(walked(path, key).await, expected);
    }
    let turned = case.get(&format!("{ENDPOINTS}?order=ascending&limit=1")).await;
    assert_eq!(turned["data"][0]["uid"], "e0");
    let wrong = case.send("GET", &format!("{ENDPOINTS}?iterator=x"), &Value::Null).await;
    assert_eq!(wrong.fault(), json!(["query", "iterator"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_in_no_answer_but_its_own_and_is_rotated() {
    let case = Case::new().await;
    let new = json!({ "url": URL, "uid": "hook", "secret": SECRET });
    let made = case.api.post_json(ENDPOINTS, &new).await;
    made.is(201);
    let path = format!("{ENDPOINTS}/hook/secret");
    assert_eq!(case.get(&path).await, json!({ "key": SECRET }));
    for (method, path, body) in [
        ("GET", ENDPOINTS, Value::Null),
        ("GET", "/api/v1/app/acme/endpoint/hook", Value::Null),
        ("PUT", "/api/v1/app/acme/endpoint/hook", json!({ "url": URL, "uid": "hook" })),
        ("PATCH", "/api/v1/app/acme/endpoint/hook", json!({ "description": "a" })),
        ("POST", "/api/v1/app/acme/endpoint/hook/pause", Value::Null),
        ("GET", "/api/v1/app/acme/endpoint/hook/headers", Value::Null),
    ] {
        let answer = case.send(method, path, &body).await;
        answer.is(200);
        assert!(!answer.body.contains(&SECRET[6..]), "{method} {path}");
    }
    assert!(!made.body.contains("whsec_"));

    let rotate = format!("{path}/rotate");
    let key = [("idempotency-key", "rotated-once")];
    let rotated = case.api.post(&rotate, &key, b"{}").await;
    let made = rotated.is(200)["key"].as_str().expect("a key").to_owned();
    assert_eq!(case.get(&path).await["key"], made.as_str());
    let repeated = case.api.post(&rotate, &key, b"{}").await;
    assert_eq!(repeated.is(200)["key"], made.as_str(), "a repeated request rotates once");
    assert!(made.starts_with("whsec_") && made != SECRET, "{made}");
    for (body, field) in [
        (json!({ "gracePeriodSeconds": 604_801 }), "gracePeriodSeconds"),
        (json!({ "key": "short" }), "key"),
        (json!({ "key": made }), "key"),
    ] {
        let refused = case.send("POST", &rotate, &body).await;
        assert_eq!(refused.fault(), json!(["body", field]));
        assert!(!refused.body.contains(&made), "a refusal does not repeat it");
    }
    for _ in 0..9 {
        case.send("POST", &rotate, &json!({ "gracePeriodSeconds": 600 })).await.is(200);
    }
    let limit = case.send("POST", &rotate, &Value::Null).await;
    assert_eq!(limit.is(400)["code"], "limit_reached");
    let last = json!({ "key": OTHER_SECRET, "gracePeriodSeconds": 0 });
    case.send("POST", &rotate, &last).await.is(200);
    assert_eq!(case.get(&path).await["key"], OTHER_SECRET);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_put_merged_and_removed_and_what_is_secret_is_named_and_not_shown() {
    let case = Case::new().await;
    let own = json!({ "X-Team": "red", "Authorization": "s3cret" });
    case.endpoint(&json!({ "url": URL, "uid": "hook", "headers": own })).await;
    let path = format!("{ENDPOINTS}/hook/headers");
    let is = async |headers: Value, sensitive: Value| {
        let shown = case.get(&path).await;
        assert_eq!(shown, json!({ "headers": headers, "sensitive": sensitive }));
    };
    is(json!({ "X-Team": "red" }), json!(["Authorization"])).await;

    let some = json!({ "headers": { "x-team": "blue", "X-B": "1", "x-none": null } });
    case.send("PATCH", &path, &some).await.is(204);
    is(json!({ "x-team": "blue", "X-B": "1" }), json!(["Authorization"])).await;
    let less = json!({ "headers": { "X-B": null }, "deleteHeaders": ["authorization"] });
    case.send("PATCH", &path, &less).await.is(204);
    is(json!({ "x-team": "blue" }), json!([])).await;
    let all = json!({ "headers": { "x-api-key": "s3cret" } });
    case.send("PUT", &path, &all).await.is(204);
    is(json!({}), json!(["x-api-key"])).await;

    for name in ["Svix-Id", "webhook-signature", "content-length", "x-amz-a", "a b"] {
        for method in ["PUT", "PATCH"] {
            let answer = case.send(method, &path, &json!({ "headers": { name: "s3cret" } })).await;
            assert_eq!(answer.fault(), json!(["body", "headers"]), "{method} {name}");
            assert!(!answer.body.contains("s3cret"), "{answer:?}");
        }
    }
    is(json!({}), json!(["x-api-key"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_its_own_endpoints_and_finds_no_others() {
    let case = Case::new().await;
    case.api.post_json("/api/v1/app", &json!({ "name": "Other", "uid": "other" })).await.is(201);
    let tenant = case.caller(&["--app", "acme"]);
    let own = send(&tenant, "POST", ENDPOINTS, &json!({ "url": URL })).await.is(201);
    send(&tenant, "GET", &at(&own, "/secret"), &Value::Null).await.is(200);
    let others = "/api/v1/app/other/endpoint";
    let other = case.api.post_json(others, &json!({ "url": URL, "uid": "hook" })).await.is(201);
    let id = other["id"].as_str().expect("an id");

    for (method, more, body) in [
        ("GET", "", Value::Null),
        ("PUT", "", json!({ "url": URL })),
        ("PATCH", "", json!({})),
        ("DELETE", "", Value::Null),
        ("POST", "/pause", Value::Null),
        ("POST", "/resume", Value::Null),
        ("GET", "/secret", Value::Null),
        ("POST", "/secret/rotate", json!({})),
        ("GET", "/headers", Value::Null),
        ("PUT", "/headers", json!({ "headers": {} })),
        ("PATCH", "/headers", json!({ "headers": {} })),
    ] {
        for api in [&tenant, &case.api] {
            let path = format!("{ENDPOINTS}/{id}{more}");
            let answer = send(api, method, &path, &body).await;
            // Writing all anew would make one, and no uid looks like an id.
            let refused = if method == "PUT" && more.is_empty() { 422 } else { 404 };
            answer.is(refused);
        }
        let path = format!("{others}/{id}{more}");
        assert_eq!(send(&tenant, method, &path, &body).await.is(404)["code"], "not_found");
    }
    send(&tenant, "GET", others, &Value::Null).await.is(404);
    assert_eq!(case.get(&format!("{others}/hook")).await, other, "nothing of it has changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_type_is_listed_changed_archived_and_deleted() {
    let case = Case::new().await;
    let path = format!("{TYPES}/job.completed");
    let schemas = json!({ "1": { "type": "object", "examples": [{ "id": "7" }] } });
    let new = json!({
        "name": "job.completed", "description": "A job has ended", "schemas": schemas,
        "featureFlags": ["beta"], "groupName": "passed over",
    });
    let made = case.api.post_json(TYPES, &new).await.is(201);
    assert_eq!((&made["schemas"], &made["featureFlag"]), (&schemas, &json!("beta")));
    assert_eq!((&made["archived"], &made["deprecated"]), (&json!(false), &json!(false)));
    assert!(made["createdAt"].is_string() && made["updatedAt"].is_string(), "{made}");
    assert_eq!(case.api.post_json(TYPES, &new).await.is(409)["code"], "event_type_exists");
    assert_eq!(case.get(&path).await, made);
    assert_eq!(case.get(TYPES).await["data"][0]["schemas"], Value::Null);
    let with = case.get(&format!("{TYPES}?with_content=true")).await;
    assert_eq!(with["data"][0], made);

    let edit = json!({ "deprecated": true, "schemas": null, "featureFlag": null });
    let patched = case.send("PATCH", &path, &edit).await.is(200);
    assert_eq!((&patched["schemas"], &patched["featureFlags"]), (&Value::Null, &Value::Null));
    assert_eq!(patched["description"], "A job has ended");
    let update = json!({ "description": "again" });
    let put = case.send("PUT", &path, &update).await.is(200);
    assert_eq!((&put["deprecated"], &put["createdAt"]), (&json!(false), &made["createdAt"]));
    case.send("PUT", &format!("{TYPES}/job.new"), &update).await.is(201);
    let wrong = case.send("PUT", &format!("{TYPES}/job.*"), &update).await;
    assert_eq!(wrong.fault(), json!(["path", "event_type"]));

    case.send("DELETE", &path, &Value::Null).await.is(204);
    assert_eq!(case.get(&path).await["archived"], true);
    let names = async |query: &str| {
        let list = case.get(&format!("{TYPES}{query}")).await;
        let rows = list["data"].as_array().expect("a list").iter();
        rows.map(|row| row["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("").await, ["job.new"]);
    assert_eq!(names("?include_archived=true").await, ["job.completed", "job.new"]);
    case.api.post_json(TYPES, &new).await.is(201); // listed again
    case.send("DELETE", &format!("{path}?expunge=true"), &Value::Null).await.is(204);
    for method in ["GET", "PATCH", "DELETE"] {
        case.send(method, &path, &json!({})).await.is(404);
    }

    for (field, value) in [
        ("name", json!("a b")),
        ("description", Value::Null),
        ("schemas", json!({ "1": { "$ref": "https://a.example/" } })),
        ("schemas", json!({ "1": { "type": "text" } })),
        ("featureFlags", json!(["a", "b"])),
    ] {
        let mut new = json!({ "name": "a", "description": "" });
        new[field] = value;
        assert_eq!(case.api.post_json(TYPES, &new).await.fault(), json!(["body", field]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_reads_the_event_types_that_are_for_it() {
    let case = Case::new().await;
    for (name, flag) in [("a", "beta"), ("b", ""), ("c", "gamma"), ("d", "")] {
        let flag = (!flag.is_empty()).then_some(flag);
        let new = json!({ "name": name, "description": "", "featureFlag": flag });
        case.api.post_json(TYPES, &new).await.is(201);
    }
    let tenant = case.caller(&["--app", "acme", "--feature-flag", "beta"]);

    let first = send(&tenant, "GET", &format!("{TYPES}?limit=2"), &Value::Null).await.is(200);
    assert_eq!((&first["data"][0]["name"], &first["data"][1]["name"]), (&json!("a"), &json!("b")));
    assert_eq!(first["done"], false);
    let next = format!("{TYPES}?limit=2&iterator=b");
    let next = send(&tenant, "GET", &next, &Value::Null).await.is(200);
    assert_eq!((&next["data"][0]["name"], &next["done"]), (&json!("d"), &json!(true)));
    for (name, status) in [("a", 200), ("b", 200), ("c", 404)] {
        let path = format!("{TYPES}/{name}");
        send(&tenant, "GET", &path, &Value::Null).await.is(status);
        for method in ["PUT", "PATCH", "DELETE"] {
            send(&tenant, method, &path, &json!({ "description": "" })).await.is(403);
        }
    }
    send(&tenant, "POST", TYPES, &json!({ "name": "e", "description": "" })).await.is(403);
    let hidden = json!({ "url": URL, "eventTypes": ["c"] });
    let refused = send(&tenant, "POST", ENDPOINTS, &hidden).await;
    assert_eq!(refused.fault(), json!(["body", "eventTypes"]), "as one that is not there");
    case.endpoint(&hidden).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_for_an_endpoint_comes_when_it_is_enabled_again() {
    let case = Case::new().await;
    let receiver = Receiver::start().await;
    let url = receiver.endpoint("hook", Script::Answer(200));
    case.endpoint(&json!({ "url": url, "uid": "hook" })).await;
    let hook = format!("{ENDPOINTS}/hook");
    case.send("POST", &format!("{hook}/pause"), &Value::Null).await.is(200);
    let message = json!({ "eventType": "job.completed", "payload": {} });
    case.api.post_json("/api/v1/app/acme/msg", &message).await.is(202);
    let waiting = "posthaste_ledger_deliveries{state=\"waiting\"}";
    until("it waits", PATIENCE, async || case.router.metric(waiting).await == Some(1)).await;

    case.send("PATCH", &hook, &json!({ "disabled": true })).await.is(200);
    case.send("PUT", &hook, &json!({ "url": url })).await.is(200);

    until("it has come", PATIENCE, async || receiver.count("hook") == 1).await;
}
