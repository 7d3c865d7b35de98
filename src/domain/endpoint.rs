//! A URL that wants some event types, and how it wants to be called.

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use url::Url;

use super::application::{Metadata, Tenant};
use super::auth::Auth;
use super::filter::Filter;
use super::id::{ApplicationId, EndpointId};
use super::policy::{PolicyPart, Resolved};
use super::signature::SigningKey;
use super::time::Timestamp;

/// A URL that wants some event types.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// Its tenant.
    pub application: ApplicationId,
    /// The name that its owner gave it.
    pub uid: Option<String>,
    /// For people.
    pub description: String,
    /// Where requests go: normalised once, when it was accepted.
    pub url: Url,
    /// What it wants.
    pub filter: Filter,
    /// Channels that it listens on ([`listens_on`](Self::listens_on)). None: all.
    pub channels: Vec<String>,
    /// Whether it is called at all.
    pub state: EndpointState,
    /// Why it is disabled, when it is.
    pub disabled_because: Option<DisabledBecause>,
    /// Requests per second that it agreed to; `None` is unlimited.
    pub throttle_rate: Option<NonZeroU32>,
    /// What it says of its policy itself.
    pub policy_part: PolicyPart,
    /// How it is called: what it says, over what its application says.
    pub policy: Arc<Resolved>,
    /// Headers of its own, sent beside ours: (name, value), in the order given.
    pub headers: Vec<(String, String)>,
    /// Credentials that requests carry, if it wants any.
    pub auth: Option<Auth>,
    /// Keys that requests are signed with, newest first. Expired ones may still be among them.
    pub keys: Vec<EndpointKey>,
    /// What its owner keeps with it.
    pub metadata: Metadata,
    /// The version of the payloads that its owner expects: kept for the owner, and without effect.
    pub version: NonZeroU16,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// The id of what goes to an application's default URL: an endpoint that nobody lists.
pub fn default_of(application: ApplicationId) -> EndpointId {
    EndpointId::derived(&[b"default url", application.as_bytes()])
}

/// The id of what goes to URLs that an application's events name at this host: one for all of them, so that
/// they have one lane.
pub fn named_at(application: ApplicationId, url: &Url) -> EndpointId {
    let host = url.host_str().unwrap_or_default();
    EndpointId::derived(&[b"named url", application.as_bytes(), host.as_bytes()])
}

impl Endpoint {
    /// Leave to ask about what its owner owns.
    pub const fn tenant(&self) -> Tenant {
        Tenant::of(self.application)
    }

    /// Whether it stands for the URLs that events name at a host: it is nobody's to edit, and each event's
    /// URL is its own.
    pub fn is_named_by_events(&self) -> bool {
        self.id == named_at(self.application, &self.url)
    }

    /// Whether it listens on any of an event's channels. With channels of its own it wants those events
    /// alone that share one: not those without any.
    pub fn listens_on(&self, channels: &[Box<str>]) -> bool {
        let own = &self.channels;
        own.is_empty() || channels.iter().any(|one| own.iter().any(|name| **name == **one))
    }

    /// The keys to sign with at `now`, newest first.
    pub fn live_keys(&self, now: Timestamp) -> impl Iterator<Item = &SigningKey> {
        self.keys.iter().filter(move |entry| entry.is_live(now)).map(|entry| &entry.key)
    }
}

/// Whether an endpoint is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointState {
    /// Called.
    Active,
    /// Not called for now: what it is owed waits until it is resumed.
    Paused,
    /// Not called, and owed nothing new.
    Disabled,
}

impl EndpointState {
    /// The word for it, in the API, the journal and on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }
}

/// Why an endpoint is disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledBecause {
    /// A person said so.
    Asked,
    /// It answered 410: whoever was there is gone.
    Gone,
    /// Nothing but failures for days.
    Failing,
}

impl DisabledBecause {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }

    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Asked, Self::Gone, Self::Failing];
}

impl fmt::Display for EndpointState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A signing key of an endpoint.
#[derive(Debug, Clone)]
pub struct EndpointKey {
    /// The key.
    pub key: SigningKey,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops being used: set when a newer one took its place.
    pub expires_at: Option<Timestamp>,
}

impl EndpointKey {
    /// Whether requests at `now` are signed with it.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}
