//! Between AMQP messages and the things they stand for.
//!
//! - [`incoming`]: what a producer published, to an event; `cloudevents`: where it is one of those.
//! - [`waiting`]: a delivery on the ladder, both ways.
//! - [`outgoing`]: what we publish otherwise: events, dead letters, results, quarantine.
//! - [`shelved`]: what nobody took, as people look at it, and corrected.
//!
//! Here: the headers they share, how each is read, and the one function that takes the broker's own
//! marks off before anything is published again.

mod cloudevents;
pub(super) mod incoming;
pub(super) mod outgoing;
pub(super) mod shelved;
pub(super) mod waiting;

use std::collections::BTreeMap;

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};

use crate::domain::event::Event;
use crate::domain::time::Timestamp;

/// Survives a restart of the broker.
const PERSISTENT: u8 = 2;

/// A message to be published.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    /// To this exchange.
    pub exchange: String,
    /// With this routing key.
    pub routing_key: String,
    /// Whether it is a fault when nobody is bound for it.
    pub mandatory: bool,
    /// The rung that has to be there before it.
    pub rung_ms: Option<u64>,
    /// Properties and headers.
    pub properties: BasicProperties,
    /// The body.
    pub body: Bytes,
}

/// A message that arrived.
#[derive(Debug)]
pub(super) struct Raw {
    /// The exchange it was published to last.
    pub exchange: ShortString,
    /// The key it was published with.
    pub routing_key: ShortString,
    /// Properties and headers.
    pub properties: BasicProperties,
    /// The body.
    pub body: Bytes,
}

/// What the broker writes into headers, to be taken off before a message is published again.
///
/// Up to 3.13 the broker reads its own old `x-death`: a message that has been through the ladder
/// once would be taken for a cycle the second time and never arrive. `CC` and `BCC` would send it to
/// the producer's other queues again.
fn is_the_brokers_own(header: &str) -> bool {
    matches!(header, "x-death" | "x-delivery-count" | "x-acquired-count" | "CC" | "BCC")
        || header.starts_with("x-first-death-")
        || header.starts_with("x-last-death-")
}

/// The headers without the broker's own: for every republish of something that arrived.
pub(super) fn stripped(headers: Option<&FieldTable>) -> BTreeMap<ShortString, AMQPValue> {
    headers
        .into_iter()
        .flat_map(FieldTable::inner)
        .filter(|(name, _)| !is_the_brokers_own(name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Headers under construction.
#[derive(Debug, Default)]
struct Headers(BTreeMap<ShortString, AMQPValue>);

impl Headers {
    fn text(mut self, name: &'static str, value: &(impl ToString + ?Sized)) -> Self {
        let value = LongString::from(value.to_string());
        self.0.insert(name.into(), AMQPValue::LongString(value));
        self
    }

    /// A text under a name that is made here.
    fn named(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.into(), AMQPValue::LongString(LongString::from(value)));
        self
    }

    fn optional_text(self, name: &'static str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    /// Names with commas between them; nothing when there are none.
    fn names(self, name: &'static str, names: &[impl AsRef<str>]) -> Self {
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        if names.is_empty() { self } else { self.text(name, &names.join(",")) }
    }

    fn number(mut self, name: &'static str, value: impl Into<i64>) -> Self {
        self.0.insert(name.into(), AMQPValue::LongLongInt(value.into()));
        self
    }

    fn moment(self, name: &'static str, value: Timestamp) -> Self {
        self.number(name, value.as_millis())
    }

    fn optional_moment(self, name: &'static str, value: Option<Timestamp>) -> Self {
        match value {
            Some(value) => self.moment(name, value),
            None => self,
        }
    }

    fn table(self) -> FieldTable {
        self.0.into()
    }
}

fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}

/// A value as text, if it is one.
fn as_text(value: &AMQPValue) -> Option<&str> {
    if let Some(text) = value.as_long_string() {
        std::str::from_utf8(text.as_bytes()).ok()
    } else {
        value.as_short_string().map(ShortString::as_str)
    }
}

/// A value as a whole number, of whichever width its client chose.
fn as_number(value: &AMQPValue) -> Option<i64> {
    value
        .as_long_long_int()
        .or_else(|| value.as_long_int().map(i64::from))
        .or_else(|| value.as_long_uint().map(i64::from))
        .or_else(|| value.as_short_int().map(i64::from))
        .or_else(|| value.as_short_uint().map(i64::from))
        .or_else(|| value.as_short_short_int().map(i64::from))
        .or_else(|| value.as_short_short_uint().map(i64::from))
}

/// What a value looks like, for the sentence that refuses it. Never long: it may be anything.
fn described(value: &AMQPValue) -> String {
    const SHOWN: usize = 64;
    match as_text(value) {
        Some(text) if text.chars().count() <= SHOWN => format!("`{text}`"),
        Some(text) => format!("a text of {} bytes", text.len()),
        None => match as_number(value) {
            Some(number) => number.to_string(),
            None => format!("{:?}", value.get_type()).to_lowercase(),
        },
    }
}

/// A text as a property, cut where a short string ends: only for what people read.
fn short(text: &str) -> ShortString {
    let mut end = text.len().min(255);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    ShortString::from(&text[..end])
}

/// A moment as the AMQP `timestamp` property: whole seconds.
fn seconds(moment: Timestamp) -> u64 {
    u64::try_from(moment.as_seconds()).unwrap_or(0)
}

/// The properties of a message that carries an event's payload: for people who look at the queue.
fn of_event(event: &Event, message_id: &str) -> BasicProperties {
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_message_id(short(message_id))
        .with_type(short(event.event_type.as_str()))
        .with_timestamp(seconds(event.occurred_at));
    match &event.content_type {
        Some(content_type) => properties.with_content_type(short(content_type)),
        None => properties,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brokers_own_marks_come_off_and_the_producers_stay() {
        let mut headers = FieldTable::default();
        for name in [
            "x-death",
            "x-first-death-queue",
            "x-first-death-reason",
            "x-last-death-exchange",
            "x-delivery-count",
            "x-acquired-count",
            "CC",
            "BCC",
            "subject",
            "x-tenant",
        ] {
            headers.insert(name.into(), AMQPValue::Boolean(true));
        }
        let left: Vec<_> =
            stripped(Some(&headers)).into_keys().map(|name| name.to_string()).collect();
        assert_eq!(left, ["subject", "x-tenant"]);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(short(&"ü".repeat(200)).as_str(), "ü".repeat(127));
    }
}
