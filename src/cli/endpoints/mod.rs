//! `posthaste endpoint`: URLs that want events.

mod flags;
mod shown;
pub(super) mod top;

use clap::{Args, Subcommand};
use serde_json::json;

use self::flags::{CreateArgs, EditArgs};
use self::shown::EndpointShown;
pub(super) use self::shown::retry as retry_shown;
use super::output::{Output, or_dash};
use super::span::span;
use crate::control::{Control, NewKey, OVERLAP_S_DEFAULT, UrlRule};
use crate::domain::endpoint::Endpoint;
use crate::domain::signature::Scheme;

#[derive(Debug, Subcommand)]
pub(super) enum EndpointCommand {
    /// What is in the catalogue; no router has to run.
    #[command(flatten)]
    Catalogue(Box<CatalogueCommand>),
    /// The worst at this moment, by what is overdue, fails or is slow; asked of a running router
    Top(top::TopArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum CatalogueCommand {
    /// Make an endpoint; its signing secret is printed once
    Create(CreateArgs),
    /// List endpoints, newest first
    List {
        /// Only those of this application (id or uid)
        #[arg(long)]
        app: Option<String>,
    },
    /// Show one endpoint
    Show(Named),
    /// Change an endpoint; what is not named stays as it is
    Edit(EditArgs),
    /// Stop calling it for now: what it is owed waits
    Pause(Named),
    /// Call it again, at once with what waits for it
    Resume(Named),
    /// Delete it; what it is owed is cancelled
    Delete(Named),
    /// Show the secrets that its requests are signed with, newest first
    Secret(Named),
    /// Give it a new secret; the old one signs on beside it for a while
    Rotate(RotateArgs),
}

/// Which endpoint.
#[derive(Debug, Args)]
pub(super) struct Named {
    /// Its id (ep_…), or its uid together with --app
    endpoint: String,
    /// Its application (id or uid)
    #[arg(long)]
    app: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    #[command(flatten)]
    named: Named,
    /// The new secret (whsec_…, or whsk_… for Ed25519); one is made when none is given
    #[arg(long)]
    secret: Option<String>,
    /// The scheme of a secret that is made: v1 (HMAC), or v1a (Ed25519: its receiver is told a public
    /// key, whpk_…)
    #[arg(long, default_value_t = Scheme::V1, conflicts_with = "secret")]
    scheme: Scheme,
    /// How long the old one signs on, as 24h; 0s ends it now [default: 24h]
    #[arg(long, value_name = "SPAN", value_parser = span)]
    overlap: Option<std::time::Duration>,
}

pub(super) async fn run(
    command: CatalogueCommand,
    control: &Control,
    rule: UrlRule<'_>,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        CatalogueCommand::Create(args) => {
            let (app, new) = args.into_new()?;
            let tenant = control.application(&app).await?.tenant();
            let endpoint = control.create_endpoint(tenant, new, rule).await?;
            show(&endpoint, true, output)?;
        }
        CatalogueCommand::List { app } => list(&control.endpoints(app.as_deref()).await?, output)?,
        CatalogueCommand::Show(Named { endpoint, app }) => {
            show(&control.endpoint(app.as_deref(), &endpoint).await?, false, output)?;
        }
        CatalogueCommand::Edit(args) => {
            let (Named { endpoint, app }, edit) = args.into_edit()?;
            show(
                &control.edit_endpoint(app.as_deref(), &endpoint, edit, rule).await?,
                false,
                output,
            )?;
        }
        CatalogueCommand::Pause(Named { endpoint, app }) => {
            let paused = control.pause_endpoint(app.as_deref(), &endpoint).await?;
            let id = paused.id.to_string();
            output.one(&json!({ "id": id, "state": paused.state }), &[("paused", id.clone())])?;
        }
        CatalogueCommand::Resume(Named { endpoint, app }) => {
            let (resumed, recalled) = control.resume_endpoint(app.as_deref(), &endpoint).await?;
            let id = resumed.id.to_string();
            output.one(
                &json!({ "id": id, "state": resumed.state, "recalled": recalled }),
                &[("resumed", id.clone()), ("deliveries that go on", recalled.to_string())],
            )?;
        }
        CatalogueCommand::Delete(Named { endpoint, app }) => {
            let cancelled = control.delete_endpoint(app.as_deref(), &endpoint).await?;
            output.one(
                &json!({ "endpoint": endpoint, "deleted": true, "cancelled": cancelled }),
                &[("deleted", endpoint.clone()), ("cancelled deliveries", cancelled.to_string())],
            )?;
        }
        CatalogueCommand::Secret(Named { endpoint, app }) => {
            let keys = control.secrets(app.as_deref(), &endpoint).await?;
            let keys: Vec<_> = keys.iter().map(shown::SecretShown::of).collect();
            output.list(&["secret", "created at", "expires at"], &keys, |key| {
                vec![
                    key.secret.clone(),
                    key.created_at.to_string(),
                    or_dash(key.expires_at.as_ref()),
                ]
            })?;
        }
        CatalogueCommand::Rotate(args) => rotate(args, control, output).await?,
    }
    Ok(())
}

async fn rotate(args: RotateArgs, control: &Control, output: Output) -> anyhow::Result<()> {
    let Named { endpoint, app } = args.named;
    let overlap_s = args
        .overlap
        .map_or(OVERLAP_S_DEFAULT, |span| u32::try_from(span.as_secs()).unwrap_or(u32::MAX));
    let wanted = args.secret.as_deref().map_or(NewKey::Made(args.scheme), NewKey::Given);
    let rotated = control.rotate_secret(app.as_deref(), &endpoint, wanted, overlap_s).await?;
    show(&rotated, true, output)?;
    Ok(())
}

fn list(endpoints: &[Endpoint], output: Output) -> std::io::Result<()> {
    let shown: Vec<_> = endpoints.iter().map(|one| EndpointShown::of(one, false)).collect();
    let columns = ["id", "application", "uid", "state", "events", "rate/s", "url"];
    output.list(&columns, &shown, |endpoint| {
        vec![
            endpoint.id.to_string(),
            endpoint.application_id.to_string(),
            or_dash(endpoint.uid.as_ref()),
            endpoint.state.to_string(),
            endpoint.filter.to_string(),
            or_dash(endpoint.throttle_rate.as_ref()),
            endpoint.url.to_string(),
        ]
    })
}

fn show(endpoint: &Endpoint, with_secret: bool, output: Output) -> std::io::Result<()> {
    let shown = EndpointShown::of(endpoint, with_secret);
    output.one(&shown, &shown.fields())
}
