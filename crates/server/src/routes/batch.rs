//! Many writes at once.

use agent_data_store::wire;
use serde::Deserialize;

use crate::answer::json;
use crate::body::JsonBody;
use crate::caller::Caller;
use crate::error::Result;
use crate::write::WriteBody;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchBody<'a> {
    #[serde(borrow)]
    writes: Vec<WriteBody<'a>>,
}

/// Applies writes to any namespaces, all or none.
pub(crate) async fn write(caller: Caller, body: JsonBody) -> Result {
    let limits = caller.writer_to([])?.limits().clone();
    let writes = body.parse::<BatchBody<'_>>()?.writes;
    let writes = writes.into_iter().map(|write| write.anywhere(&limits)).collect::<Result<Vec<_>>>()?;
    let view = caller.writer_to(writes.iter().map(|write| &*write.address.namespace))?;
    let outcomes = view.write(writes).await?;
    Ok(json(wire::array(outcomes.iter().map(wire::outcome))))
}
