//! What an application sets for all that it sends: its default URL, whether anything is sent, how, and what
//! its owner keeps with it.
//!
//! An edit is merged into what is there (RFC 7396): what it does not name stays, null clears. The form is
//! the same for every way in: the API's bodies and the files of the command line.
//!
//! One edit reads the settings, changes them, and writes them whole, if they are still what it read. When
//! somebody else has written them in between it begins again, so that of two at once neither takes back
//! what the other has changed: not a switch, and not a key.
//!
//! **What if we die right here?** Behind the write and before what it means is carried out: the settings
//! hold, for routers look for themselves. That what was held is to be offered is written with them, and
//! found by itself (`Upkeep::left_undone`).

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::policies::{Change, PolicyEdit, edited};
use super::secrets::{NewKey, made, newest, rotated};
use super::{Answer, Control, ControlError, UrlRule};
use crate::domain::application::Tenant;
use crate::domain::endpoint::EndpointKey;
use crate::domain::id::ApplicationId;
use crate::domain::policy::{Ceiling, Policy, PolicyPart};
use crate::domain::settings::{
    ATTRIBUTES_MAX_BYTES, DefaultUrlWhen, DeliverySwitch, SchemaMode, Settings,
};
use crate::domain::signature::SigningKey;
use crate::storage::StorageError;

/// How often an edit reads, changes and writes before it gives way to others: people and their programs
/// seldom edit one application's settings twice in the same millisecond.
const TRIES: usize = 5;

/// What is to change about an application's settings.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields, expecting = "an object")]
pub struct SettingsEdit {
    /// Where events go that nobody else wants.
    pub default_url: Change<String>,
    /// When they do.
    pub default_url_when: Change<DefaultUrlWhen>,
    /// Whether anything is sent.
    pub delivery: Change<DeliverySwitch>,
    /// What endpoints' policies are made of, where they say nothing themselves.
    pub policy: Change<PolicyEdit>,
    /// What is made of payloads that are not as their type's schema wants them.
    pub schema_mode: Change<SchemaMode>,
    /// What its owner keeps with them: merged, names within it too.
    pub attributes: Change<Map<String, Value>>,
    /// When they were last changed: shown, and passed over when it is sent back.
    pub updated_at: IgnoredAny,
}

impl SettingsEdit {
    /// The fields that it has, as they are written; and one that is shown, and passed over when it is
    /// sent back.
    pub const FIELDS: [&'static str; 7] = [
        "defaultUrl",
        "defaultUrlWhen",
        "delivery",
        "policy",
        "schemaMode",
        "attributes",
        "updatedAt",
    ];

    /// The first field that it changes of those that are the platform's to set, and not its tenants'.
    pub fn of_the_platform(&self) -> Option<&'static str> {
        let changed = [
            ("delivery", self.delivery != Change::Keep),
            ("schemaMode", self.schema_mode != Change::Keep),
            ("attributes", self.attributes != Change::Keep),
        ];
        changed.into_iter().find_map(|(field, changed)| changed.then_some(field))
    }
}

impl Control {
    /// A tenant's settings; as they are by themselves, if it has set nothing.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn settings_of(&self, tenant: Tenant) -> Answer<Settings> {
        Ok(self.catalogue.settings(tenant).await?)
    }

    /// Changes a tenant's settings. How requests are made holds from the next attempt on. When they say
    /// that nothing is to be sent, no attempt starts any more once this returns `Ok`; when they say that it
    /// is again, what was held is offered.
    ///
    /// # Errors
    /// `InvalidField`; `Conflict` when others changed them each time; `Unavailable` says what holds, should a router not have confirmed it, and may leave
    /// what was held waiting for a minute or two.
    pub async fn edit_settings(
        &self,
        tenant: Tenant,
        edit: SettingsEdit,
        rule: UrlRule<'_>,
    ) -> Answer<Settings> {
        if edit == SettingsEdit::default() {
            return self.settings_of(tenant).await;
        }
        let switched = edit.delivery != Change::Keep;
        let merged = |settings: &mut Settings| merge(settings, edit.clone(), self.ceiling, rule);
        let (before, settings) = self.change_settings(tenant, merged).await?;
        let held = match settings.delivery {
            DeliverySwitch::On => None,
            DeliverySwitch::Hold => Some("on hold"),
            DeliverySwitch::Off => Some("off"),
        };
        match held {
            // Also when it was before: perhaps the call that did it was not confirmed.
            Some(word) if switched => {
                let done = format!("delivery of application {} is {word}", settings.application);
                self.holds_everywhere(&done).await?;
            }
            None if before != DeliverySwitch::On => {
                // Known to be on before the recall: what is offered to who holds is put back to wait.
                let _ = self.holds_everywhere("").await;
                self.ledger.recall_held(settings.application, (self.context.now)()).await?;
            }
            Some(_) | None => self.holds_here().await,
        }
        Ok(settings)
    }

    /// The newest key that requests to a tenant's URLs without an endpoint are signed with.
    ///
    /// # Errors
    /// `NotFound` when the tenant has none yet: it gets one when a router starts.
    pub async fn settings_key_of(&self, tenant: Tenant) -> Answer<SigningKey> {
        let settings = self.catalogue.settings(tenant).await?;
        newest(&settings.keys, (self.context.now)()).ok_or_else(|| {
            ControlError::NotFound(format!(
                "application {} has no signing key of its own yet: it gets one when a router starts",
                tenant.application()
            ))
        })
    }

    /// Gives a tenant's settings a new key. The older ones stop at the end of the overlap, or when they
    /// were to stop anyway.
    ///
    /// # Errors
    /// As [`rotate_secret`](Self::rotate_secret); `Conflict` when others changed the settings each time.
    pub async fn rotate_settings_secret_of(
        &self,
        tenant: Tenant,
        key: NewKey<'_>,
        overlap_s: u32,
    ) -> Answer<Settings> {
        let whose = format!("application {}", tenant.application());
        let with_key = |settings: &mut Settings| {
            let keys = std::mem::take(&mut settings.keys);
            settings.keys = rotated(keys, key, overlap_s, self.context, &whose)?;
            Ok(())
        };
        let (_, settings) = self.change_settings(tenant, with_key).await?;
        self.holds_here().await;
        Ok(settings)
    }

    /// Gives a key to every application that has none: it was made before applications had any, or who
    /// made it died in between. How many.
    ///
    /// # Errors
    /// `Unavailable`: some may have theirs; the same call goes on.
    pub async fn give_missing_keys(&self) -> Answer<usize> {
        let snapshot = self.catalogue.snapshot().await?;
        let mut without: HashMap<ApplicationId, Settings> =
            snapshot.applications.iter().map(|one| (one.id, Settings::unset(one.id))).collect();
        for settings in snapshot.settings {
            if settings.keys.is_empty() {
                without.insert(settings.application, settings);
            } else {
                without.remove(&settings.application);
            }
        }
        let mut given = 0;
        for settings in without.values() {
            given += usize::from(self.give_key(settings).await?);
        }
        Ok(given)
    }

    /// Gives settings that have none their first key; whether it is theirs. They are not edited by that.
    pub(super) async fn give_key(&self, settings: &Settings) -> Answer<bool> {
        let keys = vec![self.first_key()?];
        match self.catalogue.put_settings(&Settings { keys, ..settings.clone() }).await {
            Ok(()) => Ok(true),
            // Somebody else has written them meanwhile, with a key; or the application is gone.
            Err(StorageError::Conflict(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn first_key(&self) -> Answer<EndpointKey> {
        let key = made(None.into(), self.context.chance)?;
        Ok(EndpointKey { key, created_at: (self.context.now)(), expires_at: None })
    }

    /// Reads a tenant's settings, changes them and writes them whole, with a key if there is none; again
    /// when somebody else has written them in between. Whether anything was sent before, and what holds now.
    async fn change_settings(
        &self,
        tenant: Tenant,
        change: impl Fn(&mut Settings) -> Answer<()> + Send + Sync,
    ) -> Answer<(DeliverySwitch, Settings)> {
        let mut tries = 1;
        loop {
            let mut settings = self.catalogue.settings(tenant).await?;
            let before = settings.delivery;
            change(&mut settings)?;
            if settings.keys.is_empty() {
                settings.keys = vec![self.first_key()?];
            }
            settings.updated_at = Some((self.context.now)());
            match self.catalogue.put_settings(&settings).await {
                Ok(()) => {
                    settings.revision += 1;
                    return Ok((before, settings));
                }
                Err(StorageError::Conflict(_)) if tries < TRIES => tries += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Merges an edit into settings, each field judged.
fn merge(
    settings: &mut Settings,
    edit: SettingsEdit,
    ceiling: Ceiling,
    rule: UrlRule<'_>,
) -> Answer<()> {
    let SettingsEdit {
        default_url,
        default_url_when,
        delivery,
        policy,
        schema_mode,
        attributes,
        updated_at: IgnoredAny,
    } = edit;
    let new_url = matches!(default_url, Change::Set(_));
    let new_policy = policy != Change::Keep;
    if let Some(url) = default_url.wanted() {
        let judged = url.map(|url| rule(&url)).transpose();
        settings.default_url = judged.map_err(|why| ControlError::field("defaultUrl", why))?;
    }
    if let Some(when) = default_url_when.wanted() {
        settings.default_url_when = when.unwrap_or_default();
    }
    if let Some(switch) = delivery.wanted() {
        settings.delivery = switch.unwrap_or_default();
    }
    if let Some(mode) = schema_mode.wanted() {
        settings.schema_mode = mode.unwrap_or_default();
    }
    match policy {
        Change::Keep => {}
        Change::Clear => settings.policy = PolicyPart::default(),
        Change::Set(edit) => {
            settings.policy = edited(settings.policy.clone(), edit, &Policy::default(), ceiling)?;
        }
    }
    // Endpoints are not looked at: of those that say nothing of it and have an http URL, requests fail from
    // then on, and say why.
    if let Some(url) = settings.default_url.as_ref().filter(|_| new_url || new_policy) {
        let field = if new_url { "defaultUrl" } else { "policy" };
        let policy = settings.policy.over(&Policy::default());
        policy.check_url(url).map_err(|why| ControlError::field(field, why))?;
    }
    match attributes {
        Change::Keep => {}
        Change::Clear => settings.attributes.clear(),
        Change::Set(patch) => merge_names(&mut settings.attributes, patch),
    }
    let written = serde_json::to_vec(&settings.attributes).expect("values are JSON").len();
    if written > ATTRIBUTES_MAX_BYTES {
        let why = format!(
            "the attributes have {written} bytes as JSON: at most {ATTRIBUTES_MAX_BYTES} are accepted"
        );
        return Err(ControlError::field("attributes", why));
    }
    Ok(())
}

/// RFC 7396, section 2. As deep as whoever read the patch allows (128 levels).
fn merge_names(known: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (name, value) in patch {
        match value {
            Value::Null => {
                known.remove(&name);
            }
            Value::Object(inner) => {
                let mut merged = match known.remove(&name) {
                    Some(Value::Object(merged)) => merged,
                    Some(_) | None => Map::new(),
                };
                merge_names(&mut merged, inner);
                known.insert(name, Value::Object(merged));
            }
            plain @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                known.insert(name, plain);
            }
        }
    }
}

#[cfg(test)]
mod tests;
