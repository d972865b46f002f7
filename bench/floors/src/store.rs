//! The verbs as the fewest statements that do their work on the product's own schema.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::sqlite::{Db, Statement};
use crate::{Error, strings, text};

const SCHEMA: &str = include_str!("../../../crates/store/src/engines/sqlite/schema.sql");
const USER: &str = "bench";
/// As many changes as the product keeps.
const CHANGES_KEPT: i64 = 100_000;

// Statements before the connection: they must go first.
pub(crate) struct Store {
    begin: Statement,
    begin_immediate: Statement,
    commit: Statement,
    checkpoint: Statement,
    get: Statement,
    get_by_id: Statement,
    all: Statement,
    keys: Statement,
    namespaces: Statement,
    namespace_id: Statement,
    add_namespace: Statement,
    find: Statement,
    update: Statement,
    insert: Statement,
    increment: Statement,
    last_version: Statement,
    count: Statement,
    change: Statement,
    trim: Statement,
    drop_namespace: Statement,
    note_dropped: Statement,
    db: Db,
    namespace: String,
    version: i64,
}

impl Store {
    pub(crate) fn open(path: &Path) -> Result<Store, Error> {
        let db = Db::open(path)?;
        db.execute(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA temp_store=MEMORY;
             PRAGMA cache_size=-4096; PRAGMA foreign_keys=OFF",
        )?;
        let mut tables = 0;
        db.prepare("SELECT count(*) FROM sqlite_master")?.each(|row| tables = row.number(0))?;
        if tables == 0 {
            db.execute(SCHEMA)?;
        }
        Ok(Store {
            begin: db.prepare("BEGIN")?,
            begin_immediate: db.prepare("BEGIN IMMEDIATE")?,
            commit: db.prepare("COMMIT")?,
            checkpoint: db.prepare("PRAGMA wal_checkpoint(PASSIVE)")?,
            get: db.prepare(
                "SELECT r.expires_at, r.value FROM namespaces n JOIN records r ON r.namespace_id = n.id
                 WHERE n.user = ?1 AND n.name = ?2 AND r.key = ?3",
            )?,
            get_by_id: db.prepare("SELECT expires_at, value FROM records WHERE namespace_id = ?1 AND key = ?2")?,
            all: db.prepare("SELECT expires_at, value, key FROM records WHERE namespace_id = ?1 ORDER BY key")?,
            keys: db.prepare("SELECT key FROM records WHERE namespace_id = ?1 AND key >= ?2 AND key < ?3 ORDER BY key")?,
            namespaces: db.prepare("SELECT name FROM namespaces WHERE user = ?1 AND records > 0 ORDER BY name")?,
            namespace_id: db.prepare("SELECT id FROM namespaces WHERE user = ?1 AND name = ?2")?,
            add_namespace: db.prepare(
                "INSERT INTO namespaces (user, name, records, bytes, updated_at) VALUES (?1, ?2, 0, 0, 0)
                 ON CONFLICT DO NOTHING",
            )?,
            find: db.prepare("SELECT id, octet_length(value) FROM records WHERE namespace_id = ?1 AND key = ?2")?,
            update: db.prepare(
                "UPDATE records SET version = ?2, updated_at = ?3, accessed_at = ?3, updated_by = ?4, accessed_by = ?4,
                     value = ?5
                 WHERE id = ?1",
            )?,
            insert: db.prepare(
                "INSERT INTO records (namespace_id, key, version, created_at, updated_at, accessed_at, created_by,
                     updated_by, accessed_by, value)
                 VALUES (?1, ?6, ?2, ?3, ?3, ?3, ?4, ?4, ?4, ?5)",
            )?,
            increment: db.prepare("UPDATE records SET value = value + 1 WHERE namespace_id = ?1 AND key = ?2")?,
            last_version: db.prepare("SELECT max(version) FROM changes WHERE user = ?1")?,
            count: db.prepare(
                "UPDATE namespaces SET records = records + ?2, bytes = bytes + ?3, updated_at = ?4 WHERE id = ?1",
            )?,
            change: db.prepare(
                "INSERT INTO changes (user, version, kind, namespace, key, agent, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?,
            trim: db.prepare("DELETE FROM changes WHERE user = ?1 AND version <= ?2")?,
            drop_namespace: db.prepare("DELETE FROM namespaces WHERE id = ?1")?,
            note_dropped: db.prepare("INSERT INTO dropped_namespaces (id) VALUES (?1)")?,
            db,
            namespace: String::new(),
            version: 0,
        })
    }

    pub(crate) fn use_namespace(&mut self, name: &str) {
        name.clone_into(&mut self.namespace);
    }

    /// Whether a commit that finds the log long enough moves it into the file, as SQLite does it unless told otherwise.
    pub(crate) fn checkpoint_in_commits(&self, checkpoints: bool) -> Result<(), Error> {
        self.db.execute(match checkpoints {
            true => "PRAGMA wal_autocheckpoint=1000",
            false => "PRAGMA wal_autocheckpoint=0",
        })
    }

    pub(crate) fn checkpoint(&self) -> Result<(), Error> {
        self.checkpoint.run()
    }

    /// Records `start..start + count`, their values taken from `texts` in turn.
    pub(crate) fn fill(&mut self, start: u64, count: u64, texts: &[&str]) -> Result<(), Error> {
        const CHUNK: u64 = 10_000;
        self.db.execute("PRAGMA synchronous=NORMAL")?;
        self.add_namespace.text(1, USER).text(2, &self.namespace).run()?;
        for first in (start..start + count).step_by(CHUNK as usize) {
            let last = (first + CHUNK).min(start + count);
            let keys: Vec<String> =
                (first..last).map(|number| format!("project:{:06}:file:{:02}", number / 100, number % 100)).collect();
            let text = |number: u64| texts[(number % texts.len() as u64) as usize];
            let pairs: Vec<(&str, &str)> =
                (first..last).zip(&keys).map(|(number, key)| (&**key, text(number))).collect();
            self.set_many(&pairs)?;
            self.trim.text(1, USER).int(2, self.version - CHANGES_KEPT).run()?;
            self.checkpoint()?;
        }
        self.db.execute("PRAGMA synchronous=FULL")
    }

    /// How long these calls of `verb` took, and what the last of them found: records, keys, or bytes for one value.
    pub(crate) fn time(&mut self, verb: &str, calls: &[Value]) -> Result<(Duration, usize), Error> {
        match verb {
            "get" => {
                let keys = firsts(calls)?;
                let mut buffer = Vec::with_capacity(1 << 20);
                timed(keys.iter(), |key| self.get(key, &mut buffer))
            }
            "get_many" => {
                let lists = calls.iter().map(|call| strings(&call[0])).collect::<Result<Vec<_>, _>>()?;
                timed(lists.iter(), |keys| self.get_many(keys))
            }
            "get_all" => timed(calls.iter(), |_| self.get_all()),
            "list_keys" => timed(firsts(calls)?.iter(), |prefix| self.list_keys(prefix)),
            "list_namespaces" => timed(calls.iter(), |_| self.list_namespaces()),
            "set" => {
                let pairs = calls.iter().map(pair).collect::<Result<Vec<_>, _>>()?;
                timed(pairs.iter(), |pair| self.set_many(std::slice::from_ref(pair)))
            }
            "set_many" => {
                let lists = calls
                    .iter()
                    .map(|call| call[0].as_array().ok_or("pairs are missing")?.iter().map(pair).collect())
                    .collect::<Result<Vec<Vec<_>>, Error>>()?;
                timed(lists.iter(), |pairs| self.set_many(pairs))
            }
            "increment" => {
                let keys = firsts(calls)?;
                let namespace = self.begin_counting(keys.first().ok_or("calls are missing")?)?;
                timed(keys.iter(), |key| self.increment(namespace, key))
            }
            "clear" => timed(calls.iter(), |_| self.clear()),
            _ => Err(format!("there is no verb {verb}").into()),
        }
    }

    fn get(&self, key: &str, buffer: &mut Vec<u8>) -> Result<usize, Error> {
        buffer.clear();
        let now = now();
        self.get.text(1, USER).text(2, &self.namespace).text(3, key).each(|row| {
            if live(row, now) {
                buffer.extend_from_slice(row.bytes(1));
            }
        })?;
        Ok(black_box(buffer.len()))
    }

    fn get_many(&self, keys: &[&str]) -> Result<usize, Error> {
        let mut found = Vec::with_capacity(keys.len());
        let now = now();
        self.begin.run()?;
        let namespace = self.id()?;
        for key in keys {
            self.get_by_id.int(1, namespace).text(2, key).each(|row| {
                if live(row, now) {
                    found.push(row.bytes(1).to_vec());
                }
            })?;
        }
        self.commit.run()?;
        Ok(black_box(found).len())
    }

    fn get_all(&self) -> Result<usize, Error> {
        let mut found = Vec::new();
        let now = now();
        self.begin.run()?;
        self.all.int(1, self.id()?).each(|row| {
            if live(row, now) {
                found.push((row.bytes(1).to_vec(), row.bytes(2).to_vec()));
            }
        })?;
        self.commit.run()?;
        Ok(black_box(found).len())
    }

    fn list_keys(&self, prefix: &str) -> Result<usize, Error> {
        let mut found = Vec::new();
        let end = format!("{prefix}\u{10ffff}");
        self.begin.run()?;
        self.keys.int(1, self.id()?).text(2, prefix).text(3, &end).each(|row| found.push(row.bytes(0).to_vec()))?;
        self.commit.run()?;
        Ok(black_box(found).len())
    }

    fn list_namespaces(&self) -> Result<usize, Error> {
        let mut found = Vec::new();
        self.namespaces.text(1, USER).each(|row| found.push(row.bytes(0).to_vec()))?;
        Ok(black_box(found).len())
    }

    fn set_many(&mut self, pairs: &[(&str, &str)]) -> Result<usize, Error> {
        let now = now();
        self.begin_immediate.run()?;
        let namespace = self.id()?;
        let (mut records, mut bytes) = (0, 0);
        for (key, value) in pairs {
            self.version += 1;
            let mut present = None;
            self.find.int(1, namespace).text(2, key).each(|row| present = Some((row.number(0), row.number(1))))?;
            let write = match present {
                Some((id, old)) => {
                    bytes -= old;
                    self.update.int(1, id)
                }
                None => {
                    records += 1;
                    bytes += key.len() as i64;
                    self.insert.int(1, namespace).text(6, key)
                }
            };
            bytes += value.len() as i64;
            write.int(2, self.version).int(3, now).text(4, USER).text(5, value).run()?;
            self.log(1, Some(key), now)?;
        }
        self.count.int(1, namespace).int(2, records).int(3, bytes).int(4, now).run()?;
        self.commit.run()?;
        Ok(pairs.len())
    }

    /// How many increments of one key this process makes between two moments, in seconds since 1970; with all that the
    /// product keeps of each, or with the number alone.
    pub(crate) fn count(&mut self, key: &str, start: f64, end: f64, is_kept: bool) -> Result<usize, Error> {
        let namespace = self.begin_counting(key)?;
        let seconds = || now() as f64 / 1e6;
        std::thread::sleep(Duration::from_secs_f64((start - seconds()).max(0.0)));
        let mut done = 0;
        while seconds() < end {
            done += if is_kept { self.increment_kept(key)? } else { self.increment(namespace, key)? };
        }
        Ok(done)
    }

    /// Sees to it that there is a number, and gives the namespace's id.
    fn begin_counting(&mut self, key: &str) -> Result<i64, Error> {
        self.add_namespace.text(1, USER).text(2, &self.namespace).run()?;
        if self.get(key, &mut Vec::new())? == 0 {
            self.set_many(&[(key, "0")])?;
        }
        self.id()
    }

    /// Nothing but the number: no version, no time, no change for others to see.
    fn increment(&self, namespace: i64, key: &str) -> Result<usize, Error> {
        self.begin_immediate.run()?;
        self.increment.int(1, namespace).text(2, key).run()?;
        let changed = self.increment.changed();
        self.commit.run()?;
        if changed == 1 { Ok(1) } else { Err("there was nothing to increment".into()) }
    }

    /// With the version, the times, the change in the feed and the namespace's sums.
    fn increment_kept(&mut self, key: &str) -> Result<usize, Error> {
        let now = now();
        self.begin_immediate.run()?;
        let namespace = self.id()?;
        let (mut version, mut record, mut old, mut number) = (0, 0, 0, 0);
        self.last_version.text(1, USER).each(|row| version = row.number(0))?;
        self.version = version + 1;
        self.find.int(1, namespace).text(2, key).each(|row| (record, old) = (row.number(0), row.number(1)))?;
        self.get_by_id.int(1, namespace).text(2, key).each(|row| number = row.number(1))?;
        let value = (number + 1).to_string();
        self.update.int(1, record).int(2, self.version).int(3, now).text(4, USER).text(5, &value).run()?;
        self.log(1, Some(key), now)?;
        self.count.int(1, namespace).int(2, 0).int(3, value.len() as i64 - old).int(4, now).run()?;
        self.commit.run()?;
        if record > 0 { Ok(1) } else { Err("there was nothing to increment".into()) }
    }

    fn clear(&mut self) -> Result<usize, Error> {
        self.begin_immediate.run()?;
        let namespace = self.id()?;
        self.drop_namespace.int(1, namespace).run()?;
        self.note_dropped.int(1, namespace).run()?;
        self.version += 1;
        self.log(4, None, now())?;
        self.commit.run()?;
        Ok(1)
    }

    fn log(&self, kind: i64, key: Option<&str>, now: i64) -> Result<(), Error> {
        let change = self.change.text(1, USER).int(2, self.version).int(3, kind).text(4, &self.namespace);
        match key {
            Some(key) => change.text(5, key),
            None => change.null(5),
        };
        change.text(6, USER).int(7, now).run()
    }

    fn id(&self) -> Result<i64, Error> {
        let mut id = 0;
        self.namespace_id.text(1, USER).text(2, &self.namespace).each(|row| id = row.number(0))?;
        Ok(id)
    }
}

/// Whether this row, whose first column is its expiry (0 where it is NULL), is still to be seen.
fn live(row: &Statement, now: i64) -> bool {
    let expires_at = row.number(0);
    expires_at == 0 || now < expires_at
}

fn timed<T>(
    calls: impl Iterator<Item = T>,
    mut call: impl FnMut(T) -> Result<usize, Error>,
) -> Result<(Duration, usize), Error> {
    let mut found = 0;
    let started = Instant::now();
    for each in calls {
        found = call(each)?;
    }
    Ok((started.elapsed(), found))
}

fn firsts(calls: &[Value]) -> Result<Vec<&str>, Error> {
    calls.iter().map(|call| text(&call[0])).collect()
}

fn pair(call: &Value) -> Result<(&str, &str), Error> {
    Ok((text(&call[0])?, text(&call[1])?))
}

/// Microseconds since 1970.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as i64)
}
