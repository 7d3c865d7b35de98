//! What the charts are drawn from, in its table: a row for each endpoint, application and organisation in each five minutes.
//!
//! **Several writers** meet at the rows of what they both sent to: each router adds up in memory and writes every few
//! seconds, so that they seldom do so at the same time, and then one runs again.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::types::Value;

use super::Sql;
use super::engine::{Connection, OptionalExtension, params, params_from_iter};
use crate::domain::id::OrganisationId;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::rollups::{BARS_MAX, Counted, Of, Rollups, SPAN, Tally};

#[async_trait]
impl Rollups for Sql {
    async fn add_up(&self, counted: &[Counted]) -> Result<(), StorageError> {
        let counted = counted.to_vec();
        self.write(move |connection| {
            let mut sums: BTreeMap<([u8; 20], Timestamp), Tally> = BTreeMap::new();
            let mut whose =
                connection.prepare_cached("SELECT organisation FROM applications WHERE id = ?1")?;
            for Counted { at, application, endpoint, tally } in &counted {
                let mut add = |id: [u8; 20]| sums.entry((id, *at)).or_default().add(tally);
                add(*endpoint.as_bytes());
                add(*application.as_bytes());
                let organisation: Option<OrganisationId> =
                    whose.query_row([application], |row| row.get(0)).optional()?;
                if let Some(organisation) = organisation {
                    add(*organisation.as_bytes());
                }
            }
            let mut add = connection.prepare_cached(
                "INSERT INTO rollups VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) \
                 ON CONFLICT (whose, at) DO UPDATE SET delivered = rollups.delivered + ?3, failed = rollups.failed + ?4, \
                 given_up = rollups.given_up + ?5, d0 = rollups.d0 + ?6, d1 = rollups.d1 + ?7, d2 = rollups.d2 + ?8, d3 = rollups.d3 + ?9, \
                 d4 = rollups.d4 + ?10, d5 = rollups.d5 + ?11, d6 = rollups.d6 + ?12, d7 = rollups.d7 + ?13, d8 = rollups.d8 + ?14, d9 = rollups.d9 + ?15",
            )?;
            for ((id, at), tally) in &sums {
                let mut values = vec![Value::Blob(id.to_vec()), Value::Integer(at.as_millis())];
                let counts = [tally.delivered, tally.failed, tally.given_up];
                let counts = counts.into_iter().chain(tally.durations);
                values.extend(counts.map(|n| Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))));
                add.execute(params_from_iter(values))?;
            }
            Ok(())
        })
        .await
    }

    async fn tallies(
        &self,
        of: Of,
        since: Timestamp,
        until: Timestamp,
        step: Duration,
    ) -> Result<Vec<(Timestamp, Tally)>, StorageError> {
        let id = match of {
            Of::Organisation(id) => *id.as_bytes(),
            Of::Tenant(tenant) => *tenant.application().as_bytes(),
            Of::Endpoint(_, id) => *id.as_bytes(),
        };
        // An endpoint of another tenant has counted nothing.
        let owner = match of {
            Of::Endpoint(tenant, _) => Some(tenant.application()),
            Of::Organisation(_) | Of::Tenant(_) => None,
        };
        let step_ms = i64::try_from(step.max(SPAN).as_millis()).unwrap_or(i64::MAX);
        let first = since.as_millis().div_euclid(step_ms);
        let last = (until.as_millis() - 1).div_euclid(step_ms);
        let bars = usize::try_from(last - first + 1).unwrap_or(0).min(BARS_MAX);
        let at = move |bar: usize| {
            Timestamp::from_millis((first + i64::try_from(bar).expect("few")) * step_ms)
        };
        self.browse(move |connection| {
            let mut found: Vec<_> = (0..bars).map(|bar| (at(bar), Tally::default())).collect();
            if let Some(owner) = owner {
                let mut is = connection
                    .prepare_cached("SELECT 1 FROM endpoints WHERE id = ?1 AND application = ?2")?;
                if !is.exists(params![id, owner])? {
                    return Ok(found);
                }
            }
            let mut read = connection.prepare_cached(
                "SELECT at, delivered, failed, given_up, d0, d1, d2, d3, d4, d5, d6, d7, d8, d9 \
                 FROM rollups WHERE whose = ?1 AND at >= ?2 AND at < ?3 ORDER BY at",
            )?;
            let mut rows = read.query(params![id, at(0), at(bars)])?;
            while let Some(row) = rows.next()? {
                let span: Timestamp = row.get(0)?;
                let bar =
                    usize::try_from(span.as_millis().div_euclid(step_ms) - first).unwrap_or(0);
                let count =
                    |column| row.get(column).map(|count: i64| u64::try_from(count).unwrap_or(0));
                let mut tally = Tally {
                    delivered: count(1)?,
                    failed: count(2)?,
                    given_up: count(3)?,
                    ..Tally::default()
                };
                for (class, took) in tally.durations.iter_mut().enumerate() {
                    *took = count(4 + class)?;
                }
                if let Some((_, sum)) = found.get_mut(bar) {
                    sum.add(&tally);
                }
            }
            Ok(found)
        })
        .await
    }
}

/// Whether there is any of a span that began before this: the first of an index.
pub(super) fn any_old(connection: &Connection, before: Timestamp) -> Result<bool, StorageError> {
    let mut old = connection.prepare_cached("SELECT 1 FROM rollups WHERE at < ?1")?;
    Ok(old.exists([before])?)
}

/// Removes the oldest of them, at most so many; how many.
pub(super) fn forget(
    connection: &Connection,
    before: Timestamp,
    most: u32,
) -> Result<usize, StorageError> {
    let mut forget = connection.prepare_cached(
        "DELETE FROM rollups WHERE (whose, at) IN \
         (SELECT whose, at FROM rollups WHERE at < ?1 ORDER BY at LIMIT ?2)",
    )?;
    Ok(forget.execute(params![before, most])?)
}
