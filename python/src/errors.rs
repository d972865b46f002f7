//! Failures as Python exceptions, in one place.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::decode::DecodeError;
use crate::refusal::{Reason, Refusal};

/// Python's class for a kind of failure: they are written in Python, where one can read what they inherit.
macro_rules! exception {
    ($py:expr, $name:literal) => {{
        static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        CLASS.import($py, "agent_data_store._errors", $name)
    }};
}

impl Refusal {
    /// The exception for a refused argument `what`.
    pub(crate) fn into_py_err(self, py: Python<'_>, what: &str) -> PyErr {
        let message = self.message(what);
        let class = match self.into_reason() {
            Reason::Unsupported { .. } | Reason::UnsupportedKey { .. } => exception!(py, "NotSerializableError"),
            Reason::TooDeep { .. } | Reason::TooLarge { .. } => exception!(py, "TooLargeError"),
            Reason::NotFinite { .. } | Reason::LoneSurrogate | Reason::Circular | Reason::Changed => {
                exception!(py, "InvalidArgumentError")
            }
            // The caller's own code raised it: their exception says more than a wrapper.
            Reason::Python(error) => return error,
        };
        class.map_or_else(|error| error, |class| PyErr::from_type(class.clone(), message))
    }
}

impl DecodeError {
    pub(crate) fn into_py_err(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Python(error) => error,
            Self::Malformed { at } => exception!(py, "CorruptStoreError").map_or_else(
                |error| error,
                |class| {
                    PyErr::from_type(
                        class.clone(),
                        format!("stored text is not JSON at byte {at}: restore it from a backup"),
                    )
                },
            ),
        }
    }
}
