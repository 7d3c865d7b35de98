//! The attention's port in SQL: rows by their keys, and the ends of indexes.
//!
//! The worst endpoints are looked for among a bounded number of rows, all organisations' together: overdue ones from the
//! oldest on, requests from the newest event back. Whoever's fill the look leave no room for others', which is told.

use std::collections::HashMap;

use async_trait::async_trait;

use super::Sql;
use super::books::Movement;
use super::engine::{Connection, OptionalExtension, params};
use super::rows::{self, State, corrupt};
use crate::domain::application::Tenant;
use crate::domain::delivery::{DeliveryKey, Holder};
use crate::domain::id::{ApplicationId, EndpointId, EventId, OrganisationId};
use crate::domain::settlement::DeathReason;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::attention::{Attention, Death, Looked, Routed, TakenBack, Worst, WorstBy};

/// Rows of one kind that a look goes over: some 10 ms of a reader's time.
pub(super) const LOOK: u32 = 2_500;

// The statements that look for the worst; a test reads their plans. `?1` is the organisation, `?2` how many rows.
pub(super) const OVERDUE: &str = "SELECT l.endpoint, e.application, count(*), min(l.due_at) \
     FROM (SELECT event, endpoint, due_at FROM deliveries INDEXED BY deliveries_waiting \
           WHERE state = 1 AND held_by = ?3 AND due_at < ?4 ORDER BY due_at LIMIT ?2) AS l \
     CROSS JOIN events e ON e.seq = l.event CROSS JOIN applications a ON a.id = e.application \
     WHERE a.organisation = ?1 GROUP BY l.endpoint, e.application";
pub(super) const UNTRIED: &str = "SELECT l.endpoint, e.application, count(*), min(e.received_at) \
     FROM (SELECT event, endpoint FROM deliveries INDEXED BY deliveries_pending \
           WHERE state = 0 ORDER BY event LIMIT ?2) AS l \
     CROSS JOIN events e ON e.seq = l.event CROSS JOIN applications a ON a.id = e.application \
     WHERE a.organisation = ?1 AND coalesce(e.deliver_at, 0) < ?3 GROUP BY l.endpoint, e.application";
pub(super) const FAILING: &str = "SELECT f.endpoint, p.application, f.attempts, f.since \
     FROM (SELECT endpoint, attempts, since FROM failing LIMIT ?2) AS f \
     CROSS JOIN endpoints p ON p.id = f.endpoint CROSS JOIN applications a ON a.id = p.application \
     WHERE a.organisation = ?1";
pub(super) const SLOW: &str = "SELECT l.endpoint, e.application, count(*), min(l.started_at), \
            CAST(sum(l.duration_ms) AS bigint) / count(*), max(l.duration_ms) \
     FROM (SELECT event, endpoint, started_at, duration_ms FROM attempts \
           ORDER BY event DESC LIMIT ?2) AS l \
     CROSS JOIN events e ON e.seq = l.event CROSS JOIN applications a ON a.id = e.application \
     WHERE a.organisation = ?1 GROUP BY l.endpoint, e.application";

#[async_trait]
impl Attention for Sql {
    async fn death(&self, key: DeliveryKey) -> Result<Option<Death>, StorageError> {
        self.browse(move |connection| death(connection, key)).await
    }

    async fn routed(&self, event: EventId) -> Result<Routed, StorageError> {
        self.browse(move |connection| routed(connection, event)).await
    }

    async fn take_back(
        &self,
        tenant: Tenant,
        key: DeliveryKey,
    ) -> Result<Option<TakenBack>, StorageError> {
        self.write(move |connection| take_back(connection, tenant, key)).await
    }

    async fn worst(
        &self,
        organisation: OrganisationId,
        by: WorstBy,
        limit: usize,
        now: Timestamp,
    ) -> Result<Looked, StorageError> {
        self.browse(move |connection| worst(connection, organisation, by, limit, now)).await
    }
}

fn death(connection: &Connection, key: DeliveryKey) -> Result<Option<Death>, StorageError> {
    let mut find =
        connection.prepare_cached("SELECT reason, died_at FROM dead_letters WHERE id = ?1")?;
    let found: Option<(String, Timestamp)> =
        find.query_row([key.id()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((word, at)) = found else { return Ok(None) };
    let reason = DeathReason::ALL.into_iter().find(|reason| reason.as_str() == word);
    let reason = reason.ok_or_else(|| corrupt(format!("reason of {} is `{word}`", key.id())))?;
    Ok(Some(Death { reason, at }))
}

fn routed(connection: &Connection, event: EventId) -> Result<Routed, StorageError> {
    let Some(seq) = rows::seq_of(connection, event)? else { return Ok(Routed::NotYet) };
    let mut noted = connection.prepare_cached("SELECT 1 FROM inbox WHERE event = ?1")?;
    if noted.exists([seq])? {
        return Ok(Routed::NotYet);
    }
    let mut put_away =
        connection.prepare_cached("SELECT detail FROM quarantine WHERE event = ?1")?;
    let why = put_away.query_row([seq], |row| row.get(0)).optional()?;
    Ok(why.map_or(Routed::Yes, Routed::Never))
}

fn take_back(
    connection: &Connection,
    tenant: Tenant,
    key: DeliveryKey,
) -> Result<Option<TakenBack>, StorageError> {
    let mut find = connection.prepare_cached(
        "SELECT d.event, d.turn, d.attempts, d.state, d.held_by, d.due_at \
         FROM events e JOIN deliveries d ON d.event = e.seq \
         WHERE e.id = ?1 AND e.application = ?2 AND d.endpoint = ?3",
    )?;
    let mut found = find.query(params![key.event, tenant.application(), key.endpoint])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let state: State = row.get("state")?;
    if state.is_final() {
        return Ok(Some(TakenBack::Ended(rows::standing(&row)?.state)));
    }
    let event: i64 = row.get("event")?;
    let mut cancel = connection.prepare_cached(
        "UPDATE deliveries SET turn = turn + 1, state = 4, held_by = NULL, due_at = NULL \
         WHERE event = ?1 AND endpoint = ?2",
    )?;
    cancel.execute(params![event, key.endpoint])?;
    let mut movement = Movement::default();
    movement.moves(state, State::Cancelled);
    movement.post(connection)?;
    Ok(Some(TakenBack::Now))
}

/// What is found of one endpoint.
struct Found {
    application: ApplicationId,
    count: u64,
    since: Timestamp,
    latency: Option<(u32, u32)>,
}

fn worst(
    connection: &Connection,
    organisation: OrganisationId,
    by: WorstBy,
    limit: usize,
    now: Timestamp,
) -> Result<Looked, StorageError> {
    let mut found: HashMap<EndpointId, Found> = HashMap::new();
    let mut add = |sql: &str, values: &[&dyn rusqlite::ToSql], with_latency: bool| {
        let mut find = connection.prepare_cached(sql)?;
        let mut rows = find.query(values)?;
        while let Some(row) = rows.next()? {
            let latency = if with_latency { Some((row.get(4)?, row.get(5)?)) } else { None };
            let (count, since): (u32, Timestamp) = (row.get(2)?, row.get(3)?);
            let application = row.get(1)?;
            let one =
                found.entry(row.get(0)?).or_insert(Found { application, count: 0, since, latency });
            one.count += u64::from(count);
            one.since = one.since.min(since);
        }
        Ok::<_, StorageError>(())
    };
    // Whether there are more rows than are looked at: one is looked for behind the last.
    let more = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
        Ok::<_, StorageError>(connection.prepare_cached(sql)?.exists(values)?)
    };
    let mut all = true;
    match by {
        WorstBy::Overdue => {
            for holder in [Holder::Router, Holder::Ladder, Holder::Journal, Holder::Circuit] {
                add(OVERDUE, &[&organisation, &LOOK, &holder, &now], false)?;
                all &= !more(
                    "SELECT 1 FROM deliveries WHERE state = 1 AND held_by = ?1 AND due_at < ?2 \
                     ORDER BY due_at LIMIT 1 OFFSET ?3",
                    &[&holder, &now, &LOOK],
                )?;
            }
            add(UNTRIED, &[&organisation, &LOOK, &now], false)?;
            all &= !more(
                "SELECT 1 FROM deliveries WHERE state = 0 ORDER BY event LIMIT 1 OFFSET ?1",
                &[&LOOK],
            )?;
        }
        WorstBy::Failures => {
            add(FAILING, &[&organisation, &LOOK], false)?;
            all &= !more("SELECT 1 FROM failing LIMIT 1 OFFSET ?1", &[&LOOK])?;
        }
        WorstBy::Latency => {
            add(SLOW, &[&organisation, &LOOK], true)?;
            all &= !more("SELECT 1 FROM attempts LIMIT 1 OFFSET ?1", &[&LOOK])?;
        }
    }
    let mut found: Vec<_> = found.into_iter().collect();
    // The longest-suffering first among equals; ids last, so that the order is one.
    found.sort_by_key(|(endpoint, one)| {
        let much = one.latency.map_or(one.count, |(mean, _)| mean.into());
        (std::cmp::Reverse(much), one.since, *endpoint)
    });
    found.truncate(limit);
    let mut about = connection.prepare_cached("SELECT uid, url FROM endpoints WHERE id = ?1")?;
    let worst = found.into_iter().map(|(endpoint, one)| {
        let listed =
            about.query_row([endpoint], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let (uid, url) = listed.unwrap_or_default();
        let (mean_ms, max_ms) = one.latency.unzip();
        let Found { application, count, since, .. } = one;
        Ok(Worst { endpoint, application, uid, url, count, since, mean_ms, max_ms })
    });
    Ok(Looked { worst: worst.collect::<Result<_, StorageError>>()?, all })
}
