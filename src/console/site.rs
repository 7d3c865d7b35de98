//! What stands behind the pages, and every path there is.

use std::sync::Arc;

use axum::Router;
use axum::http::HeaderValue;
use axum::middleware;
use axum::response::Redirect;
use axum::routing::{any, get, post};
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

use super::brand::Brand;
use super::refusal::Refusal;
use super::{assets, deeds, operator, portal, session, shield};
use crate::control::Control;
use crate::control::circuits::Circuits;
use crate::control::installation::Desks;
use crate::control::pace::Paces;
use crate::control::replays::ReplayDesk;
use crate::control::sessions::SessionDesk;
use crate::control::test_calls::TestCalls;
use crate::control::tokens::TokenKey;
use crate::domain::time::Timestamp;
use crate::storage::audit::Audit;
use crate::storage::directory::Directory;
use crate::storage::rollups::Rollups;

/// Pages of one area that are made at the same time. A page asks the store a handful of questions of a few milliseconds: this
/// many keep its readers busy, and leave them to the router's own within a second.
const PAGES: usize = 32;
/// Who comes in at the same time, through both doors. Fewer: nobody knows yet who they are, and each may be a write.
const ENTERING: usize = 16;
/// Bytes of all forms together that are in hand: 128 of the largest. Each is in memory twice, as it came and as it is read.
const FORMS_BYTES: usize = 128 * shield::FORM_MAX;

/// Judges the URL of an endpoint: the normalised one, or a sentence about what is wrong with it.
pub type UrlCheck = Box<dyn Fn(&str) -> Result<Url, String> + Send + Sync>;

/// What the pages are made of.
pub struct Parts {
    /// What a person may do.
    pub control: Control,
    /// What makes test calls.
    pub test_calls: TestCalls,
    /// Where replays are counted, begun and looked after.
    pub replays: ReplayDesk,
    /// Who is let in.
    pub sessions: SessionDesk,
    /// What tokens are signed with.
    pub tokens: Arc<TokenKey>,
    /// Which URLs endpoints may have.
    pub urls: UrlCheck,
    /// Who did what.
    pub audit: Arc<dyn Audit>,
    /// What charts are drawn from.
    pub rollups: Arc<dyn Rollups>,
    /// The endpoints of all applications.
    pub directory: Arc<dyn Directory>,
    /// Which of them are left alone for now.
    pub circuits: Arc<dyn Circuits>,
    /// What is nobody's but the installation's: queues, addresses, configuration.
    pub installation: Desks,
    /// The clock.
    pub now: fn() -> Timestamp,
    /// What this server is called by.
    pub public_url: Url,
    /// How the portal looks, and where it may be shown.
    pub brand: Brand,
    /// Pages that one session may ask for in a second; 0 for no limit.
    pub requests_per_second: u16,
}

/// What stands behind the pages.
pub struct Site {
    parts: Parts,
    places: Places,
    forms: Semaphore,
    paces: Paces,
    portal_policy: HeaderValue,
    console_policy: HeaderValue,
}

impl Site {
    /// A site of these parts.
    pub fn new(parts: Parts) -> Self {
        let ancestors = if parts.brand.embed_origins.is_empty() {
            "'none'".to_owned()
        } else {
            parts.brand.embed_origins.join(" ")
        };
        Self {
            places: Places::new(),
            forms: Semaphore::new(FORMS_BYTES),
            paces: Paces::new(parts.requests_per_second, parts.now),
            portal_policy: shield::policy(&ancestors),
            console_policy: shield::policy("'none'"),
            parts,
        }
    }

    pub(super) const fn control(&self) -> &Control {
        &self.parts.control
    }

    pub(super) const fn test_calls(&self) -> &TestCalls {
        &self.parts.test_calls
    }

    pub(super) const fn replays(&self) -> &ReplayDesk {
        &self.parts.replays
    }

    pub(super) const fn sessions(&self) -> &SessionDesk {
        &self.parts.sessions
    }

    pub(super) fn tokens(&self) -> &TokenKey {
        &self.parts.tokens
    }

    pub(super) const fn urls(&self) -> &UrlCheck {
        &self.parts.urls
    }

    pub(super) fn audit(&self) -> &dyn Audit {
        self.parts.audit.as_ref()
    }

    pub(super) fn circuits(&self) -> &dyn Circuits {
        self.parts.circuits.as_ref()
    }

    pub(super) fn rollups(&self) -> &dyn Rollups {
        self.parts.rollups.as_ref()
    }

    pub(super) fn directory(&self) -> &dyn Directory {
        self.parts.directory.as_ref()
    }

    /// Its desks ask for an `Installation`, which is made of the operator's organisation.
    pub(super) const fn installation(&self) -> &Desks {
        &self.parts.installation
    }

    /// How fast a session may ask, and an address try to come in.
    pub(super) const fn paces(&self) -> &Paces {
        &self.paces
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.parts.now)()
    }

    /// What it is called.
    pub(super) fn name(&self) -> &str {
        &self.parts.brand.name
    }

    /// How the portal looks.
    pub(super) const fn brand(&self) -> &Brand {
        &self.parts.brand
    }

    /// Whether it is called over TLS: by what it is called from outside, since a proxy may end it.
    pub(super) fn is_secure(&self) -> bool {
        self.parts.public_url.scheme() == "https"
    }

    /// Whether other sites may show the portal.
    pub(super) fn is_framed(&self) -> bool {
        !self.parts.brand.embed_origins.is_empty()
    }

    /// What browsers call it.
    pub(super) fn origin(&self) -> String {
        self.parts.public_url.origin().ascii_serialization()
    }

    pub(super) const fn policy(&self, portal: bool) -> &HeaderValue {
        if portal { &self.portal_policy } else { &self.console_policy }
    }

    /// A place among the pages that are made where this path leads, if one is free.
    pub(super) fn place(&self, path: &str) -> Option<SemaphorePermit<'_>> {
        self.places.of(path).try_acquire().ok()
    }

    /// Room for so many more bytes of a form, if there is any.
    pub(super) fn room(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        self.forms.try_acquire_many(u32::try_from(bytes).ok()?).ok()
    }
}

/// Places among the pages that are made: apart for tenants, operators and whoever is at a door, so that none of them keeps
/// another out.
struct Places {
    portal: Semaphore,
    console: Semaphore,
    entering: Semaphore,
}

impl Places {
    fn new() -> Self {
        let [portal, console] = [PAGES, PAGES].map(Semaphore::new);
        Self { portal, console, entering: Semaphore::new(ENTERING) }
    }

    fn of(&self, path: &str) -> &Semaphore {
        if session::is_entrance(path) {
            &self.entering
        } else if path.starts_with("/console") {
            &self.console
        } else {
            &self.portal
        }
    }
}

/// Every page there is.
pub fn pages(site: Arc<Site>) -> Router {
    let with = |site: &Arc<Site>| Arc::clone(site);
    let nothing = async || Refusal::NotFound("There is no such page.".into());
    Router::new()
        .merge(portal::pages())
        .merge(operator::pages())
        .route("/portal/enter", get(portal::enter::page).post(portal::enter::enter))
        .route("/portal/leave", post(portal::enter::leave))
        .route("/console/login", get(operator::login::page).post(operator::login::login))
        .route("/console/logout", post(operator::login::logout))
        .route("/portal/", get(async || Redirect::permanent("/portal")))
        .route("/console/", get(async || Redirect::permanent("/console")))
        .route("/portal/{*rest}", any(nothing))
        .route("/console/{*rest}", any(nothing))
        .method_not_allowed_fallback(nothing)
        .route_layer(middleware::from_fn_with_state(with(&site), deeds::written_down))
        .route_layer(middleware::from_fn(shield::from_here))
        .route_layer(middleware::from_fn_with_state(with(&site), session::known))
        .route("/assets/{hash}/{name}", get(assets::get))
        .layer(middleware::from_fn_with_state(with(&site), shield::bounded))
        .with_state(site)
}
