//! The command line beside a running router, as people and programs use it: in a pipe and on a real terminal,
//! with what is right and with what is wrong.

mod pipe;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
mod wrong;

use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use support::receiver::{Receiver, Script};
use support::router::{Posthaste, Running};
use support::until;

/// So many that at one a second they do not come to an end while a test looks at them.
const MINUTES_OF_THEM: usize = 120;

/// Longest that a settlement of some deliveries may take.
const SOON: Duration = Duration::from_mins(2);

/// A router whose endpoint `broken` of `acme` has turned down some deliveries, and now accepts.
pub(crate) struct Case {
    pub(crate) posthaste: Posthaste,
    pub(crate) receiver: Receiver,
    pub(crate) router: Running,
    /// The id of `broken`.
    pub(crate) endpoint: String,
}

impl Case {
    /// With so many dead letters.
    pub(crate) async fn with_dead_letters(count: usize) -> Self {
        let posthaste = Posthaste::embedded().with_application();
        let receiver = Receiver::start().await;
        let url = receiver.endpoint("broken", Script::Answer(500));
        // So that each dies at once, however many do.
        let more = ["--retry", "none", "--circuit-breaker", "false"];
        let (endpoint, _) = posthaste.endpoint("broken", &url, &more);
        let router = posthaste.serve().await;
        let case = Self { posthaste, receiver, router, endpoint };
        if count > 0 {
            case.publish(count);
        }
        case.dead_letters(count).await;
        case.receiver.endpoint("broken", Script::Answer(200));
        case
    }

    /// Publishes so many events about `job-7`.
    pub(crate) fn publish(&self, count: usize) {
        let count = count.to_string();
        let event = ["publish", "--app", "acme", "--type", "job.failed", "--subject", "job-7"];
        self.posthaste.list(&[&event[..], &["--data", r#"{"job":7}"#, "--count", &count]].concat());
    }

    /// Waits until there are so many dead letters, and nothing else on the way.
    pub(crate) async fn dead_letters(&self, count: usize) {
        let count = i64::try_from(count).expect("few");
        until(&format!("{count} dead letters"), SOON, async || {
            self.router.metric("posthaste_dead_letters").await == Some(count)
                && self.router.metric("posthaste_ledger_deliveries{state=\"pending\"}").await
                    == Some(0)
        })
        .await;
    }

    /// Begins a replay of everything, at a rate at which [`MINUTES_OF_THEM`] do not end by themselves.
    pub(crate) fn begin_slowly(&self) -> String {
        let begun = ["replay", "start", "--all", "--yes", "--rate", "1/s", "--detach"];
        text(&self.posthaste.json(&begun), "id")
    }

    /// Runs a command: its exit code, what it printed, and what it said beside that.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        parts(&self.posthaste.run(arguments))
    }
}

/// A command's exit code, what it printed, and what it said beside that.
pub(crate) fn parts(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().expect("it ended"), text(&output.stdout), text(&output.stderr))
}

/// A text of an object.
pub(crate) fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}")).to_owned()
}
