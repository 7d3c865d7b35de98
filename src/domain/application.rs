//! A tenant: owns endpoints, and is owned by an organisation.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use serde::Serialize;

use super::id::{ApplicationId, OrganisationId};
use super::time::Timestamp;

/// What an owner keeps with an application or an endpoint. We keep it, and read nothing out of it.
pub type Metadata = BTreeMap<String, String>;

/// Most bytes that metadata may have, written as JSON: the limit that client libraries know.
pub const METADATA_MAX_BYTES: usize = 4_096;

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Application {
    /// Its id.
    pub id: ApplicationId,
    /// Who may make and delete it.
    pub organisation: OrganisationId,
    /// The name that its owner gave it; takes the id's place wherever an id is wanted.
    pub uid: Option<String>,
    /// For people.
    pub name: String,
    /// Requests per second that its owner has noted. Kept for the owner: rates are enforced by endpoint.
    pub throttle_rate: Option<NonZeroU16>,
    /// What its owner keeps with it.
    pub metadata: Metadata,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}
