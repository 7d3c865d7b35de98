//! The catalogue of event types: the list, one with its schema, listing and editing one, taking one off the list.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::confirm::{self, Confirm};
use super::form::{Faults, Typed};
use crate::console::deeds::Details;
use crate::console::form::{Asked, Fields, Sent};
use crate::console::frame::{Frame, Section};
use crate::console::parts::{Badge, When};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{Manage, OperatorMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::console::views::event_type::{self, EventTypeView};
use crate::console::views::pager::{self, Pager};
use crate::control::Answer;
use crate::control::event_types::{EventTypeEdit, NewEventType};
use crate::control::policies::Change;
use crate::domain::event_type::EventTypeEntry;
use crate::storage::page::Order;

#[derive(Template)]
#[template(path = "operator/event_types.html")]
struct Types {
    frame: Frame,
    archived_too: bool,
    rows: Vec<Row>,
    pager: Pager,
}

struct Row {
    name: Text,
    description: Text,
    badge: Option<Badge>,
    versions: usize,
    flag: Option<Text>,
    changed: When,
}

impl Row {
    fn of(entry: &EventTypeEntry) -> Self {
        let versions = entry.schemas.as_ref().and_then(Value::as_object);
        Self {
            name: Text::line(&entry.name),
            description: Text::line(&entry.description),
            badge: event_type::badge(entry),
            versions: versions.map_or(0, serde_json::Map::len),
            flag: entry.feature_flag.as_deref().map(Text::line),
            changed: When(entry.updated_at),
        }
    }
}

/// `GET /console/event-types`
pub(super) async fn list(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let archived_too = asked.one("archived").is_some();
    let page = pager::asked_for(&asked, Order::Ascending)?;
    let one_more = pager::and_one_more(&page);
    let control = &operator.control;
    let rows = control.event_type_page(&operator.caller(), archived_too, &one_more).await?;
    let listed = pager::cut(&page, rows, |one| one.name.clone());
    shown(&Types {
        frame: operator.frame(&site, "Event types", Section::EventTypes, &asked),
        archived_too,
        pager: Pager::of(&asked, &page, &listed, |one| one.name.clone()),
        rows: listed.rows.iter().map(Row::of).collect(),
    })
}

#[derive(Template)]
#[template(path = "operator/event_type.html")]
struct One {
    frame: Frame,
    name: Text,
    view: EventTypeView,
    flag: Option<Text>,
    archived: bool,
}

/// `GET /console/event-types/{name}`
pub(super) async fn one(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
    Path(name): Path<String>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let entry = operator.control.event_type(&name).await?;
    shown(&One {
        frame: operator.frame(&site, &entry.name, Section::EventTypes, &asked),
        name: Text::line(&entry.name),
        view: EventTypeView::of(&entry),
        flag: entry.feature_flag.as_deref().map(Text::line),
        archived: entry.archived,
    })
}

#[derive(Template)]
#[template(path = "operator/event_type_form.html")]
struct Edit {
    frame: Frame,
    /// Of one that is listed already.
    name: Option<Text>,
    typed: Typed,
    faults: Faults,
}

/// `GET /console/new-event-type`
pub(super) async fn new(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<Manage>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let frame = operator.frame(&site, "New event type", Section::EventTypes, &asked);
    shown(&Edit { frame, name: None, typed: Typed(asked), faults: Faults::default() })
}

/// `POST /console/event-types`
pub(super) async fn create(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<Manage>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let made = match schemas(&form) {
        Err(faults) => Err(faults),
        Ok(schemas) => {
            let new = NewEventType {
                name: form.one("name").unwrap_or_default().to_owned(),
                description: form.one("description").unwrap_or_default().to_owned(),
                archived: false,
                deprecated: form.one("deprecated").is_some(),
                schemas,
                feature_flag: form.one("flag").map(str::to_owned),
            };
            written(operator.control.create_event_type(new).await)?
        }
    };
    match made {
        Ok(entry) => Ok(told(&entry, "made")),
        Err(faults) => {
            let frame = operator.frame(&site, "New event type", Section::EventTypes, &form);
            faults.answer(&Edit { frame, name: None, typed: Typed(form), faults: faults.clone() })
        }
    }
}

/// `GET /console/event-types/{name}/edit`
pub(super) async fn edit(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<Manage>,
    Path(name): Path<String>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let entry = operator.control.event_type(&name).await?;
    shown(&Edit {
        frame: operator.frame(&site, &format!("Edit {}", entry.name), Section::EventTypes, &asked),
        name: Some(Text::line(&entry.name)),
        typed: Typed(as_fields(&entry)),
        faults: Faults::default(),
    })
}

/// `POST /console/event-types/{name}/edit`
pub(super) async fn save(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<Manage>,
    Path(name): Path<String>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let saved = match schemas(&form) {
        Err(faults) => Err(faults),
        Ok(schemas) => {
            let flag = form.one("flag").map(str::to_owned);
            let edit = EventTypeEdit {
                description: Some(form.one("description").unwrap_or_default().to_owned()),
                archived: None,
                deprecated: Some(form.one("deprecated").is_some()),
                schemas: schemas.map_or(Change::Clear, Change::Set),
                feature_flag: flag.map_or(Change::Clear, Change::Set),
            };
            written(operator.control.edit_event_type(&name, edit).await)?
        }
    };
    match saved {
        Ok(entry) => Ok(told(&entry, "saved")),
        Err(faults) => {
            let entry = operator.control.event_type(&name).await?;
            let title = format!("Edit {}", entry.name);
            let frame = operator.frame(&site, &title, Section::EventTypes, &form);
            let name = Some(Text::line(&entry.name));
            faults.answer(&Edit { frame, name, typed: Typed(form), faults: faults.clone() })
        }
    }
}

/// `GET /console/event-types/{name}/archive`: whether it is meant.
pub(super) async fn ask_archive(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<Manage>,
    Path(name): Path<String>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let entry = operator.control.event_type(&name).await?;
    let frame = operator.frame(&site, "Archive this event type?", Section::EventTypes, &asked);
    Confirm::new(frame, format!("{}/archive", at(&entry)), at(&entry), "Archive it")
        .says(&format!("Event type {}.", entry.name))
        .says("It is taken off the list, and no endpoint can be made to want it by name. Events of the type are delivered all the same.")
        .shown()
}

/// `POST /console/event-types/{name}/archive`
pub(super) async fn archive(
    operator: OperatorMay<Manage>,
    Path(name): Path<String>,
    Sent(_): Sent,
) -> Result<Response, Refusal> {
    archived(&operator, &name, true).await
}

/// `POST /console/event-types/{name}/list`: on the list again.
pub(super) async fn unarchive(
    operator: OperatorMay<Manage>,
    Path(name): Path<String>,
    Sent(_): Sent,
) -> Result<Response, Refusal> {
    archived(&operator, &name, false).await
}

async fn archived(
    operator: &OperatorMay<Manage>,
    name: &str,
    archived: bool,
) -> Result<Response, Refusal> {
    let edit = EventTypeEdit { archived: Some(archived), ..EventTypeEdit::default() };
    let entry = operator.control.edit_event_type(name, edit).await?;
    Ok(told(&entry, if archived { "archived" } else { "saved" }))
}

fn told(entry: &EventTypeEntry, word: &'static str) -> Response {
    let details =
        json!({ "name": entry.name, "archived": entry.archived, "deprecated": entry.deprecated });
    (Details(details), confirm::done(&at(entry), word)).into_response()
}

fn at(entry: &EventTypeEntry) -> String {
    format!("/console/event-types/{}", entry.name) // letters, digits, `.`, `_` and `-` alone
}

/// What was written, or what is wrong with the form.
fn written(answer: Answer<EventTypeEntry>) -> Result<Result<EventTypeEntry, Faults>, Refusal> {
    match answer {
        Ok(entry) => Ok(Ok(entry)),
        Err(error) => Faults::of(error).map(Err),
    }
}

/// The schemas of a form, by version; none when nothing is said.
fn schemas(form: &Fields) -> Result<Option<Value>, Faults> {
    let Some(text) = form.one("schemas") else { return Ok(None) };
    let read = serde_json::from_str(text);
    read.map(Some).map_err(|error| Faults::at("schemas", &format!("this is not JSON: {error}")))
}

/// An entry as its form would say it.
fn as_fields(entry: &EventTypeEntry) -> Fields {
    let schemas = entry.schemas.as_ref().map(serde_json::to_string_pretty);
    let schemas = schemas.and_then(Result::ok).unwrap_or_default();
    let flag = entry.feature_flag.clone().unwrap_or_default();
    let deprecated = if entry.deprecated { "yes" } else { "" };
    let pairs = [
        ("description", entry.description.as_str()),
        ("schemas", &schemas),
        ("flag", &flag),
        ("deprecated", deprecated),
    ];
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(pairs);
    Fields::read(text.finish().as_bytes())
}
