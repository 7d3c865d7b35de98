//! Endpoints in their table: their headers, credentials and signing keys sealed, each bound to its
//! row.

use std::sync::Arc;

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::engine::{Connection, Error, Row, Rows, params};
use super::failing;
use super::keys::{self, Keys, Whose};
use super::rows::{corrupt, json, read_json};
use super::settings::{self, Parts};
use super::walk::Walk;
use crate::domain::application::Tenant;
use crate::domain::auth::Auth;
use crate::domain::endpoint::{DisabledBecause, Endpoint, EndpointKey, EndpointState};
use crate::domain::id::{ApplicationId, EndpointId};
use crate::domain::policy::PolicyPart;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::page::Page;
use crate::storage::vault::{Place, Vault};

/// Most endpoints of one application: each is read with every change of the catalogue, and an event may be
/// owed to all of them, in one transaction.
const ENDPOINTS_MAX: u32 = 10_000;

/// Adds an endpoint with its keys.
pub(super) fn add(
    connection: &Connection,
    vault: &Vault,
    endpoint: &Endpoint,
) -> Result<(), StorageError> {
    let mut count = connection.prepare_cached(
        "SELECT count(*) FROM endpoints WHERE application = ?1 AND deleted_at IS NULL",
    )?;
    let there: u32 = count.query_row([endpoint.application], |row| row.get(0))?;
    if there >= ENDPOINTS_MAX {
        return Err(StorageError::Conflict(format!(
            "application {} has {ENDPOINTS_MAX} endpoints already, which is as many as there may be",
            endpoint.application
        )));
    }
    let written = connection
        .execute(
            "INSERT INTO endpoints (id, application, uid, description, url, filter, state, \
                                    throttle_rate, policy, headers, created_at, updated_at, \
                                    version, metadata, channels, disabled_because, auth) \
             SELECT ?1, id, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17 \
             FROM applications WHERE id = ?2 AND deleted_at IS NULL",
            params![
                endpoint.id,
                endpoint.application,
                endpoint.uid,
                endpoint.description,
                endpoint.url.as_str(),
                json(&endpoint.filter),
                endpoint.state.as_str(),
                endpoint.throttle_rate,
                json(&endpoint.policy_part),
                sealed_headers(vault, endpoint)?,
                endpoint.created_at,
                endpoint.updated_at,
                endpoint.version,
                json(&endpoint.metadata),
                json(&endpoint.channels),
                endpoint.disabled_because.map(DisabledBecause::as_str),
                sealed_auth(vault, endpoint)?,
            ],
        )
        .map_err(|error| taken(error, endpoint))?;
    if written == 0 {
        // Its application was deleted meanwhile: the endpoint would outlive it.
        return Err(StorageError::Conflict(format!(
            "application {} does not exist",
            endpoint.application
        )));
    }
    keys::replace(connection, vault, endpoint.application, endpoint.id, &endpoint.keys)
}

/// Writes everything of an endpoint but its keys and its state.
pub(super) fn edit(
    connection: &Connection,
    vault: &Vault,
    endpoint: &Endpoint,
) -> Result<(), StorageError> {
    // Another URL is another receiver: what the old one failed at says nothing of it.
    connection.execute(
        "DELETE FROM failing WHERE endpoint = ?1 \
           AND EXISTS (SELECT 1 FROM endpoints WHERE id = ?1 AND url <> ?2)",
        params![endpoint.id, endpoint.url.as_str()],
    )?;
    let written = connection
        .execute(
            "UPDATE endpoints SET uid = ?3, description = ?4, url = ?5, filter = ?6, \
                                  throttle_rate = ?7, policy = ?8, headers = ?9, updated_at = ?10, \
                                  version = ?11, metadata = ?12, channels = ?13, auth = ?14 \
             WHERE id = ?1 AND application = ?2 AND deleted_at IS NULL",
            params![
                endpoint.id,
                endpoint.application,
                endpoint.uid,
                endpoint.description,
                endpoint.url.as_str(),
                json(&endpoint.filter),
                endpoint.throttle_rate,
                json(&endpoint.policy_part),
                sealed_headers(vault, endpoint)?,
                endpoint.updated_at,
                endpoint.version,
                json(&endpoint.metadata),
                json(&endpoint.channels),
                sealed_auth(vault, endpoint)?,
            ],
        )
        .map_err(|error| taken(error, endpoint))?;
    if written == 1 { Ok(()) } else { Err(gone(endpoint.id)) }
}

/// Sets an endpoint's state; whether there was one.
pub(super) fn set_state(
    connection: &Connection,
    tenant: Tenant,
    id: EndpointId,
    state: EndpointState,
    because: Option<DisabledBecause>,
    now: Timestamp,
) -> Result<bool, StorageError> {
    let because = because.map(DisabledBecause::as_str);
    failing::forget(connection, id)?;
    let written = connection.execute(
        "UPDATE endpoints SET state = ?3, disabled_because = ?4, updated_at = ?5 \
         WHERE id = ?1 AND application = ?2 AND deleted_at IS NULL",
        params![id, tenant.application(), state.as_str(), because, now],
    )?;
    Ok(written == 1)
}

/// Disables an endpoint that has answered that it is gone, unless it was edited since it was asked;
/// whether it was not disabled already.
pub(super) fn close(
    connection: &Connection,
    id: EndpointId,
    asked_at: Timestamp,
    now: Timestamp,
) -> Result<bool, StorageError> {
    let mut update = connection.prepare_cached(
        "UPDATE endpoints SET state = 'disabled', disabled_because = 'gone', updated_at = ?3 \
         WHERE id = ?1 AND updated_at <= ?2 AND state <> 'disabled' AND deleted_at IS NULL",
    )?;
    let closed = update.execute(params![id, asked_at, now])? == 1;
    if closed {
        failing::forget(connection, id)?;
    }
    Ok(closed)
}

/// Replaces an endpoint's keys.
pub(super) fn set_keys(
    connection: &Connection,
    vault: &Vault,
    tenant: Tenant,
    id: EndpointId,
    keys: &[EndpointKey],
    now: Timestamp,
) -> Result<(), StorageError> {
    let application = tenant.application();
    let written = connection.execute(
        "UPDATE endpoints SET updated_at = ?3 \
         WHERE id = ?1 AND application = ?2 AND deleted_at IS NULL",
        params![id, application, now],
    )?;
    if written == 0 {
        return Err(gone(id));
    }
    keys::replace(connection, vault, application, id, keys)
}

/// Deletes an endpoint; whether there was one. Its secrets go for good.
pub(super) fn delete(
    connection: &Connection,
    tenant: Tenant,
    id: EndpointId,
    now: Timestamp,
) -> Result<bool, StorageError> {
    let written = connection.execute(
        "UPDATE endpoints SET deleted_at = ?3, updated_at = ?3, headers = NULL, auth = NULL \
         WHERE id = ?1 AND application = ?2 AND deleted_at IS NULL",
        params![id, tenant.application(), now],
    )?;
    if written == 1 {
        connection.execute("DELETE FROM endpoint_keys WHERE endpoint = ?1", [id])?;
        failing::forget(connection, id)?;
    }
    Ok(written == 1)
}

/// Deletes every endpoint of an application.
pub(super) fn delete_all_of(
    connection: &Connection,
    application: ApplicationId,
    now: Timestamp,
) -> Result<(), StorageError> {
    connection.execute(
        "DELETE FROM failing WHERE endpoint IN (SELECT id FROM endpoints WHERE application = ?1)",
        [application],
    )?;
    connection.execute(
        "DELETE FROM endpoint_keys WHERE endpoint IN \
         (SELECT id FROM endpoints WHERE application = ?1 AND deleted_at IS NULL)",
        [application],
    )?;
    connection.execute(
        "UPDATE endpoints SET deleted_at = ?2, updated_at = ?2, headers = NULL, auth = NULL \
         WHERE application = ?1 AND deleted_at IS NULL",
        params![application, now],
    )?;
    Ok(())
}

/// A tenant's endpoint of that id or uid.
pub(super) fn named(
    connection: &Connection,
    vault: &Vault,
    tenant: Tenant,
    name: &str,
) -> Result<Option<Endpoint>, StorageError> {
    let id: Option<EndpointId> = name.parse().ok();
    let mut find = connection.prepare_cached(match id {
        Some(_) => {
            "SELECT * FROM endpoints WHERE id = ?2 AND application = ?1 AND deleted_at IS NULL"
        }
        None => {
            "SELECT * FROM endpoints WHERE application = ?1 AND uid = ?2 AND deleted_at IS NULL"
        }
    })?;
    let found = match id {
        Some(id) => find.query(params![tenant.application(), id])?,
        None => find.query(params![tenant.application(), name])?,
    };
    first(found, connection, vault)
}

/// The endpoint of that id, whosever it is.
pub(super) fn any(
    connection: &Connection,
    vault: &Vault,
    id: EndpointId,
) -> Result<Option<Endpoint>, StorageError> {
    let mut find = connection
        .prepare_cached("SELECT * FROM endpoints WHERE id = ?1 AND deleted_at IS NULL")?;
    first(find.query([id])?, connection, vault)
}

fn first(
    mut found: Rows<'_>,
    connection: &Connection,
    vault: &Vault,
) -> Result<Option<Endpoint>, StorageError> {
    let Some(row) = found.next()? else { return Ok(None) };
    let mut keys = keys::of(connection, vault, Whose::Endpoint(row.get("id")?))?;
    let below = settings::parts(connection, Some(row.get("application")?))?;
    endpoint(&row, vault, &mut keys, &below).map(Some)
}

/// Every endpoint of every application.
pub(super) fn all(connection: &Connection, vault: &Vault) -> Result<Vec<Endpoint>, StorageError> {
    let mut keys = keys::of(connection, vault, Whose::Everyone)?;
    let below = settings::parts(connection, None)?;
    let mut find = connection
        .prepare_cached("SELECT * FROM endpoints WHERE deleted_at IS NULL ORDER BY id")?;
    find.query_and_then([], |row| endpoint(row, vault, &mut keys, &below))?.collect()
}

/// A part of an application's list.
pub(super) fn page(
    connection: &Connection,
    vault: &Vault,
    tenant: Tenant,
    page: &Page<EndpointId>,
) -> Result<Vec<Endpoint>, StorageError> {
    let below = settings::parts(connection, Some(tenant.application()))?;
    Walk::over("endpoints", "id", page)
        .only("application = ?", tenant.application())
        .only_where("deleted_at IS NULL")
        .rows(connection, |row| {
            let mut keys = keys::of(connection, vault, Whose::Endpoint(row.get("id")?))?;
            endpoint(row, vault, &mut keys, &below)
        })
}

fn endpoint(
    row: &Row<'_>,
    vault: &Vault,
    keys: &mut Keys,
    below: &Parts,
) -> Result<Endpoint, StorageError> {
    let id: EndpointId = row.get("id")?;
    let application: ApplicationId = row.get("application")?;
    let policy_part: PolicyPart = read_json(&row.get::<_, String>("policy")?, id, "policy")?;
    let url: String = row.get("url")?;
    let state: String = row.get("state")?;
    let headers: Option<Vec<u8>> = row.get("headers")?;
    let auth: Option<Vec<u8>> = row.get("auth")?;
    Ok(Endpoint {
        id,
        application,
        uid: row.get("uid")?,
        description: row.get("description")?,
        url: Url::parse(&url).map_err(|error| corrupt(format!("url of {id}: {error}")))?,
        filter: read_json(&row.get::<_, String>("filter")?, id, "filter")?,
        state: state_of(&state).ok_or_else(|| corrupt(format!("state of {id} is `{state}`")))?,
        channels: read_json(&row.get::<_, String>("channels")?, id, "channels")?,
        disabled_because: because(row.get::<_, Option<String>>("disabled_because")?.as_deref()),
        throttle_rate: row.get("throttle_rate")?,
        policy: Arc::new(policy_part.over(&settings::policy(below, application)).into()),
        policy_part,
        headers: match headers {
            Some(sealed) => {
                let json = vault.open(&headers_place(&application, &id), &sealed)?;
                let json = String::from_utf8(json)
                    .map_err(|_| corrupt(format!("headers of {id} are not text")))?;
                read_json(&json, id, "headers")?
            }
            None => Vec::new(),
        },
        auth: match auth {
            Some(sealed) => Some(opened_auth(vault, &application, id, &sealed)?),
            None => None,
        },
        keys: keys.remove(&id).unwrap_or_default(),
        metadata: read_json(&row.get::<_, String>("metadata")?, id, "metadata")?,
        version: row.get("version")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

pub(super) fn state_of(word: &str) -> Option<EndpointState> {
    [EndpointState::Active, EndpointState::Paused, EndpointState::Disabled]
        .into_iter()
        .find(|state| state.as_str() == word)
}

pub(super) fn because(word: Option<&str>) -> Option<DisabledBecause> {
    DisabledBecause::ALL.into_iter().find(|one| word == Some(one.as_str()))
}

fn sealed_headers(vault: &Vault, endpoint: &Endpoint) -> Result<Option<Vec<u8>>, StorageError> {
    if endpoint.headers.is_empty() {
        return Ok(None);
    }
    let json = json(&endpoint.headers);
    vault.seal(&headers_place(&endpoint.application, &endpoint.id), json.as_bytes()).map(Some)
}

/// Credentials as they are sealed.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum StoredAuth {
    Basic { username: String, password: String },
    Bearer { token: String },
    Header { name: String, value: String },
}

fn sealed_auth(vault: &Vault, endpoint: &Endpoint) -> Result<Option<Vec<u8>>, StorageError> {
    let plain = |secret: &SecretString| secret.expose_secret().to_owned();
    let stored = match &endpoint.auth {
        None => return Ok(None),
        Some(Auth::Basic { username, password }) => {
            StoredAuth::Basic { username: username.clone(), password: plain(password) }
        }
        Some(Auth::Bearer { token }) => StoredAuth::Bearer { token: plain(token) },
        Some(Auth::Header { name, value }) => {
            StoredAuth::Header { name: name.clone(), value: plain(value) }
        }
    };
    let json = Zeroizing::new(json(&stored));
    vault.seal(&auth_place(&endpoint.application, &endpoint.id), json.as_bytes()).map(Some)
}

fn opened_auth(
    vault: &Vault,
    application: &ApplicationId,
    id: EndpointId,
    sealed: &[u8],
) -> Result<Auth, StorageError> {
    let json = Zeroizing::new(vault.open(&auth_place(application, &id), sealed)?);
    // What the parser says may repeat what it read.
    let stored =
        serde_json::from_slice(&json).map_err(|_| corrupt(format!("auth of {id} is not one")))?;
    Ok(match stored {
        StoredAuth::Basic { username, password } => {
            Auth::Basic { username, password: password.into() }
        }
        StoredAuth::Bearer { token } => Auth::Bearer { token: token.into() },
        StoredAuth::Header { name, value } => Auth::Header { name, value: value.into() },
    })
}

const fn auth_place<'a>(application: &'a ApplicationId, id: &'a EndpointId) -> Place<'a> {
    Place {
        table: "endpoints",
        column: "auth",
        application: application.as_bytes(),
        row: id.as_bytes(),
    }
}

const fn headers_place<'a>(application: &'a ApplicationId, id: &'a EndpointId) -> Place<'a> {
    Place {
        table: "endpoints",
        column: "headers",
        application: application.as_bytes(),
        row: id.as_bytes(),
    }
}

/// The endpoint's id or uid is another's.
fn taken(error: Error, endpoint: &Endpoint) -> StorageError {
    if !error.is_taken() {
        return error.into();
    }
    StorageError::Conflict(match &endpoint.uid {
        Some(uid) => format!("an endpoint with the uid `{uid}` exists already"),
        None => format!("endpoint {} exists already", endpoint.id),
    })
}

fn gone(id: EndpointId) -> StorageError {
    StorageError::Conflict(format!("endpoint {id} does not exist"))
}
