//! One user's records, taken over: everything at first, then what the change feed tells.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::cursor::Cursor;
use super::{Copier, NAMES, ONE, PAGE, foreign, position};
use crate::engine::Engine;
use crate::error::Result;
use crate::import::{Import, ImportedNamespace};
use crate::model::{Address, Change, NamespaceStats, Range, Row, Version, View};

/// How many records are looked up by their keys at a time.
const LOOKED_UP: usize = 500;
const CHANGES: usize = 5_000;

/// A user's part of a copy.
pub(super) struct UserSync<'c, 'a> {
    pub(super) copier: &'c mut Copier<'a>,
    pub(super) user: Arc<str>,
    /// Up to where the source's feed has been followed.
    pub(super) position: Version,
    /// The newest change that is known.
    newest: Option<Change>,
    /// Up to where the destination has been told of it.
    told: Version,
    pending: Vec<ImportedNamespace>,
    pending_rows: usize,
    pending_bytes: usize,
}

impl Copier<'_> {
    pub(super) async fn copy_user(&mut self, user: &Arc<str>) -> Result<()> {
        let mut sync = UserSync::begin(self, user);
        sync.look().await?;
        sync.everything().await?;
        sync.follow().await?;
        let position = sync.position;
        self.positions.insert(Arc::clone(user), position);
        Ok(())
    }
}

impl<'c, 'a> UserSync<'c, 'a> {
    pub(super) fn begin(copier: &'c mut Copier<'a>, user: &Arc<str>) -> Self {
        let user = Arc::clone(user);
        Self {
            copier,
            user,
            position: 0,
            newest: None,
            told: 0,
            pending: Vec::new(),
            pending_rows: 0,
            pending_bytes: 0,
        }
    }

    pub(super) fn from(&self) -> &'a dyn Engine {
        self.copier.from
    }

    pub(super) fn to(&self) -> &'a dyn Engine {
        self.copier.to
    }

    /// Begins to follow where the source's feed stands now: whatever is read from here on is at least as new.
    pub(super) async fn look(&mut self) -> Result<()> {
        self.position = position(self.from(), &self.user).await?;
        if self.position > 0 {
            self.newest = self.from().changes(&self.user, self.position - 1, 1).await?.changes.pop();
        }
        Ok(())
    }

    /// Takes over all namespaces.
    async fn everything(&mut self) -> Result<()> {
        let user = Arc::clone(&self.user);
        let mut there: HashSet<Box<str>> = self.to().namespace_names(&user, "").await?.into_iter().collect();
        let mut after: Option<Box<str>> = None;
        loop {
            let page = self.from().namespaces(&user, Range { prefix: "", after: after.as_deref() }, NAMES).await?;
            after = page.rows.last().map(|stats| stats.namespace.clone());
            for stats in page.rows {
                let is_there = there.remove(&stats.namespace);
                self.namespace(stats, is_there).await?;
            }
            if !page.more {
                break;
            }
        }
        for name in there {
            self.remove_namespace(&name).await?;
        }
        // Also where there is no record, the feed has to move on.
        self.flush().await
    }

    async fn namespace(&mut self, stats: NamespaceStats, is_there: bool) -> Result<()> {
        let user = Arc::clone(&self.user);
        let name: Arc<str> = (&*stats.namespace).into();
        let mut after = if is_there { self.merge(&name).await? } else { After::Key(None) };
        self.add(&stats, Vec::new(), Vec::new()).await?;
        while let After::Key(key) = after {
            let range = Range { prefix: "", after: key.as_deref() };
            let page = self.from().scan(&user, &name, range, View::Record, PAGE).await?;
            after = match page.rows.last() {
                Some(last) if page.more => After::Key(Some(last.key.clone())),
                _ => After::End,
            };
            let bytes = page.rows.iter().map(bytes_of).sum();
            self.copier.did(page.rows.len() as u64, bytes);
            self.add(&stats, page.rows, Vec::new()).await?;
        }
        Ok(())
    }

    /// Looks at the versions on both sides up to where the destination has records, and takes over those that differ.
    /// Returns where the source goes on.
    async fn merge(&mut self, name: &Arc<str>) -> Result<After> {
        let user = Arc::clone(&self.user);
        let mut here = Cursor::new(self.from(), &user, name, View::Version);
        let mut there = Cursor::new(self.to(), &user, name, View::Version);
        let mut differing: Vec<Address> = Vec::new();
        let mut last = None;
        let after = loop {
            let (one, other) = (here.peek().await?, there.peek().await?);
            let order = match (one, other) {
                (None, None) => break After::End,
                (Some(_), None) => break After::Key(last),
                (None, Some(_)) => Ordering::Greater,
                (Some(one), Some(other)) => one.key.cmp(&other.key),
            };
            let one = if order == Ordering::Greater { None } else { here.take() };
            let other = if order == Ordering::Less { None } else { there.take() };
            if let Some(row) = &one {
                last = Some(row.key.clone());
            }
            let versions = (one.as_ref().map(|row| row.version), other.as_ref().map(|row| row.version));
            if one.is_some() {
                self.copier.did(1, 0);
            }
            if versions.0 == versions.1 {
                continue;
            }
            self.check_origin(versions.1.unwrap_or(0)).await?;
            if let Some(row) = one.or(other) {
                differing.push(Address { namespace: Arc::clone(name), key: row.key });
            }
            if differing.len() >= LOOKED_UP {
                self.take_over(&std::mem::take(&mut differing)).await?;
            }
        };
        self.take_over(&differing).await?;
        Ok(after)
    }

    /// Checks that a version in the destination is one that the source has given.
    pub(super) async fn check_origin(&self, version: Version) -> Result<()> {
        if version > self.position && version > position(self.from(), &self.user).await? {
            return Err(foreign(&self.user));
        }
        Ok(())
    }

    /// Takes over what the source now has under these names, and returns it; what it has not goes.
    pub(super) async fn take_over(&mut self, addresses: &[Address]) -> Result<Vec<Option<Row>>> {
        let user = Arc::clone(&self.user);
        let mut all = Vec::with_capacity(addresses.len());
        for some in addresses.chunks(LOOKED_UP) {
            let rows = self.from().read(&user, some, View::Record).await?;
            let mut by_namespace: BTreeMap<&Arc<str>, Found> = BTreeMap::new();
            for (address, row) in some.iter().zip(&rows) {
                let Found { records, gone } = by_namespace.entry(&address.namespace).or_default();
                match row {
                    Some(row) => records.push(row.clone()),
                    None => gone.push(address.key.clone()),
                }
            }
            for (name, Found { records, gone }) in by_namespace {
                let stats = stats_of(self.from(), &user, name).await?.unwrap_or_else(|| nothing_in(name));
                self.add(&stats, records, gone).await?;
            }
            all.extend(rows);
        }
        Ok(all)
    }

    /// Removes everything that the destination holds in a namespace.
    pub(super) async fn remove_namespace(&mut self, name: &str) -> Result<()> {
        let user = Arc::clone(&self.user);
        let mut there = Cursor::new(self.to(), &user, name, View::Version);
        let mut gone = Vec::new();
        while there.peek().await?.is_some() {
            let Some(row) = there.take() else { break };
            self.check_origin(row.version).await?;
            gone.push(Address { namespace: name.into(), key: row.key });
        }
        // Looked up once more: it may have come back.
        self.take_over(&gone).await.map(drop)
    }

    /// Follows the source's feed up to where it stands now.
    pub(super) async fn follow(&mut self) -> Result<()> {
        let user = Arc::clone(&self.user);
        let goal = position(self.from(), &user).await?;
        while self.position < goal {
            let changes = self.from().changes(&user, self.position, CHANGES).await?;
            if changes.complete_from > self.position {
                // More was written than the source's feed holds.
                self.look().await?;
                self.everything().await?;
                continue;
            }
            let mut addresses = BTreeSet::new();
            for change in &changes.changes {
                match &change.key {
                    Some(key) => _ = addresses.insert((change.namespace.clone(), key.clone())),
                    None => self.remove_namespace(&change.namespace).await?,
                }
            }
            let address = |(namespace, key): (Box<str>, Box<str>)| Address { namespace: namespace.into(), key };
            let addresses: Vec<Address> = addresses.into_iter().map(address).collect();
            self.take_over(&addresses).await?;
            self.position = changes.changes.last().map_or(goal, |change| change.version);
            self.newest = changes.changes.into_iter().last().or(self.newest.take());
            self.flush().await?;
        }
        Ok(())
    }

    /// Adds records and keys without one to what is taken over next.
    pub(super) async fn add(&mut self, stats: &NamespaceStats, records: Vec<Row>, gone: Vec<Box<str>>) -> Result<()> {
        let is_same = |pending: &&mut ImportedNamespace| *pending.name == *stats.namespace;
        if self.pending.last_mut().filter(is_same).is_none() {
            // Each namespace at most once.
            if self.pending.iter().any(|pending| *pending.name == *stats.namespace) {
                self.flush().await?;
            }
            self.pending.push(ImportedNamespace {
                name: (&*stats.namespace).into(),
                records: Vec::new(),
                gone: Vec::new(),
                agents: stats.agents.clone(),
                updated_at: stats.updated_at,
            });
        }
        let Some(pending) = self.pending.last_mut() else { return Ok(()) };
        // A key at most once: what was read before is older.
        let again: HashSet<&str> = records.iter().map(|row| &*row.key).chain(gone.iter().map(|key| &**key)).collect();
        pending.records.retain(|row| !again.contains(&*row.key));
        pending.gone.retain(|key| !again.contains(&**key));
        self.pending_rows += records.len() + gone.len() + 1;
        self.pending_bytes +=
            records.iter().map(|row| row.value.as_ref().map_or(0, |value| value.len())).sum::<usize>();
        pending.records.extend(records);
        pending.gone.extend(gone);
        if self.pending_rows >= PAGE.rows || self.pending_bytes >= PAGE.bytes {
            self.flush().await?;
        }
        Ok(())
    }

    /// Has the destination take over what is pending.
    pub(super) async fn flush(&mut self) -> Result<()> {
        let newest = self.newest.as_ref().map_or(0, |newest| newest.version);
        if self.pending.is_empty() && newest <= self.told {
            return Ok(());
        }
        (self.pending_rows, self.pending_bytes) = (0, 0);
        let import = Import {
            user: Arc::clone(&self.user),
            namespaces: std::mem::take(&mut self.pending),
            newest: self.newest.clone(),
            guard: Some(self.copier.guard.clone()),
        };
        self.to().import(import).await?;
        self.told = newest;
        Ok(())
    }
}

/// What the source has in a namespace under some keys.
#[derive(Default)]
struct Found {
    records: Vec<Row>,
    gone: Vec<Box<str>>,
}

/// Where the source goes on beyond what the destination has.
enum After {
    Key(Option<Box<str>>),
    End,
}

/// As namespaces count them.
pub(crate) fn bytes_of(row: &Row) -> u64 {
    let metadata = row.details.as_ref().map_or("{}", |details| details.metadata.as_str());
    let metadata = if metadata == "{}" { 0 } else { metadata.len() };
    (row.key.len() + row.value.as_ref().map_or(0, |value| value.len()) + metadata) as u64
}

/// One namespace, if it holds a record.
pub(super) async fn stats_of(engine: &dyn Engine, user: &str, name: &str) -> Result<Option<NamespaceStats>> {
    let range = Range { prefix: name, after: None };
    // Of all that begin with its name it is the first.
    let page = engine.namespaces(user, range, ONE).await?;
    Ok(page.rows.into_iter().next().filter(|stats| *stats.namespace == *name))
}

fn nothing_in(name: &str) -> NamespaceStats {
    let updated_at = crate::clock::Timestamp::from_micros(0);
    NamespaceStats { namespace: name.into(), records: 0, bytes: 0, agents: Vec::new(), updated_at }
}
