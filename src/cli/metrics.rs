//! `posthaste metrics`: which metrics there are, without a router.

use clap::Args;

use super::output::Output;
use crate::telemetry::list::{self, Family};

#[derive(Debug, Args)]
pub(super) struct MetricsArgs {
    /// List every metric there is, with its labels and the question that it answers
    #[arg(long, required = true)]
    list: bool,
}

pub(super) fn run(MetricsArgs { list: _ }: &MetricsArgs, output: Output) -> anyhow::Result<()> {
    output.list(&["metric", "kind", "labels", "what it answers"], &list::families(), |family| {
        vec![family.name.clone(), family.kind.into(), labels(family), family.question.clone()]
    })?;
    Ok(())
}

/// The labels' names, and how many values each can have.
fn labels(family: &Family) -> String {
    let each = family.labels.iter().map(|(name, values)| format!("{name} ({})", values.len()));
    each.collect::<Vec<_>>().join(", ")
}
