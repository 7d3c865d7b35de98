//! Endpoints.
//!
//! Two fields have two names each, for clients of different ages (`eventTypes` and `filterTypes`,
//! `throttleRate` and `rateLimit`). They are two fields here as well: who sends back what was answered
//! sends both, and the newer name holds.

use std::num::{NonZeroU16, NonZeroU32};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::problem::Problem;
use super::patch::{change, given};
use super::policy::{AuthIn, OwnPolicy, PolicyIn, PolicyOut};
use crate::control::endpoints::{Change, EndpointEdit, NewEndpoint, PolicyEdit};
use crate::domain::application::Metadata;
use crate::domain::auth::Auth;
use crate::domain::endpoint::{DisabledBecause, Endpoint, EndpointState};
use crate::domain::policy::{Policy, PolicyPart};
use crate::domain::time::Timestamp;

/// An endpoint as it is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct EndpointIn {
    /// Where requests go.
    #[schema(format = "uri", example = "https://hooks.example.com/in")]
    url: String,
    /// For people.
    #[serde(default)]
    description: String,
    /// A name of your own that takes the id's place in every path of its application.
    #[schema(min_length = 1, max_length = 256, pattern = r"^[a-zA-Z0-9\-_.]+$")]
    uid: Option<String>,
    /// Requests per second, and never more.
    #[schema(value_type = Option<u16>, minimum = 1)]
    throttle_rate: Option<NonZeroU16>,
    /// The same, by its older name.
    #[schema(value_type = Option<u16>, minimum = 1, deprecated)]
    rate_limit: Option<NonZeroU16>,
    /// The version of the payloads that you expect: kept for you.
    #[schema(value_type = Option<u16>, minimum = 1, default = 1)]
    version: Option<NonZeroU16>,
    /// Whether it is not to be called, and owed nothing.
    #[serde(default)]
    disabled: bool,
    /// What it wants: listed event types by name, those that begin so (`job.*`), or `*`. Everything, when
    /// nothing is said.
    #[schema(min_items = 1, max_items = 100)]
    event_types: Option<Vec<String>>,
    /// The same, by its older name.
    #[schema(min_items = 1, max_items = 100, deprecated)]
    filter_types: Option<Vec<String>>,
    /// Channels that it listens on; all, when nothing is said.
    #[schema(min_items = 1, max_items = 10)]
    channels: Option<Vec<String>>,
    /// Its signing secret, if you bring one: `whsec_` and 24 to 75 bytes in base64, or `whsk_` and a
    /// private key of Ed25519. Else one is made.
    #[schema(write_only)]
    secret: Option<String>,
    /// What you want to keep with it: at most 4096 bytes as JSON.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    metadata: Metadata,
    /// Headers that its requests carry.
    #[schema(value_type = Option<BTreeMap<String, String>>, write_only)]
    headers: Option<Metadata>,
    /// How it is called. What is left out is as its application's settings have it.
    #[schema(value_type = Option<PolicyIn>)]
    policy: Option<PolicyEdit>,
    /// Credentials that its requests carry.
    #[schema(write_only)]
    auth: Option<AuthIn>,
}

/// All of an endpoint anew: but its secret and its headers, which have paths of their own, and what is
/// not said of its policy and its credentials.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct EndpointUpdate {
    /// Where requests go.
    #[schema(format = "uri", example = "https://hooks.example.com/in")]
    url: String,
    /// For people.
    #[serde(default)]
    description: String,
    /// A name of your own. One that the path names it by stays when none is given.
    #[schema(min_length = 1, max_length = 256, pattern = r"^[a-zA-Z0-9\-_.]+$")]
    uid: Option<String>,
    /// Requests per second, and never more.
    #[schema(value_type = Option<u16>, minimum = 1)]
    throttle_rate: Option<NonZeroU16>,
    /// The same, by its older name.
    #[schema(value_type = Option<u16>, minimum = 1, deprecated)]
    rate_limit: Option<NonZeroU16>,
    /// The version of the payloads that you expect: kept for you.
    #[schema(value_type = Option<u16>, minimum = 1, default = 1)]
    version: Option<NonZeroU16>,
    /// Whether it is not to be called, and owed nothing. One that is enabled again gets at once what waits
    /// for it; one that is paused stays so.
    #[serde(default)]
    disabled: bool,
    /// What it wants; everything, when nothing is said.
    #[schema(min_items = 1, max_items = 100)]
    event_types: Option<Vec<String>>,
    /// The same, by its older name.
    #[schema(min_items = 1, max_items = 100, deprecated)]
    filter_types: Option<Vec<String>>,
    /// Channels that it listens on; all, when nothing is said.
    #[schema(min_items = 1, max_items = 10)]
    channels: Option<Vec<String>>,
    /// What you want to keep with it: at most 4096 bytes as JSON.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    metadata: Metadata,
    /// What is to change about how it is called. All of it, as it was answered, changes nothing.
    #[schema(value_type = Option<PolicyIn>)]
    policy: Option<PolicyEdit>,
    /// Credentials that its requests carry.
    #[schema(write_only)]
    auth: Option<AuthIn>,
}

/// What is to change about an endpoint: what is left out stays, `null` clears.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct EndpointPatch {
    /// Where requests go.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, format = "uri")]
    url: Option<String>,
    /// For people.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    description: Option<String>,
    /// A name of your own.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256, pattern = r"^[a-zA-Z0-9\-_.]+$")]
    uid: Change<String>,
    /// Requests per second, and never more.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<u16>, minimum = 1)]
    throttle_rate: Change<NonZeroU16>,
    /// The same, by its older name.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<u16>, minimum = 1, deprecated)]
    rate_limit: Change<NonZeroU16>,
    /// The version of the payloads that you expect.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = u16, nullable = false, minimum = 1)]
    version: Option<NonZeroU16>,
    /// Whether it is not to be called, and owed nothing.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    disabled: Option<bool>,
    /// What it wants, all anew.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<Vec<String>>, min_items = 1, max_items = 100)]
    event_types: Change<Vec<String>>,
    /// The same, by its older name.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<Vec<String>>, min_items = 1, max_items = 100, deprecated)]
    filter_types: Change<Vec<String>>,
    /// Channels that it listens on, all anew.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<Vec<String>>, min_items = 1, max_items = 10)]
    channels: Change<Vec<String>>,
    /// What you want to keep with it, all anew.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = BTreeMap<String, String>)]
    metadata: Option<Metadata>,
    /// What is to change about how it is called.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = PolicyIn, nullable = false)]
    policy: Option<PolicyEdit>,
    /// Credentials that its requests carry.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<AuthIn>, write_only)]
    auth: Change<AuthIn>,
}

/// An endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct EndpointOut {
    /// Its id.
    #[schema(example = "ep_1srOrx2ZWZBpBUvZwXKQmoEYga2")]
    id: String,
    /// The name that its owner gave it.
    uid: Option<String>,
    /// Where requests go, as it is called.
    #[schema(format = "uri")]
    url: String,
    /// For people.
    description: String,
    /// The version of the payloads that its owner expects.
    #[schema(value_type = u16, minimum = 1)]
    version: NonZeroU16,
    /// Whether it is not called, and owed nothing new.
    disabled: bool,
    /// `paused`: not called for now, what it is owed waits.
    #[schema(value_type = String, pattern = "^(active|paused|disabled)$")]
    state: EndpointState,
    /// Why it is disabled, if it is: somebody asked for it, it answered 410, or it has failed for days.
    #[schema(value_type = Option<String>, pattern = "^(asked|gone|failing)$")]
    disabled_reason: Option<DisabledBecause>,
    /// What it wants; null for everything.
    event_types: Option<Vec<String>>,
    /// The same, by its older name.
    #[schema(deprecated)]
    filter_types: Option<Vec<String>>,
    /// Channels that it listens on; null for all.
    channels: Option<Vec<String>>,
    /// Requests per second; null for as many as there are.
    #[schema(value_type = Option<u16>, minimum = 1)]
    throttle_rate: Option<NonZeroU32>,
    /// The same, by its older name.
    #[schema(value_type = Option<u16>, minimum = 1, deprecated)]
    rate_limit: Option<NonZeroU32>,
    /// What its owner keeps with it.
    #[schema(value_type = BTreeMap<String, String>)]
    metadata: Metadata,
    /// How it is called, in all: what it says itself, over what its application's settings say, over the
    /// defaults.
    #[schema(value_type = PolicyOut)]
    policy: Policy,
    /// What it says of that itself.
    #[schema(value_type = OwnPolicy)]
    own_policy: PolicyPart,
    /// Of which kind its credentials are, if it has any: all of them that is answered. Not as `auth`, so
    /// that what was answered can be sent back.
    #[schema(value_type = Option<String>, pattern = "^(basic|bearer|header)$")]
    auth_kind: Option<&'static str>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl EndpointIn {
    /// What is asked for.
    ///
    /// # Errors
    /// For a list that is there and empty: it would want nothing.
    pub(in super::super) fn into_new(self) -> Result<NewEndpoint, Problem> {
        Ok(NewEndpoint {
            url: self.url,
            uid: self.uid,
            description: self.description,
            patterns: some_of("eventTypes", self.event_types.or(self.filter_types))?,
            channels: some_of("channels", self.channels)?,
            throttle_rate: self.throttle_rate.or(self.rate_limit).map(|rate| rate.get().into()),
            policy: self.policy.unwrap_or_default(),
            headers: self.headers.unwrap_or_default().into_iter().collect(),
            auth: self.auth.map(Into::into),
            secret: self.secret,
            metadata: self.metadata,
            version: self.version,
            disabled: self.disabled,
        })
    }
}

impl EndpointUpdate {
    /// What is asked for.
    ///
    /// # Errors
    /// As [`EndpointIn::into_new`].
    pub(in super::super) fn into_new(self) -> Result<NewEndpoint, Problem> {
        EndpointIn {
            url: self.url,
            description: self.description,
            uid: self.uid,
            throttle_rate: self.throttle_rate,
            rate_limit: self.rate_limit,
            version: self.version,
            disabled: self.disabled,
            event_types: self.event_types,
            filter_types: self.filter_types,
            channels: self.channels,
            secret: None,
            metadata: self.metadata,
            headers: None,
            policy: self.policy,
            auth: self.auth,
        }
        .into_new()
    }
}

impl EndpointPatch {
    /// What is to change.
    ///
    /// # Errors
    /// As [`EndpointIn::into_new`].
    pub(in super::super) fn into_edit(self) -> Result<EndpointEdit, Problem> {
        let list = |field, change: Change<Vec<String>>| {
            change.wanted().map(|names| some_of(field, names)).transpose()
        };
        Ok(EndpointEdit {
            url: self.url,
            uid: self.uid,
            description: self.description,
            patterns: list("eventTypes", newer(self.event_types, self.filter_types))?,
            channels: list("channels", self.channels)?,
            throttle_rate: each(newer(self.throttle_rate, self.rate_limit), |rate| {
                rate.get().into()
            }),
            policy: self.policy.unwrap_or_default(),
            headers: None,
            auth: each(self.auth, Into::into),
            metadata: self.metadata,
            version: self.version,
            disabled: self.disabled,
        })
    }
}

/// Names, if there are any to be; a list of none is refused.
fn some_of(field: &str, names: Option<Vec<String>>) -> Result<Vec<String>, Problem> {
    match names {
        Some(names) if names.is_empty() => Err(Problem::of_field(
            field,
            "one or more are accepted; null, or nothing said, means all",
        )),
        names => Ok(names.unwrap_or_default()),
    }
}

/// The change by the newer name, if there is one.
fn newer<T>(newer: Change<T>, older: Change<T>) -> Change<T> {
    match newer {
        Change::Keep => older,
        Change::Clear | Change::Set(_) => newer,
    }
}

fn each<T, U>(change: Change<T>, to: impl FnOnce(T) -> U) -> Change<U> {
    match change {
        Change::Keep => Change::Keep,
        Change::Clear => Change::Clear,
        Change::Set(value) => Change::Set(to(value)),
    }
}

impl From<Endpoint> for EndpointOut {
    fn from(known: Endpoint) -> Self {
        let patterns = known.filter.patterns();
        let event_types: Option<Vec<_>> =
            (!patterns.is_empty()).then(|| patterns.iter().map(ToString::to_string).collect());
        Self {
            id: known.id.to_string(),
            uid: known.uid,
            url: known.url.into(),
            description: known.description,
            version: known.version,
            disabled: known.state == EndpointState::Disabled,
            state: known.state,
            disabled_reason: known.disabled_because,
            filter_types: event_types.clone(),
            event_types,
            channels: (!known.channels.is_empty()).then_some(known.channels),
            throttle_rate: known.throttle_rate,
            rate_limit: known.throttle_rate,
            metadata: known.metadata,
            policy: known.policy.policy().clone(),
            own_policy: known.policy_part,
            auth_kind: known.auth.as_ref().map(Auth::kind),
            created_at: known.created_at,
            updated_at: known.updated_at,
        }
    }
}
