//! What is asked for and given when a tenant is let into its portal.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::application::ApplicationIn;

/// How a tenant is to be let in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct AppPortalAccessIn {
    /// Event types of these flags are shown, besides those for everybody.
    pub(in super::super) feature_flags: Option<Vec<String>>,
    /// Made first, when there is no application of the path's name; its uid is that name.
    pub(in super::super) application: Option<ApplicationIn>,
    /// Seconds that the token holds.
    #[schema(minimum = 1, maximum = 604_800, default = 604_800)]
    pub(in super::super) expiry: Option<u64>,
    /// Not supported yet: only `false` is accepted.
    pub(in super::super) read_only: Option<bool>,
    /// Not supported yet: left out, a tenant may do all that it may do with a token of its own.
    #[schema(value_type = Option<Vec<String>>)]
    pub(in super::super) capabilities: Option<Value>,
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
