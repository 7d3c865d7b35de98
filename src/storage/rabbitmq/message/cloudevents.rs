//! `CloudEvents` in AMQP messages: which headers their attributes are, and what each kind of value says.
//!
//! In binary mode an attribute is a header with one of three beginnings: the two of the AMQP binding, and the
//! one of HTTP, which bridges between the two carry over. A value is its canonical text, or of AMQP's own kind.
//! What the attributes mean is `domain::cloudevent`'s.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lapin::types::{AMQPValue, ShortString};

use super::{Headers, Raw, as_number, as_text, described};
use crate::domain::cloudevent::{self, CloudEvent, Fault, Faults, Mode, SPECVERSION};
use crate::domain::event::Rejection;
use crate::domain::time::Timestamp;
use crate::storage::inbox::Publication;

/// What the names of attributes begin with: the binding's two (§3.1.3.1), and HTTP's.
pub(super) const PREFIXES: [&str; 3] = ["cloudEvents_", "cloudEvents:", "ce-"];

/// The `CloudEvent` in a message, if it is one.
///
/// # Errors
/// `NotACloudEvent`, with everything that is wrong.
pub(super) fn read(message: &Raw) -> Result<Option<CloudEvent>, Rejection> {
    let content_type = message.properties.content_type().as_ref().map(ShortString::as_str);
    let found = match cloudevent::mode(content_type) {
        Ok(Mode::Structured) => cloudevent::structured(&message.body).map(Some),
        Ok(Mode::Bare) => {
            let named = attributes(message);
            match named {
                Ok(named) if named.is_empty() => Ok(None),
                Ok(named) => cloudevent::binary(named, content_type, &message.body).map(Some),
                Err(faults) => Err(faults),
            }
        }
        Err(faults) => Err(faults),
    };
    found.map_err(|faults| Rejection::NotACloudEvent(faults.to_string()))
}

/// What says of a message that it is the `CloudEvent` that a publication is; nothing if it is none.
pub(super) fn marked(mut headers: Headers, event: &Publication) -> Headers {
    if !event.attributes.iter().any(|(name, _)| &**name == "source") {
        return headers;
    }
    let own = [("specversion", SPECVERSION), ("id", &event.event_id), ("type", &event.event_type)];
    let more = event.attributes.iter().map(|(name, text)| (&**name, &**text));
    for (name, text) in own.into_iter().chain(more) {
        headers = headers.named(&format!("{}{name}", PREFIXES[0]), text);
    }
    headers
}

fn attributes(message: &Raw) -> Result<Vec<(String, String)>, Faults> {
    let Some(headers) = message.properties.headers() else { return Ok(Vec::new()) };
    let mut named = Vec::new();
    for (header, value) in headers.inner() {
        let header = header.as_str();
        let Some(name) = PREFIXES.iter().find_map(|prefix| header.strip_prefix(prefix)) else {
            continue;
        };
        let text = match as_number(value) {
            // As an AMQP 1.0 timestamp is written by who has no such type: milliseconds since 1970.
            Some(number) if name == "time" => in_range(Timestamp::from_millis(number)),
            Some(_) | None => canonical(value),
        };
        match text {
            Some(text) => named.push((name.to_owned(), text)),
            None if matches!(value, AMQPValue::Void) => {}
            None => {
                let wanted = "a text, a whole number, true, false, a time or bytes is wanted";
                let why = format!("it is {}: {wanted}", described(value));
                return Err(Faults(vec![Fault { attribute: name.to_owned(), why }]));
            }
        }
    }
    Ok(named)
}

/// The text of an attribute (type system, §2 of the specification).
fn canonical(value: &AMQPValue) -> Option<String> {
    if let Some(text) = as_text(value) {
        return Some(text.to_owned());
    }
    if let Some(flag) = value.as_bool() {
        return Some(flag.to_string());
    }
    if let Some(seconds) = value.as_timestamp() {
        return in_range(Timestamp::from_seconds(i64::try_from(seconds).ok()?));
    }
    if let AMQPValue::ByteArray(bytes) = value {
        return Some(STANDARD.encode(bytes.as_slice()));
    }
    as_number(value).map(|number| number.to_string())
}

fn in_range(moment: Timestamp) -> Option<String> {
    (moment <= Timestamp::NEVER).then(|| moment.to_string())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use lapin::BasicProperties;
    use lapin::types::{ByteArray, FieldTable};

    use super::*;

    fn message(headers: &[(&str, AMQPValue)], content_type: &str, body: &'static str) -> Raw {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), value.clone());
        }
        Raw {
            exchange: "posthaste.events".into(),
            routing_key: "acme.whatever".into(),
            properties: BasicProperties::default()
                .with_content_type(content_type.into())
                .with_headers(table),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    fn text(value: &str) -> AMQPValue {
        AMQPValue::LongString(value.into())
    }

    fn binary(prefix: &str, more: &[(&str, AMQPValue)]) -> Result<Option<CloudEvent>, Rejection> {
        let least =
            [("specversion", "1.0"), ("id", "A-1"), ("source", "/jobs"), ("type", "job.completed")];
        let least = least.map(|(name, value)| (format!("{prefix}{name}"), text(value)));
        let more = more.iter().map(|(name, value)| (format!("{prefix}{name}"), value.clone()));
        let all: Vec<_> = least.into_iter().chain(more).collect();
        let all: Vec<_> = all.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        read(&message(&all, "application/json", "{}"))
    }

    #[test]
    fn each_beginning_is_understood() {
        for prefix in PREFIXES {
            let event = binary(prefix, &[("subject", text("7"))]).expect(prefix).expect(prefix);
            assert_eq!((&*event.id, event.subject.as_deref()), ("A-1", Some("7")), "{prefix}");
        }
    }

    #[test]
    fn values_are_texts_or_of_amqps_own_kinds() {
        let event = binary(
            "cloudEvents:",
            &[
                ("time", AMQPValue::Timestamp(1_787_307_072)),
                ("retries", AMQPValue::LongInt(-3)),
                ("small", AMQPValue::ShortShortUInt(3)),
                ("test", AMQPValue::Boolean(true)),
                ("digest", AMQPValue::ByteArray(ByteArray::from([1_u8, 2].as_slice()))),
                ("short", AMQPValue::ShortString("s".into())),
                ("nothing", AMQPValue::Void),
            ],
        );
        let event = event.expect("read").expect("a CloudEvent");
        assert_eq!(event.time, Some(Timestamp::from_seconds(1_787_307_072)));
        let attributes: Vec<_> =
            event.attributes.iter().map(|(name, text)| format!("{name}={text}")).collect();
        assert_eq!(
            attributes,
            ["source=/jobs", "digest=AQI=", "retries=-3", "short=s", "small=3", "test=true"]
        );
        let time = ("time", AMQPValue::LongLongInt(1_787_307_072_500));
        let event = binary("cloudEvents_", &[time]).expect("read").expect("a CloudEvent");
        assert_eq!(event.time, Some(Timestamp::from_millis(1_787_307_072_500)));
        let table = AMQPValue::FieldTable(FieldTable::default());
        let why = binary("ce-", &[("tags", table)]).expect_err("refused");
        assert_eq!(why.reason(), "not_a_cloudevent");
        assert!(why.to_string().contains("`tags`"), "{why}");
    }

    #[test]
    fn a_structured_one_is_its_body() {
        let body =
            r#"{"specversion":"1.0","id":"1","source":"/a","type":"job.done","data":{"n":1.50}}"#;
        let event = read(&message(&[], "application/cloudevents+json; charset=UTF-8", body));
        assert_eq!(event.expect("read").expect("a CloudEvent").payload, r#"{"n":1.50}"#);
        let batch = read(&message(&[], "application/cloudevents-batch+json", "[]"));
        assert_eq!(batch.expect_err("refused").reason(), "not_a_cloudevent");
    }

    #[test]
    fn other_messages_are_none_and_half_a_one_is_refused_by_what_is_missing() {
        assert_eq!(read(&message(&[("subject", text("7"))], "application/json", "{}")), Ok(None));
        let half = read(&message(&[("ce-id", text("7"))], "application/json", "{}"));
        let why = half.expect_err("refused").to_string();
        for name in ["specversion", "source", "type"] {
            assert!(why.contains(&format!("`{name}`: it is missing")), "{why}");
        }
    }
}
