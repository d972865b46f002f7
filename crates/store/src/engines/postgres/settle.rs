//! Whether a transaction whose commit was not answered has been committed.

use super::Core;
use super::address::Ordering;
use super::connect::Link;
use super::failure::{Failure, Patience, Result};
use crate::clock::Timestamp;
use crate::error::Error;

const WAIT_CONCURRENT: &str = "SELECT pg_advisory_xact_lock($1::bigint)";
const WAIT_SERIAL: &str = "SELECT last_version FROM {t}feeds WHERE user_id = $1 FOR UPDATE";

const FOUND: &str = "SELECT EXISTS (SELECT 1 FROM {t}changes WHERE user_id = $1 AND version = $2 AND at = $3),
         coalesce((SELECT trimmed_to FROM {t}feeds WHERE user_id = $1), 0)";

/// Finds out whether the transaction that gave `version` at the moment `at` was committed: waits until it is over, then
/// looks for its change.
///
/// # Errors
/// `Unavailable` where that cannot be found out in time.
pub(super) async fn is_committed(
    core: &Core,
    user: &str,
    fence: i64,
    version: i64,
    at: Timestamp,
) -> Result<bool, Error> {
    let mut patience = Patience::new();
    loop {
        let looked = look(core, user, fence, version, at).await;
        let Err(failure) = looked else { return looked.map_err(Failure::into_error) };
        patience.after(failure).await.map_err(|_| unknown())?;
    }
}

/// Nobody can tell.
pub(super) fn unknown() -> Error {
    Error::unavailable(
        "the connection to the database ended while a write was being committed, which may have been applied: read the \
         record to see, or write under a request id, which can be repeated",
    )
}

async fn look(core: &Core, user: &str, fence: i64, version: i64, at: Timestamp) -> Result<bool> {
    let link = core.connections.link().await?;
    link.execute("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    let found = look_in_transaction(core, &link, user, fence, version, at).await;
    if found.is_err() {
        link.discard();
    }
    found
}

async fn look_in_transaction(
    core: &Core,
    link: &Link,
    user: &str,
    fence: i64,
    version: i64,
    at: Timestamp,
) -> Result<bool> {
    match core.shared.ordering() {
        Ordering::Concurrent => link.query(WAIT_CONCURRENT, &[&fence]).await?,
        Ordering::Serial => link.query(WAIT_SERIAL, &[&user]).await?,
    };
    let row = link.query_one(FOUND, &[&user, &version, &at.as_micros()]).await?;
    let (is_there, trimmed_to): (bool, i64) = (row.try_get(0)?, row.try_get(1)?);
    if !is_there && trimmed_to >= version {
        return Err(Error::unavailable("the change is no longer kept").into());
    }
    // A commit of our own, so that what is there is also where the other one would have had to be: with synchronous
    // replication on the other machine.
    link.query("SELECT 1 FROM {t}meta WHERE name = 'version' FOR SHARE", &[]).await?;
    link.execute("COMMIT").await?;
    Ok(is_there)
}
