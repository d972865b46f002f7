//! The server's own counts.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::app::App;

/// In the form that Prometheus collects.
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    let content_type = [(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    (content_type, app.metrics().text()).into_response()
}
