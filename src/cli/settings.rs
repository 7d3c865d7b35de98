//! `posthaste config`: which settings there are, which hold, and where each came from.

use clap::Subcommand;
use serde_json::json;

use super::output::Output;
use crate::config::settings::SETTINGS;
use crate::config::{Config, Effective};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Check all settings and show the values that hold, with where each came from
    Check,
    /// List every setting there is
    Settings,
}

pub(super) fn run(
    command: &ConfigCommand,
    load: impl Fn() -> anyhow::Result<(Config, Vec<Effective>)>,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Check => {
            let (_, effective) = load()?;
            output.list(&["setting", "value", "from"], &effective, |row| {
                vec![row.key.into(), row.value.clone(), row.origin.clone()]
            })?;
        }
        ConfigCommand::Settings => {
            let rows: Vec<_> = SETTINGS
                .iter()
                .map(|row| {
                    json!({
                        "key": row.key, "variable": row.variable(), "default": row.default,
                        "accepted": row.accepted, "doc": row.doc,
                    })
                })
                .collect();
            output.list(&["setting", "default", "what it decides"], &rows, |row| {
                ["key", "default", "doc"]
                    .iter()
                    .map(|field| row[*field].as_str().unwrap_or_default().to_owned())
                    .collect()
            })?;
        }
    }
    Ok(())
}
