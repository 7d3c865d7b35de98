//! The tenants' portal: one application's endpoints, deliveries and settings, as far as its session may.

pub(super) mod enter;
mod overview;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use super::site::Site;

/// Its pages behind the entrance.
pub(super) fn pages() -> Router<Arc<Site>> {
    Router::new().route("/portal", get(overview::page))
}
