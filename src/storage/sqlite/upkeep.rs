//! The upkeep's port on SQLite: the walk of `retention`, the file's size, the writer's trouble.

use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};

use super::{Sqlite, beside, room};
use crate::storage::StorageError;
use crate::storage::upkeep::{Old, Place, Size, Swept, Upkeep};

#[async_trait]
impl Upkeep for Sqlite {
    async fn sweep(&self, old: Old, from: Place) -> Result<Swept, StorageError> {
        self.sweep_step(old, from).await
    }

    async fn size(&self) -> Result<Size, StorageError> {
        let path = std::sync::Arc::clone(&self.path);
        self.read(move |connection| size(connection, &path)).await
    }

    fn trouble(&self) -> Option<String> {
        self.writer.trouble().or_else(|| self.bell.trouble())
    }

    async fn try_again(&self) -> Result<(), StorageError> {
        self.writer.try_again().await
    }
}

/// Three look-ups in the file system, two numbers of the first page, one row.
fn size(connection: &Connection, path: &Path) -> Result<Size, StorageError> {
    // A log that is not there is empty.
    let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    let mut oldest =
        connection.prepare_cached("SELECT received_at FROM events ORDER BY seq LIMIT 1")?;
    Ok(Size {
        file_bytes: bytes(path),
        log_bytes: bytes(&beside(path, "-wal")),
        free_bytes: u64::from(pragma("freelist_count")?) * u64::from(pragma("page_size")?),
        available_bytes: room::available(path).unwrap_or(0),
        oldest_event: oldest.query_row([], |row| row.get(0)).optional()?,
    })
}
