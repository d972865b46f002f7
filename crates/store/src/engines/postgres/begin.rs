//! The first round of a write transaction: what it keeps others from doing meanwhile, what it meets, and the versions that
//! it may give.
//!
//! With [`Ordering::Concurrent`] versions come from one sequence, after the rows are locked, so that they rise for each
//! key; but transactions end in another order than they took their versions. So each one first puts up a *fence*: a shared
//! advisory lock on the newest version that was given before. Its own are greater. Whoever reads the change feed looks at
//! the newest version first and then for fences, and so knows below which version nothing can appear any more (see
//! `feed`). With [`Ordering::Serial`] a row of the user gives the versions, and keeps the user's other writers waiting.

use super::address::Ordering;
use super::clock::database_now;
use super::connect::{Link, Sent};
use super::failure::{Failure, Result, unreadable};
use super::plan::{Found, Key};
use super::tables::number_of;
use super::{Shared, optional_time};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::quota::Usage;
use crate::request::{Applied, RequestId};

/// What a transaction wants to know and to keep.
pub(super) struct Ask<'a> {
    pub(super) user: &'a str,
    pub(super) namespaces: &'a [&'a str],
    /// Whether nobody else may write in the namespaces meanwhile.
    pub(super) alone: bool,
    pub(super) keys: &'a [Key<'a>],
    /// Whether rows that others have locked are left out.
    pub(super) skip_locked: bool,
    pub(super) request: Option<&'a RequestId>,
    pub(super) with_usage: bool,
    /// Versions that will be needed, beside one for each expired row and each new namespace.
    pub(super) versions: usize,
}

/// A transaction that has begun. Dropped before its end, it takes the connection with it.
pub(super) struct Transaction {
    link: Option<Link>,
    pub(super) now: Timestamp,
    /// The lock by which others know that it goes on.
    pub(super) fence: i64,
}

/// What it has met.
pub(super) struct Met {
    pub(super) ids: Vec<Option<i64>>,
    pub(super) found: Vec<Option<Found>>,
    pub(super) versions: Vec<i64>,
    pub(super) applied: Option<Applied>,
    /// What all records of the user take, and the live ones.
    pub(super) usage: Option<(Usage, Usage)>,
}

const FENCE: &str = "SELECT pg_advisory_xact_lock_shared($1 | v.last_value), $1 | v.last_value FROM {t}versions v";

const COUNTER: &str = "INSERT INTO {t}feeds AS f (user_id, last_version, trimmed_to) VALUES ($1, $2, 0)
     ON CONFLICT (user_id) DO UPDATE SET last_version = f.last_version + excluded.last_version RETURNING last_version";

const SHARED: &str = "SELECT count(pg_advisory_xact_lock_shared($1, u.number)) FROM unnest($2::integer[]) u(number)";
const ALONE: &str = "SELECT count(pg_advisory_xact_lock($1, u.number)) FROM unnest($2::integer[]) u(number)";

const NAMESPACES: &str = "SELECT u.place, n.id FROM unnest($2::text[]) WITH ORDINALITY u(name, place)
     CROSS JOIN LATERAL (SELECT id FROM {t}namespaces WHERE user_id = $1 AND name = u.name LIMIT 1) n";

// Row by row, so that everyone locks in the same order, and by the key, whatever the planner thinks of the tables.
macro_rules! rows {
    ($locked:literal) => {
        concat!(
            "SELECT u.place, r.version, r.expires_at, octet_length(r.value)::bigint, r.metadata,
                 CASE WHEN u.reads_value THEN r.value END, n.id
             FROM unnest($2::text[], $3::text[], $4::boolean[]) WITH ORDINALITY u(name, key, reads_value, place)
             CROSS JOIN LATERAL (SELECT id FROM {t}namespaces WHERE user_id = $1 AND name = u.name LIMIT 1) n
             CROSS JOIN LATERAL (SELECT version, expires_at, metadata, value FROM {t}records
                 WHERE user_id = $1 AND namespace_id = n.id AND key = u.key LIMIT 1 FOR UPDATE",
            $locked,
            ") r"
        )
    };
}

const VERSIONS: &str = concat!(
    "SELECT array_agg(v.version), ",
    database_now!(),
    " FROM (SELECT nextval('{t}versions') AS version FROM generate_series(1, $1::bigint)) v"
);

const REQUEST: &str = "SELECT content, outcome, expires_at FROM {t}requests WHERE user_id = $1 AND id = $2 FOR UPDATE";

const USAGE: &str = "SELECT
         (SELECT coalesce(sum(records), 0)::bigint FROM {t}counts WHERE user_id = $1),
         (SELECT coalesce(sum(bytes), 0)::bigint FROM {t}counts WHERE user_id = $1),
         count(r.key), coalesce(sum(octet_length(r.key) + octet_length(r.value) + coalesce(octet_length(r.metadata), 0)), 0)::bigint
     FROM {t}records r JOIN {t}namespaces n ON n.user_id = r.user_id AND n.id = r.namespace_id
     WHERE r.user_id = $1 AND r.expires_at <= coalesce($2::bigint, (extract(epoch FROM statement_timestamp()) * 1000000)::bigint)";

/// Begins a transaction.
pub(super) async fn begin(shared: &Shared, link: Link, ask: &Ask<'_>) -> Result<(Transaction, Met)> {
    let mut transaction = Transaction { link: Some(link), now: Timestamp::from_micros(0), fence: 0 };
    match first_round(shared, &mut transaction, ask).await {
        Ok(met) => Ok((transaction, met)),
        Err(failure) => {
            transaction.rollback().await;
            Err(failure)
        }
    }
}

async fn first_round(shared: &Shared, transaction: &mut Transaction, ask: &Ask<'_>) -> Result<Met> {
    let link = transaction.link()?;
    let is_concurrent = shared.ordering() == Ordering::Concurrent;
    let before = SystemClock.now();

    let counted = i64::try_from(ask.versions + 1)?;
    let store_number = shared.tables.number();
    let numbers = lock_numbers(ask);
    let quota_number = [number_of(&["quota", ask.user])];
    let fences = fences_of(shared, ask.user);
    let names: Vec<&str> =
        ask.keys.iter().map(|key| ask.namespaces.get(key.namespace).copied().unwrap_or_default()).collect();
    let keys: Vec<&str> = ask.keys.iter().map(|key| key.key).collect();
    let reads_value: Vec<bool> = ask.keys.iter().map(|key| key.reads_value).collect();
    let request_id = ask.request.map(RequestId::as_str);
    let time = optional_time(shared.fixed_now());

    // Everything prepared first, so that nothing holds up what is then sent at once.
    let counter = link.prepare(if is_concurrent { FENCE } else { COUNTER }).await?;
    let quota = if is_concurrent && ask.with_usage { Some(link.prepare(ALONE).await?) } else { None };
    let kept = if is_concurrent { Some(link.prepare(if ask.alone { ALONE } else { SHARED }).await?) } else { None };
    let namespaces = link.prepare(NAMESPACES).await?;
    let skips = ask.skip_locked && is_concurrent;
    let rows = link.prepare(if skips { rows!(" SKIP LOCKED") } else { rows!("") }).await?;
    let versions = if is_concurrent { Some(link.prepare(VERSIONS).await?) } else { None };
    let clock = if is_concurrent { None } else { Some(link.prepare(concat!("SELECT ", database_now!())).await?) };
    let request = if ask.request.is_some() { Some(link.prepare(REQUEST).await?) } else { None };
    let usage = if ask.with_usage { Some(link.prepare(USAGE).await?) } else { None };

    let of_fence: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&fences];
    let of_counter: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&ask.user, &counted];
    let of_quota: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&store_number, &&quota_number[..]];
    let of_kept: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&store_number, &numbers];
    let of_namespaces: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&ask.user, &ask.namespaces];
    let of_rows: [&(dyn tokio_postgres::types::ToSql + Sync); 4] = [&ask.user, &names, &keys, &reads_value];
    let of_versions: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&counted];
    let of_request: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&ask.user, &request_id];
    let of_usage: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&ask.user, &time];

    let mut sent: Vec<Sent<'_>> = vec![link.send_plain("BEGIN ISOLATION LEVEL READ COMMITTED")];
    sent.push(link.send(&counter, if is_concurrent { &of_fence } else { &of_counter }));
    sent.extend(quota.as_ref().map(|quota| link.send(quota, &of_quota)));
    sent.extend(kept.as_ref().map(|kept| link.send(kept, &of_kept)));
    sent.push(link.send(&namespaces, &of_namespaces));
    sent.push(link.send(&rows, &of_rows));
    // Drawn once the rows are locked: of two writers of a key the later one has the greater version.
    sent.extend(versions.as_ref().map(|versions| link.send(versions, &of_versions)));
    sent.extend(clock.as_ref().map(|clock| link.send(clock, &[])));
    sent.extend(request.as_ref().map(|request| link.send(request, &of_request)));
    sent.extend(usage.as_ref().map(|usage| link.send(usage, &of_usage)));
    let mut results = link.all(sent).await?.into_iter().skip(1);
    let mut next = || results.next().ok_or_else(unreadable);

    let counted_to = next()?.pop().ok_or_else(unreadable)?;
    if quota.is_some() {
        next()?;
    }
    if kept.is_some() {
        next()?;
    }
    let mut ids = vec![None; ask.namespaces.len()];
    for row in next()? {
        *ids.get_mut(place(&row)?).ok_or_else(unreadable)? = Some(row.try_get(1)?);
    }
    let mut found: Vec<Option<Found>> = ask.keys.iter().map(|_| None).collect();
    for row in next()? {
        let place = place(&row)?;
        let key = ask.keys.get(place).ok_or_else(unreadable)?;
        // A namespace that came to be between the two looks.
        *ids.get_mut(key.namespace).ok_or_else(unreadable)? = Some(row.try_get(6)?);
        *found.get_mut(place).ok_or_else(unreadable)? = Some(Found {
            version: row.try_get::<_, i64>(1)?.cast_unsigned(),
            expires_at: row.try_get::<_, Option<i64>>(2)?.map(Timestamp::from_micros),
            value_bytes: row.try_get(3)?,
            metadata: row.try_get(4)?,
            value: row.try_get(5)?,
        });
    }
    let drawn = next()?.pop().ok_or_else(unreadable)?;
    let (mut versions, shown, fence) = if is_concurrent {
        (drawn.try_get::<_, Vec<i64>>(0)?, drawn.try_get(1)?, counted_to.try_get(1)?)
    } else {
        let last: i64 = counted_to.try_get(0)?;
        ((last - counted + 1..=last).collect(), drawn.try_get(0)?, 0)
    };
    let shown = Timestamp::from_micros(shown);
    shared.database_clock.learn(before, shown);
    let now = shared.fixed_now().unwrap_or(shown);
    let applied = if request.is_some() { next()?.pop().map(|row| applied(&row)).transpose()? } else { None };
    let usage = if usage.is_some() { next()?.pop().map(|row| used(&row)).transpose()? } else { None };

    let is_expired = |found: &&Found| found.expires_at.is_some_and(|expires_at| expires_at <= now);
    let expired = found.iter().flatten().filter(is_expired).count();
    let missing = ids.iter().filter(|id| id.is_none()).count();
    let needed = ask.versions + expired + missing;
    if needed > versions.len() {
        versions.extend(draw(shared, link, ask.user, needed - versions.len()).await?);
    }
    transaction.now = now;
    transaction.fence = fence;
    Ok(Met { ids, found, versions, applied, usage })
}

/// More versions, which follow on those drawn before.
async fn draw(shared: &Shared, link: &Link, user: &str, count: usize) -> Result<Vec<i64>> {
    let count = i64::try_from(count)?;
    match shared.ordering() {
        Ordering::Concurrent => Ok(link.query_one(VERSIONS, &[&count]).await?.try_get(0)?),
        Ordering::Serial => {
            let last: i64 = link.query_one(COUNTER, &[&user, &count]).await?.try_get(0)?;
            Ok((last - count + 1..=last).collect())
        }
    }
}

/// The locks of namespaces, in the order in which everyone takes them.
fn lock_numbers(ask: &Ask<'_>) -> Vec<i32> {
    let mut numbers: Vec<i32> = ask.namespaces.iter().map(|name| number_of(&["namespace", ask.user, name])).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// What the fences of a user begin with: sixteen bits, before a version of forty-eight. Users who share them may have to
/// wait for each other's changes, and nothing worse.
pub(super) fn fences_of(shared: &Shared, user: &str) -> i64 {
    let number = number_of(&["fence", &shared.tables.schema, &shared.tables.prefix, user]);
    i64::from(number & 0xFFFF) << 48
}

fn place(row: &tokio_postgres::Row) -> Result<usize> {
    Ok(usize::try_from(row.try_get::<_, i64>(0)? - 1)?)
}

fn applied(row: &tokio_postgres::Row) -> Result<Applied> {
    Ok(Applied {
        content: row.try_get::<_, &[u8]>(0)?.try_into().map_err(|_| unreadable())?,
        outcome: row.try_get::<_, &str>(1)?.into(),
        expires_at: Timestamp::from_micros(row.try_get(2)?),
    })
}

fn used(row: &tokio_postgres::Row) -> Result<(Usage, Usage)> {
    let number = |index| -> Result<u64> { Ok(u64::try_from(row.try_get::<_, i64>(index)?).unwrap_or(0)) };
    let stored = Usage { records: number(0)?, bytes: number(1)? };
    let live =
        Usage { records: stored.records.saturating_sub(number(2)?), bytes: stored.bytes.saturating_sub(number(3)?) };
    Ok((stored, live))
}

impl Transaction {
    pub(super) fn link(&self) -> Result<&Link> {
        self.link.as_ref().ok_or_else(|| Failure::Final(unreadable()))
    }

    /// Ends it without a trace.
    pub(super) async fn rollback(mut self) {
        let Some(link) = self.link.take() else { return };
        if link.execute("ROLLBACK").await.is_err() {
            link.discard();
        }
    }

    /// It has been committed: the connection is free for others.
    pub(super) fn committed(mut self) {
        self.link = None;
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            link.discard();
        }
    }
}
