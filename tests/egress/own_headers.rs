//! An endpoint's own headers and credentials on their way out: what its row says, and what is sent.

use std::sync::Arc;

use posthaste::domain::application::Application;
use posthaste::domain::auth::Auth;
use posthaste::domain::endpoint::{Endpoint, EndpointKey, EndpointState};
use posthaste::domain::event::{Channels, Event};
use posthaste::domain::filter::Filter;
use posthaste::domain::id::{ApplicationId, EndpointId, EventId, OrganisationId};
use posthaste::domain::policy::PolicyPart;
use posthaste::domain::signature::{ReceiverKey, Scheme, SigningKey, verify};
use posthaste::domain::time::Timestamp;
use posthaste::egress::Sender as _;
use posthaste::pipeline::request::{Options, signed};
use posthaste::storage::catalogue::Catalogue as _;
use posthaste::storage::sql::{Settings, Sql};
use posthaste::storage::sqlite;
use posthaste::storage::vault::Vault;
use secrecy::SecretBox;
use url::Url;

use super::receiver::Receiver;
use super::{answered, sender};

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
const BODY: &str = r#"{"a":1}"#;

fn event() -> Event {
    Event {
        id: EventId::derived(&[b"event"]),
        application: ApplicationId::derived(&[b"acme"]),
        event_type: "job.completed".parse().expect("a type"),
        event_id: None,
        subject: None,
        occurred_at: NOW,
        received_at: NOW,
        deliver_at: None,
        expires_at: None,
        content_type: None,
        traceparent: None,
        channels: Channels::default(),
        payload: BODY.into(),
        webhook: None,
        attributes: Box::default(),
    }
}

fn endpoint(url: Url) -> Endpoint {
    let key = |key| EndpointKey { key, created_at: NOW, expires_at: None };
    Endpoint {
        id: EndpointId::derived(&[b"hook"]),
        application: ApplicationId::derived(&[b"acme"]),
        uid: None,
        description: String::new(),
        url,
        filter: Filter::of(Vec::new()),
        channels: Vec::new(),
        state: EndpointState::Active,
        disabled_because: None,
        throttle_rate: None,
        policy: Arc::default(),
        headers: Vec::new(),
        auth: None,
        keys: vec![
            key(SigningKey::generated_for(Scheme::V1a, [1; 32])),
            key(SigningKey::generated([2; 32])),
        ],
        metadata: std::collections::BTreeMap::new(),
        version: std::num::NonZeroU16::MIN,
        created_at: NOW,
        updated_at: NOW,
        policy_part: PolicyPart::default(),
    }
}

/// Head and body of the request that a receiver sees, from this endpoint.
async fn seen(endpoint: Endpoint, options: Options) -> (String, String) {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let endpoint = Endpoint { url: receiver.url(), ..endpoint };

    let reply = sender().send(signed(&event(), &endpoint, NOW, options)).await;

    assert_eq!(reply.outcome, answered(200));
    let seen = receiver.requests().remove(0);
    let (head, body) = seen.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_owned(), body.to_owned())
}

/// The values of every header of that name.
fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

fn owned(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_row_that_another_hand_wrote_replaces_nothing_of_ours() {
    let hostile = owned(&[
        ("Webhook-Signature", "v1,Zm9yZ2Vk"),
        ("webhook-id", "msg_forged"),
        ("svix-signature", "v1,Zm9yZ2Vk"),
        ("Host", "internal.example"),
        ("Content-Length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("content-type", "text/forged"),
        ("traceparent", "forged"),
        ("Metadata-Flavor", "Google"),
        ("na me", "x"),
        ("X-Team", "red"),
    ]);
    let acme = Application {
        id: ApplicationId::derived(&[b"acme"]),
        organisation: OrganisationId::DEFAULT,
        uid: None,
        name: "acme".into(),
        throttle_rate: None,
        metadata: std::collections::BTreeMap::new(),
        created_at: NOW,
        updated_at: NOW,
    };
    let folder = tempfile::tempdir().expect("a folder");
    let vault = Vault::new(vec![(1, SecretBox::new(Box::new([7; 32])))]).expect("a keyring");
    let settings = Settings::Sqlite(sqlite::Settings { path: folder.path().join("posthaste.db") });
    let store = Sql::open(&settings, Arc::new(vault)).expect("it opens");
    store.add_application(&acme).await.expect("added");
    let url: Url = "http://127.0.0.1/".parse().expect("a URL");
    let auth = Some(Auth::Header { name: "webhook-signature".into(), value: "v1,Zm9y".into() });
    store.add_endpoint(&Endpoint { headers: hostile, auth, ..endpoint(url) }).await.expect("added");
    let id = EndpointId::derived(&[b"hook"]);
    let stored = store.any_endpoint(id).await.expect("read").expect("there");
    assert_eq!(stored.headers.len(), 11, "the store takes what it is given");

    let (head, body) = seen(stored, Options::default()).await;

    assert_eq!(body, BODY);
    assert!(!head.to_ascii_lowercase().contains("forged"), "{head}");
    assert!(!head.contains("Zm9y") && !head.contains("internal.example"), "{head}");
    for gone in ["svix-signature", "transfer-encoding", "traceparent", "metadata-flavor"] {
        assert!(values(&head, gone).is_empty(), "{head}");
    }
    for ours in ["webhook-id", "webhook-signature", "webhook-timestamp", "host", "content-length"] {
        assert_eq!(values(&head, ours).len(), 1, "{head}");
    }
    assert_eq!(values(&head, "content-length"), [BODY.len().to_string()]);
    assert_eq!(values(&head, "x-team"), ["red"], "what is its own goes out");
    store.close().await;
}

#[tokio::test]
async fn both_names_of_the_headers_verify_with_both_schemes_when_that_is_configured() {
    let endpoint = endpoint("http://127.0.0.1/".parse().expect("a URL"));
    let told: Vec<ReceiverKey> = endpoint
        .keys
        .iter()
        .map(|entry| entry.key.reveal().parse().expect("a receiver's key"))
        .collect();

    let svix = Options { svix_headers: true, ..Options::default() };
    let (head, body) = seen(endpoint.clone(), svix).await;
    let (plain, _) = seen(endpoint, Options::default()).await;

    for prefix in ["webhook", "svix"] {
        let [id, timestamp, signature] = ["id", "timestamp", "signature"]
            .map(|part| values(&head, &format!("{prefix}-{part}"))[0]);
        for key in &told {
            let now_s = NOW.as_seconds();
            assert_eq!(verify([key], id, timestamp, signature, body.as_bytes(), now_s), Ok(()));
        }
        assert_eq!(signature.split(' ').count(), 2);
    }
    assert!(!plain.to_ascii_lowercase().contains("svix-"), "{plain}");
}

#[tokio::test]
async fn credentials_are_sent_as_a_header_each_kind_in_its_place() {
    for (auth, name, value) in [
        (Auth::Basic { username: "u".into(), password: "p".into() }, "authorization", "Basic dTpw"),
        (Auth::Bearer { token: "t".into() }, "authorization", "Bearer t"),
        (Auth::Header { name: "X-Api-Key".into(), value: "k".into() }, "x-api-key", "k"),
    ] {
        let endpoint = endpoint("http://127.0.0.1/".parse().expect("a URL"));

        let (head, _) = seen(Endpoint { auth: Some(auth), ..endpoint }, Options::default()).await;

        assert_eq!(values(&head, name), [value]);
    }
}
