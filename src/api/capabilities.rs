//! What each operation needs: the one table of it, and where tokens are held to it.
//!
//! A token may be made with less than all that its caller may do ([`Capability`]). Which right an operation needs is
//! written here, once for each of them, and looked up before it runs: a handler cannot forget to ask. An operation
//! without a row is nobody's, and a test finds it before anybody else does.
//!
//! Not here: whose things they are ([`auth`]). A right is one over what the token's owner has.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use super::auth;
use super::problem::Problem;
use super::routes::Api;
use crate::domain::capability::Capability;

/// What an operation needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Nothing: it shows and does nothing of anybody's.
    Nothing,
    /// This one.
    This(Capability),
}

const NOTHING: Needs = Needs::Nothing;
/// Looks.
const VIEW: Needs = Needs::This(Capability::ViewBase);
/// Is shown keys, and headers that may be credentials.
const SECRETS: Needs = Needs::This(Capability::ViewEndpointSecret);
/// Gives endpoints other keys.
const ROTATE: Needs = Needs::This(Capability::ManageEndpointSecret);
/// Has requests made, or decides which are not made again.
const ATTEMPTS: Needs = Needs::This(Capability::CreateAttempts);
/// Makes, changes and deletes what is set up.
const MANAGE: Needs = Needs::This(Capability::ManageEndpoint);

/// Method, path below `/api/v1`, and what the two need together.
const TABLE: &[(&str, &str, Needs)] = &[
    ("GET", "/admin/dead-letter", VIEW),
    ("GET", "/admin/dead-letter-group", VIEW),
    ("POST", "/admin/dead-letter/discard", ATTEMPTS),
    ("GET", "/admin/dead-letter/{dead_letter}", VIEW),
    ("GET", "/admin/endpoint-top", VIEW),
    ("GET", "/admin/msg/{msg}/trail", VIEW),
    ("POST", "/admin/recover", ATTEMPTS),
    ("GET", "/admin/replay", VIEW),
    ("POST", "/admin/replay", ATTEMPTS),
    ("POST", "/admin/replay/preview", ATTEMPTS),
    ("GET", "/admin/replay/{replay}", VIEW),
    ("POST", "/admin/replay/{replay}/cancel", ATTEMPTS),
    ("POST", "/admin/replay/{replay}/pause", ATTEMPTS),
    ("POST", "/admin/replay/{replay}/rate", ATTEMPTS),
    ("POST", "/admin/replay/{replay}/resume", ATTEMPTS),
    ("GET", "/app", VIEW),
    ("POST", "/app", MANAGE),
    ("GET", "/app/{app}", VIEW),
    ("PUT", "/app/{app}", MANAGE),
    ("PATCH", "/app/{app}", MANAGE),
    ("DELETE", "/app/{app}", MANAGE),
    ("GET", "/app/{app}/attempt/endpoint/{endpoint}", VIEW),
    ("GET", "/app/{app}/attempt/msg/{msg}", VIEW),
    ("POST", "/app/{app}/cloudevent", ATTEMPTS),
    ("GET", "/app/{app}/dead-letter", VIEW),
    ("GET", "/app/{app}/dead-letter-group", VIEW),
    ("POST", "/app/{app}/dead-letter/discard", ATTEMPTS),
    ("GET", "/app/{app}/dead-letter/{dead_letter}", VIEW),
    ("GET", "/app/{app}/delivery", VIEW),
    ("GET", "/app/{app}/delivery/{msg}/{endpoint}", VIEW),
    ("POST", "/app/{app}/delivery/{msg}/{endpoint}/cancel", ATTEMPTS),
    ("POST", "/app/{app}/delivery/{msg}/{endpoint}/retry", ATTEMPTS),
    ("GET", "/app/{app}/endpoint", VIEW),
    ("POST", "/app/{app}/endpoint", MANAGE),
    ("GET", "/app/{app}/endpoint/{endpoint}", VIEW),
    ("PUT", "/app/{app}/endpoint/{endpoint}", MANAGE),
    ("PATCH", "/app/{app}/endpoint/{endpoint}", MANAGE),
    ("DELETE", "/app/{app}/endpoint/{endpoint}", MANAGE),
    ("GET", "/app/{app}/endpoint/{endpoint}/headers", SECRETS),
    ("PUT", "/app/{app}/endpoint/{endpoint}/headers", MANAGE),
    ("PATCH", "/app/{app}/endpoint/{endpoint}/headers", MANAGE),
    ("GET", "/app/{app}/endpoint/{endpoint}/msg", VIEW),
    ("POST", "/app/{app}/endpoint/{endpoint}/pause", MANAGE),
    ("POST", "/app/{app}/endpoint/{endpoint}/recover", ATTEMPTS),
    ("POST", "/app/{app}/endpoint/{endpoint}/replay-missing", ATTEMPTS),
    ("POST", "/app/{app}/endpoint/{endpoint}/resume", MANAGE),
    ("GET", "/app/{app}/endpoint/{endpoint}/secret", SECRETS),
    ("POST", "/app/{app}/endpoint/{endpoint}/secret/rotate", ROTATE),
    ("POST", "/app/{app}/endpoint/{endpoint}/send-example", ATTEMPTS),
    ("GET", "/app/{app}/endpoint/{endpoint}/stats", VIEW),
    ("POST", "/app/{app}/endpoint/{endpoint}/test", ATTEMPTS),
    ("GET", "/app/{app}/inspector", VIEW),
    ("DELETE", "/app/{app}/inspector", MANAGE),
    ("GET", "/app/{app}/msg", VIEW),
    ("POST", "/app/{app}/msg", ATTEMPTS),
    ("GET", "/app/{app}/msg/{msg}", VIEW),
    ("GET", "/app/{app}/msg/{msg}/attempt/{attempt}", VIEW),
    ("DELETE", "/app/{app}/msg/{msg}/attempt/{attempt}/content", MANAGE),
    ("DELETE", "/app/{app}/msg/{msg}/content", MANAGE),
    ("GET", "/app/{app}/msg/{msg}/endpoint", VIEW),
    ("POST", "/app/{app}/msg/{msg}/endpoint/{endpoint}/resend", ATTEMPTS),
    ("GET", "/app/{app}/msg/{msg}/trail", VIEW),
    ("GET", "/app/{app}/replay", VIEW),
    ("POST", "/app/{app}/replay", ATTEMPTS),
    ("POST", "/app/{app}/replay/preview", ATTEMPTS),
    ("GET", "/app/{app}/replay/{replay}", VIEW),
    ("POST", "/app/{app}/replay/{replay}/cancel", ATTEMPTS),
    ("POST", "/app/{app}/replay/{replay}/pause", ATTEMPTS),
    ("POST", "/app/{app}/replay/{replay}/rate", ATTEMPTS),
    ("POST", "/app/{app}/replay/{replay}/resume", ATTEMPTS),
    ("GET", "/app/{app}/settings", VIEW),
    ("POST", "/app/{app}/settings", MANAGE),
    ("PUT", "/app/{app}/settings", MANAGE),
    ("PATCH", "/app/{app}/settings", MANAGE),
    ("GET", "/app/{app}/settings/secret", SECRETS),
    ("POST", "/app/{app}/settings/secret/rotate", ROTATE),
    ("POST", "/app/{app}/settings/webhook/test", ATTEMPTS),
    ("GET", "/audit", VIEW),
    // Who lets others in gives them no more than it has itself: the handler sees to that.
    ("POST", "/auth/app-portal-access/{app}", MANAGE),
    ("POST", "/auth/app/{app}/expire-all", MANAGE),
    ("POST", "/auth/logout", NOTHING),
    ("GET", "/background-task/{task}", VIEW),
    ("GET", "/event-type", VIEW),
    ("POST", "/event-type", MANAGE),
    ("GET", "/event-type/{event_type}", VIEW),
    ("PUT", "/event-type/{event_type}", MANAGE),
    ("PATCH", "/event-type/{event_type}", MANAGE),
    ("DELETE", "/event-type/{event_type}", MANAGE),
    ("GET", "/health", NOTHING),
];

/// What this operation needs; `None` when it is not in the table.
fn needs(method: &Method, path: &str) -> Option<Needs> {
    let path = path.strip_prefix("/api/v1")?;
    let method = if *method == Method::HEAD { "GET" } else { method.as_str() }; // the same without a body
    let found = TABLE.iter().find(|(known, of, _)| *known == method && *of == path);
    found.map(|(_, _, needs)| *needs)
}

/// Around every operation.
pub(super) async fn held_to(
    State(api): State<Arc<Api>>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let needs = needs(request.method(), path.as_str()).ok_or(Problem::Forbidden)?;
    // Who has no token that holds is told so by the handler.
    if let (Needs::This(one), Ok(holder)) = (needs, auth::holder(request.headers(), &api))
        && !holder.capabilities.has(one)
    {
        return Err(Problem::Lacks(one));
    }
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::openapi;

    #[test]
    fn every_operation_has_a_row_and_every_row_is_an_operation() {
        let document = serde_json::to_value(openapi::document()).expect("a document");
        let paths = document["paths"].as_object().expect("paths");
        let mut operations = BTreeSet::new();
        for (path, methods) in paths {
            for method in methods.as_object().expect("methods").keys() {
                operations.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
        let mut rows = BTreeSet::new();
        for (method, path, _) in TABLE {
            let row = format!("{method} /api/v1{path}");
            assert!(rows.insert(row.clone()), "{row} stands there twice");
        }
        let without: Vec<_> = operations.difference(&rows).collect();
        assert!(without.is_empty(), "operations without a row: {without:?}");
        let of_nothing: Vec<_> = rows.difference(&operations).collect();
        assert!(of_nothing.is_empty(), "rows without an operation: {of_nothing:?}");
    }

    #[test]
    fn looking_alone_reads_everything_but_secrets_and_changes_nothing() {
        for (method, path, needs) in TABLE {
            let has_secrets = path.ends_with("/secret") || path.ends_with("/headers");
            let reads = *method == "GET" && !has_secrets;
            let is_harmless = *path == "/auth/logout"; // says goodbye, and does nothing
            let allowed = *needs == VIEW || *needs == NOTHING;
            assert_eq!(allowed, reads || is_harmless, "{method} {path}");
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_nobodys() {
        assert_eq!(needs(&Method::GET, "/api/v1/app/{app}/tomorrow"), None);
        assert_eq!(needs(&Method::DELETE, "/api/v1/app"), None);
        assert_eq!(needs(&Method::HEAD, "/api/v1/app"), Some(VIEW));
    }
}
