//! One event: what it says, whom it is owed to and how each of these stands, and why it is not owed to the others.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};

use super::deliveries::path;
use super::names::{Choice, Names};
use crate::console::form::{Asked, Sent};
use crate::console::frame::{Frame, Section};
use crate::console::parts::{Badge, When};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{MakeAttempts, TenantMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::console::views::delivery::{sentence, shown_body};
use crate::control::stories::{NotMatched, Story};
use crate::domain::delivery::DeliveryKey;
use crate::storage::attention::Routed;

#[derive(Template)]
#[template(path = "portal/event.html")]
#[expect(clippy::struct_field_names, reason = "as the event has them")]
#[expect(clippy::struct_excessive_bools, reason = "a template asks about each by itself")]
struct Event {
    frame: Frame,
    id: String,
    event_type: Text,
    producers_id: Option<Text>,
    subject: Option<Text>,
    received_at: When,
    occurred_at: When,
    deliver_at: Option<When>,
    expires_at: Option<When>,
    channels: Vec<Text>,
    never: Option<Text>,
    not_yet: bool,
    payload: Option<Text>,
    exact: bool,
    payload_bytes: usize,
    raw: bool,
    rows: Vec<Row>,
    others: Vec<Other>,
    is_whole: bool,
    choices: Vec<Choice>,
    cut: bool,
}

struct Row {
    href: String,
    badge: Badge,
    endpoint: Text,
    attempts: u32,
    words: Text,
    why: Text,
}

struct Other {
    href: String,
    endpoint: Text,
    why: Text,
}

/// `GET /portal/events/{event}`
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<View>,
    Asked(asked): Asked,
    Path(event): Path<String>,
) -> Result<Response, Refusal> {
    let trail = tenant.control.trail(tenant.tenant(), &event).await?;
    let names = Names::of(&tenant).await?;
    let event = &trail.event;
    let raw = asked.one("body") == Some("raw");
    let title = format!("{} {}", event.event_type, event.id);
    let payload = (!event.payload.is_empty()).then(|| shown_body(&event.payload, raw));
    shown(&Event {
        frame: tenant.frame(&site, &title, Section::Deliveries, &asked),
        id: event.id.to_string(),
        event_type: Text::line(event.event_type.as_str()),
        producers_id: event.event_id.as_deref().map(Text::line),
        subject: event.subject.as_deref().map(Text::line),
        received_at: When(event.received_at),
        occurred_at: When(event.occurred_at),
        deliver_at: event.deliver_at.map(When),
        expires_at: event.expires_at.map(When),
        channels: event.channels.iter().map(|name| Text::line(name)).collect(),
        never: match &trail.routed {
            Routed::Never(why) => Some(Text::line(why)),
            Routed::Yes | Routed::NotYet => None,
        },
        not_yet: trail.routed == Routed::NotYet,
        exact: payload.as_ref().is_some_and(|shown| shown.is(&event.payload)),
        payload,
        payload_bytes: event.payload.len(),
        raw,
        rows: trail.matched.iter().map(|story| row(story, &names)).collect(),
        others: trail.not_matched.iter().map(|one| other(one, &names)).collect(),
        is_whole: trail.is_whole,
        choices: names.choices(None),
        cut: names.is_cut(),
    })
}

fn row(story: &Story, names: &Names) -> Row {
    let delivery = &story.tracked.delivery;
    let called = names.name(delivery.key.endpoint);
    let at = || Text::line(delivery.url.as_deref().unwrap_or("a URL that nobody lists"));
    let words = story.timeline.last().map(|moment| sentence(&moment.words)).unwrap_or_default();
    Row {
        href: path(delivery.key),
        badge: Badge::delivery(delivery.state()),
        endpoint: called.unwrap_or_else(at),
        attempts: delivery.attempts(),
        words: Text::line(&words),
        why: Text::line(&story.why),
    }
}

fn other(one: &NotMatched, names: &Names) -> Other {
    let id = one.endpoint;
    Other {
        href: format!("/portal/endpoints/{id}"),
        endpoint: names.name(id).unwrap_or_else(|| Text::line(&id.to_string())),
        why: Text::line(&one.why),
    }
}

/// `POST /portal/events/{event}/send`: to one endpoint, once, whatever it wants.
pub(super) async fn send(
    tenant: TenantMay<MakeAttempts>,
    Path(event): Path<String>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let endpoint = form.one("endpoint").unwrap_or_default();
    let to = tenant.control.endpoint_of(tenant.tenant(), endpoint).await?;
    tenant.control.resend(tenant.tenant(), &event, endpoint).await?;
    let event = tenant.control.event_of(tenant.tenant(), &event).await?;
    let key = DeliveryKey { event: event.id, endpoint: to.id };
    Ok(Redirect::to(&format!("{}?done=sent", path(key))).into_response())
}
