//! `posthaste migrate`: how far the database's tables are, and bringing them up to date.

use clap::{Args, Subcommand};
use serde_json::json;

use super::output::{Output, note};
use crate::config::Config;
use crate::runtime::migrate::{self, Step};

/// What comes behind the flags in the help.
pub(super) const HELP: &str = "\
On PostgreSQL, every step is of one of two kinds. What a step expands, routers of the program before it do not miss:
`serve` takes it when it starts, and the others go on. What a step contracts, only programs before it needed: it is taken
with --contract alone, and refused while a router of such a program runs. So routers are brought up to date one by one:
  1. Start the new ones; or first `migrate plan`, to read what they would do, and `migrate up`.
  2. Stop the old ones.
  3. `migrate up --contract`, at any time after that.

A step that finds a table in use waits for five seconds and gives up, with nothing done: it never keeps the others waiting
behind it for longer.";

#[derive(Debug, Subcommand)]
pub(super) enum MigrateCommand {
    /// Which steps the database has had, and which are pending
    Status,
    /// Print the SQL of what is pending, and do nothing
    Plan(WhatArgs),
    /// Take what is pending
    #[command(after_long_help = HELP)]
    Up(WhatArgs),
}

#[derive(Debug, Args)]
pub(super) struct WhatArgs {
    /// Also the steps that take away what only older programs need
    #[arg(long)]
    contract: bool,
}

pub(super) async fn run(
    command: MigrateCommand,
    config: &Config,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        MigrateCommand::Status => status(config, output).await,
        MigrateCommand::Plan(args) => plan(&args, config, output).await,
        MigrateCommand::Up(args) => {
            let taken = migrate::up(config, args.contract).await?;
            if output.json {
                output.one(&json!({ "taken": taken }), &[])?;
            } else if taken.is_empty() {
                note("nothing is pending");
            } else {
                note(&format!("taken: {}", taken.join(", ")));
            }
            Ok(())
        }
    }
}

async fn status(config: &Config, output: Output) -> anyhow::Result<()> {
    let shape = migrate::shape(config).await?;
    note(&format!("database: {}", shape.database));
    output.list(&["step", "kind", "state", "what it does"], &shape.steps, |step| {
        vec![step.name.clone(), step.kind.to_owned(), step.state.to_owned(), step.does.to_owned()]
    })?;
    Ok(())
}

async fn plan(args: &WhatArgs, config: &Config, output: Output) -> anyhow::Result<()> {
    let shape = migrate::shape(config).await?;
    let wanted = |step: &&Step| step.state == "pending" && (args.contract || step.kind == "expand");
    let pending: Vec<_> = shape.steps.iter().filter(wanted).collect();
    if output.json {
        let whole = pending
            .iter()
            .map(|step| json!({ "name": step.name, "kind": step.kind, "sql": step.sql }));
        return Ok(output.one(&json!({ "pending": whole.collect::<Vec<_>>() }), &[])?);
    }
    if pending.is_empty() {
        note("nothing is pending");
    }
    for step in pending {
        output.line(&format!("-- {} ({})", step.name, step.kind))?;
        for line in step.sql.unwrap_or_default().lines() {
            output.line(line)?;
        }
    }
    Ok(())
}
