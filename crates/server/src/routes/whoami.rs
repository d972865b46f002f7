//! What the server takes the caller for.

use agent_data_store::wire::Object;

use crate::answer::json;
use crate::caller::Caller;
use crate::error::Result;
use crate::schemas;

/// Shows whom the server takes the caller for.
#[utoipa::path(
    get, path = "/data-store/whoami", tag = "server", operation_id = "whoami",
    responses((status = 200, description = "The caller", body = schemas::Caller)),
)]
pub(crate) async fn whoami(caller: Caller) -> Result {
    let identity = caller.identity();
    let permit = caller.permit();
    let body = Object::with_capacity(128)
        .text("user", identity.user())
        .text("agent", identity.agent())
        .text("access", permit.access().as_str())
        .texts("namespaces", permit.patterns())
        .text("token", permit.token().map(|id| &**id));
    Ok(json(body.into_text()))
}
