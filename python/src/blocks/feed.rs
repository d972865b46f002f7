//! Waiting for values and following changes.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent_data_store::model::{Change, ChangeKind, Version};
use agent_data_store::{DataStore, Error, ErrorKind, Follower, Json, Result, block_on};
use pyo3::exceptions::{PyTimeoutError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyInt, PyString, PyTuple, PyType};

use crate::arguments::{self, Given, type_name};
use crate::blocks::call::{self, Call, Caller, Failure, PyCall, finish, lock};
use crate::data_store::{PyDataStore, run};
use crate::errors::invalid_argument;
use crate::fork::Opened;
use crate::records::{moment, stored_value};

impl PyDataStore {
    fn wait_for_call(
        &self,
        key: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
        has_predicate: bool,
        since_version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Call> {
        let key = arguments::text("key", key)?.to_owned();
        let timeout = arguments::wait("timeout", timeout)?;
        let since = since_version.map(|since| position("since_version", since)).transpose()?;
        let (view, caller) = (self.view.clone(), Caller::default());
        let failure: Arc<Mutex<Option<Failure>>> = Arc::default();
        let (asking, of, failed) = (caller.clone(), key.clone(), Arc::clone(&failure));
        let accepts = move |value: &Json| -> Pin<Box<dyn Future<Output = Result<bool>> + Send>> {
            if !has_predicate {
                return Box::pin(std::future::ready(Ok(true)));
            }
            let (value, of, failed) = (value.clone(), of.clone(), Arc::clone(&failed));
            let arguments = call::arguments(move |py| PyTuple::new(py, [stored_value(py, &of, &value)?]));
            let answer = asking.ask(arguments, |answer| answer.is_truthy());
            Box::pin(async move {
                answer.await.map_err(|failure| {
                    *lock(&failed) = Some(failure);
                    Error::new(ErrorKind::InvalidArgument, "the predicate has failed")
                })
            })
        };
        Ok(Call::new(&self.opened, &caller, async move {
            let found = view.wait_for(&key, timeout, since, accepts).await;
            let found = found.map_err(|error| lock(&failure).take().unwrap_or(Failure::Store(error)))?;
            Ok(finish(move |py| match found {
                Some((value, _)) => stored_value(py, &key, &value),
                None => Err(PyTimeoutError::new_err(format!(
                    "wait_for: key {key:?} did not get the value that was waited for within {} s",
                    timeout.as_secs_f64()
                ))),
            }))
        }))
    }
}

/// A version or a position in the feed.
fn position(what: &str, value: &Bound<'_, PyAny>) -> PyResult<Version> {
    if !value.is_instance_of::<PyInt>() || value.is_instance_of::<PyBool>() {
        return Err(PyTypeError::new_err(format!("{what} is {}, not int", type_name(value))));
    }
    value.extract().map_err(|_| {
        invalid_argument(
            value.py(),
            &format!("{what} is no version: give one of a record or a change, or 0 for the start"),
        )
    })
}

#[pymethods]
impl PyDataStore {
    /// Waits until there is a value under `key`, and returns it.
    ///
    /// `timeout`: how long at most, in seconds or as a `timedelta`; `None` for as long as it takes. `predicate`: called
    /// with each value, accepts it by returning something true. `since_version`: only a record with a greater version
    /// counts, so that one can wait for the next write. Changes of this process are seen at once, those of others
    /// within 50 ms.
    ///
    /// Raises the built-in `TimeoutError` when the time is over. What `predicate` raises is passed on.
    #[pyo3(signature = (key, *, timeout = None, predicate = None, since_version = None))]
    fn wait_for<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        timeout: Option<&Bound<'py, PyAny>>,
        predicate: Option<&Bound<'py, PyAny>>,
        since_version: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let predicate = predicate.map(|predicate| arguments::function("predicate", predicate)).transpose()?;
        self.wait_for_call(key, timeout, predicate.is_some(), since_version)?.complete(py, predicate)
    }

    fn _start_wait_for(
        &self,
        key: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
        has_predicate: bool,
        since_version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyCall> {
        self.wait_for_call(key, timeout, has_predicate, since_version).map(PyCall::from)
    }

    /// The user's changes in all namespaces after the position `since`, oldest first, at most `limit`, as `Change`s.
    ///
    /// Every committed write, deletion, expiry and clear appears once. To go on, pass the `version` of the last one; 0
    /// is the beginning. At least the newest 100,000 changes are kept.
    ///
    /// Raises `InvalidArgumentError` for a position so old that changes after it are no longer kept.
    #[pyo3(signature = (since = Given::default(), limit = Given::default()), text_signature = "($self, since=0, limit=1000)")]
    fn changes<'py>(&self, py: Python<'py>, since: Given<'py>, limit: Given<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let since = since.get().map_or(Ok(0), |since| position("since", since))?;
        // One beyond all numbers is as good as none.
        let limit = limit.get().map_or(Ok(Some(1_000)), |limit| arguments::positive("limit", Some(limit)))?;
        let limit = limit.and_then(|limit| limit.try_into().ok()).unwrap_or(usize::MAX);
        let changes = run(py, || block_on(self.view.changes(since, limit)))?;
        changes.changes.iter().map(|found| change(py, found)).collect()
    }

    /// An iterator over the changes of this namespace whose key starts with `prefix`, waiting for each; see `Watch`.
    ///
    /// `since`: the position to start from, such as that of an earlier `Watch`; without it, changes count from now on.
    /// `timeout`: ends the iteration when no change has come for so long, in seconds or as a `timedelta`; `None` for
    /// never.
    #[pyo3(signature = (prefix = None, *, since = None, timeout = None))]
    fn watch(
        &self,
        py: Python<'_>,
        prefix: Option<&Bound<'_, PyAny>>,
        since: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Watch> {
        let prefix = arguments::optional_text("prefix", prefix)?.unwrap_or_default();
        let timeout = arguments::wait("timeout", timeout)?;
        let since = match since {
            Some(since) => position("since", since)?,
            None => run(py, || block_on(self.view.position()))?,
        };
        let follower = Mutex::new(Some(self.view.follow(prefix, since)));
        let shared = Shared { follower, position: AtomicU64::new(since), prefix: prefix.to_owned() };
        Ok(Watch { shared: Arc::new(shared), timeout, view: self.view.clone(), opened: Arc::clone(&self.opened) })
    }
}

/// The changes of a namespace as they come, from `DataStore.watch`.
///
/// None is missed and none comes twice; a record that is written often shows each write. A clear of the namespace is
/// one change without a key. Changes of this process are seen at once, those of others within 50 ms. For one thread
/// at a time.
///
/// Iterating raises `InvalidArgumentError` where it has fallen so far behind that changes are no longer kept.
#[pyclass(frozen, immutable_type, module = "agent_data_store")]
pub(crate) struct Watch {
    shared: Arc<Shared>,
    timeout: Duration,
    view: DataStore,
    opened: Arc<Opened>,
}

struct Shared {
    /// `None` while a call has it.
    follower: Mutex<Option<Follower>>,
    position: AtomicU64,
    prefix: String,
}

/// The follower of a [`Watch`], which gets it back whatever happens.
struct Lent {
    follower: Option<Follower>,
    /// Where it stood before a change that has not reached the caller yet.
    undelivered_from: Option<Version>,
    view: DataStore,
    watch: Arc<Shared>,
}

impl Lent {
    /// The change has reached the caller. A method, so that a closure which calls it owns the whole.
    fn delivered(&mut self) {
        self.undelivered_from = None;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(follower) = self.follower.take() {
            let follower = match self.undelivered_from {
                Some(position) => self.view.follow(&self.watch.prefix, position),
                None => follower,
            };
            self.watch.position.store(follower.position(), Ordering::Relaxed);
            *lock(&self.watch.follower) = Some(follower);
        }
    }
}

impl Watch {
    /// The next change, or `None` when the time is over.
    fn next_call(&self) -> Call {
        let (watch, view, timeout) = (Arc::clone(&self.shared), self.view.clone(), self.timeout);
        Call::new(&self.opened, &Caller::default(), async move {
            let follower = lock(&watch.follower).take();
            let mut lent = Lent { follower, undelivered_from: None, view, watch };
            let follower = lent.follower.as_mut().ok_or_else(|| {
                let message = "this watch is waiting elsewhere already: make one for each thread and task";
                Error::new(ErrorKind::InvalidArgument, message)
            })?;
            let before = lent.watch.position.load(Ordering::Relaxed);
            let next = follower.next(timeout).await?;
            lent.undelivered_from = next.as_ref().map(|_| before);
            Ok(finish(move |py| {
                let next = match next {
                    Some(next) => change(py, &next)?,
                    None => py.None().into_bound(py),
                };
                lent.delivered();
                Ok(next)
            }))
        })
    }
}

#[pymethods]
impl Watch {
    /// The position after the last change that was returned or passed over, for `watch(since=…)` to resume from.
    #[getter]
    fn position(&self) -> u64 {
        self.shared.position.load(Ordering::Relaxed)
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let next = self.next_call().complete(py, None)?;
        Ok((!next.is_none()).then_some(next))
    }

    fn _start_next(&self) -> PyCall {
        self.next_call().into()
    }

    fn __repr__<'py>(&self, py: Python<'py>) -> PyResult<String> {
        let shown = |text: &str| PyString::new(py, text).repr().map(|repr| repr.to_string());
        let (namespace, prefix) = (shown(self.view.namespace())?, shown(&self.shared.prefix)?);
        Ok(format!("Watch(namespace={namespace}, prefix={prefix}, position={})", self.position()))
    }
}

fn change<'py>(py: Python<'py>, change: &Change) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let kind = match change.kind {
        ChangeKind::Set => "set",
        ChangeKind::Delete => "delete",
        ChangeKind::Expire => "expire",
        ChangeKind::Clear => "clear",
    };
    CLASS.import(py, "agent_data_store._model", "Change")?.call1((
        change.version,
        kind,
        &*change.namespace,
        change.key.as_deref(),
        change.agent.as_deref(),
        moment(py, change.at)?,
    ))
}
