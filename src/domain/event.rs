//! One published fact, and the rules for being one.
//!
//! A producer's message becomes a [`NewEvent`] or a [`Rejection`] that says what is wrong with it;
//! there is nothing in between. The payload is checked to be UTF-8 JSON and otherwise left alone:
//! every endpoint receives the producer's bytes, to the byte.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use url::Url;

use super::endpoint::named_at;
use super::id::{ApplicationId, EndpointId, EventId};
use super::time::Timestamp;

/// Longest event type, in characters.
///
/// 128, the limit of the published event schemas: a type has to fit a routing key (255 bytes)
/// behind its application.
pub const EVENT_TYPE_MAX: usize = 128;
/// Longest subject and producer's event id, in bytes: what an AMQP short string can hold.
pub const SHORT_TEXT_MAX: usize = 255;

/// Deepest nesting of a payload. Receivers' parsers go down by calling themselves, and common ones end at a
/// hundred or so.
pub const PAYLOAD_DEPTH_MAX: usize = 64;
/// Most channels that an event is for: client libraries know of five.
pub const CHANNELS_MAX: usize = 5;
/// Longest name of a channel, in characters.
pub const CHANNEL_MAX: usize = 128;

/// Names of channels, each once, in the order given.
pub type Channels = Box<[Box<str>]>;

/// Checks the channels of an event.
///
/// # Errors
/// A sentence that names the channel and what is accepted.
pub fn check_channels(channels: &[impl AsRef<str>]) -> Result<(), String> {
    if channels.len() > CHANNELS_MAX {
        let count = channels.len();
        return Err(format!("{count} channels are given: at most {CHANNELS_MAX} are accepted"));
    }
    channels.iter().try_for_each(|channel| check_channel(channel.as_ref()))
}

/// Checks the name of a channel.
///
/// # Errors
/// A sentence that names it and what is accepted.
pub fn check_channel(name: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=CHANNEL_MAX).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(format!(
        "`{name}` is not a channel: 1 to {CHANNEL_MAX} letters, digits, `-`, `_` and `.` are accepted"
    ))
}

/// A dotted name such as `job.completed`: segments of letters, digits, `_` and `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(Arc<str>);

impl EventType {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EventType {
    type Err = NotAnEventType;

    fn from_str(text: &str) -> Result<Self, NotAnEventType> {
        let name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if text.is_empty() {
            Err(NotAnEventType::Missing)
        } else if text.len() > EVENT_TYPE_MAX {
            Err(NotAnEventType::TooLong(text.len()))
        } else if text.split('.').any(|segment| segment.is_empty() || !segment.chars().all(name)) {
            Err(NotAnEventType::Malformed(text.into()))
        } else {
            Ok(Self(text.into()))
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text cannot be an event type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEventType {
    /// There was no text.
    #[error("an event type is missing: a dotted name is wanted, as job.completed")]
    Missing,
    /// More than [`EVENT_TYPE_MAX`] characters.
    #[error("an event type of {0} characters is too long: at most {EVENT_TYPE_MAX} are accepted")]
    TooLong(usize),
    /// An empty segment or a character that is not allowed.
    #[error(
        "`{0}` is not an event type: letters, digits, `_` and `-` in segments with a full stop \
         between them are accepted, as job.completed"
    )]
    Malformed(String),
}

/// Attributes of a `CloudEvent` that have no place of their own: `source`, `dataschema` and extensions, in
/// the order given, each name once.
pub type Attributes = Box<[(Box<str>, Box<str>)]>;

/// A URL that an event's producer named for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where it goes: normalised, and frozen with the event.
    pub url: Url,
    /// And whether it goes to anybody else.
    pub mode: WebhookMode,
}

/// Whether an event that names a URL goes to anybody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookMode {
    /// To that URL alone.
    #[default]
    Override,
    /// To that URL, and to the endpoints that want it.
    Add,
}

impl WebhookMode {
    /// The word for it, in a header, the API and its column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Override => "override",
            Self::Add => "add",
        }
    }
}

impl FromStr for WebhookMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "override" => Ok(Self::Override),
            "add" => Ok(Self::Add),
            other => Err(format!("`{other}` is no mode: override or add is accepted")),
        }
    }
}

/// How a producer names the application that an event belongs to: its id, or its `uid`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ApplicationName {
    /// Our id.
    Id(ApplicationId),
    /// The name that its owner gave it.
    Uid(Box<str>),
}

impl From<&str> for ApplicationName {
    fn from(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Uid(text.into()), Self::Id)
    }
}

impl fmt::Display for ApplicationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Uid(uid) => f.write_str(uid),
        }
    }
}

/// What a producer calls an event: the means to recognise it when it comes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The producer's own id (`message_id`, or an idempotency key): the same id is the same event.
    Given(Box<str>),
    /// A `CloudEvent`'s `source` and `id`, which name it together.
    Sourced {
        /// Its `source`.
        source: Box<str>,
        /// Its `id`.
        id: Box<str>,
    },
    /// It gave none: a hash over all that was published. Two events may truly be alike, so a
    /// message that is not a redelivery is an event of its own even when the hash is known.
    Fingerprint(EventId),
    /// It was stored before, under this id and with its producer's own.
    Stored(EventId, Option<Box<str>>),
}

/// A valid event, before we know its application.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Whose event it is.
    pub application: ApplicationName,
    /// What happened.
    pub event_type: EventType,
    /// How it is recognised when it comes again.
    pub identity: Identity,
    /// What it is about: the id of a job.
    pub subject: Option<Box<str>>,
    /// When it happened, as its producer says.
    pub occurred_at: Option<Timestamp>,
    /// When we received it, if that was not just now.
    pub received_at: Option<Timestamp>,
    /// Not to be delivered before this.
    pub deliver_at: Option<Timestamp>,
    /// Of no use after this.
    pub expires_at: Option<Timestamp>,
    /// The payload's media type; `application/json` when the producer gave none.
    pub content_type: Option<Box<str>>,
    /// The W3C trace that it belongs to.
    pub traceparent: Option<Box<str>>,
    /// Channels that it is for, besides its type; none: for every channel's endpoints that want any.
    pub channels: Channels,
    /// A URL of its own, if its producer named one.
    pub webhook: Option<Webhook>,
    /// What its producer said of it beside all this, as a `CloudEvent`.
    pub attributes: Attributes,
    /// The bytes, as published.
    pub payload: Bytes,
}

/// An event of a known application.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its id: the `webhook-id` of every request about it.
    pub id: EventId,
    /// Its tenant.
    pub application: ApplicationId,
    /// What happened.
    pub event_type: EventType,
    /// The producer's own id for it.
    pub event_id: Option<Box<str>>,
    /// What it is about.
    pub subject: Option<Box<str>>,
    /// When it happened; when we received it, if its producer did not say.
    pub occurred_at: Timestamp,
    /// When we received it.
    pub received_at: Timestamp,
    /// Not to be delivered before this.
    pub deliver_at: Option<Timestamp>,
    /// Of no use after this.
    pub expires_at: Option<Timestamp>,
    /// The payload's media type.
    pub content_type: Option<Box<str>>,
    /// The W3C trace that it belongs to.
    pub traceparent: Option<Box<str>>,
    /// Channels that it is for, besides its type; none: for every channel's endpoints that want any.
    pub channels: Channels,
    /// A URL of its own, if its producer named one.
    pub webhook: Option<Webhook>,
    /// What its producer said of it beside all this, as a `CloudEvent`.
    pub attributes: Attributes,
    /// The bytes, as published.
    pub payload: Bytes,
}

impl NewEvent {
    /// The event, once its application is known.
    ///
    /// Its id is derived from what the producer called it within its application, so that a redelivered
    /// message gives the id it gave the first time, and no tenant can name an event of another.
    pub fn of(self, application: ApplicationId, now: Timestamp) -> Event {
        let (id, event_id) = match self.identity {
            Identity::Given(name) => {
                // A name of our own form was made for an event that came without one.
                let own = name.parse::<EventId>().is_ok();
                (id_of(application, &name), (!own).then_some(name))
            }
            Identity::Sourced { source, id } => {
                (id_of_sourced(application, &source, &id), Some(id))
            }
            // The fingerprint is over the routing key too, which names the application.
            Identity::Fingerprint(id) => (id, None),
            Identity::Stored(id, event_id) => (id, event_id),
        };
        let received_at = self.received_at.unwrap_or(now);
        Event {
            id,
            application,
            event_type: self.event_type,
            event_id,
            subject: self.subject,
            occurred_at: self.occurred_at.unwrap_or(received_at),
            received_at,
            deliver_at: self.deliver_at,
            expires_at: self.expires_at,
            content_type: self.content_type,
            traceparent: self.traceparent,
            channels: self.channels,
            webhook: self.webhook,
            attributes: self.attributes,
            payload: self.payload,
        }
    }
}

/// A W3C trace, if a text has the form of one. Trace Context §2.2: what cannot be read is ignored, and the
/// receiver begins a trace of its own.
pub fn traceparent(text: &str) -> Option<Box<str>> {
    let plain = |c: char| c.is_ascii_hexdigit() || c == '-';
    (text.len() >= 55 && text.len() <= SHORT_TEXT_MAX && text.chars().all(plain))
        .then(|| text.into())
}

impl Event {
    /// One of our own making, of which nothing is said but what it is.
    pub fn made(
        id: EventId,
        application: ApplicationId,
        event_type: EventType,
        payload: Bytes,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            application,
            event_type,
            event_id: None,
            subject: None,
            occurred_at: now,
            received_at: now,
            deliver_at: None,
            expires_at: None,
            content_type: None,
            traceparent: None,
            channels: Channels::default(),
            webhook: None,
            attributes: Attributes::default(),
            payload,
        }
    }

    /// Whether it is owed to this id for the URL that it names.
    pub fn names(&self, id: EndpointId) -> bool {
        self.webhook.as_ref().is_some_and(|own| named_at(self.application, &own.url) == id)
    }
}

/// What is wrong with an event that is of no use any more when it may be delivered, as what is wanted.
pub fn too_late(
    deliver_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
) -> Option<&'static str> {
    let (from, end) = deliver_at.zip(expires_at)?;
    (end <= from).then_some("a moment behind the one from which on it may be delivered")
}

/// The id of the event that its producer calls `name`, within its application.
pub fn id_of(application: ApplicationId, name: &str) -> EventId {
    EventId::derived(&[application.as_bytes(), name.as_bytes()])
}

/// The id of the `CloudEvent` of that source and id, within its application.
pub fn id_of_sourced(application: ApplicationId, source: &str, id: &str) -> EventId {
    EventId::derived(&[application.as_bytes(), source.as_bytes(), id.as_bytes()])
}

/// Why a message is not an event. It is kept in quarantine with this reason, once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The type is missing, too long or malformed.
    #[error(transparent)]
    EventType(#[from] NotAnEventType),
    /// Nothing says whose event it is.
    #[error("the routing key `{0}` names no application: <application>.<event type> is wanted")]
    NoApplication(String),
    /// No application of that id or uid exists.
    #[error("no application is called `{0}`")]
    UnknownApplication(String),
    /// The payload is not text.
    #[error("the payload is not UTF-8 from byte {0} on")]
    NotUtf8(usize),
    /// The payload is not JSON.
    #[error("the payload is not JSON: {0}")]
    NotJson(String),
    /// The payload is larger than we carry.
    #[error("the payload has {size} bytes: at most {limit} are accepted")]
    TooLarge {
        /// Bytes it has.
        size: usize,
        /// Bytes that are accepted.
        limit: usize,
    },
    /// The payload is not as its type's schema wants it.
    #[error("the payload is not as the schema of `{event_type}` wants it: {faults}")]
    NotBySchema {
        /// Whose schema.
        event_type: String,
        /// Each fault, with a JSON pointer to it.
        faults: String,
    },
    /// It says that it is a `CloudEvent`, and is none.
    #[error("as a CloudEvent: {0}")]
    NotACloudEvent(String),
    /// A property or header has a value that it cannot have.
    #[error("`{name}` is {found}: {wanted} is wanted")]
    BadField {
        /// The property's or header's name.
        name: &'static str,
        /// What was there.
        found: String,
        /// What is accepted.
        wanted: &'static str,
    },
}

impl Rejection {
    /// One word for each fault: the `x-reason` header of a quarantined message and a metric label.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::EventType(NotAnEventType::Missing) => "event_type_missing",
            Self::EventType(NotAnEventType::TooLong(_)) => "event_type_too_long",
            Self::EventType(NotAnEventType::Malformed(_)) => "event_type_malformed",
            Self::NoApplication(_) => "application_missing",
            Self::UnknownApplication(_) => "application_unknown",
            Self::NotUtf8(_) => "payload_not_utf8",
            Self::NotJson(_) => "payload_not_json",
            Self::TooLarge { .. } => "payload_too_large",
            Self::NotBySchema { .. } => "payload_not_by_schema",
            Self::NotACloudEvent(_) => "not_a_cloudevent",
            Self::BadField { .. } => "bad_field",
        }
    }
}

/// Checks that a payload may be delivered: no more than `limit` bytes of UTF-8 JSON.
///
/// The size comes first, so that nothing large is read. UTF-8 is required because the official
/// verifying libraries decode the body before they hash it.
///
/// # Errors
/// The fault, with its place.
pub fn check_payload(payload: &[u8], limit: usize) -> Result<(), Rejection> {
    if payload.len() > limit {
        return Err(Rejection::TooLarge { size: payload.len(), limit });
    }
    let text = std::str::from_utf8(payload).map_err(|e| Rejection::NotUtf8(e.valid_up_to()))?;
    serde_json::from_str::<IgnoredAny>(text)
        .map_err(|error| Rejection::NotJson(error.to_string()))?;
    let depth = depth(payload);
    if depth > PAYLOAD_DEPTH_MAX {
        return Err(Rejection::NotJson(format!(
            "it is nested {depth} deep: at most {PAYLOAD_DEPTH_MAX} is accepted"
        )));
    }
    Ok(())
}

/// How deep lists and objects are nested in what is JSON.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => in_text = false,
            (true, _) => {}
            (false, b'"') => in_text = true,
            (false, b'[' | b'{') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            (false, _) => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_names_are_event_types() {
        for name in ["job.completed", "ping", "a-b.c_d.9", &"x".repeat(EVENT_TYPE_MAX)] {
            assert_eq!(name.parse::<EventType>().map(|t| t.to_string()), Ok(name.to_owned()));
        }
    }

    #[test]
    fn other_texts_are_not() {
        for name in ["", ".", "job.", ".job", "job..done", "job done", "job.*", "jöb"] {
            assert!(name.parse::<EventType>().is_err(), "{name}");
        }
        assert_eq!(
            "x".repeat(129).parse::<EventType>(),
            Err(NotAnEventType::TooLong(129)),
            "one too many"
        );
    }

    #[test]
    fn a_payload_is_json_text_of_a_bounded_size() {
        assert_eq!(check_payload(br#"{"amount":1250.50}"#, 100), Ok(()));
        assert_eq!(check_payload(b"{\"a\":\"\xff\"}", 100), Err(Rejection::NotUtf8(6)));
        assert!(matches!(check_payload(b"{", 100), Err(Rejection::NotJson(_))));
        assert!(matches!(check_payload(b"", 100), Err(Rejection::NotJson(_))));
        let nested =
            |depth: usize| format!("{}\"[[[\\\"\"{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(check_payload(nested(64).as_bytes(), 1_000), Ok(()));
        assert!(matches!(check_payload(nested(65).as_bytes(), 1_000), Err(Rejection::NotJson(_))));
        assert_eq!(check_payload(b"[1]", 2), Err(Rejection::TooLarge { size: 3, limit: 2 }));
    }

    #[test]
    fn the_same_given_id_is_the_same_event_within_its_application_only() {
        let new = |id: &str| NewEvent {
            application: "acme".into(),
            event_type: "job.completed".parse().expect("a type"),
            identity: Identity::Given(id.into()),
            subject: None,
            occurred_at: None,
            received_at: None,
            deliver_at: None,
            expires_at: None,
            content_type: None,
            traceparent: None,
            channels: Channels::default(),
            webhook: None,
            attributes: Attributes::default(),
            payload: Bytes::from_static(b"{}"),
        };
        let (one, other) = (ApplicationId::derived(&[b"1"]), ApplicationId::derived(&[b"2"]));
        let now = Timestamp::from_seconds(1_790_000_000);

        assert_eq!(new("run-7.done").of(one, now).id, new("run-7.done").of(one, now).id);
        assert_ne!(new("run-7.done").of(one, now).id, new("run-7.done").of(other, now).id);
        let theirs = EventId::derived(&[b"theirs"]);
        assert_ne!(new(&theirs.to_string()).of(one, now).id, theirs, "not even by its own name");
    }
}
