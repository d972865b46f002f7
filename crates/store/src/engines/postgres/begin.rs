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
use super::connect::{Link, Parameter, Round};
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

impl Ask<'_> {
    /// Keys are in the order of their namespaces.
    fn has_namespaces_without_keys(&self) -> bool {
        self.keys.chunk_by(|left, right| left.namespace == right.namespace).count() < self.namespaces.len()
    }
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

/// The fence, and then the namespaces, of which others may be at it or not.
macro_rules! locks {
    ($lock:literal) => {
        concat!(
            "SELECT pg_advisory_xact_lock_shared($1 | v.last_value), $1 | v.last_value,
                 (SELECT count(",
            $lock,
            "($2, u.number)) FROM unnest($3::integer[]) u(number)) FROM {t}versions v"
        )
    };
}
const SHARED: &str = locks!("pg_advisory_xact_lock_shared");
const ALONE: &str = locks!("pg_advisory_xact_lock");

const OF_QUOTA: &str = "SELECT pg_advisory_xact_lock($1, $2)";

const COUNTER: &str = "INSERT INTO {t}feeds AS f (user_id, last_version, trimmed_to) VALUES ($1, $2, 0)
     ON CONFLICT (user_id) DO UPDATE SET last_version = f.last_version + excluded.last_version RETURNING last_version";

const NAMESPACES: &str = "SELECT u.place, n.id FROM unnest($2::text[]) WITH ORDINALITY u(name, place)
     CROSS JOIN LATERAL (SELECT id FROM {t}namespaces WHERE user_id = $1 AND name = u.name LIMIT 1) n";

// One row for each key, locked one after the other, so that everyone locks in the same order, and found by the key, whatever
// the planner thinks of the tables. What comes with the first row comes once all are locked.
macro_rules! look {
    ($locked:literal, $drawn:literal, $versions:literal, $from:literal) => {
        concat!(
            "WITH found AS MATERIALIZED (
                 SELECT u.place, n.id, u.reads_value, r.*
                 FROM unnest($2::text[], $3::text[], $4::boolean[]) WITH ORDINALITY u(name, key, reads_value, place)
                 LEFT JOIN LATERAL (SELECT id FROM {t}namespaces WHERE user_id = $1 AND name = u.name LIMIT 1) n ON true
                 LEFT JOIN LATERAL (SELECT version, expires_at, metadata, value FROM {t}records
                     WHERE user_id = $1 AND namespace_id = n.id AND key = u.key LIMIT 1 FOR UPDATE",
            $locked,
            ") r ON true)",
            $drawn,
            " SELECT f.place, f.version, f.expires_at, octet_length(f.value)::bigint, f.metadata,
                 CASE WHEN f.reads_value THEN f.value END, f.id, ",
            $versions,
            database_now!(),
            " FROM found f",
            $from
        )
    };
}
// Drawn once the rows are locked: of two writers of a key the later one has the greater version.
macro_rules! look_and_draw {
    ($locked:literal) => {
        look!(
            $locked,
            ", drawn AS MATERIALIZED (SELECT array_agg(v.version) AS versions FROM (
                 SELECT nextval('{t}versions') AS version
                 FROM generate_series(1, $5::bigint + (SELECT 0 * count(*) FROM found))) v)",
            "CASE WHEN f.place = 1 THEN d.versions END, ",
            " CROSS JOIN drawn d"
        )
    };
}
const LOOK: &str = look_and_draw!("");
const LOOK_SKIPPING: &str = look_and_draw!(" SKIP LOCKED");
const LOOK_SERIAL: &str = look!("", "", "NULL::bigint[], ", "");

const VERSIONS: &str = concat!(
    "SELECT array_agg(v.version), ",
    database_now!(),
    " FROM (SELECT nextval('{t}versions') AS version FROM generate_series(1, $1::bigint)) v"
);
const VERSIONS_SERIAL: &str = concat!("SELECT NULL::bigint[], ", database_now!());

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
    let quota_number = number_of(&["quota", ask.user]);
    let fences = fences_of(shared, ask.user);
    let names: Vec<&str> =
        ask.keys.iter().map(|key| ask.namespaces.get(key.namespace).copied().unwrap_or_default()).collect();
    let keys: Vec<&str> = ask.keys.iter().map(|key| key.key).collect();
    let reads_value: Vec<bool> = ask.keys.iter().map(|key| key.reads_value).collect();
    let request_id = ask.request.map(RequestId::as_str);
    let time = optional_time(shared.fixed_now());

    let mut round = Round::new(link);
    if is_concurrent && ask.with_usage {
        round.add(OF_QUOTA, vec![&store_number, &quota_number]).await?;
    }
    if is_concurrent {
        round.add(if ask.alone { ALONE } else { SHARED }, vec![&fences, &store_number, &numbers]).await?;
    } else {
        round.add(COUNTER, vec![&ask.user, &counted]).await?;
    }
    let mut of_look: Vec<Parameter<'_>> = vec![&ask.user, &names, &keys, &reads_value];
    let has_more_namespaces = ask.has_namespaces_without_keys();
    if has_more_namespaces {
        round.add(NAMESPACES, vec![&ask.user, &ask.namespaces]).await?;
    }
    match (is_concurrent, ask.keys.is_empty()) {
        (true, true) => round.add(VERSIONS, vec![&counted]).await?,
        (false, true) => round.add(VERSIONS_SERIAL, Vec::new()).await?,
        (true, false) => {
            of_look.push(&counted);
            round.add(if ask.skip_locked { LOOK_SKIPPING } else { LOOK }, of_look).await?;
        }
        (false, false) => round.add(LOOK_SERIAL, of_look).await?,
    }
    if ask.request.is_some() {
        round.add(REQUEST, vec![&ask.user, &request_id]).await?;
    }
    if ask.with_usage {
        round.add(USAGE, vec![&ask.user, &time]).await?;
    }
    let mut results = round.begin_transaction().await?.into_iter();
    let mut next = || results.next().ok_or_else(unreadable);

    if is_concurrent && ask.with_usage {
        next()?;
    }
    let counted_to = next()?.pop().ok_or_else(unreadable)?;
    let mut ids = vec![None; ask.namespaces.len()];
    let mut found: Vec<Option<Found>> = ask.keys.iter().map(|_| None).collect();
    let mut drawn = None;
    if has_more_namespaces {
        for row in next()? {
            *ids.get_mut(place(&row)?).ok_or_else(unreadable)? = Some(row.try_get(1)?);
        }
    }
    if ask.keys.is_empty() {
        let row = next()?.pop().ok_or_else(unreadable)?;
        drawn = Some((row.try_get(0)?, row.try_get(1)?));
    } else {
        for row in next()? {
            let place = place(&row)?;
            let key = ask.keys.get(place).ok_or_else(unreadable)?;
            if place == 0 {
                drawn = Some((row.try_get(7)?, row.try_get(8)?));
            }
            let Some(id) = row.try_get(6)? else { continue };
            *ids.get_mut(key.namespace).ok_or_else(unreadable)? = Some(id);
            let Some(version) = row.try_get::<_, Option<i64>>(1)? else { continue };
            *found.get_mut(place).ok_or_else(unreadable)? = Some(Found {
                version: version.cast_unsigned(),
                expires_at: row.try_get::<_, Option<i64>>(2)?.map(Timestamp::from_micros),
                value_bytes: row.try_get(3)?,
                metadata: row.try_get(4)?,
                value: row.try_get(5)?,
            });
        }
    }
    let (drawn, shown): (Option<Vec<i64>>, i64) = drawn.ok_or_else(unreadable)?;
    let (mut versions, fence) = if is_concurrent {
        (drawn.ok_or_else(unreadable)?, counted_to.try_get(1)?)
    } else {
        let last: i64 = counted_to.try_get(0)?;
        ((last - counted + 1..=last).collect(), 0)
    };
    let shown = Timestamp::from_micros(shown);
    shared.database_clock.learn(before, shown);
    let now = shared.fixed_now().unwrap_or(shown);
    let applied = if ask.request.is_some() { next()?.pop().map(|row| applied(&row)).transpose()? } else { None };
    let usage = if ask.with_usage { next()?.pop().map(|row| used(&row)).transpose()? } else { None };

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
    let mut numbers: Vec<i32> = ask.namespaces.iter().map(|name| namespace_number(ask.user, name)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// The lock of a namespace, which those who write there share.
pub(super) fn namespace_number(user: &str, name: &str) -> i32 {
    number_of(&["namespace", user, name])
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
