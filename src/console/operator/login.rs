//! An operator's way in: an organisation's token, once, for a session. What the token may, the session may.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse as _, Redirect, Response};

use crate::console::assets;
use crate::console::form::Sent;
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{OperatorMay, View};
use crate::console::session::{self, CONSOLE_LOGIN, Realm};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::control::tokens::{Caller, Holder};

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
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let token = form.one("token").unwrap_or_default();
    let now = site.now();
    let Some(Holder { caller: Caller::Organisation(organisation), capabilities, expires_at }) =
        site.tokens().holder(token, now)
    else {
        let page = shown(&Login::new(&site, true))?;
        return Ok((StatusCode::UNAUTHORIZED, page).into_response());
    };
    // No longer than the token: who is to be out by then is out.
    let span = expires_at.since(now);
    let secret = site.sessions().begin(organisation, capabilities, span).await?;
    let cookie = session::given(&site, Realm::Console, &secret);
    Ok(([(SET_COOKIE, cookie)], Redirect::to("/console")).into_response())
}

/// `POST /console/logout`
pub(in crate::console) async fn logout(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
) -> Result<Response, Refusal> {
    site.sessions().end(operator.guest.secret()).await?;
    let headers = [(SET_COOKIE, session::taken(&site, Realm::Console))];
    Ok((headers, Redirect::to(CONSOLE_LOGIN)).into_response())
}
