//! The documentation, as somebody would who reads it: each page's commands in order, in a folder of its own.
//!
//! `run.py` does it, and says how a page tells what is to be run. Here is which pages there are, so that each is a test with a
//! name, and that none is forgotten.

use std::path::Path;
use std::process::{Command, Output};

/// Asks the script that runs pages.
fn ask(arguments: &[&str]) -> Output {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs/run.py");
    Command::new("python3")
        .arg(here)
        .args(arguments)
        .env("TEST_BINARY", env!("CARGO_BIN_EXE_posthaste"))
        .output()
        .expect("python3 is there")
}

fn goes_well(arguments: &[&str]) -> String {
    let ran = ask(arguments);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    said
}

/// Makes a test of each page, and the list of them.
macro_rules! pages {
    ($($name:ident: $page:literal,)*) => {
        $(
            #[test]
            fn $name() {
                goes_well(&[$page]);
            }
        )*

        const PAGES: &[&str] = &[$($page),*];
    };
}

pages! {
    the_tour_of_the_front_page_comes_to_its_end: "README.md",
    who_begins_has_an_event_delivered_and_one_replayed: "docs/start.md",
    events_are_published_over_http_from_each_language: "docs/publish.md",
    events_are_published_over_rabbitmq: "docs/publish-amqp.md",
    each_receiver_verifies_what_it_gets: "docs/receive.md",
    what_was_given_up_is_replayed_over_the_api: "docs/replay.md",
    a_backup_is_restored: "docs/operate.md",
    keys_are_replaced: "docs/security.md",
}

#[test]
fn every_page_with_commands_is_run_or_says_why_not() {
    let listed = goes_well(&["--list"]);
    assert_eq!(listed.lines().collect::<Vec<_>>(), {
        let mut pages = PAGES.to_vec();
        pages.sort_unstable();
        pages
    });
}

#[test]
fn what_the_program_knows_best_is_as_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let written = Command::new("python3")
        .arg(root.join("docs/reference.py"))
        .args([env!("CARGO_BIN_EXE_posthaste"), "--check"])
        .output()
        .expect("python3 is there");
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
}

#[test]
fn every_link_leads_somewhere() {
    goes_well(&["--links"]);
}
