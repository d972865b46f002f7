//! Locks, by their token: nothing is kept of them here between two requests.

use std::borrow::Cow;
use std::time::Duration;

use agent_data_store::HeldLock;
use agent_data_store::wire::Object;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::answer::{json, no_content};
use crate::app::App;
use crate::body::{JsonBody, Whole};
use crate::caller::Caller;
use crate::error::Result;
use crate::place::Namespace;
use crate::schemas;
use crate::waiting::{bounded, unless_stopped};
use crate::write::{pause, ttl};

/// How long a lock is held where nothing is said.
const USUAL_TTL: Duration = Duration::from_secs(300);

/// Which lock, and for how long.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AcquireLock<'a> {
    /// Any name on which all agree.
    #[serde(borrow)]
    #[schema(value_type = String, max_length = 1019, pattern = "^[^\\u0000]*$")]
    resource: Cow<'a, str>,
    /// How long it is held unless renewed; 300 where nothing is said.
    #[serde(borrow)]
    #[schema(value_type = Option<f64>, minimum = 0.000001)]
    ttl_seconds: Option<&'a RawValue>,
    /// How long to wait for it where somebody else holds it; bounded by the server.
    #[serde(borrow)]
    #[schema(value_type = Option<f64>, minimum = 0)]
    wait_seconds: Option<&'a RawValue>,
}

/// Which lock, and for how much longer.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RenewLock<'a> {
    /// Any name on which all agree.
    #[serde(borrow)]
    #[schema(value_type = String, max_length = 1019, pattern = "^[^\\u0000]*$")]
    resource: Cow<'a, str>,
    /// As `acquire` gave it.
    token: Whole,
    /// How long it is held unless renewed; 300 where nothing is said.
    #[serde(borrow)]
    #[schema(value_type = Option<f64>, minimum = 0.000001)]
    ttl_seconds: Option<&'a RawValue>,
}

/// Which lock.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReleaseLock<'a> {
    /// Any name on which all agree.
    #[serde(borrow)]
    #[schema(value_type = String, max_length = 1019, pattern = "^[^\\u0000]*$")]
    resource: Cow<'a, str>,
    /// As `acquire` gave it.
    token: Whole,
}

/// Takes a lock, waiting for it if asked to.
#[utoipa::path(
    post, path = "/data-store/namespaces/{namespace}/locks/acquire", tag = "locks", operation_id = "acquire_lock",
    params(Namespace), request_body = AcquireLock<'_>,
    responses(
        (status = 200, description = "It is held", body = schemas::Lock),
        (status = 409, description = "Somebody else holds it", body = schemas::Error),
    ),
)]
pub(crate) async fn acquire(
    State(app): State<App>,
    caller: Caller,
    Namespace { namespace }: Namespace,
    body: JsonBody,
) -> Result {
    let view = caller.worker(&namespace)?;
    let AcquireLock { resource, ttl_seconds, wait_seconds } = body.parse()?;
    let wait = bounded(&app, pause("waitSeconds", wait_seconds)?);
    let ttl = ttl(ttl_seconds)?.unwrap_or(USUAL_TTL);
    let lock = unless_stopped(&app, view.acquire_lock(&resource, ttl, wait)).await?;
    Ok(shown(&resource, lock))
}

/// Holds a lock for longer.
#[utoipa::path(
    post, path = "/data-store/namespaces/{namespace}/locks/renew", tag = "locks", operation_id = "renew_lock",
    params(Namespace), request_body = RenewLock<'_>,
    responses(
        (status = 200, description = "It is held", body = schemas::Lock),
        (status = 409, description = "It is not held under this token", body = schemas::Error),
    ),
)]
pub(crate) async fn renew(caller: Caller, Namespace { namespace }: Namespace, body: JsonBody) -> Result {
    let view = caller.worker(&namespace)?;
    let RenewLock { resource, token, ttl_seconds } = body.parse()?;
    let ttl = ttl(ttl_seconds)?.unwrap_or(USUAL_TTL);
    Ok(shown(&resource, view.renew_lock(&resource, token.0, ttl).await?))
}

/// Gives a lock back.
#[utoipa::path(
    post, path = "/data-store/namespaces/{namespace}/locks/release", tag = "locks", operation_id = "release_lock",
    params(Namespace), request_body = ReleaseLock<'_>,
    responses(
        (status = 204, description = "It is free"),
        (status = 409, description = "It is not held under this token", body = schemas::Error),
    ),
)]
pub(crate) async fn release(caller: Caller, Namespace { namespace }: Namespace, body: JsonBody) -> Result {
    let view = caller.worker(&namespace)?;
    let ReleaseLock { resource, token } = body.parse()?;
    view.release_lock(&resource, token.0).await?;
    Ok(no_content())
}

fn shown(resource: &str, lock: HeldLock) -> Response {
    let body = Object::with_capacity(96)
        .text("resource", resource)
        .number("token", lock.token)
        .time("expiresAt", lock.expires_at);
    json(body.into_text())
}
