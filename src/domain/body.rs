//! What a request's body is by its endpoint's format: the producer's bytes, or an envelope around them.
//!
//! An envelope is built byte by byte and never by reading the payload: a number keeps its digits
//! (`1250.50`), an object its order, a text its escapes. That can be done because every payload is JSON,
//! whatever its media type says: it was checked to be when the event was accepted
//! ([`check_payload`](super::event::check_payload)). So it stands as `data` as it is; nothing here would fit
//! a payload that is not JSON, which would have to be a text or base64.
//!
//! An envelope is in memory for its one request; what goes out as it came is shared with the event. So
//! envelopes together have at most what is counted for the payloads of the deliveries in memory
//! (`limits.max_payload_bytes_in_memory`, where each counts as if it had its own) once more.
//!
//! Not here: who signs it (`signature`, over exactly these bytes) and what else stands in the head
//! (`pipeline::request`).

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;

use super::event::Event;
use super::policy::Format;

/// The media type of a payload whose producer named none.
const JSON: &str = "application/json";
/// The media type of a `CloudEvent` in one JSON object (its JSON format, section 3).
const CLOUDEVENT: &str = "application/cloudevents+json";
/// The version of `CloudEvents` that both of its formats are of.
const SPECVERSION: &str = "1.0";
/// Bytes of an envelope beside its payload, mostly: what to reserve, so that it is written in one piece.
const AROUND: usize = 512;

/// Names of a `CloudEvent`'s attributes that have places of their own, and of its payload: no extension's.
const CORE: [&str; 9] = [
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "subject",
    "datacontenttype",
    "dataschema",
    "data",
];

/// A body, with what has to stand in the head for it to be understood.
#[derive(Debug)]
pub struct Body<'a> {
    /// The bytes, exactly as they are sent.
    pub bytes: Bytes,
    /// Their media type.
    pub content_type: Cow<'a, str>,
    /// Headers that belong to it: (name in lower case, value).
    pub headers: Vec<(String, String)>,
}

impl<'a> Body<'a> {
    /// The body of a request about this event. One that is made as a test says so, where the format has a
    /// place for it.
    pub fn of(event: &'a Event, format: Format, test: bool) -> Self {
        let published = event.content_type.as_deref().unwrap_or(JSON);
        let (bytes, content_type, headers) = match format {
            Format::Passthrough => (event.payload.clone(), published, Vec::new()),
            Format::Standard => (standard(event, test), JSON, Vec::new()),
            Format::Cloudevents => (structured(event, published), CLOUDEVENT, Vec::new()),
            Format::CloudeventsBinary => (event.payload.clone(), published, binary(event)),
        };
        Self { bytes, content_type: content_type.into(), headers }
    }
}

/// What Standard Webhooks recommends: `type`, `timestamp` and `data`, and beside them the id, so that a body
/// that was stored without its head can still be told from its repetition.
fn standard(event: &Event, test: bool) -> Bytes {
    let mut object = Object::with_room_for(&event.payload);
    object.text("id", &event.id.to_string());
    object.text("type", event.event_type.as_str());
    object.text("timestamp", &event.occurred_at.to_string());
    if let Some(subject) = &event.subject {
        object.text("subject", subject);
    }
    if test {
        object.json("test", b"true");
    }
    object.json("data", &event.payload);
    object.end()
}

/// A `CloudEvent` in structured mode (JSON format, section 3).
fn structured(event: &Event, published: &str) -> Bytes {
    let mut object = Object::with_room_for(&event.payload);
    for (name, value) in attributes(event) {
        object.text(name, &value);
    }
    // A reader takes `data` for JSON only where this says so; and JSON is what it is.
    object.text("datacontenttype", if says_json(published) { published } else { JSON });
    object.json("data", &event.payload);
    object.end()
}

/// The headers of a `CloudEvent` in binary mode (HTTP binding, section 3.1.3).
fn binary(event: &Event) -> Vec<(String, String)> {
    attributes(event).map(|(name, value)| (format!("ce-{name}"), percent_encoded(&value))).collect()
}

/// A `CloudEvent`'s attributes but its media type.
///
/// One that came as a `CloudEvent` goes on under its producer's own `source` and `id`, which name it
/// together. Any other has its application for a source, and for an id the one that is its `webhook-id`.
fn attributes(event: &Event) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    let known = |wanted: &str| {
        let found = event.attributes.iter().find(|(name, _)| **name == *wanted);
        found.map(|(_, value)| Cow::from(&**value))
    };
    let (source, id) = match (known("source"), &event.event_id) {
        (Some(source), Some(id)) => (source, Cow::from(&**id)),
        (Some(source), None) => (source, event.id.to_string().into()),
        (None, _) => {
            (format!("/applications/{}", event.application).into(), event.id.to_string().into())
        }
    };
    let core = [
        ("specversion", Some(SPECVERSION.into())),
        ("id", Some(id)),
        ("source", Some(source)),
        ("type", Some(event.event_type.as_str().into())),
        ("time", Some(event.occurred_at.to_string().into())),
        ("subject", event.subject.as_deref().map(Cow::from)),
        ("dataschema", known("dataschema")),
    ];
    let extensions = event.attributes.iter().filter(|(name, _)| is_extension(name));
    let extensions = extensions.map(|(name, value)| (&**name, Cow::from(&**value)));
    core.into_iter().filter_map(|(name, value)| Some((name, value?))).chain(extensions)
}

/// Whether an attribute of this name is an extension: lower-case letters and digits (`CloudEvents` 1.0,
/// section 3.1), and no name that is taken. A store may have been written by another hand.
fn is_extension(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !name.is_empty() && name.bytes().all(allowed) && !CORE.contains(&name)
}

/// Whether a media type says JSON: `…/json`, or `…+json` (RFC 6839 §3.1).
fn says_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

/// As the value of a header (HTTP binding, section 3.1.3.2): all but printable ASCII, and of that the space,
/// the double quote and the per cent sign, by the bytes of their UTF-8.
fn percent_encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'"' | b'%' => write!(encoded, "%{byte:02X}").expect("a text takes it all"),
            b'!'..=b'~' => encoded.push(char::from(byte)),
            _ => write!(encoded, "%{byte:02X}").expect("a text takes it all"),
        }
    }
    encoded
}

/// A JSON object that is being written.
struct Object(Vec<u8>);

impl Object {
    fn with_room_for(payload: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(payload.len() + AROUND);
        bytes.push(b'{');
        Self(bytes)
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        serde_json::to_writer(&mut self.0, value).expect("a text is JSON, and memory takes it");
    }

    /// A member whose value is JSON already.
    fn json(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        self.0.extend_from_slice(value);
    }

    /// Names here have nothing in them that JSON would want escaped.
    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn end(mut self) -> Bytes {
        self.0.push(b'}');
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;
    use crate::domain::event::{Attributes, Channels};
    use crate::domain::id::{ApplicationId, EventId};
    use crate::domain::time::Timestamp;

    /// What reading and writing anew would change: digits, order, white space, escapes, a naive time.
    const PAYLOAD: &str = "{ \"b\": 1250.50, \"a\":\"\\u00e9\\/\",\n \"at\":\"2026-08-21T10:11:12\", \
                           \"big\":12345678901234567890.000 }\n";

    fn event(payload: &str) -> Event {
        Event {
            id: EventId::derived(&[b"event"]),
            application: ApplicationId::derived(&[b"acme"]),
            event_type: "job.completed".parse().expect("a type"),
            event_id: Some("run-7".into()),
            subject: Some("job \"7\" é".into()),
            occurred_at: Timestamp::from_millis(1_787_307_072_345),
            received_at: Timestamp::from_seconds(1_787_307_080),
            deliver_at: None,
            expires_at: None,
            content_type: None,
            traceparent: None,
            channels: Channels::default(),
            webhook: None,
            attributes: Attributes::default(),
            payload: payload.to_owned().into(),
        }
    }

    fn attributed(pairs: &[(&str, &str)]) -> Event {
        let attributes = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Event { attributes: attributes.collect(), ..event(PAYLOAD) }
    }

    fn text(body: &Body<'_>) -> String {
        String::from_utf8(body.bytes.to_vec()).expect("text")
    }

    #[test]
    fn passed_through_are_the_producers_bytes_themselves() {
        for format in [Format::Passthrough, Format::CloudeventsBinary] {
            let event = event(PAYLOAD);
            let body = Body::of(&event, format, true);
            assert_eq!(body.bytes.as_ptr(), event.payload.as_ptr(), "not even copied");
            assert_eq!((text(&body), &*body.content_type), (PAYLOAD.to_owned(), JSON));
        }
        let typed = Event { content_type: Some("application/x+json".into()), ..event(PAYLOAD) };
        assert_eq!(Body::of(&typed, Format::Passthrough, false).content_type, "application/x+json");
    }

    #[test]
    fn the_standard_body_is_to_the_byte_what_it_should_be() {
        let event = event(PAYLOAD);
        let id = event.id;
        let around = |test: &str| {
            format!(
                r#"{{"id":"{id}","type":"job.completed","timestamp":"2026-08-21T10:11:12.345Z","subject":"job \"7\" é",{test}"data":{PAYLOAD}}}"#
            )
        };
        let body = Body::of(&event, Format::Standard, false);
        assert_eq!((text(&body), &*body.content_type), (around(""), JSON));
        assert_eq!(text(&Body::of(&event, Format::Standard, true)), around(r#""test":true,"#));
        let nobody = Event { subject: None, ..event };
        assert!(!text(&Body::of(&nobody, Format::Standard, false)).contains("subject"));
    }

    #[test]
    fn a_cloudevent_has_its_application_for_a_source_unless_it_came_with_one() {
        let (event, id) = (event(PAYLOAD), event(PAYLOAD).id);
        let body = Body::of(&event, Format::Cloudevents, false);
        let application = event.application;
        let expected = format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/applications/{application}","type":"job.completed","time":"2026-08-21T10:11:12.345Z","subject":"job \"7\" é","datacontenttype":"application/json","data":{PAYLOAD}}}"#
        );
        assert_eq!((text(&body), &*body.content_type), (expected, CLOUDEVENT));

        let own = attributed(&[
            ("source", "https://producer.example/jobs"),
            ("dataschema", "https://producer.example/v1.json"),
            ("region", "eu \"west\""),
        ]);
        let read = Body::of(&own, Format::Cloudevents, false);
        let read: serde_json::Value = serde_json::from_slice(&read.bytes).expect("JSON");
        assert_eq!(read["source"], "https://producer.example/jobs");
        assert_eq!((&read["id"], &read["region"]), (&"run-7".into(), &"eu \"west\"".into()));
        assert_eq!(read["dataschema"], "https://producer.example/v1.json");
    }

    #[test]
    fn data_that_is_not_called_json_is_called_so_where_a_reader_goes_by_it() {
        let typed = |kind: &str| Event {
            content_type: Some(kind.into()),
            ..event(r#"{"amount":1250.50}"#)
        };
        for (published, told) in [
            ("application/vnd.acme+json; v=2", "application/vnd.acme+json; v=2"),
            ("Application/JSON", "Application/JSON"),
            ("text/plain", JSON),
        ] {
            let event = typed(published);
            let body = Body::of(&event, Format::Cloudevents, false);
            assert!(text(&body).contains(&format!(r#""datacontenttype":"{told}""#)), "{published}");
            let binary = Body::of(&event, Format::CloudeventsBinary, false);
            assert_eq!(binary.content_type, published);
        }
    }

    #[test]
    fn attributes_that_would_pass_for_others_are_left_out() {
        let hostile = attributed(&[
            ("id", "forged"),
            ("type", "forged"),
            ("data", "forged"),
            ("data_base64", "forged"),
            ("na me", "forged"),
            ("x\":1,\"y", "forged"),
            ("", "forged"),
            ("fine1", "kept"),
        ]);
        let structured = text(&Body::of(&hostile, Format::Cloudevents, false));
        assert!(!structured.contains("forged") && structured.contains(r#""fine1":"kept""#));
        let headers = Body::of(&hostile, Format::CloudeventsBinary, false).headers;
        assert!(headers.iter().all(|(_, value)| value != "forged"), "{headers:?}");
    }

    #[test]
    fn headers_of_the_binary_mode_are_percent_encoded_as_the_binding_has_it() {
        let event =
            Event { subject: Some("Euro € \u{1F600} 100% \"x\"".into()), ..event(PAYLOAD) };
        let headers = Body::of(&event, Format::CloudeventsBinary, false).headers;
        let value = |name: &str| {
            headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
        };
        // The binding's own example is "Euro%20%E2%82%AC%20%F0%9F%98%80".
        assert_eq!(value("ce-subject"), Some("Euro%20%E2%82%AC%20%F0%9F%98%80%20100%25%20%22x%22"));
        assert_eq!(value("ce-specversion"), Some("1.0"));
        assert_eq!(value("ce-type"), Some("job.completed"));
        assert_eq!(value("ce-time"), Some("2026-08-21T10:11:12.345Z"));
        assert_eq!(value("ce-datacontenttype"), None, "that is the content-type");
    }

    proptest! {
        #[test]
        fn whatever_the_subject_the_payload_stands_in_an_envelope_to_the_byte(
            subject in any::<String>(),
            number in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        ) {
            #[derive(serde::Deserialize)]
            struct Envelope<'a> {
                subject: String,
                #[serde(borrow)]
                data: &'a RawValue,
            }
            let event = Event { subject: Some(subject.clone().into()), ..event(&number) };
            for format in [Format::Standard, Format::Cloudevents] {
                let body = Body::of(&event, format, false);
                let read: Envelope<'_> = serde_json::from_slice(&body.bytes).expect("JSON");
                prop_assert_eq!(&read.subject, &subject);
                prop_assert_eq!(read.data.get(), &number);
            }
            for (_, value) in Body::of(&event, Format::CloudeventsBinary, false).headers {
                prop_assert!(value.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
