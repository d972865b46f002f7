//! What readers do. Nothing here writes.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row as SqliteRow, Rows, params};

use super::failure::Result;
use super::hot_cache::{Known, Live};
use super::write::record_bytes;
use crate::clock::Timestamp;
use crate::engines::sql::{columns, end_of};
use crate::json::Json;
use crate::model::{Address, Change, Changes, Details, NamespaceStats, Page, PageSize, Range, Row, Version, View};
use crate::quota::Usage;

fn join(view: View) -> &'static str {
    match view {
        View::Record => "LEFT JOIN accesses a ON a.record_id = r.id",
        View::Key | View::Version | View::Value => "",
    }
}

/// Runs `function` on one committed state: every statement in it sees the same.
pub(super) fn snapshot<R>(connection: &Connection, function: impl FnOnce() -> Result<R>) -> Result<R> {
    connection.prepare_cached("BEGIN")?.execute(())?;
    let result = function();
    // It has changed nothing, so how it ends does not matter to the data; a failure shows at the next use.
    let ended = connection.prepare_cached("COMMIT")?.execute(());
    let result = result?;
    ended?;
    Ok(result)
}

/// What `get` wants of one record, whether its time is up or not.
pub(super) fn read_value(connection: &Connection, user: &str, namespace: &str, key: &str) -> Result<Known> {
    let mut statement = connection.prepare_cached(
        "SELECT r.expires_at, r.version, r.value FROM namespaces n JOIN records r ON r.namespace_id = n.id
         WHERE n.user = ?1 AND n.name = ?2 AND r.key = ?3",
    )?;
    known(statement.query(params![user, namespace, key])?)
}

/// The same of several records.
pub(super) fn read_values(connection: &Connection, user: &str, addresses: &[Address]) -> Result<Vec<Known>> {
    let mut statement = connection
        .prepare_cached("SELECT expires_at, version, value FROM records WHERE namespace_id = ?1 AND key = ?2")?;
    let mut ids = NamespaceIds::new(connection, user);
    let mut values = Vec::with_capacity(addresses.len());
    for Address { namespace, key } in addresses {
        values.push(match ids.get(namespace)? {
            Some(id) => known(statement.query(params![id, &**key])?)?,
            None => None,
        });
    }
    Ok(values)
}

fn known(mut rows: Rows<'_>) -> Result<Known> {
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(Live {
        value: Json::from_trusted(row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?),
        version: row.get(1)?,
        expires_at: row.get::<_, Option<i64>>(0)?.map(Timestamp::from_micros),
    }))
}

/// Looks up each namespace once.
struct NamespaceIds<'a> {
    connection: &'a Connection,
    user: &'a str,
    known: HashMap<&'a str, Option<i64>>,
}

impl<'a> NamespaceIds<'a> {
    fn new(connection: &'a Connection, user: &'a str) -> Self {
        Self { connection, user, known: HashMap::new() }
    }

    fn get(&mut self, namespace: &'a str) -> Result<Option<i64>> {
        if let Some(id) = self.known.get(namespace) {
            return Ok(*id);
        }
        let id = namespace_id(self.connection, self.user, namespace)?;
        self.known.insert(namespace, id);
        Ok(id)
    }
}

pub(super) fn read_one(
    connection: &Connection,
    user: &str,
    namespace: &str,
    key: &str,
    view: View,
    now: Timestamp,
) -> Result<Option<Row>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM namespaces n JOIN records r ON r.namespace_id = n.id {}
         WHERE n.user = ?1 AND n.name = ?2 AND r.key = ?3",
        columns(view),
        join(view)
    ))?;
    let mut rows = statement.query(params![user, namespace, key])?;
    rows.next()?.map(|row| live_row(row, "", view, now)).transpose().map(Option::flatten)
}

pub(super) fn read(
    connection: &Connection,
    user: &str,
    addresses: &[Address],
    view: View,
    now: Timestamp,
) -> Result<Vec<Option<Row>>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM records r {} WHERE r.namespace_id = ?1 AND r.key = ?2",
        columns(view),
        join(view)
    ))?;
    let mut ids = NamespaceIds::new(connection, user);
    let mut rows = Vec::with_capacity(addresses.len());
    for Address { namespace, key } in addresses {
        let id = ids.get(namespace)?;
        rows.push(match id {
            Some(id) => {
                let mut found = statement.query(params![id, &**key])?;
                found.next()?.map(|row| live_row(row, key, view, now)).transpose()?.flatten()
            }
            None => None,
        });
    }
    Ok(rows)
}

pub(super) fn scan(
    connection: &Connection,
    user: &str,
    namespace: &str,
    range: Range<'_>,
    view: View,
    page: PageSize,
    now: Timestamp,
) -> Result<Page<Row>> {
    let mut result = Page { rows: Vec::new(), more: false };
    let mut bytes = 0usize;
    walk(connection, user, namespace, range, view, now, |row| {
        let size = size(&row);
        if !has_room(&result.rows, bytes, size, page) {
            result.more = true;
            return ControlFlow::Break(());
        }
        bytes = bytes.saturating_add(size);
        result.rows.push(row);
        ControlFlow::Continue(())
    })?;
    Ok(result)
}

/// All rows of a namespace, piece by piece.
pub(super) fn scan_all(
    connection: &Connection,
    user: &str,
    namespace: &str,
    view: View,
    piece: PageSize,
    now: Timestamp,
    each: &mut (dyn FnMut(Vec<Row>) + Send),
) -> Result<()> {
    let mut rows = Vec::new();
    let mut bytes = 0usize;
    walk(connection, user, namespace, Range::default(), view, now, |row| {
        let size = size(&row);
        if !has_room(&rows, bytes, size, piece) {
            each(std::mem::take(&mut rows));
            bytes = 0;
        }
        bytes = bytes.saturating_add(size);
        rows.push(row);
        ControlFlow::Continue(())
    })?;
    if !rows.is_empty() {
        each(rows);
    }
    Ok(())
}

fn size(row: &Row) -> usize {
    row.key.len() + row.value.as_ref().map_or(0, Json::len)
}

/// Whether a row of `size` bytes still belongs to the page whose rows of `bytes` bytes are these.
fn has_room(rows: &[Row], bytes: usize, size: usize, page: PageSize) -> bool {
    rows.is_empty() || (rows.len() < page.rows && bytes.saturating_add(size) <= page.bytes)
}

/// Shows the live rows of a range in order, until `each` has enough.
fn walk(
    connection: &Connection,
    user: &str,
    namespace: &str,
    range: Range<'_>,
    view: View,
    now: Timestamp,
    mut each: impl FnMut(Row) -> ControlFlow<()>,
) -> Result<()> {
    let Some(id) = namespace_id(connection, user, namespace)? else { return Ok(()) };
    // Keys alone come from the key index, which does not know of expiry: the few expired records are looked up first.
    let expired = if view == View::Key { expired_ids(connection, id, now)? } else { HashSet::new() };
    let columns = if view == View::Key { "r.id" } else { columns(view) };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {columns}, r.key FROM records r {} WHERE r.namespace_id = ?1 AND r.key >= ?2 ORDER BY r.key",
        join(view)
    ))?;
    let key_column = statement.column_count() - 1;
    let start = range.after.filter(|after| *after >= range.prefix).unwrap_or(range.prefix);
    let mut rows = statement.query(params![id, start])?;
    while let Some(row) = rows.next()? {
        let key = row.get_ref(key_column)?.as_str().map_err(rusqlite::Error::from)?;
        if !key.starts_with(range.prefix) {
            break;
        }
        if range.after == Some(key) {
            continue;
        }
        let found = match view {
            View::Key if expired.contains(&row.get(0)?) => None,
            View::Key => Some(bare_row(key)),
            View::Version | View::Value | View::Record => live_row(row, key, view, now)?,
        };
        if found.is_some_and(|found| each(found).is_break()) {
            break;
        }
    }
    Ok(())
}

pub(super) fn count(connection: &Connection, user: &str, namespace: &str, prefix: &str, now: Timestamp) -> Result<u64> {
    let Some(id) = namespace_id(connection, user, namespace)? else { return Ok(0) };
    let stored: u64 = if prefix.is_empty() {
        connection.prepare_cached("SELECT records FROM namespaces WHERE id = ?1")?.query_row([id], |row| row.get(0))?
    } else {
        match end_of(prefix) {
            Some(end) => connection
                .prepare_cached("SELECT count(*) FROM records WHERE namespace_id = ?1 AND key >= ?2 AND key < ?3")?
                .query_row(params![id, prefix, end], |row| row.get(0))?,
            None => connection
                .prepare_cached("SELECT count(*) FROM records WHERE namespace_id = ?1 AND key >= ?2")?
                .query_row(params![id, prefix], |row| row.get(0))?,
        }
    };
    let expired: u64 = connection
        .prepare_cached(
            "SELECT count(*) FROM records INDEXED BY records_by_expiry
             WHERE expires_at <= ?1 AND namespace_id = ?2 AND substr(key, 1, length(?3)) = ?3",
        )?
        .query_row(params![now.as_micros(), id, prefix], |row| row.get(0))?;
    Ok(stored.saturating_sub(expired))
}

pub(super) fn namespace_names(
    connection: &Connection,
    user: &str,
    prefix: &str,
    now: Timestamp,
) -> Result<Vec<Box<str>>> {
    let expired = expired_sums(connection, now)?;
    let mut names = Vec::new();
    let mut statement = connection
        .prepare_cached("SELECT id, name, records FROM namespaces WHERE user = ?1 AND name >= ?2 ORDER BY name")?;
    let mut rows = statement.query(params![user, prefix])?;
    while let Some(row) = rows.next()? {
        let name = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
        if !name.starts_with(prefix) {
            break;
        }
        let gone = if expired.is_empty() { 0 } else { expired.get(&row.get(0)?).map_or(0, |sums| sums.0) };
        if row.get::<_, u64>(2)? > gone {
            names.push(name.into());
        }
    }
    Ok(names)
}

pub(super) fn namespaces(
    connection: &Connection,
    user: &str,
    range: Range<'_>,
    page: PageSize,
    now: Timestamp,
) -> Result<Page<NamespaceStats>> {
    let expired = expired_sums(connection, now)?;
    let mut result = Page { rows: Vec::new(), more: false };
    let mut statement = connection.prepare_cached(
        "SELECT id, name, records, bytes, updated_at FROM namespaces WHERE user = ?1 AND name >= ?2 ORDER BY name",
    )?;
    let mut agents =
        connection.prepare_cached("SELECT agent FROM namespace_agents WHERE namespace_id = ?1 ORDER BY agent")?;
    let start = range.after.filter(|after| *after >= range.prefix).unwrap_or(range.prefix);
    let mut bytes = 0usize;
    let mut rows = statement.query(params![user, start])?;
    while let Some(row) = rows.next()? {
        let name = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
        if !name.starts_with(range.prefix) {
            break;
        }
        let id: i64 = row.get(0)?;
        let (gone, gone_bytes) = expired.get(&id).copied().unwrap_or_default();
        let records = row.get::<_, u64>(2)?.saturating_sub(gone);
        if records == 0 || range.after == Some(name) {
            continue;
        }
        if result.rows.len() >= page.rows.max(1) || (!result.rows.is_empty() && bytes + name.len() > page.bytes) {
            result.more = true;
            break;
        }
        bytes += name.len();
        result.rows.push(NamespaceStats {
            namespace: name.into(),
            records,
            bytes: row.get::<_, u64>(3)?.saturating_sub(gone_bytes),
            agents: agents.query_map([id], |row| row.get(0))?.collect::<Result<_, _>>()?,
            updated_at: Timestamp::from_micros(row.get(4)?),
        });
    }
    Ok(result)
}

pub(super) fn changes(connection: &Connection, user: &str, since: Version, limit: usize) -> Result<Changes> {
    let changes = connection
        .prepare_cached(
            "SELECT version, kind, namespace, key, agent, at FROM changes WHERE user = ?1 AND version > ?2
             ORDER BY version LIMIT ?3",
        )?
        .query_and_then(params![user, since, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            Ok(Change {
                version: row.get(0)?,
                kind: super::kind_from_number(row.get(1)?)?,
                namespace: row.get(2)?,
                key: row.get(3)?,
                agent: row.get(4)?,
                at: Timestamp::from_micros(row.get(5)?),
            })
        })?
        .collect::<Result<Vec<_>>>()?;
    let oldest: Option<Version> = connection
        .prepare_cached("SELECT min(version) FROM changes WHERE user = ?1")?
        .query_row([user], |row| row.get(0))?;
    let last = last_version(connection, user)?;
    Ok(Changes { changes, complete_from: oldest.map_or(0, |oldest| oldest.saturating_sub(1)), last, settled: true })
}

/// The user's newest version, 0 before the first.
pub(super) fn last_version(connection: &Connection, user: &str) -> Result<Version> {
    let last: Option<Version> = connection
        .prepare_cached("SELECT max(version) FROM changes WHERE user = ?1")?
        .query_row([user], |row| row.get(0))?;
    Ok(last.unwrap_or(0))
}

/// The users who have a change feed: its newest row is never removed.
pub(super) fn users(connection: &Connection, range: Range<'_>, page: PageSize) -> Result<Page<Box<str>>> {
    let mut result = Page { rows: Vec::new(), more: false };
    let mut first = connection.prepare_cached("SELECT min(user) FROM changes WHERE user >= ?1")?;
    let mut next = connection.prepare_cached("SELECT min(user) FROM changes WHERE user > ?1")?;
    let name = |row: &SqliteRow<'_>| row.get::<_, Option<Box<str>>>(0);
    let mut found = match range.after.filter(|after| *after >= range.prefix) {
        Some(after) => next.query_row([after], name)?,
        None => first.query_row([range.prefix], name)?,
    };
    let mut bytes = 0usize;
    while let Some(user) = found.filter(|user| user.starts_with(range.prefix)) {
        if result.rows.len() >= page.rows.max(1) || (!result.rows.is_empty() && bytes + user.len() > page.bytes) {
            result.more = true;
            break;
        }
        bytes += user.len();
        found = next.query_row([&*user], name)?;
        result.rows.push(user);
    }
    Ok(result)
}

/// What the user's records take, those included that are expired and not swept yet.
pub(super) fn stored_usage(connection: &Connection, user: &str) -> Result<Usage> {
    Ok(connection
        .prepare_cached("SELECT ifnull(sum(records), 0), ifnull(sum(bytes), 0) FROM namespaces WHERE user = ?1")?
        .query_row([user], |row| Ok(Usage { records: row.get(0)?, bytes: row.get(1)? }))?)
}

/// What the user's live records take.
pub(super) fn live_usage(connection: &Connection, user: &str, now: Timestamp) -> Result<Usage> {
    let stored = stored_usage(connection, user)?;
    let expired = connection
        .prepare_cached(concat!(
            "SELECT count(*), ifnull(sum(",
            record_bytes!(),
            "), 0) FROM records r INDEXED BY records_by_expiry JOIN namespaces n ON n.id = r.namespace_id
             WHERE r.expires_at <= ?1 AND n.user = ?2"
        ))?
        .query_row(params![now.as_micros(), user], |row| Ok(Usage { records: row.get(0)?, bytes: row.get(1)? }))?;
    Ok(Usage {
        records: stored.records.saturating_sub(expired.records),
        bytes: stored.bytes.saturating_sub(expired.bytes),
    })
}

/// Whether there is anything to sweep.
pub(super) fn needs_sweeping(connection: &Connection, now: Timestamp) -> Result<bool> {
    Ok(connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM dropped_namespaces) OR EXISTS
                 (SELECT 1 FROM records r JOIN namespaces n ON n.id = r.namespace_id WHERE r.expires_at <= ?1)
                 OR ifnull((SELECT expires_at <= ?1 FROM requests ORDER BY number LIMIT 1), 0)",
        )?
        .query_row([now.as_micros()], |row| row.get(0))?)
}

fn namespace_id(connection: &Connection, user: &str, namespace: &str) -> Result<Option<i64>> {
    let mut statement: CachedStatement<'_> =
        connection.prepare_cached("SELECT id FROM namespaces WHERE user = ?1 AND name = ?2")?;
    Ok(statement.query_row(params![user, namespace], |row| row.get(0)).optional()?)
}

fn expired_ids(connection: &Connection, namespace: i64, now: Timestamp) -> Result<HashSet<i64>> {
    let ids = connection
        .prepare_cached(
            "SELECT id FROM records INDEXED BY records_by_expiry WHERE expires_at <= ?1 AND namespace_id = ?2",
        )?
        .query_map(params![now.as_micros(), namespace], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(ids)
}

/// Records and bytes that are expired and not swept yet, for each namespace that has any.
fn expired_sums(connection: &Connection, now: Timestamp) -> Result<HashMap<i64, (u64, u64)>> {
    let sums = connection
        .prepare_cached(concat!(
            "SELECT namespace_id, count(*), sum(",
            record_bytes!(),
            ") FROM records INDEXED BY records_by_expiry WHERE expires_at <= ?1 GROUP BY namespace_id"
        ))?
        .query_map([now.as_micros()], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?
        .collect::<Result<_, _>>()?;
    Ok(sums)
}

fn bare_row(key: &str) -> Row {
    Row { key: key.into(), version: 0, expires_at: None, value: None, details: None }
}

/// The row, unless its time is up.
fn live_row(row: &SqliteRow<'_>, key: &str, view: View, now: Timestamp) -> Result<Option<Row>> {
    let expires_at = row.get::<_, Option<i64>>(0)?.map(Timestamp::from_micros);
    if expires_at.is_some_and(|expires_at| expires_at <= now) {
        return Ok(None);
    }
    if view == View::Key {
        return Ok(Some(bare_row(key)));
    }
    if view == View::Version {
        return Ok(Some(Row { version: row.get(1)?, expires_at, ..bare_row(key) }));
    }
    let value = Json::from_trusted(row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?);
    let details = if view == View::Record { Some(Box::new(details(row)?)) } else { None };
    Ok(Some(Row { key: key.into(), version: row.get(1)?, expires_at, value: Some(value), details }))
}

fn details(row: &SqliteRow<'_>) -> Result<Details> {
    let metadata: Option<String> = row.get(3)?;
    let written_at: Option<i64> = row.get(8)?;
    let read_at: Option<i64> = row.get(11)?;
    let (accessed_at, accessed_by) =
        if read_at.is_some() && read_at >= written_at { (read_at, row.get(12)?) } else { (written_at, row.get(9)?) };
    Ok(Details {
        metadata: Json::from_trusted(metadata.unwrap_or_else(|| "{}".into())),
        created_by_agent: row.get(4)?,
        updated_by_agent: row.get(5)?,
        last_accessed_by_agent: accessed_by,
        access_count: row.get::<_, Option<u64>>(10)?.unwrap_or(0),
        created_at: Timestamp::from_micros(row.get(6)?),
        updated_at: Timestamp::from_micros(row.get(7)?),
        last_accessed_at: accessed_at.map(Timestamp::from_micros),
    })
}
