//! The memory engine: nothing is kept after close. The reference that the other engines are compared with.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::{Clock, Timestamp};
use crate::engine::{Answer, Engine, Suspended};
use crate::error::{Error, Result};
use crate::import::{Import, ImportedNamespace};
use crate::json::Json;
use crate::limits::Limits;
use crate::model::{
    Access, Address, Batch, Change, ChangeKind, Changes, Details, NamespaceStats, Outcome, Page, PageSize, Range, Row,
    Version, View,
};
use crate::mutation::{Effect, Present, apply};
use crate::quota::Usage;
use crate::request::{Applied, Request, RequestId, cleared_from_text, outcomes_from_text, outcomes_to_text};
use crate::store::Options;
use crate::verify::Problem;
use crate::waiters::Waiters;

/// Keeps everything in ordered maps under one lock.
#[derive(Debug)]
pub struct MemoryEngine {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    changes_kept: u64,
    waiters: Waiters,
}

#[derive(Debug, Default)]
struct State {
    users: BTreeMap<Box<str>, User>,
    closed: bool,
}

#[derive(Clone, Debug, Default)]
struct User {
    namespaces: BTreeMap<Box<str>, Namespace>,
    last_version: Version,
    changes: BTreeMap<Version, Change>,
    requests: BTreeMap<RequestId, Applied>,
}

#[derive(Clone, Debug)]
struct Namespace {
    records: BTreeMap<Box<str>, Stored>,
    agents: BTreeSet<Box<str>>,
    updated_at: Timestamp,
}

#[derive(Clone, Debug)]
struct Stored {
    value: Json,
    version: Version,
    expires_at: Option<Timestamp>,
    details: Details,
}

impl Stored {
    fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|expires_at| now < expires_at)
    }

    fn row(&self, key: &str, view: View) -> Row {
        let with_version = view != View::Key;
        let with_value = matches!(view, View::Value | View::Record);
        Row {
            key: key.into(),
            version: if with_version { self.version } else { 0 },
            expires_at: self.expires_at.filter(|_| with_version),
            value: with_value.then(|| self.value.clone()),
            details: (view == View::Record).then(|| Box::new(self.details.clone())),
        }
    }

    fn bytes(&self, key: &str) -> u64 {
        let metadata = match self.details.metadata.as_str() {
            "{}" => 0,
            metadata => metadata.len(),
        };
        (key.len() + self.value.len() + metadata) as u64
    }
}

impl MemoryEngine {
    /// An empty engine.
    pub fn new(options: &Options) -> Self {
        Self {
            state: Mutex::default(),
            clock: Arc::clone(&options.clock),
            limits: options.limits.clone(),
            changes_kept: options.changes_kept,
            waiters: Waiters::new(Arc::clone(&options.clock)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `function` on the user's data and the present moment.
    fn with_user<R>(&self, user: &str, function: impl FnOnce(&User, Timestamp) -> R) -> Answer<'_, R> {
        let state = self.state();
        if state.closed {
            return Answer::ready(Err(closed()));
        }
        let nobody = User::default();
        Answer::ready(Ok(function(state.users.get(user).unwrap_or(&nobody), self.clock.now())))
    }

    fn with_user_mut<R>(&self, user: &str, function: impl FnOnce(&mut User, Timestamp) -> Result<R>) -> Answer<'_, R> {
        let mut state = self.state();
        if state.closed {
            return Answer::ready(Err(closed()));
        }
        let now = self.clock.now();
        let user = state.users.entry(user.into()).or_default();
        let result = function(user, now);
        let oldest = user.last_version.saturating_sub(self.changes_kept);
        user.changes = user.changes.split_off(&(oldest + 1));
        drop(state);
        self.waiters.notify();
        Answer::ready(result)
    }
}

fn closed() -> Error {
    Error::invalid("the store is closed: open it again")
}

impl User {
    fn live<'a>(&'a self, namespace: &str, key: &str, now: Timestamp) -> Option<&'a Stored> {
        self.namespaces.get(namespace)?.records.get(key).filter(|stored| stored.is_live(now))
    }

    fn live_in<'a>(
        &'a self,
        namespace: &str,
        range: Range<'a>,
        now: Timestamp,
    ) -> impl Iterator<Item = (&'a str, &'a Stored)> {
        let records = self.namespaces.get(namespace).map(|namespace| in_range(&namespace.records, range));
        records.into_iter().flatten().filter(move |(_, stored)| stored.is_live(now))
    }

    fn change(
        &mut self,
        kind: ChangeKind,
        namespace: &str,
        key: Option<&str>,
        agent: Option<&str>,
        at: Timestamp,
    ) -> Version {
        self.last_version += 1;
        let version = self.last_version;
        let (namespace, key, agent) = (namespace.into(), key.map(Into::into), agent.map(Into::into));
        self.changes.insert(version, Change { version, kind, namespace, key, agent, at });
        version
    }

    /// What the live records take.
    fn usage(&self, now: Timestamp) -> Usage {
        let live = || self.namespaces.keys().flat_map(|name| self.live_in(name, Range::default(), now));
        Usage { records: live().count() as u64, bytes: live().map(|(key, stored)| stored.bytes(key)).sum() }
    }

    fn recall(&self, request: Option<&Request>, now: Timestamp) -> Result<Option<Box<str>>> {
        let applied = request.and_then(|request| Some((request, self.requests.get(&request.id)?)));
        applied.map_or(Ok(None), |(request, applied)| request.recall(applied.clone(), now))
    }

    fn keep(&mut self, request: Option<&Request>, outcome: impl FnOnce() -> String, now: Timestamp) {
        self.requests.extend(request.map(|request| (request.id.clone(), request.applied(outcome(), now))));
    }

    /// All or nothing: the changes are made on a copy of what the batch touches.
    fn apply_to_copy(&mut self, batch: &Batch, now: Timestamp, limits: &Limits) -> Result<Vec<Outcome>> {
        let touched: BTreeSet<&str> = batch.writes.iter().map(|write| &*write.address.namespace).collect();
        let namespaces = touched.iter().filter_map(|name| self.namespaces.get_key_value(*name));
        let mut copy = User {
            last_version: self.last_version,
            namespaces: namespaces.map(|(name, namespace)| (name.clone(), namespace.clone())).collect(),
            ..User::default()
        };
        let touched_before = copy.usage(now);
        let outcomes = copy.apply(batch, now, limits)?;
        if let Some(quota) = batch.quota {
            let (before, touched_after) = (self.usage(now), copy.usage(now));
            let after = Usage {
                records: before.records - touched_before.records + touched_after.records,
                bytes: before.bytes - touched_before.bytes + touched_after.bytes,
            };
            quota.check(before, after)?;
        }
        for name in touched {
            match copy.namespaces.remove(name) {
                Some(namespace) => self.namespaces.insert(name.into(), namespace),
                None => self.namespaces.remove(name),
            };
        }
        self.last_version = copy.last_version;
        self.changes.append(&mut copy.changes);
        Ok(outcomes)
    }

    fn apply(&mut self, batch: &Batch, now: Timestamp, limits: &Limits) -> Result<Vec<Outcome>> {
        let agent = batch.agent.as_deref();
        let mut outcomes = Vec::with_capacity(batch.writes.len());
        for write in &batch.writes {
            let Address { namespace, key } = &write.address;
            let before = self.live(namespace, key, now);
            let present = before.map(|stored| Present {
                version: stored.version,
                value: Some(stored.value.as_str()),
                metadata: Some(stored.details.metadata.as_str()),
                expires_at: stored.expires_at,
            });
            let effect = apply(write, present, now, limits)?;
            let existed = before.is_some();
            let before = before.cloned();
            let outcome = match effect {
                Effect::Nothing => {
                    Outcome { existed, version: before.map_or(0, |stored| stored.version), result: None }
                }
                Effect::Remove => {
                    self.remove(namespace, key, agent, now);
                    self.change(ChangeKind::Delete, namespace, Some(key), agent, now);
                    Outcome { existed, version: 0, result: None }
                }
                Effect::Put(put) => {
                    // What is still there but expired goes first, so that it appears in the feed.
                    if before.is_none() {
                        self.expire(namespace, key, now);
                    }
                    let version = self.change(ChangeKind::Set, namespace, Some(key), agent, now);
                    let stored = next(before, put.value, put.metadata, agent, now);
                    self.put(namespace, key, Stored { version, expires_at: put.expires_at, ..stored }, agent, now);
                    Outcome { existed, version, result: put.result }
                }
            };
            outcomes.push(outcome);
        }
        for write in &batch.writes {
            self.forget_if_empty(&write.address.namespace);
        }
        Ok(outcomes)
    }

    fn put(&mut self, namespace: &str, key: &str, stored: Stored, agent: Option<&str>, now: Timestamp) {
        let entry = self.namespaces.entry(namespace.into()).or_insert_with(|| Namespace {
            records: BTreeMap::new(),
            agents: BTreeSet::new(),
            updated_at: now,
        });
        entry.updated_at = now;
        entry.agents.extend(agent.map(Into::into));
        entry.records.insert(key.into(), stored);
    }

    fn has_live(&self, namespace: &str, now: Timestamp) -> bool {
        self.live_in(namespace, Range::default(), now).next().is_some()
    }

    fn remove(&mut self, namespace: &str, key: &str, agent: Option<&str>, now: Timestamp) {
        if let Some(entry) = self.namespaces.get_mut(namespace) {
            entry.records.remove(key);
            entry.updated_at = now;
            entry.agents.extend(agent.map(Into::into));
        }
    }

    /// Removes the record if it is there: its time is up.
    fn expire(&mut self, namespace: &str, key: &str, now: Timestamp) {
        let removed = self.namespaces.get_mut(namespace).and_then(|entry| entry.records.remove(key));
        if removed.is_some() {
            self.change(ChangeKind::Expire, namespace, Some(key), None, now);
        }
    }

    fn take_over(&mut self, imported: ImportedNamespace) {
        let ImportedNamespace { name, records, gone, agents, updated_at } = imported;
        let namespace = self.namespaces.entry((&*name).into()).or_insert_with(|| Namespace {
            records: BTreeMap::new(),
            agents: BTreeSet::new(),
            updated_at,
        });
        namespace.updated_at = namespace.updated_at.max(updated_at);
        namespace.agents.extend(agents);
        for key in gone {
            namespace.records.remove(&key);
        }
        for Row { key, version, expires_at, value, details } in records {
            let (Some(value), Some(details)) = (value, details) else { continue };
            if namespace.records.get(&key).is_none_or(|stored| stored.version <= version) {
                namespace.records.insert(key, Stored { value, version, expires_at, details: *details });
            }
        }
        self.forget_if_empty(&name);
    }

    /// Moves the feed on to a change of another store.
    fn move_on_to(&mut self, newest: Change) {
        if newest.version > self.last_version {
            self.last_version = newest.version;
            self.changes = BTreeMap::from([(newest.version, newest)]);
        }
    }

    /// Not before the end of a batch: nobody sees a namespace go that the batch fills again.
    fn forget_if_empty(&mut self, namespace: &str) {
        if self.namespaces.get(namespace).is_some_and(|entry| entry.records.is_empty()) {
            self.namespaces.remove(namespace);
        }
    }
}

/// The next state of a record, but for its version and expiry.
fn next(
    before: Option<Stored>,
    value: Option<Json>,
    metadata: Option<Json>,
    agent: Option<&str>,
    now: Timestamp,
) -> Stored {
    let writer: Option<Box<str>> = agent.map(Into::into);
    let before = before.unwrap_or_else(|| Stored {
        value: Json::from_trusted("null"),
        version: 0,
        expires_at: None,
        details: Details {
            metadata: Json::from_trusted("{}"),
            created_by_agent: writer.clone(),
            updated_by_agent: None,
            last_accessed_by_agent: None,
            access_count: 0,
            created_at: now,
            updated_at: now,
            last_accessed_at: None,
        },
    });
    let mut details = before.details;
    details.metadata = metadata.unwrap_or(details.metadata);
    details.updated_at = now;
    details.updated_by_agent.clone_from(&writer);
    if writer.is_some() {
        details.last_accessed_at = Some(now);
        details.last_accessed_by_agent = writer;
    }
    Stored { value: value.unwrap_or(before.value), details, ..before }
}

/// The entries of `map` in `range`.
fn in_range<'a, V>(map: &'a BTreeMap<Box<str>, V>, range: Range<'a>) -> impl Iterator<Item = (&'a str, &'a V)> {
    let start = match range.after {
        Some(after) if after >= range.prefix => Bound::Excluded(after),
        _ => Bound::Included(range.prefix),
    };
    map.range::<str, _>((start, Bound::Unbounded))
        .map(|(name, value)| (&**name, value))
        .take_while(move |(name, _)| name.starts_with(range.prefix))
}

/// Cuts an ordered stream to a page.
fn page_of<T>(items: impl Iterator<Item = T>, page: PageSize, bytes: impl Fn(&T) -> usize) -> Page<T> {
    let (mut rows, mut size) = (Vec::new(), 0usize);
    for item in items {
        let item_bytes = bytes(&item);
        if rows.len() >= page.rows.max(1) || (!rows.is_empty() && size.saturating_add(item_bytes) > page.bytes) {
            return Page { rows, more: true };
        }
        size = size.saturating_add(item_bytes);
        rows.push(item);
    }
    Page { rows, more: false }
}

impl Engine for MemoryEngine {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn place(&self) -> String {
        "memory:".to_owned()
    }

    fn is_inline(&self) -> bool {
        true
    }

    fn read<'a>(&'a self, user: &'a str, addresses: &'a [Address], view: View) -> Answer<'a, Vec<Option<Row>>> {
        self.with_user(user, |user, now| {
            let row = |at: &Address| user.live(&at.namespace, &at.key, now).map(|stored| stored.row(&at.key, view));
            addresses.iter().map(row).collect()
        })
    }

    fn read_one<'a>(&'a self, user: &'a str, namespace: &'a str, key: &'a str, view: View) -> Answer<'a, Option<Row>> {
        self.with_user(user, |user, now| user.live(namespace, key, now).map(|stored| stored.row("", view)))
    }

    fn scan<'a>(
        &'a self,
        user: &'a str,
        namespace: &'a str,
        range: Range<'a>,
        view: View,
        page: PageSize,
    ) -> Answer<'a, Page<Row>> {
        self.with_user(user, |user, now| {
            let rows = user.live_in(namespace, range, now).map(|(key, stored)| stored.row(key, view));
            page_of(rows, page, |row| row.key.len() + row.value.as_ref().map_or(0, Json::len))
        })
    }

    fn count<'a>(&'a self, user: &'a str, namespace: &'a str, prefix: &'a str) -> Answer<'a, u64> {
        self.with_user(user, |user, now| user.live_in(namespace, Range { prefix, after: None }, now).count() as u64)
    }

    fn namespace_names<'a>(&'a self, user: &'a str, prefix: &'a str) -> Answer<'a, Vec<Box<str>>> {
        self.with_user(user, |user, now| {
            in_range(&user.namespaces, Range { prefix, after: None })
                .filter(|(name, _)| user.has_live(name, now))
                .map(|(name, _)| name.into())
                .collect()
        })
    }

    fn namespaces<'a>(&'a self, user: &'a str, range: Range<'a>, page: PageSize) -> Answer<'a, Page<NamespaceStats>> {
        self.with_user(user, |user, now| {
            let stats = in_range(&user.namespaces, range).filter(|(name, _)| user.has_live(name, now)).map(
                |(name, namespace)| {
                    let live = || user.live_in(name, Range::default(), now);
                    NamespaceStats {
                        namespace: name.into(),
                        records: live().count() as u64,
                        bytes: live().map(|(key, stored)| stored.bytes(key)).sum(),
                        agents: namespace.agents.iter().cloned().collect(),
                        updated_at: namespace.updated_at,
                    }
                },
            );
            page_of(stats, page, |stats| stats.namespace.len())
        })
    }

    fn write(&self, batch: Batch) -> Answer<'_, Vec<Outcome>> {
        let user = Arc::clone(&batch.user);
        let request = Request::of_batch(&batch);
        self.with_user_mut(&user, |user, now| {
            if let Some(text) = user.recall(request.as_ref(), now)? {
                let value_at =
                    |at: &Address| Ok(user.live(&at.namespace, &at.key, now).map(|found| found.value.clone()));
                return outcomes_from_text(&text, &batch.writes, value_at);
            }
            let outcomes = if batch.writes.len() == 1 && batch.quota.is_none() {
                user.apply(&batch, now, &self.limits)?
            } else {
                user.apply_to_copy(&batch, now, &self.limits)?
            };
            user.keep(request.as_ref(), || outcomes_to_text(&outcomes), now);
            Ok(outcomes)
        })
    }

    fn clear<'a>(
        &'a self,
        user: &'a str,
        agent: Option<&'a str>,
        namespace: &'a str,
        request: Option<&'a RequestId>,
    ) -> Answer<'a, u64> {
        let request = Request::of_clear(agent, namespace, request);
        self.with_user_mut(user, |user, now| {
            if let Some(text) = user.recall(request.as_ref(), now)? {
                return cleared_from_text(&text);
            }
            let live = user.live_in(namespace, Range::default(), now).count() as u64;
            if user.namespaces.remove(namespace).is_some() {
                user.change(ChangeKind::Clear, namespace, None, agent, now);
            }
            user.keep(request.as_ref(), || live.to_string(), now);
            Ok(live)
        })
    }

    fn record_access(&self, accesses: Vec<Access>) -> Answer<'_, ()> {
        let mut state = self.state();
        if state.closed {
            return Answer::ready(Err(closed()));
        }
        for access in accesses {
            let namespace =
                state.users.get_mut(&*access.user).and_then(|user| user.namespaces.get_mut(&*access.address.namespace));
            let Some(namespace) = namespace else { continue };
            let Some(stored) = namespace.records.get_mut(&access.address.key) else { continue };
            let details = &mut stored.details;
            // Reads of an earlier record under the same key died with it.
            if access.last_at < details.created_at {
                continue;
            }
            details.access_count += access.count;
            if details.last_accessed_at.is_none_or(|last_at| last_at <= access.last_at) {
                details.last_accessed_at = Some(access.last_at);
                details.last_accessed_by_agent = Some((&*access.agent).into());
            }
            namespace.agents.insert((&*access.agent).into());
        }
        Answer::ready(Ok(()))
    }

    fn changes<'a>(&'a self, user: &'a str, since: Version, limit: usize) -> Answer<'a, Changes> {
        self.with_user(user, |user, _| Changes {
            changes: user
                .changes
                .range((Bound::Excluded(since), Bound::Unbounded))
                .map(|(_, change)| change)
                .take(limit)
                .cloned()
                .collect(),
            last: user.last_version,
            settled: true,
            complete_from: user.changes.first_key_value().map_or(user.last_version, |(version, _)| version - 1),
        })
    }

    fn wait_for_change<'a>(&'a self, user: &'a str, since: Version, until: Timestamp) -> Answer<'a, Version> {
        Answer::pending(async move {
            loop {
                let watch = self.waiters.watch(|| Ok(Box::new(|| false)))?;
                let position = self.with_user(user, |user, _| user.last_version).await?;
                if position > since || self.clock.now() >= until {
                    return Ok(position);
                }
                watch.changed(until).await;
            }
        })
    }

    fn users<'a>(&'a self, range: Range<'a>, page: PageSize) -> Answer<'a, Page<Box<str>>> {
        let state = self.state();
        if state.closed {
            return Answer::ready(Err(closed()));
        }
        let with_changes = in_range(&state.users, range).filter(|(_, user)| user.last_version > 0);
        Answer::ready(Ok(page_of(with_changes.map(|(name, _)| Box::<str>::from(name)), page, |name| name.len())))
    }

    fn import(&self, import: Import) -> Answer<'_, ()> {
        let mut state = self.state();
        if state.closed {
            return Answer::ready(Err(closed()));
        }
        if let Some(guard) = &import.guard {
            let record = state
                .users
                .get(&*guard.user)
                .and_then(|user| user.namespaces.get(&*guard.address.namespace)?.records.get(&guard.address.key));
            if let Err(error) = guard.check(record.map_or(0, |stored| stored.version)) {
                return Answer::ready(Err(error));
            }
        }
        let newest = import.newest_change();
        let user = state.users.entry((&*import.user).into()).or_default();
        import.namespaces.into_iter().for_each(|namespace| user.take_over(namespace));
        newest.into_iter().for_each(|newest| user.move_on_to(newest));
        drop(state);
        self.waiters.notify();
        Answer::ready(Ok(()))
    }

    /// Nothing is kept twice.
    fn check(&self) -> Answer<'_, Vec<Problem>> {
        Answer::ready(if self.state().closed { Err(closed()) } else { Ok(Vec::new()) })
    }

    fn mend<'a>(&'a self, _: &'a [Problem]) -> Answer<'a, ()> {
        Answer::ready(if self.state().closed { Err(closed()) } else { Ok(()) })
    }

    fn maintain(&self) -> Answer<'_, bool> {
        let mut state = self.state();
        if state.closed {
            return Answer::ready(Err(closed()));
        }
        let now = self.clock.now();
        for user in state.users.values_mut() {
            let expired: Vec<(Box<str>, Box<str>)> = user
                .namespaces
                .iter()
                .flat_map(|(name, namespace)| {
                    let gone = namespace.records.iter().filter(|(_, stored)| !stored.is_live(now));
                    gone.map(|(key, _)| (name.clone(), key.clone()))
                })
                .collect();
            for (namespace, key) in expired {
                user.expire(&namespace, &key, now);
                user.forget_if_empty(&namespace);
            }
            user.requests.retain(|_, applied| now < applied.expires_at);
        }
        drop(state);
        self.waiters.notify();
        Answer::ready(Ok(false))
    }

    fn suspend(&self) -> Box<dyn Suspended + '_> {
        let state = self.state();
        self.waiters.stop();
        Box::new(Held(state))
    }

    fn close(&self) -> Answer<'_, ()> {
        *self.state() = State { closed: true, ..State::default() };
        self.waiters.stop();
        Answer::ready(Ok(()))
    }
}

struct Held<'a>(#[allow(dead_code, reason = "held, not read")] MutexGuard<'a, State>);

impl Suspended for Held<'_> {}
