//! Port: who is let in to the pages: links that open once, and the sessions behind them.
//!
//! A secret is kept nowhere: a link and a session are recognised by the hash of theirs, so that a copy of the
//! store lets nobody in. What a session may do is in its row and is read with each request: ending one, or
//! all of an application, holds from the next request on.
//!
//! Nothing here is anybody's only copy: a session that is forgotten is one more login.

use std::time::Duration;

use async_trait::async_trait;

use super::StorageError;
use super::inspector::TokenHash;
use crate::domain::application::Tenant;
use crate::domain::capability::Capabilities;
use crate::domain::id::{ApplicationId, OrganisationId};
use crate::domain::time::Timestamp;

/// How long a session lasts that nobody uses: half an hour, what a person may be away from a page that they are working on.
pub const IDLE: Duration = Duration::from_mins(30);
/// How long one lasts in all: a working day.
pub const SESSION_MAX: Duration = Duration::from_hours(12);

/// Whose session it is, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// Within which organisation.
    pub organisation: OrganisationId,
    /// The tenant's application; `None` for an operator, who sees all of them.
    pub application: Option<ApplicationId>,
    /// What they may do.
    pub capabilities: Capabilities,
    /// Which event types they are shown besides those for everybody.
    pub feature_flags: Vec<String>,
    /// What whoever let them in calls them, to end their sessions by (`sessionId`).
    pub label: Option<String>,
    /// When it is over, whatever they do.
    pub expires_at: Timestamp,
}

/// Links and sessions.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Keeps a link that lets this visitor in once, until `until`; some of what is over at `now` goes.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn add_link(
        &self,
        link: TokenHash,
        visitor: &Visitor,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), StorageError>;

    /// Whom a link would let in at `now`, if it still opens. Uses nothing up and writes nothing.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn link(&self, link: TokenHash, now: Timestamp) -> Result<Option<Visitor>, StorageError>;

    /// Uses a link up, and begins a session under `session` in the same transaction; whom it lets in. `None`
    /// when there is no such link (any more).
    ///
    /// # Errors
    /// `Unavailable`: used up or not, we cannot know; then another link is wanted.
    async fn enter(
        &self,
        link: TokenHash,
        session: TokenHash,
        now: Timestamp,
    ) -> Result<Option<Visitor>, StorageError>;

    /// Begins a session without a link.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn begin_session(
        &self,
        session: TokenHash,
        visitor: &Visitor,
        now: Timestamp,
    ) -> Result<(), StorageError>;

    /// Whose session this is, if it is not over at `now`; it has been used then. That is noted once a minute at
    /// the most: a page that looks every few seconds is not a write each time. It is nobody's loss when it is not: a
    /// store that can be read and not written goes on to know its sessions.
    ///
    /// # Errors
    /// `Unavailable`: it cannot be read.
    async fn session(
        &self,
        session: TokenHash,
        now: Timestamp,
    ) -> Result<Option<Visitor>, StorageError>;

    /// The same without its being used: for what a page asks by itself while nobody looks at it.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn watched_session(
        &self,
        session: TokenHash,
        now: Timestamp,
    ) -> Result<Option<Visitor>, StorageError>;

    /// Ends a session, if there is one.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn end_session(&self, session: TokenHash) -> Result<(), StorageError>;

    /// Ends a tenant's sessions at this moment, and what links there are for it: those with one of these labels, or all
    /// when none is named. What ends before stays as it is. How many sessions are meant.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn end_sessions(
        &self,
        tenant: Tenant,
        labels: &[String],
        at: Timestamp,
    ) -> Result<u64, StorageError>;
}
