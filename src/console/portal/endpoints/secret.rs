//! An endpoint's signing keys: shown when it was made and whenever somebody who may asks for them by a form, rotated
//! with an overlap, and how receivers verify with them.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::head::Head;
use super::snippets::{self, Snippet};
use crate::console::form::{Asked, Fields, Sent};
use crate::console::frame::{Frame, Section};
use crate::console::parts::{Badge, Tone, When};
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
    said: Option<&'static str>,
    keys: Vec<KeyRow>,
    shown: bool,
    snippets: Vec<Snippet>,
    has_pair: bool,
    overlap_default: u32,
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
    signing(frame, &endpoint, site.now(), false, None)
}

/// `POST /portal/endpoints/{endpoint}/signing`: the same with the keys.
pub(super) async fn reveal(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<SeeSecrets>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let endpoint = tenant.control.endpoint_of(tenant.tenant(), &name).await?;
    let frame = tenant.frame(&site, "Signing", Section::Endpoints, &Fields::default());
    signing(frame, &endpoint, site.now(), true, None)
}

/// `POST /portal/endpoints/{endpoint}/rotate`
pub(super) async fn rotate(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<ManageSecrets>,
    Path(name): Path<String>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let overlap_s = match form.one("overlap_s").map(str::parse) {
        Some(Ok(overlap_s)) => overlap_s,
        Some(Err(_)) => return Err(Refusal::Invalid("The overlap is a number of seconds.".into())),
        None => OVERLAP_S_DEFAULT,
    };
    let key = match (form.one("secret"), form.one("scheme")) {
        (Some(given), _) => NewKey::Given(given),
        (None, Some("v1a")) => NewKey::Made(Scheme::V1a),
        (None, Some(_) | None) => NewKey::Made(Scheme::V1),
    };
    let whose = tenant.tenant();
    let endpoint = tenant.control.rotate_secret_of(whose, &name, key, overlap_s).await?;
    let frame = tenant.frame(&site, "Signing", Section::Endpoints, &Fields::default());
    let said = "Rotated. The new key signs from the next request on; the older ones beside it until their time is over.";
    let may_see = frame.may.see_secrets;
    signing(frame, &endpoint, site.now(), may_see, Some(said))
}

/// What whoever has made an endpoint sees: its key, the one time that it is shown unasked.
pub(super) fn made<R>(
    site: &Site,
    tenant: &TenantMay<R>,
    endpoint: &Endpoint,
) -> Result<Response, Refusal> {
    let frame = tenant.frame(site, "The endpoint is made", Section::Endpoints, &Fields::default());
    let may_see = frame.may.see_secrets;
    let said = "The endpoint is made, and gets events from now on. Give its receiver the key below, so that it can tell our requests from others'; then test it.";
    signing(frame, endpoint, site.now(), may_see, Some(said))
}

fn signing(
    frame: Frame,
    endpoint: &Endpoint,
    now: Timestamp,
    with_keys: bool,
    said: Option<&'static str>,
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
        said,
        keys: live.enumerate().map(|(place, key)| row((place, key))).collect(),
        shown: with_keys,
        snippets: snippets::all(),
        has_pair,
        overlap_default: OVERLAP_S_DEFAULT / 3_600,
        frame,
    })
}
