//! `…/dead-letter`: what was given up, for an application and for its organisation: searched, grouped, looked at
//! and put away.
//!
//! The two ask the same; under `/admin` without an application, and with `applicationId` to name one. Sending
//! dead letters again is a replay.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::audit::Details;
use super::auth::{ForApplication, ForOrganisation};
use super::json::Sent;
use super::lists;
use super::place::Place;
use super::problem::{Fault, FaultKind, Problem, Problems};
use super::query::{Query, fault};
use super::wire::dead_letter::{
    DeadLetterGroupOut, DeadLetterOut, DiscardIn, DiscardOut, FilterIn, FilterParams, InspectedOut,
    PartParams, SearchParams,
};
use super::wire::list::ListResponse;
use crate::control::{Control, ControlError};
use crate::domain::application::Tenant;
use crate::storage::dead_letters::DeadLetter;
use crate::storage::page::Order;

type Answer<T> = Result<Json<T>, Problem>;

/// Lists an application's dead letters, newest first.
#[utoipa::path(
    get, path = "/app/{app}/dead-letter", tag = "Dead Letter", operation_id = "v1.dead-letter.list",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        PartParams,
        FilterParams,
        SearchParams,
    ),
    responses((status = 200, description = "A part of the list", body = ListResponse<DeadLetterOut>), Problems),
)]
pub(super) async fn list(
    asked: ForApplication,
    query: Query,
) -> Answer<ListResponse<DeadLetterOut>> {
    listed(&asked.control, Some(asked.tenant()), &query).await
}

/// Lists the dead letters of all applications, newest first.
#[utoipa::path(
    get, path = "/admin/dead-letter", tag = "Dead Letter", operation_id = "v1.admin.dead-letter.list",
    params(
        PartParams,
        ("applicationId" = Option<String>, Query, description = "Of this application, by its id or uid"),
        FilterParams,
        SearchParams,
    ),
    responses((status = 200, description = "A part of the list", body = ListResponse<DeadLetterOut>), Problems),
)]
pub(super) async fn list_all(
    asked: ForOrganisation,
    query: Query,
) -> Answer<ListResponse<DeadLetterOut>> {
    listed(&asked.control, None, &query).await
}

async fn listed(
    control: &Control,
    tenant: Option<Tenant>,
    query: &Query,
) -> Answer<ListResponse<DeadLetterOut>> {
    let which = FilterIn::of_list(query)?.into();
    let page = query.page(Order::Descending)?;
    let listed = control.dead_letters_of(tenant, &which, &page).await.map_err(in_query)?;
    Ok(Json(lists::told(&page, listed, DeadLetter::place, DeadLetterOut::from)))
}

/// Counts an application's dead letters by endpoint, reason, status and error, most of a kind first.
#[utoipa::path(
    get, path = "/app/{app}/dead-letter-group", tag = "Dead Letter", operation_id = "v1.dead-letter.list-groups",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        PartParams,
        FilterParams,
    ),
    responses((status = 200, description = "A part of the list", body = ListResponse<DeadLetterGroupOut>), Problems),
)]
pub(super) async fn groups(
    asked: ForApplication,
    query: Query,
) -> Answer<ListResponse<DeadLetterGroupOut>> {
    grouped(&asked.control, Some(asked.tenant()), &query).await
}

/// Counts the dead letters of all applications by endpoint, reason, status and error, most of a kind first.
#[utoipa::path(
    get, path = "/admin/dead-letter-group", tag = "Dead Letter",
    operation_id = "v1.admin.dead-letter.list-groups",
    params(
        PartParams,
        ("applicationId" = Option<String>, Query, description = "Of this application, by its id or uid"),
        FilterParams,
    ),
    responses((status = 200, description = "A part of the list", body = ListResponse<DeadLetterGroupOut>), Problems),
)]
pub(super) async fn all_groups(
    asked: ForOrganisation,
    query: Query,
) -> Answer<ListResponse<DeadLetterGroupOut>> {
    grouped(&asked.control, None, &query).await
}

async fn grouped(
    control: &Control,
    tenant: Option<Tenant>,
    query: &Query,
) -> Answer<ListResponse<DeadLetterGroupOut>> {
    let which = FilterIn::of_groups(query)?.into();
    let page = query.page(Order::Descending)?;
    let listed = control.dead_letter_groups(tenant, &which, &page).await.map_err(in_query)?;
    Ok(Json(lists::told(&page, listed, |group| group.place, DeadLetterGroupOut::from)))
}

/// One of an application's dead letters, with its message and every request.
#[utoipa::path(
    get, path = "/app/{app}/dead-letter/{dead_letter}", tag = "Dead Letter", operation_id = "v1.dead-letter.get",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("dead_letter" = String, Path, description = "The delivery's id"),
    ),
    responses((status = 200, description = "All that is known of it", body = InspectedOut), Problems),
)]
pub(super) async fn get(
    asked: ForApplication,
    at: Place<(String, String)>,
) -> Answer<InspectedOut> {
    let Place((_, id)) = at;
    Ok(Json(asked.control.inspect_dead_letter(Some(asked.tenant()), &id).await?.into()))
}

/// One dead letter of any application, with its message and every request.
#[utoipa::path(
    get, path = "/admin/dead-letter/{dead_letter}", tag = "Dead Letter",
    operation_id = "v1.admin.dead-letter.get",
    params(("dead_letter" = String, Path, description = "The delivery's id")),
    responses((status = 200, description = "All that is known of it", body = InspectedOut), Problems),
)]
pub(super) async fn get_any(
    asked: ForOrganisation,
    Place(id): Place<String>,
) -> Answer<InspectedOut> {
    Ok(Json(asked.control.inspect_dead_letter(None, &id).await?.into()))
}

/// Puts an application's dead letters away for good, with a reason.
///
/// The deliveries stay on record, as `discarded`, and do not come back with `recover`. At most 20,000 at a time: `done` says whether these were all.
#[utoipa::path(
    post, path = "/app/{app}/dead-letter/discard", tag = "Dead Letter",
    operation_id = "v1.dead-letter.discard",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    request_body = DiscardIn,
    responses((status = 200, description = "They are put away", body = DiscardOut), Problems),
)]
pub(super) async fn discard(
    asked: ForApplication,
    Sent(sent): Sent<DiscardIn>,
) -> Result<Response, Problem> {
    let tenant = Some(asked.tenant());
    discarded(&asked.control, tenant, sent).await
}

/// Puts dead letters of any application away for good, with a reason.
///
/// The deliveries stay on record, as `discarded`, and do not come back with `recover`. At most 20,000 at a time: `done` says whether these were all.
#[utoipa::path(
    post, path = "/admin/dead-letter/discard", tag = "Dead Letter",
    operation_id = "v1.admin.dead-letter.discard",
    params(
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    request_body = DiscardIn,
    responses((status = 200, description = "They are put away", body = DiscardOut), Problems),
)]
pub(super) async fn discard_any(
    asked: ForOrganisation,
    Sent(sent): Sent<DiscardIn>,
) -> Result<Response, Problem> {
    discarded(&asked.control, None, sent).await
}

/// Puts them away; which, how many and why is written down.
async fn discarded(
    control: &Control,
    tenant: Option<Tenant>,
    sent: DiscardIn,
) -> Result<Response, Problem> {
    let asked = json!(sent);
    let discarded = control.discard_dead_letters(tenant, sent.into()).await.map_err(in_body)?;
    let answer = DiscardOut::from(discarded);
    let details = Details::of(&json!({ "asked": asked, "answered": answer }));
    Ok((details, Json(answer)).into_response())
}

/// A filter's field that is not accepted, as the parameter of that name.
fn in_query(error: ControlError) -> Problem {
    if let ControlError::InvalidField { field, why } = &error {
        return fault(field, why);
    }
    error.into()
}

/// The same in a body, where the fields of a filter stand in it.
pub(super) fn in_body(error: ControlError) -> Problem {
    if let ControlError::InvalidField { field, why } = &error
        && FilterIn::has(field)
    {
        let loc = vec!["body".into(), "filter".into(), (*field).into()];
        return Problem::Faults(vec![Fault { loc, msg: why.clone(), kind: FaultKind::Value }]);
    }
    error.into()
}
