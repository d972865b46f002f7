//! Failures as Python exceptions, in one place.

use agent_data_store::{Error, ErrorKind};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::decode::DecodeError;
use crate::records;
use crate::refusal::{Reason, Refusal};

/// The class for a kind of failure. The classes are written in Python, where one can read what they inherit.
fn class(py: Python<'_>, kind: ErrorKind) -> PyResult<&Bound<'_, PyType>> {
    macro_rules! class {
        ($name:literal) => {{
            static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
            CLASS.import(py, "agent_data_store._errors", $name)
        }};
    }
    match kind {
        ErrorKind::InvalidArgument => class!("InvalidArgumentError"),
        ErrorKind::NotSerializable => class!("NotSerializableError"),
        ErrorKind::TooLarge => class!("TooLargeError"),
        ErrorKind::Conflict => class!("ConflictError"),
        ErrorKind::LeaseHeld => class!("LeaseHeldError"),
        ErrorKind::LeaseLost => class!("LeaseLostError"),
        ErrorKind::QuotaExceeded => class!("QuotaExceededError"),
        ErrorKind::Unauthenticated | ErrorKind::PermissionDenied => class!("PermissionDeniedError"),
        ErrorKind::Unavailable => class!("UnavailableError"),
        ErrorKind::CorruptStore => class!("CorruptStoreError"),
        _ => class!("DataStoreError"),
    }
}

/// The exception for a failed call of the store, with what is known of the place as attributes.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    let exception = class(py, error.kind()).and_then(|class| {
        let exception = class.call1((error.message(),))?;
        exception.setattr("operation", error.operation())?;
        exception.setattr("namespace", error.namespace())?;
        exception.setattr("key", error.key())?;
        exception.setattr("retryable", error.is_retryable())?;
        if let Some(mismatch) = error.version_mismatch() {
            exception.setattr("expected_version", mismatch.expected)?;
            exception.setattr("actual_version", mismatch.actual)?;
        }
        if let Some(holder) = error.lease_holder() {
            exception.setattr("holder", holder.agent.as_deref())?;
            exception.setattr("expires_at", records::optional_moment(py, holder.expires_at)?)?;
        }
        Ok(exception)
    });
    exception.map_or_else(|error| error, PyErr::from_value)
}

/// Whether `error` is a `ConflictError`.
pub(crate) fn is_conflict(py: Python<'_>, error: &PyErr) -> bool {
    class(py, ErrorKind::Conflict).is_ok_and(|class| error.is_instance(py, class))
}

pub(crate) fn invalid_argument(py: Python<'_>, message: &str) -> PyErr {
    raise(py, &Error::new(ErrorKind::InvalidArgument, message))
}

/// The exception for an argument that was not encoded; `what` names it, `place` adds where it was to go.
pub(crate) fn refused(py: Python<'_>, refusal: Refusal, what: &str, place: impl FnOnce(Error) -> Error) -> PyErr {
    let message = refusal.message(what);
    let kind = match refusal.into_reason() {
        Reason::Unsupported { .. } | Reason::UnsupportedKey { .. } => ErrorKind::NotSerializable,
        Reason::TooDeep { .. } | Reason::TooLarge { .. } => ErrorKind::TooLarge,
        Reason::NotFinite { .. } | Reason::LoneSurrogate | Reason::Circular | Reason::Changed => {
            ErrorKind::InvalidArgument
        }
        // The caller's own code raised it: their exception says more than a wrapper.
        Reason::Python(error) => return error,
    };
    raise(py, &place(Error::new(kind, message)))
}

/// The exception for stored text that is not JSON.
pub(crate) fn undecodable(py: Python<'_>, error: DecodeError, what: &str) -> PyErr {
    match error {
        DecodeError::Python(error) => error,
        DecodeError::Malformed { at } => {
            let message = format!("{what} is not JSON at byte {at}: restore the store from a backup");
            raise(py, &Error::new(ErrorKind::CorruptStore, message))
        }
    }
}
