//! A request that is repeated with its idempotency key is answered as it was the first time, and not done
//! again.
//!
//! The same request is the same caller with the same rights, method, path, query and key; with another body it is a mistake of
//! its sender, and refused. Only what was done (2xx) is kept, for [`KEPT_FOR`]: what was refused may be
//! asked again with better luck. Publishing has its own way, without a table (`control::publish`), and
//! what answers with a token is never kept. Of an answer with a secret in it only that it was given is
//! kept: its handler is told that the request is [`Repeated`], and says it again without doing it again.
//!
//! **What if we die right here?** Behind the deed and before its answer is kept, the repetition does it
//! again: a `uid` makes that a conflict instead of a second thing.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

use super::auth;
use super::body::Body as Sent;
use super::problem::{Fault, FaultKind, Problem};
use super::routes::Api;
use crate::control::ControlError;
use crate::domain::capability::Capabilities;
use crate::storage::answers::{Hash, Kept};

/// The header that names a request.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Longest such name, in bytes: what client libraries make has 41.
const KEY_MAX: usize = 256;
/// How long an answer is kept: clients repeat within seconds, and a person's script within a morning.
pub(super) const KEPT_FOR: Duration = Duration::from_hours(12);
/// Largest answer that is kept, in bytes. No operation that writes answers with as much.
const ANSWER_MAX: usize = 256 * 1024;

/// Requests that are being done: the same again meanwhile is told to wait.
#[derive(Debug, Default)]
pub(super) struct InHand(Mutex<HashSet<Hash>>);

/// The mark of a request that was done before, for a handler whose answer is not kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Repeated;

/// The key of a request, if it has one.
///
/// # Errors
/// When it is too long, or not text.
pub(super) fn key_of(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
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

/// Around every operation.
pub(super) async fn once(
    State(api): State<Arc<Api>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Some(key) = key(&request, &api)? else { return Ok(next.run(request).await) };
    let _turn = api.in_hand().take(key).ok_or_else(|| {
        Problem::Conflict("the same request is being done at this moment: ask again".into())
    })?;
    let (head, body) = request.into_parts();
    // Its share of the room goes back at once: the handler takes one of its own.
    let Sent { bytes, .. } = Sent::small(Request::from_parts(head.clone(), body), &api).await?;
    let asked: Hash = Sha256::digest(&bytes).into();
    let since = api.now() - KEPT_FOR;
    let known = api.answers().answer(key, since).await.map_err(ControlError::from)?;
    let has_a_secret = head.uri.path().ends_with("/secret/rotate");
    let mut request = Request::from_parts(head, Body::from(bytes));
    if let Some(kept) = known {
        if kept.request == asked && has_a_secret {
            request.extensions_mut().insert(Repeated);
            return Ok(next.run(request).await);
        }
        return again(kept, asked);
    }
    let answer = next.run(request).await;
    if !answer.status().is_success() {
        return Ok(answer);
    }
    keep(&api, key, asked, answer, has_a_secret).await
}

/// What this request is known by, if it is one that is to be recognised.
fn key(request: &Request, api: &Api) -> Result<Option<Hash>, Problem> {
    let path = request.uri().path();
    let has_its_own_way = path.ends_with("/msg") || path.ends_with("/cloudevent");
    let answers_with_a_token = path.starts_with("/api/v1/auth/");
    if *request.method() != Method::POST || has_its_own_way || answers_with_a_token {
        return Ok(None);
    }
    let Some(key) = key_of(request.headers())? else { return Ok(None) };
    // Without a token that holds there is nothing to repeat: the handler says so.
    let Ok(holder) = auth::holder(request.headers(), api) else { return Ok(None) };
    let (name, query) = (holder.caller.name(), request.uri().query().unwrap_or_default());
    let mut hash = Sha256::new();
    for part in [&name, path, query, key] {
        hash.update((part.len() as u64).to_be_bytes()); // so that no two lists of parts are alike
        hash.update(part);
    }
    if holder.capabilities != Capabilities::ALL {
        hash.update([holder.capabilities.bits()]); // who may less is not shown what others were answered
    }
    Ok(Some(hash.finalize().into()))
}

fn again(kept: Kept, asked: Hash) -> Result<Response, Problem> {
    if kept.request != asked {
        return Err(Problem::Conflict(
            "the idempotency key was used for another request: a repeated request has to be the \
             same, and another one needs another key"
                .into(),
        ));
    }
    let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    let is_empty = kept.body.is_empty();
    let mut answer = (status, kept.body).into_response();
    answer.headers_mut().remove(CONTENT_TYPE);
    if !is_empty {
        answer.headers_mut().insert(CONTENT_TYPE, "application/json".parse().expect("a value"));
    }
    Ok(answer)
}

async fn keep(
    api: &Api,
    key: Hash,
    asked: Hash,
    answer: Response,
    has_a_secret: bool,
) -> Result<Response, Problem> {
    let (head, body) = answer.into_parts();
    let whole = axum::body::to_bytes(body, ANSWER_MAX).await;
    let body =
        whole.map_err(|error| Problem::Corrupt(format!("an answer is too long: {error}")))?;
    let shown = if has_a_secret { Vec::new() } else { body.to_vec() };
    let kept = Kept { request: asked, status: head.status.as_u16(), body: shown };
    if let Err(error) = api.answers().keep_answer(key, &kept, api.now()).await {
        // It is done, and saying otherwise would have it done again.
        tracing::warn!(%error, "an answer could not be kept: a repeated request would be done again");
    }
    Ok(Response::from_parts(head, Body::from(body)))
}

impl InHand {
    fn take(&self, key: Hash) -> Option<Turn<'_>> {
        let is_new = self.0.lock().expect("nobody panics with it").insert(key);
        // Not made unless it is new: dropping one takes the key out, and the lock with it.
        is_new.then(|| Turn { in_hand: self, key })
    }
}

/// A request's turn, until it is dropped.
struct Turn<'a> {
    in_hand: &'a InHand,
    key: Hash,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.in_hand.0.lock().expect("nobody panics with it").remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_its_turn_alone_and_the_next_has_it_when_it_is_over() {
        let in_hand = InHand::default();
        let turn = in_hand.take([7; 32]);
        assert!(turn.is_some());
        assert!(in_hand.take([7; 32]).is_none(), "it is being done");
        assert!(in_hand.take([7; 32]).is_none(), "and still is, whoever asks");
        assert!(in_hand.take([8; 32]).is_some(), "others are not kept waiting");
        drop(turn);
        assert!(in_hand.take([7; 32]).is_some());
    }
}
