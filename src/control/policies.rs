//! What is to change about a policy, of an application or of an endpoint: read from what somebody sent,
//! merged into what is said already, and judged.
//!
//! Every policy that anybody writes goes through [`edited`], whoever asks and at whichever level: what is
//! refused of a policy is refused there. Not here: what the parts come to together (`domain::policy`).

use std::num::NonZeroU16;

use serde::{Deserialize, Deserializer};

use super::{Answer, ControlError};
use crate::domain::object::{self, AsObject};
use crate::domain::policy::{
    Ceiling, Format, Guarantee, OnExhausted, Policy, PolicyPart, Statuses,
};
use crate::domain::retry::RetryPolicy;
use crate::domain::signature::Signing;

/// What is to become of one property.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It becomes unset.
    Clear,
    /// It becomes this.
    Set(T),
}

impl<T> Change<T> {
    /// What is there instead, if anything changes.
    pub fn wanted(self) -> Option<Option<T>> {
        match self {
            Self::Keep => None,
            Self::Clear => Some(None),
            Self::Set(value) => Some(Some(value)),
        }
    }

    /// This, and if nothing changes by it what another says.
    fn before(self, other: Self) -> Self {
        match self {
            Self::Keep => other,
            Self::Clear | Self::Set(_) => self,
        }
    }

    /// What is there afterwards.
    pub(super) fn over(self, known: Option<T>) -> Option<T> {
        self.wanted().unwrap_or(known)
    }
}

/// For a field that is there: null clears it. One that is not there is kept, by its struct's default.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Option::<T>::deserialize(from)?.map_or(Self::Clear, Self::Set))
    }
}

/// What is to change about what is said of a policy; what is cleared is as the level below has it.
///
/// A retry policy and a way of signing are whole: one takes the other's place, nothing of theirs is merged.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default, remote = "Self")]
pub struct PolicyEdit {
    /// Whether a request may be made twice, or not at all.
    pub guarantee: Change<Guarantee>,
    /// When failed deliveries are tried again.
    #[serde(deserialize_with = "change_of_object")]
    pub retry: Change<RetryPolicy>,
    /// How far each wait may move, as a share of it; else it is as `retry` says.
    #[serde(skip)]
    pub jitter: Option<f64>,
    /// How long one exchange may take, in milliseconds.
    pub timeout_ms: Change<u32>,
    /// Requests that may be on the way at the same time.
    pub max_in_flight: Change<NonZeroU16>,
    /// Answers that say that the receiver has it.
    pub success_status: Change<Statuses>,
    /// Answers behind which trying again is no use.
    pub give_up_status: Change<Statuses>,
    /// What becomes of a delivery that is given up.
    pub on_exhausted: Change<OnExhausted>,
    /// Whether plain http is called, where the operator allows it.
    pub allow_http: Change<bool>,
    /// Whether an endpoint that does nothing but fail is left alone for a while.
    pub circuit_breaker: Change<bool>,
    /// What a request's body is.
    pub format: Change<Format>,
    /// How requests are signed.
    #[serde(deserialize_with = "change_of_object")]
    pub signing: Change<Signing>,
}

/// As its fields say, and out of an object alone.
impl<'de> Deserialize<'de> for PolicyEdit {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        object::read(from).map(|PolicyFields(edit)| edit)
    }
}

struct PolicyFields(PolicyEdit);

impl AsObject for PolicyFields {
    const ACCEPTED: &'static str = "an object with what is to change, as {\"timeoutMs\":10000}";
}

impl<'de> Deserialize<'de> for PolicyFields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        PolicyEdit::deserialize(from).map(Self) // the derived one: it goes before the trait's
    }
}

/// A field that is there, of what is written as an object.
fn change_of_object<'de, D: Deserializer<'de>, T: AsObject + Deserialize<'de>>(
    from: D,
) -> Result<Change<T>, D::Error> {
    Ok(object::read_if_any(from)?.map_or(Change::Clear, Change::Set))
}

impl PolicyEdit {
    /// Everything that is said of it, were there nothing before.
    fn part(self, known: PolicyPart) -> PolicyPart {
        PolicyPart {
            guarantee: self.guarantee.over(known.guarantee),
            retry: self.retry.over(known.retry),
            timeout_ms: self.timeout_ms.over(known.timeout_ms),
            max_in_flight: self.max_in_flight.over(known.max_in_flight),
            success_status: self.success_status.over(known.success_status),
            give_up_status: self.give_up_status.over(known.give_up_status),
            on_exhausted: self.on_exhausted.over(known.on_exhausted),
            allow_http: self.allow_http.over(known.allow_http),
            circuit_breaker: self.circuit_breaker.over(known.circuit_breaker),
            format: self.format.over(known.format),
            signing: self.signing.over(known.signing),
        }
    }

    /// This, and where it says nothing what another says.
    #[must_use]
    pub fn before(self, other: Self) -> Self {
        Self {
            guarantee: self.guarantee.before(other.guarantee),
            retry: self.retry.before(other.retry),
            jitter: self.jitter.or(other.jitter),
            timeout_ms: self.timeout_ms.before(other.timeout_ms),
            max_in_flight: self.max_in_flight.before(other.max_in_flight),
            success_status: self.success_status.before(other.success_status),
            give_up_status: self.give_up_status.before(other.give_up_status),
            on_exhausted: self.on_exhausted.before(other.on_exhausted),
            allow_http: self.allow_http.before(other.allow_http),
            circuit_breaker: self.circuit_breaker.before(other.circuit_breaker),
            format: self.format.before(other.format),
            signing: self.signing.before(other.signing),
        }
    }

    /// Whether it says all of a policy, and exactly this: then somebody has sent back what they were
    /// shown, and did not mean to say it all themselves from now on.
    pub(super) fn repeats(&self, policy: &Policy) -> bool {
        let nobodys = PolicyPart::default();
        let all = PolicyPart {
            guarantee: Some(policy.guarantee),
            retry: Some(policy.retry.clone()),
            timeout_ms: Some(policy.timeout_ms),
            max_in_flight: Some(policy.max_in_flight),
            success_status: Some(policy.success_status.clone()),
            give_up_status: Some(policy.give_up_status.clone()),
            on_exhausted: Some(policy.on_exhausted),
            allow_http: Some(policy.allow_http),
            circuit_breaker: Some(policy.circuit_breaker),
            format: Some(policy.format),
            signing: Some(policy.signing.clone()),
        };
        self.jitter.is_none() && self.clone().part(nobodys) == all
    }
}

/// What is said of a policy, with what is to change about it; `below` is what holds where nothing is said,
/// and `ceiling` what may be said at the most. What was said under another ceiling may stay.
///
/// # Errors
/// `InvalidField` for `policy`: the sentence names the field within it.
pub(super) fn edited(
    part: PolicyPart,
    edit: PolicyEdit,
    below: &Policy,
    ceiling: Ceiling,
) -> Answer<PolicyPart> {
    let jitter = edit.jitter;
    let known = part.signing.clone();
    let mut part = edit.part(part);
    if let Some(signing) = part.signing.as_ref().filter(|_| part.signing != known) {
        ceiling.check(signing).map_err(|why| ControlError::field("policy", why))?;
    }
    if let Some(wanted) = jitter {
        let mut retry = part.over(below).retry;
        match &mut retry {
            RetryPolicy::Schedule { jitter, .. } | RetryPolicy::Exponential { jitter, .. } => {
                *jitter = wanted;
            }
            RetryPolicy::None => {
                return Err(ControlError::field(
                    "policy",
                    "jitter is given, but there are no retries that it could move",
                ));
            }
        }
        part.retry = Some(retry);
    }
    part.check().map_err(|why| ControlError::field("policy", why))?;
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(json: &str) -> PolicyEdit {
        serde_json::from_str(json).expect("an edit")
    }

    #[test]
    fn what_is_not_there_stays_and_null_clears() {
        let below = Policy::default();
        let first = edit(r#"{"timeoutMs":10000,"format":"standard","maxInFlight":4}"#);
        let part =
            edited(PolicyPart::default(), first, &below, Ceiling::default()).expect("accepted");

        let next = edit(r#"{"timeoutMs":null,"maxInFlight":7}"#);
        let part = edited(part, next, &below, Ceiling::default()).expect("accepted");

        let said = serde_json::to_value(&part).expect("JSON");
        assert_eq!(said, serde_json::json!({ "maxInFlight": 7, "format": "standard" }));
    }

    #[test]
    fn each_field_is_read_and_an_unknown_one_is_refused() {
        let all = serde_json::to_string(&Policy::default()).expect("JSON");
        assert!(edit(&all).repeats(&Policy::default()), "{all}");
        assert!(!edit(r#"{"timeoutMs":15000}"#).repeats(&Policy::default()), "it says one thing");
        let unknown = serde_json::from_str::<PolicyEdit>(r#"{"timeout":1}"#);
        assert!(unknown.expect_err("refused").to_string().contains("timeout"));
    }

    #[test]
    fn anything_but_an_object_is_refused_in_words_that_say_what_is_accepted() {
        for (json, accepted) in [
            ("[]", "an object with what is to change"),
            (r#"["at_least_once"]"#, "an object with what is to change"),
            (r#""x""#, "an object with what is to change"),
            (r#"{"retry":"none"}"#, "an object with the kind none, schedule or exponential"),
            (r#"{"retry":["none"]}"#, r#"as {"kind":"none"}"#),
            (r#"{"signing":"none"}"#, "an object with the scheme standard or none"),
            (r#"{"signing":[]}"#, "an object with the scheme standard or none"),
            (r#"{"signing":{"legacy":["X-A"]}}"#, "an object with a header's name"),
        ] {
            let refused = serde_json::from_str::<PolicyEdit>(json).expect_err(json).to_string();
            assert!(refused.contains(accepted), "{json}: {refused}");
        }
        assert_eq!(edit(r#"{"retry":null}"#).retry, Change::Clear);
        assert_eq!(edit("{}"), PolicyEdit::default());
    }

    #[test]
    fn a_retry_policy_takes_the_others_place_whole() {
        let below = Policy::default();
        let schedule = edit(r#"{"retry":{"kind":"schedule","delaysMs":[500,1000],"jitter":0}}"#);
        let part =
            edited(PolicyPart::default(), schedule, &below, Ceiling::default()).expect("accepted");

        let never = edit(r#"{"retry":{"kind":"none"}}"#);
        let part = edited(part, never, &below, Ceiling::default()).expect("accepted");

        assert_eq!(part.retry, Some(RetryPolicy::None));
    }

    #[test]
    fn a_mistake_is_told_with_its_field() {
        let wrong = edit(r#"{"timeoutMs":10}"#);
        let refused = edited(PolicyPart::default(), wrong, &Policy::default(), Ceiling::default());
        let Err(ControlError::InvalidField { field, why }) = refused else { panic!("{refused:?}") };
        assert_eq!((field, why.as_str()), ("policy", "timeoutMs is 10: 1000 to 60000 is accepted"));
    }
}
