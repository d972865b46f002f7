//! The second round of a write transaction: what the plan comes to is written and committed.

use super::address::Ordering;
use super::begin::Transaction;
use super::connect::{Parameter, Round};
use super::failure::{Failure, Result};
use super::plan::{Cell, Plan, Space, of_metadata};
use super::requests::Kept;
use super::{Core, kind_to_number, settle};
use crate::json::Json;

/// How many bytes of values one statement takes: what a batch brings beyond that goes with the next.
const STATEMENT_BYTES: usize = 16 << 20;
const STATEMENT_ROWS: usize = 20_000;

pub(super) const DELETE: &str = "WITH reads AS (DELETE FROM {t}accesses
         WHERE user_id = $1 AND namespace_id = $2 AND key = ANY($3::text[]))
     DELETE FROM {t}records WHERE user_id = $1 AND namespace_id = $2 AND key = ANY($3::text[])";
pub(super) const FORGET_ACCESSES: &str =
    "DELETE FROM {t}accesses WHERE user_id = $1 AND namespace_id = $2 AND key = ANY($3::text[])";

pub(super) const NEW_NAMESPACES: &str = "INSERT INTO {t}namespaces (user_id, name, id)
     SELECT $1, u.name, u.id FROM unnest($2::text[], $3::bigint[]) u(name, id)";

const FORGET_NAMESPACES: &str = "DELETE FROM {t}namespaces WHERE user_id = $1 AND name = ANY($2::text[])";

macro_rules! insert {
    ($value:literal, $end:literal) => {
        concat!(
            "INSERT INTO {t}records AS r (user_id, namespace_id, key, version, birth, expires_at, created_at, updated_at,
                 accessed_at, created_by, updated_by, accessed_by, metadata, value)
             SELECT $1, u.namespace_id, u.key, u.version, u.birth, u.expires_at, $2::bigint, $2::bigint,
                 CASE WHEN $3::text IS NOT NULL THEN $2::bigint END, $3::text, $3::text, $3::text, u.metadata, ",
            $value,
            " FROM unnest($4::bigint[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::text[], $10::text[])
                 u(namespace_id, key, version, birth, expires_at, metadata, value) ",
            $end
        )
    };
}
const INSERT: &str = insert!("u.value", "");
// Rows that are there and locked: whatever the planner thinks of the tables, they are found by their keys. No value is empty:
// that stands for one which stays.
const UPDATE: &str = insert!(
    "coalesce(u.value, '')",
    "ON CONFLICT (user_id, namespace_id, key) DO UPDATE SET version = excluded.version, expires_at = excluded.expires_at,
         updated_at = excluded.updated_at, updated_by = excluded.updated_by,
         accessed_at = coalesce(excluded.accessed_at, r.accessed_at),
         accessed_by = coalesce(excluded.accessed_by, r.accessed_by), metadata = coalesce(excluded.metadata, r.metadata),
         value = CASE WHEN excluded.value = '' THEN r.value ELSE excluded.value END"
);

/// What goes with every change: the feed and the namespaces' sums, which no other row depends on.
macro_rules! note {
    ($slot:literal, $unless:literal) => {
        concat!(
            "WITH log AS (INSERT INTO {t}changes (user_id, version, kind, namespace, key, agent, at)
                 SELECT $1, u.version, u.kind, u.namespace, u.key, CASE WHEN u.kind = 3 THEN NULL ELSE $3::text END, $2::bigint
                 FROM unnest($4::bigint[], $5::smallint[], $6::text[], $7::text[]) u(version, kind, namespace, key)",
            $unless,
            ")
             INSERT INTO {t}counts AS c (user_id, namespace_id, slot, records, bytes, updated_at)
             SELECT $1, u.namespace_id, ",
            $slot,
            ", u.records, u.bytes, CASE WHEN u.written THEN $2::bigint ELSE 0 END
             FROM unnest($8::bigint[], $9::bigint[], $10::bigint[], $11::boolean[]) u(namespace_id, records, bytes, written)
             ON CONFLICT (user_id, namespace_id, slot) DO UPDATE SET records = c.records + excluded.records,
                 bytes = c.bytes + excluded.bytes, updated_at = greatest(c.updated_at, excluded.updated_at)"
        )
    };
}
// The number of the server's process: no two writers at a time have the same.
const NOTE: &str = note!("pg_backend_pid() % 32", "");
/// Fails where a record that was not there has come and gone meanwhile, and so has had a version that may be above ours.
const NOTE_UNLESS_SOMEBODY_CAME_BETWEEN: &str = note!(
    "pg_backend_pid() % 32",
    " WHERE 1 / (NOT EXISTS (SELECT 1 FROM {t}changes c WHERE c.user_id = $1 AND c.version > $12
         AND ((c.namespace, c.key) IN (SELECT b.name, b.key FROM unnest($13::text[], $14::text[]) b(name, key))) IS TRUE))::integer
         = 1"
);
const NOTE_SERIAL: &str = note!("0", "");

const NOTE_AGENT: &str = "INSERT INTO {t}agents (user_id, namespace_id, agent)
     SELECT $1, u.namespace_id, $2::text FROM unnest($3::bigint[]) u(namespace_id) ON CONFLICT DO NOTHING";

pub(super) const EMPTY: &str = "SELECT u.name FROM unnest($2::bigint[], $3::text[]) u(namespace_id, name)
     WHERE (SELECT sum(c.records) FROM {t}counts c WHERE c.user_id = $1 AND c.namespace_id = u.namespace_id) <= 0";

/// Rows of records, column by column.
#[derive(Default)]
struct Columns<'a> {
    namespace_ids: Vec<i64>,
    keys: Vec<&'a str>,
    versions: Vec<i64>,
    births: Vec<i64>,
    expires_at: Vec<Option<i64>>,
    metadata: Vec<Option<&'a str>>,
    values: Vec<Option<&'a str>>,
    bytes: usize,
}

impl<'a> Columns<'a> {
    fn push(&mut self, cell: &'a Cell<'_>, spaces: &[Space<'_>]) {
        // A record that was never there keeps its place until the end of the transaction.
        let live = cell.live.as_ref();
        let value = live.map_or(Some("null"), |live| live.value.as_ref().map(Json::as_str));
        self.namespace_ids.push(spaces.get(cell.space).map_or(0, |space| space.id));
        self.keys.push(cell.key);
        self.versions.push(live.map_or(0, |live| live.version));
        self.births.push(live.map_or(0, |live| live.birth));
        self.expires_at.push(live.and_then(|live| live.expires_at).map(|expires_at| expires_at.as_micros()));
        self.metadata.push(live.and_then(|live| of_metadata(live.metadata.as_ref()?)));
        self.values.push(value);
        self.bytes += cell.key.len() + value.map_or(0, str::len);
    }

    /// The cells that are `wanted`, in statements of bearable size.
    fn of(plan: &'a Plan<'_>, wanted: impl Fn(&Cell<'_>) -> bool) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for cell in plan.cells.iter().filter(|cell| wanted(cell)) {
            let is_full = |last: &Self| last.keys.len() >= STATEMENT_ROWS || last.bytes >= STATEMENT_BYTES;
            if all.last().is_none_or(is_full) {
                all.push(Self::default());
            }
            if let Some(last) = all.last_mut() {
                last.push(cell, &plan.spaces);
            }
        }
        all
    }
}

/// The keys of the cells that are `wanted`, namespace by namespace.
fn keys_of<'a>(plan: &'a Plan<'_>, wanted: impl Fn(&Cell<'_>) -> bool) -> Vec<(i64, Vec<&'a str>)> {
    let mut all: Vec<(i64, Vec<&str>)> = Vec::new();
    for cell in plan.cells.iter().filter(|cell| wanted(cell)) {
        let id = plan.spaces.get(cell.space).map_or(0, |space| space.id);
        match all.last_mut() {
            Some((last, keys)) if *last == id => keys.push(cell.key),
            _ => all.push((id, vec![cell.key])),
        }
    }
    all
}

/// A row that is there only until the end of the transaction: what was found missing stays so until then.
fn is_guard(cell: &Cell<'_>) -> bool {
    cell.stored.is_none() && cell.live.is_none()
}

fn is_inserted(cell: &Cell<'_>) -> bool {
    cell.live.as_ref().is_some_and(|live| live.is_fresh)
}

fn is_updated(cell: &Cell<'_>) -> bool {
    cell.live.as_ref().is_some_and(|live| !live.is_fresh && live.is_written)
}

/// Writes the plan and commits, or ends the transaction where there is nothing to write.
///
/// # Errors
/// After `Again` and `Lost` nothing was stored.
pub(super) async fn finish(
    core: &Core,
    transaction: Transaction,
    user: &str,
    agent: Option<&str>,
    plan: &Plan<'_>,
    kept: Option<Kept>,
) -> Result<()> {
    let is_concurrent = core.shared.ordering() == Ordering::Concurrent;
    let guards = is_concurrent && (plan.cells.len() > 1 || plan.has_effect()) && plan.cells.iter().any(is_guard);
    if !plan.has_effect() && kept.is_none() && !guards {
        transaction.rollback().await;
        return Ok(());
    }
    let keeps_a_trace = plan.has_effect() || kept.is_some();
    match second_round(core, &transaction, user, agent, plan, kept.as_ref(), guards).await {
        Ok(empty) if keeps_a_trace => {
            transaction.committed();
            core.committed(user, plan, agent);
            for namespace in empty {
                // Nothing hangs on it: what is left is forgotten another time.
                let _ = super::clear::forget_if_empty(core, user, &namespace).await;
            }
            Ok(())
        }
        Ok(_) => {
            transaction.rollback().await;
            Ok(())
        }
        Err((failure @ Failure::Lost(_), may_be_committed)) => {
            let fence = transaction.fence;
            let proof = plan.changes.first().map(|change| (change.version, transaction.now));
            drop(transaction);
            match proof.filter(|_| may_be_committed && kept.is_none()) {
                Some((version, at)) if settle::is_committed(core, user, fence, version, at).await? => {
                    core.committed(user, plan, agent);
                    Ok(())
                }
                _ => Err(failure),
            }
        }
        Err((failure, _)) => {
            transaction.rollback().await;
            Err(failure)
        }
    }
}

/// The names of namespaces that may be empty now; with a failure, whether the commit was on its way.
async fn second_round(
    core: &Core,
    transaction: &Transaction,
    user: &str,
    agent: Option<&str>,
    plan: &Plan<'_>,
    kept: Option<&Kept>,
    guards: bool,
) -> Result<Vec<String>, (Failure, bool)> {
    let early = |failure: Failure| (failure, false);
    let link = transaction.link().map_err(early)?;
    let is_concurrent = core.shared.ordering() == Ordering::Concurrent;
    let now = transaction.now.as_micros();
    let space_of = |cell: &Cell<'_>| plan.spaces.get(cell.space);

    let is_new_row = |cell: &Cell<'_>| is_inserted(cell) || (guards && is_guard(cell));
    let inserts = Columns::of(plan, is_new_row);
    let updates = Columns::of(plan, is_updated);
    let gone = keys_of(plan, |cell| cell.is_stored_gone);
    let passing = keys_of(plan, |cell| guards && is_guard(cell));
    // Rows that no lock has kept since they were looked for.
    let unlocked: Vec<(&str, &str)> = plan
        .cells
        .iter()
        .filter(|cell| is_concurrent && cell.stored.is_none() && is_inserted(cell))
        .map(|cell| (space_of(cell).map_or("", |space| space.name), cell.key))
        .collect();
    let (unlocked_names, unlocked_keys): (Vec<&str>, Vec<&str>) = unlocked.into_iter().unzip();

    let has_row = |index: usize| plan.cells.iter().any(|cell| cell.space == index && is_new_row(cell));
    let new: Vec<&Space<'_>> = plan
        .spaces
        .iter()
        .enumerate()
        .filter(|(index, space)| space.is_new && has_row(*index))
        .map(|(_, space)| space)
        .collect();
    let new_names: Vec<&str> = new.iter().map(|space| space.name).collect();
    let new_ids: Vec<i64> = new.iter().map(|space| space.id).collect();
    let doomed: Vec<&str> = new.iter().filter(|space| space.records == 0).map(|space| space.name).collect();

    let counted: Vec<&Space<'_>> =
        plan.spaces.iter().filter(|space| space.records != 0 || (space.written && !space.is_new)).collect();
    let ids: Vec<i64> = counted.iter().map(|space| space.id).collect();
    let records: Vec<i64> = counted.iter().map(|space| space.records).collect();
    let bytes: Vec<i64> = counted.iter().map(|space| space.bytes).collect();
    let written: Vec<bool> = counted.iter().map(|space| space.written).collect();
    let met = agent.map_or(Vec::new(), |agent| core.shared.unknown_agents(user, agent, &counted));
    let shrunk: Vec<&Space<'_>> = counted.iter().filter(|space| space.records < 0).copied().collect();
    let shrunk_ids: Vec<i64> = shrunk.iter().map(|space| space.id).collect();
    let shrunk_names: Vec<&str> = shrunk.iter().map(|space| space.name).collect();

    let versions: Vec<i64> = plan.changes.iter().map(|change| change.version).collect();
    let kinds: Vec<i16> = plan.changes.iter().map(|change| kind_to_number(change.kind)).collect();
    let names: Vec<&str> = plan.changes.iter().map(|change| change.namespace).collect();
    let keys: Vec<&str> = plan.changes.iter().map(|change| change.key).collect();
    let first_version = versions.first().copied().unwrap_or(0);

    let mut round = Round::new(link);
    for (namespace_id, keys) in &gone {
        round.add(DELETE, vec![&user, namespace_id, keys]).await.map_err(early)?;
    }
    if !new.is_empty() {
        round.add(NEW_NAMESPACES, vec![&user, &new_names, &new_ids]).await.map_err(early)?;
    }
    for (sql, pieces) in [(UPDATE, &updates), (INSERT, &inserts)] {
        for Columns { namespace_ids, keys, versions, births, expires_at, metadata, values, .. } in pieces {
            let parameters: Vec<Parameter<'_>> =
                vec![&user, &now, &agent, namespace_ids, keys, versions, births, expires_at, metadata, values];
            round.add(sql, parameters).await.map_err(early)?;
            // So that several large pieces are not all copied at once.
            if pieces.len() > 1 {
                round.send().await.map_err(early)?;
            }
        }
    }
    for (namespace_id, keys) in &passing {
        round.add(DELETE, vec![&user, namespace_id, keys]).await.map_err(early)?;
    }
    if !doomed.is_empty() {
        round.add(FORGET_NAMESPACES, vec![&user, &doomed]).await.map_err(early)?;
    }
    if !versions.is_empty() {
        let mut parameters: Vec<Parameter<'_>> =
            vec![&user, &now, &agent, &versions, &kinds, &names, &keys, &ids, &records, &bytes, &written];
        let note = match is_concurrent {
            true if unlocked_keys.is_empty() => NOTE,
            true => {
                parameters.extend([&first_version as Parameter<'_>, &unlocked_names, &unlocked_keys]);
                NOTE_UNLESS_SOMEBODY_CAME_BETWEEN
            }
            false => NOTE_SERIAL,
        };
        round.add(note, parameters).await.map_err(early)?;
    }
    let kept_parameters = kept.map(|kept| kept.parameters(&user));
    if let (Some(kept), Some(parameters)) = (kept, kept_parameters) {
        round.add(kept.statement(), parameters).await.map_err(early)?;
    }
    if !met.is_empty() {
        round.add(NOTE_AGENT, vec![&user, &agent, &met]).await.map_err(early)?;
    }
    if !shrunk.is_empty() {
        round.add(EMPTY, vec![&user, &shrunk_ids, &shrunk_names]).await.map_err(early)?;
    }
    let keeps_a_trace = plan.has_effect() || kept.is_some();
    let sent = if keeps_a_trace { round.commit().await } else { round.send().await };
    let mut results = sent.map_err(|failure| (failure, keeps_a_trace))?;
    if shrunk.is_empty() {
        return Ok(Vec::new());
    }
    let rows = results.pop().unwrap_or_default();
    rows.iter().map(|row| row.try_get::<_, String>(0)).collect::<Result<_, _>>().map_err(|error| early(error.into()))
}
