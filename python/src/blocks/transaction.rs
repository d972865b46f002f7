//! Reads and writes over several keys, all or nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agent_data_store::{Transaction, block_on};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::arguments::{self, Given};
use crate::blocks::call::{self, Asking, Call, Caller, Failure, PyCall, finish};
use crate::blocks::options;
use crate::data_store::{PyDataStore, run, set_arguments};
use crate::errors::invalid_argument;
use crate::fork::Opened;
use crate::records::stored_value;

/// Reads and writes over several keys and namespaces of a user, all or nothing; from `transaction` and `transact`.
///
/// All reads see one state of the store and the transaction's own writes. Writes are kept back until the end of the
/// `with` block; then all are made, if nothing that was read has changed, or none. An exception in the block drops
/// them.
///
/// Nothing is locked: where somebody else has written first, a read or the end of the block raises `ConflictError`,
/// whose `key` and `namespace` say where. `transact` then tries again by itself.
#[pyclass(frozen, immutable_type, name = "Transaction", module = "agent_data_store")]
pub(crate) struct PyTransaction {
    transaction: Transaction,
    entered: Arc<AtomicBool>,
    opened: Arc<Opened>,
}

impl PyTransaction {
    fn new(transaction: Transaction, is_entered: bool, opened: &Arc<Opened>) -> Self {
        Self { transaction, entered: Arc::new(AtomicBool::new(is_entered)), opened: Arc::clone(opened) }
    }

    fn entered(&self, py: Python<'_>) -> PyResult<&Transaction> {
        if !self.entered.load(Ordering::Relaxed) {
            return Err(invalid_argument(
                py,
                "the transaction was not begun: use it as `with data_store.transaction() as tx:`",
            ));
        }
        Ok(&self.transaction)
    }
}

impl PyDataStore {
    fn transact_call(&self) -> Call {
        let (view, opened, caller) = (self.view.clone(), Arc::clone(&self.opened), Caller::default());
        let asking = caller.clone();
        let body = move |transaction: &Transaction| -> Asking<Py<PyAny>> {
            let (given, opened) = (transaction.clone(), Arc::clone(&opened));
            let arguments = call::arguments(move |py| {
                PyTuple::new(py, [Bound::new(py, PyTransaction::new(given, true, &opened))?])
            });
            asking.ask(arguments, |result| Ok(result.clone().unbind()))
        };
        Call::new(&self.opened, &caller, async move {
            let result = view.transact(body, Failure::is_conflict).await?;
            Ok(finish(move |py| Ok(result.into_bound(py))))
        })
    }
}

#[pymethods]
impl PyDataStore {
    /// Begins a transaction: `with data_store.transaction() as tx:`, see `Transaction`.
    fn transaction(&self) -> PyTransaction {
        PyTransaction::new(self.view.transaction(), false, &self.opened)
    }

    /// Calls `function` with a `Transaction`, commits it and returns what `function` returns.
    ///
    /// Where somebody else writes in between, all of it happens again, so `function` should have no other effect.
    /// What it raises is passed on, and nothing is stored. Raises `ConflictError` after 64 attempts.
    fn transact<'py>(&self, py: Python<'py>, function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let function = arguments::function("function", function)?;
        self.transact_call().complete(py, Some(function))
    }

    fn _start_transact(&self) -> PyCall {
        self.transact_call().into()
    }
}

#[pymethods]
impl PyTransaction {
    /// The value under `key`, or `default` where there is none, as of this transaction. Counts as a read.
    ///
    /// Raises `ConflictError` where something that was read before has changed since.
    #[pyo3(signature = (key, default = None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let key = arguments::text("key", key)?;
        let transaction = self.entered(py)?;
        match run(py, || block_on(transaction.get(key)))? {
            Some(value) => stored_value(py, key, &value),
            None => Ok(default.unwrap_or_else(|| py.None().into_bound(py))),
        }
    }

    /// Stores `value` under `key` when the transaction is committed. Arguments and errors are those of
    /// `DataStore.set`, but an `if_version` that does not hold shows at the end.
    #[pyo3(signature = (key, value, metadata = None, *, ttl = None, if_version = None))]
    fn set(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        metadata: Option<&Bound<'_, PyAny>>,
        ttl: Option<&Bound<'_, PyAny>>,
        if_version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let transaction = self.entered(py)?;
        let (key, value, options) = set_arguments(transaction.data_store(), key, value, metadata, ttl, if_version)?;
        run(py, || transaction.set(&key, value, options))
    }

    /// Removes the record under `key` when the transaction is committed; `True` if there is a live one.
    fn delete(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let key = arguments::text("key", key)?;
        let transaction = self.entered(py)?;
        run(py, || block_on(transaction.delete(key)))
    }

    /// As `DataStore.increment`, when the transaction is committed.
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
        let transaction = self.entered(py)?;
        let by = options::amount(transaction.data_store(), key, by.get())?;
        let sum = run(py, || block_on(transaction.increment(key, by, ttl)))?;
        stored_value(py, key, &sum)
    }

    /// As `DataStore.append`, when the transaction is committed.
    #[pyo3(signature = (key, item, *, unique = false, max_length = None, ttl = None))]
    fn append(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        item: &Bound<'_, PyAny>,
        unique: bool,
        max_length: Option<&Bound<'_, PyAny>>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        let key = arguments::text("key", key)?;
        let options = options::append_options(unique, max_length, ttl)?;
        let transaction = self.entered(py)?;
        let item = options::item(transaction.data_store(), key, item)?;
        run(py, || block_on(transaction.extend(key, item, options)))
    }

    /// As `DataStore.extend`, when the transaction is committed.
    #[pyo3(signature = (key, items, *, unique = false, max_length = None, ttl = None))]
    fn extend(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        items: &Bound<'_, PyAny>,
        unique: bool,
        max_length: Option<&Bound<'_, PyAny>>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        let key = arguments::text("key", key)?;
        let options = options::append_options(unique, max_length, ttl)?;
        let transaction = self.entered(py)?;
        let items = options::items(transaction.data_store(), key, items)?;
        run(py, || block_on(transaction.extend(key, items, options)))
    }

    /// As `DataStore.merge`, when the transaction is committed.
    #[pyo3(signature = (key, patch, *, ttl = None))]
    fn merge<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        patch: &Bound<'py, PyAny>,
        ttl: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let key = arguments::text("key", key)?;
        let ttl = arguments::ttl(ttl)?;
        let transaction = self.entered(py)?;
        let patch = options::value(transaction.data_store(), "merge", key, "patch", patch)?;
        let value = run(py, || block_on(transaction.merge(key, patch, ttl)))?;
        stored_value(py, key, &value)
    }

    /// The same transaction in another namespace.
    fn use_namespace(&self, py: Python<'_>, namespace: &Bound<'_, PyAny>) -> PyResult<Self> {
        let namespace = arguments::text("namespace", namespace)?;
        let transaction = run(py, || self.transaction.use_namespace(namespace))?;
        Ok(Self { transaction, entered: Arc::clone(&self.entered), opened: Arc::clone(&self.opened) })
    }

    /// The namespace of this object.
    #[getter]
    fn namespace(&self) -> &str {
        self.transaction.data_store().namespace()
    }

    /// Whether the engine answers on the calling thread, so that a read needs no other one.
    #[getter]
    fn _is_inline(&self) -> bool {
        self.opened.store.engine().is_inline()
    }

    fn __repr__<'py>(&self, py: Python<'py>) -> PyResult<String> {
        Ok(format!("Transaction(namespace={})", PyString::new(py, self.namespace()).repr()?))
    }

    fn _begin(&self, py: Python<'_>) -> PyResult<()> {
        if self.entered.swap(true, Ordering::Relaxed) {
            return Err(invalid_argument(py, "the transaction was begun before: begin another one"));
        }
        Ok(())
    }

    fn _commit(&self, py: Python<'_>) -> PyResult<()> {
        run(py, || block_on(self.transaction.commit()))
    }

    fn _roll_back(&self, py: Python<'_>) {
        py.detach(|| self.transaction.roll_back());
    }

    fn __enter__<'py>(this: PyRef<'py, Self>, py: Python<'py>) -> PyResult<PyRef<'py, Self>> {
        this._begin(py)?;
        Ok(this)
    }

    #[pyo3(signature = (exception_type, exception, traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exception_type: &Bound<'_, PyAny>,
        exception: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exception_type, traceback);
        if exception.is_none() {
            return self._commit(py);
        }
        self._roll_back(py);
        Ok(())
    }
}
