//! Tasks: work that many share. A claim is known by its token: nothing is kept of it here between two requests.

use std::borrow::Cow;

use agent_data_store::model::Version;
use agent_data_store::wire::{self, Object};
use agent_data_store::{Claim, ClaimOptions, TaskSummary};
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::answer::{json, no_content};
use crate::app::App;
use crate::body::{JsonBody, checked};
use crate::caller::Caller;
use crate::error::{Failure, Result};
use crate::place::{Choices, Namespace};
use crate::waiting::{bounded, unless_stopped};
use crate::write::{pause, ttl};

/// Which tasks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TasksQuery {
    /// Only those whose key starts with this.
    prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClaimBody<'a> {
    #[serde(borrow, default)]
    prefix: Cow<'a, str>,
    #[serde(borrow)]
    ttl_seconds: Option<&'a RawValue>,
    #[serde(borrow)]
    wait_seconds: Option<&'a RawValue>,
    max_attempts: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CompleteBody<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    token: Version,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FailBody<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    token: Version,
    #[serde(borrow)]
    error: Cow<'a, str>,
    #[serde(borrow)]
    retry_in_seconds: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RenewBody<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    token: Version,
    #[serde(borrow)]
    ttl_seconds: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReleaseBody<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    token: Version,
}

/// Sums up tasks.
pub(crate) async fn summary(
    caller: Caller,
    Namespace(namespace): Namespace,
    Choices(query): Choices<TasksQuery>,
) -> Result {
    let summary = caller.reader(&namespace)?.tasks(query.prefix.as_deref().unwrap_or_default()).await?;
    Ok(json(summary_json(&summary)))
}

/// Claims the first task that nobody else has.
pub(crate) async fn claim(
    State(app): State<App>,
    caller: Caller,
    Namespace(namespace): Namespace,
    body: JsonBody,
) -> Result {
    let view = caller.writer(&namespace)?;
    let ClaimBody { prefix, ttl_seconds, wait_seconds, max_attempts } = body.parse()?;
    let ttl = ttl(ttl_seconds)?.ok_or_else(no_ttl)?;
    let wait = bounded(&app, pause("waitSeconds", wait_seconds)?);
    let options = ClaimOptions { ttl, wait, max_attempts };
    match unless_stopped(&app, view.claim(&prefix, options)).await? {
        Some(claim) => Ok(shown(&claim)),
        None => Ok(no_content()),
    }
}

/// Ends a task with its result.
pub(crate) async fn complete(caller: Caller, Namespace(namespace): Namespace, body: JsonBody) -> Result {
    let view = caller.writer(&namespace)?;
    let CompleteBody { key, token, result } = body.parse()?;
    let result = result.map(|result| checked(result, view.limits())).transpose()?;
    view.claimed(&key, token).await?.complete(result).await?;
    Ok(no_content())
}

/// Gives a task back after a pause, or sets it aside for good.
pub(crate) async fn fail(caller: Caller, Namespace(namespace): Namespace, body: JsonBody) -> Result {
    let view = caller.writer(&namespace)?;
    let FailBody { key, token, error, retry_in_seconds } = body.parse()?;
    let retry_in = pause("retryInSeconds", retry_in_seconds)?;
    view.claimed(&key, token).await?.fail(&error, retry_in).await?;
    Ok(no_content())
}

/// Gives a task back at once.
pub(crate) async fn release(caller: Caller, Namespace(namespace): Namespace, body: JsonBody) -> Result {
    let view = caller.writer(&namespace)?;
    let ReleaseBody { key, token } = body.parse()?;
    view.claimed(&key, token).await?.release().await?;
    Ok(no_content())
}

/// Keeps a task for longer.
pub(crate) async fn renew(caller: Caller, Namespace(namespace): Namespace, body: JsonBody) -> Result {
    let view = caller.writer(&namespace)?;
    let RenewBody { key, token, ttl_seconds } = body.parse()?;
    let mut claim = view.claimed(&key, token).await?;
    claim.renew(ttl(ttl_seconds)?.ok_or_else(no_ttl)?).await?;
    Ok(shown(&claim))
}

fn no_ttl() -> Failure {
    Failure::invalid("the body has no ttlSeconds: say how long the task is kept from others")
}

fn shown(claim: &Claim) -> Response {
    let body = Object::with_capacity(claim.value().len() + 192)
        .text("key", claim.key())
        .json("value", claim.value())
        .number("token", claim.token())
        .number("attempt", claim.attempt())
        .time("until", claim.until())
        .text("lastError", claim.last_error());
    json(body.into_text())
}

fn summary_json(summary: &TaskSummary) -> String {
    let claimed = wire::array(summary.claimed.iter().map(|task| {
        Object::with_capacity(128)
            .text("key", &*task.key)
            .text("agent", task.agent.as_deref())
            .number("attempt", task.attempt)
            .time("until", task.until)
            .end()
    }));
    let failed = wire::array(summary.failed.iter().map(|task| {
        Object::with_capacity(128)
            .text("key", &*task.key)
            .number("attempts", task.attempts)
            .text("error", task.error.as_deref())
            .end()
    }));
    Object::with_capacity(claimed.len() + failed.len() + 64)
        .number("waiting", summary.waiting)
        .json("claimed", &claimed)
        .number("done", summary.done)
        .json("failed", &failed)
        .into_text()
}
