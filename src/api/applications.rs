//! `/app`: making, changing and deleting tenants.

use axum::Json;
use axum::http::StatusCode;

use super::auth::{ForApplication, ForOrganisation, ForOwner};
use super::json::Sent;
use super::place::Place;
use super::problem::{Problem, Problems};
use super::query::Query;
use super::wire::application::{ApplicationIn, ApplicationOut, ApplicationPatch};
use super::wire::list::ListResponse;
use crate::control::applications::{ApplicationEdit, Put};
use crate::domain::application::Application;
use crate::storage::page::Order;

type Answer<T> = Result<Json<T>, Problem>;

/// Makes an application.
#[utoipa::path(
    post, path = "/app", tag = "Application", operation_id = "v1.application.create",
    params(
        ("get_if_exists" = Option<bool>, Query, description = "Answer with the application of this uid if there is one"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    request_body = ApplicationIn,
    responses(
        (status = 201, description = "It is made", body = ApplicationOut),
        (status = 200, description = "It was there", body = ApplicationOut),
        Problems,
    ),
)]
pub(super) async fn create(
    ForOrganisation { control }: ForOrganisation,
    query: Query,
    Sent(sent): Sent<ApplicationIn>,
) -> Result<(StatusCode, Json<ApplicationOut>), Problem> {
    let made = if query.flag("get_if_exists", false)? {
        control.application_or_create(sent.into()).await?
    } else {
        Put::Made(control.create_application(sent.into()).await?)
    };
    Ok(written(made))
}

/// Lists applications, oldest first.
#[utoipa::path(
    get, path = "/app", tag = "Application", operation_id = "v1.application.list",
    params(super::wire::list::ListParams),
    responses((status = 200, description = "A part of the list", body = ListResponse<ApplicationOut>), Problems),
)]
pub(super) async fn list(
    ForOrganisation { control }: ForOrganisation,
    query: Query,
) -> Answer<ListResponse<ApplicationOut>> {
    let part = query.part(Order::Ascending)?;
    let rows = control.application_page(&part.page).await?;
    Ok(Json(part.listed(rows, |row| row.id.to_string(), ApplicationOut::from)))
}

/// One application.
#[utoipa::path(
    get, path = "/app/{app}", tag = "Application", operation_id = "v1.application.get",
    params(("app" = String, Path, description = "Its id or uid")),
    responses((status = 200, description = "The application", body = ApplicationOut), Problems),
)]
pub(super) async fn get(
    ForApplication { application, .. }: ForApplication,
) -> Answer<ApplicationOut> {
    Ok(Json(application.into()))
}

/// Writes all of an application anew, or makes it.
#[utoipa::path(
    put, path = "/app/{app}", tag = "Application", operation_id = "v1.application.update",
    params(("app" = String, Path, description = "Its id or uid")),
    request_body = ApplicationIn,
    responses(
        (status = 200, description = "It is changed", body = ApplicationOut),
        (status = 201, description = "It is made", body = ApplicationOut),
        Problems,
    ),
)]
pub(super) async fn put(
    ForOrganisation { control }: ForOrganisation,
    Place(app): Place<String>,
    Sent(sent): Sent<ApplicationIn>,
) -> Result<(StatusCode, Json<ApplicationOut>), Problem> {
    Ok(written(control.put_application(&app, sent.into()).await?))
}

/// Changes what is given of an application.
#[utoipa::path(
    patch, path = "/app/{app}", tag = "Application", operation_id = "v1.application.patch",
    params(("app" = String, Path, description = "Its id or uid")),
    request_body = ApplicationPatch,
    responses((status = 200, description = "It is changed", body = ApplicationOut), Problems),
)]
pub(super) async fn patch(
    ForOwner { control, application }: ForOwner,
    Sent(sent): Sent<ApplicationPatch>,
) -> Answer<ApplicationOut> {
    let edit: ApplicationEdit = sent.into();
    Ok(Json(control.edit_application(application, edit).await?.into()))
}

/// Deletes an application with its endpoints. What they are owed is taken back.
#[utoipa::path(
    delete, path = "/app/{app}", tag = "Application", operation_id = "v1.application.delete",
    params(("app" = String, Path, description = "Its id or uid")),
    responses((status = 204, description = "It is gone"), Problems),
)]
pub(super) async fn delete(
    ForOwner { control, application }: ForOwner,
) -> Result<StatusCode, Problem> {
    control.delete_application(&application.id.to_string()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn written(put: Put<Application>) -> (StatusCode, Json<ApplicationOut>) {
    match put {
        Put::Made(application) => (StatusCode::CREATED, Json(application.into())),
        Put::Known(application) => (StatusCode::OK, Json(application.into())),
    }
}
