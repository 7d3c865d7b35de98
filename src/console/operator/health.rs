//! The first page: whether events come in and go out, and what keeps them from it.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use crate::console::form::Asked;
use crate::console::frame::{Frame, Section};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{OperatorMay, View};
use crate::console::site::Site;

#[derive(Template)]
#[template(path = "operator/health.html")]
struct Health {
    frame: Frame,
    dead: usize,
}

/// `GET /console`
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let frame = operator.frame(&site, "Health", Section::Overview, &asked);
    shown(&Health { frame, dead: 0 })
}
