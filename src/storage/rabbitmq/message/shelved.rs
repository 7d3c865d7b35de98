//! A message that nobody took, as people look at it, and as it is published anew when they have corrected it.

use std::fmt::Write as _;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::super::topology::Topology;
use super::outgoing::kept;
use super::{Outgoing, Raw, as_number, as_text, header, incoming, short, stripped, waiting};
use crate::domain::id::HeldId;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::quarantine::{BODY_SHOWN_MAX, Fix, Held, HeldMessage, Shelf};

/// Headers that are shown, and bytes of each value: more than any producer of events has, and a page's worth of strangers' ones.
const HEADERS_SHOWN: usize = 100;
const VALUE_SHOWN: usize = 1_024;

/// What quarantine has put beside a message: said in words of their own, and taken off when it is published anew.
const OURS: [&str; 4] = ["x-reason", "x-error", "x-original-exchange", "x-original-routing-key"];

/// What it is found by: all that its producer chose, and why it is here. Not what the broker adds each time that it hands it
/// out. Two messages that are alike to the last byte are found by the same; which of them is taken is all one.
pub(in super::super) fn id(message: &Raw) -> HeldId {
    let properties = &message.properties;
    let text = |property: &Option<ShortString>| {
        property.as_ref().map_or("", ShortString::as_str).to_owned()
    };
    // What the reader of events makes an event's identity of, and all else that is sent on.
    let mut chosen = vec![
        routing_key(message).to_owned(),
        text(properties.message_id()),
        text(properties.kind()),
        text(properties.content_type()),
        text(properties.content_encoding()),
        text(properties.correlation_id()),
        text(properties.app_id()),
        properties.timestamp().map_or_else(String::new, |at| at.to_string()),
    ];
    // With our own, which say why it is here.
    for (name, value) in stripped(properties.headers().as_ref()) {
        chosen.extend([name.to_string(), format!("{value:?}")]);
    }
    let mut parts: Vec<&[u8]> = chosen.iter().map(String::as_bytes).collect();
    parts.push(&message.body);
    HeldId::derived(&parts)
}

/// A message as a list shows it.
pub(in super::super) fn held(message: &Raw, shelf: Shelf) -> Held {
    let properties = &message.properties;
    let said = |name: &str| header(properties, name).and_then(as_text).map(str::to_owned);
    let (reason, why) = match shelf {
        Shelf::Quarantine | Shelf::Record => (
            said("x-reason").unwrap_or_else(|| "unknown".into()),
            said("x-error").unwrap_or_else(|| "nobody has said why it is here".into()),
        ),
        Shelf::Unroutable => ("unroutable".into(), "no queue was bound for it".into()),
        Shelf::Poison => {
            ("poison".into(), "it was delivered too often without being finished".into())
        }
    };
    Held {
        id: id(message),
        reason,
        why,
        routing_key: routing_key(message).to_owned(),
        event_type: properties.kind().as_ref().map(ToString::to_string),
        message_id: message_id(properties).map(str::to_owned),
        body_bytes: message.body.len(),
        at: properties.timestamp().and_then(moment),
    }
}

/// A message, whole.
pub(in super::super) fn whole(message: &Raw, shelf: Shelf) -> HeldMessage {
    let headers = message.properties.headers().iter().flat_map(FieldTable::inner);
    let exchange = header(&message.properties, "x-original-exchange").and_then(as_text);
    HeldMessage {
        held: held(message, shelf),
        exchange: Some(exchange.unwrap_or(message.exchange.as_str()).to_owned()),
        content_type: message.properties.content_type().as_ref().map(ToString::to_string),
        headers: headers
            .filter(|(name, _)| !OURS.contains(&name.as_str()))
            .take(HEADERS_SHOWN)
            .map(|(name, value)| (name.to_string(), shown(value)))
            .collect(),
        body: message.body.slice(..message.body.len().min(BODY_SHOWN_MAX)),
    }
}

/// The message as it is published anew; what its event is recognised by, beside.
///
/// # Errors
/// `Conflict` when it is no event even so, or never was one.
pub(in super::super) fn corrected(
    message: &Raw,
    fix: &Fix,
    limit: usize,
    topology: &Topology,
) -> Result<(Outgoing, String), StorageError> {
    if waiting::delivery(message).is_ok() {
        return Err(StorageError::Conflict(
            "this is a delivery that waited, and no event: the record has it, and offers it again by itself; it can be \
             thrown away"
                .into(),
        ));
    }
    let key = fix.routing_key.as_deref().unwrap_or_else(|| routing_key(message));
    let mut headers = stripped(message.properties.headers().as_ref());
    headers.retain(|name, _| {
        let name = name.as_str();
        !OURS.contains(&name) && !fix.without.iter().any(|one| one == name)
    });
    // One that its producer did not name goes by what it is found by here: resubmitted twice, it is one event.
    let message_id =
        message_id(&message.properties).map_or_else(|| id(message).to_string(), Into::into);
    let properties = without(kept(&message.properties), fix)
        .with_message_id(short(&message_id))
        .with_headers(headers.into());
    let outgoing = Outgoing {
        exchange: topology.events(),
        routing_key: key.to_owned(),
        mandatory: true,
        rung_ms: None,
        properties,
        body: fix.body.clone().unwrap_or_else(|| message.body.clone()),
    };
    // As the router will read it: what would only come back is not sent.
    let as_it_arrives = Raw {
        exchange: short(&outgoing.exchange),
        routing_key: short(key),
        properties: outgoing.properties.clone(),
        body: outgoing.body.clone(),
    };
    incoming::event(&as_it_arrives, limit)
        .map_err(|why| StorageError::Conflict(why.to_string()))?;
    Ok((outgoing, message_id))
}

/// The properties with what is corrected of them.
fn without(properties: BasicProperties, fix: &Fix) -> BasicProperties {
    let leaves_out = |name: &str| fix.without.iter().any(|one| one == name);
    let kind = match fix.event_type.as_deref() {
        None => properties.kind().clone(),
        Some("") => None,
        Some(named) => Some(short(named)),
    };
    // There is no way to take one out: those that stay are put on anew.
    let mut fixed = BasicProperties::default();
    if let Some(mode) = properties.delivery_mode() {
        fixed = fixed.with_delivery_mode(*mode);
    }
    if let Some(kind) = kind {
        fixed = fixed.with_type(kind);
    }
    if let Some(value) = properties.content_type().clone().filter(|_| !leaves_out("content_type")) {
        fixed = fixed.with_content_type(value);
    }
    if let Some(value) = properties.content_encoding() {
        fixed = fixed.with_content_encoding(value.clone());
    }
    if let Some(value) = properties.correlation_id() {
        fixed = fixed.with_correlation_id(value.clone());
    }
    if let Some(value) = properties.timestamp().filter(|_| !leaves_out("timestamp")) {
        fixed = fixed.with_timestamp(value);
    }
    if let Some(value) = properties.app_id() {
        fixed = fixed.with_app_id(value.clone());
    }
    fixed
}

/// The key that its producer published it with.
fn routing_key(message: &Raw) -> &str {
    let original = header(&message.properties, "x-original-routing-key").and_then(as_text);
    original.unwrap_or(message.routing_key.as_str())
}

fn message_id(properties: &BasicProperties) -> Option<&str> {
    properties.message_id().as_ref().map(ShortString::as_str).filter(|id| !id.is_empty())
}

/// Milliseconds where seconds belong would be a date tens of thousands of years ahead.
fn moment(seconds: u64) -> Option<Timestamp> {
    let moment = Timestamp::from_seconds(i64::try_from(seconds).ok()?);
    (moment <= Timestamp::NEVER).then_some(moment)
}

/// A value for people to read.
fn shown(value: &AMQPValue) -> String {
    let mut text = match (as_text(value), as_number(value), value) {
        (Some(text), ..) => return cut(text),
        (_, Some(number), _) => return number.to_string(),
        (_, _, AMQPValue::Boolean(flag)) => return flag.to_string(),
        _ => String::new(),
    };
    // A list or a table: as it is in memory, which is legible enough for what nobody of ours reads.
    let _never_fails = write!(text, "{value:?}");
    cut(&text)
}

fn cut(text: &str) -> String {
    if text.len() <= VALUE_SHOWN {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(VALUE_SHOWN)])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;

    use super::super::outgoing::quarantined;
    use super::*;
    use crate::domain::event::{Identity, Rejection};

    fn posthaste() -> Topology {
        Topology::new("posthaste").expect("a prefix")
    }

    fn put_away(key: &str, properties: BasicProperties, body: &'static str) -> Raw {
        let message = Raw {
            exchange: "posthaste.events".into(),
            routing_key: key.into(),
            properties,
            body: Bytes::from_static(body.as_bytes()),
        };
        let why = Rejection::NotJson("EOF".into());
        let kept = quarantined(&message, &why, &posthaste());
        Raw { exchange: short(&kept.exchange), properties: kept.properties, ..message }
    }

    fn fixed(body: &'static str) -> Fix {
        Fix { body: Some(Bytes::from_static(body.as_bytes())), ..Fix::default() }
    }

    #[test]
    fn it_is_found_by_what_it_is_and_not_by_what_the_broker_adds() {
        let plain = put_away("acme.job.completed", BasicProperties::default(), "{");
        let mut again = put_away("acme.job.completed", BasicProperties::default(), "{");
        let mut headers = again.properties.headers().clone().unwrap_or_default();
        headers.insert("x-delivery-count".into(), AMQPValue::LongLongInt(7));
        again.properties = again.properties.with_headers(headers);
        assert_eq!(id(&plain), id(&again));
        let others = [
            put_away("acme.job.completed", BasicProperties::default(), "}"),
            put_away("acme.job.failed", BasicProperties::default(), "{"),
        ];
        for other in others {
            assert_ne!(id(&plain), id(&other));
        }
    }

    #[test]
    fn messages_that_differ_in_anything_that_their_producers_chose_are_two() {
        let base = BasicProperties::default;
        let with = |name: &'static str, value: &str| {
            let mut headers = FieldTable::default();
            headers.insert(name.into(), AMQPValue::LongString(value.into()));
            base().with_headers(headers)
        };
        let all = [
            base(),
            base().with_message_id("run-7".into()),
            base().with_type("job.completed".into()),
            base().with_type("job.failed".into()),
            base().with_content_type("text/plain".into()),
            base().with_content_encoding("gzip".into()),
            base().with_correlation_id("run-7".into()),
            base().with_app_id("run-7".into()),
            base().with_timestamp(1_790_000_000),
            with("subject", "job-7"),
            with("subject", "job-8"),
            with("channels", "job-7"),
            with("deliver-at", "tomorrow"),
            with("webhook-url", "https://one.example/"),
            with("webhook-url", "https://two.example/"),
            with("x-tenant", "acme"),
        ];
        let count = all.len();
        let ids = all.map(|properties| id(&put_away("acme.job.completed", properties, "{")));
        let different: BTreeSet<_> = ids.iter().map(ToString::to_string).collect();
        assert_eq!(different.len(), count, "{ids:?}");
        let mut elsewhere = put_away("acme.job.completed", base(), "{");
        let mut headers = elsewhere.properties.headers().clone().unwrap_or_default();
        headers.insert("x-reason".into(), AMQPValue::LongString("payload_too_large".into()));
        elsewhere.properties = elsewhere.properties.with_headers(headers);
        assert_ne!(id(&elsewhere), ids[0], "it is here for another reason");
    }

    #[test]
    fn corrected_it_is_an_event_by_the_id_that_it_had() {
        let named = BasicProperties::default().with_message_id("run-7".into());
        let message = put_away("acme.job.completed", named, "{");
        let (outgoing, name) =
            corrected(&message, &fixed("{}"), 1_000, &posthaste()).expect("an event");
        assert_eq!(name, "run-7");
        assert_eq!(outgoing.routing_key, "acme.job.completed");
        assert_eq!(&outgoing.body[..], b"{}");
        let headers = outgoing.properties.headers().clone().unwrap_or_default();
        assert!(headers.inner().is_empty(), "what quarantine said of it: {headers:?}");

        let nameless = put_away("acme.job.completed", BasicProperties::default(), "{");
        let once = corrected(&nameless, &fixed("{}"), 1_000, &posthaste()).expect("an event");
        let twice = corrected(&nameless, &fixed("[]"), 1_000, &posthaste()).expect("an event");
        assert_eq!((&once.1, &once.1), (&id(&nameless).to_string(), &twice.1), "one event");
        let read = |sent: &Outgoing| {
            let raw = Raw {
                exchange: "posthaste.events".into(),
                routing_key: short(&sent.routing_key),
                properties: sent.properties.clone(),
                body: sent.body.clone(),
            };
            incoming::event(&raw, 1_000).expect("an event").identity
        };
        assert_eq!(read(&once.0), Identity::Given(once.1.as_str().into()));
    }

    #[test]
    fn what_would_only_come_back_is_refused_in_the_words_that_it_would_come_back_with() {
        let message = put_away("acme.job.completed", BasicProperties::default(), "{");
        for (fix, wanted) in [
            (Fix::default(), "not JSON"),
            (fixed("[}"), "not JSON"),
            (Fix { routing_key: Some("acme".into()), ..fixed("{}") }, "type"),
            (Fix { event_type: Some("no type".into()), ..fixed("{}") }, "type"),
        ] {
            let refused = corrected(&message, &fix, 1_000, &posthaste()).expect_err("refused");
            assert!(matches!(refused, StorageError::Conflict(_)), "{refused}");
            assert!(refused.to_string().contains(wanted), "{refused}");
        }
        let refused = corrected(&message, &fixed("[1,2]"), 3, &posthaste()).expect_err("too large");
        assert!(refused.to_string().contains("at most 3"), "{refused}");
    }

    #[test]
    fn a_header_or_a_property_that_cannot_be_read_is_left_out_where_that_is_asked() {
        let mut headers = FieldTable::default();
        headers.insert("deliver-at".into(), AMQPValue::LongString("tomorrow".into()));
        headers.insert("subject".into(), AMQPValue::LongString("job-7".into()));
        let wrong = BasicProperties::default().with_timestamp(u64::MAX).with_headers(headers);
        let message = put_away("acme.job.completed", wrong, "{}");
        let refused = corrected(&message, &Fix::default(), 1_000, &posthaste()).expect_err("both");
        assert!(refused.to_string().contains("timestamp"), "{refused}");
        let fix = Fix { without: vec!["deliver-at".into(), "timestamp".into()], ..Fix::default() };
        let (outgoing, _) = corrected(&message, &fix, 1_000, &posthaste()).expect("an event");
        let headers = outgoing.properties.headers().clone().unwrap_or_default();
        assert!(headers.inner().contains_key("subject"), "what was not asked for stays");
    }

    #[test]
    fn strangers_headers_are_shown_within_bounds() {
        let mut headers = FieldTable::default();
        for number in 0..200 {
            let text = "ü".repeat(2_000);
            let name = ShortString::from(format!("h{number:03}"));
            headers.insert(name, AMQPValue::LongString(text.as_str().into()));
        }
        headers.insert("a-table".into(), AMQPValue::FieldTable(FieldTable::default()));
        let message = put_away("acme.x", BasicProperties::default().with_headers(headers), "{");
        let whole = whole(&message, Shelf::Quarantine);
        assert_eq!(whole.headers.len(), HEADERS_SHOWN);
        assert!(whole.headers.iter().all(|(_, value)| value.len() <= VALUE_SHOWN + 3));
        assert_eq!(whole.held.reason, "payload_not_json");
        assert_eq!(whole.exchange.as_deref(), Some("posthaste.events"));
    }
}
