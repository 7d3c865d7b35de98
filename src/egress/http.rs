//! The real sender, on hyper: one client, its pool of connections, and nothing that a client would do
//! on its own account.
//!
//! No proxy from the environment, no redirects, no retries, no decompression, no cookies: a request
//! is what it was signed as, sent once, to where it was checked to go. (One thing is done again: a
//! request that met a connection that was closed before anything of it was written takes another. Not one
//! that is to be made at most once: it has a connection of its own, which nobody has had time to close, and a
//! client that begins nothing a second time.)
//! Literal addresses never meet a resolver, so the URL is checked before each request; names and
//! peers are checked where connections are made (`connect`).
//!
//! The head of an answer decides. A receiver that said 200 has the event, whatever then becomes of
//! the body: trying again would only be a duplicate.
//!
//! What a receiver may cost us, whatever it sends: one deadline over everything; a head of
//! about [`HEAD_BYTES_MAX`] and 100 headers; [`INTERIM_MAX`] interim answers; of the body what is kept, and
//! the buffer it is read into, which is never larger than a head may be. A compressed body is kept as
//! it came.
//!
//! One client serves everybody, for there is one policy. Were there several (a network that only some
//! tenants may call), each would need its own: a connection made under one must not carry a request
//! under another, and the pool knows hosts, not tenants.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::http::Extensions;
use hyper::{Method, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::blocked::{BlockedLog, Whose};
use super::connect::{Connector, Made, PHASES, Phases, ms_since};
use super::guard::{EgressPolicy, Refusal, check_scheme, check_target};
use super::resolve::{Guarded, Resolve, SystemNames};
use super::{Reply, Request, Sender, failure};
use crate::domain::delivery::RESPONSE_KEPT_MAX;
use crate::domain::exchange::Timing;
use crate::domain::outcome::{Outcome, RetryAfter};
use crate::domain::time::Timestamp;

/// How long a connection that nobody uses is kept. Shorter than the 60 s after which common load
/// balancers close, so that it is usually we who do, and no request meets a closing door.
const IDLE_MAX: Duration = Duration::from_secs(55);

/// How long a connection is used. Five minutes, as long as a name's answer is believed: an endpoint
/// that moved is followed, and an address that is no longer allowed is left.
const AGE_MAX: Duration = Duration::from_mins(5);

/// Connections that nobody uses, kept per host: four times the default in-flight cap, for several
/// endpoints at one host.
const IDLE_PER_HOST_MAX: usize = 128;

/// Largest head of an answer, in bytes; over HTTP/2, of its list of headers. Four times what common
/// servers accept themselves. It is also the largest buffer that a connection reads into, and what one
/// read brings may go over it once: so the bound that always holds is twice this.
const HEAD_BYTES_MAX: usize = 32 * 1_024;

/// What an HTTP/2 receiver may send of one answer before we have read it: the least that the protocol
/// knows. We keep a quarter of it.
const STREAM_WINDOW: u32 = 65_535;

/// What it may send of all answers together, on one connection.
const CONNECTION_WINDOW: u32 = 1_024 * 1_024;

/// Interim answers (1xx) to one request. Nobody needs more than two: `102` and `103`.
const INTERIM_MAX: usize = 8;

/// Digits of a `Retry-After` in seconds that are read: 31 years. More is not a wait but an attack.
const RETRY_AFTER_DIGITS_MAX: usize = 9;

/// Sends over HTTP/1.1 or, where TLS negotiates it, HTTP/2.
pub struct HttpSender {
    client: Client<Connector, Full<Bytes>>,
    /// For what is made at most once.
    once: Client<Connector, Full<Bytes>>,
    policy: Arc<EgressPolicy>,
    user_agent: HeaderValue,
    blocked: Option<Arc<BlockedLog>>,
}

/// The sender cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no requests can be sent: {0}")]
pub struct CannotSend(String);

impl HttpSender {
    /// A sender that asks the system's name servers and trusts the system's authorities.
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
        let user_agent = HeaderValue::from_str(user_agent).map_err(|_| {
            CannotSend("the user agent has characters that a header cannot".to_owned())
        })?;
        let policy = Arc::new(policy);
        let names = Guarded::new(names, Arc::clone(&policy));
        let connector = Connector::new(names, Arc::clone(&policy)).map_err(CannotSend)?;
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .http2_max_header_list_size(u32::try_from(HEAD_BYTES_MAX).expect("32 KiB"))
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW);
        let client = builder.build(connector.clone());
        // Without a pool no request meets a connection that its receiver is about to close: that would be the
        // end of one that is not tried again.
        let once =
            builder.pool_max_idle_per_host(0).retry_canceled_requests(false).build(connector);
        Ok(Self { client, once, policy, user_agent, blocked: None })
    }

    /// The same, noting what it was not allowed to send.
    #[must_use]
    pub fn noting(self, blocked: Arc<BlockedLog>) -> Self {
        Self { blocked: Some(blocked), ..self }
    }

    fn note(
        &self,
        whose: Option<Whose>,
        host: Option<&str>,
        refusal: Refusal,
        address: Option<IpAddr>,
    ) {
        if let (Some(blocked), Some(whose)) = (&self.blocked, whose) {
            blocked.note(whose, host.unwrap_or_default(), refusal, address);
        }
    }
}

#[async_trait]
impl Sender for HttpSender {
    async fn send(&self, request: Request) -> Reply {
        let deadline = Instant::now() + request.timeout;
        let client = if request.once { &self.once } else { &self.client };
        let allowed = check_target(&request.url, &self.policy);
        if let Err(refusal) = allowed.and_then(|()| check_scheme(&request.url, request.allow_http))
        {
            let literal = request.url.host().and_then(literal);
            self.note(request.whose, request.url.host_str(), refusal, literal);
            return unanswered(Outcome::TargetNotAllowed, refusal.to_string());
        }
        let whose = request.whose;
        let mut request = match outgoing(request, &self.user_agent) {
            Ok(request) => request,
            Err(detail) => return unanswered(Outcome::Internal, detail),
        };
        let target = request.uri().clone();
        let connection = capture_connection(&mut request);
        let (begun, phases) = (Instant::now(), Arc::new(Phases::default()));
        let interim = Arc::new(Interim::default());
        let heard = Arc::clone(&interim);
        hyper::ext::on_informational(&mut request, move |_| heard.came());

        let answer = tokio::select! {
            biased; // a flood of interim answers is one before it is late
            () = interim.too_many.notified() => {
                let detail = format!("more than {INTERIM_MAX} interim answers (1xx) came");
                let timing = timing(&connection, &phases, None);
                return Reply { timing, ..unanswered(Outcome::ProtocolError, detail) };
            }
            answer = timeout_at(deadline, PHASES.scope(Arc::clone(&phases), client.request(request))) => answer,
        };
        let mut answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let (outcome, detail) = failure::judge(&error);
                if let Some((refusal, address)) = failure::refused(&error) {
                    self.note(whose, target.host(), refusal, Some(address));
                }
                let timing = timing(&connection, &phases, None);
                return Reply { timing, ..unanswered(outcome, detail) };
            }
            Err(_) => {
                let detail = "no answer before the deadline".to_owned();
                let timing = timing(&connection, &phases, None);
                return Reply { timing, ..unanswered(Outcome::TimedOut, detail) };
            }
        };
        let timing = timing(&connection, &phases, Some(ms_since(begun)));
        leave_if_old(&connection);

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
        Reply { outcome, body: kept.into(), detail, timing }
    }
}

/// The interim answers to one request. Over HTTP/2 the library passes over them by itself, and the
/// deadline is their bound.
#[derive(Default)]
struct Interim {
    came: AtomicUsize,
    too_many: Notify,
}

impl Interim {
    fn came(&self) {
        if self.came.fetch_add(1, Ordering::Relaxed) >= INTERIM_MAX {
            self.too_many.notify_one();
        }
    }
}

/// Lets this answer end on its connection, and no other begin when it is older than [`AGE_MAX`].
fn leave_if_old(connection: &CaptureConnection) {
    if made(connection).is_some_and(|made| made.at.elapsed() >= AGE_MAX)
        && let Some(connection) = connection.connection_metadata().as_ref()
    {
        connection.poison();
    }
}

/// What the connection knows of itself, if the request has one.
fn made(connection: &CaptureConnection) -> Option<Made> {
    let mut extras = Extensions::new();
    connection.connection_metadata().as_ref()?.get_extras(&mut extras);
    extras.remove()
}

/// How long each phase of a request took. `phases` are those of the connection that it has asked for: when it
/// has got another, that one was kept, and opening it was no part of this. `head_ms`: when an answer's head
/// was there.
fn timing(connection: &CaptureConnection, phases: &Arc<Phases>, head_ms: Option<u32>) -> Timing {
    if made(connection).is_some_and(|made| !Arc::ptr_eq(&made.phases, phases)) {
        return Timing { first_byte_ms: head_ms, ..Timing::default() };
    }
    Timing {
        dns_ms: phases.dns_ms.get().copied(),
        connect_ms: phases.connect_ms.get().copied(),
        tls_ms: phases.tls_ms.get().copied(),
        first_byte_ms: head_ms.map(|head_ms| head_ms.saturating_sub(phases.sum_ms())),
    }
}

/// The address that a host is, if it is one.
#[expect(clippy::needless_pass_by_value, reason = "as `Url::host` gives it")]
fn literal(host: url::Host<&str>) -> Option<IpAddr> {
    match host {
        url::Host::Domain(_) => None,
        url::Host::Ipv4(address) => Some(address.into()),
        url::Host::Ipv6(address) => Some(address.into()),
    }
}

fn unanswered(outcome: Outcome, detail: String) -> Reply {
    Reply { outcome, body: Bytes::new(), detail, timing: Timing::default() }
}

/// The request as the client wants it. `Host` and `Content-Length` follow from URL and body.
fn outgoing(
    request: Request,
    user_agent: &HeaderValue,
) -> Result<hyper::Request<Full<Bytes>>, String> {
    let uri: Uri = request.url.as_str().parse().map_err(|_| "the URL cannot be sent".to_owned())?;
    // Two parsers have read it now. Where they disagree, nobody knows whom we would call.
    if uri.host() != request.url.host_str() {
        return Err("the URL can be read in two ways".to_owned());
    }
    let mut outgoing = hyper::Request::new(Full::new(request.body));
    *outgoing.method_mut() = Method::POST;
    *outgoing.uri_mut() = uri;
    let headers = outgoing.headers_mut();
    headers.reserve(request.headers.len() + 2);
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(USER_AGENT, user_agent.clone());
    for (name, value) in request.headers {
        let value = HeaderValue::try_from(value);
        let (Ok(parsed), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), value) else {
            return Err(format!("the header {name:?} cannot be sent"));
        };
        headers.insert(parsed, value);
    }
    Ok(outgoing)
}

/// How the reading of a body ended.
enum Ended {
    Whole,
    CutOff,
}

/// Reads the body, and keeps its first bytes. What arrived is in `kept` also when this is dropped.
async fn keep(answer: &mut Response<Incoming>, kept: &mut Vec<u8>) -> hyper::Result<Ended> {
    while let Some(frame) = answer.body_mut().frame().await {
        let frame = frame?;
        let Some(chunk) = frame.data_ref() else { continue }; // trailers
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
