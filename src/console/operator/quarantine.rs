//! Messages that are no events: what lies on which shelf and why, one of them whole, corrected and resubmitted, or thrown away.
//!
//! What a producer has sent is shown as text and stands in the form as it is; a body that is no text, or is too long to be shown
//! whole, is not corrected here: its key and its type are.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde_json::json;

use super::confirm::{self, Confirm, Spelled, Wanted};
use super::form::{Faults, Typed};
use crate::console::deeds::Details;
use crate::console::form::{Asked, Fields, Sent};
use crate::console::frame::{Frame, Section};
use crate::console::parts::When;
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{MakeAttempts, Manage, OperatorMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::console::views::pager;
use crate::control::installation::Installation;
use crate::storage::quarantine::{Fix, Held, HeldMessage, Shelf};

/// Longest body that stands on a page and is corrected there, in bytes: it stands there twice, and what
/// markup is written with takes five for one (`&#60;`), so that a page of ordinary JSON has its 100 kB.
const CORRECTED_MAX: usize = 16 * 1_024;
/// Messages of a shelf on one page, as rows of any list.
const ROWS: usize = pager::ROWS;

#[derive(Template)]
#[template(path = "operator/quarantine.html")]
struct Shelves {
    frame: Frame,
    shelves: Vec<(Shelf, bool)>,
    shelf: Shelf,
    rows: Vec<Row>,
    total: Option<u64>,
    all: bool,
}

struct Row {
    id: Text,
    reason: Text,
    why: Text,
    routing_key: Text,
    event_type: Option<Text>,
    message_id: Option<Text>,
    bytes: usize,
    at: Option<When>,
}

impl Row {
    fn of(held: &Held) -> Self {
        Self {
            id: Text::line(&held.id.to_string()),
            reason: Text::line(&held.reason),
            why: Text::line(&held.why),
            routing_key: Text::line(&held.routing_key),
            event_type: held.event_type.as_deref().map(Text::line),
            message_id: held.message_id.as_deref().map(Text::line),
            bytes: held.body_bytes,
            at: held.at.map(When),
        }
    }
}

/// `GET /console/quarantine?shelf=`
pub(super) async fn list(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let leave = Installation::of(operator.organisation)?;
    let desk = &site.installation().quarantine;
    let shelves = desk.shelves();
    let first = shelves.first().copied().unwrap_or(Shelf::Record);
    let shelf = match asked.one("shelf") {
        None => first,
        Some(word) => word.parse().map_err(Refusal::NotFound)?,
    };
    let look = desk.look(leave, shelf).await?;
    shown(&Shelves {
        frame: operator.frame(&site, "Quarantine", Section::Quarantine, &asked),
        shelves: shelves.into_iter().map(|one| (one, one == shelf)).collect(),
        shelf,
        rows: look.held.iter().take(ROWS).map(Row::of).collect(),
        total: look.total,
        all: look.all && look.held.len() <= ROWS,
    })
}

#[derive(Template)]
#[template(path = "operator/held.html")]
struct One {
    frame: Frame,
    shelf: Shelf,
    row: Row,
    exchange: Option<Text>,
    content_type: Option<Text>,
    headers: Vec<(Text, Text)>,
    body: Text,
    /// Whether that is its beginning alone.
    cut: bool,
    /// What the form says; `None` for who may not send it.
    typed: Typed,
    body_fixable: bool,
    faults: Faults,
}

/// `GET /console/quarantine/{shelf}/{id}`
pub(super) async fn one(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
    Path((shelf, id)): Path<(String, String)>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let shelf = shelf.parse().map_err(Refusal::NotFound)?;
    let leave = Installation::of(operator.organisation)?;
    let message = site.installation().quarantine.held(leave, shelf, &id).await?;
    let frame = operator.frame(&site, "Message in quarantine", Section::Quarantine, &asked);
    let typed = Typed(as_fields(&message));
    looked_at(frame, shelf, &message, typed, Faults::default())
}

fn looked_at(
    frame: Frame,
    shelf: Shelf,
    message: &HeldMessage,
    typed: Typed,
    faults: Faults,
) -> Result<Response, Refusal> {
    let header = |(name, value): &(String, String)| (Text::line(name), Text::line(value));
    faults.answer(&One {
        frame,
        shelf,
        row: Row::of(&message.held),
        exchange: message.exchange.as_deref().map(Text::line),
        content_type: message.content_type.as_deref().map(Text::line),
        headers: message.headers.iter().map(header).collect(),
        body: Text::bytes(beginning(&message.body)),
        cut: message.body.len() > CORRECTED_MAX,
        typed,
        body_fixable: text_of(message).is_some(),
        faults: faults.clone(),
    })
}

/// The body as it can be corrected: whole, text, and not too long for a form.
fn text_of(message: &HeldMessage) -> Option<&str> {
    let fits = message.is_whole() && message.body.len() <= CORRECTED_MAX;
    std::str::from_utf8(&message.body).ok().filter(|_| fits)
}

/// The part of a body that is shown: as long as what is corrected, cut where that is at a character's edge. Text that is none
/// stays so: its beginning is shown as bytes are.
fn beginning(body: &[u8]) -> &[u8] {
    let Some(cut) = body.get(..CORRECTED_MAX) else { return body };
    match std::str::from_utf8(cut) {
        Err(error) if error.error_len().is_none() => &cut[..error.valid_up_to()],
        Ok(_) | Err(_) => cut,
    }
}

fn as_fields(message: &HeldMessage) -> Fields {
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    text.append_pair("routingKey", &message.held.routing_key);
    text.append_pair("eventType", message.held.event_type.as_deref().unwrap_or_default());
    text.append_pair("body", text_of(message).unwrap_or_default());
    Fields::read(text.finish().as_bytes())
}

/// `POST /console/quarantine/{shelf}/{id}`: corrected, and taken in again. It changes what a producer has sent, and has
/// requests made of it: both rights are wanted.
pub(super) async fn resubmit(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<Manage>,
    _: OperatorMay<MakeAttempts>,
    Path((shelf, id)): Path<(String, String)>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let shelf = shelf.parse().map_err(Refusal::NotFound)?;
    let leave = Installation::of(operator.organisation)?;
    let desk = &site.installation().quarantine;
    let message = desk.held(leave, shelf, &id).await?;
    let fix = fixed(&message, &form);
    match desk.resubmit(leave, shelf, &id, &fix).await {
        Ok(done) => {
            let details = json!({
                "routingKey": fix.routing_key, "eventType": fix.event_type,
                "bodyChanged": fix.body.is_some(), "messageId": done.message_id,
            });
            let at = format!("/console/quarantine?shelf={shelf}");
            Ok((Details(details), confirm::done(&at, "resubmitted")).into_response())
        }
        Err(error) => {
            let faults = Faults::of(error)?;
            let title = "Message in quarantine";
            let frame = operator.frame(&site, title, Section::Quarantine, &form);
            looked_at(frame, shelf, &message, Typed(form), faults)
        }
    }
}

/// What of a form differs from the message. A browser sends its line breaks as two characters: that alone is no correction.
fn fixed(message: &HeldMessage, form: &Fields) -> Fix {
    let held = &message.held;
    let routing_key = form.one("routingKey").filter(|key| *key != held.routing_key);
    let event_type = form.one("eventType").unwrap_or_default();
    let type_changed = event_type != held.event_type.as_deref().unwrap_or_default();
    let plain = |text: &str| text.replace("\r\n", "\n").trim().to_owned();
    let body = text_of(message).and_then(|before| {
        let body = plain(form.one("body").unwrap_or_default());
        (body != plain(before)).then_some(body)
    });
    Fix {
        routing_key: routing_key.map(str::to_owned),
        event_type: type_changed.then(|| event_type.to_owned()),
        body: body.map(Bytes::from),
        without: Vec::new(),
    }
}

/// `GET /console/quarantine/{shelf}/{id}/discard`: whether it is meant.
pub(super) async fn ask_discard(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<Manage>,
    Path((shelf, id)): Path<(String, String)>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    asking(&site, &operator, &shelf, &id, &asked, Faults::default()).await
}

async fn asking(
    site: &Site,
    operator: &OperatorMay<Manage>,
    shelf: &str,
    id: &str,
    asked: &Fields,
    faults: Faults,
) -> Result<Response, Refusal> {
    let shelf: Shelf = shelf.parse().map_err(Refusal::NotFound)?;
    let leave = Installation::of(operator.organisation)?;
    let message = site.installation().quarantine.held(leave, shelf, id).await?;
    let frame = operator.frame(site, "Throw this message away?", Section::Quarantine, asked);
    let held = &message.held;
    let at = format!("/console/quarantine/{shelf}/{}", held.id);
    let about =
        format!("One message of {} bytes: {} ({}).", held.body_bytes, held.routing_key, held.why);
    let confirm = Confirm::new(frame, format!("{at}/discard"), at, "Throw it away for good")
        .says(&about)
        .says("It becomes no event, and nothing of it is kept.")
        .says("Should there be another that is like it to the last byte, that one stays: one is thrown away.");
    let spelled = Some(Spelled { label: "How many", wanted: Text::line("1") });
    Confirm { spelled, reason: Some(Wanted::Yes), faults, ..confirm }.shown()
}

/// `POST /console/quarantine/{shelf}/{id}/discard`
pub(super) async fn discard(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<Manage>,
    Path((shelf, id)): Path<(String, String)>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let leave = Installation::of(operator.organisation)?;
    if form.one("typed") != Some("1") {
        let faults = Faults::at("typed", "It is one message: nothing was thrown away.");
        return asking(&site, &operator, &shelf, &id, &form, faults).await;
    }
    let from: Shelf = shelf.parse().map_err(Refusal::NotFound)?;
    let reason = form.one("reason").unwrap_or_default();
    match site.installation().quarantine.discard(leave, from, &[&id], reason).await {
        Ok(done) => {
            let details = json!({ "gone": done.gone, "missing": done.missing, "reason": reason });
            let at = format!("/console/quarantine?shelf={from}");
            Ok((Details(details), confirm::done(&at, "thrown-away")).into_response())
        }
        Err(error) => asking(&site, &operator, &shelf, &id, &form, Faults::of(error)?).await,
    }
}
