//! Applications: the list of them, looking one up, and making one.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde_json::json;

use super::confirm;
use super::form::{Faults, Typed};
use crate::console::deeds::Details;
use crate::console::form::{Asked, Sent};
use crate::console::frame::{Frame, Section};
use crate::console::parts::When;
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{Manage, OperatorMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::console::views::pager::{self, Pager};
use crate::control::Control;
use crate::control::applications::NewApplication;
use crate::domain::application::Application;
use crate::storage::page::{Order, Page, Place};

/// Applications whose names are looked through: names have no index, and so many are read in a few milliseconds.
const NAMES_MAX: usize = 1_000;

#[derive(Template)]
#[template(path = "operator/applications.html")]
struct Applications {
    frame: Frame,
    typed: Typed,
    /// What was looked up, and is not there.
    unknown: Option<Text>,
    rows: Vec<Row>,
    pager: Option<Pager>,
}

struct Row {
    id: Text,
    uid: Option<Text>,
    name: Text,
    made: When,
}

impl Row {
    fn of(application: &Application) -> Self {
        Self {
            id: Text::line(&application.id.to_string()),
            uid: application.uid.as_deref().map(Text::line),
            name: Text::line(&application.name),
            made: When(application.created_at),
        }
    }
}

/// `GET /console/applications`
pub(super) async fn list(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let frame = operator.frame(&site, "Applications", Section::Applications, &asked);
    if let Some(name) = asked.one("q") {
        if let Some(found) = operator.control.known_application(name).await? {
            let path = format!("/console/applications/{}", found.id);
            return Ok(Redirect::to(&path).into_response());
        }
        let found = called(&operator.control, name).await?;
        return shown(&Applications {
            frame,
            unknown: found.is_empty().then(|| Text::line(name)),
            rows: found.iter().map(Row::of).collect(),
            pager: None,
            typed: Typed(asked),
        });
    }
    let page = pager::asked_for(&asked, Order::Descending)?;
    let rows = operator.control.application_page(&pager::and_one_more(&page)).await?;
    let listed = pager::cut(&page, rows, |one| one.id);
    let pager = Some(Pager::of(&asked, &page, &listed, |one| one.id));
    let rows = listed.rows.iter().map(Row::of).collect();
    shown(&Applications { frame, unknown: None, rows, pager, typed: Typed(asked) })
}

/// Those among the newest whose name has this in it, in either case; at most a page of them.
async fn called(control: &Control, part: &str) -> Result<Vec<Application>, Refusal> {
    let part = part.to_lowercase();
    let newest = Page { limit: NAMES_MAX, place: Place::Beginning, order: Order::Descending };
    let mut found = control.application_page(&newest).await?;
    found.retain(|one| one.name.to_lowercase().contains(&part));
    found.truncate(pager::ROWS);
    Ok(found)
}

#[derive(Template)]
#[template(path = "operator/application_new.html")]
struct New {
    frame: Frame,
    typed: Typed,
    faults: Faults,
}

/// `GET /console/applications/new`
pub(super) async fn new(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<Manage>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let frame = operator.frame(&site, "New application", Section::Applications, &asked);
    shown(&New { frame, typed: Typed(asked), faults: Faults::default() })
}

/// `POST /console/applications`
pub(super) async fn create(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<Manage>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let new = NewApplication::named(form.one("name").unwrap_or_default(), form.one("uid"));
    match operator.control.create_application(new).await {
        Ok(made) => {
            let details = Details(json!({ "application": made.id, "uid": made.uid }));
            let at = format!("/console/applications/{}", made.id);
            Ok((details, confirm::done(&at, "made")).into_response())
        }
        Err(error) => {
            let faults = Faults::of(error)?;
            let frame = operator.frame(&site, "New application", Section::Applications, &form);
            faults.answer(&New { frame, typed: Typed(form), faults: faults.clone() })
        }
    }
}
