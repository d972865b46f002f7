//! The one connection that writes, and what a group of writes does with it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;

use super::checkpointer::Checkpointer;
use super::connection::{Role, abandon, connect};
use super::hot_cache::{CARRIED_KEYS, HotCache, Known, Written, is_own_commit};
use super::identity::ShmIdentity;
use super::wal_index::HeaderView;
use super::write::{apply_batch, clear, record_access, sweep_dropped, sweep_expired};
use super::{Durability, read};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::model::{Access, Batch, Outcome};

/// How much one step of sweeping removes: a fraction of a millisecond's work, so that writers hardly notice.
const SWEEP_ROWS: usize = 100;
const SWEEP_BYTES: i64 = 128 << 10;

/// Something to do in a write transaction.
pub(super) enum Job {
    Write(Batch),
    Clear { user: Arc<str>, agent: Option<Arc<str>>, namespace: Arc<str> },
    RecordAccess(Vec<Access>),
    Sweep,
}

/// What came of a [`Job`] of the same name.
pub(super) enum Done {
    Outcomes(Vec<Outcome>),
    Cleared(u64),
    Recorded,
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
    /// Up to where the log was written by our last commit.
    frames: Arc<AtomicU32>,
    /// Stops with the writer.
    _checkpointer: Checkpointer,
}

impl Writer {
    pub(super) fn open(path: &Path, durability: Durability) -> Result<Self> {
        let mut connection = connect(path, Role::Writer(durability))?;
        let checkpointer = Checkpointer::start(path.to_owned()).map_err(|source| {
            Error::unavailable("the system refuses a thread for checkpoints: raise its limit").caused_by(source)
        })?;
        let notify = checkpointer.notifier();
        let frames = Arc::new(AtomicU32::new(0));
        let reported = Arc::clone(&frames);
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            reported.store(pages.unsigned_abs(), Ordering::Relaxed);
            notify(pages);
            Ok(())
        }))?;
        // The first read opens the `-shm` file.
        connection.query_row("SELECT count(*) FROM sqlite_master", (), |_| Ok(()))?;
        Ok(Self { connection, shm: ShmIdentity::of(path), frames, _checkpointer: checkpointer })
    }

    /// Whether our locks still hold; see [`super::identity`].
    pub(super) fn check_identity(&self) -> Result<()> {
        self.shm.check()
    }

    /// Closes without touching the file.
    pub(super) fn abandon(self) {
        abandon(self.connection);
    }

    /// Runs the jobs of a group in one transaction and returns a result for each. A job that fails by itself leaves the
    /// others alone; a failure of the storage fails all.
    pub(super) fn run(&self, jobs: &[Job], rules: &Rules, cache: Option<&HotCache>) -> Vec<Result<Done>> {
        match self.transact(jobs, rules, cache) {
            Ok(results) => results,
            Err(error) => jobs.iter().map(|_| Err(repeat(&error))).collect(),
        }
    }

    fn transact(&self, jobs: &[Job], rules: &Rules, cache: Option<&HotCache>) -> Result<Vec<Result<Done>>> {
        let connection = &self.connection;
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
        // From here to the commit nobody else can change the state.
        let view = cache.and_then(HotCache::view);
        let before = view.and_then(HeaderView::read);
        let mut written = before.map(|_| Vec::new());
        let results = self.run_each(jobs, rules, &mut written).and_then(|results| {
            connection.prepare_cached("COMMIT")?.execute(())?;
            Ok(results)
        });
        if results.is_err() && !connection.is_autocommit() {
            // A rollback cannot fail but for a broken connection, which the next use reports.
            let _ = connection.execute_batch("ROLLBACK");
        }
        if let (Ok(_), Some(cache), Some(before), Some(written)) = (&results, cache, before, written)
            && let Some(after) = view.and_then(HeaderView::read)
            && is_own_commit(&before, &after, self.frames.load(Ordering::Relaxed))
        {
            cache.carry(before, after, &written);
        }
        results
    }

    /// Collects in `written` what the jobs do to keys, or makes it `None` where that cannot be told key by key.
    fn run_each(&self, jobs: &[Job], rules: &Rules, written: &mut Option<Vec<Written>>) -> Result<Vec<Result<Done>>> {
        let mut results = Vec::with_capacity(jobs.len());
        for job in jobs {
            let result = match job {
                Job::Write(batch) if batch.writes.len() > 1 => {
                    self.in_savepoint(|| self.run_one(job, rules, written))?
                }
                _ => self.run_one(job, rules, written),
            };
            match result {
                Err(error) if is_storage_failure(&error) => return Err(error),
                result => results.push(result),
            }
        }
        Ok(results)
    }

    /// A single write checks everything before it changes anything, so that only batches need a way back.
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
            Job::Write(batch) => {
                let (outcomes, states) = apply_batch(connection, batch, now, &rules.limits, rules.changes_kept)?;
                note_written(written, batch, states);
                Done::Outcomes(outcomes)
            }
            Job::Clear { user, agent, namespace } => {
                *written = None;
                Done::Cleared(clear(connection, user, agent.as_deref(), namespace, now, rules.changes_kept)?)
            }
            Job::RecordAccess(accesses) => {
                record_access(connection, accesses)?;
                Done::Recorded
            }
            // What is swept was invisible before.
            Job::Sweep => {
                sweep_expired(connection, now, SWEEP_ROWS, rules.changes_kept)?;
                sweep_dropped(connection, SWEEP_ROWS, SWEEP_BYTES)?;
                Done::Swept { more: read::needs_sweeping(connection, now)? }
            }
        })
    }
}

/// Adds what a batch has done to its keys.
fn note_written(written: &mut Option<Vec<Written>>, batch: &Batch, states: Vec<Option<Known>>) {
    match written {
        Some(list) if list.len() + states.len() <= CARRIED_KEYS => {
            list.extend(batch.writes.iter().zip(states).map(|(write, now)| Written {
                user: Arc::clone(&batch.user),
                address: write.address.clone(),
                now,
            }));
        }
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
