//! `CloudEvents` held with software that is not ours: the official SDK for Python, installed from its
//! registry, beside a real router.
//!
//! What it does stands in `tests/sdk/cloudevents_*.py`, in its language.

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use support::api::Api;
use support::eventually;
use support::outside::python;
use support::router::Posthaste;

/// A payload with what reading and writing anew would change.
const PAYLOAD: &str = r#"{"amount": 1250.50, "at":"2026-08-21T10:11:12", "note":"r\u00e4ksm\/"}"#;
/// What has to be percent-encoded in a header, and escaped in JSON.
const SUBJECT: &str = r#"job "7" 100% räksmörgås €"#;

/// A receiver that reads what comes with the SDK. It stops when it is dropped.
struct SdkReceiver {
    child: Child,
    port: u16,
    book: PathBuf,
}

impl SdkReceiver {
    fn start(folder: &Path) -> Self {
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/cloudevents_receiver.py");
        let book = folder.join("cloudevents");
        let mut child = Command::new(python())
            .arg(script)
            .arg(&book)
            .env("PYTHONIOENCODING", "utf-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("its port");
        Self { child, port: line.trim().parse().expect("its port"), book }
    }

    fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// What came to an endpoint first, once it has.
    async fn received(&self, name: &str) -> Value {
        eventually("the SDK has read a request", async || {
            let text = std::fs::read_to_string(&self.book).unwrap_or_default();
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            let entries = whole.lines().map(|line| serde_json::from_str(line).expect("JSON"));
            entries.into_iter().find(|entry: &Value| entry["to"] == name)
        })
        .await
    }
}

impl Drop for SdkReceiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_reads_what_we_send_in_both_modes() {
    let posthaste = Posthaste::embedded().with_application();
    let receiver = SdkReceiver::start(posthaste.folder());
    let router = posthaste.serve().await;
    let api = Api::of(&posthaste, &router);
    let app = api.send("GET", "/api/v1/app/acme", &[], &[]).await.json()["id"].clone();
    for format in ["cloudevents", "cloudevents_binary"] {
        let endpoint = json!({ "url": receiver.url(format), "policy": { "format": format } });
        let made = api.post_json("/api/v1/app/acme/endpoint", &endpoint).await;
        assert_eq!(made.status, 201, "{made:?}");
    }

    let subject = serde_json::to_string(SUBJECT).expect("JSON");
    let message =
        format!(r#"{{"eventType":"job.completed","subject":{subject},"payload":{PAYLOAD}}}"#);
    let headers = [("content-type", "application/json")];
    let published = api.post("/api/v1/app/acme/msg", &headers, message.as_bytes()).await;
    assert_eq!(published.status, 202, "{published:?}");
    let id = published.json()["id"].clone();

    for (format, media_type) in [
        ("cloudevents", "application/cloudevents+json"),
        ("cloudevents_binary", "application/json"),
    ] {
        let entry = receiver.received(format).await;
        assert!(entry.get("error").is_none(), "{format}: {entry}");
        let attributes = &entry["attributes"];
        let source = format!("/applications/{}", app.as_str().expect("an id"));
        assert_eq!(attributes["specversion"], "1.0", "{format}");
        assert_eq!((&attributes["id"], &entry["headers"]["webhook-id"]), (&id, &id), "{format}");
        assert_eq!(attributes["source"], source, "{format}");
        assert_eq!(attributes["type"], "job.completed", "{format}");
        assert_eq!(attributes["subject"], SUBJECT, "{format}");
        assert_eq!(attributes["datacontenttype"], "application/json", "{format}");
        assert_eq!(entry["headers"]["content-type"], media_type, "{format}");
        let expected: Value = serde_json::from_str(PAYLOAD).expect("JSON");
        assert_eq!((&entry["data"], &entry["older"]["data"]), (&expected, &expected), "{format}");
        // The older interface reads the same, but for the encoding of headers, which it leaves as it is.
        for name in ["specversion", "id", "source", "type"] {
            assert_eq!(entry["older"]["attributes"][name], attributes[name], "{format}: {name}");
        }
        let body = entry["body"].as_str().expect("text");
        assert!(body.contains(PAYLOAD), "{format}, to the byte: {body}");
    }
}
