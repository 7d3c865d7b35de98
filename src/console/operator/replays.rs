//! Replays: the list of them, one with how far it is, and pausing, resuming, slowing down and ending it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use url::form_urlencoded;

use super::confirm::{self, Confirm};
use super::form::Faults;
use super::{names, which};
use crate::console::deeds::Details;
use crate::console::form::{Asked, Fields, Sent};
use crate::console::frame::{Frame, Section};
use crate::console::parts::{Badge, When};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{MakeAttempts, OperatorMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::console::views::pager::{self, Pager};
use crate::console::views::replay::{self, ReplayView};
use crate::control::{Control, replays};
use crate::domain::id::EndpointId;
use crate::storage::page::Order;
use crate::storage::replays::{Change, Replay};

#[derive(Template)]
#[template(path = "operator/replays.html")]
struct Replays {
    frame: Frame,
    rows: Vec<Row>,
    pager: Pager,
}

struct Row {
    id: Text,
    state: Badge,
    what: &'static str,
    application: Option<Text>,
    offered: u64,
    matched: Option<u64>,
    delivered: u64,
    dead: u64,
    rate: u32,
    actor: Text,
    reason: Option<Text>,
    begun: When,
}

impl Row {
    fn of(one: &Replay) -> Self {
        Self {
            id: Text::line(&one.id.to_string()),
            state: replay::badge(one.state),
            what: replay::scope_words(one.selection.scope()),
            application: one.application.map(|id| Text::line(&id.to_string())),
            offered: one.offered,
            matched: one.matched,
            delivered: one.delivered,
            dead: one.dead,
            rate: one.rate.per_second(),
            actor: Text::line(&one.actor),
            reason: one.reason.as_deref().map(Text::line),
            begun: When(one.created_at),
        }
    }
}

/// `GET /console/replays`
pub(super) async fn list(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let page = pager::asked_for(&asked, Order::Descending)?;
    let desk = site.replays();
    let rows = desk.replays(&operator.control, None, &pager::and_one_more(&page)).await?;
    let listed = pager::cut(&page, rows, |one| one.id);
    shown(&Replays {
        frame: operator.frame(&site, "Replays", Section::Replays, &asked),
        pager: Pager::of(&asked, &page, &listed, |one| one.id),
        rows: listed.rows.iter().map(Row::of).collect(),
    })
}

#[derive(Template)]
#[template(path = "operator/replay.html")]
struct One {
    frame: Frame,
    view: ReplayView,
    faults: Faults,
}

/// `GET /console/replays/{replay}`
pub(super) async fn one(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
    Path(id): Path<String>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let found = site.replays().replay(&operator.control, None, &id).await?;
    let frame = operator.frame(&site, "Replay", Section::Replays, &asked);
    looked_at(&operator.control, frame, &found, &Faults::default()).await
}

async fn looked_at(
    control: &Control,
    frame: Frame,
    found: &Replay,
    faults: &Faults,
) -> Result<Response, Refusal> {
    let names = (name(control, found.endpoint).await?, name(control, found.to).await?);
    let mut again = form_urlencoded::Serializer::new(String::new());
    again.append_pair("since", &found.created_at.to_string());
    if let Some(application) = found.application {
        again.append_pair("application", &application.to_string());
    }
    if let Some(endpoint) = found.to.or(found.endpoint) {
        again.append_pair("endpoint", &endpoint.to_string());
    }
    let view = ReplayView::of(found, at(found), names, &frame)
        .with_again(format!("/console/dead-letters/list?{}", again.finish()));
    faults.answer(&One { frame, view, faults: faults.clone() })
}

async fn name(control: &Control, id: Option<EndpointId>) -> Result<Option<Text>, Refusal> {
    match id {
        Some(id) => names::endpoint(control, id).await.map(Some),
        None => Ok(None),
    }
}

/// `POST /console/replays/{replay}/pause`
pub(super) async fn pause(
    site: State<Arc<Site>>,
    operator: OperatorMay<MakeAttempts>,
    id: Path<String>,
    Sent(_): Sent,
) -> Result<Response, Refusal> {
    changed(&site, &operator, &id, Change::Pause, "paused").await
}

/// `POST /console/replays/{replay}/resume`
pub(super) async fn resume(
    site: State<Arc<Site>>,
    operator: OperatorMay<MakeAttempts>,
    id: Path<String>,
    Sent(_): Sent,
) -> Result<Response, Refusal> {
    changed(&site, &operator, &id, Change::Resume, "resumed").await
}

/// `GET /console/replays/{replay}/cancel`: whether it is meant.
pub(super) async fn ask_cancel(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<MakeAttempts>,
    Path(id): Path<String>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let found = site.replays().replay(&operator.control, None, &id).await?;
    if !found.state.is_active() {
        let why = format!(
            "Replay {} is {}: there is nothing left to cancel.",
            found.id,
            found.state.as_str()
        );
        return Err(Refusal::Invalid(why));
    }
    let frame = operator.frame(&site, "Cancel this replay?", Section::Replays, &asked);
    let left = found.matched.map_or_else(
        || format!("It has offered {} deliveries.", found.offered),
        |matched| {
            let left = matched.saturating_sub(found.offered + found.skipped);
            format!("It has offered {} deliveries; {left} stay as they are.", found.offered)
        },
    );
    Confirm::new(frame, format!("{}/cancel", at(&found)), at(&found), "Cancel it for good")
        .says(&format!("Replay {}.", found.id))
        .says(&left)
        .says("What it has offered goes its way. A replay that was cancelled does not go on again: another can be begun.")
        .shown()
}

/// `POST /console/replays/{replay}/cancel`
pub(super) async fn cancel(
    site: State<Arc<Site>>,
    operator: OperatorMay<MakeAttempts>,
    id: Path<String>,
    Sent(_): Sent,
) -> Result<Response, Refusal> {
    changed(&site, &operator, &id, Change::Cancel, "cancelled").await
}

/// `POST /console/replays/{replay}/rate`
pub(super) async fn rate(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<MakeAttempts>,
    Path(id): Path<String>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    match wanted_rate(&form) {
        Ok(rate) => changed(&site, &operator, &id, Change::Rate(rate), "saved").await,
        Err(faults) => {
            let found = site.replays().replay(&operator.control, None, &id).await?;
            let frame = operator.frame(&site, "Replay", Section::Replays, &form);
            looked_at(&operator.control, frame, &found, &faults).await
        }
    }
}

fn wanted_rate(form: &Fields) -> Result<crate::domain::replay::Rate, Faults> {
    let said = which::read::<u32>(form, "rate").ok().flatten();
    let per_second = said.ok_or_else(|| Faults::at("rate", "a whole number is wanted"))?;
    replays::rate(per_second).map_err(|error| Faults::at("rate", &error.to_string()))
}

async fn changed(
    site: &Site,
    operator: &OperatorMay<MakeAttempts>,
    id: &str,
    change: Change,
    word: &'static str,
) -> Result<Response, Refusal> {
    let found = site.replays().change(&operator.control, None, id, change).await?;
    let details = json!({
        "state": found.state.as_str(), "matched": found.matched, "offered": found.offered,
        "rate": found.rate,
    });
    Ok((Details(details), confirm::done(&at(&found), word)).into_response())
}

fn at(replay: &Replay) -> String {
    format!("/console/replays/{}", replay.id)
}
