//! Tools by which agents keep out of each other's way: locks and tasks, known by their token between two calls.

use std::time::Duration;

use agent_data_store::wire::Object;
use agent_data_store::{Claim, ClaimOptions, HeldLock, Result};

use super::arguments::invalid;
use super::bounds::{beginning, characters, in_json, with_value};
use super::errors::of_failure;
use super::tools::Call;
use crate::waiting::bounded;

/// How long a lock or a task is held where nothing is said.
const USUAL_TTL: Duration = Duration::from_secs(300);

pub(super) async fn lock(call: &Call<'_>) -> Result<String> {
    let arguments = &call.arguments;
    let (namespace, resource) = (arguments.namespace()?, arguments.needed_text("resource")?);
    let view = call.caller.worker(&namespace).map_err(of_failure)?;
    let ttl = arguments.ttl("ttl_seconds")?.unwrap_or(USUAL_TTL);
    let wait = bounded(call.caller.app(), arguments.pause("wait_seconds")?);
    let HeldLock { token, expires_at } = match arguments.whole("token")? {
        Some(token) => view.renew_lock(&resource, token, ttl).await?,
        None => call.unless_ended(view.acquire_lock(&resource, ttl, wait)).await?,
    };
    let object = Object::with_capacity(128).text("resource", &*resource).number("token", token);
    Ok(object.time("expiresAt", expires_at).into_text())
}

pub(super) async fn unlock(call: &Call<'_>) -> Result<String> {
    let (namespace, resource) = (call.arguments.namespace()?, call.arguments.needed_text("resource")?);
    let view = call.caller.worker(&namespace).map_err(of_failure)?;
    view.release_lock(&resource, call.arguments.needed_whole("token")?).await?;
    Ok(Object::with_capacity(32).bool("released", true).into_text())
}

pub(super) async fn claim(call: &Call<'_>) -> Result<String> {
    let arguments = &call.arguments;
    let namespace = arguments.namespace()?;
    let view = call.caller.worker(&namespace).map_err(of_failure)?;
    let ttl = arguments.ttl("ttl_seconds")?.unwrap_or(USUAL_TTL);
    let claim = match (arguments.text("key")?, arguments.whole("token")?) {
        (Some(key), Some(token)) => {
            let mut claim = view.claimed(&key, token).await?;
            claim.renew(ttl).await?;
            Some(claim)
        }
        (None, None) => {
            let options = ClaimOptions {
                ttl,
                wait: bounded(call.caller.app(), arguments.pause("wait_seconds")?),
                max_attempts: arguments.whole("max_attempts")?,
            };
            let prefix = arguments.text("prefix")?.unwrap_or_default();
            call.unless_ended(view.claim(&prefix, options)).await?
        }
        _ => {
            return Err(invalid(
                "key and token go together: give both to keep a task for longer, or neither to take one",
            ));
        }
    };
    Ok(match claim {
        Some(claim) => Object::with_capacity(64).json("task", &shown(call, &claim).end()).into_text(),
        None => r#"{"task":null}"#.to_owned(),
    })
}

fn shown(call: &Call<'_>, claim: &Claim) -> Object {
    let mut object = Object::with_capacity(claim.value().len().min(call.bound) + 192)
        .text("key", claim.key())
        .number("token", claim.token())
        .number("attempt", claim.attempt())
        .time("expiresAt", claim.until());
    let mut bound = call.bound.saturating_sub(in_json(claim.key()));
    if let Some(error) = claim.last_error() {
        let shown = beginning(error, call.bound / 4);
        bound = bound.saturating_sub(call.bound / 4);
        object = object.text("lastError", shown);
        if shown.len() < error.len() {
            object = object.number("lastErrorCharacters", characters(error) as u64);
        }
    }
    with_value(object, claim.value(), bound, "get with the task's key reads it part by part")
}

pub(super) async fn complete(call: &Call<'_>) -> Result<String> {
    let arguments = &call.arguments;
    let (namespace, key) = (arguments.namespace()?, arguments.needed_text("key")?);
    let token = arguments.needed_whole("token")?;
    let view = call.caller.worker(&namespace).map_err(of_failure)?;
    let result = arguments.json("result", view.limits())?;
    let error = arguments.text("error")?;
    let retry_in = arguments.pause("retry_in_seconds")?;
    let ended = match (error, retry_in) {
        (None, Some(_)) => return Err(invalid("retry_in_seconds goes with error: say why the task failed")),
        (Some(_), _) if result.as_ref().is_some_and(|result| result.as_str() != "null") => {
            return Err(invalid("result and error do not go together: the task is done, or it has failed"));
        }
        (Some(error), retry_in) => {
            view.claimed(&key, token).await?.fail(&error, retry_in).await?;
            if retry_in.is_some() { "given back" } else { "failed" }
        }
        (None, None) => {
            view.claimed(&key, token).await?.complete(result).await?;
            "done"
        }
    };
    Ok(Object::with_capacity(32).text("ended", ended).into_text())
}
