//! `posthaste endpoint top`: the worst endpoints at this moment; asked of a running router.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::cli::client::{Client, Path};
use crate::cli::output::{Output, or_dash};
use crate::cli::wire::{ListAnswer, Told};

/// Between two looks. Two seconds: slower than people read twenty lines, faster than trouble grows.
const LOOK: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(in super::super) struct TopArgs {
    /// What makes one worse than another
    #[arg(long, value_enum, default_value_t = By::Overdue)]
    by: By,
    /// How many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=250))]
    limit: u16,
    /// Look again every two seconds, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// How much has been due for how long
    Overdue,
    /// How many attempts fail
    Failures,
    /// How long it takes to answer
    Latency,
}

impl By {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Overdue => "overdue",
            Self::Failures => "failures",
            Self::Latency => "latency",
        }
    }
}

pub(in super::super) async fn run(
    args: &TopArgs,
    client: &Client,
    output: Output,
) -> anyhow::Result<()> {
    let path = Path::within(None, &["endpoint-top"])
        .with("by", Some(args.by.as_str()))
        .with("limit", Some(args.limit));
    loop {
        let answer: ListAnswer<Value> = client.get(&path).await?;
        if args.watch && !output.json && std::io::stdout().is_terminal() {
            // Home, and away with what stood below: a redrawn page, not a longer one.
            write!(std::io::stdout().lock(), "\x1b[H\x1b[J")?;
        }
        show(&answer.data, output)?;
        if !args.watch {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The fields of the first are the columns: what makes one bad depends on what was asked.
fn show(rows: &[Told<Value>], output: Output) -> std::io::Result<()> {
    let first = rows.first().and_then(|row| row.read.as_object());
    let columns: Vec<&str> = first.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    output.list(&columns, rows, |Told { read, .. }| {
        let told = |column: &&str| {
            let value = &read[*column];
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            or_dash((!value.is_null()).then_some(&text))
        };
        columns.iter().map(told).collect()
    })
}
