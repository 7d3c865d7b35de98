//! What an application sets for all that it sends.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::policy::{OwnPolicy, PolicyIn};
use crate::domain::policy::PolicyPart;
use crate::domain::settings::{DefaultUrlWhen, DeliverySwitch, SchemaMode, Settings};
use crate::domain::time::Timestamp;

/// What is to change about an application's settings: what is left out stays, null clears (RFC 7396). An
/// organisation may send back all of it as it was answered; `delivery`, `schemaMode` and `attributes` are its
/// alone to set.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct SettingsIn {
    /// Where events go that nobody else wants.
    #[schema(format = "uri", example = "https://hooks.example.com/in")]
    default_url: Option<String>,
    /// When they do. One that names a URL of its own instead never does.
    default_url_when: Option<WhenDefaultUrl>,
    /// Whether anything is sent.
    delivery: Option<Delivery>,
    /// What is to change about how requests are made.
    policy: Option<PolicyIn>,
    /// What is made of payloads that are not as their type's schema wants them.
    schema_mode: Option<Schemas>,
    /// What is to change about what you keep with them: names within it are merged, and taken away by null.
    attributes: Option<Map<String, Value>>,
}

/// What an application has set.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct SettingsOut {
    /// Where events go that nobody else wants, if anywhere.
    #[schema(required, format = "uri")]
    default_url: Option<String>,
    /// When they do.
    #[schema(value_type = WhenDefaultUrl)]
    default_url_when: DefaultUrlWhen,
    /// Whether anything is sent.
    #[schema(value_type = Delivery)]
    delivery: DeliverySwitch,
    /// What is said of how requests are made; what it leaves out is as the defaults have it.
    #[schema(value_type = OwnPolicy)]
    policy: PolicyPart,
    /// What is made of payloads that are not as their type's schema wants them.
    #[schema(value_type = Schemas)]
    schema_mode: SchemaMode,
    /// What its owner keeps with them: at most 4096 bytes as JSON.
    attributes: Map<String, Value>,
    /// When they were last changed; null when they never were.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    updated_at: Option<Timestamp>,
}

/// When an event goes to the default URL: when it names no URL and no endpoint wants it, or whenever it
/// names none.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes the domain's, for the description of the API")]
pub(in super::super) enum WhenDefaultUrl {
    NoMatch,
    NoOverride,
}

/// Whether anything is sent: it is; it is owed and waits until this is on again; it is on record and owed
/// to nobody.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes the domain's, for the description of the API")]
pub(in super::super) enum Delivery {
    On,
    Hold,
    Off,
}

/// Whether payloads are held to their type's schema: nobody looks; it is logged and counted; they are refused.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes the domain's, for the description of the API")]
pub(in super::super) enum Schemas {
    Off,
    Warn,
    Enforce,
}

impl From<Settings> for SettingsOut {
    fn from(settings: Settings) -> Self {
        Self {
            default_url: settings.default_url.map(Into::into),
            default_url_when: settings.default_url_when,
            delivery: settings.delivery,
            policy: settings.policy,
            schema_mode: settings.schema_mode,
            attributes: settings.attributes,
            updated_at: settings.updated_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::settings::SettingsEdit;
    use crate::domain::id::ApplicationId;

    #[test]
    fn what_is_answered_has_every_field_and_can_be_sent_back() {
        let unset = Settings::unset(ApplicationId::derived(&[b"acme"]));
        let text = serde_json::to_string(&SettingsOut::from(unset)).expect("JSON");
        assert_eq!(
            text,
            r#"{"defaultUrl":null,"defaultUrlWhen":"no_match","delivery":"on","policy":{},"schemaMode":"off","attributes":{},"updatedAt":null}"#
        );
        assert!(serde_json::from_str::<SettingsEdit>(&text).is_ok());
        let answered: Map<String, Value> = serde_json::from_str(&text).expect("an object");
        let fields: Vec<_> = answered.keys().map(String::as_str).collect();
        for field in SettingsEdit::FIELDS {
            assert!(fields.contains(&field), "{field}");
        }
        assert_eq!(fields.len(), SettingsEdit::FIELDS.len());
    }
}
