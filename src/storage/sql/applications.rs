//! Applications in their table.

use super::engine::{Connection, Error, Row, params};
use super::rows::{json, read_json};
use super::walk::Walk;
use super::{endpoints, inspector, settings};
use crate::domain::application::Application;
use crate::domain::event::ApplicationName;
use crate::domain::id::{ApplicationId, OrganisationId};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::page::Page;

/// Adds an application.
pub(super) fn add(connection: &Connection, application: &Application) -> Result<(), StorageError> {
    connection
        .execute(
            "INSERT INTO applications (id, organisation, uid, name, throttle_rate, metadata, \
                                       created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                application.id,
                application.organisation,
                application.uid,
                application.name,
                application.throttle_rate,
                json(&application.metadata),
                application.created_at,
                application.updated_at,
            ],
        )
        .map_err(|error| taken(error, application))?;
    Ok(())
}

/// Writes everything of an application but its id and its organisation.
pub(super) fn edit(connection: &Connection, application: &Application) -> Result<(), StorageError> {
    let written = connection
        .execute(
            "UPDATE applications SET uid = ?3, name = ?4, throttle_rate = ?5, metadata = ?6, \
                                     updated_at = ?7 \
             WHERE id = ?1 AND organisation = ?2 AND deleted_at IS NULL",
            params![
                application.id,
                application.organisation,
                application.uid,
                application.name,
                application.throttle_rate,
                json(&application.metadata),
                application.updated_at,
            ],
        )
        .map_err(|error| taken(error, application))?;
    if written == 1 {
        return Ok(());
    }
    Err(StorageError::Conflict(format!("application {} does not exist", application.id)))
}

/// The application of that id or uid within an organisation.
pub(super) fn named(
    connection: &Connection,
    organisation: OrganisationId,
    name: &ApplicationName,
) -> Result<Option<Application>, StorageError> {
    let (condition, value): (_, &dyn rusqlite::ToSql) = match name {
        ApplicationName::Id(id) => ("id = ?2", id),
        ApplicationName::Uid(uid) => ("uid = ?2 AND uid IS NOT NULL", uid),
    };
    let mut find = connection.prepare_cached(&format!(
        "SELECT * FROM applications \
         WHERE organisation = ?1 AND {condition} AND deleted_at IS NULL"
    ))?;
    let mut found = find.query(params![organisation, value])?;
    found.next()?.map(|row| application(&row)).transpose()
}

/// A part of an organisation's list.
pub(super) fn page(
    connection: &Connection,
    organisation: OrganisationId,
    page: &Page<ApplicationId>,
) -> Result<Vec<Application>, StorageError> {
    Walk::over("applications", "id", page)
        .only("organisation = ?", organisation)
        .only_where("deleted_at IS NULL")
        .rows(connection, application)
}

/// Every application of every organisation.
pub(super) fn all(connection: &Connection) -> Result<Vec<Application>, StorageError> {
    let mut find = connection
        .prepare_cached("SELECT * FROM applications WHERE deleted_at IS NULL ORDER BY id")?;
    find.query_and_then([], application)?.collect()
}

/// Deletes an application with its endpoints; whether there was one.
pub(super) fn delete(
    connection: &Connection,
    id: ApplicationId,
    now: Timestamp,
) -> Result<bool, StorageError> {
    let deleted = connection.execute(
        "UPDATE applications SET deleted_at = ?2, updated_at = ?2 \
         WHERE id = ?1 AND deleted_at IS NULL",
        params![id, now],
    )?;
    if deleted == 1 {
        endpoints::delete_all_of(connection, id, now)?;
        settings::delete(connection, id)?;
        inspector::delete(connection, id)?;
    }
    Ok(deleted == 1)
}

fn application(row: &Row<'_>) -> Result<Application, StorageError> {
    let id: ApplicationId = row.get("id")?;
    Ok(Application {
        id,
        organisation: row.get("organisation")?,
        uid: row.get("uid")?,
        name: row.get("name")?,
        throttle_rate: row.get("throttle_rate")?,
        metadata: read_json(&row.get::<_, String>("metadata")?, id, "metadata")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

fn taken(error: Error, application: &Application) -> StorageError {
    let Application { id, uid, .. } = application;
    match uid {
        Some(uid) if error.is_taken() => {
            StorageError::Conflict(format!("an application with the uid `{uid}` exists already"))
        }
        None if error.is_taken() => {
            StorageError::Conflict(format!("application {id} exists already"))
        }
        Some(_) | None => error.into(),
    }
}
