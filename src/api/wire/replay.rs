//! Replays: how they are asked for, what they would do, and how they go.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::dead_letter::{DeathReasonOut, FilterIn};
use crate::control::replays::{Previewed, Wish};
use crate::domain::dead_letter::ErrorIs;
use crate::domain::replay::{RATE_MAX, ReplayState, Scope};
use crate::domain::settlement::DeathReason;
use crate::domain::time::Timestamp;
use crate::storage::dead_letters::DeadLetterFilter;
use crate::storage::replays::{OfEndpoint, Preview, Replay, Selection};

/// Which deliveries are to be offered again, and how fast.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "an object")]
pub(in super::super) struct ReplayIn {
    /// What it is about: dead letters, if nobody says; what an endpoint has missed, has received already, or was given
    /// up at all.
    #[schema(value_type = Option<ScopeOut>, nullable = false)]
    scope: Option<Scope>,
    /// Which dead letters. Of the other scopes only `eventType` can be chosen here.
    #[serde(default)]
    filter: FilterIn,
    /// Whether every dead letter is meant, where the filter leaves nothing out.
    #[serde(default)]
    all: bool,
    /// Of which endpoint, for the other scopes: its id; or its uid, where its application is known.
    endpoint_id: Option<String>,
    /// For the other scopes: of messages received at this moment or later.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// For the other scopes: of messages received before this moment.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// To this endpoint of the same application instead, by its id or uid. What was given up stays so.
    to_endpoint_id: Option<String>,
    /// Deliveries a second; 50, if nobody says.
    #[schema(minimum = 1, maximum = 10_000)]
    rate: Option<u32>,
    /// Why, for whoever asks later; wanted above 10,000 deliveries.
    #[schema(max_length = 1000)]
    reason: Option<String>,
    /// How many have to match: when they do not, 409, and nothing is begun.
    expect: Option<u64>,
}

/// How fast a replay is to go on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(in super::super) struct RateIn {
    /// Deliveries a second.
    #[schema(minimum = 1, maximum = 10_000)]
    pub(in super::super) rate: u32,
}

/// The largest rate, as the description of the API says it.
const _: () = assert!(RATE_MAX == 10_000);

/// What a replay is about.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes the domain's, for the description of the API")]
pub(in super::super) enum ScopeOut {
    DeadLetters,
    GivenUp,
    Missing,
    Delivered,
}

/// Where a replay is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes the domain's, for the description of the API")]
pub(in super::super) enum ReplayStateOut {
    Running,
    Paused,
    Finished,
    Cancelled,
    Failed,
}

impl From<ReplayIn> for Wish {
    fn from(sent: ReplayIn) -> Self {
        let ReplayIn {
            scope,
            filter,
            all,
            endpoint_id,
            since,
            until,
            to_endpoint_id,
            rate,
            reason,
            expect,
        } = sent;
        Self {
            scope: scope.unwrap_or(Scope::DeadLetters),
            which: filter.into(),
            all,
            endpoint: endpoint_id,
            since,
            until,
            to: to_endpoint_id,
            rate,
            reason,
            expect,
        }
    }
}

/// Most rows for endpoints in an answer: more than anybody looks through.
const BY_ENDPOINT_MAX: usize = 1_000;

/// What a replay would do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct PreviewOut {
    /// Deliveries that match; null when they are more than could be counted.
    #[schema(required)]
    matched: Option<u64>,
    /// Those that would be offered, of those that were counted.
    replayable: u64,
    /// Those that would be left as they are, and why: `endpoint_gone`, `endpoint_disabled`, `no_default_url`,
    /// `payload_forgotten`, `expired`.
    not_replayable: Vec<NotReplayableOut>,
    /// Those that would be offered, by the endpoint that they were for and why they were given up, most first:
    /// 1,000 at the most.
    by_endpoint: Vec<ForEndpointOut>,
    /// Rows that are left out of `byEndpoint`.
    by_endpoint_left_out: usize,
    /// Payload bytes that would be sent, of those that were looked at: each is, for about two seconds.
    bytes: u64,
    /// When the oldest of them was given up; for the other scopes, when its message was received.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    oldest_died_at: Option<Timestamp>,
    /// When the newest of them was given up; for the other scopes, when its message was received.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    newest_died_at: Option<Timestamp>,
    /// Deliveries a second.
    rate: u32,
    /// How long it would take at that rate, if nothing holds it back.
    estimated_seconds: u64,
    /// Endpoints among these that are paused: what is offered to them waits until they are resumed.
    paused: Vec<String>,
}

/// Deliveries that cannot be offered again.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct NotReplayableOut {
    /// Why.
    why: &'static str,
    /// How many.
    count: u64,
}

/// Deliveries of one endpoint that would be offered again.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct ForEndpointOut {
    /// Which endpoint.
    endpoint_id: String,
    /// Why they were given up; null where they were not.
    #[schema(required, value_type = Option<DeathReasonOut>)]
    reason: Option<&'static str>,
    /// How many.
    count: u64,
}

impl From<Previewed> for PreviewOut {
    fn from(previewed: Previewed) -> Self {
        let estimated_seconds = previewed.estimated_seconds();
        let replayable = previewed.preview.replayable();
        let Previewed { preview, rate } = previewed;
        let Preview { matched, by_endpoint, not_replayable, bytes, span, paused } = preview;
        let left_out = by_endpoint.len().saturating_sub(BY_ENDPOINT_MAX);
        let most = by_endpoint.into_iter().take(BY_ENDPOINT_MAX);
        let by_endpoint = most.map(|(endpoint, reason, count)| ForEndpointOut {
            endpoint_id: endpoint.to_string(),
            reason: reason.map(DeathReason::as_str),
            count,
        });
        let not_replayable = not_replayable
            .into_iter()
            .map(|(why, count)| NotReplayableOut { why: why.as_str(), count });
        Self {
            matched,
            replayable,
            not_replayable: not_replayable.collect(),
            by_endpoint: by_endpoint.collect(),
            by_endpoint_left_out: left_out,
            bytes,
            oldest_died_at: span.map(|(oldest, _)| oldest),
            newest_died_at: span.map(|(_, newest)| newest),
            rate: rate.per_second(),
            estimated_seconds,
            paused: paused.iter().map(ToString::to_string).collect(),
        }
    }
}

/// A replay.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct ReplayOut {
    /// Its id.
    #[schema(example = "rpl_1srOrx2ZWZBpBUvZwXKQmoEYga2")]
    id: String,
    /// What it is about.
    #[schema(value_type = ScopeOut)]
    scope: &'static str,
    /// Where it is.
    #[schema(value_type = ReplayStateOut)]
    state: &'static str,
    /// Why it does not go on, when that is its own doing; of one that is running: why it offers nothing for the moment.
    #[schema(required)]
    because: Option<String>,
    /// Whose deliveries, when it is about one application's.
    #[schema(required)]
    application_id: Option<String>,
    /// For which endpoint, when it is about one's.
    #[schema(required)]
    endpoint_id: Option<String>,
    /// To which instead.
    #[schema(required)]
    to_endpoint_id: Option<String>,
    /// Which deliveries, as they were chosen.
    filter: ChosenOut,
    /// Deliveries a second.
    rate: u32,
    /// Deliveries that matched when it was begun; null when nobody counted them.
    #[schema(required)]
    matched: Option<u64>,
    /// Deliveries that it has offered.
    offered: u64,
    /// Deliveries that it has passed over: replayed, discarded or removed meanwhile, or without somebody to go to.
    skipped: u64,
    /// Of the offered ones: whose first attempt has ended, or that were taken back before it. The others wait for their
    /// turn, or for a person when their endpoint is paused.
    tried: u64,
    /// Of the offered ones: delivered since.
    delivered: u64,
    /// Of the offered ones: given up once more.
    dead: u64,
    /// Who began it, as in the audit log.
    actor: String,
    /// Why, in their words.
    #[schema(required)]
    reason: Option<String>,
    /// When it was begun.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last moved.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// When it came to its end.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
}

/// Which deliveries a replay is about, with ids for the names that were given; what nobody said is left out.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct ChosenOut {
    /// How many were named one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    ids: Option<usize>,
    /// Of this application.
    #[serde(skip_serializing_if = "Option::is_none")]
    application_id: Option<String>,
    /// For this endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_id: Option<String>,
    /// Of a type like this.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_type: Option<String>,
    /// Given up for this reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// With a last status like this.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    /// Whose last attempt ended so.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    /// About this.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// With this text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Given up, or received, at this moment or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Given up, or received, before this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

impl From<&Selection> for ChosenOut {
    fn from(selection: &Selection) -> Self {
        match selection {
            Selection::DeadLetters(filter) => {
                let DeadLetterFilter {
                    ids: _, // a list has left them out
                    organisation: _,
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
                } = filter;
                Self {
                    ids: None,
                    application_id: application.map(|id| id.to_string()),
                    endpoint_id: endpoint.map(|id| id.to_string()),
                    event_type: event_type.as_ref().map(ToString::to_string),
                    reason: reason.map(DeathReason::as_str),
                    status: status.map(|status| status.to_string()),
                    error: error.map(ErrorIs::as_str),
                    subject: subject.clone(),
                    text: text.clone(),
                    since: *since,
                    until: *until,
                }
            }
            Selection::OfEndpoint(OfEndpoint {
                scope: _,
                application,
                endpoint,
                event_type,
                since,
                until,
            }) => Self {
                application_id: Some(application.to_string()),
                endpoint_id: Some(endpoint.to_string()),
                event_type: event_type.as_ref().map(ToString::to_string),
                since: Some(*since),
                until: *until,
                ..Self::default()
            },
        }
    }
}

impl ReplayOut {
    /// What is written down of a deed: which replay, what was chosen, how many, how fast, and why.
    pub(in super::super) fn deed(&self) -> Value {
        json!({
            "replayId": self.id,
            "scope": self.scope,
            "state": self.state,
            "filter": self.filter,
            "toEndpointId": self.to_endpoint_id,
            "rate": self.rate,
            "matched": self.matched,
            "offered": self.offered,
            "reason": self.reason,
        })
    }
}

impl From<Replay> for ReplayOut {
    fn from(replay: Replay) -> Self {
        Self {
            id: replay.id.to_string(),
            scope: replay.selection.scope().as_str(),
            state: ReplayState::as_str(replay.state),
            because: replay.because,
            application_id: replay.application.map(|id| id.to_string()),
            endpoint_id: replay.endpoint.map(|id| id.to_string()),
            to_endpoint_id: replay.to.map(|id| id.to_string()),
            filter: ChosenOut {
                ids: usize::try_from(replay.named).ok().filter(|named| *named > 0),
                ..ChosenOut::from(&replay.selection)
            },
            rate: replay.rate.per_second(),
            matched: replay.matched,
            offered: replay.offered,
            skipped: replay.skipped,
            tried: replay.tried,
            delivered: replay.delivered,
            dead: replay.dead,
            actor: replay.actor,
            reason: replay.reason,
            created_at: replay.created_at,
            updated_at: replay.updated_at,
            ended_at: replay.ended_at,
        }
    }
}
