//! The catalogue of event types: the list, and each with its payload's properties and an example.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::endpoints::badge;
use super::names::{Names, name};
use crate::console::form::Asked;
use crate::console::frame::{Frame, Section};
use crate::console::parts::Badge;
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{TenantMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::console::views::event_type::{self, EventTypeView};
use crate::console::views::pager::{self, Pager};
use crate::storage::page::Order;

#[derive(Template)]
#[template(path = "portal/event_types.html")]
struct EventTypes {
    frame: Frame,
    rows: Vec<(Text, Option<Badge>, Text, bool)>,
    pager: Pager,
}

#[derive(Template)]
#[template(path = "portal/event_type.html")]
struct One {
    frame: Frame,
    event_type: EventTypeView,
    name: Text,
    wanted_by: Vec<(String, Text, Badge)>,
    can_send: bool,
}

/// `GET /portal/event-types`
pub(super) async fn list(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<View>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let page = pager::asked_for::<String>(&asked, Order::Ascending)?;
    let and_one = pager::and_one_more(&page);
    let rows = tenant.control.event_type_page(&tenant.caller(), false, &and_one).await?;
    let listed = pager::cut(&page, rows, |one| one.name.clone());
    let row = |one: &crate::domain::event_type::EventTypeEntry| {
        let badge = event_type::badge(one);
        (Text::line(&one.name), badge, Text::line(&one.description), one.schemas.is_some())
    };
    shown(&EventTypes {
        frame: tenant.frame(&site, "Event types", Section::EventTypes, &asked),
        rows: listed.rows.iter().map(row).collect(),
        pager: Pager::of(&asked, &page, &listed, |one| one.name.clone()),
    })
}

/// `GET /portal/event-types/{name}`
pub(super) async fn one(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<View>,
    Asked(asked): Asked,
    Path(wanted): Path<String>,
) -> Result<Response, Refusal> {
    let entry = tenant.control.event_type_for(&tenant.caller(), &wanted).await?;
    let names = Names::of(&tenant).await?;
    let event_type = entry.name.parse().ok();
    let wants = |filter: &crate::domain::filter::Filter| {
        event_type.as_ref().is_some_and(|event_type| filter.wants(event_type))
    };
    let those = names.all().iter().filter(|one| wants(&one.filter));
    let those =
        those.map(|one| (format!("/portal/endpoints/{}", one.id), name(one), badge(one.state)));
    let example = entry.schemas.as_ref().and_then(|all| all.pointer("/1/examples/0"));
    shown(&One {
        frame: tenant.frame(&site, &entry.name, Section::EventTypes, &asked),
        event_type: EventTypeView::of(&entry),
        name: Text::line(&entry.name),
        wanted_by: those.collect(),
        can_send: example.is_some_and(serde_json::Value::is_object),
    })
}
