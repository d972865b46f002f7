//! The native half of the Python package `agent_data_store`.

mod decode;
mod encode;
mod errors;
mod refusal;
mod scan;

/// The native half of `agent_data_store`; its names are private, use those of the package.
// The conversions read containers in place, which is sound only while no other thread runs Python code.
#[pyo3::pymodule(gil_used = true)]
mod _native {
    use pyo3::prelude::*;

    use crate::encode::{Limits, encode};

    /// The compact JSON text of `value`; raises what `set` would raise.
    #[pyfunction]
    #[pyo3(signature = (value, *, depth = 128, size = 16 << 20))]
    fn to_json(value: &Bound<'_, PyAny>, depth: usize, size: usize) -> PyResult<String> {
        encode(value, Limits { depth, bytes: size }).map_err(|refusal| refusal.into_py_err(value.py(), "value"))
    }

    /// The object that JSON text describes, as `get` returns it.
    #[pyfunction]
    fn from_json<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
        crate::decode::decode(py, text).map_err(|error| error.into_py_err(py))
    }
}
