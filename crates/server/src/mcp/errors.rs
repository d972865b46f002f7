//! Errors as a model can use them: what is wrong, and what to do next.

use agent_data_store::wire;
use agent_data_store::{Error, ErrorKind};
use rmcp::ErrorData;
use rmcp::model::{CallToolResult, ContentBlock};

use crate::error::Failure;

/// What to do after an error of this kind, where its message alone does not say it.
fn next(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidArgument | ErrorKind::NotSerializable => "correct the arguments and call again",
        ErrorKind::TooLarge => "store less at once: split the value over several keys",
        ErrorKind::Conflict => {
            "somebody else has written meanwhile: get the record again, make your change to the value that it has now, and \
             set it with if_version of that version"
        }
        ErrorKind::LeaseHeld => "do something else first, or call lock again with wait_seconds",
        ErrorKind::LeaseLost => {
            "it is no longer yours: do not write what it protects; look at what others have done, then lock or claim anew"
        }
        ErrorKind::QuotaExceeded => "delete what is no longer needed, or store less",
        ErrorKind::PermissionDenied => {
            "this is not allowed to you: list_namespaces shows the namespaces that you reach; ask the operator for more"
        }
        ErrorKind::Unauthenticated => "ask the operator for a valid token",
        ErrorKind::Unavailable => "wait a moment and call again; after a write, read first whether it was done",
        _ => "stop writing and tell the operator of the store",
    }
}

/// The answer of a tool that failed.
pub(super) fn refusal(error: &Error) -> CallToolResult {
    let object = wire::error(error);
    let members = object.as_str().trim_end_matches('}');
    let text = format!("{members},\"next\":{}}}", wire::string(next(error.kind())));
    CallToolResult::error(vec![ContentBlock::text(text)])
}

/// The error of a request that is no call of a tool.
pub(super) fn protocol_error(error: &Error) -> ErrorData {
    let message = format!("{}: {}", wire::error_code(error.kind()), error.message());
    match error.kind() {
        ErrorKind::Unavailable | ErrorKind::CorruptStore => ErrorData::internal_error(message, None),
        _ => ErrorData::invalid_params(message, None),
    }
}

/// The store's error in a failure of a route.
pub(super) fn of_failure(failure: Failure) -> Error {
    match failure {
        Failure::Store(error) => error,
        _ => Error::new(ErrorKind::Unavailable, "the request cannot be done now: try again later"),
    }
}
