//! `posthaste replay`: dead letters delivered again. Counted first, confirmed, then run.

use std::io::{BufRead, IsTerminal};

use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use super::dead_letters::WhichArgs;
use super::exit::Usage;
use super::output::{Output, note, print_object};
use crate::control::dead_letters::CountedReplay;
use crate::control::{Control, ControlError};
use crate::runtime::clock;

/// Beyond this many, a person types the count: a `y` is typed too easily.
const TYPED_ABOVE: u64 = 1_000;

#[derive(Debug, Args)]
// Nothing is replayed by having left something out.
#[command(group(ArgGroup::new("what").required(true).multiple(true).args([
    "ids", "all", "app", "endpoint", "event_type", "reason", "status", "since", "until",
])))]
pub(super) struct ReplayArgs {
    /// Only these deliveries (dlv_…)
    ids: Vec<String>,
    #[command(flatten)]
    which: WhichArgs,
    /// Every dead letter there is
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Count and show, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(args: ReplayArgs, control: &Control, output: Output) -> anyhow::Result<()> {
    let named = !args.ids.is_empty();
    let counted = control.count_replay(&args.which.into_which(args.ids, clock::now())).await?;
    let total = counted.count.total();
    if named && total == 0 && counted.count.without_endpoint == 0 {
        return Err(ControlError::NotFound("none of these is a dead letter".into()).into());
    }
    show(&counted, output)?;
    if args.dry_run || total == 0 {
        if output.json {
            print_object(&summary(&counted, None))?;
        }
        return Ok(());
    }
    confirm(how_to_ask(total, args.yes, std::io::stdin().is_terminal()), total)?;
    let replayed = control.replay(&counted).await?;
    if output.json {
        print_object(&summary(&counted, Some(replayed)))?;
    }
    output.line(&format!("{replayed} deliveries go on; their order is not promised"))?;
    Ok(())
}

/// How a person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Nothing,
    YesOrNo,
    TheCount,
    /// Nobody is there to be asked.
    Refuse,
}

const fn how_to_ask(total: u64, yes: bool, is_terminal: bool) -> Ask {
    match (yes, is_terminal) {
        (true, _) => Ask::Nothing,
        (false, false) => Ask::Refuse,
        (false, true) if total > TYPED_ABOVE => Ask::TheCount,
        (false, true) => Ask::YesOrNo,
    }
}

fn confirm(ask: Ask, total: u64) -> anyhow::Result<()> {
    let wanted = match ask {
        Ask::Nothing => return Ok(()),
        Ask::Refuse => {
            return Err(Usage("there is no terminal to confirm on: --yes is wanted".into()).into());
        }
        Ask::YesOrNo => {
            note(&format!("replay {total} deliveries? type y to confirm"));
            "y".to_owned()
        }
        Ask::TheCount => {
            note(&format!("replay {total} deliveries? type {total} to confirm"));
            total.to_string()
        }
    };
    let mut typed = String::new();
    std::io::stdin().lock().read_line(&mut typed)?;
    if typed.trim() == wanted {
        Ok(())
    } else {
        Err(Usage("not confirmed: nothing was replayed".into()).into())
    }
}

fn show(counted: &CountedReplay, output: Output) -> std::io::Result<()> {
    let count = &counted.count;
    if output.json {
        return Ok(()); // one object, at the end
    }
    output.list(&["endpoint", "deliveries"], &count.by_endpoint, |(endpoint, deliveries)| {
        vec![endpoint.to_string(), deliveries.to_string()]
    })?;
    let mut fields = vec![
        ("to be replayed", count.total().to_string()),
        ("payload bytes", count.bytes.to_string()),
    ];
    if let Some((oldest, newest)) = count.span {
        fields.push(("oldest died at", oldest.to_string()));
        fields.push(("newest died at", newest.to_string()));
    }
    if count.without_endpoint > 0 {
        let left = format!("{} (their endpoint is gone or disabled)", count.without_endpoint);
        fields.push(("cannot be replayed", left));
    }
    output.one(&(), &fields)
}

fn summary(counted: &CountedReplay, replayed: Option<u64>) -> Value {
    let count = &counted.count;
    let by_endpoint: Vec<Value> = count
        .by_endpoint
        .iter()
        .map(|(endpoint, deliveries)| json!({ "endpointId": endpoint, "deliveries": deliveries }))
        .collect();
    json!({
        "replayable": count.total(),
        "byEndpoint": by_endpoint,
        "withoutEndpoint": count.without_endpoint,
        "bytes": count.bytes,
        "oldestDiedAt": count.span.map(|(oldest, _)| oldest),
        "newestDiedAt": count.span.map(|(_, newest)| newest),
        "replayed": replayed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_and_how() {
        let table = [
            // (deliveries, --yes, a terminal)
            ((5, true, false), Ask::Nothing),
            ((5_000, true, true), Ask::Nothing),
            ((5, false, true), Ask::YesOrNo),
            ((1_000, false, true), Ask::YesOrNo),
            ((1_001, false, true), Ask::TheCount),
            ((5, false, false), Ask::Refuse),
        ];
        for ((total, yes, is_terminal), ask) in table {
            assert_eq!(how_to_ask(total, yes, is_terminal), ask, "{total} {yes} {is_terminal}");
        }
    }
}
