//! Who asks: the token of `Authorization: Bearer …`.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::problem::Problem;
use super::routes::Api;
use crate::control::tokens::Caller;

/// Proof that the organisation asks. A handler that takes it is closed to everybody else.
pub(super) struct ForOrganisation;

impl FromRequestParts<Arc<Api>> for ForOrganisation {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        match caller(parts, api).ok_or(Problem::Unauthenticated)? {
            Caller::Organisation => Ok(Self),
            Caller::Application(_) => Err(Problem::Forbidden),
        }
    }
}

fn caller(parts: &Parts, api: &Api) -> Option<Caller> {
    let header = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    let token = scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())?;
    api.tokens().caller(token, api.now())
}
