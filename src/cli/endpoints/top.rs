//! `posthaste endpoint top`: the worst endpoints at this moment; asked of a running router.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use crate::cli::client::{Client, Path};
use crate::cli::exit::Short;
use crate::cli::output::{Output, note, or_dash};
use crate::cli::wire::{Told, Top};
use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

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
    // Heard wherever it is run from: a shell that starts us behind something else has us ignore it.
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        let top: Top = client.get(&path).await?;
        if args.watch && !output.json && std::io::stdout().is_terminal() {
            // Home, and away with what stood below: a redrawn page, not a longer one.
            write!(std::io::stdout().lock(), "\x1b[H\x1b[J")?;
        }
        show(&top, args.by, output)?;
        if !args.watch {
            return Ok(());
        }
        tokio::select! {
            biased;
            _ = interrupt.recv() => return Err(Short::Detached("no longer watched".into()).into()),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn show(top: &Top, by: By, output: Output) -> std::io::Result<()> {
    let count = match by {
        By::Overdue => "overdue",
        By::Failures => "failed in a row",
        By::Latency => "requests",
    };
    let mut columns = vec!["endpoint", "uid", "application", count, "since"];
    if by == By::Latency {
        columns.extend(["mean", "longest"]);
    }
    columns.push("url");
    output.list(&columns, &top.data, |Told { read: worst, .. }| {
        let mut row = vec![
            worst.endpoint_id.clone(),
            or_dash(worst.uid.as_ref()),
            worst.application_id.clone(),
            worst.count.to_string(),
            worst.since.clone(),
        ];
        if by == By::Latency {
            let ms = |span: Option<u32>| or_dash(span.map(|ms| format!("{ms} ms")).as_ref());
            row.extend([ms(worst.mean_ms), ms(worst.max_ms)]);
        }
        row.push(or_dash(worst.url.as_ref()));
        row
    })?;
    if !top.is_whole {
        note("there is more than could be looked at: the oldest, or the newest, of it is counted");
    }
    Ok(())
}
