//! What a write transaction does: batches, clear, access counts, sweeping. All run inside a transaction that
//! [`super::writer`] has begun.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::agents::{AgentsNoted, note_agent};
use super::failure::Result;
use super::hot_cache::{Known, Live};
use super::read::{last_version, live_usage, stored_usage};
use crate::clock::Timestamp;
use crate::json::Json;
use crate::limits::Limits;
use crate::model::{Access, Address, Batch, ChangeKind, Outcome, Version, Write};
use crate::mutation::{Effect, Present, Put, apply};
use crate::quota::{Quota, Usage};

/// SQL for the bytes of one record as namespaces count them; `octet_length` reads the row's header, not the value.
macro_rules! record_bytes {
    () => {
        "octet_length(key) + octet_length(value) + ifnull(octet_length(metadata), 0)"
    };
}
pub(super) use record_bytes;

/// Old changes are removed once in this many versions, so that most writes do not touch the far end of the feed.
const TRIM_INTERVAL: u64 = 1_024;

/// A user's writes within one transaction: the version counter, and what they add up to in each namespace.
pub(super) struct UserWrites<'c> {
    connection: &'c Connection,
    user: &'c str,
    agent: Option<&'c str>,
    now: Timestamp,
    /// The user's last version before and now; `None` until it is looked up, which most writes do together with the record.
    versions: Option<(Version, Version)>,
    namespaces: HashMap<Arc<str>, Touched>,
    /// By how much live records have grown or shrunk: how many there are, and their bytes.
    grown: (i64, i64),
}

/// A namespace that was looked at, and how it has changed.
#[derive(Default)]
struct Touched {
    /// `None` where it does not exist.
    id: Option<i64>,
    records: i64,
    bytes: i64,
    written: bool,
    /// Whether it came to be in this transaction.
    is_new: bool,
}

/// A row that may be live or expired.
struct Found {
    id: i64,
    version: Version,
    expires_at: Option<Timestamp>,
    bytes: i64,
    metadata: Option<String>,
    value: Option<String>,
}

impl Found {
    /// From a row that starts with these columns; `None` for one of nulls, which an outer join makes.
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let Some(id) = row.get(0)? else { return Ok(None) };
        Ok(Some(Self {
            id,
            version: row.get(1)?,
            expires_at: row.get::<_, Option<i64>>(2)?.map(Timestamp::from_micros),
            bytes: row.get(3)?,
            metadata: row.get(4)?,
            value: row.get(5)?,
        }))
    }

    /// How many bytes the record gains by new metadata and a new value, `None` for those that stay. Reckoned rather than
    /// asked for: `RETURNING` goes through a table of its own.
    fn growth(&self, key: &str, metadata: Option<&str>, value: Option<&str>) -> i64 {
        let old_metadata = signed(self.metadata.as_ref().map_or(0, String::len));
        let old_value = self.bytes - signed(key.len()) - old_metadata;
        let new = |text: Option<&str>, old| text.map_or(old, |text| signed(text.len()));
        new(metadata, old_metadata) - old_metadata + new(value, old_value) - old_value
    }
}

/// Applies `batch`; after an error the transaction must be rolled back to where it was. Besides the outcomes it returns
/// what is there after each write, `None` where that was not looked at.
pub(super) fn apply_batch(
    connection: &Connection,
    batch: &Batch,
    now: Timestamp,
    limits: &Limits,
    changes_kept: u64,
    agents: &AgentsNoted,
) -> Result<(Vec<Outcome>, Vec<Option<Known>>)> {
    let mut writes = UserWrites::begin(connection, &batch.user, batch.agent.as_deref(), now);
    let mut outcomes = Vec::with_capacity(batch.writes.len());
    let mut states = Vec::with_capacity(batch.writes.len());
    for write in &batch.writes {
        let (outcome, state) = writes.apply(write, limits)?;
        outcomes.push(outcome);
        states.push(state);
    }
    writes.end(changes_kept)?;
    writes.note_agent(agents)?;
    if let Some(quota) = batch.quota {
        writes.check_quota(quota)?;
    }
    Ok((outcomes, states))
}

/// Drops a namespace's identity; returns how many live records it held.
pub(super) fn clear(
    connection: &Connection,
    user: &str,
    agent: Option<&str>,
    namespace: &str,
    now: Timestamp,
    changes_kept: u64,
) -> Result<u64> {
    let mut writes = UserWrites::begin(connection, user, agent, now);
    let row = connection
        .prepare_cached("SELECT id, records FROM namespaces WHERE user = ?1 AND name = ?2")?
        .query_row(params![user, namespace], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, u64>(1)?)))
        .optional()?;
    let Some((id, records)) = row else { return Ok(0) };
    let expired: u64 = connection
        .prepare_cached(
            "SELECT count(*) FROM records INDEXED BY records_by_expiry WHERE expires_at <= ?1 AND namespace_id = ?2",
        )?
        .query_row(params![now.as_micros(), id], |row| row.get(0))?;
    forget_namespace(connection, id)?;
    connection.prepare_cached("INSERT INTO dropped_namespaces (id) VALUES (?1)")?.execute([id])?;
    writes.log(ChangeKind::Clear, namespace, None)?;
    writes.end(changes_kept)?;
    Ok(records.saturating_sub(expired))
}

/// Adds reads to the records' counts; reads of an earlier record under the same key died with it.
pub(super) fn record_access(connection: &Connection, accesses: &[Access]) -> Result<()> {
    let mut find = connection.prepare_cached(
        "SELECT r.id, n.id FROM namespaces n JOIN records r ON r.namespace_id = n.id
         WHERE n.user = ?1 AND n.name = ?2 AND r.key = ?3 AND r.created_at <= ?4
           AND (r.expires_at IS NULL OR r.expires_at > ?4)",
    )?;
    let mut add = connection.prepare_cached(
        "INSERT INTO accesses (record_id, count, last_at, last_by) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (record_id) DO UPDATE SET count = count + excluded.count,
             last_by = iif(excluded.last_at >= last_at, excluded.last_by, last_by),
             last_at = max(last_at, excluded.last_at)",
    )?;
    for access in accesses {
        let Address { namespace, key } = &access.address;
        let (user, agent, at) = (&*access.user, &*access.agent, access.last_at.as_micros());
        let found = find
            .query_row(params![user, &**namespace, &**key, at], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
            })
            .optional()?;
        if let Some((record, namespace)) = found {
            add.execute(params![record, access.count, at, agent])?;
            note_agent(connection, namespace, agent)?;
        }
    }
    Ok(())
}

/// Sweeps at most `limit` expired records; returns the user, namespace and key of each.
pub(super) fn sweep_expired(
    connection: &Connection,
    now: Timestamp,
    limit: usize,
    changes_kept: u64,
) -> Result<Vec<(String, String, String)>> {
    let expired = connection
        .prepare_cached(
            "SELECT n.user, n.name, r.key FROM records r INDEXED BY records_by_expiry
             JOIN namespaces n ON n.id = r.namespace_id WHERE r.expires_at <= ?1 ORDER BY r.expires_at LIMIT ?2",
        )?
        .query_map(params![now.as_micros(), limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<Vec<(String, String, String)>, _>>()?;
    let mut by_user: HashMap<&str, Vec<(&str, &str)>> = HashMap::new();
    for (user, namespace, key) in &expired {
        by_user.entry(user).or_default().push((namespace, key));
    }
    for (user, records) in by_user {
        let mut writes = UserWrites::begin(connection, user, None, now);
        for (namespace, key) in records {
            let namespace: Arc<str> = namespace.into();
            if let Some(found) = writes.find(&namespace, key, false)? {
                writes.expire(&namespace, key, &found)?;
            }
        }
        writes.end(changes_kept)?;
    }
    Ok(expired)
}

/// Removes a few rows of one cleared namespace; returns whether any was left to remove.
pub(super) fn sweep_dropped(connection: &Connection, rows: usize, bytes: i64) -> Result<bool> {
    let dropped: Option<i64> = connection
        .prepare_cached("SELECT id FROM dropped_namespaces LIMIT 1")?
        .query_row((), |row| row.get(0))
        .optional()?;
    let Some(namespace) = dropped else { return Ok(false) };
    let found = connection
        .prepare_cached(concat!("SELECT id, ", record_bytes!(), " FROM records WHERE namespace_id = ?1 LIMIT ?2"))?
        .query_map(params![namespace, rows], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<Vec<(i64, i64)>, _>>()?;
    if found.is_empty() {
        connection.prepare_cached("DELETE FROM dropped_namespaces WHERE id = ?1")?.execute([namespace])?;
    }
    let mut budget = bytes;
    for (record, bytes) in found {
        delete_record(connection, record)?;
        budget -= bytes;
        if budget <= 0 {
            break;
        }
    }
    Ok(true)
}

pub(super) fn delete_record(connection: &Connection, id: i64) -> Result<()> {
    connection.prepare_cached("DELETE FROM records WHERE id = ?1")?.execute([id])?;
    connection.prepare_cached("DELETE FROM accesses WHERE record_id = ?1")?.execute([id])?;
    Ok(())
}

pub(super) fn forget_namespace(connection: &Connection, id: i64) -> Result<()> {
    connection.prepare_cached("DELETE FROM namespaces WHERE id = ?1")?.execute([id])?;
    connection.prepare_cached("DELETE FROM namespace_agents WHERE namespace_id = ?1")?.execute([id])?;
    Ok(())
}

pub(super) fn is_empty(connection: &Connection, namespace: i64) -> Result<bool> {
    let records: i64 = connection
        .prepare_cached("SELECT records FROM namespaces WHERE id = ?1")?
        .query_row([namespace], |row| row.get(0))?;
    Ok(records <= 0)
}

impl<'c> UserWrites<'c> {
    fn begin(connection: &'c Connection, user: &'c str, agent: Option<&'c str>, now: Timestamp) -> Self {
        Self { connection, user, agent, now, versions: None, namespaces: HashMap::new(), grown: (0, 0) }
    }

    fn apply(&mut self, write: &Write, limits: &Limits) -> Result<(Outcome, Option<Known>)> {
        let Address { namespace, key } = &write.address;
        let found = self.find(namespace, key, write.mutation.reads_value())?;
        let live = found.as_ref().filter(|found| found.expires_at.is_none_or(|expires_at| self.now < expires_at));
        let present = live.map(|found| Present {
            version: found.version,
            value: found.value.as_deref(),
            metadata: found.metadata.as_deref(),
            expires_at: found.expires_at,
        });
        let existed = live.is_some();
        Ok(match apply(write, present, self.now, limits)? {
            Effect::Nothing => {
                (Outcome { existed, version: live.map_or(0, |found| found.version), result: None }, None)
            }
            Effect::Remove => {
                if let Some(found) = live {
                    delete_record(self.connection, found.id)?;
                    self.count(namespace, -1, -found.bytes, true);
                    self.log(ChangeKind::Delete, namespace, Some(key))?;
                }
                (Outcome { existed, version: 0, result: None }, Some(None))
            }
            Effect::Put(put) => {
                let version = match live {
                    Some(found) => self.update(namespace, key, found, &put)?,
                    None => {
                        if let Some(expired) = &found {
                            self.expire(namespace, key, expired)?;
                        }
                        self.insert(namespace, key, &put)?
                    }
                };
                let state = put.value.map(|value| Some(Live { value, version, expires_at: put.expires_at }));
                (Outcome { existed, version, result: put.result }, state)
            }
        })
    }

    /// Looks up a record. The first time in a namespace, that and the user's last version come with it, so that a write
    /// by itself asks once.
    fn find(&mut self, namespace: &Arc<str>, key: &str, with_value: bool) -> Result<Option<Found>> {
        macro_rules! columns {
            ($value:literal) => {
                concat!("r.id, r.version, r.expires_at, ", record_bytes!(), ", r.metadata, ", $value)
            };
        }
        macro_rules! select {
            ($value:literal) => {
                concat!("SELECT ", columns!($value), " FROM records r WHERE r.namespace_id = ?1 AND r.key = ?2")
            };
        }
        macro_rules! select_first {
            ($value:literal) => {
                concat!(
                    "SELECT ",
                    columns!($value),
                    ", n.id, (SELECT max(version) FROM changes WHERE user = ?1)
                     FROM namespaces n LEFT JOIN records r ON r.namespace_id = n.id AND r.key = ?3
                     WHERE n.user = ?1 AND n.name = ?2"
                )
            };
        }
        if let Some(touched) = self.namespaces.get(namespace) {
            let Some(id) = touched.id else { return Ok(None) };
            let sql = if with_value { select!("r.value") } else { select!("NULL") };
            let mut statement = self.connection.prepare_cached(sql)?;
            return Ok(statement.query_row(params![id, key], Found::from_row).optional()?.flatten());
        }
        let sql = if with_value { select_first!("r.value") } else { select_first!("NULL") };
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![self.user, &**namespace, key])?;
        let (found, id) = match rows.next()? {
            None => (None, None),
            Some(row) => {
                let last = row.get::<_, Option<Version>>(7)?.unwrap_or(0);
                self.versions.get_or_insert((last, last));
                (Found::from_row(row)?, Some(row.get(6)?))
            }
        };
        self.namespaces.insert(Arc::clone(namespace), Touched { id, ..Touched::default() });
        Ok(found)
    }

    fn insert(&mut self, namespace: &Arc<str>, key: &str, put: &Put) -> Result<Version> {
        let id = match self.namespaces.get(namespace).and_then(|touched| touched.id) {
            Some(id) => id,
            None => self.create_namespace(namespace)?,
        };
        let version = self.log(ChangeKind::Set, namespace, Some(key))?;
        // Only mutations that make a value reach a record that is not there.
        let value = put.value.as_ref().map_or("null", Json::as_str);
        let metadata = put.metadata.as_ref().map(Json::as_str);
        let now = self.now.as_micros();
        self.connection
            .prepare_cached(
                "INSERT INTO records (namespace_id, key, version, expires_at, created_at, updated_at, accessed_at,
                     created_by, updated_by, accessed_by, metadata, value)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?7, ?7, ?8, ?9)",
            )?
            .execute(params![
                id,
                key,
                version,
                put.expires_at.map(Timestamp::as_micros),
                now,
                self.agent.map(|_| now),
                self.agent,
                metadata,
                value
            ])?;
        let bytes = key.len() + value.len() + metadata.map_or(0, str::len);
        self.count(namespace, 1, signed(bytes), true);
        Ok(version)
    }

    fn update(&mut self, namespace: &Arc<str>, key: &str, found: &Found, put: &Put) -> Result<Version> {
        let version = self.log(ChangeKind::Set, namespace, Some(key))?;
        let now = self.now.as_micros();
        let (metadata, value) = (put.metadata.as_ref().map(Json::as_str), put.value.as_ref().map(Json::as_str));
        self.connection
            .prepare_cached(
                "UPDATE records SET version = ?2, expires_at = ?3, updated_at = ?4, accessed_at = ifnull(?5, accessed_at),
                     updated_by = ?6, accessed_by = ifnull(?6, accessed_by), metadata = ifnull(?7, metadata),
                     value = ifnull(?8, value)
                 WHERE id = ?1",
            )?
            .execute(params![
                found.id,
                version,
                put.expires_at.map(Timestamp::as_micros),
                now,
                self.agent.map(|_| now),
                self.agent,
                metadata,
                value
            ])?;
        self.count(namespace, 0, found.growth(key, metadata, value), true);
        Ok(version)
    }

    /// Removes a record whose time is up.
    fn expire(&mut self, namespace: &Arc<str>, key: &str, found: &Found) -> Result<()> {
        delete_record(self.connection, found.id)?;
        self.count(namespace, -1, -found.bytes, false);
        let agent = self.agent.take();
        let logged = self.log(ChangeKind::Expire, namespace, Some(key));
        self.agent = agent;
        logged.map(drop)
    }

    /// Gives the next version and writes it to the feed.
    fn log(&mut self, kind: ChangeKind, namespace: &str, key: Option<&str>) -> Result<Version> {
        let (first, last) = match self.versions {
            Some(versions) => versions,
            None => {
                let last = last_version(self.connection, self.user)?;
                (last, last)
            }
        };
        let version = last + 1;
        self.versions = Some((first, version));
        self.connection
            .prepare_cached(
                "INSERT INTO changes (user, version, kind, namespace, key, agent, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                self.user,
                version,
                super::kind_to_number(kind),
                namespace,
                key,
                self.agent,
                self.now.as_micros()
            ])?;
        Ok(version)
    }

    fn create_namespace(&mut self, namespace: &Arc<str>) -> Result<i64> {
        self.connection
            .prepare_cached(
                "INSERT INTO namespaces (user, name, records, bytes, updated_at) VALUES (?1, ?2, 0, 0, ?3)",
            )?
            .execute(params![self.user, &**namespace, self.now.as_micros()])?;
        let id = self.connection.last_insert_rowid();
        self.namespaces.insert(Arc::clone(namespace), Touched { id: Some(id), is_new: true, ..Touched::default() });
        Ok(id)
    }

    fn count(&mut self, namespace: &Arc<str>, records: i64, bytes: i64, written: bool) {
        let touched = self.namespaces.entry(Arc::clone(namespace)).or_default();
        touched.records += records;
        touched.bytes += bytes;
        touched.written |= written;
        // Expired records, which are all that goes without being written, were no longer live.
        if written {
            self.grown = (self.grown.0 + records, self.grown.1 + bytes);
        }
    }

    /// Looks at the sums that [`UserWrites::end`] has written.
    fn check_quota(&self, quota: Quota) -> Result<()> {
        let (records, bytes) = self.grown;
        if records <= 0 && bytes <= 0 {
            return Ok(());
        }
        let check = |after: Usage| -> Result<()> {
            let before = Usage {
                records: after.records.saturating_add_signed(-records),
                bytes: after.bytes.saturating_add_signed(-bytes),
            };
            Ok(quota.check(before, after)?)
        };
        // Expired records are looked for only where they make the difference.
        check(stored_usage(self.connection, self.user)?)
            .or_else(|_| check(live_usage(self.connection, self.user, self.now)?))
    }

    /// Writes the sums to the namespaces and trims the feed.
    fn end(&mut self, changes_kept: u64) -> Result<()> {
        for touched in self.namespaces.values_mut() {
            let Some(id) = touched.id else { continue };
            if !touched.written && touched.records == 0 {
                continue;
            }
            let updated_at = touched.written.then(|| self.now.as_micros());
            self.connection
                .prepare_cached(
                    "UPDATE namespaces SET records = records + ?2, bytes = bytes + ?3, updated_at = ifnull(?4, updated_at)
                     WHERE id = ?1",
                )?
                .execute(params![id, touched.records, touched.bytes, updated_at])?;
            let may_be_empty = touched.records < 0 || touched.is_new;
            if may_be_empty && is_empty(self.connection, id)? {
                forget_namespace(self.connection, id)?;
                touched.id = None;
            }
        }
        let Some((first, last)) = self.versions else { return Ok(()) };
        let interval = TRIM_INTERVAL.min(changes_kept).max(1);
        if last / interval > first / interval {
            self.connection
                .prepare_cached("DELETE FROM changes WHERE user = ?1 AND version <= ?2")?
                .execute(params![self.user, last.saturating_sub(changes_kept.max(1))])?;
        }
        Ok(())
    }

    /// Notes who has written in the namespaces that are left.
    fn note_agent(&self, agents: &AgentsNoted) -> Result<()> {
        let Some(agent) = self.agent else { return Ok(()) };
        for touched in self.namespaces.values().filter(|touched| touched.written) {
            if let Some(id) = touched.id {
                agents.note(self.connection, id, agent)?;
            }
        }
        Ok(())
    }
}

pub(super) fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
