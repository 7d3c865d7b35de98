//! The inspector: a target for development that is part of the router, called by its own deliveries and by
//! anybody who knows its address.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::api::{Answer, Api};
use support::eventually;
use support::router::{Posthaste, Running};

use posthaste::domain::signature::{ReceiverKey, verify};

const INSPECTOR: &str = "/api/v1/app/acme/inspector";
const PAYLOAD: &str = r#"{"amount": 1250.50}"#;

/// A router on a developer's machine, with the application `acme`.
async fn case() -> (Posthaste, Running, Api) {
    let posthaste = Posthaste::embedded().with_application();
    let router = posthaste.serve().await;
    let api = Api::of(&posthaste, &router);
    (posthaste, router, api)
}

async fn looked(api: &Api) -> Value {
    let answer = api.send("GET", INSPECTOR, &[], &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn url(looked: &Value) -> String {
    looked["url"].as_str().expect("an address").to_owned()
}

/// Sends to an address, with no token but the one in it.
async fn sent(api: &Api, method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let path = url.strip_prefix(&format!("http://{}", api.address)).expect("it is this router's");
    api.with_token(None).send(method, path, headers, body).await
}

/// The first request that is shown, once there is one.
async fn first(api: &Api) -> Value {
    eventually("a request has come to the inspector", async || {
        looked(api).await["requests"].get(0).cloned()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_may_be_the_inspector_and_its_requests_are_seen_as_they_were_signed() {
    let (_posthaste, _router, api) = case().await;
    let inspector = looked(&api).await;
    assert_eq!(inspector["requests"], json!([]));
    assert_eq!(url(&looked(&api).await), url(&inspector), "it is made once");
    let endpoint = json!({ "url": format!("{}/hooks?who=me", url(&inspector)), "uid": "own" });
    let made = api.post_json("/api/v1/app/acme/endpoint", &endpoint).await;
    assert_eq!(made.status, 201, "{made:?}");
    let secret = api.send("GET", "/api/v1/app/acme/endpoint/own/secret", &[], &[]).await.json();

    let message = format!(r#"{{"eventType":"job.completed","payload":{PAYLOAD}}}"#);
    let published = api.post("/api/v1/app/acme/msg", &[], message.as_bytes()).await.json();

    let seen = first(&api).await;
    assert_eq!((&seen["method"], &seen["path"]), (&json!("POST"), &json!("/hooks?who=me")));
    assert_eq!((&seen["body"], &seen["bodyEncoding"]), (&json!(PAYLOAD), &json!("utf-8")));
    assert_eq!(seen["truncated"], false);
    let header = |name: &str| seen["headers"][name].as_str().expect("it was sent").to_owned();
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(published["id"], header("webhook-id"));
    let key: ReceiverKey = secret["key"].as_str().expect("one").parse().expect("a key");
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let now_s = support::clock().as_seconds();
    let signature = header("webhook-signature");
    assert_eq!(verify([&key], &id, &timestamp, &signature, PAYLOAD.as_bytes(), now_s), Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_what_it_is_asked_to_so_that_failures_can_be_tried_out() {
    let (_posthaste, _router, api) = case().await;
    let url = url(&looked(&api).await);
    let answer = sent(&api, "PUT", &url, &[], b"x").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"received":true}"#));
    for status in [503, 302, 204] {
        let answer = sent(&api, "POST", &format!("{url}?status={status}"), &[], b"{}").await;
        assert_eq!(answer.status, status);
    }
    let refused = sent(&api, "POST", &format!("{url}?status=100"), &[], b"{}").await;
    assert_eq!(refused.status, 422, "{refused:?}");

    let endpoint = json!({
        "url": format!("{url}?status=503"), "policy": { "retry": { "kind": "none" } },
    });
    let made = api.post_json("/api/v1/app/acme/endpoint", &endpoint).await.json();
    let message = json!({ "eventType": "job.completed", "payload": {} });
    api.post_json("/api/v1/app/acme/msg", &message).await;

    let attempts = format!(
        "/api/v1/app/acme/attempt/endpoint/{}?status_code_class=500",
        made["id"].as_str().expect("an id")
    );
    let failed = eventually("the attempt has failed", async || {
        api.send("GET", &attempts, &[], &[]).await.json()["data"].get(0).cloned()
    })
    .await;
    assert_eq!(failed["responseStatusCode"], 503, "{failed}");
    assert_eq!(failed["response"], r#"{"received":true}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_comes_the_beginning_is_kept_and_credentials_are_not() {
    let (_posthaste, _router, api) = case().await;
    let url = url(&looked(&api).await);
    let long = "é".repeat(40_000); // two bytes each: 64 KiB end between two of them
    let headers = [
        ("authorization", "Bearer secret"),
        ("cookie", "secret=1"),
        ("x-own", "a"),
        ("x-own", "b"),
    ];
    assert_eq!(sent(&api, "POST", &url, &headers, long.as_bytes()).await.status, 200);
    let seen = first(&api).await;
    assert_eq!(seen["body"].as_str().map(str::len), Some(64 * 1024));
    assert_eq!(seen["truncated"], true);
    assert_eq!(seen["headers"]["x-own"], "a, b");
    assert!(!seen["headers"].to_string().contains("secret"), "{}", seen["headers"]);

    sent(&api, "POST", &url, &[], &[0, 255]).await;
    let seen = first(&api).await;
    assert_eq!((&seen["body"], &seen["bodyEncoding"]), (&json!("AP8="), &json!("base64")));
}

#[tokio::test(flavor = "multi_thread")]
async fn emptied_it_has_another_address_and_the_old_one_is_none() {
    let (posthaste, _router, api) = case().await;
    // Its tenant may do all of it.
    let token = posthaste.json(&["token", "create", "--app", "acme"]);
    let tenant = api.with_token(token["token"].as_str().map(str::to_owned));
    let old = url(&looked(&tenant).await);
    assert_eq!(sent(&api, "POST", &old, &[], b"{}").await.status, 200);

    assert_eq!(tenant.send("DELETE", INSPECTOR, &[], &[]).await.status, 204);

    let emptied = looked(&tenant).await;
    assert_eq!(emptied["requests"], json!([]));
    assert_ne!(url(&emptied), old);
    let gone = sent(&api, "POST", &old, &[], b"{}").await;
    let never = sent(&api, "POST", &format!("http://{}/nowhere", api.address), &[], b"{}").await;
    assert_eq!((gone.status, gone.body), (404, never.body), "in the words of what never was");
    assert_eq!(looked(&tenant).await["requests"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_too_fast_is_told_to_wait_and_fifty_are_kept() {
    let (_posthaste, _router, api) = case().await;
    let url = url(&looked(&api).await);
    let (mut taken, mut refused) = (0, None);
    while refused.is_none() && taken < 2_000 {
        // Many at once: one behind the other, a slow disk would hold them to the pace.
        let at_once = (0..20).map(|_| sent(&api, "POST", &url, &[], b"{}"));
        for answer in futures_util::future::join_all(at_once).await {
            match answer.status {
                200 => taken += 1,
                _ => refused = Some(answer),
            }
        }
    }
    let refused = refused.expect("there is a bound");
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    assert!(taken >= 50, "{taken}");
    assert_eq!(looked(&api).await["requests"].as_array().map(Vec::len), Some(50));
    eventually("it takes another", async || {
        (sent(&api, "POST", &url, &[], b"{}").await.status == 200).then_some(Duration::ZERO)
    })
    .await;
}
