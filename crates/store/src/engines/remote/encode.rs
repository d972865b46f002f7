//! What is sent: paths and JSON. Values go as the text that they are.

use percent_encoding::{NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

use crate::json::Json;
use crate::model::{Access, Address, Batch, Expiry, Mutation, PageSize, Precondition, Range, View, Write};
use crate::quota::Quota;
use crate::wire::{self, Object};

pub(super) const READ: &str = "/data-store/read";
pub(super) const BATCH: &str = "/data-store/batch";
pub(super) const ACCESS: &str = "/data-store/access";
pub(super) const WHOAMI: &str = "/data-store/whoami";

/// Bytes of a write's JSON beside names and values, about.
const WRITE_BYTES: usize = 96;

/// A name in a path or query. Everything else is encoded, so that no `.` or `/` in it means anything on the way.
fn encoded(name: &str) -> PercentEncode<'_> {
    utf8_percent_encode(name, NON_ALPHANUMERIC)
}

pub(super) fn view_name(view: View) -> &'static str {
    match view {
        View::Key => "key",
        View::Version => "version",
        View::Value => "value",
        View::Record => "record",
    }
}

pub(super) fn namespace_path(namespace: &str) -> String {
    format!("/data-store/namespaces/{}", encoded(namespace))
}

/// One record, without counting this as a read: the store counts its own.
pub(super) fn record_path(namespace: &str, key: &str, view: View) -> String {
    format!(
        "/data-store/namespaces/{}/records/{}?view={}&count=false",
        encoded(namespace),
        encoded(key),
        view_name(view)
    )
}

pub(super) fn scan_path(namespace: &str, range: Range<'_>, view: View, page: PageSize) -> String {
    let mut path = format!("{}/records?view={}&count=false&snapshot=true", namespace_path(namespace), view_name(view));
    push_range(&mut path, range);
    push_rows(&mut path, page);
    if page.bytes < usize::MAX {
        path.push_str(&format!("&maxBytes={}", page.bytes));
    }
    path
}

pub(super) fn count_path(namespace: &str, prefix: &str) -> String {
    format!("{}/count?prefix={}", namespace_path(namespace), encoded(prefix))
}

pub(super) fn namespace_names_path(prefix: &str) -> String {
    format!("/data-store/namespaces?namesOnly=true&prefix={}", encoded(prefix))
}

pub(super) fn namespaces_path(range: Range<'_>, page: PageSize) -> String {
    let mut path = "/data-store/namespaces?".to_owned();
    push_range(&mut path, range);
    push_rows(&mut path, page);
    path
}

fn push_range(path: &mut String, range: Range<'_>) {
    path.push_str(&format!("&prefix={}", encoded(range.prefix)));
    if let Some(after) = range.after {
        path.push_str(&format!("&after={}", encoded(after)));
    }
}

/// A page of no rows holds one.
fn push_rows(path: &mut String, page: PageSize) {
    if page.rows < usize::MAX {
        path.push_str(&format!("&limit={}", page.rows.max(1)));
    }
}

pub(super) fn changes_path(since: u64, limit: usize, wait_seconds: u64) -> String {
    match wait_seconds {
        0 => format!("/data-store/changes?since={since}&limit={limit}"),
        wait => format!("/data-store/changes?since={since}&limit={limit}&wait={wait}"),
    }
}

/// The records to read. Neighbours of one namespace share its name.
pub(super) fn read_body(addresses: &[Address], view: View) -> String {
    let groups = addresses.chunk_by(|left, right| left.namespace == right.namespace).map(|group| {
        let keys = group.iter().map(|address| &*address.key);
        Object::with_capacity(64).text("namespace", &*group[0].namespace).texts("keys", keys).end()
    });
    Object::with_capacity(256)
        .json("records", &wire::array(groups))
        .text("view", view_name(view))
        .bool("count", false)
        .into_text()
}

pub(super) fn batch_body(batch: &Batch) -> String {
    let bytes = batch.writes.iter().map(bytes_of).sum::<usize>() + 128;
    let mut text = String::with_capacity(bytes);
    text.push_str("{\"writes\":[");
    for (index, write) in batch.writes.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text = push_write(text, write);
    }
    text.push(']');
    if let Some(Quota { records, bytes }) = batch.quota {
        text.push_str(",\"quota\":");
        text = Object::after(text, 64).number("records", records).number("bytes", bytes).into_text();
    }
    text.push('}');
    text
}

fn bytes_of(write: &Write) -> usize {
    let value = match &write.mutation {
        Mutation::Set(value) | Mutation::Increment(value) | Mutation::Merge(value) => value.len(),
        Mutation::Append { items, .. } => items.len(),
        Mutation::Delete | Mutation::Touch | Mutation::Check => 0,
    };
    let Address { namespace, key } = &write.address;
    WRITE_BYTES + namespace.len() + key.len() + value + write.metadata.as_ref().map_or(0, Json::len)
}

fn push_write(text: String, write: &Write) -> String {
    let Write { address, precondition, mutation, metadata, expiry } = write;
    let object = Object::after(text, bytes_of(write));
    let mut object = match mutation {
        Mutation::Set(value) => object.text("op", "set").json("value", value),
        Mutation::Delete => object.text("op", "delete"),
        Mutation::Increment(by) => object.text("op", "increment").json("by", by),
        Mutation::Append { items, unique, max_length } => {
            let object = object.text("op", "append").json("items", items).bool("unique", *unique);
            match max_length {
                Some(length) => object.number("maxLength", *length as u64),
                None => object,
            }
        }
        Mutation::Merge(patch) => object.text("op", "merge").json("patch", patch),
        Mutation::Touch => object.text("op", "touch"),
        Mutation::Check => object.text("op", "check"),
    };
    object = object.text("namespace", &*address.namespace).text("key", &*address.key);
    if let Precondition::Version(version) = *precondition {
        object = object.number("ifVersion", version);
    }
    // The others keep nothing that could have them.
    if !matches!(mutation, Mutation::Delete | Mutation::Check) {
        if let Some(metadata) = metadata {
            object = object.json("metadata", metadata);
        }
        object = match expiry {
            Expiry::Default => object,
            Expiry::Never => object.json("ttlSeconds", &Json::from_trusted("null")),
            Expiry::After(ttl) => {
                let seconds = format!("{}.{:09}", ttl.as_secs(), ttl.subsec_nanos());
                object.json("ttlSeconds", &Json::from_trusted(seconds))
            }
        };
    }
    object.into_text()
}

/// Reads by agents of one user.
pub(super) fn access_body<'a>(accesses: impl IntoIterator<Item = &'a Access>) -> String {
    let reads = accesses.into_iter().map(|Access { address, agent, count, last_at, .. }| {
        Object::with_capacity(128)
            .text("namespace", &*address.namespace)
            .text("key", &*address.key)
            .text("agent", &**agent)
            .number("count", *count)
            .time("lastAt", *last_at)
            .end()
    });
    Object::with_capacity(256).json("reads", &wire::array(reads)).into_text()
}
