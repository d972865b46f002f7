//! The one connection that writes, and what a group of writes does with it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;

use super::agents::AgentsNoted;
use super::checkpointer::Checkpointer;
use super::connection::{Role, abandon, connect};
use super::failure::{Failure, Result};
use super::hot_cache::{CARRIED_KEYS, HotCache, Written, is_own_commit};
use super::identity::ShmIdentity;
use super::log_vfs;
use super::wal_index::HeaderView;
use super::write::{apply_batch, clear, record_access, sweep_dropped, sweep_expired};
use super::{Durability, check, import, read, requests};
use crate::clock::Clock;
use crate::error::Error;
use crate::import::Import;
use crate::limits::Limits;
use crate::model::{Access, Address, Batch, Outcome};
use crate::request::{Request, outcomes_to_text};
use crate::verify::Problem;

/// How much one step of sweeping removes: a fraction of a millisecond's work, so that writers hardly notice.
const SWEEP_ROWS: usize = 100;
const SWEEP_BYTES: i64 = 128 << 10;

/// Something to do in a write transaction.
pub(super) enum Job {
    Write(Batch, Option<Request>),
    Clear { user: Arc<str>, agent: Option<Arc<str>>, namespace: Arc<str>, request: Option<Request> },
    RecordAccess(Vec<Access>),
    Import(Import),
    Mend(Vec<Problem>),
    Sweep,
}

/// What came of a [`Job`] of the same name.
pub(super) enum Done {
    Outcomes(Vec<Outcome>),
    Cleared(u64),
    Recorded,
    Imported,
    Mended,
    Swept { more: bool },
}

/// What the jobs need beside the connection.
pub(super) struct Rules {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: Limits,
    pub(super) changes_kept: u64,
}

pub(super) struct Writer {
    connection: Connection,
    shm: ShmIdentity,
    /// Up to where the log was written by the commit that has just been made; 0 for one that wrote nothing.
    frames: Arc<AtomicU32>,
    agents: AgentsNoted,
    /// Stops with the writer.
    _checkpointer: Checkpointer,
}

impl Writer {
    pub(super) fn open(path: &Path, durability: Durability) -> Result<Self> {
        let mut connection = connect(path, Role::Writer(durability))?;
        let checkpointer = Checkpointer::start(path.to_owned()).map_err(|source| {
            Error::unavailable("the system refuses a thread for checkpoints: raise its limit").caused_by(source)
        })?;
        let mut notify = checkpointer.notifier();
        let frames = Arc::new(AtomicU32::new(0));
        let reported = Arc::clone(&frames);
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            reported.store(pages.unsigned_abs(), Ordering::Relaxed);
            notify(pages);
            Ok(())
        }))?;
        // The first read opens the `-shm` file.
        connection.query_row("SELECT count(*) FROM sqlite_master", (), |_| Ok(()))?;
        Ok(Self {
            connection,
            shm: ShmIdentity::of(path),
            frames,
            agents: AgentsNoted::default(),
            _checkpointer: checkpointer,
        })
    }

    /// Whether our locks still hold; see [`super::identity`].
    pub(super) fn check_identity(&self) -> Result<(), Error> {
        self.shm.check()
    }

    /// Closes without touching the file.
    pub(super) fn abandon(self) {
        abandon(self.connection);
    }

    /// Runs the jobs of a group in one transaction and returns a result for each. A job that fails by itself leaves the
    /// others alone; a failure of the storage fails all.
    pub(super) fn run(&self, jobs: &[Job], rules: &Rules, cache: Option<&HotCache>) -> Vec<Result<Done, Error>> {
        match self.transact(jobs, rules, cache) {
            Ok(results) => results,
            Err(Failure(error)) => jobs.iter().map(|_| Err(repeat(&error))).collect(),
        }
    }

    fn transact(&self, jobs: &[Job], rules: &Rules, cache: Option<&HotCache>) -> Result<Vec<Result<Done, Error>>> {
        let connection = &self.connection;
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
        let mut begun = Begun { writer: self, is_committed: false };
        // From here to the commit nobody else can change the state.
        let view = cache.and_then(HotCache::view);
        let before = view.and_then(HeaderView::read);
        let mut written = before.map(|_| Vec::new());
        let results = self.run_each(jobs, rules, &mut written).and_then(|results| {
            if !matches!(results.as_slice(), [Err(_)]) {
                connection.prepare_cached("COMMIT")?.execute(())?;
                begun.is_committed = true;
            }
            Ok(results)
        });
        drop(begun);
        // Taken away, so that it cannot stand for a later commit, which may write nothing.
        let frames = self.frames.swap(0, Ordering::Relaxed);
        if let (Ok(_), Some(cache), Some(before), Some(written)) = (&results, cache, before, written)
            && let Some(after) = view.and_then(HeaderView::read)
            && is_own_commit(&before, &after, frames)
        {
            cache.carry(before, after, &written);
        }
        results
    }

    /// Collects in `written` what the jobs do to keys, or makes it `None` where that cannot be told key by key.
    fn run_each(
        &self,
        jobs: &[Job],
        rules: &Rules,
        written: &mut Option<Vec<Written>>,
    ) -> Result<Vec<Result<Done, Error>>> {
        let mut results = Vec::with_capacity(jobs.len());
        for job in jobs {
            let result = match job {
                // A batch that is alone has the whole transaction to go back. A savepoint would keep the former content
                // of every page, which costs as much as the writes.
                Job::Write(batch, _) if jobs.len() > 1 && (batch.writes.len() > 1 || batch.quota.is_some()) => {
                    self.in_savepoint(|| self.run_one(job, rules, written))?
                }
                _ => self.run_one(job, rules, written),
            };
            match result.map_err(Error::from) {
                Err(error) if is_storage_failure(&error) => return Err(error.into()),
                result => results.push(result),
            }
        }
        Ok(results)
    }

    /// A single write checks everything but a quota before it changes anything, so that most need no way back.
    fn in_savepoint<R>(&self, function: impl FnOnce() -> Result<R>) -> Result<Result<R>> {
        self.connection.prepare_cached("SAVEPOINT batch")?.execute(())?;
        let result = function();
        if result.is_err() {
            self.connection.prepare_cached("ROLLBACK TO batch")?.execute(())?;
        }
        self.connection.prepare_cached("RELEASE batch")?.execute(())?;
        Ok(result)
    }

    fn run_one(&self, job: &Job, rules: &Rules, written: &mut Option<Vec<Written>>) -> Result<Done> {
        let connection = &self.connection;
        // Taken inside the transaction, so that times agree with the order of commits.
        let now = rules.clock.now();
        Ok(match job {
            Job::Write(batch, request) => {
                if let Some(request) = request
                    && let Some(outcomes) = requests::recall_batch(connection, batch, request, now)?
                {
                    return Ok(Done::Outcomes(outcomes));
                }
                let (outcomes, states) =
                    apply_batch(connection, batch, now, &rules.limits, rules.changes_kept, &self.agents)?;
                if let Some(request) = request {
                    requests::keep(connection, &batch.user, request, outcomes_to_text(&outcomes), now)?;
                }
                note(
                    written,
                    batch.writes.iter().zip(states).map(|(write, now)| Written {
                        user: Arc::clone(&batch.user),
                        address: write.address.clone(),
                        now,
                    }),
                );
                Done::Outcomes(outcomes)
            }
            Job::Clear { user, agent, namespace, request } => {
                if let Some(request) = request
                    && let Some(count) = requests::recall_clear(connection, user, request, now)?
                {
                    return Ok(Done::Cleared(count));
                }
                *written = None;
                let count = clear(connection, user, agent.as_deref(), namespace, now, rules.changes_kept)?;
                if let Some(request) = request {
                    requests::keep(connection, user, request, count.to_string(), now)?;
                }
                Done::Cleared(count)
            }
            Job::RecordAccess(accesses) => {
                record_access(connection, accesses)?;
                Done::Recorded
            }
            Job::Import(import) => {
                *written = None;
                import::import(connection, import)?;
                Done::Imported
            }
            Job::Mend(problems) => {
                *written = None;
                check::mend(connection, problems)?;
                Done::Mended
            }
            Job::Sweep => {
                let swept = sweep_expired(connection, now, SWEEP_ROWS, rules.changes_kept)?;
                // Invisible before, but whoever still knew of them would show them again were the clock set back.
                note(
                    written,
                    swept.into_iter().map(|(user, namespace, key)| Written {
                        user: user.into(),
                        address: Address { namespace: namespace.into(), key: key.into() },
                        now: Some(None),
                    }),
                );
                sweep_dropped(connection, SWEEP_ROWS, SWEEP_BYTES)?;
                requests::sweep(connection, now, SWEEP_ROWS, SWEEP_BYTES)?;
                Done::Swept { more: read::needs_sweeping(connection, now)? }
            }
        })
    }
}

/// A transaction that was begun. Unless it was committed, dropping it goes back: a panic, as of a clock that somebody has
/// injected, must not leave it to those who write next.
struct Begun<'a> {
    writer: &'a Writer,
    is_committed: bool,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let connection = &self.writer.connection;
        if !self.is_committed {
            // SQLite goes back by itself where the disk fails.
            if !connection.is_autocommit() {
                // A rollback cannot fail but for a broken connection, which the next use reports.
                let _ = connection.prepare_cached("ROLLBACK").and_then(|mut rollback| rollback.execute(()));
            }
            log_vfs::forget_gathered(connection);
        }
        self.writer.agents.end(self.is_committed);
    }
}

/// Adds what was done to some keys.
fn note(written: &mut Option<Vec<Written>>, done: impl ExactSizeIterator<Item = Written>) {
    match written {
        Some(list) if list.len() + done.len() <= CARRIED_KEYS => list.extend(done),
        _ => *written = None,
    }
}

/// Whether the transaction as a whole cannot go on.
fn is_storage_failure(error: &Error) -> bool {
    use crate::error::ErrorKind::{CorruptStore, Unavailable};
    matches!(error.kind(), Unavailable | CorruptStore)
}

/// The same failure for another caller of the group.
fn repeat(error: &Error) -> Error {
    Error::new(error.kind(), error.message())
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::AtomicBool;

    use super::super::file;
    use super::*;
    use crate::clock::{SystemClock, Timestamp};
    use crate::json::Json;
    use crate::model::{Expiry, Mutation, Precondition, Write};

    fn writer() -> (tempfile::TempDir, Writer) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        file::prepare(&path, false, true).unwrap();
        let writer = Writer::open(&path, Durability::Relaxed).unwrap();
        (folder, writer)
    }

    fn rules(clock: Arc<dyn Clock>) -> Rules {
        Rules { clock, limits: Limits::default(), changes_kept: 1 }
    }

    fn set(key: &str) -> Job {
        let set = Write {
            address: Address { namespace: "n".into(), key: key.into() },
            precondition: Precondition::None,
            mutation: Mutation::Set(Json::from_trusted("1")),
            metadata: None,
            expiry: Expiry::Default,
        };
        Job::Write(
            Batch { user: "u".into(), agent: Some("a".into()), writes: vec![set], request: None, quota: None },
            None,
        )
    }

    /// A transaction that writes nothing gives no report: an old one would let another's commit pass for ours.
    #[test]
    fn what_a_commit_reported_is_gone_before_the_next() {
        let (_folder, writer) = writer();
        let done = writer.run(&[set("k")], &rules(Arc::new(SystemClock)), None);
        assert!(done.iter().all(Result::is_ok));
        assert_eq!(writer.frames.load(Ordering::Relaxed), 0);
    }

    /// A clock that panics when it is asked for the second time.
    #[derive(Debug, Default)]
    struct BrokenClock(AtomicBool);

    impl Clock for BrokenClock {
        fn now(&self) -> Timestamp {
            assert!(!self.0.swap(true, Ordering::SeqCst), "the clock is broken");
            SystemClock.now()
        }
    }

    #[test]
    fn a_panic_within_a_group_stores_nothing_of_it_and_those_who_come_later_write() {
        let (_folder, writer) = writer();
        let broken = rules(Arc::new(BrokenClock::default()));
        let run = || writer.run(&[set("first"), set("second")], &broken, None).len();
        catch_unwind(AssertUnwindSafe(run)).expect_err("the clock panics");
        let done = writer.run(&[set("third")], &rules(Arc::new(SystemClock)), None);
        assert!(done.iter().all(Result::is_ok), "{:?}", done.into_iter().find_map(Result::err));
        let keys = |query: &str| -> String { writer.connection.query_row(query, (), |row| row.get(0)).unwrap() };
        assert_eq!(keys("SELECT group_concat(key) FROM records"), "third");
        assert_eq!(keys("SELECT group_concat(agent) FROM namespace_agents"), "a", "the agent is noted once more");
    }
}
