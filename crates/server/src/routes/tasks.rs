//! Tasks: work that many share. A claim is known by its token: nothing is kept of it here between two requests.

use std::borrow::Cow;

use agent_data_store::wire::{self, Object};
use agent_data_store::{Claim, ClaimOptions, TaskSummary};
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use crate::answer::{json, no_content};
use crate::app::App;
use crate::body::{JsonBody, Whole, checked};
use crate::caller::Caller;
use crate::error::{Failure, Result};
use crate::place::{Choices, Namespace};
use crate::schemas::{self, Key};
use crate::waiting::{bounded, unless_stopped};
use crate::write::{pause, ttl};

/// Which tasks.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TasksQuery {
    /// Only those whose key starts with this.
    prefix: Option<String>,
}

/// Which tasks, and for how long.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ClaimTask<'a> {
    /// Only tasks whose key starts with this.
    #[serde(borrow, default)]
    prefix: Cow<'a, str>,
    /// How long the task is kept from others unless renewed.
    #[serde(borrow)]
    #[schema(value_type = f64, required, minimum = 0.000001)]
    ttl_seconds: Option<&'a RawValue>,
    /// How long to wait for a task where there is none; bounded by the server.
    #[serde(borrow)]
    #[schema(value_type = Option<f64>, minimum = 0)]
    wait_seconds: Option<&'a RawValue>,
    /// After this many attempts without an end a task is set aside as failed; never where nothing is said.
    max_attempts: Option<Whole>,
}

/// Which task, and what came of it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompleteTask<'a> {
    #[serde(borrow)]
    #[schema(value_type = Key)]
    key: Cow<'a, str>,
    /// As `claim` gave it.
    token: Whole,
    /// Any JSON.
    #[serde(borrow)]
    #[schema(value_type = Option<Value>)]
    result: Option<&'a RawValue>,
}

/// Which task, and why.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FailTask<'a> {
    #[serde(borrow)]
    #[schema(value_type = Key)]
    key: Cow<'a, str>,
    /// As `claim` gave it.
    token: Whole,
    /// Why it failed.
    #[serde(borrow)]
    error: Cow<'a, str>,
    /// After how long it may be claimed again; without it the task is set aside for good.
    #[serde(borrow)]
    #[schema(value_type = Option<f64>, minimum = 0)]
    retry_in_seconds: Option<&'a RawValue>,
}

/// Which task, and for how much longer.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RenewTask<'a> {
    #[serde(borrow)]
    #[schema(value_type = Key)]
    key: Cow<'a, str>,
    /// As `claim` gave it.
    token: Whole,
    /// How long the task is kept from others unless renewed.
    #[serde(borrow)]
    #[schema(value_type = f64, required, minimum = 0.000001)]
    ttl_seconds: Option<&'a RawValue>,
}

/// Which task.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReleaseTask<'a> {
    #[serde(borrow)]
    #[schema(value_type = Key)]
    key: Cow<'a, str>,
    /// As `claim` gave it.
    token: Whole,
}

/// Sums up tasks.
#[utoipa::path(
    get, path = "/data-store/namespaces/{namespace}/tasks", tag = "tasks", operation_id = "tasks",
    params(Namespace, TasksQuery), responses((status = 200, description = "The sum", body = schemas::Tasks)),
)]
pub(crate) async fn summary(
    caller: Caller,
    Namespace { namespace }: Namespace,
    Choices(query): Choices<TasksQuery>,
) -> Result {
    let summary = caller.reader(&namespace)?.tasks(query.prefix.as_deref().unwrap_or_default()).await?;
    Ok(json(summary_json(&summary)))
}

/// Claims the first task that nobody else has.
#[utoipa::path(
    post, path = "/data-store/namespaces/{namespace}/tasks/claim", tag = "tasks", operation_id = "claim_task",
    params(Namespace), request_body = ClaimTask<'_>,
    responses(
        (status = 200, description = "The task", body = schemas::Claim),
        (status = 204, description = "There is none"),
    ),
)]
pub(crate) async fn claim(
    State(app): State<App>,
    caller: Caller,
    Namespace { namespace }: Namespace,
    body: JsonBody,
) -> Result {
    let view = caller.worker(&namespace)?;
    let ClaimTask { prefix, ttl_seconds, wait_seconds, max_attempts } = body.parse()?;
    let ttl = ttl(ttl_seconds)?.ok_or_else(no_ttl)?;
    let wait = bounded(&app, pause("waitSeconds", wait_seconds)?);
    let options = ClaimOptions { ttl, wait, max_attempts: max_attempts.map(|most| most.0) };
    match unless_stopped(&app, view.claim(&prefix, options)).await? {
        Some(claim) => Ok(shown(&claim)),
        None => Ok(no_content()),
    }
}

/// Ends a task with its result.
#[utoipa::path(
    post, path = "/data-store/namespaces/{namespace}/tasks/complete", tag = "tasks", operation_id = "complete_task",
    params(Namespace), request_body = CompleteTask<'_>,
    responses(
        (status = 204, description = "It is done"),
        (status = 409, description = "The task is no longer claimed under this token", body = schemas::Error),
    ),
)]
pub(crate) async fn complete(caller: Caller, Namespace { namespace }: Namespace, body: JsonBody) -> Result {
    let view = caller.worker(&namespace)?;
    let CompleteTask { key, token, result } = body.parse()?;
    let result = result.map(|result| checked(result, view.limits())).transpose()?;
    view.claimed(&key, token.0).await?.complete(result).await?;
    Ok(no_content())
}

/// Gives a task back after a pause, or sets it aside for good.
#[utoipa::path(
    post, path = "/data-store/namespaces/{namespace}/tasks/fail", tag = "tasks", operation_id = "fail_task",
    params(Namespace), request_body = FailTask<'_>,
    responses(
        (status = 204, description = "It was given back or set aside"),
        (status = 409, description = "The task is no longer claimed under this token", body = schemas::Error),
    ),
)]
pub(crate) async fn fail(caller: Caller, Namespace { namespace }: Namespace, body: JsonBody) -> Result {
    let view = caller.worker(&namespace)?;
    let FailTask { key, token, error, retry_in_seconds } = body.parse()?;
    let retry_in = pause("retryInSeconds", retry_in_seconds)?;
    view.claimed(&key, token.0).await?.fail(&error, retry_in).await?;
    Ok(no_content())
}

/// Gives a task back at once.
#[utoipa::path(
    post, path = "/data-store/namespaces/{namespace}/tasks/release", tag = "tasks", operation_id = "release_task",
    params(Namespace), request_body = ReleaseTask<'_>,
    responses(
        (status = 204, description = "It was given back"),
        (status = 409, description = "The task is no longer claimed under this token", body = schemas::Error),
    ),
)]
pub(crate) async fn release(caller: Caller, Namespace { namespace }: Namespace, body: JsonBody) -> Result {
    let view = caller.worker(&namespace)?;
    let ReleaseTask { key, token } = body.parse()?;
    view.claimed(&key, token.0).await?.release().await?;
    Ok(no_content())
}

/// Keeps a task for longer.
#[utoipa::path(
    post, path = "/data-store/namespaces/{namespace}/tasks/renew", tag = "tasks", operation_id = "renew_task",
    params(Namespace), request_body = RenewTask<'_>,
    responses(
        (status = 200, description = "The task", body = schemas::Claim),
        (status = 409, description = "The task is no longer claimed under this token", body = schemas::Error),
    ),
)]
pub(crate) async fn renew(caller: Caller, Namespace { namespace }: Namespace, body: JsonBody) -> Result {
    let view = caller.worker(&namespace)?;
    let RenewTask { key, token, ttl_seconds } = body.parse()?;
    let mut claim = view.claimed(&key, token.0).await?;
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
