//! The narrow waist: what an engine must do, and nothing that a store can do above it.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::clock::{Clock, Timestamp};
use crate::data_store::Identity;
use crate::error::Result;
use crate::import::Import;
use crate::model::{
    Access, Address, Batch, Changes, NamespaceStats, Outcome, Page, PageSize, Range, Row, Version, View,
};
use crate::request::RequestId;
use crate::verify::Problem;

/// An engine's answer. An embedded engine has it at once and hands it over without an allocation; one that waits for a
/// network hands over a future. Work may start in the call itself, before the first poll.
#[must_use = "an engine's answer is a future: await it"]
pub enum Answer<'a, T> {
    /// The result is here.
    Ready(Option<Result<T>>),
    /// The result will come.
    Pending(Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>),
}

impl<T> Answer<'_, T> {
    /// An answer that is here already.
    pub fn ready(result: Result<T>) -> Self {
        Answer::Ready(Some(result))
    }
}

impl<'a, T> Answer<'a, T> {
    /// An answer that a future will give.
    pub fn pending(future: impl Future<Output = Result<T>> + Send + 'a) -> Self {
        Answer::Pending(Box::pin(future))
    }
}

// The result is never pinned in place, only handed over.
impl<T> Unpin for Answer<'_, T> {}

impl<T> Future for Answer<'_, T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Answer::Ready(result) => match result.take() {
                Some(result) => Poll::Ready(result),
                None => Poll::Pending,
            },
            Answer::Pending(future) => future.as_mut().poll(context),
        }
    }
}

/// Holds an engine still; dropping it lets the engine go on. See [`Engine::suspend`].
pub trait Suspended {}

/// Keeps records. Object-safe; shared between threads.
///
/// # Contract
/// Names, values, metadata and batch sizes arrive checked: an engine does not look at them again.
///
/// - **Users**: nothing crosses from one user to another. No two (user, namespace, key) ever meet, whatever characters
///   they hold.
/// - **Atomicity**: a batch is applied whole or not at all, and other readers see it whole or not at all. A later write
///   of a batch sees the earlier ones.
/// - **Durability**: when `write` or `clear` returns `Ok`, the effect survives what the engine promises to survive. An
///   error means that nothing was stored, except `Unavailable`, after which the caller cannot know.
/// - **Versions**: every write that changes a record gives it a version greater than every version that its key ever
///   had, also across delete, expiry, clear and re-creation.
/// - **Order**: names come in code point order, which is the order of their UTF-8 bytes.
/// - **Expiry**: at the instant `expires_at` a record is gone for every verb, as if it had been deleted. Sweeping it away
///   is housekeeping that nobody can observe but in the change feed. A write to an expired record creates a new one.
/// - **Snapshots**: one call of `read`, `scan`, `count` or `namespaces` sees one committed state.
/// - **Reading never writes** and never waits for a writer.
/// - **Bookkeeping**: a write keeps `created_*` and the access count of a live record, sets `updated_*`, and with an
///   agent sets `last_accessed_*`. Metadata is merged key by key.
/// - **Change feed**: every committed write that changed a record, every deletion, expiry and clear of a namespace that
///   held records appears once, in an order that agrees with the versions.
/// - **Requests**: a batch or clear whose request id the same user has had applied within the last 24 hours
///   ([`crate::request::KEPT_FOR`], by the engine's clock) is not applied again: it returns what it returned the first
///   time, whatever has happened since. For this, id and outcome are kept in the transaction of the writes. What fails
///   keeps nothing, so a repeat tries again. Ids whose time is over are swept. A result that is longer than
///   [`crate::request::RESULT_BYTES`] is not kept: its place is taken by the record's value at the time of the repeat, or
///   `null` where the record is gone, while the version remains that of the first time.
/// - **Quotas**: a batch with a quota does not make grow, over all namespaces of its user, the live records or bytes (see
///   [`NamespaceStats`]) of which there are then more than the quota allows. Only the end of a batch counts; one that does
///   not make them grow is applied also where there are too many.
/// - **Copies**: what [`Engine::users`], [`Engine::namespaces`] and [`Engine::scan`] show, given to [`Engine::import`] of
///   another store, is there what it was here. No other engine, request or quota is asked.
pub trait Engine: Send + Sync + fmt::Debug {
    /// The engine's name as conformance and errors show it, for instance `sqlite`.
    fn name(&self) -> &'static str;

    /// Where the records are kept, in the form of a URL without parameters or secrets that have no part in that. Who opens
    /// the same store in the same words sees the same place.
    fn place(&self) -> String;

    /// Whether reads and writes are always [`Answer::Ready`], so that a short one needs no other thread.
    fn is_inline(&self) -> bool;

    /// Whom the engine itself takes its caller for, where it has a way to know: a server tells by the token. Who names no
    /// user then means this one. `None`: nobody in particular.
    fn caller(&self) -> Option<&Identity> {
        None
    }

    /// The clock by which the engine's records expire, where that is not the one which it was opened with: all who share a
    /// database have the database's. The store takes its own times from it.
    fn clock(&self) -> Option<Arc<dyn Clock>> {
        None
    }

    /// Reads some records of `user`: one entry for each address, in that order, `None` where there is no live record.
    fn read<'a>(&'a self, user: &'a str, addresses: &'a [Address], view: View) -> Answer<'a, Vec<Option<Row>>>;

    /// Reads one record; the row's key is left empty, the caller has it. Engines may do this with less ceremony than
    /// [`Engine::read`].
    fn read_one<'a>(&'a self, user: &'a str, namespace: &'a str, key: &'a str, view: View) -> Answer<'a, Option<Row>>;

    /// What [`Engine::read_one`] would answer for [`View::Value`], if that is at hand without waiting and without a system
    /// call; `None` where it has to be read.
    fn peek(&self, user: &str, namespace: &str, key: &str) -> Option<Option<Row>> {
        let _ = (user, namespace, key);
        None
    }

    /// Reads a page of the live records of a namespace, in order of their keys.
    fn scan<'a>(
        &'a self,
        user: &'a str,
        namespace: &'a str,
        range: Range<'a>,
        view: View,
        page: PageSize,
    ) -> Answer<'a, Page<Row>>;

    /// Reads all live records of a namespace, in order of their keys and as of one committed state. `each` gets them piece
    /// by piece while the rest is being read, so that somebody else can work on one meanwhile; where this fails, some of
    /// them. No piece is empty; an engine that has everything at once may hand it over in one. `each` must not wait for the
    /// engine.
    fn scan_all<'a>(
        &'a self,
        user: &'a str,
        namespace: &'a str,
        view: View,
        piece: PageSize,
        each: &'a mut (dyn FnMut(Vec<Row>) + Send),
    ) -> Answer<'a, ()> {
        let _ = piece;
        let mut hand_over = move |page: Page<Row>| {
            if !page.rows.is_empty() {
                each(page.rows);
            }
        };
        match self.scan(user, namespace, Range::default(), view, PageSize::ALL) {
            Answer::Ready(Some(page)) => Answer::ready(page.map(hand_over)),
            page => Answer::pending(async move { page.await.map(&mut hand_over) }),
        }
    }

    /// Counts the live records of a namespace whose key starts with `prefix`.
    fn count<'a>(&'a self, user: &'a str, namespace: &'a str, prefix: &'a str) -> Answer<'a, u64>;

    /// Reads the names of the namespaces that hold a live record.
    fn namespace_names<'a>(&'a self, user: &'a str, prefix: &'a str) -> Answer<'a, Vec<Box<str>>>;

    /// Reads a page of the namespaces that hold a live record, without reading records.
    fn namespaces<'a>(&'a self, user: &'a str, range: Range<'a>, page: PageSize) -> Answer<'a, Page<NamespaceStats>>;

    /// Applies a batch; one outcome for each write, in order.
    ///
    /// # Errors
    /// `Conflict` names the first record whose precondition failed; `InvalidArgument` and `TooLarge` come from
    /// [`crate::mutation::apply`], `QuotaExceeded` from [`crate::quota::Quota::check`]; `InvalidArgument` also for a request
    /// id under which something else was applied. In all of these nothing was stored.
    fn write(&self, batch: Batch) -> Answer<'_, Vec<Outcome>>;

    /// Applies batches that have nothing to do with each other, as [`Engine::write`] does each, in this order; one result
    /// for each. An engine may have them share what a commit costs.
    ///
    /// # Errors
    /// Those of all batches alike; that of a single one is its result.
    fn write_each(&self, batches: Vec<Batch>) -> Answer<'_, Vec<Result<Vec<Outcome>>>> {
        Answer::pending(async move {
            let mut results = Vec::with_capacity(batches.len());
            for batch in batches {
                results.push(self.write(batch).await);
            }
            Ok(results)
        })
    }

    /// Removes every record of a namespace in time independent of their number; returns how many live ones there were.
    ///
    /// # Errors
    /// `InvalidArgument` for a request id under which something else was applied; nothing is removed then.
    fn clear<'a>(
        &'a self,
        user: &'a str,
        agent: Option<&'a str>,
        namespace: &'a str,
        request: Option<&'a RequestId>,
    ) -> Answer<'a, u64>;

    /// Adds gathered reads to the records' bookkeeping; those of records that are gone are dropped.
    fn record_access(&self, accesses: Vec<Access>) -> Answer<'_, ()>;

    /// Reads the change feed of `user` after the position `since` (0: from the beginning), at most `limit` changes.
    fn changes<'a>(&'a self, user: &'a str, since: Version, limit: usize) -> Answer<'a, Changes>;

    /// Waits until the change feed of `user` goes beyond `since`, at the latest until the engine's clock shows `until`.
    /// Changes of this process are seen at once, those of others within 50 ms. Returns the newest position.
    fn wait_for_change<'a>(&'a self, user: &'a str, since: Version, until: Timestamp) -> Answer<'a, Version>;

    /// Reads a page of the names of the users for whom anything was ever written, those of the store itself included.
    ///
    /// # Errors
    /// `InvalidArgument` where the engine cannot tell.
    fn users<'a>(&'a self, range: Range<'a>, page: PageSize) -> Answer<'a, Page<Box<str>>>;

    /// Takes over whole records from another store, as they were there: version, times, agents, metadata, expiry and the
    /// count of reads are those that are given. A record replaces what is there under its key, unless that has a greater
    /// version. The same import may be repeated.
    ///
    /// Versions that are given later are greater than those of all records and of the newest change. The change feed does
    /// not show what is taken over: where it has to be moved on, the newest change alone is left of it, and readers that
    /// stood further back are told that they have missed changes.
    ///
    /// # Errors
    /// `Conflict` where the guard does not hold, `InvalidArgument` where the engine cannot do this; nothing was stored then.
    fn import(&self, import: Import) -> Answer<'_, ()>;

    /// Writes everything, as of one committed state, into the empty file at `file`, which is then a store file of its own.
    /// Keeps no writer waiting. `report` is told how much is done, and of how much. `false` where the engine keeps no file:
    /// records have to be copied one by one then.
    fn write_file<'a>(&'a self, file: &'a Path, report: &'a mut (dyn FnMut(u64, u64) + Send)) -> Answer<'a, bool> {
        let _ = (file, report);
        Answer::ready(Ok(false))
    }

    /// Looks for what does not agree with itself, as of one committed state, and changes nothing. Values and names are looked
    /// at by [`crate::verify`].
    ///
    /// # Errors
    /// `InvalidArgument` where the engine cannot tell.
    fn check(&self) -> Answer<'_, Vec<Problem>>;

    /// Puts right what [`Engine::check`] has found, as far as it can be derived: see
    /// [`crate::verify::ProblemKind::is_mendable`]. The records that can be reached, and what is kept of them, stay as they
    /// are.
    ///
    /// # Errors
    /// `InvalidArgument` where the engine cannot do this; nothing was changed then.
    fn mend<'a>(&'a self, problems: &'a [Problem]) -> Answer<'a, ()>;

    /// Takes one small step of housekeeping (expired and cleared records, requests whose time is over); `true` where more is left to do.
    fn maintain(&self) -> Answer<'_, bool>;

    /// Stops everything and lets go of every resource that must not cross a `fork`, until the result is dropped.
    /// Calls made meanwhile wait. May block.
    fn suspend(&self) -> Box<dyn Suspended + '_>;

    /// Lets go of everything. Calls made afterwards fail.
    fn close(&self) -> Answer<'_, ()>;
}
