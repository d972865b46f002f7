//! Answers that are not errors.

use agent_data_store::model::Version;
use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

/// The media type of every answer that is not a page.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A JSON text as the body, which is not copied for that.
pub(crate) fn json(text: impl AsRef<[u8]> + Send + 'static) -> Response {
    json_body(Body::from(Bytes::from_owner(text)))
}

/// A body of JSON.
pub(crate) fn json_body(body: Body) -> Response {
    ([(CONTENT_TYPE, JSON)], body).into_response()
}

/// Nothing to say.
pub(crate) fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// The same answer with the version that it shows as its entity tag.
pub(crate) fn tagged(version: Version, mut response: Response) -> Response {
    response.headers_mut().insert(ETAG, number(&format!("\"{version}\"")));
    response
}

/// A header of digits and other characters that every header may hold.
pub(crate) fn number(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}
