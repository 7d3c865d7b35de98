//! Speaks with a running router, over its HTTP API: finds it, asks, and says in a sentence why there is no
//! answer.
//!
//! What a command asks for is a [`Path`]; what comes is a [`Told`], as it was written for programs and read
//! for people. Everything has a bound: connecting, an answer, its bytes, and one second try where the first
//! broke off. A deed carries an idempotency key, so that the second try does not do it twice; that is why
//! one may be made at all.
//!
//! Not here: which router it is (`server`), what the answers are (`wire`), exit codes (`exit`).

mod server;

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls_platform_verifier::BuilderVerifierExt as _;
use secrecy::ExposeSecret as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;
use url::Url;

use self::server::Door;
pub(super) use self::server::{Server, ServerArgs};
use super::wire::{Fault, Problem};
use crate::runtime::chance;

/// How long a connection may take to be made: a router is near.
const CONNECTING: Duration = Duration::from_secs(5);
/// How long an answer may take. Counting a million dead letters takes seconds; a minute is a router that is
/// in trouble.
const ANSWERING: Duration = Duration::from_mins(1);
/// Most bytes of an answer: a dead letter with a payload of a MiB, which JSON may make six times as long,
/// and its attempts.
const ANSWER_MAX: usize = 16 * 1_024 * 1_024;

/// Why there is no answer that says what was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// Nobody answers.
    #[error("{0}")]
    Unreachable(String),
    /// The router says why.
    #[error("{detail}")]
    Said {
        /// The status of HTTP.
        status: u16,
        /// The router's sentence.
        detail: String,
    },
    /// Somebody answers, and not as a router does.
    #[error("{0}")]
    Strange(String),
}

impl Refusal {
    /// Whether it may pass by itself: a watch goes on.
    pub(super) const fn passes(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Said { status, .. } => matches!(status, 408 | 429 | 503),
            Self::Strange(_) => false,
        }
    }
}

/// What is asked for: a path below `/api/v1`, and what stands behind the question mark.
#[derive(Debug, Clone)]
pub(super) struct Path {
    segments: Vec<String>,
    query: Vec<(&'static str, String)>,
}

impl Path {
    /// Within an application, or else operator-wide (`/admin`).
    pub(super) fn within(app: Option<&str>, segments: &[&str]) -> Self {
        let begins: &[&str] = match &app {
            Some(app) => &["app", app],
            None => &["admin"],
        };
        let segments = begins.iter().chain(segments).map(|part| (*part).to_owned()).collect();
        Self { segments, query: Vec::new() }
    }

    /// With this parameter, where it has a value.
    pub(super) fn with<T: ToString>(mut self, name: &'static str, value: Option<T>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    fn below(&self, base: &Url) -> Url {
        let mut url = base.clone();
        url.path_segments_mut()
            .expect("http and https have paths")
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(&self.segments);
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }
}

/// A router, as a command talks to it.
pub(super) struct Client {
    server: Server,
    http: Hyper<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Client {
    /// One that talks to this router. Nothing is sent yet.
    ///
    /// # Errors
    /// When https is wanted and this machine trusts nobody.
    pub(super) fn new(server: Server) -> anyhow::Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?;
        let tls = if server.wants_tls() {
            tls.with_platform_verifier().context("this machine's authorities")?
        } else {
            // Without names of authorities there is no https, and none is spoken.
            tls.with_root_certificates(rustls::RootCertStore::empty())
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false); // it makes the connections for https too
        tcp.set_connect_timeout(Some(CONNECTING));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls.with_no_client_auth())
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let http = Hyper::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(https);
        Ok(Self { server, http })
    }

    /// Asks for something.
    ///
    /// # Errors
    /// A [`Refusal`].
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &Path) -> Result<T, Refusal> {
        self.twice(&Method::GET, path, None, None).await
    }

    /// Asks for something that a body describes, and that changes nothing.
    ///
    /// # Errors
    /// A [`Refusal`].
    pub(super) async fn query<T: DeserializeOwned>(
        &self,
        path: &Path,
        body: &Value,
    ) -> Result<T, Refusal> {
        self.twice(&Method::POST, path, Some(body), None).await
    }

    /// Has something done, once.
    ///
    /// # Errors
    /// A [`Refusal`]; with `Unreachable` it may have been done all the same.
    pub(super) async fn tell<T: DeserializeOwned>(
        &self,
        path: &Path,
        body: &Value,
    ) -> Result<T, Refusal> {
        let key = format!("cli-{:032x}", u128::from_be_bytes(chance::bytes()));
        self.twice(&Method::POST, path, Some(body), Some(&key)).await
    }

    /// Asks, and once more where the first answer broke off.
    async fn twice<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &Path,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Result<T, Refusal> {
        let door = self.server.door()?;
        let answer = match self.once(&door, method, path, body, key).await {
            Err(Broken::Off(_)) => self.once(&door, method, path, body, key).await,
            answer => answer,
        };
        let (status, bytes) = answer.map_err(|broken| self.server.unanswered(&door, &broken))?;
        self.read(&door, status, &bytes)
    }

    async fn once(
        &self,
        door: &Door,
        method: &Method,
        path: &Path,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Result<(u16, Bytes), Broken> {
        let request = request(door, method, path, body, key)
            .map_err(|error| Broken::Never(error.to_string()))?;
        let answering = async {
            let answer = self.http.request(request).await.map_err(|error| {
                let why = innermost(&error);
                if error.is_connect() { Broken::Never(why) } else { Broken::Off(why) }
            })?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
            let body = body.map_err(|error| Broken::Off(error.to_string()))?;
            Ok((status, body.to_bytes()))
        };
        let late = || Broken::Never(format!("no answer within {} s", ANSWERING.as_secs()));
        timeout(ANSWERING, answering).await.unwrap_or_else(|_| Err(late()))
    }

    fn read<T: DeserializeOwned>(
        &self,
        door: &Door,
        status: u16,
        bytes: &[u8],
    ) -> Result<T, Refusal> {
        let strange = |what: &dyn std::fmt::Display| {
            let base = &door.base;
            Refusal::Strange(format!("{base} answered {status}, and not as a router does: {what}"))
        };
        if (200..300).contains(&status) {
            let bytes: &[u8] = if bytes.is_empty() { b"null" } else { bytes };
            return serde_json::from_slice(bytes).map_err(|error| strange(&error));
        }
        let problem: Problem = serde_json::from_slice(bytes).map_err(|error| strange(&error))?;
        let detail = match problem.detail {
            Fault::Sentence(text) => text,
            Fault::Parts(parts) => {
                parts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            }
        };
        let detail = match status {
            401 => format!("{detail}: {}", self.server.whose_token()),
            403 => format!(
                "{detail} A token of the organisation is wanted (`posthaste token create`); with an \
                 application's, name the application (--app)"
            ),
            _ => detail,
        };
        Err(Refusal::Said { status, detail })
    }
}

/// How a request came to nothing.
#[derive(Debug)]
enum Broken {
    /// It was not begun, or it was begun and left: not to be tried again now.
    Never(String),
    /// It broke off: the same may be asked once more.
    Off(String),
}

fn request(
    door: &Door,
    method: &Method,
    path: &Path,
    body: Option<&Value>,
    key: Option<&str>,
) -> anyhow::Result<Request<Full<Bytes>>> {
    let bytes = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
    let mut bearer = HeaderValue::try_from(format!("Bearer {}", door.token.expose_secret()))
        .context("the token has characters that a header cannot")?;
    bearer.set_sensitive(true);
    let mut request = Request::builder()
        .method(method)
        .uri(path.below(&door.base).as_str())
        .header(AUTHORIZATION, bearer)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("posthaste/", env!("CARGO_PKG_VERSION")));
    if body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    Ok(request.body(Full::new(bytes.into()))?)
}

/// What lies at the bottom of an error: `Connection refused`, not that a client had an error.
fn innermost(error: &hyper_util::client::legacy::Error) -> String {
    let mut cause = error.source();
    let mut text = error.to_string();
    while let Some(deeper) = cause {
        text = deeper.to_string();
        cause = deeper.source();
    }
    text
}

#[cfg(test)]
mod tests;
