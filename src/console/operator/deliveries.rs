//! Deliveries: those of an application by state, endpoint, type, subject and time; one by its story, with its deeds; and the
//! look-up by an id over all applications.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde_json::json;

use super::confirm::{self, Confirm, Wanted};
use super::form::Typed;
use super::which;
use crate::console::deeds::Details;
use crate::console::form::{Asked, Fields, Sent};
use crate::console::frame::{Frame, Section};
use crate::console::parts::{Badge, When};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{MakeAttempts, OperatorMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::console::views::delivery::{ATTEMPTS_SHOWN, DeliveryView, Ways};
use crate::console::views::pager::{self, Pager};
use crate::control::history::ResendError;
use crate::control::{Control, ControlError, reasons, tracking};
use crate::domain::application::{Application, Tenant};
use crate::domain::delivery::DeliveryState;
use crate::domain::id::{AttemptId, DeliveryId, EndpointId, EventId};
use crate::storage::history::{AttemptFilter, DeliveryEntry, DeliveryFilter, EventFilter};
use crate::storage::page::{Order, Page, Place};

#[derive(Template)]
#[template(path = "operator/deliveries.html")]
struct Deliveries {
    frame: Frame,
    typed: Typed,
    /// Whose are shown.
    application: Option<(Text, Text)>,
    /// Why a look-up found nothing.
    unknown: Option<&'static str>,
    states: [&'static str; 9],
    is_filtered: bool,
    goes_on: bool,
    rows: Vec<Row>,
    pager: Option<Pager>,
}

struct Row {
    event: Text,
    endpoint: Text,
    state: Badge,
    event_type: Text,
    subject: Option<Text>,
    url: Option<Text>,
    attempts: u32,
    last: Option<Text>,
    due: Option<When>,
    made: When,
}

impl Row {
    fn of(entry: &DeliveryEntry) -> Self {
        let due = match entry.standing.state {
            DeliveryState::Waiting { due_at, .. } => Some(When(due_at)),
            DeliveryState::Pending
            | DeliveryState::Delivered
            | DeliveryState::Dead
            | DeliveryState::Cancelled
            | DeliveryState::Dropped
            | DeliveryState::Discarded
            | DeliveryState::Unknown => None,
        };
        let last = entry.ended().map(|last| match last.status {
            0 => tracking::last_error(entry).unwrap_or_default(),
            status => status.to_string(),
        });
        Self {
            event: Text::line(&entry.key.event.to_string()),
            endpoint: Text::line(&entry.key.endpoint.to_string()),
            state: Badge::delivery(entry.state()),
            event_type: Text::line(&entry.event_type),
            subject: entry.subject.as_deref().map(Text::line),
            url: entry.url.as_deref().map(Text::line),
            attempts: entry.attempts(),
            last: last.as_deref().map(Text::line),
            due,
            made: When(entry.created_at),
        }
    }
}

/// What may be looked for besides whose.
const FILTERS: [&str; 6] = ["state", "endpoint", "type", "subject", "since", "until"];

/// `GET /console/deliveries`
pub(super) async fn list(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let frame = operator.frame(&site, "Deliveries", Section::Deliveries, &asked);
    let empty = Deliveries {
        frame,
        typed: Typed(asked.clone()),
        application: None,
        unknown: None,
        states: DeliveryEntry::WORDS,
        is_filtered: asked.says(&FILTERS),
        goes_on: false,
        rows: Vec::new(),
        pager: None,
    };
    if let Some(id) = asked.one("q") {
        return match looked_up(&operator.control, id).await? {
            Ok(at) => Ok(Redirect::to(&at).into_response()),
            Err(why) => shown(&Deliveries { unknown: Some(why), ..empty }),
        };
    }
    let Some(name) = asked.one("application") else { return shown(&empty) };
    let application = operator.control.application(name).await?;
    let (control, tenant) = (&operator.control, application.tenant());
    let page = pager::asked_for(&asked, Order::Descending)?;
    let filter = filter(control, tenant, &asked).await?;
    let listed = control.deliveries(tenant, &filter, &page).await?;
    shown(&Deliveries {
        application: Some((Text::line(&application.id.to_string()), Text::line(&application.name))),
        goes_on: listed.beyond.is_some(),
        pager: Some(Pager::of(&asked, &page, &listed, |entry| entry.key)),
        rows: listed.rows.iter().map(Row::of).collect(),
        ..empty
    })
}

async fn filter(
    control: &Control,
    tenant: Tenant,
    asked: &Fields,
) -> Result<DeliveryFilter, Refusal> {
    let state = match asked.one("state") {
        None => None,
        Some(wanted) => {
            let known = DeliveryEntry::WORDS.into_iter().find(|word| *word == wanted);
            let words = DeliveryEntry::WORDS.join(", ");
            let why =
                || Refusal::Invalid(format!("`{wanted}` is no state: one of {words} is accepted."));
            Some(known.ok_or_else(why)?)
        }
    };
    let endpoint = match asked.one("endpoint") {
        Some(name) => Some(control.owed_endpoint(tenant, name).await?),
        None => None,
    };
    let events = EventFilter {
        event_types: asked.all("type").map(str::to_owned).collect(),
        subject: asked.one("subject").map(str::to_owned),
        after: which::read(asked, "since")?,
        before: which::read(asked, "until")?,
        ..EventFilter::default()
    };
    Ok(DeliveryFilter { events, endpoint, state, ..DeliveryFilter::default() })
}

/// Where what is called so is shown, or why it is nowhere.
async fn looked_up(control: &Control, id: &str) -> Result<Result<String, &'static str>, Refusal> {
    if id.parse::<EventId>().is_ok() {
        return Ok(Ok(format!("/console/events/{id}")));
    }
    if id.parse::<DeliveryId>().is_ok() {
        return match control.inspect_dead_letter(None, id).await {
            Ok(found) => {
                let key = found.letter.key;
                let of = found.letter.application;
                Ok(Ok(format!("/console/deliveries/{of}/{}/{}", key.event, key.endpoint)))
            }
            Err(ControlError::NotFound(_)) => Ok(Err(
                "No dead letter has this id. A delivery that was not given up is found by its event's id (msg_…).",
            )),
            Err(error) => Err(error.into()),
        };
    }
    Ok(Err("The id of an event (msg_…) or of a dead letter (dlv_…) is looked up, whole."))
}

#[derive(Template)]
#[template(path = "operator/delivery.html")]
struct One {
    frame: Frame,
    view: DeliveryView,
}

/// `GET /console/deliveries/{app}/{event}/{endpoint}`
pub(super) async fn one(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
    Path((app, event, endpoint)): Path<(String, String, String)>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let control = &operator.control;
    let application = control.application(&app).await?;
    let tenant = application.tenant();
    let story = control.story_of(tenant, &event, &endpoint).await?;
    let key = story.tracked.delivery.key;
    let event = control.event_of(tenant, &event).await?;
    let filter = AttemptFilter { endpoint: Some(key.endpoint), ..AttemptFilter::default() };
    let newest = Page::<AttemptId> {
        limit: ATTEMPTS_SHOWN,
        place: Place::Beginning,
        order: Order::Descending,
    };
    let attempts = control.attempts_for(tenant, event.id, &filter, &newest, true).await?;
    let listed = control.endpoint_of(tenant, &key.endpoint.to_string()).await.is_ok();
    let ways = Ways {
        this: at(&application, event.id, key.endpoint),
        event: Some(format!("/console/events/{}", event.id)),
        endpoint: listed.then(|| {
            format!("/console/applications/{}/endpoints/{}", application.id, key.endpoint)
        }),
        list: format!("/console/deliveries?application={}", application.id),
        newer: None,
        older: None,
    };
    let frame = operator.frame(&site, "Delivery", Section::Deliveries, &asked);
    let view = DeliveryView::of(story, &event, &attempts, ways, &asked, &frame);
    shown(&One { frame, view })
}

/// `POST …/retry`: one attempt, now.
pub(super) async fn retry(
    operator: OperatorMay<MakeAttempts>,
    Path((app, event, endpoint)): Path<(String, String, String)>,
    Sent(_): Sent,
) -> Result<Response, Refusal> {
    let control = &operator.control;
    let application = control.application(&app).await?;
    let tenant = application.tenant();
    // Owed first: what was never owed is not tried once more.
    let key = control.delivery_of(tenant, &event, &endpoint).await?.delivery.key;
    control.resend(tenant, &event, &endpoint).await.map_err(|error| match error {
        ResendError::Control(error) => error.into(),
        error @ (ResendError::MissingPayload(_) | ResendError::NotActive(..)) => {
            Refusal::Invalid(error.to_string())
        }
    })?;
    let details = Details(json!({ "deliveryId": key.id() }));
    let at = at(&application, key.event, key.endpoint);
    Ok((details, confirm::done(&at, "asked")).into_response())
}

/// `GET …/cancel`: whether it is meant.
pub(super) async fn ask_cancel(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<MakeAttempts>,
    Path((app, event, endpoint)): Path<(String, String, String)>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let application = operator.control.application(&app).await?;
    let found = operator.control.delivery_of(application.tenant(), &event, &endpoint).await?;
    let key = found.delivery.key;
    let frame = operator.frame(&site, "Cancel this delivery?", Section::Deliveries, &asked);
    let at = at(&application, key.event, key.endpoint);
    let asked = Confirm::new(frame, format!("{at}/cancel"), at, "Cancel it")
        .says(&format!("Delivery {} of {}.", key.id(), found.delivery.event_type))
        .says("It is not tried any more by itself. A request that is on its way ends as it would.");
    Confirm { reason: Some(Wanted::No), ..asked }.shown()
}

/// `POST …/cancel`
pub(super) async fn cancel(
    operator: OperatorMay<MakeAttempts>,
    Path((app, event, endpoint)): Path<(String, String, String)>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let reason = reasons::said(form.one("reason"))?;
    let application = operator.control.application(&app).await?;
    let story = operator.control.cancel_delivery(application.tenant(), &event, &endpoint).await?;
    let key = story.tracked.delivery.key;
    let details = Details(json!({ "deliveryId": key.id(), "reason": reason }));
    let at = at(&application, key.event, key.endpoint);
    Ok((details, confirm::done(&at, "cancelled")).into_response())
}

fn at(application: &Application, event: EventId, endpoint: EndpointId) -> String {
    format!("/console/deliveries/{}/{event}/{endpoint}", application.id)
}
