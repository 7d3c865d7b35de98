//! The routers' port in SQL: a row for each. One router at a time has the file, so whoever begins there
//! finds only those that have ended. On a server it finds the others, and forgets those alone that have been silent for
//! long.

use std::time::Duration;

use async_trait::async_trait;

use super::Sql;
use super::engine::params;
use super::rows::corrupt;
use crate::domain::id::RouterId;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::routers::Routers;

#[async_trait]
impl Routers for Sql {
    async fn joined(
        &self,
        router: RouterId,
        version: u64,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let version = column(version)?;
        self.write(move |connection| {
            let silent = if connection.is_shared() { now - FORGOTTEN } else { Timestamp::NEVER };
            connection.execute("DELETE FROM routers WHERE seen_at < ?1", [silent])?;
            connection.execute(ADOPT, params![router, version, now])?;
            Ok(())
        })
        .await
    }

    async fn adopted(
        &self,
        router: RouterId,
        version: u64,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let version = column(version)?;
        self.write(move |connection| {
            connection.prepare_cached(ADOPT)?.execute(params![router, version, now])?;
            Ok(())
        })
        .await
    }

    async fn left(&self, router: RouterId) -> Result<(), StorageError> {
        self.write(move |connection| {
            connection.execute("DELETE FROM routers WHERE id = ?1", [router])?;
            Ok(())
        })
        .await
    }

    async fn behind(
        &self,
        version: u64,
        heard_since: Timestamp,
    ) -> Result<Vec<RouterId>, StorageError> {
        let version = column(version)?;
        self.read(move |connection| {
            let mut find = connection.prepare_cached(
                "SELECT id FROM routers WHERE version < ?1 AND seen_at >= ?2 ORDER BY id",
            )?;
            let found = find.query_map(params![version, heard_since], |row| row.get(0))?;
            Ok(found.collect::<Result<_, _>>()?)
        })
        .await
    }
}

/// How long a router of a server may be silent before the next one to join takes it for dead: far longer than it is
/// waited for when an edit wants all of them to know.
const FORGOTTEN: Duration = Duration::from_hours(1);

const ADOPT: &str = "INSERT INTO routers (id, version, seen_at) VALUES (?1, ?2, ?3) \
     ON CONFLICT (id) DO UPDATE SET version = ?2, seen_at = ?3";

fn column(version: u64) -> Result<i64, StorageError> {
    i64::try_from(version).map_err(|_| corrupt(format!("version {version} of the catalogue")))
}
