//! Tools that list and search.

use agent_data_store::model::{NamespaceStats, PageSize, Range, Row, View};
use agent_data_store::wire::{self, Object};
use agent_data_store::{DataStore, Result};

use super::bounds::{Rows, characters, no_cursor, preview};
use super::records::choice;
use super::tools::Call;
use crate::caller::Caller;
use crate::visible;

/// How many keys are read at once.
const KEYS: PageSize = PageSize { rows: 1_000, bytes: 256 << 10 };
/// How much is read at once where values are looked at.
const VALUES: PageSize = PageSize { rows: 64, bytes: 1 << 20 };
/// How many keys one call of search looks at.
const SEARCHED: usize = 200_000;

pub(super) async fn list(call: &Call<'_>) -> Result<String> {
    let arguments = &call.arguments;
    let namespace = arguments.namespace()?;
    let prefix = arguments.text("prefix")?.unwrap_or_default();
    let previews = choice(call, &["keys", "previews"])? == "previews";
    let limit = limit(call)?;
    let view = call.caller.reader(&namespace)?;
    let total = view.count(&prefix).await?;
    let (kind, page) = if previews { (View::Value, VALUES) } else { (View::Key, KEYS) };
    let page = PageSize { rows: page.rows.min(limit), ..page };
    let mut rows = Rows::within(call.bound, &namespace);
    let mut after = arguments.text("cursor")?;
    let mut more = false;
    'all: loop {
        let found = view.scan(Range { prefix: &prefix, after: after.as_deref() }, kind, page).await?;
        for row in found.rows {
            let text = if previews { previewed(&row) } else { wire::string(&row.key).to_string() };
            more = rows.count() == limit || !rows.push(&text, &row.key);
            if more {
                break 'all;
            }
            after = Some(row.key.into_string());
        }
        if !found.more {
            break;
        }
    }
    let count = rows.count();
    let object = Object::with_capacity(call.bound)
        .text("namespace", &*namespace)
        .number("total", total)
        .json("keys", &rows.end());
    Ok(ended(object, count, "keys", Some(total), after.filter(|_| more)))
}

fn previewed(row: &Row) -> String {
    let mut object = Object::with_capacity(512).text("key", &*row.key).number("version", row.version);
    if let Some(value) = &row.value {
        object = object.number("characters", characters(value.as_str()) as u64).text("preview", preview(value));
    }
    if row.expires_at.is_some() {
        object = object.time("expiresAt", row.expires_at);
    }
    object.into_text()
}

pub(super) async fn namespaces(call: &Call<'_>) -> Result<String> {
    let prefix = call.arguments.text("prefix")?.unwrap_or_default();
    let limit = limit(call)?;
    let view = call.caller.reader_of_all()?;
    let mut rows = Rows::within(call.bound, "");
    let mut after = call.arguments.text("cursor")?;
    let mut more = false;
    'all: loop {
        let range = Range { prefix: &prefix, after: after.as_deref() };
        let page = visible::namespaces(call.caller.permit(), &view, range, KEYS.rows).await?;
        for stats in page.rows {
            more = rows.count() == limit || !rows.push(&of_namespace(&stats), &stats.namespace);
            if more {
                break 'all;
            }
            after = Some(stats.namespace.into_string());
        }
        if !page.more {
            break;
        }
    }
    let count = rows.count();
    let object = Object::with_capacity(call.bound).json("namespaces", &rows.end());
    Ok(ended(object, count, "namespaces", None, after.filter(|_| more)))
}

fn of_namespace(stats: &NamespaceStats) -> String {
    /// More agents than these are only counted.
    const NAMED: usize = 10;
    let named = stats.agents.iter().take(NAMED).map(|agent| &**agent);
    let mut object = Object::with_capacity(256)
        .text("namespace", &*stats.namespace)
        .number("records", stats.records)
        .number("bytes", stats.bytes)
        .texts("agents", named);
    if let Some(others @ 1..) = stats.agents.len().checked_sub(NAMED) {
        object = object.number("otherAgents", others as u64);
    }
    object.time("updatedAt", stats.updated_at).into_text()
}

pub(super) async fn search(call: &Call<'_>) -> Result<String> {
    let text = call.arguments.needed_text("text")?;
    if text.is_empty() {
        return Err(super::arguments::invalid("text is empty: list_keys shows all keys"));
    }
    let limit = limit(call)?;
    let one = call.arguments.text("namespace")?;
    let mut search =
        Search { rows: Rows::within(call.bound, ""), text: text.to_lowercase(), limit, searched: 0, at: None };
    let cursor = call.arguments.text("cursor")?;
    let begin: Option<(String, String)> =
        cursor.map(|cursor| serde_json::from_str(&cursor).map_err(|_| no_cursor())).transpose()?;
    let is_whole = match &one {
        Some(namespace) => {
            let after = match begin {
                Some((begun, _)) if begun != *namespace => return Err(no_cursor()),
                begin => begin.map(|(_, key)| key),
            };
            search.through(&call.caller.reader(namespace)?, after).await?
        }
        None => search_all(&mut search, call.caller, begin).await?,
    };
    let Search { rows, searched, at, .. } = search;
    let count = rows.count();
    let object = Object::with_capacity(call.bound).json("found", &rows.end()).number("searched", searched as u64);
    let cursor = at.filter(|_| !is_whole).map(|(namespace, key)| position(&namespace, &key));
    Ok(ended(object, count, "keys", None, cursor))
}

/// Where a search has got to, as a cursor.
pub(super) fn position(namespace: &str, key: &str) -> String {
    wire::array([wire::string(namespace), wire::string(key)]).to_string()
}

/// Searches all namespaces that the caller sees, from the one in which the last call ended.
async fn search_all(search: &mut Search, caller: &Caller, begin: Option<(String, String)>) -> Result<bool> {
    let view = caller.reader_of_all()?;
    let mut after: Option<String> = None;
    if let Some((namespace, key)) = begin {
        if !search.through(&caller.reader(&namespace)?, Some(key)).await? {
            return Ok(false);
        }
        after = Some(namespace);
    }
    loop {
        let range = Range { prefix: "", after: after.as_deref() };
        let page = visible::namespaces(caller.permit(), &view, range, KEYS.rows).await?;
        for stats in page.rows {
            if !search.through(&caller.reader(&stats.namespace)?, None).await? {
                return Ok(false);
            }
            after = Some(stats.namespace.into_string());
        }
        if !page.more {
            return Ok(true);
        }
    }
}

/// A search that is under way.
struct Search {
    rows: Rows,
    /// In small letters.
    text: String,
    limit: usize,
    searched: usize,
    /// The last key that was looked at, and its namespace.
    at: Option<(String, String)>,
}

impl Search {
    /// Searches a namespace; whether all of it.
    async fn through(&mut self, view: &DataStore, mut after: Option<String>) -> Result<bool> {
        loop {
            let page = view.scan(Range { prefix: "", after: after.as_deref() }, View::Key, KEYS).await?;
            for row in page.rows {
                if self.searched == SEARCHED {
                    return Ok(false);
                }
                if row.key.to_lowercase().contains(&self.text) {
                    let found = Object::with_capacity(64)
                        .text("namespace", view.namespace())
                        .text("key", &*row.key)
                        .into_text();
                    let cursor = position(view.namespace(), &row.key);
                    if self.rows.count() == self.limit || !self.rows.push(&found, &cursor) {
                        return Ok(false);
                    }
                }
                self.searched += 1;
                self.at = Some((view.namespace().to_owned(), row.key.to_string()));
                after = Some(row.key.into_string());
            }
            if !page.more {
                return Ok(true);
            }
        }
    }
}

fn limit(call: &Call<'_>) -> Result<usize> {
    match call.arguments.whole("limit")? {
        Some(0) => Err(super::arguments::invalid("limit is 0: ask for at least 1")),
        limit => Ok(limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))),
    }
}

/// The end of a list, which says so where it is not the end of all.
fn ended(object: Object, shown: usize, what: &str, total: Option<u64>, cursor: Option<String>) -> String {
    let Some(cursor) = cursor else { return object.into_text() };
    let of = total.map_or_else(String::new, |total| format!(" of {total}"));
    let cut = format!("{shown} {what}{of} shown here: call again with cursor for the next ones");
    object.text("cut", &*cut).text("cursor", &*cursor).into_text()
}
