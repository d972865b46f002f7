//! What a batch comes down to: from the records that it meets to the rows that are written. Nothing here talks to the
//! database.

use std::collections::BTreeMap;

use super::failure::{Failure, Result, unreadable};
use crate::clock::Timestamp;
use crate::json::Json;
use crate::limits::Limits;
use crate::model::{Address, ChangeKind, Outcome, Version, Write};
use crate::mutation::{Effect, Present, Put, apply};
use crate::quota::Usage;

/// The distinct records that writes are about, in the order in which everyone locks them.
pub(super) struct Keys<'b> {
    pub(super) namespaces: Vec<&'b str>,
    pub(super) cells: Vec<Key<'b>>,
    /// Which cell each write is about.
    of_writes: Vec<usize>,
}

pub(super) struct Key<'b> {
    /// An index of [`Keys::namespaces`].
    pub(super) namespace: usize,
    pub(super) key: &'b str,
    /// Whether a write looks at the value.
    pub(super) reads_value: bool,
}

impl<'b> Keys<'b> {
    pub(super) fn of(writes: &'b [Write]) -> Self {
        let mut places: BTreeMap<(&str, &str), (usize, bool)> = BTreeMap::new();
        for Write { address: Address { namespace, key }, mutation, .. } in writes {
            places.entry((namespace, key)).or_default().1 |= mutation.reads_value();
        }
        let mut keys = Self { namespaces: Vec::new(), cells: Vec::with_capacity(places.len()), of_writes: Vec::new() };
        for ((namespace, key), (index, reads_value)) in &mut places {
            if keys.namespaces.last() != Some(namespace) {
                keys.namespaces.push(namespace);
            }
            *index = keys.cells.len();
            keys.cells.push(Key { namespace: keys.namespaces.len() - 1, key, reads_value: *reads_value });
        }
        let place =
            |write: &Write| places.get(&(&*write.address.namespace, &*write.address.key)).map(|(index, _)| *index);
        keys.of_writes = writes.iter().filter_map(place).collect();
        keys
    }

    /// Records without writes, by namespace and key, in order.
    pub(super) fn of_sorted(records: &[(&'b str, &'b str)]) -> Self {
        let mut keys = Self::with(Vec::new(), Vec::new());
        for (namespace, key) in records {
            if keys.namespaces.last() != Some(namespace) {
                keys.namespaces.push(namespace);
            }
            keys.cells.push(Key { namespace: keys.namespaces.len() - 1, key, reads_value: false });
        }
        keys
    }

    /// The same with places that are known.
    pub(super) fn with(namespaces: Vec<&'b str>, cells: Vec<Key<'b>>) -> Self {
        Self { namespaces, cells, of_writes: Vec::new() }
    }
}

/// A row that is there and locked, live or expired.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) version: Version,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) value_bytes: i64,
    pub(super) metadata: Option<String>,
    /// Where it was asked for.
    pub(super) value: Option<String>,
}

/// A namespace of the batch.
#[derive(Debug)]
pub(super) struct Space<'b> {
    pub(super) name: &'b str,
    pub(super) id: i64,
    /// Whether it has to be made.
    pub(super) is_new: bool,
    pub(super) records: i64,
    pub(super) bytes: i64,
    /// Whether anything but an expiry happened here.
    pub(super) written: bool,
}

/// One row of the change feed.
#[derive(Debug)]
pub(super) struct NewChange<'b> {
    pub(super) version: i64,
    pub(super) kind: ChangeKind,
    pub(super) namespace: &'b str,
    pub(super) key: &'b str,
}

/// What is there of a record as the batch goes on.
pub(super) struct Cell<'b> {
    pub(super) space: usize,
    pub(super) key: &'b str,
    /// The row that was there before.
    pub(super) stored: Option<Found>,
    /// Whether that row has to go.
    pub(super) is_stored_gone: bool,
    pub(super) live: Option<Live>,
}

/// A live record.
pub(super) struct Live {
    /// Whether the batch has made it; else it is what was stored, changed or not.
    pub(super) is_fresh: bool,
    pub(super) is_written: bool,
    pub(super) version: i64,
    pub(super) birth: i64,
    pub(super) expires_at: Option<Timestamp>,
    /// `None`: as stored.
    pub(super) value: Option<Json>,
    /// `None`: as stored.
    pub(super) metadata: Option<Json>,
}

/// The rows to write.
pub(super) struct Plan<'b> {
    pub(super) spaces: Vec<Space<'b>>,
    pub(super) cells: Vec<Cell<'b>>,
    pub(super) changes: Vec<NewChange<'b>>,
    pub(super) outcomes: Vec<Outcome>,
    /// By how much live records have grown or shrunk.
    grown: (i64, i64),
    versions: std::vec::IntoIter<i64>,
    now: Timestamp,
}

impl<'b> Plan<'b> {
    /// `ids` and `found` belong to the namespaces and cells of `keys`. There must be a version for each write, for each
    /// expired row, and for each namespace that is not there.
    pub(super) fn begin(
        keys: &Keys<'b>,
        ids: &[Option<i64>],
        found: Vec<Option<Found>>,
        versions: Vec<i64>,
        now: Timestamp,
    ) -> Result<Self> {
        let mut versions = versions.into_iter();
        let mut spaces = Vec::with_capacity(ids.len());
        for (name, id) in keys.namespaces.iter().zip(ids) {
            // A version that was given to nothing else is as good an identity as any.
            let (id, is_new) = match id {
                Some(id) => (*id, false),
                None => (versions.next().ok_or_else(unreadable)?, true),
            };
            spaces.push(Space { name, id, is_new, records: 0, bytes: 0, written: false });
        }
        let cells = keys.cells.iter().zip(found).map(|(key, stored)| {
            let is_live = |found: &&Found| found.expires_at.is_none_or(|expires_at| now < expires_at);
            let live = stored.as_ref().filter(is_live).map(|found| Live {
                is_fresh: false,
                is_written: false,
                version: found.version.cast_signed(),
                birth: 0,
                expires_at: found.expires_at,
                value: None,
                metadata: None,
            });
            Cell { space: key.namespace, key: key.key, stored, is_stored_gone: false, live }
        });
        let cells = cells.collect();
        Ok(Self { spaces, cells, changes: Vec::new(), outcomes: Vec::new(), grown: (0, 0), versions, now })
    }

    /// Applies the writes in order.
    ///
    /// # Errors
    /// Those of [`apply`]; nothing of the plan must be written then.
    pub(super) fn apply(&mut self, keys: &Keys<'b>, writes: &[Write], limits: &Limits) -> Result<()> {
        for (write, index) in writes.iter().zip(&keys.of_writes) {
            let outcome = self.apply_one(*index, write, limits)?;
            self.outcomes.push(outcome);
        }
        Ok(())
    }

    fn apply_one(&mut self, index: usize, write: &Write, limits: &Limits) -> Result<Outcome> {
        let cell = self.cells.get(index).ok_or_else(unreadable)?;
        let present = cell.live.as_ref().map(|live| live.present(cell.stored.as_ref()));
        let existed = present.is_some();
        let version = present.map_or(0, |present| present.version);
        match apply(write, present, self.now, limits)? {
            Effect::Nothing => Ok(Outcome { existed, version, result: None }),
            Effect::Remove => {
                self.remove(index, ChangeKind::Delete)?;
                Ok(Outcome { existed, version: 0, result: None })
            }
            Effect::Put(put) => {
                if !existed && cell.stored.is_some() && !cell.is_stored_gone {
                    self.expire(index)?;
                }
                let result = put.result.clone();
                Ok(Outcome { existed, version: self.put(index, put)?.cast_unsigned(), result })
            }
        }
    }

    /// Removes what is live there.
    fn remove(&mut self, index: usize, kind: ChangeKind) -> Result<()> {
        self.log(index, kind)?;
        let Some(cell) = self.cells.get_mut(index) else { return Ok(()) };
        let bytes = cell.bytes();
        cell.is_stored_gone |= cell.live.take().is_some_and(|live| !live.is_fresh);
        let space = cell.space;
        self.count(space, -1, -bytes, true);
        Ok(())
    }

    /// Removes the stored row: its time is up.
    pub(super) fn expire(&mut self, index: usize) -> Result<()> {
        self.log(index, ChangeKind::Expire)?;
        let Some(cell) = self.cells.get_mut(index) else { return Ok(()) };
        cell.is_stored_gone = true;
        let bytes = cell.stored.as_ref().map_or(0, |found| found.bytes(cell.key));
        let space = cell.space;
        self.count(space, -1, -bytes, false);
        Ok(())
    }

    fn put(&mut self, index: usize, put: Put) -> Result<i64> {
        let version = self.log(index, ChangeKind::Set)?;
        let Some(cell) = self.cells.get_mut(index) else { return Err(unreadable().into()) };
        let (records, bytes_before) = if cell.live.is_some() { (0, cell.bytes()) } else { (1, 0) };
        let live = cell.live.get_or_insert_with(|| Live {
            is_fresh: true,
            is_written: true,
            version,
            birth: version,
            expires_at: None,
            // Only mutations that make a value reach a record that is not there.
            value: Some(Json::from_trusted("null")),
            metadata: Some(Json::from_trusted("{}")),
        });
        live.is_written = true;
        live.version = version;
        live.expires_at = put.expires_at;
        live.value = put.value.or(live.value.take());
        live.metadata = put.metadata.or(live.metadata.take());
        let grown = cell.bytes() - bytes_before;
        let space = cell.space;
        self.count(space, records, grown, true);
        Ok(version)
    }

    fn log(&mut self, index: usize, kind: ChangeKind) -> Result<i64> {
        let version = self.versions.next().ok_or_else(unreadable)?;
        let cell = self.cells.get(index).ok_or_else(unreadable)?;
        let namespace = self.spaces.get(cell.space).ok_or_else(unreadable)?.name;
        self.changes.push(NewChange { version, kind, namespace, key: cell.key });
        Ok(version)
    }

    fn count(&mut self, space: usize, records: i64, bytes: i64, written: bool) {
        let Some(space) = self.spaces.get_mut(space) else { return };
        space.records += records;
        space.bytes += bytes;
        space.written |= written;
        // Expired records, which are all that goes without being written, were no longer live.
        if written {
            self.grown = (self.grown.0 + records, self.grown.1 + bytes);
        }
    }

    /// Whether live records take more than before.
    pub(super) fn grows(&self) -> bool {
        self.grown.0 > 0 || self.grown.1 > 0
    }

    /// What the user's live records take after the batch, if they took `before`.
    pub(super) fn usage_after(&self, before: Usage) -> Usage {
        Usage {
            records: before.records.saturating_add_signed(self.grown.0),
            bytes: before.bytes.saturating_add_signed(self.grown.1),
        }
    }

    /// Names the version of the only change, which was not known before it was written.
    pub(super) fn give(&mut self, version: i64) {
        self.changes.iter_mut().for_each(|change| change.version = version);
        self.cells.iter_mut().filter_map(|cell| cell.live.as_mut()).for_each(|live| live.version = version);
        self.outcomes.iter_mut().for_each(|outcome| outcome.version = version.cast_unsigned());
    }

    /// Whether there is anything to write.
    pub(super) fn has_effect(&self) -> bool {
        !self.changes.is_empty()
    }
}

impl Live {
    fn present<'a>(&'a self, stored: Option<&'a Found>) -> Present<'a> {
        let stored = stored.filter(|_| !self.is_fresh);
        let value = self.value.as_ref().map(Json::as_str);
        let metadata = self.metadata.as_ref().map(Json::as_str);
        Present {
            version: self.version.cast_unsigned(),
            value: value.or_else(|| stored?.value.as_deref()),
            metadata: metadata.or_else(|| stored?.metadata.as_deref()),
            expires_at: self.expires_at,
        }
    }
}

impl Found {
    /// As namespaces count them: `{}` takes nothing.
    pub(super) fn bytes(&self, key: &str) -> i64 {
        signed(key.len()) + self.value_bytes + signed(self.metadata.as_ref().map_or(0, String::len))
    }
}

impl Cell<'_> {
    /// The row that the batch leaves there.
    pub(super) fn left(&self) -> Option<Found> {
        let live = self.live.as_ref()?;
        let stored = self.stored.as_ref().filter(|_| !live.is_fresh);
        let metadata = match &live.metadata {
            Some(metadata) => of_metadata(metadata).map(ToOwned::to_owned),
            None => stored.and_then(|found| found.metadata.clone()),
        };
        let bytes_before_value = signed(self.key.len()) + signed(metadata.as_ref().map_or(0, String::len));
        Some(Found {
            version: live.version.cast_unsigned(),
            expires_at: live.expires_at,
            value_bytes: self.bytes() - bytes_before_value,
            metadata,
            value: None,
        })
    }

    /// What the live record takes.
    fn bytes(&self) -> i64 {
        let Some(live) = &self.live else { return 0 };
        let stored = self.stored.as_ref().filter(|_| !live.is_fresh);
        let value = live.value.as_ref().map(|value| signed(value.len()));
        let metadata = live.metadata.as_ref().map(|metadata| signed(of_metadata(metadata).map_or(0, str::len)));
        let stored_metadata = || signed(stored.and_then(|found| found.metadata.as_ref()).map_or(0, String::len));
        signed(self.key.len())
            + value.unwrap_or_else(|| stored.map_or(0, |found| found.value_bytes))
            + metadata.unwrap_or_else(stored_metadata)
    }
}

/// As it is stored: `{}` is nothing.
pub(super) fn of_metadata(metadata: &Json) -> Option<&str> {
    Some(metadata.as_str()).filter(|metadata| *metadata != "{}")
}

pub(super) fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl From<std::num::TryFromIntError> for Failure {
    fn from(_: std::num::TryFromIntError) -> Self {
        unreadable().into()
    }
}
