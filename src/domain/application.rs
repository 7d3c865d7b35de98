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

/// Leave to ask about what one application owns.
///
/// Made from the application itself, which a store gives only to its own organisation. Whatever
/// belongs to a tenant is asked for with one of these: a question without its tenant cannot be written.
///
/// ```compile_fail
/// # async fn ask(catalogue: &dyn posthaste::storage::catalogue::Catalogue) {
/// catalogue.endpoint("ep_0ujtsYcgvSTl8PAuAdqWYSMnLOv").await; // whose?
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tenant(ApplicationId);

impl Tenant {
    /// The owner of something that a store has given for its owner.
    pub(super) const fn of(application: ApplicationId) -> Self {
        Self(application)
    }

    /// Which application it is.
    pub const fn application(self) -> ApplicationId {
        self.0
    }
}

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

impl Application {
    /// Leave to ask about what it owns.
    pub const fn tenant(&self) -> Tenant {
        Tenant(self.id)
    }
}
