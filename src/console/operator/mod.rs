//! The operators' console: everything of an organisation, and the router itself.

mod health;
pub(super) mod login;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use super::site::Site;

/// Its pages behind the login.
pub(super) fn pages() -> Router<Arc<Site>> {
    Router::new().route("/console", get(health::page))
}
