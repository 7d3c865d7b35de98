//! `/app/{app}/msg`: events come in, one or a batch of them, and are looked at.
//!
//! The answer is 202 when all of it is durable. What is done by a repeated request stands in
//! `control::publish`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::auth::{ForApplication, ForOrganisation, ForOwner};
use super::body::Body;
use super::idempotency::key_of;
use super::lists::{self, EventParams};
use super::place::Place;
use super::problem::{Problem, Problems};
use super::query::Query;
use super::routes::Api;
use super::wire::list::ListResponse;
use super::wire::message::{self, MessageIn, Reading, Shape};
use super::wire::message_out::{self, MessageOut};
use crate::control::applications::Put;
use crate::control::publish::PublishError;

/// Takes in an event, or a list of up to 500: all of them or none.
///
/// The answer comes when all of it is durable, and from then on it is found by its id.
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
    ForOrganisation { control }: ForOrganisation,
    Place(app): Place<String>,
    query: Query,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let with_content = query.flag("with_content", true)?;
    let key = key_of(&headers)?;
    let read = message::read(&body.bytes, &app).map_err(Problem::Faults)?;
    let Reading { shape, drafts, application } = read;
    let application = match application {
        None => control.application(&app).await?,
        Some(wanted) => match control.application_or_create(wanted).await? {
            Put::Made(application) | Put::Known(application) => application,
        },
    };
    let published = api.intake().publish(&application, drafts, key).await;
    let accepted = published.map_err(|error| problem(error, shape))?;
    let text = message_out::write(shape, accepted, with_content);
    Ok((StatusCode::ACCEPTED, [(CONTENT_TYPE, "application/json")], text).into_response())
}

/// Lists messages, newest first.
#[utoipa::path(
    get, path = "/app/{app}/msg", tag = "Message", operation_id = "v1.message.list",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        EventParams,
        ("subject" = Option<String>, Query, description = "About this"),
    ),
    responses((status = 200, description = "A part of the list", body = ListResponse<MessageOut>), Problems),
)]
pub(super) async fn list(
    asked: ForApplication,
    query: Query,
) -> Result<Json<ListResponse<MessageOut>>, Problem> {
    let with_content = query.flag("with_content", true)?;
    let filter = lists::events(&query)?;
    let page = lists::newest_first(&query, &filter)?;
    let listed = asked.control.events(asked.tenant(), &filter, &page, with_content).await;
    Ok(Json(lists::told(
        &page,
        listed.map_err(lists::refused)?,
        |event| event.id,
        |event| MessageOut::stored(event, with_content),
    )))
}

/// One message.
#[utoipa::path(
    get, path = "/app/{app}/msg/{msg}", tag = "Message", operation_id = "v1.message.get",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("msg" = String, Path, description = "The message's id or event id"),
        ("with_content" = Option<bool>, Query, description = "Whether the payload is wanted (it is)"),
    ),
    responses((status = 200, description = "The message", body = MessageOut), Problems),
)]
pub(super) async fn get(
    asked: ForApplication,
    at: Place<(String, String)>,
    query: Query,
) -> Result<Json<MessageOut>, Problem> {
    let Place((_, message)) = at;
    let with_content = query.flag("with_content", true)?;
    let event = asked.control.event_of(asked.tenant(), &message).await?;
    Ok(Json(MessageOut::stored(event, with_content)))
}

/// Deletes a message's payload, for good. What is still owed of it is taken back; the message stays, and
/// what became of it.
#[utoipa::path(
    delete, path = "/app/{app}/msg/{msg}/content", tag = "Message",
    operation_id = "v1.message.expunge-content",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("msg" = String, Path, description = "The message's id or event id"),
    ),
    responses((status = 204, description = "It is gone"), Problems),
)]
pub(super) async fn expunge(
    ForOwner { control, application }: ForOwner,
    at: Place<(String, String)>,
) -> Result<StatusCode, Problem> {
    let Place((_, message)) = at;
    let tenant = application.tenant();
    let event = control.event_of(tenant, &message).await?.id;
    control.expunge_payload(tenant, event).await?;
    Ok(StatusCode::NO_CONTENT)
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
