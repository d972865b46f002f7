//! Locks, by their token: nothing is kept of them here between two requests.

use std::borrow::Cow;
use std::time::Duration;

use agent_data_store::HeldLock;
use agent_data_store::model::Version;
use agent_data_store::wire::Object;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::answer::{json, no_content};
use crate::app::App;
use crate::body::JsonBody;
use crate::caller::Caller;
use crate::error::Result;
use crate::place::Namespace;
use crate::waiting::{bounded, unless_stopped};
use crate::write::{pause, ttl};

/// How long a lock is held where nothing is said.
const USUAL_TTL: Duration = Duration::from_secs(300);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AcquireBody<'a> {
    #[serde(borrow)]
    resource: Cow<'a, str>,
    #[serde(borrow)]
    ttl_seconds: Option<&'a RawValue>,
    #[serde(borrow)]
    wait_seconds: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RenewBody<'a> {
    #[serde(borrow)]
    resource: Cow<'a, str>,
    token: Version,
    #[serde(borrow)]
    ttl_seconds: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReleaseBody<'a> {
    #[serde(borrow)]
    resource: Cow<'a, str>,
    token: Version,
}

/// Takes a lock, waiting for it if asked to.
pub(crate) async fn acquire(
    State(app): State<App>,
    caller: Caller,
    Namespace(namespace): Namespace,
    body: JsonBody,
) -> Result {
    let view = caller.writer(&namespace)?;
    let AcquireBody { resource, ttl_seconds, wait_seconds } = body.parse()?;
    let wait = bounded(&app, pause("waitSeconds", wait_seconds)?);
    let ttl = ttl(ttl_seconds)?.unwrap_or(USUAL_TTL);
    let lock = unless_stopped(&app, view.acquire_lock(&resource, ttl, wait)).await?;
    Ok(shown(&resource, lock))
}

/// Holds a lock for longer.
pub(crate) async fn renew(caller: Caller, Namespace(namespace): Namespace, body: JsonBody) -> Result {
    let view = caller.writer(&namespace)?;
    let RenewBody { resource, token, ttl_seconds } = body.parse()?;
    let ttl = ttl(ttl_seconds)?.unwrap_or(USUAL_TTL);
    Ok(shown(&resource, view.renew_lock(&resource, token, ttl).await?))
}

/// Gives a lock back.
pub(crate) async fn release(caller: Caller, Namespace(namespace): Namespace, body: JsonBody) -> Result {
    let view = caller.writer(&namespace)?;
    let ReleaseBody { resource, token } = body.parse()?;
    view.release_lock(&resource, token).await?;
    Ok(no_content())
}

fn shown(resource: &str, lock: HeldLock) -> Response {
    let body = Object::with_capacity(96)
        .text("resource", resource)
        .number("token", lock.token)
        .time("expiresAt", lock.expires_at);
    json(body.into_text())
}
