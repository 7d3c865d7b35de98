//! What is done to an endpoint: pausing, resuming, disabling, enabling, deleting. What takes something away is asked for
//! on a page of its own first.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};

use crate::console::form::{Fields, Sent};
use crate::console::frame::Section;
use crate::console::portal::names::name;
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{Manage, TenantMay};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::console::views::confirm::Confirm;
use crate::control::endpoints::EndpointEdit;
use crate::domain::endpoint::Endpoint;

fn back(endpoint: &Endpoint, done: &str) -> Response {
    Redirect::to(&format!("/portal/endpoints/{}?done={done}", endpoint.id)).into_response()
}

/// `POST …/pause`
pub(super) async fn pause(
    tenant: TenantMay<Manage>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let endpoint = tenant.control.pause_endpoint_of(tenant.tenant(), &name).await?;
    Ok(back(&endpoint, "paused"))
}

/// `POST …/resume`
pub(super) async fn resume(
    tenant: TenantMay<Manage>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let (endpoint, _) = tenant.control.resume_endpoint_of(tenant.tenant(), &name).await?;
    Ok(back(&endpoint, "resumed"))
}

/// `POST …/enable`
pub(super) async fn enable(
    tenant: TenantMay<Manage>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let (endpoint, _) = tenant.control.resume_endpoint_of(tenant.tenant(), &name).await?;
    Ok(back(&endpoint, "enabled"))
}

/// `GET …/disable`
pub(super) async fn ask_disable(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<Manage>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let endpoint = tenant.control.endpoint_of(tenant.tenant(), &name).await?;
    let here = format!("/portal/endpoints/{}", endpoint.id);
    let title = "Disable this endpoint?";
    shown(&Confirm {
        frame: tenant.frame(&site, title, Section::Endpoints, &Fields::default()),
        object: object(&endpoint),
        effects: [
            "It is called no more, and owed nothing new: events of this time are never sent to it by themselves.",
            "What it is owed already waits until it is enabled.",
            "To keep what comes meanwhile, pause it instead.",
        ]
        .map(Text::line)
        .to_vec(),
        action: format!("{here}/disable"),
        button: "Disable it",
        back: here,
        typed: None,
        wrong: false,
        fields: Vec::new(),
    })
}

/// `POST …/disable`
pub(super) async fn disable(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<Manage>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let edit = EndpointEdit { disabled: Some(true), ..EndpointEdit::default() };
    let urls = site.urls().as_ref();
    let endpoint = tenant.control.edit_endpoint_of(tenant.tenant(), &name, edit, urls).await?;
    Ok(back(&endpoint, "disabled"))
}

/// `GET …/delete`
pub(super) async fn ask_delete(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<Manage>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let endpoint = tenant.control.endpoint_of(tenant.tenant(), &name).await?;
    asked_to_delete(&site, &tenant, &endpoint, false)
}

fn asked_to_delete(
    site: &Site,
    tenant: &TenantMay<Manage>,
    endpoint: &Endpoint,
    wrong: bool,
) -> Result<Response, Refusal> {
    let here = format!("/portal/endpoints/{}", endpoint.id);
    let title = "Delete this endpoint?";
    shown(&Confirm {
        frame: tenant.frame(site, title, Section::Endpoints, &Fields::default()),
        object: object(endpoint),
        effects: [
            "It is called no more, from now on.",
            "What it is still owed is taken back, and never sent.",
            "Its keys are gone. What was sent to it stays on record.",
        ]
        .map(Text::line)
        .to_vec(),
        action: format!("{here}/delete"),
        button: "Delete it",
        back: here,
        typed: Some(Text::typed(&typed(endpoint))),
        wrong,
        fields: Vec::new(),
    })
}

/// `POST …/delete`
pub(super) async fn delete(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<Manage>,
    Path(name): Path<String>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let endpoint = tenant.control.endpoint_of(tenant.tenant(), &name).await?;
    if form.one("typed") != Some(typed(&endpoint).as_str()) {
        let page = asked_to_delete(&site, &tenant, &endpoint, true)?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    tenant.control.delete_endpoint_of(tenant.tenant(), &endpoint.id.to_string()).await?;
    Ok(Redirect::to("/portal/endpoints?done=deleted").into_response())
}

/// What has to be typed to delete it: the name that its owner gave it, else its id.
fn typed(endpoint: &Endpoint) -> String {
    endpoint.uid.clone().unwrap_or_else(|| endpoint.id.to_string())
}

fn object(endpoint: &Endpoint) -> Text {
    Text::line(&format!("1 endpoint: {}, {}", name(endpoint), endpoint.url))
}
