//! The API does what it says of itself: schemathesis reads its description and asks for everything in
//! it, right and wrong, and no answer may be an error of ours or other than described.
//!
//! Twice: once with names that it makes up, about nothing that is there, and once with the names of
//! things that are, so that the answers about those are seen, too.

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use support::api::{Answer, Api};
use support::operations::{dead_letter, description, operations};
use support::outside::python;
use support::receiver::{Receiver, Script};
use support::router::Posthaste;
use support::until;
use tokio::process::Command;

/// Longest that a run may take: half a minute, and a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(4);
/// Longest that what is arranged may take.
const SOON: Duration = Duration::from_mins(2);
/// How many requests are made up for each operation in each phase: enough to meet every parameter's
/// edges, and with all operations together some seconds.
const EXAMPLES: &str = "8";
/// What may not be: the rest of its checks are about style, or asked by tests of our own.
const CHECKS: &str = "not_a_server_error,response_schema_conformance,status_code_conformance,\
                      content_type_conformance";

/// Runs schemathesis on the served description, with this configuration.
#[expect(clippy::print_stdout, reason = "how much was tried is told")]
async fn holds(api: &Api, folder: &Path, phases: &str, configuration: &str) {
    let config = folder.join("schemathesis.toml");
    std::fs::write(&config, configuration).expect("writable");
    let mut command = Command::new(python().with_file_name("schemathesis"));
    command
        .arg("--config-file")
        .arg(&config)
        .arg("run")
        .arg(format!("http://{}/api/v1/openapi.json", api.address))
        .args(["--header", &format!("Authorization: Bearer {}", api.token)])
        .args(["--checks", CHECKS, "--phases", phases])
        // One worker: CPython 3.11 can lose count of its own recursion between two ("AST constructor
        // recursion depth mismatch"), and the run fails for that.
        .args(["--max-examples", EXAMPLES, "--generation-deterministic", "--workers", "1"])
        .args(["--request-timeout", "30", "--warnings", "off", "--no-color"])
        .current_dir(folder)
        .kill_on_drop(true);
    let run = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = run.unwrap_or_else(|_| panic!("schemathesis is not through within {PATIENCE:?}"));
    let output = output.unwrap_or_else(|error| panic!("schemathesis cannot be run: {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complaints}");
    for line in said.lines().filter(|line| line.contains("generated") || line.contains(" total")) {
        println!("{}", line.trim());
    }
}

fn made(answer: &Answer, name: &str) -> String {
    assert!((200..300).contains(&answer.status), "{answer:?}");
    answer.json()[name].as_str().expect("its name").to_owned()
}

/// One of everything, as a configuration that puts its names into paths.
async fn with_names(api: &Api, receiver: &Receiver, description: &Value) -> String {
    let post = async |path: &str, body: Value| api.post_json(path, &body).await;
    let url = receiver.endpoint("hook", Script::Answer(200));
    let app =
        made(&post("/api/v1/app", json!({ "name": "Described", "uid": "described" })).await, "id");
    let below = format!("/api/v1/app/{app}");
    let example = json!({ "1": { "type": "object", "examples": [{ "n": 1 }] } });
    let event_type =
        json!({ "name": "described.type", "description": "Described", "schemas": example });
    let event_type = made(&post("/api/v1/event-type", event_type).await, "name");
    let endpoint = made(&post(&format!("{below}/endpoint"), json!({ "url": url })).await, "id");
    let message = json!({ "eventType": event_type, "eventId": "run-1", "payload": { "n": 1 } });
    let msg = made(&post(&format!("{below}/msg"), message).await, "id");
    let recover = json!({ "since": support::clock() - Duration::from_mins(5) });
    let task = post(&format!("{below}/endpoint/{endpoint}/recover"), recover).await;
    let mut attempt = None;
    until("the attempt is recorded", SOON, async || {
        let list = api.send("GET", &format!("{below}/attempt/msg/{msg}"), &[], &[]).await.json();
        attempt = list["data"][0]["id"].as_str().map(str::to_owned);
        attempt.is_some()
    })
    .await;
    let dead_letter = dead_letter(api, receiver, &app).await;
    // One is active for an endpoint at a time.
    let task = made(&task, "id");
    until("the first replay is at its end", SOON, async || {
        let path = format!("/api/v1/background-task/{task}");
        api.send("GET", &path, &[], &[]).await.json()["status"] == "finished"
    })
    .await;
    let replay = json!({ "scope": "delivered", "endpointId": endpoint, "rate": 1 });
    let replay = post(&format!("{below}/replay"), replay).await;
    let names = [
        ("app", app),
        ("endpoint", endpoint),
        ("msg", msg),
        ("attempt", attempt.expect("an attempt")),
        ("event_type", event_type),
        ("task", task),
        ("replay", made(&replay, "id")),
        ("dead_letter", dead_letter),
    ];
    let mut configuration = String::from("[parameters]\n");
    for (name, value) in &names {
        writeln!(configuration, "\"path.{name}\" = \"{value}\"").expect("a text takes it");
    }
    // What all others are about is not taken away before they are tried.
    for operation in operations(description).iter().filter(|one| one.method == "DELETE") {
        if !operation.path.ends_with('}') {
            continue;
        }
        let last = operation.names.last().expect("the path ends in a name");
        writeln!(
            configuration,
            "[[operations]]\ninclude-name = \"{}\"\nparameters = {{ \"path.{last}\" = \"nobody\" }}",
            operation.name()
        )
        .expect("a text takes it");
    }
    configuration
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_is_answered_as_described() {
    let mut posthaste = Posthaste::embedded();
    posthaste.set("POSTHASTE_API__REQUESTS_PER_SECOND", "0"); // it asks as fast as it can
    let receiver = Receiver::start().await;
    let router = posthaste.serve().await;
    let api = Api::of(&posthaste, &router);
    let description = description(&api).await;

    holds(&api, posthaste.folder(), "examples,fuzzing", "").await;

    let configuration = with_names(&api, &receiver, &description).await;
    holds(&api, posthaste.folder(), "coverage,fuzzing", &configuration).await;
}
