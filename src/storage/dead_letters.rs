//! Port: dead letters, as those who look after them ask for them: which, how many of a kind, and put away.
//!
//! A dead letter is a delivery that was given up and kept, with a copy of what people filter and look at. It
//! is laid down by the journal in the transaction of its settlement, and lifted by whatever moves the
//! delivery on.

use serde::{Deserialize, Serialize};

use crate::domain::dead_letter::{ErrorIs, StatusIs};
use crate::domain::delivery::DeliveryKey;
use crate::domain::filter::Pattern;
use crate::domain::id::{ApplicationId, DeliveryId, EndpointId, OrganisationId};
use crate::domain::settlement::DeathReason;
use crate::domain::time::Timestamp;

/// Which dead letters. All given conditions hold together.
///
/// Written as JSON where one is kept (a replay's), hence with every name that it ever had.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DeadLetterFilter {
    /// Only these deliveries, when any are named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<DeliveryId>,
    /// Of this organisation's applications.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organisation: Option<OrganisationId>,
    /// Of this application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationId>,
    /// For this endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointId>,
    /// Of a type that this pattern matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type: Option<Pattern>,
    /// Given up for this reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<DeathReason>,
    /// With a last status like this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusIs>,
    /// Whose last attempt ended so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorIs>,
    /// About this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// With this in the subject, the last failure or the event's type; ASCII letters match in either case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Given up at this moment or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Given up before this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl DeadLetterFilter {
    /// Whether this dead letter, of an application of this organisation, is meant.
    pub fn matches(&self, organisation: Option<OrganisationId>, one: &DeadLetter) -> bool {
        let Self {
            ids,
            organisation: wanted,
            application,
            endpoint,
            event_type,
            reason,
            status,
            error,
            subject,
            text,
            since,
            until,
        } = self;
        let of_type = |pattern: &Pattern| {
            one.event_type.parse().is_ok_and(|event_type| pattern.matches(&event_type))
        };
        (ids.is_empty() || ids.contains(&one.id))
            && (wanted.is_none() || *wanted == organisation)
            && application.is_none_or(|wanted| wanted == one.application)
            && endpoint.is_none_or(|wanted| wanted == one.key.endpoint)
            && event_type.as_ref().is_none_or(of_type)
            && reason.is_none_or(|wanted| wanted == one.reason)
            && status.is_none_or(|wanted| wanted.matches(one.last_status))
            && error.is_none_or(|wanted| wanted.as_str() == one.last_outcome)
            && subject.as_ref().is_none_or(|wanted| one.subject.as_ref() == Some(wanted))
            && text.as_ref().is_none_or(|part| one.says(part))
            && since.is_none_or(|first| one.died_at >= first)
            && until.is_none_or(|end| one.died_at < end)
    }
}

/// A delivery that was given up.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The delivery's id.
    pub id: DeliveryId,
    /// Which delivery.
    pub key: DeliveryKey,
    /// Its application.
    pub application: ApplicationId,
    /// The event's type.
    pub event_type: String,
    /// What the event is about.
    pub subject: Option<String>,
    /// Why it was given up.
    pub reason: DeathReason,
    /// Attempts that counted.
    pub attempts: u32,
    /// The last status code; 0 when there was no answer.
    pub last_status: u16,
    /// The last outcome, in one word.
    pub last_outcome: String,
    /// The last failure, in words.
    pub last_detail: String,
    /// Bytes of the event's payload when it was given up.
    pub payload_bytes: u64,
    /// When it was given up.
    pub died_at: Timestamp,
}

impl DeadLetter {
    /// Whether this is in its subject, its last failure or its event's type, whatever the case of ASCII letters.
    fn says(&self, part: &str) -> bool {
        let part = part.to_ascii_lowercase();
        let has = |text: &str| text.to_ascii_lowercase().contains(&part);
        self.subject.as_deref().is_some_and(has) || has(&self.last_detail) || has(&self.event_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_reads_back_as_it_was_written() {
        let filter = DeadLetterFilter {
            ids: vec![DeliveryId::derived(&[b"one"])],
            organisation: Some(OrganisationId::DEFAULT),
            application: Some(ApplicationId::derived(&[b"acme"])),
            endpoint: Some(EndpointId::derived(&[b"a"])),
            event_type: Some("job.*".parse().expect("a pattern")),
            reason: Some(DeathReason::AttemptsExhausted),
            status: Some(StatusIs::Class(5)),
            error: Some("timeout".parse().expect("a word")),
            subject: Some("run-7".into()),
            text: Some("refused".into()),
            since: Some(Timestamp::from_seconds(1)),
            until: Some(Timestamp::from_seconds(2)),
        };
        let json = serde_json::to_string(&filter).expect("it is written");

        assert_eq!(serde_json::from_str::<DeadLetterFilter>(&json).expect("it is read"), filter);
        assert_eq!(serde_json::to_string(&DeadLetterFilter::default()).expect("written"), "{}");
        assert_eq!(serde_json::from_str::<DeadLetterFilter>("{}").expect("read"), <_>::default());
        assert!(serde_json::from_str::<DeadLetterFilter>(r#"{"endpiont":"x"}"#).is_err());
    }
}
