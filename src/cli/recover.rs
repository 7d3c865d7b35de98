//! `posthaste recover`: what the journal holds and the broker has lost is offered again. Counted first.
//!
//! The router answers within a bounded time, and what it has offered by then stays offered: cut off, it is asked
//! again, which does the rest.

use clap::Args;
use serde_json::{Map, Value, json};

use super::client::{Client, Path, Refusal};
use super::confirm::confirm;
use super::output::{Output, lines_of, note};
use super::wire::Told;

/// What is offered again, of what is counted: what the router has in its memory goes on by itself.
const LOST: [&str; 4] = ["pending", "abandoned", "waiting", "unpublished"];

/// The router had to answer before it was done.
const CUT_OFF: u16 = 408;
/// Most parts in one go: an hour and a half, and some hundred million deliveries. A router that is no further on
/// behind them has a trouble of its own.
const PARTS_MAX: u32 = 120;

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
    let done = offered(client, &path).await?;
    Ok(output.one(&done, &fields(&done.read))?)
}

/// Has it done, part by part: what the last part came to.
pub(super) async fn offered(
    client: &Client,
    path: &Path,
) -> anyhow::Result<Told<Map<String, Value>>> {
    let mut parts = 1;
    loop {
        match client.tell(path, &json!({ "dryRun": false })).await {
            Err(Refusal::Said { status: CUT_OFF, .. }) if parts < PARTS_MAX => {
                note("a part of it is offered, and the router goes on with the rest");
                parts += 1;
            }
            Err(refusal @ Refusal::Said { status: CUT_OFF, .. }) => {
                return Err(anyhow::Error::from(refusal)
                    .context("a part of it is offered: the same again does the rest"));
            }
            told => return Ok(told?),
        }
    }
}

fn fields(map: &Map<String, Value>) -> Vec<(&str, String)> {
    map.iter().map(|(name, value)| (name.as_str(), value.to_string())).collect()
}
