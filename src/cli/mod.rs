//! The command line: what can be asked, how it is asked, and how the answer is printed.
//!
//! Each command is a room of its own with its flags and its run. Those about what is set up speak with
//! `control` and `runtime`; those about what goes on speak with a running router (`client`). All print
//! through one writer (`output`); which error leaves with which exit code is one table (`exit`).

mod app_settings;
mod applications;
mod backup;
mod client;
mod completion;
mod confirm;
mod dead_letters;
mod deliveries;
mod document;
mod endpoints;
mod event_types;
mod events;
mod exit;
mod filter;
pub mod listen;
mod metrics;
mod migrate;
mod output;
mod pages;
mod policy_flags;
mod publish;
mod recover;
mod replay;
mod retry_flag;
mod settings;
mod span;
mod token;
mod topology;
mod wire;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use self::client::Client;
use self::endpoints::EndpointCommand;
use self::output::{Output, note};
use crate::config::{self, Config, Effective, FlagValue, Sources};
use crate::control::{Context, Control};
use crate::runtime::{assemble, chance, clock};

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "posthaste.toml";

/// Routes events: takes them over HTTP or from RabbitMQ, delivers them as signed webhooks, retries what
/// fails, and keeps what it gave up for replay.
#[derive(Debug, Parser)]
#[command(name = "posthaste", version, after_long_help = exit::HELP, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
struct Global {
    #[command(flatten)]
    server: client::ServerArgs,
    /// Read settings from this TOML file
    #[arg(long, global = true, env = "POSTHASTE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Keep and find data in this folder (`data_dir`)
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<String>,
    /// Set any setting, as `rabbitmq.prefetch=500`
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = key_and_value)]
    settings: Vec<(String, String)>,
    /// Allow http and loopback URLs, for a developer's machine (`dev`)
    #[arg(long, global = true)]
    dev: bool,
    /// Print JSON for programs instead of tables for people
    #[arg(long, global = true)]
    json: bool,
    /// Print tables without the columns' names
    #[arg(long, global = true)]
    no_headers: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Route events until stopped
    Serve,
    /// Copy the database to a file, while a router runs or not
    Backup(backup::BackupArgs),
    /// The shape of the database's tables: how far it is, what is pending, and taking it
    #[command(subcommand)]
    Migrate(migrate::MigrateCommand),
    /// Show or declare the exchanges and queues
    Topology(topology::TopologyArgs),
    /// Tenants
    #[command(subcommand)]
    App(Box<applications::AppCommand>),
    /// The list of event types
    #[command(subcommand)]
    EventType(event_types::EventTypeCommand),
    /// URLs that want events
    #[command(subcommand)]
    Endpoint(EndpointCommand),
    /// Tokens for the HTTP API
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Publish events: through the broker, or into the file when there is none
    Publish(publish::PublishArgs),
    /// Receive webhooks on this machine, check their signatures and show them
    Listen(listen::ListenArgs),
    /// What became of deliveries; one tried now, or no more
    #[command(subcommand)]
    Deliveries(deliveries::DeliveriesCommand),
    /// One event, and what became of it
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// Deliveries that were given up: find out why, and discard
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLettersCommand),
    /// Deliver dead letters again, at a rate: counted and shown first, by the router, whoever looks on
    #[command(subcommand)]
    Replay(replay::ReplayCommand),
    /// Offer again what the journal holds and an empty broker has lost
    Recover(recover::RecoverArgs),
    /// Settings
    #[command(subcommand)]
    Config(settings::ConfigCommand),
    /// Which metrics there are, and what each answers
    Metrics(metrics::MetricsArgs),
    /// Print the description of the HTTP API, as `schemas/openapi.json` has it
    Openapi,
    /// Print what a shell needs to complete these commands
    Completion(completion::CompletionArgs),
}

/// Runs the command and prints its answer or its error.
pub async fn run(cli: Cli) -> ExitCode {
    let output = Output { json: cli.global.json, headers: !cli.global.no_headers };
    match Box::pin(answer(cli, output)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if error.is::<exit::Short>() {
                note(&format!("{error:#}"));
            } else if !error.chain().any(exit::is_closed_pipe) {
                note(&format!("error: {error:#}"));
            }
            ExitCode::from(exit::code(&error))
        }
    }
}

async fn answer(cli: Cli, output: Output) -> anyhow::Result<()> {
    let global = &cli.global;
    match cli.command {
        Command::Serve => {
            let (config, effective) = load(global)?;
            assemble::serve(config, effective).await
        }
        Command::Backup(args) => backup::run(args, &load(global)?.0, output).await,
        Command::Migrate(command) => migrate::run(command, &load(global)?.0, output).await,
        Command::Topology(args) => topology::run(&args, &load(global)?.0, output).await,
        Command::App(command) => {
            let (control, config) = control(global).await?;
            applications::run(*command, &control, &*assemble::url_check(&config), output).await
        }
        Command::EventType(command) => {
            event_types::run(command, &control(global).await?.0, output).await
        }
        Command::Endpoint(command) => match command {
            EndpointCommand::Top(args) => {
                endpoints::top::run(&args, &client(global)?, output).await
            }
            EndpointCommand::Catalogue(command) => {
                let (control, config) = control(global).await?;
                endpoints::run(*command, &control, &*assemble::url_check(&config), output).await
            }
        },
        Command::Token(command) => {
            let (control, config) = control(global).await?;
            token::run(command, &control, &config, output).await
        }
        Command::Publish(args) => publish::run(args, &load(global)?.0, output).await,
        // No settings: a receiver is somebody else's program, and runs beside any.
        Command::Listen(args) => listen::run(args, output).await,
        Command::Deliveries(command) => deliveries::run(command, &client(global)?, output).await,
        Command::Events(command) => events::run(command, &client(global)?, output).await,
        Command::DeadLetters(command) => dead_letters::run(command, &client(global)?, output).await,
        Command::Replay(command) => replay::run(command, &client(global)?, output).await,
        Command::Recover(args) => recover::run(args, &client(global)?, output).await,
        Command::Completion(args) => completion::run(&args),
        Command::Config(command) => settings::run(&command, || load(global), output),
        Command::Metrics(args) => metrics::run(&args, output),
        Command::Openapi => {
            let document = assemble::api_document();
            Ok(document.lines().try_for_each(|line| output.line(line))?)
        }
    }
}

/// The settings, from everywhere.
fn load(global: &Global) -> anyhow::Result<(Config, Vec<Effective>)> {
    let mut flags = Vec::new();
    for (key, value) in &global.settings {
        flags.push(FlagValue { flag: "--set", key: key.clone(), value: value.clone() });
    }
    if let Some(dir) = &global.data_dir {
        flags.push(FlagValue { flag: "--data-dir", key: "data_dir".into(), value: dir.clone() });
    }
    if global.dev {
        flags.push(FlagValue { flag: "--dev", key: "dev".into(), value: "true".into() });
    }
    let file = global.config.clone().or_else(|| {
        let beside = Path::new(DEFAULT_FILE);
        beside.exists().then(|| beside.to_owned())
    });
    // A variable that is not text cannot be one of ours.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    Ok(config::load(&Sources { file, environment, flags })?)
}

/// A running router, as the commands talk to it.
fn client(global: &Global) -> anyhow::Result<Client> {
    Client::new(global.server.server(|| Ok(load(global)?.0))?)
}

async fn control(global: &Global) -> anyhow::Result<(Control, Config)> {
    let (config, _) = load(global)?;
    Ok((control_over(&config).await?, config))
}

async fn control_over(config: &Config) -> anyhow::Result<Control> {
    let stores = assemble::stores(config).await?;
    let context = Context { now: clock::now, chance: chance::bytes };
    let control = Control::new(stores.ports, context).adopting(stores.adoption);
    Ok(control.under(assemble::ceiling(config)))
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) =
        text.split_once('=').ok_or("KEY=VALUE is wanted, as rabbitmq.prefetch=500")?;
    Ok((key.trim().into(), value.into()))
}

#[cfg(test)]
mod tests;
