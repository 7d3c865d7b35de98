//! `/app/{app}/cloudevent`: a `CloudEvent` comes in, structured or binary.
//!
//! What its attributes mean is `domain::cloudevent`'s, the same as over AMQP; here is how HTTP writes them (the
//! HTTP binding, §3). The same event, by its source and id, is one message however often it is sent, and is
//! answered the same.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::auth::ForOrganisation;
use super::body::Body;
use super::idempotency::key_of;
use super::place::Place;
use super::problem::{Fault, FaultKind, Problem, Problems};
use super::query::Query;
use super::routes::Api;
use super::wire::message::Shape;
use super::wire::message_out::{self, MessageOut};
use crate::control::publish::{Draft, Field, PublishError};
use crate::domain::cloudevent::{self, CloudEvent, Faults, Mode};

/// What the headers of a binary event begin with.
const PREFIX: &str = "ce-";

/// Takes in a `CloudEvent` 1.0: structured (`application/cloudevents+json`, the whole event in the body) or binary
/// (its attributes as `ce-` headers, its data as the body).
///
/// Its data has to be JSON, and becomes the payload to the byte; its id and source together are what it is
/// recognised by. The answer comes when it is durable.
#[utoipa::path(
    post, path = "/app/{app}/cloudevent", tag = "Message", operation_id = "v1.message.create-cloudevent",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("with_content" = Option<bool>, Query, description = "Whether the answer repeats the payload (it does)"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again is one event; without it, the same source and id are"),
    ),
    request_body(
        content = serde_json::Value, content_type = "application/cloudevents+json",
        description = "A CloudEvent in the JSON format; in binary mode, its data",
    ),
    responses((status = 202, description = "It is durable", body = MessageOut), Problems),
)]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    ForOrganisation { control }: ForOrganisation,
    Place(app): Place<String>,
    query: Query,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let with_content = query.flag("with_content", true)?;
    let key = key_of(&headers)?;
    let application = control.application(&app).await?;
    let (mode, event) = read(&headers, &body)?;
    let accepted = api.intake().publish(&application, vec![draft(event)], key).await;
    let accepted = accepted.map_err(|error| problem(error, mode))?;
    let text = message_out::write(Shape::One, accepted, with_content);
    Ok((StatusCode::ACCEPTED, [(CONTENT_TYPE, "application/json")], text).into_response())
}

fn read(headers: &HeaderMap, body: &Body) -> Result<(Mode, CloudEvent), Problem> {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::to_str);
    let content_type = content_type.transpose().map_err(|_| {
        Problem::Faults(vec![fault(vec!["header", "content-type"], "printable ASCII is accepted")])
    })?;
    let refused = |mode| move |faults: Faults| Problem::Faults(told(mode, faults));
    match cloudevent::mode(content_type) {
        Ok(Mode::Structured) => {
            let event = cloudevent::structured(&body.bytes).map_err(refused(Mode::Structured))?;
            Ok((Mode::Structured, event))
        }
        Ok(Mode::Bare) => {
            let event = cloudevent::binary(named(headers)?, content_type, &body.bytes);
            Ok((Mode::Bare, event.map_err(refused(Mode::Bare))?))
        }
        Err(faults) => {
            Err(Problem::Faults(vec![fault(vec!["header", "content-type"], faults.to_string())]))
        }
    }
}

/// The attributes among the headers.
fn named(headers: &HeaderMap) -> Result<Vec<(String, String)>, Problem> {
    let attributes = headers.iter().filter(|(name, _)| name.as_str().starts_with(PREFIX));
    let read = attributes.map(|(header, value)| match decoded(value) {
        Some(text) => Ok((header.as_str()[PREFIX.len()..].to_owned(), text)),
        None => Err(fault(
            vec!["header", header.as_str()],
            "printable ASCII is accepted, with %XX for the bytes of anything else in UTF-8",
        )),
    });
    let (mut named, mut faults) = (Vec::new(), Vec::new());
    for one in read {
        match one {
            Ok(attribute) => named.push(attribute),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(named) } else { Err(Problem::Faults(faults)) }
}

/// A header's value without its quotes and escapes (§3.1.3.2).
fn decoded(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let (bare, quoted) = bare.map_or((text, false), |bare| (bare, true));
    let mut bytes = Vec::with_capacity(bare.len());
    let mut rest = bare.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' if quoted => rest.next()?,
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn draft(event: CloudEvent) -> Draft {
    Draft {
        event_type: event.event_type.to_string(),
        payload: event.payload,
        event_id: Some(event.id.into()),
        subject: event.subject.map(Into::into),
        occurred_at: event.time,
        content_type: event.content_type.map(Into::into),
        traceparent: event.traceparent.map(Into::into),
        attributes: event.attributes,
        ..Draft::default()
    }
}

fn problem(error: PublishError, mode: Mode) -> Problem {
    match error {
        PublishError::Refused(faults) => {
            let told = faults.into_iter().map(|one| {
                let attribute = match one.field {
                    Field::EventType => "type",
                    Field::Payload => "data",
                    Field::EventId => "id",
                    Field::Subject => "subject",
                    Field::Channels => "channels",
                    Field::ExpiresAt => "expires-at",
                    Field::WebhookUrl => "webhook-url",
                    Field::WebhookMode => "webhook-mode",
                };
                fault(place(mode, attribute).iter().map(String::as_str).collect(), one.why)
            });
            Problem::Faults(told.collect())
        }
        PublishError::TooLarge(why) => Problem::TooLarge(why),
        PublishError::Control(error) => error.into(),
    }
}

fn told(mode: Mode, Faults(faults): Faults) -> Vec<Fault> {
    let told = faults.into_iter().map(|one| {
        fault(place(mode, &one.attribute).iter().map(String::as_str).collect(), one.why)
    });
    told.collect()
}

/// Where an attribute is in a request.
fn place(mode: Mode, attribute: &str) -> Vec<String> {
    match (mode, attribute) {
        (Mode::Structured, "") | (Mode::Bare, "data") => vec!["body".into()],
        (Mode::Structured, name) => vec!["body".into(), name.into()],
        (Mode::Bare, "") => vec!["header".into()],
        (Mode::Bare, "datacontenttype") => vec!["header".into(), "content-type".into()],
        (Mode::Bare, name) => vec!["header".into(), format!("{PREFIX}{name}")],
    }
}

fn fault(loc: Vec<&str>, msg: impl Into<String>) -> Fault {
    let loc = loc.into_iter().map(str::to_owned).collect();
    Fault { loc, msg: msg.into(), kind: FaultKind::Value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &'static str) -> Option<String> {
        decoded(&HeaderValue::from_static(value))
    }

    #[test]
    fn a_header_is_percent_encoded_and_perhaps_quoted() {
        for (value, expected) in [
            ("plain", "plain"),
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro \u{20ac} \u{1f600}"),
            ("%e2%82%ac", "\u{20ac}"),
            ("\"a \\\"quoted\\\" one\"", "a \"quoted\" one"),
            ("\"", "\""),
            ("a+b", "a+b"),
        ] {
            assert_eq!(text(value).as_deref(), Some(expected), "{value}");
        }
        for broken in ["%", "%2", "%zz", "%ff", "\"a\\\""] {
            assert_eq!(text(broken), None, "{broken}");
        }
        assert_eq!(decoded(&HeaderValue::from_bytes(b"\xe2\x82\xac").expect("a value")), None);
    }

    #[test]
    fn a_fault_is_told_where_it_is() {
        for (mode, attribute, expected) in [
            (Mode::Structured, "", "body"),
            (Mode::Structured, "id", "body.id"),
            (Mode::Structured, "data", "body.data"),
            (Mode::Bare, "", "header"),
            (Mode::Bare, "id", "header.ce-id"),
            (Mode::Bare, "data", "body"),
            (Mode::Bare, "datacontenttype", "header.content-type"),
        ] {
            assert_eq!(place(mode, attribute).join("."), expected);
        }
    }
}
