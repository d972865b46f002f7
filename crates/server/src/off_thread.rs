//! Where the engine's work is done. An embedded engine works on the thread that calls it: for a short read that is the
//! fastest, but a write waits for the disk, and a long scan would keep the thread from everybody else's requests. Those go
//! to threads that may wait: each scan to one, and all writes that arrive together to one, where they share a commit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent_data_store::engine::{Answer, Engine, Suspended};
use agent_data_store::import::Import;
use agent_data_store::model::{
    Access, Address, Batch, Changes, NamespaceStats, Outcome, Page, PageSize, Range, Row, Version, View,
};
use agent_data_store::verify::Problem;
use agent_data_store::{Clock, Error, ErrorKind, RequestId, Result, Timestamp, block_on};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

/// More rows than this are a long read.
const SHORT_ROWS: usize = 64;
/// A page that may hold more than this is a long read.
const SHORT_BYTES: usize = 256 << 10;
/// A page that may hold more than this may as well hold anything.
const BOUNDED_BYTES: usize = 16 << 20;

/// How many long reads there are at a time. The others wait for their turn, so that there is always a thread for a write.
const LONG_READS: usize = 16;
/// How many of these one counts for whose result may have any size.
const UNBOUNDED: u32 = 4;

/// The engine with its long work taken off the calling thread. One that waits for a network needs no help.
pub(crate) fn off_thread(engine: Arc<dyn Engine>) -> Arc<dyn Engine> {
    match engine.is_inline() {
        true => {
            let (writes, long_reads) =
                (Arc::new(Writes::of(Arc::clone(&engine))), Arc::new(Semaphore::new(LONG_READS)));
            Arc::new(OffThread { engine, writes, long_reads })
        }
        false => engine,
    }
}

/// An embedded engine whose long work is done on threads that may wait.
#[derive(Debug)]
struct OffThread {
    engine: Arc<dyn Engine>,
    writes: Arc<Writes>,
    long_reads: Arc<Semaphore>,
}

/// Writes on their way to the engine. A thread for each would cost more than the write: waking it, and then whoever waits for
/// it. So one takes all that have arrived, again and again until there are none.
#[derive(Debug)]
struct Writes {
    engine: Arc<dyn Engine>,
    arrived: Mutex<Arrived>,
}

#[derive(Debug, Default)]
struct Arrived {
    waiting: Vec<(Batch, Written)>,
    /// Whether a thread is there to take them.
    is_attended: bool,
}

/// Who waits for the outcomes of a write.
type Written = oneshot::Sender<Result<Vec<Outcome>>>;

/// The thread that takes the writes, from when it is asked for until none are left.
struct Attending {
    writes: Arc<Writes>,
    /// Whether none were left: others that have come since are another thread's.
    is_over: bool,
}

impl Writes {
    fn of(engine: Arc<dyn Engine>) -> Self {
        Self { engine, arrived: Mutex::default() }
    }

    fn arrived(&self) -> MutexGuard<'_, Arrived> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(self: &Arc<Self>, runtime: &Handle, batch: Batch) -> Answer<'static, Vec<Outcome>> {
        let (written, outcomes) = oneshot::channel();
        let is_attended = {
            let mut arrived = self.arrived();
            arrived.waiting.push((batch, written));
            std::mem::replace(&mut arrived.is_attended, true)
        };
        if !is_attended {
            let attending = Attending { writes: Arc::clone(self), is_over: false };
            runtime.spawn_blocking(move || attending.run());
        }
        Answer::pending(async move { outcomes.await.unwrap_or_else(|_| Err(interrupted())) })
    }
}

impl Attending {
    /// Those that have arrived; `None` ends it.
    fn take(&mut self) -> Option<Vec<(Batch, Written)>> {
        let mut arrived = self.writes.arrived();
        if arrived.waiting.is_empty() {
            arrived.is_attended = false;
            self.is_over = true;
            return None;
        }
        Some(std::mem::take(&mut arrived.waiting))
    }

    fn run(mut self) {
        while let Some(waiting) = self.take() {
            let (batches, waiting): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
            let work = || block_on(self.writes.engine.write_each(batches));
            // A panic is the end of these writes alone: others have come meanwhile and count on this thread.
            let Ok(results) = catch_unwind(AssertUnwindSafe(work)) else { continue };
            match results {
                Ok(results) => waiting.into_iter().zip(results).for_each(|(written, result)| tell(written, result)),
                Err(error) => {
                    waiting
                        .into_iter()
                        .for_each(|written| tell(written, Err(Error::new(error.kind(), error.message()))));
                }
            }
        }
    }
}

impl Drop for Attending {
    /// Where the runtime has ended before this began, nobody may wait for ever.
    fn drop(&mut self) {
        if !self.is_over {
            let mut arrived = self.writes.arrived();
            arrived.is_attended = false;
            arrived.waiting.clear();
        }
    }
}

fn tell(written: Written, result: Result<Vec<Outcome>>) {
    // Who has gone does not want to know.
    let _ = written.send(result);
}

impl OffThread {
    fn away<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Engine) -> Result<T> + Send + 'static,
    ) -> Answer<'static, T> {
        // A thread outside of the runtime, such as that of housekeeping, may wait itself.
        let Ok(runtime) = Handle::try_current() else { return Answer::ready(work(&*self.engine)) };
        let engine = Arc::clone(&self.engine);
        let work = runtime.spawn_blocking(move || work(&*engine));
        Answer::pending(async move { work.await.unwrap_or_else(|_| Err(interrupted())) })
    }

    /// The same for a read that counts for so many, when it is its turn.
    fn read_away<T: Send + 'static>(
        &self,
        counts_for: u32,
        work: impl FnOnce(&dyn Engine) -> Result<T> + Send + 'static,
    ) -> Answer<'static, T> {
        let Ok(runtime) = Handle::try_current() else { return Answer::ready(work(&*self.engine)) };
        let (engine, long_reads) = (Arc::clone(&self.engine), Arc::clone(&self.long_reads));
        Answer::pending(async move {
            let turn = long_reads.acquire_many_owned(counts_for).await.map_err(|_| interrupted())?;
            let work = runtime.spawn_blocking(move || {
                // Until the work is done, also where nobody waits for it any more.
                let _turn = turn;
                work(&*engine)
            });
            work.await.unwrap_or_else(|_| Err(interrupted()))
        })
    }
}

fn interrupted() -> Error {
    Error::new(ErrorKind::Unavailable, "the call was interrupted: read the record to see what was stored")
}

/// A [`Range`] that a thread can take along.
struct OwnRange {
    prefix: Box<str>,
    after: Option<Box<str>>,
}

impl OwnRange {
    fn of(range: Range<'_>) -> Self {
        Self { prefix: range.prefix.into(), after: range.after.map(Into::into) }
    }

    fn range(&self) -> Range<'_> {
        Range { prefix: &self.prefix, after: self.after.as_deref() }
    }
}

impl Engine for OffThread {
    fn name(&self) -> &'static str {
        self.engine.name()
    }

    fn place(&self) -> String {
        self.engine.place()
    }

    fn is_inline(&self) -> bool {
        false
    }

    fn clock(&self) -> Option<Arc<dyn Clock>> {
        self.engine.clock()
    }

    fn read<'a>(&'a self, user: &'a str, addresses: &'a [Address], view: View) -> Answer<'a, Vec<Option<Row>>> {
        if addresses.len() <= SHORT_ROWS {
            return self.engine.read(user, addresses, view);
        }
        let (user, addresses) = (user.to_owned(), addresses.to_owned());
        self.read_away(UNBOUNDED, move |engine| block_on(engine.read(&user, &addresses, view)))
    }

    fn read_one<'a>(&'a self, user: &'a str, namespace: &'a str, key: &'a str, view: View) -> Answer<'a, Option<Row>> {
        self.engine.read_one(user, namespace, key, view)
    }

    fn peek(&self, user: &str, namespace: &str, key: &str) -> Option<Option<Row>> {
        self.engine.peek(user, namespace, key)
    }

    fn scan<'a>(
        &'a self,
        user: &'a str,
        namespace: &'a str,
        range: Range<'a>,
        view: View,
        page: PageSize,
    ) -> Answer<'a, Page<Row>> {
        if page.rows <= SHORT_ROWS && page.bytes <= SHORT_BYTES {
            return self.engine.scan(user, namespace, range, view, page);
        }
        let (user, namespace, range) = (user.to_owned(), namespace.to_owned(), OwnRange::of(range));
        let counts_for = if page.bytes <= BOUNDED_BYTES { 1 } else { UNBOUNDED };
        self.read_away(counts_for, move |engine| block_on(engine.scan(&user, &namespace, range.range(), view, page)))
    }

    fn count<'a>(&'a self, user: &'a str, namespace: &'a str, prefix: &'a str) -> Answer<'a, u64> {
        let (user, namespace, prefix) = (user.to_owned(), namespace.to_owned(), prefix.to_owned());
        self.read_away(1, move |engine| block_on(engine.count(&user, &namespace, &prefix)))
    }

    fn namespace_names<'a>(&'a self, user: &'a str, prefix: &'a str) -> Answer<'a, Vec<Box<str>>> {
        let (user, prefix) = (user.to_owned(), prefix.to_owned());
        self.read_away(1, move |engine| block_on(engine.namespace_names(&user, &prefix)))
    }

    fn namespaces<'a>(&'a self, user: &'a str, range: Range<'a>, page: PageSize) -> Answer<'a, Page<NamespaceStats>> {
        let (user, range) = (user.to_owned(), OwnRange::of(range));
        self.read_away(1, move |engine| block_on(engine.namespaces(&user, range.range(), page)))
    }

    fn write(&self, batch: Batch) -> Answer<'_, Vec<Outcome>> {
        match Handle::try_current() {
            Ok(runtime) => self.writes.write(&runtime, batch),
            Err(_) => self.engine.write(batch),
        }
    }

    fn clear<'a>(
        &'a self,
        user: &'a str,
        agent: Option<&'a str>,
        namespace: &'a str,
        request: Option<&'a RequestId>,
    ) -> Answer<'a, u64> {
        let (user, agent, namespace) = (user.to_owned(), agent.map(ToOwned::to_owned), namespace.to_owned());
        let request = request.cloned();
        self.away(move |engine| block_on(engine.clear(&user, agent.as_deref(), &namespace, request.as_ref())))
    }

    fn record_access(&self, accesses: Vec<Access>) -> Answer<'_, ()> {
        self.away(move |engine| block_on(engine.record_access(accesses)))
    }

    fn changes<'a>(&'a self, user: &'a str, since: Version, limit: usize) -> Answer<'a, Changes> {
        if limit <= SHORT_ROWS {
            return self.engine.changes(user, since, limit);
        }
        let user = user.to_owned();
        self.read_away(1, move |engine| block_on(engine.changes(&user, since, limit)))
    }

    fn wait_for_change<'a>(&'a self, user: &'a str, since: Version, until: Timestamp) -> Answer<'a, Version> {
        self.engine.wait_for_change(user, since, until)
    }

    fn users<'a>(&'a self, range: Range<'a>, page: PageSize) -> Answer<'a, Page<Box<str>>> {
        let range = OwnRange::of(range);
        self.read_away(1, move |engine| block_on(engine.users(range.range(), page)))
    }

    fn import(&self, import: Import) -> Answer<'_, ()> {
        self.away(move |engine| block_on(engine.import(import)))
    }

    /// Asked for by no route: whoever does, waits.
    fn write_file<'a>(&'a self, file: &'a Path, report: &'a mut (dyn FnMut(u64, u64) + Send)) -> Answer<'a, bool> {
        self.engine.write_file(file, report)
    }

    fn check(&self) -> Answer<'_, Vec<Problem>> {
        self.read_away(UNBOUNDED, |engine| block_on(engine.check()))
    }

    fn mend<'a>(&'a self, problems: &'a [Problem]) -> Answer<'a, ()> {
        let problems = problems.to_vec();
        self.away(move |engine| block_on(engine.mend(&problems)))
    }

    fn maintain(&self) -> Answer<'_, bool> {
        self.away(|engine| block_on(engine.maintain()))
    }

    fn suspend(&self) -> Box<dyn Suspended + '_> {
        self.engine.suspend()
    }

    fn close(&self) -> Answer<'_, ()> {
        self.away(|engine| block_on(engine.close()))
    }
}
