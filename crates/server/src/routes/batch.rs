//! Many writes at once.

use agent_data_store::{Quota, wire};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::answer::json;
use crate::body::{JsonBody, entries};
use crate::caller::Caller;
use crate::error::Result;
use crate::schemas;
use crate::write::WriteBody;

/// Writes in order; later ones see what earlier ones did.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch<'a> {
    #[serde(borrow, deserialize_with = "entries")]
    #[schema(max_items = 100_000)]
    writes: Vec<WriteBody<'a>>,
    /// What the user's records may take afterwards; beyond it the batch is refused.
    quota: Option<Limits>,
}

/// Limits of a user's records over all namespaces; what is left out is not limited.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Limits {
    /// Most live records.
    records: Option<u64>,
    /// Most bytes of the live records' keys, values and metadata, as UTF-8 JSON text.
    bytes: Option<u64>,
}

/// Applies writes to any namespaces, all or none.
#[utoipa::path(
    post, path = "/data-store/batch", tag = "many at once", operation_id = "write_batch", request_body = Batch<'_>,
    responses(
        (status = 200, description = "What each of them did, in order", body = Vec<schemas::Outcome>),
        (status = 507, description = "The batch is over its quota", body = schemas::Error),
        (status = 412, description = "A record has another version than a write asks for", body = schemas::Error),
    ),
)]
pub(crate) async fn write(caller: Caller, body: JsonBody) -> Result {
    let limits = caller.writer_to([])?.limits().clone();
    let Batch { writes, quota } = body.parse()?;
    let writes = writes.into_iter().map(|write| write.anywhere(&limits)).collect::<Result<Vec<_>>>()?;
    let view = caller.writer_to(writes.iter().map(|write| &*write.address.namespace))?;
    let view = match quota {
        Some(Limits { records, bytes }) => view.with_quota(Quota { records, bytes }),
        None => view,
    };
    let outcomes = view.write(writes).await?;
    Ok(json(wire::array(outcomes.iter().map(wire::outcome))))
}
