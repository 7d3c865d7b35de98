//! `posthaste events`: one event, and what became of it; asked of a running router.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::{Client, Path};
use super::deliveries::timeline;
use super::output::{Output, note, or_dash, print_object};
use super::wire::{Told, Trail};

#[derive(Debug, Subcommand)]
pub(super) enum EventsCommand {
    /// Show one event
    Get(GetArgs),
}

#[derive(Debug, Args)]
pub(super) struct GetArgs {
    /// Its id (msg_…), or with --app the producer's id for it
    id: String,
    /// Its application (id or uid)
    #[arg(long)]
    app: Option<String>,
    /// And who it went to and why, who it did not go to and why not, and each attempt
    #[arg(long)]
    trail: bool,
}

pub(super) async fn run(
    command: EventsCommand,
    client: &Client,
    output: Output,
) -> anyhow::Result<()> {
    let EventsCommand::Get(GetArgs { id, app, trail }) = command;
    // Without an application there is only the trail to find an event by.
    if let (false, Some(app)) = (trail, &app) {
        let event: Told<Value> = client.get(&Path::within(Some(app), &["msg", &id])).await?;
        let fields = event.read.as_object().map(|map| fields(map.iter())).unwrap_or_default();
        return Ok(output.one(&event, &fields)?);
    }
    let path = Path::within(app.as_deref(), &["msg", &id, "trail"]);
    let told: Told<Trail> = client.get(&path).await?;
    if output.json {
        print_object(&told)?;
        return Ok(());
    }
    let mut shown = fields(told.read.message.iter());
    shown.push(("application", told.read.application_id.clone()));
    shown.push(("routed", told.read.routed.clone()));
    shown.extend(told.read.quarantined_because.clone().map(|why| ("in quarantine", why)));
    output.one(&(), &shown)?;
    if trail { show(&told.read, output) } else { Ok(()) }
}

fn fields<'a>(map: impl Iterator<Item = (&'a String, &'a Value)>) -> Vec<(&'a str, String)> {
    map.map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (name.as_str(), or_dash((!value.is_null()).then_some(&text)))
    })
    .collect()
}

fn show(trail: &Trail, output: Output) -> anyhow::Result<()> {
    let named = |id: &str, uid: &Option<String>| match uid {
        Some(uid) => format!("{id} ({uid})"),
        None => id.to_owned(),
    };
    for part in &trail.matched {
        let endpoint = named(&part.endpoint_id, &part.uid);
        output.line("")?;
        output.line(&format!("to {endpoint}: {}; {}", part.state, part.why))?;
        output.line(&format!("  {}", part.delivery_id))?;
        timeline(&part.timeline, "  ", output)?;
    }
    if !trail.not_matched.is_empty() {
        output.line("")?;
    }
    for part in &trail.not_matched {
        output.line(&format!("not to {}: {}", named(&part.endpoint_id, &part.uid), part.why))?;
    }
    if !trail.is_whole {
        note("there are more endpoints than are told of here");
    }
    Ok(())
}
