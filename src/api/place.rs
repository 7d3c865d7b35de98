//! What a path names, when it is not the application (`auth` finds that).

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use super::routes::Api;

/// The names in the path, in their order.
pub(super) struct Place<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Api>> for Place<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let path = Path::from_request_parts(parts, api).await;
        // A name that is no text names nothing.
        path.map(|Path(names)| Self(names)).map_err(|_| Problem::NoSuchPath)
    }
}
