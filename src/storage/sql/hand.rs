//! How a batch of settlements finds and writes its rows: one by one in the file, together on a server.
//!
//! In the file a statement costs next to nothing, and is run for each row. To a server it is a way there and back: what is
//! asked of each delivery is asked at once for all, and what is written of them is written at once behind all judgements.
//! What is judged in between sees the rows as they were, so a batch is written together only when no two of its
//! settlements are about the same delivery, none is of an attempt by hand and none lets a request go: these look at rows that
//! the batch itself has written.

use std::collections::HashMap;
use std::collections::HashSet;

use rusqlite::ToSql;
use rusqlite::types::Value;

use super::engine::{CachedStatement, Connection, OptionalExtension, Params as _, Rows, params};
use super::rows::State;
use crate::domain::delivery::{DeliveryKey, Turn};
use crate::domain::id::EndpointId;
use crate::domain::settlement::Settlement;
use crate::storage::StorageError;
use crate::storage::journal::Settled;
use crate::storage::postgres::connection::Session;

/// A delivery's row, as far as the fence looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) event: i64,
    pub(super) turn: Turn,
    pub(super) attempts: u32,
    pub(super) state: State,
    /// The number of the replay that offered it last, if one did.
    pub(super) replay: Option<i64>,
}

/// How rows are found and written.
pub(super) enum Hand<'c> {
    /// Each when it is its turn.
    OneByOne { find: CachedStatement<'c>, keep: CachedStatement<'c>, settle: CachedStatement<'c> },
    /// All at the beginning, and all at the end.
    Together {
        session: &'c Session,
        found: HashMap<DeliveryKey, Found>,
        kept: Vec<Vec<Value>>,
        settled: Vec<Vec<Value>>,
    },
}

impl<'c> Hand<'c> {
    /// The one for this batch.
    pub(super) fn of(connection: &'c Connection, batch: &[Settled]) -> Result<Self, StorageError> {
        if let Connection::Postgres(session) = connection
            && can_be_together(batch)
        {
            let found = found_together(session, batch)?;
            return Ok(Self::Together { session, found, kept: Vec::new(), settled: Vec::new() });
        }
        Ok(Self::OneByOne {
            find: connection.prepare_cached(
                "SELECT d.event, d.turn, d.attempts, d.state, d.replay \
                 FROM events e JOIN deliveries d ON d.event = e.seq \
                 WHERE e.id = ?1 AND d.endpoint = ?2",
            )?,
            keep: connection.prepare_cached(
                "INSERT INTO attempts (event, endpoint, id, number, started_at, duration_ms, outcome, \
                                       status, url, detail, response, by_hand, dns_ms, connect_ms, \
                                       tls_ms, first_byte_ms, form, varied) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18) \
                 ON CONFLICT (event, endpoint, id) DO UPDATE \
                 SET duration_ms = ?6, outcome = ?7, status = ?8, detail = ?10, response = ?11, \
                     dns_ms = ?13, connect_ms = ?14, tls_ms = ?15, first_byte_ms = ?16, form = ?17, \
                     varied = ?18 \
                 WHERE attempts.outcome = 'unknown'",
            )?,
            settle: connection.prepare_cached(
                "UPDATE deliveries SET turn = ?3, attempts = ?4, state = ?5, held_by = ?6, due_at = ?7, \
                                       policy = coalesce(?8, policy) \
                 WHERE event = ?1 AND endpoint = ?2",
            )?,
        })
    }

    /// The delivery of that key, as it stands.
    pub(super) fn find(&mut self, key: DeliveryKey) -> Result<Option<Found>, StorageError> {
        match self {
            Self::OneByOne { find, .. } => {
                let found = find.query_row(params![key.event, key.endpoint], |row| {
                    Ok(Found {
                        event: row.get(0)?,
                        turn: row.get(1)?,
                        attempts: row.get(2)?,
                        state: row.get(3)?,
                        replay: row.get(4)?,
                    })
                });
                Ok(found.optional()?)
            }
            Self::Together { found, .. } => Ok(found.get(&key).copied()),
        }
    }

    /// Keeps an attempt: its columns, as the statement of [`Self::OneByOne`] has them.
    pub(super) fn keep(&mut self, columns: &[&dyn ToSql]) -> Result<(), StorageError> {
        match self {
            Self::OneByOne { keep, .. } => {
                keep.execute(columns)?;
            }
            Self::Together { kept, .. } => kept.push(columns.values()?),
        }
        Ok(())
    }

    /// Moves a delivery on: the same.
    pub(super) fn settle(&mut self, columns: &[&dyn ToSql]) -> Result<(), StorageError> {
        match self {
            Self::OneByOne { settle, .. } => {
                settle.execute(columns)?;
            }
            Self::Together { settled, .. } => settled.push(columns.values()?),
        }
        Ok(())
    }

    /// Writes what is not written yet.
    pub(super) fn end(self) -> Result<(), StorageError> {
        let Self::Together { session, kept, settled, .. } = self else { return Ok(()) };
        for (sql, rows) in [(KEEP, kept), (SETTLE, settled)] {
            if !rows.is_empty() {
                let done = session.statement(sql).and_then(|all| all.execute_many(&rows));
                done.map_err(|fault| fault.told)?;
            }
        }
        Ok(())
    }
}

fn can_be_together(batch: &[Settled]) -> bool {
    let mut seen = HashSet::with_capacity(batch.len());
    batch.iter().all(|settled| {
        !settled.trigger.is_by_hand()
            && settled.settlement != Settlement::LetGo
            && seen.insert(settled.key)
    })
}

fn found_together(
    session: &Session,
    batch: &[Settled],
) -> Result<HashMap<DeliveryKey, Found>, StorageError> {
    let mut found = HashMap::with_capacity(batch.len());
    let keys = batch.iter().map(|Settled { key, .. }| params![key.event, key.endpoint].values());
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() {
        return Ok(found);
    }
    let find = session.statement(FIND);
    let rows = find.and_then(|find| find.query_many(&keys)).map_err(|fault| fault.told)?;
    let mut rows = Rows::Postgres(rows);
    while let Some(row) = rows.next()? {
        let endpoint: EndpointId = row.get(1)?;
        let one = Found {
            event: row.get(2)?,
            turn: row.get(3)?,
            attempts: row.get(4)?,
            state: row.get(5)?,
            replay: row.get(6)?,
        };
        found.insert(DeliveryKey { event: row.get(0)?, endpoint }, one);
    }
    Ok(found)
}

const FIND: &str = "SELECT n.id, n.endpoint, d.event, d.turn, d.attempts, d.state, d.replay \
     FROM unnest(?1::bytea[], ?2::bytea[]) AS n (id, endpoint) \
     JOIN event_ids i ON i.id = n.id \
     JOIN deliveries d ON d.event = i.seq AND d.endpoint = n.endpoint";

const KEEP: &str = "INSERT INTO attempts (event, endpoint, id, number, started_at, duration_ms, outcome, \
                           status, url, detail, response, by_hand, dns_ms, connect_ms, \
                           tls_ms, first_byte_ms, form, varied) \
     SELECT * FROM unnest(?1::bigint[], ?2::bytea[], ?3::bytea[], ?4::bigint[], ?5::bigint[], \
                          ?6::bigint[], ?7::text[], ?8::bigint[], ?9::text[], ?10::text[], \
                          ?11::bytea[], ?12::bigint[], ?13::bigint[], ?14::bigint[], \
                          ?15::bigint[], ?16::bigint[], ?17::bigint[], ?18::text[]) \
     ON CONFLICT (event, endpoint, id) DO UPDATE \
     SET duration_ms = excluded.duration_ms, outcome = excluded.outcome, status = excluded.status, \
         detail = excluded.detail, response = excluded.response, dns_ms = excluded.dns_ms, \
         connect_ms = excluded.connect_ms, tls_ms = excluded.tls_ms, \
         first_byte_ms = excluded.first_byte_ms, form = excluded.form, varied = excluded.varied \
     WHERE attempts.outcome = 'unknown'";

const SETTLE: &str = "UPDATE deliveries AS d \
     SET turn = n.turn, attempts = n.attempts, state = n.state, held_by = n.held_by, \
         due_at = n.due_at, policy = coalesce(n.policy, d.policy) \
     FROM unnest(?1::bigint[], ?2::bytea[], ?3::bigint[], ?4::bigint[], ?5::bigint[], ?6::bigint[], \
                 ?7::bigint[], ?8::bigint[]) \
          AS n (event, endpoint, turn, attempts, state, held_by, due_at, policy) \
     WHERE d.event = n.event AND d.endpoint = n.endpoint";
