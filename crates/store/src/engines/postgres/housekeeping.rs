//! Housekeeping: reads are counted, what is gone is swept, the feed is trimmed. Several processes may do it at once: each
//! leaves out what another one is at.

use std::collections::BTreeMap;

use super::begin::{Ask, begin};
use super::clock::read_now;
use super::failure::Result;
use super::feed::Bounds;
use super::plan::{Found, Key, Plan};
use super::rows::finish;
use super::{Core, optional_time};
use crate::error::Result as StoreResult;
use crate::model::Access;

/// How much one step of sweeping removes.
const SWEEP_ROWS: i64 = 500;

const COUNT: &str = "INSERT INTO {t}accesses AS a (user_id, namespace_id, key, birth, count, last_at, last_by)
     SELECT r.user_id, r.namespace_id, r.key, r.birth, sum(u.count)::bigint, max(u.last_at),
         (array_agg(u.agent ORDER BY u.last_at DESC, u.place DESC))[1]
     FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[]) WITH ORDINALITY
         u(user_id, name, key, agent, count, last_at, place)
     CROSS JOIN LATERAL (SELECT id FROM {t}namespaces WHERE user_id = u.user_id AND name = u.name LIMIT 1) n
     CROSS JOIN LATERAL (SELECT user_id, namespace_id, key, birth FROM {t}records
         WHERE user_id = u.user_id AND namespace_id = n.id AND key = u.key AND created_at <= u.last_at
             AND (expires_at IS NULL OR expires_at > u.last_at) LIMIT 1) r
     GROUP BY r.user_id, r.namespace_id, r.key, r.birth ORDER BY r.user_id, r.namespace_id, r.key
     ON CONFLICT (user_id, namespace_id, key) DO UPDATE SET birth = excluded.birth,
         count = excluded.count + CASE WHEN a.birth = excluded.birth THEN a.count ELSE 0 END,
         last_by = CASE WHEN a.birth = excluded.birth AND a.last_at > excluded.last_at THEN a.last_by ELSE excluded.last_by END,
         last_at = CASE WHEN a.birth = excluded.birth THEN greatest(a.last_at, excluded.last_at) ELSE excluded.last_at END
     WHERE a.birth <= excluded.birth";

const NOTE_AGENTS: &str = "INSERT INTO {t}agents (user_id, namespace_id, agent)
     SELECT DISTINCT r.user_id, r.namespace_id, u.agent
     FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[]) u(user_id, name, key, agent, last_at)
     CROSS JOIN LATERAL (SELECT id FROM {t}namespaces WHERE user_id = u.user_id AND name = u.name LIMIT 1) n
     CROSS JOIN LATERAL (SELECT user_id, namespace_id, key, birth FROM {t}records
         WHERE user_id = u.user_id AND namespace_id = n.id AND key = u.key AND created_at <= u.last_at
             AND (expires_at IS NULL OR expires_at > u.last_at) LIMIT 1) r
     ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING";

const EXPIRED: &str = concat!(
    "SELECT n.user_id, n.name, r.key FROM (SELECT user_id, namespace_id, key, expires_at FROM {t}records
         WHERE expires_at <= ",
    read_now!("$1"),
    " ORDER BY expires_at LIMIT $2) r JOIN {t}namespaces n ON n.user_id = r.user_id AND n.id = r.namespace_id
     ORDER BY 1, 2, 3"
);

/// Whether anything is left that a step takes.
const LEFT: &str = concat!(
    "SELECT EXISTS (SELECT 1 FROM {t}dropped)
         OR EXISTS (SELECT 1 FROM {t}records r JOIN {t}namespaces n ON n.user_id = r.user_id AND n.id = r.namespace_id
             WHERE r.expires_at <= ",
    read_now!("$1"),
    ") OR EXISTS (SELECT 1 FROM {t}requests WHERE expires_at <= ",
    read_now!("$1"),
    ")"
);

const DROPPED: &str = "SELECT user_id, namespace_id FROM {t}dropped LIMIT 1";

const SWEEP_RECORDS: &str = "WITH gone AS (DELETE FROM {t}records WHERE user_id = $1 AND namespace_id = $2 AND key = ANY(ARRAY
             (SELECT key FROM {t}records WHERE user_id = $1 AND namespace_id = $2 ORDER BY key LIMIT $3)) RETURNING key),
         reads AS (DELETE FROM {t}accesses WHERE user_id = $1 AND namespace_id = $2
             AND key = ANY(ARRAY(SELECT key FROM {t}records WHERE user_id = $1 AND namespace_id = $2 ORDER BY key LIMIT $3)))
     SELECT count(*) FROM gone";

/// With what came to be while the namespace went.
const SWEPT: &str = "WITH reads AS (DELETE FROM {t}accesses WHERE user_id = $1 AND namespace_id = $2),
         agents AS (DELETE FROM {t}agents WHERE user_id = $1 AND namespace_id = $2)
     DELETE FROM {t}dropped WHERE user_id = $1 AND namespace_id = $2";

const SWEEP_REQUESTS: &str = concat!(
    "DELETE FROM {t}requests WHERE (user_id, id) IN (SELECT user_id, id FROM {t}requests WHERE expires_at <= ",
    read_now!("$1"),
    " ORDER BY expires_at LIMIT $2)"
);

const TRIM: &str = "WITH newest AS (SELECT version FROM {t}changes WHERE user_id = $1 ORDER BY version DESC OFFSET $2 LIMIT 1),
         gone AS (DELETE FROM {t}changes WHERE user_id = $1 AND version <= (SELECT least(version, $3::bigint) FROM newest) RETURNING version)
     INSERT INTO {t}feeds AS f (user_id, last_version, trimmed_to) SELECT $1, 0, max(version) FROM gone HAVING count(*) > 0
     ON CONFLICT (user_id) DO UPDATE SET trimmed_to = greatest(f.trimmed_to, excluded.trimmed_to)";

/// Adds gathered reads to the records' counts. Not tried again: what may have been counted is not counted twice.
pub(super) async fn record_access(core: &Core, accesses: &[Access]) -> StoreResult<()> {
    count(core, accesses).await.map_err(Into::into)
}

async fn count(core: &Core, accesses: &[Access]) -> Result<()> {
    let users: Vec<&str> = accesses.iter().map(|access| &*access.user).collect();
    let names: Vec<&str> = accesses.iter().map(|access| &*access.address.namespace).collect();
    let keys: Vec<&str> = accesses.iter().map(|access| &*access.address.key).collect();
    let agents: Vec<&str> = accesses.iter().map(|access| &*access.agent).collect();
    let counts: Vec<i64> = accesses.iter().map(|access| access.count.cast_signed()).collect();
    let times: Vec<i64> = accesses.iter().map(|access| access.last_at.as_micros()).collect();
    let link = core.connections.link().await?;
    let (count, note) = (link.prepare(COUNT).await?, link.prepare(NOTE_AGENTS).await?);
    let of_count: [super::connect::Parameter<'_>; 6] = [&users, &names, &keys, &agents, &counts, &times];
    let of_note: [super::connect::Parameter<'_>; 5] = [&users, &names, &keys, &agents, &times];
    let sent = vec![
        link.send_plain("BEGIN ISOLATION LEVEL READ COMMITTED"),
        link.send(&count, &of_count),
        link.send(&note, &of_note),
        link.send_plain("COMMIT"),
    ];
    let sent = link.all(sent).await;
    if sent.is_err() {
        link.discard();
    }
    sent.map(drop)
}

/// Takes one step; whether more is left to do.
pub(super) async fn maintain(core: &Core) -> StoreResult<bool> {
    step(core).await.map_err(Into::into)
}

async fn step(core: &Core) -> Result<bool> {
    trim(core).await?;
    let time = optional_time(core.shared.fixed_now());
    if !is_anything_left(core, time).await? {
        return Ok(false);
    }
    sweep_expired(core, time).await?;
    let link = core.connections.link().await?;
    sweep_dropped(&link).await?;
    link.query(SWEEP_REQUESTS, &[&time, &SWEEP_ROWS]).await?;
    drop(link);
    is_anything_left(core, time).await
}

async fn is_anything_left(core: &Core, time: Option<i64>) -> Result<bool> {
    Ok(core.connections.link().await?.query_one(LEFT, &[&time]).await?.try_get(0)?)
}

async fn sweep_expired(core: &Core, time: Option<i64>) -> Result<()> {
    let rows = core.connections.link().await?.query(EXPIRED, &[&time, &SWEEP_ROWS]).await?;
    let mut by_user: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for row in &rows {
        by_user.entry(row.try_get(0)?).or_default().push((row.try_get(1)?, row.try_get(2)?));
    }
    for (user, records) in by_user {
        expire(core, user, &records).await?;
    }
    Ok(())
}

/// Removes those of a user's records whose time is up.
async fn expire(core: &Core, user: &str, records: &[(&str, &str)]) -> Result<()> {
    let keys = super::plan::Keys::of_sorted(records);
    let ask = Ask {
        user,
        namespaces: &keys.namespaces,
        alone: false,
        keys: &keys.cells,
        skip_locked: true,
        request: None,
        with_usage: false,
        versions: 0,
    };
    let (transaction, met) = begin(&core.shared, core.connections.link().await?, &ask).await?;
    let now = transaction.now;
    let is_expired = |found: &Found| found.expires_at.is_some_and(|expires_at| expires_at <= now);
    let expired: Vec<usize> =
        (0..met.found.len()).filter(|index| met.found[*index].as_ref().is_some_and(is_expired)).collect();
    // What is not to be touched is not part of the plan.
    let cells: Vec<Key<'_>> = expired
        .iter()
        .filter_map(|index| keys.cells.get(*index))
        .map(|key| Key { namespace: key.namespace, key: key.key, reads_value: false })
        .collect();
    let found = met.found.into_iter().filter(|found| found.as_ref().is_some_and(is_expired)).collect();
    let keys = super::plan::Keys::with(keys.namespaces.clone(), cells);
    let mut plan = Plan::begin(&keys, &met.ids, found, met.versions, now)?;
    for index in 0..keys.cells.len() {
        plan.expire(index)?;
    }
    finish(core, transaction, user, None, &plan, None).await
}

/// Removes a few rows of one namespace that is gone.
async fn sweep_dropped(link: &super::connect::Link) -> Result<()> {
    let Some(row) = link.query(DROPPED, &[]).await?.pop() else { return Ok(()) };
    let (user, namespace): (&str, i64) = (row.try_get(0)?, row.try_get(1)?);
    let swept: i64 = link.query_one(SWEEP_RECORDS, &[&user, &namespace, &SWEEP_ROWS]).await?.try_get(0)?;
    if swept < SWEEP_ROWS {
        link.query(SWEPT, &[&user, &namespace]).await?;
    }
    Ok(())
}

/// Removes old changes of the users who have made many.
pub(super) async fn trim(core: &Core) -> Result<()> {
    let kept = i64::try_from(core.shared.rules.changes_kept.max(1)).unwrap_or(i64::MAX);
    for user in core.shared.take_users_to_trim() {
        let link = core.connections.link().await?;
        // What may still come to be below is not cut off.
        let bound = Bounds::look(core, &link).await?.of(core, &user).0;
        link.query(TRIM, &[&&*user, &kept, &bound]).await?;
    }
    Ok(())
}
