//! Dead letters: by what they have in common, in a list, and one of them with all that is known of it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};

use super::form::Typed;
use super::names::{self, Names};
use super::{which, words};
use crate::console::form::Asked;
use crate::console::frame::{Frame, Section};
use crate::console::parts::When;
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{OperatorMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::console::views::pager::{self, Pager};
use crate::control::{ControlError, tracking};
use crate::domain::dead_letter::NO_ATTEMPT;
use crate::domain::delivery::DeliveryKey;
use crate::domain::id::ApplicationId;
use crate::domain::outcome::CLASSES;
use crate::storage::dead_letters::{DeadLetter, DeadLetterGroup, Inspected};
use crate::storage::journal::AttemptRecord;
use crate::storage::page::Order;

#[derive(Template)]
#[template(path = "operator/dead_letters.html")]
struct Groups {
    frame: Frame,
    typed: Typed,
    is_all: bool,
    reasons: [(&'static str, &'static str); 4],
    errors: Vec<&'static str>,
    query: String,
    rows: Vec<Group>,
    pager: Pager,
}

struct Group {
    query: String,
    application: Text,
    application_name: Text,
    endpoint: Text,
    endpoint_name: Text,
    url: Option<Text>,
    reason: &'static str,
    status: u16,
    error: String,
    count: u64,
    first: When,
    last: When,
    sample: Text,
    detail: Text,
}

impl Group {
    fn of(group: &DeadLetterGroup, names: &Names) -> Self {
        let id = group.endpoint.to_string();
        Self {
            query: which::of_group(group),
            application: Text::line(&group.application.to_string()),
            application_name: names.name(group.application),
            endpoint_name: Text::line(group.endpoint_uid.as_deref().unwrap_or(&id)),
            endpoint: Text::line(&id),
            url: group.url.as_deref().map(Text::line),
            reason: words::reason(group.reason),
            status: group.last_status,
            error: words::outcome(&group.last_outcome),
            count: group.count,
            first: When(group.first_at),
            last: When(group.last_at),
            sample: Text::line(&group.sample.to_string()),
            detail: Text::line(&words::failure(
                &group.sample_detail,
                group.last_status,
                &group.last_outcome,
            )),
        }
    }
}

/// `GET /console/dead-letters`
pub(super) async fn groups(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let frame = operator.frame(&site, "Dead letters", Section::DeadLetters, &asked);
    let page = pager::asked_for(&asked, Order::Descending)?;
    let which = which::by_kind(&asked)?;
    let listed = operator.control.dead_letter_groups(None, &which, &page).await?;
    let applications = listed.rows.iter().map(|group| group.application).collect();
    let names = Names::of(&operator.control, applications).await?;
    shown(&Groups {
        frame,
        is_all: which::is_all(&asked),
        reasons: which::reasons(),
        errors: errors(),
        query: which::query(&asked),
        pager: Pager::of(&asked, &page, &listed, |group| group.place),
        rows: listed.rows.iter().map(|group| Group::of(group, &names)).collect(),
        typed: Typed(asked),
    })
}

fn errors() -> Vec<&'static str> {
    CLASSES.into_iter().chain([NO_ATTEMPT]).collect()
}

#[derive(Template)]
#[template(path = "operator/dead_letter_list.html")]
struct Letters {
    frame: Frame,
    typed: Typed,
    told: Text,
    reasons: [(&'static str, &'static str); 4],
    errors: Vec<&'static str>,
    query: String,
    rows: Vec<Row>,
    /// Whether the list goes on behind a part that has found nothing.
    goes_on: bool,
    pager: Pager,
}

struct Row {
    id: Text,
    /// Which delivery it is: what leads there when it is a dead letter no more.
    of: String,
    application: Text,
    endpoint: Text,
    event_type: Text,
    subject: Option<Text>,
    reason: &'static str,
    attempts: u32,
    status: u16,
    error: String,
    detail: Text,
    died: When,
}

impl Row {
    fn of(letter: &DeadLetter) -> Self {
        Self {
            id: Text::line(&letter.id.to_string()),
            of: format!("{}.{}", letter.application, letter.key),
            application: Text::line(&letter.application.to_string()),
            endpoint: Text::line(&letter.key.endpoint.to_string()),
            event_type: Text::line(&letter.event_type),
            subject: letter.subject.as_deref().map(Text::line),
            reason: words::reason(letter.reason),
            attempts: letter.attempts,
            status: letter.last_status,
            error: words::outcome(&letter.last_outcome),
            detail: Text::line(&words::failure(
                &letter.last_detail,
                letter.last_status,
                &letter.last_outcome,
            )),
            died: When(letter.died_at),
        }
    }
}

/// `GET /console/dead-letters/list`
pub(super) async fn list(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let frame = operator.frame(&site, "Dead letters", Section::DeadLetters, &asked);
    let page = pager::asked_for(&asked, Order::Descending)?;
    let which = which::which(&asked)?;
    let listed = operator.control.dead_letters_of(None, &which, &page).await?;
    shown(&Letters {
        frame,
        told: which::told(&asked),
        reasons: which::reasons(),
        errors: errors(),
        query: which::query(&asked),
        pager: Pager::of(&asked, &page, &listed, DeadLetter::place),
        goes_on: listed.beyond.is_some(),
        rows: listed.rows.iter().map(Row::of).collect(),
        typed: Typed(asked),
    })
}

#[derive(Template)]
#[template(path = "operator/dead_letter.html")]
struct Letter {
    frame: Frame,
    row: Row,
    application_name: Text,
    endpoint_name: Text,
    url: Option<Text>,
    event: Option<Event>,
    event_id: Text,
    attempts: Vec<Attempt>,
}

struct Event {
    producers: Option<Text>,
    received: When,
    bytes: usize,
    payload: Text,
}

struct Attempt {
    number: u32,
    at: When,
    took_ms: u32,
    url: Text,
    outcome: Text,
    status: u16,
    detail: Text,
    answer: Option<Text>,
}

impl Attempt {
    /// Only the last one's answer is shown here: each may have 16 KiB. The delivery's own page has all of them.
    fn of(attempt: &AttemptRecord, is_last: bool) -> Self {
        Self {
            number: attempt.number,
            at: When(attempt.started_at),
            took_ms: attempt.duration_ms,
            url: Text::line(&attempt.url),
            outcome: Text::line(&tracking::told(&attempt.outcome, &attempt.url)),
            status: attempt.status,
            detail: Text::line(&attempt.detail),
            answer: (is_last && !attempt.response.is_empty())
                .then(|| Text::bytes(&attempt.response)),
        }
    }
}

/// Where the delivery is that was a dead letter: `of` names it by its application, its event and its endpoint, and has to
/// come to the same id. (Ids of deliveries are derived from these, and do not lead back to them.)
fn delivery_at(id: &str, of: &str) -> Option<String> {
    let (application, key) = of.split_once('.')?;
    let (application, key) = (application.parse::<ApplicationId>(), key.parse::<DeliveryKey>());
    let (application, key) = (application.ok()?, key.ok()?);
    let is_it = key.id().to_string() == id;
    is_it.then(|| format!("/console/deliveries/{application}/{}/{}", key.event, key.endpoint))
}

/// `GET /console/dead-letters/{id}`; the delivery's page when it is none any more.
pub(super) async fn one(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
    Path(id): Path<String>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let control = &operator.control;
    let Inspected { letter, event, attempts } = match control.inspect_dead_letter(None, &id).await {
        Ok(found) => found,
        Err(ControlError::NotFound(why)) => {
            return match asked.one("of").and_then(|of| delivery_at(&id, of)) {
                Some(at) => Ok(Redirect::to(&at).into_response()),
                None => Err(Refusal::NotFound(why)),
            };
        }
        Err(error) => return Err(error.into()),
    };
    let application_name =
        Names::of(control, vec![letter.application]).await?.name(letter.application);
    let endpoint_name = names::endpoint(control, letter.key.endpoint).await?;
    shown(&Letter {
        frame: operator.frame(&site, "Dead letter", Section::DeadLetters, &asked),
        row: Row::of(&letter),
        application_name,
        endpoint_name,
        url: attempts.last().map(|last| Text::line(&last.url)),
        event_id: Text::line(&letter.key.event.to_string()),
        event: event.map(|event| Event {
            producers: event.event_id.as_deref().map(Text::line),
            received: When(event.received_at),
            bytes: event.payload.len(),
            payload: Text::bytes(&event.payload),
        }),
        attempts: (1..)
            .zip(&attempts)
            .map(|(number, one)| Attempt::of(one, number == attempts.len()))
            .collect(),
    })
}
