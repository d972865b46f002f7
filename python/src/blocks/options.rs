//! The arguments that several building blocks share, checked and encoded.

use agent_data_store::{AppendOptions, DataStore, Error, Json};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString};

use crate::arguments::{self, type_name};
use crate::encode::{self, encode};
use crate::errors::refused;

/// A value for `key`; `what` names it where it is refused.
pub(crate) fn value(
    view: &DataStore,
    operation: &'static str,
    key: &str,
    what: &str,
    value: &Bound<'_, PyAny>,
) -> PyResult<Json> {
    let place = |error: Error| error.during(operation).at(view.namespace(), key);
    arguments::value(value, view.limits()).map_err(|refusal| refused(value.py(), refusal, what, place))
}

/// A number to add; 1 if there is none.
pub(crate) fn amount(view: &DataStore, key: &str, by: Option<&Bound<'_, PyAny>>) -> PyResult<Json> {
    let Some(by) = by else { return Ok(Json::from_trusted("1")) };
    let is_number = by.is_instance_of::<PyInt>() || by.is_instance_of::<PyFloat>();
    if !is_number || by.is_instance_of::<PyBool>() {
        return Err(PyTypeError::new_err(format!("by is {}, not int or float", type_name(by))));
    }
    value(view, "increment", key, "by", by)
}

/// A list of one item.
pub(crate) fn item(view: &DataStore, key: &str, item: &Bound<'_, PyAny>) -> PyResult<Json> {
    let limits = view.limits();
    // Within the list it is one deeper, and the brackets count too.
    let limits = encode::Limits { depth: limits.depth.saturating_sub(1), bytes: limits.value_bytes.saturating_sub(2) };
    let place = |error: Error| error.during("append").at(view.namespace(), key);
    let text = encode(item, limits).map_err(|refusal| refused(item.py(), refusal, "item", place))?;
    Ok(Json::from_trusted(format!("[{text}]")))
}

/// A list of what any iterable gives.
pub(crate) fn items(view: &DataStore, key: &str, items: &Bound<'_, PyAny>) -> PyResult<Json> {
    let is_one_thing = items.is_instance_of::<PyString>() || items.is_instance_of::<PyBytes>();
    if is_one_thing || items.is_instance_of::<PyDict>() {
        return Err(PyTypeError::new_err(format!("items is {}: give a list of items", type_name(items))));
    }
    if items.try_iter().is_err() {
        return Err(PyTypeError::new_err(format!("items is {}, which is not iterable: give a list", type_name(items))));
    }
    let list = items.py().get_type::<PyList>().call1((items,))?;
    value(view, "extend", key, "items", &list)
}

pub(crate) fn append_options(
    unique: bool,
    max_length: Option<&Bound<'_, PyAny>>,
    ttl: Option<&Bound<'_, PyAny>>,
) -> PyResult<AppendOptions> {
    let max_length = arguments::positive("max_length", max_length)?.and_then(|length| length.try_into().ok());
    Ok(AppendOptions { unique, max_length, ttl: arguments::ttl(ttl)? })
}
