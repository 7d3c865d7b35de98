//! The application's settings, as far as they are its tenant's: the default URL and its test, whether anything is sent, the
//! sessions of these pages, and who did what.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::endpoints::{Fault, TestResult, in_time};
use super::history::{self, Entry};
use crate::console::form::{Asked, Fields, Sent};
use crate::console::frame::{Frame, Section};
use crate::console::parts::{Badge, Tone};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{MakeAttempts, Manage, TenantMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::console::views::confirm::Confirm;
use crate::control::ControlError;
use crate::control::endpoints::Change;
use crate::control::settings::SettingsEdit;
use crate::control::test_calls::TestWish;
use crate::domain::settings::{DefaultUrlWhen, DeliverySwitch};

#[derive(Template)]
#[template(path = "portal/settings.html")]
struct SettingsPage {
    frame: Frame,
    faults: Vec<Fault>,
    result: Option<TestResult>,
    application: String,
    uid: Option<Text>,
    delivery: Badge,
    delivery_words: &'static str,
    url: Text,
    has_url: bool,
    always: bool,
    entries: Vec<Entry>,
}

/// How things are sent, as a badge and a sentence.
pub(super) const fn delivery_words(switch: DeliverySwitch) -> (Badge, &'static str) {
    match switch {
        DeliverySwitch::On => (Badge::new(Tone::Good, "on"), "What is published is sent."),
        DeliverySwitch::Hold => (
            Badge::new(Tone::Warn, "on hold"),
            "Nothing is sent: what is published is owed, and waits until the platform lets it go on.",
        ),
        DeliverySwitch::Off => (
            Badge::new(Tone::Bad, "off"),
            "Nothing is sent, and what is published is owed to nobody: the platform has switched it off.",
        ),
    }
}

/// `GET /portal/settings`
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<View>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    made(&site, &tenant, &asked, Vec::new(), None).await
}

/// `POST /portal/settings`: the default URL.
pub(super) async fn save(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<Manage>,
    looks: TenantMay<View>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let edit = SettingsEdit {
        default_url: form.one("url").map_or(Change::Clear, |url| Change::Set(url.to_owned())),
        default_url_when: Change::Set(match form.one("when") {
            Some("no_override") => DefaultUrlWhen::NoOverride,
            Some(_) | None => DefaultUrlWhen::NoMatch,
        }),
        ..SettingsEdit::default()
    };
    match tenant.control.edit_settings(tenant.tenant(), edit, site.urls().as_ref()).await {
        Ok(_) => Ok(Redirect::to("/portal/settings?done=saved").into_response()),
        Err(ControlError::InvalidField { why, .. }) => {
            let faults = vec![Fault::of("url", &why)];
            let page = made(&site, &looks, &form, faults, None).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /portal/settings/test`: one request to the default URL.
pub(super) async fn test(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<MakeAttempts>,
    looks: TenantMay<View>,
) -> Result<Response, Refusal> {
    let (control, caller) = (&tenant.control, tenant.caller());
    let wish = TestWish::default();
    let tested = site.test_calls().to_default_url(control, &caller, tenant.tenant(), wish);
    let result = match in_time(tested).await? {
        Some(tested) => Some(TestResult::of(&tested)),
        None => {
            let settings = tenant.control.settings_of(tenant.tenant()).await?;
            let timeout_ms = settings.policy_of_urls().timeout_ms;
            settings.default_url.as_ref().map(|url| TestResult::late(url, timeout_ms))
        }
    };
    made(&site, &looks, &Fields::default(), Vec::new(), result).await
}

/// `GET /portal/settings/sessions`
pub(super) async fn ask_end(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<Manage>,
) -> Result<Response, Refusal> {
    let title = "End all sessions?";
    shown(&Confirm {
        frame: tenant.frame(&site, title, Section::Settings, &Fields::default()),
        object: Text::line(
            "All sessions of these pages, yours among them, and links that were not opened yet",
        ),
        effects: [
            "Whoever is looking now needs a new link from the platform.",
            "Tokens of the API are not touched.",
        ]
        .map(Text::line)
        .to_vec(),
        action: "/portal/settings/sessions".into(),
        button: "End them all",
        back: "/portal/settings".into(),
        typed: None,
        wrong: false,
        fields: Vec::new(),
    })
}

/// `POST /portal/settings/sessions`
pub(super) async fn end(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<Manage>,
) -> Result<Response, Refusal> {
    site.sessions().end_all(tenant.tenant(), &[], Duration::ZERO).await?;
    Ok(Redirect::to("/portal?done=ended").into_response())
}

async fn made(
    site: &Site,
    tenant: &TenantMay<View>,
    said: &Fields,
    faults: Vec<Fault>,
    result: Option<TestResult>,
) -> Result<Response, Refusal> {
    let settings = tenant.control.settings_of(tenant.tenant()).await?;
    let (delivery, delivery_words) = delivery_words(settings.delivery);
    let own = tenant.application.id.to_string();
    let entries = history::entries(site, tenant, |deed| deed.actor == own).await?;
    let known = settings.default_url.as_ref().map(ToString::to_string).unwrap_or_default();
    let typed = if faults.is_empty() { &known } else { said.one("url").unwrap_or_default() };
    shown(&SettingsPage {
        frame: tenant.frame(site, "Settings", Section::Settings, said),
        faults,
        result,
        application: own,
        uid: tenant.application.uid.as_deref().map(Text::line),
        delivery,
        delivery_words,
        url: Text::typed(typed),
        has_url: settings.default_url.is_some(),
        always: settings.default_url_when == DefaultUrlWhen::NoOverride,
        entries,
    })
}
