//! Beginning a replay: what it is about was counted by a reader, and is taken by the writer.
//!
//! **What if we die right here?** It is one transaction: the replay is there with its endpoints, or it is not
//! and whoever asked may ask again.

use super::super::engine::{Connection, OptionalExtension, params};
use super::preview::Counted;
use super::{Entry, entry};
use crate::domain::id::{ApplicationId, EndpointId, OrganisationId, ReplayId};
use crate::domain::replay::ReplayState;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::replays::{
    ACTIVE_MAX, ACTIVE_MAX_OF_APPLICATION, ENDPOINTS_MAX, NewReplay, Replay, Selection,
};
use crate::storage::sql::rows::{corrupt, json};

/// Whether so many match as somebody has counted before.
pub(super) fn as_expected(expect: Option<u64>, matched: Option<u64>) -> Result<(), StorageError> {
    let Some(expect) = expect else { return Ok(()) };
    match matched {
        Some(matched) if matched == expect => Ok(()),
        Some(matched) => Err(StorageError::Conflict(format!(
            "{matched} deliveries match now, and {expect} were expected: count them again"
        ))),
        None => Err(StorageError::Conflict(format!(
            "{expect} deliveries were expected, and those that match are too many to be counted: \
             a shorter time is wanted, or no expectation"
        ))),
    }
}

/// Begins what was counted.
pub(super) fn begin(
    connection: &Connection,
    new: &NewReplay,
    counted: &Counted,
    now: Timestamp,
) -> Result<Replay, StorageError> {
    let selection = &counted.selection;
    let (application, endpoint) = match selection {
        Selection::DeadLetters(filter) => (filter.application, filter.endpoint),
        Selection::OfEndpoint(of) => (Some(of.application), Some(of.endpoint)),
    };
    has_room(connection, new.organisation, application)?;
    if let Selection::OfEndpoint(of) = selection {
        // What was deleted may have been owed something; it is offered to somebody else alone.
        let at_all = new.to.is_some();
        let mut find = connection.prepare_cached(
            "SELECT 1 FROM endpoints e JOIN applications a ON a.id = e.application \
             WHERE e.id = ?1 AND a.id = ?2 AND a.organisation = ?3 \
               AND (?4 OR e.deleted_at IS NULL)",
        )?;
        if !find.exists(params![of.endpoint, of.application, new.organisation, at_all])? {
            return Err(no_endpoint(of.endpoint));
        }
    }
    if let Some(to) = new.to {
        let mut find = connection.prepare_cached(
            "SELECT 1 FROM endpoints e JOIN applications a ON a.id = e.application \
             WHERE e.id = ?1 AND a.organisation = ?2 AND a.id IS ?3 AND e.deleted_at IS NULL",
        )?;
        if !find.exists(params![to, new.organisation, application])? {
            return Err(no_endpoint(to));
        }
    }
    if counted.endpoints.len() > ENDPOINTS_MAX as usize {
        return Err(StorageError::Conflict(format!(
            "it is about more than {ENDPOINTS_MAX} endpoints: a filter that matches fewer is wanted"
        )));
    }
    let seq = insert(connection, new, counted, (application, endpoint), now)?;
    let own = new.to.as_slice();
    let endpoints = if own.is_empty() { counted.endpoints.as_slice() } else { own };
    take_endpoints(connection, seq, endpoints)?;
    match entry(connection, new.id)? {
        Some(Entry { replay, .. }) => Ok(replay),
        None => Err(corrupt(format!("{} was written, and is not there", new.id))),
    }
}

/// Whether another one may be active in an organisation, and in an application of it.
fn has_room(
    connection: &Connection,
    organisation: OrganisationId,
    application: Option<ApplicationId>,
) -> Result<(), StorageError> {
    let mut active = connection.prepare_cached(
        "SELECT count(*), count(*) FILTER (WHERE application = ?2) FROM replays \
         WHERE state IN ('running', 'paused') AND organisation = ?1",
    )?;
    let (all, own): (u32, u32) = active
        .query_row(params![organisation, application], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let full = |most: u32, whose: &str| {
        StorageError::Conflict(format!(
            "{most} replays of this {whose} are running or paused, as many as may be: another can begin \
             when one has ended"
        ))
    };
    if own >= ACTIVE_MAX_OF_APPLICATION {
        return Err(full(ACTIVE_MAX_OF_APPLICATION, "application"));
    }
    if all >= ACTIVE_MAX {
        return Err(full(ACTIVE_MAX, "organisation"));
    }
    Ok(())
}

fn insert(
    connection: &Connection,
    new: &NewReplay,
    counted: &Counted,
    (application, endpoint): (Option<ApplicationId>, Option<EndpointId>),
    now: Timestamp,
) -> Result<i64, StorageError> {
    let (filter, of) = match &counted.selection {
        Selection::DeadLetters(filter) => (Some(json(filter)), None),
        Selection::OfEndpoint(of) => (None, Some(of)),
    };
    let mut insert = connection.prepare_cached(
        "INSERT INTO replays (id, organisation, scope, application, endpoint, filter, event_type, since, \
                              until, recipient, rate, state, place, last, matched, actor, reason, \
                              created_at, updated_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?18) RETURNING seq",
    )?;
    let values = params![
        new.id,
        new.organisation,
        counted.selection.scope().as_str(),
        application,
        endpoint,
        filter,
        of.and_then(|of| of.event_type.as_ref()).map(ToString::to_string),
        of.map(|of| of.since),
        of.and_then(|of| of.until),
        new.to,
        new.rate.per_second(),
        ReplayState::Running.as_str(),
        counted.place,
        counted.last,
        counted.preview.matched.map(|matched| i64::try_from(matched).unwrap_or(i64::MAX)),
        new.actor,
        new.reason,
        now,
    ];
    Ok(insert.query_row(values, |row| row.get(0))?)
}

/// Takes endpoints for a replay.
fn take_endpoints(
    connection: &Connection,
    seq: i64,
    endpoints: &[EndpointId],
) -> Result<(), StorageError> {
    let mut take = connection.prepare_cached(
        "INSERT INTO replay_endpoints (endpoint, replay) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    )?;
    for endpoint in endpoints {
        if take.execute(params![endpoint, seq])? == 1 {
            continue;
        }
        let mut find = connection.prepare_cached(
            "SELECT r.id FROM replay_endpoints t JOIN replays r ON r.seq = t.replay \
             WHERE t.endpoint = ?1",
        )?;
        let other: Option<ReplayId> = find.query_row([endpoint], |row| row.get(0)).optional()?;
        let other = other.map_or_else(|| "another replay".to_owned(), |id| id.to_string());
        return Err(StorageError::Conflict(format!(
            "{other} is active for endpoint {endpoint}: it has to end, or be cancelled, before another \
             one is begun"
        )));
    }
    Ok(())
}

fn no_endpoint(id: EndpointId) -> StorageError {
    StorageError::Conflict(format!("endpoint {id} does not exist"))
}
