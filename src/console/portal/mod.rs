//! The tenants' portal: one application's endpoints, deliveries and settings, as far as its session may.

mod deliveries;
mod delivery;
mod endpoints;
pub(super) mod enter;
mod event;
mod event_types;
mod history;
mod names;
mod overview;
mod replays;
mod settings;
mod signature;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::site::Site;

/// Its pages behind the entrance.
pub(super) fn pages() -> Router<Arc<Site>> {
    const DELIVERY: &str = "/portal/deliveries/{event}/{endpoint}";
    let below = |rest: &str| format!("{DELIVERY}{rest}");
    Router::new()
        .merge(endpoints::pages())
        .route("/portal", get(overview::page))
        .route("/portal/deliveries", get(deliveries::page))
        .route(DELIVERY, get(delivery::page))
        .route(&below("/retry"), post(delivery::retry))
        .route(&below("/cancel"), get(delivery::ask_cancel).post(delivery::cancel))
        .merge(replays())
        .route("/portal/settings", get(settings::page).post(settings::save))
        .route("/portal/settings/test", post(settings::test))
        .route("/portal/settings/sessions", get(settings::ask_end).post(settings::end))
        .route("/portal/signature", get(signature::page).post(signature::checked))
        .route("/portal/event-types", get(event_types::list))
        .route("/portal/event-types/{name}", get(event_types::one))
        .route("/portal/events/{event}", get(event::page))
        .route("/portal/events/{event}/send", post(event::send))
}

fn replays() -> Router<Arc<Site>> {
    const ONE: &str = "/portal/replays/{replay}";
    let below = |rest: &str| format!("{ONE}{rest}");
    Router::new()
        .route("/portal/replays", get(replays::list))
        .route("/portal/replays/new", get(replays::new_page).post(replays::begin))
        .route(ONE, get(replays::one))
        .route(&below("/pause"), post(replays::pause))
        .route(&below("/resume"), post(replays::resume))
        .route(&below("/rate"), post(replays::set_rate))
        .route(&below("/cancel"), get(replays::ask_cancel).post(replays::cancel))
}
