//! Who is looking: the session behind a cookie.
//!
//! Two cookies, one for each area, so that an operator who looks at a tenant's portal stays logged in. Their secret is the session's;
//! what forms carry ([`Guest::form_token`]) is made of it, and does not lead back to it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{COOKIE, HeaderName, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cookie::{Cookie, SameSite};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::refusal::Refusal;
use super::site::Site;
use crate::storage::sessions::Visitor;

/// Where a tenant comes in.
pub(super) const PORTAL_LOGIN: &str = "/portal/enter";
/// Where an operator logs in.
pub(super) const CONSOLE_LOGIN: &str = "/console/login";

/// Whether one comes in there.
pub(super) fn is_entrance(path: &str) -> bool {
    path == PORTAL_LOGIN || path == CONSOLE_LOGIN
}

/// Whoever looks.
pub(super) struct Guest {
    /// Who it is and what they may do.
    pub(super) visitor: Visitor,
    secret: String,
}

impl Guest {
    /// What each form of this session carries.
    pub(super) fn form_token(&self) -> String {
        let mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes());
        let mac = mac.expect("a key of any length will do").chain_update(b"form");
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }

    /// Whether a form carries it.
    pub(super) fn has_form_token(&self, token: &str) -> bool {
        self.form_token().as_bytes().ct_eq(token.as_bytes()).into()
    }

    /// What the session is known by.
    pub(super) fn secret(&self) -> &str {
        &self.secret
    }
}

/// Which of the two areas a path lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Realm {
    /// Below `/portal`.
    Portal,
    /// Below `/console`.
    Console,
}

impl Realm {
    fn of(path: &str) -> Self {
        if path.starts_with("/console") { Self::Console } else { Self::Portal }
    }

    /// The cookie's name. With the prefix a browser takes it from this host over TLS alone.
    fn cookie_name(self, secure: bool) -> &'static str {
        match (self, secure) {
            (Self::Portal, true) => "__Host-posthaste-portal",
            (Self::Portal, false) => "posthaste-portal",
            (Self::Console, true) => "__Host-posthaste-console",
            (Self::Console, false) => "posthaste-console",
        }
    }
}

/// What our script says when it fetches a page again by itself.
const LOOKS_AGAIN: &str = "x-posthaste-again";

/// Around every page: finds the session of its cookie, which is used by that, unless the page looks by itself.
pub(super) async fn known(
    State(site): State<Arc<Site>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let name = Realm::of(request.uri().path()).cookie_name(site.is_secure());
    if let Some(secret) = cookie(request.headers(), name)
        && let Some(visitor) = if request.headers().contains_key(LOOKS_AGAIN) {
            site.sessions().watching(&secret).await?
        } else {
            site.sessions().visitor(&secret).await?
        }
    {
        let guest = Guest { visitor, secret };
        site.paces().asks(&guest.form_token()).map_err(Refusal::TooFast)?; // one word for one session
        request.extensions_mut().insert(Arc::new(guest));
    }
    Ok(next.run(request).await)
}

/// The header that gives a browser its session.
pub(super) fn given(site: &Site, realm: Realm, secret: &str) -> HeaderValue {
    header(site, realm, secret, None)
}

/// The header that takes it away.
fn taken(site: &Site, realm: Realm) -> HeaderValue {
    header(site, realm, "", Some(cookie::time::Duration::ZERO))
}

/// What a browser is told when somebody leaves: to forget the session, and pages of it that it could still show. Not its other
/// cookies and what it keeps: those are also an operator's, or of the platform around us.
pub(super) fn left(site: &Site, realm: Realm) -> [(HeaderName, HeaderValue); 2] {
    let cached = HeaderValue::from_static("\"cache\"");
    [(SET_COOKIE, taken(site, realm)), (HeaderName::from_static("clear-site-data"), cached)]
}

/// Lives as long as the browser runs, and as the session lasts on our side. Not read by scripts, not sent along
/// from another site's forms; within another site's frame only where that was configured.
fn header(
    site: &Site,
    realm: Realm,
    value: &str,
    age: Option<cookie::time::Duration>,
) -> HeaderValue {
    let framed = realm == Realm::Portal && site.is_framed() && site.is_secure();
    let name = realm.cookie_name(site.is_secure());
    let mut cookie = Cookie::build((name, value))
        .path("/")
        .http_only(true)
        .secure(site.is_secure())
        .same_site(if framed { SameSite::None } else { SameSite::Lax });
    if framed {
        cookie = cookie.partitioned(true);
    }
    if let Some(age) = age {
        cookie = cookie.max_age(age);
    }
    HeaderValue::from_str(&cookie.build().to_string()).expect("our own characters alone")
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = texts.flat_map(Cookie::split_parse).filter_map(Result::ok);
    cookies.find(|cookie| cookie.name() == name).map(|cookie| cookie.value().to_owned())
}
