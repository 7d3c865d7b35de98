//! Signing keys in their table, sealed, each bound to its row: those of endpoints, and those of applications
//! for what goes to a URL without an endpoint ([`default_of`](crate::domain::endpoint::default_of)).

use std::collections::HashMap;

use super::engine::{Connection, Row, params};
use super::rows::corrupt;
use crate::domain::endpoint::EndpointKey;
use crate::domain::id::{ApplicationId, EndpointId};
use crate::domain::signature::{Scheme, SigningKey};
use crate::storage::StorageError;
use crate::storage::vault::{Place, Vault};

/// Signing keys by their endpoint, newest first.
pub(super) type Keys = HashMap<EndpointId, Vec<EndpointKey>>;

/// Which endpoints' keys are wanted: no more are opened.
#[derive(Clone, Copy)]
pub(super) enum Whose {
    Everyone,
    Endpoint(EndpointId),
}

/// The keys of endpoints.
pub(super) fn of(
    connection: &Connection,
    vault: &Vault,
    whose: Whose,
) -> Result<Keys, StorageError> {
    let (condition, id) = match &whose {
        Whose::Everyone => ("CAST(?1 AS BLOB) IS NULL", None),
        Whose::Endpoint(id) => ("k.endpoint = ?1", Some(id.as_bytes())),
    };
    let mut find = connection.prepare_cached(&format!(
        "SELECT k.*, e.application FROM endpoint_keys k JOIN endpoints e ON e.id = k.endpoint \
         WHERE {condition} AND e.deleted_at IS NULL ORDER BY k.endpoint, k.position"
    ))?;
    let mut found = find.query([id])?;
    let mut keys = Keys::new();
    while let Some(row) = found.next()? {
        let endpoint: EndpointId = row.get("endpoint")?;
        let opened = open(&row, vault, row.get("application")?, endpoint)?;
        keys.entry(endpoint).or_default().push(opened);
    }
    Ok(keys)
}

/// The keys that an application has under this id.
pub(super) fn of_application(
    connection: &Connection,
    vault: &Vault,
    application: ApplicationId,
    id: EndpointId,
) -> Result<Vec<EndpointKey>, StorageError> {
    let mut find = connection
        .prepare_cached("SELECT * FROM endpoint_keys WHERE endpoint = ?1 ORDER BY position")?;
    find.query_and_then([id], |row| open(row, vault, application, id))?.collect()
}

/// Writes all keys of an endpoint anew.
pub(super) fn replace(
    connection: &Connection,
    vault: &Vault,
    application: ApplicationId,
    endpoint: EndpointId,
    keys: &[EndpointKey],
) -> Result<(), StorageError> {
    connection.execute("DELETE FROM endpoint_keys WHERE endpoint = ?1", [endpoint])?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO endpoint_keys (endpoint, position, key, created_at, expires_at, scheme) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (position, key) in (0_u32..).zip(keys) {
        let row_id = key_row(endpoint, position);
        let scheme = key.key.scheme();
        let sealed = vault.seal(&key_place(scheme, &application, &row_id), key.key.expose())?;
        insert.execute(params![
            endpoint,
            position,
            sealed,
            key.created_at,
            key.expires_at,
            scheme.as_str()
        ])?;
    }
    Ok(())
}

fn open(
    row: &Row<'_>,
    vault: &Vault,
    application: ApplicationId,
    endpoint: EndpointId,
) -> Result<EndpointKey, StorageError> {
    let row_id = key_row(endpoint, row.get("position")?);
    let sealed: Vec<u8> = row.get("key")?;
    let scheme: Scheme = row
        .get::<_, String>("scheme")?
        .parse()
        .map_err(|fault| corrupt(format!("the scheme of a signing key of {endpoint}: {fault}")))?;
    let bytes = vault.open(&key_place(scheme, &application, &row_id), &sealed)?;
    let key = SigningKey::stored(scheme, bytes)
        .map_err(|error| corrupt(format!("a signing key of {endpoint}: {error}")))?;
    Ok(EndpointKey { key, created_at: row.get("created_at")?, expires_at: row.get("expires_at")? })
}

/// The scheme is bound too: a shared key taken for the seed of a pair would sign for another.
const fn key_place<'a>(
    scheme: Scheme,
    application: &'a ApplicationId,
    row: &'a [u8; 24],
) -> Place<'a> {
    let column = match scheme {
        Scheme::V1 => "key",
        Scheme::V1a => "key v1a",
    };
    Place { table: "endpoint_keys", column, application: application.as_bytes(), row }
}

/// The row of a key: its endpoint and its position.
fn key_row(endpoint: EndpointId, position: u32) -> [u8; 24] {
    let mut row = [0; 24];
    row[..20].copy_from_slice(endpoint.as_bytes());
    row[20..].copy_from_slice(&position.to_be_bytes());
    row
}
