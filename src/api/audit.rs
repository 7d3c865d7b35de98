//! Who did what through the API: an entry for each request that may change something or shows a secret.
//!
//! Publishing is not in it: events are their own record. Nor are requests without a token that holds,
//! which nobody asked; refusals of those who have one are, because a tenant that tries what is another's
//! is what one looks for.
//!
//! What an operation did that its path does not say (which filter, how many, why) its handler puts beside its answer as
//! [`Details`]: they are written down with the ending.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponseParts, Response, ResponseParts};
use serde::Serialize;
use serde_json::{Value, json};

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

/// How many things of a list are written down. Twenty: enough to see what kind of list it was; a filter may
/// have ten thousand ids, and its entry would be the largest of all.
const LISTED_MAX: usize = 20;

/// What a deed came to, beyond what its path says. Put beside the answer by a handler, and never sent.
#[derive(Debug, Clone)]
pub(super) struct Details(Value);

impl Details {
    /// These, with lists cut short.
    pub(super) fn of(what: &impl Serialize) -> Self {
        let mut details = serde_json::to_value(what).expect("what we answer has text keys alone");
        shorten(&mut details);
        Self(details)
    }
}

impl IntoResponseParts for Details {
    type Error = Infallible;

    fn into_response_parts(self, mut answer: ResponseParts) -> Result<ResponseParts, Infallible> {
        answer.extensions_mut().insert(self);
        Ok(answer)
    }
}

fn shorten(value: &mut Value) {
    match value {
        Value::Array(list) => {
            let more = list.len().saturating_sub(LISTED_MAX);
            list.truncate(LISTED_MAX);
            list.iter_mut().for_each(shorten);
            if more > 0 {
                list.push(json!(format!("and {more} more")));
            }
        }
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null() && value != &json!([]));
            fields.values_mut().for_each(shorten);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

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
    let mut answer = next.run(request).await;
    let details = answer.extensions_mut().remove::<Details>().map(|Details(details)| details);
    if let Err(error) = api.audit().end_deed(number, answer.status().as_u16(), details).await {
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

    #[test]
    fn of_a_long_list_the_first_are_written_down_and_of_nothing_nothing() {
        let ids: Vec<_> = (0..25).collect();

        let Details(details) = Details::of(&json!({ "filter": { "ids": ids, "since": null } }));

        let ids = details["filter"]["ids"].as_array().expect("a list");
        assert_eq!((ids.len(), &ids[19], &ids[20]), (21, &json!(19), &json!("and 5 more")));
        assert_eq!(details["filter"].get("since"), None);
    }
}
