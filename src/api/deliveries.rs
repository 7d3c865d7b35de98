//! `/app/{app}/delivery`: what became of deliveries, by what their messages are about; one with its whole story, and
//! what a person may do to it.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::audit::Details;
use super::auth::ForApplication;
use super::json::Sent;
use super::place::Place;
use super::problem::{Problem, Problems};
use super::query::{Query, fault};
use super::wire::delivery::{BecauseIn, DeliveryOut, DeliveryStanding};
use super::wire::list::ListResponse;
use super::wire::story::StoryOut;
use super::{lists, message_endpoints};
use crate::control::stories::Story;
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

/// One delivery, by its message and its endpoint: the whole policy that it was last attempted by, and all that has
/// happened to it, in words.
#[utoipa::path(
    get, path = "/app/{app}/delivery/{msg}/{endpoint}", tag = "Delivery", operation_id = "v1.delivery.get",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("msg" = String, Path, description = "The message's id or event id"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
    ),
    responses((status = 200, description = "The delivery", body = StoryOut), Problems),
)]
pub(super) async fn get(
    asked: ForApplication,
    at: Place<(String, String, String)>,
) -> Result<Json<StoryOut>, Problem> {
    let Place((_, message, endpoint)) = at;
    Ok(Json(asked.control.story_of(asked.tenant(), &message, &endpoint).await?.into()))
}

/// Tries a delivery once more, now, however it stands.
///
/// Beside its own attempts: one that waits goes on waiting, unless this succeeds. The endpoint has to be active.
#[utoipa::path(
    post, path = "/app/{app}/delivery/{msg}/{endpoint}/retry", tag = "Delivery", operation_id = "v1.delivery.retry",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("msg" = String, Path, description = "The message's id or event id"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again is one attempt"),
    ),
    request_body = BecauseIn,
    responses((status = 202, description = "It will be tried: the delivery as it is now", body = StoryOut), Problems),
)]
pub(super) async fn retry(
    asked: ForApplication,
    at: Place<(String, String, String)>,
    Sent(because): Sent<BecauseIn>,
) -> Result<Response, Problem> {
    let Place((_, message, endpoint)) = at;
    let reason = because.reason()?;
    // Owed first: an attempt for what was never owed is asked for of the message (`resend`).
    let story = asked.control.story_of(asked.tenant(), &message, &endpoint).await?;
    message_endpoints::asked_for(&asked, &message, &endpoint).await?;
    Ok(done(StatusCode::ACCEPTED, story, reason))
}

/// Takes a delivery back that has not ended: it is not tried any more by itself.
///
/// A request that is on its way ends as it would. 409 when the delivery has ended.
#[utoipa::path(
    post, path = "/app/{app}/delivery/{msg}/{endpoint}/cancel", tag = "Delivery", operation_id = "v1.delivery.cancel",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("msg" = String, Path, description = "The message's id or event id"),
        ("endpoint" = String, Path, description = "The endpoint's id or uid"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    request_body = BecauseIn,
    responses((status = 200, description = "It is cancelled: the delivery as it is now", body = StoryOut), Problems),
)]
pub(super) async fn cancel(
    asked: ForApplication,
    at: Place<(String, String, String)>,
    Sent(because): Sent<BecauseIn>,
) -> Result<Response, Problem> {
    let Place((_, message, endpoint)) = at;
    let reason = because.reason()?;
    let story = asked.control.cancel_delivery(asked.tenant(), &message, &endpoint).await?;
    Ok(done(StatusCode::OK, story, reason))
}

/// The answer of a deed, and what is written down of it.
fn done(status: StatusCode, story: Story, reason: Option<&str>) -> Response {
    let delivery = &story.tracked.delivery;
    let details = Details::of(&json!({
        "deliveryId": delivery.key.id().to_string(),
        "state": delivery.state(),
        "reason": reason,
    }));
    (status, details, Json(StoryOut::from(story))).into_response()
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
