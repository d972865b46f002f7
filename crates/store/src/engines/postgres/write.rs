//! What a write does: one statement where that is enough, else the rounds of its transaction, again where others were in the
//! way.

use tokio::task::block_in_place;

use super::Core;
use super::begin::{Ask, Met, Transaction, begin};
use super::failure::{Failure, Patience, Result};
use super::overwrite::{Doubt, Overwritten, overwrite};
use super::plan::{Keys, Plan};
use super::requests::{self, Kept};
use super::rows::finish;
use crate::error::Result as StoreResult;
use crate::limits::Limits;
use crate::model::{Batch, Mutation, Outcome};
use crate::request::{Request, outcomes_to_text};

/// Values that are changed, rather than replaced, take up to 0.2 µs a byte.
const LONG_BYTES: usize = 64 << 10;

/// Applies a batch.
pub(super) async fn write(core: &Core, batch: &Batch, request: Option<&Request>) -> StoreResult<Vec<Outcome>> {
    let mut keys = Keys::of(&batch.writes);
    let mut patience = Patience::new();
    let doubt = match overwrite(core, batch, &keys, request).await? {
        Overwritten::Done(outcomes) => return Ok(outcomes),
        Overwritten::Not => None,
        Overwritten::Unanswered(doubt) => {
            keys.cells.iter_mut().for_each(|key| key.reads_value = true);
            Some(doubt)
        }
    };
    loop {
        match try_write(core, batch, &keys, request, doubt).await {
            Ok(outcomes) => return Ok(outcomes),
            Err(failure) => patience.after(failure).await?,
        }
    }
}

async fn try_write(
    core: &Core,
    batch: &Batch,
    keys: &Keys<'_>,
    request: Option<&Request>,
    doubt: Option<Doubt>,
) -> Result<Vec<Outcome>> {
    let ask = Ask {
        user: &batch.user,
        namespaces: &keys.namespaces,
        alone: false,
        keys: &keys.cells,
        skip_locked: false,
        request: request.map(|request| &request.id),
        with_usage: batch.quota.is_some(),
        versions: batch.writes.len(),
    };
    let (transaction, met) = begin(&core.shared, core.connections.link().await?, &ask).await?;
    if let Some(doubt) = doubt
        && let Err(failure) = doubt.settle(batch, met.found.first().and_then(Option::as_ref))
    {
        transaction.rollback().await;
        return Err(failure);
    }
    let limits = &core.shared.rules.limits;
    let is_long = is_long(batch, &met);
    let plan = || plan(batch, keys, request, met, &transaction, limits);
    match if is_long { block_in_place(plan) } else { plan() } {
        Ok(Planned::Known(text)) => {
            transaction.rollback().await;
            requests::outcomes(core, batch, &text).await
        }
        Ok(Planned::New(plan, kept)) => {
            finish(core, transaction, &batch.user, batch.agent.as_deref(), &plan, kept).await?;
            Ok(plan.outcomes)
        }
        Err(failure) => {
            transaction.rollback().await;
            Err(failure)
        }
    }
}

/// Whether it may take so long to work out what comes of the batch that other calls need a thread meanwhile.
fn is_long(batch: &Batch, met: &Met) -> bool {
    let given = batch.writes.iter().map(|write| match &write.mutation {
        Mutation::Append { items: json, .. } | Mutation::Merge(json) => json.len(),
        _ => 0,
    });
    let read = met.found.iter().flatten().map(|found| found.value.as_ref().map_or(0, String::len));
    given.chain(read).sum::<usize>() > LONG_BYTES
}

enum Planned<'b> {
    /// The request was applied before, and returned this.
    Known(Box<str>),
    New(Box<Plan<'b>>, Option<Kept>),
}

fn plan<'b>(
    batch: &'b Batch,
    keys: &Keys<'b>,
    request: Option<&Request>,
    met: Met,
    transaction: &Transaction,
    limits: &Limits,
) -> Result<Planned<'b>> {
    let Met { ids, found, versions, applied, usage } = met;
    let replaces = applied.is_some();
    if let (Some(request), Some(applied)) = (request, applied)
        && let Some(text) = request.recall(applied, transaction.now)?
    {
        return Ok(Planned::Known(text));
    }
    let mut plan = Plan::begin(keys, &ids, found, versions, transaction.now)?;
    plan.apply(keys, &batch.writes, limits)?;
    if let (Some(quota), Some((stored, live))) = (batch.quota, usage)
        && plan.grows()
    {
        // Expired records are left out only where they make the difference.
        quota
            .check(stored, plan.usage_after(stored))
            .or_else(|_| quota.check(live, plan.usage_after(live)))
            .map_err(Failure::from)?;
    }
    let kept = request.map(|request| {
        Kept::new(request.applied(outcomes_to_text(&plan.outcomes), transaction.now), request, replaces)
    });
    Ok(Planned::New(Box::new(plan), kept))
}
