//! `/auth`: letting tenants in with tokens of their own.
//!
//! The link leads to `/portal/enter` of this server, with a code in the part of the address that browsers keep to
//! themselves. It opens once, and for minutes; the token beside it is for the API.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::auth::{ForOrganisation, ForReader};
use super::json::Sent;
use super::place::Place;
use super::problem::{Fault, FaultKind, Problem, Problems};
use super::routes::Api;
use super::wire::portal::{AppPortalAccessIn, AppPortalAccessOut};
use crate::control::applications::Put;
use crate::control::sessions::LinkWish;
use crate::control::tokens::Caller;
use crate::domain::capability::Capabilities;

/// How long the token holds when nobody says, and at the most: what client libraries know.
const SPAN_MAX: Duration = Duration::from_hours(24 * 7);
/// Most flags: a token travels in a header, and has to fit there.
const FLAGS_MAX: usize = 50;
/// Longest flag, in bytes.
const FLAG_MAX: usize = 128;

/// Lets a tenant in: a token for its application, and a link with it.
///
/// The link opens the tenants' portal once, within 15 minutes of its making; the session behind it lasts for 12
/// hours at the most. The token is for the API.
#[utoipa::path(
    post, path = "/auth/app-portal-access/{app}", tag = "Authentication",
    operation_id = "v1.authentication.app-portal-access",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
    ),
    request_body = AppPortalAccessIn,
    responses((status = 200, description = "The way in", body = AppPortalAccessOut), Problems),
)]
pub(super) async fn access(
    State(api): State<Arc<Api>>,
    ForOrganisation { control }: ForOrganisation,
    Place(app): Place<String>,
    Sent(sent): Sent<AppPortalAccessIn>,
) -> Result<Json<AppPortalAccessOut>, Problem> {
    // Let in with more than was asked for is worse than not at all.
    if sent.read_only == Some(true) {
        return Err(fault(&["readOnly"], "only `false` is accepted".into()));
    }
    if sent.capabilities.is_some() {
        return Err(fault(&["capabilities"], "is not supported: leave it out".into()));
    }
    let feature_flags = sent.feature_flags.unwrap_or_default();
    let too_long = |flag: &String| !(1..=FLAG_MAX).contains(&flag.len());
    if feature_flags.len() > FLAGS_MAX || feature_flags.iter().any(too_long) {
        let why = format!("at most {FLAGS_MAX} of 1 to {FLAG_MAX} bytes are accepted");
        return Err(fault(&["featureFlags"], why));
    }
    let span = sent.expiry.map_or(SPAN_MAX, Duration::from_secs);
    if span.is_zero() || span > SPAN_MAX {
        let why = format!("1 to {} seconds are accepted", SPAN_MAX.as_secs());
        return Err(fault(&["expiry"], why));
    }
    let application = match sent.application {
        None => control.application(&app).await?,
        Some(wanted) => {
            let wanted = wanted.under(&app).map_err(|why| fault(&["application", "uid"], why))?;
            match control.application_or_create(wanted).await? {
                Put::Made(application) | Put::Known(application) => application,
            }
        }
    };
    let caller = Caller::Application {
        organisation: application.organisation,
        application: application.id,
        feature_flags: feature_flags.clone(),
    };
    let token = api.tokens().token(&caller, api.now(), span);
    let base = api.public_url().as_str().trim_end_matches('/');
    let capabilities = Capabilities::ALL;
    let wish = LinkWish { capabilities, feature_flags, label: None, span };
    let code = api.sessions().link(&application, wish).await?;
    Ok(Json(AppPortalAccessOut { url: format!("{base}/portal/enter#t={code}"), token }))
}

/// Says goodbye. Tokens are not kept anywhere: one ends by its time, or with the key it was signed with, and
/// whoever logs out forgets it.
#[utoipa::path(
    post, path = "/auth/logout", tag = "Authentication", operation_id = "v1.authentication.logout",
    responses((status = 204, description = "Goodbye"), Problems),
)]
pub(super) async fn logout(_: ForReader) -> StatusCode {
    StatusCode::NO_CONTENT
}

fn fault(field: &[&str], msg: String) -> Problem {
    let loc = ["body"].iter().chain(field).map(|part| (*part).to_owned()).collect();
    Problem::Faults(vec![Fault { loc, msg, kind: FaultKind::Value }])
}
