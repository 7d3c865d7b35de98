//! The operators' console: everything of an organisation, and the router itself.
//!
//! - [`health`]: the first page; [`login`]: the way in.
//! - [`applications`], [`application`]: tenants, and what an operator does for them.
//! - [`endpoints`], [`endpoint`], [`deliveries`], [`event`]: what is sent where, and what becomes of it.
//! - [`dead_letters`], [`replaying`], [`discarding`]: what was given up, by what it has in common ([`which`]).
//! - [`replays`], [`event_types`], [`audit`].
//! - [`quarantine`], [`queues`], [`egress`], [`configuration`]: the installation itself.
//! - [`confirm`], [`form`], [`words`]: what these pages have in common.

mod application;
mod applications;
mod audit;
mod configuration;
mod confirm;
mod dead_letters;
mod deliveries;
mod discarding;
mod egress;
mod endpoint;
mod endpoints;
mod event;
mod event_types;
mod form;
mod health;
pub(super) mod login;
mod quarantine;
mod queues;
mod replaying;
mod replays;
mod which;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::site::Site;

/// Its pages behind the login.
pub(super) fn pages() -> Router<Arc<Site>> {
    Router::new()
        .route("/console", get(health::page))
        .merge(of_applications())
        .merge(of_deliveries())
        .merge(of_dead_letters())
        .merge(of_event_types())
        .merge(of_the_installation())
        .route("/console/audit", get(audit::log))
}

fn of_applications() -> Router<Arc<Site>> {
    const ONE: &str = "/console/applications/{app}";
    Router::new()
        .route("/console/applications", get(applications::list).post(applications::create))
        .route("/console/applications/new", get(applications::new))
        .route(ONE, get(application::page))
        .route(&format!("{ONE}/link"), post(application::link))
        .route(
            &format!("{ONE}/sessions"),
            get(application::ask_end_sessions).post(application::end_sessions),
        )
        .route(
            &format!("{ONE}/delivery"),
            get(application::ask_delivery).post(application::delivery),
        )
        .route(&format!("{ONE}/delete"), get(application::ask_delete).post(application::delete))
}

fn of_deliveries() -> Router<Arc<Site>> {
    const ENDPOINT: &str = "/console/applications/{app}/endpoints/{endpoint}";
    const ONE: &str = "/console/deliveries/{app}/{event}/{endpoint}";
    Router::new()
        .route("/console/endpoints", get(endpoints::list))
        .route(ENDPOINT, get(endpoint::page))
        .route(&format!("{ENDPOINT}/{{deed}}"), get(endpoint::ask).post(endpoint::act))
        .route("/console/deliveries", get(deliveries::list))
        .route("/console/events/{event}", get(event::page))
        .route(ONE, get(deliveries::one))
        .route(&format!("{ONE}/retry"), post(deliveries::retry))
        .route(&format!("{ONE}/cancel"), get(deliveries::ask_cancel).post(deliveries::cancel))
}

fn of_dead_letters() -> Router<Arc<Site>> {
    const REPLAY: &str = "/console/replays/{replay}";
    Router::new()
        .route("/console/dead-letters", get(dead_letters::groups))
        .route("/console/dead-letters/list", get(dead_letters::list))
        .route("/console/dead-letters/replay", get(replaying::preview).post(replaying::begin))
        .route("/console/dead-letters/discard", get(discarding::ask).post(discarding::discard))
        .route("/console/dead-letters/{letter}", get(dead_letters::one))
        .route("/console/replays", get(replays::list))
        .route(REPLAY, get(replays::one))
        .route(&format!("{REPLAY}/pause"), post(replays::pause))
        .route(&format!("{REPLAY}/resume"), post(replays::resume))
        .route(&format!("{REPLAY}/cancel"), get(replays::ask_cancel).post(replays::cancel))
        .route(&format!("{REPLAY}/rate"), post(replays::rate))
}

fn of_event_types() -> Router<Arc<Site>> {
    const ONE: &str = "/console/event-types/{name}";
    Router::new()
        .route("/console/event-types", get(event_types::list).post(event_types::create))
        .route("/console/new-event-type", get(event_types::new))
        .route(ONE, get(event_types::one))
        .route(&format!("{ONE}/edit"), get(event_types::edit).post(event_types::save))
        .route(&format!("{ONE}/archive"), get(event_types::ask_archive).post(event_types::archive))
        .route(&format!("{ONE}/list"), post(event_types::unarchive))
}

fn of_the_installation() -> Router<Arc<Site>> {
    const HELD: &str = "/console/quarantine/{shelf}/{message}";
    Router::new()
        .route("/console/quarantine", get(quarantine::list))
        .route(HELD, get(quarantine::one).post(quarantine::resubmit))
        .route(&format!("{HELD}/discard"), get(quarantine::ask_discard).post(quarantine::discard))
        .route("/console/queues", get(queues::page))
        .route("/console/egress", get(egress::page).post(egress::try_out))
        .route("/console/configuration", get(configuration::page))
}
