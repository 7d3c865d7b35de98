//! The API held with clients that are not ours: Svix's own for Python and JavaScript, installed from
//! their registries, against a real router.
//!
//! What they ask and want stands in `tests/sdk`, in their languages. Two generations of them, on
//! purpose: the Python client is of the second major version, the JavaScript one of the first, and they
//! differ in what they send and in what they cannot do without. Here they are started, and held to the
//! table of operations: nothing that we offer may be missing from a run, or from the page for those who
//! move here.

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use support::broker::two_free_ports;
use support::outside::{node_modules, python};
use support::router::{Posthaste, Running};
use tokio::process::Command;

/// Longest that a whole run may take: some seconds, and a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(4);
/// What `tests/sdk` knows its application by.
const APP: &str = "contract";

#[derive(Debug, Deserialize)]
struct Table {
    /// Name, method, path.
    offered: Vec<(String, String, String)>,
    /// What it is, and the part of a path that tells it.
    not_offered: Vec<(String, String)>,
}

#[derive(Debug, Deserialize)]
struct Summary {
    sdk: String,
    checks: usize,
    failed: usize,
    operations: BTreeSet<String>,
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn table() -> Table {
    let text = std::fs::read_to_string(here("tests/sdk/operations.json")).expect("readable");
    serde_json::from_str(&text).expect("a table of operations")
}

/// A router with what the scripts expect, and where their endpoints point.
struct Case {
    posthaste: Posthaste,
    router: Running,
    receiver_port: String,
}

impl Case {
    async fn new() -> Self {
        let mut posthaste = Posthaste::embedded();
        posthaste.set("POSTHASTE_DELIVERY__SVIX_HEADERS", "true");
        posthaste.set("POSTHASTE_API__REQUESTS_PER_SECOND", "0"); // the scripts wait for nobody
        posthaste.json(&["app", "create", "Contract", "--uid", APP]);
        let [receiver_port, _] = two_free_ports().map(|port| port.to_string());
        for (uid, retry) in [("gives-up", "none"), ("retries", "1h")] {
            let url = format!("http://127.0.0.1:{receiver_port}/{uid}");
            let endpoint = ["endpoint", "create", "--app", APP, "--uid", uid, "--url", &url];
            posthaste.json(&[endpoint.as_slice(), &["--retry", retry]].concat());
        }
        let router = posthaste.serve().await;
        Self { posthaste, router, receiver_port }
    }

    fn token(&self, more: &[&str]) -> String {
        let made = self.posthaste.json(&[&["token", "create"], more].concat());
        made["token"].as_str().expect("a token").to_owned()
    }

    /// Runs a script to its end. Every check in it has to hold, and every operation to be tried.
    #[expect(clippy::print_stdout, reason = "how much was tried is told")]
    async fn holds(&self, interpreter: PathBuf, script: &str) {
        let summary = self.posthaste.folder().join("summary.json");
        let mut command = Command::new(interpreter);
        command
            .arg(here(script))
            .arg(&summary)
            .env("SDK_URL", format!("http://{}", self.router.api))
            .env("SDK_TOKEN", self.token(&[]))
            .env("SDK_APPLICATION_TOKEN", self.token(&["--app", APP]))
            .env("SDK_RECEIVER_PORT", &self.receiver_port)
            .env("TEST_NODE_MODULES", node_modules())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONIOENCODING", "utf-8")
            .kill_on_drop(true);
        let run = tokio::time::timeout(PATIENCE, command.output()).await;
        let output = run.unwrap_or_else(|_| panic!("{script} is not through within {PATIENCE:?}"));
        let output = output.unwrap_or_else(|error| panic!("{script} cannot be run: {error}"));
        let said = String::from_utf8_lossy(&output.stdout);
        let complaints = String::from_utf8_lossy(&output.stderr);
        let failed: Vec<_> = said.lines().filter(|line| line.starts_with("FAIL ")).collect();
        assert!(
            output.status.success() && failed.is_empty(),
            "{} checks of {script} failed:\n{}\n{complaints}",
            failed.len(),
            failed.join("\n")
        );
        let text = std::fs::read_to_string(summary).expect("a summary");
        let summary: Summary = serde_json::from_str(&text).expect("a summary");
        println!("{}: {} checks, {} failed", summary.sdk, summary.checks, summary.failed);
        let missing: Vec<_> = table()
            .offered
            .into_iter()
            .map(|(name, ..)| name)
            .filter(|name| !summary.operations.contains(name))
            .collect();
        assert!(missing.is_empty(), "{script} did not try {missing:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_works_unchanged() {
    Case::new().await.holds(python(), "tests/sdk/contract.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_javascript_client_works_unchanged() {
    Case::new().await.holds("node".into(), "tests/sdk/contract.mjs").await;
}

#[test]
fn the_page_for_those_who_move_here_names_every_operation() {
    let page = std::fs::read_to_string(here("docs/svix-compatibility.md")).expect("readable");
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| ")).collect();
    let table = table();
    for (name, method, path) in &table.offered {
        let path = path.strip_prefix("/api/v1").expect("all are below it");
        let request = format!("`{method} {path}`");
        let row =
            rows.iter().find(|row| row.contains(&format!("`{name}`")) && row.contains(&request));
        let row = row.unwrap_or_else(|| panic!("no row has `{name}` and {request}"));
        let told = row.contains("| works |") || row.contains("| differs |");
        assert!(told, "whether it works or differs: {row}");
    }
    for (what, _) in &table.not_offered {
        let row = rows
            .iter()
            .find(|row| row.to_lowercase().starts_with(&format!("| {} |", what.to_lowercase())));
        assert!(row.is_some(), "no row about {what}");
    }
    for file in ["tests/support/requirements.txt", "tests/sdk/package.json"] {
        let text = std::fs::read_to_string(here(file)).expect("readable");
        let line = text.lines().find(|line| line.contains("svix==") || line.contains("\"svix\":"));
        let version = line.expect("a version of svix").replace("==", " ").replace('"', " ");
        let version = version.split_whitespace().rfind(|word| word.contains('.')).expect("one");
        assert!(page.contains(version), "the page was written for another version than {version}");
    }
}
