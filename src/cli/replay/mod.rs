//! `posthaste replay`: deliveries offered again, as a job of the router that counts first, keeps to a rate,
//! and goes on whoever dies.

mod progress;
mod start;
mod watch;

use clap::{Args, Subcommand};
use serde_json::json;

pub(super) use self::start::StartArgs;
use super::client::{Client, Path};
use super::output::{Output, or_dash};
use super::pages::{self, Rows};
use super::wire::{Replay, Told};
use crate::domain::id::ReplayId;
use crate::domain::replay::{RATE_MAX, Rate, ReplayState};

#[derive(Debug, Subcommand)]
pub(super) enum ReplayCommand {
    /// Count, ask, begin, and watch
    Start(Box<StartArgs>),
    /// List replays, newest first
    List {
        /// Of this application (id or uid)
        #[arg(long)]
        app: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: usize,
        /// Go on behind this place, as a list that was cut off names it
        #[arg(long, value_name = "PLACE")]
        after: Option<String>,
    },
    /// How far a replay is
    Status {
        #[command(flatten)]
        named: Named,
        /// Go on looking until it ends, or pauses itself
        #[arg(long)]
        watch: bool,
    },
    /// Offer nothing for now
    Pause(Named),
    /// Go on; what has failed so far is forgiven
    Resume(Named),
    /// Offer nothing more; what was not offered stays as it was
    Cancel(Named),
    /// Go on at another rate
    SetRate {
        #[command(flatten)]
        named: Named,
        /// Deliveries a second, as 200/s
        #[arg(value_parser = rate)]
        rate: Rate,
    },
}

/// Which replay.
#[derive(Debug, Args)]
pub(super) struct Named {
    /// Its id (rpl_…)
    id: ReplayId,
    /// Its application (id or uid), with an application's token
    #[arg(long)]
    app: Option<String>,
}

impl Named {
    fn path(&self, more: &[&str]) -> Path {
        let id = self.id.to_string();
        let segments: Vec<&str> = ["replay", &id].into_iter().chain(more.iter().copied()).collect();
        Path::within(self.app.as_deref(), &segments)
    }
}

pub(super) async fn run(
    command: ReplayCommand,
    client: &Client,
    output: Output,
) -> anyhow::Result<()> {
    let replay: Told<Replay> = match command {
        ReplayCommand::Start(args) => return start::run(*args, client, output).await,
        ReplayCommand::List { app, limit, after } => {
            let path = Path::within(app.as_deref(), &["replay"]);
            return list(&pages::read(client, &path, limit, after).await?, output);
        }
        ReplayCommand::Status { named, watch: true } => {
            return watch::until_it_ends(&named, client, output).await;
        }
        ReplayCommand::Status { named, watch: false } => client.get(&named.path(&[])).await?,
        ReplayCommand::Pause(named) => client.tell(&named.path(&["pause"]), &json!({})).await?,
        ReplayCommand::Resume(named) => client.tell(&named.path(&["resume"]), &json!({})).await?,
        ReplayCommand::Cancel(named) => client.tell(&named.path(&["cancel"]), &json!({})).await?,
        ReplayCommand::SetRate { named, rate } => {
            client.tell(&named.path(&["rate"]), &json!({ "rate": rate })).await?
        }
    };
    Ok(show(&replay, output)?)
}

fn list(listed: &Rows<Replay>, output: Output) -> anyhow::Result<()> {
    let columns = [
        "id",
        "scope",
        "state",
        "matched",
        "offered",
        "skipped",
        "delivered",
        "dead",
        "rate",
        "created at",
        "why",
    ];
    output.list(&columns, &listed.rows, |Told { read: replay, .. }| {
        vec![
            replay.id.clone(),
            replay.scope.clone(),
            replay.state.as_str().to_owned(),
            or_dash(replay.matched.as_ref()),
            replay.offered.to_string(),
            replay.skipped.to_string(),
            replay.delivered.to_string(),
            replay.dead.to_string(),
            format!("{}/s", replay.rate),
            replay.created_at.clone(),
            or_dash(replay.reason.as_ref()),
        ]
    })?;
    listed.tell_of_more();
    Ok(())
}

fn show(told: &Told<Replay>, output: Output) -> std::io::Result<()> {
    let replay = &told.read;
    let mut fields = vec![
        ("replay", replay.id.clone()),
        ("state", replay.state.as_str().to_owned()),
        ("offers", replay.scope.clone()),
    ];
    let mut told_if_there = |name: &'static str, value: &Option<String>| {
        fields.extend(value.clone().map(|value| (name, value)));
    };
    told_if_there("because", &because(replay));
    told_if_there("application", &replay.application_id);
    told_if_there("endpoint", &replay.endpoint_id);
    told_if_there("to endpoint", &replay.to_endpoint_id);
    fields.extend([
        ("matched", or_dash(replay.matched.as_ref())),
        ("offered", replay.offered.to_string()),
        ("passed over", replay.skipped.to_string()),
        ("tried", replay.tried.to_string()),
        ("delivered", replay.delivered.to_string()),
        ("dead again", replay.dead.to_string()),
        ("rate", format!("{}/s", replay.rate)),
        ("begun by", replay.actor.clone()),
        ("why", or_dash(replay.reason.as_ref())),
        ("created at", replay.created_at.clone()),
        ("ended at", or_dash(replay.ended_at.as_ref())),
    ]);
    output.one(told, &fields)
}

/// Why it does not go on: it says so itself where that is its own doing, and else a person has paused it.
fn because(replay: &Replay) -> Option<String> {
    let by_hand = || (replay.state == ReplayState::Paused).then(|| "somebody paused it".to_owned());
    replay.because.clone().or_else(by_hand)
}

/// `200/s`, or the number alone.
fn rate(text: &str) -> Result<Rate, String> {
    let text = text.trim();
    let number = text.strip_suffix("/s").unwrap_or(text);
    let read = number.parse::<u32>().ok().and_then(|number| Rate::try_from(number).ok());
    read.ok_or_else(|| {
        format!(
            "`{text}` is not a rate: 1 to {RATE_MAX} deliveries a second, as 200/s, is accepted"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_a_second() {
        for (text, per_second) in [("200/s", 200), ("1", 1), (" 10000/s ", 10_000)] {
            assert_eq!(rate(text).map(Rate::per_second), Ok(per_second), "{text}");
        }
        for text in ["", "0", "10001/s", "5/m", "fast", "-1/s"] {
            assert!(rate(text).expect_err(text).contains("as 200/s"), "{text}");
        }
    }
}
