//! Attempts: at an endpoint, for an event, one by its id.
//!
//! Their ids begin with the second in which they began, so that the order of ids is that of time, and a
//! moment's place among them is known without looking.

use std::time::Duration;

use super::super::engine::{self, Connection, Row, params};
use super::super::ledger;
use super::super::rows::corrupt;
use super::super::walk::{Reach, Walk};
use super::{deliveries, events};
use crate::domain::application::Tenant;
use crate::domain::id::{AttemptId, EndpointId, EventId};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::history::{AttemptEntry, AttemptFilter};
use crate::storage::page::{Listed, Page};

/// How far an id may be from the moment that its attempt began: it is made then, and its clock has the
/// same quarter of a second.
const SLACK: Duration = Duration::from_secs(1);

/// Everything of `attempts a` in front of its response, and what filters ask of `events e`.
macro_rules! columns {
    () => {
        "a.event AS seq, a.endpoint AS endpoint, a.id AS id, a.number AS number, \
         a.started_at AS started_at, a.duration_ms AS duration_ms, a.dns_ms AS dns_ms, \
         a.connect_ms AS connect_ms, a.tls_ms AS tls_ms, a.first_byte_ms AS first_byte_ms, \
         a.outcome AS outcome, \
         a.status AS status, a.by_hand AS by_hand, a.url AS url, a.detail AS detail, \
         e.id AS event, e.type AS type, e.subject AS subject, e.channels AS channels"
    };
}

/// A page of the attempts at an endpoint.
pub(super) fn at(
    connection: &Connection,
    tenant: Tenant,
    endpoint: EndpointId,
    filter: &AttemptFilter,
    page: &Page<AttemptId>,
    responses: bool,
) -> Result<Listed<AttemptEntry, AttemptId>, StorageError> {
    let other = filter.endpoint.is_some_and(|only| only != endpoint);
    if other || !deliveries::is_of(connection, tenant, endpoint)? {
        return Ok(Listed::nothing());
    }
    list(connection, walk_at(endpoint, filter, page), filter, responses)
}

/// The walk over the attempts at an endpoint.
pub(in super::super) fn walk_at(
    endpoint: EndpointId,
    filter: &AttemptFilter,
    page: &Page<AttemptId>,
) -> Walk {
    let from = "attempts a INDEXED BY attempts_at CROSS JOIN events e ON e.seq = a.event";
    Walk::within(from, "a.id", page, &reach(filter))
        .columns(columns!())
        .only("a.endpoint = ?", endpoint)
}

/// A page of the attempts for an event.
pub(super) fn of_event(
    connection: &Connection,
    tenant: Tenant,
    event: EventId,
    filter: &AttemptFilter,
    page: &Page<AttemptId>,
    responses: bool,
) -> Result<Listed<AttemptEntry, AttemptId>, StorageError> {
    let Some(seq) = events::seq_of(connection, tenant, event)? else {
        return Ok(Listed::nothing());
    };
    list(connection, walk_for(seq, filter, page), filter, responses)
}

/// The walk over the attempts for an event. Those at one of its endpoints are in their order; those at all
/// of them are put into it, which reads what the one event took and nothing of the history beside it.
pub(in super::super) fn walk_for(seq: i64, filter: &AttemptFilter, page: &Page<AttemptId>) -> Walk {
    let from = "attempts a CROSS JOIN events e ON e.seq = a.event";
    let walk = Walk::within(from, "a.id", page, &reach(filter))
        .columns(columns!())
        .only("a.event = ?", seq);
    match filter.endpoint {
        Some(endpoint) => walk.only("a.endpoint = ?", endpoint),
        None => walk,
    }
}

/// One attempt for an event.
pub(super) fn one(
    connection: &Connection,
    tenant: Tenant,
    event: EventId,
    attempt: AttemptId,
) -> Result<Option<AttemptEntry>, StorageError> {
    let Some(seq) = events::seq_of(connection, tenant, event)? else { return Ok(None) };
    let mut find = connection.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        " FROM attempts a CROSS JOIN events e ON e.seq = a.event \
         WHERE a.event = ?1 AND a.id = ?2"
    ))?;
    let mut found = find.query(params![seq, attempt])?;
    found.next()?.map(|row| entry(connection, &row, true)).transpose()
}

/// The ids that attempts in the filter's time can have.
fn reach(filter: &AttemptFilter) -> Reach<AttemptId> {
    let first = |moment: Timestamp| AttemptId::minted(moment, [0; 15]);
    Reach {
        from: filter.events.after.map(|after| first(after - SLACK)),
        below: filter.events.before.map(|before| first(before + SLACK)),
    }
}

fn list(
    connection: &Connection,
    walk: Walk,
    filter: &AttemptFilter,
    responses: bool,
) -> Result<Listed<AttemptEntry, AttemptId>, StorageError> {
    walk.look(
        connection,
        |row| Ok(row.get("id")?),
        |row| {
            if !is_like(filter, row)? {
                return Ok(None);
            }
            entry(connection, row, responses).map(Some)
        },
        |entry| entry.attempt.response.len(),
    )
}

/// Whether a row's attempt is what a filter wants.
fn is_like(filter: &AttemptFilter, row: &Row<'_>) -> Result<bool, StorageError> {
    let (status, succeeded): (u16, bool) = (row.get("status")?, is_success(row)?);
    Ok(filter.success.is_none_or(|wanted| wanted == succeeded)
        && filter.status_class.is_none_or(|class| status / 100 == class / 100)
        && events::is_between(&filter.events, row.get("started_at")?)
        && events::is_like(&filter.events, row)?)
}

fn is_success(row: &Row<'_>) -> engine::Result<bool> {
    Ok(row.get_ref("outcome")?.as_str()? == "success")
}

fn entry(
    connection: &Connection,
    row: &Row<'_>,
    responses: bool,
) -> Result<AttemptEntry, StorageError> {
    let (seq, endpoint): (i64, EndpointId) = (row.get("seq")?, row.get("endpoint")?);
    let event = row.get("event")?;
    let mut attempt = ledger::attempt_without_response(row)?;
    if responses {
        let mut find = connection.prepare_cached(
            "SELECT a.response, a.varied, f.form AS form_of \
             FROM attempts a LEFT JOIN header_forms f ON f.number = a.form \
             WHERE a.event = ?1 AND a.endpoint = ?2 AND a.id = ?3",
        )?;
        let mut found = find.query(params![seq, endpoint, attempt.id])?;
        let whole = found.next()?.ok_or_else(|| corrupt(format!("attempt {}", attempt.id)))?;
        attempt = ledger::with_exchange(&whole, event, attempt)?;
    }
    Ok(AttemptEntry {
        event,
        endpoint,
        manual: row.get("by_hand")?,
        success: is_success(row)?,
        attempt,
    })
}
