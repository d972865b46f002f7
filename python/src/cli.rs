//! The program `ads` inside of Python: agents run in this very interpreter.

use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};

use agent_data_store::Result;
use agent_data_store_cli::{AgentCall, TracePrinter};
use pyo3::prelude::*;

use crate::data_store::PyDataStore;
use crate::fork::Opened;

/// What an agent exits with that failed.
const FAILED: u8 = 1;

/// Runs `ads`, the program's name first among `arguments`, and returns its exit code.
#[pyfunction]
pub(crate) fn run_program(py: Python<'_>, arguments: Vec<OsString>) -> PyResult<u8> {
    // What leaves an agent as no failure of it: an interrupt, a call of `sys.exit`.
    let raised = Mutex::new(None);
    let code = py.detach(|| {
        agent_data_store_cli::run(arguments, &|call: &AgentCall<'_>| {
            let outcome = run_agent(call)?;
            Ok(outcome.unwrap_or_else(|error| {
                *raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                FAILED
            }))
        })
    });
    match raised.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(code),
    }
}

/// The outer error is one of the store, from before the agent began.
fn run_agent(call: &AgentCall<'_>) -> Result<PyResult<u8>> {
    let request = call.request()?;
    let opened = Opened::open(&request.store_url, request.token.clone())?;
    let identity = opened.store.identity(request.user.as_deref(), Some(&request.agent))?;
    let mut view = opened.store.data_store(identity, &request.namespace)?;
    if request.trace {
        view = view.with_observer(Arc::new(TracePrinter::stderr()));
    }
    let data_store = PyDataStore::new(view, opened);
    Ok(Python::attach(|py| {
        py.import("agent_data_store._cli")?
            .call_method1("run_agent_file", (data_store, request.file, request.input, request.tools, request.globals))?
            .extract()
    }))
}
