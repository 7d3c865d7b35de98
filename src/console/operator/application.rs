//! One application: what it has set, its endpoints, and what an operator does for it: letting its tenant in, holding its
//! deliveries back, deleting it.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::confirm::{self, Confirm, Spelled};
use super::form::Faults;
use super::words;
use crate::console::deeds::Details;
use crate::console::form::{Asked, Fields, Sent};
use crate::console::frame::{Frame, Section};
use crate::console::parts::{Badge, When};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{Manage, OperatorMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::console::views::chart::Bars;
use crate::console::views::pager::{self, Pager};
use crate::control::Control;
use crate::control::policies::Change;
use crate::control::sessions::{LINK_MAX, LinkWish};
use crate::control::settings::SettingsEdit;
use crate::domain::application::Application;
use crate::domain::capability::Capabilities;
use crate::domain::endpoint::Endpoint;
use crate::domain::settings::{DeliverySwitch, Settings};
use crate::storage::page::Order;
use crate::storage::rollups::Of;
use crate::storage::sessions::SESSION_MAX;

/// What the chart looks back over, and by what steps: a day in half hours.
const LOOK_BACK: Duration = Duration::from_hours(24);
const STEP: Duration = Duration::from_mins(30);

#[derive(Template)]
#[template(path = "operator/application.html")]
struct Detail {
    frame: Frame,
    facts: Facts,
    settings: Set,
    chart: Bars,
    endpoints: Vec<Row>,
    pager: Pager,
}

/// What there is to see of an application.
struct Facts {
    id: Text,
    uid: Option<Text>,
    name: Text,
    made: When,
    changed: When,
    metadata: Vec<(Text, Text)>,
}

/// What it has set.
struct Set {
    delivery: Badge,
    switch: &'static str,
    default_url: Option<Text>,
    default_url_when: &'static str,
    schema_mode: &'static str,
    policy: Text,
    says_policy: bool,
}

struct Row {
    id: Text,
    uid: Option<Text>,
    url: Text,
    wants: Text,
    state: Badge,
    rate: Option<u32>,
}

impl Facts {
    fn of(application: &Application) -> Self {
        let metadata = application.metadata.iter();
        Self {
            id: Text::line(&application.id.to_string()),
            uid: application.uid.as_deref().map(Text::line),
            name: Text::line(&application.name),
            made: When(application.created_at),
            changed: When(application.updated_at),
            metadata: metadata.map(|(name, value)| (Text::line(name), Text::line(value))).collect(),
        }
    }
}

impl Set {
    fn of(settings: &Settings) -> Self {
        Self {
            delivery: words::switch(settings.delivery),
            switch: settings.delivery.as_str(),
            default_url: settings.default_url.as_ref().map(|url| Text::line(url.as_str())),
            default_url_when: settings.default_url_when.as_str(),
            schema_mode: settings.schema_mode.as_str(),
            policy: words::json(&settings.policy),
            says_policy: settings.policy != crate::domain::policy::PolicyPart::default(),
        }
    }
}

impl Row {
    fn of(endpoint: &Endpoint) -> Self {
        Self {
            id: Text::line(&endpoint.id.to_string()),
            uid: endpoint.uid.as_deref().map(Text::line),
            url: Text::line(endpoint.url.as_str()),
            wants: Text::line(&endpoint.filter.to_string()),
            state: words::endpoint(endpoint.state),
            rate: endpoint.throttle_rate.map(std::num::NonZeroU32::get),
        }
    }
}

/// `GET /console/applications/{app}`
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
    Path(app): Path<String>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let control = &operator.control;
    let application = control.application(&app).await?;
    let tenant = application.tenant();
    let settings = control.settings_of(tenant).await?;
    let page = pager::asked_for(&asked, Order::Descending)?;
    let rows = control.endpoint_page(tenant, &pager::and_one_more(&page)).await?;
    let listed = pager::cut(&page, rows, |one| one.id);
    let now = site.now();
    let spans = site
        .rollups()
        .tallies(Of::Tenant(tenant), now - LOOK_BACK, now, STEP)
        .await
        .map_err(crate::control::ControlError::from)?;
    shown(&Detail {
        frame: operator.frame(&site, &application.name, Section::Applications, &asked),
        facts: Facts::of(&application),
        settings: Set::of(&settings),
        chart: Bars::of("day", "Requests of the last 24 hours, by half hours", &spans),
        endpoints: listed.rows.iter().map(Row::of).collect(),
        pager: Pager::of(&asked, &page, &listed, |one| one.id),
    })
}

/// `GET /console/applications/{app}/delivery?switch=hold`: whether it is meant.
pub(super) async fn ask_delivery(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<Manage>,
    Path(app): Path<String>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let application = operator.control.application(&app).await?;
    let switch = wanted_switch(&asked)?;
    let (title, effect) = match switch {
        DeliverySwitch::On => (
            "Switch deliveries on?",
            "What is owed and was held back is offered at once, and what is published from now on is sent.",
        ),
        DeliverySwitch::Hold => (
            "Hold deliveries back?",
            "No request is made for it from now on. What it publishes is owed, and waits until this is on again.",
        ),
        DeliverySwitch::Off => (
            "Switch deliveries off?",
            "No request is made for it from now on. What it publishes meanwhile is on record and owed to nobody: it is not \
             sent later. What was owed before waits.",
        ),
    };
    let frame = operator.frame(&site, title, Section::Applications, &asked);
    let at = at(&application);
    Confirm::new(frame, format!("{at}/delivery"), at, "Do it")
        .says(&format!("Application {}, {}.", application.name, application.id))
        .says(effect)
        .with("switch", switch.as_str())
        .shown()
}

/// `POST /console/applications/{app}/delivery`
pub(super) async fn delivery(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<Manage>,
    Path(app): Path<String>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let application = operator.control.application(&app).await?;
    let switch = wanted_switch(&form)?;
    let edit = SettingsEdit { delivery: Change::Set(switch), ..SettingsEdit::default() };
    operator.control.edit_settings(application.tenant(), edit, site.urls()).await?;
    let details = Details(json!({ "delivery": switch }));
    Ok((details, confirm::done(&at(&application), "switched")).into_response())
}

fn wanted_switch(fields: &Fields) -> Result<DeliverySwitch, Refusal> {
    let wanted = fields.one("switch").unwrap_or_default();
    let known = DeliverySwitch::ALL.iter().find(|switch| switch.as_str() == wanted);
    known.copied().ok_or_else(|| Refusal::Invalid("`switch` is one of on, hold, off.".into()))
}

#[derive(Template)]
#[template(path = "operator/application_link.html")]
struct WayIn {
    frame: Frame,
    name: Text,
    app: Text,
    /// Ours: the public address, and a code of letters and digits.
    link: String,
    minutes: u64,
    hours: u64,
    read_only: bool,
}

/// `POST /console/applications/{app}/link`: a link that lets its tenant in, once. It is shown here and nowhere else.
pub(super) async fn link(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<Manage>,
    Path(app): Path<String>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let application = operator.control.application(&app).await?;
    let read_only = form.one("may") != Some("all");
    let capabilities = if read_only { Capabilities::VIEW } else { Capabilities::ALL };
    let wish = LinkWish {
        capabilities: capabilities.and(operator.guest.visitor.capabilities),
        feature_flags: Vec::new(),
        label: Some("console".to_owned()),
        span: SESSION_MAX,
    };
    let code = site.sessions().link(&application, wish).await?;
    let page = shown(&WayIn {
        frame: operator.frame(&site, "A link for the tenant", Section::Applications, &form),
        name: Text::line(&application.name),
        app: Text::line(&application.id.to_string()),
        link: format!("{}/portal/enter#t={code}", site.origin()),
        minutes: LINK_MAX.as_secs() / 60,
        hours: SESSION_MAX.as_secs() / 3_600,
        read_only,
    })?;
    Ok((Details(json!({ "readOnly": read_only })), page).into_response())
}

/// `GET /console/applications/{app}/sessions`: whether it is meant.
pub(super) async fn ask_end_sessions(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<Manage>,
    Path(app): Path<String>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let application = operator.control.application(&app).await?;
    let frame = operator.frame(&site, "End all its sessions?", Section::Applications, &asked);
    let at = at(&application);
    Confirm::new(frame, format!("{at}/sessions"), at, "End them all")
        .says(&format!("Application {}, {}.", application.name, application.id))
        .says("Whoever is in its portal is logged out in the middle of what they do, and links that were not opened yet do not open.")
        .says("Deliveries are not touched. Whoever is to come in again needs a new link.")
        .shown()
}

/// `POST /console/applications/{app}/sessions`: ends what sessions its tenant has.
pub(super) async fn end_sessions(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<Manage>,
    Path(app): Path<String>,
    Sent(_): Sent,
) -> Result<Response, Refusal> {
    let application = operator.control.application(&app).await?;
    let ended = site.sessions().end_all(application.tenant(), &[], Duration::ZERO).await?;
    let details = Details(json!({ "ended": ended }));
    Ok((details, confirm::done(&at(&application), "ended")).into_response())
}

/// `GET /console/applications/{app}/delete`: whether it is meant.
pub(super) async fn ask_delete(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<Manage>,
    Path(app): Path<String>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let frame = operator.frame(&site, "Delete this application?", Section::Applications, &asked);
    deleting(&operator.control, frame, &app, Faults::default()).await?.shown()
}

/// `POST /console/applications/{app}/delete`
pub(super) async fn delete(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<Manage>,
    Path(app): Path<String>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let application = operator.control.application(&app).await?;
    if form.one("typed") != Some(called(&application).as_str()) {
        let faults = Faults::at("typed", "That is not its name: nothing was deleted.");
        let title = "Delete this application?";
        let frame = operator.frame(&site, title, Section::Applications, &form);
        return deleting(&operator.control, frame, &app, faults).await?.shown();
    }
    let cancelled = operator.control.delete_application(&application.id.to_string()).await?;
    let details = Details(
        json!({ "name": application.name, "uid": application.uid, "cancelled": cancelled }),
    );
    Ok((details, confirm::done("/console/applications", "deleted")).into_response())
}

async fn deleting(
    control: &Control,
    frame: Frame,
    app: &str,
    faults: Faults,
) -> Result<Confirm, Refusal> {
    let application = control.application(app).await?;
    let first = pager::and_one_more(&pager::asked_for(&Fields::default(), Order::Descending)?);
    let endpoints = control.endpoint_page(application.tenant(), &first).await?.len();
    let count = match endpoints {
        0 => "It has no endpoints.".to_owned(),
        many if many > pager::ROWS => {
            format!("More than {} endpoints are deleted with it.", pager::ROWS)
        }
        1 => "Its one endpoint is deleted with it.".to_owned(),
        few => format!("Its {few} endpoints are deleted with it."),
    };
    let at = at(&application);
    let asked = Confirm::new(frame, format!("{at}/delete"), at, "Delete it for good")
        .says(&format!("Application {}, {}.", application.name, application.id))
        .says(&count)
        .says("What they are owed is taken back, and no request is made for them any more. What has happened stays on record.");
    let wanted = Text::line(&called(&application));
    let spelled = Some(Spelled { label: "The application's uid, or its id", wanted });
    Ok(Confirm { spelled, faults, ..asked })
}

/// What it is called by: its uid, or its id without one.
fn called(application: &Application) -> String {
    application.uid.clone().unwrap_or_else(|| application.id.to_string())
}

fn at(application: &Application) -> String {
    format!("/console/applications/{}", application.id)
}
