//! Dead letters by their kind: for one endpoint, for one reason, with one last status and one last outcome.
//!
//! How many there are of each is kept by triggers (`0006_dead_letters.sql`); from when to when, and the newest
//! of them, are the two ends of an index. So a group costs the same whether it has ten dead letters or a
//! million.
//!
//! **Several writers** that bury for one endpoint at the same time meet at its group's row, and one runs again: for what is
//! given up, which is seldom.

use super::super::engine::{Connection, OptionalExtension, Row, params};
use super::super::rows::corrupt;
use super::super::walk::{Reach, Walk};
use super::{is_within, reason_of, whole};
use crate::domain::id::{ApplicationId, EndpointId, OrganisationId};
use crate::domain::settlement::DeathReason;
use crate::storage::StorageError;
use crate::storage::dead_letters::{DeadLetterFilter, DeadLetterGroup, GroupPlace};
use crate::storage::page::{Listed, Order, Page, Place};

/// The number of a kind; there is a row for it afterwards, which counts none until one is laid down.
pub(in super::super) fn kind(
    connection: &Connection,
    event: i64,
    endpoint: EndpointId,
    reason: &str,
    status: u16,
    outcome: &str,
) -> Result<i64, StorageError> {
    let mut find = connection.prepare_cached(
        "SELECT g.number FROM events e JOIN dead_letter_groups g \
             ON g.endpoint = ?2 AND g.application = e.application AND g.reason = ?3 \
            AND g.last_status = ?4 AND g.last_outcome = ?5 \
         WHERE e.seq = ?1",
    )?;
    let values = params![event, endpoint, reason, status, outcome];
    if let Some(number) = find.query_row(values, |row| row.get(0)).optional()? {
        return Ok(number);
    }
    // An application that is gone for good leaves its events to the default organisation.
    let mut make = connection.prepare_cached(
        "INSERT INTO dead_letter_groups (organisation, application, endpoint, reason, last_status, \
                                         last_outcome, letters) \
         SELECT coalesce((SELECT organisation FROM applications WHERE id = e.application), ?6), \
                e.application, ?2, ?3, ?4, ?5, 0 \
         FROM events e WHERE e.seq = ?1 RETURNING number",
    )?;
    let values = params![event, endpoint, reason, status, outcome, OrganisationId::DEFAULT];
    Ok(make.query_row(values, |row| row.get(0))?)
}

/// Every column of `dead_letter_groups g`, the two ends of each, and where its endpoint is called.
const COLUMNS: &str = "g.*, p.uid AS uid, p.url AS url, \
     (SELECT died_at FROM dead_letters WHERE kind = g.number ORDER BY died_at LIMIT 1) AS first_at, \
     (SELECT seq FROM dead_letters WHERE kind = g.number ORDER BY died_at DESC, seq DESC LIMIT 1) \
         AS sample";

/// A page of the groups that match, largest first.
pub(in super::super) fn list(
    connection: &Connection,
    filter: &DeadLetterFilter,
    page: &Page<GroupPlace>,
) -> Result<Listed<DeadLetterGroup, GroupPlace>, StorageError> {
    if !is_within(connection, filter)? {
        return Ok(Listed::nothing());
    }
    walk(filter, page).look(
        connection,
        place,
        |row| if is_meant(filter, row)? { group(connection, row).map(Some) } else { Ok(None) },
        |one| one.sample_detail.len(),
    )
}

/// The walk over them. Those of one endpoint are few, and put into their order.
pub(in super::super) fn walk(filter: &DeadLetterFilter, page: &Page<GroupPlace>) -> Walk {
    let index = match (filter.endpoint, filter.application, filter.organisation) {
        (Some(_), _, _) => "INDEXED BY dead_letter_groups_by_endpoint",
        (None, Some(_), _) => "INDEXED BY dead_letter_groups_of_application",
        (None, None, Some(_)) => "INDEXED BY dead_letter_groups_of_organisation",
        (None, None, None) => "",
    };
    let from = format!("dead_letter_groups g {index} LEFT JOIN endpoints p ON p.id = g.endpoint");
    let whole = Page { limit: page.limit, place: page.side(), order: page.order };
    let mut walk = Walk::within(&from, "g.letters", &whole, &Reach::<i64>::EVERYTHING)
        .columns(COLUMNS)
        .then_by("g.number");
    if let Some(endpoint) = filter.endpoint {
        walk = walk.only("g.endpoint = ?", endpoint);
    } else if let Some(application) = filter.application {
        walk = walk.only("g.application = ?", application);
    } else if let Some(organisation) = filter.organisation {
        walk = walk.only("g.organisation = ?", organisation);
    }
    let Some(beside) = page.beside() else { return walk };
    let letters = i64::try_from(beside.letters).unwrap_or(i64::MAX);
    match page.reading() {
        (Order::Descending, _) => {
            walk.only_both("(g.letters, g.number) < (?, ?)", letters, beside.number)
        }
        (Order::Ascending, _) => {
            walk.only_both("(g.letters, g.number) > (?, ?)", letters, beside.number)
        }
    }
}

/// Whether a group's dead letters are what a filter wants, as far as groups are told apart by it.
fn is_meant(filter: &DeadLetterFilter, row: &Row<'_>) -> Result<bool, StorageError> {
    let status: u16 = row.get("last_status")?;
    let (reason, outcome): (String, String) = (row.get("reason")?, row.get("last_outcome")?);
    Ok(filter.organisation.is_none_or(|wanted| row.get("organisation") == Ok(wanted))
        && filter.application.is_none_or(|wanted| row.get("application") == Ok(wanted))
        && filter.reason.is_none_or(|wanted| wanted.as_str() == reason)
        && filter.status.is_none_or(|wanted| wanted.matches(status))
        && filter.error.is_none_or(|wanted| wanted.as_str() == outcome))
}

fn place(row: &Row<'_>) -> Result<GroupPlace, StorageError> {
    Ok(GroupPlace { letters: whole(row.get("letters")?), number: row.get("number")? })
}

fn group(connection: &Connection, row: &Row<'_>) -> Result<DeadLetterGroup, StorageError> {
    let (number, sample): (i64, i64) = (row.get("number")?, row.get("sample")?);
    let mut find = connection.prepare_cached(
        "SELECT d.id, d.last_detail, d.died_at, \
                (SELECT a.url FROM attempts a WHERE a.event = d.event AND a.endpoint = d.endpoint \
                 ORDER BY a.id DESC LIMIT 1) \
         FROM dead_letters d WHERE d.seq = ?1",
    )?;
    let (sample, sample_detail, last_at, went_to) = find.query_row([sample], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, Option<String>>(3)?))
    })?;
    let reason: String = row.get("reason")?;
    let reason = reason_of(&reason)
        .ok_or_else(|| corrupt(format!("group {number} of dead letters: reason `{reason}`")))?;
    Ok(DeadLetterGroup {
        place: place(row)?,
        application: row.get("application")?,
        endpoint: row.get("endpoint")?,
        endpoint_uid: row.get("uid")?,
        url: row.get::<_, Option<String>>("url")?.or(went_to),
        reason,
        last_status: row.get("last_status")?,
        last_outcome: row.get("last_outcome")?,
        count: whole(row.get("letters")?),
        first_at: row.get("first_at")?,
        last_at,
        sample,
        sample_detail,
    })
}

/// Most kinds that are walked together: a page looks at one row of each, and then at what it shows.
const KINDS_MAX: usize = 32;
/// Most groups that are gone through to find them: some 5 ms of a reader's time.
const GROUPS_MAX: usize = 2_000;

/// The kinds that a filter wants, by their numbers; `None` when they are too many to be walked together.
pub(super) fn kinds(
    connection: &Connection,
    filter: &DeadLetterFilter,
) -> Result<Option<Vec<i64>>, StorageError> {
    let page = Page { limit: GROUPS_MAX, place: Place::Beginning, order: Order::Descending };
    let walk = walk(filter, &page).columns("g.*");
    let (mut looked, mut found) = (0, Vec::new());
    walk.each(connection, GROUPS_MAX + 1, |row| {
        looked += 1;
        if is_meant(filter, row)? {
            found.push(row.get("number")?);
        }
        Ok(found.len() <= KINDS_MAX)
    })?;
    Ok((looked <= GROUPS_MAX && found.len() <= KINDS_MAX).then_some(found))
}

/// How many dead letters a filter matches that says nothing which groups are not told apart by; `None` when
/// there are too many groups to be added up.
pub(super) fn count(
    connection: &Connection,
    filter: &DeadLetterFilter,
) -> Result<Option<u64>, StorageError> {
    let page = Page { limit: GROUPS_MAX, place: Place::Beginning, order: Order::Descending };
    let (mut looked, mut letters) = (0, 0);
    walk(filter, &page).columns("g.*").each(connection, GROUPS_MAX + 1, |row| {
        looked += 1;
        if is_meant(filter, row)? {
            letters += whole(row.get("letters")?);
        }
        Ok(true)
    })?;
    Ok((looked <= GROUPS_MAX).then_some(letters))
}

/// How many dead letters an endpoint has of one reason.
type Sum = (EndpointId, ApplicationId, DeathReason, u64);

/// How many dead letters there are for each endpoint and reason; as [`count`] otherwise.
pub(in super::super) fn sums(
    connection: &Connection,
    filter: &DeadLetterFilter,
) -> Result<Option<Vec<Sum>>, StorageError> {
    let page = Page { limit: GROUPS_MAX, place: Place::Beginning, order: Order::Descending };
    let mut sums = Vec::new();
    let mut looked = 0;
    walk(filter, &page).columns("g.*").each(connection, GROUPS_MAX + 1, |row| {
        looked += 1;
        let word: String = row.get("reason")?;
        if is_meant(filter, row)?
            && let Some(reason) = reason_of(&word)
        {
            let letters = whole(row.get("letters")?);
            sums.push((row.get("endpoint")?, row.get("application")?, reason, letters));
        }
        Ok(true)
    })?;
    Ok((looked <= GROUPS_MAX).then_some(sums))
}

/// Endpoints that have dead letters of the filter's application, or its organisation: at the most so many.
pub(in super::super) fn endpoints(
    connection: &Connection,
    filter: &DeadLetterFilter,
    most: u32,
) -> Result<Vec<EndpointId>, StorageError> {
    if let Some(endpoint) = filter.endpoint {
        return Ok(vec![endpoint]);
    }
    let mut find = connection.prepare_cached(
        "SELECT DISTINCT endpoint FROM dead_letter_groups \
         WHERE organisation = coalesce(?1, organisation) AND application = coalesce(?2, application) \
         LIMIT ?3",
    )?;
    let values = params![filter.organisation, filter.application, most];
    Ok(find.query_map(values, |row| row.get(0))?.collect::<Result<_, _>>()?)
}
