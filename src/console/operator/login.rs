//! An operator's way in: an organisation's token, once, for a session. What the token may, the session may.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse as _, Redirect, Response};

use crate::console::assets;
use crate::console::deeds::{self, Comer};
use crate::console::form::Sent;
use crate::console::refusal::{Refusal, shown};
use crate::console::session::{self, CONSOLE_LOGIN, Guest, Realm};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::control::pace::Peer;
use crate::control::tokens::{Caller, Holder};
use crate::domain::id::OrganisationId;
use crate::storage::audit::STRANGER;

#[derive(Template)]
#[template(path = "operator/login.html")]
struct Login {
    style: String,
    site: Text,
    refused: bool,
}

impl Login {
    fn new(site: &Site, refused: bool) -> Self {
        Self { style: assets::style(), site: Text::line(site.name()), refused }
    }
}

/// `GET /console/login`
pub(in crate::console) async fn page(State(site): State<Arc<Site>>) -> Result<Response, Refusal> {
    shown(&Login::new(&site, false))
}

/// `POST /console/login`
pub(in crate::console) async fn login(
    State(site): State<Arc<Site>>,
    peer: Option<Extension<Peer>>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let peer = peer.map(|Extension(peer)| peer);
    let token = form.one("token").unwrap_or_default();
    let now = site.now();
    let comer = |organisation, actor| Comer { organisation, actor, label: None, peer };
    let (comer, let_in) = match site.tokens().holder(token, now) {
        Some(Holder { caller: Caller::Organisation(organisation), capabilities, expires_at }) => {
            // No longer than the token: who is to be out by then is out.
            let let_in = (organisation, capabilities, expires_at.since(now));
            (comer(organisation, organisation.to_string()), Some(let_in))
        }
        Some(Holder { caller: Caller::Application { organisation, application, .. }, .. }) => {
            (comer(organisation, application.to_string()), None)
        }
        None => (comer(OrganisationId::DEFAULT, STRANGER.to_owned()), None),
    };
    if let (None, Some(Peer(address))) = (&let_in, peer) {
        // Before it is written down: the log is not to be filled by whoever guesses.
        site.paces().fails(address).map_err(Refusal::TooFast)?;
    }
    deeds::at_the_door(&site, CONSOLE_LOGIN, comer, async {
        let Some((organisation, capabilities, span)) = let_in else {
            let page = shown(&Login::new(&site, true))?;
            return Ok((StatusCode::UNAUTHORIZED, page).into_response());
        };
        let secret = site.sessions().begin(organisation, capabilities, span).await?;
        let cookie = session::given(&site, Realm::Console, &secret);
        Ok(([(SET_COOKIE, cookie)], Redirect::to("/console")).into_response())
    })
    .await
}

/// `POST /console/logout`
pub(in crate::console) async fn logout(
    State(site): State<Arc<Site>>,
    guest: Option<Extension<Arc<Guest>>>,
) -> Result<Response, Refusal> {
    if let Some(Extension(guest)) = guest {
        site.sessions().end(guest.secret()).await?;
    }
    let headers = session::left(&site, Realm::Console);
    Ok((headers, Redirect::to(CONSOLE_LOGIN)).into_response())
}
