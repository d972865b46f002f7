//! The server's own counts.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::caller::Caller;
use crate::error::Result;

/// Shows the server's own counts, in the form that Prometheus collects, to admins.
#[utoipa::path(
    get, path = "/metrics", tag = "server", operation_id = "metrics",
    responses((status = 200, description = "OpenMetrics", body = String, content_type = "application/openmetrics-text")),
)]
pub(crate) async fn for_admins(State(app): State<App>, caller: Caller) -> Result {
    caller.permit().check_admin()?;
    Ok(metrics(State(app)).await)
}

/// To everyone who can connect.
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    let content_type = [(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    (content_type, app.metrics().text()).into_response()
}
