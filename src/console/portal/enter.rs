//! Coming in by a link, and leaving.
//!
//! The code stands in the part of the address that a browser keeps to itself, so it is in no log on its way. A look at the page
//! uses nothing up (programs that look at links in mails do that); the form does, which the script fills and a person sends.

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
use crate::console::session::{self, Guest, PORTAL_LOGIN, Realm};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::control::pace::Peer;

#[derive(Template)]
#[template(path = "portal/enter.html")]
struct Enter {
    style: String,
    script: String,
    site: Text,
    refused: bool,
}

impl Enter {
    fn new(site: &Site, refused: bool) -> Self {
        let site = Text::line(site.name());
        Self { style: assets::style(), script: assets::enter(), site, refused }
    }
}

/// Where a link leads.
pub(in crate::console) async fn page(State(site): State<Arc<Site>>) -> Result<Response, Refusal> {
    shown(&Enter::new(&site, false))
}

/// Opens it.
pub(in crate::console) async fn enter(
    State(site): State<Arc<Site>>,
    peer: Option<Extension<Peer>>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let peer = peer.map(|Extension(peer)| peer);
    let code = form.one("token").unwrap_or_default();
    // A look first: what is invented writes nothing, and is nobody's deed.
    let Some(visitor) = site.sessions().behind(code).await? else {
        return refused(&site, peer);
    };
    let organisation = visitor.organisation;
    let actor = visitor.application.map_or_else(|| organisation.to_string(), |id| id.to_string());
    let comer = Comer { organisation, actor, label: visitor.label, peer };
    deeds::at_the_door(&site, PORTAL_LOGIN, comer, async {
        let Some((secret, _)) = site.sessions().enter(code).await? else {
            return refused(&site, peer); // somebody was faster
        };
        let cookie = session::given(&site, Realm::Portal, &secret);
        Ok(([(SET_COOKIE, cookie)], Redirect::to("/portal")).into_response())
    })
    .await
}

fn refused(site: &Site, peer: Option<Peer>) -> Result<Response, Refusal> {
    if let Some(Peer(address)) = peer {
        site.paces().fails(address).map_err(Refusal::TooFast)?;
    }
    let page = shown(&Enter::new(site, true))?;
    Ok((StatusCode::UNAUTHORIZED, page).into_response())
}

/// Ends the session: whatever it may, and also when its application is gone.
pub(in crate::console) async fn leave(
    State(site): State<Arc<Site>>,
    guest: Option<Extension<Arc<Guest>>>,
) -> Result<Response, Refusal> {
    if let Some(Extension(guest)) = guest {
        site.sessions().end(guest.secret()).await?;
    }
    let headers = session::left(&site, Realm::Portal);
    Ok((headers, Refusal::LoggedOut(PORTAL_LOGIN)).into_response())
}
