//! The shape of the tables, for people: how far a database is, what is pending and what each step does, and taking it.
//!
//! A router takes the steps that expand by itself when it starts. This is for who wants to see them first, or have them
//! taken at a moment of their own; and for the steps that contract, which nobody takes by themselves.

use anyhow::Context;
use serde::Serialize;

use super::assemble;
use crate::config::Config;
use crate::storage::postgres::migrations as server;
use crate::storage::sqlite::migrations as file;
use crate::storage::{postgres, sqlite};

/// How far a database is.
#[derive(Debug)]
pub struct Shape {
    /// Where it is, without any password.
    pub database: String,
    /// Every step that it has had or that this program knows, first to last.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Serialize)]
pub struct Step {
    /// Its name, which begins with its number.
    pub name: String,
    /// `expand` or `contract`.
    pub kind: &'static str,
    /// `taken`, `pending`, or `unknown` to this program.
    pub state: &'static str,
    /// What it does, in a sentence.
    pub does: &'static str,
    /// Its text; none of a step that this program does not know.
    #[serde(skip)]
    pub sql: Option<&'static str>,
}

/// How far the configured database is.
///
/// # Errors
/// When it cannot be reached or read, is another program's, or too new for this one.
pub async fn shape(config: &Config) -> anyhow::Result<Shape> {
    if let Some(settings) = assemble::postgres(config)? {
        on_a_thread(move || of_a_server(&settings)).await
    } else {
        let settings = sqlite::Settings { path: config.database() };
        on_a_thread(move || of_a_file(&settings)).await
    }
}

/// Takes what is pending, of the steps that contract only `with_contract`; the names of those that were taken.
///
/// # Errors
/// As [`shape`]; when a table is in use for too long (nothing of that step is done then); when a router runs that
/// needs what a step takes away.
pub async fn up(config: &Config, with_contract: bool) -> anyhow::Result<Vec<String>> {
    if let Some(settings) = assemble::postgres(config)? {
        let steps = server::STEPS;
        let taken = on_a_thread(move || Ok(server::up(&settings, steps, with_contract)?)).await?;
        let names = steps.iter().filter(|step| taken.contains(&step.number));
        return Ok(names.map(|step| step.name.to_owned()).collect());
    }
    assemble::data_folder(config)?;
    let settings = sqlite::Settings { path: config.database() };
    on_a_thread(move || Ok(file::up(&settings)?.into_iter().map(str::to_owned).collect())).await
}

/// Databases are waited for, which async code must not.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("looking at the database")?
}

fn of_a_server(settings: &postgres::Settings) -> anyhow::Result<Shape> {
    let standing = server::standing(settings, server::STEPS)?;
    let known = server::STEPS.iter().map(|step| Step {
        name: step.name.to_owned(),
        kind: step.kind().as_str(),
        state: if standing.pending.contains(&step.number) { "pending" } else { "taken" },
        does: step.says(),
        sql: Some(step.sql),
    });
    let of_others = standing.had.iter().filter(|(number, _)| standing.unknown.contains(number));
    let of_others = of_others.map(|(_, name)| Step {
        name: name.clone(),
        kind: server::Kind::Expand.as_str(), // behind one that contracts we would have been refused
        state: "unknown",
        does: "a newer program's: it does not keep this one from running",
        sql: None,
    });
    Ok(Shape { database: settings.to_string(), steps: known.chain(of_others).collect() })
}

/// A file is one program's at a time: no step of it has to spare an older one.
fn of_a_file(settings: &sqlite::Settings) -> anyhow::Result<Shape> {
    let had = file::had(settings)?;
    let steps = file::steps().enumerate().map(|(index, step)| Step {
        name: step.name.to_owned(),
        kind: server::Kind::Expand.as_str(),
        state: if index < had { "taken" } else { "pending" },
        does: step.says(),
        sql: Some(step.sql),
    });
    Ok(Shape { database: settings.path.display().to_string(), steps: steps.collect() })
}
