//! Who did what through the API: an entry for each request that may change something or shows a secret.
//!
//! Publishing is not in it: events are their own record. Nor are requests without a token that holds,
//! which nobody asked; refusals of those who have one are, because a tenant that tries what is another's
//! is what one looks for.

use std::sync::Arc;

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use super::auth::{self, ForOrganisation};
use super::problem::{Problem, Problems};
use super::query::Query;
use super::routes::Api;
use super::wire::audit::AuditEntryOut;
use super::wire::list::{ListParams, ListResponse};
use crate::control::ControlError;
use crate::storage::audit::Deed;
use crate::storage::page::Order;

/// Longest path that is written down, in bytes: names in it have at most 256.
const OBJECT_MAX: usize = 1_024;

/// Around every operation.
pub(super) async fn written_down(
    State(api): State<Arc<Api>>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let path = path.as_str().strip_prefix("/api/v1").unwrap_or(path.as_str());
    let Ok(caller) = auth::caller(request.headers(), &api) else {
        return Ok(next.run(request).await);
    };
    if !is_a_deed(request.method(), path) {
        return Ok(next.run(request).await);
    }
    let object = request.uri().path();
    let deed = Deed {
        organisation: caller.organisation(),
        actor: caller.name(),
        action: format!("{} {path}", request.method()),
        object: object[..object.floor_char_boundary(OBJECT_MAX)].to_owned(),
        at: api.now(),
    };
    // First, and refused when it cannot be: a deed without an entry is what must not be.
    let number = api.audit().begin_deed(&deed).await.map_err(ControlError::from)?;
    let answer = next.run(request).await;
    if let Err(error) = api.audit().end_deed(number, answer.status().as_u16()).await {
        tracing::warn!(%error, number, "an entry of the audit log has no ending");
    }
    Ok(answer)
}

fn is_a_deed(method: &Method, path: &str) -> bool {
    match path {
        "/app/{app}/msg" | "/app/{app}/cloudevent" => false,
        _ if path.ends_with("/secret") => true,
        _ => *method != Method::GET,
    }
}

/// Lists who did what, newest first.
#[utoipa::path(
    get, path = "/audit", tag = "Audit", operation_id = "v1.audit.list",
    params(ListParams),
    responses((status = 200, description = "A part of the list", body = ListResponse<AuditEntryOut>), Problems),
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    ForOrganisation { control }: ForOrganisation,
    query: Query,
) -> Result<Json<ListResponse<AuditEntryOut>>, Problem> {
    let part = query.part(Order::Descending)?;
    let rows = api.audit().deeds(control.organisation(), &part.page).await;
    let rows = rows.map_err(ControlError::from)?;
    Ok(Json(part.listed(rows, |row| row.number.to_string(), AuditEntryOut::from)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_something_or_shows_a_secret_is_written_down() {
        for (method, path, expected) in [
            (Method::GET, "/app", false),
            (Method::POST, "/app", true),
            (Method::DELETE, "/app/{app}", true),
            (Method::POST, "/app/{app}/msg", false),
            (Method::POST, "/app/{app}/cloudevent", false),
            (Method::GET, "/app/{app}/endpoint/{endpoint}/secret", true),
        ] {
            assert_eq!(is_a_deed(&method, path), expected, "{method} {path}");
        }
    }
}
