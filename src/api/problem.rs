//! Every error of the API and how it is written.
//!
//! `{"code", "detail"}`, and for what is wrong in a request a list of `{"loc", "msg", "type"}`: the form
//! that client libraries read. Always JSON, because they read it before they look at the status.

#![expect(unused_qualifications, reason = "the derived descriptions name their types in full")]

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use tracing::{debug, error};
use utoipa::openapi::{self, ContentBuilder, RefOr, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::control::ControlError;
use crate::domain::capability::Capability;

/// After how many seconds it is worth asking again when a store is away or full: it does not pass in one.
const AWAY_S: u16 = 5;
/// The same when we have too much to do at this moment.
const BUSY_S: u16 = 1;

/// Why a request was not done.
#[derive(Debug)]
pub(super) enum Problem {
    /// No token, or none that holds.
    Unauthenticated,
    /// Whoever asks may not do this.
    Forbidden,
    /// The token lacks this capability.
    Lacks(Capability),
    /// An application's token does not set this field.
    NotForApplications(&'static str),
    /// No such path.
    NoSuchPath,
    /// The path is there and not for this method.
    NoSuchMethod,
    /// What was named is not there.
    NotFound(String),
    /// It contradicts what is there.
    Conflict(String),
    /// The application has no default URL.
    NoDefaultUrl(String),
    /// The event type is listed already.
    EventTypeExists(String),
    /// The request is not one.
    Invalid(String),
    /// It cannot be done as things are; the code says why to programs (`limit_reached`,
    /// `invalid_range`, `invalid_scheme`, `missing_payload`).
    Refused {
        /// The code.
        code: &'static str,
        /// The sentence.
        why: String,
    },
    /// The caller asks for more than is agreed: again after so many seconds.
    TooMany(u16),
    /// Parts of the request are not accepted.
    Faults(Vec<Fault>),
    /// It is larger than we take.
    TooLarge(String),
    /// The body is compressed in this way.
    Encoded(String),
    /// The body did not come within this time.
    Slow(Duration),
    /// We have too much to do.
    Busy,
    /// A store did not answer, or has no room: why.
    Away(String),
    /// What is stored cannot be right.
    Corrupt(String),
}

/// One part of a request that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Fault {
    /// Where: `body`, the place in a list as `[3]`, the field.
    pub(super) loc: Vec<String>,
    /// What is wrong, and what is accepted.
    pub(super) msg: String,
    /// Whether it has the wrong form or the wrong value.
    #[serde(rename = "type")]
    pub(super) kind: FaultKind,
}

/// What kind of fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(super) enum FaultKind {
    /// Not JSON, missing, or of another type.
    #[serde(rename = "value_error.jsondecode")]
    Form,
    /// Not a value that is accepted.
    #[serde(rename = "value_error")]
    Value,
}

/// Why a request was not done.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `body` writes, for the description of the API")]
pub(super) struct HttpError {
    /// One word for programs.
    #[schema(example = "not_found")]
    code: String,
    /// A sentence for people.
    detail: String,
}

/// Which parts of a request are not accepted.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `body` writes, for the description of the API")]
pub(super) struct HttpValidationError {
    /// Each of them.
    detail: Vec<Fault>,
}

/// What any operation may be answered instead, for the description of the API.
pub(super) struct Problems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let answer = |what: &str, schema: &str| {
            let content =
                ContentBuilder::new().schema(Some(openapi::Ref::from_schema_name(schema))).build();
            RefOr::T(
                ResponseBuilder::new()
                    .description(what)
                    .content("application/json", content)
                    .build(),
            )
        };
        let table = [
            ("400", "The request is not one", "HttpError"),
            ("401", "No token, or none that holds", "HttpError"),
            ("403", "Whoever asks may not do this", "HttpError"),
            ("404", "What was named is not there", "HttpError"),
            ("408", "The body did not come in time", "HttpError"),
            ("409", "It contradicts what is there", "HttpError"),
            ("413", "It is larger than is accepted", "HttpError"),
            ("415", "The body is compressed", "HttpError"),
            ("422", "Parts of the request are not accepted", "HttpValidationError"),
            ("429", "More is asked than is agreed", "HttpError"),
            ("503", "More is asked than can be done, or a store is away", "HttpError"),
        ];
        table
            .iter()
            .map(|(status, what, schema)| ((*status).to_owned(), answer(what, schema)))
            .collect()
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::NotFound(why) => Self::NotFound(why),
            ControlError::Invalid(msg) => Self::of_field("__all__", msg),
            ControlError::InvalidField { field, why } => Self::of_field(field, why),
            ControlError::Conflict(why) => Self::Conflict(why),
            ControlError::LimitReached(why) => Self::Refused { code: "limit_reached", why },
            ControlError::Unavailable(why) => Self::Away(why),
            ControlError::Corrupt(why) => Self::Corrupt(why),
        }
    }
}

impl Problem {
    /// A field of the body has a value that is not accepted.
    pub(super) fn of_field(field: &str, msg: impl Into<String>) -> Self {
        Self::of_place("body", field, msg)
    }

    /// A part of the path is not accepted.
    pub(super) fn of_path(name: &str, msg: impl Into<String>) -> Self {
        Self::of_place("path", name, msg)
    }

    fn of_place(place: &str, name: &str, msg: impl Into<String>) -> Self {
        let loc = vec![place.into(), name.into()];
        Self::Faults(vec![Fault { loc, msg: msg.into(), kind: FaultKind::Value }])
    }

    /// No application of that name is the caller's.
    pub(super) fn no_application(name: &str) -> Self {
        Self::NotFound(format!("no application is called `{name}`"))
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::Lacks(_) | Self::NotForApplications(_) => StatusCode::FORBIDDEN,
            Self::NoSuchPath | Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::NoSuchMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict(_) | Self::NoDefaultUrl(_) | Self::EventTypeExists(_) => {
                StatusCode::CONFLICT
            }
            Self::Invalid(_) | Self::Refused { .. } => StatusCode::BAD_REQUEST,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Faults(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Encoded(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Slow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Busy | Self::Away(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Corrupt(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn body(&self) -> Value {
        let (code, detail) = match self {
            Self::Unauthenticated => ("authentication_failed", "Invalid token".into()),
            Self::Forbidden => {
                // The code has the space in it where it was first written, and clients know it so.
                ("insufficient access", "Insufficient access for the given operation.".into())
            }
            Self::Lacks(capability) => (
                "insufficient access",
                format!(
                    "this token was made without the capability `{}`, which this operation needs",
                    capability.as_str()
                ),
            ),
            Self::NotForApplications(field) => (
                "insufficient access",
                format!(
                    "{field} is not an application's to set: a token of its organisation is wanted"
                ),
            ),
            Self::NoSuchPath => ("not_found", "there is nothing at this path".into()),
            Self::NoSuchMethod => ("method_not_allowed", "this path is not for this method".into()),
            Self::NotFound(why) => ("not_found", why.clone()),
            Self::Conflict(why) => ("conflict", why.clone()),
            Self::NoDefaultUrl(why) => ("no_default_url", why.clone()),
            Self::EventTypeExists(why) => ("event_type_exists", why.clone()),
            Self::Invalid(why) => ("generic_error", why.clone()),
            Self::Refused { code, why } => (*code, why.clone()),
            Self::TooMany(seconds) => (
                "rate_limit_exceeded",
                format!("more is asked than is agreed: ask again after {seconds} s"),
            ),
            Self::Faults(faults) => return json!({ "detail": faults }),
            Self::TooLarge(why) => ("payload_too_large", why.clone()),
            Self::Encoded(coding) => (
                "unsupported_media_type",
                format!(
                    "a body with the content-encoding `{coding}` is not accepted: plain JSON is"
                ),
            ),
            Self::Slow(limit) => (
                "request_timeout",
                format!("the body did not come within {} s of its head", limit.as_secs()),
            ),
            Self::Busy => (
                "overloaded",
                "more is asked at this moment than can be done at once: ask again".into(),
            ),
            Self::Away(why) => (
                "unavailable",
                format!(
                    "{why}; whether anything was done is not known: the same request may be sent \
                     again, and with an idempotency key it is done once"
                ),
            ),
            Self::Corrupt(_) => {
                ("server_error", "what is stored cannot be right; the log says more".into())
            }
        };
        json!({ "code": code, "detail": detail })
    }

    /// Seconds after which to ask again.
    const fn retry_after_s(&self) -> Option<u16> {
        match self {
            Self::Busy => Some(BUSY_S),
            Self::Away(_) => Some(AWAY_S),
            Self::TooMany(seconds) => Some(*seconds),
            Self::Unauthenticated
            | Self::Forbidden
            | Self::Lacks(_)
            | Self::NotForApplications(_)
            | Self::NoSuchPath
            | Self::NoSuchMethod
            | Self::NotFound(_)
            | Self::Conflict(_)
            | Self::NoDefaultUrl(_)
            | Self::EventTypeExists(_)
            | Self::Invalid(_)
            | Self::Refused { .. }
            | Self::Faults(_)
            | Self::TooLarge(_)
            | Self::Encoded(_)
            | Self::Slow(_)
            | Self::Corrupt(_) => None,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if let Self::Corrupt(why) = &self {
            error!(%why, "a request met something stored that is not right");
        }
        if let Self::Away(why) = &self {
            // Readiness and the engine's own lines say it once; every request would say it again.
            debug!(%why, "a request was not done");
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after_s() {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if matches!(self, Self::Unauthenticated) {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        (self.status(), headers, self.body().to_string()).into_response()
    }
}
