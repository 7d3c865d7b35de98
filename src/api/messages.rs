//! `/app/{app}/msg`: events come in, one or a batch of them.
//!
//! The answer is 202 when all of it is durable. What is done by a repeated request stands in
//! `control::publish`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::auth::ForOwner;
use super::body::Body;
use super::idempotency::key_of;
use super::problem::{Problem, Problems};
use super::query::Query;
use super::routes::Api;
use super::wire::message::{self, MessageIn, MessageOut, Shape};
use crate::control::publish::PublishError;

/// Takes in an event, or a list of up to 500: all of them or none.
///
/// The answer comes when all of it is durable.
#[utoipa::path(
    post, path = "/app/{app}/msg", tag = "Message", operation_id = "v1.message.create",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("with_content" = Option<bool>, Query, description = "Whether the answer repeats the payload (it does)"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again is one event"),
    ),
    request_body = MessageIn,
    responses((status = 202, description = "It is durable", body = MessageOut), Problems),
)]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    ForOwner { application, .. }: ForOwner,
    query: Query,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let with_content = query.flag("with_content", true)?;
    let key = key_of(&headers)?;
    let (shape, drafts) = message::read(&body.bytes).map_err(Problem::Faults)?;
    let published = api.intake().publish(&application, drafts, key).await;
    let accepted = published.map_err(|error| problem(error, shape))?;
    let text = message::write(shape, &accepted, with_content);
    Ok((StatusCode::ACCEPTED, [(CONTENT_TYPE, "application/json")], text).into_response())
}

fn problem(error: PublishError, shape: Shape) -> Problem {
    match error {
        PublishError::Refused(faults) => {
            Problem::Faults(faults.into_iter().map(|fault| message::fault(shape, fault)).collect())
        }
        PublishError::TooLarge(why) => Problem::TooLarge(why),
        PublishError::Control(error) => error.into(),
    }
}
