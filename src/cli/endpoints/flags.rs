//! The flags of `endpoint create` and `endpoint edit`, and what they ask of `control`.

use clap::{ArgGroup, Args};

use super::super::exit::Usage;
use super::super::policy_flags::PolicyFlags;
use super::Named;
use crate::control::endpoints::{Change, EndpointEdit, NewEndpoint};

/// What both commands take.
#[derive(Debug, Args)]
struct Wishes {
    /// Event types it wants, as 'job.*,document.ready'; everything when none is given
    #[arg(long, value_name = "PATTERNS", value_delimiter = ',')]
    events: Vec<String>,
    /// A name of your choice that takes the id's place beside --app
    #[arg(long)]
    uid: Option<String>,
    /// For people
    #[arg(long)]
    description: Option<String>,
    /// Requests per second that it agreed to
    #[arg(long, value_name = "N")]
    throttle_rate: Option<u32>,
    #[command(flatten)]
    policy: PolicyFlags,
    /// A header of its own; may be given several times
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
}

#[derive(Debug, Args)]
pub(in super::super) struct CreateArgs {
    /// Its application (id or uid)
    #[arg(long)]
    app: String,
    /// Where requests go
    #[arg(long)]
    url: String,
    #[command(flatten)]
    wishes: Wishes,
    /// A signing secret of your choice (whsec_…, or whsk_… for Ed25519); one is made when none is
    /// given
    #[arg(long)]
    secret: Option<String>,
}

impl CreateArgs {
    /// Its application's id or uid, and what it is to be.
    pub(super) fn into_new(self) -> Result<(String, NewEndpoint), Usage> {
        let new = NewEndpoint {
            url: self.url,
            policy: self.wishes.policy.into_edit()?,
            uid: self.wishes.uid,
            description: self.wishes.description.unwrap_or_default(),
            patterns: patterns(self.wishes.events),
            throttle_rate: self.wishes.throttle_rate,
            headers: headers(&self.wishes.headers)?,
            auth: None,
            secret: self.secret,
            ..NewEndpoint::default()
        };
        Ok((self.app, new))
    }
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag as it is typed")]
#[command(group(ArgGroup::new("change").required(true).multiple(true).args([
    "url", "events", "all_events", "uid", "clear_uid", "description", "throttle_rate",
    "clear_throttle_rate", "headers", "clear_headers", "policy", "guarantee", "retry", "jitter",
    "timeout_ms", "max_in_flight", "success", "give_up", "on_exhausted", "allow_http",
    "circuit_breaker", "format", "signing",
])))]
pub(in super::super) struct EditArgs {
    #[command(flatten)]
    named: Named,
    /// Where requests go
    #[arg(long)]
    url: Option<String>,
    #[command(flatten)]
    wishes: Wishes,
    /// Want everything from now on
    #[arg(long, conflicts_with = "events")]
    all_events: bool,
    /// Take its uid away
    #[arg(long, conflicts_with = "uid")]
    clear_uid: bool,
    /// Take its rate away: unlimited
    #[arg(long, conflicts_with = "throttle_rate")]
    clear_throttle_rate: bool,
    /// Take its own headers away; --header replaces them all
    #[arg(long, conflicts_with = "headers")]
    clear_headers: bool,
}

impl EditArgs {
    pub(super) fn into_edit(self) -> Result<(Named, EndpointEdit), Usage> {
        let policy = self.wishes.policy.into_edit()?;
        let patterns = patterns(self.wishes.events);
        let own_headers = headers(&self.wishes.headers)?;
        let edit = EndpointEdit {
            url: self.url,
            uid: change(self.wishes.uid, self.clear_uid),
            description: self.wishes.description,
            patterns: (self.all_events || !patterns.is_empty()).then_some(patterns),
            throttle_rate: change(self.wishes.throttle_rate, self.clear_throttle_rate),
            policy,
            headers: (self.clear_headers || !own_headers.is_empty()).then_some(own_headers),
            ..EndpointEdit::default()
        };
        Ok((self.named, edit))
    }
}

fn change<T>(value: Option<T>, clear: bool) -> Change<T> {
    match value {
        Some(value) => Change::Set(value),
        None if clear => Change::Clear,
        None => Change::Keep,
    }
}

fn patterns(given: Vec<String>) -> Vec<String> {
    given.into_iter().map(|pattern| pattern.trim().to_owned()).collect()
}

fn headers(lines: &[String]) -> Result<Vec<(String, String)>, Usage> {
    lines
        .iter()
        .map(|line| {
            // The line is not repeated: its value may be a secret.
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| Usage("a header has no colon: `Name: value` is accepted".into()))?;
            Ok((name.trim().into(), value.trim().into()))
        })
        .collect()
}
