//! Replays: the list, counting one before it begins, beginning it, and what is done to one that goes on.
//!
//! Three steps, each an address: what is meant, what that comes to (counted, with what would arrive twice), and the
//! replay's own page. The count is handed along, so that what is begun is what was looked at.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde_json::json;

use super::endpoints::Fault;
use super::names::{Choice, Names};
use crate::console::deeds::Details;
use crate::console::form::{Asked, Fields, Sent};
use crate::console::frame::{Frame, Section};
use crate::console::parts::{Badge, When};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{MakeAttempts, TenantMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::console::views::confirm::Confirm;
use crate::console::views::pager::{self, Pager};
use crate::console::views::replay::{ReplayView, badge, scope_words, span_words};
use crate::control::ControlError;
use crate::control::dead_letters::Which;
use crate::control::reasons::REASON_ABOVE;
use crate::control::replays::{Previewed, Wish, rate};
use crate::domain::id::ReplayId;
use crate::domain::replay::{RATE_DEFAULT, RATE_MAX, Scope};
use crate::domain::time::Timestamp;
use crate::storage::page::Order;
use crate::storage::replays::{Change, Obstacle};

/// How far back a replay may be asked to begin, in words and hours; events are kept for about a month.
const SPANS: [(&str, &str, u64); 5] = [
    ("1h", "the last hour", 1),
    ("24h", "24 hours", 24),
    ("7d", "7 days", 168),
    ("14d", "14 days", 336),
    ("", "as far back as there is", 0),
];

#[derive(Template)]
#[template(path = "portal/replays.html")]
struct Replays {
    frame: Frame,
    rows: Vec<Row>,
    pager: Pager,
}

struct Row {
    href: String,
    badge: Badge,
    what: &'static str,
    endpoint: Text,
    matched: Option<u64>,
    passed: u64,
    delivered: u64,
    dead: u64,
    begun_at: When,
}

#[derive(Template)]
#[template(path = "portal/replay_new.html")]
struct New {
    frame: Frame,
    faults: Vec<Fault>,
    scopes: [(&'static str, &'static str, bool); 4],
    endpoints: Vec<Choice>,
    cut: bool,
    spans: [(&'static str, &'static str, bool); 5],
    event_type: Text,
    rate: Text,
    rate_default: u32,
    rate_most: u32,
    counted: Option<Counted>,
}

/// What a replay would come to.
struct Counted {
    what: &'static str,
    matched: Option<u64>,
    replayable: u64,
    left: Vec<(&'static str, u64)>,
    bytes: u64,
    span: Option<(When, When)>,
    paused: bool,
    twice: bool,
    rate: u32,
    takes: String,
    wants_reason: bool,
    reason: Text,
    /// What the form of the last step carries on.
    fields: Vec<(&'static str, Text)>,
}

#[derive(Template)]
#[template(path = "portal/replay.html")]
struct One {
    frame: Frame,
    replay: ReplayView,
    deliveries: Option<String>,
}

/// `GET /portal/replays`
pub(super) async fn list(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<View>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let page = pager::asked_for::<ReplayId>(&asked, Order::Descending)?;
    let (whose, and_one) = (Some(tenant.tenant()), pager::and_one_more(&page));
    let rows = site.replays().replays(&tenant.control, whose, &and_one).await?;
    let listed = pager::cut(&page, rows, |one| one.id);
    let names = Names::of(&tenant).await?;
    let rows = listed.rows.iter().map(|one| Row {
        href: format!("/portal/replays/{}", one.id),
        badge: badge(one.state),
        what: scope_words(one.selection.scope()),
        endpoint: match one.endpoint {
            Some(id) => names.name(id).unwrap_or_else(|| Text::line(&id.to_string())),
            None => Text::line("several"),
        },
        matched: one.matched,
        passed: one.offered + one.skipped,
        delivered: one.delivered,
        dead: one.dead,
        begun_at: When(one.created_at),
    });
    shown(&Replays {
        rows: rows.collect(),
        pager: Pager::of(&asked, &page, &listed, |one| one.id),
        frame: tenant.frame(&site, "Replays", Section::Replays, &asked),
    })
}

/// What a form or an address means to be replayed.
fn wish(said: &Fields, now: Timestamp) -> Result<Wish, Fault> {
    let scope = match said.one("scope") {
        None => unsaid(said),
        Some(word) => Scope::ALL
            .into_iter()
            .find(|scope| scope.as_str() == word)
            .ok_or_else(|| Fault::of("scope", "There is no such thing to replay."))?,
    };
    let number = |field: &'static str| match said.one(field).map(str::parse::<u64>) {
        None => Ok(None),
        Some(Ok(number)) => Ok(Some(number)),
        Some(Err(_)) => Err(Fault::of(field, "A whole number is accepted, or nothing.")),
    };
    let span = SPANS.iter().find(|(word, ..)| Some(*word) == said.one("within"));
    let since = match said.one("since") {
        // The moment that was counted from, so that the same are meant.
        Some(text) => Some(text.parse().map_err(|_| Fault::of("within", "That is no moment."))?),
        None => span.map(|(.., hours)| now - Duration::from_hours(*hours)),
    };
    let rate = number("rate")?.map(|rate| u32::try_from(rate).unwrap_or(u32::MAX));
    let expect = number("expect")?;
    let event_type = said.one("type").map(ToOwned::to_owned);
    let endpoint = said.one("endpoint").map(ToOwned::to_owned);
    let reason = said.one("reason").map(ToOwned::to_owned);
    let common = Wish { scope, rate, reason, expect, ..Wish::default() };
    Ok(match scope {
        Scope::DeadLetters => Wish {
            which: Which { endpoint, event_type, since, ..Which::default() },
            all: true,
            ..common
        },
        Scope::GivenUp | Scope::Missing | Scope::Delivered => {
            Wish { which: Which { event_type, ..Which::default() }, endpoint, since, ..common }
        }
    })
}

/// What is meant when nobody says: of one endpoint, what it was not given; else dead letters, which may be of several.
fn unsaid(said: &Fields) -> Scope {
    if said.one("endpoint").is_some() { Scope::GivenUp } else { Scope::DeadLetters }
}

/// What is said against a wish, beside its field.
fn told(error: ControlError) -> Result<Fault, Refusal> {
    match error {
        ControlError::InvalidField { field, why } => {
            let at = match field {
                "endpointId" | "toEndpointId" => "endpoint",
                "eventType" => "type",
                "rate" => "rate",
                "reason" => "reason",
                _ => "scope",
            };
            Ok(Fault::of(at, &why))
        }
        ControlError::Conflict(why) | ControlError::Invalid(why) => Ok(Fault::of("scope", &why)),
        other @ (ControlError::NotFound(_)
        | ControlError::LimitReached(_)
        | ControlError::Unavailable(_)
        | ControlError::Corrupt(_)) => Err(other.into()),
    }
}

/// `GET /portal/replays/new`: what is meant, and with `count` what that comes to.
pub(super) async fn new_page(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<MakeAttempts>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let counted = match (asked.one("count"), wish(&asked, site.now())) {
        (None, _) => Ok(None),
        (Some(_), Err(fault)) => Err(fault),
        (Some(_), Ok(wish)) => match count(&site, &tenant, &wish, &asked).await {
            Ok(counted) => Ok(Some(counted)),
            Err(error) => Err(told(error)?),
        },
    };
    match counted {
        Ok(counted) => page(&site, &tenant, &asked, Vec::new(), counted).await,
        Err(fault) => {
            let page = page(&site, &tenant, &asked, vec![fault], None).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

/// `POST /portal/replays/new`: begins it.
pub(super) async fn begin(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<MakeAttempts>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let fault = match wish(&form, site.now()) {
        Err(fault) => fault,
        Ok(wish) => {
            let actor = tenant.application.id.to_string();
            let whose = Some(tenant.tenant());
            match site.replays().begin(&tenant.control, whose, &wish, &actor).await {
                Ok(replay) => {
                    let to = format!("/portal/replays/{}?done=begun", replay.id);
                    let details = json!({
                        "replay": replay.id, "scope": wish.scope.as_str(), "matched": replay.matched,
                        "endpoint": replay.endpoint, "rate": replay.rate, "reason": replay.reason,
                    });
                    return Ok((Details(details), Redirect::to(&to)).into_response());
                }
                Err(error) => {
                    let fault = told(error)?;
                    // A reason is asked for where it was left out: on the page of the count.
                    let counted = count(&site, &tenant, &wish, &form).await.ok();
                    let page = page(&site, &tenant, &form, vec![fault], counted).await?;
                    return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
                }
            }
        }
    };
    let page = page(&site, &tenant, &form, vec![fault], None).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

async fn count(
    site: &Site,
    tenant: &TenantMay<MakeAttempts>,
    wish: &Wish,
    said: &Fields,
) -> Result<Counted, ControlError> {
    let whose = Some(tenant.tenant());
    let Previewed { preview, rate } = site.replays().preview(&tenant.control, whose, wish).await?;
    let replayable = preview.replayable();
    let takes = replayable.div_ceil(u64::from(rate.per_second()));
    let text = |value: Option<String>| value.map(|value| Text::typed(&value));
    let since = if wish.scope == Scope::DeadLetters { wish.which.since } else { wish.since };
    let fields = [
        ("scope", text(Some(wish.scope.as_str().to_owned()))),
        ("endpoint", text(said.one("endpoint").map(ToOwned::to_owned))),
        ("type", text(said.one("type").map(ToOwned::to_owned))),
        ("since", text(since.map(|since| since.to_string()))),
        ("rate", text(wish.rate.map(|rate| rate.to_string()))),
        ("expect", text(preview.matched.map(|matched| matched.to_string()))),
    ];
    Ok(Counted {
        what: scope_words(wish.scope),
        matched: preview.matched,
        replayable,
        left: preview.not_replayable.iter().map(|(why, count)| (obstacle(*why), *count)).collect(),
        bytes: preview.bytes,
        span: preview.span.map(|(oldest, newest)| (When(oldest), When(newest))),
        paused: !preview.paused.is_empty(),
        twice: wish.scope == Scope::Delivered,
        rate: rate.per_second(),
        takes: span_words(takes),
        wants_reason: preview.matched.is_none_or(|matched| matched > REASON_ABOVE),
        reason: Text::typed(said.one("reason").unwrap_or_default()),
        fields: fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
    })
}

const fn obstacle(why: Obstacle) -> &'static str {
    match why {
        Obstacle::EndpointGone => "their endpoint is deleted",
        Obstacle::EndpointDisabled => "their endpoint is disabled",
        Obstacle::NoDefaultUrl => "they went to a default URL that there is no more",
        Obstacle::PayloadForgotten => "their payload was deleted",
        Obstacle::Expired => "they are of no use any more",
    }
}

async fn page(
    site: &Site,
    tenant: &TenantMay<MakeAttempts>,
    said: &Fields,
    faults: Vec<Fault>,
    counted: Option<Counted>,
) -> Result<Response, Refusal> {
    let names = Names::with(tenant, said.one("endpoint")).await?;
    let chosen = said.one("scope").unwrap_or_else(|| unsaid(said).as_str());
    let within = said.one("within").unwrap_or_default();
    let scopes = [Scope::DeadLetters, Scope::GivenUp, Scope::Missing, Scope::Delivered];
    shown(&New {
        frame: tenant.frame(site, "Replay", Section::Replays, said),
        faults,
        scopes: scopes.map(|one| (one.as_str(), scope_words(one), one.as_str() == chosen)),
        endpoints: names.choices(said.one("endpoint")),
        cut: names.is_cut(),
        spans: SPANS.map(|(word, words, _)| (word, words, word == within)),
        event_type: Text::typed(said.one("type").unwrap_or_default()),
        rate: Text::typed(said.one("rate").unwrap_or_default()),
        rate_default: RATE_DEFAULT,
        rate_most: RATE_MAX,
        counted,
    })
}

/// `GET /portal/replays/{replay}`
pub(super) async fn one(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<View>,
    Asked(asked): Asked,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let whose = Some(tenant.tenant());
    let replay = site.replays().replay(&tenant.control, whose, &name).await?;
    let names = Names::of(&tenant).await?;
    let called = |id| names.name(id).unwrap_or_else(|| Text::line(&format!("{id}")));
    let frame = tenant.frame(&site, "Replay", Section::Replays, &asked);
    let here = format!("/portal/replays/{}", replay.id);
    let whom = (replay.endpoint.map(called), replay.to.map(called));
    let endpoint = replay.to.or(replay.endpoint);
    shown(&One {
        deliveries: endpoint.map(|id| format!("/portal/deliveries?endpoint={id}")),
        replay: ReplayView::of(&replay, here, whom, &frame),
        frame,
    })
}

async fn changed(
    site: &Site,
    tenant: &TenantMay<MakeAttempts>,
    name: &str,
    change: Change,
    done: &str,
) -> Result<Response, Refusal> {
    let whose = Some(tenant.tenant());
    let replay = site.replays().change(&tenant.control, whose, name, change).await?;
    Ok(Redirect::to(&format!("/portal/replays/{}?done={done}", replay.id)).into_response())
}

/// `POST /portal/replays/{replay}/pause`
pub(super) async fn pause(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<MakeAttempts>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    changed(&site, &tenant, &name, Change::Pause, "").await
}

/// `POST /portal/replays/{replay}/resume`
pub(super) async fn resume(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<MakeAttempts>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    changed(&site, &tenant, &name, Change::Resume, "").await
}

/// `POST /portal/replays/{replay}/rate`
pub(super) async fn set_rate(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<MakeAttempts>,
    Path(name): Path<String>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let wanted = form.one("rate").and_then(|text| text.parse().ok()).unwrap_or(0);
    changed(&site, &tenant, &name, Change::Rate(rate(wanted)?), "rate").await
}

/// `GET /portal/replays/{replay}/cancel`
pub(super) async fn ask_cancel(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<MakeAttempts>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let replay = site.replays().replay(&tenant.control, Some(tenant.tenant()), &name).await?;
    let here = format!("/portal/replays/{}", replay.id);
    let passed = replay.offered + replay.skipped;
    let left = replay.matched.map_or_else(
        || "What is left of it".to_owned(),
        |matched| format!("The {} deliveries that are left", matched.saturating_sub(passed)),
    );
    shown(&Confirm {
        frame: tenant.frame(&site, "Cancel this replay?", Section::Replays, &Fields::default()),
        object: Text::line(&format!("1 replay: {}", replay.id)),
        effects: vec![
            Text::line(&format!("{left} stay as they are.")),
            Text::line(&format!("The {} that it has offered go on.", replay.offered)),
            Text::line("It cannot be resumed; another one can be begun."),
        ],
        action: format!("{here}/cancel"),
        button: "Cancel the replay",
        back: here,
        typed: None,
        wrong: false,
        fields: Vec::new(),
    })
}

/// `POST /portal/replays/{replay}/cancel`
pub(super) async fn cancel(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<MakeAttempts>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    changed(&site, &tenant, &name, Change::Cancel, "cancelled").await
}
