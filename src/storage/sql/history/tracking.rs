//! Deliveries as those track them who published their events: by what an event is about, by endpoint, or
//! all of a tenant's.
//!
//! A page is walked by the index of what was asked for: events about something, an endpoint's deliveries,
//! or a tenant's events; rows that do not match are looked at and passed over. A delivery's place is its
//! event's and then its endpoint's, so that those of one event are told apart.

use super::super::engine::{self, Connection, OptionalExtension, Row, params};
use super::super::rows::{self, read_json};
use super::super::walk::{Reach, Walk};
use super::{events, moments};
use crate::domain::application::Tenant;
use crate::domain::delivery::{DeliveryKey, DeliveryState};
use crate::domain::endpoint::default_of;
use crate::domain::id::{ApplicationId, EndpointId};
use crate::domain::policy::PolicyVersion;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::history::{
    DeliveryEntry, DeliveryFilter, LastAttempt, ON_THE_WAY_MAX, TrackedDelivery,
};
use crate::storage::page::{Listed, Order, Page, Place};

/// What is read of `deliveries d` and `events e`.
macro_rules! columns {
    () => {
        "e.seq AS seq, e.id AS id, e.application AS application, e.type AS type, \
         e.event_id AS event_id, e.subject AS subject, e.received_at AS received_at, \
         e.channels AS channels, e.webhook_url AS webhook_url, d.endpoint AS endpoint, \
         d.turn AS turn, d.attempts AS attempts, d.state AS state, d.held_by AS held_by, \
         d.due_at AS due_at, d.policy AS policy"
    };
}

/// A page of them.
pub(super) fn list(
    connection: &Connection,
    tenant: Tenant,
    filter: &DeliveryFilter,
    page: &Page<DeliveryKey>,
) -> Result<Listed<DeliveryEntry, DeliveryKey>, StorageError> {
    if let Some(endpoint) = filter.endpoint
        && !is_owed_by(connection, tenant, endpoint)?
    {
        return Ok(Listed::nothing());
    }
    walk(connection, tenant, filter, page)?.look(
        connection,
        |row| Ok(key(row)?),
        |row| {
            let stands = rows::standing(row)?.state;
            // Which of the two an unknown one is, its attempt says.
            let is_wanted = filter.state.is_none_or(|wanted| {
                wanted == stands.as_str() || wanted == "sending" && stands == DeliveryState::Unknown
            });
            if !is_wanted
                || !events::is_like(&filter.events, row)?
                || !events::is_between(&filter.events, row.get("received_at")?)
            {
                return Ok(None);
            }
            let entry = entry(connection, row, filter.now)?;
            Ok(filter.state.is_none_or(|wanted| wanted == entry.state()).then_some(entry))
        },
        |_| 0, // nothing of a delivery is large
    )
}

/// The walk over them.
pub(in super::super) fn walk(
    connection: &Connection,
    tenant: Tenant,
    filter: &DeliveryFilter,
    page: &Page<DeliveryKey>,
) -> Result<Walk, StorageError> {
    let page = page.named_by(|key| {
        let seq = events::seq_of(connection, tenant, key.event)?;
        let seq =
            seq.ok_or_else(|| StorageError::Conflict(format!("{key}: no such place in the list")));
        Ok::<_, StorageError>((seq?, key.endpoint))
    })?;
    // The page by its events: those beside which it lies are in it, and looked at one by one.
    let place = match &page.place {
        Place::Beginning | Place::Behind(_) => Place::Beginning,
        Place::End | Place::InFrontOf(_) => Place::End,
    };
    let events = Page { limit: page.limit, place, order: page.order };
    let mut reach = moments::reach(connection, filter.events.after, filter.events.before)?;
    let (order, _) = page.reading();
    if let Some((seq, _)) = page.beside() {
        reach = match order {
            Order::Descending => {
                Reach { below: Some(reach.below.unwrap_or(i64::MAX).min(seq + 1)), ..reach }
            }
            Order::Ascending => {
                Reach { from: Some(reach.from.unwrap_or(i64::MIN).max(*seq)), ..reach }
            }
        };
    }
    let application = tenant.application();
    let walk = match (&filter.events.subject, filter.endpoint) {
        (Some(subject), _) => {
            let from =
                "events e INDEXED BY events_about CROSS JOIN deliveries d ON d.event = e.seq";
            Walk::within(from, "e.seq", &events, &reach)
                .only("e.application = ?", application)
                .only("e.subject = ?", subject)
        }
        (None, Some(_)) => {
            let from =
                "deliveries d INDEXED BY deliveries_to CROSS JOIN events e ON e.seq = d.event";
            Walk::within(from, "d.event", &events, &reach)
        }
        (None, None) => {
            let from = "events e INDEXED BY events_of CROSS JOIN deliveries d ON d.event = e.seq";
            Walk::within(from, "e.seq", &events, &reach).only("e.application = ?", application)
        }
    };
    let walk = match filter.endpoint {
        Some(endpoint) => walk.only("d.endpoint = ?", endpoint),
        None => walk.then_by("d.endpoint"),
    };
    let beyond = match order {
        Order::Descending => "(d.event <> ? OR d.endpoint < ?)",
        Order::Ascending => "(d.event <> ? OR d.endpoint > ?)",
    };
    Ok(match page.beside() {
        Some((seq, endpoint)) => walk.only_both(beyond, seq, endpoint),
        None => walk,
    }
    .columns(columns!()))
}

/// Whether what an endpoint was owed is of this tenant's events: all of it is one tenant's, also where
/// nobody lists the endpoint.
fn is_owed_by(
    connection: &Connection,
    tenant: Tenant,
    endpoint: EndpointId,
) -> Result<bool, StorageError> {
    let mut find = connection.prepare_cached(
        "SELECT e.application FROM deliveries d INDEXED BY deliveries_to \
         CROSS JOIN events e ON e.seq = d.event WHERE d.endpoint = ?1 LIMIT 1",
    )?;
    let owner: Option<ApplicationId> = find.query_row([endpoint], |row| row.get(0)).optional()?;
    Ok(owner == Some(tenant.application()))
}

/// One of them, with the policy that it was last attempted by.
pub(super) fn one(
    connection: &Connection,
    tenant: Tenant,
    key: DeliveryKey,
    now: Timestamp,
) -> Result<Option<TrackedDelivery>, StorageError> {
    let Some(seq) = events::seq_of(connection, tenant, key.event)? else { return Ok(None) };
    let mut find = connection.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        " FROM deliveries d CROSS JOIN events e ON e.seq = d.event \
         WHERE d.event = ?1 AND d.endpoint = ?2"
    ))?;
    let mut found = find.query(params![seq, key.endpoint])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let delivery = entry(connection, &row, now)?;
    let mut find = connection.prepare_cached("SELECT policy FROM policies WHERE version = ?1")?;
    let version = delivery.policy.map(|version| version.0);
    let policy: Option<String> = find.query_row([version], |row| row.get(0)).optional()?;
    let policy = policy.map(|policy| read_json(&policy, key, "policy")).transpose()?;
    Ok(Some(TrackedDelivery { delivery, policy }))
}

fn key(row: &Row<'_>) -> engine::Result<DeliveryKey> {
    Ok(DeliveryKey { event: row.get("id")?, endpoint: row.get("endpoint")? })
}

fn entry(
    connection: &Connection,
    row: &Row<'_>,
    now: Timestamp,
) -> Result<DeliveryEntry, StorageError> {
    let (seq, key): (i64, _) = (row.get("seq")?, key(row)?);
    // Their ids begin with the moment in which they began: the first is the oldest.
    let mut first = connection.prepare_cached(
        "SELECT started_at FROM attempts WHERE event = ?1 AND endpoint = ?2 ORDER BY id LIMIT 1",
    )?;
    let mut last = connection.prepare_cached(
        "SELECT started_at, status, outcome, url FROM attempts \
         WHERE event = ?1 AND endpoint = ?2 ORDER BY id DESC LIMIT 1",
    )?;
    let first = first.query_row(params![seq, key.endpoint], |row| row.get(0)).optional()?;
    let last = last.query_row(params![seq, key.endpoint], |row| {
        let attempt = LastAttempt {
            started_at: row.get("started_at")?,
            status: row.get("status")?,
            outcome: row.get("outcome")?,
        };
        Ok((attempt, row.get("url")?))
    });
    let (last, url): (Option<LastAttempt>, Option<String>) = last.optional()?.unzip();
    let standing = rows::standing(row)?;
    let is_on_the_way = standing.state == DeliveryState::Unknown
        && last.as_ref().is_some_and(|last| now.since(last.started_at) < ON_THE_WAY_MAX);
    Ok(DeliveryEntry {
        key,
        event_id: row.get("event_id")?,
        event_type: row.get("type")?,
        subject: row.get("subject")?,
        url: match url {
            Some(url) => Some(url),
            None => url_now(connection, row, key.endpoint)?,
        },
        standing,
        is_on_the_way,
        first_attempt_at: first,
        last,
        policy: row.get::<_, Option<i64>>("policy")?.map(PolicyVersion),
        created_at: row.get("received_at")?,
    })
}

/// Where a delivery would go at this moment: its endpoint's URL, the application's default one, or the one
/// that its event names.
fn url_now(
    connection: &Connection,
    row: &Row<'_>,
    endpoint: EndpointId,
) -> Result<Option<String>, StorageError> {
    let mut find = connection.prepare_cached("SELECT url FROM endpoints WHERE id = ?1")?;
    let listed = find.query_row([endpoint], |row| row.get(0)).optional()?;
    if listed.is_some() {
        return Ok(listed);
    }
    let application: ApplicationId = row.get("application")?;
    if endpoint != default_of(application) {
        return Ok(row.get("webhook_url")?);
    }
    let mut find =
        connection.prepare_cached("SELECT default_url FROM settings WHERE application = ?1")?;
    Ok(find.query_row([application], |row| row.get(0)).optional()?.flatten())
}
