//! All that became of a message, for its tenant and for the operator; and which endpoints an operator looks at first.

use axum::Json;

use super::auth::{ForApplication, ForOrganisation};
use super::place::Place;
use super::problem::{Problem, Problems};
use super::query::{Query, fault};
use super::wire::story::{TrailOut, WorstOut};
use crate::control::stories::WORST_MAX;
use crate::storage::attention::WorstBy;

/// Endpoints that are named when nobody says how many.
const WORST_DEFAULT: usize = 20;

/// A message with all that became of it: whom it is owed to and why, what has happened to each delivery, and which
/// endpoints it is not owed to and why not.
///
/// Why is told by the endpoints as they are today: what they were when the message was accepted is not on record.
#[utoipa::path(
    get, path = "/app/{app}/msg/{msg}/trail", tag = "Message", operation_id = "v1.message.trail",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("msg" = String, Path, description = "The message's id or event id"),
    ),
    responses((status = 200, description = "The trail", body = TrailOut), Problems),
)]
pub(super) async fn trail(
    asked: ForApplication,
    at: Place<(String, String)>,
) -> Result<Json<TrailOut>, Problem> {
    let Place((_, message)) = at;
    Ok(Json(asked.control.trail(asked.tenant(), &message).await?.into()))
}

/// The same for the operator, who may not know whose message it is.
#[utoipa::path(
    get, path = "/admin/msg/{msg}/trail", tag = "Operations", operation_id = "v1.admin.message.trail",
    params(("msg" = String, Path, description = "The message's id")),
    responses((status = 200, description = "The trail", body = TrailOut), Problems),
)]
pub(super) async fn any_trail(
    ForOrganisation { control }: ForOrganisation,
    Place(message): Place<String>,
) -> Result<Json<TrailOut>, Problem> {
    Ok(Json(control.any_trail(&message).await?.into()))
}

/// The endpoints that are worst off: by deliveries that are overdue, by failures since their last success, or by how
/// long their requests take.
///
/// Looks at a bounded part of what there is, however much that is: what is overdue for the longest, what failed, and
/// the requests for the newest messages.
#[utoipa::path(
    get, path = "/admin/endpoint-top", tag = "Operations", operation_id = "v1.admin.endpoint-top",
    params(
        ("by" = Option<String>, Query, description = "`overdue` (so if nobody says), `failures` or `latency`"),
        ("limit" = Option<u16>, Query, minimum = 1, maximum = 100, description = "Most endpoints; 20 if nobody says"),
    ),
    responses((status = 200, description = "The worst first", body = WorstOut), Problems),
)]
pub(super) async fn top(
    ForOrganisation { control }: ForOrganisation,
    query: Query,
) -> Result<Json<WorstOut>, Problem> {
    let by = match query.text("by") {
        None => WorstBy::Overdue,
        Some(word) => WorstBy::ALL
            .into_iter()
            .find(|by| by.as_str() == word)
            .ok_or_else(|| fault("by", "overdue, failures or latency is accepted"))?,
    };
    let wanted = "1 to 100 is accepted";
    let limit = query.read("limit", wanted)?.unwrap_or(WORST_DEFAULT);
    if !(1..=WORST_MAX).contains(&limit) {
        return Err(fault("limit", wanted));
    }
    Ok(Json(WorstOut::of(by, control.worst_endpoints(by, limit).await?)))
}
