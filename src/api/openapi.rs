//! What the API says of itself: an `OpenAPI` 3.1 document made of the handlers' own descriptions, and a page
//! to read and try it, with its assets in the binary.
//!
//! The same document is kept in `schemas/openapi.json`, and a test holds the two together.

use std::sync::Arc;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::map_response;
use axum::response::Response;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi, SecurityRequirement};
use utoipa::{Modify, OpenApi as _};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::problem::{HttpError, HttpValidationError};
use super::routes::{self, Api};

/// Where the document is.
const DOCUMENT: &str = "/api/v1/openapi.json";
/// Where the page is.
pub(super) const PAGE: &str = "/api/v1/docs";
/// What the page may do: its own scripts and nothing of anybody else's. Its styles are set by its scripts.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "posthaste",
        description = "A durable event router. Its API is that of Svix, whose client libraries work unchanged, with additions in the same style.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    components(schemas(HttpError, HttpValidationError)),
    modifiers(&Bearer)
)]
struct About;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", scheme);
        document.security = Some(vec![SecurityRequirement::new("bearer", Vec::<String>::new())]);
    }
}

/// What holds for all operations.
pub(super) fn about() -> OpenApi {
    About::openapi()
}

/// The whole document.
pub fn document() -> OpenApi {
    routes::operations().into_openapi()
}

/// The paths of the document and of its page.
pub(super) fn pages(document: OpenApi) -> Router<Arc<Api>> {
    let config = Config::default().try_it_out_enabled(true).persist_authorization(false);
    let pages: Router<Arc<Api>> =
        SwaggerUi::new(PAGE).url(DOCUMENT, document).config(config).into();
    pages.layer(map_response(guarded))
}

async fn guarded(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}
