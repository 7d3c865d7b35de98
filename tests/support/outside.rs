//! What is not ours: Python's pika and the official Standard Webhooks library, Debian's `amqp-publish`,
//! and the places of what else is borrowed from Python and JavaScript. `make test` installs them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::Deserialize;

use super::router::Posthaste;

/// An event as its producer wrote it down.
#[derive(Debug, Deserialize)]
pub(crate) struct Published {
    /// Its producer's id.
    pub(crate) id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) event_type: String,
    /// The hash of its body.
    pub sha256: String,
}

/// A request as the verifying receiver wrote it down.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    /// The endpoint's name.
    pub(crate) to: String,
    /// `webhook-id`.
    pub(crate) id: String,
    /// Whether the official library accepted it.
    pub(crate) verified: bool,
    /// Its complaint.
    pub(crate) error: String,
    /// The hash of its body.
    pub sha256: String,
}

/// A Python that has what the tests need.
pub(crate) fn python() -> PathBuf {
    installed("TEST_PYTHON", "target/test-venv/bin/python")
}

/// Where JavaScript's libraries for the tests are.
pub(crate) fn node_modules() -> PathBuf {
    installed("TEST_NODE_MODULES", "target/test-node/node_modules")
}

/// A Python that has what the examples need.
pub(crate) fn examples_python() -> PathBuf {
    installed("EXAMPLES_PYTHON", "target/examples/venv/bin/python")
}

/// Where JavaScript's libraries for the examples are.
pub(crate) fn examples_node_modules() -> PathBuf {
    installed("EXAMPLES_NODE_MODULES", "target/examples/node/node_modules")
}

/// Something that `make test-tools` installs: where this variable says, or at its usual place.
fn installed(variable: &str, usual: &str) -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join(usual);
    let found = std::env::var_os(variable).map_or(own, PathBuf::from);
    assert!(found.exists(), "{} is missing: run `make test-tools`", found.display());
    found
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support").join(name)
}

fn lines<T: for<'de> Deserialize<'de>>(path: &Path) -> Vec<T> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // A line that is being written has no end yet.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Publishes with pika and waits until each event is confirmed.
pub(crate) fn publish_with_pika(posthaste: &Posthaste, count: usize) -> Vec<Published> {
    let book = posthaste.folder().join("published");
    let status = Command::new(python())
        .arg(script("publish_events.py"))
        .args([posthaste.broker(), posthaste.prefix(), "acme", &count.to_string()])
        .arg(&book)
        .status()
        .expect("python runs");
    assert!(status.success(), "pika could not publish");
    lines(&book)
}

/// Publishes one message with Debian's `amqp-publish`.
pub(crate) fn amqp_publish(posthaste: &Posthaste, routing_key: &str, body: &str) {
    let exchange = format!("{}.events", posthaste.prefix());
    let status = Command::new("amqp-publish")
        .args(["--url", posthaste.broker(), "--exchange", &exchange, "--routing-key", routing_key])
        .args(["--content-type", "application/json", "--persistent", "--body", body])
        .status()
        .expect("amqp-publish is installed: run `make test-tools`");
    assert!(status.success(), "amqp-publish failed");
}

/// The verifying receiver. It stops when it is dropped.
#[derive(Debug)]
pub(crate) struct VerifyingReceiver {
    child: Child,
    port: u16,
    secrets: PathBuf,
    book: PathBuf,
}

impl VerifyingReceiver {
    /// Starts on a free port, with its files in this folder.
    pub(crate) fn start(folder: &Path) -> Self {
        let (secrets, book) = (folder.join("secrets.json"), folder.join("received"));
        std::fs::write(&secrets, "{}").expect("writable");
        let mut child = Command::new(python())
            .arg(script("verifying_receiver.py"))
            .args([&secrets, &book])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("its port");
        let port = line.trim().parse().expect("its port");
        Self { child, port, secrets, book }
    }

    /// The URL of an endpoint.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// Tells it an endpoint's secret.
    pub(crate) fn knows(&self, name: &str, secret: &str) {
        let text = std::fs::read_to_string(&self.secrets).expect("readable");
        let mut secrets: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        secrets[name] = secret.into();
        // In one step: it reads the file with each request.
        let whole = self.secrets.with_extension("new");
        std::fs::write(&whole, secrets.to_string()).expect("writable");
        std::fs::rename(&whole, &self.secrets).expect("writable");
    }

    /// What it has received.
    pub(crate) fn book(&self) -> Vec<Entry> {
        lines(&self.book)
    }
}

impl Drop for VerifyingReceiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
