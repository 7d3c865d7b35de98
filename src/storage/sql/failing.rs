//! Endpoints that do nothing but fail: counted with each batch of settlements, read now and then.
//!
//! Not URLs that nobody lists as endpoints: there is nothing to disable, and their rows would be kept for
//! ever.
//!
//! **Several writers** with failures of one endpoint meet at its row, and one runs again; a success where nothing had failed
//! takes away what is not there, and meets nobody.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::engine::{Connection, params};
use super::tidings::{self, About};
use super::{Sql, catalogue};
use crate::domain::delivery::Attempt;
use crate::domain::id::EndpointId;
use crate::domain::outcome::{Meaning, Outcome};
use crate::domain::tiding::Tiding;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::failing::{Failing, FailingEndpoints, Patience, Tells};

/// Endpoints that one call names: each is a line for a person to read.
const PAGE: u32 = 100;

/// What a batch of settlements says about its endpoints, together: however many of its attempts were at
/// one endpoint, its row is written once.
#[derive(Debug, Default)]
pub(super) struct Heard(BTreeMap<EndpointId, Word>);

#[derive(Debug, Default)]
struct Word {
    /// It has succeeded: what it did before is forgotten.
    succeeded: bool,
    /// Failures behind that.
    failed: u32,
    first_at: Timestamp,
    last_at: Timestamp,
}

impl Heard {
    /// An attempt at an endpoint has ended so. A success by hand tells as much as any; what a person tries
    /// in vain, and what the operator's own rules forbid, tells nothing about days of failure.
    pub(super) fn hear(
        &mut self,
        endpoint: EndpointId,
        attempt: &Attempt,
        by_hand: bool,
        at: Timestamp,
    ) {
        match attempt.meaning {
            Meaning::Delivered => {
                self.0.insert(endpoint, Word { succeeded: true, ..Word::default() });
            }
            Meaning::Failed | Meaning::Refused
                if !by_hand && attempt.outcome != Outcome::TargetNotAllowed =>
            {
                let word = self.0.entry(endpoint).or_default();
                if word.failed == 0 {
                    word.first_at = at;
                }
                (word.failed, word.last_at) = (word.failed + 1, at);
            }
            Meaning::Failed | Meaning::Refused | Meaning::Gone | Meaning::NotTheirDoing => {}
        }
    }

    /// Writes it down.
    pub(super) fn post(self, connection: &Connection) -> Result<(), StorageError> {
        let mut fails = connection.prepare_cached(
            "INSERT INTO failing (endpoint, since, last_at, attempts) \
             SELECT id, ?2, ?3, ?4 FROM endpoints WHERE id = ?1 AND deleted_at IS NULL \
             ON CONFLICT (endpoint) DO UPDATE \
             SET last_at = max(failing.last_at, ?3), attempts = failing.attempts + ?4",
        )?;
        for (endpoint, word) in self.0 {
            if word.succeeded {
                forget(connection, endpoint)?;
            }
            if word.failed > 0 {
                fails.execute(params![endpoint, word.first_at, word.last_at, word.failed])?;
            }
        }
        Ok(())
    }
}

/// What an endpoint did so far is forgotten: it has succeeded, or a person has stepped in.
pub(super) fn forget(connection: &Connection, endpoint: EndpointId) -> Result<(), StorageError> {
    let mut delete = connection.prepare_cached("DELETE FROM failing WHERE endpoint = ?1")?;
    delete.execute([endpoint])?;
    Ok(())
}

#[async_trait]
impl FailingEndpoints for Sql {
    async fn newly_failing(
        &self,
        patience: Patience,
        tells: Option<Tells>,
        now: Timestamp,
    ) -> Result<Vec<Failing>, StorageError> {
        // Asked often and mostly in vain: a look from a reader keeps the idle writer idle.
        if self.read(move |connection| find(connection, patience, NEW)).await?.is_empty() {
            return Ok(Vec::new());
        }
        self.write(move |connection| {
            let found = find(connection, patience, NEW)?;
            for one in &found {
                connection
                    .prepare_cached("UPDATE failing SET warned_at = ?2 WHERE endpoint = ?1")?
                    .execute(params![one.endpoint, now])?;
                tell(connection, Tiding::EndpointFailing, one, tells, now)?;
            }
            Ok(found)
        })
        .await
    }

    async fn disable_failing(
        &self,
        patience: Patience,
        tells: Option<Tells>,
        now: Timestamp,
    ) -> Result<Vec<Failing>, StorageError> {
        if self.read(move |connection| find(connection, patience, KNOWN)).await?.is_empty() {
            return Ok(Vec::new());
        }
        self.write(move |connection| {
            let found = find(connection, patience, KNOWN)?;
            for one in &found {
                connection
                    .prepare_cached(
                        "UPDATE endpoints SET state = 'disabled', disabled_because = 'failing', \
                                              updated_at = ?2 WHERE id = ?1",
                    )?
                    .execute(params![one.endpoint, now])?;
                forget(connection, one.endpoint)?;
                tell(connection, Tiding::EndpointDisabled, one, tells, now)?;
            }
            if !found.is_empty() {
                catalogue::edited(connection)?;
            }
            Ok(found)
        })
        .await
    }
}

fn tell(
    connection: &Connection,
    tiding: Tiding,
    one: &Failing,
    tells: Option<Tells>,
    now: Timestamp,
) -> Result<(), StorageError> {
    if tells.is_none_or(|tells| tells.but_of == one.application) {
        return Ok(());
    }
    let about = About { fails_since: Some(one.since), ..About::default() };
    tidings::tell(connection, tiding, one.endpoint, &about, now)
}

const NEW: &str = "f.warned_at IS NULL";
const KNOWN: &str = "f.warned_at IS NOT NULL";

/// Those that are called and try this patience. Few fail at any time: all of them are looked at.
fn find(
    connection: &Connection,
    patience: Patience,
    which: &str,
) -> Result<Vec<Failing>, StorageError> {
    let mut find = connection.prepare_cached(&format!(
        "SELECT f.endpoint, e.application, f.since, f.last_at, f.attempts \
         FROM failing f JOIN endpoints e ON e.id = f.endpoint \
         WHERE {which} AND f.last_at - f.since >= ?1 AND f.attempts >= ?2 \
           AND e.state = 'active' AND e.deleted_at IS NULL \
         ORDER BY f.since LIMIT ?3"
    ))?;
    let lasting_ms = i64::try_from(patience.lasting.as_millis()).unwrap_or(i64::MAX);
    let found = find.query_map(params![lasting_ms, patience.attempts, PAGE], |row| {
        Ok(Failing {
            endpoint: row.get(0)?,
            application: row.get(1)?,
            since: row.get(2)?,
            last_at: row.get(3)?,
            attempts: row.get(4)?,
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}
