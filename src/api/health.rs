//! `/health`: whether the API can be used, for client libraries and load balancers. No token is asked for, and
//! nothing is told but yes or no; the operator's port says more.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;

use super::problem::Problem;
use super::routes::Api;

/// How long the store may take to answer. One second: it is a read of one number, and who asks has a
/// bound of a few seconds.
const ANSWER: Duration = Duration::from_secs(1);

/// Whether the API can be used.
#[utoipa::path(
    get, path = "/health", tag = "Health", operation_id = "v1.health.get", security(()),
    responses(
        (status = 204, description = "It can"),
        (status = 503, description = "The store does not answer", body = super::problem::HttpError),
    ),
)]
pub(super) async fn health(State(api): State<Arc<Api>>) -> Result<StatusCode, Problem> {
    match tokio::time::timeout(ANSWER, api.control().health()).await {
        Ok(Ok(())) => Ok(StatusCode::NO_CONTENT),
        Ok(Err(_)) | Err(_) => Err(Problem::Away("the store does not answer".into())),
    }
}
