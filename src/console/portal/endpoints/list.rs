//! The list of endpoints, with how each has done within a day.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::head::{around_host, badge};
use crate::console::form::Asked;
use crate::console::frame::{Frame, Section};
use crate::console::parts::{Badge, When};
use crate::console::portal::names::{Names, name};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{TenantMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::console::views::pager::{self, Pager};
use crate::control::ControlError;
use crate::control::tracking::told;
use crate::domain::endpoint::Endpoint;
use crate::domain::id::EndpointId;
use crate::storage::history::AttemptFilter;
use crate::storage::page::{Listed, Order, Page, Place};
use crate::storage::rollups::{Of, Tally};

/// Fields of the address that choose among endpoints.
const FILTERS: [&str; 3] = ["state", "type", "q"];
/// Endpoints on a page: fewer than rows of other lists, for each asks after its own day.
const ROWS: usize = 25;

#[derive(Template)]
#[template(path = "portal/endpoints.html")]
struct Endpoints {
    frame: Frame,
    rows: Vec<Row>,
    pager: Option<Pager>,
    filtered: bool,
    state: Text,
    event_type: Text,
    text: Text,
    more: bool,
}

struct Row {
    href: String,
    name: Text,
    url: (Text, Text, Text),
    badge: Badge,
    wants: Text,
    all: u64,
    success_percent: Option<u64>,
    given_up: u64,
    failure: Option<(When, Text)>,
    rate: Option<u32>,
}

/// `GET /portal/endpoints`
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<View>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let filtered = asked.says(&FILTERS);
    let (endpoints, pager, more) = if filtered {
        // Among the newest: whoever has more of them than that goes by the API.
        let names = Names::of(&tenant).await?;
        let state = asked.one("state");
        let event_type = asked.one("type").and_then(|name| name.parse().ok());
        let text = asked.one("q").map(str::to_lowercase);
        let is_it = |one: &&Endpoint| {
            state.is_none_or(|word| one.state.as_str() == word)
                && event_type.as_ref().is_none_or(|wanted| one.filter.wants(wanted))
                && text.as_ref().is_none_or(|text| {
                    let uid = one.uid.as_deref().unwrap_or_default();
                    let all = [one.url.as_str(), &one.description, uid, &one.id.to_string()];
                    all.iter().any(|part| part.to_lowercase().contains(text))
                })
        };
        let mut found = names.all().iter().filter(is_it);
        let rows: Vec<_> = found.by_ref().take(ROWS).cloned().collect();
        let more = found.next().is_some();
        (rows, None, more)
    } else {
        let page =
            Page { limit: ROWS, ..pager::asked_for::<EndpointId>(&asked, Order::Descending)? };
        let and_one = pager::and_one_more(&page);
        let rows = tenant.control.endpoint_page(tenant.tenant(), &and_one).await?;
        let listed = pager::cut(&page, rows, |one| one.id);
        let pager = Pager::of(&asked, &page, &listed, |one| one.id);
        let Listed { rows, .. } = listed;
        (rows, Some(pager), false)
    };
    let mut rows = Vec::with_capacity(endpoints.len());
    for endpoint in &endpoints {
        rows.push(row(&site, &tenant, endpoint).await?);
    }
    let typed = |name| Text::typed(asked.one(name).unwrap_or_default());
    shown(&Endpoints {
        frame: tenant.frame(&site, "Endpoints", Section::Endpoints, &asked),
        rows,
        pager,
        filtered,
        state: typed("state"),
        event_type: typed("type"),
        text: typed("q"),
        more,
    })
}

async fn row(site: &Site, tenant: &TenantMay<View>, endpoint: &Endpoint) -> Result<Row, Refusal> {
    const DAY: Duration = Duration::from_hours(24);
    const STEP: Duration = Duration::from_hours(2);
    let (now, of) = (site.now(), Of::Endpoint(tenant.tenant(), endpoint.id));
    let spans = site.rollups().tallies(of, now - DAY, now, STEP).await;
    let mut day = Tally::default();
    spans.map_err(ControlError::from)?.iter().for_each(|(_, tally)| day.add(tally));
    let failure = if day.failed + day.given_up > 0 {
        let failed = AttemptFilter { success: Some(false), ..AttemptFilter::default() };
        let last = Page { limit: 1, place: Place::Beginning, order: Order::Descending };
        let whose = tenant.tenant();
        let found = tenant.control.attempts_at(whose, endpoint.id, &failed, &last, false).await?;
        found.rows.first().map(|entry| {
            let one = &entry.attempt;
            let words = if one.status == 0 {
                told(&one.outcome, &one.url).replace('_', " ")
            } else {
                one.status.to_string()
            };
            (When(one.started_at), Text::line(&words))
        })
    } else {
        None
    };
    Ok(Row {
        href: format!("/portal/endpoints/{}", endpoint.id),
        name: name(endpoint),
        url: around_host(&endpoint.url),
        badge: badge(endpoint.state),
        wants: Text::line(&endpoint.filter.to_string()),
        all: day.all(),
        success_percent: (day.delivered * 100).checked_div(day.all()),
        given_up: day.given_up,
        failure,
        rate: endpoint.throttle_rate.map(std::num::NonZeroU32::get),
    })
}
