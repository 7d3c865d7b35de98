//! A `CloudEvent` 1.0, read as an event: one mapping for every way in.
//!
//! Structured, the whole event is one JSON document and its data is cut out as it stands there. Binary,
//! its attributes are headers and the body is the data: which headers those are is the way in's own
//! matter, which hands them over by name with their canonical texts.
//!
//! | `CloudEvents` | here |
//! |---|---|
//! | `id` and `source` | what the event is recognised by, within its application; the id is shown |
//! | `type`, `time`, `subject` | the same of the event |
//! | `datacontenttype` | the payload's media type |
//! | `data`, `data_base64` | the payload, `null` without either |
//! | `source`, `dataschema`, extensions | [`Attributes`], for receivers that want `CloudEvents` |
//!
//! A payload is JSON text with us, so data of another kind is refused. Attributes are bounded, because
//! every copy of a delivery carries them. The specification is version 1.0.2, its JSON format beside it.

mod document;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use self::document::Document;
use super::event::{self, Attributes, EventType, SHORT_TEXT_MAX};
use super::time::Timestamp;

/// The version of the specification that is understood.
pub const SPECVERSION: &str = "1.0";
/// Most attributes besides those that have a place of their own.
pub const ATTRIBUTES_MAX: usize = 32;
/// Most bytes of those, names and values together: half of what a broker's frame for headers is sure to hold.
pub const ATTRIBUTES_BYTES_MAX: usize = 4_096;
/// Longest name of an extension, in characters: what the specification asks producers to keep to.
pub const NAME_MAX: usize = 20;

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The whole event.
    Structured,
    /// Its data alone, if it is a `CloudEvent` at all: the headers tell.
    Bare,
}

/// A `CloudEvent`, as an event that has no application yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudEvent {
    /// Its `id`.
    pub id: Box<str>,
    /// Its `source`, which the id belongs to.
    pub source: Box<str>,
    /// Its `type`.
    pub event_type: EventType,
    /// Its `subject`.
    pub subject: Option<Box<str>>,
    /// Its `time`.
    pub time: Option<Timestamp>,
    /// Its `datacontenttype`.
    pub content_type: Option<Box<str>>,
    /// Its `traceparent` extension, if it has the form of one. It is among the attributes too.
    pub traceparent: Option<Box<str>>,
    /// `source` first, `dataschema`, and extensions.
    pub attributes: Attributes,
    /// Its data.
    pub payload: Bytes,
}

/// What is wrong with one attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The attribute, `data`, or nothing when it is all of it.
    pub attribute: String,
    /// What is wrong, and what is accepted.
    pub why: String,
}

/// Everything that is wrong with a `CloudEvent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, Fault { attribute, why }) in self.0.iter().enumerate() {
            let before = if place == 0 { "" } else { "; " };
            match attribute.as_str() {
                "" => write!(f, "{before}{why}")?,
                named => write!(f, "{before}`{named}`: {why}")?,
            }
        }
        Ok(())
    }
}

impl Faults {
    fn whole(why: impl Into<String>) -> Self {
        Self(vec![Fault { attribute: String::new(), why: why.into() }])
    }
}

/// What a body of this media type is.
///
/// # Errors
/// When it is a batch, or in another format than JSON.
pub fn mode(content_type: Option<&str>) -> Result<Mode, Faults> {
    let media = media_type(content_type.unwrap_or_default());
    match media.strip_prefix("application/cloudevents") {
        Some("+json") => Ok(Mode::Structured),
        Some(format) if format.is_empty() || format.starts_with(['+', '-']) => {
            Err(Faults::whole(format!(
                "`{media}` is not understood: application/cloudevents+json is accepted, with one event"
            )))
        }
        Some(_) | None => Ok(Mode::Bare),
    }
}

/// Reads a structured event: the whole of it is the body.
///
/// # Errors
/// Everything that is wrong with it, by attribute.
pub fn structured(body: &Bytes) -> Result<CloudEvent, Faults> {
    let document = Document::read(body).map_err(Faults::whole)?;
    let mut parts = Parts::default();
    for (name, text) in document.attributes {
        match text {
            Ok(text) => parts.take(name, text),
            Err(why) => parts.wrong(&name, why),
        }
    }
    let payload = match (document.data, document.data_base64) {
        (Some(_), Some(_)) => {
            parts.wrong("data_base64", "beside `data`: one of them is accepted");
            Bytes::new()
        }
        (None, Some(text)) => match STANDARD.decode(text) {
            Ok(bytes) => bytes.into(),
            Err(fault) => {
                parts.wrong("data_base64", format!("it is not Base64: {fault}"));
                Bytes::new()
            }
        },
        (data, None) => data.unwrap_or(NO_DATA),
    };
    parts.event(payload)
}

/// Reads a binary event: its attributes by their names, and its body, the data.
///
/// A name that is given twice, by two ways of writing it, has to have one value.
///
/// # Errors
/// Everything that is wrong with it, by attribute.
pub fn binary(
    named: impl IntoIterator<Item = (String, String)>,
    content_type: Option<&str>,
    body: &Bytes,
) -> Result<CloudEvent, Faults> {
    // A body's media type is its own header in this mode, whoever repeats it.
    let datacontenttype = content_type.filter(|text| !text.is_empty()).map(Into::into);
    let mut parts = Parts { datacontenttype, ..Parts::default() };
    let said = parts.datacontenttype.is_some();
    for (name, text) in named {
        if !(said && name == "datacontenttype") {
            parts.take(name, text);
        }
    }
    parts.event(if body.is_empty() { NO_DATA } else { body.clone() })
}

/// The payload of an event without data.
const NO_DATA: Bytes = Bytes::from_static(b"null");

/// Attributes as texts, each once, with what is wrong with them so far.
#[derive(Default)]
struct Parts {
    specversion: Option<String>,
    id: Option<String>,
    source: Option<String>,
    event_type: Option<String>,
    subject: Option<String>,
    time: Option<String>,
    datacontenttype: Option<String>,
    dataschema: Option<String>,
    extensions: Vec<(String, String)>,
    faults: Vec<Fault>,
}

impl Parts {
    fn wrong(&mut self, attribute: &str, why: impl Into<String>) {
        // One for each, and no more than could be told: the names are whatever somebody sent.
        let attribute: String = attribute.chars().take(SHORT_TEXT_MAX).collect();
        let told = self.faults.iter().any(|fault| fault.attribute == attribute);
        if !told && self.faults.len() <= ATTRIBUTES_MAX {
            self.faults.push(Fault { attribute, why: why.into() });
        }
    }

    fn take(&mut self, name: String, text: String) {
        let place = match name.as_str() {
            "specversion" => &mut self.specversion,
            "id" => &mut self.id,
            "source" => &mut self.source,
            "type" => &mut self.event_type,
            "subject" => &mut self.subject,
            "time" => &mut self.time,
            "datacontenttype" => &mut self.datacontenttype,
            "dataschema" => &mut self.dataschema,
            _ => return self.extend(name, text),
        };
        match place {
            Some(known) if *known != text => self.wrong(&name, GIVEN_TWICE),
            Some(_) => {}
            None => *place = Some(text),
        }
    }

    fn extend(&mut self, name: String, text: String) {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if !(1..=NAME_MAX).contains(&name.len()) || !name.bytes().all(plain) || name == "data" {
            let why = format!(
                "it cannot be the name of an attribute: 1 to {NAME_MAX} lower-case letters and digits \
                 are accepted"
            );
            return self.wrong(&name, why);
        }
        match self.extensions.iter().find(|(known, _)| *known == name) {
            Some((_, known)) if *known != text => self.wrong(&name, GIVEN_TWICE),
            Some(_) => {}
            // One beyond the bound is kept, so that it is told.
            None if self.extensions.len() <= ATTRIBUTES_MAX => self.extensions.push((name, text)),
            None => {}
        }
    }

    fn event(mut self, payload: Bytes) -> Result<CloudEvent, Faults> {
        match self.specversion.take() {
            Some(version) if version == SPECVERSION => {}
            Some(version) => {
                let why = format!("it is `{}`: {SPECVERSION} is accepted", shown(&version));
                self.wrong("specversion", why);
            }
            None => self.wrong("specversion", format!("it is missing: {SPECVERSION} is wanted")),
        }
        let id = self.id.take();
        let id = self.wanted("id", id, "a text that is the event's own within its source");
        let source = self.source.take();
        let source = self.wanted("source", source, "a URI reference, as /jobs");
        let source = source.filter(|source| self.reference("source", source));
        let event_type = self.event_type.take();
        let event_type = self.wanted("type", event_type, "a dotted name, as job.completed");
        let event_type = event_type.and_then(|text| match text.parse::<EventType>() {
            Ok(known) => Some(known),
            Err(fault) => {
                self.wrong("type", fault.to_string());
                None
            }
        });
        let subject = self.subject.take();
        let subject = subject.and_then(|text| self.wanted("subject", Some(text), "a text"));
        let time = self.time.take().and_then(|text| {
            let read = text.parse().ok().filter(|time| *time <= Timestamp::NEVER);
            if read.is_none() {
                let why = format!("`{}` is no time: RFC 3339 is accepted", shown(&text));
                self.wrong("time", why);
            }
            read
        });
        let content_type = self.datacontenttype.take().filter(|media| self.is_json(media));
        let attributes = self.attributes(source.as_deref());
        let traceparent = attributes.iter().find(|(name, _)| &**name == "traceparent");
        let traceparent = traceparent.and_then(|(_, text)| event::traceparent(text));
        match (id, source, event_type) {
            (Some(id), Some(source), Some(event_type)) if self.faults.is_empty() => {
                Ok(CloudEvent {
                    id: id.into(),
                    source: source.into(),
                    event_type,
                    subject: subject.map(Into::into),
                    time,
                    content_type: content_type.map(Into::into),
                    traceparent,
                    attributes,
                    payload,
                })
            }
            _ => Err(Faults(self.faults)),
        }
    }

    /// A text that has to be there, and not longer than we carry.
    fn wanted(&mut self, name: &str, text: Option<String>, accepted: &str) -> Option<String> {
        match text {
            None => self.wrong(name, format!("it is missing: {accepted} is wanted")),
            Some(text) if text.is_empty() => {
                self.wrong(name, format!("it is empty: {accepted} is wanted"));
            }
            Some(text) if text.len() > SHORT_TEXT_MAX => {
                let bytes = text.len();
                let why = format!("it has {bytes} bytes: at most {SHORT_TEXT_MAX} are accepted");
                self.wrong(name, why);
            }
            Some(text) if text.chars().any(char::is_control) => {
                self.wrong(name, "it has control characters in it");
            }
            Some(text) => return Some(text),
        }
        None
    }

    /// Whether a text can be a URI reference, as far as it matters: nothing stands between its parts.
    fn reference(&mut self, name: &str, text: &str) -> bool {
        let fits =
            !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control());
        if !fits {
            self.wrong(name, "a URI is accepted, without spaces");
        }
        fits
    }

    fn is_json(&mut self, media: &str) -> bool {
        let printable = media.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let kind = media_type(media);
        // Data that says it is an event would be taken for one, on its way and by its receiver.
        let json = matches!(kind.as_str(), "application/json" | "text/json")
            || kind.ends_with("+json")
                && kind.contains('/')
                && !kind.starts_with("application/cloudevents");
        let fits = printable && json && media.len() <= SHORT_TEXT_MAX;
        if !fits {
            let why = format!(
                "`{}` is not passed on: application/json is accepted, or another kind of JSON",
                shown(media)
            );
            self.wrong("datacontenttype", why);
        }
        fits
    }

    /// What has no place of its own, within its bounds.
    fn attributes(&mut self, source: Option<&str>) -> Attributes {
        let dataschema = self.dataschema.take();
        if let Some(text) = &dataschema {
            self.reference("dataschema", text);
        }
        let source = source.map(|text| ("source".to_owned(), text.to_owned()));
        let dataschema = dataschema.map(|text| ("dataschema".to_owned(), text));
        // In one order, whichever they came in: the same event is the same to the byte.
        let mut extensions = std::mem::take(&mut self.extensions);
        extensions.sort();
        let all: Vec<_> = source.into_iter().chain(dataschema).chain(extensions).collect();
        let bytes: usize = all.iter().map(|(name, text)| name.len() + text.len()).sum();
        if all.len() > ATTRIBUTES_MAX || bytes > ATTRIBUTES_BYTES_MAX {
            let why = format!(
                "its source, dataschema and extensions are too many: at most {ATTRIBUTES_MAX} with \
                 {ATTRIBUTES_BYTES_MAX} bytes together are accepted"
            );
            self.wrong("", why);
        }
        all.into_iter().map(|(name, text)| (name.into(), text.into())).collect()
    }
}

const GIVEN_TWICE: &str = "it is given twice, with two values";

/// A media type without its parameters, as it is compared.
fn media_type(text: &str) -> String {
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// As much of a text as a sentence has room for.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests;
