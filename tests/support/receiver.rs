//! A receiver of our own, on loopback: answers as each path's script says and keeps a book of what
//! came.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    /// Milliseconds since the epoch when its head had come.
    pub(crate) at_ms: u64,
    /// `webhook-id`.
    pub(crate) id: String,
    /// `webhook-timestamp`.
    pub(crate) timestamp: String,
    /// `webhook-signature`.
    pub(crate) signature: String,
    /// All headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
    /// What it was answered; 0 while it is still open.
    pub(crate) status: u16,
    /// Requests to the same endpoint that were open when it came, itself included.
    pub(crate) open: usize,
}

/// How an endpoint answers.
#[derive(Debug, Clone)]
pub(crate) enum Script {
    /// This status, at once.
    Answer(u16),
    /// This status after a while.
    Slowly(Duration, u16),
    /// This status to the first requests about each event, then 200.
    FailFirst(usize, u16),
    /// 503 with this `Retry-After` to the first request about each event, then 200.
    ComeBack(&'static str),
    /// 429 with this `Retry-After` to the first request of all, then 200.
    SlowDown(&'static str),
    /// This status, with this text in the body and the beginning of it in a header.
    Saying(u16, String),
    /// Never.
    Hang,
}

#[derive(Debug, Default)]
struct Book {
    scripts: HashMap<String, Script>,
    pages: HashMap<String, Page>,
}

/// One endpoint's part of the book.
#[derive(Debug, Default)]
struct Page {
    arrived: Vec<Arrived>,
    seen: HashMap<String, usize>,
    open: usize,
}

/// The receiver. It stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Receiver {
    book: Arc<Mutex<Book>>,
    address: SocketAddr,
    server: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// Starts on a free port.
    pub(crate) async fn start() -> Self {
        let book = Arc::new(Mutex::new(Book::default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let routes = Router::new().route("/{name}", post(receive)).with_state(Arc::clone(&book));
        let server = tokio::spawn(async move {
            axum::serve(listener, routes).await.expect("serves until it is dropped");
        });
        Self { book, address, server }
    }

    /// The URL of an endpoint, which from now on answers so.
    pub(crate) fn endpoint(&self, name: &str, script: Script) -> String {
        self.book.lock().expect("no panic").scripts.insert(name.into(), script);
        format!("http://{}/{name}", self.address)
    }

    /// What has come to an endpoint, in the order of arrival.
    pub(crate) fn arrived(&self, name: &str) -> Vec<Arrived> {
        let book = self.book.lock().expect("no panic");
        book.pages.get(name).map(|page| page.arrived.clone()).unwrap_or_default()
    }

    /// How much has come to an endpoint.
    pub(crate) fn count(&self, name: &str) -> usize {
        let book = self.book.lock().expect("no panic");
        book.pages.get(name).map_or(0, |page| page.arrived.len())
    }

    /// The bodies that an endpoint has answered with a 2xx, each once.
    pub(crate) fn accepted_bodies(&self, name: &str) -> std::collections::BTreeSet<String> {
        self.arrived(name)
            .into_iter()
            .filter(|one| (200..300).contains(&one.status))
            .map(|one| String::from_utf8_lossy(&one.body).into_owned())
            .collect()
    }

    /// The ids that an endpoint has answered with a 2xx, sorted, each once.
    pub(crate) fn accepted(&self, name: &str) -> Vec<String> {
        let arrived = self.arrived(name).into_iter();
        let mut ids: Vec<_> =
            arrived.filter(|one| (200..300).contains(&one.status)).map(|one| one.id).collect();
        ids.sort();
        ids.dedup();
        ids
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(super::clock().as_millis()).expect("after 1970")
}

async fn receive(
    State(book): State<Arc<Mutex<Book>>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header =
        |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let (script, place, earlier) = {
        let mut book = book.lock().expect("no panic");
        let script = book.scripts.get(&name).cloned().unwrap_or(Script::Answer(404));
        let page = book.pages.entry(name.clone()).or_default();
        let id = header("webhook-id");
        let seen = page.seen.entry(id.clone()).or_default();
        let earlier = *seen;
        *seen += 1;
        page.open += 1;
        page.arrived.push(Arrived {
            at_ms: now_ms(),
            id,
            timestamp: header("webhook-timestamp"),
            signature: header("webhook-signature"),
            headers: headers.clone(),
            body,
            status: 0,
            open: page.open,
        });
        (script, page.arrived.len() - 1, earlier)
    };
    // Counted down also when the client goes away and this future is dropped.
    let open = OpenOne { book: Arc::clone(&book), name };
    let mut said = String::new();
    let (status, retry_after) = match script {
        Script::Answer(status) => (status, None),
        Script::Slowly(wait, status) => {
            // What is tested is a receiver that takes its time: this is its slowness, and nobody waits
            // here for something to have happened.
            tokio::time::sleep(wait).await;
            (status, None)
        }
        Script::FailFirst(count, status) => (if earlier < count { status } else { 200 }, None),
        Script::ComeBack(_) if earlier > 0 => (200, None),
        Script::ComeBack(when) => (503, Some(when)),
        Script::SlowDown(when) if place == 0 => (429, Some(when)),
        Script::SlowDown(_) => (200, None),
        Script::Saying(status, text) => {
            said = text;
            (status, None)
        }
        Script::Hang => std::future::pending().await,
    };
    open.answered(place, status);
    let header: String = said.chars().filter(|c| matches!(c, ' '..='~')).take(200).collect();
    let mut answer = (StatusCode::from_u16(status).expect("a status"), said).into_response();
    if !header.is_empty() {
        let header = HeaderValue::from_str(&header).expect("ASCII that is seen");
        answer.headers_mut().insert(HeaderName::from_static("x-said"), header);
    }
    if let Some(when) = retry_after {
        let name = HeaderName::from_static("retry-after");
        answer.headers_mut().insert(name, HeaderValue::from_static(when));
    }
    answer
}

struct OpenOne {
    book: Arc<Mutex<Book>>,
    name: String,
}

impl OpenOne {
    fn answered(&self, place: usize, status: u16) {
        let mut book = self.book.lock().expect("no panic");
        let page = book.pages.get_mut(&self.name).expect("it was opened");
        page.arrived[place].status = status;
    }
}

impl Drop for OpenOne {
    fn drop(&mut self) {
        if let Ok(mut book) = self.book.lock()
            && let Some(page) = book.pages.get_mut(&self.name)
        {
            page.open -= 1;
        }
    }
}
