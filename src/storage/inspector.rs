//! Port: what the built-in targets for development have received.
//!
//! An application has at most one, called by an address with a token in it: whoever knows the token may
//! send there, and nobody can look. What is shown again is kept sealed, and an address is recognised by the
//! hash of its token, so that a copy of the store tells nobody where to send.
//!
//! Nothing here is anybody's only copy, and nothing else is built on it: what is forgotten is only not seen.

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};

use super::StorageError;
use crate::domain::application::Tenant;
use crate::domain::id::InspectedId;
use crate::domain::time::Timestamp;

/// What a token is recognised by.
pub type TokenHash = [u8; 32];

/// The hash of a token. Plain: what has 160 bits of chance in it needs no salt and no slowness.
pub fn hash_of(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// A request that came to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// Its id.
    pub id: InspectedId,
    /// When its head had come.
    pub received_at: Timestamp,
    /// Its method.
    pub method: String,
    /// Its path behind the token, with its query; `/` when there was nothing.
    pub path: String,
    /// Its headers in the order of their coming, credentials masked.
    pub headers: Vec<(String, String)>,
    /// The first bytes of its body.
    pub body: Vec<u8>,
    /// Whether the body had more.
    pub truncated: bool,
}

/// The targets and what has come to them.
#[async_trait]
pub trait Inspectors: Send + Sync {
    /// The token of a tenant's target, if it has one.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` when it cannot be opened with the keys we have.
    async fn inspector(&self, tenant: Tenant) -> Result<Option<String>, StorageError>;

    /// Makes a tenant's target, unless it has one: of two that are made at once one stays.
    ///
    /// # Errors
    /// `Conflict` when the application is gone.
    async fn make_inspector(
        &self,
        tenant: Tenant,
        token: &str,
        now: Timestamp,
    ) -> Result<(), StorageError>;

    /// Gives a tenant's target another token, or makes it, and forgets what has come to it. What is sent to
    /// the old address from then on comes to nobody.
    ///
    /// # Errors
    /// `Conflict` when the application is gone.
    async fn renew_inspector(
        &self,
        tenant: Tenant,
        token: &str,
        now: Timestamp,
    ) -> Result<(), StorageError>;

    /// Whether there is a target with a token of this hash.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn is_inspector(&self, token: TokenHash) -> Result<bool, StorageError>;

    /// Keeps a request that came to the target of this token, and of all that came there the newest `keep`;
    /// whether there is such a target.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn keep_inspected(
        &self,
        token: TokenHash,
        request: Inspected,
        keep: u32,
    ) -> Result<bool, StorageError>;

    /// What has come to a tenant's target since then, newest first, at most `most`.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn inspected(
        &self,
        tenant: Tenant,
        since: Timestamp,
        most: u32,
    ) -> Result<Vec<Inspected>, StorageError>;
}
