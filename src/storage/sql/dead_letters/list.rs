//! Pages of dead letters, newest first, each walked by the index of what was asked for.
//!
//! | asked for | walked by |
//! |---|---|
//! | what it is about | `dead_letters_about`, of the few applications that have one |
//! | reason, status, error | `dead_letters_of_kind`, the kinds that match together |
//! | the endpoint | `dead_letters_by_endpoint` |
//! | the type, of an application | `dead_letters_by_type` |
//! | nothing of these | `dead_letters_by_application`, `…_by_organisation`, `…_by_time` |
//!
//! Whatever else is asked for (a text, a pattern of types) is looked for along that walk: a page looks at a
//! bounded number of rows, and says where to go on when it found few.

use rusqlite::types::Value;

use super::super::engine::{Connection, OptionalExtension, Row, params};
use super::super::walk::{Reach, Walk};
use super::{blob_list, dead_letter, groups, hex, is_within};
use crate::domain::filter::Pattern;
use crate::domain::id::{ApplicationId, OrganisationId};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::dead_letters::{DeadLetter, DeadLetterFilter, DeadLetterPlace as Place};
use crate::storage::page::{Listed, Order, Page};

/// A page of them.
pub(in super::super) fn page(
    connection: &Connection,
    filter: &DeadLetterFilter,
    page: &Page<Place>,
) -> Result<Listed<DeadLetter, Place>, StorageError> {
    look(connection, filter, page, |_, one| Ok(one))
}

/// The same, with what is made of each row.
pub(in super::super) fn look<T>(
    connection: &Connection,
    filter: &DeadLetterFilter,
    page: &Page<Place>,
    make: impl Fn(&Row<'_>, DeadLetter) -> Result<T, StorageError>,
) -> Result<Listed<T, Place>, StorageError> {
    let Some(walk) = walk(connection, filter, page)? else { return Ok(Listed::nothing()) };
    // Those that are named are found by their names.
    let filter = DeadLetterFilter { ids: Vec::new(), ..filter.clone() };
    walk.look(
        connection,
        |row| Ok(Place { died_at: row.get("died_at")?, number: row.get("seq")? }),
        |row| {
            let one = dead_letter(row)?;
            if !filter.matches(Some(row.get("organisation")?), &one) {
                return Ok(None);
            }
            make(row, one).map(Some)
        },
        |_| 0, // nothing of a dead letter is large
    )
}

/// The walk over them; `None` when there can be none.
pub(in super::super) fn walk(
    connection: &Connection,
    filter: &DeadLetterFilter,
    page: &Page<Place>,
) -> Result<Option<Walk>, StorageError> {
    if !is_within(connection, filter)? {
        return Ok(None);
    }
    let Some(Base { from, only }) = base(connection, filter)? else { return Ok(None) };
    let whole = Page { limit: page.limit, place: page.side(), order: page.order };
    let mut walk = Walk::within(&from, "d.died_at", &whole, &reach(filter, page))
        .columns("d.*")
        .then_by("d.seq");
    for (condition, value) in only {
        walk = walk.only(condition, value);
    }
    let Some(beside) = page.beside() else { return Ok(Some(walk)) };
    let beyond = match page.reading() {
        (Order::Descending, _) => "(d.died_at, d.seq) < (?, ?)",
        (Order::Ascending, _) => "(d.died_at, d.seq) > (?, ?)",
    };
    Ok(Some(walk.only_both(beyond, beside.died_at, beside.number)))
}

/// What died in the filter's time. The bound on the side of the place that the page lies beside is left to
/// the place: of two, the index would be entered by either.
fn reach(filter: &DeadLetterFilter, page: &Page<Place>) -> Reach<Timestamp> {
    let (order, _) = page.reading();
    let beside = page.beside().map(|place| place.died_at);
    let from = filter
        .since
        .filter(|since| order == Order::Descending || beside.is_none_or(|beside| beside < *since));
    let below = filter
        .until
        .filter(|until| order == Order::Ascending || beside.is_none_or(|beside| beside >= *until));
    Reach { from, below }
}

/// What a walk goes over.
struct Base {
    from: String,
    /// Conditions with the value of the question mark in each.
    only: Vec<(&'static str, Value)>,
}

impl Base {
    fn by(index: &str, only: Vec<(&'static str, Value)>) -> Self {
        Self { from: format!("dead_letters d INDEXED BY {index}"), only }
    }

    /// Several walks in the order of each, put together row by row: nothing is sorted. What they are told
    /// apart by is written out, since the question marks are for what holds for all of them.
    fn together(index: &str, each: impl IntoIterator<Item = String>) -> Self {
        let walks = each
            .into_iter()
            .map(|is| format!("SELECT * FROM dead_letters INDEXED BY {index} WHERE {is}"))
            .collect::<Vec<_>>();
        Self { from: format!("({}) d", walks.join(" UNION ALL ")), only: Vec::new() }
    }
}

/// What is walked for a filter; `None` when nothing can match.
fn base(connection: &Connection, filter: &DeadLetterFilter) -> Result<Option<Base>, StorageError> {
    if !filter.ids.is_empty() {
        // As many as were named, put into their order.
        let named = ("d.id IN (SELECT unhex(value) FROM json_each(?))", blob_list(&filter.ids));
        return Ok(Some(Base { from: "dead_letters d".to_owned(), only: vec![named] }));
    }
    if let (Some(organisation), Some(subject)) = (filter.organisation, &filter.subject)
        && let Some(whose) = about(connection, organisation, filter.application, subject)?
    {
        let each = whose.iter().map(|application| {
            format!(
                "organisation = {} AND subject = CAST({} AS TEXT) AND application = {}",
                written(organisation.as_bytes()),
                written(subject.as_bytes()),
                written(application.as_bytes())
            )
        });
        return Ok((!whose.is_empty()).then(|| Base::together("dead_letters_about", each)));
    }
    let by_kind = filter.reason.is_some() || filter.status.is_some() || filter.error.is_some();
    if by_kind && let Some(kinds) = groups::kinds(connection, filter)? {
        let each = kinds.iter().map(|kind| format!("kind = {kind}"));
        return Ok((!kinds.is_empty()).then(|| Base::together("dead_letters_of_kind", each)));
    }
    let blob = |bytes: &[u8]| Value::Blob(bytes.to_vec());
    if let Some(endpoint) = filter.endpoint {
        let only = vec![("d.endpoint = ?", blob(endpoint.as_bytes()))];
        return Ok(Some(Base::by("dead_letters_by_endpoint", only)));
    }
    if let Some(application) = filter.application {
        let mut only = vec![("d.application = ?", blob(application.as_bytes()))];
        let Some(Pattern::Exact(event_type)) = &filter.event_type else {
            return Ok(Some(Base::by("dead_letters_by_application", only)));
        };
        only.push(("d.event_type = ?", Value::Text(event_type.as_str().to_owned())));
        return Ok(Some(Base::by("dead_letters_by_type", only)));
    }
    let Some(organisation) = filter.organisation else {
        return Ok(Some(Base::by("dead_letters_by_time", Vec::new())));
    };
    let only = vec![("d.organisation = ?", blob(organisation.as_bytes()))];
    Ok(Some(Base::by("dead_letters_by_organisation", only)))
}

/// Most applications whose dead letters about the same thing are walked together.
const APPLICATIONS_MAX: usize = 32;

/// The next application that has one about something.
pub(in super::super) const NEXT_ABOUT: &str = "SELECT application FROM dead_letters \
     INDEXED BY dead_letters_about \
     WHERE organisation = ?1 AND subject = ?2 AND application > ?3 ORDER BY application LIMIT 1";

/// The applications of an organisation that have dead letters about this; `None` when they are too many to be
/// walked together.
fn about(
    connection: &Connection,
    organisation: OrganisationId,
    application: Option<ApplicationId>,
    subject: &str,
) -> Result<Option<Vec<ApplicationId>>, StorageError> {
    if let Some(application) = application {
        return Ok(Some(vec![application]));
    }
    let (mut found, mut last) = (Vec::new(), ApplicationId::from_bytes([0; 20]));
    let mut next = connection.prepare_cached(NEXT_ABOUT)?;
    while found.len() <= APPLICATIONS_MAX {
        let Some(application) =
            next.query_row(params![organisation, subject, last], |row| row.get(0)).optional()?
        else {
            return Ok(Some(found));
        };
        found.push(application);
        last = application;
    }
    Ok(None)
}

/// Bytes as SQL writes them: whatever they say, they end where they end.
fn written(bytes: &[u8]) -> String {
    format!("x'{}'", hex(bytes))
}
