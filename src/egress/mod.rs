//! The only way out: one signed request to an endpoint, to an address that policy allows.
//!
//! The port is [`Sender`]; `http` is the real one (hyper), `guard` decides which addresses may be
//! called, `resolve` asks it about every address of a name, `connect` about every peer, and `failure`
//! says what an error of the client means. `blocked` keeps the last requests that were not made, and `trial` tells what would
//! become of one, both for operators. Nothing else in the program opens a connection to a tenant's URL.

pub mod blocked;
mod connect;
mod failure;
pub mod guard;
pub mod http;
pub mod resolve;
pub mod trial;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use url::Url;

use self::blocked::Whose;
use crate::domain::exchange::Timing;
use crate::domain::outcome::Outcome;

/// A request, ready to go.
#[derive(Debug)]
pub struct Request {
    /// Where to.
    pub url: Url,
    /// Headers in the order to be sent; ours come last and replace any of the same name.
    pub headers: Vec<(String, String)>,
    /// The body, as it was signed.
    pub body: Bytes,
    /// One deadline over everything: name, connection, TLS, request, answer and its body.
    pub timeout: Duration,
    /// Whether it may go over plain http, as far as its endpoint is asked. The operator is asked too.
    pub allow_http: bool,
    /// Whether not even the client may begin it a second time.
    pub once: bool,
    /// Whose it is, for operators, should it not be allowed.
    pub whose: Option<Whose>,
}

/// What came of it.
#[derive(Debug)]
pub struct Reply {
    /// How it ended.
    pub outcome: Outcome,
    /// The first bytes of the answer's body, at most
    /// [`RESPONSE_KEPT_MAX`](crate::domain::delivery::RESPONSE_KEPT_MAX).
    pub body: Bytes,
    /// What went wrong, in words fit for the tenant; empty when nothing did.
    pub detail: String,
    /// How long each phase took.
    pub timing: Timing,
}

/// Sends one request. There is no error: whatever happens is an [`Outcome`].
#[async_trait]
pub trait Sender: Send + Sync {
    /// Sends, once: no redirects, no retries of its own.
    ///
    /// Ends within the request's timeout. When dropped before, the request may have arrived.
    async fn send(&self, request: Request) -> Reply;
}
