//! Whole records and statistics as the package's dataclasses.

use agent_data_store::model::{NamespaceStats, Record};
use agent_data_store::{Json, Timestamp};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDateTime, PyDelta, PyDict, PyType, PyTzInfo};

use crate::decode::decode;
use crate::errors::undecodable;
use crate::known_values;

/// [`stored_value`], made from its text.
pub(crate) fn decoded_value<'py>(py: Python<'py>, key: &str, value: &Json) -> PyResult<Bound<'py, PyAny>> {
    decode(py, value.as_str()).map_err(|error| undecodable(py, error, &format!("value of key {key:?}")))
}

/// A value that was stored under `key`, as Python.
pub(crate) fn stored_value<'py>(py: Python<'py>, key: &str, value: &Json) -> PyResult<Bound<'py, PyAny>> {
    known_values::object(py, value).map_err(|error| undecodable(py, error, &format!("value of key {key:?}")))
}

pub(crate) fn record<'py>(py: Python<'py>, record: &Record) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let fields = PyDict::new(py);
    let metadata = decode(py, record.metadata.as_str())
        .map_err(|error| undecodable(py, error, &format!("metadata of key {:?}", record.key)))?;
    fields.set_item(intern!(py, "user_id"), &*record.user_id)?;
    fields.set_item(intern!(py, "namespace"), &*record.namespace)?;
    fields.set_item(intern!(py, "key"), &*record.key)?;
    fields.set_item(intern!(py, "value"), stored_value(py, &record.key, &record.value)?)?;
    fields.set_item(intern!(py, "metadata"), metadata)?;
    fields.set_item(intern!(py, "version"), record.version)?;
    fields.set_item(intern!(py, "created_by_agent"), record.created_by_agent.as_deref())?;
    fields.set_item(intern!(py, "updated_by_agent"), record.updated_by_agent.as_deref())?;
    fields.set_item(intern!(py, "last_accessed_by_agent"), record.last_accessed_by_agent.as_deref())?;
    fields.set_item(intern!(py, "access_count"), record.access_count)?;
    fields.set_item(intern!(py, "created_at"), moment(py, record.created_at)?)?;
    fields.set_item(intern!(py, "updated_at"), moment(py, record.updated_at)?)?;
    fields.set_item(intern!(py, "last_accessed_at"), optional_moment(py, record.last_accessed_at)?)?;
    fields.set_item(intern!(py, "expires_at"), optional_moment(py, record.expires_at)?)?;
    CLASS.import(py, "agent_data_store._model", "Record")?.call((), Some(&fields))
}

pub(crate) fn namespace_stats<'py>(py: Python<'py>, stats: &NamespaceStats) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let agents: Vec<&str> = stats.agents.iter().map(|agent| &**agent).collect();
    CLASS.import(py, "agent_data_store._model", "NamespaceStats")?.call1((
        &*stats.namespace,
        stats.records,
        stats.bytes,
        agents,
        moment(py, stats.updated_at)?,
    ))
}

pub(crate) fn optional_moment<'py>(py: Python<'py>, at: Option<Timestamp>) -> PyResult<Option<Bound<'py, PyAny>>> {
    at.map(|at| moment(py, at)).transpose()
}

/// A moment as an aware `datetime` in UTC; one beyond the year 9999 is shown as the last that Python has.
pub(crate) fn moment<'py>(py: Python<'py>, at: Timestamp) -> PyResult<Bound<'py, PyAny>> {
    const DAY_MICROS: i64 = 86_400 * 1_000_000;
    const LAST_DAY: i64 = 2_932_896;
    let utc = PyTzInfo::utc(py)?;
    let days = at.as_micros().div_euclid(DAY_MICROS);
    if days > LAST_DAY {
        return Ok(PyDateTime::new(py, 9999, 12, 31, 23, 59, 59, 999_999, Some(&utc))?.into_any());
    }
    let micros = at.as_micros().rem_euclid(DAY_MICROS);
    let part = |value: i64| i32::try_from(value).unwrap_or_default();
    let since_epoch = PyDelta::new(py, part(days), part(micros / 1_000_000), part(micros % 1_000_000), false)?;
    PyDateTime::new(py, 1970, 1, 1, 0, 0, 0, 0, Some(&utc))?.add(since_epoch)
}
