//! Namespaces: how much they hold, and clearing them.

use agent_data_store::Json;
use agent_data_store::model::{NamespaceStats, PageSize, Range};
use agent_data_store::wire::{self, Object};
use axum::http::Uri;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::answer::json;
use crate::caller::Caller;
use crate::error::{Failure, Result};
use crate::place::{Choices, Namespace, linked_to_next};
use crate::schemas::{self, Cleared, Count, NamespacesOrNames};

/// Which namespaces are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Only those whose name starts with this.
    prefix: Option<String>,
    /// Only those after this name.
    after: Option<String>,
    /// At most this many; the header `Link` then leads to the next ones.
    #[param(minimum = 1)]
    limit: Option<usize>,
    /// The names alone, as an array.
    names_only: Option<bool>,
}

/// Which keys are counted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct CountQuery {
    /// Only those that start with this.
    prefix: Option<String>,
}

/// Lists the namespaces that hold a record, and their sum.
#[utoipa::path(
    get, path = "/data-store/namespaces", tag = "namespaces", operation_id = "list_namespaces", params(ListQuery),
    responses((status = 200, description = "Sorted by name", body = NamespacesOrNames,
        headers(("Link" = String, description = "Where the next ones are, if `limit` has left any")))),
)]
pub(crate) async fn list(caller: Caller, uri: Uri, Choices(query): Choices<ListQuery>) -> Result {
    let view = caller.reader_of_all()?;
    let prefix = query.prefix.as_deref().unwrap_or_default();
    if query.names_only == Some(true) {
        if query.after.is_some() || query.limit.is_some() {
            return Err(Failure::invalid("namesOnly takes neither after nor limit: leave them out"));
        }
        let names = view.list_namespaces(prefix).await?;
        return Ok(json(wire::array(names.iter().map(|name| wire::string(name)))));
    }
    let size = match query.limit {
        Some(0) => return Err(Failure::invalid("limit is 0: ask for at least 1")),
        limit => PageSize { rows: limit.unwrap_or(usize::MAX), bytes: usize::MAX },
    };
    let page = view.namespaces_page(Range { prefix, after: query.after.as_deref() }, size).await?;
    let sum = |number: fn(&NamespaceStats) -> u64| page.rows.iter().map(number).sum::<u64>();
    let namespaces = wire::array(page.rows.iter().map(|stats| stats_json(&stats.namespace, Some(stats))));
    let body = Object::with_capacity(namespaces.len() + 64)
        .json("namespaces", &namespaces)
        .number("totalRecordCount", sum(|stats| stats.records))
        .number("totalSizeBytes", sum(|stats| stats.bytes));
    let last = page.rows.last().filter(|_| page.more).map(|stats| &*stats.namespace);
    Ok(linked_to_next(&uri, last, json(body.into_text())))
}

/// Shows how much a namespace holds. One that holds nothing has zeros.
#[utoipa::path(
    get, path = "/data-store/namespaces/{namespace}", tag = "namespaces", operation_id = "get_namespace",
    params(Namespace), responses((status = 200, description = "The namespace", body = schemas::Namespace)),
)]
pub(crate) async fn stats(caller: Caller, Namespace { namespace }: Namespace) -> Result {
    // The first of those that start with its name, if it is there at all.
    let range = Range { prefix: &namespace, after: None };
    let page = caller.reader(&namespace)?.namespaces_page(range, PageSize { rows: 1, bytes: usize::MAX }).await?;
    let stats = page.rows.first().filter(|stats| *stats.namespace == *namespace);
    Ok(json(stats_json(&namespace, stats)))
}

/// Removes every record of a namespace.
#[utoipa::path(
    delete, path = "/data-store/namespaces/{namespace}", tag = "namespaces", operation_id = "clear_namespace",
    params(Namespace), responses((status = 200, description = "How many there were", body = Cleared)),
)]
pub(crate) async fn clear(caller: Caller, Namespace { namespace }: Namespace) -> Result {
    let deleted = caller.writer(&namespace)?.clear().await?;
    let body = Object::with_capacity(64).text("namespace", &*namespace).number("deletedCount", deleted);
    Ok(json(body.into_text()))
}

/// Counts the records of a namespace.
#[utoipa::path(
    get, path = "/data-store/namespaces/{namespace}/count", tag = "namespaces", operation_id = "count_records",
    params(Namespace, CountQuery), responses((status = 200, description = "How many there are", body = Count)),
)]
pub(crate) async fn count(
    caller: Caller,
    Namespace { namespace }: Namespace,
    Choices(query): Choices<CountQuery>,
) -> Result<Response> {
    let count = caller.reader(&namespace)?.count(query.prefix.as_deref().unwrap_or_default()).await?;
    Ok(json(Object::with_capacity(32).number("count", count).into_text()))
}

fn stats_json(namespace: &str, stats: Option<&NamespaceStats>) -> Json {
    let agents = stats.map(|stats| &*stats.agents).unwrap_or_default();
    Object::with_capacity(192)
        .text("namespace", namespace)
        .number("recordCount", stats.map_or(0, |stats| stats.records))
        .number("sizeBytes", stats.map_or(0, |stats| stats.bytes))
        .texts("agents", agents.iter().map(|agent| &**agent))
        .time("updatedAt", stats.map(|stats| stats.updated_at))
        .end()
}
