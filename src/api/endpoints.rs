//! `/app/{app}/endpoint`: making, changing, pausing and deleting endpoints.
//!
//! Their secrets and their headers have paths and files of their own; no answer here has either in it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::auth::{ForApplication, ForReader};
use super::json::Sent;
use super::place::Place;
use super::problem::{Problem, Problems};
use super::query::Query;
use super::routes::Api;
use super::wire::endpoint::{EndpointIn, EndpointOut, EndpointPatch, EndpointUpdate};
use super::wire::list::ListResponse;
use crate::control::applications::Put;
use crate::domain::endpoint::Endpoint;
use crate::storage::page::Order;

type Answer<T> = Result<Json<T>, Problem>;

/// Makes an endpoint.
#[utoipa::path(
    post, path = "/app/{app}/endpoint", tag = "Endpoint", operation_id = "v1.endpoint.create",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    request_body = EndpointIn,
    responses((status = 201, description = "It is made", body = EndpointOut), Problems),
)]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    ForApplication { control, application }: ForApplication,
    ForReader { caller, .. }: ForReader,
    Sent(sent): Sent<EndpointIn>,
) -> Result<(StatusCode, Json<EndpointOut>), Problem> {
    let new = sent.into_new()?;
    control.check_event_types(&caller, &new.patterns).await?;
    let made = control.create_endpoint(application.tenant(), new, api.urls().as_ref()).await?;
    Ok((StatusCode::CREATED, Json(made.into())))
}

/// Lists an application's endpoints, newest first.
#[utoipa::path(
    get, path = "/app/{app}/endpoint", tag = "Endpoint", operation_id = "v1.endpoint.list",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        super::wire::list::ListParams,
    ),
    responses((status = 200, description = "A part of the list", body = ListResponse<EndpointOut>), Problems),
)]
pub(super) async fn list(
    ForApplication { control, application }: ForApplication,
    query: Query,
) -> Answer<ListResponse<EndpointOut>> {
    let part = query.part(Order::Descending)?;
    let rows = control.endpoint_page(application.tenant(), &part.page).await?;
    Ok(Json(part.listed(rows, |row| row.id.to_string(), EndpointOut::from)))
}

/// One endpoint.
#[utoipa::path(
    get, path = "/app/{app}/endpoint/{endpoint}", tag = "Endpoint", operation_id = "v1.endpoint.get",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    responses((status = 200, description = "The endpoint", body = EndpointOut), Problems),
)]
pub(super) async fn get(
    ForApplication { control, application }: ForApplication,
    at: Place<(String, String)>,
) -> Answer<EndpointOut> {
    let Place((_, name)) = at;
    Ok(Json(control.endpoint_of(application.tenant(), &name).await?.into()))
}

/// Writes all of an endpoint anew, or makes it. Its secret and its headers stay.
#[utoipa::path(
    put, path = "/app/{app}/endpoint/{endpoint}", tag = "Endpoint", operation_id = "v1.endpoint.update",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    request_body = EndpointUpdate,
    responses(
        (status = 200, description = "It is changed", body = EndpointOut),
        (status = 201, description = "It is made", body = EndpointOut),
        Problems,
    ),
)]
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    ForApplication { control, application }: ForApplication,
    ForReader { caller, .. }: ForReader,
    at: Place<(String, String)>,
    Sent(sent): Sent<EndpointUpdate>,
) -> Result<(StatusCode, Json<EndpointOut>), Problem> {
    let Place((_, name)) = at;
    let new = sent.into_new()?;
    control.check_event_types(&caller, &new.patterns).await?;
    let urls = api.urls().as_ref();
    Ok(written(control.put_endpoint(application.tenant(), &name, new, urls).await?))
}

/// Changes what is given of an endpoint.
#[utoipa::path(
    patch, path = "/app/{app}/endpoint/{endpoint}", tag = "Endpoint", operation_id = "v1.endpoint.patch",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    request_body = EndpointPatch,
    responses((status = 200, description = "It is changed", body = EndpointOut), Problems),
)]
pub(super) async fn patch(
    State(api): State<Arc<Api>>,
    ForApplication { control, application }: ForApplication,
    ForReader { caller, .. }: ForReader,
    at: Place<(String, String)>,
    Sent(sent): Sent<EndpointPatch>,
) -> Answer<EndpointOut> {
    let Place((_, name)) = at;
    let edit = sent.into_edit()?;
    if let Some(patterns) = &edit.patterns {
        control.check_event_types(&caller, patterns).await?;
    }
    let urls = api.urls().as_ref();
    Ok(Json(control.edit_endpoint_of(application.tenant(), &name, edit, urls).await?.into()))
}

/// Deletes an endpoint. What it is owed is taken back.
#[utoipa::path(
    delete, path = "/app/{app}/endpoint/{endpoint}", tag = "Endpoint", operation_id = "v1.endpoint.delete",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    responses((status = 204, description = "It is gone"), Problems),
)]
pub(super) async fn delete(
    ForApplication { control, application }: ForApplication,
    at: Place<(String, String)>,
) -> Result<StatusCode, Problem> {
    let Place((_, name)) = at;
    control.delete_endpoint_of(application.tenant(), &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Stops calling an endpoint for now: what it is owed waits.
#[utoipa::path(
    post, path = "/app/{app}/endpoint/{endpoint}/pause", tag = "Endpoint", operation_id = "v1.endpoint.pause",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    responses((status = 200, description = "It is paused", body = EndpointOut), Problems),
)]
pub(super) async fn pause(
    ForApplication { control, application }: ForApplication,
    at: Place<(String, String)>,
) -> Answer<EndpointOut> {
    let Place((_, name)) = at;
    Ok(Json(control.pause_endpoint_of(application.tenant(), &name).await?.into()))
}

/// Calls an endpoint again, at once with what waits for it.
#[utoipa::path(
    post, path = "/app/{app}/endpoint/{endpoint}/resume", tag = "Endpoint", operation_id = "v1.endpoint.resume",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    responses((status = 200, description = "It is called again", body = EndpointOut), Problems),
)]
pub(super) async fn resume(
    ForApplication { control, application }: ForApplication,
    at: Place<(String, String)>,
) -> Answer<EndpointOut> {
    let Place((_, name)) = at;
    let (resumed, _) = control.resume_endpoint_of(application.tenant(), &name).await?;
    Ok(Json(resumed.into()))
}

fn written(put: Put<Endpoint>) -> (StatusCode, Json<EndpointOut>) {
    match put {
        Put::Made(endpoint) => (StatusCode::CREATED, Json(endpoint.into())),
        Put::Known(endpoint) => (StatusCode::OK, Json(endpoint.into())),
    }
}
