//! An endpoint's own pages: its deliveries, its settings as they come out, its health, and who did what to it.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::head::Head;
use crate::console::form::{Asked, Fields};
use crate::console::frame::{Frame, Section};
use crate::console::parts::When;
use crate::console::portal::deliveries::DeliveryRows;
use crate::console::portal::history::{self, Entry};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{TenantMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::console::views::chart::{Bars, Durations};
use crate::console::views::pager::{self, Pager};
use crate::control::ControlError;
use crate::control::tracking::told;
use crate::domain::auth::Auth;
use crate::domain::delivery::DeliveryKey;
use crate::domain::endpoint::Endpoint;
use crate::domain::policy::{Format, Guarantee, OnExhausted};
use crate::storage::audit::Deed;
use crate::storage::history::{AttemptFilter, DeliveryEntry, DeliveryFilter};
use crate::storage::page::{Order, Page, Place};
use crate::storage::rollups::{Of, Tally};

/// Failures that the page of its health shows.
const FAILURES: usize = 10;

#[derive(Template)]
#[template(path = "portal/endpoint_deliveries.html")]
struct Deliveries {
    frame: Frame,
    head: Head,
    states: Vec<(String, &'static str, bool)>,
    rows: DeliveryRows,
    all: String,
}

#[derive(Template)]
#[template(path = "portal/endpoint_settings.html")]
struct Settings {
    frame: Frame,
    head: Head,
    description: Text,
    uid: Option<Text>,
    wants: Text,
    channels: Vec<Text>,
    headers: Vec<Text>,
    auth: Option<&'static str>,
    throttle_rate: Option<u32>,
    timeout_ms: u32,
    max_in_flight: u16,
    attempts: u32,
    waits: Text,
    guarantee: &'static str,
    format: &'static str,
    exhausted: &'static str,
    circuit_breaker: bool,
    created_at: When,
    updated_at: When,
}

#[derive(Template)]
#[template(path = "portal/endpoint_health.html")]
struct Health {
    frame: Frame,
    head: Head,
    long: bool,
    all: Tally,
    success_percent: Option<u64>,
    bars: Bars,
    durations: Durations,
    failures: Vec<Failure>,
}

struct Failure {
    at: When,
    href: String,
    status: u16,
    error: Text,
    detail: Text,
}

#[derive(Template)]
#[template(path = "portal/endpoint_history.html")]
struct History {
    frame: Frame,
    head: Head,
    entries: Vec<Entry>,
}

async fn found(tenant: &TenantMay<View>, name: &str) -> Result<Endpoint, Refusal> {
    Ok(tenant.control.endpoint_of(tenant.tenant(), name).await?)
}

/// `GET /portal/endpoints/{endpoint}`
pub(super) async fn deliveries(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<View>,
    Asked(asked): Asked,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let endpoint = found(&tenant, &name).await?;
    let wanted = asked.one("state").unwrap_or_default();
    let state = DeliveryEntry::WORDS.into_iter().find(|word| *word == wanted);
    let filter = DeliveryFilter {
        endpoint: Some(endpoint.id),
        state,
        now: site.now(),
        ..DeliveryFilter::default()
    };
    let page = pager::asked_for::<DeliveryKey>(&asked, Order::Descending)?;
    let listed = tenant.control.deliveries(tenant.tenant(), &filter, &page).await?;
    let pager = Pager::of(&asked, &page, &listed, |row| row.key);
    let id = endpoint.id.to_string();
    let filters =
        Fields::of(vec![("endpoint".into(), id.clone()), ("state".into(), wanted.into())]);
    let words = ["delivered", "waiting", "pending", "dead"];
    let tabs = words.map(|word| (format!("?state={word}"), word, word == wanted));
    let all = ("?".to_owned(), "all", wanted.is_empty());
    shown(&Deliveries {
        frame: tenant.frame(&site, "Endpoint", Section::Endpoints, &asked),
        head: Head::of(&endpoint, "deliveries").with_circuit(&site),
        states: std::iter::once(all).chain(tabs).collect(),
        rows: DeliveryRows::of(&listed, pager, None, &filters),
        all: format!("/portal/deliveries?endpoint={id}"),
    })
}

/// `GET /portal/endpoints/{endpoint}/settings`
pub(super) async fn settings(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<View>,
    Asked(asked): Asked,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let endpoint = found(&tenant, &name).await?;
    let policy = &endpoint.policy;
    shown(&Settings {
        frame: tenant.frame(&site, "Endpoint's settings", Section::Endpoints, &asked),
        head: Head::of(&endpoint, "settings").with_circuit(&site),
        description: Text::line(&endpoint.description),
        uid: endpoint.uid.as_deref().map(Text::line),
        wants: Text::line(&endpoint.filter.to_string()),
        channels: endpoint.channels.iter().map(|name| Text::line(name)).collect(),
        headers: endpoint.headers.iter().map(|(name, _)| Text::line(name)).collect(),
        auth: endpoint.auth.as_ref().map(Auth::kind),
        throttle_rate: endpoint.throttle_rate.map(std::num::NonZeroU32::get),
        timeout_ms: policy.timeout_ms,
        max_in_flight: policy.max_in_flight.get(),
        attempts: policy.retry.max_attempts(),
        waits: Text::line(&super::span::written(policy.retry.waits_ms())),
        guarantee: match policy.guarantee {
            Guarantee::AtLeastOnce => "at least once: perhaps twice, with the same webhook-id",
            Guarantee::AtMostOnce => "at most once: perhaps not at all",
        },
        format: match policy.format {
            Format::Passthrough => "the payload, to the byte",
            Format::Standard => "an object with id, type, timestamp and data",
            Format::Cloudevents => "a CloudEvent",
            Format::CloudeventsBinary => "the payload, with a CloudEvent's attributes as headers",
        },
        circuit_breaker: policy.circuit_breaker,
        exhausted: match policy.on_exhausted {
            OnExhausted::DeadLetter => "it is kept, and can be replayed",
            OnExhausted::Drop => "it is only on record",
        },
        created_at: When(endpoint.created_at),
        updated_at: When(endpoint.updated_at),
    })
}

/// `GET /portal/endpoints/{endpoint}/health`
pub(super) async fn health(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<View>,
    Asked(asked): Asked,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let endpoint = found(&tenant, &name).await?;
    let long = asked.one("within") == Some("7d");
    // 48 bars of half an hour, or 84 of two hours.
    let (step, bars) = if long { (120, 84) } else { (30, 48) };
    let (now, step) = (site.now(), Duration::from_mins(step));
    let of = Of::Endpoint(tenant.tenant(), endpoint.id);
    let since = now - step * (bars - 1);
    let spans = site.rollups().tallies(of, since, now, step).await.map_err(ControlError::from)?;
    let mut all = Tally::default();
    for (_, tally) in &spans {
        all.add(tally);
    }
    let failed = AttemptFilter { success: Some(false), ..AttemptFilter::default() };
    let last = Page { limit: FAILURES, place: Place::Beginning, order: Order::Descending };
    let listed =
        tenant.control.attempts_at(tenant.tenant(), endpoint.id, &failed, &last, false).await?;
    let failures = listed.rows.iter().map(|entry| Failure {
        at: When(entry.attempt.started_at),
        href: format!(
            "/portal/deliveries/{}/{}?attempt={}",
            entry.event, entry.endpoint, entry.attempt.id
        ),
        status: entry.attempt.status,
        error: Text::line(&told(&entry.attempt.outcome, &entry.attempt.url).replace('_', " ")),
        detail: Text::line(&entry.attempt.detail),
    });
    shown(&Health {
        frame: tenant.frame(&site, "Endpoint's health", Section::Endpoints, &asked),
        head: Head::of(&endpoint, "health").with_circuit(&site),
        long,
        success_percent: (all.delivered * 100).checked_div(all.all()),
        bars: Bars::of("sent", "Requests", &spans),
        durations: Durations::of(
            "took",
            "How long requests took",
            &spans,
            Some(endpoint.policy.timeout_ms),
        ),
        all,
        failures: failures.collect(),
    })
}

/// `GET /portal/endpoints/{endpoint}/history`
pub(super) async fn history(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<View>,
    Asked(asked): Asked,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let endpoint = found(&tenant, &name).await?;
    let is_it = |deed: &Deed| history::is_about(deed, &tenant.application, &endpoint);
    let entries = history::entries(&site, &tenant, is_it).await?;
    shown(&History {
        frame: tenant.frame(&site, "Endpoint's history", Section::Endpoints, &asked),
        head: Head::of(&endpoint, "history").with_circuit(&site),
        entries,
    })
}
