//! `/app/{app}/attempt` and the attempts of a message: what was sent, and what was answered.

use axum::Json;
use axum::http::StatusCode;

use super::auth::{ForApplication, ForOwner};
use super::lists::{self, AttemptParams, EventParams};
use super::place::Place;
use super::problem::{Problem, Problems};
use super::query::Query;
use super::wire::attempt::MessageAttemptOut;
use super::wire::list::ListResponse;
use crate::storage::page::{Listed, Page};

type Answer<T> = Result<Json<T>, Problem>;

/// Lists attempts at an endpoint, newest first.
#[utoipa::path(
    get, path = "/app/{app}/attempt/endpoint/{endpoint}", tag = "Message Attempt",
    operation_id = "v1.message-attempt.list-by-endpoint",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
        EventParams,
        AttemptParams,
        ("with_msg" = Option<bool>, Query, description = "Whether each comes with its message"),
    ),
    responses((status = 200, description = "A part of the list", body = ListResponse<MessageAttemptOut>), Problems),
)]
pub(super) async fn at_endpoint(
    asked: ForApplication,
    at: Place<(String, String)>,
    query: Query,
) -> Answer<ListResponse<MessageAttemptOut>> {
    let Place((_, endpoint)) = at;
    let (control, tenant) = (&asked.control, asked.tenant());
    let endpoint = control.endpoint_of(tenant, &endpoint).await?;
    let (with_content, with_msg) = content(&query, "with_msg")?;
    let filter = lists::attempts(&query)?;
    let page = page(&query)?;
    let listed = match filter {
        None => Listed::nothing(),
        Some(filter) => {
            control.attempts_at(tenant, endpoint.id, &filter, &page, with_content).await?
        }
    };
    if !with_msg {
        return Ok(Json(lists::told(
            &page,
            listed,
            |entry| entry.attempt.id,
            |entry| MessageAttemptOut::of(entry, with_content),
        )));
    }
    let listed = control.with_events(tenant, &page, listed).await?;
    Ok(Json(lists::told(
        &page,
        listed,
        |(entry, _)| entry.attempt.id,
        |one| MessageAttemptOut::with_event(one, with_content),
    )))
}

/// Lists attempts for a message, newest first.
#[utoipa::path(
    get, path = "/app/{app}/attempt/msg/{msg}", tag = "Message Attempt",
    operation_id = "v1.message-attempt.list-by-msg",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("msg" = String, Path, description = "The message's id or event id"),
        EventParams,
        AttemptParams,
        ("endpoint_id" = Option<String>, Query, description = "To this endpoint, by its id or uid"),
    ),
    responses((status = 200, description = "A part of the list", body = ListResponse<MessageAttemptOut>), Problems),
)]
pub(super) async fn for_message(
    asked: ForApplication,
    at: Place<(String, String)>,
    query: Query,
) -> Answer<ListResponse<MessageAttemptOut>> {
    let Place((_, message)) = at;
    let (control, tenant) = (&asked.control, asked.tenant());
    let event = control.event_of(tenant, &message).await?.id;
    let endpoint = match query.text("endpoint_id") {
        Some(name) => Some(control.endpoint_of(tenant, name).await?.id),
        None => None,
    };
    let with_content = query.flag("with_content", true)?;
    let filter = lists::attempts(&query)?;
    let page = page(&query)?;
    let listed = match filter {
        None => Listed::nothing(),
        Some(mut filter) => {
            filter.endpoint = endpoint;
            control.attempts_for(tenant, event, &filter, &page, with_content).await?
        }
    };
    Ok(Json(lists::told(
        &page,
        listed,
        |entry| entry.attempt.id,
        |entry| MessageAttemptOut::of(entry, with_content),
    )))
}

/// One attempt for a message.
#[utoipa::path(
    get, path = "/app/{app}/msg/{msg}/attempt/{attempt}", tag = "Message Attempt",
    operation_id = "v1.message-attempt.get",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("msg" = String, Path, description = "The message's id or event id"),
        ("attempt" = String, Path, description = "The attempt's id"),
    ),
    responses((status = 200, description = "The attempt", body = MessageAttemptOut), Problems),
)]
pub(super) async fn get(
    asked: ForApplication,
    at: Place<(String, String, String)>,
) -> Answer<MessageAttemptOut> {
    let Place((_, message, attempt)) = at;
    let (control, tenant) = (&asked.control, asked.tenant());
    let event = control.event_of(tenant, &message).await?.id;
    let entry = control.attempt_of(tenant, event, &attempt).await?;
    Ok(Json(MessageAttemptOut::of(entry, true)))
}

/// Deletes what was answered to an attempt, for good. The attempt stays.
#[utoipa::path(
    delete, path = "/app/{app}/msg/{msg}/attempt/{attempt}/content", tag = "Message Attempt",
    operation_id = "v1.message-attempt.expunge-content",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("msg" = String, Path, description = "The message's id or event id"),
        ("attempt" = String, Path, description = "The attempt's id"),
    ),
    responses((status = 204, description = "It is gone"), Problems),
)]
pub(super) async fn expunge(
    ForOwner { control, application }: ForOwner,
    at: Place<(String, String, String)>,
) -> Result<StatusCode, Problem> {
    let Place((_, message, attempt)) = at;
    let tenant = application.tenant();
    let event = control.event_of(tenant, &message).await?.id;
    control.expunge_response(tenant, event, &attempt).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn page<K: std::str::FromStr>(query: &Query) -> Result<Page<K>, Problem> {
    lists::newest_first(query, &lists::events(query)?)
}

fn content(query: &Query, besides: &str) -> Result<(bool, bool), Problem> {
    Ok((query.flag("with_content", true)?, query.flag(besides, false)?))
}
