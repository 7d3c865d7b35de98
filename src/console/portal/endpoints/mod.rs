//! Endpoints: the list, making and changing one, its own pages, and what can be done to it.

mod deeds;
mod detail;
mod edit;
mod form;
mod head;
mod list;
mod secret;
mod snippets;
mod span;
mod test;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

pub(super) use self::form::Fault;
pub(super) use self::head::badge;
pub(super) use self::test::{TestResult, in_time};
use crate::console::site::Site;

/// Its pages.
pub(super) fn pages() -> Router<Arc<Site>> {
    const ONE: &str = "/portal/endpoints/{endpoint}";
    let below = |rest: &str| format!("{ONE}{rest}");
    Router::new()
        .route("/portal/endpoints", get(list::page))
        .route("/portal/endpoints/new", get(edit::new_page).post(edit::create))
        .route(ONE, get(detail::deliveries))
        .route(&below("/edit"), get(edit::edit_page).post(edit::edit))
        .route(&below("/settings"), get(detail::settings))
        .route(&below("/signing"), get(secret::page).post(secret::reveal))
        .route(&below("/rotate"), get(secret::ask_at_once).post(secret::rotate))
        .route(&below("/test"), get(test::page).post(test::call))
        .route(&below("/example"), post(test::example))
        .route(&below("/health"), get(detail::health))
        .route(&below("/history"), get(detail::history))
        .route(&below("/pause"), post(deeds::pause))
        .route(&below("/resume"), post(deeds::resume))
        .route(&below("/enable"), post(deeds::enable))
        .route(&below("/disable"), get(deeds::ask_disable).post(deeds::disable))
        .route(&below("/delete"), get(deeds::ask_delete).post(deeds::delete))
}
