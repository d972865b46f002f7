//! Clearing a namespace, and forgetting one that is empty.

use super::begin::{Ask, Met, Transaction, begin};
use super::failure::{Failure, Patience, Result, unreadable};
use super::requests::Kept;
use super::{Core, kind_to_number, settle};
use crate::error::Result as StoreResult;
use crate::model::ChangeKind;
use crate::request::{Request, cleared_from_text};

const LIVE: &str = "SELECT
         (SELECT coalesce(sum(records), 0)::bigint FROM {t}counts WHERE user_id = $1 AND namespace_id = $2),
         (SELECT count(*) FROM {t}records WHERE user_id = $1 AND namespace_id = $2 AND expires_at <= $3)";

/// The rows of a namespace but its records, which are swept later.
const FORGET: &str = "WITH name AS (DELETE FROM {t}namespaces WHERE user_id = $1 AND id = $2),
         counts AS (DELETE FROM {t}counts WHERE user_id = $1 AND namespace_id = $2),
         agents AS (DELETE FROM {t}agents WHERE user_id = $1 AND namespace_id = $2)
     INSERT INTO {t}dropped (user_id, namespace_id) VALUES ($1, $2)";

const LOG: &str = "INSERT INTO {t}changes (user_id, version, kind, namespace, key, agent, at)
     VALUES ($1, $2, $3, $4, NULL, $5, $6)";

/// Removes every record of a namespace; returns how many live ones there were.
pub(super) async fn clear(
    core: &Core,
    user: &str,
    agent: Option<&str>,
    namespace: &str,
    request: Option<&Request>,
) -> StoreResult<u64> {
    let mut patience = Patience::new();
    loop {
        match try_clear(core, user, agent, namespace, request).await {
            Ok(count) => return Ok(count),
            Err(failure) => patience.after(failure).await?,
        }
    }
}

fn ask<'a>(user: &'a str, namespaces: &'a [&'a str], request: Option<&'a Request>) -> Ask<'a> {
    Ask {
        user,
        namespaces,
        alone: true,
        keys: &[],
        skip_locked: false,
        request: request.map(|request| &request.id),
        with_usage: false,
        versions: 1,
    }
}

async fn try_clear(
    core: &Core,
    user: &str,
    agent: Option<&str>,
    namespace: &str,
    request: Option<&Request>,
) -> Result<u64> {
    let namespaces = [namespace];
    let link = core.connections.link().await?;
    let (transaction, met) = begin(&core.shared, link, &ask(user, &namespaces, request)).await?;
    let replaces = met.applied.is_some();
    let known = match (request, met.applied.clone()) {
        (Some(request), Some(applied)) => request.recall(applied, transaction.now),
        _ => Ok(None),
    };
    let known = known.and_then(|text| text.map(|text| cleared_from_text(&text)).transpose());
    if !matches!(known, Ok(None)) {
        transaction.rollback().await;
        return Ok(known?.unwrap_or_default());
    }
    let version = met.versions.first().copied().ok_or_else(unreadable)?;
    let count = match remove(&transaction, &met, user, agent, namespace, version).await {
        Ok(count) => count,
        Err(failure) => {
            transaction.rollback().await;
            return Err(failure);
        }
    };
    if count.is_none() && request.is_none() {
        transaction.rollback().await;
        return Ok(0);
    }
    let kept = request
        .map(|request| Kept::new(request.applied(count.unwrap_or(0).to_string(), transaction.now), request, replaces));
    match commit(&transaction, user, kept.as_ref()).await {
        Ok(()) => transaction.committed(),
        Err(failure @ Failure::Lost(_)) => {
            let (fence, at) = (transaction.fence, transaction.now);
            drop(transaction);
            if kept.is_some() || !settle::is_committed(core, user, fence, version, at).await? {
                return Err(failure);
            }
        }
        Err(failure) => {
            transaction.rollback().await;
            return Err(failure);
        }
    }
    core.changed(user, 1);
    Ok(count.unwrap_or(0))
}

/// How many live records there were; `None` where there is no namespace.
async fn remove(
    transaction: &Transaction,
    met: &Met,
    user: &str,
    agent: Option<&str>,
    namespace: &str,
    version: i64,
) -> Result<Option<u64>> {
    let Some(Some(id)) = met.ids.first().copied() else { return Ok(None) };
    let (link, now) = (transaction.link()?, transaction.now.as_micros());
    let (live, forget, log) = (link.prepare(LIVE).await?, link.prepare(FORGET).await?, link.prepare(LOG).await?);
    let kind = kind_to_number(ChangeKind::Clear);
    let of_live: [super::connect::Parameter<'_>; 3] = [&user, &id, &now];
    let of_forget: [super::connect::Parameter<'_>; 2] = [&user, &id];
    let of_log: [super::connect::Parameter<'_>; 6] = [&user, &version, &kind, &namespace, &agent, &now];
    let sent = vec![link.send(&live, &of_live), link.send(&forget, &of_forget), link.send(&log, &of_log)];
    let row = link.all(sent).await?.swap_remove(0).pop().ok_or_else(unreadable)?;
    let (stored, expired): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Some(u64::try_from(stored - expired).unwrap_or(0)))
}

async fn commit(transaction: &Transaction, user: &str, kept: Option<&Kept>) -> Result<()> {
    let link = transaction.link()?;
    if let Some(kept) = kept {
        link.query(kept.statement(), &kept.parameters(&user)).await?;
    }
    link.execute("COMMIT").await
}

/// Forgets a namespace, and with it its agents, unless a record is there after all.
pub(super) async fn forget_if_empty(core: &Core, user: &str, namespace: &str) -> Result<()> {
    let namespaces = [namespace];
    let link = core.connections.link().await?;
    let (transaction, met) = begin(&core.shared, link, &ask(user, &namespaces, None)).await?;
    let forgotten = async {
        let Some(Some(id)) = met.ids.first().copied() else { return Ok(false) };
        let link = transaction.link()?;
        let row = link.query_one(LIVE, &[&user, &id, &i64::MIN]).await?;
        if row.try_get::<_, i64>(0)? > 0 {
            return Ok(false);
        }
        link.query(FORGET, &[&user, &id]).await?;
        link.execute("COMMIT").await?;
        Ok(true)
    };
    match forgotten.await {
        Ok(true) => transaction.committed(),
        Ok(false) => transaction.rollback().await,
        Err(failure) => {
            transaction.rollback().await;
            return Err(failure);
        }
    }
    Ok(())
}
