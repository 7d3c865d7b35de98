//! `posthaste topology`: the exchanges and queues, shown or declared.

use clap::Args;
use serde::Serialize;

use super::output::{Output, note};
use crate::config::Config;
use crate::runtime::assemble::{self, Declared};

#[derive(Debug, Args)]
pub(super) struct TopologyArgs {
    /// Declare everything on the broker; what is there already stays
    #[arg(long)]
    apply: bool,
    /// Show what would be declared, without asking the broker (the default)
    #[arg(long, conflicts_with = "apply")]
    print: bool,
}

pub(super) async fn run(
    args: &TopologyArgs,
    config: &Config,
    output: Output,
) -> anyhow::Result<()> {
    if args.apply {
        assemble::apply_topology(config).await?;
        note("declared");
        return Ok(());
    }
    let declared = assemble::topology(config)?;
    let whole: Vec<_> = declared.iter().map(|part| Whole { part }).collect();
    output.list(&["kind", "name", "details"], &whole, |Whole { part }| {
        vec![part.kind.to_owned(), part.name.clone(), part.details.clone()]
    })?;
    Ok(())
}

/// A declaration as programs read it.
struct Whole<'a> {
    part: &'a Declared,
}

impl Serialize for Whole<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.part.whole.serialize(serializer)
    }
}
