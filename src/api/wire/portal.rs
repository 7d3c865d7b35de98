//! What is asked for and given when a tenant is let into its portal.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::application::ApplicationIn;
use crate::domain::capability::Capability;

/// How a tenant is to be let in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct AppPortalAccessIn {
    /// Event types of these flags are shown, besides those for everybody.
    pub(in super::super) feature_flags: Option<Vec<String>>,
    /// Made first, when there is no application of the path's name; its uid is that name.
    pub(in super::super) application: Option<ApplicationIn>,
    /// Seconds that the token holds. The page's session lasts for as long, and for 12 hours at the most.
    #[schema(minimum = 1, maximum = 604_800, default = 604_800)]
    pub(in super::super) expiry: Option<u64>,
    /// Looking alone, whatever `capabilities` says: `ViewBase` and nothing else.
    pub(in super::super) read_only: Option<bool>,
    /// What the tenant may do, on the page and with the token; all of it when nobody says. `ViewBase` is always among them.
    /// Nobody is given more than the token that asks has.
    #[schema(min_items = 1)]
    pub(in super::super) capabilities: Option<Vec<AppPortalCapability>>,
    /// A name for the session, to end it by (`expire-all`): letters, digits, `-`, `_` and `.`, at most 256 of them.
    #[schema(min_length = 1, max_length = 256, pattern = r"^[a-zA-Z0-9\-_.]+$")]
    pub(in super::super) session_id: Option<String>,
}

/// What a tenant may do.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
pub(in super::super) enum AppPortalCapability {
    /// Looks at everything but secrets.
    ViewBase,
    /// Is shown the keys that requests are signed with, and endpoints' own headers.
    ViewEndpointSecret,
    /// Gives endpoints other keys.
    ManageEndpointSecret,
    /// Allows nothing: there are no transformations here.
    ManageTransformations,
    /// Sends tests, retries and replays.
    CreateAttempts,
    /// Makes, changes and deletes endpoints and settings.
    ManageEndpoint,
}

impl From<AppPortalCapability> for Capability {
    fn from(one: AppPortalCapability) -> Self {
        match one {
            AppPortalCapability::ViewBase => Self::ViewBase,
            AppPortalCapability::ViewEndpointSecret => Self::ViewEndpointSecret,
            AppPortalCapability::ManageEndpointSecret => Self::ManageEndpointSecret,
            AppPortalCapability::ManageTransformations => Self::ManageTransformations,
            AppPortalCapability::CreateAttempts => Self::CreateAttempts,
            AppPortalCapability::ManageEndpoint => Self::ManageEndpoint,
        }
    }
}

/// The way in.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct AppPortalAccessOut {
    /// The page, with the token behind `#`: browsers do not send that part to anybody.
    #[schema(format = "uri")]
    pub(in super::super) url: String,
    /// The token: for the API, as the tenant.
    pub(in super::super) token: String,
}

/// Which sessions are to end.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct ApplicationTokenExpireIn {
    /// In how many seconds; at once when nobody says.
    #[schema(minimum = 0, maximum = 3_600, default = 0)]
    pub(in super::super) expiry: Option<u64>,
    /// Only those that were let in under one of these names; all of them when there is none.
    #[schema(max_items = 100)]
    pub(in super::super) session_ids: Option<Vec<String>>,
}
