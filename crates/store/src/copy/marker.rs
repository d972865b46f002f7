//! Whose copy a store is: a record of the store's own in the destination.

use std::sync::Arc;

use super::{ONE, foreign, position, users_of};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::import::Guard;
use crate::json::Json;
use crate::model::{Address, Batch, Change, ChangeKind, Expiry, Mutation, Precondition, Range, Version, View, Write};
use crate::wire::Object;

/// Who owns the marker; one of [`crate::limits::RESERVED_USERS`].
pub(super) const USER: &str = "ads:copy";
const NAMESPACE: &str = "copy";
const KEY: &str = "source";

/// Makes the destination this copy's own, and ends every other copy into it.
///
/// # Errors
/// `InvalidArgument` where it holds anything but a copy of the source, `Conflict` where another copy begins at the same time.
pub(super) async fn claim(from: &dyn Engine, to: &dyn Engine) -> Result<Guard> {
    let address = Address { namespace: NAMESPACE.into(), key: KEY.into() };
    let source = from.place();
    let found = to.read_one(USER, NAMESPACE, KEY, View::Value).await?;
    let version = match &found {
        None => {
            if !to.users(Range::default(), ONE).await?.rows.is_empty() {
                return Err(Error::invalid(
                    "the destination is not empty: name one that holds nothing, or a copy of the same store that is to go on",
                ));
            }
            0
        }
        Some(row) => {
            let known = row.value.as_ref().and_then(source_in).unwrap_or_default();
            if known != source {
                return Err(Error::invalid(format!(
                    "the destination holds a copy of another store, {known}: name that one in the same words, or an empty \
                     destination"
                )));
            }
            check_users(from, to).await?;
            row.version
        }
    };
    let version = write(to, &address, &source, false, version).await?;
    Ok(Guard { user: Arc::from(USER), address, version })
}

/// Keeps that the copy has come to its end.
pub(super) async fn complete(from: &dyn Engine, to: &dyn Engine, guard: &Guard) -> Result<()> {
    write(to, &guard.address, &from.place(), true, guard.version).await.map(drop)
}

async fn write(
    to: &dyn Engine,
    address: &Address,
    source: &str,
    is_complete: bool,
    if_version: Version,
) -> Result<Version> {
    let value = Object::with_capacity(128).text("source", source).bool("complete", is_complete).end();
    let write = Write {
        address: address.clone(),
        precondition: Precondition::Version(if_version),
        mutation: Mutation::Set(value),
        metadata: None,
        expiry: Expiry::Default,
    };
    let batch = Batch { user: USER.into(), agent: None, writes: vec![write], request: None, quota: None };
    Ok(to.write(batch).await?.first().map_or(0, |outcome| outcome.version))
}

/// Whether a store is no copy, or one that has come to its end.
pub(crate) async fn is_complete(engine: &dyn Engine) -> Result<bool> {
    let found = engine.read_one(USER, NAMESPACE, KEY, View::Value).await?;
    let value = found.and_then(|row| serde_json::from_str::<serde_json::Value>(row.value?.as_str()).ok());
    Ok(value.is_none_or(|value| value["complete"] == true))
}

/// Forgets whose copy a store is.
pub(crate) async fn detach(engine: &dyn Engine) -> Result<()> {
    let write = Write {
        address: Address { namespace: NAMESPACE.into(), key: KEY.into() },
        precondition: Precondition::None,
        mutation: Mutation::Delete,
        metadata: None,
        expiry: Expiry::Default,
    };
    let batch = Batch { user: USER.into(), agent: None, writes: vec![write], request: None, quota: None };
    engine.write(batch).await.map(drop)
}

fn source_in(value: &Json) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(value.as_str()).ok()?;
    Some(value.get("source")?.as_str()?.to_owned())
}

/// Checks that nobody but a copy has written to the destination: it leaves one change in each user's feed, which is one of
/// the source, and after that only records expire.
pub(super) async fn check_users(from: &dyn Engine, to: &dyn Engine) -> Result<()> {
    const A_FEW: usize = 1_000;
    for user in users_of(to).await? {
        let (mut since, mut is_first) = (0, true);
        loop {
            let changes = to.changes(&user, since, A_FEW).await?.changes;
            let Some(newest) = changes.last() else { break };
            since = newest.version;
            for change in &changes {
                let is_known =
                    if is_first { is_of(from, &user, change).await? } else { change.kind == ChangeKind::Expire };
                if !is_known {
                    return Err(foreign(&user));
                }
                is_first = false;
            }
        }
    }
    Ok(())
}

/// Whether the source has made this change, as far as it still knows.
async fn is_of(from: &dyn Engine, user: &str, change: &Change) -> Result<bool> {
    let before: Version = change.version.saturating_sub(1);
    let changes = from.changes(user, before, 1).await?;
    if changes.complete_from > before {
        return Ok(change.version <= position(from, user).await?);
    }
    Ok(changes.changes.first() == Some(change))
}
