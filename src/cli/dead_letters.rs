//! `posthaste dead-letters`: what was given up, and why.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::output::{Output, note, or_dash, print_object, visible, visible_lines};
use super::span::When;
use crate::control::Control;
use crate::control::dead_letters::Which;
use crate::domain::dead_letter::StatusIs;
use crate::domain::id::{ApplicationId, DeliveryId, EndpointId, EventId};
use crate::domain::settlement::DeathReason;
use crate::domain::time::Timestamp;
use crate::runtime::clock;
use crate::storage::dead_letters::{DeadLetter, Inspected};
use crate::storage::journal::AttemptRecord;

/// Dead letters fetched at once.
const PAGE: usize = 500;

/// Bytes of payload and of an answer that people are shown; programs get all that is kept.
const SHOWN_BYTES: usize = 4 * 1_024;

#[derive(Debug, Subcommand)]
pub(super) enum DeadLettersCommand {
    /// List dead letters, newest first
    List {
        #[command(flatten)]
        which: WhichArgs,
        /// How many at most
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: usize,
        /// Go on behind this one
        #[arg(long, value_name = "DELIVERY")]
        after: Option<DeliveryId>,
    },
    /// Show one dead letter with its event and every attempt
    Show {
        /// The delivery's id (dlv_…)
        id: String,
    },
}

/// Which dead letters; all that is given holds together.
#[derive(Debug, Args)]
pub(super) struct WhichArgs {
    /// Of this application (id or uid)
    #[arg(long)]
    app: Option<String>,
    /// For this endpoint: its id, or its uid together with --app
    #[arg(long)]
    endpoint: Option<String>,
    /// Of this event type, or of those that begin so, as 'job.*'
    #[arg(long = "type", value_name = "PATTERN")]
    event_type: Option<String>,
    /// Given up because: `attempts_exhausted`, `gone`, `refused` or `expired`
    #[arg(long, value_parser = reason)]
    reason: Option<DeathReason>,
    /// With this last status; 0 is no answer
    #[arg(long)]
    status: Option<u16>,
    /// Given up since: RFC 3339, or a span back as 2h
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Given up before: RFC 3339, or a span back as 30m
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
}

impl WhichArgs {
    pub(super) fn into_which(self, ids: Vec<String>, now: Timestamp) -> Which {
        Which {
            ids,
            application: self.app,
            endpoint: self.endpoint,
            event_type: self.event_type,
            reason: self.reason,
            status: self.status.map(StatusIs::Code),
            since: self.since.map(|when| when.back_from(now)),
            until: self.until.map(|when| when.back_from(now)),
        }
    }
}

fn reason(text: &str) -> Result<DeathReason, String> {
    DeathReason::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or_else(|| {
        let known: Vec<_> = DeathReason::ALL.iter().map(|reason| reason.as_str()).collect();
        format!("`{text}` is not a reason: {} are accepted", known.join(", "))
    })
}

pub(super) async fn run(
    command: DeadLettersCommand,
    control: &Control,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        DeadLettersCommand::List { which, limit, after } => {
            let which = which.into_which(Vec::new(), clock::now());
            list(&which, limit, after, control, output).await
        }
        DeadLettersCommand::Show { id } => show(&control.dead_letter(&id).await?, output),
    }
}

async fn list(
    which: &Which,
    limit: usize,
    mut after: Option<DeliveryId>,
    control: &Control,
    output: Output,
) -> anyhow::Result<()> {
    let mut letters = Vec::new();
    while letters.len() < limit {
        let wanted = PAGE.min(limit - letters.len());
        let page = control.dead_letters(which, after, wanted).await?;
        let is_last = page.len() < wanted;
        after = page.last().map(|letter| letter.id);
        letters.extend(page);
        if is_last {
            after = None;
            break;
        }
    }
    let shown: Vec<_> = letters.iter().map(LetterShown::of).collect();
    let columns =
        ["id", "endpoint", "type", "subject", "reason", "last status", "attempts", "died at"];
    output.list(&columns, &shown, |letter| {
        vec![
            letter.id.to_string(),
            letter.endpoint_id.to_string(),
            letter.event_type.to_owned(),
            or_dash(letter.subject),
            letter.reason.to_owned(),
            status(letter.last_status, letter.last_outcome),
            letter.attempts.to_string(),
            letter.died_at.to_string(),
        ]
    })?;
    if let Some(last) = after {
        let all = control.count_dead_letters(which).await?;
        note(&format!("{} of {all} shown; the next: --after {last}", letters.len()));
    }
    Ok(())
}

fn show(inspected: &Inspected, output: Output) -> anyhow::Result<()> {
    let shown = InspectedShown::of(inspected);
    if output.json {
        print_object(&shown)?;
        return Ok(());
    }
    let letter = &shown.letter;
    let mut fields = vec![
        ("id", letter.id.to_string()),
        ("endpoint", letter.endpoint_id.to_string()),
        ("application", letter.application_id.to_string()),
        ("event", letter.event_id.to_string()),
        ("type", letter.event_type.to_owned()),
        ("subject", or_dash(letter.subject)),
        ("reason", letter.reason.to_owned()),
        ("attempts", letter.attempts.to_string()),
        ("last status", status(letter.last_status, letter.last_outcome)),
        ("last failure", letter.last_detail.to_owned()),
        ("died at", letter.died_at.to_string()),
    ];
    match &inspected.event {
        Some(event) => {
            fields.push(("received at", event.received_at.to_string()));
            fields.push(("payload", format!("{} bytes", event.payload.len())));
        }
        None => fields.push(("payload", "not kept any more".into())),
    }
    output.one(&(), &fields)?;
    if let Some(event) = &inspected.event {
        block(&event.payload, output)?;
    }
    for attempt in &inspected.attempts {
        output.line("")?;
        output.line(&format!(
            "attempt {}  {}  {}  {} ms  {}",
            attempt.number,
            attempt.started_at,
            status(attempt.status, &attempt.outcome),
            attempt.duration_ms,
            attempt.url,
        ))?;
        if !attempt.detail.is_empty() {
            output.line(&format!("  {}", visible(&attempt.detail)))?;
        }
        block(&attempt.response, output)?;
    }
    Ok(())
}

/// Bytes from outside, indented, with an end.
fn block(bytes: &[u8], output: Output) -> std::io::Result<()> {
    let kept = &bytes[..bytes.len().min(SHOWN_BYTES)];
    if kept.is_empty() {
        return Ok(());
    }
    for line in visible_lines(kept).lines() {
        output.line(&format!("  {line}"))?;
    }
    let left = bytes.len() - kept.len();
    if left > 0 { output.line(&format!("  … and {left} bytes more")) } else { Ok(()) }
}

/// `503 server_error`, or the outcome alone when no answer came.
fn status(status: u16, outcome: &str) -> String {
    if status == 0 { outcome.to_owned() } else { format!("{status} {outcome}") }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LetterShown<'a> {
    id: DeliveryId,
    event_id: EventId,
    endpoint_id: EndpointId,
    application_id: ApplicationId,
    event_type: &'a str,
    subject: Option<&'a String>,
    reason: &'static str,
    attempts: u32,
    last_status: u16,
    last_outcome: &'a str,
    last_detail: &'a str,
    died_at: Timestamp,
}

impl<'a> LetterShown<'a> {
    fn of(letter: &'a DeadLetter) -> Self {
        Self {
            id: letter.id,
            event_id: letter.key.event,
            endpoint_id: letter.key.endpoint,
            application_id: letter.application,
            event_type: &letter.event_type,
            subject: letter.subject.as_ref(),
            reason: letter.reason.as_str(),
            attempts: letter.attempts,
            last_status: letter.last_status,
            last_outcome: &letter.last_outcome,
            last_detail: &letter.last_detail,
            died_at: letter.died_at,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct InspectedShown<'a> {
    #[serde(flatten)]
    letter: LetterShown<'a>,
    event: Option<EventShown<'a>>,
    attempt_log: Vec<AttemptShown<'a>>,
}

/// The payload is text, not JSON within JSON: it is shown to the byte.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EventShown<'a> {
    producer_id: Option<&'a str>,
    occurred_at: Timestamp,
    received_at: Timestamp,
    deliver_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    content_type: Option<&'a str>,
    payload: std::borrow::Cow<'a, str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AttemptShown<'a> {
    id: crate::domain::id::AttemptId,
    number: u32,
    started_at: Timestamp,
    duration_ms: u32,
    outcome: &'a str,
    status: u16,
    url: &'a str,
    detail: &'a str,
    response: std::borrow::Cow<'a, str>,
}

impl<'a> InspectedShown<'a> {
    fn of(inspected: &'a Inspected) -> Self {
        let event = inspected.event.as_ref().map(|event| EventShown {
            producer_id: event.event_id.as_deref(),
            occurred_at: event.occurred_at,
            received_at: event.received_at,
            deliver_at: event.deliver_at,
            expires_at: event.expires_at,
            content_type: event.content_type.as_deref(),
            payload: String::from_utf8_lossy(&event.payload),
        });
        let attempt = |attempt: &'a AttemptRecord| AttemptShown {
            id: attempt.id,
            number: attempt.number,
            started_at: attempt.started_at,
            duration_ms: attempt.duration_ms,
            outcome: &attempt.outcome,
            status: attempt.status,
            url: &attempt.url,
            detail: &attempt.detail,
            response: String::from_utf8_lossy(&attempt.response),
        };
        let attempt_log = inspected.attempts.iter().map(attempt).collect();
        Self { letter: LetterShown::of(&inspected.letter), event, attempt_log }
    }
}
