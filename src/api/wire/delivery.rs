//! Deliveries as those track them who published their events.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::problem::Problem;
use super::policy::PolicyOut;
use crate::control::reasons;
use crate::control::tracking::last_error;
use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;
use crate::storage::history::{DeliveryEntry, TrackedDelivery};

/// One event owed to one endpoint, and what became of it so far.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct DeliveryOut {
    /// Its id, as dead letters and results have it.
    #[schema(example = "dlv_1srOrx2ZWZBpBUvZwXKQmoEYga2")]
    id: String,
    /// The message, which receivers see as `webhook-id`.
    msg_id: String,
    /// Its producer's id for it.
    #[schema(required)]
    event_id: Option<String>,
    /// What happened.
    event_type: String,
    /// What it is about.
    #[schema(required)]
    subject: Option<String>,
    /// Whom it is owed to. The default URL and URLs that messages name have an id, too, and are not listed.
    endpoint_id: String,
    /// Where the last request went; before the first, where it would go now.
    #[schema(required)]
    url: Option<String>,
    /// How it stands: `pending` (not tried yet), `waiting` (to be tried at `nextAttemptAt`), `sending` (its
    /// one request, at the most, is on the way), `delivered`, `dead` (given up, and can be replayed),
    /// `dropped` (given up), `discarded` (given up, and put away by a person), `unknown` (its one request was made or not), `cancelled`.
    #[schema(value_type = DeliveryStanding)]
    state: &'static str,
    /// Requests that counted, so far.
    attempt_count: u32,
    /// When the first request began.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    first_attempt_at: Option<Timestamp>,
    /// When the last request began.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    last_attempt_at: Option<Timestamp>,
    /// What the last request was answered: 0 when there was no answer, null when there was no request, or
    /// it is on the way.
    #[schema(required, minimum = 0, maximum = 999)]
    last_response_status: Option<u16>,
    /// Why there was no answer: `dns`, `connect`, `tls`, `timeout`, `connection_lost`, `protocol`,
    /// `target_not_allowed`, `unknown`, …; null when there was one, or no request that has ended.
    #[schema(required)]
    last_error_code: Option<String>,
    /// When it is tried next, as far as is known.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<Timestamp>,
    /// The policy that the last request was made by: the same for all that say the same.
    #[schema(required)]
    policy_version: Option<String>,
    /// When it was owed.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// A delivery with the whole policy that its last request was made by.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct DeliveryWithPolicyOut {
    #[serde(flatten)]
    delivery: DeliveryOut,
    /// The policy; null when there was no request.
    #[schema(required, value_type = Option<PolicyOut>)]
    policy: Option<Policy>,
}

/// Why somebody steps in.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in super::super) struct BecauseIn {
    /// Why, for the audit log.
    #[schema(max_length = 1000)]
    pub(in super::super) reason: Option<String>,
}

impl BecauseIn {
    /// Why, if anything is said.
    ///
    /// # Errors
    /// When it is too long.
    pub(in super::super) fn reason(&self) -> Result<Option<&str>, Problem> {
        Ok(reasons::said(self.reason.as_deref())?)
    }
}

/// How a delivery stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes the domain's, for the description of the API")]
pub(in super::super) enum DeliveryStanding {
    Pending,
    Waiting,
    Sending,
    Delivered,
    Dead,
    Cancelled,
    Dropped,
    Discarded,
    Unknown,
}

impl From<DeliveryEntry> for DeliveryOut {
    fn from(entry: DeliveryEntry) -> Self {
        Self {
            state: entry.state(),
            attempt_count: entry.attempts(),
            last_response_status: entry.ended().map(|last| last.status),
            last_error_code: last_error(&entry),
            id: entry.key.id().to_string(),
            msg_id: entry.key.event.to_string(),
            event_id: entry.event_id,
            event_type: entry.event_type,
            subject: entry.subject,
            endpoint_id: entry.key.endpoint.to_string(),
            url: entry.url,
            first_attempt_at: entry.first_attempt_at,
            last_attempt_at: entry.last.as_ref().map(|last| last.started_at),
            next_attempt_at: entry.standing.state.next_attempt(),
            policy_version: entry.policy.map(|version| version.0.to_string()),
            created_at: entry.created_at,
        }
    }
}

impl From<TrackedDelivery> for DeliveryWithPolicyOut {
    fn from(tracked: TrackedDelivery) -> Self {
        Self { delivery: tracked.delivery.into(), policy: tracked.policy }
    }
}
