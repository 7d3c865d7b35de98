//! `posthaste publish`: events through the broker, as a producer would send them, or into the file when
//! there is none: a router that has the file open finds them within moments.
//!
//! Every event goes out with an id of its own, so that a repeated call with the same `--id` is one
//! event, and so that the id can be printed before anybody else has seen the event.

use std::io::Read;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use serde_json::json;

use super::exit::Usage;
use super::output::Output;
use super::span::When;
use crate::config::Config;
use crate::domain::event::{EventType, Webhook, WebhookMode, check_payload};
use crate::domain::id::EventId;
use crate::domain::schema;
use crate::runtime::{assemble, chance, clock};
use crate::storage::inbox::Publication;

/// Events published at once: well within what one batch of confirms takes.
const BATCH: u32 = 500;

#[derive(Debug, Args)]
pub(super) struct PublishArgs {
    /// The application whose event it is: its id or uid; with a broker, a uid without full stops
    #[arg(long)]
    app: String,
    /// What happened, as job.completed
    #[arg(long = "type", value_name = "EVENT TYPE")]
    event_type: EventType,
    /// The payload: JSON, @FILE to read it from a file, or - for standard input
    #[arg(long, value_name = "JSON", default_value = "{}")]
    data: String,
    /// The event's id: the same id twice is one event; with --count, -1, -2, … are put behind it
    #[arg(long)]
    id: Option<String>,
    /// What the event is about, as a job's id
    #[arg(long)]
    subject: Option<String>,
    /// Not to be delivered before: RFC 3339, or a span from now as 5m
    #[arg(long, value_name = "TIME")]
    deliver_at: Option<When>,
    /// Of no use after: RFC 3339, or a span from now as 1h. What is not delivered by then is given up
    #[arg(long, value_name = "TIME")]
    expires_at: Option<When>,
    /// A URL of its own, instead of the application's endpoints
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,
    /// Whether that URL is called instead of the endpoints (override) or beside them (add)
    #[arg(long, value_name = "MODE", default_value = "override", requires = "webhook_url")]
    webhook_mode: WebhookMode,
    /// How many events of this kind
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    count: u32,
}

pub(super) async fn run(args: PublishArgs, config: &Config, output: Output) -> anyhow::Result<()> {
    let payload = payload(&args.data, config.limits.max_payload_bytes)?;
    let application = application(&args, &payload, config).await?;
    let webhook = webhook(&args, config)?;
    let publisher = assemble::publisher(config).await?;
    let mut next = 1;
    while next <= args.count {
        let last = args.count.min(next.saturating_add(BATCH - 1));
        let batch: Vec<_> = (next..=last)
            .map(|number| Publication {
                webhook: webhook.clone(),
                ..event(&args, &application, number, &payload)
            })
            .collect();
        publisher
            .publish(&batch)
            .await
            .with_context(|| format!("{} of {} events are confirmed", next - 1, args.count))?;
        for event in &batch {
            let id = event.event_id.as_str();
            output.one(&json!({ "id": id }), &[("published", id.to_owned())])?;
        }
        next = last + 1;
    }
    Ok(())
}

/// What the application is called where events are published. In the file it is known, and so is whether it
/// takes such a payload; over a broker routers hold the payload to its schemas when they take it in.
async fn application(
    args: &PublishArgs,
    payload: &Bytes,
    config: &Config,
) -> anyhow::Result<String> {
    let (named, event_type) = (&args.app, &args.event_type);
    if config.is_embedded() {
        let control = super::control_over(config).await?;
        let known = control.application(named).await?;
        let faults = control.faults_by_schema(&known, event_type, payload).await?;
        if !faults.is_empty() {
            let why = schema::sentence(&faults);
            return Err(Usage(format!("--data is not as `{event_type}` wants it: {why}")).into());
        }
        return Ok(known.id.to_string());
    }
    // A broker cannot be asked who there is.
    if named.is_empty() || named.contains('.') {
        return Err(Usage(format!(
            "`{named}` cannot stand in a routing key: the application's id, or a uid without full \
             stops, is accepted"
        ))
        .into());
    }
    Ok(named.clone())
}

fn event(args: &PublishArgs, application: &str, number: u32, payload: &Bytes) -> Publication {
    let now = clock::now();
    let id = match &args.id {
        Some(id) if args.count == 1 => id.clone(),
        Some(id) => format!("{id}-{number}"),
        None => {
            let id = EventId::minted(now, chance::bytes()).to_string();
            // Not in the form of our own ids: receivers see the id that is derived from this one.
            id.replace(EventId::PREFIX, "event-")
        }
    };
    Publication {
        application: application.to_owned(),
        event_type: args.event_type.to_string(),
        event_id: id,
        idempotency_key: None,
        subject: args.subject.clone(),
        occurred_at: Some(now),
        deliver_at: args.deliver_at.map(|when| when.ahead_of(now)),
        expires_at: args.expires_at.map(|when| when.ahead_of(now)),
        channels: Vec::new(),
        payload: payload.clone(),
        ..Publication::default()
    }
}

/// The URL that the events name, judged as an endpoint's is.
fn webhook(args: &PublishArgs, config: &Config) -> anyhow::Result<Option<Webhook>> {
    let Some(url) = &args.webhook_url else { return Ok(None) };
    let url = assemble::url_check(config)(url)
        .map_err(|why| Usage(format!("--webhook-url `{url}`: {why}")))?;
    Ok(Some(Webhook { url, mode: args.webhook_mode }))
}

fn payload(data: &str, limit: usize) -> anyhow::Result<Bytes> {
    let bytes = if data == "-" {
        bounded(std::io::stdin().lock(), limit).context("reading standard input")?
    } else if let Some(path) = data.strip_prefix('@') {
        let file = std::fs::File::open(path).map_err(|e| Usage(format!("`{path}`: {e}")))?;
        bounded(file, limit).with_context(|| format!("reading `{path}`"))?
    } else {
        data.as_bytes().to_vec()
    };
    check_payload(&bytes, limit).map_err(|fault| Usage(fault.to_string()))?;
    Ok(bytes.into())
}

/// One byte more than is accepted is enough to know that it is too much.
fn bounded(source: impl Read, limit: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_comes_from_the_flag_or_from_a_file_and_is_checked() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("job.json");
        std::fs::write(&path, r#"{"job":7}"#).expect("a file");
        let from_file = format!("@{}", path.display());

        assert_eq!(payload("[1]", 100).expect("JSON"), "[1]");
        assert_eq!(payload(&from_file, 100).expect("JSON"), r#"{"job":7}"#);
        for wrong in ["{", "@/nowhere", &from_file] {
            let error = payload(wrong, 5).expect_err("refused");
            assert_eq!(super::super::exit::code(&error), 2, "{error:#}");
        }
    }
}
