//! One endpoint of any application: how it is called and how that goes, and what an operator does to it: pausing, resuming,
//! disabling, enabling.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::confirm::{self, Confirm, Wanted};
use super::words;
use crate::console::deeds::Details;
use crate::console::form::{Asked, Sent};
use crate::console::frame::{Frame, Section};
use crate::console::parts::{Badge, Circuit, When};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{Manage, OperatorMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::console::views::chart::{Bars, Durations};
use crate::control::{ControlError, reasons};
use crate::domain::application::Application;
use crate::domain::endpoint::{Endpoint, EndpointState};
use crate::storage::history::DeliveryCounts;
use crate::storage::rollups::Of;

/// What charts and counts look back over, and the charts' steps: a day in half hours.
const LOOK_BACK: Duration = Duration::from_hours(24);
const STEP: Duration = Duration::from_mins(30);

#[derive(Template)]
#[template(path = "operator/endpoint.html")]
struct Detail {
    frame: Frame,
    application: Text,
    application_name: Text,
    id: Text,
    uid: Option<Text>,
    description: Text,
    url: Text,
    state: Badge,
    because: Option<&'static str>,
    circuit: Option<Circuit>,
    wants: Text,
    channels: Text,
    rate: Option<u32>,
    headers: Vec<Text>,
    has_auth: bool,
    keys: usize,
    made: When,
    changed: When,
    policy: Text,
    counts: DeliveryCounts,
    requests: Bars,
    durations: Durations,
    deeds: Vec<(&'static str, &'static str)>,
}

/// `GET /console/applications/{app}/endpoints/{endpoint}`
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
    Path((app, name)): Path<(String, String)>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let control = &operator.control;
    let application = control.application(&app).await?;
    let tenant = application.tenant();
    let endpoint = control.endpoint_of(tenant, &name).await?;
    let now = site.now();
    let of = Of::Endpoint(tenant, endpoint.id);
    let spans = site.rollups().tallies(of, now - LOOK_BACK, now, STEP).await;
    let spans = spans.map_err(ControlError::from)?;
    let counts = control.delivery_counts(tenant, endpoint.id, Some(now - LOOK_BACK), Some(now));
    let timeout_ms = Some(endpoint.policy.timeout_ms);
    shown(&Detail {
        frame: operator.frame(&site, endpoint.url.as_str(), Section::Endpoints, &asked),
        application: Text::line(&application.id.to_string()),
        application_name: Text::line(&application.name),
        id: Text::line(&endpoint.id.to_string()),
        uid: endpoint.uid.as_deref().map(Text::line),
        description: Text::line(&endpoint.description),
        url: Text::line(endpoint.url.as_str()),
        state: words::endpoint(endpoint.state),
        because: endpoint.disabled_because.map(words::because),
        circuit: site.circuits().of(endpoint.id).map(Circuit::of),
        wants: Text::line(&endpoint.filter.to_string()),
        channels: Text::line(&endpoint.channels.join(", ")),
        rate: endpoint.throttle_rate.map(NonZeroU32::get),
        headers: endpoint.headers.iter().map(|(name, _)| Text::line(name)).collect(),
        has_auth: endpoint.auth.is_some(),
        keys: endpoint.live_keys(now).count(),
        made: When(endpoint.created_at),
        changed: When(endpoint.updated_at),
        policy: words::json(endpoint.policy.policy()),
        counts: counts.await?,
        requests: Bars::of("requests", "Requests of the last 24 hours, by half hours", &spans),
        durations: Durations::of("durations", "How long they took", &spans, timeout_ms),
        deeds: deeds(endpoint.state),
    })
}

/// What can be done to one in this state: the path's word, and the button's.
fn deeds(state: EndpointState) -> Vec<(&'static str, &'static str)> {
    match state {
        EndpointState::Active => vec![("pause", "Pause …"), ("disable", "Disable …")],
        EndpointState::Paused => vec![("resume", "Resume …"), ("disable", "Disable …")],
        EndpointState::Disabled => vec![("enable", "Enable …")],
    }
}

/// A deed: its question, what it does, its button, and the word for it when it is done.
struct Deed {
    title: &'static str,
    effect: &'static str,
    button: &'static str,
    done: &'static str,
}

fn deed(word: &str) -> Result<Deed, Refusal> {
    let deed = |title, effect, button, done| Deed { title, effect, button, done };
    match word {
        "pause" => Ok(deed(
            "Pause this endpoint?",
            "No request is made to it from now on. What it is owed, and what comes, waits until it is resumed.",
            "Pause it",
            "paused",
        )),
        "resume" => Ok(deed(
            "Resume this endpoint?",
            "What has waited for it is offered at once, as fast as its rate allows.",
            "Resume it",
            "resumed",
        )),
        "disable" => Ok(deed(
            "Disable this endpoint?",
            "No request is made to it from now on, and it is owed nothing that is published meanwhile: that is not sent later. What \
             it was owed before waits.",
            "Disable it",
            "disabled",
        )),
        "enable" => Ok(deed(
            "Enable this endpoint?",
            "What it was owed is offered at once. What was published while it was disabled it is not owed: a replay of what is \
             missing sends it.",
            "Enable it",
            "enabled",
        )),
        _ => Err(Refusal::NotFound("There is no such page.".into())),
    }
}

/// `GET …/{deed}`: whether it is meant.
pub(super) async fn ask(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<Manage>,
    Path((app, name, word)): Path<(String, String, String)>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let Deed { title, effect, button, .. } = deed(&word)?;
    let application = operator.control.application(&app).await?;
    let endpoint = operator.control.endpoint_of(application.tenant(), &name).await?;
    let at = at(&application, &endpoint);
    let frame = operator.frame(&site, title, Section::Endpoints, &asked);
    let asking = Confirm::new(frame, format!("{at}/{word}"), at, button)
        .says(&format!("{}, {}, of {}.", endpoint.url, endpoint.id, application.name))
        .says(effect);
    Confirm { reason: Some(Wanted::No), ..asking }.shown()
}

/// `POST …/{deed}`
pub(super) async fn act(
    operator: OperatorMay<Manage>,
    Path((app, name, word)): Path<(String, String, String)>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let Deed { done, .. } = deed(&word)?;
    let reason = reasons::said(form.one("reason"))?;
    let control = &operator.control;
    let application = control.application(&app).await?;
    let tenant = application.tenant();
    // Named within the organisation first: an id alone may be another's.
    let endpoint = control.endpoint_of(tenant, &name).await?;
    let (of, id) = (application.id.to_string(), endpoint.id.to_string());
    let offered = match word.as_str() {
        "pause" => control.pause_endpoint_of(tenant, &id).await.map(|_| None)?,
        "disable" => control.disable_endpoint(Some(&of), &id).await.map(|_| None)?,
        "enable" => control.enable_endpoint(Some(&of), &id).await.map(|(_, count)| Some(count))?,
        _ => control.resume_endpoint_of(tenant, &id).await.map(|(_, count)| Some(count))?,
    };
    let details = Details(json!({ "endpoint": id, "offered": offered, "reason": reason }));
    Ok((details, confirm::done(&at(&application, &endpoint), done)).into_response())
}

fn at(application: &Application, endpoint: &Endpoint) -> String {
    format!("/console/applications/{}/endpoints/{}", application.id, endpoint.id)
}
