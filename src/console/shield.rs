//! What holds around every page: what a browser may do with it, where a form may come from, and how much is made at once.
//!
//! **Headers.** A page runs our one script and nothing written into it, loads from here alone, tells nobody where it was, and is
//! kept by no cache. It is shown in no other site's frame, but the portal where that was configured.
//!
//! **Forms.** What changes something comes from a page of ours by two signs: the browser's own word for where it comes from
//! (`Sec-Fetch-Site`, or `Origin` where that is missing), and the token of this session in the form. A session without its
//! token, and a login without the browser's word, do nothing.
//!
//! **Places.** A form is here whole before it takes a place among the pages that are made: who lets one drip keeps a
//! connection, and nobody else out.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, ORIGIN,
};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::BytesMut;
use futures_util::StreamExt as _;
use tokio::sync::SemaphorePermit;

use super::form::{Fields, Sent};
use super::refusal::Refusal;
use super::session::{self, Guest};
use super::site::Site;

/// Largest form, in bytes: a payload of a quarter of a megabyte is more than anybody edits in a page.
pub(super) const FORM_MAX: usize = 256 * 1024;
/// How long a form may take to come, once its head is here: the largest, over a slow line.
const COMING: Duration = Duration::from_secs(5);
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
    let mut answer = if is_asset {
        next.run(request).await // out of memory, at once
    } else {
        made(&site, request, next).await.unwrap_or_else(Refusal::into_response)
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

/// A page, once its form is here and there is a place for it.
async fn made(site: &Site, mut request: Request, next: Next) -> Result<Response, Refusal> {
    let _room = match *request.method() {
        Method::GET | Method::HEAD => None,
        _ => Some(read(site, &mut request).await?),
    };
    let _place = site.place(request.uri().path()).ok_or(Refusal::Busy)?;
    tokio::time::timeout(PAGE, next.run(request))
        .await
        .map_err(|_| Refusal::Away(format!("There was no answer within {} s.", PAGE.as_secs())))
}

/// Reads the form of a request that comes from here, as what [`Sent`] is taken from; the room that it takes.
async fn read<'a>(site: &'a Site, request: &mut Request) -> Result<SemaphorePermit<'a>, Refusal> {
    let headers = request.headers();
    if !comes_from_here(headers, site) {
        return Err(Refusal::NotFromHere);
    }
    let said = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if !said(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
    {
        return Err(Refusal::Invalid("A form is wanted.".into()));
    }
    let too_large = || Refusal::Invalid(format!("A form has at most {} KiB.", FORM_MAX / 1024));
    let announced = said(CONTENT_LENGTH).and_then(|bytes| bytes.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > FORM_MAX as u64) {
        return Err(too_large());
    }
    let mut stream = std::mem::take(request.body_mut()).into_data_stream();
    let reading = async {
        // Taken as the bytes come: what is announced and does not come takes nothing from others.
        let mut room = site.room(0).ok_or(Refusal::Busy)?;
        let mut form = BytesMut::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk
                .map_err(|error| Refusal::Invalid(format!("The form did not come: {error}.")))?;
            if form.len() + chunk.len() > FORM_MAX {
                return Err(too_large());
            }
            room.merge(site.room(chunk.len()).ok_or(Refusal::Busy)?);
            form.extend_from_slice(&chunk);
        }
        Ok((room, Fields::read(&form)))
    };
    let (room, fields) = tokio::time::timeout(COMING, reading).await.map_err(|_| {
        Refusal::Invalid(format!("The form did not come whole within {} s.", COMING.as_secs()))
    })??;
    request.extensions_mut().insert(Sent(fields));
    Ok(room)
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

/// Around every page: a form is of a page of this session.
pub(super) async fn from_here(request: Request, next: Next) -> Result<Response, Refusal> {
    // Coming in with a session that is still there: the page that one comes in by does not have its token.
    if let (Some(Sent(fields)), Some(guest)) =
        (request.extensions().get::<Sent>(), request.extensions().get::<Arc<Guest>>())
        && !guest.has_form_token(fields.one("form_token").unwrap_or_default())
        && !session::is_entrance(request.uri().path())
    {
        return Err(Refusal::NotFromHere);
    }
    Ok(next.run(request).await)
}

/// By the browser's word.
fn comes_from_here(headers: &HeaderMap, site: &Site) -> bool {
    let said = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    match said(&HeaderName::from_static("sec-fetch-site")) {
        Some(word) => word == "same-origin",
        None => said(&ORIGIN).is_some_and(|origin| origin == site.origin()),
    }
}
