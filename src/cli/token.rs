//! `posthaste token`: tokens for the HTTP API.
//!
//! Made here and now with the key of the data folder or of `api.token_key`; no router has to run.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::exit::Usage;
use super::output::{Output, note};
use super::span::span;
use crate::config::Config;
use crate::control::Control;
use crate::control::tokens::{APPLICATION_SPAN, Caller, ORGANISATION, ORGANISATION_SPAN};
use crate::runtime::{assemble, clock};

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token; it is printed once and kept nowhere
    Create(CreateArgs),
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// For this application alone (id or uid), with fewer rights: it may not publish
    #[arg(long)]
    app: Option<String>,
    /// How long it holds, as 12h or 90d [default: ten years; with --app, 28d]
    #[arg(long, value_name = "SPAN", value_parser = span)]
    expires: Option<Duration>,
}

pub(super) async fn run(
    command: TokenCommand,
    control: &Control,
    config: &Config,
    output: Output,
) -> anyhow::Result<()> {
    let TokenCommand::Create(args) = command;
    if args.expires.is_some_and(|span| span < Duration::from_secs(1)) {
        return Err(Usage("--expires: a second or more is accepted".into()).into());
    }
    let (caller, subject, usual) = match &args.app {
        None => (Caller::Organisation, ORGANISATION.to_owned(), ORGANISATION_SPAN),
        Some(app) => {
            let id = control.application(app).await?.id;
            (Caller::Application(id), id.to_string(), APPLICATION_SPAN)
        }
    };
    let (now, span) = (clock::now(), args.expires.unwrap_or(usual));
    let token = assemble::token_key(config)?.token(caller, now, span);
    let expires_at = now + span;
    if output.json {
        output.one(&json!({ "token": token, "subject": subject, "expiresAt": expires_at }), &[])?;
    } else {
        // Alone on its line, so that a shell can take it: "$(posthaste token create)".
        output.line(&token)?;
        note(&format!("for {subject}, until {expires_at}"));
    }
    Ok(())
}
