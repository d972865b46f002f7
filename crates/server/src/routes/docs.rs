//! The description of all routes, for programs and for people.

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::answer::json;
use crate::openapi;

/// Nothing but what is in the page itself, and the description.
const POLICY: &str = "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The OpenAPI document.
pub(crate) async fn openapi() -> Response {
    json(openapi::text())
}

/// A page that shows it.
pub(crate) async fn page() -> Response {
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, POLICY)];
    (headers, include_str!("../page.html")).into_response()
}
