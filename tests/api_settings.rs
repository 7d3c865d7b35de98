//! Applications' settings, endpoints' policies, test calls and tracking: the real binary, embedded, as a
//! platform's own server uses them over HTTP.

mod support;

use std::time::Duration;

use posthaste::domain::signature::{ReceiverKey, verify};
use serde_json::{Value, json};
use support::api::{Answer, Api};
use support::receiver::{Receiver, Script};
use support::router::{Posthaste, Running};
use support::until;
use tokio::net::TcpSocket;

const SOON: Duration = Duration::from_mins(2);
const APP: &str = "/api/v1/app/acme";
const SETTINGS: &str = "/api/v1/app/acme/settings";

/// An embedded router with the application `acme`, and a receiver.
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
        let receiver = Receiver::start().await;
        let router = posthaste.serve().await;
        let api = Api::of(&posthaste, &router);
        let nobody = TcpSocket::new_v4().expect("a socket");
        nobody.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        Self { posthaste, receiver, nobody, _router: router, api }
    }

    /// A URL where nobody answers.
    fn nobody(&self) -> String {
        format!("http://{}/hook", self.nobody.local_addr().expect("bound"))
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.api.send(method, path, &[], body.to_string().as_bytes()).await
    }

    /// Sends what has to succeed.
    async fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.send(method, path, body).await;
        assert!((200..300).contains(&answer.status), "{method} {path} {body}: {answer:?}");
        answer.json()
    }

    async fn get(&self, path: &str) -> Value {
        self.done("GET", path, &Value::Null).await
    }

    /// Publishes an event about a job.
    async fn publish(&self, job: &str) {
        let message =
            json!({ "eventType": "job.completed", "subject": job, "payload": { "job": job } });
        self.done("POST", &format!("{APP}/msg"), &message).await;
    }

    /// The one delivery about a job, once it stands so.
    async fn tracked(&self, job: &str, state: &str) -> Value {
        let path = format!("{APP}/delivery?subject={job}");
        let mut row = Value::Null;
        until("the delivery stands so", SOON, async || {
            row = self.get(&path).await["data"][0].clone();
            row["state"] == state
        })
        .await;
        row
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a text is wanted, not {value}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_merged_by_each_verb_and_null_clears_one_without_the_others() {
    let case = Case::new().await;
    let unset = case.get(SETTINGS).await;
    assert_eq!(
        unset,
        json!({
            "defaultUrl": null, "defaultUrlWhen": "no_match", "delivery": "on", "policy": {},
            "schemaMode": "off", "attributes": {}, "updatedAt": null,
        })
    );

    let url = case.receiver.endpoint("default", Script::Answer(200));
    let first = json!({
        "defaultUrl": url, "defaultUrlWhen": "no_override",
        "attributes": { "defaultStorageProviderId": "s3-1" },
    });
    let set = case.done("POST", SETTINGS, &first).await;
    assert_eq!((&set["defaultUrl"], &set["attributes"]), (&json!(url), &first["attributes"]));
    assert!(text(&set["updatedAt"]).ends_with('Z'), "{set}");
    assert_eq!(case.get(SETTINGS).await, set);

    let policy = json!({ "policy": { "timeoutMs": 10000, "successStatus": [200, "3xx"] } });
    let patched = case.done("PATCH", SETTINGS, &policy).await;
    assert_eq!((&patched["policy"], &patched["defaultUrl"]), (&policy["policy"], &json!(url)));

    let cleared = case.done("PUT", SETTINGS, &json!({ "defaultUrl": null })).await;
    assert_eq!(cleared["defaultUrl"], Value::Null);
    for kept in ["defaultUrlWhen", "policy", "attributes"] {
        assert_eq!(cleared[kept], patched[kept], "{kept}");
    }
    let back = case.done("PUT", SETTINGS, &cleared).await;
    assert_eq!(back["attributes"], cleared["attributes"], "what was answered can be sent back");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_settings_or_a_policy_is_told_with_its_place() {
    let case = Case::new().await;
    let endpoint = json!({ "url": "http://127.0.0.1:1024/", "uid": "hook" });
    case.done("POST", &format!("{APP}/endpoint"), &endpoint).await;
    let hook = format!("{APP}/endpoint/hook");
    for (path, body, loc, word) in [
        (
            SETTINGS,
            json!({ "defaultUrl": "ftp://x.example/" }),
            json!(["body", "defaultUrl"]),
            "http",
        ),
        (SETTINGS, json!({ "delivery": "maybe" }), json!(["body", "delivery"]), "hold"),
        (SETTINGS, json!({ "policy": { "timeoutMs": 1 } }), json!(["body", "policy"]), "timeoutMs"),
        (
            SETTINGS,
            json!({ "policy": { "timeout": 1 } }),
            json!(["body", "policy", "timeout"]),
            "timeoutMs",
        ),
        (SETTINGS, json!({ "attributes": [] }), json!(["body", "attributes"]), "map"),
        (SETTINGS, json!({ "defaulturl": null }), json!(["body", "defaulturl"]), "defaultUrl"),
        (SETTINGS, json!({ "policy": [] }), json!(["body", "policy"]), "an object"),
        (&hook, json!({ "policy": [] }), json!(["body", "policy"]), "an object"),
        (
            &hook,
            json!({ "policy": { "retry": "none" } }),
            json!(["body", "policy", "retry"]),
            "schedule",
        ),
        (
            &hook,
            json!({ "policy": { "successStatus": [] } }),
            json!(["body", "policy"]),
            "successStatus",
        ),
        (
            &hook,
            json!({ "policy": { "signing": { "scheme": "none" } } }),
            json!(["body", "policy"]),
            "allow_unsigned",
        ),
        (
            &hook,
            json!({ "policy": { "format": "xml" } }),
            json!(["body", "policy", "format"]),
            "standard",
        ),
    ] {
        let answer = case.send("PATCH", path, &body).await;
        assert_eq!(answer.status, 422, "{body}: {answer:?}");
        let fault = &answer.json()["detail"][0];
        assert_eq!(fault["loc"], loc, "{fault}");
        assert!(text(&fault["msg"]).contains(word), "{fault}");
    }
    for (path, slip, word) in [
        (format!("{SETTINGS}/secret/rotate"), "gracePeriodSecond", "gracePeriodSeconds"),
        (format!("{SETTINGS}/webhook/test"), "eventtype", "eventType"),
        (format!("{hook}/test"), "url", "payload"),
    ] {
        let answer = case.send("POST", &path, &json!({ slip: 1 })).await;
        let fault = &answer.json()["detail"][0];
        assert_eq!(
            (answer.status, &fault["loc"]),
            (422, &json!(["body", slip])),
            "{path}: {fault}"
        );
        assert!(text(&fault["msg"]).contains(word), "{fault}");
    }
    assert_eq!(case.get(SETTINGS).await["updatedAt"], Value::Null, "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_applications_own_token_sees_its_settings_and_sets_what_is_not_its_platforms() {
    let case = Case::new().await;
    let link = case.done("POST", "/api/v1/auth/app-portal-access/acme", &json!({})).await;
    let tenant = case.api.with_token(Some(text(&link["token"]).to_owned()));
    let set =
        async |body: Value| tenant.send("PATCH", SETTINGS, &[], body.to_string().as_bytes()).await;
    for (field, value) in
        [("delivery", json!("on")), ("schemaMode", json!(null)), ("attributes", json!({ "a": 1 }))]
    {
        let answer = set(json!({ "defaultUrlWhen": "no_override", field: value })).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(text(&answer.json()["detail"]).starts_with(&format!("{field} ")), "{answer:?}");
    }
    assert_eq!(tenant.send("GET", SETTINGS, &[], b"").await.json()["updatedAt"], Value::Null);

    let own =
        set(json!({ "defaultUrlWhen": "no_override", "policy": { "timeoutMs": 9000 } })).await;

    assert_eq!((own.status, &own.json()["policy"]["timeoutMs"]), (200, &json!(9_000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_says_what_is_its_own_and_has_the_rest_of_its_application() {
    let case = Case::new().await;
    let below = json!({ "policy": { "timeoutMs": 9000, "format": "standard", "guarantee": "at_most_once" } });
    case.done("PUT", SETTINGS, &below).await;
    let own = json!({
        "timeoutMs": 5000, "maxInFlight": 4, "successStatus": [200], "giveUpStatus": ["4xx"],
        "onExhausted": "drop", "allowHttp": true, "circuitBreaker": false, "guarantee": "at_least_once",
        "retry": { "kind": "schedule", "delaysMs": [500, 1000], "jitter": 0.0 },
        "signing": { "scheme": "standard", "legacy": {
            "header": "X-Axelered-Signature", "encoding": "hex", "prefix": "",
            "content": "{body}", "key": "decoded",
        } },
    });
    let new = json!({ "url": "http://127.0.0.1:1024/", "uid": "hook", "policy": own });

    let made = case.done("POST", &format!("{APP}/endpoint"), &new).await;

    assert_eq!(made["ownPolicy"], own);
    let mut whole = own.clone();
    whole["format"] = json!("standard");
    assert_eq!(made["policy"], whole);

    let hook = format!("{APP}/endpoint/hook");
    let back = case.done("PUT", &hook, &made).await;
    assert_eq!(back["ownPolicy"], own, "all of it, sent back, is not taken for its own");
    let cleared = json!({ "policy": { "timeoutMs": null, "guarantee": null, "retry": null } });
    let patched = case.done("PATCH", &hook, &cleared).await;
    assert_eq!(patched["policy"]["timeoutMs"], 9_000);
    assert_eq!(patched["policy"]["retry"], json!({ "kind": "none" }), "at most once");
    case.done("PATCH", SETTINGS, &json!({ "policy": null })).await;
    let now = case.get(&hook).await;
    assert_eq!(
        (&now["policy"]["timeoutMs"], &now["policy"]["format"]),
        (&json!(15_000), &json!("passthrough"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_url_is_tested_by_one_real_request_and_its_result_is_answered_at_once() {
    let case = Case::new().await;
    let test = format!("{SETTINGS}/webhook/test");
    let none = case.send("POST", &test, &json!({})).await;
    assert_eq!((none.status, &none.json()["code"]), (409, &json!("no_default_url")));

    let url = case.receiver.endpoint("default", Script::Answer(200));
    case.done("POST", SETTINGS, &json!({ "defaultUrl": url })).await;
    let good = case.api.post(&test, &[], b"").await;
    assert_eq!(good.status, 200);
    assert!(good.body.starts_with(r#"{"ok":true,"status":200,"#), "{}", good.body);
    assert_eq!((&good.json()["url"], good.json().get("errorCode")), (&json!(url), None));

    let arrived = &case.receiver.arrived("default")[0];
    assert_eq!(arrived.headers["webhook-test"], "true");
    let secret = case.get(&format!("{SETTINGS}/secret")).await;
    let key: ReceiverKey = text(&secret["key"]).parse().expect("a key");
    let now_s = support::clock().as_seconds();
    let verified =
        verify([&key], &arrived.id, &arrived.timestamp, &arrived.signature, &arrived.body, now_s);
    assert_eq!(verified, Ok(()));

    let failing = case.receiver.endpoint("failing", Script::Answer(500));
    case.done("POST", SETTINGS, &json!({ "defaultUrl": failing })).await;
    let bad = case.send("POST", &test, &json!({})).await;
    assert!(bad.body.starts_with(r#"{"ok":false,"status":500,"#), "{}", bad.body);

    case.done("POST", SETTINGS, &json!({ "defaultUrl": case.nobody() })).await;
    let silent = case.send("POST", &test, &json!({})).await;
    assert!(silent.body.starts_with(r#"{"ok":false,"status":0,"#), "{}", silent.body);
    assert_eq!(silent.json()["errorCode"], "connect");

    assert_eq!(case.receiver.count("failing"), 1, "it is never tried again");
    for list in ["msg", "delivery"] {
        assert_eq!(case.get(&format!("{APP}/{list}")).await["data"], json!([]), "not in {list}");
    }
    let deeds = case.get("/api/v1/audit?limit=250").await;
    let tests = deeds["data"].as_array().expect("a list").iter();
    let tests = tests.filter(|deed| text(&deed["action"]).ends_with("/settings/webhook/test"));
    assert_eq!(tests.count(), 4, "each is written down");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_tested_whatever_its_state_with_the_payload_that_is_given() {
    let case = Case::new().await;
    let url = case.receiver.endpoint("hook", Script::Answer(204));
    let new =
        json!({ "url": url, "uid": "hook", "disabled": true, "headers": { "x-team": "red" } });
    case.done("POST", &format!("{APP}/endpoint"), &new).await;
    let test = format!("{APP}/endpoint/hook/test");

    let body = br#"{"eventType": "job.failed", "payload": {"amount": 1250.50}}"#;
    let good = case.api.post(&test, &[], body).await;

    assert!(good.body.starts_with(r#"{"ok":true,"status":204,"#), "{}", good.body);
    let arrived = &case.receiver.arrived("hook")[0];
    assert_eq!(&arrived.body[..], br#"{"amount": 1250.50}"#, "to the byte");
    assert_eq!(
        (&arrived.headers["x-team"], &arrived.headers["webhook-test"]),
        (&"red".parse().expect("a value"), &"true".parse().expect("a value"))
    );
    assert_eq!(case.get(&format!("{APP}/endpoint/hook")).await["state"], "disabled");
    assert_eq!(
        case.send("POST", &format!("{APP}/endpoint/none/test"), &json!({})).await.status,
        404
    );
    let wrong = case.send("POST", &test, &json!({ "eventType": "a b" })).await;
    assert_eq!(
        (wrong.status, &wrong.json()["detail"][0]["loc"]),
        (422, &json!(["body", "eventType"]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_a_jobs_webhook_is_found_by_the_job() {
    let case = Case::new().await;
    let endpoint = async |url: &str, more: Value| {
        let mut new =
            json!({ "url": url, "uid": "hook", "policy": { "retry": { "kind": "none" } } });
        new.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        case.done("PUT", &format!("{APP}/endpoint/hook"), &new).await
    };
    let accepted = case.receiver.endpoint("hook", Script::Answer(200));
    let made = endpoint(&accepted, json!({})).await;

    case.publish("job-good").await;
    let row = case.tracked("job-good", "delivered").await;
    assert_eq!((&row["lastResponseStatus"], &row["lastErrorCode"]), (&json!(200), &Value::Null));
    assert_eq!((&row["url"], &row["endpointId"]), (&json!(accepted), &made["id"]));
    assert_eq!((&row["attemptCount"], &row["subject"]), (&json!(1), &json!("job-good")));
    assert_eq!(row["firstAttemptAt"], row["lastAttemptAt"]);
    assert!(text(&row["id"]).starts_with("dlv_") && text(&row["createdAt"]).ends_with('Z'));

    endpoint(&case.receiver.endpoint("refusing", Script::Answer(500)), json!({})).await;
    case.publish("job-refused").await;
    let row = case.tracked("job-refused", "dead").await;
    assert_eq!((&row["lastResponseStatus"], &row["lastErrorCode"]), (&json!(500), &Value::Null));

    let drop = json!({ "policy": { "retry": { "kind": "none" }, "onExhausted": "drop" } });
    endpoint(&case.nobody(), drop).await;
    case.publish("job-unheard").await;
    let row = case.tracked("job-unheard", "dropped").await;
    assert_eq!((&row["lastResponseStatus"], &row["lastErrorCode"]), (&json!(0), &json!("connect")));

    let flaky = case.receiver.endpoint("flaky", Script::FailFirst(1, 503));
    let soon = json!({ "kind": "schedule", "delaysMs": [300], "jitter": 0.0 });
    endpoint(&flaky, json!({ "policy": { "retry": soon } })).await;
    case.publish("job-again").await;
    let row = case.tracked("job-again", "delivered").await;
    assert_eq!((&row["attemptCount"], &row["lastResponseStatus"]), (&json!(2), &json!(200)));
    assert!(text(&row["firstAttemptAt"]) < text(&row["lastAttemptAt"]), "{row}");

    for row in [&row, &case.tracked("job-unheard", "dropped").await] {
        let subject = text(&row["subject"]);
        let told =
            case.posthaste.list(&["deliveries", "list", "--app", "acme", "--subject", subject]);
        assert_eq!(&told, std::slice::from_ref(row), "the command line says the same");
    }

    let one = format!("{APP}/delivery/{}/hook", text(&row["msgId"]));
    let whole = case.get(&one).await;
    assert_eq!(whole["policy"]["retry"], soon, "the policy of its last request");
    assert_eq!((&whole["id"], &whole["policyVersion"]), (&row["id"], &row["policyVersion"]));
    let nobodys = case.send("GET", &format!("{APP}/delivery/none/hook"), &Value::Null).await;
    assert_eq!(nobodys.status, 404);

    let dead = case.get(&format!("{APP}/delivery?state=dead")).await;
    assert_eq!(
        (dead["data"].as_array().map(Vec::len), &dead["data"][0]["subject"]),
        (Some(1), &json!("job-refused"))
    );
    let about = case.get(&format!("{APP}/msg?subject=job-good")).await;
    assert_eq!(about["data"].as_array().map(Vec::len), Some(1), "messages are found so, too");
    let wrong = case.send("GET", &format!("{APP}/delivery?state=lost"), &Value::Null).await;
    assert_eq!(
        (wrong.status, &wrong.json()["detail"][0]["loc"]),
        (422, &json!(["query", "state"]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preset_is_set_from_a_file_and_a_slip_in_it_is_told_with_file_and_field() {
    let posthaste = Posthaste::embedded().with_application();
    let file = posthaste.folder().join("preset.json");
    let path = file.to_str().expect("text");
    let preset = json!({
        "defaultUrl": "http://127.0.0.1:1024/in", "defaultUrlWhen": "no_override",
        "policy": { "retry": { "kind": "none" }, "timeoutMs": 10000, "onExhausted": "drop" },
    });
    std::fs::write(&file, preset.to_string()).expect("writable");
    let set = ["app", "settings", "set", "acme", "--file", path, "--timeout-ms", "20000"];

    let shown = posthaste.json(&set);

    assert_eq!(shown["policy"]["timeoutMs"], 20_000, "a flag decides over the file");
    assert_eq!(shown["policy"]["onExhausted"], "drop");
    assert_eq!(posthaste.json(&["app", "settings", "show", "acme"]), shown);
    let (endpoint, _) =
        posthaste.endpoint("hook", "http://127.0.0.1:1024/", &["--success", "200,3xx"]);
    let hook = posthaste.json(&["endpoint", "show", &endpoint]);
    assert_eq!(hook["ownPolicy"], json!({ "successStatus": [200, "3xx"] }));
    assert_eq!(hook["policy"]["timeoutMs"], 20_000);

    for (slip, told) in [
        (json!({ "defaultURL": null }), "`defaultURL` is no setting"),
        (json!({ "policy": { "timeout": 1 } }), "policy.timeout"),
        (json!({ "policy": { "timeoutMs": 1 } }), "policy: timeoutMs is 1"),
        (json!({ "delivery": "maybe" }), "delivery"),
    ] {
        std::fs::write(&file, slip.to_string()).expect("writable");
        let refused = posthaste.run(&["app", "settings", "set", "acme", "--file", path]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains(path) && said.contains(told), "{said}");
    }
    assert_eq!(posthaste.json(&["app", "settings", "show", "acme"]), shown, "nothing was written");
}
