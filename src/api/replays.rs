//! `…/replay`: deliveries offered again, for an application and for its organisation: counted, begun, looked after.
//!
//! The two ask the same; under `/admin` without an application, for any of the organisation's. What goes on behind
//! the answer is the runner's (`control::replays`). Each deed leaves in the audit log what was chosen, how many, and why.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::audit::Details;
use super::auth::{ForEither, ForOrganisation};
use super::dead_letters::in_body;
use super::json::Sent;
use super::place::Place;
use super::problem::{Problem, Problems};
use super::query::Query;
use super::routes::Api;
use super::wire::list::{ListParams, ListResponse};
use super::wire::replay::{PreviewOut, RateIn, ReplayIn, ReplayOut};
use crate::control::replays::{self, Wish};
use crate::control::tokens::Caller;
use crate::control::{Control, ControlError};
use crate::domain::application::Tenant;
use crate::domain::replay::Scope;
use crate::storage::page::Order;
use crate::storage::replays::{Change, Replay};

/// Who asks: an application about its own, or its organisation about all.
struct Asker {
    control: Control,
    tenant: Option<Tenant>,
    actor: String,
}

impl From<ForEither> for Asker {
    fn from(ForEither { asked, caller }: ForEither) -> Self {
        let tenant = Some(asked.tenant());
        Self { control: asked.control, tenant, actor: caller.name() }
    }
}

impl From<ForOrganisation> for Asker {
    fn from(ForOrganisation { control }: ForOrganisation) -> Self {
        let actor = Caller::Organisation(control.organisation()).name();
        Self { control, tenant: None, actor }
    }
}

impl Asker {
    async fn preview(self, api: &Api, sent: ReplayIn) -> Result<Json<PreviewOut>, Problem> {
        let wish: Wish = sent.into();
        let previewed = api.replays().preview(&self.control, self.tenant, &wish).await;
        Ok(Json(previewed.map_err(|error| refused(error, wish.scope))?.into()))
    }

    async fn begin(self, api: &Api, sent: ReplayIn) -> Result<Response, Problem> {
        let wish: Wish = sent.into();
        let begun = api.replays().begin(&self.control, self.tenant, &wish, &self.actor).await;
        Ok(done(StatusCode::ACCEPTED, begun.map_err(|error| refused(error, wish.scope))?))
    }

    async fn list(
        self,
        api: &Api,
        query: &Query,
    ) -> Result<Json<ListResponse<ReplayOut>>, Problem> {
        let part = query.part(Order::Descending)?;
        let rows = api.replays().replays(&self.control, self.tenant, &part.page).await?;
        Ok(Json(part.listed(rows, |replay| replay.id.to_string(), ReplayOut::from)))
    }

    async fn get(self, api: &Api, name: &str) -> Result<Json<ReplayOut>, Problem> {
        Ok(Json(api.replays().replay(&self.control, self.tenant, name).await?.into()))
    }

    async fn change(self, api: &Api, name: &str, change: Change) -> Result<Response, Problem> {
        let changed = api.replays().change(&self.control, self.tenant, name, change).await?;
        Ok(done(StatusCode::OK, changed))
    }
}

/// What is wrong with a field, where it is in the body: what chooses dead letters stands in the filter, what chooses
/// an endpoint's deliveries beside it, but for their type.
fn refused(error: ControlError, scope: Scope) -> Problem {
    let ControlError::InvalidField { field, .. } = &error else { return error.into() };
    if scope == Scope::DeadLetters || *field == "eventType" { in_body(error) } else { error.into() }
}

/// The answer of a deed, and what is written down of it.
fn done(status: StatusCode, replay: Replay) -> Response {
    let shown = ReplayOut::from(replay);
    (status, Details::of(&shown.deed()), Json(shown)).into_response()
}

/// Counts what a replay would do, and does nothing: how many match, by endpoint and reason, what cannot be offered
/// again and why, and how long it would take.
#[utoipa::path(
    post, path = "/app/{app}/replay/preview", tag = "Replay", operation_id = "v1.replay.preview",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
    ),
    request_body = ReplayIn,
    responses((status = 200, description = "What it would do", body = PreviewOut), Problems),
)]
pub(super) async fn preview(
    State(api): State<Arc<Api>>,
    asked: ForEither,
    Sent(sent): Sent<ReplayIn>,
) -> Result<Json<PreviewOut>, Problem> {
    Asker::from(asked).preview(&api, sent).await
}

/// Begins a replay: what matches is offered again, with the ids that it had, at the rate, behind live traffic.
///
/// The answer comes at once; the work goes on behind it, over restarts too. It pauses itself when more than half of what it
/// offers fails again. 409 names another one that is active for one of its endpoints.
#[utoipa::path(
    post, path = "/app/{app}/replay", tag = "Replay", operation_id = "v1.replay.create",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    request_body = ReplayIn,
    responses((status = 202, description = "It is begun", body = ReplayOut), Problems),
)]
pub(super) async fn begin(
    State(api): State<Arc<Api>>,
    asked: ForEither,
    Sent(sent): Sent<ReplayIn>,
) -> Result<Response, Problem> {
    Asker::from(asked).begin(&api, sent).await
}

/// Lists an application's replays, newest first.
#[utoipa::path(
    get, path = "/app/{app}/replay", tag = "Replay", operation_id = "v1.replay.list",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ListParams,
    ),
    responses((status = 200, description = "A part of the list", body = ListResponse<ReplayOut>), Problems),
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    asked: ForEither,
    query: Query,
) -> Result<Json<ListResponse<ReplayOut>>, Problem> {
    Asker::from(asked).list(&api, &query).await
}

/// One replay of an application's deliveries.
#[utoipa::path(
    get, path = "/app/{app}/replay/{replay}", tag = "Replay", operation_id = "v1.replay.get",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("replay" = String, Path, description = "The replay's id"),
    ),
    responses((status = 200, description = "The replay", body = ReplayOut), Problems),
)]
pub(super) async fn get(
    State(api): State<Arc<Api>>,
    asked: ForEither,
    at: Place<(String, String)>,
) -> Result<Json<ReplayOut>, Problem> {
    let Place((_, replay)) = at;
    Asker::from(asked).get(&api, &replay).await
}

/// Pauses a replay: nothing is offered until it is resumed; what was offered goes its way.
#[utoipa::path(
    post, path = "/app/{app}/replay/{replay}/pause", tag = "Replay", operation_id = "v1.replay.pause",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("replay" = String, Path, description = "The replay's id"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    responses((status = 200, description = "It is paused", body = ReplayOut), Problems),
)]
pub(super) async fn pause(
    State(api): State<Arc<Api>>,
    asked: ForEither,
    at: Place<(String, String)>,
) -> Result<Response, Problem> {
    let Place((_, replay)) = at;
    Asker::from(asked).change(&api, &replay, Change::Pause).await
}

/// Resumes a replay that is paused, by a person or by itself: what has failed so far is forgiven.
#[utoipa::path(
    post, path = "/app/{app}/replay/{replay}/resume", tag = "Replay", operation_id = "v1.replay.resume",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("replay" = String, Path, description = "The replay's id"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    responses((status = 200, description = "It goes on", body = ReplayOut), Problems),
)]
pub(super) async fn resume(
    State(api): State<Arc<Api>>,
    asked: ForEither,
    at: Place<(String, String)>,
) -> Result<Response, Problem> {
    let Place((_, replay)) = at;
    Asker::from(asked).change(&api, &replay, Change::Resume).await
}

/// Cancels a replay, for good: what it has not offered stays as it is, and what it has goes its way.
#[utoipa::path(
    post, path = "/app/{app}/replay/{replay}/cancel", tag = "Replay", operation_id = "v1.replay.cancel",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("replay" = String, Path, description = "The replay's id"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    responses((status = 200, description = "It is cancelled", body = ReplayOut), Problems),
)]
pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    asked: ForEither,
    at: Place<(String, String)>,
) -> Result<Response, Problem> {
    let Place((_, replay)) = at;
    Asker::from(asked).change(&api, &replay, Change::Cancel).await
}

/// Sets how fast a replay goes on.
#[utoipa::path(
    post, path = "/app/{app}/replay/{replay}/rate", tag = "Replay", operation_id = "v1.replay.rate",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("replay" = String, Path, description = "The replay's id"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    request_body = RateIn,
    responses((status = 200, description = "It goes on so", body = ReplayOut), Problems),
)]
pub(super) async fn rate(
    State(api): State<Arc<Api>>,
    asked: ForEither,
    at: Place<(String, String)>,
    Sent(sent): Sent<RateIn>,
) -> Result<Response, Problem> {
    let Place((_, replay)) = at;
    let change = Change::Rate(replays::rate(sent.rate)?);
    Asker::from(asked).change(&api, &replay, change).await
}

/// Counts what a replay of any application's deliveries would do, and does nothing.
#[utoipa::path(
    post, path = "/admin/replay/preview", tag = "Replay", operation_id = "v1.admin.replay.preview",
    request_body = ReplayIn,
    responses((status = 200, description = "What it would do", body = PreviewOut), Problems),
)]
pub(super) async fn preview_any(
    State(api): State<Arc<Api>>,
    asked: ForOrganisation,
    Sent(sent): Sent<ReplayIn>,
) -> Result<Json<PreviewOut>, Problem> {
    Asker::from(asked).preview(&api, sent).await
}

/// Begins a replay of any application's deliveries, as the one of an application.
#[utoipa::path(
    post, path = "/admin/replay", tag = "Replay", operation_id = "v1.admin.replay.create",
    params(
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    request_body = ReplayIn,
    responses((status = 202, description = "It is begun", body = ReplayOut), Problems),
)]
pub(super) async fn begin_any(
    State(api): State<Arc<Api>>,
    asked: ForOrganisation,
    Sent(sent): Sent<ReplayIn>,
) -> Result<Response, Problem> {
    Asker::from(asked).begin(&api, sent).await
}

/// Lists the organisation's replays, newest first: of one application, and of all.
#[utoipa::path(
    get, path = "/admin/replay", tag = "Replay", operation_id = "v1.admin.replay.list",
    params(
        ListParams,
    ),
    responses((status = 200, description = "A part of the list", body = ListResponse<ReplayOut>), Problems),
)]
pub(super) async fn list_any(
    State(api): State<Arc<Api>>,
    asked: ForOrganisation,
    query: Query,
) -> Result<Json<ListResponse<ReplayOut>>, Problem> {
    Asker::from(asked).list(&api, &query).await
}

/// One replay of the organisation's.
#[utoipa::path(
    get, path = "/admin/replay/{replay}", tag = "Replay", operation_id = "v1.admin.replay.get",
    params(
        ("replay" = String, Path, description = "The replay's id"),
    ),
    responses((status = 200, description = "The replay", body = ReplayOut), Problems),
)]
pub(super) async fn get_any(
    State(api): State<Arc<Api>>,
    asked: ForOrganisation,
    Place(replay): Place<String>,
) -> Result<Json<ReplayOut>, Problem> {
    Asker::from(asked).get(&api, &replay).await
}

/// Pauses a replay: nothing is offered until it is resumed; what was offered goes its way. One of the organisation's.
#[utoipa::path(
    post, path = "/admin/replay/{replay}/pause", tag = "Replay", operation_id = "v1.admin.replay.pause",
    params(
        ("replay" = String, Path, description = "The replay's id"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    responses((status = 200, description = "It is paused", body = ReplayOut), Problems),
)]
pub(super) async fn pause_any(
    State(api): State<Arc<Api>>,
    asked: ForOrganisation,
    Place(replay): Place<String>,
) -> Result<Response, Problem> {
    Asker::from(asked).change(&api, &replay, Change::Pause).await
}

/// Resumes a replay that is paused, by a person or by itself: what has failed so far is forgiven. One of the organisation's.
#[utoipa::path(
    post, path = "/admin/replay/{replay}/resume", tag = "Replay", operation_id = "v1.admin.replay.resume",
    params(
        ("replay" = String, Path, description = "The replay's id"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    responses((status = 200, description = "It goes on", body = ReplayOut), Problems),
)]
pub(super) async fn resume_any(
    State(api): State<Arc<Api>>,
    asked: ForOrganisation,
    Place(replay): Place<String>,
) -> Result<Response, Problem> {
    Asker::from(asked).change(&api, &replay, Change::Resume).await
}

/// Cancels a replay, for good: what it has not offered stays as it is, and what it has goes its way. One of the organisation's.
#[utoipa::path(
    post, path = "/admin/replay/{replay}/cancel", tag = "Replay", operation_id = "v1.admin.replay.cancel",
    params(
        ("replay" = String, Path, description = "The replay's id"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    responses((status = 200, description = "It is cancelled", body = ReplayOut), Problems),
)]
pub(super) async fn cancel_any(
    State(api): State<Arc<Api>>,
    asked: ForOrganisation,
    Place(replay): Place<String>,
) -> Result<Response, Problem> {
    Asker::from(asked).change(&api, &replay, Change::Cancel).await
}

/// Sets how fast a replay goes on. One of the organisation's.
#[utoipa::path(
    post, path = "/admin/replay/{replay}/rate", tag = "Replay", operation_id = "v1.admin.replay.rate",
    params(
        ("replay" = String, Path, description = "The replay's id"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    request_body = RateIn,
    responses((status = 200, description = "It goes on so", body = ReplayOut), Problems),
)]
pub(super) async fn rate_any(
    State(api): State<Arc<Api>>,
    asked: ForOrganisation,
    Place(replay): Place<String>,
    Sent(sent): Sent<RateIn>,
) -> Result<Response, Problem> {
    let change = Change::Rate(replays::rate(sent.rate)?);
    Asker::from(asked).change(&api, &replay, change).await
}
