//! An endpoint's signing keys: shown whenever somebody who may asks for them by a form, rotated with an overlap, and how
//! receivers verify with them.
//!
//! What makes or rotates a key leads back to the page and shows nothing itself: an answer that is loaded again would do it
//! twice. To leave the older keys at once is asked for on a page of its own, since a receiver that has them refuses everything
//! from that moment on.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};

use super::head::Head;
use super::snippets::{self, Snippet};
use crate::console::form::{Asked, Fields, Sent};
use crate::console::frame::{Frame, Section};
use crate::console::parts::{Badge, Tone, When};
use crate::console::portal::names::name as called;
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{ManageSecrets, SeeSecrets, TenantMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::control::{NewKey, OVERLAP_S_DEFAULT};
use crate::domain::endpoint::Endpoint;
use crate::domain::signature::Scheme;
use crate::domain::time::Timestamp;

#[derive(Template)]
#[template(path = "portal/endpoint_signing.html")]
struct Signing {
    frame: Frame,
    head: Head,
    keys: Vec<KeyRow>,
    shown: bool,
    snippets: Vec<Snippet>,
    has_pair: bool,
    overlap_default: u32,
}

/// The question before the older keys are left at once.
#[derive(Template)]
#[template(path = "portal/endpoint_rotate.html")]
struct AtOnce {
    frame: Frame,
    here: String,
    object: Text,
    /// Keys that sign for now, and will not.
    keys: usize,
}

struct KeyRow {
    scheme: &'static str,
    badge: Badge,
    created_at: When,
    expires_at: Option<When>,
    /// The key as its receiver wants to be told it, where it is shown.
    told: Option<Text>,
}

/// `GET /portal/endpoints/{endpoint}/signing`
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<View>,
    Asked(asked): Asked,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let endpoint = tenant.control.endpoint_of(tenant.tenant(), &name).await?;
    let frame = tenant.frame(&site, "Signing", Section::Endpoints, &asked);
    signing(frame, &endpoint, site.now(), false)
}

/// `POST /portal/endpoints/{endpoint}/signing`: the same with the keys.
pub(super) async fn reveal(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<SeeSecrets>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let endpoint = tenant.control.endpoint_of(tenant.tenant(), &name).await?;
    let frame = tenant.frame(&site, "Signing", Section::Endpoints, &Fields::default());
    signing(frame, &endpoint, site.now(), true)
}

/// `GET /portal/endpoints/{endpoint}/rotate`: whether the older keys are to be left at once.
pub(super) async fn ask_at_once(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<ManageSecrets>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let endpoint = tenant.control.endpoint_of(tenant.tenant(), &name).await?;
    let title = "Rotate, and leave the older keys at once?";
    shown(&AtOnce {
        frame: tenant.frame(&site, title, Section::Endpoints, &Fields::default()),
        here: format!("/portal/endpoints/{}", endpoint.id),
        object: Text::line(&format!("1 endpoint: {}, {}", called(&endpoint), endpoint.url)),
        keys: endpoint.live_keys(site.now()).count(),
    })
}

/// `POST /portal/endpoints/{endpoint}/rotate`
pub(super) async fn rotate(
    tenant: TenantMay<ManageSecrets>,
    Path(name): Path<String>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let overlap_s = match form.one("overlap_s").map(str::parse) {
        Some(Ok(overlap_s)) => overlap_s,
        Some(Err(_)) => return Err(Refusal::Invalid("The overlap is a number of seconds.".into())),
        None => OVERLAP_S_DEFAULT,
    };
    if overlap_s == 0 && form.one("sure") != Some("yes") {
        let why =
            "To leave the older keys at once is asked for on a page of its own, under Signing.";
        return Err(Refusal::Invalid(why.into()));
    }
    let key = match (form.one("secret"), form.one("scheme")) {
        (Some(given), _) => NewKey::Given(given),
        (None, Some("v1a")) => NewKey::Made(Scheme::V1a),
        (None, Some(_) | None) => NewKey::Made(Scheme::V1),
    };
    let whose = tenant.tenant();
    let endpoint = tenant.control.rotate_secret_of(whose, &name, key, overlap_s).await?;
    Ok(back(&endpoint, "rotated"))
}

/// Where whoever has made an endpoint goes on: to its key.
pub(super) fn made(endpoint: &Endpoint) -> Response {
    back(endpoint, "endpoint-made")
}

fn back(endpoint: &Endpoint, done: &str) -> Response {
    Redirect::to(&format!("/portal/endpoints/{}/signing?done={done}", endpoint.id)).into_response()
}

fn signing(
    frame: Frame,
    endpoint: &Endpoint,
    now: Timestamp,
    with_keys: bool,
) -> Result<Response, Refusal> {
    let live = endpoint.keys.iter().filter(|key| key.is_live(now));
    let row = |(place, key): (usize, &crate::domain::endpoint::EndpointKey)| KeyRow {
        scheme: match key.key.scheme() {
            Scheme::V1 => "v1, HMAC-SHA256: a secret that both sides know",
            Scheme::V1a => "v1a, Ed25519: a public key",
        },
        badge: if place == 0 {
            Badge::new(Tone::Good, "newest")
        } else {
            Badge::new(Tone::Warn, "being left")
        },
        created_at: When(key.created_at),
        expires_at: key.expires_at.map(When),
        told: with_keys.then(|| Text::line(&key.key.reveal())),
    };
    let has_pair = endpoint.live_keys(now).any(|key| key.scheme() == Scheme::V1a);
    shown(&Signing {
        head: Head::of(endpoint, "signing"),
        keys: live.enumerate().map(|(place, key)| row((place, key))).collect(),
        shown: with_keys,
        snippets: snippets::all(),
        has_pair,
        overlap_default: OVERLAP_S_DEFAULT / 3_600,
        frame,
    })
}
