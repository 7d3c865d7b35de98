//! Coming in by a link, and leaving.
//!
//! The code stands in the part of the address that a browser keeps to itself, so it is in no log on its way. A look at the page
//! uses nothing up (programs that look at links in mails do that); the form does, which the script fills and a person sends.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse as _, Redirect, Response};

use crate::console::assets;
use crate::console::form::Sent;
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{TenantMay, View};
use crate::console::session::{self, Realm};
use crate::console::site::Site;
use crate::console::text::Text;

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
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let code = form.one("token").unwrap_or_default();
    match site.sessions().enter(code).await? {
        Some((secret, _)) => {
            let cookie = session::given(&site, Realm::Portal, &secret);
            Ok(([(SET_COOKIE, cookie)], Redirect::to("/portal")).into_response())
        }
        None => {
            let page = shown(&Enter::new(&site, true))?;
            Ok((StatusCode::UNAUTHORIZED, page).into_response())
        }
    }
}

/// Ends the session.
pub(in crate::console) async fn leave(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<View>,
) -> Result<Response, Refusal> {
    site.sessions().end(tenant.guest.secret()).await?;
    let headers = [(SET_COOKIE, session::taken(&site, Realm::Portal))];
    Ok((headers, Refusal::LoggedOut(session::PORTAL_LOGIN)).into_response())
}
