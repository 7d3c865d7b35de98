//! What a producer published, read as an event.
//!
//! The contract is in the design, section 4. Whatever breaks it is a [`Rejection`] that names the
//! property or header; nothing that a producer asked for is silently left out.

use lapin::types::ShortString;

use super::{Raw, as_number, as_text, cloudevents, described, header};
use crate::domain::cloudevent::CloudEvent;
use crate::domain::event::{
    self, ApplicationName, Attributes, Channels, EventType, Identity, NewEvent, Rejection,
    SHORT_TEXT_MAX, Webhook, check_channels, check_payload, too_late,
};
use crate::domain::id::EventId;
use crate::domain::time::Timestamp;
use crate::domain::webhook;

const A_MOMENT: &str = "an RFC 3339 time, an AMQP timestamp or milliseconds since 1970";

/// Reads a message as an event with a payload of at most `limit` bytes.
///
/// # Errors
/// The first fault found.
pub(in super::super) fn event(message: &Raw, limit: usize) -> Result<NewEvent, Rejection> {
    let size = message.body.len();
    if size > limit {
        return Err(Rejection::TooLarge { size, limit });
    }
    let key = message.routing_key.as_str();
    let (application, tail) = key.split_once('.').unwrap_or((key, ""));
    if application.is_empty() {
        return Err(Rejection::NoApplication(key.into()));
    }
    let from_cloud = cloudevents::read(message)?;
    let event_type = match &from_cloud {
        Some(cloud) => cloud.event_type.clone(),
        None => event_type(message, tail)?,
    };
    let plain = NewEvent {
        application: ApplicationName::from(application),
        event_type,
        identity: identity(message),
        subject: subject(message)?,
        occurred_at: occurred_at(message)?,
        received_at: None,
        deliver_at: moment(message, "deliver-at")?,
        expires_at: moment(message, "expires-at")?,
        content_type: content_type(message)?,
        traceparent: traceparent(message),
        channels: channels(message)?,
        webhook: webhook(message)?,
        attributes: Attributes::default(),
        payload: message.body.clone(),
    };
    if let Some(why) = too_late(plain.deliver_at, plain.expires_at) {
        let found = header(&message.properties, "expires-at").map_or_else(String::new, described);
        return Err(Rejection::BadField { name: "expires-at", found, wanted: why });
    }
    let new = match from_cloud {
        Some(cloud) => of_cloud(cloud, plain),
        None => plain,
    };
    check_payload(&new.payload, limit)?; // last: it reads every byte
    Ok(new)
}

/// The type that the message names, or else its routing key.
fn event_type(message: &Raw, tail: &str) -> Result<EventType, Rejection> {
    let named = message.properties.kind().as_ref().map(ShortString::as_str);
    Ok(named.filter(|kind| !kind.is_empty()).unwrap_or(tail).parse()?)
}

/// A `CloudEvent` with what it came with: its own attributes go before the message's properties, and what
/// `CloudEvents` have no word for is the message's.
fn of_cloud(cloud: CloudEvent, plain: NewEvent) -> NewEvent {
    NewEvent {
        event_type: cloud.event_type,
        identity: Identity::Sourced { source: cloud.source, id: cloud.id },
        subject: cloud.subject.or(plain.subject),
        occurred_at: cloud.time.or(plain.occurred_at),
        content_type: cloud.content_type,
        traceparent: plain.traceparent.or(cloud.traceparent),
        attributes: cloud.attributes,
        payload: cloud.payload,
        ..plain
    }
}

/// The producer's id, or a hash over all that the producer chose.
///
/// Headers go into the hash by name and not as a whole: a redelivery adds the broker's own.
fn identity(message: &Raw) -> Identity {
    let properties = &message.properties;
    if let Some(id) = properties.message_id().as_ref().filter(|id| !id.as_str().is_empty()) {
        return Identity::Given(id.as_str().into());
    }
    let text = |property: &Option<ShortString>| {
        property.as_ref().map_or("", |text| text.as_str()).to_owned()
    };
    let named =
        |name: &str| header(properties, name).map_or_else(String::new, |v| format!("{v:?}"));
    let published_at = properties.timestamp().map_or_else(String::new, |at| at.to_string());
    let chosen = [
        message.routing_key.as_str().to_owned(),
        text(properties.kind()),
        text(properties.content_type()),
        text(properties.correlation_id()),
        text(properties.app_id()),
        published_at,
        named("subject"),
        named("occurred-at"),
        named("deliver-at"),
        named("expires-at"),
        named("traceparent"),
        named("channels"),
    ];
    // Only where they are: what was published before they were read keeps its id.
    let own = [named("webhook-url"), named("webhook-mode")];
    let own = own.iter().filter(|_| own.iter().any(|value| !value.is_empty()));
    let mut parts: Vec<&[u8]> = chosen.iter().chain(own).map(String::as_bytes).collect();
    parts.push(&message.body);
    Identity::Fingerprint(EventId::derived(&parts))
}

/// The `webhook-url` header, and `webhook-mode` beside it. Their form is all that is judged here: whether
/// the URL may be called is the guard's to say, at each request.
fn webhook(message: &Raw) -> Result<Option<Webhook>, Rejection> {
    let read = |name: &'static str| match header(&message.properties, name) {
        None => Ok(""),
        Some(value) => as_text(value).ok_or_else(|| Rejection::BadField {
            name,
            found: described(value),
            wanted: "a text",
        }),
    };
    let (url, mode) = (read("webhook-url")?, read("webhook-mode")?);
    Webhook::parse(url, mode).map_err(|fault| {
        let (name, wanted) = match fault {
            webhook::Fault::Url => ("webhook-url", webhook::A_URL),
            webhook::Fault::Mode => ("webhook-mode", "override or add"),
            webhook::Fault::ModeAlone => {
                ("webhook-mode", "a webhook-url beside it, or none of both")
            }
        };
        let found = header(&message.properties, name).map_or_else(String::new, described);
        Rejection::BadField { name, found, wanted }
    })
}

/// The `subject` header: a text, or a job's number.
fn subject(message: &Raw) -> Result<Option<Box<str>>, Rejection> {
    let Some(value) = header(&message.properties, "subject") else { return Ok(None) };
    let text = as_text(value)
        .map(str::to_owned)
        .or_else(|| as_number(value).map(|number| number.to_string()))
        .filter(|text| text.len() <= SHORT_TEXT_MAX);
    match text {
        Some(text) if text.is_empty() => Ok(None),
        Some(text) => Ok(Some(text.into())),
        None => Err(Rejection::BadField {
            name: "subject",
            found: described(value),
            wanted: "a text of at most 255 bytes or a whole number",
        }),
    }
}

/// The `channels` header: names with commas between them, each once.
fn channels(message: &Raw) -> Result<Channels, Rejection> {
    let Some(value) = header(&message.properties, "channels") else {
        return Ok(Channels::default());
    };
    let names: Option<Vec<&str>> = as_text(value)
        .map(|text| text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect());
    match names {
        Some(names) if check_channels(&names).is_ok() => {
            Ok(names.into_iter().map(Box::from).collect())
        }
        Some(_) | None => Err(Rejection::BadField {
            name: "channels",
            found: described(value),
            wanted: "at most 5 names with commas between them, each of 1 to 128 letters, digits, \
                     `-`, `_` and `.`",
        }),
    }
}

/// The `occurred-at` header, to the millisecond, or else the `timestamp` property.
fn occurred_at(message: &Raw) -> Result<Option<Timestamp>, Rejection> {
    if let Some(moment) = moment(message, "occurred-at")? {
        return Ok(Some(moment));
    }
    let Some(found) = *message.properties.timestamp() else { return Ok(None) };
    // Milliseconds where seconds belong would be a date tens of thousands of years ahead.
    in_seconds(found).map(Some).ok_or_else(|| Rejection::BadField {
        name: "timestamp",
        found: found.to_string(),
        wanted: "seconds since 1970",
    })
}

fn moment(message: &Raw, name: &'static str) -> Result<Option<Timestamp>, Rejection> {
    let Some(value) = header(&message.properties, name) else { return Ok(None) };
    let read = match as_text(value) {
        Some(text) => text.parse().ok(),
        None => match value.as_timestamp() {
            Some(found) => in_seconds(found),
            None => as_number(value).map(Timestamp::from_millis),
        },
    };
    match read {
        Some(moment) if moment <= Timestamp::NEVER => Ok(Some(moment)),
        Some(_) | None => {
            Err(Rejection::BadField { name, found: described(value), wanted: A_MOMENT })
        }
    }
}

fn in_seconds(found: u64) -> Option<Timestamp> {
    let moment = Timestamp::from_seconds(i64::try_from(found).ok()?);
    (moment <= Timestamp::NEVER).then_some(moment)
}

/// The media type, which becomes a header of every request: so it has to be able to be one.
fn content_type(message: &Raw) -> Result<Option<Box<str>>, Rejection> {
    let Some(text) = message.properties.content_type().as_ref().map(ShortString::as_str) else {
        return Ok(None);
    };
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Ok(Some(text.into()));
    }
    Err(Rejection::BadField {
        name: "content_type",
        found: format!("{text:?}"),
        wanted: "a media type in printable ASCII",
    })
}

fn traceparent(message: &Raw) -> Option<Box<str>> {
    event::traceparent(as_text(header(&message.properties, "traceparent")?)?)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use lapin::BasicProperties;
    use lapin::types::{AMQPValue, FieldTable};

    use super::*;

    const LIMIT: usize = 1_000;

    fn published(key: &str, properties: BasicProperties, body: &'static str) -> Raw {
        Raw {
            exchange: "posthaste.events".into(),
            routing_key: key.into(),
            properties,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    fn with_header(name: &str, value: AMQPValue) -> BasicProperties {
        let mut headers = FieldTable::default();
        headers.insert(name.into(), value);
        BasicProperties::default().with_headers(headers)
    }

    fn text(value: &str) -> AMQPValue {
        AMQPValue::LongString(value.into())
    }

    fn read(key: &str, properties: BasicProperties) -> Result<NewEvent, Rejection> {
        event(&published(key, properties, "{}"), LIMIT)
    }

    fn fault(key: &str, properties: BasicProperties) -> &'static str {
        read(key, properties).expect_err("refused").reason()
    }

    #[test]
    fn channels_are_names_with_commas_between_them() {
        let read = |value| {
            let new = read("acme.job.completed", with_header("channels", value))?;
            Ok(new.channels.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(read(text("eu, beta")), Ok(vec!["eu".into(), "beta".into()]));
        assert_eq!(read(text("")), Ok(Vec::<String>::new()));
        for fault in [text("a,b,c,d,e,f"), text("a b"), AMQPValue::Boolean(true)] {
            assert_eq!(read(fault).map_err(|why: Rejection| why.reason()), Err("bad_field"));
        }
    }

    #[test]
    fn the_routing_key_says_whose_event_and_of_which_type() {
        let new = read("acme.job.completed", BasicProperties::default()).expect("an event");
        assert_eq!(new.application, ApplicationName::Uid("acme".into()));
        assert_eq!(new.event_type.as_str(), "job.completed");
    }

    #[test]
    fn the_type_property_goes_before_the_routing_key() {
        let named = BasicProperties::default().with_type("job.failed".into());
        for key in ["acme.job.completed", "acme"] {
            let new = read(key, named.clone()).expect("an event");
            assert_eq!(new.event_type.as_str(), "job.failed", "{key}");
        }
    }

    #[test]
    fn every_property_of_the_contract_is_read() {
        let mut headers = FieldTable::default();
        headers.insert("subject".into(), text("job-17"));
        headers.insert("deliver-at".into(), text("2026-08-21T10:11:12Z"));
        headers.insert("expires-at".into(), AMQPValue::Timestamp(1_787_307_073));
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        headers.insert("traceparent".into(), text(trace));
        let properties = BasicProperties::default()
            .with_message_id("run-7.done".into())
            .with_timestamp(1_787_307_000)
            .with_content_type("application/json".into())
            .with_headers(headers);

        let new = read("acme.job.completed", properties).expect("an event");

        assert_eq!(new.identity, Identity::Given("run-7.done".into()));
        assert_eq!(new.subject.as_deref(), Some("job-17"));
        assert_eq!(new.occurred_at, Some(Timestamp::from_seconds(1_787_307_000)));
        assert_eq!(new.deliver_at, Some(Timestamp::from_seconds(1_787_307_072)));
        assert_eq!(new.expires_at, Some(Timestamp::from_seconds(1_787_307_073)));
        assert_eq!(new.traceparent.as_deref(), Some(trace));
        assert_eq!(new.content_type.as_deref(), Some("application/json"));
        assert_eq!(&new.payload[..], b"{}");
    }

    #[test]
    fn a_moment_may_be_text_a_timestamp_or_milliseconds() {
        let expected = Some(Timestamp::from_seconds(1_787_307_072));
        for value in [
            text("2026-08-21T12:11:12+02:00"),
            AMQPValue::Timestamp(1_787_307_072),
            AMQPValue::LongLongInt(1_787_307_072_000),
        ] {
            let new = read("acme.job.done", with_header("deliver-at", value)).expect("an event");
            assert_eq!(new.deliver_at, expected);
        }
    }

    #[test]
    fn a_moment_that_is_none_is_refused() {
        for value in [text("tomorrow"), AMQPValue::Boolean(true), AMQPValue::Timestamp(u64::MAX)] {
            assert_eq!(fault("acme.job.done", with_header("expires-at", value)), "bad_field");
        }
        let in_millis = BasicProperties::default().with_timestamp(1_787_307_072_000);
        assert_eq!(fault("acme.job.done", in_millis), "bad_field");
    }

    #[test]
    fn what_names_no_application_or_type_is_refused() {
        let plain = BasicProperties::default;
        assert_eq!(fault("", plain()), "application_missing");
        assert_eq!(fault(".job.completed", plain()), "application_missing");
        assert_eq!(fault("acme", plain()), "event_type_missing");
        assert_eq!(fault("acme.job done", plain()), "event_type_malformed");
    }

    #[test]
    fn a_cloudevent_is_recognised_by_its_source_and_id_and_keeps_what_its_message_says() {
        let mut headers = FieldTable::default();
        for (name, value) in [
            ("cloudEvents_specversion", "1.0"),
            ("cloudEvents_id", "A-1"),
            ("cloudEvents_source", "/jobs"),
            ("cloudEvents_type", "job.completed"),
            ("cloudEvents_tenant", "eu"),
            ("channels", "eu"),
            ("subject", "7"),
        ] {
            headers.insert(name.into(), text(value));
        }
        let properties = BasicProperties::default()
            .with_type("whatever".into())
            .with_message_id("another".into())
            .with_content_type("application/json".into())
            .with_headers(headers);
        let new = read("acme.whatever", properties).expect("an event");

        assert_eq!(new.event_type.as_str(), "job.completed");
        assert_eq!(new.identity, Identity::Sourced { source: "/jobs".into(), id: "A-1".into() });
        assert_eq!(new.subject.as_deref(), Some("7"));
        assert_eq!(&*new.channels[0], "eu");
        assert_eq!(new.content_type.as_deref(), Some("application/json"));
        assert_eq!(new.attributes.len(), 2);
        assert_eq!(&new.payload[..], b"{}");
    }

    #[test]
    fn an_event_may_name_a_url_of_its_own() {
        let with = |headers: &[(&str, AMQPValue)]| {
            let mut table = FieldTable::default();
            for (name, value) in headers {
                table.insert((*name).into(), value.clone());
            }
            read("acme.job.done", BasicProperties::default().with_headers(table))
        };
        let url = ("webhook-url", text("https://hook.example/a"));
        let own = with(std::slice::from_ref(&url)).expect("an event").webhook.expect("a URL");
        assert_eq!((own.url.as_str(), own.mode.as_str()), ("https://hook.example/a", "override"));
        let added = with(&[url.clone(), ("webhook-mode", text("add"))]).expect("an event");
        assert_eq!(added.webhook.expect("a URL").mode.as_str(), "add");
        let nothing = [("webhook-url", text("")), ("webhook-mode", text(""))];
        assert_eq!(with(&nothing).expect("an event").webhook, None);

        for wrong in [
            vec![("webhook-url", text("hook.example"))],
            vec![("webhook-url", text("https://a:b@hook.example/"))],
            vec![("webhook-url", AMQPValue::Boolean(true))],
            vec![("webhook-mode", text("add"))],
            vec![url.clone(), ("webhook-mode", text("both"))],
        ] {
            assert_eq!(with(&wrong).map_err(|why| why.reason()).err(), Some("bad_field"));
        }
        let identity = |headers: &[_]| with(headers).expect("an event").identity;
        let other = ("webhook-url", text("https://hook.example/b"));
        assert_ne!(identity(&[url]), identity(&[other]), "nameless, and not the same");
    }

    #[test]
    fn what_is_of_no_use_when_it_may_be_delivered_is_refused() {
        let mut headers = FieldTable::default();
        headers.insert("deliver-at".into(), text("2026-08-21T10:11:12Z"));
        headers.insert("expires-at".into(), text("2026-08-21T10:11:12Z"));
        let properties = BasicProperties::default().with_headers(headers);
        let why = read("acme.job.done", properties).expect_err("refused");
        assert!(why.to_string().starts_with("`expires-at` is `2026"), "{why}");
    }

    #[test]
    fn the_payload_is_measured_before_anything_is_read() {
        let large = published("", BasicProperties::default(), "{\"a\":1}");
        assert_eq!(event(&large, 3).expect_err("refused").reason(), "payload_too_large");

        let broken = published("acme.job.done", BasicProperties::default(), "{");
        assert_eq!(event(&broken, LIMIT).expect_err("refused").reason(), "payload_not_json");
    }

    #[test]
    fn a_subject_may_be_a_number_but_not_a_table() {
        let number = with_header("subject", AMQPValue::LongInt(17));
        assert_eq!(read("acme.job.done", number).expect("an event").subject.as_deref(), Some("17"));
        let table = with_header("subject", AMQPValue::FieldTable(FieldTable::default()));
        assert_eq!(fault("acme.job.done", table), "bad_field");
    }

    #[test]
    fn without_an_id_what_was_published_is_recognised_when_it_is_delivered_again() {
        let identity = |properties, body| {
            event(&published("acme.job.done", properties, body), LIMIT).expect("an event").identity
        };
        let again = with_header("x-delivery-count", AMQPValue::LongInt(1));
        assert_eq!(identity(BasicProperties::default(), "{}"), identity(again, "{}"));
        assert_ne!(
            identity(BasicProperties::default(), "{}"),
            identity(BasicProperties::default(), "[]")
        );
        let other = with_header("subject", text("job-18"));
        assert_ne!(identity(BasicProperties::default(), "{}"), identity(other, "{}"));
    }
}
