//! Namespaces: how much they hold, and clearing them.

use agent_data_store::model::{NamespaceStats, PageSize, Range};
use agent_data_store::wire::{self, Object};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use crate::caller::Caller;
use crate::error::{JSON, Result};
use crate::place::Namespace;

/// Verbs that concern no single namespace need a view all the same.
const ANY: &str = "default";

/// All namespaces of the user that hold a record, sorted, and their sum.
pub(crate) async fn list(caller: Caller) -> Result {
    let page = caller.reader(ANY)?.namespaces_page(Range::default(), PageSize::ALL).await?;
    let (records, bytes) =
        page.rows.iter().fold((0, 0), |(records, bytes), stats| (records + stats.records, bytes + stats.bytes));
    let namespaces = wire::array(page.rows.iter().map(|stats| stats_json(&stats.namespace, Some(stats))));
    let body = Object::with_capacity(namespaces.len() + 64)
        .json("namespaces", &namespaces)
        .number("totalRecordCount", records)
        .number("totalSizeBytes", bytes);
    Ok(([(CONTENT_TYPE, JSON)], body.into_text()).into_response())
}

/// One namespace; one that holds nothing has zeros.
pub(crate) async fn stats(caller: Caller, Namespace(namespace): Namespace) -> Result {
    // The first of those that start with its name, if it is there at all.
    let range = Range { prefix: &namespace, after: None };
    let page = caller.reader(&namespace)?.namespaces_page(range, PageSize { rows: 1, bytes: usize::MAX }).await?;
    let stats = page.rows.first().filter(|stats| *stats.namespace == *namespace);
    Ok(([(CONTENT_TYPE, JSON)], stats_json(&namespace, stats).as_str().to_owned()).into_response())
}

/// Removes every record of a namespace.
pub(crate) async fn clear(caller: Caller, Namespace(namespace): Namespace) -> Result {
    let deleted = caller.writer(&namespace)?.clear().await?;
    let body = Object::with_capacity(64).text("namespace", &*namespace).number("deletedCount", deleted);
    Ok(([(CONTENT_TYPE, JSON)], body.into_text()).into_response())
}

fn stats_json(namespace: &str, stats: Option<&NamespaceStats>) -> agent_data_store::Json {
    let agents = stats.map(|stats| &*stats.agents).unwrap_or_default();
    Object::with_capacity(192)
        .text("namespace", namespace)
        .number("recordCount", stats.map_or(0, |stats| stats.records))
        .number("sizeBytes", stats.map_or(0, |stats| stats.bytes))
        .texts("agents", agents.iter().map(|agent| &**agent))
        .time("updatedAt", stats.map(|stats| stats.updated_at))
        .end()
}
