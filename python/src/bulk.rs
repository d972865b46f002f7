//! Many values at once.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Scope, ScopedJoinHandle};

use agent_data_store::model::PageSize;
use agent_data_store::{DataStore, Json, block_on};
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::data_store::run;
use crate::records::{decoded_value, stored_value};

/// From this many bytes of text on, the collector would run while the values are built.
const PAUSE_FROM_BYTES: usize = 64 << 10;

/// Python 3.12 starts with some hundred objects frozen; a program that freezes its own has thousands.
const FROZEN_AT_START: usize = 1_000;

/// What is made into objects while the rest is being read. Less than this is not worth a thread.
const PIECE: PageSize = PageSize { rows: usize::MAX, bytes: 256 << 10 };

type Values = Vec<(Box<str>, Json)>;

/// The values under their keys, in the order of `rows`.
pub(crate) fn dict<'py>(py: Python<'py>, rows: Values) -> PyResult<Bound<'py, PyDict>> {
    let bytes: usize = rows.iter().map(|(_, value)| value.len()).sum();
    let dict = PyDict::new(py);
    if bytes < PAUSE_FROM_BYTES {
        for (key, value) in &rows {
            dict.set_item(PyString::new(py, key), stored_value(py, key, value)?)?;
        }
        return Ok(dict);
    }
    let _pause = CollectorPause::new(py);
    add(&dict, rows)?;
    Ok(dict)
}

/// All values of the namespace. Reading them and making objects of them take turns on two threads: together they take
/// hardly longer than the objects alone.
pub(crate) fn all<'py>(py: Python<'py>, view: &DataStore) -> PyResult<Bound<'py, PyDict>> {
    let (first, built) = run(py, || {
        thread::scope(|scope| {
            let mut first = Vec::new();
            let mut builder: Option<Builder<'_>> = None;
            block_on(view.get_all_in_pieces(PIECE, &mut |piece| {
                if builder.is_none() && !first.is_empty() {
                    builder = Builder::start(scope).ok();
                }
                match &builder {
                    Some(builder) => {
                        if !first.is_empty() {
                            builder.send(std::mem::take(&mut first));
                        }
                        builder.send(piece);
                    }
                    // The first piece, or there is no thread to be had.
                    None => first.extend(piece),
                }
            }))?;
            Ok((first, builder.map(Builder::finish)))
        })
    })?;
    match built {
        Some(built) => Ok(built?.into_bound(py)),
        None => dict(py, first),
    }
}

/// A thread that makes objects of what it is sent.
struct Builder<'scope> {
    /// Without a bound: a reader that waited here would keep its snapshot, and a fork waiting, for as long as other threads
    /// have the interpreter.
    pieces: Sender<Values>,
    thread: ScopedJoinHandle<'scope, Option<PyResult<Py<PyDict>>>>,
}

impl<'scope> Builder<'scope> {
    fn start(scope: &'scope Scope<'scope, '_>) -> std::io::Result<Self> {
        let (pieces, received) = channel();
        let build = move || Python::try_attach(|py| Self::build(py, received).map(Bound::unbind));
        Ok(Self { pieces, thread: thread::Builder::new().spawn_scoped(scope, build)? })
    }

    fn build<'py>(py: Python<'py>, mut received: Receiver<Values>) -> PyResult<Bound<'py, PyDict>> {
        let _pause = CollectorPause::new(py);
        let dict = PyDict::new(py);
        loop {
            let waiting = &mut received;
            let Ok(values) = waiting.try_recv().or_else(|_| py.detach(move || waiting.recv())) else {
                return Ok(dict);
            };
            add(&dict, values)?;
        }
    }

    fn send(&self, values: Values) {
        // One that has stopped has failed: `finish` tells how.
        let _ = self.pieces.send(values);
    }

    /// Call it without the interpreter lock.
    fn finish(self) -> PyResult<Py<PyDict>> {
        drop(self.pieces);
        let built = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        built.unwrap_or_else(|| Err(PyRuntimeError::new_err("the interpreter is shutting down")))
    }
}

/// Adds many values: those are not looked for among what is known, nor kept there.
fn add(dict: &Bound<'_, PyDict>, values: Values) -> PyResult<()> {
    let py = dict.py();
    for (key, value) in values {
        dict.set_item(PyString::new(py, &key), decoded_value(py, &key, &value)?)?;
    }
    Ok(())
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
