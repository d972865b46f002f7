//! The store that a case examines, with verbs that block and insist on success.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use super::harness::{Harness, Place};
use crate::blocking::block_on;
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::data_store::{DataStore, Identity, SetOptions};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::json::Json;
use crate::limits::Limits;
use crate::model::{
    Address, Change, ChangeKind, Changes, Expiry, Mutation, NamespaceStats, Outcome, PageSize, Precondition, Range,
    Record, Version, Write,
};
use crate::quota::Quota;
use crate::request::RequestId;
use crate::store::{Options, Store};

pub(super) const SECOND: Duration = Duration::from_secs(1);
/// The smallest step of time.
pub(super) const TICK: Duration = Duration::from_micros(1);

pub(super) const USER: &str = "user";
pub(super) const AGENT: &str = "agent";
pub(super) const NAMESPACE: &str = "notes";

/// A store of the engine under test.
pub(super) struct Subject<'h> {
    // Closed before its place goes.
    store: Store,
    place: Arc<dyn Place>,
    clock: Arc<ManualClock>,
    harness: &'h dyn Harness,
}

impl<'h> Subject<'h> {
    /// An empty store under a clock of its own.
    pub(super) fn open(harness: &'h dyn Harness, adjust: fn(&mut Options)) -> Self {
        Self::open_under(Arc::default(), harness, adjust)
    }

    fn open_under(clock: Arc<ManualClock>, harness: &'h dyn Harness, adjust: fn(&mut Options)) -> Self {
        let mut options = options(&clock);
        adjust(&mut options);
        let place: Arc<dyn Place> = harness.prepare(options).expect("the harness prepares a place").into();
        let store = place.open().expect("the place opens its store");
        Self { store, place, clock, harness }
    }

    /// Another empty store of the same engine, under `clock`.
    pub(super) fn another(&self, clock: &Arc<ManualClock>) -> Self {
        Self::open_under(Arc::clone(clock), self.harness, |_| {})
    }

    /// The same store opened once more, as after a restart or in another process.
    pub(super) fn again(&self) -> Self {
        let store = self.place.open().expect("the place opens its store again");
        Self { store, place: Arc::clone(&self.place), clock: Arc::clone(&self.clock), harness: self.harness }
    }

    /// How many random histories are tried.
    pub(super) fn histories(&self) -> u64 {
        self.harness.histories()
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn engine(&self) -> &dyn Engine {
        &**self.store.engine()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.place.advance_to(self.now());
    }

    /// The usual agent's view of the usual namespace.
    pub(super) fn notes(&self) -> Handle {
        Handle::new(&self.store, USER, Some(AGENT), NAMESPACE)
    }

    /// Writes the reads gathered so far.
    pub(super) fn flush(&self) {
        block_on(self.store.flush()).expect("flush");
    }

    /// Does all the housekeeping that there is to do.
    pub(super) fn maintain(&self) {
        maintain(|| self.maintain_a_step());
    }

    /// Does one step of it; whether more is left to do.
    pub(super) fn maintain_a_step(&self) -> bool {
        self.place.maintain(&self.store).expect("maintain")
    }

    pub(super) fn close(&self) {
        block_on(self.store.close()).expect("close");
    }

    pub(super) fn changes_after(&self, user: &str, since: Version, limit: usize) -> Changes {
        block_on(self.engine().changes(user, since, limit)).expect("changes")
    }

    /// The whole change feed of the usual user.
    pub(super) fn feed(&self) -> Vec<Change> {
        self.changes_after(USER, 0, usize::MAX).changes
    }

    pub(super) fn clock(&self) -> &Arc<ManualClock> {
        &self.clock
    }
}

/// What every store of the suite is opened with.
pub(super) fn options(clock: &Arc<ManualClock>) -> Options {
    Options { clock: Arc::clone(clock) as Arc<dyn Clock>, housekeeping: false, ..Options::default() }
}

/// Takes one step after the other while there is more to do.
pub(super) fn maintain(step: impl Fn() -> bool) {
    const MOST_STEPS: usize = 10_000;
    let finished = (0..MOST_STEPS).any(|_| !step());
    assert!(finished, "housekeeping does not end");
}

/// A [`DataStore`] whose verbs block, take and give JSON as plain text, and panic where they fail. The ones that begin
/// with `try_` return the error instead.
#[derive(Clone)]
pub(super) struct Handle {
    store: Store,
    data_store: DataStore,
}

impl Handle {
    pub(super) fn new(store: &Store, user: &str, agent: Option<&str>, namespace: &str) -> Self {
        let identity = Identity::new(user, agent).expect("identity");
        let data_store = store.data_store(identity, namespace).expect("namespace");
        Self { store: store.clone(), data_store }
    }

    fn with(&self, user: &str, agent: Option<&str>, namespace: &str) -> Self {
        Self::new(&self.store, user, agent, namespace)
    }

    pub(super) fn of_user(&self, user: &str) -> Self {
        self.with(user, self.data_store.identity().agent(), self.namespace())
    }

    pub(super) fn as_agent(&self, agent: &str) -> Self {
        self.with(self.user(), Some(agent), self.namespace())
    }

    /// Without an agent: what it does leaves no trace of access.
    pub(super) fn as_administrator(&self) -> Self {
        self.with(self.user(), None, self.namespace())
    }

    pub(super) fn in_namespace(&self, namespace: &str) -> Self {
        self.with(self.user(), self.data_store.identity().agent(), namespace)
    }

    /// Whose writes keep within a quota.
    pub(super) fn within(&self, quota: Quota) -> Self {
        Self { store: self.store.clone(), data_store: self.data_store.clone().with_quota(quota) }
    }

    /// Whose one write is the request `id`.
    pub(super) fn requesting(&self, id: &str) -> Self {
        let id = RequestId::new(id).expect("request id");
        Self { store: self.store.clone(), data_store: self.data_store.clone().with_request(id) }
    }

    pub(super) fn user(&self) -> &str {
        self.data_store.identity().user()
    }

    pub(super) fn namespace(&self) -> &str {
        self.data_store.namespace()
    }

    /// The handle's own verbs, for errors and futures.
    pub(super) fn verbs(&self) -> &DataStore {
        &self.data_store
    }

    pub(super) fn get(&self, key: &str) -> Option<String> {
        block_on(self.data_store.get(key)).expect("get").map(|value| value.to_string())
    }

    pub(super) fn get_many(&self, keys: &[&str]) -> Vec<(String, String)> {
        texts(block_on(self.data_store.get_many(keys)).expect("get_many"))
    }

    pub(super) fn get_all(&self) -> Vec<(String, String)> {
        texts(block_on(self.data_store.get_all()).expect("get_all"))
    }

    /// Everything, in the pieces in which it was handed over; `each` is told how many there were before.
    pub(super) fn pieces(&self, size: PageSize, mut each: impl FnMut(usize) + Send) -> Vec<Vec<(String, String)>> {
        let mut pieces = Vec::new();
        let mut take = |piece| {
            each(pieces.len());
            pieces.push(texts(piece));
        };
        block_on(self.data_store.get_all_in_pieces(size, &mut take)).expect("get_all");
        pieces
    }

    /// One page, and whether there is more.
    pub(super) fn page(&self, range: Range<'_>, size: PageSize) -> (Vec<(String, String)>, bool) {
        let page = block_on(self.data_store.page(range, size)).expect("page");
        (texts(page.rows), page.more)
    }

    pub(super) fn find(&self, key: &str) -> Option<Record> {
        block_on(self.data_store.get_record(key)).expect("get_record")
    }

    /// The record, which must be there.
    pub(super) fn record(&self, key: &str) -> Record {
        self.find(key).unwrap_or_else(|| panic!("no record under {key:?}"))
    }

    /// The record as an administrator sees it: looking leaves no trace.
    pub(super) fn inspect(&self, key: &str) -> Record {
        self.as_administrator().record(key)
    }

    pub(super) fn records(&self) -> Vec<Record> {
        block_on(self.data_store.records(Range::default(), PageSize::ALL)).expect("records").rows
    }

    pub(super) fn keys(&self, prefix: &str) -> Vec<String> {
        strings(block_on(self.data_store.list_keys(prefix)).expect("list_keys"))
    }

    pub(super) fn count(&self, prefix: &str) -> u64 {
        block_on(self.data_store.count(prefix)).expect("count")
    }

    pub(super) fn list_namespaces(&self, prefix: &str) -> Vec<String> {
        strings(block_on(self.data_store.list_namespaces(prefix)).expect("list_namespaces"))
    }

    pub(super) fn namespaces(&self) -> Vec<NamespaceStats> {
        block_on(self.data_store.namespaces()).expect("namespaces")
    }

    /// The statistics of this namespace, if it holds a live record.
    pub(super) fn stats(&self) -> Option<NamespaceStats> {
        self.namespaces().into_iter().find(|stats| *stats.namespace == *self.namespace())
    }

    /// All namespaces of the user with all records, as an administrator sees them.
    pub(super) fn everything(&self) -> Vec<(NamespaceStats, Vec<Record>)> {
        let administrator = self.as_administrator();
        let with_records = |stats: NamespaceStats| {
            let records = administrator.in_namespace(&stats.namespace).records();
            (stats, records)
        };
        self.namespaces().into_iter().map(with_records).collect()
    }

    pub(super) fn set(&self, key: &str, value: &str) -> Version {
        self.try_set(key, value, SetOptions::default()).expect("set")
    }

    pub(super) fn set_for(&self, ttl: Duration, key: &str, value: &str) -> Version {
        self.try_set(key, value, SetOptions { ttl: Some(ttl), ..SetOptions::default() }).expect("set")
    }

    pub(super) fn set_with(&self, metadata: &str, key: &str, value: &str) -> Version {
        self.try_set(key, value, SetOptions { metadata: Some(json(metadata)), ..SetOptions::default() }).expect("set")
    }

    pub(super) fn try_set(&self, key: &str, value: &str, options: SetOptions) -> Result<Version> {
        block_on(self.data_store.set(key, json(value), options))
    }

    pub(super) fn set_if(&self, version: Version, key: &str, value: &str) -> Result<Version> {
        self.try_set(key, value, SetOptions { if_version: Some(version), ..SetOptions::default() })
    }

    pub(super) fn set_many(&self, items: &[(&str, &str)]) -> u64 {
        let items = items.iter().map(|(key, value)| (*key, json(value))).collect();
        block_on(self.data_store.set_many(items, None, None)).expect("set_many")
    }

    pub(super) fn delete(&self, key: &str) -> bool {
        block_on(self.data_store.delete(key)).expect("delete")
    }

    pub(super) fn delete_many(&self, keys: &[&str]) -> u64 {
        block_on(self.data_store.delete_many(keys)).expect("delete_many")
    }

    pub(super) fn clear(&self) -> u64 {
        block_on(self.data_store.clear()).expect("clear")
    }

    /// Applies one mutation here.
    pub(super) fn apply(&self, key: &str, mutation: Mutation) -> Outcome {
        self.try_apply(key, mutation).expect("write")
    }

    pub(super) fn try_apply(&self, key: &str, mutation: Mutation) -> Result<Outcome> {
        Ok(self.try_write(vec![self.write_to(key, mutation)])?.remove(0))
    }

    /// A write to a key of this namespace, for a batch.
    pub(super) fn write_to(&self, key: &str, mutation: Mutation) -> Write {
        Write {
            address: self.address(key),
            precondition: Precondition::None,
            mutation,
            metadata: None,
            expiry: Expiry::Default,
        }
    }

    pub(super) fn address(&self, key: &str) -> Address {
        Address { namespace: self.namespace().into(), key: key.into() }
    }

    pub(super) fn write(&self, writes: Vec<Write>) -> Vec<Outcome> {
        self.try_write(writes).expect("write")
    }

    pub(super) fn try_write(&self, writes: Vec<Write>) -> Result<Vec<Outcome>> {
        let count = writes.len();
        let outcomes = block_on(self.data_store.write(writes))?;
        assert_eq!(outcomes.len(), count, "one outcome for each write");
        Ok(outcomes)
    }
}

/// What a write may say beyond its mutation.
pub(super) trait WriteExt {
    fn if_version(self, version: Version) -> Self;
    fn with_metadata(self, metadata: &str) -> Self;
    fn expiring(self, expiry: Expiry) -> Self;
}

impl WriteExt for Write {
    fn if_version(self, version: Version) -> Self {
        Self { precondition: Precondition::Version(version), ..self }
    }

    fn with_metadata(self, metadata: &str) -> Self {
        Self { metadata: Some(json(metadata)), ..self }
    }

    fn expiring(self, expiry: Expiry) -> Self {
        Self { expiry, ..self }
    }
}

/// What a write returned, as text.
pub(super) trait OutcomeExt {
    fn text(&self) -> Option<&str>;
}

impl OutcomeExt for Outcome {
    fn text(&self) -> Option<&str> {
        self.result.as_ref().map(Json::as_str)
    }
}

pub(super) fn put(value: &str) -> Mutation {
    Mutation::Set(json(value))
}

pub(super) fn increment(by: &str) -> Mutation {
    Mutation::Increment(json(by))
}

pub(super) fn append(items: &str) -> Mutation {
    Mutation::Append { items: json(items), unique: false, max_length: None }
}

pub(super) fn merge(patch: &str) -> Mutation {
    Mutation::Merge(json(patch))
}

pub(super) fn json(text: &str) -> Json {
    Json::parse(text, &Limits::default()).expect("JSON")
}

/// The error of a call that must fail, of this kind.
#[track_caller]
pub(super) fn refused<T: Debug>(result: Result<T>, kind: ErrorKind) -> Error {
    let error = result.expect_err("must be refused");
    assert_eq!(error.kind(), kind, "{error}");
    error
}

/// What a function fails with that a verb is given.
#[derive(Debug)]
pub(super) enum Failure {
    Own,
    Store(Error),
}

impl Failure {
    /// The store's error, which this must be.
    pub(super) fn of_store(self) -> Error {
        match self {
            Self::Store(error) => error,
            Self::Own => panic!("the function's own error"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// What happened, to which key: the part of a change that most cases look at.
pub(super) fn events(changes: &[Change]) -> Vec<(ChangeKind, &str)> {
    changes.iter().map(|change| (change.kind, change.key.as_deref().unwrap_or_default())).collect()
}

#[track_caller]
pub(super) fn assert_rising(versions: &[Version]) {
    assert!(versions.is_sorted_by(|left, right| left < right), "versions do not rise: {versions:?}");
}

fn texts(rows: Vec<(Box<str>, Json)>) -> Vec<(String, String)> {
    rows.into_iter().map(|(key, value)| (key.into(), value.to_string())).collect()
}

fn strings(names: Vec<Box<str>>) -> Vec<String> {
    names.into_iter().map(Into::into).collect()
}

/// Owned pairs, to compare with.
pub(super) fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}
