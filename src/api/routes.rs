//! Every path of the API, and what holds for all of them.
//!
//! No request is served for longer than [`REQUEST`], and no more than [`REQUESTS`] at once: beyond that
//! the answer is 503 at once, which a client tries again, instead of a queue that grows until nobody
//! waits for its end any more. Paths are the same with a slash behind them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{Method, Uri};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::any;
use tokio::sync::Semaphore;
use url::Url;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::Bodies;
use super::idempotency::InHand;
use super::problem::Problem;
use super::{
    applications, attempts, audit, auth, capabilities, cloudevents, dead_letters, deliveries,
    endpoint_headers, endpoint_secrets, endpoints, event_types, examples, health, idempotency,
    inspector, message_endpoints, messages, openapi, portal, recovery, replays, rest, settings,
    statistics, test_calls, trails,
};
use crate::control::Control;
use crate::control::inspector::InspectorDesk;
use crate::control::pace::{Paces, Peer};
use crate::control::publish::Intake;
use crate::control::recovery::RecoveryDesk;
use crate::control::replays::ReplayDesk;
use crate::control::sessions::SessionDesk;
use crate::control::test_calls::TestCalls;
use crate::control::tokens::TokenKey;
use crate::domain::time::Timestamp;
use crate::storage::answers::Answers;
use crate::storage::audit::Audit;

/// Longest that a request may take, from its head to its answer: a body that comes slowly, and then a
/// broker that confirms late or a file that is written by another process, each within its own bound.
const REQUEST: Duration = Duration::from_secs(45);
/// Requests that are served at the same time. The embedded writer commits 64 at once: four times that
/// keeps it busy, and is a few milliseconds of waiting.
const REQUESTS: usize = 256;

/// Judges the URL of an endpoint: the normalised one, or a sentence about what is wrong with it.
pub type UrlCheck = Box<dyn Fn(&str) -> Result<Url, String> + Send + Sync>;

/// What the API is made of.
pub struct Parts {
    /// What a person may do.
    pub control: Control,
    /// Where events come in.
    pub intake: Intake,
    /// What tokens are signed with.
    pub tokens: Arc<TokenKey>,
    /// Which URLs endpoints may have.
    pub urls: UrlCheck,
    /// What makes test calls.
    pub test_calls: TestCalls,
    /// The clock.
    pub now: fn() -> Timestamp,
    /// Largest payload that is accepted.
    pub max_payload_bytes: usize,
    /// What this server is called by in links for tenants.
    pub public_url: Url,
    /// What requests were answered.
    pub answers: Arc<dyn Answers>,
    /// Who did what.
    pub audit: Arc<dyn Audit>,
    /// Where targets for development are looked at and called.
    pub inspector: InspectorDesk,
    /// Where replays are counted, begun and looked after.
    pub replays: ReplayDesk,
    /// Who is let in to the pages.
    pub sessions: SessionDesk,
    /// Where what a broker has lost is recovered; `None` where there is no broker.
    pub recovery: Option<RecoveryDesk>,
    /// Requests per second of one caller, publishing aside; 0 for no limit.
    pub requests_per_second: u16,
}

/// What stands behind the API.
pub struct Api {
    parts: Parts,
    bodies: Bodies,
    places: Semaphore,
    paces: Paces,
    in_hand: InHand,
}

impl Api {
    /// An API of these parts.
    pub fn new(parts: Parts) -> Self {
        let bodies = Bodies::new(parts.max_payload_bytes);
        let paces = Paces::new(parts.requests_per_second, parts.now);
        Self { parts, bodies, places: Semaphore::new(REQUESTS), paces, in_hand: InHand::default() }
    }

    pub(super) const fn control(&self) -> &Control {
        &self.parts.control
    }

    pub(super) const fn intake(&self) -> &Intake {
        &self.parts.intake
    }

    pub(super) const fn test_calls(&self) -> &TestCalls {
        &self.parts.test_calls
    }

    pub(super) fn tokens(&self) -> &TokenKey {
        &self.parts.tokens
    }

    pub(super) const fn urls(&self) -> &UrlCheck {
        &self.parts.urls
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.parts.now)()
    }

    pub(super) const fn public_url(&self) -> &Url {
        &self.parts.public_url
    }

    pub(super) fn answers(&self) -> &dyn Answers {
        self.parts.answers.as_ref()
    }

    pub(super) fn audit(&self) -> &dyn Audit {
        self.parts.audit.as_ref()
    }

    pub(super) const fn inspector(&self) -> &InspectorDesk {
        &self.parts.inspector
    }

    pub(super) const fn replays(&self) -> &ReplayDesk {
        &self.parts.replays
    }

    pub(super) const fn sessions(&self) -> &SessionDesk {
        &self.parts.sessions
    }

    pub(super) const fn recovery(&self) -> Option<&RecoveryDesk> {
        self.parts.recovery.as_ref()
    }

    pub(super) const fn paces(&self) -> &Paces {
        &self.paces
    }

    pub(super) const fn in_hand(&self) -> &InHand {
        &self.in_hand
    }

    pub(super) const fn bodies(&self) -> &Bodies {
        &self.bodies
    }
}

/// Every path there is.
pub fn routes(api: Arc<Api>) -> Router {
    let (operations, document) = operations().split_for_parts();
    // From the outside in: whoever asks too fast costs nothing more, a repeated request is no new deed,
    // a deed is written down, also one that is refused, and what a token does not allow is refused.
    let with = |api: &Arc<Api>| Arc::clone(api);
    let routes = operations
        .route_layer(middleware::from_fn_with_state(with(&api), capabilities::held_to))
        .route_layer(middleware::from_fn_with_state(with(&api), audit::written_down))
        .route_layer(middleware::from_fn_with_state(with(&api), idempotency::once))
        .route_layer(middleware::from_fn_with_state(with(&api), paced))
        .merge(openapi::pages(document))
        .route("/inspect/{token}", any(inspector::receive))
        .route("/inspect/{token}/{*rest}", any(inspector::receive))
        .fallback(async || Problem::NoSuchPath)
        .method_not_allowed_fallback(async || Problem::NoSuchMethod)
        .layer(middleware::from_fn_with_state(Arc::clone(&api), bounded))
        .with_state(api);
    // Around all of it: paths are looked up behind this.
    Router::new()
        .fallback_service(routes)
        .layer(middleware::from_fn(without_slash))
        .layer(middleware::from_fn(rest::heard_out))
}

/// Every operation, with its description.
pub(super) fn operations() -> OpenApiRouter<Arc<Api>> {
    let operations = OpenApiRouter::new()
        .routes(routes!(applications::create, applications::list))
        .routes(routes!(
            applications::get,
            applications::put,
            applications::patch,
            applications::delete
        ))
        .routes(routes!(endpoints::create, endpoints::list))
        .routes(routes!(endpoints::get, endpoints::put, endpoints::patch, endpoints::delete))
        .routes(routes!(examples::send))
        .routes(routes!(endpoints::pause))
        .routes(routes!(endpoints::resume))
        .routes(routes!(endpoint_secrets::get))
        .routes(routes!(endpoint_secrets::rotate))
        .routes(routes!(endpoint_headers::get, endpoint_headers::put, endpoint_headers::patch))
        .routes(routes!(settings::get, settings::post, settings::put, settings::patch))
        .routes(routes!(settings::secret))
        .routes(routes!(settings::rotate))
        .routes(routes!(test_calls::default_url))
        .routes(routes!(test_calls::endpoint))
        .routes(routes!(event_types::create, event_types::list))
        .routes(routes!(
            event_types::get,
            event_types::put,
            event_types::patch,
            event_types::delete
        ))
        .routes(routes!(messages::create, messages::list))
        .routes(routes!(cloudevents::create))
        .routes(routes!(messages::get))
        .routes(routes!(messages::expunge))
        .routes(routes!(attempts::at_endpoint))
        .routes(routes!(attempts::for_message))
        .routes(routes!(attempts::get))
        .routes(routes!(attempts::expunge))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::get))
        .routes(routes!(deliveries::retry))
        .routes(routes!(deliveries::cancel))
        .routes(routes!(trails::trail))
        .routes(routes!(trails::any_trail))
        .routes(routes!(trails::top))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::groups))
        .routes(routes!(dead_letters::get))
        .routes(routes!(dead_letters::discard))
        .routes(routes!(dead_letters::list_all))
        .routes(routes!(dead_letters::all_groups))
        .routes(routes!(dead_letters::get_any))
        .routes(routes!(dead_letters::discard_any))
        .routes(routes!(replays::preview))
        .routes(routes!(replays::begin, replays::list))
        .routes(routes!(replays::get))
        .routes(routes!(replays::pause))
        .routes(routes!(replays::resume))
        .routes(routes!(replays::cancel))
        .routes(routes!(replays::rate))
        .routes(routes!(replays::preview_any))
        .routes(routes!(replays::begin_any, replays::list_any))
        .routes(routes!(replays::get_any))
        .routes(routes!(replays::pause_any))
        .routes(routes!(replays::resume_any))
        .routes(routes!(replays::cancel_any))
        .routes(routes!(replays::rate_any))
        .routes(routes!(message_endpoints::messages))
        .routes(routes!(message_endpoints::endpoints))
        .routes(routes!(message_endpoints::resend))
        .routes(routes!(statistics::stats))
        .routes(routes!(statistics::recover))
        .routes(routes!(statistics::replay_missing))
        .routes(routes!(statistics::task))
        .routes(routes!(inspector::get, inspector::delete))
        .routes(routes!(portal::access))
        .routes(routes!(portal::expire_all))
        .routes(routes!(portal::logout))
        .routes(routes!(health::health))
        .routes(routes!(audit::list))
        .routes(routes!(recovery::recover));
    OpenApiRouter::with_openapi(openapi::about()).nest("/api/v1", operations)
}

/// Paths are the same with a slash behind them.
async fn without_slash(mut request: Request, next: Next) -> Response {
    let uri = request.uri();
    // The page's own scripts are looked up beside it, so it keeps its slash.
    let wanted = |path: &&str| !path.is_empty() && *path != openapi::PAGE;
    if let Some(path) = uri.path().strip_suffix('/').filter(wanted) {
        let target = match uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        if let Ok(target) = target.parse::<Uri>() {
            *request.uri_mut() = target;
        }
    }
    next.run(request).await
}

/// Counts who asks, before anything is done for them.
async fn paced(
    State(api): State<Arc<Api>>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let publishes = path.as_str().ends_with("/msg") || path.as_str().ends_with("/cloudevent");
    let counted = match auth::caller(request.headers(), &api) {
        Ok(_) if publishes && request.method() == Method::POST => Ok(()),
        Ok(caller) => api.paces.asks(&caller.name()),
        Err(_) => match request.extensions().get::<Peer>() {
            Some(Peer(address)) if request.headers().contains_key(AUTHORIZATION) => {
                api.paces.fails(*address)
            }
            Some(_) | None => Ok(()),
        },
    };
    counted.map_err(Problem::TooMany)?;
    Ok(next.run(request).await)
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
