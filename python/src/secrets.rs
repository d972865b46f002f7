//! Likely credentials that were stored, told to Python at the line that has stored them.
//!
//! The core tells while a call runs, without the interpreter; what it tells is kept with the thread until the call has
//! returned to Python.

use std::cell::{Cell, RefCell};

use agent_data_store::{SecretsPolicy, SecretsWarning, WarningSink};
use pyo3::intern;
use pyo3::prelude::*;

use crate::arguments;
use crate::errors::raise;

thread_local! {
    static FOUND: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// Whether somebody else takes what was found on this thread: it works for a coroutine, whose line is elsewhere.
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Where the core tells of them.
#[derive(Debug)]
pub(crate) struct Found;

impl WarningSink for Found {
    fn warn(&self, warning: &SecretsWarning) {
        FOUND.with_borrow_mut(|found| found.push(warning.to_string()));
    }
}

/// Warns of what the call before has stored; an error where the program has made errors of such warnings.
pub(crate) fn warn(py: Python<'_>) -> PyResult<()> {
    if IS_WORKER.get() || FOUND.with_borrow(Vec::is_empty) {
        return Ok(());
    }
    py.import(intern!(py, "agent_data_store._warnings"))?
        .call_method1(intern!(py, "warn"), (found_secrets(),))
        .map(drop)
}

/// Forgets what was found by a call that has failed in the end.
pub(crate) fn forget() {
    FOUND.with_borrow_mut(Vec::clear);
}

/// Has what is found on this thread wait for `found_secrets`.
#[pyfunction]
pub(crate) fn keep_found_secrets() {
    IS_WORKER.set(true);
}

/// The messages of what was found on this thread and not warned of yet.
#[pyfunction]
pub(crate) fn found_secrets() -> Vec<String> {
    FOUND.take()
}

/// Whether `text` holds what looks like a credential.
#[pyfunction]
pub(crate) fn holds_secret(text: &str) -> bool {
    agent_data_store::holds_secret(text)
}

/// A policy by its name.
pub(crate) fn policy(name: Option<&Bound<'_, PyAny>>) -> PyResult<Option<SecretsPolicy>> {
    let Some(name) = name else { return Ok(None) };
    let policy = arguments::text("secrets", name)?.parse().map_err(|error| raise(name.py(), &error))?;
    Ok(Some(policy))
}
