//! The tenants' portal: one application's endpoints, deliveries and settings, as far as its session may.

mod deliveries;
mod delivery;
pub(super) mod enter;
mod event;
mod names;
mod overview;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::site::Site;

/// Its pages behind the entrance.
pub(super) fn pages() -> Router<Arc<Site>> {
    const DELIVERY: &str = "/portal/deliveries/{event}/{endpoint}";
    let below = |rest: &str| format!("{DELIVERY}{rest}");
    Router::new()
        .route("/portal", get(overview::page))
        .route("/portal/deliveries", get(deliveries::page))
        .route(DELIVERY, get(delivery::page))
        .route(&below("/retry"), post(delivery::retry))
        .route(&below("/cancel"), get(delivery::ask_cancel).post(delivery::cancel))
        .route("/portal/events/{event}", get(event::page))
        .route("/portal/events/{event}/send", post(event::send))
}
