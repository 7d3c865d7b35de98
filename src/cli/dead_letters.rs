//! `posthaste dead-letters`: what was given up, and why; asked of a running router.

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Client, Path, Refusal};
use super::confirm::confirm;
use super::exit::Usage;
use super::filter::{FilterArgs, IdArgs, KindArgs, ended, unknown};
use super::output::{Output, lines_of, note, or_dash, print_object, visible, visible_lines};
use super::pages::{self, Rows};
use super::wire::{Attempt, DeadLetter, Discarded, Group, InspectedLetter, Preview, Told};
use crate::domain::id::DeliveryId;
use crate::runtime::clock;

/// Bytes of payload and of an answer that people are shown; programs get all that is kept.
const SHOWN_BYTES: usize = 4 * 1_024;

#[derive(Debug, Subcommand)]
pub(super) enum DeadLettersCommand {
    /// List dead letters, newest first
    List(ListArgs),
    /// Count them by endpoint, reason and status, with a sample of each
    Groups(GroupsArgs),
    /// Show one dead letter with its event and every attempt
    Show {
        /// The delivery's id (dlv_…)
        id: DeliveryId,
        /// Its application (id or uid)
        #[arg(long)]
        app: Option<String>,
    },
    /// Take them out of the dead letters for good: no replay and no recovery offers them again
    ///
    /// They stay on record as deliveries, and a person can still have one tried by its name (`deliveries
    /// retry`).
    Discard(DiscardArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// How many at most
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
    /// Go on behind this place, as a list that was cut off names it
    #[arg(long, value_name = "PLACE")]
    after: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct GroupsArgs {
    #[command(flatten)]
    kind: KindArgs,
    /// How many groups at most
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
    /// Go on behind this place, as a list that was cut off names it
    #[arg(long, value_name = "PLACE")]
    after: Option<String>,
}

#[derive(Debug, Args)]
// Nothing is discarded by having left something out.
#[command(group(ArgGroup::new("what").required(true).multiple(true).args([
    "ids", "id_file", "all", "app", "endpoint", "event_type", "reason", "status", "error", "subject",
    "text", "since", "until",
])))]
pub(super) struct DiscardArgs {
    #[command(flatten)]
    named: IdArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// Every dead letter there is; with --app, of the application
    #[arg(long, conflicts_with_all = ["ids", "id_file"])]
    all: bool,
    /// Why, for whoever asks later
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(
    command: DeadLettersCommand,
    client: &Client,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        DeadLettersCommand::List(args) => list(args, client, output).await,
        DeadLettersCommand::Groups(args) => groups(args, client, output).await,
        DeadLettersCommand::Show { id, app } => {
            let path = Path::within(app.as_deref(), &["dead-letter", &id.to_string()]);
            show(&client.get(&path).await?, output)
        }
        DeadLettersCommand::Discard(args) => discard(args, client, output).await,
    }
}

async fn list(args: ListArgs, client: &Client, output: Output) -> anyhow::Result<()> {
    let path = Path::within(args.filter.app(), &["dead-letter"]);
    let path = args.filter.on(path, clock::now());
    let listed: Rows<DeadLetter> = pages::read(client, &path, args.limit, args.after).await?;
    let columns =
        ["id", "endpoint", "type", "subject", "reason", "last status", "attempts", "died at"];
    output.list(&columns, &listed.rows, |Told { read: letter, .. }| {
        vec![
            letter.id.clone(),
            letter.endpoint_id.clone(),
            letter.event_type.clone(),
            or_dash(letter.subject.as_ref()),
            letter.reason.clone(),
            status(letter.last_status, letter.last_error.as_deref()),
            letter.attempt_count.to_string(),
            letter.died_at.clone(),
        ]
    })?;
    listed.tell_of_more();
    Ok(())
}

async fn groups(args: GroupsArgs, client: &Client, output: Output) -> anyhow::Result<()> {
    let path = args.kind.on(Path::within(args.kind.app(), &["dead-letter-group"]));
    let listed: Rows<Group> = pages::read(client, &path, args.limit, args.after).await?;
    let columns = [
        "deliveries",
        "endpoint",
        "reason",
        "last status",
        "first died at",
        "last died at",
        "for example",
    ];
    output.list(&columns, &listed.rows, |Told { read: group, .. }| {
        let endpoint = match &group.endpoint_uid {
            Some(uid) => format!("{} ({uid})", group.endpoint_id),
            None => group.endpoint_id.clone(),
        };
        vec![
            group.count.to_string(),
            endpoint,
            group.reason.clone(),
            status(group.status, group.error.as_deref()),
            group.first_seen_at.clone(),
            group.last_seen_at.clone(),
            group.sample_id.clone(),
        ]
    })?;
    listed.tell_of_more();
    Ok(())
}

async fn discard(args: DiscardArgs, client: &Client, output: Output) -> anyhow::Result<()> {
    if args.why.trim().is_empty() {
        return Err(Usage("--why: a reason in a few words is wanted".into()).into());
    }
    // Counted and done up to the same moment: what dies while a person thinks is not in either.
    let now = clock::now();
    let app = args.filter.app().map(str::to_owned);
    let ids = args.named.all()?;
    let mut filter = args.filter.body(&ids, now);
    let all = filter.is_empty();
    if ids.is_empty() {
        filter.entry("until").or_insert_with(|| json!(now));
    }
    let mut body = json!({ "filter": filter });
    if all {
        body["all"] = json!(true);
    }
    let path = Path::within(app.as_deref(), &["replay", "preview"]);
    let counted: Told<Preview> = client.query(&path, &body).await?;
    let unknown = unknown(ids.len(), counted.read.matched);
    match counted.read.matched {
        Some(0) if !ids.is_empty() => {
            let detail = "none of these is a dead letter".to_owned();
            return Err(Refusal::Said { status: 404, detail }.into());
        }
        Some(0) => note("no dead letter matches"),
        Some(matched) => {
            if let Some(unknown) = &unknown {
                note(unknown);
            }
            confirm("discard", matched, "dead letters for good", args.yes)?;
            body["expect"] = json!(matched);
        }
        None => confirm("discard", counted.read.replayable, "dead letters and more", args.yes)?,
    }
    body["reason"] = json!(args.why);
    let path = Path::within(app.as_deref(), &["dead-letter", "discard"]);
    let mut discarded = 0;
    loop {
        let part: Discarded = client.tell(&path, &body).await?;
        discarded += part.discarded;
        if part.done || part.discarded == 0 {
            break;
        }
        // The count was held to by the first part.
        body.as_object_mut().expect("an object").remove("expect");
    }
    output.one(&json!({ "discarded": discarded }), &[("discarded", discarded.to_string())])?;
    ended(unknown)
}

fn show(told: &Told<InspectedLetter>, output: Output) -> anyhow::Result<()> {
    if output.json {
        print_object(told)?;
        return Ok(());
    }
    let inspected = &told.read;
    let letter = &inspected.letter;
    let mut fields = vec![
        ("id", letter.id.clone()),
        ("endpoint", letter.endpoint_id.clone()),
        ("application", letter.application_id.clone()),
        ("message", letter.msg_id.clone()),
        ("type", letter.event_type.clone()),
        ("subject", or_dash(letter.subject.as_ref())),
        ("reason", letter.reason.clone()),
        ("attempts", letter.attempt_count.to_string()),
        ("last status", status(letter.last_status, letter.last_error.as_deref())),
        ("last failure", last_failure(letter)),
        ("died at", letter.died_at.clone()),
    ];
    let event = inspected.event.as_ref();
    if let Some(received_at) = event.and_then(|event| event.received_at.clone()) {
        fields.push(("received at", received_at));
    }
    let payload = event.and_then(|event| event.payload.as_deref());
    fields.push(match payload {
        Some(payload) => ("payload", format!("{} bytes", payload.len())),
        None => ("payload", "not kept any more: it cannot be replayed".into()),
    });
    output.one(&(), &fields)?;
    block(payload.unwrap_or_default(), output)?;
    for attempt in &inspected.attempts {
        output.line("")?;
        show_attempt(attempt, output)?;
    }
    Ok(())
}

fn show_attempt(attempt: &Attempt, output: Output) -> std::io::Result<()> {
    output.line(&format!(
        "attempt {}  {}  {}  {}",
        attempt.number,
        attempt.started_at,
        status(attempt.status, attempt.outcome.as_deref()),
        attempt.url,
    ))?;
    let timing = attempt.timing.as_ref().map(ToString::to_string);
    if let Some(timing) = timing.filter(|timing| !timing.is_empty()) {
        output.line(&format!("  {timing}"))?;
    }
    if let Some(detail) = attempt.detail.as_deref().filter(|detail| !detail.is_empty()) {
        output.line(&format!("  {}", visible(detail)))?;
    }
    if let Some(Value::Object(headers)) = &attempt.request_headers {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                (name.as_str(), text)
            })
            .collect();
        for line in lines_of(&headers).lines() {
            output.line(&format!("  {line}"))?;
        }
    }
    block(attempt.response.as_deref().unwrap_or_default(), output)
}

/// A text from outside, indented, with an end.
fn block(text: &str, output: Output) -> std::io::Result<()> {
    let bytes = text.as_bytes();
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

/// The sentence that is kept, or what was answered: an answer says itself why, and stands with its attempt.
fn last_failure(letter: &DeadLetter) -> String {
    let detail = letter.last_detail.clone().filter(|detail| !detail.is_empty());
    let status = letter.last_status.filter(|status| *status != 0);
    or_dash(detail.or_else(|| status.map(|status| format!("answered {status}"))).as_ref())
}

/// `503 server_error`, or the word alone when no answer came.
fn status(status: Option<u16>, word: Option<&str>) -> String {
    match (status, word) {
        (None | Some(0), Some(word)) => word.to_owned(),
        (None | Some(0), None) => "-".to_owned(),
        (Some(status), None) => status.to_string(),
        (Some(status), Some(word)) => format!("{status} {word}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_failure_is_a_sentence_or_what_was_answered() {
        let told = |status: Option<u16>, detail: Option<&str>| {
            let letter = json!({
                "id": "dlv_1", "msgId": "msg_1", "applicationId": "app_1", "endpointId": "ep_1",
                "eventType": "job.failed", "subject": null, "reason": "attempts_exhausted",
                "attemptCount": 1, "lastStatus": status, "lastError": "x", "lastDetail": detail,
                "diedAt": "2026-09-21T14:13:20Z",
            });
            last_failure(&serde_json::from_value(letter).expect("a dead letter"))
        };
        assert_eq!(told(Some(500), Some("")), "answered 500");
        assert_eq!(told(Some(500), None), "answered 500");
        assert_eq!(told(None, Some("no address")), "no address");
        assert_eq!(told(Some(0), Some("")), "-");
        assert_eq!(told(None, None), "-");
    }
}
