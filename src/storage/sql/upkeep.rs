//! The upkeep's port in SQL: the walk of `retention`, the store's size, the writer's trouble.

use async_trait::async_trait;

use super::engine::{Connection, OptionalExtension, params};
use super::{Settings, Sql};
use crate::domain::time::Timestamp;
use crate::storage::upkeep::{Old, Place, Size, Swept, Undone, Upkeep};
use crate::storage::{StorageError, sqlite};

#[async_trait]
impl Upkeep for Sql {
    async fn sweep(&self, old: Old, from: Place) -> Result<Swept, StorageError> {
        self.sweep_step(old, from).await
    }

    async fn left_undone(&self, limit: u32) -> Result<Vec<Undone>, StorageError> {
        self.read(move |connection| left_undone(connection, limit)).await
    }

    async fn size(&self) -> Result<Size, StorageError> {
        let settings = std::sync::Arc::clone(&self.settings);
        self.read(move |connection| size(connection, &settings)).await
    }

    fn trouble(&self) -> Option<String> {
        self.writer.trouble().or_else(|| self.bell.trouble())
    }

    async fn try_again(&self) -> Result<(), StorageError> {
        self.writer.try_again().await
    }
}

/// Each endpoint once, by the index of what is not finished; and whoever was noted when it was let go on.
fn left_undone(connection: &Connection, limit: u32) -> Result<Vec<Undone>, StorageError> {
    let mut deleted = connection.prepare_cached(
        "SELECT e.id FROM endpoints e WHERE e.deleted_at IS NOT NULL \
           AND EXISTS (SELECT 1 FROM deliveries WHERE endpoint = e.id AND state < 2) LIMIT ?1",
    )?;
    let mut activated = connection.prepare_cached(
        "SELECT e.id FROM endpoints e WHERE e.deleted_at IS NULL AND e.state = 'active' \
           AND NOT EXISTS (SELECT 1 FROM settings s \
                           WHERE s.application = e.application AND s.delivery <> 'on') \
           AND EXISTS (SELECT 1 FROM deliveries \
                       WHERE endpoint = e.id AND state < 2 AND state = 1 AND held_by = 2 \
                         AND due_at = ?2) \
         LIMIT ?1",
    )?;
    let mut any = connection.prepare_cached(
        "SELECT 1 FROM deliveries WHERE state = 1 AND held_by = 2 AND due_at = ?1",
    )?;
    let mut found = deleted
        .query_map([limit], |row| row.get(0).map(Undone::Deleted))?
        .collect::<Result<Vec<_>, _>>()?;
    // Mostly nothing is held back at all, and then no endpoint is looked at.
    if any.exists([Timestamp::NEVER])? {
        let active = activated
            .query_map(params![limit, Timestamp::NEVER], |row| row.get(0).map(Undone::Activated))?;
        found.extend(active.collect::<Result<Vec<_>, _>>()?);
    }
    let mut recalls = connection.prepare_cached("SELECT application FROM recalls LIMIT ?1")?;
    let let_go = recalls.query_map([limit], |row| row.get(0).map(Undone::LetsGo))?;
    found.extend(let_go.collect::<Result<Vec<_>, _>>()?);
    Ok(found)
}

/// What the engine says of itself, and one row.
fn size(connection: &Connection, settings: &Settings) -> Result<Size, StorageError> {
    let mut oldest =
        connection.prepare_cached("SELECT received_at FROM events ORDER BY seq LIMIT 1")?;
    let oldest_event = oldest.query_row([], |row| row.get(0)).optional()?;
    let size = match (connection, settings) {
        (Connection::Sqlite(file), Settings::Sqlite(sqlite::Settings { path })) => {
            sqlite::room::size(file, path)?
        }
        (Connection::Postgres(_), _) => {
            let bytes = "SELECT pg_database_size(current_database())";
            let bytes: i64 = connection.query_row(bytes, [], |row| row.get(0))?;
            Size { file_bytes: bytes.unsigned_abs(), ..Size::default() }
        }
        (Connection::Sqlite(_), Settings::Postgres(_)) => Size::default(), // never: each has its own
    };
    Ok(Size { oldest_event, ..size })
}
