//! A target for development, in place of a third party's site: what was sent there is shown to the
//! application that it is of, and to nobody else.
//!
//! It is made when it is first looked at. Its address has a token in it, and that is all that is asked of
//! whoever sends there; so it is not told to anybody but its application, and emptying it changes it.
//!
//! What may come is bounded on every side, since the address may be known to anybody one day: see the
//! constants. Headers have the bound of every head that is sent to the API (16 KiB).
//!
//! Credentials are masked before anything is kept: a developer who points an endpoint here wants to see that
//! they were sent, and not to have them in one more store.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Answer, Context, ControlError};
use crate::domain::application::Tenant;
use crate::domain::header::is_sensitive;
use crate::domain::id::InspectedId;
use crate::storage::inspector::{Inspected, Inspectors, TokenHash, hash_of};

/// Bytes of a body that are kept. 64 KiB: more than anybody reads, and what a `CloudEvent` has at most where
/// it is to pass everywhere.
pub const BODY_KEPT: usize = 64 * 1024;
/// Requests that are kept of each application: with bodies of the largest size, three megabytes.
pub const REQUESTS_KEPT: u32 = 50;
/// How long they are kept. A day: who tries something out looks at once, or the morning after.
pub const KEPT_FOR: Duration = Duration::from_hours(24);
/// Random bytes of a token: 160 bits, as many as ids have, and a hundred more than can be guessed.
const TOKEN_BYTES: usize = 20;
/// Characters of a token: base64 of as many bytes, which a path holds as it is.
const TOKEN_CHARS: usize = TOKEN_BYTES.div_ceil(3) * 4 - 1;
/// What stands for a value that is not shown.
const MASKED: &str = "(masked)";

/// What an application's target is called by, and what has come to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The token of its address.
    pub token: String,
    /// What has come, newest first.
    pub requests: Vec<Inspected>,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Arrived {
    /// Its method.
    pub method: String,
    /// Its path behind the token, with its query.
    pub path: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// The first [`BODY_KEPT`] bytes of its body.
    pub body: Vec<u8>,
    /// Whether it had more.
    pub truncated: bool,
}

/// Where targets are looked at and called.
#[derive(Clone)]
pub struct InspectorDesk {
    store: Arc<dyn Inspectors>,
    context: Context,
}

impl InspectorDesk {
    /// Over this store.
    pub fn new(store: Arc<dyn Inspectors>, context: Context) -> Self {
        Self { store, context }
    }

    /// A tenant's target and what has come to it. It is made when it is not there.
    ///
    /// # Errors
    /// `Conflict` when the application is gone.
    pub async fn look(&self, tenant: Tenant) -> Answer<Looked> {
        let now = (self.context.now)();
        let mut token = self.store.inspector(tenant).await?;
        if token.is_none() {
            self.store.make_inspector(tenant, &self.token(), now).await?;
            token = self.store.inspector(tenant).await?; // another's, should two be made at once
        }
        let token =
            token.ok_or_else(|| ControlError::Unavailable("the inspector is gone".into()))?;
        let requests = self.store.inspected(tenant, now - KEPT_FOR, REQUESTS_KEPT).await?;
        Ok(Looked { token, requests })
    }

    /// Forgets what has come to a tenant's target, and gives it another address.
    ///
    /// # Errors
    /// `Conflict` when the application is gone.
    pub async fn empty(&self, tenant: Tenant) -> Answer<()> {
        let now = (self.context.now)();
        Ok(self.store.renew_inspector(tenant, &self.token(), now).await?)
    }

    /// The target that this token leads to, if it leads to any.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn target(&self, token: &str) -> Answer<Option<TokenHash>> {
        if token.len() != TOKEN_CHARS {
            return Ok(None);
        }
        let hash = hash_of(token);
        Ok(self.store.is_inspector(hash).await?.then_some(hash))
    }

    /// Keeps what came to a target; whether the target is still there.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn keep(&self, target: TokenHash, arrived: Arrived) -> Answer<bool> {
        let Arrived { method, path, headers, body, truncated } = arrived;
        let received_at = (self.context.now)();
        let id = InspectedId::minted(received_at, self.context.id_chance());
        let headers = headers.into_iter().map(masked).collect();
        let request = Inspected { id, received_at, method, path, headers, body, truncated };
        Ok(self.store.keep_inspected(target, request, REQUESTS_KEPT).await?)
    }

    fn token(&self) -> String {
        URL_SAFE_NO_PAD.encode(&(self.context.chance)()[..TOKEN_BYTES])
    }
}

fn masked((name, value): (String, String)) -> (String, String) {
    let hidden = is_sensitive(&name)
        || ["cookie", "set-cookie"].iter().any(|one| name.eq_ignore_ascii_case(one));
    (name, if hidden { MASKED.to_owned() } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_masked_and_signatures_are_not() {
        for (name, shown) in [
            ("authorization", MASKED),
            ("Cookie", MASKED),
            ("x-api-key", MASKED),
            ("webhook-signature", "x"),
            ("content-type", "x"),
        ] {
            assert_eq!(masked((name.into(), "x".into())).1, shown, "{name}");
        }
    }

    #[test]
    fn a_token_has_as_many_characters_as_are_looked_for() {
        assert_eq!(URL_SAFE_NO_PAD.encode([255; TOKEN_BYTES]).len(), TOKEN_CHARS);
    }
}
