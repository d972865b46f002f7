//! Values that were read before, exactly as fresh as SQLite itself would give them.
//!
//! An entry holds as long as the database is in the state in which it was read ([`super::wal_index`]). Each shard keeps
//! that state for all of its entries: a commit by another process makes them worthless at once. Our own commits tell what
//! they have changed and carry the shards over to the new state.

#[cfg(test)]
mod tests;

use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use hashbrown::{DefaultHashBuilder, HashTable};

use super::wal_index::{Header, HeaderView};
use crate::clock::Timestamp;
use crate::json::Json;
use crate::model::{Address, Version};

/// Enough that threads rarely meet.
const SHARDS: usize = 64;

/// What an entry takes beside its texts, about.
const ENTRY_BYTES: usize = 160;

/// One key that was missed can be remembered for so many bytes of cache: more keys than fit as entries.
const BYTES_FOR_EACH_MISSED: usize = 256;

/// Above this many changed keys a commit lets the shards go: finding out what they hold of them would cost more.
pub(super) const CARRIED_KEYS: usize = 1_024;

/// A record as `get` wants it.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) value: Json,
    pub(super) version: Version,
    pub(super) expires_at: Option<Timestamp>,
}

/// What is known of a key; `None`: that there is no record.
pub(super) type Known = Option<Live>;

/// What the cache of values that were read has done since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Values that were at hand, absence included.
    pub hits: u64,
    /// Values for which the database was asked.
    pub misses: u64,
    /// Bytes taken at present by names, values and (about) what keeps them; never above the limit that was given.
    pub bytes: usize,
}

/// What a look into the cache gives.
pub(super) enum Found {
    /// What the database would say at this moment. Its expiry is still to be looked at.
    Hit(Known),
    /// Ask the database. What is asked for once only, as by a walk through all keys, would push out what is read again
    /// and again, and keeping it costs a good part of reading it.
    FirstMiss,
    /// Ask the database; then give its answer to [`HotCache::keep`] with this state. `None` while the cache is not attached.
    Miss(Option<Header>),
}

/// What a commit of ours has done to one key.
pub(super) struct Written {
    pub(super) user: Arc<str>,
    pub(super) address: Address,
    /// `None` where only the database knows.
    pub(super) now: Option<Known>,
}

pub(super) struct HotCache {
    hasher: DefaultHashBuilder,
    shards: Box<[Mutex<Shard>]>,
}

/// Two generations: what is used moves to the young one; when that is full the old one goes, and the young one takes its
/// place. What goes has not been used while half of the cache was filled.
struct Shard {
    /// `None` while the shared memory is not mapped.
    view: Option<HeaderView>,
    state: Option<Header>,
    young: HashTable<Entry>,
    old: HashTable<Entry>,
    young_bytes: usize,
    old_bytes: usize,
    generation_bytes: usize,
    /// The keys that were missed lately, each by a part of its hash; whoever comes to the same place takes it.
    missed: Box<[u16]>,
    hits: u64,
    misses: u64,
}

struct Entry {
    hash: u64,
    names: Names,
    known: Known,
}

/// User, namespace and key in one allocation. Names hold no NUL, so nothing else spells the same.
#[derive(PartialEq, Eq)]
struct Names(Box<str>);

#[derive(Clone, Copy, Hash)]
struct NamesRef<'a> {
    user: &'a str,
    namespace: &'a str,
    key: &'a str,
}

impl NamesRef<'_> {
    fn to_names(self) -> Names {
        Names([self.user, self.namespace, self.key].join("\0").into())
    }

    fn is(&self, Names(names): &Names) -> bool {
        let (user, namespace, key) = (self.user.len(), self.namespace.len(), self.key.len());
        // The key first: it is what differs.
        names.len() == user + namespace + key + 2
            && is_same(&names.as_bytes()[user + namespace + 2..], self.key.as_bytes())
            && is_same(&names.as_bytes()[user + 1..][..namespace], self.namespace.as_bytes())
            && is_same(&names.as_bytes()[..user], self.user.as_bytes())
            && names.as_bytes()[user] == 0
    }
}

/// Equality of texts that are mostly short: the call that compares long ones took a sixth of the time of a hit.
#[inline(always)]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    /// Two words cover both lengths of a pair, overlapping in the middle.
    fn ends<const N: usize>(text: &[u8]) -> Option<(&[u8; N], &[u8; N])> {
        text.first_chunk().zip(text.last_chunk())
    }
    match one.len() {
        length if length != other.len() => false,
        0..8 => one.iter().zip(other).fold(0, |differing, (one, other)| differing | (one ^ other)) == 0,
        8..=16 => ends::<8>(one) == ends::<8>(other),
        17..=32 => ends::<16>(one) == ends::<16>(other),
        _ => one == other,
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.names.0.len() + self.known.as_ref().map_or(0, |live| live.value.len())
    }
}

impl HotCache {
    /// A cache of at most `bytes` bytes, which holds nothing until it is attached.
    pub(super) fn new(bytes: usize) -> Self {
        let missed = (bytes / SHARDS / BYTES_FOR_EACH_MISSED).max(1);
        let generation_bytes = (bytes / SHARDS).saturating_sub(missed * size_of::<u16>()) / 2;
        let shard = || {
            Mutex::new(Shard {
                view: None,
                state: None,
                young: HashTable::new(),
                old: HashTable::new(),
                young_bytes: 0,
                old_bytes: 0,
                generation_bytes,
                missed: vec![0; missed].into(),
                hits: 0,
                misses: 0,
            })
        };
        Self { hasher: DefaultHashBuilder::default(), shards: (0..SHARDS).map(|_| shard()).collect() }
    }

    /// From here on the cache may keep what is read. The view must stay valid until [`HotCache::detach`].
    pub(super) fn attach(&self, view: HeaderView) {
        for shard in &self.shards {
            lock(shard).view = Some(view);
        }
    }

    /// How the cache sees the state of the database: for those who keep the connections from being closed.
    pub(super) fn view(&self) -> Option<HeaderView> {
        lock(&self.shards[0]).view
    }

    /// The state of the database, while the cache is attached. Under a lock, since a view outlives no [`HotCache::detach`].
    pub(super) fn state(&self) -> Option<Header> {
        lock(&self.shards[0]).view.and_then(HeaderView::read)
    }

    /// Whether that still is the state of the database.
    pub(super) fn is_in(&self, state: &Header) -> bool {
        lock(&self.shards[0]).view.is_some_and(|view| still(view, state))
    }

    /// Forgets everything, the view first of all; nobody gets in while the result lives.
    pub(super) fn detach(&self) -> Detached<'_> {
        let mut shards: Vec<_> = self.shards.iter().map(lock).collect();
        for shard in &mut shards {
            shard.clear();
            shard.view = None;
        }
        Detached { _shards: shards }
    }

    #[inline]
    pub(super) fn find(&self, user: &str, namespace: &str, key: &str) -> Found {
        let names = NamesRef { user, namespace, key };
        let hash = self.hasher.hash_one(names);
        let mut shard = self.shard(hash);
        if let Some(known) = shard.hit(hash, names) {
            return Found::Hit(known);
        }
        shard.misses += 1;
        let is_again = shard.was_missed(hash);
        match shard.view {
            Some(view) if is_again => Found::Miss(view.read()),
            Some(_) => Found::FirstMiss,
            None => Found::Miss(None),
        }
    }

    /// What [`HotCache::find`] would hit, unless another thread is in the way: a fork holds all shards for as long as it
    /// takes, and whoever may not wait must not wait for that.
    #[inline]
    pub(super) fn peek(&self, user: &str, namespace: &str, key: &str) -> Option<Known> {
        let names = NamesRef { user, namespace, key };
        let hash = self.hasher.hash_one(names);
        match self.shards[shard_of(hash)].try_lock() {
            Ok(mut shard) => shard.hit(hash, names),
            Err(TryLockError::Poisoned(shard)) => shard.into_inner().hit(hash, names),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// What is known of each address in exactly this state; `None` where the database has to be asked. Whoever uses it
    /// checks afterwards that the state still is what it was.
    pub(super) fn find_all(&self, user: &str, addresses: &[Address], state: &Header) -> Vec<Option<Known>> {
        let find = |Address { namespace, key }: &Address| {
            let names = NamesRef { user, namespace, key };
            let hash = self.hasher.hash_one(names);
            let mut shard = self.shard(hash);
            let known = if shard.state == Some(*state) { shard.find(hash, names) } else { None };
            match known {
                Some(_) => shard.hits += 1,
                None => shard.misses += 1,
            }
            known
        };
        addresses.iter().map(find).collect()
    }

    /// Keeps what the database said of a key, if it was in the state `before` all the while.
    pub(super) fn keep(&self, user: &str, namespace: &str, key: &str, before: Header, known: Known) {
        let names = NamesRef { user, namespace, key };
        let hash = self.hasher.hash_one(names);
        let mut shard = self.shard(hash);
        let before = if mutant(Mutant::HeaderAfterRead) {
            shard.view.and_then(HeaderView::read).unwrap_or(before)
        } else {
            before
        };
        if !shard.view.is_some_and(|view| view.is(&before)) {
            return;
        }
        if shard.state != Some(before) {
            shard.clear();
            shard.state = Some(before);
        }
        shard.insert(Entry { hash, names: names.to_names(), known });
    }

    /// Carries what was read before a commit of ours over to the state after it. Nobody else may have committed between.
    pub(super) fn carry(&self, before: Header, after: Header, written: &[Written]) {
        let hashes: Vec<u64> = written.iter().map(|written| self.hasher.hash_one(written.names())).collect();
        for (index, shard) in self.shards.iter().enumerate() {
            let mut shard = lock(shard);
            // One that was filled in another state clears itself at its next use.
            if shard.state != Some(before) {
                continue;
            }
            shard.state = Some(after);
            for (written, hash) in written.iter().zip(&hashes).filter(|(_, hash)| shard_of(**hash) == index) {
                shard.replace(*hash, written.names(), written.now.clone());
            }
        }
    }

    pub(super) fn stats(&self) -> CacheStats {
        self.shards.iter().map(lock).fold(CacheStats::default(), |sum, shard| CacheStats {
            hits: sum.hits + shard.hits,
            misses: sum.misses + shard.misses,
            bytes: sum.bytes + shard.young_bytes + shard.old_bytes,
        })
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        lock(&self.shards[shard_of(hash)])
    }
}

/// The top bits; the tables use the others.
fn shard_of(hash: u64) -> usize {
    (hash >> (64 - SHARDS.trailing_zeros())) as usize
}

impl Written {
    fn names(&self) -> NamesRef<'_> {
        NamesRef { user: &self.user, namespace: &self.address.namespace, key: &self.address.key }
    }
}

impl Shard {
    /// What the database would say of a key, if that is known.
    #[inline]
    fn hit(&mut self, hash: u64, names: NamesRef<'_>) -> Option<Known> {
        if !still(self.view?, &self.state?) {
            return None;
        }
        let known = self.find(hash, names)?;
        self.hits += 1;
        Some(known)
    }

    /// Whether this key is among those that were missed lately; it is from now on.
    #[inline]
    fn was_missed(&mut self, hash: u64) -> bool {
        // The top bits chose the shard.
        let place = (hash >> 16) as u32 as usize % self.missed.len();
        let mark = hash as u16;
        std::mem::replace(&mut self.missed[place], mark) == mark
    }

    #[inline]
    fn find(&mut self, hash: u64, names: NamesRef<'_>) -> Option<Known> {
        if let Some(entry) = self.young.find(hash, |entry| names.is(&entry.names)) {
            return Some(entry.known.clone());
        }
        // Not in the young generation, so nowhere else.
        let (entry, _) = self.old.find_entry(hash, |entry| names.is(&entry.names)).ok()?.remove();
        self.old_bytes -= entry.bytes();
        let known = entry.known.clone();
        self.insert(entry);
        Some(known)
    }

    /// Adds an entry in the place of whatever is there under its names: two threads may have missed the same key.
    fn insert(&mut self, entry: Entry) {
        self.remove(entry.hash, |names| *names == entry.names);
        let bytes = entry.bytes();
        if bytes > self.generation_bytes {
            return;
        }
        if self.young_bytes + bytes > self.generation_bytes {
            self.old = std::mem::take(&mut self.young);
            self.old_bytes = std::mem::take(&mut self.young_bytes);
        }
        self.young_bytes += bytes;
        self.young.insert_unique(entry.hash, entry, |entry| entry.hash);
    }

    fn replace(&mut self, hash: u64, names: NamesRef<'_>, now: Option<Known>) {
        let removed = self.remove(hash, |other| names.is(other));
        // What nobody has read is not worth a place.
        if let (Some(entry), Some(known)) = (removed, now) {
            self.insert(Entry { known, ..entry });
        }
    }

    fn remove(&mut self, hash: u64, is: impl Fn(&Names) -> bool) -> Option<Entry> {
        let generations = [(&mut self.young, &mut self.young_bytes), (&mut self.old, &mut self.old_bytes)];
        for (generation, bytes) in generations {
            if let Ok(found) = generation.find_entry(hash, |entry| is(&entry.names)) {
                let (entry, _) = found.remove();
                *bytes -= entry.bytes();
                return Some(entry);
            }
        }
        None
    }

    fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
        self.young_bytes = 0;
        self.old_bytes = 0;
        self.state = None;
    }
}

/// See [`HotCache::detach`].
pub(super) struct Detached<'a> {
    _shards: Vec<MutexGuard<'a, Shard>>,
}

/// A panic leaves a shard that is at worst emptier than it could be.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[inline]
fn still(view: HeaderView, state: &Header) -> bool {
    mutant(Mutant::NoValidityCheck) || view.is(state)
}

/// Whether a commit took the database from `before` to `after` by itself: `frames` is what SQLite said that it wrote up to,
/// 0 if it said nothing because there was nothing to write.
pub(super) fn is_own_commit(before: &Header, after: &Header, frames: u32) -> bool {
    mutant(Mutant::AnyCommitIsOwn)
        || (frames != 0
            && after.frames() == frames
            && after.change_counter() == before.change_counter().wrapping_add(1))
}

/// Deliberate faults, for the stress test to show that it would see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "chosen by tests only")]
pub(super) enum Mutant {
    HeaderAfterRead = 1,
    NoValidityCheck = 2,
    AnyCommitIsOwn = 3,
}

#[cfg(test)]
pub(super) static MUTANT: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

#[cfg(test)]
fn mutant(mutant: Mutant) -> bool {
    MUTANT.load(std::sync::atomic::Ordering::Relaxed) == mutant as u8
}

#[cfg(not(test))]
const fn mutant(_mutant: Mutant) -> bool {
    false
}
