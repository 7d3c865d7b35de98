//! `posthaste app`: tenants.

use clap::Subcommand;
use serde_json::json;

use super::app_settings::{self, SettingsCommand};
use super::output::{Output, note, or_dash};
use crate::control::applications::NewApplication;
use crate::control::{Control, UrlRule};
use crate::domain::application::Application;

#[derive(Debug, Subcommand)]
pub(super) enum AppCommand {
    /// Make an application
    Create {
        /// A name for people
        name: String,
        /// A name of your choice that takes the id's place; without full stops it can also stand in
        /// a routing key
        #[arg(long)]
        uid: Option<String>,
    },
    /// List all applications, oldest first
    List,
    /// Show one application
    Show {
        /// Its id or uid
        app: String,
    },
    /// What it sets for all that it sends
    #[command(subcommand)]
    Settings(SettingsCommand),
    /// Delete an application with its endpoints; what they are owed is cancelled
    Delete {
        /// Its id or uid
        app: String,
    },
}

pub(super) async fn run(
    command: AppCommand,
    control: &Control,
    rule: UrlRule<'_>,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        AppCommand::Create { name, uid } => {
            if uid.as_ref().is_some_and(|uid| uid.contains('.')) {
                note(
                    "note: a uid with full stops cannot stand in a routing key: producers have to \
                     use the id",
                );
            }
            show(
                &control
                    .create_application(NewApplication { name, uid, ..NewApplication::default() })
                    .await?,
                output,
            )?;
        }
        AppCommand::List => {
            let columns = ["id", "uid", "name", "created at"];
            output.list(&columns, &control.applications().await?, |app| {
                vec![
                    app.id.to_string(),
                    or_dash(app.uid.as_ref()),
                    app.name.clone(),
                    app.created_at.to_string(),
                ]
            })?;
        }
        AppCommand::Show { app } => show(&control.application(&app).await?, output)?,
        AppCommand::Settings(command) => {
            app_settings::run(command, control, rule, output).await?;
        }
        AppCommand::Delete { app } => {
            let cancelled = control.delete_application(&app).await?;
            output.one(
                &json!({ "application": app, "deleted": true, "cancelled": cancelled }),
                &[("deleted", app.clone()), ("cancelled deliveries", cancelled.to_string())],
            )?;
        }
    }
    Ok(())
}

fn show(app: &Application, output: Output) -> std::io::Result<()> {
    output.one(
        app,
        &[
            ("id", app.id.to_string()),
            ("uid", or_dash(app.uid.as_ref())),
            ("name", app.name.clone()),
            ("created at", app.created_at.to_string()),
        ],
    )
}
