//! The operator's port: metrics and probes.
//!
//! `/livez` asks whether the process is alive and knows of no dependency: or a broker's outage
//! would restart every replica. `/readyz` asks whether work is being done, and says what is missing.
//! `/metrics` reads memory, never a table.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What the port asks of the router behind it.
pub trait Condition: Send + Sync {
    /// All metrics, in the text format of Prometheus.
    fn metrics(&self) -> String;

    /// What is needed and not there, in words; empty when ready.
    fn missing(&self) -> Vec<String>;
}

/// Serves until stopped.
pub async fn serve(listener: TcpListener, condition: Arc<dyn Condition>, stop: CancellationToken) {
    let routes = Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(condition);
    let served = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the admin port has failed");
    }
}

async fn ready(State(condition): State<Arc<dyn Condition>>) -> Response {
    let missing = condition.missing();
    if missing.is_empty() {
        (StatusCode::OK, "ready\n").into_response()
    } else {
        let text = format!("not ready: {}\n", missing.join(", "));
        (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
    }
}

async fn metrics(State(condition): State<Arc<dyn Condition>>) -> Response {
    let form = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (form, condition.metrics()).into_response()
}
