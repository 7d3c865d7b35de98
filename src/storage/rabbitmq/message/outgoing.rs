//! What we publish besides the ladder: events for producers of our own, dead letters in their native
//! form, results, and the quarantine of what is not an event.

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, LongString};
use serde::Serialize;

use super::super::topology::Topology;
use super::{Headers, Outgoing, PERSISTENT, Raw, cloudevents, of_event, seconds, short, stripped};
use crate::domain::delivery::DeliveryKey;
use crate::domain::event::Rejection;
use crate::domain::id::{ApplicationId, AttemptId, DeliveryId, EndpointId, EventId};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::inbox::Publication;
use crate::storage::outlet::{Notice, Verdict};

/// Longest sentence in a header: `x-error` may quote what a producer wrote.
const SENTENCE_MAX: usize = 1_024;

/// A producer's event.
///
/// # Errors
/// `Conflict` when something in it has no place in an AMQP message.
pub(in super::super) fn published(
    event: &Publication,
    topology: &Topology,
) -> Result<Outgoing, StorageError> {
    let application = &event.application;
    if application.is_empty() || application.contains('.') || application.len() > 100 {
        return Err(StorageError::Conflict(format!(
            "`{application}` cannot begin a routing key: an application's id, or a uid of at most \
             100 bytes without a full stop, is wanted"
        )));
    }
    let event_type = event.check()?;
    let mut headers = Headers::default()
        .optional_text("subject", event.subject.as_deref())
        .optional_moment("deliver-at", event.deliver_at)
        .optional_moment("expires-at", event.expires_at)
        .optional_text("webhook-url", event.webhook.as_ref().map(|own| own.url.as_str()))
        .optional_text("webhook-mode", event.webhook.as_ref().map(|own| own.mode.as_str()))
        .names("channels", &event.channels);
    headers = cloudevents::marked(headers, event);
    let content_type = event.content_type.as_deref().unwrap_or("application/json");
    let mut properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type(short(content_type))
        .with_message_id(short(&event.event_id))
        .with_type(short(event_type.as_str()));
    if let Some(at) = event.occurred_at {
        properties = properties.with_timestamp(seconds(at));
        headers = headers.moment("occurred-at", at); // the property knows whole seconds only
    }
    Ok(Outgoing {
        exchange: topology.events(),
        routing_key: format!("{application}.{event_type}"),
        mandatory: true,
        rung_ms: None,
        properties: properties.with_headers(headers.table()),
        body: event.payload.clone(),
    })
}

/// What arrived, for quarantine: as it came, with the reason beside it.
pub(in super::super) fn quarantined(
    message: &Raw,
    why: &Rejection,
    topology: &Topology,
) -> Outgoing {
    let mut sentence = why.to_string();
    sentence.truncate(sentence.floor_char_boundary(SENTENCE_MAX));
    let mut headers = stripped(message.properties.headers().as_ref());
    for (name, value) in [
        ("x-reason", why.reason()),
        ("x-error", sentence.as_str()),
        ("x-original-exchange", message.exchange.as_str()),
        ("x-original-routing-key", message.routing_key.as_str()),
    ] {
        headers.insert(name.into(), AMQPValue::LongString(LongString::from(value)));
    }
    Outgoing {
        exchange: topology.quarantine(),
        routing_key: message.routing_key.as_str().to_owned(),
        mandatory: true,
        rung_ms: None,
        properties: kept(&message.properties).with_headers(headers.into()),
        body: message.body.clone(),
    }
}

/// The properties of a message as they were, but persistent, and without those that the broker acts
/// on: an expiration would empty the quarantine, and a direct reply-to or a user id that are not ours
/// close the channel.
pub(super) fn kept(properties: &BasicProperties) -> BasicProperties {
    let mut kept = BasicProperties::default().with_delivery_mode(PERSISTENT);
    if let Some(value) = properties.content_type() {
        kept = kept.with_content_type(value.clone());
    }
    if let Some(value) = properties.content_encoding() {
        kept = kept.with_content_encoding(value.clone());
    }
    if let Some(value) = properties.correlation_id() {
        kept = kept.with_correlation_id(value.clone());
    }
    if let Some(value) = properties.message_id() {
        kept = kept.with_message_id(value.clone());
    }
    if let Some(value) = properties.timestamp() {
        kept = kept.with_timestamp(*value);
    }
    if let Some(value) = properties.kind() {
        kept = kept.with_type(value.clone());
    }
    if let Some(value) = properties.app_id() {
        kept = kept.with_app_id(value.clone());
    }
    kept
}

/// A dead letter in its native form: the event's bytes, and the verdict in headers.
pub(in super::super) fn dead_letter(notice: &Notice, why: &str, topology: &Topology) -> Outgoing {
    let event = &notice.event;
    let headers = Headers::default()
        .text("x-reason", why)
        .text("x-posthaste-event", &event.id)
        .text("x-posthaste-application", &event.application)
        .text("x-posthaste-endpoint", &notice.endpoint)
        .text("x-posthaste-delivery", &delivery_id(notice))
        .number("x-posthaste-attempts", notice.attempts)
        .number("x-posthaste-last-status", notice.last_status())
        .moment("x-posthaste-died-at", notice.at)
        .optional_text("x-posthaste-event-id", event.event_id.as_deref())
        .optional_text("subject", event.subject.as_deref())
        .optional_text("traceparent", event.traceparent.as_deref());
    let properties = of_event(event, &event.id.to_string()).with_headers(headers.table());
    Outgoing {
        exchange: topology.dead_letters(),
        routing_key: format!("{}.{}", event.application, event.event_type),
        mandatory: true,
        rung_ms: None,
        properties,
        body: event.payload.clone(),
    }
}

/// The body of a result.
#[derive(Debug, Serialize)]
struct ResultBody<'a> {
    event_id: EventId,
    #[serde(skip_serializing_if = "Option::is_none")]
    producer_event_id: Option<&'a str>,
    delivery_id: DeliveryId,
    endpoint_id: EndpointId,
    application_id: ApplicationId,
    event_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    attempts: u32,
    /// The request that brought it about: none of what expired, or was taken back, without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt_id: Option<AttemptId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempted_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    /// 0 when there was no answer.
    http_status: u16,
    /// Why there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    /// Whether a person asked for that request.
    by_hand: bool,
    at: Timestamp,
}

/// An outcome, fed back to the producers. Nobody has to be bound for it.
pub(in super::super) fn result(notice: &Notice, topology: &Topology) -> Outgoing {
    let event = &notice.event;
    let outcome = notice.verdict.as_str();
    let made = notice.last.as_ref();
    let body = ResultBody {
        event_id: event.id,
        producer_event_id: event.event_id.as_deref(),
        delivery_id: delivery_id(notice),
        endpoint_id: notice.endpoint,
        application_id: event.application,
        event_type: event.event_type.as_str(),
        subject: event.subject.as_deref(),
        outcome,
        reason: match notice.verdict {
            Verdict::Dead(why) | Verdict::Dropped(why) => Some(why.as_str()),
            Verdict::Succeeded | Verdict::Failed | Verdict::Cancelled | Verdict::Unknown => None,
        },
        attempts: notice.attempts,
        attempt_id: made.map(|made| made.id),
        attempt: made.map(|made| made.number),
        attempted_at: made.map(|made| made.started_at),
        url: made.map(|made| made.url.as_ref()),
        http_status: notice.last_status(),
        error: made.filter(|made| made.status == 0).map(|made| made.class),
        by_hand: notice.by_hand,
        at: notice.at,
    };
    let body = serde_json::to_vec(&body).expect("texts and numbers are always JSON");
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_type(short(&format!("delivery.{outcome}")))
        .with_timestamp(seconds(notice.at));
    Outgoing {
        exchange: topology.results(),
        routing_key: format!("{}.delivery.{outcome}", event.application),
        mandatory: false,
        rung_ms: None,
        properties,
        body: Bytes::from(body),
    }
}

fn delivery_id(notice: &Notice) -> DeliveryId {
    DeliveryKey { event: notice.event.id, endpoint: notice.endpoint }.id()
}

#[cfg(test)]
mod tests {
    use super::super::incoming;
    use super::*;
    use crate::domain::event::{Identity, Webhook};

    fn posthaste() -> Topology {
        Topology::new("posthaste").expect("a prefix")
    }

    fn publication() -> Publication {
        Publication {
            application: "acme".into(),
            event_type: "job.completed".into(),
            event_id: "run-7.done".into(),
            idempotency_key: None,
            subject: Some("job-17".into()),
            occurred_at: Some(Timestamp::from_millis(1_787_307_072_345)),
            deliver_at: Some(Timestamp::from_millis(1_787_307_099_999)),
            channels: vec!["eu".into(), "beta".into()],
            expires_at: Some(Timestamp::from_millis(1_787_307_199_999)),
            webhook: Webhook::parse("https://hook.example/a", "add").expect("a URL"),
            payload: Bytes::from_static(b"{\"amount\":1250.50}"),
            ..Publication::default()
        }
    }

    fn arrived(sent: &Outgoing) -> Raw {
        Raw {
            exchange: short(&sent.exchange),
            routing_key: short(&sent.routing_key),
            properties: sent.properties.clone(),
            body: sent.body.clone(),
        }
    }

    #[test]
    fn what_we_publish_is_read_as_what_was_meant() {
        let meant = publication();
        let sent = published(&meant, &posthaste()).expect("fits");

        let read = incoming::event(&arrived(&sent), 1_000).expect("an event");

        assert_eq!(sent.routing_key, "acme.job.completed");
        assert_eq!(read.identity, Identity::Given("run-7.done".into()));
        assert_eq!(read.subject.as_deref(), Some("job-17"));
        assert_eq!((read.occurred_at, read.deliver_at), (meant.occurred_at, meant.deliver_at));
        assert_eq!((read.expires_at, read.webhook), (meant.expires_at, meant.webhook));
        assert_eq!(read.payload, meant.payload);
    }

    #[test]
    fn what_has_no_place_in_a_routing_key_is_refused() {
        for application in ["", "ac.me", &"x".repeat(101)] {
            let meant = Publication { application: application.into(), ..publication() };
            assert!(published(&meant, &posthaste()).is_err(), "{application}");
        }
    }

    #[test]
    fn quarantine_keeps_the_message_and_says_why() {
        let mut headers = lapin::types::FieldTable::default();
        headers.insert("x-death".into(), AMQPValue::Boolean(true));
        headers.insert("tenant".into(), AMQPValue::LongString("a".into()));
        let message = Raw {
            exchange: "posthaste.events".into(),
            routing_key: "acme".into(),
            properties: BasicProperties::default()
                .with_app_id("billing".into())
                .with_expiration("1000".into())
                .with_headers(headers),
            body: Bytes::from_static(b"{"),
        };
        let kept = quarantined(&message, &Rejection::NotJson("EOF".into()), &posthaste());

        let header = |name: &str| {
            super::super::header(&kept.properties, name)
                .and_then(super::super::as_text)
                .map(str::to_owned)
        };
        assert_eq!(header("x-reason").as_deref(), Some("payload_not_json"));
        assert_eq!(header("x-error").as_deref(), Some("the payload is not JSON: EOF"));
        assert_eq!(header("x-original-routing-key").as_deref(), Some("acme"));
        assert_eq!(header("tenant").as_deref(), Some("a"));
        assert_eq!(header("x-death"), None);
        assert_eq!(kept.properties.expiration(), &None);
        assert_eq!(&kept.body[..], b"{");
    }
}
