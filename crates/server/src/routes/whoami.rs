//! What the server takes the caller for.

use agent_data_store::wire::Object;

use crate::answer::json;
use crate::caller::Caller;
use crate::error::Result;

/// Who is calling.
pub(crate) async fn whoami(caller: Caller) -> Result {
    let identity = caller.identity();
    Ok(json(Object::with_capacity(64).text("user", identity.user()).text("agent", identity.agent()).into_text()))
}
