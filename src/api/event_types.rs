//! `/event-type`: the catalogue of event types. An organisation writes it; its applications read what is
//! for them.

use axum::Json;
use axum::http::StatusCode;

use super::auth::{ForOrganisation, ForReader};
use super::json::Sent;
use super::place::Place;
use super::problem::{Problem, Problems};
use super::query::Query;
use super::wire::event_type::{EventTypeIn, EventTypeOut, EventTypePatch, EventTypeUpdate};
use super::wire::list::ListResponse;
use crate::control::ControlError;
use crate::control::applications::Put;
use crate::storage::page::Order;

type Answer<T> = Result<Json<T>, Problem>;

/// Lists an event type. One that was archived is listed again.
#[utoipa::path(
    post, path = "/event-type", tag = "Event Type", operation_id = "v1.event-type.create",
    params(
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    request_body = EventTypeIn,
    responses((status = 201, description = "It is listed", body = EventTypeOut), Problems),
)]
pub(super) async fn create(
    ForOrganisation { control }: ForOrganisation,
    Sent(sent): Sent<EventTypeIn>,
) -> Result<(StatusCode, Json<EventTypeOut>), Problem> {
    let made = control.create_event_type(sent.into_new()?).await.map_err(|error| {
        if let ControlError::Conflict(why) = error {
            Problem::EventTypeExists(why)
        } else {
            error.into()
        }
    })?;
    Ok((StatusCode::CREATED, Json(made.into())))
}

/// Lists event types by name.
#[utoipa::path(
    get, path = "/event-type", tag = "Event Type", operation_id = "v1.event-type.list",
    params(
        super::wire::list::ListParams,
        ("include_archived" = Option<bool>, Query, description = "Whether archived ones are listed too (they are not)"),
        ("with_content" = Option<bool>, Query, description = "Whether schemas are listed too (they are not)"),
    ),
    responses((status = 200, description = "A part of the list", body = ListResponse<EventTypeOut>), Problems),
)]
pub(super) async fn list(
    ForReader { control, caller }: ForReader,
    query: Query,
) -> Answer<ListResponse<EventTypeOut>> {
    let archived_too = query.flag("include_archived", false)?;
    let with_content = query.flag("with_content", false)?;
    let part = query.part(Order::Ascending)?;
    let rows = control.event_type_page(&caller, archived_too, &part.page).await?;
    let shown = |row| {
        let row = EventTypeOut::from(row);
        if with_content { row } else { row.without_schemas() }
    };
    Ok(Json(part.listed(rows, |row| row.name.clone(), shown)))
}

/// One event type.
#[utoipa::path(
    get, path = "/event-type/{event_type}", tag = "Event Type", operation_id = "v1.event-type.get",
    params(("event_type" = String, Path, description = "Its name")),
    responses((status = 200, description = "The event type", body = EventTypeOut), Problems),
)]
pub(super) async fn get(
    ForReader { control, caller }: ForReader,
    Place(name): Place<String>,
) -> Answer<EventTypeOut> {
    Ok(Json(control.event_type_for(&caller, &name).await?.into()))
}

/// Writes all of an event type anew, or lists it.
#[utoipa::path(
    put, path = "/event-type/{event_type}", tag = "Event Type", operation_id = "v1.event-type.update",
    params(("event_type" = String, Path, description = "Its name")),
    request_body = EventTypeUpdate,
    responses(
        (status = 200, description = "It is changed", body = EventTypeOut),
        (status = 201, description = "It is listed", body = EventTypeOut),
        Problems,
    ),
)]
pub(super) async fn put(
    ForOrganisation { control }: ForOrganisation,
    Place(name): Place<String>,
    Sent(sent): Sent<EventTypeUpdate>,
) -> Result<(StatusCode, Json<EventTypeOut>), Problem> {
    let put = control.put_event_type(sent.into_new(name)?).await.map_err(|error| {
        if let ControlError::InvalidField { field: "name", why } = error {
            Problem::of_path("event_type", why)
        } else {
            error.into()
        }
    })?;
    Ok(match put {
        Put::Made(entry) => (StatusCode::CREATED, Json(entry.into())),
        Put::Known(entry) => (StatusCode::OK, Json(entry.into())),
    })
}

/// Changes what is given of an event type.
#[utoipa::path(
    patch, path = "/event-type/{event_type}", tag = "Event Type", operation_id = "v1.event-type.patch",
    params(("event_type" = String, Path, description = "Its name")),
    request_body = EventTypePatch,
    responses((status = 200, description = "It is changed", body = EventTypeOut), Problems),
)]
pub(super) async fn patch(
    ForOrganisation { control }: ForOrganisation,
    Place(name): Place<String>,
    Sent(sent): Sent<EventTypePatch>,
) -> Answer<EventTypeOut> {
    Ok(Json(control.edit_event_type(&name, sent.into_edit()?).await?.into()))
}

/// Archives an event type, or deletes it.
#[utoipa::path(
    delete, path = "/event-type/{event_type}", tag = "Event Type", operation_id = "v1.event-type.delete",
    params(
        ("event_type" = String, Path, description = "Its name"),
        ("expunge" = Option<bool>, Query, description = "Whether it is deleted and not archived"),
    ),
    responses((status = 204, description = "It is off the list"), Problems),
)]
pub(super) async fn delete(
    ForOrganisation { control }: ForOrganisation,
    Place(name): Place<String>,
    query: Query,
) -> Result<StatusCode, Problem> {
    if query.flag("expunge", false)? {
        control.delete_event_type(&name).await?;
    } else {
        control.archive_event_type(&name).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}
