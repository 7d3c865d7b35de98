//! Deliveries and messages with all that has happened to them, and endpoints that are worse off than others.

use serde::Serialize;
use utoipa::ToSchema;

use super::delivery::DeliveryWithPolicyOut;
use super::message_out::MessageOut;
use crate::control::stories::{NotMatched, Story, Trail};
use crate::control::timeline::Moment;
use crate::domain::time::Timestamp;
use crate::storage::attention::{Looked, Routed, Worst, WorstBy};

/// Something that has happened to a delivery, or is about to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct MomentOut {
    /// When; null where that is not on record.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    at: Option<Timestamp>,
    /// What: `accepted`, `matched`, `attempt`, `replayed`, `delivered`, `given_up`, `cancelled`, `unknown`, or `next` for
    /// what is about to happen.
    #[schema(example = "attempt")]
    what: &'static str,
    /// The same for people.
    #[schema(example = "attempt 1 was answered 503: the receiver could not do it after 40 ms")]
    words: String,
}

/// A delivery with all that has happened to it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct StoryOut {
    #[serde(flatten)]
    delivery: DeliveryWithPolicyOut,
    /// What has happened, in order, and at the end how it stands: in words, of at most a hundred requests.
    timeline: Vec<MomentOut>,
    /// Why it is tried at `nextAttemptAt`, or not before a person acts; null when it is not tried any more.
    #[schema(required)]
    next_attempt_why: Option<String>,
}

/// A message with all that became of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct TrailOut {
    /// The message, with its payload.
    message: MessageOut,
    /// Its application.
    application_id: String,
    /// How far it came: `routed` (what it owes is fixed), `not_yet`, or `quarantined` (nobody can route it).
    #[schema(example = "routed")]
    routed: &'static str,
    /// Why it is in quarantine, when it is.
    #[schema(required)]
    quarantined_because: Option<String>,
    /// Whom it is owed to.
    matched: Vec<MatchedOut>,
    /// Which of the application's endpoints of today it is not owed to.
    not_matched: Vec<NotMatchedOut>,
    /// Whether both lists are whole: they end at 250, and then the second is empty.
    is_whole: bool,
}

/// An endpoint that a message is owed to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct MatchedOut {
    /// Which.
    endpoint_id: String,
    /// The name that its owner gave it.
    #[schema(required)]
    uid: Option<String>,
    /// Why it is owed the message, by the endpoint as it is today.
    why: String,
    /// The delivery.
    delivery_id: String,
    /// How it stands.
    state: &'static str,
    /// What has happened to it.
    timeline: Vec<MomentOut>,
}

/// An endpoint that a message is not owed to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct NotMatchedOut {
    /// Which.
    endpoint_id: String,
    /// The name that its owner gave it.
    #[schema(required)]
    uid: Option<String>,
    /// Why not, by the endpoint as it is today.
    why: String,
}

/// Endpoints that are worse off than others.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct WorstOut {
    /// By what they are compared.
    by: &'static str,
    /// The worst first.
    data: Vec<WorstEndpointOut>,
    /// Whether everything was looked at; else only what is overdue for the longest, or what is newest.
    is_whole: bool,
}

/// An endpoint that is worse off than others.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct WorstEndpointOut {
    /// Whose it is.
    application_id: String,
    /// Which. The default URL and URLs that messages name have an id, too, and are not listed.
    endpoint_id: String,
    /// The name that its owner gave it.
    #[schema(required)]
    uid: Option<String>,
    /// Where it is, if it is listed.
    #[schema(required)]
    url: Option<String>,
    /// How many deliveries are overdue (`overdue`), requests have failed since the last success (`failures`), or requests
    /// were measured (`latency`).
    count: u64,
    /// When the oldest of them was due, failed, or began.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// How long a request takes on average, by `latency`.
    #[schema(required)]
    mean_ms: Option<u32>,
    /// How long the longest took, by `latency`.
    #[schema(required)]
    max_ms: Option<u32>,
}

impl From<Moment> for MomentOut {
    fn from(Moment { at, what, words }: Moment) -> Self {
        Self { at, what, words }
    }
}

fn told(timeline: Vec<Moment>) -> Vec<MomentOut> {
    timeline.into_iter().map(MomentOut::from).collect()
}

impl From<Story> for StoryOut {
    fn from(story: Story) -> Self {
        let Story { tracked, timeline, next, .. } = story;
        Self {
            delivery: tracked.into(),
            timeline: told(timeline),
            next_attempt_why: next.map(|next| next.why),
        }
    }
}

impl From<Story> for MatchedOut {
    fn from(story: Story) -> Self {
        let Story { tracked, uid, why, timeline, .. } = story;
        let delivery = tracked.delivery;
        Self {
            endpoint_id: delivery.key.endpoint.to_string(),
            uid,
            why,
            delivery_id: delivery.key.id().to_string(),
            state: delivery.state(),
            timeline: told(timeline),
        }
    }
}

impl From<NotMatched> for NotMatchedOut {
    fn from(NotMatched { endpoint, uid, why }: NotMatched) -> Self {
        Self { endpoint_id: endpoint.to_string(), uid, why }
    }
}

impl From<Trail> for TrailOut {
    fn from(trail: Trail) -> Self {
        let Trail { event, routed, matched, not_matched, is_whole } = trail;
        let (routed, quarantined_because) = match routed {
            Routed::Yes => ("routed", None),
            Routed::NotYet => ("not_yet", None),
            Routed::Never(why) => ("quarantined", Some(why)),
        };
        Self {
            application_id: event.application.to_string(),
            message: MessageOut::stored(event, true),
            routed,
            quarantined_because,
            matched: matched.into_iter().map(MatchedOut::from).collect(),
            not_matched: not_matched.into_iter().map(NotMatchedOut::from).collect(),
            is_whole,
        }
    }
}

impl WorstOut {
    /// Written out.
    pub(in super::super) fn of(by: WorstBy, looked: Looked) -> Self {
        let Looked { worst, all } = looked;
        let data = worst.into_iter().map(|one| {
            let Worst { endpoint, application, uid, url, count, since, mean_ms, max_ms } = one;
            WorstEndpointOut {
                application_id: application.to_string(),
                endpoint_id: endpoint.to_string(),
                uid,
                url,
                count,
                since,
                mean_ms,
                max_ms,
            }
        });
        Self { by: by.as_str(), data: data.collect(), is_whole: all }
    }
}
