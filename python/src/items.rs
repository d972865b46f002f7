//! The iterator behind `items`: pages of text, made into objects one by one.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use agent_data_store::model::{PageSize, Range};
use agent_data_store::{DataStore, Json, Result, block_on};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::errors::raise;
use crate::records::stored_value;

/// Most bytes of text that are held, so that a page of large values stays small.
const PAGE_BYTES: usize = 1 << 20;

/// An iterator over (key, value) in the order of the keys, from `DataStore.items`.
#[pyclass(frozen, immutable_type, module = "agent_data_store._native")]
pub(crate) struct Items {
    data_store: DataStore,
    prefix: String,
    page_rows: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    read: VecDeque<(Box<str>, Json)>,
    last_key: Option<Box<str>>,
    finished: bool,
}

impl Items {
    pub(crate) fn new(data_store: DataStore, prefix: String, page_rows: usize) -> Self {
        Self { data_store, prefix, page_rows, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<(Bound<'py, PyString>, Bound<'py, PyAny>)>> {
        // Another thread may be reading a page: waiting for it must not stop the interpreter.
        let next = match self.state.try_lock() {
            Ok(mut state) => state.read.pop_front(),
            Err(_) => py.detach(|| self.state().read.pop_front()),
        };
        let Some((key, value)) = next else { return Ok(None) };
        Ok(Some((PyString::new(py, &key), stored_value(py, &key, &value)?)))
    }

    /// Reads the next page unless one is at hand; `false` at the end.
    fn read_page(&self) -> Result<bool> {
        let mut state = self.state();
        if !state.read.is_empty() {
            return Ok(true);
        }
        if state.finished {
            return Ok(false);
        }
        let range = Range { prefix: &self.prefix, after: state.last_key.as_deref() };
        let size = PageSize { rows: self.page_rows, bytes: PAGE_BYTES };
        let page = block_on(self.data_store.page(range, size))?;
        state.finished = !page.more;
        if let Some((last, _)) = page.rows.last() {
            state.last_key = Some(last.clone());
        }
        state.read = page.rows.into();
        Ok(!state.read.is_empty())
    }
}

#[pymethods]
impl Items {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<(Bound<'py, PyString>, Bound<'py, PyAny>)>> {
        loop {
            if let Some(pair) = self.take(py)? {
                return Ok(Some(pair));
            }
            if !self._fetch(py)? {
                return Ok(None);
            }
        }
    }

    /// Reads the next page if none is at hand; `False` at the end. The part of `__next__` that may wait.
    fn _fetch(&self, py: Python<'_>) -> PyResult<bool> {
        py.detach(|| self.read_page()).map_err(|error| raise(py, &error))
    }

    /// The next pair of the page at hand, or `None` after its last.
    fn _take<'py>(&self, py: Python<'py>) -> PyResult<Option<(Bound<'py, PyString>, Bound<'py, PyAny>)>> {
        self.take(py)
    }
}
