//! One call for what is otherwise read, changed and written back.

use agent_data_store::{AppendOptions, Json, block_on};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::arguments::{self, Given};
use crate::blocks::call::{self, Asking, Call, Caller, PyCall, finish};
use crate::blocks::options;
use crate::data_store::{PyDataStore, run};
use crate::records::stored_value;

impl PyDataStore {
    fn extend_call(&self, key: String, items: Json, options: AppendOptions) -> Call {
        let view = self.view.clone();
        Call::new(&self.opened, &Caller::default(), async move {
            let length = view.extend(&key, items, options).await?;
            Ok(finish(move |py| length.into_bound_py_any(py)))
        })
    }

    fn append_call(
        &self,
        key: &Bound<'_, PyAny>,
        item: &Bound<'_, PyAny>,
        unique: bool,
        max_length: Option<&Bound<'_, PyAny>>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Call> {
        let key = arguments::text("key", key)?;
        let options = options::append_options(unique, max_length, ttl)?;
        let item = options::item(&self.view, key, item)?;
        Ok(self.extend_call(key.to_owned(), item, options))
    }

    fn items_call(
        &self,
        key: &Bound<'_, PyAny>,
        items: &Bound<'_, PyAny>,
        unique: bool,
        max_length: Option<&Bound<'_, PyAny>>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Call> {
        let key = arguments::text("key", key)?;
        let options = options::append_options(unique, max_length, ttl)?;
        let items = options::items(&self.view, key, items)?;
        Ok(self.extend_call(key.to_owned(), items, options))
    }

    fn merge_call(
        &self,
        key: &Bound<'_, PyAny>,
        patch: &Bound<'_, PyAny>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Call> {
        let key = arguments::text("key", key)?.to_owned();
        let ttl = arguments::ttl(ttl)?;
        let patch = options::value(&self.view, "merge", &key, "patch", patch)?;
        let view = self.view.clone();
        Ok(Call::new(&self.opened, &Caller::default(), async move {
            let value = view.merge(&key, patch, ttl).await?;
            Ok(finish(move |py| stored_value(py, &key, &value)))
        }))
    }

    fn update_call(
        &self,
        key: &Bound<'_, PyAny>,
        default: Option<&Bound<'_, PyAny>>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Call> {
        let key = arguments::text("key", key)?.to_owned();
        let ttl = arguments::ttl(ttl)?;
        let default = match default {
            Some(default) => options::value(&self.view, "update", &key, "default", default)?,
            None => Json::from_trusted("null"),
        };
        let (view, caller) = (self.view.clone(), Caller::default());
        let (asking, place) = (caller.clone(), (view.clone(), key.clone()));
        let next = move |present: Option<&Json>| -> Asking<Json> {
            let present = present.unwrap_or(&default).clone();
            let ((view, to), of) = (place.clone(), place.1.clone());
            let arguments = call::arguments(move |py| PyTuple::new(py, [stored_value(py, &of, &present)?]));
            asking.ask(arguments, move |result| options::value(&view, "update", &to, "the new value", result))
        };
        Ok(Call::new(&self.opened, &caller, async move {
            let (value, _) = view.update(&key, ttl, next).await?;
            Ok(finish(move |py| stored_value(py, &key, &value)))
        }))
    }
}

#[pymethods]
impl PyDataStore {
    /// Adds the number `by` to the one under `key` and returns the sum; a missing key counts as 0.
    ///
    /// Atomic across threads and processes. Integers of any size stay exact; with a float on either side the sum is
    /// one. `ttl`: how long the record lives from now on, in seconds or as a `timedelta`; without it, its expiry stays.
    ///
    /// Raises `InvalidArgumentError` where the stored value is not a number or the sum is too large for a float.
    #[pyo3(signature = (key, by = Given::default(), *, ttl = None), text_signature = "($self, key, by=1, *, ttl=None)")]
    fn increment<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        by: Given<'py>,
        ttl: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let key = arguments::text("key", key)?;
        let ttl = arguments::ttl(ttl)?;
        let by = options::amount(&self.view, key, by.get())?;
        let sum = run(py, || block_on(self.view.increment(key, by, ttl)))?;
        stored_value(py, key, &sum)
    }

    /// Appends `item` to the list under `key` and returns its new length; a missing key counts as an empty list.
    ///
    /// Atomic across threads and processes. `unique`: does nothing if the list holds the item already, compared as
    /// JSON values. `max_length`: drops the oldest items above it. `ttl` is as in `increment`.
    ///
    /// Raises what `set` raises for an item, `InvalidArgumentError` where the stored value is not a list, and
    /// `TooLargeError` where the list outgrows the limit of a value.
    #[pyo3(signature = (key, item, *, unique = false, max_length = None, ttl = None))]
    fn append<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        item: &Bound<'py, PyAny>,
        unique: bool,
        max_length: Option<&Bound<'py, PyAny>>,
        ttl: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.append_call(key, item, unique, max_length, ttl)?.complete(py, None)
    }

    #[pyo3(signature = (key, item, *, unique = false, max_length = None, ttl = None))]
    fn _start_append(
        &self,
        key: &Bound<'_, PyAny>,
        item: &Bound<'_, PyAny>,
        unique: bool,
        max_length: Option<&Bound<'_, PyAny>>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyCall> {
        self.append_call(key, item, unique, max_length, ttl).map(PyCall::from)
    }

    /// Appends all `items`, a list or another iterable, in one step; returns the new length of the list.
    ///
    /// Otherwise as `append`.
    #[pyo3(signature = (key, items, *, unique = false, max_length = None, ttl = None))]
    fn extend<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        items: &Bound<'py, PyAny>,
        unique: bool,
        max_length: Option<&Bound<'py, PyAny>>,
        ttl: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.items_call(key, items, unique, max_length, ttl)?.complete(py, None)
    }

    #[pyo3(signature = (key, items, *, unique = false, max_length = None, ttl = None))]
    fn _start_extend(
        &self,
        key: &Bound<'_, PyAny>,
        items: &Bound<'_, PyAny>,
        unique: bool,
        max_length: Option<&Bound<'_, PyAny>>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyCall> {
        self.items_call(key, items, unique, max_length, ttl).map(PyCall::from)
    }

    /// Changes parts of the value under `key` and returns the new value; a missing key counts as absent.
    ///
    /// Atomic across threads and processes. `patch` is a JSON Merge Patch (RFC 7396): its members replace those of
    /// the same name, dicts are merged into dicts at any depth, and `None` removes a member. `ttl` is as in
    /// `increment`.
    ///
    /// Raises what `set` raises for `patch`, and `TooLargeError` where the value outgrows its limit.
    #[pyo3(signature = (key, patch, *, ttl = None))]
    fn merge<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        patch: &Bound<'py, PyAny>,
        ttl: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.merge_call(key, patch, ttl)?.complete(py, None)
    }

    #[pyo3(signature = (key, patch, *, ttl = None))]
    fn _start_merge(
        &self,
        key: &Bound<'_, PyAny>,
        patch: &Bound<'_, PyAny>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyCall> {
        self.merge_call(key, patch, ttl).map(PyCall::from)
    }

    /// Replaces the value under `key` by what `function` returns for it; returns the new value.
    ///
    /// `function` gets an object of its own, which it may change and return; where there is no record, one like
    /// `default`. Where somebody else writes in between it is called again, on what they wrote, so it should have no
    /// other effect. What it raises is passed on, and nothing is stored. `ttl`: as in `set`; without it an earlier
    /// expiry is removed.
    ///
    /// Raises what `set` raises for the new value and for `default`.
    #[pyo3(signature = (key, function, default = None, *, ttl = None))]
    fn update<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        function: &Bound<'py, PyAny>,
        default: Option<&Bound<'py, PyAny>>,
        ttl: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let function = arguments::function("function", function)?;
        self.update_call(key, default, ttl)?.complete(py, Some(function))
    }

    #[pyo3(signature = (key, default = None, *, ttl = None))]
    fn _start_update(
        &self,
        key: &Bound<'_, PyAny>,
        default: Option<&Bound<'_, PyAny>>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyCall> {
        self.update_call(key, default, ttl).map(PyCall::from)
    }

    /// Has the record under `key` expire `ttl` from now, in seconds or as a `timedelta`, or never for `None`.
    ///
    /// Returns whether there is a live one.
    fn expire(&self, py: Python<'_>, key: &Bound<'_, PyAny>, ttl: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let key = arguments::text("key", key)?;
        let ttl = arguments::ttl(ttl)?;
        run(py, || block_on(self.view.expire(key, ttl)))
    }
}
