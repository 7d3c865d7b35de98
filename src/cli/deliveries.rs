//! `posthaste deliveries`: what became of deliveries, and one tried now or no more; asked of a running
//! router.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Client, Path};
use super::output::{Output, note, or_dash, print_object, visible};
use super::pages::{self, Rows};
use super::wire::{Delivery, Step, Told};
use crate::storage::history::DeliveryEntry;

#[derive(Debug, Subcommand)]
pub(super) enum DeliveriesCommand {
    /// List deliveries, newest message first
    List(ListArgs),
    /// Show one: when it was accepted, why it is owed, each attempt, and when it is tried next and why then
    Show(Named),
    /// Have it tried once more, now; what comes of it is told by `show`
    Retry(Named),
    /// Try it no more
    Cancel(Named),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Their application (id or uid)
    #[arg(long)]
    app: String,
    /// About this, as a job's id
    #[arg(long)]
    subject: Option<String>,
    /// Of events of these types, as 'job.completed,job.failed'
    #[arg(long = "type", value_name = "TYPES", value_delimiter = ',')]
    types: Vec<String>,
    /// To this endpoint (id or uid)
    #[arg(long)]
    endpoint: Option<String>,
    /// That stand so
    #[arg(long, value_parser = DeliveryEntry::WORDS)]
    state: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
    /// Go on behind this place, as a list that was cut off names it
    #[arg(long, value_name = "PLACE")]
    after: Option<String>,
}

/// Which delivery.
#[derive(Debug, Args)]
pub(super) struct Named {
    /// Its message: the id (msg_…), or the producer's id for it
    message: String,
    /// Its endpoint (id or uid)
    endpoint: String,
    /// Its application (id or uid)
    #[arg(long)]
    app: String,
}

impl Named {
    fn path(&self, more: &[&str]) -> Path {
        let segments: Vec<&str> = ["delivery", &self.message, &self.endpoint]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        Path::within(Some(&self.app), &segments)
    }
}

pub(super) async fn run(
    command: DeliveriesCommand,
    client: &Client,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        DeliveriesCommand::List(args) => list(args, client, output).await,
        DeliveriesCommand::Show(named) => show(&client.get(&named.path(&[])).await?, output),
        DeliveriesCommand::Retry(named) => {
            let told: Told<Delivery> = client.tell(&named.path(&["retry"]), &json!({})).await?;
            will_be_tried(&told, &named, output)
        }
        DeliveriesCommand::Cancel(named) => {
            let _: Value = client.tell(&named.path(&["cancel"]), &json!({})).await?;
            cancelled(&named, output)
        }
    }
}

async fn list(args: ListArgs, client: &Client, output: Output) -> anyhow::Result<()> {
    let types = (!args.types.is_empty()).then(|| args.types.join(","));
    let path = Path::within(Some(&args.app), &["delivery"])
        .with("subject", args.subject)
        .with("event_types", types)
        .with("endpoint_id", args.endpoint)
        .with("state", args.state);
    let listed: Rows<Delivery> = pages::read(client, &path, args.limit, args.after).await?;
    let columns = ["message", "type", "subject", "state", "attempts", "last", "status", "url"];
    output.list(&columns, &listed.rows, |Told { read: delivery, .. }| {
        vec![
            delivery.msg_id.clone(),
            delivery.event_type.clone(),
            or_dash(delivery.subject.as_ref()),
            delivery.state.clone(),
            delivery.attempt_count.to_string(),
            or_dash(delivery.last_attempt_at.as_ref()),
            or_dash(delivery.last_response_status.as_ref()),
            or_dash(delivery.url.as_ref()),
        ]
    })?;
    listed.tell_of_more();
    Ok(())
}

fn show(told: &Told<Delivery>, output: Output) -> anyhow::Result<()> {
    if output.json {
        print_object(told)?;
        return Ok(());
    }
    let delivery = &told.read;
    output.one(
        &(),
        &[
            ("delivery", delivery.id.clone()),
            ("message", delivery.msg_id.clone()),
            ("endpoint", delivery.endpoint_id.clone()),
            ("type", delivery.event_type.clone()),
            ("subject", or_dash(delivery.subject.as_ref())),
            ("url", or_dash(delivery.url.as_ref())),
            ("state", delivery.state.clone()),
            ("attempts", delivery.attempt_count.to_string()),
            ("last status", or_dash(delivery.last_response_status.as_ref())),
            ("last failure", or_dash(delivery.last_error_code.as_ref())),
            ("next attempt", or_dash(delivery.next_attempt_at.as_ref())),
            ("why then", or_dash(delivery.next_attempt_why.as_ref())),
        ],
    )?;
    if !delivery.timeline.is_empty() {
        output.line("")?;
    }
    Ok(timeline(&delivery.timeline, "", output)?)
}

/// What happened, a line each.
pub(super) fn timeline(steps: &[Step], indent: &str, output: Output) -> std::io::Result<()> {
    steps.iter().try_for_each(|step| {
        let at = step.at.as_deref().unwrap_or_default();
        output.line(&format!("{indent}{at:<24}  {}", visible(&step.words)))
    })
}

/// An attempt is asked for, and not made yet: what comes of it is told by `show`.
fn will_be_tried(told: &Told<Delivery>, named: &Named, output: Output) -> anyhow::Result<()> {
    let Named { message, endpoint, app } = named;
    let before = told.read.state.clone();
    output.one(
        told,
        &[("an attempt will be made", format!("{message} for {endpoint}")), ("until now", before)],
    )?;
    note(&format!(
        "what comes of it: `posthaste deliveries show {message} {endpoint} --app {app}`"
    ));
    Ok(())
}

fn cancelled(named: &Named, output: Output) -> anyhow::Result<()> {
    let Named { message, endpoint, .. } = named;
    let done = json!({ "message": message, "endpoint": endpoint, "cancelled": true });
    Ok(output.one(&done, &[("cancelled", format!("{message} for {endpoint}"))])?)
}
