//! The first page: how things stand, and what needs attention.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use crate::console::form::Asked;
use crate::console::frame::{Frame, Section};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{TenantMay, View};
use crate::console::site::Site;
use crate::storage::page::{Order, Page, Place};

#[derive(Template)]
#[template(path = "portal/overview.html")]
struct Overview {
    frame: Frame,
    endpoints: usize,
}

/// `GET /portal`
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<View>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let first = Page { limit: 250, place: Place::Beginning, order: Order::Ascending };
    let endpoints = tenant.control.endpoint_page(tenant.tenant(), &first).await?.len();
    let frame = tenant.frame(&site, "Overview", Section::Overview, &asked);
    shown(&Overview { frame, endpoints })
}
