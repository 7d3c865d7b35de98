//! What became of an endpoint's deliveries, offering again what failed or was missed, and how far that is.

use axum::Json;
use axum::http::StatusCode;

use super::auth::{ForApplication, ForOrganisation};
use super::json::Sent;
use super::place::Place;
use super::problem::{Fault, FaultKind, Problem, Problems};
use super::query::Query;
use super::wire::attempt::EndpointStats;
use super::wire::task::{BackgroundTaskOut, RecoverIn, TaskOut};
use crate::control::ControlError;
use crate::storage::tasks::TaskKind;

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
    asked: ForApplication,
    at: Place<(String, String)>,
    Sent(sent): Sent<RecoverIn>,
) -> Result<(StatusCode, Json<TaskOut>), Problem> {
    let Place((_, endpoint)) = at;
    begun(&asked, &endpoint, &sent, TaskKind::Recover).await
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
    asked: ForApplication,
    at: Place<(String, String)>,
    Sent(sent): Sent<RecoverIn>,
) -> Result<(StatusCode, Json<TaskOut>), Problem> {
    let Place((_, endpoint)) = at;
    begun(&asked, &endpoint, &sent, TaskKind::ReplayMissing).await
}

/// One task of the organisation's applications.
#[utoipa::path(
    get, path = "/background-task/{task}", tag = "Background Task",
    operation_id = "v1.background-task.get",
    params(("task" = String, Path, description = "The task's id")),
    responses((status = 200, description = "The task", body = BackgroundTaskOut), Problems),
)]
pub(super) async fn task(
    ForOrganisation { control }: ForOrganisation,
    Place(task): Place<String>,
) -> Result<Json<BackgroundTaskOut>, Problem> {
    Ok(Json(control.any_task(&task).await?.into()))
}

async fn begun(
    asked: &ForApplication,
    endpoint: &str,
    sent: &RecoverIn,
    kind: TaskKind,
) -> Result<(StatusCode, Json<TaskOut>), Problem> {
    let (control, tenant) = (&asked.control, asked.tenant());
    let endpoint = control.endpoint_of(tenant, endpoint).await?.id;
    match control.task_desk().begin(tenant, endpoint, kind, sent.since, sent.until).await {
        Ok(task) => Ok((StatusCode::ACCEPTED, Json(task.into()))),
        Err(ControlError::Invalid(msg)) => {
            let loc = vec!["body".into(), "since".into()];
            Err(Problem::Faults(vec![Fault { loc, msg, kind: FaultKind::Value }]))
        }
        Err(other) => Err(other.into()),
    }
}
