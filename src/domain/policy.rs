//! How an endpoint is called: what each level says, and what that comes to.
//!
//! An application says some of it for all its endpoints, an endpoint the rest for itself ([`PolicyPart`]).
//! What nobody says is as the defaults have it. The whole is a [`Policy`], and a [`Resolved`] one has a
//! version, derived from what it says: each delivery keeps the version that it was last attempted by.

use std::num::NonZeroU16;
use std::ops::Deref;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::id::derive;
use super::outcome::{Meaning, Outcome};
use super::retry::RetryPolicy;
use super::signature::{Signing, SigningScheme};

/// How an endpoint is called, in all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Policy {
    /// Whether a request may be made twice, or not at all, when we cannot know.
    pub guarantee: Guarantee,
    /// When failed deliveries are tried again. Never, at most once.
    pub retry: RetryPolicy,
    /// How long one exchange may take in all: name, connection, TLS, request, answer and its body.
    pub timeout_ms: u32,
    /// Requests that may be on the way at the same time.
    pub max_in_flight: NonZeroU16,
    /// Answers that say that the receiver has it.
    pub success_status: Statuses,
    /// Answers behind which trying again is no use.
    pub give_up_status: Statuses,
    /// What becomes of a delivery that is given up.
    pub on_exhausted: OnExhausted,
    /// Whether plain http is called, where the operator allows it.
    pub allow_http: bool,
    /// Whether an endpoint that does nothing but fail is left alone for a while ([`Breaker`](super::breaker)). What
    /// waits for that costs no attempt; without it each delivery fails by its own schedule, however many do.
    pub circuit_breaker: bool,
    /// What a request's body is.
    pub format: Format,
    /// How requests are signed.
    pub signing: Signing,
}

/// What one level says of a policy; what it leaves out is as the level below has it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PolicyPart {
    /// [`Policy::guarantee`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guarantee: Option<Guarantee>,
    /// [`Policy::retry`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// [`Policy::timeout_ms`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
    /// [`Policy::max_in_flight`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<NonZeroU16>,
    /// [`Policy::success_status`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_status: Option<Statuses>,
    /// [`Policy::give_up_status`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub give_up_status: Option<Statuses>,
    /// [`Policy::on_exhausted`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_exhausted: Option<OnExhausted>,
    /// [`Policy::allow_http`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_http: Option<bool>,
    /// [`Policy::circuit_breaker`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<bool>,
    /// [`Policy::format`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// [`Policy::signing`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing: Option<Signing>,
}

/// Whether a request may be made twice, or not at all, when we cannot know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guarantee {
    /// Until the receiver has it: after a crash perhaps once more.
    #[default]
    AtLeastOnce,
    /// One request, put on record before it is made: after a crash nobody knows whether it was.
    AtMostOnce,
}

/// What becomes of a delivery that is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExhausted {
    /// It is kept as a dead letter, to be looked at and replayed.
    #[default]
    DeadLetter,
    /// It is only on record.
    Drop,
}

/// What a request's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// The producer's bytes.
    #[default]
    Passthrough,
    /// An object with `id`, `type` and `timestamp`, and the producer's bytes as `data`.
    Standard,
    /// A `CloudEvent` in one JSON object, with the producer's bytes as `data`.
    Cloudevents,
    /// The producer's bytes, with a `CloudEvent`'s attributes as headers.
    CloudeventsBinary,
}

/// Status codes and whole classes of them, as `[200, "3xx"]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Statuses(Vec<StatusPattern>);

/// One status code, or a class of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Value", into = "serde_json::Value")]
enum StatusPattern {
    /// This one.
    Code(u16),
    /// All whose first digit it is.
    Class(u8),
}

/// Most codes and classes that are listed together.
const STATUSES_MAX: usize = 50;

impl Statuses {
    /// None.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// All whose first digit it is: 2 for 200 to 299.
    pub fn class(digit: u8) -> Self {
        Self(vec![StatusPattern::Class(digit)])
    }

    /// Whether this code is among them.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|pattern| match pattern {
            StatusPattern::Code(code) => *code == status,
            StatusPattern::Class(digit) => u16::from(*digit) == status / 100,
        })
    }

    fn check(&self, name: &str) -> Result<(), String> {
        if self.0.len() > STATUSES_MAX {
            return Err(format!("{name} has {} entries: at most {STATUSES_MAX}", self.0.len()));
        }
        Ok(())
    }
}

impl TryFrom<serde_json::Value> for StatusPattern {
    type Error = String;

    fn try_from(value: serde_json::Value) -> Result<Self, String> {
        let code = value.as_u64().and_then(|code| u16::try_from(code).ok());
        let class = value.as_str().and_then(|text| text.strip_suffix("xx"));
        let class = class.and_then(|digit| digit.parse::<u8>().ok());
        match (code, class) {
            (Some(code @ 200..=599), _) => Ok(Self::Code(code)),
            (_, Some(digit @ 2..=5)) => Ok(Self::Class(digit)),
            _ => Err(format!("{value} is no status: 200 to 599 or \"2xx\" to \"5xx\" is accepted")),
        }
    }
}

impl From<StatusPattern> for serde_json::Value {
    fn from(pattern: StatusPattern) -> Self {
        match pattern {
            StatusPattern::Code(code) => code.into(),
            StatusPattern::Class(digit) => format!("{digit}xx").into(),
        }
    }
}

/// Least and most that [`Policy::timeout_ms`] may be.
pub const TIMEOUT_MS: std::ops::RangeInclusive<u32> = 1_000..=60_000;

impl Default for Policy {
    fn default() -> Self {
        Self {
            guarantee: Guarantee::default(),
            retry: RetryPolicy::default(),
            // The lower end of what Standard Webhooks recommends (15 to 30 s).
            timeout_ms: 15_000,
            // Enough to keep a receiver at 100 ms busy with 320 requests a second.
            max_in_flight: NonZeroU16::new(32).expect("32 is not zero"),
            success_status: Statuses::class(2),
            give_up_status: Statuses::none(),
            on_exhausted: OnExhausted::default(),
            allow_http: true,
            circuit_breaker: true,
            format: Format::default(),
            signing: Signing::default(),
        }
    }
}

impl Policy {
    /// [`Policy::timeout_ms`] as a duration.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.timeout_ms))
    }

    /// Says why it does not allow such a URL, if it does not. The operator's word is beside it (`egress`).
    ///
    /// # Errors
    /// A sentence about what is accepted.
    pub fn check_url(&self, url: &Url) -> Result<(), String> {
        if url.scheme() == "http" && !self.allow_http {
            return Err("the URL is http, and the policy has allowHttp false: \
                        an https URL is accepted, or allowHttp true"
                .into());
        }
        Ok(())
    }

    /// What an outcome means by this policy: the table's word, where the policy has none of its own.
    pub fn judge(&self, outcome: &Outcome) -> Meaning {
        let Outcome::Answered { status, .. } = outcome else { return outcome.meaning() };
        if self.success_status.contains(*status) {
            Meaning::Delivered
        } else if *status == 410 {
            Meaning::Gone
        } else if self.give_up_status.contains(*status) {
            Meaning::Refused
        } else {
            Meaning::Failed
        }
    }
}

/// What the operator allows at the most, whatever policies say: asked when one is edited, and once more
/// when a request is made, for a policy may be older than the operator's word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ceiling {
    /// Whether requests may go without `webhook-signature`.
    pub allow_unsigned: bool,
}

impl Ceiling {
    /// Says what is above it, if anything is.
    ///
    /// # Errors
    /// A sentence that names the field and what is accepted.
    pub fn check(self, signing: &Signing) -> Result<(), String> {
        if self.scheme(signing) == signing.scheme {
            return Ok(());
        }
        Err("signing.scheme is none, and the operator does not allow requests without a signature \
             (delivery.allow_unsigned): standard is accepted"
            .into())
    }

    /// How requests are signed under it: by the standard, where they may not go without.
    pub const fn scheme(self, signing: &Signing) -> SigningScheme {
        if self.allow_unsigned { signing.scheme } else { SigningScheme::Standard }
    }
}

impl PolicyPart {
    /// What this level says, over what is below it.
    #[must_use]
    pub fn over(&self, below: &Policy) -> Policy {
        let part = self.clone();
        let guarantee = part.guarantee.unwrap_or(below.guarantee);
        let retry = match guarantee {
            Guarantee::AtLeastOnce => part.retry.unwrap_or_else(|| below.retry.clone()),
            Guarantee::AtMostOnce => RetryPolicy::None,
        };
        Policy {
            guarantee,
            retry,
            timeout_ms: part.timeout_ms.unwrap_or(below.timeout_ms),
            max_in_flight: part.max_in_flight.unwrap_or(below.max_in_flight),
            success_status: part.success_status.unwrap_or_else(|| below.success_status.clone()),
            give_up_status: part.give_up_status.unwrap_or_else(|| below.give_up_status.clone()),
            on_exhausted: part.on_exhausted.unwrap_or(below.on_exhausted),
            allow_http: part.allow_http.unwrap_or(below.allow_http),
            circuit_breaker: part.circuit_breaker.unwrap_or(below.circuit_breaker),
            format: part.format.unwrap_or(below.format),
            signing: part.signing.unwrap_or_else(|| below.signing.clone()),
        }
    }

    /// Says what is wrong with it, if anything is.
    ///
    /// # Errors
    /// A sentence that names the field and what is accepted.
    pub fn check(&self) -> Result<(), String> {
        if let Some(timeout_ms) = self.timeout_ms
            && !TIMEOUT_MS.contains(&timeout_ms)
        {
            return Err(format!("timeoutMs is {timeout_ms}: 1000 to 60000 is accepted"));
        }
        if let Some(most) = self.max_in_flight
            && most.get() > 1_000
        {
            return Err(format!("maxInFlight is {most}: 1 to 1000 is accepted"));
        }
        let retries = self.retry.as_ref().is_some_and(|retry| retry.max_attempts() > 1);
        if self.guarantee == Some(Guarantee::AtMostOnce) && retries {
            return Err(
                "retry: with the guarantee at_most_once only {\"kind\":\"none\"} is accepted"
                    .into(),
            );
        }
        if let Some(statuses) = &self.success_status {
            statuses.check("successStatus")?;
            if *statuses == Statuses::none() {
                return Err("successStatus is empty: at least one status is wanted".into());
            }
        }
        if let Some(statuses) = &self.give_up_status {
            statuses.check("giveUpStatus")?;
        }
        if let Some(signing) = &self.signing {
            signing.check()?;
        }
        self.retry.as_ref().map_or(Ok(()), RetryPolicy::check)
    }
}

/// What a policy is recognised by: two that say the same have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct PolicyVersion(pub i64);

/// A policy with its version.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    version: PolicyVersion,
    policy: Policy,
}

impl Resolved {
    /// Its version.
    pub const fn version(&self) -> PolicyVersion {
        self.version
    }

    /// What it says.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }
}

impl From<Policy> for Resolved {
    fn from(policy: Policy) -> Self {
        let text = serde_json::to_vec(&policy).expect("a policy has text keys alone");
        let digest = derive(&[b"policy", &text]);
        let first = digest.first_chunk().expect("a digest has eight bytes");
        Self { version: PolicyVersion(i64::from_be_bytes(*first)), policy }
    }
}

impl Default for Resolved {
    fn default() -> Self {
        Policy::default().into()
    }
}

impl Deref for Resolved {
    type Target = Policy;

    fn deref(&self) -> &Policy {
        &self.policy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(json: &str) -> Result<PolicyPart, String> {
        let part: PolicyPart = serde_json::from_str(json).map_err(|error| error.to_string())?;
        part.check().map(|()| part)
    }

    #[test]
    fn what_a_level_leaves_out_is_as_the_one_below_has_it() {
        let application = part(r#"{"timeoutMs":10000,"format":"standard"}"#).expect("valid");
        let endpoint = part(r#"{"format":"passthrough"}"#).expect("valid");

        let policy = endpoint.over(&application.over(&Policy::default()));

        assert_eq!((policy.timeout_ms, policy.format), (10_000, Format::Passthrough));
        assert_eq!(policy.retry, RetryPolicy::default());
        assert_eq!(serde_json::to_string(&endpoint).expect("JSON"), r#"{"format":"passthrough"}"#);
    }

    #[test]
    fn at_most_once_never_tries_again() {
        let most = part(r#"{"guarantee":"at_most_once"}"#).expect("valid");
        assert_eq!(most.over(&Policy::default()).retry, RetryPolicy::None);
        let both = r#"{"guarantee":"at_most_once","retry":{"kind":"schedule","delaysMs":[1]}}"#;
        assert!(part(both).expect_err("a contradiction").starts_with("retry: "));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(
            part(r#"{"timeoutMs":500}"#),
            Err("timeoutMs is 500: 1000 to 60000 is accepted".to_owned())
        );
        assert!(part(r#"{"timeout":1}"#).is_err(), "unknown field");
        for statuses in ["[]", "[99]", r#"["1xx"]"#, r#"["2xxx"]"#, "[600]", "200"] {
            assert!(part(&format!(r#"{{"successStatus":{statuses}}}"#)).is_err(), "{statuses}");
        }
    }

    #[test]
    fn what_an_answer_means_is_the_policys_word() {
        let policy = part(r#"{"successStatus":[200,"3xx"],"giveUpStatus":[404,"5xx"]}"#)
            .expect("valid")
            .over(&Policy::default());
        let rows = [
            (200, Meaning::Delivered),
            (204, Meaning::Failed),
            (302, Meaning::Delivered),
            (404, Meaning::Refused),
            (410, Meaning::Gone),
            (429, Meaning::Failed),
            (503, Meaning::Refused),
        ];
        for (status, meaning) in rows {
            let outcome = Outcome::Answered { status, retry_after: None };
            assert_eq!(policy.judge(&outcome), meaning, "{status}");
        }
    }

    #[test]
    fn a_policy_without_http_allows_https_alone() {
        let url = |text: &str| Url::parse(text).expect("a URL");
        let strict = part(r#"{"allowHttp":false}"#).expect("valid").over(&Policy::default());
        assert!(strict.check_url(&url("http://a.example/")).is_err());
        assert!(strict.check_url(&url("https://a.example/")).is_ok());
        assert!(Policy::default().check_url(&url("http://a.example/")).is_ok());
    }

    #[test]
    fn what_the_operator_does_not_allow_is_refused_and_not_done() {
        let unsigned = Signing { scheme: SigningScheme::None, legacy: None };
        let (strict, lax) = (Ceiling::default(), Ceiling { allow_unsigned: true });
        assert!(strict.check(&unsigned).expect_err("above").contains("delivery.allow_unsigned"));
        assert_eq!(strict.scheme(&unsigned), SigningScheme::Standard);
        assert_eq!((lax.check(&unsigned), lax.scheme(&unsigned)), (Ok(()), SigningScheme::None));
        assert_eq!(strict.check(&Signing::default()), Ok(()));
    }

    #[test]
    fn policies_that_say_the_same_have_the_same_version() {
        let of = |json: &str| Resolved::from(part(json).expect("valid").over(&Policy::default()));
        assert_eq!(of("{}").version(), Resolved::default().version());
        assert_eq!(of(r#"{"timeoutMs":15000}"#).version(), Resolved::default().version());
        assert_ne!(of(r#"{"timeoutMs":10000}"#).version(), Resolved::default().version());
    }
}
