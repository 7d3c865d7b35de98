//! The endpoints of all applications: how each stands, which have failed since when, and which are waited for.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::form::Typed;
use super::words;
use crate::console::form::Asked;
use crate::console::frame::{Frame, Section};
use crate::console::parts::{Badge, When};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{OperatorMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::console::views::pager::{self, Pager};
use crate::control::ControlError;
use crate::control::stories::WORST_MAX;
use crate::domain::endpoint::EndpointState;
use crate::domain::id::EndpointId;
use crate::domain::time::Timestamp;
use crate::storage::attention::WorstBy;
use crate::storage::directory::{DirectoryEntry, DirectoryFilter};
use crate::storage::page::Order;

/// States that can be chosen.
const STATES: [EndpointState; 3] =
    [EndpointState::Active, EndpointState::Paused, EndpointState::Disabled];

#[derive(Template)]
#[template(path = "operator/endpoints.html")]
struct Endpoints {
    frame: Frame,
    typed: Typed,
    is_filtered: bool,
    goes_on: bool,
    rows: Vec<Row>,
    pager: Pager,
}

struct Row {
    id: Text,
    uid: Option<Text>,
    url: Text,
    application: Text,
    application_name: Text,
    state: Badge,
    because: Option<&'static str>,
    rate: Option<u32>,
    failing: Option<When>,
    failures: u32,
    oldest: Option<When>,
}

impl Row {
    fn of(entry: &DirectoryEntry, oldest: Option<Timestamp>) -> Self {
        Self {
            id: Text::line(&entry.id.to_string()),
            uid: entry.uid.as_deref().map(Text::line),
            url: Text::line(&entry.url),
            application: Text::line(&entry.application.to_string()),
            application_name: Text::line(&entry.application_name),
            state: words::endpoint(entry.state),
            because: entry.because.map(words::because),
            rate: entry.throttle_rate.map(NonZeroU32::get),
            failing: entry.failing_since.map(When),
            failures: entry.failures,
            oldest: oldest.map(When),
        }
    }
}

/// `GET /console/endpoints`
pub(super) async fn list(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let filter = DirectoryFilter {
        state: asked
            .one("state")
            .and_then(|wanted| STATES.into_iter().find(|state| state.as_str() == wanted)),
        failing: asked.one("failing").is_some(),
        text: asked.one("text").map(str::to_owned),
    };
    let page = pager::asked_for::<EndpointId>(&asked, Order::Descending)?;
    let directory = site.directory();
    let listed = directory.everywhere(operator.organisation, &filter, &page).await;
    let listed = listed.map_err(ControlError::from)?;
    // Those that are waited for longest: who is not among them has nothing overdue, or less than a hundred others.
    let overdue = operator.control.worst_endpoints(WorstBy::Overdue, WORST_MAX).await?;
    let oldest: HashMap<_, _> = overdue.worst.iter().map(|one| (one.endpoint, one.since)).collect();
    let row = |entry: &DirectoryEntry| Row::of(entry, oldest.get(&entry.id).copied());
    shown(&Endpoints {
        frame: operator.frame(&site, "Endpoints", Section::Endpoints, &asked),
        is_filtered: asked.says(&["state", "failing", "text"]),
        goes_on: listed.beyond.is_some(),
        pager: Pager::of(&asked, &page, &listed, |entry| entry.id),
        rows: listed.rows.iter().map(row).collect(),
        typed: Typed(asked),
    })
}
