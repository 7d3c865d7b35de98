//! The first page: how things stand within a day, and what needs attention.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::endpoints::badge;
use super::names::{Names, name};
use super::settings::delivery_words;
use crate::console::form::Asked;
use crate::console::frame::{Frame, Section};
use crate::console::parts::{Badge, Tone};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{TenantMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::console::views::chart::Bars;
use crate::control::ControlError;
use crate::domain::endpoint::{DisabledBecause, Endpoint, EndpointState};
use crate::domain::settings::DeliverySwitch;
use crate::domain::time::Timestamp;
use crate::storage::directory::DirectoryFilter;
use crate::storage::history::DeliveryFilter;
use crate::storage::page::{Order, Page, Place};
use crate::storage::rollups::{Of, Tally};

/// A bar for each half hour of a day.
const BARS: u32 = 48;
/// How long one counts.
const STEP: Duration = Duration::from_mins(30);
/// Deliveries of a kind that are counted for a card: beyond it "50 or more".
const COUNTED_MAX: usize = 50;
/// What needs attention, at the most.
const TROUBLES_MAX: usize = 20;
/// How long before a key stops signing somebody is told: two days.
const KEY_ENDS: Duration = Duration::from_hours(48);

#[derive(Template)]
#[template(path = "portal/overview.html")]
struct Overview {
    frame: Frame,
    banner: Option<&'static str>,
    endpoints: usize,
    tested: bool,
    day: Tally,
    success_percent: Option<u64>,
    p95_ms: Option<u32>,
    waiting: Counted,
    dead: Counted,
    bars: Bars,
    troubles: Vec<Trouble>,
}

/// How many of a kind, up to a bound.
struct Counted {
    count: usize,
    or_more: bool,
}

/// Something that somebody should look at.
struct Trouble {
    badge: Badge,
    href: String,
    name: Text,
    words: &'static str,
}

/// `GET /portal`
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<View>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let now = site.now();
    let names = Names::of(&tenant).await?;
    let settings = tenant.control.settings_of(tenant.tenant()).await?;
    let of = Of::Tenant(tenant.tenant());
    let spans = site.rollups().tallies(of, now - STEP * (BARS - 1), now, STEP).await;
    let spans = spans.map_err(ControlError::from)?;
    let mut day = Tally::default();
    spans.iter().for_each(|(_, tally)| day.add(tally));
    let banner = match settings.delivery {
        DeliverySwitch::On => None,
        held @ (DeliverySwitch::Hold | DeliverySwitch::Off) => Some(delivery_words(held).1),
    };
    let mut troubles = Vec::new();
    for endpoint in names.all() {
        if troubles.len() < TROUBLES_MAX
            && let Some((badge, words)) = trouble(endpoint, now)
        {
            let href = format!("/portal/endpoints/{}", endpoint.id);
            troubles.push(Trouble { badge, href, name: name(endpoint), words });
        }
    }
    if names.is_cut() {
        troubles.extend(troubles_of_older(&site, &tenant, &names).await?);
        troubles.truncate(TROUBLES_MAX);
    }
    shown(&Overview {
        banner,
        endpoints: names.all().len(),
        tested: day.delivered > 0,
        success_percent: (day.delivered * 100).checked_div(day.all()),
        p95_ms: day.percentile(95),
        waiting: counted(&tenant, "waiting", now).await?,
        dead: counted(&tenant, "dead", now).await?,
        bars: Bars::of("sent", "Requests of the last 24 hours, by half an hour", &spans),
        day,
        troubles,
        frame: tenant.frame(&site, "Overview", Section::Overview, &asked),
    })
}

/// How many deliveries stand so, as far as a look goes.
async fn counted(
    tenant: &TenantMay<View>,
    state: &'static str,
    now: Timestamp,
) -> Result<Counted, Refusal> {
    let filter = DeliveryFilter { state: Some(state), now, ..DeliveryFilter::default() };
    let page = Page { limit: COUNTED_MAX, place: Place::Beginning, order: Order::Descending };
    let listed = tenant.control.deliveries(tenant.tenant(), &filter, &page).await?;
    Ok(Counted { count: listed.rows.len(), or_more: listed.beyond.is_some() })
}

/// Endpoints that are not called and older than those that have a name here.
async fn troubles_of_older(
    site: &Site,
    tenant: &TenantMay<View>,
    names: &Names,
) -> Result<Vec<Trouble>, Refusal> {
    let own = &tenant.application;
    let mut troubles = Vec::new();
    for state in [EndpointState::Disabled, EndpointState::Paused] {
        // The text may stand elsewhere, too: whose an entry is, it says itself.
        let text = Some(own.id.to_string());
        let filter = DirectoryFilter { state: Some(state), text, ..DirectoryFilter::default() };
        let page = Page { limit: TROUBLES_MAX, place: Place::Beginning, order: Order::Descending };
        let listed = site.directory().everywhere(own.organisation, &filter, &page).await;
        let listed = listed.map_err(ControlError::from)?;
        let older = listed.rows.into_iter();
        let older = older.filter(|one| one.application == own.id && names.name(one.id).is_none());
        troubles.extend(older.filter_map(|one| {
            let said = Some(one.description).filter(|said| !said.is_empty());
            Some(Trouble {
                badge: badge(one.state),
                href: format!("/portal/endpoints/{}", one.id),
                name: Text::line(&said.or(one.uid).unwrap_or(one.url)),
                words: not_called(one.state, one.because)?,
            })
        }));
    }
    Ok(troubles)
}

/// Why somebody should look at an endpoint, if anybody should.
fn trouble(endpoint: &Endpoint, now: Timestamp) -> Option<(Badge, &'static str)> {
    if let Some(words) = not_called(endpoint.state, endpoint.disabled_because) {
        return Some((badge(endpoint.state), words));
    }
    let ends = |at: Timestamp| at > now && at.since(now) < KEY_ENDS;
    let ending = endpoint.keys.iter().any(|key| key.expires_at.is_some_and(ends));
    ending.then_some((
        Badge::new(Tone::Warn, "key ends"),
        "An older signing key signs for two more days at the most: its receiver should have the new one.",
    ))
}

/// Why an endpoint is not called, in a sentence; `None` for one that is.
const fn not_called(
    state: EndpointState,
    because: Option<DisabledBecause>,
) -> Option<&'static str> {
    Some(match (state, because) {
        (EndpointState::Disabled, Some(DisabledBecause::Failing)) => {
            "It did nothing but fail for days, and is called no more."
        }
        (EndpointState::Disabled, Some(DisabledBecause::Gone)) => {
            "It said that it is gone for good, and is called no more."
        }
        (EndpointState::Disabled, Some(DisabledBecause::Asked) | None) => {
            "It is disabled, and owed nothing new."
        }
        (EndpointState::Paused, _) => "It is paused: what it is owed waits.",
        (EndpointState::Active, _) => return None,
    })
}
