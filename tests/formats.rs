//! What a request is made of by its endpoint's policy, as a receiver sees it: bodies, headers of older
//! make, no signature at all, and plain http.
//!
//! The receiver is the router's own inspector. What it saw is checked by Python's `hmac`, as a platform's
//! receiver would.

mod support;

use serde_json::{Value, json};
use support::api::{Answer, Api};
use support::eventually;
use support::outside::python;
use support::router::{Posthaste, Running};

/// A payload with what reading and writing anew would change.
const PAYLOAD: &str = r#"{"amount": 1250.50, "at":"2026-08-21T10:11:12", "note":"r\u00e4ksm\/"}"#;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A router with the application `acme`, and the address of its inspector.
struct Case {
    _posthaste: Posthaste,
    _router: Running,
    api: Api,
    inspector: String,
}

impl Case {
    async fn new(settings: &[(&str, &str)]) -> Self {
        let mut posthaste = Posthaste::embedded().with_application();
        for (name, value) in settings {
            posthaste.set(name, value);
        }
        let router = posthaste.serve().await;
        let api = Api::of(&posthaste, &router);
        let looked = api.send("GET", "/api/v1/app/acme/inspector", &[], &[]).await.json();
        let inspector = looked["url"].as_str().expect("an address").to_owned();
        Self { _posthaste: posthaste, _router: router, api, inspector }
    }

    /// Makes an endpoint that is the inspector, with this policy.
    async fn endpoint(&self, policy: Value) -> Answer {
        let endpoint = json!({ "url": self.inspector, "secret": SECRET, "policy": policy });
        self.api.post_json("/api/v1/app/acme/endpoint", &endpoint).await
    }

    /// Publishes the payload about `job-7`; the event's id.
    async fn published(&self) -> String {
        let message =
            format!(r#"{{"eventType":"job.completed","subject":"job-7","payload":{PAYLOAD}}}"#);
        let published = self.api.post("/api/v1/app/acme/msg", &[], message.as_bytes()).await;
        assert_eq!(published.status, 202, "{published:?}");
        published.json()["id"].as_str().expect("an id").to_owned()
    }

    /// The first request that the inspector shows, once it shows one.
    async fn seen(&self) -> Value {
        eventually("a request has come", async || {
            let looked = self.api.send("GET", "/api/v1/app/acme/inspector", &[], &[]).await.json();
            looked["requests"].get(0).cloned()
        })
        .await
    }
}

/// HMAC-SHA256 in hexadecimal under the bytes of this text, by Python.
fn hmac_by_python(key: &str, content: &str) -> String {
    let program = "import hashlib, hmac, sys; \
                   print(hmac.new(*(one.encode() for one in sys.argv[1:]), hashlib.sha256).hexdigest())";
    let run = std::process::Command::new(python()).args(["-c", program, key, content]).output();
    let output = run.expect("python runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_has_the_producers_bytes_in_it_and_an_older_header_signs_the_whole() {
    let case = Case::new(&[]).await;
    let legacy = json!({
        "header": "X-Axelered-Signature", "prefix": "sha256=", "key": "literal",
        "content": "{timestamp}.{body}",
    });
    let policy = json!({ "format": "standard", "signing": { "legacy": legacy } });
    assert_eq!(case.endpoint(policy).await.status, 201);

    let id = case.published().await;

    let seen = case.seen().await;
    let body = seen["body"].as_str().expect("text");
    let start = format!(r#"{{"id":"{id}","type":"job.completed","timestamp":""#);
    let end = format!(r#"Z","subject":"job-7","data":{PAYLOAD}}}"#);
    assert!(body.starts_with(&start) && body.ends_with(&end), "{body}");
    let header = |name: &str| seen["headers"][name].as_str().expect("it was sent");
    let signed = hmac_by_python(SECRET, &format!("{}.{body}", header("webhook-timestamp")));
    assert_eq!(header("x-axelered-signature"), format!("sha256={signed}"));
    assert!(header("webhook-signature").starts_with("v1,"));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_unsigned_where_the_operator_allows_it_and_nowhere_else() {
    let unsigned = || json!({ "signing": { "scheme": "none" } });
    // A developer's machine alone does not allow it.
    let refused = Case::new(&[]).await.endpoint(unsigned()).await;
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.body.contains("delivery.allow_unsigned"), "{refused:?}");

    let case = Case::new(&[("POSTHASTE_DELIVERY__ALLOW_UNSIGNED", "true")]).await;
    assert_eq!(case.endpoint(unsigned()).await.status, 201);
    let id = case.published().await;

    let seen = case.seen().await;
    assert_eq!((&seen["body"], &seen["headers"]["webhook-id"]), (&json!(PAYLOAD), &json!(id)));
    assert!(seen["headers"]["webhook-timestamp"].is_string(), "{seen}");
    assert!(seen["headers"].get("webhook-signature").is_none(), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_not_called_where_the_policy_does_not_want_it() {
    let case = Case::new(&[]).await;
    let refused = case.endpoint(json!({ "allowHttp": false })).await;
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.body.contains("allowHttp"), "{refused:?}");
    let made = case.endpoint(json!({ "retry": { "kind": "none" } })).await.json();
    // Its application's word, behind its back.
    let settings = json!({ "policy": { "allowHttp": false } });
    let edited = case.api.post_json("/api/v1/app/acme/settings", &settings).await;
    assert_eq!(edited.status, 200, "{edited:?}");

    case.published().await;

    let attempts =
        format!("/api/v1/app/acme/attempt/endpoint/{}", made["id"].as_str().expect("an id"));
    let failed = eventually("the attempt has failed", async || {
        case.api.send("GET", &attempts, &[], &[]).await.json()["data"].get(0).cloned()
    })
    .await;
    assert_eq!(failed["outcome"], "target_not_allowed", "{failed}");
    assert!(failed["detail"].as_str().expect("a sentence").contains("allowHttp"), "{failed}");
    let looked = case.api.send("GET", "/api/v1/app/acme/inspector", &[], &[]).await.json();
    assert_eq!(looked["requests"], json!([]), "nothing was sent");
}
