//! What a page says instead of itself: it is not there, not allowed, not now.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{Html, IntoResponse, Redirect, Response};

use super::assets;
use super::text::Text;
use crate::control::ControlError;
use crate::control::test_calls::TestCallError;

/// Why there is no page.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Nobody is logged in (any more): where one logs in.
    LoggedOut(&'static str),
    /// The session lacks a right: which, in words.
    NotAllowed(&'static str),
    /// The request does not come from one of our pages.
    NotFromHere,
    /// There is no such thing, or it is another's.
    NotFound(String),
    /// What was asked cannot be done, as it was asked.
    Invalid(String),
    /// More is asked than one session may, or tried than one address may; after how many seconds it may be again.
    TooFast(u16),
    /// As many are served as may be.
    Busy,
    /// A store does not answer.
    Away(String),
    /// What is stored cannot be right.
    Broken(String),
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct Page {
    style: String,
    title: &'static str,
    why: Text,
    hint: &'static str,
}

impl From<ControlError> for Refusal {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::NotFound(what) => Self::NotFound(what),
            ControlError::Invalid(why)
            | ControlError::InvalidField { why, .. }
            | ControlError::Conflict(why)
            | ControlError::LimitReached(why) => Self::Invalid(why),
            ControlError::Unavailable(why) => Self::Away(why),
            ControlError::Corrupt(what) => Self::Broken(what),
        }
    }
}

impl From<TestCallError> for Refusal {
    fn from(error: TestCallError) -> Self {
        match error {
            TestCallError::NoDefaultUrl(_) | TestCallError::TooMany => {
                Self::Invalid(error.to_string())
            }
            TestCallError::Control(error) => error.into(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let again = if let Self::TooFast(seconds) = &self {
            Some([(RETRY_AFTER, seconds.to_string())])
        } else {
            None
        };
        let (status, title, why, hint) = match self {
            Self::LoggedOut(login) if login == super::session::CONSOLE_LOGIN => {
                return Redirect::to(login).into_response();
            }
            Self::LoggedOut(_) => (
                StatusCode::UNAUTHORIZED,
                "This session is over",
                "Sessions end after half an hour without a click, and when they are ended."
                    .to_owned(),
                "Open the page again from where you came: a new link lets you in.",
            ),
            Self::NotAllowed(what) => (
                StatusCode::FORBIDDEN,
                "Not allowed",
                format!("This session may not {what}."),
                "Whoever let you in decides what you may do; ask them for a link with this right.",
            ),
            Self::NotFromHere => (
                StatusCode::FORBIDDEN,
                "Nothing was done",
                "The request did not come from a page of this session.".to_owned(),
                "Go back, reload the page and try again.",
            ),
            Self::NotFound(what) => {
                (StatusCode::NOT_FOUND, "Not found", what, "It may have been deleted meanwhile.")
            }
            Self::Invalid(why) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "That cannot be done",
                why,
                "Nothing was changed. Go back to correct it.",
            ),
            Self::TooFast(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too fast",
                "More was asked for from here than is made for one.".to_owned(),
                "Try again in a minute.",
            ),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Too busy",
                "As many pages are being made as may be at once.".to_owned(),
                "Try again in a few seconds.",
            ),
            Self::Away(why) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The store does not answer",
                why,
                "Try again in a few seconds. Deliveries that were accepted are not lost.",
            ),
            Self::Broken(what) => {
                tracing::error!(what, "a page found something stored that cannot be right");
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "Something is wrong",
                    "What is stored cannot be right; it was noted in the log.".to_owned(),
                    "Whoever runs this server has to look.",
                )
            }
        };
        let page = Page { style: assets::style(), title, why: Text::line(&why), hint };
        match page.render() {
            Ok(page) => (status, again, Html(page)).into_response(),
            Err(error) => {
                tracing::error!(%error, "a page cannot be written");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

/// A page, written.
pub(super) fn shown(page: &impl Template) -> Result<Response, Refusal> {
    let text = page.render().map_err(|error| Refusal::Broken(error.to_string()))?;
    Ok(Html(text).into_response())
}
