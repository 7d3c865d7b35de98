//! The command line in a pipe: what programs read, whose fields are a contract, and what a watch prints.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::receiver::Script;
use crate::support::until;
use crate::{Case, MINUTES_OF_THEM, SOON, text};

/// The fields of an object, in their order by name.
fn fields(value: &Value) -> Vec<&str> {
    let mut names: Vec<_> =
        value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().collect();
    names.sort_unstable();
    names.into_iter().map(String::as_str).collect()
}

const DEAD_LETTER: [&str; 14] = [
    "applicationId",
    "attemptCount",
    "diedAt",
    "endpointId",
    "eventId",
    "eventType",
    "id",
    "lastDetail",
    "lastError",
    "lastStatus",
    "msgId",
    "payloadBytes",
    "reason",
    "subject",
];
const GROUP: [&str; 12] = [
    "applicationId",
    "count",
    "endpointId",
    "endpointUid",
    "error",
    "firstSeenAt",
    "lastSeenAt",
    "reason",
    "sampleDetail",
    "sampleId",
    "status",
    "url",
];
const PREVIEW: [&str; 11] = [
    "byEndpoint",
    "byEndpointLeftOut",
    "bytes",
    "estimatedSeconds",
    "matched",
    "newestDiedAt",
    "notReplayable",
    "oldestDiedAt",
    "paused",
    "rate",
    "replayable",
];
const REPLAY: [&str; 20] = [
    "actor",
    "applicationId",
    "because",
    "createdAt",
    "dead",
    "delivered",
    "endedAt",
    "endpointId",
    "filter",
    "id",
    "matched",
    "offered",
    "rate",
    "reason",
    "scope",
    "skipped",
    "state",
    "toEndpointId",
    "tried",
    "updatedAt",
];
const DELIVERY: [&str; 15] = [
    "attemptCount",
    "createdAt",
    "endpointId",
    "eventId",
    "eventType",
    "firstAttemptAt",
    "id",
    "lastAttemptAt",
    "lastErrorCode",
    "lastResponseStatus",
    "msgId",
    "nextAttemptAt",
    "policyVersion",
    "state",
    "subject",
];

const TOP: [&str; 8] =
    ["applicationId", "count", "endpointId", "maxMs", "meanMs", "since", "uid", "url"];

#[tokio::test(flavor = "multi_thread")]
async fn what_programs_read_of_each_command_has_these_fields() {
    let case = Case::with_dead_letters(2).await;
    let posthaste = &case.posthaste;
    let expect = |arguments: &[&str], wanted: &[&str]| {
        let listed = posthaste.list(arguments);
        let first = listed.first().unwrap_or_else(|| panic!("nothing from {arguments:?}"));
        assert_eq!(fields(first), wanted, "{arguments:?}");
        first.clone()
    };
    let with = |more: &[&'static str], of: &[&'static str]| {
        let mut all = [of, more].concat();
        all.sort_unstable();
        all
    };

    let letter =
        expect(&["dead-letters", "list", "--status", "5xx", "--subject", "job-7"], &DEAD_LETTER);
    let id = text(&letter, "id");
    expect(&["dead-letters", "groups", "--app", "acme"], &GROUP);
    let shown = expect(&["dead-letters", "show", &id], &with(&["attempts", "event"], &DEAD_LETTER));
    assert_eq!(shown["event"]["payload"], r#"{"job":7}"#);
    assert_eq!(
        fields(&shown["attempts"][0]["timing"]),
        ["connectMs", "dnsMs", "firstByteMs", "tlsMs", "totalMs"]
    );

    let delivery = with(&["url"], &DELIVERY);
    expect(&["deliveries", "list", "--app", "acme"], &delivery);
    let message = text(&letter, "msgId");
    let one = ["deliveries", "show", &message, "broken", "--app", "acme"];
    let told = posthaste.json(&one);
    for field in delivery.iter().chain(&["timeline"]) {
        assert!(told.get(field).is_some(), "{field} of {told}");
    }
    assert!(fields(&told["timeline"][0]).starts_with(&["at"]), "{told}");
    let trail = posthaste.json(&["events", "get", &message, "--trail"]);
    assert_eq!(trail["matched"][0]["endpointId"], case.endpoint.as_str(), "{trail}");
    assert_eq!(trail["message"]["payload"], json!({ "job": 7 }), "{trail}");
    let top = expect(&["endpoint", "top", "--by", "failures"], &TOP);
    assert_eq!(top["endpointId"], case.endpoint.as_str(), "{top}");

    expect(&["replay", "start", "--all", "--dry-run"], &PREVIEW);
    let begun = expect(&["replay", "start", &id, "--yes"], &REPLAY);
    expect(&["replay", "status", &text(&begun, "id")], &REPLAY);
    expect(&["replay", "list"], &REPLAY);
    let discarded = posthaste.json(&["dead-letters", "discard", "--all", "--why", "old", "--yes"]);
    assert_eq!(discarded, json!({ "discarded": 1 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_in_a_pipe_is_a_line_at_its_beginning_and_one_at_its_end() {
    let case = Case::with_dead_letters(5).await;
    let start =
        ["replay", "start", "--app", "acme", "--endpoint", "broken", "--yes", "--why", "mended"];
    let (code, printed, beside) = case.run(&start); // no --json: without a terminal it is the same
    assert_eq!(code, 0, "{beside}");
    let lines: Vec<Value> =
        printed.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let (first, last) = (&lines[0], &lines[lines.len() - 1]);
    assert_eq!((&first["state"], &first["matched"]), (&json!("running"), &json!(5)));
    assert_eq!(
        (&last["state"], &last["offered"], &last["reason"]),
        (&json!("finished"), &json!(5), &json!("mended"))
    );
    assert!(beside.contains("to be replayed") && beside.contains("order"), "{beside}");

    case.dead_letters(0).await;
    until("all are delivered", SOON, async || case.receiver.accepted("broken").len() == 5).await;
    until("that is on record", SOON, async || {
        case.posthaste.json(&["replay", "status", &text(last, "id")])["delivered"] == 5
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_paused_resumed_and_made_faster_while_it_goes_on() {
    let case = Case::with_dead_letters(MINUTES_OF_THEM).await;
    let id = case.begin_slowly();
    let state = |arguments: &[&str]| text(&case.posthaste.json(arguments), "state");

    assert_eq!(state(&["replay", "pause", &id]), "paused");
    let (_, printed, _) = case.run(&["replay", "status", &id]);
    assert!(printed.contains("because") && printed.contains("somebody paused it"), "{printed}");
    let (code, _, said) = case.run(&["replay", "status", &id, "--watch"]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains(&format!("posthaste replay resume {id}")), "{said}");
    assert_eq!(state(&["replay", "resume", &id]), "running");
    assert_eq!(case.posthaste.json(&["replay", "set-rate", &id, "500/s"])["rate"], 500);

    let lines = case.posthaste.list(&["replay", "status", &id, "--watch"]);
    assert_eq!(lines.last().expect("the end")["state"], "finished");
    case.dead_letters(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_pauses_itself_ends_its_watch_with_the_reason_and_the_way_on() {
    // More than are tried before it is noticed, on a machine that stalls too.
    let case = Case::with_dead_letters(400).await;
    case.receiver.endpoint("broken", Script::Answer(500)); // it is broken still
    let (code, printed, said) = case.run(&["replay", "start", "--all", "--yes", "--rate", "20/s"]);
    assert_eq!(code, 3, "{said}");
    let last: Value = serde_json::from_str(printed.lines().last().expect("the end")).expect("JSON");
    assert_eq!(last["state"], "paused");
    assert!(said.contains(&text(&last, "because")), "{said}");
    assert!(said.contains(&format!("posthaste replay resume {}", text(&last, "id"))), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_outlives_a_router_that_is_killed_and_finds_the_next_one() {
    let mut case = Case::with_dead_letters(MINUTES_OF_THEM).await;
    let id = case.begin_slowly();
    let mut watch = watching(case.posthaste.command(&["replay", "status", &id, "--watch"]));
    let mut lines = BufReader::new(watch.stdout.take().expect("piped")).lines();
    let first = lines.next().expect("a line at its beginning").expect("text");
    assert!(first.contains("running"), "{first}");

    case.router.kill_9();
    case.router = case.posthaste.serve().await; // on other ports
    case.posthaste.json(&["replay", "set-rate", &id, "100/s"]);

    let last = lines.last().expect("a line at its end").expect("text");
    assert!(last.contains("\"finished\""), "{last}");
    assert_eq!(watch.wait().expect("our own child").code(), Some(0));
    case.dead_letters(0).await;
}

fn watching(mut command: Command) -> std::process::Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().expect("the binary starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_from_a_file_are_replayed_and_no_others() {
    let case = Case::with_dead_letters(3).await;
    let letters = case.posthaste.list(&["dead-letters", "list"]);
    let file = case.posthaste.folder().join("ids");
    std::fs::write(&file, format!("{}\n", text(&letters[1], "id"))).expect("writable");
    let file = file.to_str().expect("a plain path");

    let counted = case.posthaste.json(&["replay", "start", "--id-file", file, "--dry-run"]);
    assert_eq!((&counted["matched"], &counted["replayable"]), (&json!(1), &json!(1)));
    case.posthaste.list(&["replay", "start", "--id-file", file, "--yes"]);
    case.dead_letters(2).await;

    std::fs::write(file, "").expect("writable");
    let (code, _, error) = case.run(&["replay", "start", "--id-file", file, "--yes"]);
    assert_eq!(code, 2, "an empty file is not everything: {error}");
    case.dead_letters(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_begun_with_yes_is_what_was_shown() {
    let case = Case::with_dead_letters(3).await;
    let begun = &case.posthaste.list(&["replay", "start", "--all", "--yes", "--rate", "500/s"])[0];
    let is_of_the_count =
        |begun: &Value| text(&begun["filter"], "until") < text(begun, "createdAt");
    assert!(is_of_the_count(begun), "what is given up meanwhile is not in it: {begun}");
    assert_eq!(begun["matched"], 3);
    case.dead_letters(0).await;

    let missing = ["replay", "start", "--missing", "--endpoint", &case.endpoint, "--dry-run"];
    let (code, printed, error) = case.run(&missing);
    assert_eq!(code, 0, "{error}");
    assert!(printed.contains("to be replayed") && !printed.contains("died"), "{printed}");
    let again = ["replay", "start", "--delivered", "--endpoint", &case.endpoint, "--yes"];
    let begun = &case.posthaste.list(&[&again[..], &["--rate", "500/s"]].concat())[0];
    assert!(is_of_the_count(begun), "nor what is received: {begun}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_just_full_does_not_say_that_there_is_more() {
    let case = Case::with_dead_letters(2).await;
    for (list, rows, there_are) in [
        (vec!["dead-letters", "list"], "2", 2),
        (vec!["dead-letters", "list", "--text", "job"], "2", 2),
        (vec!["dead-letters", "list", "--status", "5xx", "--app", "acme"], "2", 2),
        (vec!["dead-letters", "list", "--endpoint", &case.endpoint], "2", 2),
        (vec!["dead-letters", "groups"], "1", 1),
        (vec!["dead-letters", "groups", "--app", "acme"], "1", 1),
        (vec!["deliveries", "list", "--app", "acme"], "2", 2),
        (vec!["deliveries", "list", "--app", "acme", "--state", "dead"], "2", 2),
    ] {
        let (code, printed, said) =
            case.run(&[&list[..], &["--limit", rows, "--no-headers"]].concat());
        assert_eq!((code, printed.lines().count()), (0, there_are), "{list:?}: {said}");
        assert_eq!(said, "", "{list:?}");
    }
    let (_, _, said) = case.run(&["dead-letters", "list", "--limit", "1"]);
    assert!(said.contains("1 shown; the next: --after "), "{said}");
    case.posthaste.list(&["replay", "start", "--all", "--yes"]);
    let (code, printed, said) = case.run(&["replay", "list", "--limit", "1"]);
    assert_eq!((code, printed.lines().count(), said.as_str()), (0, 2, ""), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_delivery_is_tried_now_or_no_more() {
    let case = Case::with_dead_letters(0).await;
    for uid in ["later", "never"] {
        let url = case.receiver.endpoint(uid, Script::FailFirst(1, 500));
        let waits = ["--events", "job.waits", "--retry", "1h", "--jitter", "0"];
        case.posthaste.endpoint(uid, &url, &waits);
    }
    let made = case.posthaste.list(&["publish", "--app", "acme", "--type", "job.waits"]);
    let id = text(&made[0], "id");
    let state = |uid: &str| {
        let told = case.posthaste.run(&["--json", "deliveries", "show", &id, uid, "--app", "acme"]);
        let told: Value = serde_json::from_slice(&told.stdout).unwrap_or_default();
        told["state"].as_str().unwrap_or_default().to_owned()
    };
    until("both are waiting", SOON, async || {
        state("later") == "waiting" && state("never") == "waiting"
    })
    .await;

    let (code, printed, said) = case.run(&["deliveries", "retry", &id, "later", "--app", "acme"]);
    assert_eq!(code, 0, "{said}");
    assert!(printed.contains("an attempt will be made"), "it is not made yet: {printed}");
    assert!(said.contains(&format!("posthaste deliveries show {id} later --app acme")), "{said}");
    case.posthaste.json(&["deliveries", "cancel", &id, "never", "--app", "acme"]);

    until("one is delivered", SOON, async || state("later") == "delivered").await;
    until("the other is tried no more", SOON, async || state("never") == "cancelled").await;
}
