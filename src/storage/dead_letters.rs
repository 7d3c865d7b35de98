//! Port: dead letters, as those who look after them ask for them: which, how many of a kind, and put away.
//!
//! A dead letter is a delivery that was given up and kept, with a copy of what people filter and look at. It
//! is laid down by the journal in the transaction of its settlement, and lifted by whatever moves the
//! delivery on.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::StorageError;
use super::journal::AttemptRecord;
use super::page::{Listed, Page};
use crate::domain::dead_letter::{ErrorIs, StatusIs};
use crate::domain::delivery::DeliveryKey;
use crate::domain::event::Event;
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
    /// Whether it says nothing but what groups are told apart by: whose, the endpoint, reason, status, error.
    pub const fn is_by_kind(&self) -> bool {
        self.ids.is_empty()
            && self.event_type.is_none()
            && self.subject.is_none()
            && self.text.is_none()
            && self.since.is_none()
            && self.until.is_none()
    }

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
    /// Its number in the store, which tells those of one moment apart.
    pub number: i64,
    /// The delivery's id.
    pub id: DeliveryId,
    /// Which delivery.
    pub key: DeliveryKey,
    /// Its application.
    pub application: ApplicationId,
    /// The event, by its producer's id.
    pub event_id: Option<String>,
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
    /// The last outcome, in one word, as its tenant is told it ([`told`](crate::domain::dead_letter::told)).
    pub last_outcome: String,
    /// The last failure, in words.
    pub last_detail: String,
    /// Bytes of the event's payload when it was given up.
    pub payload_bytes: u64,
    /// When it was given up.
    pub died_at: Timestamp,
}

impl DeadLetter {
    /// Where it stands in a list.
    pub const fn place(&self) -> DeadLetterPlace {
        DeadLetterPlace { died_at: self.died_at, number: self.number }
    }

    /// Whether this is in its subject, its last failure or its event's type, whatever the case of ASCII letters.
    fn says(&self, part: &str) -> bool {
        let part = part.to_ascii_lowercase();
        let has = |text: &str| text.to_ascii_lowercase().contains(&part);
        self.subject.as_deref().is_some_and(has) || has(&self.last_detail) || has(&self.event_type)
    }
}

/// Where a dead letter stands in a list, newest last: by the moment at which it was given up, and those of one
/// moment by a number of the store's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeadLetterPlace {
    /// When it was given up.
    pub died_at: Timestamp,
    /// Its number.
    pub number: i64,
}

/// Where a group stands in a list, largest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupPlace {
    /// How many dead letters it had.
    pub letters: u64,
    /// Its number.
    pub number: i64,
}

/// A text that names no place in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("that is no place in this list: the iterator of one of its pages is accepted")]
pub struct NotAPlace;

/// Two numbers with a full stop between them.
fn numbers(text: &str) -> Result<(i64, i64), NotAPlace> {
    let (one, other) = text.split_once('.').ok_or(NotAPlace)?;
    let number =
        |text: &str| text.parse::<u64>().ok().and_then(|number| i64::try_from(number).ok());
    number(one).zip(number(other)).ok_or(NotAPlace)
}

impl fmt::Display for DeadLetterPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.died_at.as_millis(), self.number)
    }
}

impl FromStr for DeadLetterPlace {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        let (died_at, number) = numbers(text)?;
        Ok(Self { died_at: Timestamp::from_millis(died_at), number })
    }
}

impl fmt::Display for GroupPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.letters, self.number)
    }
}

impl FromStr for GroupPlace {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        let (letters, number) = numbers(text)?;
        Ok(Self { letters: letters.unsigned_abs(), number })
    }
}

/// Dead letters of one kind: for one endpoint, for one reason, with one last status and one last outcome.
#[derive(Debug, Clone)]
pub struct DeadLetterGroup {
    /// Where it stands.
    pub place: GroupPlace,
    /// Their application.
    pub application: ApplicationId,
    /// Their endpoint.
    pub endpoint: EndpointId,
    /// The name that its owner gave it.
    pub endpoint_uid: Option<String>,
    /// Where it is called; of one that nobody lists, where the sample went.
    pub url: Option<String>,
    /// Why they were given up.
    pub reason: DeathReason,
    /// Their last status; 0 when there was no answer.
    pub last_status: u16,
    /// Their last outcome, in one word.
    pub last_outcome: String,
    /// How many there are.
    pub count: u64,
    /// When the first of them was given up.
    pub first_at: Timestamp,
    /// When the last of them was given up.
    pub last_at: Timestamp,
    /// The last of them.
    pub sample: DeliveryId,
    /// Its last failure, in words.
    pub sample_detail: String,
}

/// A dead letter with all that is known of it.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// The dead letter.
    pub letter: DeadLetter,
    /// Its event; `None` when it is not kept any more. An empty payload is one that was deleted.
    pub event: Option<Event>,
    /// Every attempt, oldest first.
    pub attempts: Vec<AttemptRecord>,
}

/// What putting dead letters away came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discarded {
    /// How many were put away.
    pub discarded: u64,
    /// Whether these were all.
    pub done: bool,
}

/// The port. Whose dead letters are asked for is in each filter: its organisation, and its application where one
/// asks for itself.
///
/// On SQLite alone, as [`history`](super::history), and for the same reason.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// A page of those that match, newest first. Each costs the same, however many there are.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn dead_letters_of(
        &self,
        filter: &DeadLetterFilter,
        page: &Page<DeadLetterPlace>,
    ) -> Result<Listed<DeadLetter, DeadLetterPlace>, StorageError>;

    /// A page of the groups that match, largest first. Of the filter holds what groups are told apart by
    /// ([`DeadLetterFilter::is_by_kind`]).
    ///
    /// # Errors
    /// `Unavailable`.
    async fn dead_letter_groups(
        &self,
        filter: &DeadLetterFilter,
        page: &Page<GroupPlace>,
    ) -> Result<Listed<DeadLetterGroup, GroupPlace>, StorageError>;

    /// One that matches, with all that is known of it.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn inspect(
        &self,
        filter: &DeadLetterFilter,
        id: DeliveryId,
    ) -> Result<Option<Inspected>, StorageError>;

    /// How many match; more than `most` is said of what matches more often, and not how many they are.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn count_up_to(&self, filter: &DeadLetterFilter, most: u64) -> Result<u64, StorageError>;

    /// Puts away for good what matches and was there when this began, newest first and at the most so many. In
    /// small steps: each is atomic, and a crash between two leaves the rest dead, for the same call again.
    ///
    /// The deliveries stay on record with what was tried, as given up and not kept.
    ///
    /// # Errors
    /// `Unavailable`: a part may be done.
    async fn discard(
        &self,
        filter: &DeadLetterFilter,
        most: u64,
    ) -> Result<Discarded, StorageError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_as_it_was_written() {
        let place =
            DeadLetterPlace { died_at: Timestamp::from_millis(1_790_000_000_123), number: 42 };
        assert_eq!(place.to_string().parse(), Ok(place));
        let place = GroupPlace { letters: 7, number: 3 };
        assert_eq!(place.to_string().parse(), Ok(place));
        for wrong in ["", ".", "1", "1.", ".1", "-1.1", "1.-1", "1.99999999999999999999", "a.b"] {
            assert_eq!(wrong.parse::<DeadLetterPlace>(), Err(NotAPlace), "{wrong}");
        }
    }

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
