//! What holds around every page: what a browser may do with it, where a form may come from, and how much is made at once.
//!
//! **Headers.** A page runs our one script and nothing written into it, loads from here alone, tells nobody where it was, and is
//! kept by no cache. It is shown in no other site's frame, but the portal where that was configured.
//!
//! **Forms.** What changes something comes from a page of ours by two signs: the browser's own word for where it comes from
//! (`Sec-Fetch-Site`, or `Origin` where that is missing), and the token of this session in the form. A session without its
//! token, and a login without the browser's word, do nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, ORIGIN,
};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::form::{Fields, Sent};
use super::refusal::Refusal;
use super::session::Guest;
use super::site::Site;

/// Largest form, in bytes: a payload of a quarter of a megabyte is more than anybody edits in a page.
pub(super) const FORM_MAX: usize = 256 * 1024;
/// How long a page may take to be made: every question it asks is bounded, so this is for a store that is away.
const PAGE: Duration = Duration::from_secs(20);

/// Around every page: the answer's headers, the number of pages at once, and their time.
pub(super) async fn bounded(
    State(site): State<Arc<Site>>,
    request: Request,
    next: Next,
) -> Response {
    let is_portal = request.uri().path().starts_with("/portal");
    let is_asset = request.uri().path().starts_with("/assets/");
    let mut answer = match site.place() {
        None => Refusal::Busy.into_response(),
        Some(_place) => tokio::time::timeout(PAGE, next.run(request)).await.unwrap_or_else(|_| {
            Refusal::Away(format!("There was no answer within {} s.", PAGE.as_secs()))
                .into_response()
        }),
    };
    let headers = answer.headers_mut();
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "clipboard-write=(self)"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if !is_asset {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if site.is_secure() {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(HeaderName::from_static("strict-transport-security"), year);
    }
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, site.policy(is_portal).clone());
    }
    answer
}

/// What pages may do. Our script may read a page of ours as a page (`trusted-types pages`), for what goes on while one looks.
pub(super) fn policy(ancestors: &str) -> HeaderValue {
    let text = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors {ancestors}; \
         require-trusted-types-for 'script'; trusted-types pages"
    );
    HeaderValue::from_str(&text).expect("origins are ASCII")
}

/// Around every page: a form is read, and comes from a page of this session.
pub(super) async fn from_here(
    State(site): State<Arc<Site>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(next.run(request).await);
    }
    if !comes_from_here(request.headers(), &site) {
        return Err(Refusal::NotFromHere);
    }
    let is_form = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    if !is_form {
        return Err(Refusal::Invalid("A form is wanted.".into()));
    }
    let body = std::mem::take(request.body_mut());
    let bytes = to_bytes(body, FORM_MAX)
        .await
        .map_err(|_| Refusal::Invalid(format!("A form has at most {} KiB.", FORM_MAX / 1024)))?;
    let fields = Fields::read(&bytes);
    if let Some(guest) = request.extensions().get::<Arc<Guest>>()
        && !guest.has_form_token(fields.one("form_token").unwrap_or_default())
        && !is_entrance(request.uri().path())
    {
        return Err(Refusal::NotFromHere);
    }
    request.extensions_mut().insert(Sent(fields));
    Ok(next.run(request).await)
}

/// Where one comes in: also with a session that is still there, whose token the page does not have.
fn is_entrance(path: &str) -> bool {
    path == super::session::PORTAL_LOGIN || path == super::session::CONSOLE_LOGIN
}

/// By the browser's word.
fn comes_from_here(headers: &HeaderMap, site: &Site) -> bool {
    let said = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    match said(&HeaderName::from_static("sec-fetch-site")) {
        Some(word) => word == "same-origin",
        None => said(&ORIGIN).is_some_and(|origin| origin == site.origin()),
    }
}
