//! Letting people in to the pages: a link that opens once for a tenant, a session behind it or behind an
//! operator's token.
//!
//! A link is meant to be made at the click that follows it, so it opens for minutes; the session lasts for a
//! working day at the most and ends when nobody uses it. What is handed out are 32 random bytes, and what is
//! kept is their hash ([`storage::sessions`](crate::storage::sessions)).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Answer, Context};
use crate::domain::application::{Application, Tenant};
use crate::domain::capability::Capabilities;
use crate::domain::id::OrganisationId;
use crate::storage::inspector::hash_of;
use crate::storage::sessions::{SESSION_MAX, Sessions, Visitor};

/// How long a link opens: a quarter of an hour, for a page that was left open with the link in it.
pub const LINK_MAX: Duration = Duration::from_mins(15);

/// What a platform asks for when it lets a tenant in.
#[derive(Debug, Clone)]
pub struct LinkWish {
    /// What they may do.
    pub capabilities: Capabilities,
    /// Which event types they are shown besides those for everybody.
    pub feature_flags: Vec<String>,
    /// What the platform calls the session.
    pub label: Option<String>,
    /// How long they are let in, at the most.
    pub span: Duration,
}

/// Where links are made, opened, and sessions looked up.
#[derive(Clone)]
pub struct SessionDesk {
    store: Arc<dyn Sessions>,
    context: Context,
}

impl SessionDesk {
    /// A desk over this store.
    pub fn new(store: Arc<dyn Sessions>, context: Context) -> Self {
        Self { store, context }
    }

    /// Makes a link for a tenant; its secret.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn link(&self, application: &Application, wish: LinkWish) -> Answer<String> {
        let LinkWish { capabilities, feature_flags, label, span } = wish;
        let now = (self.context.now)();
        let visitor = Visitor {
            organisation: application.organisation,
            application: Some(application.id),
            capabilities,
            feature_flags,
            label,
            expires_at: now + span.min(SESSION_MAX),
        };
        let secret = self.secret();
        self.store.add_link(hash_of(&secret), &visitor, now + span.min(LINK_MAX), now).await?;
        Ok(secret)
    }

    /// Whom a link would let in, if it still opens: a look, which is what most that is invented costs.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn behind(&self, link: &str) -> Answer<Option<Visitor>> {
        Ok(self.store.link(hash_of(link), (self.context.now)()).await?)
    }

    /// Opens a link; the session's secret, and whose it is. `None` when the link does not open (any more).
    ///
    /// # Errors
    /// `Unavailable`: opened or not, we cannot know.
    pub async fn enter(&self, link: &str) -> Answer<Option<(String, Visitor)>> {
        let secret = self.secret();
        let now = (self.context.now)();
        let visitor = self.store.enter(hash_of(link), hash_of(&secret), now).await?;
        Ok(visitor.map(|visitor| (secret, visitor)))
    }

    /// Begins an operator's session, for as long as their token holds; its secret.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn begin(
        &self,
        organisation: OrganisationId,
        capabilities: Capabilities,
        span: Duration,
    ) -> Answer<String> {
        let now = (self.context.now)();
        let visitor = Visitor {
            organisation,
            application: None,
            capabilities,
            feature_flags: Vec::new(),
            label: None,
            expires_at: now + span.min(SESSION_MAX),
        };
        let secret = self.secret();
        self.store.begin_session(hash_of(&secret), &visitor, now).await?;
        Ok(secret)
    }

    /// Whose session this is, if it goes on.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn visitor(&self, secret: &str) -> Answer<Option<Visitor>> {
        Ok(self.store.session(hash_of(secret), (self.context.now)()).await?)
    }

    /// The same, asked by a page that looks by itself: it does not count as use, or a page that is left open would keep its
    /// session for a day.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn watching(&self, secret: &str) -> Answer<Option<Visitor>> {
        Ok(self.store.watched_session(hash_of(secret), (self.context.now)()).await?)
    }

    /// Ends it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn end(&self, secret: &str) -> Answer<()> {
        Ok(self.store.end_session(hash_of(secret)).await?)
    }

    /// Ends a tenant's sessions and links, those with these labels or all, after `span`; how many sessions.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn end_all(&self, tenant: Tenant, labels: &[String], span: Duration) -> Answer<u64> {
        let at = (self.context.now)() + span;
        Ok(self.store.end_sessions(tenant, labels, at).await?)
    }

    fn secret(&self) -> String {
        URL_SAFE_NO_PAD.encode((self.context.chance)())
    }
}
