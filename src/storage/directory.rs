//! Port: the endpoints of all applications of an organisation, as operators look through them.
//!
//! A list of its own beside the catalogue's: it joins what the catalogue knows with who fails, opens no secret, and matches
//! seldom, so that a page looks at a bounded number of rows and says how far it came.

use std::num::NonZeroU32;

use async_trait::async_trait;

use super::StorageError;
use super::page::{Listed, Page};
use crate::domain::endpoint::{DisabledBecause, EndpointState};
use crate::domain::id::{ApplicationId, EndpointId, OrganisationId};
use crate::domain::time::Timestamp;

/// Which endpoints. All given conditions hold together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DirectoryFilter {
    /// In this state.
    pub state: Option<EndpointState>,
    /// Only those that have failed since their last success.
    pub failing: bool,
    /// With this in its URL, uid, description or id, or in its application's name, uid or id; ASCII letters match in either case.
    pub text: Option<String>,
}

/// An endpoint, as operators see it among all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Its id.
    pub id: EndpointId,
    /// The name that its owner gave it.
    pub uid: Option<String>,
    /// What its owner says about it.
    pub description: String,
    /// Where it is.
    pub url: String,
    /// Whether it is called.
    pub state: EndpointState,
    /// Why not, if it is disabled.
    pub because: Option<DisabledBecause>,
    /// Requests per second, if it has a limit of its own.
    pub throttle_rate: Option<NonZeroU32>,
    /// Whose it is.
    pub application: ApplicationId,
    /// What that is called.
    pub application_name: String,
    /// The name that its owner gave the application.
    pub application_uid: Option<String>,
    /// Its first failure since its last success, if it has failed.
    pub failing_since: Option<Timestamp>,
    /// How often it has failed since then.
    pub failures: u32,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Where they are listed.
#[async_trait]
pub trait Directory: Send + Sync {
    /// A page of an organisation's endpoints, by id: in the order of their making.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn everywhere(
        &self,
        organisation: OrganisationId,
        filter: &DirectoryFilter,
        page: &Page<EndpointId>,
    ) -> Result<Listed<DirectoryEntry, EndpointId>, StorageError>;
}
