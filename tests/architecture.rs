//! Dependencies point inward: reads the `use` lines of every file and holds the directions.
//!
//! The rule is DAG-shaped and short, so it stands here as a table: a room, and the rooms whose words
//! it may use. What is not in the table is not allowed.

use std::fs;
use std::path::{Path, PathBuf};

/// Who may use whom. A longer path is a stricter rule for the files below it.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &["domain"]),
    ("storage", &["domain", "storage"]),
    ("storage/memory", &["domain", "storage", "storage::memory"]),
    ("storage/sql", &["domain", "storage", "storage::sql", "storage::sqlite", "storage::postgres"]),
    ("storage/sqlite", &["domain", "storage", "storage::sqlite"]),
    ("storage/postgres", &["domain", "storage", "storage::postgres"]),
    ("storage/rabbitmq", &["domain", "storage", "storage::rabbitmq"]),
    ("egress", &["domain", "egress"]),
    ("telemetry", &["domain", "storage", "telemetry"]),
    ("pipeline", &["domain", "storage", "egress", "telemetry", "pipeline", "failpoint"]),
    ("control", &["domain", "storage", "control"]),
    ("config", &["domain", "config"]),
    ("api", &["domain", "failpoint", "storage", "control", "telemetry", "api"]),
    ("console", &["domain", "storage", "control", "console"]),
    (
        "runtime",
        &[
            "domain",
            "failpoint",
            "storage",
            "storage::sql",
            "storage::sqlite",
            "storage::postgres",
            "storage::rabbitmq",
            "egress",
            "telemetry",
            "pipeline",
            "control",
            "config",
            "api",
            "console",
            "runtime",
        ],
    ),
    ("cli", &["domain", "storage", "control", "config", "runtime", "telemetry", "cli"]),
    ("failpoint.rs", &["failpoint"]),
    ("main.rs", &["cli"]),
    ("lib.rs", &[]),
];

/// Back ends: named only by themselves and by `runtime`. `sql` is written for the engines, and names them; they do not know it.
const BACK_ENDS: [&str; 5] = ["memory", "sql", "sqlite", "postgres", "rabbitmq"];

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found
}

/// What stands before a path of ours: the crate's name, in the binary, which is a crate of its own.
fn start_of_paths(file: &str) -> &'static str {
    if file == "main.rs" { "posthaste::" } else { "crate::" }
}

/// Every path of ours that a file's code names, comments left out.
fn paths_used(file: &str, text: &str) -> Vec<String> {
    let start = start_of_paths(file);
    let mut found = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for (position, _) in line.match_indices(start) {
            let rest = &line[position + start.len()..];
            let end = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
                .unwrap_or(rest.len());
            found.push(rest[..end].to_owned());
        }
    }
    found
}

fn rule_for(file: &str) -> Option<&'static [&'static str]> {
    MAY_USE
        .iter()
        .filter(|(room, _)| file == *room || file.starts_with(&format!("{room}/")))
        .max_by_key(|(room, _)| room.len())
        .map(|(_, allowed)| *allowed)
}

fn breach(file: &str, used: &str) -> Option<String> {
    let mut words = used.split("::");
    let room = words.next().filter(|word| !word.is_empty())?;
    if room == "failpoint" && words.clone().next().is_none() {
        return None; // the macro
    }
    let Some(allowed) = rule_for(file) else {
        return Some(format!("{file}: no rule for this room; add one to the table"));
    };
    let back_end = words.next().filter(|word| room == "storage" && BACK_ENDS.contains(word));
    let wanted = back_end.map_or_else(|| room.to_owned(), |name| format!("storage::{name}"));
    (!allowed.contains(&wanted.as_str())).then(|| format!("{file} uses {used}"))
}

#[test]
fn dependencies_point_inward() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut breaches = Vec::new();
    for path in files_below(&source) {
        let file = path.strip_prefix(&source).expect("below").to_string_lossy().replace('\\', "/");
        let text = fs::read_to_string(&path).expect("readable");
        breaches.extend(paths_used(&file, &text).iter().filter_map(|used| breach(&file, used)));
    }
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

#[test]
fn a_breach_would_be_noticed() {
    for (file, used) in [
        ("domain/event.rs", "storage::StorageError"),
        ("pipeline/settle.rs", "storage::sqlite::Sqlite"),
        ("control/replay.rs", "runtime::clock"),
        ("api/admin.rs", "cli::output"),
        ("storage/ladder.rs", "storage::rabbitmq::Rabbit"),
        ("storage/sqlite/room.rs", "storage::sql::Sql"),
        ("storage/postgres/values.rs", "storage::sqlite::Settings"),
        ("attic/old.rs", "domain::id"),
    ] {
        assert!(breach(file, used).is_some(), "{file} may not use {used}");
    }
    assert!(breach("pipeline/settle.rs", "storage::journal::Journal").is_none());
}

#[test]
fn every_file_opens_by_saying_what_it_is_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let silent: Vec<_> = files_below(&root.join("src"))
        .into_iter()
        .chain(files_below(&root.join("tests")))
        .filter(|path| !fs::read_to_string(path).expect("readable").starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "no opening sentence in {silent:?}");
}
