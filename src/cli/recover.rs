//! `posthaste recover`: what the journal holds and the broker has lost is offered again. Counted first.

use clap::Args;
use serde_json::{Map, Value, json};

use super::client::{Client, Path};
use super::confirm::confirm;
use super::output::{Output, lines_of, note};
use super::wire::Told;

/// What is offered again, of what is counted: what the router has in its memory goes on by itself.
const LOST: [&str; 4] = ["pending", "abandoned", "waiting", "unpublished"];

#[derive(Debug, Args)]
pub(super) struct RecoverArgs {
    /// Count and show, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(args: RecoverArgs, client: &Client, output: Output) -> anyhow::Result<()> {
    let path = Path::within(None, &["recover"]);
    let counted: Told<Map<String, Value>> = client.query(&path, &json!({ "dryRun": true })).await?;
    if args.dry_run {
        return Ok(output.one(&counted, &fields(&counted.read))?);
    }
    note(&lines_of(&fields(&counted.read)));
    let total = LOST.iter().filter_map(|name| counted.read.get(*name)?.as_u64()).sum();
    if total > 0 {
        confirm("recover", total, "deliveries and events", args.yes)?;
    }
    let done: Told<Map<String, Value>> = client.tell(&path, &json!({ "dryRun": false })).await?;
    Ok(output.one(&done, &fields(&done.read))?)
}

fn fields(map: &Map<String, Value>) -> Vec<(&str, String)> {
    map.iter().map(|(name, value)| (name.as_str(), value.to_string())).collect()
}
