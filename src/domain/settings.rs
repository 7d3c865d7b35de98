//! What an application has set for all that it sends: where to by default, how, and whether at all.
//!
//! An application that has set nothing has [`Settings::unset`]: its events go to its endpoints, as they
//! go by themselves.

use std::num::NonZeroU16;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use super::application::Tenant;
use super::endpoint::{Endpoint, EndpointKey, EndpointState};
use super::filter::Filter;
use super::id::{ApplicationId, EndpointId};
use super::policy::{Policy, PolicyPart, Resolved};
use super::time::Timestamp;

/// Most bytes that [`Settings::attributes`] may have, written as JSON: as much as metadata.
pub const ATTRIBUTES_MAX_BYTES: usize = 4_096;

/// What an application has set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whose they are.
    pub application: ApplicationId,
    /// Where events go that nobody else wants, if anywhere.
    pub default_url: Option<Url>,
    /// When they do.
    pub default_url_when: DefaultUrlWhen,
    /// Whether anything is sent.
    pub delivery: DeliverySwitch,
    /// What its endpoints' policies are made of, where they say nothing themselves; and the whole policy
    /// of what goes to a URL without an endpoint.
    pub policy: PolicyPart,
    /// What is made of payloads that are not as their type's schema wants them.
    pub schema_mode: SchemaMode,
    /// What its owner keeps with them. We keep it, and read nothing out of it.
    pub attributes: Map<String, Value>,
    /// Keys that requests to a URL without an endpoint are signed with, newest first.
    pub keys: Vec<EndpointKey>,
    /// When they were last changed; `None` when they never were.
    pub updated_at: Option<Timestamp>,
    /// How often they were written, as far as whoever holds them has seen: who writes them says by it what
    /// it has read. 0: never.
    pub revision: u64,
}

impl Settings {
    /// Those of an application that has set nothing.
    pub fn unset(application: ApplicationId) -> Self {
        Self {
            application,
            default_url: None,
            default_url_when: DefaultUrlWhen::default(),
            delivery: DeliverySwitch::default(),
            policy: PolicyPart::default(),
            schema_mode: SchemaMode::default(),
            attributes: Map::new(),
            keys: Vec::new(),
            updated_at: None,
            revision: 0,
        }
    }

    /// Leave to ask about what their owner owns.
    pub const fn tenant(&self) -> Tenant {
        Tenant::of(self.application)
    }

    /// The whole policy of what goes to a URL without an endpoint.
    pub fn policy_of_urls(&self) -> Resolved {
        self.policy.over(&Policy::default()).into()
    }

    /// An endpoint that nobody lists: what goes to this URL goes as these settings say, by the policy that
    /// [`policy_of_urls`](Self::policy_of_urls) comes to.
    pub fn endpoint_at(&self, id: EndpointId, url: Url, policy: Arc<Resolved>) -> Endpoint {
        Endpoint {
            id,
            application: self.application,
            uid: None,
            description: String::new(),
            url,
            filter: Filter::of(Vec::new()),
            channels: Vec::new(),
            state: EndpointState::Active,
            disabled_because: None,
            throttle_rate: None,
            policy_part: PolicyPart::default(),
            policy,
            headers: Vec::new(),
            auth: None,
            keys: self.keys.clone(),
            metadata: std::collections::BTreeMap::new(),
            version: NonZeroU16::MIN,
            created_at: self.updated_at.unwrap_or_default(),
            updated_at: self.updated_at.unwrap_or_default(),
        }
    }
}

/// When an event goes to the default URL. One that names a URL of its own instead never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefaultUrlWhen {
    /// When no endpoint wants it, and it names no URL.
    #[default]
    NoMatch,
    /// When it names no URL, whoever else wants it.
    NoOverride,
}

/// Whether anything that an application publishes is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliverySwitch {
    /// It is.
    #[default]
    On,
    /// It is owed, and waits until this is on again.
    Hold,
    /// It is on record, and owed to nobody. What was owed before waits until this is on again.
    Off,
}

impl DeliverySwitch {
    /// Whether requests are made. What is owed waits while they are not.
    pub const fn sends(self) -> bool {
        matches!(self, Self::On)
    }
}

/// What is made of payloads that are not as their type's schema wants them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaMode {
    /// Nobody looks.
    #[default]
    Off,
    /// They are taken; it is logged and counted.
    Warn,
    /// They are refused, or quarantined when they come from the broker.
    Enforce,
}

macro_rules! words {
    ($($kind:ident { $($variant:ident = $word:literal),+ })+) => {$(
        impl $kind {
            /// The word for it, in the API and in its column.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];
        }
    )+};
}

words! {
    DefaultUrlWhen { NoMatch = "no_match", NoOverride = "no_override" }
    DeliverySwitch { On = "on", Hold = "hold", Off = "off" }
    SchemaMode { Off = "off", Warn = "warn", Enforce = "enforce" }
}
