//! `MessageOut`: an event as it is answered.
//!
//! A payload is written as it is stored, to the byte: it is JSON already, and never built up anew.

use bytes::Bytes;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::message::{Shape, WebhookMode};
use crate::control::publish::Accepted;
use crate::domain::event::Event;
use crate::domain::time::Timestamp;

/// An event.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct MessageOut {
    /// Its id, which receivers see as `webhook-id`.
    #[schema(example = "msg_1srOrx2ZWZBpBUvZwXKQmoEYga2")]
    id: String,
    /// What happened.
    event_type: String,
    /// The payload; `{}` where it was not asked for, `{"expired": true}` when it is gone.
    #[schema(value_type = Object)]
    payload: Payload,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    timestamp: Timestamp,
    /// Its producer's id for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    /// Channels that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<Vec<String>>,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// Not to be delivered before this.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    deliver_at: Option<Timestamp>,
    /// Of no use after this.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// The URL that it names for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_url: Option<String>,
    /// Whether it goes to that URL alone (`override`), or to the endpoints that want it as well (`add`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<WebhookMode>)]
    webhook_mode: Option<&'static str>,
}

/// What stands in the place of a payload, or the payload.
#[derive(Debug)]
struct Payload(Bytes);

impl Payload {
    fn of(stored: Bytes, wanted: bool) -> Self {
        Self(match (wanted, stored.is_empty()) {
            (false, _) => Bytes::from_static(b"{}"),
            // No event has an empty one.
            (true, true) => Bytes::from_static(br#"{"expired":true}"#),
            (true, false) => stored,
        })
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_slice(&self.0).map_err(S::Error::custom)?;
        raw.serialize(to)
    }
}

impl MessageOut {
    /// An event as it is stored, with its content or without.
    pub(in super::super) fn stored(event: Event, with_content: bool) -> Self {
        let channels: Vec<_> = event.channels.into_iter().map(String::from).collect();
        Self {
            id: event.id.to_string(),
            event_type: event.event_type.to_string(),
            payload: Payload::of(event.payload, with_content),
            timestamp: event.occurred_at,
            event_id: event.event_id.map(String::from),
            channels: (!channels.is_empty()).then_some(channels),
            subject: event.subject.map(String::from),
            deliver_at: event.deliver_at,
            expires_at: event.expires_at,
            webhook_mode: event.webhook.as_ref().map(|own| own.mode.as_str()),
            webhook_url: event.webhook.map(|own| own.url.into()),
        }
    }

    fn accepted(one: Accepted, with_content: bool) -> Self {
        Self {
            id: one.id.to_string(),
            event_type: one.event_type.to_string(),
            payload: Payload::of(one.payload, with_content),
            timestamp: one.occurred_at,
            event_id: one.event_id,
            channels: (!one.channels.is_empty()).then_some(one.channels),
            subject: one.subject,
            deliver_at: one.deliver_at,
            expires_at: one.expires_at,
            webhook_mode: one.webhook.as_ref().map(|own| own.mode.as_str()),
            webhook_url: one.webhook.map(|own| own.url.into()),
        }
    }
}

/// Writes what was accepted in the shape it was sent; without the content, payloads are `{}`.
pub(in super::super) fn write(
    shape: Shape,
    accepted: Vec<Accepted>,
    with_content: bool,
) -> Vec<u8> {
    let answered: Vec<_> =
        accepted.into_iter().map(|one| MessageOut::accepted(one, with_content)).collect();
    let text = match (shape, answered.as_slice()) {
        (Shape::One, [one]) => serde_json::to_vec(one),
        (Shape::One | Shape::Batch, all) => serde_json::to_vec(all),
    };
    text.expect("a payload that was accepted is JSON, and so is the rest")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Webhook;

    fn accepted() -> Accepted {
        Accepted {
            id: "msg_0ujtsYcgvSTl8PAuAdqWYSMnLOv".parse().expect("an id"),
            event_type: "job.done".parse().expect("a type"),
            payload: Bytes::from_static(b"{\"n\": 1.50}"),
            event_id: None,
            subject: None,
            occurred_at: Timestamp::from_seconds(1_790_000_000),
            deliver_at: None,
            expires_at: None,
            channels: Vec::new(),
            webhook: None,
        }
    }

    #[test]
    fn an_answer_has_every_field_that_clients_need() {
        let text = |shape, content| {
            String::from_utf8(write(shape, vec![accepted()], content)).expect("text")
        };
        let whole = r#"{"id":"msg_0ujtsYcgvSTl8PAuAdqWYSMnLOv","eventType":"job.done","payload":{"n": 1.50},"timestamp":"2026-09-21T14:13:20.000Z"}"#;
        assert_eq!(text(Shape::One, true), whole);
        assert_eq!(text(Shape::Batch, true), format!("[{whole}]"));
        assert_eq!(text(Shape::One, false), whole.replace("{\"n\": 1.50}", "{}"));
    }

    #[test]
    fn what_is_not_there_is_left_out_and_the_rest_is_told() {
        let one = Accepted {
            event_id: Some("run-7".into()),
            subject: Some("7".into()),
            channels: vec!["eu".into()],
            deliver_at: Some(Timestamp::from_seconds(1_790_000_001)),
            expires_at: Some(Timestamp::from_seconds(1_790_000_002)),
            webhook: Webhook::parse("https://hook.example/", "add").expect("a URL"),
            payload: Bytes::new(),
            ..accepted()
        };
        let told: serde_json::Value =
            serde_json::from_slice(&write(Shape::One, vec![one], true)).expect("JSON");
        assert_eq!(told["eventId"], "run-7");
        assert_eq!(told["subject"], "7");
        assert_eq!(told["channels"], serde_json::json!(["eu"]));
        assert_eq!(told["deliverAt"], "2026-09-21T14:13:21.000Z");
        assert_eq!(told["expiresAt"], "2026-09-21T14:13:22.000Z");
        assert_eq!(
            (&told["webhookUrl"], &told["webhookMode"]),
            (&"https://hook.example/".into(), &"add".into())
        );
        assert_eq!(told["payload"], serde_json::json!({ "expired": true }));
    }
}
