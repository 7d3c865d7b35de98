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
use crate::control::tokens::{APPLICATION_SPAN, Caller, ORGANISATION_SPAN};
use crate::domain::capability::Capabilities;
use crate::domain::id::OrganisationId;
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
    /// Of this organisation: any id of that kind is one of its own, with nothing to see of others
    #[arg(long, value_name = "ID", default_value_t = OrganisationId::DEFAULT)]
    org: OrganisationId,
    /// With --app: which event types it is shown besides those for everybody
    #[arg(long = "feature-flag", value_name = "FLAG", requires = "app")]
    feature_flags: Vec<String>,
    /// For looking alone: what changes something or shows a secret is refused, over the API and in the console
    #[arg(long)]
    read_only: bool,
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
        None => (Caller::Organisation(args.org), args.org.to_string(), ORGANISATION_SPAN),
        Some(app) => {
            let id = control.within(args.org).application(app).await?.id;
            let caller = Caller::Application {
                organisation: args.org,
                application: id,
                feature_flags: args.feature_flags,
            };
            (caller, id.to_string(), APPLICATION_SPAN)
        }
    };
    let (now, span) = (clock::now(), args.expires.unwrap_or(usual));
    let capabilities = if args.read_only { Capabilities::VIEW } else { Capabilities::ALL };
    let token = assemble::token_key(config)?.token_with(&caller, capabilities, now, span);
    let expires_at = now + span;
    if output.json {
        let read_only = args.read_only;
        let made = json!({
            "token": token, "subject": subject, "readOnly": read_only, "expiresAt": expires_at,
        });
        output.one(&made, &[])?;
    } else {
        // Alone on its line, so that a shell can take it: "$(posthaste token create)".
        output.line(&token)?;
        let looking = if args.read_only { ", for looking alone" } else { "" };
        note(&format!("for {subject}{looking}, until {expires_at}"));
    }
    Ok(())
}
