//! The ports of `queues` in SQL: rows of its tables, and what waits by the index on who holds it and until when.
//!
//! Every count goes over so many entries of one index at the most, and over no table.

use async_trait::async_trait;
use rusqlite::ToSql;

use super::Sql;
use super::engine::{Connection, OptionalExtension, params};
use crate::domain::delivery::Holder;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::queues::{
    COUNT_MAX, Count, Depth, Depths, Queues, Role, SPANS, Span, WaitingBySpan, Waits,
};

// The statements that go over what waits; a test reads their plans. The last value is how many at the most.
pub(super) const WAITING: &str = "SELECT count(*) FROM \
     (SELECT 1 FROM deliveries INDEXED BY deliveries_waiting \
      WHERE state = 1 AND held_by = ?1 AND due_at >= ?2 AND due_at < ?3 LIMIT ?4) AS few";
pub(super) const PENDING: &str = "SELECT count(*) FROM \
     (SELECT 1 FROM deliveries INDEXED BY deliveries_pending WHERE state = 0 LIMIT ?1) AS few";
pub(super) const LATEST: &str = "SELECT due_at FROM deliveries INDEXED BY deliveries_waiting \
     WHERE state = 1 AND held_by = ?1 AND due_at <= ?2 ORDER BY due_at LIMIT 1";
/// Some, and not the first alone: what may not be delivered yet is pending, too.
pub(super) const FIRST_PENDING: &str = "SELECT min(max(e.received_at, coalesce(e.deliver_at, 0))) FROM \
     (SELECT event FROM deliveries INDEXED BY deliveries_pending WHERE state = 0 ORDER BY event LIMIT 100) AS p \
     CROSS JOIN events e ON e.seq = p.event";

/// The tables that are queues, and what for.
const TABLES: [(&str, Role); 4] = [
    ("inbox", Role::Inbox),
    ("resends", Role::Resends),
    ("tidings", Role::Tidings),
    ("quarantine", Role::Quarantine),
];

#[async_trait]
impl Queues for Sql {
    async fn depths(&self) -> Result<Depths, StorageError> {
        self.browse(depths).await
    }
}

#[async_trait]
impl Waits for Sql {
    async fn waiting(&self, now: Timestamp) -> Result<WaitingBySpan, StorageError> {
        self.browse(move |connection| waiting(connection, now)).await
    }

    async fn oldest_late(&self, now: Timestamp) -> Result<Option<Timestamp>, StorageError> {
        self.browse(move |connection| oldest_late(connection, now)).await
    }
}

fn depths(connection: &Connection) -> Result<Depths, StorageError> {
    let queues = TABLES.into_iter().map(|(table, role)| {
        let sql = format!("SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT ?1) AS few");
        let ready = count(connection, &sql, &[&(COUNT_MAX + 1)])?;
        Ok(Depth { name: table.to_owned(), role, ready, consumers: None })
    });
    Ok(Depths { queues: queues.collect::<Result<_, StorageError>>()?, missing: Vec::new() })
}

fn waiting(connection: &Connection, now: Timestamp) -> Result<WaitingBySpan, StorageError> {
    let between = |holder: Holder, from: Timestamp, below: Timestamp| {
        count(connection, WAITING, &[&holder, &from, &below, &(COUNT_MAX + 1)])
    };
    let mut spans = Vec::with_capacity(SPANS.len() + 1);
    let mut from = Timestamp::from_millis(0);
    for until in SPANS.into_iter().map(Some).chain([None]) {
        // What is due at this very moment is due already.
        let end = |span| Timestamp::from_millis((now + span).as_millis() + 1);
        let below = until.map_or(Timestamp::NEVER, end);
        let on_ladder = between(Holder::Ladder, from, below)?;
        let in_journal = between(Holder::Journal, from, below)?;
        let count = on_ladder.and(in_journal).and(between(Holder::Circuit, from, below)?);
        spans.push(Span { until, count });
        from = below;
    }
    let ever = Timestamp::from_millis(Timestamp::NEVER.as_millis() + 1);
    let held_back = between(Holder::Ladder, Timestamp::NEVER, ever)?;
    Ok(WaitingBySpan {
        pending: count(connection, PENDING, &[&(COUNT_MAX + 1)])?,
        in_memory: between(Holder::Router, Timestamp::from_millis(0), ever)?,
        spans,
        held_back: held_back.and(between(Holder::Journal, Timestamp::NEVER, ever)?),
        oldest: oldest_late(connection, now)?,
    })
}

fn oldest_late(connection: &Connection, now: Timestamp) -> Result<Option<Timestamp>, StorageError> {
    let mut first = connection.prepare_cached(LATEST)?;
    let mut oldest: Option<Timestamp> = connection
        .prepare_cached(FIRST_PENDING)?
        .query_row([], |row| row.get::<_, Option<Timestamp>>(0))?
        .filter(|since| *since <= now);
    for holder in [Holder::Router, Holder::Ladder, Holder::Journal, Holder::Circuit] {
        let due: Option<Timestamp> =
            first.query_row(params![holder, now], |row| row.get(0)).optional()?;
        oldest = [oldest, due].into_iter().flatten().min();
    }
    Ok(oldest)
}

fn count(connection: &Connection, sql: &str, values: &[&dyn ToSql]) -> Result<Count, StorageError> {
    Ok(Count::of(connection.prepare_cached(sql)?.query_row(values, |row| row.get(0))?))
}
