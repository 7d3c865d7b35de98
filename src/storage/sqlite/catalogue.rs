//! The catalogue's port on SQLite: applications and event types here, endpoints in [`endpoints`].
//!
//! Each edit moves the version in its own transaction, so a router that asks for the version sees
//! the edits of every process. Deleted rows stay, with `deleted_at`: the record still names them.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::faults::is_taken;
use super::{Sqlite, endpoints};
use crate::domain::endpoint::{Application, Endpoint, EndpointKey, EndpointState, EventTypeEntry};
use crate::domain::event::ApplicationName;
use crate::domain::id::{ApplicationId, EndpointId};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::catalogue::{Catalogue, Snapshot};

#[async_trait]
impl Catalogue for Sqlite {
    async fn version(&self) -> Result<u64, StorageError> {
        self.read(version).await
    }

    async fn snapshot(&self) -> Result<Snapshot, StorageError> {
        let vault = Arc::clone(&self.vault);
        self.read(move |connection| {
            Ok(Snapshot {
                version: version(connection)?,
                applications: applications(connection)?,
                endpoints: endpoints::all(connection, &vault, None)?
                    .into_iter()
                    .map(Arc::new)
                    .collect(),
            })
        })
        .await
    }

    async fn add_application(&self, application: &Application) -> Result<(), StorageError> {
        let application = application.clone();
        self.write(move |connection| {
            add_application(connection, &application)?;
            edited(connection)
        })
        .await
    }

    async fn application(
        &self,
        name: &ApplicationName,
    ) -> Result<Option<Application>, StorageError> {
        let name = name.clone();
        self.read(move |connection| application_of(connection, &name)).await
    }

    async fn applications(&self) -> Result<Vec<Application>, StorageError> {
        self.read(applications).await
    }

    async fn delete_application(
        &self,
        id: ApplicationId,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        self.write(move |connection| {
            let there = delete_application(connection, id, now)?;
            edited_if(connection, there)
        })
        .await
    }

    async fn put_event_type(&self, entry: &EventTypeEntry) -> Result<(), StorageError> {
        let entry = entry.clone();
        self.write(move |connection| {
            put_event_type(connection, &entry)?;
            edited(connection)
        })
        .await
    }

    async fn event_types(&self) -> Result<Vec<EventTypeEntry>, StorageError> {
        self.read(event_types).await
    }

    async fn delete_event_type(&self, name: &str) -> Result<bool, StorageError> {
        let name = name.to_owned();
        self.write(move |connection| {
            let deleted = connection.execute("DELETE FROM event_types WHERE name = ?1", [&name])?;
            edited_if(connection, deleted == 1)
        })
        .await
    }

    async fn add_endpoint(&self, endpoint: &Endpoint) -> Result<(), StorageError> {
        let (endpoint, vault) = (endpoint.clone(), Arc::clone(&self.vault));
        self.write(move |connection| {
            endpoints::add(connection, &vault, &endpoint)?;
            edited(connection)
        })
        .await
    }

    async fn endpoint(
        &self,
        application: Option<ApplicationId>,
        name: &str,
    ) -> Result<Option<Endpoint>, StorageError> {
        let (name, vault) = (name.to_owned(), Arc::clone(&self.vault));
        self.read(move |connection| endpoints::one(connection, &vault, application, &name)).await
    }

    async fn endpoints(
        &self,
        application: Option<ApplicationId>,
    ) -> Result<Vec<Endpoint>, StorageError> {
        let vault = Arc::clone(&self.vault);
        self.read(move |connection| endpoints::all(connection, &vault, application)).await
    }

    async fn edit_endpoint(&self, endpoint: &Endpoint) -> Result<(), StorageError> {
        let (endpoint, vault) = (endpoint.clone(), Arc::clone(&self.vault));
        self.write(move |connection| {
            endpoints::edit(connection, &vault, &endpoint)?;
            edited(connection)
        })
        .await
    }

    async fn set_endpoint_state(
        &self,
        id: EndpointId,
        state: EndpointState,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        self.write(move |connection| {
            let there = endpoints::set_state(connection, id, state, now)?;
            edited_if(connection, there)
        })
        .await
    }

    async fn set_endpoint_keys(
        &self,
        id: EndpointId,
        keys: &[EndpointKey],
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let (keys, vault) = (keys.to_vec(), Arc::clone(&self.vault));
        self.write(move |connection| {
            endpoints::set_keys(connection, &vault, id, &keys, now)?;
            edited(connection)
        })
        .await
    }

    async fn delete_endpoint(&self, id: EndpointId, now: Timestamp) -> Result<bool, StorageError> {
        self.write(move |connection| {
            let there = endpoints::delete(connection, id, now)?;
            edited_if(connection, there)
        })
        .await
    }
}

fn version(connection: &Connection) -> Result<u64, StorageError> {
    let mut find = connection.prepare_cached("SELECT version FROM catalogue")?;
    let version: i64 = find.query_row([], |row| row.get(0))?;
    Ok(u64::try_from(version).unwrap_or(0))
}

/// Moves the version on.
fn edited(connection: &Connection) -> Result<(), StorageError> {
    connection.execute("UPDATE catalogue SET version = version + 1", [])?;
    Ok(())
}

/// Moves the version on if there was something to edit; whether there was.
fn edited_if(connection: &Connection, there: bool) -> Result<bool, StorageError> {
    if there {
        edited(connection)?;
    }
    Ok(there)
}

fn add_application(connection: &Connection, application: &Application) -> Result<(), StorageError> {
    let Application { id, uid, name, created_at, updated_at } = application;
    connection
        .execute(
            "INSERT INTO applications (id, uid, name, created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![id, uid, name, created_at, updated_at],
        )
        .map_err(|error| match uid {
            Some(uid) if is_taken(&error) => StorageError::Conflict(format!(
                "application {id} or one with the uid `{uid}` exists already"
            )),
            None if is_taken(&error) => {
                StorageError::Conflict(format!("application {id} exists already"))
            }
            Some(_) | None => error.into(),
        })?;
    Ok(())
}

fn application_of(
    connection: &Connection,
    name: &ApplicationName,
) -> Result<Option<Application>, StorageError> {
    let found = match name {
        ApplicationName::Id(id) => connection.query_row(
            "SELECT * FROM applications WHERE id = ?1 AND deleted_at IS NULL",
            [id],
            application,
        ),
        ApplicationName::Uid(uid) => connection.query_row(
            "SELECT * FROM applications WHERE uid = ?1 AND uid IS NOT NULL AND deleted_at IS NULL",
            [uid],
            application,
        ),
    };
    Ok(found.optional()?)
}

fn applications(connection: &Connection) -> Result<Vec<Application>, StorageError> {
    let mut find = connection
        .prepare("SELECT * FROM applications WHERE deleted_at IS NULL ORDER BY created_at, id")?;
    let found = find.query_map([], application)?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn application(row: &Row<'_>) -> rusqlite::Result<Application> {
    Ok(Application {
        id: row.get("id")?,
        uid: row.get("uid")?,
        name: row.get("name")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

fn delete_application(
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
    }
    Ok(deleted == 1)
}

fn put_event_type(connection: &Connection, entry: &EventTypeEntry) -> Result<(), StorageError> {
    connection.execute(
        "INSERT INTO event_types (name, description, created_at, updated_at) \
         VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (name) DO UPDATE SET description = ?2, updated_at = ?4",
        params![entry.name, entry.description, entry.created_at, entry.updated_at],
    )?;
    Ok(())
}

fn event_types(connection: &Connection) -> Result<Vec<EventTypeEntry>, StorageError> {
    let mut find = connection.prepare("SELECT * FROM event_types ORDER BY name")?;
    let found = find.query_map([], |row| {
        Ok(EventTypeEntry {
            name: row.get("name")?,
            description: row.get("description")?,
            created_at: row.get("created_at")?,
            updated_at: row.get("updated_at")?,
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}
