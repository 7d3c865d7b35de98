//! `/app/{app}/msg`: events come in, one or a batch of them.
//!
//! The answer is 202 when all of it is durable. What is done by a repeated request stands in
//! `control::publish`.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::auth::ForOrganisation;
use super::body::Body;
use super::problem::{Fault, FaultKind, Problem};
use super::routes::Api;
use super::wire::message::{self, Shape};
use crate::control::publish::PublishError;

/// The header that names a request, so that it is recognised when it is repeated.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Longest such name, in bytes: what client libraries make has 41.
const KEY_MAX: usize = 256;

/// `POST /app/{app}/msg`.
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    _: ForOrganisation,
    app: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    // A name that is no text names nothing.
    let Path(app) = app.map_err(|_| Problem::NotFound("no application is called so".into()))?;
    let with_content = with_content(&uri)?;
    let key = idempotency_key(&headers)?;
    let (shape, drafts) = message::read(&body.bytes).map_err(Problem::Faults)?;
    let published = api.intake().publish(&app, drafts, key).await;
    let accepted = published.map_err(|error| problem(error, shape))?;
    let text = message::write(shape, &accepted, with_content);
    Ok((StatusCode::ACCEPTED, [(CONTENT_TYPE, "application/json")], text).into_response())
}

fn problem(error: PublishError, shape: Shape) -> Problem {
    match error {
        PublishError::Refused(faults) => {
            Problem::Faults(faults.into_iter().map(|fault| message::fault(shape, fault)).collect())
        }
        PublishError::TooLarge(why) => Problem::TooLarge(why),
        PublishError::Control(error) => error.into(),
    }
}

/// Whether the answer repeats the payload: it does unless the query says no.
fn with_content(uri: &Uri) -> Result<bool, Problem> {
    let query = uri.query().unwrap_or_default();
    let named =
        url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "with_content");
    match named.as_ref().map(|(_, value)| value.as_ref()) {
        None | Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(_) => Err(Problem::Invalid("with_content: true or false is accepted".into())),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=KEY_MAX).contains(&key.len()));
    key.map(Some).ok_or_else(|| {
        Problem::Faults(vec![Fault {
            loc: vec!["header".into(), IDEMPOTENCY_KEY.into()],
            msg: format!("1 to {KEY_MAX} printable ASCII characters are accepted"),
            kind: FaultKind::Value,
        }])
    })
}
