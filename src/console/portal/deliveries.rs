//! Deliveries: the list with its filters, all of them in the address, so that a view can be sent to a colleague.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use askama::filters::HtmlSafe;
use axum::extract::State;
use axum::response::Response;

use super::names::{Choice, Names};
use crate::console::form::{Asked, Fields};
use crate::console::frame::{Frame, Section};
use crate::console::parts::{Badge, When};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{TenantMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::console::views::pager::{self, Pager};
use crate::control::tracking::last_error;
use crate::domain::delivery::DeliveryKey;
use crate::domain::time::Timestamp;
use crate::storage::history::{DeliveryEntry, DeliveryFilter, EventFilter};
use crate::storage::page::{Listed, Order};

/// Fields of the address that choose among deliveries.
pub(super) const FILTERS: [&str; 5] = ["state", "endpoint", "type", "subject", "within"];

/// How far back one may choose to look: word, words, hours.
const SPANS: [(&str, &str, u64); 4] = [
    ("1h", "the last hour", 1),
    ("24h", "24 hours", 24),
    ("7d", "7 days", 168),
    ("30d", "30 days", 720),
];

#[derive(Template)]
#[template(path = "portal/deliveries.html")]
struct Deliveries {
    frame: Frame,
    states: Vec<StateTab>,
    endpoints: Vec<Choice>,
    cut: bool,
    spans: Vec<(&'static str, &'static str, bool)>,
    event_type: Text,
    subject: Text,
    state: Text,
    filtered: bool,
    rows: DeliveryRows,
}

/// A way to look at them by how they stand.
struct StateTab {
    href: String,
    word: &'static str,
    here: bool,
}

/// A table of deliveries with its ends.
#[derive(Template)]
#[template(path = "portal/delivery_rows.html")]
pub(super) struct DeliveryRows {
    rows: Vec<Row>,
    pager: Pager,
    goes_on: bool,
    with_endpoint: bool,
}

impl HtmlSafe for DeliveryRows {}

struct Row {
    href: String,
    badge: Badge,
    event_type: Text,
    event: String,
    subject: Option<Text>,
    endpoint: Option<Text>,
    url: Option<Text>,
    attempts: u32,
    status: Option<u16>,
    error: Option<Text>,
    next_at: Option<When>,
    created_at: When,
}

impl DeliveryRows {
    /// A page of a list; `filters` are handed on to each delivery's own page.
    pub(super) fn of(
        listed: &Listed<DeliveryEntry, DeliveryKey>,
        pager: Pager,
        names: Option<&Names>,
        filters: &Fields,
    ) -> Self {
        let query = filters.without(&["after", "before", "done"]).with("", "");
        let row = |entry: &DeliveryEntry| row(entry, names, &query);
        Self {
            rows: listed.rows.iter().map(row).collect(),
            goes_on: listed.beyond.is_some(),
            with_endpoint: names.is_some(),
            pager,
        }
    }

    /// Whether there is nothing to see.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether there may be something beyond.
    pub(super) fn goes_on(&self) -> bool {
        self.goes_on
    }
}

/// The page of a delivery.
pub(super) fn path(key: DeliveryKey) -> String {
    format!("/portal/deliveries/{}/{}", key.event, key.endpoint)
}

fn row(entry: &DeliveryEntry, names: Option<&Names>, query: &str) -> Row {
    let ended = entry.ended();
    Row {
        href: format!("{}?{query}", path(entry.key)),
        badge: Badge::delivery(entry.state()),
        event_type: Text::line(&entry.event_type),
        event: entry.key.event.to_string(),
        subject: entry.subject.as_deref().map(Text::line),
        endpoint: names.and_then(|names| names.name(entry.key.endpoint)),
        url: entry.url.as_deref().map(Text::line),
        attempts: entry.attempts(),
        status: ended.map(|last| last.status).filter(|status| *status > 0),
        error: last_error(entry).map(|error| Text::line(&error.replace('_', " "))),
        next_at: entry.standing.state.next_attempt().map(When),
        created_at: When(entry.created_at),
    }
}

/// What the address chooses.
///
/// # Errors
/// When it says what nobody offers.
pub(super) async fn filter<R>(
    tenant: &TenantMay<R>,
    asked: &Fields,
    now: Timestamp,
) -> Result<DeliveryFilter, Refusal> {
    let state = asked.one("state").map(|word| {
        let known = DeliveryEntry::WORDS.into_iter().find(|known| *known == word);
        known.ok_or_else(|| Refusal::Invalid("A delivery never stands so.".into()))
    });
    let endpoint = match asked.one("endpoint") {
        Some(name) => Some(tenant.control.owed_endpoint(tenant.tenant(), name).await?),
        None => None,
    };
    let span = asked.one("within").and_then(|word| SPANS.iter().find(|(known, ..)| *known == word));
    let events = EventFilter {
        event_types: asked.all("type").map(ToOwned::to_owned).collect(),
        subject: asked.one("subject").map(ToOwned::to_owned),
        after: span.map(|(.., hours)| now - Duration::from_hours(*hours)),
        ..EventFilter::default()
    };
    Ok(DeliveryFilter { events, endpoint, state: state.transpose()?, now })
}

/// `GET /portal/deliveries`
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<View>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let filter = filter(&tenant, &asked, site.now()).await?;
    let page = pager::asked_for::<DeliveryKey>(&asked, Order::Descending)?;
    let listed = tenant.control.deliveries(tenant.tenant(), &filter, &page).await?;
    let names = Names::with(&tenant, asked.one("endpoint")).await?;
    let pager = Pager::of(&asked, &page, &listed, |row| row.key);
    let filters = asked.without(&["after", "before", "done"]);
    let state = asked.one("state").unwrap_or_default();
    let tab = |word: &'static str, shown: &'static str| StateTab {
        href: filters.with("state", word),
        word: shown,
        here: state == word,
    };
    let states = DeliveryEntry::WORDS.into_iter().map(|word| tab(word, word));
    let within = asked.one("within").unwrap_or_default();
    shown(&Deliveries {
        frame: tenant.frame(&site, "Deliveries", Section::Deliveries, &asked),
        states: std::iter::once(tab("", "all")).chain(states).collect(),
        endpoints: names.choices(asked.one("endpoint")),
        cut: names.is_cut(),
        spans: SPANS.map(|(word, words, _)| (word, words, word == within)).to_vec(),
        event_type: Text::typed(asked.one("type").unwrap_or_default()),
        subject: Text::typed(asked.one("subject").unwrap_or_default()),
        state: Text::typed(state),
        filtered: asked.says(&FILTERS),
        rows: DeliveryRows::of(&listed, pager, Some(&names), &asked),
    })
}
