//! Overwriting a record that this process wrote last: what comes of it is planned on what was stored then, and one statement
//! does it if that is still so. Whatever else is to be done is left to a transaction (`begin`, `rows`).
//!
//! The version is drawn before the record is locked, behind a fence (see `begin`). It rises all the same: the version that the
//! record had was there before, and where anything has come between, the statement does nothing.

use super::address::Ordering;
use super::begin::{fences_of, namespace_number};
use super::clock::database_now;
use super::connect::Parameter;
use super::failure::{Failure, Result, unreadable};
use super::plan::{Found, Keys, Plan, of_metadata};
use super::{Core, optional_time, settle};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::json::Json;
use crate::model::{Batch, Mutation, Outcome, Precondition, Version, Write};
use crate::request::Request;

// Nobody clears the namespace from the lock on. Where somebody did so while the lock was waited for, the statement still sees
// the sums but cannot change them any more, and fails.
const OVERWRITE: &str = concat!(
    "WITH kept AS MATERIALIZED (
         SELECT pg_advisory_xact_lock_shared($1 | v.last_value), pg_advisory_xact_lock_shared($2, $3) FROM {t}versions v),
     slot AS MATERIALIZED (SELECT c.slot FROM kept CROSS JOIN {t}counts c
         WHERE c.user_id = $4 AND c.namespace_id = $5 AND c.slot = pg_backend_pid() % 32),
     drawn AS MATERIALIZED (SELECT nextval('{t}versions') AS version, coalesce($8::bigint, ",
    database_now!(),
    ") AS now FROM slot),
     put AS (UPDATE {t}records r SET version = d.version, updated_at = d.now, updated_by = $9,
             accessed_at = CASE WHEN $9::text IS NULL THEN r.accessed_at ELSE d.now END,
             accessed_by = coalesce($9::text, r.accessed_by), metadata = coalesce($10::text, r.metadata), value = $11
         FROM drawn d WHERE r.user_id = $4 AND r.namespace_id = $5 AND r.key = $6 AND r.version = $7
         RETURNING r.version, r.updated_at),
     log AS (INSERT INTO {t}changes (user_id, version, kind, namespace, key, agent, at)
         SELECT $4, p.version, 1, $12::text, $6, $9::text, p.updated_at FROM put p),
     sums AS (UPDATE {t}counts c SET bytes = c.bytes + $13::bigint, updated_at = greatest(c.updated_at, p.updated_at)
         FROM put p WHERE c.user_id = $4 AND c.namespace_id = $5 AND c.slot = pg_backend_pid() % 32 RETURNING 1)
     SELECT p.version, p.updated_at, CASE WHEN p.version IS NOT NULL THEN 1 / (SELECT count(*) FROM sums) END,
         EXISTS (SELECT 1 FROM slot)
     FROM (SELECT 1) one LEFT JOIN put p ON true"
);

/// What came of it.
pub(super) enum Overwritten {
    Done(Vec<Outcome>),
    /// Nothing was stored: it is for a transaction.
    Not,
    /// The connection ended before the answer.
    Unanswered(Doubt),
}

/// What the statement did.
enum Stored {
    Version(i64),
    /// Another process wrote the record.
    Overtaken,
    /// This connection's part of the namespace's sums has to be made first.
    Unprepared,
}

/// Applies the batch if it overwrites a record that this process wrote last, and nothing has come between.
pub(super) async fn overwrite(
    core: &Core,
    batch: &Batch,
    keys: &Keys<'_>,
    request: Option<&Request>,
) -> Result<Overwritten> {
    let Some((write, mut plan)) = planned(core, batch, keys, request) else { return Ok(Overwritten::Not) };
    match store(core, batch, &plan).await {
        Ok(Stored::Version(version)) => {
            plan.give(version);
            core.committed(&batch.user, &plan, batch.agent.as_deref());
            Ok(Overwritten::Done(plan.outcomes))
        }
        Ok(Stored::Overtaken) => {
            core.shared.known.note_shared(&batch.user, &write.address.namespace, &write.address.key);
            Ok(Overwritten::Not)
        }
        Ok(Stored::Unprepared) | Err(Failure::Again(_)) => Ok(Overwritten::Not),
        Err(Failure::Lost(_)) => {
            let before = plan.cells.first().and_then(|cell| cell.stored.as_ref()).map_or(0, |found| found.version);
            Ok(Overwritten::Unanswered(Doubt { before }))
        }
        Err(failure) => Err(failure),
    }
}

/// What comes of the batch by what this process knows, but for the version. `None` where a transaction has to do it, and where
/// it may have to refuse it: that needs what is there.
fn planned<'b>(
    core: &Core,
    batch: &'b Batch,
    keys: &Keys<'b>,
    request: Option<&Request>,
) -> Option<(&'b Write, Plan<'b>)> {
    let [write] = &*batch.writes else { return None };
    let shared = &core.shared;
    let may = shared.ordering() == Ordering::Concurrent
        && request.is_none()
        && matches!(write.mutation, Mutation::Set(_))
        && write.precondition != Precondition::Version(0);
    if !may {
        return None;
    }
    let (id, found) = shared.known.take(&batch.user, &write.address.namespace, &write.address.key)?;
    // Neither the record nor what is written expires, so that the time makes no difference.
    let mut plan = Plan::begin(keys, &[Some(id)], vec![Some(found)], vec![0], Timestamp::from_micros(0)).ok()?;
    plan.apply(keys, &batch.writes, &shared.rules.limits).ok()?;
    let stays = plan.cells.iter().all(|cell| cell.live.as_ref().is_some_and(|live| live.expires_at.is_none()));
    let spaces: Vec<_> = plan.spaces.iter().collect();
    let is_noted = |agent| shared.unknown_agents(&batch.user, agent, &spaces).is_empty();
    let is_noted = batch.agent.as_deref().is_none_or(is_noted);
    let is_within_quota = batch.quota.is_none() || !plan.grows();
    Some((write, plan)).filter(|_| stays && is_noted && is_within_quota)
}

async fn store(core: &Core, batch: &Batch, plan: &Plan<'_>) -> Result<Stored> {
    let ([cell], [space]) = (&*plan.cells, &*plan.spaces) else { return Err(unreadable().into()) };
    let (Some(stored), Some(live)) = (&cell.stored, &cell.live) else { return Err(unreadable().into()) };
    let fences = fences_of(&core.shared, &batch.user);
    let store_number = core.shared.tables.number();
    let namespace_number = namespace_number(&batch.user, space.name);
    let before = stored.version.cast_signed();
    let time = optional_time(core.shared.fixed_now());
    let metadata = live.metadata.as_ref().and_then(of_metadata);
    let value = live.value.as_ref().map(Json::as_str);
    let agent = batch.agent.as_deref();
    let user = &*batch.user;
    let parameters: [Parameter<'_>; 13] = [
        &fences,
        &store_number,
        &namespace_number,
        &user,
        &space.id,
        &cell.key,
        &before,
        &time,
        &agent,
        &metadata,
        &value,
        &space.name,
        &space.bytes,
    ];
    let link = core.connections.link().await?;
    let began = SystemClock.now();
    let row = match link.query_one(OVERWRITE, &parameters).await {
        Ok(row) => row,
        Err(failure) => {
            if matches!(failure, Failure::Lost(_)) {
                link.discard();
            }
            return Err(failure);
        }
    };
    let Some(version) = row.try_get(0)? else {
        return Ok(if row.try_get(3)? { Stored::Overtaken } else { Stored::Unprepared });
    };
    if time.is_none() {
        core.shared.database_clock.learn(began, Timestamp::from_micros(row.try_get(1)?));
    }
    Ok(Stored::Version(version))
}

/// An overwriting that may or may not have been stored. It cannot come later any more once the record has another version.
#[derive(Clone, Copy)]
pub(super) struct Doubt {
    /// The version that it was to replace.
    before: Version,
}

impl Doubt {
    /// Whether the batch may be applied to the record that is locked now: it was not applied, or that makes no difference.
    ///
    /// # Errors
    /// `Unavailable` where the record was written meanwhile, by whomever.
    pub(super) fn settle(self, batch: &Batch, found: Option<&Found>) -> Result<()> {
        let is_stored = |write: &Write, found: &Found| {
            let Mutation::Set(value) = &write.mutation else { return false };
            write.precondition == Precondition::None
                && write.metadata.is_none()
                && found.expires_at.is_none()
                && found.value.as_deref() == Some(value.as_str())
        };
        let may = found.is_some_and(|found| {
            found.version == self.before || batch.writes.iter().all(|write| is_stored(write, found))
        });
        if may { Ok(()) } else { Err(settle::unknown().into()) }
    }
}
