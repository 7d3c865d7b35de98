//! `/app/{app}/settings`: what an application sets for all that it sends, and the secret that what goes to
//! its URLs without an endpoint is signed with. An application's own token sets less than all of them: what
//! the platform decides over its tenants' heads is not theirs to set, though they may see it.
//!
//! POST, PUT and PATCH are the same: each merges what it is sent. A PUT that wrote all anew would take away
//! what somebody else has set, and platforms' clients clear one field by it.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};

use super::auth::{ForApplication, ForEither};
use super::idempotency::Repeated;
use super::json::Sent;
use super::problem::{Problem, Problems};
use super::routes::Api;
use super::wire::endpoint_secret::{SecretOut, SettingsSecretRotateIn};
use super::wire::settings::{SettingsIn, SettingsOut};
use crate::control::OVERLAP_S_DEFAULT;
use crate::control::settings::SettingsEdit;
use crate::control::tokens::Caller;

type Answer = Result<Json<SettingsOut>, Problem>;

/// An application's settings.
#[utoipa::path(
    get, path = "/app/{app}/settings", tag = "Settings", operation_id = "v1.settings.get",
    params(("app" = String, Path, description = "The application's id or uid")),
    responses((status = 200, description = "All of them", body = SettingsOut), Problems),
)]
pub(super) async fn get(ForApplication { control, application }: ForApplication) -> Answer {
    Ok(Json(control.settings_of(application.tenant()).await?.into()))
}

/// Changes what is given of an application's settings.
///
/// `delivery`, `schemaMode` and `attributes` are set with a token of the organisation alone. `delivery: hold` and `off` answer when no attempt starts any more; `on` offers what was held.
#[utoipa::path(
    post, path = "/app/{app}/settings", tag = "Settings", operation_id = "v1.settings.set",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    request_body = SettingsIn,
    responses((status = 200, description = "All of them, as they are now", body = SettingsOut), Problems),
)]
pub(super) async fn post(
    State(api): State<Arc<Api>>,
    who: ForEither,
    Sent(edit): Sent<SettingsEdit>,
) -> Answer {
    edited(&api, who, edit).await
}

/// Changes what is given of an application's settings, as POST and PATCH do.
#[utoipa::path(
    put, path = "/app/{app}/settings", tag = "Settings", operation_id = "v1.settings.update",
    params(("app" = String, Path, description = "The application's id or uid")),
    request_body = SettingsIn,
    responses((status = 200, description = "All of them, as they are now", body = SettingsOut), Problems),
)]
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    who: ForEither,
    Sent(edit): Sent<SettingsEdit>,
) -> Answer {
    edited(&api, who, edit).await
}

/// Changes what is given of an application's settings.
#[utoipa::path(
    patch, path = "/app/{app}/settings", tag = "Settings", operation_id = "v1.settings.patch",
    params(("app" = String, Path, description = "The application's id or uid")),
    request_body = SettingsIn,
    responses((status = 200, description = "All of them, as they are now", body = SettingsOut), Problems),
)]
pub(super) async fn patch(
    State(api): State<Arc<Api>>,
    who: ForEither,
    Sent(edit): Sent<SettingsEdit>,
) -> Answer {
    edited(&api, who, edit).await
}

async fn edited(api: &Api, who: ForEither, edit: SettingsEdit) -> Answer {
    let ForEither { asked, caller } = who;
    if let (Caller::Application { .. }, Some(field)) = (caller, edit.of_the_platform()) {
        return Err(Problem::NotForApplications(field));
    }
    let settings = asked.control.edit_settings(asked.tenant(), edit, api.urls().as_ref()).await?;
    Ok(Json(settings.into()))
}

/// The newest secret of what goes to the application's URLs without an endpoint: the default one, and
/// those that events name. Every application has one from the first.
#[utoipa::path(
    get, path = "/app/{app}/settings/secret", tag = "Settings", operation_id = "v1.settings.get-secret",
    params(("app" = String, Path, description = "The application's id or uid")),
    responses((status = 200, description = "The secret", body = SecretOut), Problems),
)]
pub(super) async fn secret(
    ForApplication { control, application }: ForApplication,
) -> Result<Json<SecretOut>, Problem> {
    let newest = control.settings_key_of(application.tenant()).await?;
    Ok(Json(SecretOut { key: newest.reveal() }))
}

/// Gives the settings a new secret. The old one signs on beside it for a while.
#[utoipa::path(
    post, path = "/app/{app}/settings/secret/rotate", tag = "Settings",
    operation_id = "v1.settings.rotate-secret",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    request_body = SettingsSecretRotateIn,
    responses((status = 200, description = "The new secret; it signs", body = SecretOut), Problems),
)]
pub(super) async fn rotate(
    ForApplication { control, application }: ForApplication,
    repeated: Option<Extension<Repeated>>,
    Sent(sent): Sent<SettingsSecretRotateIn>,
) -> Result<Json<SecretOut>, Problem> {
    let tenant = application.tenant();
    if repeated.is_none() {
        let overlap_s = sent.grace_period_seconds.unwrap_or(OVERLAP_S_DEFAULT);
        control.rotate_settings_secret_of(tenant, sent.key.as_deref().into(), overlap_s).await?;
    }
    let newest = control.settings_key_of(tenant).await?;
    Ok(Json(SecretOut { key: newest.reveal() }))
}
