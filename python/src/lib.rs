//! The native half of the Python package `agent_data_store`.

mod arguments;
mod blocks;
mod bulk;
mod cli;
mod data_store;
mod decode;
mod encode;
mod errors;
mod fork;
mod items;
mod known_values;
mod records;
mod refusal;
mod scan;
mod secrets;

/// The native half of `agent_data_store`; its names are private, use those of the package.
// The conversions read containers in place, which is sound only while no other thread runs Python code.
#[pyo3::pymodule(gil_used = true)]
mod _native {
    use agent_data_store::limits::Limits;
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::blocks::call::PyCall;
    #[pymodule_export]
    use crate::blocks::feed::Watch;
    #[pymodule_export]
    use crate::blocks::lease::PyLease;
    #[pymodule_export]
    use crate::blocks::tasks::PyClaim;
    #[pymodule_export]
    use crate::blocks::transaction::PyTransaction;
    #[pymodule_export]
    use crate::cli::run_program;
    #[pymodule_export]
    use crate::data_store::{PreparedWrite, PyDataStore, connect};
    #[pymodule_export]
    use crate::items::Items;
    #[pymodule_export]
    use crate::secrets::{found_secrets, holds_secret, keep_found_secrets};

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// The compact JSON text of `value`; raises what `set` would raise, with `what` as its name.
    #[pyfunction]
    #[pyo3(signature = (value, what = "value"))]
    fn to_json(value: &Bound<'_, PyAny>, what: &str) -> PyResult<String> {
        let json = crate::arguments::value(value, &Limits::default());
        json.map(|json| json.as_str().to_owned())
            .map_err(|refusal| crate::errors::refused(value.py(), refusal, what, |error| error))
    }

    /// The object that JSON text describes, as `get` returns it.
    #[pyfunction]
    fn from_json<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
        crate::decode::decode(py, text).map_err(|error| crate::errors::undecodable(py, error, "text"))
    }

    #[pyfunction]
    fn before_fork(py: Python<'_>) {
        crate::fork::before_fork(py);
    }

    #[pyfunction]
    fn after_fork(py: Python<'_>) {
        crate::fork::after_fork(py);
    }

    #[pyfunction]
    fn close_all(py: Python<'_>) {
        crate::fork::close_all(py);
    }
}
