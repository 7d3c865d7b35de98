//! The inspector: a target for development, called at `/inspect/{token}` and looked at below the
//! application.
//!
//! The receiving side asks for no token in a header: the one in its path is the secret, and it opens nothing
//! but the way in. It is no operation of the API, so nothing of it is in the API's description or in the log
//! of who did what. It answers 200, or what its query asks for (`?status=503`), to try out what becomes of a
//! delivery that fails.
//!
//! **What if we die right here?** A request that was kept and not answered is sent again, and shown twice: it
//! is a window, not a receiver that counts.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};

use super::auth::ForApplication;
use super::body::Body;
use super::problem::{Problem, Problems};
use super::query::Query;
use super::routes::Api;
use super::wire::inspector::{InspectedRequestOut, InspectorOut};
use crate::control::inspector::{Arrived, BODY_KEPT};
use crate::control::pace::Peer;

/// What addresses begin with, below what this server is called by.
const START: &str = "/inspect/";

/// The application's inspector: a target for development, and the last requests that came to it.
///
/// It is made when it is first asked for. Its `url` can be an endpoint's; with `?status=503` behind it, it
/// answers so. It keeps 50 requests for a day, 64 KiB of each body, and takes ten requests a second.
#[utoipa::path(
    get, path = "/app/{app}/inspector", tag = "Inspector", operation_id = "v1.inspector.get",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
    ),
    responses((status = 200, description = "Its address, and what came", body = InspectorOut), Problems),
)]
pub(super) async fn get(
    State(api): State<Arc<Api>>,
    ForApplication { application, .. }: ForApplication,
) -> Result<Json<InspectorOut>, Problem> {
    let looked = api.inspector().look(application.tenant()).await?;
    let base = api.public_url().as_str().trim_end_matches('/');
    let requests = looked.requests.into_iter().map(InspectedRequestOut::from).collect();
    Ok(Json(InspectorOut { url: format!("{base}{START}{}", looked.token), requests }))
}

/// Empties the application's inspector and gives it another address. The old one leads nowhere from then on.
#[utoipa::path(
    delete, path = "/app/{app}/inspector", tag = "Inspector", operation_id = "v1.inspector.delete",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
    ),
    responses((status = 204, description = "It is empty"), Problems),
)]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    ForApplication { application, .. }: ForApplication,
) -> Result<StatusCode, Problem> {
    api.inspector().empty(application.tenant()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whatever comes to an address.
pub(super) async fn receive(
    State(api): State<Arc<Api>>,
    peer: Option<Extension<Peer>>,
    query: Query,
    request: Request,
) -> Result<Response, Problem> {
    let wanted = "a status of 200 to 599 is accepted";
    let below = request.uri().path().strip_prefix(START).unwrap_or_default();
    let (token, rest) = below.split_once('/').unwrap_or((below, ""));
    let Some(target) = api.inspector().target(token).await? else {
        // In the words of any path that is not there, and slower the more are guessed.
        if let Some(Extension(Peer(address))) = peer {
            api.paces().fails(address).map_err(Problem::TooMany)?;
        }
        return Err(Problem::NoSuchPath);
    };
    api.paces().inspects(target).map_err(Problem::TooMany)?;
    let status = query.read::<Asked>("status", wanted)?.map_or(StatusCode::OK, |Asked(it)| it);
    let path = match request.uri().query() {
        Some(query) => format!("/{rest}?{query}"),
        None => format!("/{rest}"),
    };
    let (method, headers) = (request.method().to_string(), texts(request.headers()));
    let (body, truncated) = Body::beginning(BODY_KEPT, request, &api).await?;
    let arrived = Arrived { method, path, headers, body: body.bytes.to_vec(), truncated };
    if !api.inspector().keep(target, arrived).await? {
        return Err(Problem::NoSuchPath); // it was given another address meanwhile
    }
    // These two have no body, by what they are.
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok(status.into_response());
    }
    Ok((status, [(CONTENT_TYPE, "application/json")], r#"{"received":true}"#).into_response())
}

/// The status to answer with.
struct Asked(StatusCode);

impl FromStr for Asked {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let status = text.parse().ok().filter(|status| (200..=599).contains(status)).ok_or(())?;
        StatusCode::from_u16(status).map(Self).map_err(|_| ())
    }
}

/// As texts, in their order; what is none is shown as nearly as it can be.
fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect()
}
