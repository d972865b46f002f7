//! The description of all routes, for programs and for people.

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::answer::json;
use crate::openapi;

/// Nothing but what is in the page itself, and the description.
const POLICY: &str = "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Describes all routes: this document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "server", operation_id = "openapi",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
)]
pub(crate) async fn openapi() -> Response {
    json(openapi::text())
}

/// Describes all routes on a page for people.
#[utoipa::path(
    get, path = "/docs", tag = "server", operation_id = "docs",
    responses((status = 200, description = "The page", body = String, content_type = "text/html")),
)]
pub(crate) async fn page() -> Response {
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, POLICY)];
    (headers, include_str!("../page.html")).into_response()
}
