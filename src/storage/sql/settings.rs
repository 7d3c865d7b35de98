//! Applications' settings in their table. Their policies are below those of their endpoints.

use std::collections::HashMap;

use url::Url;

use super::engine::{Connection, OptionalExtension as _, Row, params};
use super::keys;
use super::rows::{corrupt, json, read_json};
use crate::domain::application::Tenant;
use crate::domain::endpoint::default_of;
use crate::domain::id::ApplicationId;
use crate::domain::policy::{Policy, PolicyPart};
use crate::domain::settings::{DefaultUrlWhen, DeliverySwitch, SchemaMode, Settings};
use crate::storage::StorageError;
use crate::storage::vault::Vault;

/// What applications say of their endpoints' policies.
pub(super) type Parts = HashMap<ApplicationId, PolicyPart>;

/// What one application says of policies, or all of them do.
pub(super) fn parts(
    connection: &Connection,
    application: Option<ApplicationId>,
) -> Result<Parts, StorageError> {
    let condition =
        if application.is_some() { "application = ?1" } else { "CAST(?1 AS BLOB) IS NULL" };
    let mut find = connection
        .prepare_cached(&format!("SELECT application, policy FROM settings WHERE {condition}"))?;
    let one = |row: &Row<'_>| {
        let application: ApplicationId = row.get("application")?;
        Ok((application, read_json(&row.get::<_, String>("policy")?, application, "policy")?))
    };
    find.query_and_then([application], one)?.collect()
}

/// The policy that an application's endpoints have where they say nothing themselves.
pub(super) fn policy(parts: &Parts, application: ApplicationId) -> Policy {
    let defaults = Policy::default();
    parts.get(&application).map_or_else(|| defaults.clone(), |part| part.over(&defaults))
}

/// A tenant's settings; as nobody has set them, if nobody has.
pub(super) fn of(
    connection: &Connection,
    vault: &Vault,
    tenant: Tenant,
) -> Result<Settings, StorageError> {
    let application = tenant.application();
    let mut find = connection.prepare_cached("SELECT * FROM settings WHERE application = ?1")?;
    let mut found = find.query([application])?;
    match found.next()? {
        Some(row) => settings(&row, connection, vault),
        None => Ok(Settings::unset(application)),
    }
}

/// What a tenant makes of payloads that are not by their schemas.
pub(super) fn schema_mode(
    connection: &Connection,
    tenant: Tenant,
) -> Result<SchemaMode, StorageError> {
    let application = tenant.application();
    let mut find =
        connection.prepare_cached("SELECT schema_mode FROM settings WHERE application = ?1")?;
    let mode: Option<String> =
        find.query_row([application], |row| row.get("schema_mode")).optional()?;
    mode.map_or_else(|| Ok(SchemaMode::default()), |word| mode_of(&word, application))
}

fn mode_of(word: &str, application: ApplicationId) -> Result<SchemaMode, StorageError> {
    let known = SchemaMode::ALL.iter().find(|one| one.as_str() == word);
    known.copied().ok_or_else(|| corrupt(format!("schema_mode of the settings of {application}")))
}

/// Those of every application that has set anything.
pub(super) fn all(connection: &Connection, vault: &Vault) -> Result<Vec<Settings>, StorageError> {
    let mut find = connection.prepare_cached("SELECT * FROM settings ORDER BY application")?;
    find.query_and_then([], |row| settings(row, connection, vault))?.collect()
}

/// Writes all of them anew, keys too, if they are what was read.
pub(super) fn put(
    connection: &Connection,
    vault: &Vault,
    settings: &Settings,
) -> Result<(), StorageError> {
    let application = settings.application;
    let revision = revision(connection, application)?;
    if revision != settings.revision {
        return Err(StorageError::Conflict(format!(
            "the settings of application {application} were changed meanwhile"
        )));
    }
    let next = i64::try_from(revision + 1).map_err(|_| corrupt("a revision"))?;
    recall(connection, application, settings.delivery)?;
    let written = connection.execute(
        "INSERT INTO settings (application, default_url, default_url_when, delivery, \
                                          policy, schema_mode, attributes, updated_at, default_id, revision) \
         SELECT id, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 \
         FROM applications WHERE id = ?1 AND deleted_at IS NULL \
         ON CONFLICT (application) DO UPDATE SET default_url = ?2, default_url_when = ?3, \
             delivery = ?4, policy = ?5, schema_mode = ?6, attributes = ?7, updated_at = ?8, \
             default_id = ?9, revision = ?10",
        params![
            application,
            settings.default_url.as_ref().map(Url::as_str),
            settings.default_url_when.as_str(),
            settings.delivery.as_str(),
            json(&settings.policy),
            settings.schema_mode.as_str(),
            json(&settings.attributes),
            settings.updated_at,
            default_of(application),
            next,
        ],
    )?;
    if written == 0 {
        // It was deleted meanwhile: they would outlive it.
        return Err(StorageError::Conflict(format!("application {application} does not exist")));
    }
    keys::replace(connection, vault, application, default_of(application), &settings.keys)
}

/// How often an application's settings were written.
fn revision(connection: &Connection, application: ApplicationId) -> Result<u64, StorageError> {
    let mut find =
        connection.prepare_cached("SELECT revision FROM settings WHERE application = ?1")?;
    let known: Option<i64> = find.query_row([application], |row| row.get(0)).optional()?;
    counted(known.unwrap_or(0), application)
}

fn counted(revision: i64, application: ApplicationId) -> Result<u64, StorageError> {
    let wrong = |_| corrupt(format!("revision of the settings of {application}"));
    u64::try_from(revision).map_err(wrong)
}

/// Notes that what was held back is to be offered, if it was held back and is not any more; and does not
/// want that any longer, when it is held back anew.
fn recall(
    connection: &Connection,
    application: ApplicationId,
    now: DeliverySwitch,
) -> Result<(), StorageError> {
    if now.sends() {
        connection.execute(
            "INSERT INTO recalls (application, version) \
             SELECT application, version FROM settings, catalogue \
             WHERE application = ?1 AND delivery <> 'on' \
             ON CONFLICT (application) DO UPDATE SET version = excluded.version",
            [application],
        )?;
    } else {
        connection.execute("DELETE FROM recalls WHERE application = ?1", [application])?;
    }
    Ok(())
}

/// Forgets an application's settings. Their secrets go for good, and what was held back is let go, to be
/// taken back at its turn.
pub(super) fn delete(
    connection: &Connection,
    application: ApplicationId,
) -> Result<(), StorageError> {
    recall(connection, application, DeliverySwitch::On)?;
    connection.execute("DELETE FROM settings WHERE application = ?1", [application])?;
    let own = default_of(application);
    connection.execute("DELETE FROM endpoint_keys WHERE endpoint = ?1", [own])?;
    Ok(())
}

fn settings(
    row: &Row<'_>,
    connection: &Connection,
    vault: &Vault,
) -> Result<Settings, StorageError> {
    let application: ApplicationId = row.get("application")?;
    let wrong = |column: &str| corrupt(format!("{column} of the settings of {application}"));
    let url: Option<String> = row.get("default_url")?;
    let default_url = url.map(|url| Url::parse(&url).map_err(|_| wrong("default_url")));
    let (when, delivery, mode): (String, String, String) =
        (row.get("default_url_when")?, row.get("delivery")?, row.get("schema_mode")?);
    let (whens, deliveries) = (DefaultUrlWhen::ALL, DeliverySwitch::ALL);
    let when = whens.iter().find(|one| one.as_str() == when);
    let delivery = deliveries.iter().find(|one| one.as_str() == delivery);
    Ok(Settings {
        application,
        default_url: default_url.transpose()?,
        default_url_when: *when.ok_or_else(|| wrong("default_url_when"))?,
        delivery: *delivery.ok_or_else(|| wrong("delivery"))?,
        policy: read_json(&row.get::<_, String>("policy")?, application, "policy")?,
        schema_mode: mode_of(&mode, application)?,
        attributes: read_json(&row.get::<_, String>("attributes")?, application, "attributes")?,
        keys: keys::of_application(connection, vault, application, default_of(application))?,
        updated_at: row.get("updated_at")?,
        revision: counted(row.get("revision")?, application)?,
    })
}
