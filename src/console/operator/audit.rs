//! Who did what: the log of deeds through API and pages, newest first.
//!
//! It is walked along its numbers, and a filter looks along with it: a part looks at so many entries and no more, and
//! says where to go on.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::form::Typed;
use crate::console::form::{Asked, Fields};
use crate::console::frame::{Frame, Section};
use crate::console::parts::{Badge, Tone, When};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{OperatorMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::console::views::pager::{self, Pager};
use crate::control::{Control, ControlError};
use crate::domain::id::OrganisationId;
use crate::domain::time::Timestamp;
use crate::storage::audit::{Audit, AuditEntry, Deed};
use crate::storage::page::{Listed, Order, Page, Place};

/// Entries that are read at once.
const READ: usize = 250;
/// Entries that are looked at for one part, and no more: some milliseconds.
const LOOKED_MAX: usize = 2_000;

#[derive(Template)]
#[template(path = "operator/audit.html")]
struct Log {
    frame: Frame,
    typed: Typed,
    is_filtered: bool,
    goes_on: bool,
    rows: Vec<Row>,
    pager: Pager,
}

struct Row {
    number: i64,
    at: When,
    actor: Text,
    action: Text,
    object: Text,
    ended: Badge,
    details: Option<Text>,
}

impl Row {
    fn of(entry: &AuditEntry) -> Self {
        let details = entry.details.as_ref();
        Self {
            number: entry.number,
            at: When(entry.deed.at),
            actor: Text::line(&entry.deed.actor),
            action: Text::line(&entry.deed.action),
            object: Text::line(&entry.deed.object),
            ended: ended(entry.status),
            details: details.map(|details| Text::block(&details.to_string())),
        }
    }
}

const fn ended(status: Option<u16>) -> Badge {
    match status {
        None => Badge::new(Tone::Warn, "no ending"),
        Some(200..=399) => Badge::new(Tone::Good, "done"),
        Some(401..=404) => Badge::new(Tone::Bad, "refused"),
        Some(400..=499) => Badge::new(Tone::Plain, "not accepted"),
        Some(_) => Badge::new(Tone::Bad, "failed"),
    }
}

/// Which entries. All that is given holds together.
struct Filter {
    actor: Option<String>,
    /// What an application is called, by its id and by its uid: what it did, and what was done to it or to what it owns.
    of: Vec<String>,
    text: Option<String>,
    ended: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Filter {
    async fn of(asked: &Fields, control: &Control) -> Result<Self, Refusal> {
        let text = |name: &str| asked.one(name).map(str::to_lowercase);
        Ok(Self {
            actor: text("actor"),
            of: match asked.one("of") {
                None => Vec::new(),
                Some(name) => names_of(control, name).await?,
            },
            text: text("text"),
            ended: text("ended"),
            since: super::which::read(asked, "since")?,
            until: super::which::read(asked, "until")?,
        })
    }

    /// Whether one of the names did it, or stands in its path as a part of its own.
    fn is_about(&self, deed: &Deed) -> bool {
        let is_it = |part: &str| self.of.iter().any(|name| name == part);
        is_it(&deed.actor) || deed.object.split('/').any(is_it)
    }

    fn matches(&self, entry: &AuditEntry) -> bool {
        let deed = &entry.deed;
        let says = |part: &String| {
            let has = |text: &str| text.to_lowercase().contains(part);
            has(&deed.action)
                || has(&deed.object)
                || entry.details.as_ref().is_some_and(|details| has(&details.to_string()))
        };
        let ending = |wanted: &String| match wanted.as_str() {
            "done" => entry.status.is_some_and(|status| status < 400),
            "refused" => entry.status.is_some_and(|status| status >= 400),
            "none" => entry.status.is_none(),
            _ => true,
        };
        self.actor.as_ref().is_none_or(|wanted| deed.actor.to_lowercase() == *wanted)
            && (self.of.is_empty() || self.is_about(deed))
            && self.text.as_ref().is_none_or(says)
            && self.ended.as_ref().is_none_or(ending)
            && self.since.is_none_or(|since| deed.at >= since)
            && self.until.is_none_or(|until| deed.at < until)
    }
}

/// All that an application goes by; a name that nobody has (any more) goes for itself.
async fn names_of(control: &Control, name: &str) -> Result<Vec<String>, Refusal> {
    let Some(found) = control.known_application(name).await? else {
        return Ok(vec![name.to_owned()]);
    };
    Ok([Some(found.id.to_string()), found.uid].into_iter().flatten().collect())
}

/// `GET /console/audit`
pub(super) async fn log(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let page = pager::asked_for(&asked, Order::Descending)?;
    let filter = Filter::of(&asked, &operator.control).await?;
    let listed = walked(site.audit(), operator.organisation, &filter, &page).await?;
    shown(&Log {
        frame: operator.frame(&site, "Audit", Section::Audit, &asked),
        is_filtered: asked.says(&["actor", "of", "text", "ended", "since", "until"]),
        goes_on: listed.beyond.is_some(),
        pager: Pager::of(&asked, &page, &listed, |entry| entry.number),
        rows: listed.rows.iter().map(Row::of).collect(),
        typed: Typed(asked),
    })
}

/// A part of what matches, in the direction of the page.
async fn walked(
    audit: &dyn Audit,
    organisation: OrganisationId,
    filter: &Filter,
    page: &Page<i64>,
) -> Result<Listed<AuditEntry, i64>, Refusal> {
    let (_, backwards) = page.reading();
    let mut place = page.place.clone();
    let mut found = Vec::new();
    let mut looked = 0;
    let beyond = loop {
        let part = Page { limit: READ, place, order: page.order };
        let mut entries = audit.deeds(organisation, &part).await.map_err(ControlError::from)?;
        if backwards {
            entries.reverse(); // the nearest first
        }
        let Some(last) = entries.last().map(|entry| entry.number) else { break None };
        let was_full = entries.len() == READ;
        looked += entries.len();
        found.extend(entries.into_iter().filter(|entry| filter.matches(entry)));
        if found.len() > page.limit {
            found.truncate(page.limit);
            break found.last().map(|entry: &AuditEntry| entry.number);
        }
        if !was_full {
            break None;
        }
        if looked >= LOOKED_MAX {
            break Some(last);
        }
        place = if backwards { Place::InFrontOf(last) } else { Place::Behind(last) };
    };
    if backwards {
        found.reverse();
    }
    Ok(Listed { rows: found, beyond })
}
