//! What became of an endpoint's deliveries, offering again what failed or was missed, and how far that is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::audit::Details;
use super::auth::{self, ForApplication, ForOrganisation};
use super::json::Sent;
use super::place::Place;
use super::problem::{Fault, FaultKind, Problem, Problems};
use super::query::Query;
use super::routes::Api;
use super::wire::attempt::EndpointStats;
use super::wire::replay::ReplayOut;
use super::wire::task::{BackgroundTaskOut, RecoverIn, TaskOut};
use crate::control::ControlError;
use crate::domain::id::ReplayId;
use crate::domain::replay::Scope;

/// Counts what became of an endpoint's messages, by when they were received.
#[utoipa::path(
    get, path = "/app/{app}/endpoint/{endpoint}/stats", tag = "Endpoint",
    operation_id = "v1.endpoint.get-stats",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
        ("since" = Option<String>, Query, format = DateTime, description = "From this moment on; 28 days back, if nobody says"),
        ("until" = Option<String>, Query, format = DateTime, description = "Before this moment; now, if nobody says"),
    ),
    responses((status = 200, description = "The counts", body = EndpointStats), Problems),
)]
pub(super) async fn stats(
    asked: ForApplication,
    at: Place<(String, String)>,
    query: Query,
) -> Result<Json<EndpointStats>, Problem> {
    let Place((_, endpoint)) = at;
    let (control, tenant) = (&asked.control, asked.tenant());
    let endpoint = control.endpoint_of(tenant, &endpoint).await?.id;
    let (since, until) = (query.moment("since")?, query.moment("until")?);
    match control.delivery_counts(tenant, endpoint, since, until).await {
        Ok(counts) => Ok(Json(counts.into())),
        Err(ControlError::Invalid(why)) => Err(Problem::Refused { code: "invalid_range", why }),
        Err(other) => Err(other.into()),
    }
}

/// Offers again what an endpoint was owed and failed for good.
///
/// Each message received in that time whose delivery was given up is sent again as if it were new. The
/// answer comes at once; the work goes on behind it, over restarts too.
#[utoipa::path(
    post, path = "/app/{app}/endpoint/{endpoint}/recover", tag = "Endpoint",
    operation_id = "v1.endpoint.recover",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    request_body = RecoverIn,
    responses((status = 202, description = "It is begun", body = TaskOut), Problems),
)]
pub(super) async fn recover(
    State(api): State<Arc<Api>>,
    asked: ForApplication,
    at: Place<(String, String)>,
    headers: HeaderMap,
    Sent(sent): Sent<RecoverIn>,
) -> Result<Response, Problem> {
    let Place((_, endpoint)) = at;
    let actor = auth::caller(&headers, &api)?.name();
    begun(&api, &asked, &endpoint, &sent, Scope::GivenUp, &actor).await
}

/// Sends an endpoint what it missed: messages received in that time that it wants now and was never owed.
///
/// The answer comes at once; the work goes on behind it, over restarts too.
#[utoipa::path(
    post, path = "/app/{app}/endpoint/{endpoint}/replay-missing", tag = "Endpoint",
    operation_id = "v1.endpoint.replay-missing",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    request_body = RecoverIn,
    responses((status = 202, description = "It is begun", body = TaskOut), Problems),
)]
pub(super) async fn replay_missing(
    State(api): State<Arc<Api>>,
    asked: ForApplication,
    at: Place<(String, String)>,
    headers: HeaderMap,
    Sent(sent): Sent<RecoverIn>,
) -> Result<Response, Problem> {
    let Place((_, endpoint)) = at;
    let actor = auth::caller(&headers, &api)?.name();
    begun(&api, &asked, &endpoint, &sent, Scope::Missing, &actor).await
}

/// One task of the organisation's applications.
#[utoipa::path(
    get, path = "/background-task/{task}", tag = "Background Task",
    operation_id = "v1.background-task.get",
    params(("task" = String, Path, description = "The task's id")),
    responses((status = 200, description = "The task", body = BackgroundTaskOut), Problems),
)]
pub(super) async fn task(
    State(api): State<Arc<Api>>,
    ForOrganisation { control }: ForOrganisation,
    Place(task): Place<String>,
) -> Result<Json<BackgroundTaskOut>, Problem> {
    let no_task = || ControlError::NotFound(format!("no task is called `{task}`"));
    // What was begun before replays were called so keeps its id, but for what it begins with.
    let name = match task.strip_prefix("qtask_") {
        Some(rest) => format!("{}{rest}", ReplayId::PREFIX),
        None => task.clone(),
    };
    let found = match api.replays().replay(&control, None, &name).await {
        Err(ControlError::NotFound(_)) => return Err(no_task().into()),
        found => found?,
    };
    // One over several endpoints is no task of anybody's.
    Ok(Json(BackgroundTaskOut::of(&found).ok_or_else(no_task)?))
}

async fn begun(
    api: &Api,
    asked: &ForApplication,
    endpoint: &str,
    sent: &RecoverIn,
    scope: Scope,
    actor: &str,
) -> Result<Response, Problem> {
    let (control, tenant) = (&asked.control, asked.tenant());
    let endpoint = control.endpoint_of(tenant, endpoint).await?.id;
    let span = (sent.since, sent.until);
    match api.replays().catch_up(control, tenant, endpoint, scope, span, actor).await {
        Ok(replay) => {
            let answer = Json(TaskOut::of(&replay));
            let details = Details::of(&ReplayOut::from(replay).deed());
            Ok((StatusCode::ACCEPTED, details, answer).into_response())
        }
        Err(ControlError::Invalid(msg)) => {
            let loc = vec!["body".into(), "since".into()];
            Err(Problem::Faults(vec![Fault { loc, msg, kind: FaultKind::Value }]))
        }
        Err(other) => Err(other.into()),
    }
}
