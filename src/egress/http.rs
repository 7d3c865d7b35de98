//! The real sender, on reqwest: one client, its pool of connections, and nothing that the client
//! would do on its own account.
//!
//! No proxy from the environment, no redirects, no retries, no decompression, no cookies: a request
//! is what it was signed as, sent once, to where it was checked to go. Literal addresses never meet
//! a resolver, so the URL is checked before each request; names are checked by the resolver, in the
//! moment of connecting; and the peer is looked at once more when it has answered.
//!
//! The head of an answer decides. A receiver that said 200 has the event, whatever then becomes of
//! the body: trying again would only be a duplicate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, Response, redirect, retry};
use tokio::time::{Instant, timeout_at};

use super::guard::{EgressPolicy, check_address, check_target};
use super::resolve::{Guarded, Resolve, SystemNames, Unresolved};
use super::{Reply, Request, Sender, failure};
use crate::domain::delivery::RESPONSE_KEPT_MAX;
use crate::domain::outcome::{Outcome, RetryAfter};
use crate::domain::time::Timestamp;

/// How long a connection may take to be made: name, TCP and TLS.
///
/// A third of the usual deadline: a host that drops packets is told from one that thinks.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection that nobody uses is kept. Shorter than the 60 s after which common load
/// balancers close, so that it is usually we who do, and no request meets a closing door.
const IDLE_MAX: Duration = Duration::from_secs(55);

/// Connections that nobody uses, kept per host: four times the default in-flight cap, for several
/// endpoints at one host.
const IDLE_PER_HOST_MAX: usize = 128;

/// Digits of a `Retry-After` in seconds that are read: 31 years. More is not a wait but an attack.
const RETRY_AFTER_DIGITS_MAX: usize = 9;

/// Sends over HTTP/1.1 or, where TLS negotiates it, HTTP/2.
pub struct HttpSender {
    client: Client,
    policy: Arc<EgressPolicy>,
}

/// The sender cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no requests can be sent: {0}")]
pub struct CannotSend(String);

impl HttpSender {
    /// A sender that asks the system's name servers and trusts the system's authorities.
    ///
    /// Has its own pool: one for each policy, since a connection made under one must not carry a
    /// request under another.
    ///
    /// # Errors
    /// When the system has no authorities, or `user_agent` is not the value of a header.
    pub fn new(policy: EgressPolicy, user_agent: &str) -> Result<Self, CannotSend> {
        let names = SystemNames::new(&policy).map_err(CannotSend)?;
        Self::with_names(policy, user_agent, Arc::new(names))
    }

    /// As [`HttpSender::new`], with another source of names. Its answers are checked all the same.
    ///
    /// # Errors
    /// As [`HttpSender::new`].
    pub fn with_names(
        policy: EgressPolicy,
        user_agent: &str,
        names: Arc<dyn Resolve>,
    ) -> Result<Self, CannotSend> {
        // The process has one provider of cryptography; whoever was first installed the same.
        let _ = rustls::crypto::ring::default_provider().install_default();

        let policy = Arc::new(policy);
        let client = Client::builder()
            .user_agent(HeaderValue::from_str(user_agent).map_err(|_| {
                CannotSend("the user agent has characters that a header cannot".to_owned())
            })?)
            .dns_resolver(Guarded::new(names, Arc::clone(&policy)))
            .https_only(!policy.allow_http)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| CannotSend(root(&error)))?;
        Ok(Self { client, policy })
    }
}

#[async_trait]
impl Sender for HttpSender {
    async fn send(&self, request: Request) -> Reply {
        let deadline = Instant::now() + request.timeout;
        if let Err(refusal) = check_target(&request.url, &self.policy) {
            return unanswered(Outcome::TargetNotAllowed, refusal.to_string());
        }
        let request = match outgoing(request) {
            Ok(request) => request,
            Err(detail) => return unanswered(Outcome::Internal, detail),
        };

        let mut answer = match timeout_at(deadline, self.client.execute(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let (outcome, detail) = failure::judge(&error);
                return unanswered(outcome, detail);
            }
            Err(_) => {
                return unanswered(Outcome::TimedOut, "no answer before the deadline".to_owned());
            }
        };
        // Cannot happen, as long as every way to an address is checked. It costs nothing to know.
        if let Some(peer) = answer.remote_addr()
            && check_address(peer.ip(), &self.policy).is_err()
        {
            tracing::error!(%peer, "an address that may not be called was called");
            return unanswered(Outcome::TargetNotAllowed, Unresolved::NoAddress.to_string());
        }

        let outcome = Outcome::Answered {
            status: answer.status().as_u16(),
            retry_after: retry_after(answer.headers()),
        };
        let mut kept = Vec::new();
        let detail = match timeout_at(deadline, keep(&mut answer, &mut kept)).await {
            Ok(Ok(Ended::Whole)) => String::new(),
            Ok(Ok(Ended::CutOff)) => {
                format!("only the first {RESPONSE_KEPT_MAX} bytes of the answer were kept")
            }
            Ok(Err(_)) => "the answer broke off".to_owned(),
            Err(_) => "the answer did not end before the deadline".to_owned(),
        };
        // An answer that did not end is dropped here, and its connection with it.
        Reply { outcome, body: kept.into(), detail }
    }
}

fn unanswered(outcome: Outcome, detail: String) -> Reply {
    Reply { outcome, body: bytes::Bytes::new(), detail }
}

/// The request as the client wants it. `Content-Length` follows from the body.
fn outgoing(request: Request) -> Result<reqwest::Request, String> {
    let mut outgoing = reqwest::Request::new(Method::POST, request.url);
    let headers = outgoing.headers_mut();
    headers.reserve(request.headers.len() + 2); // and the client's own: accept and user agent
    for (name, value) in request.headers {
        let value = HeaderValue::try_from(value);
        let (Ok(parsed), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), value) else {
            return Err(format!("the header {name:?} cannot be sent"));
        };
        headers.insert(parsed, value);
    }
    *outgoing.body_mut() = Some(request.body.into());
    Ok(outgoing)
}

/// How the reading of a body ended.
enum Ended {
    Whole,
    CutOff,
}

/// Reads the body, and keeps its first bytes. What arrived is in `kept` also when this is dropped.
async fn keep(answer: &mut Response, kept: &mut Vec<u8>) -> reqwest::Result<Ended> {
    while let Some(chunk) = answer.chunk().await? {
        // Copied, not shared: the chunk would hold on to the whole buffer it was read into.
        let room = RESPONSE_KEPT_MAX - kept.len();
        kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return Ok(Ended::CutOff);
        }
    }
    Ok(Ended::Whole)
}

/// What `Retry-After` says, in either of its forms (RFC 9110 §10.2.3); nothing when it says neither.
fn retry_after(headers: &HeaderMap) -> Option<RetryAfter> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        if text.len() > RETRY_AFTER_DIGITS_MAX {
            return None;
        }
        return text.parse().ok().map(|seconds| RetryAfter::In(Duration::from_secs(seconds)));
    }
    let moment = httpdate::parse_http_date(text).ok()?;
    let seconds = moment.duration_since(UNIX_EPOCH).ok()?.as_secs();
    Some(RetryAfter::At(Timestamp::from_seconds(i64::try_from(seconds).ok()?)))
}

/// The bottom of an error's chain, which says what is wrong.
fn root(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

impl reqwest::dns::Resolve for Guarded {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let guarded = self.clone();
        Box::pin(async move {
            let addresses = guarded.addresses(name.as_str()).await?;
            // Port 0 stands for that of the URL.
            let sockets = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(sockets) as reqwest::dns::Addrs)
        })
    }
}
