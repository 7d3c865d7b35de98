//! How messages stand at their endpoints, from either side, and sending one again.

use axum::Json;
use axum::http::StatusCode;

use super::auth::ForApplication;
use super::lists::{self, EventParams};
use super::place::Place;
use super::problem::{Problem, Problems};
use super::query::Query;
use super::wire::attempt::{EndpointMessageOut, MessageEndpointOut, ResendOut};
use super::wire::list::{ListParams, ListResponse};
use crate::control::history::ResendError;
use crate::storage::page::Order;

type Answer<T> = Result<Json<T>, Problem>;

/// Lists the messages owed to an endpoint, newest first, with how each stands.
#[utoipa::path(
    get, path = "/app/{app}/endpoint/{endpoint}/msg", tag = "Message Attempt",
    operation_id = "v1.message-attempt.list-attempted-messages",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
        EventParams,
        ("status" = Option<u8>, Query, minimum = 0, maximum = 4,
            description = "That stand so: 0 success, 1 pending, 2 fail, 3 sending, 4 canceled"),
        ("subject" = Option<String>, Query, description = "About this"),
    ),
    responses((status = 200, description = "A part of the list", body = ListResponse<EndpointMessageOut>), Problems),
)]
pub(super) async fn messages(
    asked: ForApplication,
    at: Place<(String, String)>,
    query: Query,
) -> Answer<ListResponse<EndpointMessageOut>> {
    let Place((_, endpoint)) = at;
    let (control, tenant) = (&asked.control, asked.tenant());
    let endpoint = control.endpoint_of(tenant, &endpoint).await?.id;
    let with_content = query.flag("with_content", true)?;
    let (shown, filter) = (lists::shown(&query)?, lists::events(&query)?);
    let page = lists::newest_first(&query, &filter)?;
    let listed = control.deliveries_to(tenant, endpoint, shown, &filter, &page, with_content).await;
    Ok(Json(lists::told(
        &page,
        listed.map_err(lists::refused)?,
        |delivery| delivery.event.id,
        |delivery| EndpointMessageOut::of(delivery, with_content),
    )))
}

/// Lists the endpoints that a message is owed to, by id, with how it stands at each; deleted ones too.
#[utoipa::path(
    get, path = "/app/{app}/msg/{msg}/endpoint", tag = "Message Attempt",
    operation_id = "v1.message-attempt.list-attempted-destinations",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("msg" = String, Path, description = "The message's id or event id"),
        ListParams,
    ),
    responses((status = 200, description = "A part of the list", body = ListResponse<MessageEndpointOut>), Problems),
)]
pub(super) async fn endpoints(
    asked: ForApplication,
    at: Place<(String, String)>,
    query: Query,
) -> Answer<ListResponse<MessageEndpointOut>> {
    let Place((_, message)) = at;
    let (control, tenant) = (&asked.control, asked.tenant());
    let event = control.event_of(tenant, &message).await?.id;
    let page = query.page(Order::Ascending)?;
    let listed = control.deliveries_of(tenant, event, &page).await?;
    Ok(Json(lists::told(&page, listed, |delivery| delivery.endpoint.id, MessageEndpointOut::from)))
}

/// Sends a message to an endpoint once more, now.
///
/// Whatever the endpoint's filter says, and however the message stands there: one that waits goes on
/// waiting, unless this succeeds.
#[utoipa::path(
    post, path = "/app/{app}/msg/{msg}/endpoint/{endpoint}/resend", tag = "Message Attempt",
    operation_id = "v1.message-attempt.resend",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("msg" = String, Path, description = "The message's id or event id"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again is one attempt"),
    ),
    responses((status = 202, description = "It will be sent", body = ResendOut), Problems),
)]
pub(super) async fn resend(
    asked: ForApplication,
    at: Place<(String, String, String)>,
) -> Result<(StatusCode, Json<ResendOut>), Problem> {
    let Place((_, message, endpoint)) = at;
    asked_for(&asked, &message, &endpoint).await?;
    Ok((StatusCode::ACCEPTED, Json(ResendOut {})))
}

/// Asks for one attempt more.
pub(super) async fn asked_for(
    asked: &ForApplication,
    message: &str,
    endpoint: &str,
) -> Result<(), Problem> {
    match asked.control.resend(asked.tenant(), message, endpoint).await {
        Ok(()) => Ok(()),
        Err(error @ ResendError::MissingPayload(_)) => {
            Err(Problem::Refused { code: "missing_payload", why: error.to_string() })
        }
        Err(error @ ResendError::NotActive(..)) => Err(Problem::Invalid(error.to_string())),
        Err(ResendError::Control(error)) => Err(error.into()),
    }
}
