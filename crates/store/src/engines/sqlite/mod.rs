//! The SQLite engine: one file, any number of processes on one machine.
//!
//! A read is answered from the `hot_cache`, or takes an idle connection and runs inline; a write goes through the
//! `commit_queue` to the one writing connection. Where SQLite runs is decided here and nowhere else.

mod agents;
pub(crate) mod backup;
mod check;
mod checkpointer;
mod commit_queue;
mod connection;
mod failure;
mod file;
mod hot_cache;
mod identity;
mod import;
mod log_vfs;
mod read;
mod registry;
mod requests;
#[cfg(all(test, unix))]
mod stress;
mod wal_index;
mod write;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rusqlite::Connection;

use self::commit_queue::CommitQueue;
use self::connection::{Role, abandon, connect};
use self::failure::Failure;
pub use self::hot_cache::CacheStats;
use self::hot_cache::{Detached, Found, HotCache, Known, Live};
use self::wal_index::Anchor;
use self::writer::{Done, Job, Rules, Writer};
use crate::clock::Timestamp;
use crate::engine::{Answer, Engine, Suspended};
use crate::error::{Error, Result};
use crate::import::Import;
use crate::model::{
    Access, Address, Batch, ChangeKind, Changes, NamespaceStats, Outcome, Page, PageSize, Range, Row, Version, View,
};
use crate::request::{Request, RequestId};
use crate::store::Options;
use crate::verify::Problem;
use crate::waiters::{Waiters, Watch};

/// Idle reading connections kept; more are opened while more threads read at once.
const IDLE_READERS: usize = 8;

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Loss of power: every commit waits for the disk.
    #[default]
    Full,
    /// A crash of the process. Loss of power may take the last commits with it, but never damages the file.
    Relaxed,
}

/// What a `sqlite:` URL may say beyond the path.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// How much memory the cache of values that were read may take; 0 switches it off. Default 64 MiB.
    pub cache_bytes: usize,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { durability: Durability::Full, cache_bytes: 64 << 20 }
    }
}

/// Where the stress test of the cache has passed. Elsewhere reads go without it, but in that test itself.
const CACHE_IS_TRUSTED: bool = cfg!(any(all(target_os = "linux", target_arch = "x86_64"), test));

/// Keeps records in one SQLite file.
#[derive(Debug)]
pub struct SqliteEngine(Arc<Shared>);

pub(crate) struct Shared {
    path: PathBuf,
    durability: Durability,
    rules: Rules,
    /// Whoever comes brings a list of jobs, mostly of one.
    queue: CommitQueue<Vec<Job>, Vec<Result<Done>>>,
    cache: Option<HotCache>,
    waiters: Waiters,
    /// Held for reading by every call, for writing by whoever closes all connections.
    connections: RwLock<Connections>,
}

/// What is open at the moment; everything here is opened again when it is needed.
#[derive(Default)]
struct Connections {
    readers: Mutex<Vec<Connection>>,
    writer: Mutex<Option<Writer>>,
    /// Keeps the memory mapped that the cache looks at; `None` until that was tried.
    anchor: Mutex<Option<Anchoring>>,
    closed: bool,
}

/// What came of trying to open an anchor.
enum Anchoring {
    Anchored(Anchor),
    /// Reads go without the cache.
    Unavailable,
}

impl SqliteEngine {
    /// Opens the store file at `path`, creating it if there is none.
    ///
    /// # Errors
    /// `CorruptStore` for a file that is damaged, not ours or newer than this version; `Unavailable` where it cannot be
    /// reached. The file is then untouched.
    pub fn open(path: &Path, sqlite_options: &SqliteOptions, options: &Options) -> Result<Self> {
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            durability: sqlite_options.durability,
            rules: Rules {
                clock: Arc::clone(&options.clock),
                limits: options.limits.clone(),
                changes_kept: options.changes_kept,
            },
            queue: CommitQueue::default(),
            cache: (CACHE_IS_TRUSTED && sqlite_options.cache_bytes > 0)
                .then(|| HotCache::new(sqlite_options.cache_bytes)),
            waiters: Waiters::new(Arc::clone(&options.clock)),
            connections: RwLock::default(),
        });
        registry::register(&shared, |already_open| {
            file::prepare(path, already_open, options.create)?;
            // Kept from here on, so that the file cannot leave WAL mode and its log is not folded up at every call.
            *lock(&shared.connections().writer) = Some(Writer::open(path, shared.durability)?);
            Ok(())
        })?;
        Ok(Self(shared))
    }

    /// How much the cache of values that were read has saved; all zero where it is switched off.
    pub fn cache_stats(&self) -> CacheStats {
        self.0.cache.as_ref().map(HotCache::stats).unwrap_or_default()
    }

    fn read_with<R>(&self, function: impl FnOnce(&Connection, Timestamp) -> Result<R, Failure>) -> Answer<'_, R> {
        Answer::ready(self.0.read_with(function))
    }

    fn submit(&self, job: Job) -> Result<Done> {
        self.0.submit(vec![job])?.pop().unwrap_or_else(|| Err(mismatched()))
    }
}

impl Shared {
    fn connections(&self) -> RwLockReadGuard<'_, Connections> {
        self.connections.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections_mut(&self) -> RwLockWriteGuard<'_, Connections> {
        self.connections.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_with<R>(&self, function: impl FnOnce(&Connection, Timestamp) -> Result<R, Failure>) -> Result<R> {
        let connections = self.connections();
        connections.check_open()?;
        let idle = lock(&connections.readers).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.path, Role::Reader)?,
        };
        let result = function(&connection, self.rules.clock.now());
        let mut readers = lock(&connections.readers);
        // One that is still in a transaction has failed in an odd way: it is not kept.
        if readers.len() < IDLE_READERS && connection.is_autocommit() {
            readers.push(connection);
        }
        Ok(result?)
    }

    fn read_value(&self, user: &str, namespace: &str, key: &str) -> Result<Option<Row>> {
        let read = || self.read_with(|connection, _| read::read_value(connection, user, namespace, key));
        let known = match &self.cache {
            None => read()?,
            Some(cache) => match cache.find(user, namespace, key) {
                Found::Hit(known) => known,
                Found::FirstMiss => read()?,
                Found::Miss(None) => {
                    self.attach(cache);
                    read()?
                }
                Found::Miss(Some(state)) => {
                    let known = read()?;
                    cache.keep(user, namespace, key, state, known.clone());
                    known
                }
            },
        };
        Ok(live_row(known, || self.rules.clock.now()))
    }

    /// Values of several keys as of one state: what the cache holds of that state, and the rest from the database.
    fn read_values(&self, cache: &HotCache, user: &str, addresses: &[Address]) -> Result<Vec<Option<Row>>> {
        let read = |addresses: &[Address]| {
            self.read_with(|connection, _| {
                read::snapshot(connection, || read::read_values(connection, user, addresses))
            })
        };
        let Some(state) = cache.state() else {
            self.attach(cache);
            return self.live_rows(addresses, read(addresses)?);
        };
        let mut known = cache.find_all(user, addresses, &state);
        let missing: Vec<usize> = (0..known.len()).filter(|index| known[*index].is_none()).collect();
        let wanted: Vec<Address> = missing.iter().map(|index| addresses[*index].clone()).collect();
        let found = if wanted.is_empty() { Vec::new() } else { read(&wanted)? };
        // Still the same state: both parts are of it. Else somebody has committed meanwhile, and all is read together.
        if !cache.is_in(&state) {
            return self.live_rows(addresses, read(addresses)?);
        }
        // Asked for by name, so this is no walk through all keys: kept at the first miss.
        for (index, found) in missing.into_iter().zip(found) {
            let Address { namespace, key } = &addresses[index];
            cache.keep(user, namespace, key, state, found.clone());
            known[index] = Some(found);
        }
        self.live_rows(addresses, known.into_iter().map(Option::flatten).collect())
    }

    /// The rows of what is known of `addresses`, but those whose time is up.
    fn live_rows(&self, addresses: &[Address], known: Vec<Known>) -> Result<Vec<Option<Row>>> {
        // One moment for all: what expires together goes together.
        let now = self.rules.clock.now();
        let with_key =
            |(known, address): (Known, &Address)| Some(Row { key: address.key.clone(), ..live_row(known, || now)? });
        Ok(known.into_iter().zip(addresses).map(with_key).collect())
    }

    fn peek(&self, user: &str, namespace: &str, key: &str) -> Option<Option<Row>> {
        self.cache.as_ref()?.peek(user, namespace, key).map(|known| live_row(known, || self.rules.clock.now()))
    }

    /// Lets the cache see the state of the database, once for each time that connections are opened.
    fn attach(&self, cache: &HotCache) {
        let connections = self.connections();
        let mut anchor = lock(&connections.anchor);
        if anchor.is_some() || connections.closed {
            return;
        }
        *anchor = Some(match Anchor::open(&self.path) {
            Ok(Some(opened)) => {
                cache.attach(opened.view());
                Anchoring::Anchored(opened)
            }
            Ok(None) | Err(_) => Anchoring::Unavailable,
        });
    }

    /// Begins to look for commits of any process.
    fn watch(&self) -> Result<Watch<'_>> {
        // Held so that nobody suspends or closes the store between the opening of the connection and the thread's start.
        let connections = self.connections();
        connections.check_open()?;
        self.waiters.watch(|| {
            let connection = connect(&self.path, Role::Reader)?;
            let version = |connection: &Connection| -> Result<i64, Failure> {
                Ok(connection.prepare_cached("PRAGMA data_version")?.query_row((), |row| row.get(0))?)
            };
            let mut last = version(&connection)?;
            Ok(Box::new(move || match version(&connection) {
                Ok(now) => std::mem::replace(&mut last, now) != now,
                // Those who wait will meet the failure themselves.
                Err(_) => true,
            }))
        })
    }

    /// Has the cache let go of the shared memory, which must happen before the connections are closed.
    fn detach(&self) -> Option<Detached<'_>> {
        self.cache.as_ref().map(HotCache::detach)
    }

    /// Does jobs, with those of others who come meanwhile in one transaction; one result for each.
    fn submit(&self, jobs: Vec<Job>) -> Result<Vec<Result<Done>>> {
        let connections = self.connections();
        connections.check_open()?;
        let mut broken = false;
        let result = self.queue.submit(jobs, |lists| {
            let lengths: Vec<usize> = lists.iter().map(Vec::len).collect();
            let jobs: Vec<Job> = lists.into_iter().flatten().collect();
            let mut writer = lock(&connections.writer);
            let mut results = match self.trusted_writer(&mut writer, &mut broken) {
                Ok(writer) => writer.run(&jobs, &self.rules, self.cache.as_ref()),
                Err(error) => jobs.iter().map(|_| Err(Error::new(error.kind(), error.message()))).collect(),
            }
            .into_iter();
            lengths.into_iter().map(|length| Ok(results.by_ref().take(length).collect())).collect()
        });
        drop(connections);
        self.waiters.notify();
        if broken {
            registry::abandon_all(&self.path);
        }
        result
    }

    fn trusted_writer<'w>(&self, slot: &'w mut Option<Writer>, broken: &mut bool) -> Result<&'w Writer> {
        let writer = match slot {
            Some(writer) => writer,
            None => slot.insert(Writer::open(&self.path, self.durability)?),
        };
        let checked = writer.check_identity();
        *broken = checked.is_err();
        checked.map(|()| &*writer)
    }

    /// Closes every connection without touching the file: their locks are no longer to be trusted.
    fn abandon(&self) {
        let mut connections = self.connections_mut();
        // Closed the ordinary way, but while ours are open SQLite does not take it for the last and leaves the file alone.
        self.waiters.stop();
        drop(self.detach());
        let Connections { readers, writer, anchor, .. } = std::mem::take(&mut *connections);
        into_inner(readers).into_iter().for_each(abandon);
        if let Some(Anchoring::Anchored(anchor)) = into_inner(anchor) {
            abandon(anchor.into_connection());
        }
        if let Some(writer) = into_inner(writer) {
            writer.abandon();
        }
    }
}

/// The row, unless its time is up.
fn live_row(known: Known, now: impl FnOnce() -> Timestamp) -> Option<Row> {
    let Live { value, version, expires_at } = known?;
    if expires_at.is_some_and(|expires_at| expires_at <= now()) {
        return None;
    }
    Some(Row { key: Box::default(), version, expires_at, value: Some(value), details: None })
}

impl Connections {
    fn check_open(&self) -> Result<()> {
        if self.closed {
            return Err(Error::invalid("the store is closed: open it again"));
        }
        Ok(())
    }

    /// The writer goes last: the last connection of all folds up the log.
    fn close(&mut self) {
        lock(&self.readers).clear();
        *lock(&self.anchor) = None;
        *lock(&self.writer) = None;
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteEngine").field("path", &self.path).field("durability", &self.durability).finish()
    }
}

/// A panic elsewhere leaves connections in a usable state: SQLite rolls back what was not committed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// As in the column `changes.kind`.
fn kind_to_number(kind: ChangeKind) -> i64 {
    match kind {
        ChangeKind::Set => 1,
        ChangeKind::Delete => 2,
        ChangeKind::Expire => 3,
        ChangeKind::Clear => 4,
    }
}

fn kind_from_number(number: i64) -> Result<ChangeKind> {
    Ok(match number {
        1 => ChangeKind::Set,
        2 => ChangeKind::Delete,
        3 => ChangeKind::Expire,
        4 => ChangeKind::Clear,
        _ => return Err(Error::corrupt("the change feed holds an unknown kind: restore the file from a backup")),
    })
}

fn mismatched() -> Error {
    Error::corrupt("a write gave the result of another kind of call: report this")
}

impl Engine for SqliteEngine {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn place(&self) -> String {
        crate::open::sqlite_url(&registry::canonical(&self.0.path))
    }

    fn is_inline(&self) -> bool {
        true
    }

    fn read<'a>(&'a self, user: &'a str, addresses: &'a [Address], view: View) -> Answer<'a, Vec<Option<Row>>> {
        if let (View::Value, Some(cache)) = (view, &self.0.cache) {
            return Answer::ready(self.0.read_values(cache, user, addresses));
        }
        self.read_with(|connection, now| {
            read::snapshot(connection, || read::read(connection, user, addresses, view, now))
        })
    }

    fn read_one<'a>(&'a self, user: &'a str, namespace: &'a str, key: &'a str, view: View) -> Answer<'a, Option<Row>> {
        if view == View::Value {
            return Answer::ready(self.0.read_value(user, namespace, key));
        }
        self.read_with(|connection, now| read::read_one(connection, user, namespace, key, view, now))
    }

    fn peek(&self, user: &str, namespace: &str, key: &str) -> Option<Option<Row>> {
        self.0.peek(user, namespace, key)
    }

    fn scan<'a>(
        &'a self,
        user: &'a str,
        namespace: &'a str,
        range: Range<'a>,
        view: View,
        page: PageSize,
    ) -> Answer<'a, Page<Row>> {
        self.read_with(|connection, now| {
            read::snapshot(connection, || read::scan(connection, user, namespace, range, view, page, now))
        })
    }

    fn scan_all<'a>(
        &'a self,
        user: &'a str,
        namespace: &'a str,
        view: View,
        piece: PageSize,
        each: &'a mut (dyn FnMut(Vec<Row>) + Send),
    ) -> Answer<'a, ()> {
        self.read_with(|connection, now| {
            read::snapshot(connection, || read::scan_all(connection, user, namespace, view, piece, now, each))
        })
    }

    fn count<'a>(&'a self, user: &'a str, namespace: &'a str, prefix: &'a str) -> Answer<'a, u64> {
        self.read_with(|connection, now| {
            read::snapshot(connection, || read::count(connection, user, namespace, prefix, now))
        })
    }

    fn namespace_names<'a>(&'a self, user: &'a str, prefix: &'a str) -> Answer<'a, Vec<Box<str>>> {
        self.read_with(|connection, now| {
            read::snapshot(connection, || read::namespace_names(connection, user, prefix, now))
        })
    }

    fn namespaces<'a>(&'a self, user: &'a str, range: Range<'a>, page: PageSize) -> Answer<'a, Page<NamespaceStats>> {
        self.read_with(|connection, now| {
            read::snapshot(connection, || read::namespaces(connection, user, range, page, now))
        })
    }

    fn write(&self, batch: Batch) -> Answer<'_, Vec<Outcome>> {
        Answer::ready(self.submit(write_job(batch)).and_then(outcomes))
    }

    fn write_each(&self, batches: Vec<Batch>) -> Answer<'_, Vec<Result<Vec<Outcome>>>> {
        let results = self.0.submit(batches.into_iter().map(write_job).collect());
        Answer::ready(results.map(|results| results.into_iter().map(|done| done.and_then(outcomes)).collect()))
    }

    fn clear<'a>(
        &'a self,
        user: &'a str,
        agent: Option<&'a str>,
        namespace: &'a str,
        request: Option<&'a RequestId>,
    ) -> Answer<'a, u64> {
        let request = Request::of_clear(agent, namespace, request);
        let job = Job::Clear { user: user.into(), agent: agent.map(Into::into), namespace: namespace.into(), request };
        Answer::ready(self.submit(job).and_then(|done| match done {
            Done::Cleared(count) => Ok(count),
            _ => Err(mismatched()),
        }))
    }

    fn record_access(&self, accesses: Vec<Access>) -> Answer<'_, ()> {
        Answer::ready(self.submit(Job::RecordAccess(accesses)).map(drop))
    }

    fn changes<'a>(&'a self, user: &'a str, since: Version, limit: usize) -> Answer<'a, Changes> {
        self.read_with(|connection, _| read::snapshot(connection, || read::changes(connection, user, since, limit)))
    }

    fn wait_for_change<'a>(&'a self, user: &'a str, since: Version, until: Timestamp) -> Answer<'a, Version> {
        Answer::pending(async move {
            let shared = &self.0;
            loop {
                let watch = shared.watch()?;
                let position = shared.read_with(|connection, _| read::last_version(connection, user))?;
                if position > since || shared.rules.clock.now() >= until {
                    return Ok(position);
                }
                watch.changed(until).await;
            }
        })
    }

    fn users<'a>(&'a self, range: Range<'a>, page: PageSize) -> Answer<'a, Page<Box<str>>> {
        self.read_with(|connection, _| read::snapshot(connection, || read::users(connection, range, page)))
    }

    fn import(&self, import: Import) -> Answer<'_, ()> {
        Answer::ready(self.submit(Job::Import(import)).map(drop))
    }

    fn write_file<'a>(&'a self, file: &'a Path, report: &'a mut (dyn FnMut(u64, u64) + Send)) -> Answer<'a, bool> {
        let mut write = || {
            let connections = self.0.connections();
            connections.check_open()?;
            // Of its own: nobody else waits for it.
            backup::write(&connect(&self.0.path, Role::Reader)?, file, report)?;
            Ok(true)
        };
        Answer::ready(write())
    }

    fn check(&self) -> Answer<'_, Vec<Problem>> {
        let check = || {
            let connections = self.0.connections();
            connections.check_open()?;
            // Of its own: it is set up otherwise, and may take long.
            Ok(check::check(&connect(&self.0.path, Role::Reader)?)?)
        };
        Answer::ready(check())
    }

    fn mend<'a>(&'a self, problems: &'a [Problem]) -> Answer<'a, ()> {
        Answer::ready(self.submit(Job::Mend(problems.to_vec())).map(drop))
    }

    fn maintain(&self) -> Answer<'_, bool> {
        let needed = self.0.read_with(read::needs_sweeping);
        Answer::ready(match needed {
            Ok(true) => self.submit(Job::Sweep).and_then(|done| match done {
                Done::Swept { more } => Ok(more),
                _ => Err(mismatched()),
            }),
            other => other,
        })
    }

    fn suspend(&self) -> Box<dyn Suspended + '_> {
        let mut connections = self.0.connections_mut();
        self.0.waiters.stop();
        let detached = self.0.detach();
        connections.close();
        Box::new(Held { _detached: detached, _connections: connections })
    }

    fn close(&self) -> Answer<'_, ()> {
        let mut connections = self.0.connections_mut();
        self.0.waiters.stop();
        drop(self.0.detach());
        connections.closed = true;
        connections.close();
        Answer::ready(Ok(()))
    }
}

fn write_job(batch: Batch) -> Job {
    let request = Request::of_batch(&batch);
    Job::Write(batch, request)
}

fn outcomes(done: Done) -> Result<Vec<Outcome>> {
    match done {
        Done::Outcomes(outcomes) => Ok(outcomes),
        _ => Err(mismatched()),
    }
}

struct Held<'a> {
    _detached: Option<Detached<'a>>,
    _connections: RwLockWriteGuard<'a, Connections>,
}

impl Suspended for Held<'_> {}
