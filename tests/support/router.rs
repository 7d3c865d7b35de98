//! The real binary as its users run it: a data folder, a command line, a process that can be killed.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Begins to replay all dead letters, fast.
const REPLAY_ALL: [&str; 7] = ["replay", "start", "--all", "--yes", "--rate", "5000/s", "--detach"];

/// A posthaste of its own: a data folder, a prefix that nobody else uses, and mostly a broker's URL.
#[derive(Debug)]
pub(crate) struct Posthaste {
    folder: TempDir,
    /// Empty when it is embedded.
    broker: String,
    prefix: String,
    /// Further settings, as environment.
    pub(crate) environment: Vec<(String, String)>,
}

/// A running `posthaste serve`. It is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: std::process::Child,
    /// Where metrics and probes are.
    pub(crate) admin: String,
    /// Where the HTTP API is.
    pub(crate) api: String,
}

impl Posthaste {
    /// One on this broker.
    pub(crate) fn new(broker: &str, prefix: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder, broker: broker.into(), prefix: prefix.into(), environment: Vec::new() }
    }

    /// One that needs no broker: everything is in the file of its data folder.
    pub(crate) fn embedded() -> Self {
        Self::new("", &super::unique_prefix())
    }

    /// Another on the same broker and the same queues, with a copy of the data folder as it is now: while no router runs on it.
    pub(crate) fn beside(&self) -> Self {
        let mut other = Self::new(&self.broker, &self.prefix);
        other.environment.clone_from(&self.environment);
        for entry in std::fs::read_dir(self.folder()).expect("it is there") {
            let from = entry.expect("read").path();
            let to = other.folder().join(from.file_name().expect("a file's"));
            std::fs::copy(from, to).expect("copied");
        }
        other
    }

    /// What its exchanges and queues are called by.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Its broker.
    pub(crate) fn broker(&self) -> &str {
        &self.broker
    }

    /// Its data folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A further setting for whatever runs next.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.into(), value.into()));
    }

    /// A command line, not yet run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_posthaste"));
        command
            .args(arguments)
            .env("POSTHASTE_DATA_DIR", self.folder.path())
            .env("POSTHASTE_RABBITMQ__URLS", &self.broker)
            .env("POSTHASTE_RABBITMQ__PREFIX", &self.prefix)
            .env("POSTHASTE_DEV", "true")
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().expect("the binary runs")
    }

    /// Runs a command that has to succeed; what it printed, read as JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let output = self.run(&all);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{arguments:?} failed: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// Runs a command that lists things, one JSON object a line.
    pub(crate) fn list(&self, arguments: &[&str]) -> Vec<Value> {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let output = self.run(&all);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} failed: {errors}");
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect()
    }

    /// Begins to replay all dead letters, if there are any, fast; the running router does it behind the answer.
    pub(crate) fn replay_all(&self) {
        self.list(&REPLAY_ALL);
    }

    /// The same with a router that is about to die of it, and may not come to answering.
    pub(crate) fn replay_all_and_die(&self) {
        self.run(&REPLAY_ALL);
    }

    /// Makes the application `acme`.
    pub(crate) fn with_application(self) -> Self {
        self.json(&["app", "create", "Acme", "--uid", "acme"]);
        self
    }

    /// Makes an endpoint of `acme` with this uid; its id and its secret.
    pub(crate) fn endpoint(&self, uid: &str, url: &str, more: &[&str]) -> (String, String) {
        let mut arguments = vec!["endpoint", "create", "--app", "acme", "--uid", uid, "--url", url];
        arguments.extend(more);
        let made = self.json(&arguments);
        let text = |name: &str| made[name].as_str().expect("is shown").to_owned();
        (text("id"), text("secret"))
    }

    /// Starts `serve` and waits until it is ready.
    pub(crate) async fn serve(&self) -> Running {
        let running = self.start();
        super::until("the router is ready", super::PATIENCE, async || {
            running.get("/readyz").await.is_some_and(|(status, _)| status == 200)
        })
        .await;
        running
    }

    /// Starts `serve` and waits for nothing.
    pub(crate) fn start(&self) -> Running {
        self.start_by(self.command(&["serve"]))
    }

    /// Starts a router by a command that becomes `serve`.
    pub(crate) fn start_by(&self, mut command: Command) -> Running {
        let [admin, api] = super::broker::two_free_ports().map(|port| format!("127.0.0.1:{port}"));
        let child = command
            .env("POSTHASTE_ADMIN__LISTEN", &admin)
            .env("POSTHASTE_API__LISTEN", &api)
            .stdin(Stdio::null())
            .stdout(self.book("said"))
            .stderr(self.book("log"))
            .spawn()
            .expect("the binary starts");
        Running { child, admin, api }
    }

    /// A file of the folder that every `serve` writes on.
    fn book(&self, name: &str) -> std::fs::File {
        let path = self.folder.path().join(name);
        std::fs::OpenOptions::new().create(true).append(true).open(path).expect("writable")
    }

    /// All that was logged, by every `serve` so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// All that was printed for people, by every `serve` so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("said")).unwrap_or_default()
    }
}

impl Drop for Posthaste {
    /// A test that fails shows what the router had to say.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            for line in &lines[lines.len().saturating_sub(60)..] {
                println!("{line}");
            }
        }
    }
}

impl Running {
    /// Asks the admin port; `None` when nobody answers.
    pub(crate) async fn get(&self, path: &str) -> Option<(u16, String)> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(&self.admin).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        let body = answer.split_once("\r\n\r\n")?.1.to_owned();
        Some((status, body))
    }

    /// The value of one series; `None` when it is not there.
    pub(crate) async fn metric(&self, series: &str) -> Option<i64> {
        let (_, text) = self.get("/metrics").await?;
        let line = text
            .lines()
            .find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs");
        assert!(sent.success(), "signal {name} to {pid}");
    }

    /// Whether it has ended by itself, and how.
    pub(crate) fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().expect("our own child")
    }

    /// Waits for it to end.
    pub(crate) async fn end(&mut self) -> std::process::ExitStatus {
        super::until("the router has ended", super::PATIENCE, async || {
            self.child.try_wait().expect("our own child").is_some()
        })
        .await;
        self.child.wait().expect("our own child")
    }

    /// Kills it where it stands.
    pub(crate) fn kill_9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill_9();
    }
}
