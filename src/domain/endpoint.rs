//! A URL that wants some event types, and how it wants to be called.

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::application::{Metadata, Tenant};
use super::auth::Auth;
use super::filter::Filter;
use super::id::{ApplicationId, EndpointId};
use super::retry::RetryPolicy;
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
    /// How it is called.
    pub policy: Policy,
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

impl Endpoint {
    /// Leave to ask about what its owner owns.
    pub const fn tenant(&self) -> Tenant {
        Tenant::of(self.application)
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

/// How an endpoint is called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Policy {
    /// When failed deliveries are tried again.
    pub retry: RetryPolicy,
    /// How long one exchange may take in all: name, connection, TLS, request, answer and its body.
    pub timeout_ms: u32,
    /// Requests that may be on the way at the same time.
    pub max_in_flight: NonZeroU16,
}

/// Least and most that [`Policy::timeout_ms`] may be.
pub const TIMEOUT_MS: std::ops::RangeInclusive<u32> = 1_000..=60_000;

impl Default for Policy {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            // The lower end of what Standard Webhooks recommends (15 to 30 s).
            timeout_ms: 15_000,
            // Enough to keep a receiver at 100 ms busy with 320 requests a second.
            max_in_flight: NonZeroU16::new(32).expect("32 is not zero"),
        }
    }
}

impl Policy {
    /// [`Policy::timeout_ms`] as a duration.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.timeout_ms))
    }

    /// Says what is wrong with the policy, if anything is.
    ///
    /// # Errors
    /// A sentence that names the field and what is accepted.
    pub fn check(&self) -> Result<(), String> {
        if !TIMEOUT_MS.contains(&self.timeout_ms) {
            return Err(format!("timeoutMs is {}: 1000 to 60000 is accepted", self.timeout_ms));
        }
        if self.max_in_flight.get() > 1_000 {
            return Err(format!("maxInFlight is {}: 1 to 1000 is accepted", self.max_in_flight));
        }
        self.retry.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_written_as_json_with_defaults_for_what_is_left_out() {
        let policy: Policy = serde_json::from_str(
            r#"{"retry":{"kind":"schedule","delaysMs":[500,1000],"jitter":0}}"#,
        )
        .expect("valid");

        assert_eq!(policy.retry.max_attempts(), 3);
        assert_eq!(policy.timeout(), Duration::from_secs(15));
        assert!(serde_json::from_str::<Policy>(r#"{"timeout":1}"#).is_err(), "unknown field");
    }

    #[test]
    fn a_timeout_out_of_range_is_refused() {
        let policy = Policy { timeout_ms: 500, ..Policy::default() };
        assert_eq!(policy.check(), Err("timeoutMs is 500: 1000 to 60000 is accepted".to_owned()));
    }
}
