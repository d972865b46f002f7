//! What answers look like, for the description of the API alone: the texts themselves are written by
//! [`agent_data_store::wire`] and by the routes.

#![expect(dead_code, reason = "only described")]

use std::borrow::Cow;

use agent_data_store::limits::{IDENTITY_BYTES, KEY_BYTES, NAMESPACE_BYTES};
use serde_json::Value;
use utoipa::openapi::{Object, ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// A name of at most so many bytes.
pub(crate) fn name(longest: usize) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(format!("1 to {longest} bytes of UTF-8 without NUL")))
        .min_length(Some(1))
        .max_length(Some(longest))
        .pattern(Some("^[^\\u0000]*$"))
        .build()
}

macro_rules! names {
    ($($type:ident, $name:literal, $longest:expr;)*) => {$(
        pub(crate) struct $type;

        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                Schema::Object(name($longest)).into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }
        }
    )*};
}

names! {
    Key, "Key", KEY_BYTES;
    NamespaceName, "NamespaceName", NAMESPACE_BYTES;
    AgentName, "AgentName", IDENTITY_BYTES;
}

/// Why a request has no better answer.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Error {
    /// What is wrong and what helps, for people.
    detail: String,
    /// What is wrong, for programs, such as `not_found` or `conflict`.
    code: String,
    /// Whether the same request may succeed later.
    retryable: Option<bool>,
    /// During which operation.
    operation: Option<String>,
    /// The namespace of the record concerned.
    namespace: Option<String>,
    /// The key of the record concerned.
    key: Option<String>,
    /// The version that was asked for; 0 for none.
    expected_version: Option<u64>,
    /// The version that is there; 0 for none.
    actual_version: Option<u64>,
    /// The agent that holds the lock.
    holder: Option<String>,
    /// When its lease ends.
    #[schema(format = DateTime)]
    held_until: Option<String>,
}

/// A record with its bookkeeping.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Record {
    /// For show only: two records may share it.
    #[schema(rename = "_id")]
    id: String,
    user_id: String,
    namespace: String,
    key: String,
    /// Any JSON.
    value: Value,
    #[schema(value_type = Object)]
    metadata: Value,
    /// Greater after every write; also the entity tag.
    version: u64,
    #[schema(required)]
    created_by_agent: Option<String>,
    #[schema(required)]
    updated_by_agent: Option<String>,
    /// Who read or wrote it last.
    #[schema(required)]
    last_accessed_by_agent: Option<String>,
    /// How often it was read.
    access_count: u64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    #[schema(required, format = DateTime)]
    last_accessed_at: Option<String>,
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
}

/// A record as `view=version` or `view=value` shows it.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    key: String,
    version: u64,
    /// With `view=value`: any JSON.
    value: Option<Value>,
    /// Missing where it never expires.
    #[schema(nullable = false, format = DateTime)]
    expires_at: Option<String>,
}

/// A record as far as the view asks for it: whole, as `Row`, or its key alone.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum Shown {
    Record(Box<Record>),
    Row(Row),
    Key(String),
}

/// How much a namespace holds.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Namespace {
    namespace: String,
    record_count: u64,
    /// Bytes of keys, values and metadata.
    size_bytes: u64,
    /// Who has written or read here, sorted.
    agents: Vec<String>,
    /// When a record here was last written or deleted.
    #[schema(required, format = DateTime)]
    updated_at: Option<String>,
}

/// Namespaces in order of their names.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Namespaces {
    namespaces: Vec<Namespace>,
    /// Records of those listed.
    total_record_count: u64,
    /// Bytes of those listed.
    total_size_bytes: u64,
}

/// Namespaces, or with `namesOnly` their names.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum NamespacesOrNames {
    Namespaces(Namespaces),
    Names(Vec<String>),
}

/// What a clear has removed.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Cleared {
    namespace: String,
    deleted_count: u64,
}

/// How many there are.
#[derive(ToSchema)]
pub(crate) struct Count {
    count: u64,
}

/// What a write did.
#[derive(ToSchema)]
pub(crate) struct Outcome {
    /// Whether there was a record before.
    existed: bool,
    /// The version after the write; the one that was there if the write changed nothing, 0 where no record is left.
    version: u64,
    /// Of `increment` the new number, of `append` the new length, of `merge` the new value.
    result: Option<Value>,
}

/// What happened to a record, or to a namespace as a whole.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Change {
    /// The position in the feed, and the version that the write gave.
    version: u64,
    kind: ChangeKind,
    namespace: String,
    /// Null for a clear.
    #[schema(required)]
    key: Option<String>,
    #[schema(required)]
    agent: Option<String>,
    #[schema(format = DateTime)]
    at: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) enum ChangeKind {
    Set,
    Delete,
    Expire,
    Clear,
}

/// A stretch of the change feed, oldest first.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Changes {
    changes: Vec<Change>,
    /// The oldest position from which nothing is missing: whoever stands before it has missed changes.
    complete_from: u64,
    /// The newest position.
    last: u64,
    /// `false` where a write that is under way holds back changes which are committed already; left out otherwise.
    settled: Option<bool>,
}

/// A held lock.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Lock {
    resource: String,
    /// The fencing token: greater than that of every earlier holder, the same for as long as the lock is held.
    token: u64,
    #[schema(format = DateTime)]
    expires_at: String,
}

/// A claimed task.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Claim {
    key: String,
    /// Any JSON.
    value: Value,
    /// What tells this claim from others; the same however often it is renewed.
    token: u64,
    /// Which attempt this is, from 1.
    attempt: u64,
    /// When the task goes back to the others.
    #[schema(required, format = DateTime)]
    until: Option<String>,
    /// Why the attempt before this one failed.
    #[schema(required)]
    last_error: Option<String>,
}

/// Tasks in sum.
#[derive(ToSchema)]
pub(crate) struct Tasks {
    /// Those that can be claimed now or after a pause.
    waiting: u64,
    claimed: Vec<ClaimedTask>,
    /// Those that were completed.
    done: u64,
    failed: Vec<FailedTask>,
}

/// A task that somebody has claimed.
#[derive(ToSchema)]
pub(crate) struct ClaimedTask {
    key: String,
    #[schema(required)]
    agent: Option<String>,
    attempt: u64,
    #[schema(format = DateTime)]
    until: String,
}

/// A task that was set aside.
#[derive(ToSchema)]
pub(crate) struct FailedTask {
    key: String,
    attempts: u64,
    #[schema(required)]
    error: Option<String>,
}

/// Who is calling.
#[derive(ToSchema)]
pub(crate) struct Caller {
    user: String,
    #[schema(required)]
    agent: Option<String>,
    /// `read`, `write` or `admin`.
    access: String,
    /// Patterns of the namespaces that the token reaches, in which `*` stands for any characters; none for all.
    namespaces: Vec<String>,
    /// The id of the token, if one is needed.
    #[schema(required)]
    token: Option<String>,
}

/// How the server is.
#[derive(ToSchema)]
pub(crate) struct Health {
    /// `ok` or `ready`.
    status: String,
}
