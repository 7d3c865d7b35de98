//! Port: who did what.
//!
//! An entry is begun before what it tells of is done, and ended with how that went and with what it came to (which
//! filter, how many, why): a crash between the two leaves an entry without an ending, and never a deed without an
//! entry. Entries are not changed otherwise, and go by their age (`upkeep`).

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use super::StorageError;
use super::page::Page;
use crate::domain::id::OrganisationId;
use crate::domain::time::Timestamp;

/// Who does what nobody asked for at that moment, as a replay that pauses itself.
pub const OURSELVES: &str = "posthaste";

/// Who was not let in, when nothing tells who it was.
pub const STRANGER: &str = "stranger";

/// Somebody is about to do something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deed {
    /// Within which organisation.
    #[serde(skip)]
    pub organisation: OrganisationId,
    /// Who: `organisation`, an application's id, [`OURSELVES`] or [`STRANGER`].
    pub actor: String,
    /// What, as the API's operation: `DELETE /app/{app}`.
    pub action: String,
    /// To what: the path as it was asked for, without its query.
    pub object: String,
    /// When.
    pub at: Timestamp,
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number: later ones have larger ones.
    pub number: i64,
    /// What was done.
    pub deed: Deed,
    /// The status that it was answered with; `None` when we ended before there was one.
    pub status: Option<u16>,
    /// What its path does not say: which filter, how many, why.
    pub details: Option<Value>,
}

/// The log.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Writes down what is about to be done; the entry's number. When this returns `Ok`, a power cut does
    /// not lose it.
    ///
    /// # Errors
    /// `Unavailable`: then it must not be done.
    async fn begin_deed(&self, deed: &Deed) -> Result<i64, StorageError>;

    /// Writes down how it went, and what its path does not say of it.
    ///
    /// # Errors
    /// `Unavailable`: the entry stays without an ending.
    async fn end_deed(
        &self,
        number: i64,
        status: u16,
        details: Option<Value>,
    ) -> Result<(), StorageError>;

    /// A part of an organisation's log, by number.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn deeds(
        &self,
        organisation: OrganisationId,
        page: &Page<i64>,
    ) -> Result<Vec<AuditEntry>, StorageError>;
}
