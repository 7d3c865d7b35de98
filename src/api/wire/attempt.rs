//! Attempts, and how deliveries stand: the rows of a history.

use serde::Serialize;
use utoipa::ToSchema;

use super::message_out::MessageOut;
use crate::control::history::AttemptWithEvent;
use crate::control::tracking::told;
use crate::domain::delivery::{Shown, Standing};
use crate::domain::endpoint::EndpointState;
use crate::domain::time::Timestamp;
use crate::storage::history::{
    AttemptEntry, DeliveryCounts, EndpointDelivery, EndpointFacts, EventDelivery,
};

/// One request to an endpoint about an event.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct MessageAttemptOut {
    /// Its id.
    #[schema(example = "atmpt_1srOrx2ZWZBpBUvZwXKQmoEYga2")]
    id: String,
    /// Where it went.
    url: String,
    /// The kept part of the answer, as text; `{}` where it was not asked for, `EXPUNGED` when it was deleted.
    response: String,
    /// The answer's status; 0 when there was none.
    response_status_code: u16,
    /// How long it took, in milliseconds.
    response_duration_ms: u32,
    /// 0: the receiver has it; 2: it failed.
    #[schema(value_type = u8)]
    status: u8,
    /// The word for it.
    status_text: &'static str,
    /// 0: by itself; 1: a person asked for it.
    #[schema(value_type = u8)]
    trigger_type: u8,
    /// The event.
    msg_id: String,
    /// The endpoint.
    endpoint_id: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    timestamp: Timestamp,
    /// The event, where it was asked for and is still there.
    #[serde(skip_serializing_if = "Option::is_none")]
    msg: Option<MessageOut>,
    /// How it ended, in one word: `success`, `timeout`, `server_error`, …
    outcome: String,
    /// What went wrong, in a sentence; empty when nothing did.
    detail: String,
    /// Which attempt of the delivery it was, from 1 on.
    number: u32,
}

impl MessageAttemptOut {
    /// An attempt; without content, what was answered is left out.
    pub(in super::super) fn of(entry: AttemptEntry, with_content: bool) -> Self {
        let AttemptEntry { event, endpoint, manual, success, attempt } = entry;
        let shown = if success { Shown::Success } else { Shown::Fail };
        let response = if with_content {
            String::from_utf8_lossy(&attempt.response).into_owned()
        } else {
            "{}".into()
        };
        Self {
            outcome: told(&attempt.outcome, &attempt.url),
            id: attempt.id.to_string(),
            url: attempt.url,
            response,
            response_status_code: attempt.status,
            response_duration_ms: attempt.duration_ms,
            status: shown.number(),
            status_text: shown.as_str(),
            trigger_type: u8::from(manual),
            msg_id: event.to_string(),
            endpoint_id: endpoint.to_string(),
            timestamp: attempt.started_at,
            msg: None,
            detail: attempt.detail,
            number: attempt.number,
        }
    }

    /// The same with its event.
    pub(in super::super) fn with_event(
        (entry, event): AttemptWithEvent,
        with_content: bool,
    ) -> Self {
        let msg = event.map(|event| MessageOut::stored(event, with_content));
        Self { msg, ..Self::of(entry, with_content) }
    }
}

/// How a delivery stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct DeliveryStatus {
    /// 0: the receiver has it; 1: not tried yet, or held until a person acts; 2: given up; 3: to be tried
    /// again; 4: taken back.
    status: u8,
    /// The word for it: `success`, `pending`, `fail`, `sending`, `canceled`.
    status_text: &'static str,
    /// When it is tried next.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt: Option<Timestamp>,
}

impl From<Standing> for DeliveryStatus {
    fn from(standing: Standing) -> Self {
        let shown = standing.state.shown();
        Self {
            status: shown.number(),
            status_text: shown.as_str(),
            next_attempt: standing.state.next_attempt(),
        }
    }
}

/// An event as it is owed to an endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct EndpointMessageOut {
    #[serde(flatten)]
    message: MessageOut,
    #[serde(flatten)]
    status: DeliveryStatus,
}

impl EndpointMessageOut {
    /// An event and how its delivery stands.
    pub(in super::super) fn of(delivery: EventDelivery, with_content: bool) -> Self {
        Self {
            message: MessageOut::stored(delivery.event, with_content),
            status: delivery.standing.into(),
        }
    }
}

/// An endpoint as an event is owed to it: as it is now, or as it was last when it is deleted.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct MessageEndpointOut {
    /// Its id.
    #[schema(example = "ep_1srOrx2ZWZBpBUvZwXKQmoEYga2")]
    id: String,
    /// The name that its owner gave it.
    uid: Option<String>,
    /// Where requests go.
    url: String,
    /// For people.
    description: String,
    /// Types of events that it wants; null: all.
    event_types: Option<Vec<String>>,
    /// The same, by its older name.
    #[schema(deprecated)]
    filter_types: Option<Vec<String>>,
    /// Channels that it listens on; null: all.
    channels: Option<Vec<String>>,
    /// Requests per second that it agreed to.
    throttle_rate: Option<u32>,
    /// The same, by its older name.
    #[schema(deprecated)]
    rate_limit: Option<u32>,
    /// The version of the payloads that its owner expects.
    version: u16,
    /// Whether it is called at all.
    disabled: bool,
    /// Whether it is one of the application's endpoints: not its default URL, nor one that the message names.
    listed: bool,
    /// When it was made; of what is not listed, when the message was received.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// When it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    deleted_at: Option<Timestamp>,
    #[serde(flatten)]
    status: DeliveryStatus,
}

impl From<EndpointDelivery> for MessageEndpointOut {
    fn from(delivery: EndpointDelivery) -> Self {
        let EndpointFacts {
            id,
            listed,
            uid,
            description,
            url,
            filter,
            channels,
            state,
            disabled_because: _,
            throttle_rate,
            metadata: _,
            version,
            created_at,
            updated_at,
            deleted_at,
        } = delivery.endpoint;
        let types: Vec<_> = filter.patterns().iter().map(ToString::to_string).collect();
        let types = (!types.is_empty()).then_some(types);
        let rate = throttle_rate.map(Into::into);
        Self {
            id: id.to_string(),
            uid,
            url: url.into(),
            description,
            event_types: types.clone(),
            filter_types: types,
            channels: (!channels.is_empty()).then_some(channels),
            throttle_rate: rate,
            rate_limit: rate,
            version: version.into(),
            listed,
            disabled: match state {
                EndpointState::Disabled => true,
                EndpointState::Active | EndpointState::Paused => false,
            },
            created_at,
            updated_at,
            deleted_at,
            status: delivery.standing.into(),
        }
    }
}

/// What became of an endpoint's deliveries.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct EndpointStats {
    /// The receiver has them.
    success: u64,
    /// Not tried yet, or held until a person acts.
    pending: u64,
    /// To be tried again.
    sending: u64,
    /// Given up.
    fail: u64,
    /// Taken back.
    canceled: u64,
    /// There were too many to count them all: those of events received from this moment on were.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    only_since: Option<Timestamp>,
}

impl From<DeliveryCounts> for EndpointStats {
    fn from(counts: DeliveryCounts) -> Self {
        let DeliveryCounts { success, pending, fail, sending, canceled, only_since } = counts;
        Self { success, pending, sending, fail, canceled, only_since }
    }
}

/// It will be sent: nothing more is to be told.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct ResendOut {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_inside_is_told_like_one_that_leads_nowhere() {
        let told = |outcome: &str, url: &str| told(outcome, url);
        assert_eq!(told("target_not_allowed", "https://inside.example.com/"), "dns");
        assert_eq!(told("dns", "https://nowhere.example.com/"), "dns");
        assert_eq!(told("target_not_allowed", "https://10.0.0.1/"), "target_not_allowed");
        assert_eq!(told("server_error", "https://example.com/"), "server_error");
    }
}
