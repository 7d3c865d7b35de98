//! Targets for development and what has come to them, in their tables. Tokens are sealed, each bound to its
//! row.

use std::sync::Arc;

use async_trait::async_trait;

use super::Sql;
use super::engine::{Connection, OptionalExtension, Row, params};
use super::rows::{corrupt, json, read_json};
use crate::domain::application::Tenant;
use crate::domain::id::{ApplicationId, InspectedId};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::inspector::{Inspected, Inspectors, TokenHash, hash_of};
use crate::storage::vault::Place;

/// Most requests that one step of the upkeep removes: a body of 64 KiB lies on pages of its own, and each
/// has to be read to be freed.
const FORGET_MAX: u32 = 50;

#[async_trait]
impl Inspectors for Sql {
    async fn inspector(&self, tenant: Tenant) -> Result<Option<String>, StorageError> {
        let (application, vault) = (tenant.application(), Arc::clone(&self.vault));
        self.browse(move |connection| {
            let mut find =
                connection.prepare_cached("SELECT token FROM inspectors WHERE application = ?1")?;
            let sealed: Option<Vec<u8>> =
                find.query_row([application], |row| row.get(0)).optional()?;
            let Some(sealed) = sealed else { return Ok(None) };
            let opened = vault.open(&place(&application), &sealed)?;
            let token = String::from_utf8(opened);
            Ok(Some(token.map_err(|_| corrupt(format!("inspector of {application}: no text")))?))
        })
        .await
    }

    async fn make_inspector(
        &self,
        tenant: Tenant,
        token: &str,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let (application, sealed) = (tenant.application(), self.sealed(tenant, token)?);
        let hash = hash_of(token);
        self.write(move |connection| {
            let mut find =
                connection.prepare_cached("SELECT 1 FROM inspectors WHERE application = ?1")?;
            if find.exists([application])? {
                return Ok(());
            }
            put(connection, application, hash, &sealed, now)
        })
        .await
    }

    async fn renew_inspector(
        &self,
        tenant: Tenant,
        token: &str,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let (application, sealed) = (tenant.application(), self.sealed(tenant, token)?);
        let hash = hash_of(token);
        self.write(move |connection| {
            delete(connection, application)?;
            put(connection, application, hash, &sealed, now)
        })
        .await
    }

    async fn is_inspector(&self, token: TokenHash) -> Result<bool, StorageError> {
        self.browse(move |connection| {
            let mut find =
                connection.prepare_cached("SELECT 1 FROM inspectors WHERE token_hash = ?1")?;
            Ok(find.exists([token])?)
        })
        .await
    }

    async fn keep_inspected(
        &self,
        token: TokenHash,
        request: Inspected,
        keep: u32,
    ) -> Result<bool, StorageError> {
        self.write(move |connection| {
            let mut add = connection.prepare_cached(
                "INSERT INTO inspected (application, id, at, method, path, headers, body, truncated) \
                 SELECT application, ?2, ?3, ?4, ?5, ?6, ?7, ?8 FROM inspectors WHERE token_hash = ?1",
            )?;
            let Inspected { id, received_at, method, path, headers, body, truncated } = &request;
            let headers = json(headers);
            let values = params![token, id, received_at, method, path, headers, body, truncated];
            if add.execute(values)? == 0 {
                return Ok(false); // it has another address since
            }
            let mut forget = connection.prepare_cached(
                "DELETE FROM inspected WHERE seq IN (\
                    SELECT seq FROM inspected \
                    WHERE application = (SELECT application FROM inspectors WHERE token_hash = ?1) \
                    ORDER BY seq DESC LIMIT -1 OFFSET ?2)",
            )?;
            forget.execute(params![token, keep])?;
            Ok(true)
        })
        .await
    }

    async fn inspected(
        &self,
        tenant: Tenant,
        since: Timestamp,
        most: u32,
    ) -> Result<Vec<Inspected>, StorageError> {
        let application = tenant.application();
        self.browse(move |connection| {
            let mut find = connection.prepare_cached(
                "SELECT * FROM inspected WHERE application = ?1 AND at >= ?2 \
                 ORDER BY seq DESC LIMIT ?3",
            )?;
            find.query_and_then(params![application, since, most], inspected)?.collect()
        })
        .await
    }
}

impl Sql {
    fn sealed(&self, tenant: Tenant, token: &str) -> Result<Vec<u8>, StorageError> {
        self.vault.seal(&place(&tenant.application()), token.as_bytes())
    }
}

fn put(
    connection: &Connection,
    application: ApplicationId,
    hash: TokenHash,
    sealed: &[u8],
    now: Timestamp,
) -> Result<(), StorageError> {
    let mut add = connection.prepare_cached(
        "INSERT INTO inspectors (application, token_hash, token, made_at) \
         SELECT id, ?2, ?3, ?4 FROM applications WHERE id = ?1 AND deleted_at IS NULL",
    )?;
    if add.execute(params![application, hash, sealed, now])? == 0 {
        return Err(StorageError::Conflict(format!("application {application} does not exist")));
    }
    Ok(())
}

/// Forgets an application's target, with what has come to it.
pub(super) fn delete(
    connection: &Connection,
    application: ApplicationId,
) -> Result<(), StorageError> {
    connection.execute("DELETE FROM inspectors WHERE application = ?1", [application])?;
    connection.execute("DELETE FROM inspected WHERE application = ?1", [application])?;
    Ok(())
}

/// Whether anything came before this.
pub(super) fn any_old(connection: &Connection, before: Timestamp) -> Result<bool, StorageError> {
    let mut find = connection.prepare_cached("SELECT 1 FROM inspected WHERE at < ?1")?;
    Ok(find.exists([before])?)
}

/// Forgets some of what came before this; how many, and whether there may be more.
pub(super) fn forget(
    connection: &Connection,
    before: Timestamp,
) -> Result<(usize, bool), StorageError> {
    let mut forget = connection.prepare_cached(
        "DELETE FROM inspected WHERE seq IN \
            (SELECT seq FROM inspected WHERE at < ?1 ORDER BY at LIMIT ?2)",
    )?;
    let gone = forget.execute(params![before, FORGET_MAX])?;
    Ok((gone, gone == FORGET_MAX as usize))
}

fn inspected(row: &Row<'_>) -> Result<Inspected, StorageError> {
    let id: InspectedId = row.get("id")?;
    Ok(Inspected {
        id,
        received_at: row.get("at")?,
        method: row.get("method")?,
        path: row.get("path")?,
        headers: read_json(&row.get::<_, String>("headers")?, id, "headers")?,
        body: row.get("body")?,
        truncated: row.get("truncated")?,
    })
}

fn place(application: &ApplicationId) -> Place<'_> {
    let id = application.as_bytes();
    Place { table: "inspectors", column: "token", application: id, row: id }
}
