//! `/app/{app}/endpoint/{endpoint}/secret`: what an endpoint's receiver checks signatures with. The only
//! answers of the API that have a secret in them.

use axum::{Extension, Json};

use super::auth::ForApplication;
use super::idempotency::Repeated;
use super::json::Sent;
use super::place::Place;
use super::problem::{Problem, Problems};
use super::wire::endpoint_secret::{SecretOut, SecretRotateIn};
use crate::control::OVERLAP_S_DEFAULT;

/// The newest secret of an endpoint, as its receiver wants to be told it.
#[utoipa::path(
    get, path = "/app/{app}/endpoint/{endpoint}/secret", tag = "Endpoint", operation_id = "v1.endpoint.get-secret",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    responses((status = 200, description = "The secret", body = SecretOut), Problems),
)]
pub(super) async fn get(
    ForApplication { control, application }: ForApplication,
    at: Place<(String, String)>,
) -> Result<Json<SecretOut>, Problem> {
    let Place((_, name)) = at;
    let newest = control.newest_key_of(application.tenant(), &name).await?;
    Ok(Json(SecretOut { key: newest.reveal() }))
}

/// Gives an endpoint a new secret. The old one signs on beside it for a while.
///
/// It is answered, too: client libraries from their second major version on want it, older ones do not look.
#[utoipa::path(
    post, path = "/app/{app}/endpoint/{endpoint}/secret/rotate", tag = "Endpoint", operation_id = "v1.endpoint.rotate-secret",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    request_body = SecretRotateIn,
    responses((status = 200, description = "The new secret; it signs", body = SecretOut), Problems),
)]
pub(super) async fn rotate(
    ForApplication { control, application }: ForApplication,
    at: Place<(String, String)>,
    repeated: Option<Extension<Repeated>>,
    Sent(sent): Sent<SecretRotateIn>,
) -> Result<Json<SecretOut>, Problem> {
    let Place((_, name)) = at;
    if repeated.is_none() {
        let overlap_s = sent.grace_period_seconds.unwrap_or(OVERLAP_S_DEFAULT);
        let key = sent.key.as_deref().into();
        control.rotate_secret_of(application.tenant(), &name, key, overlap_s).await?;
    }
    let newest = control.newest_key_of(application.tenant(), &name).await?;
    Ok(Json(SecretOut { key: newest.reveal() }))
}
