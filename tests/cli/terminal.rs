//! The command line on a real terminal: the question, the bar, and Ctrl-C.

use std::process::Command;

use crate::support::terminal::Terminal;
use crate::{Case, MINUTES_OF_THEM, text};

impl Case {
    /// A command on a terminal.
    fn on_terminal(&self, arguments: &[&str]) -> Terminal {
        Terminal::run(&self.posthaste.command(arguments))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_are_confirmed_with_a_letter_and_more_with_their_number() {
    let case = Case::with_dead_letters(1_001).await;
    let mut terminal = case.on_terminal(&["replay", "start", "--all", "--rate", "5000/s"]);
    terminal.shows("replay 1001 deliveries? type 1001 to confirm").await;
    terminal.types("y\n");
    let (code, screen) = terminal.ends().await;
    assert_eq!(code, 2, "{screen}");
    assert!(screen.contains("not confirmed: nothing was done"), "{screen}");
    assert!(case.posthaste.list(&["replay", "list"]).is_empty());

    let mut terminal = case.on_terminal(&["replay", "start", "--all", "--rate", "5000/s"]);
    terminal.shows("type 1001 to confirm").await;
    terminal.types("1001\n");
    let (code, screen) = terminal.ends().await;
    assert_eq!(code, 0, "{screen}");
    for part in ["matched", "order", "█", "1001/1001", "finished"] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    assert!(!screen.contains("{\""), "no JSON for people: {screen}");
    case.dead_letters(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_the_replay_to_itself_and_says_how_to_look_again() {
    let case = Case::with_dead_letters(MINUTES_OF_THEM).await;
    let mut terminal = case.on_terminal(&["replay", "start", "--app", "acme", "--rate", "1/s"]);
    terminal.shows("replay 120 deliveries? type y to confirm").await;
    terminal.types("y\n");
    terminal.shows("eta").await;
    let (code, screen) = terminal.ends_by_ctrl_c().await;
    assert_eq!(code, 130, "{screen}");
    let id = text(&case.posthaste.list(&["replay", "list"])[0], "id");
    let again = format!("to look again: `posthaste replay status {id} --app acme --watch`");
    assert!(screen.contains("detached: the replay goes on") && screen.contains(&again), "{screen}");

    assert_eq!(text(&case.posthaste.json(&["replay", "status", &id]), "state"), "running");
    let terminal = case.on_terminal(&["replay", "status", &id, "--app", "acme", "--watch"]);
    terminal.shows("eta").await;
    case.posthaste.json(&["replay", "set-rate", &id, "500/s"]);
    let (code, screen) = terminal.ends().await;
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("120/120"), "{screen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_for_people_and_what_a_terminal_would_obey_is_shown() {
    let case = Case::with_dead_letters(1).await;
    let id = text(&case.posthaste.list(&["dead-letters", "list"])[0], "id");
    let message = text(&case.posthaste.list(&["dead-letters", "list"])[0], "msgId");
    let named = [message.as_str(), "broken", "--app", "acme"];
    for (arguments, said) in [
        (vec!["dead-letters", "list"], "LAST STATUS"),
        (vec!["dead-letters", "groups"], "FOR EXAMPLE"),
        (vec!["dead-letters", "show", &id], "attempt 1"),
        (vec!["dead-letters", "show", &id], "answered 500"),
        (vec!["replay", "start", "--all", "--dry-run"], "to be replayed"),
        (vec!["replay", "list"], "SKIPPED"),
        ([&["deliveries", "show"][..], &named].concat(), "state"),
        (vec!["deliveries", "list", "--app", "acme"], "MESSAGE"),
        (vec!["events", "get", &message, "--trail"], case.endpoint.as_str()),
        (vec!["endpoint", "top", "--by", "failures"], case.endpoint.as_str()),
        (vec!["dead-letters", "list", "--text", "nowhere"], "ENDPOINT"),
    ] {
        let (code, screen) = case.on_terminal(&arguments).ends().await;
        assert_eq!(code, 0, "{arguments:?}: {screen}");
        assert!(screen.contains(said), "{arguments:?}: {screen}");
        assert!(!screen.contains("{\"id\""), "no JSON for people: {arguments:?}: {screen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worst_endpoints_are_drawn_again_until_ctrl_c() {
    let case = Case::with_dead_letters(1).await;
    let terminal = case.on_terminal(&["endpoint", "top", "--by", "failures", "--watch"]);
    terminal.shows("\u{1b}[H\u{1b}[J").await;
    let first = terminal.screen().matches("\u{1b}[H").count();
    crate::until("it is drawn again", crate::SOON, async || {
        terminal.screen().matches("\u{1b}[H").count() > first
    })
    .await;
    let (code, screen) = terminal.ends_by_ctrl_c().await;
    assert_eq!(code, 130, "{screen}");
}

#[test]
fn what_a_shell_is_told_is_read_by_it() {
    let posthaste = crate::Posthaste::embedded();
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, error) = crate::parts(&posthaste.run(&["completion", shell]));
        assert_eq!(code, 0, "{error}");
        assert!(script.contains("dead-letters") && script.contains("set-rate"), "{shell}");
    }
    let (_, script, _) = crate::parts(&posthaste.run(&["completion", "bash"]));
    let file = posthaste.folder().join("completion.bash");
    std::fs::write(&file, script).expect("writable");
    let complete = "source \"$0\"; COMP_WORDS=(posthaste replay set); COMP_CWORD=2; \
                    _posthaste posthaste set replay; echo \"${COMPREPLY[@]}\"";
    let told = Command::new("bash").args(["-c", complete]).arg(&file).output().expect("bash runs");
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert_eq!(told.trim(), "set-rate");
}
