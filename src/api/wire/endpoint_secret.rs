//! Signing secrets of endpoints.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an endpoint's receiver checks signatures with.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct SecretOut {
    /// `whsec_` and base64, or `whpk_` and a public key of Ed25519.
    #[schema(example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]
    pub(in super::super) key: String,
}

/// A new secret of what goes to an application's URLs without an endpoint. Ours alone: an unknown field is
/// a mistake, and not another server's word.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "an object")]
pub(in super::super) struct SettingsSecretRotateIn {
    /// The new one: `whsec_` and 24 to 75 bytes in base64, or `whsk_` and a private key of Ed25519. One is
    /// made when none is given.
    #[schema(write_only)]
    pub(in super::super) key: Option<String>,
    /// How long the old one signs on beside it, in seconds; 0 ends it now.
    #[schema(minimum = 0, maximum = 604_800, default = 86_400)]
    pub(in super::super) grace_period_seconds: Option<u32>,
}

/// A new secret.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct SecretRotateIn {
    /// The new one: `whsec_` and 24 to 75 bytes in base64, or `whsk_` and a private key of Ed25519. One is
    /// made when none is given.
    #[schema(write_only)]
    pub(in super::super) key: Option<String>,
    /// How long the old one signs on beside it, in seconds; 0 ends it now.
    #[schema(minimum = 0, maximum = 604_800, default = 86_400)]
    pub(in super::super) grace_period_seconds: Option<u32>,
}
