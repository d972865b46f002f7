//! What Python passes in, checked and with errors that say what to pass instead.

use std::time::Duration;

use agent_data_store::Json;
use agent_data_store::limits::Limits;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDelta, PyDeltaAccess, PyDict, PyFloat, PyInt, PyList, PyString};

use crate::encode::{self, encode};
use crate::errors::invalid_argument;
use crate::refusal::Refusal;

/// The name of the type of `value`, for messages.
pub(crate) fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string())
}

/// The text of a name: a key, a prefix, a namespace.
pub(crate) fn text<'a>(what: &str, value: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    let Ok(string) = value.cast::<PyString>() else {
        return Err(PyTypeError::new_err(format!("{what} is {}, not str", type_name(value))));
    };
    string.to_str().map_err(|_| {
        invalid_argument(value.py(), &format!("{what} holds a lone surrogate, which UTF-8 cannot hold: replace it"))
    })
}

/// The text of a name that may be left out.
pub(crate) fn optional_text<'a>(what: &str, value: Option<&'a Bound<'_, PyAny>>) -> PyResult<Option<&'a str>> {
    value.map(|value| text(what, value)).transpose()
}

/// The keys in any iterable of `str`.
pub(crate) fn keys(value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if value.is_instance_of::<PyString>() || value.is_instance_of::<PyBytes>() {
        return Err(PyTypeError::new_err(format!("keys is {}: give a list of keys", type_name(value))));
    }
    value.try_iter()?.map(|key| text("key", &key?).map(str::to_owned)).collect()
}

enum Stretch {
    Negative,
    Finite(Duration),
    Endless,
    Undefined,
}

/// A stretch of time: seconds, or a `timedelta`.
fn stretch(what: &str, value: &Bound<'_, PyAny>) -> PyResult<Stretch> {
    if let Ok(delta) = value.cast::<PyDelta>() {
        // A timedelta keeps its sign in the days alone.
        let Ok(days) = u64::try_from(delta.get_days()) else { return Ok(Stretch::Negative) };
        let seconds = u64::try_from(delta.get_seconds()).unwrap_or_default();
        let micros = u64::try_from(delta.get_microseconds()).unwrap_or_default();
        return Ok(Stretch::Finite(Duration::from_secs(days * 86_400 + seconds) + Duration::from_micros(micros)));
    }
    let is_number = value.is_instance_of::<PyFloat>() || value.is_instance_of::<PyInt>();
    if !is_number || value.is_instance_of::<PyBool>() {
        return Err(PyTypeError::new_err(format!(
            "{what} is {}: give seconds (int or float) or a datetime.timedelta",
            type_name(value)
        )));
    }
    let seconds: f64 = value.extract().unwrap_or(f64::INFINITY);
    Ok(match Duration::try_from_secs_f64(seconds) {
        Ok(duration) => Stretch::Finite(duration),
        Err(_) if seconds < 0.0 => Stretch::Negative,
        Err(_) if seconds.is_nan() => Stretch::Undefined,
        Err(_) => Stretch::Endless,
    })
}

/// A time to live.
pub(crate) fn ttl(value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Duration>> {
    let remedies = ["give seconds above 0, or delete the key", "leave it out for a record that stays"];
    value.map(|value| checked_ttl(value, remedies)).transpose()
}

/// How long a lock or a claim is held.
pub(crate) fn lease_ttl(value: &Bound<'_, PyAny>) -> PyResult<Duration> {
    checked_ttl(value, ["give seconds above 0", "give how long others may have to wait for one that has died"])
}

fn checked_ttl(value: &Bound<'_, PyAny>, [not_positive, endless]: [&str; 2]) -> PyResult<Duration> {
    let message = match stretch("ttl", value)? {
        Stretch::Finite(ttl) if !ttl.is_zero() => return Ok(ttl),
        Stretch::Finite(_) | Stretch::Negative => format!("ttl is not positive: {not_positive}"),
        Stretch::Endless | Stretch::Undefined => format!("ttl is not a finite number of seconds: {endless}"),
    };
    Err(invalid_argument(value.py(), &message))
}

/// How long to wait at most; `None` for as long as it takes.
pub(crate) fn wait(what: &str, value: Option<&Bound<'_, PyAny>>) -> PyResult<Duration> {
    let Some(value) = value else { return Ok(Duration::MAX) };
    match stretch(what, value)? {
        Stretch::Finite(wait) => Ok(wait),
        Stretch::Endless => Ok(Duration::MAX),
        Stretch::Negative | Stretch::Undefined => Err(invalid_argument(
            value.py(),
            &format!("{what} is not a number of seconds from 0 on: give one, or None for no limit"),
        )),
    }
}

/// An argument that may be left out; given as `None`, it is `None`.
#[derive(Default)]
pub(crate) struct Given<'py>(Option<Bound<'py, PyAny>>);

impl<'py> Given<'py> {
    pub(crate) fn get(&self) -> Option<&Bound<'py, PyAny>> {
        self.0.as_ref()
    }
}

impl<'py> FromPyObject<'_, 'py> for Given<'py> {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self(Some(value.to_owned())))
    }
}

/// An argument `wait`.
#[derive(Clone, Copy)]
pub(crate) struct Wait(pub(crate) Duration);

impl<'py> FromPyObject<'_, 'py> for Wait {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        wait("wait", (!value.is_none()).then_some(&*value)).map(Self)
    }
}

/// A number from 1 on.
pub(crate) fn positive(what: &str, value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<u64>> {
    let Some(value) = value else { return Ok(None) };
    if !value.is_instance_of::<PyInt>() || value.is_instance_of::<PyBool>() {
        return Err(PyTypeError::new_err(format!("{what} is {}, not int", type_name(value))));
    }
    if value.le(0)? {
        return Err(invalid_argument(value.py(), &format!("{what} is not positive: give 1 or more, or leave it out")));
    }
    // More than 64 bits hold is as good as no limit.
    Ok(value.extract().ok())
}

/// What can be called.
pub(crate) fn function<'a, 'py>(what: &str, value: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyAny>> {
    if !value.is_callable() {
        return Err(PyTypeError::new_err(format!("{what} is {}, not a function", type_name(value))));
    }
    Ok(value)
}

/// A version to compare with.
pub(crate) fn if_version(value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<u64>> {
    let Some(value) = value else { return Ok(None) };
    if !value.is_instance_of::<PyInt>() || value.is_instance_of::<PyBool>() {
        return Err(PyTypeError::new_err(format!("if_version is {}, not int", type_name(value))));
    }
    value.extract().map(Some).map_err(|_| {
        invalid_argument(value.py(), "if_version is not a version: give one of a record, or 0 for \"only if absent\"")
    })
}

/// A value as JSON.
pub(crate) fn value(value: &Bound<'_, PyAny>, limits: &Limits) -> Result<Json, Refusal> {
    encode(value, encode::Limits { depth: limits.depth, bytes: limits.value_bytes }).map(Json::from_trusted)
}

/// Metadata as JSON; a dict that says nothing counts as none.
pub(crate) fn metadata(dict: Option<&Bound<'_, PyDict>>, limits: &Limits) -> Result<Option<Json>, Refusal> {
    let Some(dict) = dict.filter(|dict| !dict.is_empty()) else { return Ok(None) };
    let limits = encode::Limits { depth: limits.depth, bytes: limits.metadata_bytes };
    encode(dict, limits).map(|text| Some(Json::from_trusted(text)))
}

/// A dict that may be left out.
pub(crate) fn optional_dict<'a, 'py>(
    what: &str,
    value: Option<&'a Bound<'py, PyAny>>,
) -> PyResult<Option<&'a Bound<'py, PyDict>>> {
    let dict = value.map(|value| {
        value.cast::<PyDict>().map_err(|_| PyTypeError::new_err(format!("{what} is {}, not dict", type_name(value))))
    });
    dict.transpose()
}

/// The pairs of a mapping, or of an iterable of pairs, as `dict` takes them.
pub(crate) fn pairs<'py>(items: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
    let dict = match items.cast::<PyDict>() {
        Ok(dict) => dict.clone(),
        Err(_) => items.py().get_type::<PyDict>().call1((items,))?.cast_into::<PyDict>()?,
    };
    // A list of its own, because encoding a value may run Python code that changes the dict.
    Ok(dict.items())
}

/// Rows on a page of `items`.
pub(crate) fn page_size(value: &Bound<'_, PyAny>) -> PyResult<usize> {
    match value.extract::<usize>() {
        Ok(rows @ 1..) => Ok(rows),
        _ if !value.is_instance_of::<PyInt>() => {
            Err(PyTypeError::new_err(format!("page_size is {}, not int", type_name(value))))
        }
        _ => Err(invalid_argument(value.py(), "page_size is not positive: give how many records to read at a time")),
    }
}

/// An environment variable; an empty one counts as not set.
pub(crate) fn environment(py: Python<'_>, variable: &str) -> PyResult<Option<String>> {
    match std::env::var(variable) {
        Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(invalid_argument(py, &format!("{variable} is not UTF-8: set it anew or unset it")))
        }
    }
}
