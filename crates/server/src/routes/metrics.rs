//! The server's own counts.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::caller::Caller;
use crate::error::Result;

/// For those who may look at the server itself.
pub(crate) async fn for_admins(State(app): State<App>, caller: Caller) -> Result {
    caller.permit().check_admin()?;
    Ok(metrics(State(app)).await)
}

/// In the form that Prometheus collects.
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    let content_type = [(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    (content_type, app.metrics().text()).into_response()
}
