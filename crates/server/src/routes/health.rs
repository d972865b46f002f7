//! Whether the server is alive.

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use crate::error::JSON;

/// Whether the process answers at all.
pub(crate) async fn health() -> impl IntoResponse {
    ([(CONTENT_TYPE, JSON)], r#"{"status":"ok"}"#)
}
