//! Who did what through the pages: an entry of the audit log for each form of a session.
//!
//! As for the API: begun before it is done, and ended with how that went. What is only looked at is not in it, but
//! secrets are shown by a form. Who comes in has no session yet, and is written down by the door ([`at_the_door`]); a session
//! that the browser still has is not who comes in.
//!
//! **What if we die right here?** The entry has no ending, and says so. When it is only the request that ends, because its time was
//! over or nobody waited for its answer, the entry is ended without it ([`Ending`]): what was done by then is not known.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, IntoResponseParts, Response, ResponseParts};
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::session::{self, Guest};
use super::site::Site;
use crate::control::ControlError;
use crate::control::pace::Peer;
use crate::domain::id::OrganisationId;
use crate::storage::audit::Deed;

/// Longest path that is written down, in bytes, as the API's: names in it have at most 256.
const OBJECT_MAX: usize = 1_024;

/// What a deed came to, beyond what its path says. Put beside the answer by a handler, and never sent.
#[derive(Debug, Clone)]
pub(super) struct Details(pub(super) Value);

impl IntoResponseParts for Details {
    type Error = Infallible;

    fn into_response_parts(self, mut answer: ResponseParts) -> Result<ResponseParts, Infallible> {
        answer.extensions_mut().insert(self);
        Ok(answer)
    }
}

/// Who comes to a door.
pub(super) struct Comer {
    /// Within which organisation they are let in; the installation's own when nothing tells.
    pub(super) organisation: OrganisationId,
    /// Who it is: an application's id, an organisation's, or [`STRANGER`](crate::storage::audit::STRANGER).
    pub(super) actor: String,
    /// What whoever let them in calls them.
    pub(super) label: Option<String>,
    /// Where they come from.
    pub(super) peer: Option<Peer>,
}

/// Somebody comes to the door at `path`: what is answered is written down with who it was, begun before it is done.
pub(super) async fn at_the_door(
    site: &Arc<Site>,
    path: &'static str,
    comer: Comer,
    entering: impl Future<Output = Result<Response, Refusal>>,
) -> Result<Response, Refusal> {
    let deed = Deed {
        organisation: comer.organisation,
        actor: comer.actor,
        action: format!("POST {path}"),
        object: path.to_owned(),
        at: site.now(),
    };
    let number = site.audit().begin_deed(&deed).await.map_err(ControlError::from)?;
    let ending = Ending { unknown: Some((Arc::clone(site), number)) };
    let answer = entering.await.unwrap_or_else(Refusal::into_response);
    let mut details = json!({});
    if let Some(label) = comer.label {
        details["session"] = json!(label);
    }
    if let Some(Peer(address)) = comer.peer {
        details["from"] = json!(address.to_string());
    }
    ending.told(answer.status().as_u16(), Some(details)).await;
    Ok(answer)
}

/// Around every page.
pub(super) async fn written_down(
    State(site): State<Arc<Site>>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let guest = request.extensions().get::<Arc<Guest>>().cloned();
    let is_deed = *request.method() == Method::POST && is_of_a_session(path.as_str());
    let Some(guest) = guest.filter(|_| is_deed) else {
        return Ok(next.run(request).await);
    };
    let visitor = &guest.visitor;
    let object = request.uri().path();
    let deed = Deed {
        organisation: visitor.organisation,
        actor: visitor
            .application
            .map_or_else(|| visitor.organisation.to_string(), |id| id.to_string()),
        action: format!("{} {}", request.method(), path.as_str()),
        object: object[..object.floor_char_boundary(OBJECT_MAX)].to_owned(),
        at: site.now(),
    };
    let number = site.audit().begin_deed(&deed).await.map_err(ControlError::from)?;
    let ending = Ending { unknown: Some((Arc::clone(&site), number)) };
    let mut answer = next.run(request).await;
    let mut details = answer.extensions_mut().remove::<Details>().map(|Details(details)| details);
    if let Some(label) = &visitor.label {
        details.get_or_insert_with(|| json!({}))["session"] = json!(label);
    }
    ending.told(answer.status().as_u16(), details).await;
    Ok(answer)
}

/// Not what is done at a door, nor where there is nothing.
fn is_of_a_session(path: &str) -> bool {
    !session::is_entrance(path) && !path.contains("{*")
}

/// What an entry's end is written by. Dropped before it is told one, it writes that nobody was answered.
struct Ending {
    unknown: Option<(Arc<Site>, i64)>,
}

impl Ending {
    /// Writes how it went: by a task of its own, which goes on when nobody waits for it.
    async fn told(mut self, status: u16, details: Option<Value>) {
        let Some((site, number)) = self.unknown.take() else { return };
        let writing = tokio::spawn(ended(site, number, status, details));
        if let Err(error) = writing.await {
            tracing::warn!(%error, number, "an entry of the audit log has no ending");
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let Some((site, number)) = self.unknown.take() else { return };
        // Without a runtime the process ends, and the entry stays without an ending.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let details = json!({ "answer": "its time was over, or nobody waited for it" });
            let status = StatusCode::SERVICE_UNAVAILABLE.as_u16();
            runtime.spawn(ended(site, number, status, Some(details)));
        }
    }
}

async fn ended(site: Arc<Site>, number: i64, status: u16, details: Option<Value>) {
    if let Err(error) = site.audit().end_deed(number, status, details).await {
        tracing::warn!(%error, number, "an entry of the audit log has no ending");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_at_a_door_or_where_there_is_nothing_is_no_deed_of_a_session() {
        for (path, expected) in [
            ("/portal/endpoints/{endpoint}/pause", true),
            ("/portal/leave", true),
            ("/portal/enter", false),
            ("/console/login", false),
            ("/portal/{*rest}", false),
            ("/console/{*rest}", false),
        ] {
            assert_eq!(is_of_a_session(path), expected, "{path}");
        }
    }
}
