//! Lists over all namespaces, cut down to those that the caller may see: nothing shows that there are others.

use agent_data_store::model::{Changes, NamespaceStats, Page, PageSize, Range, Version};
use agent_data_store::{DataStore, Result};

use crate::auth::Permit;

/// How many namespaces are looked at in one step, where not all may be seen.
const STEP: PageSize = PageSize { rows: 1_000, bytes: usize::MAX };

/// Statistics of namespaces, at most `limit` of them.
pub(crate) async fn namespaces(
    permit: &Permit,
    view: &DataStore,
    range: Range<'_>,
    limit: usize,
) -> Result<Page<NamespaceStats>> {
    if permit.sees_all() {
        return view.namespaces_page(range, PageSize { rows: limit, bytes: usize::MAX }).await;
    }
    let mut rows = Vec::new();
    let mut after = range.after.map(Box::<str>::from);
    loop {
        let step = view.namespaces_page(Range { prefix: range.prefix, after: after.as_deref() }, STEP).await?;
        after = step.rows.last().map(|stats| stats.namespace.clone());
        for stats in step.rows.into_iter().filter(|stats| permit.sees(&stats.namespace)) {
            // More is what may be seen itself.
            if rows.len() == limit {
                return Ok(Page { rows, more: true });
            }
            rows.push(stats);
        }
        if !step.more {
            return Ok(Page { rows, more: false });
        }
    }
}

/// Names of namespaces.
pub(crate) async fn namespace_names(permit: &Permit, view: &DataStore, prefix: &str) -> Result<Vec<Box<str>>> {
    let mut names = view.list_namespaces(prefix).await?;
    if !permit.sees_all() {
        names.retain(|name| permit.sees(name));
    }
    Ok(names)
}

/// Changes after a position, at most `limit` of them. None are left where there are none: those of namespaces that may not
/// be seen are passed over.
pub(crate) async fn changes(permit: &Permit, view: &DataStore, since: Version, limit: usize) -> Result<Changes> {
    let mut changes = view.kept_changes(since, limit).await?;
    if permit.sees_all() {
        return Ok(changes);
    }
    loop {
        let Some(read_to) = changes.changes.last().map(|change| change.version) else { return Ok(changes) };
        changes.changes.retain(|change| permit.sees(&change.namespace));
        if !changes.changes.is_empty() {
            return Ok(changes);
        }
        let complete_from = changes.complete_from;
        changes = view.kept_changes(read_to, limit).await?;
        // What was missing for the first step is missing for all.
        changes.complete_from = changes.complete_from.max(complete_from);
    }
}
