//! `posthaste replay start`: counted and shown first, confirmed, begun on the router, and then watched.
//!
//! **What if we die right here?** Before the router has answered that it is begun, it is or is not: `replay
//! list` tells, and the same again is refused while it goes on. Behind that the job needs nobody here.

use clap::{ArgGroup, Args};
use serde_json::{Map, Value, json};

use super::{Named, rate, show, watch};
use crate::cli::client::{Client, Path, Refusal};
use crate::cli::confirm::confirm;
use crate::cli::exit::Usage;
use crate::cli::filter::{FilterArgs, IdArgs, ended, unknown};
use crate::cli::output::{Output, lines_of, note, or_dash};
use crate::cli::wire::{Preview, Replay, Told};
use crate::control::reasons::REASON_ABOVE;
use crate::domain::replay::{Rate, Scope};
use crate::runtime::clock;

#[derive(Debug, Args)]
// Nothing is replayed by having left something out.
#[command(group(ArgGroup::new("what").required(true).multiple(true).args([
    "ids", "id_file", "all", "app", "endpoint", "event_type", "reason", "status", "error", "subject",
    "text", "since", "until", "missing", "delivered",
])))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(in super::super) struct StartArgs {
    #[command(flatten)]
    named: IdArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// Every dead letter there is; with --app, of the application
    #[arg(long, conflicts_with_all = ["ids", "id_file", "missing", "delivered"])]
    all: bool,
    /// Not dead letters, but what --endpoint wants now and was never owed
    #[arg(long, requires = "endpoint", conflicts_with_all = ["ids", "id_file", "delivered"])]
    missing: bool,
    /// Not dead letters, but what --endpoint has received already: it receives it again
    #[arg(long, requires = "endpoint", conflicts_with_all = ["ids", "id_file"])]
    delivered: bool,
    /// To this endpoint (id) instead, which is then owed the events; what was given up stays so
    #[arg(long, value_name = "ENDPOINT")]
    to_endpoint: Option<String>,
    /// Deliveries a second, as 200/s [default: 50/s]
    #[arg(long, value_parser = rate, value_name = "N/s")]
    rate: Option<Rate>,
    /// Why, for whoever asks later; wanted above 10,000 deliveries
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// Count and show, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Begin it and do not watch
    #[arg(long, conflicts_with = "dry_run")]
    detach: bool,
}

/// What is asked for, without what a person says to it.
struct Asked {
    app: Option<String>,
    body: Value,
    named: usize,
}

impl StartArgs {
    fn scope(&self) -> Scope {
        match (self.missing, self.delivered) {
            (true, _) => Scope::Missing,
            (false, true) => Scope::Delivered,
            (false, false) => Scope::DeadLetters,
        }
    }

    fn asked(self) -> anyhow::Result<Asked> {
        let now = clock::now();
        let scope = self.scope();
        let app = self.filter.app().map(str::to_owned);
        let ids = self.named.all()?;
        let mut filter = self.filter.body(&ids, now);
        let mut body = Map::new();
        body.insert("scope".into(), json!(scope.as_str()));
        match scope {
            Scope::DeadLetters => {
                // Of an application, when nothing else is said: said, for the router does not guess it.
                if filter.is_empty() {
                    body.insert("all".into(), Value::Bool(true));
                }
                // Counted and begun up to the same moment: what dies meanwhile is not in either. Those that
                // are named are what they are.
                if ids.is_empty() {
                    filter.entry("until").or_insert_with(|| json!(now));
                }
            }
            Scope::Missing | Scope::Delivered | Scope::GivenUp => {
                filter.entry("until").or_insert_with(|| json!(now)); // and what is received meanwhile
                for name in ["endpointId", "since", "until"] {
                    body.extend(filter.remove(name).map(|value| (name.to_owned(), value)));
                }
                let unfit: Vec<_> =
                    filter.keys().map(String::as_str).filter(|name| *name != "eventType").collect();
                if !unfit.is_empty() {
                    return Err(Usage(format!(
                        "--missing and --delivered are about what was not given up: --endpoint, --app, \
                         --type, --since and --until are accepted with them, not {}",
                        unfit.join(", ")
                    ))
                    .into());
                }
            }
        }
        if !filter.is_empty() {
            body.insert("filter".into(), Value::Object(filter));
        }
        let mut put = |name: &str, value: Option<Value>| {
            body.extend(value.map(|value| (name.to_owned(), value)));
        };
        put("toEndpointId", self.to_endpoint.map(Value::from));
        put("rate", self.rate.map(|rate| json!(rate)));
        put("reason", self.why.filter(|why| !why.trim().is_empty()).map(Value::from));
        Ok(Asked { app, body: Value::Object(body), named: ids.len() })
    }
}

pub(super) async fn run(args: StartArgs, client: &Client, output: Output) -> anyhow::Result<()> {
    let (dry_run, yes, detach, scope) = (args.dry_run, args.yes, args.detach, args.scope());
    let Asked { app, mut body, named } = args.asked()?;
    let path = Path::within(app.as_deref(), &["replay", "preview"]);
    let preview: Told<Preview> = client.query(&path, &body).await?;
    let counted = &preview.read;
    if named > 0 && counted.matched == Some(0) {
        let detail = "none of these is a dead letter".to_owned();
        return Err(Refusal::Said { status: 404, detail }.into());
    }
    let unknown = unknown(named, counted.matched);
    if dry_run && output.json {
        output.one(&preview, &[])?;
        return ended(unknown);
    }
    tell(counted, scope, dry_run, output)?;
    if dry_run {
        return ended(unknown);
    }
    if counted.matched.is_some() && counted.replayable == 0 {
        note("there is nothing to replay");
        return ended(unknown);
    }
    if let Some(unknown) = &unknown {
        note(unknown); // before anybody is asked
    }
    if counted.matched.is_none_or(|matched| matched > REASON_ABOVE) && body.get("reason").is_none()
    {
        return Err(Usage(format!(
            "--why: a replay of more than {REASON_ABOVE} deliveries says why it is made"
        ))
        .into());
    }
    let what = if counted.matched.is_some() { "deliveries" } else { "deliveries and more" };
    confirm("replay", counted.replayable, what, yes)?;
    if let Some(matched) = counted.matched {
        body["expect"] = json!(matched);
    }
    let mut interrupt = watch::Interrupt::listen()?;
    let path = Path::within(app.as_deref(), &["replay"]);
    let begun: Told<Replay> = client.tell(&path, &body).await?;
    let named = Named { id: begun.read.id.parse()?, app };
    if detach {
        show(&begun, output)?;
        note(&format!("it goes on by itself; to look: {}", named.look_again()));
        return ended(unknown);
    }
    watch::watch(Some(begun), &named, client, output, &mut interrupt).await?;
    ended(unknown)
}

/// What a replay would do: on standard output where that was the question, else beside the answer.
fn tell(counted: &Preview, scope: Scope, dry_run: bool, output: Output) -> std::io::Result<()> {
    let columns = ["endpoint", "reason", "deliveries"];
    let rows: Vec<Vec<String>> = counted
        .by_endpoint
        .iter()
        .map(|part| {
            vec![part.endpoint_id.clone(), or_dash(part.reason.as_ref()), part.count.to_string()]
        })
        .collect();
    let fields = fields(counted, scope);
    if dry_run {
        if !rows.is_empty() {
            output.list(&columns, &rows, Clone::clone)?;
        }
        return output.one(&(), &fields);
    }
    output.aside(&columns, rows);
    note(&lines_of(&fields));
    Ok(())
}

fn fields(counted: &Preview, scope: Scope) -> Vec<(&'static str, String)> {
    let mut fields = Vec::new();
    fields.push(match counted.matched {
        Some(matched) => ("matched", matched.to_string()),
        None => ("matched", "more than could be counted".to_owned()),
    });
    fields.push(("to be replayed", counted.replayable.to_string()));
    for left in &counted.not_replayable {
        fields.push(("cannot be replayed", format!("{} ({})", left.count, left.why)));
    }
    fields.extend(counted.bytes.map(|bytes| ("payload bytes", bytes.to_string())));
    let (oldest_at, newest_at) = match scope {
        Scope::DeadLetters => ("oldest died at", "newest died at"),
        Scope::Missing | Scope::Delivered | Scope::GivenUp => {
            ("oldest received at", "newest received at")
        }
    };
    fields.extend(counted.oldest_died_at.clone().map(|oldest| (oldest_at, oldest)));
    fields.extend(counted.newest_died_at.clone().map(|newest| (newest_at, newest)));
    if let Some(rate) = counted.rate {
        let takes = counted.estimated_seconds.map(super::progress::span);
        let takes = takes.map_or_else(String::new, |span| format!(", some {span}"));
        fields.push(("rate", format!("{rate}/s{takes}")));
    }
    if !counted.paused.is_empty() {
        fields.push(("paused, so theirs wait", counted.paused.join(", ")));
    }
    fields.push(("order", "not promised".into()));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_died_was_received() {
        let counted = json!({
            "matched": 1, "replayable": 1, "oldestDiedAt": "2026-09-21T14:13:20Z",
            "newestDiedAt": "2026-09-21T14:13:20Z",
        });
        let counted: Preview = serde_json::from_value(counted).expect("a preview");
        let names = |scope| -> Vec<_> {
            fields(&counted, scope).into_iter().map(|(name, _)| name).collect()
        };
        assert!(names(Scope::DeadLetters).contains(&"oldest died at"));
        for scope in [Scope::Missing, Scope::Delivered] {
            let names = names(scope);
            assert!(names.contains(&"oldest received at"), "{names:?}");
            assert!(!names.iter().any(|name| name.contains("died")), "{names:?}");
        }
    }
}
