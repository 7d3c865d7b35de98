//! `posthaste event-type`: the list of event types that tenants can read.
//!
//! A type can be imported from its schema: the file says which type and version it describes
//! (`x-event-type`, else `title`; `x-version`, else 1), as those in `schemas/events` do.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};

use super::exit::Usage;
use super::output::Output;
use crate::control::Control;
use crate::control::event_types::{Imported, NewEventType, SchemaFile};

/// Largest file that is read, in bytes: spaces and line ends make a schema that is accepted (64 KiB without
/// them) a few times as large.
const FILE_MAX: u64 = 1_024 * 1_024;

#[derive(Debug, Subcommand)]
pub(super) enum EventTypeCommand {
    /// List an event type
    Create {
        /// Its dotted name, as job.completed
        name: String,
        /// What it means, for people
        #[arg(long, default_value = "")]
        description: String,
    },
    /// List event types by their JSON schemas, or change what is listed: one file for each
    ///
    /// A file says which type and version it describes: x-event-type, else its title; x-version, else 1.
    /// Other versions stay, and so does whether the type is archived or deprecated. All files are read
    /// before the first is taken.
    Import {
        /// JSON schemas, as schemas/events/job.completed.json
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Show all listed event types, by name
    List,
    /// Take an event type off the list
    Delete {
        /// Its name
        name: String,
    },
}

pub(super) async fn run(
    command: EventTypeCommand,
    control: &Control,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        EventTypeCommand::Create { name, description } => {
            let new = NewEventType { name, description, ..NewEventType::default() };
            let entry = control.create_event_type(new).await?;
            output.one(
                &entry,
                &[("name", entry.name.clone()), ("description", entry.description.clone())],
            )?;
        }
        EventTypeCommand::Import { files } => {
            let read = files.iter().map(|path| schema_in(path));
            for file in read.collect::<anyhow::Result<Vec<_>>>()? {
                let (name, version) = (file.name.clone(), file.version);
                let imported = control.import_schema(file).await;
                let imported = imported.with_context(|| format!("`{name}`"))?;
                let what = match imported {
                    Imported::Listed => "listed",
                    Imported::Changed => "changed",
                    Imported::Same => "unchanged",
                };
                output.one(
                    &json!({ "name": name, "version": version, "result": what }),
                    &[(what, format!("{name}, version {version}"))],
                )?;
            }
        }
        EventTypeCommand::List => {
            let columns = ["name", "description", "created at"];
            output.list(&columns, &control.event_types().await?, |entry| {
                vec![entry.name.clone(), entry.description.clone(), entry.created_at.to_string()]
            })?;
        }
        EventTypeCommand::Delete { name } => {
            control.delete_event_type(&name).await?;
            output.one(&json!({ "name": name, "deleted": true }), &[("deleted", name.clone())])?;
        }
    }
    Ok(())
}

/// The schema in a file, with what it says of itself.
fn schema_in(path: &Path) -> anyhow::Result<SchemaFile> {
    let wrong = |why: &str| Usage(format!("`{}`: {why}", path.display()));
    let mut text = String::new();
    let file = File::open(path).map_err(|error| wrong(&error.to_string()))?;
    file.take(FILE_MAX).read_to_string(&mut text).map_err(|error| wrong(&error.to_string()))?;
    let schema: Value = serde_json::from_str(&text)
        .map_err(|error| wrong(&format!("a JSON schema is wanted: {error}")))?;
    let text = |word: &str| schema.get(word).and_then(Value::as_str).map(str::to_owned);
    let name = text("x-event-type").or_else(|| text("title"));
    let name = name.ok_or_else(|| wrong("it names no event type: `x-event-type` is wanted"))?;
    let version = match schema.get("x-version") {
        None => Some(1),
        Some(version) => version.as_u64().and_then(|number| u32::try_from(number).ok()),
    };
    let version = version.ok_or_else(|| wrong("`x-version`: a whole number is wanted"))?;
    Ok(SchemaFile { name, description: text("description").unwrap_or_default(), version, schema })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<SchemaFile> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("schema.json");
        std::fs::write(&path, text).expect("a file");
        schema_in(&path)
    }

    #[test]
    fn a_file_says_which_type_and_version_it_describes() {
        let file = read(
            r#"{"x-event-type":"job.done","title":"Done","description":"It is","x-version":2}"#,
        );
        let file = file.expect("a schema");
        assert_eq!((file.name.as_str(), file.version), ("job.done", 2));
        assert_eq!(file.description, "It is");
        let file = read(r#"{"title":"job.done"}"#).expect("a schema");
        assert_eq!(
            (file.name.as_str(), file.version, file.description.as_str()),
            ("job.done", 1, "")
        );
    }

    #[test]
    fn a_file_that_is_none_is_named() {
        for (text, why) in [
            ("{", "a JSON schema"),
            ("[]", "names no event type"),
            (r#"{"title":7}"#, "names no event type"),
            (r#"{"title":"a","x-version":"2"}"#, "`x-version`"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(super::super::exit::code(&error), 2, "{error}");
        }
        assert!(schema_in(Path::new("/nowhere/schema.json")).is_err());
    }
}
