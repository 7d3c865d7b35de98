//! Links and sessions, in their tables.

use async_trait::async_trait;

use super::Sql;
use super::engine::{CachedStatement, Connection, OptionalExtension, Row, params};
use super::rows::{corrupt, json, read_json};
use crate::domain::application::Tenant;
use crate::domain::capability::Capabilities;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::inspector::TokenHash;
use crate::storage::sessions::{IDLE, Sessions, Visitor};

/// Most rows that one login or link removes of what is over: they are few, and each takes more than one adds.
const FORGET_MAX: u32 = 100;
/// After how long it is noted again that a session is used.
const NOTE_AFTER_MS: i64 = 60_000;

#[async_trait]
impl Sessions for Sql {
    async fn add_link(
        &self,
        link: TokenHash,
        visitor: &Visitor,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let visitor = visitor.clone();
        self.write(move |connection| {
            forget(connection, now)?; // most links that a platform makes are never opened
            let mut add = connection.prepare_cached(
                "INSERT INTO portal_links VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?;
            put(&mut add, link, &visitor, until)
        })
        .await
    }

    async fn link(&self, link: TokenHash, now: Timestamp) -> Result<Option<Visitor>, StorageError> {
        self.browse(move |connection| {
            let mut find = connection.prepare_cached(
                "SELECT organisation, application, capabilities, flags, label, expires_at \
                 FROM portal_links WHERE hash = ?1 AND until > ?2 AND expires_at > ?2",
            )?;
            find.query_row(params![link, now], |row| Ok(read(row))).optional()?.transpose()
        })
        .await
    }

    async fn enter(
        &self,
        link: TokenHash,
        session: TokenHash,
        now: Timestamp,
    ) -> Result<Option<Visitor>, StorageError> {
        self.write(move |connection| {
            forget(connection, now)?;
            let mut take = connection.prepare_cached(
                "DELETE FROM portal_links WHERE hash = ?1 RETURNING organisation, application, \
                 capabilities, flags, label, expires_at, until",
            )?;
            let taken = take
                .query_row([link], |row| Ok((read(row), row.get::<_, Timestamp>(6)?)))
                .optional()?;
            let Some((visitor, until)) = taken else { return Ok(None) };
            let visitor = visitor?;
            if until <= now || visitor.expires_at <= now {
                return Ok(None); // over, and gone
            }
            begin(connection, session, &visitor, now)?;
            Ok(Some(visitor))
        })
        .await
    }

    async fn begin_session(
        &self,
        session: TokenHash,
        visitor: &Visitor,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let visitor = visitor.clone();
        self.write(move |connection| {
            forget(connection, now)?;
            begin(connection, session, &visitor, now)
        })
        .await
    }

    async fn session(
        &self,
        session: TokenHash,
        now: Timestamp,
    ) -> Result<Option<Visitor>, StorageError> {
        let found = self.browse(move |connection| find(connection, session, now)).await?;
        let Some((visitor, seen_at)) = found else { return Ok(None) };
        if now.as_millis() - seen_at.as_millis() >= NOTE_AFTER_MS {
            // Nobody waits for it: who looks at pages because nothing can be written must not be thrown out by that.
            self.writer.note(move |connection| {
                let mut note = connection.prepare_cached(
                    "UPDATE sessions SET seen_at = max(seen_at, ?2) WHERE hash = ?1",
                )?;
                note.execute(params![session, now])?;
                Ok(())
            });
        }
        Ok(Some(visitor))
    }

    async fn watched_session(
        &self,
        session: TokenHash,
        now: Timestamp,
    ) -> Result<Option<Visitor>, StorageError> {
        let found = self.browse(move |connection| find(connection, session, now)).await?;
        Ok(found.map(|(visitor, _)| visitor))
    }

    async fn end_session(&self, session: TokenHash) -> Result<(), StorageError> {
        self.write(move |connection| {
            connection
                .prepare_cached("DELETE FROM sessions WHERE hash = ?1")?
                .execute([session])?;
            Ok(())
        })
        .await
    }

    async fn end_sessions(
        &self,
        tenant: Tenant,
        labels: &[String],
        at: Timestamp,
    ) -> Result<u64, StorageError> {
        let (application, labels) = (tenant.application(), json(&labels));
        self.write(move |connection| {
            let mut ended = 0;
            for table in ["portal_links", "sessions"] {
                // What is over is removed when somebody logs in, as ever.
                let mut end = connection.prepare_cached(&format!(
                    "UPDATE {table} SET expires_at = min(expires_at, ?3) WHERE application = ?1 \
                     AND (?2 = '[]' OR label IN (SELECT value FROM json_each(?2)))"
                ))?;
                ended = end.execute(params![application, labels, at])?;
            }
            Ok(ended as u64)
        })
        .await
    }
}

/// A session that is not over at `now`, and when it was last used.
fn find(
    connection: &Connection,
    session: TokenHash,
    now: Timestamp,
) -> Result<Option<(Visitor, Timestamp)>, StorageError> {
    let mut find = connection.prepare_cached(
        "SELECT organisation, application, capabilities, flags, label, expires_at, seen_at \
         FROM sessions WHERE hash = ?1 AND expires_at > ?2 AND seen_at > ?3",
    )?;
    let row = find
        .query_row(params![session, now, now - IDLE], |row| {
            Ok((read(row), row.get::<_, Timestamp>(6)?))
        })
        .optional()?;
    row.map(|(visitor, seen_at)| Ok((visitor?, seen_at))).transpose()
}

/// Removes some of what is over.
fn forget(connection: &Connection, now: Timestamp) -> Result<(), StorageError> {
    let mut links = connection.prepare_cached(
        "DELETE FROM portal_links WHERE hash IN \
         (SELECT hash FROM portal_links WHERE until <= ?1 LIMIT ?2)",
    )?;
    links.execute(params![now, FORGET_MAX])?;
    let mut sessions = connection.prepare_cached(
        "DELETE FROM sessions WHERE hash IN \
         (SELECT hash FROM sessions WHERE seen_at <= ?1 LIMIT ?2)",
    )?;
    sessions.execute(params![now - IDLE, FORGET_MAX])?;
    Ok(())
}

fn begin(
    connection: &Connection,
    session: TokenHash,
    visitor: &Visitor,
    now: Timestamp,
) -> Result<(), StorageError> {
    let mut add = connection
        .prepare_cached("INSERT INTO sessions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
    put(&mut add, session, visitor, now)
}

/// Both tables have the same columns but for what the last moment is.
fn put(
    add: &mut CachedStatement<'_>,
    hash: TokenHash,
    visitor: &Visitor,
    moment: Timestamp,
) -> Result<(), StorageError> {
    let Visitor { organisation, application, capabilities, feature_flags, label, expires_at } =
        visitor;
    let flags = json(feature_flags);
    add.execute(params![
        hash,
        organisation,
        application,
        capabilities.bits(),
        flags,
        label,
        expires_at,
        moment
    ])?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Visitor, StorageError> {
    let flags: String = row.get(3)?;
    let bits: i64 = row.get(2)?;
    let bits =
        u8::try_from(bits).map_err(|_| corrupt(format!("capabilities of a session: {bits}")))?;
    Ok(Visitor {
        organisation: row.get(0)?,
        application: row.get(1)?,
        capabilities: Capabilities::from_bits(bits),
        feature_flags: read_json(&flags, "a session", "flags")?,
        label: row.get(4)?,
        expires_at: row.get(5)?,
    })
}
