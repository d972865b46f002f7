//! Many records at once.

use std::borrow::Cow;
use std::sync::Arc;

use agent_data_store::limits::check_namespace;
use agent_data_store::model::Address;
use agent_data_store::wire;
use axum::extract::State;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::answer::json;
use crate::app::App;
use crate::body::{JsonBody, MOST_ENTRIES, entries, entries_of};
use crate::caller::Caller;
use crate::error::Result;
use crate::listing::bytes_of;
use crate::memory::SMALL;
use crate::place::Shown;
use crate::schemas::{self, Key, NamespaceName};

/// Which records, and how much of each.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadRecords<'a> {
    #[serde(borrow, deserialize_with = "entries")]
    #[schema(max_items = 100_000)]
    records: Vec<Keys<'a>>,
    /// How much of each record.
    #[serde(default)]
    view: Shown,
    /// Whether this counts as a read of each; it does unless said otherwise.
    count: Option<bool>,
}

/// Records of one namespace.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys<'a> {
    #[serde(borrow)]
    #[schema(value_type = NamespaceName)]
    namespace: Cow<'a, str>,
    #[serde(borrow)]
    #[schema(value_type = Vec<Key>)]
    keys: &'a RawValue,
}

/// Reads records of any namespaces, in one consistent state.
#[utoipa::path(
    post, path = "/data-store/read", tag = "many at once", operation_id = "read_records", request_body = ReadRecords<'_>,
    responses((status = 200, description = "One entry for each key, in order; null where there is no record",
        body = Vec<Option<schemas::Shown>>)),
)]
pub(crate) async fn read(State(app): State<App>, caller: Caller, body: JsonBody) -> Result {
    let ReadRecords { records, view: shown, count } = body.parse()?;
    let view = caller.reader_of(records.iter().map(|group| &*group.namespace))?;
    let mut addresses = Vec::new();
    let mut counts = Vec::with_capacity(records.len());
    for Keys { namespace, keys } in &records {
        check_namespace(namespace)?;
        let namespace: Arc<str> = Arc::from(&**namespace);
        let keys = entries_of(keys, "keys", MOST_ENTRIES - addresses.len())?;
        counts.push(keys.len());
        addresses.extend(keys.into_iter().map(|key| Address { namespace: Arc::clone(&namespace), key }));
    }
    let rows = view.read_rows(&addresses, shown.view()).await?;
    // A record that is asked for again and again is held once, but its text is not.
    let bytes = rows.iter().flatten().map(bytes_of).sum();
    let _share = if bytes > SMALL { Some(app.memory().take(bytes)?) } else { None };
    let mut rest = &*rows;
    for (Keys { namespace, .. }, count) in records.iter().zip(counts).filter(|_| caller.counts(count)) {
        let (here, further) = rest.split_at(count);
        rest = further;
        let read = here.iter().flatten().filter(|row| row.value.is_some());
        caller.reader(namespace)?.count_reads(read.map(|row| &*row.key));
    }
    let mut text = String::from("[");
    for (index, (row, address)) in rows.iter().zip(&addresses).enumerate() {
        if index > 0 {
            text.push(',');
        }
        match row {
            Some(row) => text = wire::push_row(text, view.identity().user(), &address.namespace, row),
            None => text.push_str("null"),
        }
    }
    text.push(']');
    Ok(json(text))
}
