//! `posthaste event-type`: the list of event types that tenants can read.

use clap::Subcommand;
use serde_json::json;

use super::output::Output;
use crate::control::Control;
use crate::control::event_types::NewEventType;

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
