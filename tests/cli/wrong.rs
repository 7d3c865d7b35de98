//! What is wrong, what is not there, who may not, and nobody to ask: the exit code, and a sentence that helps.

use serde_json::json;

use crate::support::router::Posthaste;
use crate::{Case, MINUTES_OF_THEM, parts, text};

/// An id of each kind that nobody has.
const NO_DELIVERY: &str = "dlv_1srOrx2ZWZBpBUvZwXKQmoEYga2";
const NO_REPLAY: &str = "rpl_1srOrx2ZWZBpBUvZwXKQmoEYga2";
const NO_EVENT: &str = "msg_1srOrx2ZWZBpBUvZwXKQmoEYga2";

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

#[test]
fn filters_that_are_none_are_refused_with_what_is_accepted_before_anybody_is_asked() {
    let posthaste = Posthaste::embedded(); // nobody serves it
    for (line, said) in [
        (
            "dead-letters list --reason bored",
            "attempts_exhausted, gone, refused, expired are accepted",
        ),
        ("dead-letters list --status 6000", "a class as `5xx`"),
        ("dead-letters list --status 600", "a code from 100 to 599"),
        ("dead-letters groups --status 9xx", "a code from 100 to 599"),
        ("dead-letters groups --error bad", "timeout"),
        ("dead-letters list --since yesterday", "an RFC 3339 time with a zone, or a span"),
        ("replay start", "<DELIVERY|--id-file <FILE>|--all|"),
        ("replay start --all --rate fast", "as 200/s, is accepted"),
        ("replay start --id-file /nowhere", "--id-file /nowhere: No such file"),
        ("replay start --missing", "--endpoint"),
        ("replay start --delivered --endpoint x --reason gone", "not reason"),
        ("replay status 7", "rpl_"),
        ("dead-letters discard --all", "--why"),
        ("endpoint top --by size", "[possible values: overdue, failures, latency]"),
    ] {
        let (code, printed, error) = parts(&posthaste.run(&words(line)));
        assert_eq!((code, printed.as_str()), (2, ""), "{line}: {error}");
        assert!(error.contains(said), "{line}: {error}");
    }
}

#[test]
fn a_server_that_is_named_wants_a_token_and_a_url() {
    let posthaste = Posthaste::embedded();
    for (line, said) in [
        ("--server http://127.0.0.1:1 replay list", "a token is wanted with it: --token"),
        ("--server here --token x replay list", "`here` is not a router's URL"),
    ] {
        let (code, _, error) = parts(&posthaste.run(&words(line)));
        assert_eq!(code, 2, "{line}: {error}");
        assert!(error.contains(said), "{line}: {error}");
    }
    let line = "--server http://127.0.0.1:1 --token x replay list";
    let (code, _, error) = parts(&posthaste.run(&words(line)));
    assert_eq!(code, 69, "{error}");
    assert!(error.contains("no router answers at http://127.0.0.1:1 ("), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_router_every_command_that_asks_one_says_how_to_start_it() {
    let posthaste = Posthaste::embedded().with_application();
    let show = format!("dead-letters show {NO_DELIVERY}");
    let status = format!("replay status {NO_REPLAY} --watch");
    let lines = [
        "dead-letters list",
        "dead-letters groups",
        &show,
        "dead-letters discard --all --why x --yes",
        "replay start --all --yes",
        "replay list",
        &status,
        "deliveries list --app acme",
        "events get msg_1 --trail",
        "endpoint top",
        "recover --dry-run",
    ];
    for line in lines {
        let (code, printed, error) = parts(&posthaste.run(&words(line)));
        assert_eq!((code, printed.as_str()), (69, ""), "{line}: {error}");
        assert!(error.contains("no router runs on the data folder"), "{line}: {error}");
        assert!(
            error.contains("start it with `posthaste serve`, or name one with --server"),
            "{error}"
        );
    }

    let mut router = posthaste.serve().await;
    let address = router.api.clone();
    assert_eq!(parts(&posthaste.run(&["replay", "list"])).0, 0);
    router.kill_9();
    assert!(posthaste.folder().join("serving.json").exists(), "a killed router leaves its note");
    let (code, _, error) = parts(&posthaste.run(&["replay", "list"]));
    let said = format!("no router answers at http://{address}: start it with `posthaste serve`");
    assert_eq!(code, 69, "{error}");
    assert!(error.contains(&said), "{error}");

    let mut router = posthaste.serve().await;
    assert_eq!(parts(&posthaste.run(&["replay", "list"])).0, 0, "another port is found");
    router.signal("TERM");
    router.end().await;
    assert!(!posthaste.folder().join("serving.json").exists(), "a clean stop takes its note away");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told_by_its_name() {
    let case = Case::with_dead_letters(1).await;
    case.posthaste.json(&["app", "create", "Other", "--uid", "other"]);
    let theirs = text(&case.posthaste.list(&["dead-letters", "list"])[0], "id");
    for (line, said) in [
        (format!("dead-letters show {NO_DELIVERY}"), NO_DELIVERY),
        (format!("dead-letters show {NO_DELIVERY}"), "posthaste deliveries show"),
        (
            format!("dead-letters show {theirs} --app other"),
            "no dead letter of application `other` is called",
        ),
        (format!("replay start {NO_DELIVERY} --yes"), "none of these is a dead letter"),
        (
            format!("dead-letters discard {NO_DELIVERY} --why old --yes"),
            "none of these is a dead letter",
        ),
        (format!("replay status {NO_REPLAY}"), NO_REPLAY),
        (format!("replay status {NO_REPLAY} --watch"), NO_REPLAY),
        (format!("replay pause {NO_REPLAY}"), NO_REPLAY),
        (format!("replay set-rate {NO_REPLAY} 5/s"), NO_REPLAY),
        ("dead-letters list --app nobody".into(), "nobody"),
        ("dead-letters list --app acme --endpoint nowhere".into(), "nowhere"),
        ("replay start --app acme --endpoint nowhere --yes".into(), "nowhere"),
        ("deliveries list --app nobody".into(), "nobody"),
        (format!("deliveries show {NO_EVENT} broken --app acme"), NO_EVENT),
        (format!("deliveries retry {NO_EVENT} broken --app acme"), NO_EVENT),
        (format!("events get {NO_EVENT} --trail"), NO_EVENT),
    ] {
        let (code, printed, error) = case.run(&words(&line));
        assert_eq!((code, printed.as_str()), (4, ""), "{line}: {error}");
        assert!(error.starts_with("error: ") && error.contains(said), "{line}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_applications_token_reaches_its_own_and_is_told_what_is_wanted_for_more() {
    let mut case = Case::with_dead_letters(1).await;
    let token = text(&case.posthaste.json(&["token", "create", "--app", "acme"]), "token");
    case.posthaste.set("POSTHASTE_TOKEN", &token);

    for line in [
        "dead-letters list",
        "dead-letters groups",
        "replay list",
        "replay start --all --yes",
        "endpoint top",
        "recover --yes",
    ] {
        let (code, printed, error) = case.run(&words(line));
        assert_eq!((code, printed.as_str()), (77, ""), "{line}: {error}");
        assert!(error.contains("name the application (--app)"), "{line}: {error}");
    }
    assert_eq!(case.posthaste.list(&["dead-letters", "list", "--app", "acme"]).len(), 1);
    let lines = case.posthaste.list(&["replay", "start", "--app", "acme", "--yes"]);
    assert_eq!(lines.last().expect("the end")["state"], "finished");

    case.posthaste.set("POSTHASTE_TOKEN", "nonsense");
    let (code, _, error) = case.run(&["dead-letters", "list"]);
    assert_eq!(code, 77, "{error}");
    assert!(error.contains("`posthaste token create` makes one"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replays_for_one_endpoint_are_a_conflict_that_names_the_first() {
    let case = Case::with_dead_letters(MINUTES_OF_THEM).await;
    let first = case.begin_slowly();
    case.posthaste.json(&["replay", "pause", &first]); // it is active, and the count stands still
    let (code, _, error) = case.run(&["replay", "start", "--endpoint", &case.endpoint, "--yes"]);
    assert_eq!(code, 5, "{error}");
    assert!(error.contains(&first), "{error}");

    let cancelled = case.posthaste.json(&["replay", "cancel", &first]);
    assert_eq!(cancelled["state"], json!("cancelled"));
    let (code, _, error) = case.run(&["replay", "resume", &first]);
    assert_eq!(code, 5, "what has ended does not go on: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_to_ask_and_no_yes_is_a_usage_error_and_nothing_is_done() {
    let case = Case::with_dead_letters(2).await;
    for line in ["replay start --all", "dead-letters discard --all --why old"] {
        let (code, printed, error) = case.run(&words(line));
        assert_eq!((code, printed.as_str()), (2, ""), "{line}: {error}");
        assert!(error.contains("there is no terminal to confirm on: --yes is wanted"), "{error}");
    }
    assert_eq!(case.posthaste.list(&["dead-letters", "list"]).len(), 2);
    assert!(case.posthaste.list(&["replay", "list"]).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_not_known_beside_known_ones_are_told_and_the_rest_is_done() {
    let case = Case::with_dead_letters(2).await;
    let letters = case.posthaste.list(&["dead-letters", "list"]);
    let (one, other) = (text(&letters[0], "id"), text(&letters[1], "id"));
    let said = "1 of 2 is no dead letter (any more)";
    for (deed, left) in [
        (vec!["replay", "start", "--dry-run", NO_DELIVERY, &one], 2),
        (vec!["replay", "start", "--yes", NO_DELIVERY, &one], 1),
        (vec!["dead-letters", "discard", "--yes", "--why", "old", NO_DELIVERY, &other], 0),
    ] {
        let (code, printed, error) = case.run(&deed);
        assert_eq!(code, 3, "{deed:?}: {error}");
        assert!(error.contains(said), "{deed:?}: {error}");
        assert!(!printed.is_empty(), "{deed:?}");
        case.dead_letters(left).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recovering_without_a_broker_is_a_conflict_that_says_why() {
    let case = Case::with_dead_letters(0).await;
    let (code, _, error) = case.run(&["recover", "--dry-run"]);
    assert_eq!(code, 5, "{error}");
    assert!(error.contains("this router has no broker"), "{error}");
}
