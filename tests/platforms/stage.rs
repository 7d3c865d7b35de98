//! A platform on its stage: a router of its own on the shared broker, its application with its preset, and
//! its example's scripts as processes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use crate::support::api::{Answer, Api};
use crate::support::broker::{Broker, two_free_ports};
use crate::support::outside::{examples_node_modules, examples_python};
use crate::support::router::{Posthaste, Running};
use crate::support::{PATIENCE, unique_prefix, until};

/// Where the examples' files have their receivers; a real one's address takes its place.
const SOMEWHERE: &str = "https://receiver.example";

/// One platform.
pub(crate) struct Stage {
    pub(crate) posthaste: Posthaste,
    pub(crate) router: Running,
    pub(crate) api: Api,
    platform: &'static str,
    /// The application's id.
    application: String,
}

/// An event as its producer printed it.
#[derive(Debug, Deserialize)]
pub(crate) struct Published {
    /// What it was about.
    pub(crate) subject: String,
    /// The bytes that were published.
    pub(crate) body: String,
}

/// A request as it came, written down in front of the customer's receiver.
#[derive(Debug, Deserialize)]
pub(crate) struct Arrived {
    /// Milliseconds since 1970, by the receiver's clock.
    pub(crate) at_ms: u64,
    pub(crate) method: String,
    pub(crate) path: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Arrived {
    /// A header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The body, byte for byte.
    pub(crate) fn body(&self) -> String {
        let bytes = STANDARD.decode(&self.body).expect("base64");
        String::from_utf8(bytes).expect("text")
    }

    /// The body, read.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body()).expect("JSON")
    }

    /// The names of all headers that have to do with webhooks or signatures.
    pub(crate) fn marks(&self) -> Vec<&str> {
        let marks = |name: &&String| name.starts_with("webhook-") || name.contains("signature");
        self.headers.keys().filter(marks).map(String::as_str).collect()
    }
}

impl Stage {
    /// A router with the platform's application, its preset not applied yet.
    pub(crate) async fn of(platform: &'static str) -> Self {
        let broker = Broker::shared().await;
        let mut posthaste = Posthaste::new(&broker.url(), &unique_prefix());
        posthaste.set("POSTHASTE_RABBITMQ__RESULTS", "true");
        posthaste.set("POSTHASTE_DELIVERY__ALLOW_UNSIGNED", "true");
        certificate(posthaste.folder());
        let trusted = posthaste.folder().join("cert.pem");
        posthaste.set("SSL_CERT_FILE", trusted.to_str().expect("a plain path"));
        let made = posthaste.json(&["app", "create", platform, "--uid", platform]);
        let application = made["id"].as_str().expect("an id").to_owned();
        let router = posthaste.serve().await;
        let api = Api::of(&posthaste, &router);
        Self { posthaste, router, api, platform, application }
    }

    /// Applies the platform's preset, its default URL at this receiver.
    pub(crate) async fn preset(&self, receiver: &str) {
        let answer = self.call("PATCH", "/settings", &self.file("settings.json", receiver)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Lists the platform's event types.
    pub(crate) async fn event_types(&self) {
        let listed: Value = serde_json::from_str(&self.file("event-types.json", "")).expect("JSON");
        for event_type in listed.as_array().expect("a list") {
            let made = self.api.post_json("/api/v1/event-type", event_type).await;
            assert_eq!(made.status, 201, "{made:?}");
        }
    }

    /// Registers the example's endpoints at this receiver; their secrets by the paths of their URLs.
    pub(crate) async fn endpoints(&self, receiver: &str) -> BTreeMap<String, String> {
        let mut secrets = BTreeMap::new();
        let listed = self.file("endpoints.json", receiver);
        for endpoint in serde_json::from_str::<Vec<Value>>(&listed).expect("a list") {
            let (uid, url) = (endpoint["uid"].as_str(), endpoint["url"].as_str());
            let made = self.call("POST", "/endpoint", &endpoint.to_string()).await;
            assert_eq!(made.status, 201, "{made:?}");
            let secret = format!("/endpoint/{}/secret", uid.expect("a uid"));
            let secret = self.call("GET", &secret, "").await.json();
            let path = url.expect("a URL").strip_prefix(receiver).expect("filled in");
            secrets.insert(path.to_owned(), secret["key"].as_str().expect("a key").to_owned());
        }
        secrets
    }

    /// One call of the API, below the application's path; an empty body is none.
    pub(crate) async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let path = format!("/api/v1/app/{}{path}", self.platform);
        let json = [("content-type", "application/json")];
        let headers: &[(&str, &str)] = if body.is_empty() { &[] } else { &json };
        self.api.send(method, &path, headers, body.as_bytes()).await
    }

    /// A file of the example, with this receiver's address in it.
    fn file(&self, name: &str, receiver: &str) -> String {
        fs::read_to_string(self.path(name)).expect("readable").replace(SOMEWHERE, receiver)
    }

    fn path(&self, name: &str) -> PathBuf {
        examples().join(self.platform).join(name)
    }

    /// One of the example's scripts, with what it is told by its environment, not yet run.
    pub(crate) fn script(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = interpreter(name);
        command
            .arg(self.path(name))
            .args(arguments)
            .env("AMQP_URL", self.posthaste.broker())
            .env("PREFIX", self.posthaste.prefix())
            .env("API_URL", format!("http://{}", self.router.api))
            .env("API_TOKEN", &self.api.token)
            .env("APPLICATION", &self.application)
            .env("JOBS", self.posthaste.folder().join("jobs"))
            .stdin(Stdio::null());
        command
    }

    /// Runs one of the example's scripts, which has to succeed; what it printed.
    pub(crate) fn run(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.script(name, arguments).output().expect("it can be run");
        let errors = said(&output.stderr);
        assert!(output.status.success(), "{name} {arguments:?} failed: {errors}");
        said(&output.stdout)
    }

    /// Runs the example's producer; what it published.
    pub(crate) fn publish(&self, name: &str, arguments: &[&str]) -> Vec<Published> {
        published(&self.run(name, arguments))
    }

    /// Starts one of the example's receivers on http or https.
    pub(crate) async fn receiver(&self, name: &str, scheme: &'static str) -> Receiver {
        let [port, _] = two_free_ports();
        self.receiver_at(name, scheme, port, &[]).await
    }

    /// Starts one that is told more by its environment, on this port.
    pub(crate) async fn receiver_at(
        &self,
        name: &str,
        scheme: &'static str,
        port: u16,
        environment: &[(&str, &str)],
    ) -> Receiver {
        let folder = self.posthaste.folder();
        let extension = extension(name);
        let (book, trouble) =
            (folder.join(format!("received-{port}")), folder.join(format!("trouble-{port}")));
        let mut command = interpreter(name);
        command
            .arg(examples().join("support").join(format!("receive.{extension}")))
            .arg(self.path(name))
            .env("PORT", port.to_string())
            .env("RECEIVED", &book)
            .env("TROUBLE", &trouble)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if scheme == "https" {
            command.env("TLS_CERT", folder.join("cert.pem")).env("TLS_KEY", folder.join("key.pem"));
        }
        let child = command.spawn().expect("it can be run");
        until("the receiver listens", PATIENCE, async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        Receiver { child, origin: format!("{scheme}://127.0.0.1:{port}"), book, trouble }
    }

    /// Waits until so many deliveries are in this state, by the books.
    pub(crate) async fn settled(&self, state: &str, count: i64) {
        let series = format!("posthaste_ledger_deliveries{{state=\"{state}\"}}");
        until(&format!("{count} deliveries are {state}"), PATIENCE, async || {
            self.router.metric(&series).await == Some(count)
        })
        .await;
        assert_eq!(self.router.metric("posthaste_ledger_unaccounted_deliveries").await, Some(0));
    }

    /// What is owed about this subject and what became of it, as the API tells it.
    pub(crate) async fn owed(&self, subject: &str) -> Vec<Value> {
        let answer = self.call("GET", &format!("/delivery?subject={subject}"), "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["data"].as_array().expect("a list").clone()
    }

    /// Waits until so many events are on record.
    pub(crate) async fn recorded(&self, count: usize) {
        until(&format!("{count} events are on record"), PATIENCE, async || {
            let listed = self.call("GET", "/msg", "").await.json();
            listed["data"].as_array().is_some_and(|events| events.len() == count)
        })
        .await;
    }
}

/// One of the example's receivers. It stops when it is dropped.
pub(crate) struct Receiver {
    child: Child,
    /// Its scheme, address and port, as a URL begins.
    pub(crate) origin: String,
    book: PathBuf,
    trouble: PathBuf,
}

impl Receiver {
    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// From now on, each of these lines answers in the receiver's place, as `receive.py` says.
    pub(crate) fn in_trouble(&self, lines: &[&str]) {
        fs::write(&self.trouble, lines.join("\n")).expect("writable");
    }

    /// What has come so far.
    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        let text = fs::read_to_string(&self.book).unwrap_or_default();
        // A line that is being written has no end yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// What has come, once it is this much.
    ///
    /// # Panics
    /// When it is more.
    pub(crate) async fn receives(&self, count: usize) -> Vec<Arrived> {
        until(&format!("{count} requests have come"), PATIENCE, async || {
            self.arrived().len() >= count
        })
        .await;
        let arrived = self.arrived();
        assert_eq!(arrived.len(), count, "{arrived:?}");
        arrived
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The events that a producer printed.
pub(crate) fn published(printed: &str) -> Vec<Published> {
    printed.lines().map(|line| serde_json::from_str(line).expect("an event")).collect()
}

/// What a process printed.
pub(crate) fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a process said before it ended.
pub(crate) fn ended(mut command: Command) -> Output {
    command.output().expect("it can be run")
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').expect("a file's name has one").1
}

/// What runs a file of this name, with the libraries of the examples.
fn interpreter(name: &str) -> Command {
    if extension(name) == "py" {
        let mut python = Command::new(examples_python());
        python.env("PYTHONDONTWRITEBYTECODE", "1");
        python
    } else {
        let mut node = Command::new("node");
        node.env("NODE_PATH", examples_node_modules());
        node
    }
}

/// A certificate for 127.0.0.1 that vouches for itself, and its key.
fn certificate(folder: &Path) {
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "1", "-subj", "/CN=receiver"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder)
        .output()
        .expect("openssl is installed: run `make test-tools`");
    assert!(output.status.success(), "no certificate: {}", said(&output.stderr));
}
