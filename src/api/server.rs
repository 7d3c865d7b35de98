//! Connections to the API, and what bounds them.
//!
//! Our own loop instead of axum's, which has neither a bound on connections nor on how long a client
//! may take to say what it wants. HTTP/1.1 with keep-alive: who wants HTTP/2 has a proxy in front, for
//! TLS as well.

use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::control::pace::Peer;

/// Connections that are open at the same time; further ones wait to be accepted. Four times the
/// requests that are served at once: most of a pool of clients is idle.
const CONNECTIONS: usize = 1_024;
/// How long a connection may be open without a whole request's head on it, idle or slow. Longer than
/// clients keep idle connections would help nobody, and shorter would cost them their pools.
const HEAD: Duration = Duration::from_secs(30);
/// Bytes that the head of a request may have: a token is the longest line of it.
const HEAD_BYTES: usize = 16 * 1024;
/// How long a connection may live in all. Clients that keep theirs open make another, and one that never
/// reads its answer does not keep its place for ever.
const LIFE: Duration = Duration::from_mins(10);
/// How long the last answer may take once the connection is to end: longer than any request is served.
const LAST_ANSWER: Duration = Duration::from_mins(1);
/// How long to wait before accepting again when the system has no more files for us.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

/// Serves until stopped; then what is being answered is finished, and idle connections are closed. The
/// wait for that ends, because no request takes longer than its own bound.
pub async fn serve(listener: TcpListener, routes: Router, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("it is never closed");
        let accepted = tokio::select! {
            biased; // whoever comes after the stop is not let in
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "the API cannot accept a connection");
                tokio::time::sleep(OUT_OF_FILES).await;
                continue;
            }
        };
        let routes = routes.clone().layer(Extension(Peer(peer.ip())));
        let stop = stop.clone();
        connections.spawn(async move {
            converse(stream, routes, stop).await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// One connection, from its first request to its last.
async fn converse(stream: TcpStream, routes: Router, stop: CancellationToken) {
    // Answers are short and written whole: nothing is gained by waiting for more.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    let mut connection = std::pin::pin!(connection);
    let over = async {
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LIFE) => {}
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = over => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(LAST_ANSWER, connection).await {
                Ok(ended) => ended,
                Err(_) => return debug!("a client of the API has not read its answer to the end"),
            }
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection to the API has ended badly");
    }
}
