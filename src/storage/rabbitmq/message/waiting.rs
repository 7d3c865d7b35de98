//! A delivery on the ladder: the event's bytes unchanged, and headers from which the whole delivery
//! is rebuilt without asking any store.
//!
//! Built from the delivery and never from the message that it came in, so the broker's own marks
//! cannot travel along.

use std::str::FromStr;
use std::sync::Arc;

use lapin::BasicProperties;

use super::{Headers, Outgoing, Raw, as_number, as_text, described, header, of_event};
use crate::domain::delivery::{Delivery, Turn};
use crate::domain::event::{Attributes, Event, Rejection, Webhook};
use crate::domain::time::Timestamp;

const EVENT: &str = "x-posthaste-event";
const APPLICATION: &str = "x-posthaste-application";
const ENDPOINT: &str = "x-posthaste-endpoint";
const TURN: &str = "x-posthaste-turn";
const ATTEMPTS: &str = "x-posthaste-attempts";
/// 1, when a replay offered it; absent otherwise, and in messages from before there was this header.
const REPLAYED: &str = "x-posthaste-replayed";
const DUE_AT: &str = "x-posthaste-due-at";
const TYPE: &str = "x-posthaste-type";
const EVENT_ID: &str = "x-posthaste-event-id";
const SUBJECT: &str = "x-posthaste-subject";
const OCCURRED_AT: &str = "x-posthaste-occurred-at";
const RECEIVED_AT: &str = "x-posthaste-received-at";
const DELIVER_AT: &str = "x-posthaste-deliver-at";
const EXPIRES_AT: &str = "x-posthaste-expires-at";
const CONTENT_TYPE: &str = "x-posthaste-content-type";
const CHANNELS: &str = "x-posthaste-channels";
const WEBHOOK_URL: &str = "x-posthaste-webhook-url";
const WEBHOOK_MODE: &str = "x-posthaste-webhook-mode";
/// As JSON: names and values, in pairs.
const ATTRIBUTES: &str = "x-posthaste-attributes";
const TRACEPARENT: &str = "traceparent";

/// The message for a delivery that takes this rung and is due then.
pub(in super::super) fn message(
    delivery: &Delivery,
    due_at: Timestamp,
    ladder: String,
    rung_ms: u64,
) -> Outgoing {
    let event = &delivery.event;
    let mut headers = Headers::default()
        .text(EVENT, &event.id)
        .text(APPLICATION, &event.application)
        .text(ENDPOINT, &delivery.endpoint)
        .number(TURN, delivery.turn.0)
        .number(ATTEMPTS, delivery.attempts)
        .moment(DUE_AT, due_at)
        .text(TYPE, &event.event_type)
        .optional_text(EVENT_ID, event.event_id.as_deref())
        .optional_text(SUBJECT, event.subject.as_deref())
        .moment(OCCURRED_AT, event.occurred_at)
        .moment(RECEIVED_AT, event.received_at)
        .optional_moment(DELIVER_AT, event.deliver_at)
        .optional_moment(EXPIRES_AT, event.expires_at)
        .optional_text(CONTENT_TYPE, event.content_type.as_deref())
        .optional_text(TRACEPARENT, event.traceparent.as_deref())
        .names(CHANNELS, &event.channels)
        .optional_text(WEBHOOK_URL, event.webhook.as_ref().map(|webhook| webhook.url.as_str()))
        .optional_text(WEBHOOK_MODE, event.webhook.as_ref().map(|webhook| webhook.mode.as_str()))
        .optional_text(ATTRIBUTES, attributes(event).as_deref());
    if delivery.replayed {
        headers = headers.number(REPLAYED, 1);
    }
    // The properties are for people who look at the queue; what is read back is in the headers,
    // which have no limit of 255 bytes.
    let properties =
        of_event(event, &delivery.key().id().to_string()).with_headers(headers.table());
    Outgoing {
        exchange: ladder,
        routing_key: rung_ms.to_string(),
        mandatory: true,
        rung_ms: Some(rung_ms),
        properties,
        body: event.payload.clone(),
    }
}

/// The delivery in a message, and when it is due.
///
/// # Errors
/// The first header that is not as we write it: somebody else published here.
pub(in super::super) fn delivery(message: &Raw) -> Result<(Delivery, Timestamp), Rejection> {
    let headers = Read(&message.properties);
    let event = Event {
        id: headers.parsed(EVENT, "an event's id")?,
        application: headers.parsed(APPLICATION, "an application's id")?,
        event_type: headers.parsed(TYPE, "an event type")?,
        event_id: headers.text(EVENT_ID),
        subject: headers.text(SUBJECT),
        occurred_at: headers.moment(OCCURRED_AT)?,
        received_at: headers.moment(RECEIVED_AT)?,
        deliver_at: headers.optional_moment(DELIVER_AT)?,
        expires_at: headers.optional_moment(EXPIRES_AT)?,
        content_type: headers.text(CONTENT_TYPE),
        traceparent: headers.text(TRACEPARENT),
        channels: headers.names(CHANNELS),
        webhook: headers.webhook()?,
        attributes: headers.attributes()?,
        payload: message.body.clone(),
    };
    let delivery = Delivery {
        event: Arc::new(event),
        endpoint: headers.parsed(ENDPOINT, "an endpoint's id")?,
        turn: Turn(headers.count(TURN)?),
        attempts: headers.count(ATTEMPTS)?,
        replayed: header(headers.0, REPLAYED).is_some(),
    };
    Ok((delivery, headers.moment(DUE_AT)?))
}

fn attributes(event: &Event) -> Option<String> {
    let named = !event.attributes.is_empty();
    named.then(|| serde_json::to_string(&event.attributes).expect("pairs of texts are JSON"))
}

struct Read<'a>(&'a BasicProperties);

impl Read<'_> {
    fn text(&self, name: &str) -> Option<Box<str>> {
        header(self.0, name).and_then(as_text).map(Box::from)
    }

    fn names(&self, name: &str) -> Box<[Box<str>]> {
        let text = header(self.0, name).and_then(as_text).unwrap_or_default();
        text.split(',').filter(|name| !name.is_empty()).map(Box::from).collect()
    }

    fn webhook(&self) -> Result<Option<Webhook>, Rejection> {
        if header(self.0, WEBHOOK_URL).is_none() {
            return Ok(None);
        }
        let url = self.parsed(WEBHOOK_URL, "a URL")?;
        Ok(Some(Webhook { url, mode: self.parsed(WEBHOOK_MODE, "override or add")? }))
    }

    fn attributes(&self) -> Result<Attributes, Rejection> {
        let Some(text) = header(self.0, ATTRIBUTES).and_then(as_text) else {
            return Ok(Attributes::default());
        };
        serde_json::from_str(text).map_err(|_| self.refused(ATTRIBUTES, "pairs of texts, as JSON"))
    }

    fn parsed<T: FromStr>(&self, name: &'static str, wanted: &'static str) -> Result<T, Rejection> {
        header(self.0, name)
            .and_then(as_text)
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| self.refused(name, wanted))
    }

    fn count(&self, name: &'static str) -> Result<u32, Rejection> {
        header(self.0, name)
            .and_then(as_number)
            .and_then(|number| u32::try_from(number).ok())
            .ok_or_else(|| self.refused(name, "a count"))
    }

    fn moment(&self, name: &'static str) -> Result<Timestamp, Rejection> {
        self.optional_moment(name)?.ok_or_else(|| self.refused(name, "milliseconds since 1970"))
    }

    fn optional_moment(&self, name: &'static str) -> Result<Option<Timestamp>, Rejection> {
        let Some(value) = header(self.0, name) else { return Ok(None) };
        as_number(value)
            .map(|ms| Some(Timestamp::from_millis(ms)))
            .ok_or_else(|| self.refused(name, "milliseconds since 1970"))
    }

    fn refused(&self, name: &'static str, wanted: &'static str) -> Rejection {
        let found = header(self.0, name).map_or_else(|| "missing".to_owned(), described);
        Rejection::BadField { name, found, wanted }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::option;
    use proptest::prelude::*;

    use super::super::short;
    use super::*;
    use crate::domain::id::{ApplicationId, EndpointId, EventId};

    fn arrived(sent: &Outgoing) -> Raw {
        Raw {
            exchange: "posthaste.v1.due".into(),
            routing_key: short(&sent.routing_key),
            properties: sent.properties.clone(),
            body: sent.body.clone(),
        }
    }

    fn text() -> impl Strategy<Value = Option<Box<str>>> {
        option::of("\\PC{1,300}".prop_map(String::into_boxed_str))
    }

    fn moment() -> impl Strategy<Value = Timestamp> {
        (0..253_402_128_000_000_i64).prop_map(Timestamp::from_millis)
    }

    prop_compose! {
        fn a_delivery()(
            seed: [u8; 4],
            event_id in text(),
            subject in text(),
            content_type in text(),
            moments in [moment(), moment()],
            deliver_at in option::of(moment()),
            expires_at in option::of(moment()),
            payload: Vec<u8>,
            turn: u32,
            attempts: u32,
            replayed: bool,
        ) -> Delivery {
            let event = Event {
                id: EventId::derived(&[&seed]),
                application: ApplicationId::derived(&[&seed]),
                event_type: "job.completed".parse().expect("a type"),
                event_id,
                subject,
                occurred_at: moments[0],
                received_at: moments[1],
                deliver_at,
                expires_at,
                content_type,
                traceparent: None,
                channels: Box::from(["eu".into(), "beta".into()]),
                payload: payload.into(),
                webhook: None,
                attributes: Box::default(),
            };
            let endpoint = EndpointId::derived(&[&seed]);
            Delivery { event: Arc::new(event), endpoint, turn: Turn(turn), attempts, replayed }
        }
    }

    proptest! {
        #[test]
        fn a_delivery_comes_back_as_it_went(sent in a_delivery(), due_at in moment()) {
            let message = message(&sent, due_at, "posthaste.v1.ladder".into(), 5_000);

            let (back, due_back) = delivery(&arrived(&message)).expect("readable");

            // Debug shows every field of both, and a field added later is compared by itself.
            prop_assert_eq!(format!("{:?}", back), format!("{:?}", sent));
            prop_assert_eq!(due_back, due_at);
            prop_assert_eq!(&message.routing_key, "5000");
        }
    }

    #[test]
    fn what_somebody_else_published_there_is_refused_by_the_first_missing_header() {
        let foreign = Raw {
            exchange: "posthaste.v1.due".into(),
            routing_key: "".into(),
            properties: BasicProperties::default(),
            body: Bytes::from_static(b"{}"),
        };
        let why = delivery(&foreign).expect_err("refused");
        assert_eq!(why.to_string(), "`x-posthaste-event` is missing: an event's id is wanted");
    }
}
