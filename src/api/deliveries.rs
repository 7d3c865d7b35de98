//! `/app/{app}/delivery`: what became of deliveries, by what their messages are about.

use axum::Json;

use super::auth::ForApplication;
use super::lists;
use super::place::Place;
use super::problem::{Problem, Problems};
use super::query::{Query, fault};
use super::wire::delivery::{DeliveryOut, DeliveryStanding, DeliveryWithPolicyOut};
use super::wire::list::ListResponse;
use crate::storage::history::{DeliveryEntry, DeliveryFilter};

/// Which deliveries are wanted.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what is read here, for the description of the API")]
pub(super) struct DeliveryParams {
    /// Most rows.
    #[param(minimum = 1, maximum = 250, default = 50)]
    limit: Option<u16>,
    /// Where it begins: `iterator` of the part before; or, with a `-` in front, where it ends.
    iterator: Option<String>,
    /// Of messages about this, as a job's id.
    subject: Option<String>,
    /// Of messages of one of these types.
    event_types: Option<Vec<String>>,
    /// To this endpoint, by its id or uid.
    endpoint_id: Option<String>,
    /// Of messages received before this moment, and not at it.
    #[param(value_type = Option<String>, format = DateTime)]
    before: Option<String>,
    /// Of messages received after this moment, and not at it.
    #[param(value_type = Option<String>, format = DateTime)]
    after: Option<String>,
}

/// Lists deliveries, newest message first, with what became of each so far.
#[utoipa::path(
    get, path = "/app/{app}/delivery", tag = "Delivery", operation_id = "v1.delivery.list",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        DeliveryParams,
        ("state" = Option<DeliveryStanding>, Query, description = "That stand so"),
    ),
    responses((status = 200, description = "A part of the list", body = ListResponse<DeliveryOut>), Problems),
)]
pub(super) async fn list(
    asked: ForApplication,
    query: Query,
) -> Result<Json<ListResponse<DeliveryOut>>, Problem> {
    let (control, tenant) = (&asked.control, asked.tenant());
    let events = lists::events(&query)?;
    let state = state(&query)?;
    let page = lists::newest_first(&query, &events)?;
    let endpoint = match query.text("endpoint_id") {
        Some(name) => Some(control.owed_endpoint(tenant, name).await?),
        None => None,
    };
    let filter = DeliveryFilter { events, endpoint, state, ..DeliveryFilter::default() };
    let listed = control.deliveries(tenant, &filter, &page).await.map_err(lists::refused)?;
    Ok(Json(lists::told(&page, listed, |delivery| delivery.key, DeliveryOut::from)))
}

/// One delivery, by its message and its endpoint, with the whole policy that it was last attempted by.
#[utoipa::path(
    get, path = "/app/{app}/delivery/{msg}/{endpoint}", tag = "Delivery", operation_id = "v1.delivery.get",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("msg" = String, Path, description = "The message's id or event id"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    responses((status = 200, description = "The delivery", body = DeliveryWithPolicyOut), Problems),
)]
pub(super) async fn get(
    asked: ForApplication,
    at: Place<(String, String, String)>,
) -> Result<Json<DeliveryWithPolicyOut>, Problem> {
    let Place((_, message, endpoint)) = at;
    Ok(Json(asked.control.delivery_of(asked.tenant(), &message, &endpoint).await?.into()))
}

/// How what is wanted stands.
fn state(query: &Query) -> Result<Option<&'static str>, Problem> {
    let Some(wanted) = query.text("state") else { return Ok(None) };
    let words = DeliveryEntry::WORDS;
    let known = words.iter().find(|word| **word == wanted).copied();
    known
        .map(Some)
        .ok_or_else(|| fault("state", &format!("one of {} is accepted", words.join(", "))))
}
