//! The catalogue of event types in its table.

use super::engine::{Connection, Row, params};
use super::rows::{json, read_json};
use super::walk::Walk;
use crate::domain::event_type::EventTypeEntry;
use crate::domain::id::OrganisationId;
use crate::storage::StorageError;
use crate::storage::catalogue::EventTypeFilter;
use crate::storage::page::Page;

/// Adds an entry, or changes everything of the one that is there but when it was made.
pub(super) fn put(connection: &Connection, entry: &EventTypeEntry) -> Result<(), StorageError> {
    connection.execute(
        "INSERT INTO event_types (organisation, name, description, archived, deprecated, schemas, \
                                  feature_flag, created_at, updated_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
         ON CONFLICT (organisation, name) DO UPDATE \
         SET description = ?3, archived = ?4, deprecated = ?5, schemas = ?6, feature_flag = ?7, \
             updated_at = ?9",
        params![
            entry.organisation,
            entry.name,
            entry.description,
            entry.archived,
            entry.deprecated,
            entry.schemas.as_ref().map(json),
            entry.feature_flag,
            entry.created_at,
            entry.updated_at,
        ],
    )?;
    Ok(())
}

/// The entry of that name.
pub(super) fn named(
    connection: &Connection,
    organisation: OrganisationId,
    name: &str,
) -> Result<Option<EventTypeEntry>, StorageError> {
    let mut find = connection
        .prepare_cached("SELECT * FROM event_types WHERE organisation = ?1 AND name = ?2")?;
    let mut found = find.query(params![organisation, name])?;
    found.next()?.map(|row| entry(&row)).transpose()
}

/// A part of an organisation's list.
pub(super) fn page(
    connection: &Connection,
    organisation: OrganisationId,
    filter: &EventTypeFilter,
    page: &Page<String>,
) -> Result<Vec<EventTypeEntry>, StorageError> {
    let mut walk = Walk::over("event_types", "name", page).only("organisation = ?", organisation);
    if !filter.archived_too {
        walk = walk.only_where("archived = 0");
    }
    if let Some(flags) = &filter.shown_with {
        let shown = "(feature_flag IS NULL OR feature_flag IN (SELECT value FROM json_each(?)))";
        walk = walk.only(shown, json(flags));
    }
    walk.rows(connection, entry)
}

/// Entries with schemas, of organisations with an application that has its events held to them.
pub(super) fn held_to(connection: &Connection) -> Result<Vec<EventTypeEntry>, StorageError> {
    let mut find = connection.prepare_cached(
        "SELECT * FROM event_types \
         WHERE schemas IS NOT NULL AND archived = 0 AND organisation IN \
             (SELECT a.organisation FROM settings s JOIN applications a ON a.id = s.application \
              WHERE s.schema_mode <> 'off' AND a.deleted_at IS NULL) \
         ORDER BY organisation, name",
    )?;
    find.query_and_then([], entry)?.collect()
}

/// Deletes an entry; whether there was one.
pub(super) fn delete(
    connection: &Connection,
    organisation: OrganisationId,
    name: &str,
) -> Result<bool, StorageError> {
    let deleted = connection.execute(
        "DELETE FROM event_types WHERE organisation = ?1 AND name = ?2",
        params![organisation, name],
    )?;
    Ok(deleted == 1)
}

fn entry(row: &Row<'_>) -> Result<EventTypeEntry, StorageError> {
    let name: String = row.get("name")?;
    let schemas: Option<String> = row.get("schemas")?;
    Ok(EventTypeEntry {
        organisation: row.get("organisation")?,
        description: row.get("description")?,
        archived: row.get("archived")?,
        deprecated: row.get("deprecated")?,
        schemas: schemas.map(|text| read_json(&text, &name, "schemas")).transpose()?,
        feature_flag: row.get("feature_flag")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
        name,
    })
}
