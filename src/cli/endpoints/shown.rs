//! How an endpoint looks, to people and in JSON. The fields' names are a contract.

use serde::Serialize;
use serde_json::json;

use super::super::output::or_dash;
use crate::domain::auth::Auth;
use crate::domain::endpoint::{Endpoint, EndpointKey, EndpointState};
use crate::domain::filter::Filter;
use crate::domain::header::is_sensitive;
use crate::domain::id::{ApplicationId, EndpointId};
use crate::domain::policy::{Policy, PolicyPart};
use crate::domain::retry::RetryPolicy;
use crate::domain::time::Timestamp;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointShown<'a> {
    pub(super) id: EndpointId,
    pub(super) application_id: ApplicationId,
    pub(super) uid: Option<&'a String>,
    pub(super) url: &'a str,
    pub(super) description: &'a str,
    pub(super) state: EndpointState,
    /// Empty: everything.
    #[serde(rename = "eventTypes")]
    pub(super) filter: &'a Filter,
    pub(super) throttle_rate: Option<std::num::NonZeroU32>,
    pub(super) policy: &'a Policy,
    /// What it says of that itself.
    own_policy: &'a PolicyPart,
    headers: serde_json::Map<String, serde_json::Value>,
    /// Its kind: more of it is not shown.
    auth: Option<&'static str>,
    pub(super) created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl<'a> EndpointShown<'a> {
    pub(super) fn of(endpoint: &'a Endpoint, with_secret: bool) -> Self {
        let newest = endpoint.keys.first().filter(|_| with_secret);
        Self {
            id: endpoint.id,
            application_id: endpoint.application,
            uid: endpoint.uid.as_ref(),
            url: endpoint.url.as_str(),
            description: &endpoint.description,
            state: endpoint.state,
            filter: &endpoint.filter,
            throttle_rate: endpoint.throttle_rate,
            policy: &endpoint.policy,
            own_policy: &endpoint.policy_part,
            headers: endpoint
                .headers
                .iter()
                .map(|(name, value)| {
                    let shown = if is_sensitive(name) { "[set]" } else { value.as_str() };
                    (name.clone(), shown.into())
                })
                .collect(),
            auth: endpoint.auth.as_ref().map(Auth::kind),
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
            secret: newest.map(|key| key.key.reveal()),
        }
    }

    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("id", self.id.to_string()),
            ("application", self.application_id.to_string()),
            ("uid", or_dash(self.uid)),
            ("url", self.url.to_owned()),
            ("description", self.description.to_owned()),
            ("state", self.state.to_string()),
            ("events", self.filter.to_string()),
            (
                "rate",
                self.throttle_rate.map_or_else(|| "unlimited".into(), |rate| format!("{rate}/s")),
            ),
            ("in flight", format!("at most {}", self.policy.max_in_flight)),
            ("timeout", format!("{} ms", self.policy.timeout_ms)),
            ("retry", retry(&self.policy.retry)),
        ];
        fields.extend(policy(self.policy));
        for (name, value) in &self.headers {
            fields.push(("header", format!("{name}: {}", value.as_str().unwrap_or_default())));
        }
        if let Some(kind) = self.auth {
            fields.push(("auth", format!("{kind}, set")));
        }
        fields.push(("created at", self.created_at.to_string()));
        fields.push(("updated at", self.updated_at.to_string()));
        if let Some(secret) = &self.secret {
            fields.push(("secret", secret.clone()));
        }
        fields
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecretShown {
    pub(super) secret: String,
    pub(super) created_at: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
}

impl SecretShown {
    pub(super) fn of(key: &EndpointKey) -> Self {
        Self { secret: key.key.reveal(), created_at: key.created_at, expires_at: key.expires_at }
    }
}

pub(in super::super) fn retry(policy: &RetryPolicy) -> String {
    match policy {
        RetryPolicy::None => "none".into(),
        RetryPolicy::Schedule { delays_ms, jitter } => {
            let waits: Vec<String> = delays_ms.iter().map(|wait_ms| wait(*wait_ms)).collect();
            format!("after {}, ±{jitter} of each", waits.join(", "))
        }
        RetryPolicy::Exponential {
            base_ms,
            factor,
            max_delay_ms,
            max_attempts,
            max_age_ms,
            jitter,
        } => {
            let age = max_age_ms.map(|age| format!(", none when older than {}", wait(age)));
            format!(
                "{max_attempts} attempts{}, waits from {} by {factor} to {}, ±{jitter} of each",
                age.unwrap_or_default(),
                wait(*base_ms),
                wait(*max_delay_ms)
            )
        }
    }
}

/// The rest of a policy, each part as its flag takes it.
fn policy(policy: &Policy) -> [(&'static str, String); 8] {
    let told =
        |value: serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let legacy = policy.signing.legacy.as_ref().map(|legacy| format!(", {}", legacy.header));
    [
        ("guarantee", told(json!(policy.guarantee))),
        ("format", told(json!(policy.format))),
        ("success", told(json!(policy.success_status))),
        ("give up", told(json!(policy.give_up_status))),
        ("on exhausted", told(json!(policy.on_exhausted))),
        ("allow http", policy.allow_http.to_string()),
        ("circuit breaker", policy.circuit_breaker.to_string()),
        ("signing", told(json!(policy.signing.scheme)) + &legacy.unwrap_or_default()),
    ]
}

/// In the largest unit that divides it, as the flag takes it.
fn wait(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    units
        .iter()
        .find(|(unit_ms, _)| ms >= *unit_ms && ms.is_multiple_of(*unit_ms))
        .map_or_else(|| format!("{ms}ms"), |(unit_ms, unit)| format!("{}{unit}", ms / unit_ms))
}
