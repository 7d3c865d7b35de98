//! Every path of the API, and what holds for all of them.
//!
//! No request is served for longer than [`REQUEST`], and no more than [`REQUESTS`] at once: beyond that
//! the answer is 503 at once, which a client tries again, instead of a queue that grows until nobody
//! waits for its end any more. Paths are the same with a slash behind them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, post};
use tokio::sync::Semaphore;

use super::body::Bodies;
use super::messages;
use super::problem::Problem;
use crate::control::publish::Intake;
use crate::control::tokens::TokenKey;
use crate::domain::time::Timestamp;

/// Longest that a request may take, from its head to its answer: a body that comes slowly, and then a
/// broker that confirms late or a file that is written by another process, each within its own bound.
const REQUEST: Duration = Duration::from_secs(45);
/// Requests that are served at the same time. The embedded writer commits 64 at once: four times that
/// keeps it busy, and is a few milliseconds of waiting.
const REQUESTS: usize = 256;

/// What stands behind the API.
pub struct Api {
    intake: Intake,
    tokens: TokenKey,
    now: fn() -> Timestamp,
    bodies: Bodies,
    places: Semaphore,
}

impl Api {
    /// An API over this intake, for callers with tokens of this key.
    pub fn new(
        intake: Intake,
        tokens: TokenKey,
        now: fn() -> Timestamp,
        max_payload_bytes: usize,
    ) -> Self {
        let bodies = Bodies::new(max_payload_bytes);
        Self { intake, tokens, now, bodies, places: Semaphore::new(REQUESTS) }
    }

    pub(super) const fn intake(&self) -> &Intake {
        &self.intake
    }

    pub(super) const fn tokens(&self) -> &TokenKey {
        &self.tokens
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.now)()
    }

    pub(super) const fn bodies(&self) -> &Bodies {
        &self.bodies
    }
}

/// Every path there is.
pub fn routes(api: Arc<Api>) -> Router {
    let mut routes = Router::new();
    for (path, methods) in table() {
        routes = routes.route(&format!("/api/v1{path}/"), methods.clone());
        routes = routes.route(&format!("/api/v1{path}"), methods);
    }
    routes
        .fallback(async || Problem::NoSuchPath)
        .method_not_allowed_fallback(async || Problem::NoSuchMethod)
        .layer(middleware::from_fn_with_state(Arc::clone(&api), bounded))
        .with_state(api)
}

fn table() -> Vec<(&'static str, MethodRouter<Arc<Api>>)> {
    vec![("/app/{app}/msg", post(messages::create))]
}

async fn bounded(
    State(api): State<Arc<Api>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let _place = api.places.try_acquire().map_err(|_| Problem::Busy)?;
    tokio::time::timeout(REQUEST, next.run(request))
        .await
        .map_err(|_| Problem::Away(format!("there was no answer within {} s", REQUEST.as_secs())))
}
