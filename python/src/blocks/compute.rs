//! A cache in which one caller computes and the others wait for it.

use agent_data_store::{ComputeOptions, Json, block_on};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::arguments;
use crate::blocks::call::{self, Asking, Call, Caller, PyCall, finish};
use crate::blocks::lease::owner;
use crate::blocks::options;
use crate::data_store::{PyDataStore, run};
use crate::errors::raise;
use crate::fork;
use crate::records::stored_value;

impl PyDataStore {
    fn compute_call(&self, key: &Bound<'_, PyAny>, ttl: Option<&Bound<'_, PyAny>>, owner: u64) -> PyResult<Call> {
        let key = arguments::text("key", key)?.to_owned();
        let options = ComputeOptions { ttl: arguments::ttl(ttl)?, owner: Some(owner) };
        let (view, caller) = (self.view.clone(), Caller::default());
        let (asking, place) = (caller.clone(), (view.clone(), key.clone()));
        let compute = move || -> Asking<Json> {
            let (view, key) = place;
            asking.ask(call::arguments(|py| Ok(PyTuple::empty(py))), move |result| {
                options::value(&view, "get_or_compute", &key, "the computed value", result)
            })
        };
        Ok(Call::new(&self.opened, &caller, async move {
            let value = view.get_or_compute(&key, options, compute).await?;
            Ok(finish(move |py| stored_value(py, &key, &value)))
        }))
    }
}

#[pymethods]
impl PyDataStore {
    /// The value under `key`; where there is none, what `function()` returns, which is stored for `ttl`.
    ///
    /// Among all threads, coroutines and processes one calls its `function`, and the others wait for the value. Where
    /// the process of that one dies, another one takes over after 10 seconds. What `function` raises is passed on to
    /// its caller, nothing is stored, and another caller computes. `None` is a value like others. `ttl` is in seconds
    /// or a `timedelta`; without it the value stays until it is deleted.
    ///
    /// `key` has at most 1,011 bytes. Raises what `set` raises for the value, and `InvalidArgumentError` where
    /// `function` asks for the key that it computes.
    #[pyo3(signature = (key, function, *, ttl = None))]
    fn get_or_compute<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        function: &Bound<'py, PyAny>,
        ttl: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let name = arguments::text("key", key)?;
        let function = arguments::function("function", function)?;
        arguments::ttl(ttl)?;
        // As in `get`: a hit is to cost no more than there.
        let at_hand = fork::may_keep_interpreter(py).then(|| self.view.get_if_at_hand(name)).flatten();
        let hit = match at_hand {
            Some(value) => value.map_err(|error| raise(py, &error)),
            None => run(py, || block_on(self.view.get(name))),
        };
        if let Some(value) = hit? {
            return stored_value(py, name, &value);
        }
        self.compute_call(key, ttl, owner(None))?.complete(py, Some(function))
    }

    #[pyo3(signature = (key, ttl, task))]
    fn _start_get_or_compute(
        &self,
        key: &Bound<'_, PyAny>,
        ttl: Option<&Bound<'_, PyAny>>,
        task: u32,
    ) -> PyResult<PyCall> {
        self.compute_call(key, ttl, owner(Some(task))).map(PyCall::from)
    }

    /// A decorator that keeps the results of a function, or a coroutine function, as `get_or_compute` does.
    ///
    /// The key is `{module}.{name}:{arguments}`, with the positional arguments as a JSON list followed by those given
    /// by keyword alone as a JSON object, for instance `news.fetch:["https://example.org",10]`; where that would be
    /// longer than 500 bytes, the arguments are replaced by their SHA-256. Defaults are filled in, so it does not
    /// matter how an argument is passed. The key is the same in every process, and says nothing of variables that the
    /// function uses from outside. `key` replaces it: text takes the place of `{module}.{name}`, and a function that
    /// takes the same arguments returns the whole key.
    ///
    /// A call raises `NotSerializableError` or `InvalidArgumentError` for arguments that JSON cannot hold.
    #[pyo3(signature = (*, ttl = None, key = None))]
    fn cached<'py>(
        this: &Bound<'py, Self>,
        ttl: Option<&Bound<'py, PyAny>>,
        key: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = this.py();
        arguments::ttl(ttl)?;
        let options = PyDict::new(py);
        options.set_item(intern!(py, "ttl"), ttl)?;
        options.set_item(intern!(py, "key"), key)?;
        let module = py.import(intern!(py, "agent_data_store._cached"))?;
        module.getattr(intern!(py, "cached"))?.call((this,), Some(&options))
    }
}
