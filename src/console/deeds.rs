//! Who did what through the pages: an entry of the audit log for each form of a session.
//!
//! As for the API: begun before it is done, and ended with how that went. What is only looked at is not in it, but
//! secrets are shown by a form.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponseParts, Response, ResponseParts};
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::session::Guest;
use super::site::Site;
use crate::control::ControlError;
use crate::storage::audit::Deed;

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

/// Around every page.
pub(super) async fn written_down(
    State(site): State<Arc<Site>>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let guest = request.extensions().get::<Arc<Guest>>().cloned();
    let Some(guest) = guest.filter(|_| *request.method() == Method::POST) else {
        return Ok(next.run(request).await);
    };
    let visitor = &guest.visitor;
    let deed = Deed {
        organisation: visitor.organisation,
        actor: visitor
            .application
            .map_or_else(|| visitor.organisation.to_string(), |id| id.to_string()),
        action: format!("{} {}", request.method(), path.as_str()),
        object: request.uri().path().to_owned(), // a path of ours, whose parts have bounds
        at: site.now(),
    };
    let number = site.audit().begin_deed(&deed).await.map_err(ControlError::from)?;
    let mut answer = next.run(request).await;
    let mut details = answer.extensions_mut().remove::<Details>().map(|Details(details)| details);
    if let Some(label) = &visitor.label {
        details.get_or_insert_with(|| json!({}))["session"] = json!(label);
    }
    if let Err(error) = site.audit().end_deed(number, answer.status().as_u16(), details).await {
        tracing::warn!(%error, number, "an entry of the audit log has no ending");
    }
    Ok(answer)
}
