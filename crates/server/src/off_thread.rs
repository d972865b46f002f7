//! Where the engine's work is done. An embedded engine works on the thread that calls it: for a short read that is the
//! fastest, but a write waits for the disk, and a long scan would keep the thread from everybody else's requests. Those go
//! to threads that may wait, where writes that arrive together share one commit.

use std::sync::Arc;

use agent_data_store::engine::{Answer, Engine, Suspended};
use agent_data_store::model::{
    Access, Address, Batch, Changes, NamespaceStats, Outcome, Page, PageSize, Range, Row, Version, View,
};
use agent_data_store::{Error, ErrorKind, RequestId, Result, Timestamp, block_on};
use tokio::runtime::Handle;

/// More rows than this are a long read.
const SHORT_ROWS: usize = 64;
/// A page that may hold more than this is a long read.
const SHORT_BYTES: usize = 256 << 10;

/// The engine with its long work taken off the calling thread. One that waits for a network needs no help.
pub(crate) fn off_thread(engine: Arc<dyn Engine>) -> Arc<dyn Engine> {
    match engine.is_inline() {
        true => Arc::new(OffThread(engine)),
        false => engine,
    }
}

/// An embedded engine whose long work is done on threads that may wait.
#[derive(Debug)]
struct OffThread(Arc<dyn Engine>);

impl OffThread {
    fn away<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Engine) -> Result<T> + Send + 'static,
    ) -> Answer<'static, T> {
        // A thread outside of the runtime, such as that of housekeeping, may wait itself.
        let Ok(runtime) = Handle::try_current() else { return Answer::ready(work(&*self.0)) };
        let engine = Arc::clone(&self.0);
        let work = runtime.spawn_blocking(move || work(&*engine));
        Answer::pending(async move { work.await.unwrap_or_else(|_| Err(interrupted())) })
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
        self.0.name()
    }

    fn is_inline(&self) -> bool {
        false
    }

    fn read<'a>(&'a self, user: &'a str, addresses: &'a [Address], view: View) -> Answer<'a, Vec<Option<Row>>> {
        if addresses.len() <= SHORT_ROWS {
            return self.0.read(user, addresses, view);
        }
        let (user, addresses) = (user.to_owned(), addresses.to_owned());
        self.away(move |engine| block_on(engine.read(&user, &addresses, view)))
    }

    fn read_one<'a>(&'a self, user: &'a str, namespace: &'a str, key: &'a str, view: View) -> Answer<'a, Option<Row>> {
        self.0.read_one(user, namespace, key, view)
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
        if page.rows <= SHORT_ROWS && page.bytes <= SHORT_BYTES {
            return self.0.scan(user, namespace, range, view, page);
        }
        let (user, namespace, range) = (user.to_owned(), namespace.to_owned(), OwnRange::of(range));
        self.away(move |engine| block_on(engine.scan(&user, &namespace, range.range(), view, page)))
    }

    fn count<'a>(&'a self, user: &'a str, namespace: &'a str, prefix: &'a str) -> Answer<'a, u64> {
        let (user, namespace, prefix) = (user.to_owned(), namespace.to_owned(), prefix.to_owned());
        self.away(move |engine| block_on(engine.count(&user, &namespace, &prefix)))
    }

    fn namespace_names<'a>(&'a self, user: &'a str, prefix: &'a str) -> Answer<'a, Vec<Box<str>>> {
        let (user, prefix) = (user.to_owned(), prefix.to_owned());
        self.away(move |engine| block_on(engine.namespace_names(&user, &prefix)))
    }

    fn namespaces<'a>(&'a self, user: &'a str, range: Range<'a>, page: PageSize) -> Answer<'a, Page<NamespaceStats>> {
        let (user, range) = (user.to_owned(), OwnRange::of(range));
        self.away(move |engine| block_on(engine.namespaces(&user, range.range(), page)))
    }

    fn write(&self, batch: Batch) -> Answer<'_, Vec<Outcome>> {
        self.away(move |engine| block_on(engine.write(batch)))
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
            return self.0.changes(user, since, limit);
        }
        let user = user.to_owned();
        self.away(move |engine| block_on(engine.changes(&user, since, limit)))
    }

    fn wait_for_change<'a>(&'a self, user: &'a str, since: Version, until: Timestamp) -> Answer<'a, Version> {
        self.0.wait_for_change(user, since, until)
    }

    fn maintain(&self) -> Answer<'_, bool> {
        self.away(|engine| block_on(engine.maintain()))
    }

    fn suspend(&self) -> Box<dyn Suspended + '_> {
        self.0.suspend()
    }

    fn close(&self) -> Answer<'_, ()> {
        self.away(|engine| block_on(engine.close()))
    }
}
