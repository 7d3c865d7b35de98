//! `/app/{app}/endpoint/{endpoint}/headers`: what an endpoint's requests carry besides ours.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::auth::ForApplication;
use super::json::Sent;
use super::place::Place;
use super::problem::{Problem, Problems};
use super::routes::Api;
use super::wire::endpoint_headers::{HeadersIn, HeadersOut, HeadersPatchIn};
use crate::control::endpoints::EndpointEdit;

/// An endpoint's headers, without the values of those that are secrets.
#[utoipa::path(
    get, path = "/app/{app}/endpoint/{endpoint}/headers", tag = "Endpoint", operation_id = "v1.endpoint.get-headers",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    responses((status = 200, description = "The headers", body = HeadersOut), Problems),
)]
pub(super) async fn get(
    ForApplication { control, application }: ForApplication,
    at: Place<(String, String)>,
) -> Result<Json<HeadersOut>, Problem> {
    let Place((_, name)) = at;
    Ok(Json(control.endpoint_of(application.tenant(), &name).await?.into()))
}

/// Gives an endpoint these headers and no others.
#[utoipa::path(
    put, path = "/app/{app}/endpoint/{endpoint}/headers", tag = "Endpoint", operation_id = "v1.endpoint.update-headers",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    request_body = HeadersIn,
    responses((status = 204, description = "They are sent from the next attempt on"), Problems),
)]
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    ForApplication { control, application }: ForApplication,
    at: Place<(String, String)>,
    Sent(sent): Sent<HeadersIn>,
) -> Result<StatusCode, Problem> {
    let Place((_, name)) = at;
    let headers = Some(sent.headers.into_iter().collect());
    let edit = EndpointEdit { headers, ..EndpointEdit::default() };
    control.edit_endpoint_of(application.tenant(), &name, edit, api.urls().as_ref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes some of an endpoint's headers.
#[utoipa::path(
    patch, path = "/app/{app}/endpoint/{endpoint}/headers", tag = "Endpoint", operation_id = "v1.endpoint.patch-headers",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    request_body = HeadersPatchIn,
    responses((status = 204, description = "They are sent from the next attempt on"), Problems),
)]
pub(super) async fn patch(
    State(api): State<Arc<Api>>,
    ForApplication { control, application }: ForApplication,
    at: Place<(String, String)>,
    Sent(sent): Sent<HeadersPatchIn>,
) -> Result<StatusCode, Problem> {
    let Place((_, name)) = at;
    let changes = sent.into_changes();
    control.patch_headers_of(application.tenant(), &name, changes, api.urls().as_ref()).await?;
    Ok(StatusCode::NO_CONTENT)
}
