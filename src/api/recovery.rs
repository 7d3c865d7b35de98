//! `/admin/recover`: what a broker has lost is offered again from the record.
//!
//! A broker is the whole installation's: so only the operator, with the default organisation's token, may.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;

use super::audit::Details;
use super::auth::ForOrganisation;
use super::json::Sent;
use super::problem::{Problem, Problems};
use super::routes::Api;
use super::wire::recovery::{RecoverBrokerIn, RecoveredOut};
use crate::domain::id::OrganisationId;

/// Offers again, from the journal, all that an empty broker should have; counts it first with `dryRun`.
///
/// For a broker that has lost its data: what waited there, what was in its inbox, and what was published over this
/// API and not accepted yet. Deliveries that the running router has in its memory are left alone, and so are those
/// that are made at most once and were let go. Everything is offered at its next turn: should the broker have a copy after all,
/// that is dropped. Events that producers published to the broker itself and that were not accepted yet cannot come back. A request that is cut off
/// has done a part of it: the same again does the rest. 409 where there is no broker.
#[utoipa::path(
    post, path = "/admin/recover", tag = "Operations", operation_id = "v1.admin.recover",
    params(("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer")),
    request_body = RecoverBrokerIn,
    responses((status = 200, description = "What was offered again, or would be", body = RecoveredOut), Problems),
)]
pub(super) async fn recover(
    State(api): State<Arc<Api>>,
    ForOrganisation { control }: ForOrganisation,
    Sent(sent): Sent<RecoverBrokerIn>,
) -> Result<Response, Problem> {
    if control.organisation() != OrganisationId::DEFAULT {
        return Err(Problem::Forbidden);
    }
    let Some(desk) = api.recovery() else {
        return Err(Problem::Conflict(
            "this router has no broker: what it has not finished is in its file, and goes on from there by itself"
                .into(),
        ));
    };
    let recovered = if sent.dry_run { desk.count().await? } else { desk.recover().await? };
    let answer = RecoveredOut::of(sent.dry_run, recovered);
    let details = Details::of(&answer);
    Ok((details, Json(answer)).into_response())
}
