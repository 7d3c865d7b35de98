//! Port: which version of the catalogue each router goes by.
//!
//! An edit that must hold when it is answered (a deleted endpoint is called no more) waits here for the
//! routers that run elsewhere. Each says what it goes by whenever that changes and every few seconds, so
//! that who has said nothing for a while is taken for dead.

use async_trait::async_trait;

use super::StorageError;
use crate::domain::id::RouterId;
use crate::domain::time::Timestamp;

/// The routers' word on the catalogue.
#[async_trait]
pub trait Routers: Send + Sync {
    /// A router begins: with a version that it goes by, and with the names of those dropped that cannot
    /// live beside it on this store.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn joined(
        &self,
        router: RouterId,
        version: u64,
        now: Timestamp,
    ) -> Result<(), StorageError>;

    /// A router goes by this version, and lives.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn adopted(
        &self,
        router: RouterId,
        version: u64,
        now: Timestamp,
    ) -> Result<(), StorageError>;

    /// A router has ended: nobody waits for it any more.
    ///
    /// # Errors
    /// `Unavailable`; may be dropped, it is forgotten by its silence.
    async fn left(&self, router: RouterId) -> Result<(), StorageError>;

    /// Routers that were heard since `heard_since` and go by an older version than `version`.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn behind(
        &self,
        version: u64,
        heard_since: Timestamp,
    ) -> Result<Vec<RouterId>, StorageError>;
}

/// Keeps no books: for a store whose one router is the process itself.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

#[async_trait]
impl Routers for Nobody {
    async fn joined(&self, _: RouterId, _: u64, _: Timestamp) -> Result<(), StorageError> {
        Ok(())
    }

    async fn adopted(&self, _: RouterId, _: u64, _: Timestamp) -> Result<(), StorageError> {
        Ok(())
    }

    async fn left(&self, _: RouterId) -> Result<(), StorageError> {
        Ok(())
    }

    async fn behind(&self, _: u64, _: Timestamp) -> Result<Vec<RouterId>, StorageError> {
        Ok(Vec::new())
    }
}
