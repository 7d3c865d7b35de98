//! Headers of endpoints. What is a secret by its name is named and not shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::endpoint::Endpoint;
use crate::domain::header::is_sensitive;

/// Headers that an endpoint's requests carry, all anew.
#[derive(Deserialize, ToSchema)]
pub(in super::super) struct HeadersIn {
    /// Values by name.
    pub(in super::super) headers: BTreeMap<String, String>,
}

/// What is to change about them.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct HeadersPatchIn {
    /// Values by name; `null` removes.
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
    /// Names to remove.
    #[serde(default)]
    delete_headers: Vec<String>,
}

/// Headers that an endpoint's requests carry.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct HeadersOut {
    /// Values by name, without those that are secrets.
    headers: BTreeMap<String, String>,
    /// Names whose values are secrets.
    sensitive: Vec<String>,
}

impl HeadersPatchIn {
    /// Each change, removals first.
    pub(in super::super) fn into_changes(self) -> Vec<(String, Option<String>)> {
        let removals = self.delete_headers.into_iter().map(|name| (name, None));
        removals.chain(self.headers).collect()
    }
}

impl From<Endpoint> for HeadersOut {
    fn from(endpoint: Endpoint) -> Self {
        let (secret, shown): (Vec<_>, Vec<_>) =
            endpoint.headers.into_iter().partition(|(name, _)| is_sensitive(name));
        Self {
            headers: shown.into_iter().collect(),
            sensitive: secret.into_iter().map(|(name, _)| name).collect(),
        }
    }
}
