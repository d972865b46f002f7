//! What a store keeps and reports: records, writes, changes, statistics.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::json::Json;
use crate::quota::Quota;
use crate::request::RequestId;

/// A record's version: strictly increasing per key, also across delete and re-create. Every write gives a new one.
/// 0 stands for "no live record".
pub type Version = u64;

/// A whole record, under (user, namespace, key). Times are UTC in microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The owner.
    pub user_id: Arc<str>,
    /// The namespace.
    pub namespace: Arc<str>,
    /// The key.
    pub key: Box<str>,
    /// The value.
    pub value: Json,
    /// A JSON object, `{}` where none was given.
    pub metadata: Json,
    /// The version of the last write.
    pub version: Version,
    /// Who created the record; `None` for a write without an agent name.
    pub created_by_agent: Option<Box<str>>,
    /// Who wrote it last.
    pub updated_by_agent: Option<Box<str>>,
    /// Who read or wrote it last.
    pub last_accessed_by_agent: Option<Box<str>>,
    /// How often it was read. Reads are counted at most 10 seconds late.
    pub access_count: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was written last.
    pub updated_at: Timestamp,
    /// When it was read or written last by an agent; `None` where only administrators have.
    pub last_accessed_at: Option<Timestamp>,
    /// The instant from which it is gone; `None` for never.
    pub expires_at: Option<Timestamp>,
}

/// How much of a record a read needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The key alone.
    Key,
    /// Key, version and expiry.
    Version,
    /// Key, version, expiry and value.
    Value,
    /// All of it, the bookkeeping included.
    Record,
}

/// One live record as an engine returns it. What the [`View`] did not ask for is left at its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The key.
    pub key: Box<str>,
    /// The version, from [`View::Version`] on; else 0.
    pub version: Version,
    /// The expiry, from [`View::Version`] on.
    pub expires_at: Option<Timestamp>,
    /// The value, from [`View::Value`] on.
    pub value: Option<Json>,
    /// The bookkeeping, with [`View::Record`].
    pub details: Option<Box<Details>>,
}

/// The bookkeeping of a record; the fields are those of [`Record`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Details {
    pub metadata: Json,
    pub created_by_agent: Option<Box<str>>,
    pub updated_by_agent: Option<Box<str>>,
    pub last_accessed_by_agent: Option<Box<str>>,
    pub access_count: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub last_accessed_at: Option<Timestamp>,
}

/// The names of one record without its user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The key.
    pub key: Box<str>,
}

/// A stretch of keys or names in code point order: those that start with `prefix` and come after `after`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Range<'a> {
    /// Only what starts with this; empty for all.
    pub prefix: &'a str,
    /// Only what is greater than this: the last key of the page before.
    pub after: Option<&'a str>,
}

/// How much one page may hold. At least one row is always returned where there is one.
#[derive(Clone, Copy, Debug)]
pub struct PageSize {
    /// Most rows.
    pub rows: usize,
    /// Most bytes of keys and values, above which the page ends early.
    pub bytes: usize,
}

impl PageSize {
    /// Everything in one page: one consistent snapshot.
    pub const ALL: Self = Self { rows: usize::MAX, bytes: usize::MAX };
}

/// Rows in code point order of their names, and whether more follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Whether the range goes on after the last row.
    pub more: bool,
}

/// One namespace without its records. Read-only statistics, exact at the moment of reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceStats {
    /// The name.
    pub namespace: Box<str>,
    /// Live records.
    pub records: u64,
    /// Bytes of the live records' keys, values and metadata, as UTF-8 JSON text.
    pub bytes: u64,
    /// The agents that have written or read here since the namespace came to be, sorted.
    pub agents: Vec<Box<str>>,
    /// When a record here was last written or deleted.
    pub updated_at: Timestamp,
}

/// What must hold of a record for a batch to be applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    #[default]
    None,
    /// The live record has this version; 0: there is no live record.
    Version(Version),
}

/// What a write does to the value. Applied by one pure function, [`crate::mutation::apply`], in every local engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Replaces the value. Without an expiry in the write, an earlier one is removed.
    Set(Json),
    /// Removes the record.
    Delete,
    /// Adds a number; a missing record counts as 0. The result is the new number.
    Increment(Json),
    /// Appends items to an array; a missing record counts as `[]`. The result is the new length.
    Append {
        /// A JSON array of the items to add.
        items: Json,
        /// Leaves out items that the array already holds.
        unique: bool,
        /// Drops the oldest items above this length.
        max_length: Option<usize>,
    },
    /// JSON Merge Patch (RFC 7396); a missing record counts as absent. The result is the new value.
    Merge(Json),
    /// Leaves the value: for expiry and metadata of a live record. Does nothing where there is none.
    Touch,
    /// Changes nothing: for the precondition alone.
    Check,
}

/// What a write does to the expiry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// `Set` removes an earlier one, every other mutation keeps it.
    #[default]
    Default,
    /// Never expires.
    Never,
    /// Expires this long after the engine's present moment.
    After(Duration),
}

/// One write as data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The record.
    pub address: Address,
    /// What must hold of it.
    pub precondition: Precondition,
    /// What happens to the value.
    pub mutation: Mutation,
    /// A non-empty object that is merged into the metadata key by key; `None` leaves it.
    pub metadata: Option<Json>,
    /// What happens to the expiry.
    pub expiry: Expiry,
}

/// Writes that happen together or not at all, in order; later ones see earlier ones.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The owner of all records.
    pub user: Arc<str>,
    /// Who writes; `None` leaves `last_accessed_*` alone.
    pub agent: Option<Arc<str>>,
    /// The writes.
    pub writes: Vec<Write>,
    /// The request that this is, if it must not be applied twice.
    pub request: Option<RequestId>,
    /// What the user's records may take afterwards.
    pub quota: Option<Quota>,
}

/// What one write did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether a live record was there before.
    pub existed: bool,
    /// The version after the write; the one that was there if the write changed nothing, 0 where no record is left.
    pub version: Version,
    /// What the mutation returns (see [`Mutation`]).
    pub result: Option<Json>,
}

/// Reads of one record by one agent, gathered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The owner.
    pub user: Arc<str>,
    /// The record.
    pub address: Address,
    /// Who read last.
    pub agent: Arc<str>,
    /// How often it was read.
    pub count: u64,
    /// When it was read last.
    pub last_at: Timestamp,
}

/// What happened in a [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// A record was created or written.
    Set,
    /// A record was deleted.
    Delete,
    /// A record's time was up.
    Expire,
    /// Every record of the namespace went.
    Clear,
}

/// One committed write, in the order in which a reader may see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The position in the feed, and the version that the write gave.
    pub version: Version,
    /// What happened.
    pub kind: ChangeKind,
    /// Where.
    pub namespace: Box<str>,
    /// To which key; `None` for [`ChangeKind::Clear`].
    pub key: Option<Box<str>>,
    /// Who did it; `None` for administrators and expiry.
    pub agent: Option<Box<str>>,
    /// When it was committed.
    pub at: Timestamp,
}

/// A stretch of the change feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Changes after the position asked for, oldest first.
    pub changes: Vec<Change>,
    /// The oldest position from which nothing is missing: a reader that stands before it has missed changes.
    pub complete_from: Version,
    /// The newest position.
    pub last: Version,
    /// Whether `last` stands for everything that is committed. Not where a write that is under way holds back those that
    /// came after it: two positions that are equal then do not tell that nothing has happened in between.
    pub settled: bool,
}
