//! Opens connections: the one place where a socket to a tenant's host is made.
//!
//! A name is resolved and its addresses judged in the moment of connecting (`resolve`), the peer is
//! looked at once more when it is there and before a byte is written to it, and TLS is spoken on top
//! where the URL wants it. One deadline is over all of that. Addresses are tried in turn and both
//! families against each other (RFC 8305), as the library does it.
//!
//! Each connection knows when it was made, so that one that is in use all the time is not in use for
//! ever: what was judged when it was opened may be judged otherwise since. And how long each phase of that
//! took, which is told of the request that it was opened for: of no other one's time it was a part.

use std::error::Error;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tower_service::Service;

use super::guard::{EgressPolicy, check_peer};
use super::resolve::{Guarded, Unresolved};

/// How long a connection may take to be made: name, TCP and TLS.
///
/// A third of the usual deadline: a host that drops packets is told from one that thinks.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

type BoxError = Box<dyn Error + Send + Sync>;
type Opening<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

tokio::task_local! {
    /// The phases of what this task waits for: a connection is opened in the task of the request that asks for
    /// it, and goes on in another when the request has found one that was kept.
    pub(super) static PHASES: Arc<Phases>;
}

/// How long the phases of opening a connection took, in milliseconds; those that it came through.
#[derive(Debug, Default)]
#[expect(clippy::struct_field_names, reason = "the unit is part of each name")]
pub(super) struct Phases {
    pub(super) dns_ms: OnceLock<u32>,
    pub(super) connect_ms: OnceLock<u32>,
    pub(super) tls_ms: OnceLock<u32>,
}

impl Phases {
    /// All of them together.
    pub(super) fn sum_ms(&self) -> u32 {
        [&self.dns_ms, &self.connect_ms, &self.tls_ms].iter().filter_map(|one| one.get()).sum()
    }

    /// Notes that the phase which begins where the others have ended is over.
    fn over(&self, phase: impl Fn(&Self) -> &OnceLock<u32>, begun: Instant) {
        let _ = phase(self).set(ms_since(begun).saturating_sub(self.sum_ms()));
    }
}

/// Whole milliseconds since a moment.
pub(super) fn ms_since(begun: Instant) -> u32 {
    u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX)
}

/// Opens connections under one policy.
#[derive(Clone)]
pub(super) struct Connector(HttpsConnector<Plain>);

impl Connector {
    /// A connector that trusts the system's authorities.
    ///
    /// # Errors
    /// When the system has none, in a sentence.
    pub(super) fn new(names: Guarded, policy: Arc<EgressPolicy>) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(rustls::ConfigBuilder::with_platform_verifier)
            .map_err(|error| error.to_string())?
            .with_no_client_auth();

        let mut tcp = HttpConnector::new_with_resolver(names);
        tcp.enforce_http(false); // it makes the connections for https too
        tcp.set_nodelay(true);
        let https = HttpsConnectorBuilder::new().with_tls_config(tls);
        let https = if policy.allow_http { https.https_or_http() } else { https.https_only() };
        Ok(Self(https.enable_all_versions().wrap_connector(Plain { tcp, policy })))
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<Line>;
    type Error = BoxError;
    type Future = Opening<Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let phases = PHASES.try_with(Arc::clone).unwrap_or_default();
        let speaks_tls = uri.scheme() == Some(&Scheme::HTTPS);
        let opening = PHASES.scope(Arc::clone(&phases), self.0.call(uri));
        Box::pin(async move {
            let begun = Instant::now();
            let opened =
                timeout(CONNECT_TIMEOUT, opening).await.unwrap_or_else(|_| Err(Late.into()))?;
            if speaks_tls {
                phases.over(|phases| &phases.tls_ms, begun);
            }
            Ok(opened)
        })
    }
}

/// No connection within [`CONNECT_TIMEOUT`].
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("no connection within {} s", CONNECT_TIMEOUT.as_secs())]
pub(super) struct Late;

/// TCP, to whom policy allows.
#[derive(Clone)]
struct Plain {
    tcp: HttpConnector<Guarded>,
    policy: Arc<EgressPolicy>,
}

impl Service<Uri> for Plain {
    type Response = Line;
    type Error = BoxError;
    type Future = Opening<Line>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.tcp.call(uri);
        let policy = Arc::clone(&self.policy);
        Box::pin(async move {
            let begun = Instant::now();
            let tcp = connecting.await?;
            let phases = PHASES.try_with(Arc::clone).unwrap_or_default();
            phases.over(|phases| &phases.connect_ms, begun);
            let (peer, local) = (tcp.inner().peer_addr()?, tcp.inner().local_addr()?);
            if let Err(refusal) = check_peer(peer, local.ip(), &policy) {
                // For operators alone, as what a name leads to.
                tracing::info!(%peer, reason = refusal.reason(), "{peer} may not be called");
                return Err(Unresolved::Refused(refusal, peer.ip()).into());
            }
            Ok(Line { tcp, made: Made { at: Instant::now(), phases } })
        })
    }
}

/// When a connection was made, and how long that took.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) at: Instant,
    pub(super) phases: Arc<Phases>,
}

/// A connection that knows how old it is.
pub(super) struct Line {
    tcp: TokioIo<TcpStream>,
    made: Made,
}

impl Line {
    fn tcp(&mut self) -> Pin<&mut TokioIo<TcpStream>> {
        Pin::new(&mut self.tcp)
    }
}

impl Connection for Line {
    fn connected(&self) -> Connected {
        self.tcp.connected().extra(self.made.clone())
    }
}

impl Read for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.tcp().poll_read(cx, into)
    }
}

impl Write for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.tcp().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.tcp().poll_write_vectored(cx, parts)
    }
}

/// Names for the connector; it puts the URL's port to them.
impl Service<Name> for Guarded {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unresolved>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let guarded = self.clone();
        Box::pin(async move {
            let begun = Instant::now();
            let addresses = guarded.addresses(name.as_str()).await?;
            let _ = PHASES.try_with(|phases| phases.over(|phases| &phases.dns_ms, begun));
            let sockets = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(sockets.collect::<Vec<_>>().into_iter())
        })
    }
}
