//! Many values at once.

use agent_data_store::Json;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::records::stored_value;

/// From this many bytes of text on, the collector would run while the values are built.
const PAUSE_FROM_BYTES: usize = 64 << 10;

/// Python 3.12 starts with some hundred objects frozen; a program that freezes its own has thousands.
const FROZEN_AT_START: usize = 1_000;

/// The values under their keys, in the order of `rows`.
pub(crate) fn dict<'py>(py: Python<'py>, rows: Vec<(Box<str>, Json)>) -> PyResult<Bound<'py, PyDict>> {
    let bytes: usize = rows.iter().map(|(_, value)| value.len()).sum();
    let _pause = (bytes >= PAUSE_FROM_BYTES).then(|| CollectorPause::new(py));
    let dict = PyDict::new(py);
    for (key, value) in rows {
        dict.set_item(PyString::new(py, &key), stored_value(py, &key, &value)?)?;
    }
    Ok(dict)
}

/// Keeps Python's cyclic garbage collector from running.
///
/// It would traverse the new objects again and again while they are built, to find what cannot be there: values from JSON
/// hold no cycles. That took two thirds of the time of a bulk read. Pausing alone would only put it off to the next
/// allocation afterwards, so the new objects are handed to the oldest generation by freezing and unfreezing.
struct CollectorPause<'py> {
    py: Python<'py>,
    was_enabled: bool,
}

impl<'py> CollectorPause<'py> {
    fn new(py: Python<'py>) -> Self {
        // SAFETY: `py` proves that the interpreter lock is held.
        let was_enabled = unsafe { ffi::PyGC_Disable() } == 1;
        Self { py, was_enabled }
    }

    fn age_new_objects(&self) -> PyResult<()> {
        let gc = self.py.import("gc")?;
        // Unfreezing would also thaw what the program itself has frozen.
        if gc.call_method0("get_freeze_count")?.extract::<usize>()? < FROZEN_AT_START {
            gc.call_method0("freeze")?;
            gc.call_method0("unfreeze")?;
        }
        Ok(())
    }
}

impl Drop for CollectorPause<'_> {
    fn drop(&mut self) {
        if self.was_enabled {
            // Only speed is lost where this fails.
            let _ = self.age_new_objects();
            // SAFETY: `py` proves that the interpreter lock is held.
            unsafe { ffi::PyGC_Enable() };
        }
    }
}
