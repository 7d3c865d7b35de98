//! `posthaste app settings`: what an application sets for all that it sends.

use anyhow::anyhow;
use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Map, Value, json};

use super::document::Document;
use super::endpoints::retry_shown;
use super::exit::Usage;
use super::output::{Output, or_dash};
use super::policy_flags::{PolicyFlags, word};
use crate::control::policies::{Change, PolicyEdit};
use crate::control::settings::SettingsEdit;
use crate::control::{Control, ControlError, UrlRule};
use crate::domain::policy::Policy;
use crate::domain::settings::{DefaultUrlWhen, DeliverySwitch, SchemaMode, Settings};

#[derive(Debug, Subcommand)]
pub(in super::super) enum SettingsCommand {
    /// Show an application's settings
    Show {
        /// Its id or uid
        app: String,
    },
    /// Change an application's settings; what is not named stays as it is
    Set(Box<SetArgs>),
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("change").required(true).multiple(true).args([
    "file", "default_url", "clear_default_url", "default_url_when", "delivery", "schema_mode",
    "policy", "guarantee", "retry", "jitter", "timeout_ms", "max_in_flight", "success", "give_up",
    "on_exhausted", "allow_http", "circuit_breaker", "format", "signing",
])))]
pub(in super::super) struct SetArgs {
    /// Its id or uid
    app: String,
    /// Merge this document, as `show --json` has it ('-' for standard input): null clears
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
    /// Where events go that nobody else wants
    #[arg(long, value_name = "URL")]
    default_url: Option<String>,
    /// Take the default URL away
    #[arg(long, conflicts_with = "default_url")]
    clear_default_url: bool,
    /// When events go there: `no_match` or `no_override`
    #[arg(long, value_parser = word::<DefaultUrlWhen>)]
    default_url_when: Option<DefaultUrlWhen>,
    /// Whether anything is sent: `on`, `hold` (what is owed waits) or `off` (nothing is owed)
    #[arg(long, value_parser = word::<DeliverySwitch>)]
    delivery: Option<DeliverySwitch>,
    /// Whether payloads are held to their type's schema: `off`, `warn` or `enforce`
    #[arg(long, value_parser = word::<SchemaMode>)]
    schema_mode: Option<SchemaMode>,
    #[command(flatten)]
    policy: PolicyFlags,
}

impl SetArgs {
    /// The application, what is to change, and what the document is called, if there is one.
    fn into_edit(self) -> Result<(String, SettingsEdit, Option<String>), Usage> {
        let document = self.file.as_deref().map(|path| Document::of(path, "--file")).transpose()?;
        let mut edit = match &document {
            Some(document) => read(document)?,
            None => SettingsEdit::default(),
        };
        if self.clear_default_url {
            edit.default_url = Change::Clear;
        } else if let Some(url) = self.default_url {
            edit.default_url = Change::Set(url);
        }
        if let Some(when) = self.default_url_when {
            edit.default_url_when = Change::Set(when);
        }
        if let Some(switch) = self.delivery {
            edit.delivery = Change::Set(switch);
        }
        if let Some(mode) = self.schema_mode {
            edit.schema_mode = Change::Set(mode);
        }
        let policy = self.policy.into_edit()?;
        if policy != PolicyEdit::default() {
            edit.policy = match edit.policy {
                Change::Keep | Change::Clear => Change::Set(policy),
                Change::Set(told) => Change::Set(policy.before(told)),
            };
        }
        Ok((self.app, edit, document.map(|document| document.name)))
    }
}

/// What a document says. Unlike a body of the API it has no fields that nobody knows: a person has
/// written it, and a name with a slip in it would change nothing, silently.
fn read(document: &Document) -> Result<SettingsEdit, Usage> {
    let fields: Map<String, Value> = document.read()?;
    let known = SettingsEdit::FIELDS;
    if let Some(unknown) = fields.keys().find(|name| !known.contains(&name.as_str())) {
        let (name, known) = (&document.name, known.join(", "));
        return Err(Usage(format!("{name}: `{unknown}` is no setting: {known} are accepted")));
    }
    document.read()
}

pub(super) async fn run(
    command: SettingsCommand,
    control: &Control,
    rule: UrlRule<'_>,
    output: Output,
) -> anyhow::Result<()> {
    let settings = match command {
        SettingsCommand::Show { app } => {
            let tenant = control.application(&app).await?.tenant();
            control.settings_of(tenant).await?
        }
        SettingsCommand::Set(args) => {
            let (app, edit, document) = args.into_edit()?;
            let tenant = control.application(&app).await?.tenant();
            let edited = control.edit_settings(tenant, edit, rule).await;
            edited.map_err(|error| named(error, document.as_deref()))?
        }
    };
    show(&settings, output)
}

/// The error with the document's and the field's name in front of it.
fn named(error: ControlError, document: Option<&str>) -> anyhow::Error {
    match (&error, document) {
        (ControlError::InvalidField { field, .. }, Some(document)) => {
            let place = format!("{document}: {field}");
            anyhow!(error).context(place)
        }
        _ => error.into(),
    }
}

fn show(settings: &Settings, output: Output) -> anyhow::Result<()> {
    let whole = settings.policy.over(&Policy::default());
    let shown = json!({
        "defaultUrl": settings.default_url.as_ref().map(url::Url::as_str),
        "defaultUrlWhen": settings.default_url_when,
        "delivery": settings.delivery,
        "policy": settings.policy,
        "schemaMode": settings.schema_mode,
        "attributes": settings.attributes,
        "updatedAt": settings.updated_at,
    });
    let fields = [
        ("default url", or_dash(settings.default_url.as_ref())),
        ("default url when", settings.default_url_when.as_str().to_owned()),
        ("delivery", settings.delivery.as_str().to_owned()),
        ("schema mode", settings.schema_mode.as_str().to_owned()),
        ("policy", serde_json::to_string(&settings.policy)?),
        ("timeout", format!("{} ms", whole.timeout_ms)),
        ("retry", retry_shown(&whole.retry)),
        ("attributes", Value::from(settings.attributes.clone()).to_string()),
        ("updated at", or_dash(settings.updated_at.as_ref())),
    ];
    Ok(output.one(&shown, &fields)?)
}
