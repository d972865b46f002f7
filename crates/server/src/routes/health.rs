//! Whether the server is alive, and whether it can serve.

use axum::extract::State;
use axum::response::Response;

use agent_data_store::{Error, ErrorKind, Identity};

use crate::answer::json;
use crate::app::App;
use crate::error::Result;
use crate::schemas;

/// Says that the process answers at all.
#[utoipa::path(
    get, path = "/health", tag = "server", operation_id = "health",
    responses((status = 200, description = "It does", body = schemas::Health)),
)]
pub(crate) async fn health() -> Response {
    json(r#"{"status":"ok"}"#)
}

/// Says whether requests can be served: the store answers, and the server is not about to stop.
#[utoipa::path(
    get, path = "/ready", tag = "server", operation_id = "ready",
    responses(
        (status = 200, description = "They can", body = schemas::Health),
        (status = 503, description = "They cannot now", body = schemas::Error),
    ),
)]
pub(crate) async fn ready(State(app): State<App>) -> Result {
    if *app.stopping().borrow() {
        return Err(Error::new(ErrorKind::Unavailable, "the server is stopping: try another one").into());
    }
    let answered = app.store().data_store(Identity::new("default", None)?, "default")?.position().await;
    answered.map_err(|error| Error::new(ErrorKind::Unavailable, error.message()).caused_by(error))?;
    Ok(json(r#"{"status":"ready"}"#))
}
