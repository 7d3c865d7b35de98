//! Dead letters: how they are searched for, and how they are shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::problem::Problem;
use super::super::query::{Query, fault};
use crate::control::dead_letters::{Discard, Which};
use crate::control::tracking::told;
use crate::domain::dead_letter::{ErrorIs, StatusIs};
use crate::domain::event::Event;
use crate::domain::exchange::Timing;
use crate::domain::settlement::DeathReason;
use crate::domain::time::Timestamp;
use crate::storage::dead_letters::{DeadLetter, DeadLetterGroup, Discarded, Inspected};
use crate::storage::journal::AttemptRecord;

/// Which dead letters; all that is given holds together.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default, expecting = "an object")]
pub(in super::super) struct FilterIn {
    /// These deliveries.
    #[schema(max_items = 10000)]
    ids: Vec<String>,
    /// Of this application, by its id or uid: where its organisation asks.
    application_id: Option<String>,
    /// For this endpoint: its id; or its uid, where its application is known.
    endpoint_id: Option<String>,
    /// Of messages of this type, or of those that begin so, as `job.*`.
    #[schema(example = "job.*")]
    event_type: Option<String>,
    /// Given up for this reason.
    #[schema(value_type = Option<DeathReasonOut>)]
    reason: Option<DeathReason>,
    /// With this last status: `503`, a class as `5xx`, or `0` for no answer.
    #[schema(value_type = Option<String>, pattern = "^(0|[1-5]([0-9]{2}|xx))$", example = "5xx")]
    status: Option<StatusIs>,
    /// Whose last attempt ended so: `timeout`, `dns`, `tls`, `server_error`, …; `none` where there was none.
    #[schema(value_type = Option<String>, example = "timeout")]
    error: Option<ErrorIs>,
    /// Of messages about this, as a job's id.
    #[schema(min_length = 1, max_length = 255)]
    subject: Option<String>,
    /// With this in the subject, the last failure or the type; upper and lower case are the same. Looked for
    /// along the list: a part of it may be short.
    #[schema(min_length = 1, max_length = 256)]
    text: Option<String>,
    /// Given up at this moment or later.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Given up before this moment.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

/// The same, as parameters.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what is read here, for the description of the API")]
pub(in super::super) struct FilterParams {
    /// For this endpoint: its id; or its uid, where its application is known.
    endpoint_id: Option<String>,
    /// Given up for this reason.
    reason: Option<DeathReasonOut>,
    /// With this last status: `503`, a class as `5xx`, or `0` for no answer.
    #[param(pattern = "^(0|[1-5]([0-9]{2}|xx))$")]
    status: Option<String>,
    /// Whose last attempt ended so: `timeout`, `dns`, `tls`, `server_error`, …; `none` where there was none.
    error: Option<String>,
}

/// What lists are searched by, besides.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what is read here, for the description of the API")]
pub(in super::super) struct SearchParams {
    /// Of messages of this type, or of those that begin so, as `job.*`.
    event_type: Option<String>,
    /// Of messages about this, as a job's id.
    #[param(min_length = 1, max_length = 255)]
    subject: Option<String>,
    /// With this in the subject, the last failure or the type; upper and lower case are the same. Looked for
    /// along the list: a part of it may be short.
    #[param(min_length = 1, max_length = 256)]
    text: Option<String>,
    /// Given up at this moment or later.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<String>,
    /// Given up before this moment.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<String>,
}

/// Which part of a list is wanted.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `query` reads, for the description of the API")]
pub(in super::super) struct PartParams {
    /// Most rows.
    #[param(minimum = 1, maximum = 250, default = 50)]
    limit: Option<u16>,
    /// Where it begins: `iterator` of the part before; or, with a `-` in front, where it ends.
    iterator: Option<String>,
}

/// Why a delivery was given up.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes the domain's, for the description of the API")]
pub(in super::super) enum DeathReasonOut {
    AttemptsExhausted,
    Gone,
    Refused,
    Expired,
}

/// What a part of a list is said by.
const PART: [&str; 2] = ["limit", "iterator"];
/// What groups are told apart by.
const BY_KIND: [&str; 4] = ["endpointId", "reason", "status", "error"];
/// What lists are searched by, besides.
const BESIDES: [&str; 5] = ["eventType", "subject", "text", "since", "until"];

impl FilterIn {
    /// Whether a field of this name is one of a filter's that is judged when it is read already: a `reason` that
    /// is refused later is why something is done.
    pub(in super::super) fn has(field: &str) -> bool {
        ["ids", "applicationId", "endpointId"].contains(&field) || BESIDES.contains(&field)
    }

    /// What the parameters of a list say. A word that none of them is would find more than was asked for, and is
    /// refused; `applicationId` too where a path is about one application.
    ///
    /// # Errors
    /// The first parameter that is not accepted.
    pub(in super::super) fn of_list(query: &Query) -> Result<Self, Problem> {
        query.only(&[&PART[..], &["applicationId"], &BY_KIND, &BESIDES].concat())?;
        Ok(Self {
            event_type: query.text("eventType").map(str::to_owned),
            subject: query.text("subject").map(str::to_owned),
            text: query.text("text").map(str::to_owned),
            since: query.moment("since")?,
            until: query.moment("until")?,
            ..Self::by_kind(query)?
        })
    }

    /// What the parameters of a list of groups say.
    ///
    /// # Errors
    /// As [`of_list`](Self::of_list).
    pub(in super::super) fn of_groups(query: &Query) -> Result<Self, Problem> {
        query.only(&[&PART[..], &["applicationId"], &BY_KIND].concat())?;
        Self::by_kind(query)
    }

    fn by_kind(query: &Query) -> Result<Self, Problem> {
        Ok(Self {
            application_id: query.text("applicationId").map(str::to_owned),
            endpoint_id: query.text("endpointId").map(str::to_owned),
            reason: reason(query)?,
            status: read(query, "status")?,
            error: read(query, "error")?,
            ..Self::default()
        })
    }
}

/// What a parameter says, read; else its own words for what is wrong.
fn read<T: std::str::FromStr<Err: std::fmt::Display>>(
    query: &Query,
    name: &str,
) -> Result<Option<T>, Problem> {
    let Some(text) = query.text(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|error: T::Err| fault(name, &error.to_string()))
}

fn reason(query: &Query) -> Result<Option<DeathReason>, Problem> {
    let Some(wanted) = query.text("reason") else { return Ok(None) };
    let known = DeathReason::ALL.into_iter().find(|reason| reason.as_str() == wanted);
    known.map(Some).ok_or_else(|| {
        let words = DeathReason::ALL.map(DeathReason::as_str).join(", ");
        fault("reason", &format!("one of {words} is accepted"))
    })
}

impl From<FilterIn> for Which {
    fn from(sent: FilterIn) -> Self {
        let FilterIn {
            ids,
            application_id: application,
            endpoint_id: endpoint,
            event_type,
            reason,
            status,
            error,
            subject,
            text,
            since,
            until,
        } = sent;
        Self {
            ids,
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
        }
    }
}

/// Which dead letters are to be put away, and why.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "an object")]
pub(in super::super) struct DiscardIn {
    /// Which. One that leaves nothing out needs `all`.
    #[serde(default)]
    filter: FilterIn,
    /// Whether every dead letter is meant.
    #[serde(default)]
    all: bool,
    /// Why, for whoever asks later.
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
    /// How many they should be: when they are not, nothing is done.
    expect: Option<u64>,
}

impl From<DiscardIn> for Discard {
    fn from(sent: DiscardIn) -> Self {
        let DiscardIn { filter, all, reason, expect } = sent;
        Self { which: filter.into(), all, reason, expect }
    }
}

/// What putting them away came to.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct DiscardOut {
    /// How many were put away.
    discarded: u64,
    /// Whether these were all; when they were not, the same request (without `expect`) goes on.
    done: bool,
}

impl From<Discarded> for DiscardOut {
    fn from(Discarded { discarded, done }: Discarded) -> Self {
        Self { discarded, done }
    }
}

/// A delivery that was given up, and kept.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct DeadLetterOut {
    /// The delivery's id.
    #[schema(example = "dlv_1srOrx2ZWZBpBUvZwXKQmoEYga2")]
    id: String,
    /// The message, which receivers see as `webhook-id`.
    msg_id: String,
    /// Its producer's id for it.
    #[schema(required)]
    event_id: Option<String>,
    /// Whose it is.
    application_id: String,
    /// Whom it was owed to. The default URL and URLs that messages name have an id, too, and are not listed.
    endpoint_id: String,
    /// What happened.
    event_type: String,
    /// What it is about.
    #[schema(required)]
    subject: Option<String>,
    /// Why it was given up.
    #[schema(value_type = DeathReasonOut)]
    reason: &'static str,
    /// Requests that counted.
    attempt_count: u32,
    /// What the last request was answered; 0 when there was no answer, or no request.
    #[schema(minimum = 0, maximum = 999)]
    last_status: u16,
    /// How the last request ended, in one word; `none` when there was none.
    last_error: String,
    /// What went wrong, in a sentence; empty when the status says it all.
    last_detail: String,
    /// Bytes of its payload.
    payload_bytes: u64,
    /// When it was given up.
    #[schema(value_type = String, format = DateTime)]
    died_at: Timestamp,
}

impl From<DeadLetter> for DeadLetterOut {
    fn from(letter: DeadLetter) -> Self {
        Self {
            id: letter.id.to_string(),
            msg_id: letter.key.event.to_string(),
            event_id: letter.event_id,
            application_id: letter.application.to_string(),
            endpoint_id: letter.key.endpoint.to_string(),
            event_type: letter.event_type,
            subject: letter.subject,
            reason: letter.reason.as_str(),
            attempt_count: letter.attempts,
            last_status: letter.last_status,
            last_error: letter.last_outcome,
            last_detail: letter.last_detail,
            payload_bytes: letter.payload_bytes,
            died_at: letter.died_at,
        }
    }
}

/// Dead letters of one kind.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct DeadLetterGroupOut {
    /// Whose they are.
    application_id: String,
    /// Whom they were owed to.
    endpoint_id: String,
    /// The name that its owner gave it.
    #[schema(required)]
    endpoint_uid: Option<String>,
    /// Where it is called.
    #[schema(required)]
    url: Option<String>,
    /// Why they were given up.
    #[schema(value_type = DeathReasonOut)]
    reason: &'static str,
    /// What their last requests were answered; 0 when there was no answer, or no request.
    #[schema(minimum = 0, maximum = 999)]
    status: u16,
    /// How their last requests ended, in one word.
    error: String,
    /// How many they are.
    count: u64,
    /// When the first of them was given up.
    #[schema(value_type = String, format = DateTime)]
    first_seen_at: Timestamp,
    /// When the last of them was given up.
    #[schema(value_type = String, format = DateTime)]
    last_seen_at: Timestamp,
    /// The last of them.
    sample_id: String,
    /// What went wrong with it, in a sentence.
    sample_detail: String,
}

impl From<DeadLetterGroup> for DeadLetterGroupOut {
    fn from(group: DeadLetterGroup) -> Self {
        Self {
            application_id: group.application.to_string(),
            endpoint_id: group.endpoint.to_string(),
            endpoint_uid: group.endpoint_uid,
            url: group.url,
            reason: group.reason.as_str(),
            status: group.last_status,
            error: group.last_outcome,
            count: group.count,
            first_seen_at: group.first_at,
            last_seen_at: group.last_at,
            sample_id: group.sample.to_string(),
            sample_detail: group.sample_detail,
        }
    }
}

/// A dead letter with all that is known of it.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct InspectedOut {
    #[serde(flatten)]
    letter: DeadLetterOut,
    /// Its message; null when it is not kept any more.
    #[schema(required)]
    event: Option<InspectedEventOut>,
    /// Every request, oldest first.
    attempts: Vec<InspectedAttemptOut>,
}

/// The message of a dead letter.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct InspectedEventOut {
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    occurred_at: Timestamp,
    /// When it was received.
    #[schema(value_type = String, format = DateTime)]
    received_at: Timestamp,
    /// What its payload is, where its producer said.
    #[schema(required)]
    content_type: Option<String>,
    /// For these channels.
    channels: Vec<String>,
    /// Its payload, as text; null when it was deleted.
    #[schema(required)]
    payload: Option<String>,
}

impl From<Event> for InspectedEventOut {
    fn from(event: Event) -> Self {
        let payload = (!event.payload.is_empty())
            .then(|| String::from_utf8_lossy(&event.payload).into_owned());
        Self {
            occurred_at: event.occurred_at,
            received_at: event.received_at,
            content_type: event.content_type.map(String::from),
            channels: event.channels.into_iter().map(String::from).collect(),
            payload,
        }
    }
}

/// One request of a dead letter.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct InspectedAttemptOut {
    /// Its id.
    #[schema(example = "atmpt_1srOrx2ZWZBpBUvZwXKQmoEYga2")]
    id: String,
    /// Which request of the delivery it was, from 1 on.
    number: u32,
    /// Where it went.
    url: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// What it was answered; 0 when there was no answer.
    #[schema(minimum = 0, maximum = 999)]
    status: u16,
    /// How it ended, in one word: `success`, `timeout`, `server_error`, …
    outcome: String,
    /// What went wrong, in a sentence; empty when the status says it all.
    detail: String,
    /// How long it took.
    timing: TimingOut,
    /// The headers that it was sent with, by name. Of what the endpoint has set for itself the values are
    /// masked; those that every request has (`host`, `user-agent`, `accept`, `content-length`) are left out.
    request_headers: BTreeMap<String, String>,
    /// The first 16 KiB of the answer, as text; `EXPUNGED` when it was deleted.
    response: String,
}

/// How long a request took, in milliseconds. A phase that it did not go through is null: all but the last two,
/// on a connection that was kept.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the unit is part of each name")]
pub(in super::super) struct TimingOut {
    /// Until the host's name was an address.
    #[schema(required)]
    dns_ms: Option<u32>,
    /// From there until there was a connection.
    #[schema(required)]
    connect_ms: Option<u32>,
    /// From there until TLS was spoken on it.
    #[schema(required)]
    tls_ms: Option<u32>,
    /// From there until the head of the answer was there.
    #[schema(required)]
    first_byte_ms: Option<u32>,
    /// From its beginning to its end.
    total_ms: u32,
}

impl TimingOut {
    fn of(timing: Timing, total_ms: u32) -> Self {
        let Timing { dns_ms, connect_ms, tls_ms, first_byte_ms } = timing;
        Self { dns_ms, connect_ms, tls_ms, first_byte_ms, total_ms }
    }
}

impl From<AttemptRecord> for InspectedAttemptOut {
    fn from(attempt: AttemptRecord) -> Self {
        Self {
            id: attempt.id.to_string(),
            number: attempt.number,
            started_at: attempt.started_at,
            status: attempt.status,
            outcome: told(&attempt.outcome, &attempt.url),
            timing: TimingOut::of(attempt.timing, attempt.duration_ms),
            request_headers: attempt.headers.into_iter().collect(),
            url: attempt.url,
            detail: attempt.detail,
            response: String::from_utf8_lossy(&attempt.response).into_owned(),
        }
    }
}

impl From<Inspected> for InspectedOut {
    fn from(inspected: Inspected) -> Self {
        Self {
            letter: inspected.letter.into(),
            event: inspected.event.map(InspectedEventOut::from),
            attempts: inspected.attempts.into_iter().map(InspectedAttemptOut::from).collect(),
        }
    }
}
