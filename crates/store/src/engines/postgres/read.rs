//! What readers do. Nothing here writes, and each is one statement, so that it sees one committed state.

use tokio_postgres::Row as PgRow;

use super::clock::read_now;
use super::failure::{Failure, Patience, Result};
use super::{Core, optional_time};
use crate::clock::Timestamp;
use crate::engines::sql::{columns, end_of};
use crate::error::Result as StoreResult;
use crate::json::Json;
use crate::model::{Address, Details, NamespaceStats, Page, PageSize, Range, Row, View};

/// Where the bytes of a page are limited it has no more rows than this: they are weighed before it is cut.
const ROWS_WITHIN_BYTES: i64 = 10_000;

fn join(view: View) -> &'static str {
    match view {
        View::Record => {
            "LEFT JOIN LATERAL (SELECT count, last_at, last_by FROM {t}accesses WHERE user_id = r.user_id
                 AND namespace_id = r.namespace_id AND key = r.key AND birth = r.birth LIMIT 1) a ON true"
        }
        View::Key | View::Version | View::Value => "",
    }
}

macro_rules! is_live {
    ($now:literal) => {
        concat!("(r.expires_at IS NULL OR r.expires_at > ", read_now!($now), ")")
    };
}

/// Below the end of a range, which may have none: then below what no name reaches, so that the end is always the index's to find.
macro_rules! is_below {
    ($column:literal, $end:literal) => {
        concat!($column, " < coalesce(", $end, "::text, repeat(chr(1114111), 257))")
    };
}

/// The sums of each namespace of a user, without what is expired and not swept yet.
macro_rules! sums {
    ($after:literal, $now:literal) => {
        concat!(
            "SELECT n.name, n.id, s.records - e.records AS records, s.bytes - e.bytes AS bytes, s.updated_at
             FROM {t}namespaces n
             CROSS JOIN LATERAL (SELECT coalesce(sum(c.records), 0)::bigint AS records,
                     coalesce(sum(c.bytes), 0)::bigint AS bytes, max(c.updated_at) AS updated_at
                 FROM {t}counts c WHERE c.user_id = n.user_id AND c.namespace_id = n.id) s
             CROSS JOIN LATERAL (SELECT count(*) AS records, coalesce(sum(
                     octet_length(r.key) + octet_length(r.value) + coalesce(octet_length(r.metadata), 0)), 0)::bigint AS bytes
                 FROM {t}records r WHERE r.user_id = n.user_id AND r.namespace_id = n.id AND r.expires_at <= ",
            read_now!($now),
            ") e
             WHERE n.user_id = $1 AND n.name >= $2 AND ",
            is_below!("n.name", "$3"),
            " AND s.records > e.records ",
            $after
        )
    };
}

/// Runs a read again where the connection was cut: it can do no harm.
macro_rules! again {
    ($read:expr) => {{
        let mut patience = Patience::new();
        loop {
            match $read.await {
                Ok(result) => return Ok(result),
                Err(failure) => patience.after(failure).await?,
            }
        }
    }};
}
pub(super) use again;

pub(super) async fn read_one(
    core: &Core,
    user: &str,
    namespace: &str,
    key: &str,
    view: View,
) -> StoreResult<Option<Row>> {
    again!(try_read_one(core, user, namespace, key, view))
}

async fn try_read_one(core: &Core, user: &str, namespace: &str, key: &str, view: View) -> Result<Option<Row>> {
    let sql = format!(
        "SELECT {} FROM {{t}}namespaces n JOIN {{t}}records r ON r.user_id = n.user_id AND r.namespace_id = n.id {}
         WHERE n.user_id = $1 AND n.name = $2 AND r.key = $3 AND {}",
        columns(view),
        join(view),
        is_live!("$4")
    );
    let time = optional_time(core.shared.fixed_now());
    let link = core.connections.link().await?;
    let row = link.query(&sql, &[&user, &namespace, &key, &time]).await?.pop();
    row.map(|row| row_of(&row, "", view)).transpose()
}

pub(super) async fn read(core: &Core, user: &str, addresses: &[Address], view: View) -> Result<Vec<Option<Row>>> {
    if addresses.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT {}, u.place FROM unnest($2::text[], $3::text[]) WITH ORDINALITY u(name, key, place)
         CROSS JOIN LATERAL (SELECT id FROM {{t}}namespaces WHERE user_id = $1 AND name = u.name LIMIT 1) n
         CROSS JOIN LATERAL (SELECT * FROM {{t}}records r
             WHERE r.user_id = $1 AND r.namespace_id = n.id AND r.key = u.key AND {} LIMIT 1) r {}",
        columns(view),
        is_live!("$4"),
        join(view),
    );
    let names: Vec<&str> = addresses.iter().map(|address| &*address.namespace).collect();
    let keys: Vec<&str> = addresses.iter().map(|address| &*address.key).collect();
    let time = optional_time(core.shared.fixed_now());
    let link = core.connections.link().await?;
    let mut rows: Vec<Option<Row>> = addresses.iter().map(|_| None).collect();
    for row in link.query(&sql, &[&user, &names, &keys, &time]).await? {
        let place = usize::try_from(row.try_get::<_, i64>(row.len() - 1)? - 1)?;
        if let (Some(found), Some(address)) = (rows.get_mut(place), addresses.get(place)) {
            *found = Some(row_of(&row, &address.key, view)?);
        }
    }
    Ok(rows)
}

pub(super) async fn read_all(
    core: &Core,
    user: &str,
    addresses: &[Address],
    view: View,
) -> StoreResult<Vec<Option<Row>>> {
    again!(read(core, user, addresses, view))
}

pub(super) async fn scan(
    core: &Core,
    user: &str,
    namespace: &str,
    range: Range<'_>,
    view: View,
    page: PageSize,
) -> StoreResult<Page<Row>> {
    again!(try_scan(core, user, namespace, range, view, page))
}

async fn try_scan(
    core: &Core,
    user: &str,
    namespace: &str,
    range: Range<'_>,
    view: View,
    page: PageSize,
) -> Result<Page<Row>> {
    let weighs = page.bytes != usize::MAX;
    let wanted =
        i64::try_from(page.rows.max(1)).unwrap_or(i64::MAX).min(if weighs { ROWS_WITHIN_BYTES } else { i64::MAX });
    let value = if matches!(view, View::Value | View::Record) { "coalesce(octet_length(r.value), 0)" } else { "0" };
    let weight = if weighs { format!("octet_length(r.key) + {value}") } else { "0".to_owned() };
    let mut sql = format!(
        "SELECT {}, r.key AS key, {weight} AS weight FROM {{t}}namespaces n
         CROSS JOIN LATERAL (SELECT * FROM {{t}}records r WHERE r.user_id = n.user_id AND r.namespace_id = n.id
             AND r.key >= $3 AND {} AND ($5::text IS NULL OR r.key > $5) AND {}
             ORDER BY r.key LIMIT $7) r {} WHERE n.user_id = $1 AND n.name = $2 ORDER BY r.key",
        columns(view),
        is_below!("r.key", "$4"),
        is_live!("$6"),
        join(view),
    );
    if weighs {
        // What goes beyond is not sent; the first row always is, and the first that does not fit tells that there is more.
        sql = format!(
            "SELECT * FROM (SELECT p.*, sum(p.weight) OVER (ORDER BY p.key) - p.weight AS before,
                 row_number() OVER (ORDER BY p.key) AS place FROM ({sql}) p) p
             WHERE before <= $8::bigint OR place = 2 ORDER BY key"
        );
    }
    let (end, time) = (end_of(range.prefix), optional_time(core.shared.fixed_now()));
    let after = range.after.filter(|after| *after >= range.prefix);
    let start = after.unwrap_or(range.prefix);
    let limit = wanted.saturating_add(1);
    let bytes = i64::try_from(page.bytes).unwrap_or(i64::MAX);
    let link = core.connections.link().await?;
    let rows = if weighs {
        link.query(&sql, &[&user, &namespace, &start, &end, &after, &time, &limit, &bytes]).await?
    } else {
        link.query(&sql, &[&user, &namespace, &start, &end, &after, &time, &limit]).await?
    };
    drop(link);
    let mut result = Page { rows: Vec::with_capacity(rows.len()), more: false };
    let mut size = 0usize;
    for row in rows {
        let key: &str = row.try_get("key")?;
        let found = row_of(&row, key, view)?;
        let weight = key.len() + found.value.as_ref().map_or(0, Json::len);
        if Ok(wanted) == i64::try_from(result.rows.len())
            || (!result.rows.is_empty() && size.saturating_add(weight) > page.bytes)
        {
            result.more = true;
            break;
        }
        size = size.saturating_add(weight);
        result.rows.push(found);
    }
    Ok(result)
}

pub(super) async fn count(core: &Core, user: &str, namespace: &str, prefix: &str) -> StoreResult<u64> {
    again!(try_count(core, user, namespace, prefix))
}

async fn try_count(core: &Core, user: &str, namespace: &str, prefix: &str) -> Result<u64> {
    const ALL: &str = concat!(
        "SELECT (SELECT coalesce(sum(c.records), 0)::bigint FROM {t}counts c WHERE c.user_id = n.user_id AND c.namespace_id = n.id)
             - (SELECT count(*) FROM {t}records r WHERE r.user_id = n.user_id AND r.namespace_id = n.id AND r.expires_at <= ",
        read_now!("$3"),
        ") FROM {t}namespaces n WHERE n.user_id = $1 AND n.name = $2"
    );
    const OF_PREFIX: &str = concat!(
        "SELECT count(*) FROM {t}namespaces n JOIN {t}records r ON r.user_id = n.user_id AND r.namespace_id = n.id
         WHERE n.user_id = $1 AND n.name = $2 AND r.key >= $4 AND ",
        is_below!("r.key", "$5"),
        " AND ",
        is_live!("$3")
    );
    let time = optional_time(core.shared.fixed_now());
    let link = core.connections.link().await?;
    let row = if prefix.is_empty() {
        link.query(ALL, &[&user, &namespace, &time]).await?.pop()
    } else {
        link.query(OF_PREFIX, &[&user, &namespace, &time, &prefix, &end_of(prefix)]).await?.pop()
    };
    let count: i64 = row.map_or(Ok(0), |row| row.try_get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

pub(super) async fn namespace_names(core: &Core, user: &str, prefix: &str) -> StoreResult<Vec<Box<str>>> {
    again!(try_namespace_names(core, user, prefix))
}

async fn try_namespace_names(core: &Core, user: &str, prefix: &str) -> Result<Vec<Box<str>>> {
    const NAMES: &str = sums!("ORDER BY n.name", "$4");
    let time = optional_time(core.shared.fixed_now());
    let link = core.connections.link().await?;
    let rows = link.query(NAMES, &[&user, &prefix, &end_of(prefix), &time]).await?;
    rows.iter().map(|row| Ok(row.try_get::<_, &str>(0)?.into())).collect()
}

pub(super) async fn namespaces(
    core: &Core,
    user: &str,
    range: Range<'_>,
    page: PageSize,
) -> StoreResult<Page<NamespaceStats>> {
    again!(try_namespaces(core, user, range, page))
}

async fn try_namespaces(core: &Core, user: &str, range: Range<'_>, page: PageSize) -> Result<Page<NamespaceStats>> {
    const STATS: &str = concat!(
        "SELECT p.*, ARRAY(SELECT g.agent FROM {t}agents g WHERE g.user_id = $1 AND g.namespace_id = p.id ORDER BY g.agent)
         FROM (",
        sums!("AND ($5::text IS NULL OR n.name > $5) ORDER BY n.name LIMIT $6", "$4"),
        ") p ORDER BY p.name"
    );
    let after = range.after.filter(|after| *after >= range.prefix);
    let start = after.unwrap_or(range.prefix);
    let time = optional_time(core.shared.fixed_now());
    let limit = i64::try_from(page.rows.max(1)).unwrap_or(i64::MAX).saturating_add(1);
    let link = core.connections.link().await?;
    let rows = link.query(STATS, &[&user, &start, &end_of(range.prefix), &time, &after, &limit]).await?;
    let mut result = Page { rows: Vec::with_capacity(rows.len()), more: false };
    let mut bytes = 0usize;
    for row in rows {
        let name: &str = row.try_get(0)?;
        if result.rows.len() >= page.rows.max(1) || (!result.rows.is_empty() && bytes + name.len() > page.bytes) {
            result.more = true;
            break;
        }
        bytes += name.len();
        result.rows.push(NamespaceStats {
            namespace: name.into(),
            records: u64::try_from(row.try_get::<_, i64>(2)?).unwrap_or(0),
            bytes: u64::try_from(row.try_get::<_, i64>(3)?).unwrap_or(0),
            agents: row.try_get::<_, Vec<String>>(5)?.into_iter().map(Into::into).collect(),
            updated_at: Timestamp::from_micros(row.try_get(4)?),
        });
    }
    Ok(result)
}

pub(super) async fn users(core: &Core, range: Range<'_>, page: PageSize) -> StoreResult<Page<Box<str>>> {
    again!(try_users(core, range, page))
}

async fn try_users(core: &Core, range: Range<'_>, page: PageSize) -> Result<Page<Box<str>>> {
    // From each user straight to the next, past all that they have changed.
    const USERS: &str = "WITH RECURSIVE users AS (
             (SELECT user_id FROM {t}changes WHERE user_id >= $1 AND ($2::text IS NULL OR user_id > $2) ORDER BY user_id LIMIT 1)
             UNION ALL
             SELECT (SELECT c.user_id FROM {t}changes c WHERE c.user_id > u.user_id ORDER BY c.user_id LIMIT 1)
             FROM users u WHERE u.user_id IS NOT NULL)
         SELECT user_id FROM users WHERE user_id IS NOT NULL AND ($3::text IS NULL OR user_id < $3) LIMIT $4";
    let after = range.after.filter(|after| *after >= range.prefix);
    let limit = i64::try_from(page.rows.max(1)).unwrap_or(i64::MAX).saturating_add(1);
    let link = core.connections.link().await?;
    let rows = link.query(USERS, &[&range.prefix, &after, &end_of(range.prefix), &limit]).await?;
    let mut result = Page { rows: Vec::new(), more: false };
    let mut bytes = 0usize;
    for row in rows {
        let user: &str = row.try_get(0)?;
        if result.rows.len() >= page.rows.max(1) || (!result.rows.is_empty() && bytes + user.len() > page.bytes) {
            result.more = true;
            break;
        }
        bytes += user.len();
        result.rows.push(user.into());
    }
    Ok(result)
}

fn row_of(row: &PgRow, key: &str, view: View) -> Result<Row> {
    let mut found = Row { key: key.into(), version: 0, expires_at: None, value: None, details: None };
    if view == View::Key {
        return Ok(found);
    }
    found.expires_at = row.try_get::<_, Option<i64>>(0)?.map(Timestamp::from_micros);
    found.version = row.try_get::<_, i64>(1)?.cast_unsigned();
    if matches!(view, View::Value | View::Record) {
        found.value = Some(Json::from_trusted(row.try_get::<_, &str>(2)?));
    }
    if view == View::Record {
        found.details = Some(Box::new(details(row)?));
    }
    Ok(found)
}

fn details(row: &PgRow) -> Result<Details, Failure> {
    let text = |index| -> Result<Option<Box<str>>> { Ok(row.try_get::<_, Option<&str>>(index)?.map(Into::into)) };
    let (written_at, read_at): (Option<i64>, Option<i64>) = (row.try_get(8)?, row.try_get(11)?);
    let (accessed_at, accessed_by) =
        if read_at.is_some() && read_at >= written_at { (read_at, text(12)?) } else { (written_at, text(9)?) };
    Ok(Details {
        metadata: Json::from_trusted(row.try_get::<_, Option<&str>>(3)?.unwrap_or("{}")),
        created_by_agent: text(4)?,
        updated_by_agent: text(5)?,
        last_accessed_by_agent: accessed_by,
        access_count: row.try_get::<_, Option<i64>>(10)?.map_or(0, i64::cast_unsigned),
        created_at: Timestamp::from_micros(row.try_get(6)?),
        updated_at: Timestamp::from_micros(row.try_get(7)?),
        last_accessed_at: accessed_at.map(Timestamp::from_micros),
    })
}
