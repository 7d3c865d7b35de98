//! `…/test`: one real request, now, to see whether a receiver works.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::auth::ForEither;
use super::json::Sent;
use super::place::Place;
use super::problem::{Problem, Problems};
use super::routes::Api;
use super::wire::test_call::{TestIn, TestOut};
use crate::control::test_calls::TestCallError;

type Answer = Result<Json<TestOut>, Problem>;

/// Sends one request to the application's default URL, and answers what came of it.
///
/// A real one: signed, by the settings' policy, and with the header `webhook-test: true`. It is not tried
/// again, and no delivery of anything.
#[utoipa::path(
    post, path = "/app/{app}/settings/webhook/test", tag = "Settings", operation_id = "v1.settings.test",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    request_body = TestIn,
    responses((status = 200, description = "It was sent, or could not be: status 0", body = TestOut), Problems),
)]
pub(super) async fn default_url(
    State(api): State<Arc<Api>>,
    ForEither { asked, caller }: ForEither,
    Sent(sent): Sent<TestIn>,
) -> Answer {
    let (calls, tenant) = (api.test_calls(), asked.tenant());
    let tested = calls.to_default_url(&asked.control, &caller, tenant, sent.into());
    Ok(Json(tested.await?.into()))
}

/// Sends one request to an endpoint, and answers what came of it; also to one that is paused or disabled.
///
/// A real one: signed, by the endpoint's policy, with its headers and with `webhook-test: true`. It is not
/// tried again, and no delivery of anything.
#[utoipa::path(
    post, path = "/app/{app}/endpoint/{endpoint}/test", tag = "Endpoint", operation_id = "v1.endpoint.test",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    request_body = TestIn,
    responses((status = 200, description = "It was sent, or could not be: status 0", body = TestOut), Problems),
)]
pub(super) async fn endpoint(
    State(api): State<Arc<Api>>,
    ForEither { asked, caller }: ForEither,
    at: Place<(String, String)>,
    Sent(sent): Sent<TestIn>,
) -> Answer {
    let Place((_, name)) = at;
    let (calls, tenant) = (api.test_calls(), asked.tenant());
    let tested = calls.to_endpoint(&asked.control, &caller, tenant, &name, sent.into());
    Ok(Json(tested.await?.into()))
}

/// After how many seconds there may be room for another test: most receivers answer within one.
const AGAIN_S: u16 = 1;

impl From<TestCallError> for Problem {
    fn from(error: TestCallError) -> Self {
        match error {
            TestCallError::NoDefaultUrl(_) => Self::NoDefaultUrl(error.to_string()),
            TestCallError::TooMany => Self::TooMany(AGAIN_S),
            TestCallError::Control(error) => error.into(),
        }
    }
}
