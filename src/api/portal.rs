//! `/auth`: letting tenants in with tokens of their own, and putting them out again.
//!
//! The link leads to `/portal/enter` of this server, with a code in the part of the address that browsers keep to
//! themselves. It opens once, and for minutes; the token beside it is for the API. Both have exactly the rights that
//! were asked for, and none that whoever asks has not.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};

use super::auth::{self, ForOrganisation, ForOwner, ForReader};
use super::json::Sent;
use super::place::Place;
use super::problem::{Fault, FaultKind, Problem, Problems};
use super::routes::Api;
use super::wire::portal::{
    AppPortalAccessIn, AppPortalAccessOut, AppPortalCapability, ApplicationTokenExpireIn,
};
use crate::control::applications::Put;
use crate::control::sessions::LinkWish;
use crate::control::tokens::Caller;
use crate::domain::capability::{Capabilities, Capability};

/// How long the token holds when nobody says, and at the most: what client libraries know.
const SPAN_MAX: Duration = Duration::from_hours(24 * 7);
/// Most flags: a token travels in a header, and has to fit there.
const FLAGS_MAX: usize = 50;
/// Longest flag, in bytes.
const FLAG_MAX: usize = 128;
/// Longest name of a session, in bytes: as of everything that is named by its owner.
const SESSION_ID_MAX: usize = 256;
/// Most names of sessions in one request.
const SESSION_IDS_MAX: usize = 100;
/// Longest that sessions go on which are to end: what client libraries know.
const END_IN_MAX: Duration = Duration::from_hours(1);

/// Lets a tenant in: a token for its application, and a link with it.
///
/// The link opens the tenants' portal once, within 15 minutes of its making; the session behind it lasts for 12
/// hours at the most. The token is for the API. Both may do what `capabilities` says, and nothing else.
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
    headers: HeaderMap,
    Sent(sent): Sent<AppPortalAccessIn>,
) -> Result<Json<AppPortalAccessOut>, Problem> {
    // Let in with more than was asked for is worse than not at all.
    let wanted = capabilities(sent.capabilities.as_deref(), sent.read_only == Some(true))?;
    let capabilities = wanted.and(auth::holder(&headers, &api)?.capabilities);
    let label = sent.session_id;
    if label.as_deref().is_some_and(|label| !is_session_id(label)) {
        return Err(fault(&["sessionId"], session_id_form()));
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
    let token = api.tokens().token_with(&caller, capabilities, api.now(), span);
    let base = api.public_url().as_str().trim_end_matches('/');
    let wish = LinkWish { capabilities, feature_flags, label, span };
    let code = api.sessions().link(&application, wish).await?;
    Ok(Json(AppPortalAccessOut { url: format!("{base}/portal/enter#t={code}"), token }))
}

/// Ends sessions of a tenant's portal: those of these names, or all of them. What they are shown next is that they are over,
/// and links that have not been opened do not open any more.
///
/// Tokens for the API are kept nowhere: one that was made beside a link holds until its time is over.
#[utoipa::path(
    post, path = "/auth/app/{app}/expire-all", tag = "Authentication",
    operation_id = "v1.authentication.expire-all",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
    ),
    request_body = ApplicationTokenExpireIn,
    responses((status = 204, description = "They end"), Problems),
)]
pub(super) async fn expire_all(
    State(api): State<Arc<Api>>,
    ForOwner { application, .. }: ForOwner,
    Sent(sent): Sent<ApplicationTokenExpireIn>,
) -> Result<StatusCode, Problem> {
    let span = Duration::from_secs(sent.expiry.unwrap_or(0));
    if span > END_IN_MAX {
        return Err(fault(
            &["expiry"],
            format!("0 to {} seconds are accepted", END_IN_MAX.as_secs()),
        ));
    }
    let labels = sent.session_ids.unwrap_or_default();
    if labels.len() > SESSION_IDS_MAX {
        return Err(fault(&["sessionIds"], format!("at most {SESSION_IDS_MAX} are accepted")));
    }
    if let Some(place) = labels.iter().position(|label| !is_session_id(label)) {
        return Err(fault(&["sessionIds", &format!("[{place}]")], session_id_form()));
    }
    api.sessions().end_all(application.tenant(), &labels, span).await?;
    Ok(StatusCode::NO_CONTENT)
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

/// What is asked for, of all there is.
fn capabilities(
    named: Option<&[AppPortalCapability]>,
    read_only: bool,
) -> Result<Capabilities, Problem> {
    let wanted = named.map_or(Capabilities::ALL, |named| {
        named.iter().copied().map(Capability::from).collect::<Capabilities>()
    });
    if !wanted.has(Capability::ViewBase) {
        let why = "ViewBase has to be among them: nothing is of use to who sees nothing";
        return Err(fault(&["capabilities"], why.into()));
    }
    Ok(if read_only { wanted.and(Capabilities::VIEW) } else { wanted })
}

fn is_session_id(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=SESSION_ID_MAX).contains(&text.len()) && text.bytes().all(fits)
}

fn session_id_form() -> String {
    format!("1 to {SESSION_ID_MAX} letters, digits, `-`, `_` and `.` are accepted")
}

fn fault(field: &[&str], msg: String) -> Problem {
    let loc = ["body"].iter().chain(field).map(|part| (*part).to_owned()).collect();
    Problem::Faults(vec![Fault { loc, msg, kind: FaultKind::Value }])
}
