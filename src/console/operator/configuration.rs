//! The settings that hold: what each says, where that came from, and which of them are not safe.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use crate::console::form::Asked;
use crate::console::frame::{Frame, Section};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{OperatorMay, View};
use crate::console::site::Site;
use crate::console::text::Text;

#[derive(Template)]
#[template(path = "operator/configuration.html")]
struct Configuration {
    frame: Frame,
    dangers: usize,
    only_set: bool,
    rows: Vec<Row>,
}

struct Row {
    key: &'static str,
    value: Text,
    origin: Text,
    is_set: bool,
    default: &'static str,
    accepted: &'static str,
    doc: &'static str,
    danger: Option<&'static str>,
}

/// `GET /console/configuration`
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let leave = operator.installation()?;
    let all = site.installation().configuration.settings(leave);
    let only_set = asked.one("set").is_some();
    let rows = all.iter().filter(|one| !only_set || one.is_set()).map(|one| Row {
        key: one.key,
        value: Text::line(&one.value),
        origin: Text::line(&one.origin),
        is_set: one.is_set(),
        default: one.default,
        accepted: one.accepted,
        doc: one.doc,
        danger: one.danger,
    });
    shown(&Configuration {
        frame: operator.frame(&site, "Configuration", Section::Settings, &asked),
        dangers: all.iter().filter(|one| one.danger.is_some()).count(),
        only_set,
        rows: rows.collect(),
    })
}
