//! Work that many share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent_data_store::{
    Claim, ClaimOptions, ClaimedTask, DataStore, Error, ErrorKind, FailedTask, Result, TaskSummary, block_on,
};
use pyo3::exceptions::{PyBaseException, PyException};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyType};

use crate::arguments::{self, Wait};
use crate::blocks::call::{Call, Caller, PyCall, finish, lock};
use crate::blocks::options;
use crate::data_store::{PyDataStore, run};
use crate::errors::{invalid_argument, raise};
use crate::fork::{self, Opened};
use crate::records::{moment, optional_moment, stored_value};

/// Longest text that is kept of an exception, in characters: metadata has its limit.
const ERROR_CHARS: usize = 1_000;

/// The longest pause after an exception in a block.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A task that is kept from others for a time, from `DataStore.claim`. Unless ended, it then goes back to them.
///
/// As a context manager it is ended by its block, unless the block has done so: completed without a result at the
/// end; where the block raises, given back for another attempt after a pause of 1 second, doubled with each attempt up
/// to 300; and released where the block is interrupted or cancelled.
///
/// `complete`, `fail`, `release` and `renew` raise `LeaseLostError` where the time was over and another one has the
/// task, or after a fork, in the child: it belongs to the parent. They then have no effect.
#[pyclass(frozen, immutable_type, name = "Claim", module = "agent_data_store")]
pub(crate) struct PyClaim {
    state: Arc<Mutex<State>>,
    value: Py<PyAny>,
    key: String,
    attempt: u64,
    last_error: Option<String>,
    entered: AtomicBool,
    pid: u32,
    view: DataStore,
    opened: Arc<Opened>,
}

struct State {
    claim: Claim,
    is_ended: bool,
}

/// A claim on its way to the caller: should that one be gone, others need not wait for its end.
struct Received(Option<Claim>);

impl Drop for Received {
    fn drop(&mut self) {
        if let Some(claim) = self.0.take() {
            // Where this fails the task goes back by itself.
            fork::without_interpreter(|| drop(block_on(claim.release())));
        }
    }
}

impl PyClaim {
    fn new<'py>(py: Python<'py>, claim: Claim, view: DataStore, opened: Arc<Opened>) -> PyResult<Bound<'py, Self>> {
        let key = claim.key().to_owned();
        Bound::new(
            py,
            Self {
                value: stored_value(py, &key, claim.value())?.unbind(),
                key,
                attempt: claim.attempt(),
                last_error: claim.last_error().map(ToOwned::to_owned),
                state: Arc::new(Mutex::new(State { claim, is_ended: false })),
                entered: AtomicBool::new(false),
                pid: std::process::id(),
                view,
                opened,
            },
        )
    }

    /// A call that does `work` with the claim and, if it succeeds, says whether that ends it.
    fn call(&self, work: impl FnOnce(&mut Claim) -> Result<bool> + Send + 'static) -> Call {
        let (state, key, pid) = (Arc::clone(&self.state), self.key.clone(), self.pid);
        Call::new(&self.opened, &Caller::default(), async move {
            check_ours(pid, &key)?;
            let mut state = lock(&state);
            if state.is_ended {
                let message = format!("the claim on task {key:?} was ended before: claim another one");
                return Err(Error::new(ErrorKind::InvalidArgument, message).into());
            }
            let ended = work(&mut state.claim);
            state.is_ended = ended.as_ref().map_or_else(|error| error.kind() == ErrorKind::LeaseLost, |ended| *ended);
            ended?;
            Ok(finish(|py| Ok(py.None().into_bound(py))))
        })
    }

    fn complete_call(&self, result: Option<&Bound<'_, PyAny>>) -> PyResult<Call> {
        let encode = |result| options::value(&self.view, "complete", &self.key, "result", result);
        let result = result.map(encode).transpose()?;
        // A copy, so that it can be tried again where the store is busy.
        Ok(self.call(move |claim| block_on(claim.clone().complete(result)).map(|()| true)))
    }

    fn fail_call(&self, error: String, retry_in: Option<Duration>) -> Call {
        self.call(move |claim| block_on(claim.clone().fail(&error, retry_in)).map(|()| true))
    }

    fn failing(&self, error: &Bound<'_, PyAny>, retry_in: Option<&Bound<'_, PyAny>>) -> PyResult<Call> {
        let retry_in = retry_in.map(|retry_in| arguments::wait("retry_in", Some(retry_in))).transpose()?;
        Ok(self.fail_call(error_text(error)?, retry_in))
    }

    fn release_call(&self) -> Call {
        self.call(|claim| block_on(claim.clone().release()).map(|()| true))
    }

    fn renew_call(&self, ttl: Duration) -> Call {
        self.call(move |claim| block_on(claim.renew(ttl)).map(|()| false))
    }

    /// What the end of a block does, given its exception.
    fn exit_call(&self, py: Python<'_>, exception: &Bound<'_, PyAny>) -> PyResult<Option<Call>> {
        if py.detach(|| lock(&self.state).is_ended) {
            return Ok(None);
        }
        Ok(Some(if exception.is_none() {
            self.complete_call(None)?
        } else if exception.is_instance_of::<PyException>() {
            let pause = Duration::from_secs(1u64 << (self.attempt.max(1) - 1).min(9)).min(LONGEST_PAUSE);
            self.fail_call(exception_text(exception)?, Some(pause))
        } else {
            self.release_call()
        }))
    }
}

fn check_ours(pid: u32, key: &str) -> Result<()> {
    if pid == std::process::id() {
        return Ok(());
    }
    let message = format!("task {key:?} was claimed by the process before its fork: claim one here");
    Err(Error::new(ErrorKind::LeaseLost, message))
}

/// What is kept of an exception, or text as it is.
fn error_text(error: &Bound<'_, PyAny>) -> PyResult<String> {
    if error.is_instance_of::<PyBaseException>() {
        return exception_text(error);
    }
    arguments::text("error", error).map(ToOwned::to_owned)
}

/// `type: message`, as at the end of a traceback.
fn exception_text(exception: &Bound<'_, PyAny>) -> PyResult<String> {
    let name = exception.get_type().qualname()?;
    let message = exception.str()?;
    let message = message.to_string_lossy();
    let text = if message.is_empty() { name.to_string() } else { format!("{name}: {message}") };
    Ok(text.chars().take(ERROR_CHARS).collect())
}

impl PyDataStore {
    fn claim_call(
        &self,
        prefix: &Bound<'_, PyAny>,
        ttl: &Bound<'_, PyAny>,
        wait: Wait,
        max_attempts: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Call> {
        let prefix = arguments::text("prefix", prefix)?.to_owned();
        let max_attempts = arguments::positive("max_attempts", max_attempts)?;
        let options = ClaimOptions { wait: wait.0, max_attempts, ..ClaimOptions::new(arguments::lease_ttl(ttl)?) };
        let (view, opened) = (self.view.clone(), Arc::clone(&self.opened));
        Ok(Call::new(&self.opened, &Caller::default(), async move {
            let mut claim = Received(view.claim(&prefix, options).await?);
            Ok(finish(move |py| match claim.0.take() {
                Some(claim) => PyClaim::new(py, claim, view, opened).map(Bound::into_any),
                None => Ok(py.None().into_bound(py)),
            }))
        }))
    }
}

#[pymethods]
impl PyDataStore {
    /// Claims the first task, in the order of keys, under `prefix` that nobody else has; `None` where there is none.
    ///
    /// Every record whose key starts with `prefix` is a task until somebody has completed it. `ttl`: how long it is
    /// kept from others unless renewed, in seconds or as a `timedelta`. `wait`: how long to wait for a task; 0 for not
    /// at all, `None` for as long as it takes. `max_attempts`: a task that was claimed so often without an end is set
    /// aside as failed instead; without it, it is tried again for ever.
    ///
    /// A completed task moves, with its result, to the namespace `tasks-done:{namespace}`, one that has failed for
    /// good to `tasks-failed:{namespace}`. A task whose key was completed before is skipped and removed.
    #[pyo3(
        signature = (prefix, ttl, *, wait = Wait(Duration::ZERO), max_attempts = None),
        text_signature = "($self, prefix, ttl, *, wait=0, max_attempts=None)"
    )]
    fn claim<'py>(
        &self,
        py: Python<'py>,
        prefix: &Bound<'py, PyAny>,
        ttl: &Bound<'py, PyAny>,
        wait: Wait,
        max_attempts: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.claim_call(prefix, ttl, wait, max_attempts)?.complete(py, None)
    }

    #[pyo3(signature = (prefix, ttl, wait, max_attempts))]
    fn _start_claim(
        &self,
        prefix: &Bound<'_, PyAny>,
        ttl: &Bound<'_, PyAny>,
        wait: Wait,
        max_attempts: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyCall> {
        self.claim_call(prefix, ttl, wait, max_attempts).map(PyCall::from)
    }

    /// Sums up the tasks whose key starts with `prefix`, as a `TaskSummary`. Reads every task that is not done.
    #[pyo3(signature = (prefix = None))]
    fn tasks<'py>(&self, py: Python<'py>, prefix: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        let prefix = arguments::optional_text("prefix", prefix)?.unwrap_or_default();
        let summary = run(py, || block_on(self.view.tasks(prefix)))?;
        task_summary(py, &summary)
    }
}

#[pymethods]
impl PyClaim {
    /// The key of the task.
    #[getter]
    fn key(&self) -> &str {
        &self.key
    }

    /// Its value when it was claimed.
    #[getter]
    fn value(&self, py: Python<'_>) -> Py<PyAny> {
        self.value.clone_ref(py)
    }

    /// Which attempt this is, from 1.
    #[getter]
    fn attempt(&self) -> u64 {
        self.attempt
    }

    /// When the task goes back to the others, as an aware time in UTC.
    #[getter]
    fn until<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        optional_moment(py, py.detach(|| lock(&self.state).claim.until()))
    }

    /// Why the attempt before this one failed, where it has said so.
    #[getter]
    fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// Takes the task out of the work and keeps `result`, in one step.
    ///
    /// Raises what `set` raises for a result that cannot be stored.
    #[pyo3(signature = (result = None))]
    fn complete(&self, py: Python<'_>, result: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.complete_call(result)?.complete(py, None).map(drop)
    }

    #[pyo3(signature = (result))]
    fn _start_complete(&self, result: Option<&Bound<'_, PyAny>>) -> PyResult<PyCall> {
        self.complete_call(result).map(PyCall::from)
    }

    /// Gives the task back for another attempt after a pause of `retry_in`, or with `None` sets it aside for good.
    ///
    /// `error`: why, as text or an exception, of which at most 1,000 characters are kept. `retry_in` is in seconds or
    /// a `timedelta`; 0 for at once.
    #[pyo3(signature = (error, retry_in = None))]
    fn fail(&self, py: Python<'_>, error: &Bound<'_, PyAny>, retry_in: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.failing(error, retry_in)?.complete(py, None).map(drop)
    }

    #[pyo3(signature = (error, retry_in))]
    fn _start_fail(&self, error: &Bound<'_, PyAny>, retry_in: Option<&Bound<'_, PyAny>>) -> PyResult<PyCall> {
        self.failing(error, retry_in).map(PyCall::from)
    }

    /// Gives the task back at once, as if it had not been claimed: the attempt does not count.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        self.release_call().complete(py, None).map(drop)
    }

    fn _start_release(&self) -> PyCall {
        self.release_call().into()
    }

    /// Keeps the task for another `ttl` from now, in seconds or as a `timedelta`.
    fn renew(&self, py: Python<'_>, ttl: &Bound<'_, PyAny>) -> PyResult<()> {
        self.renew_call(arguments::lease_ttl(ttl)?).complete(py, None).map(drop)
    }

    fn _start_renew(&self, ttl: &Bound<'_, PyAny>) -> PyResult<PyCall> {
        Ok(self.renew_call(arguments::lease_ttl(ttl)?).into())
    }

    /// The end of a block, or `None` where the block has ended the claim itself.
    fn _start_exit(&self, py: Python<'_>, exception: &Bound<'_, PyAny>) -> PyResult<Option<PyCall>> {
        Ok(self.exit_call(py, exception)?.map(PyCall::from))
    }

    fn __enter__(this: Py<Self>, py: Python<'_>) -> PyResult<Py<Self>> {
        let claim = this.get();
        check_ours(claim.pid, &claim.key).map_err(|error| raise(py, &error))?;
        let is_over = py.detach(|| lock(&claim.state).is_ended);
        if claim.entered.swap(true, Ordering::Relaxed) || is_over {
            let message = format!("the claim on task {:?} was ended, or is in use by a block: claim anew", claim.key);
            return Err(invalid_argument(py, &message));
        }
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
        let ended = self.exit_call(py, exception)?.map_or(Ok(()), |call| call.complete(py, None).map(drop));
        // What the block has raised says more; the task goes back by itself.
        if exception.is_none() { ended } else { Ok(()) }
    }

    fn __repr__<'py>(&self, py: Python<'py>) -> PyResult<String> {
        Ok(format!("Claim(key={}, attempt={})", PyString::new(py, &self.key).repr()?, self.attempt))
    }
}

fn task_summary<'py>(py: Python<'py>, summary: &TaskSummary) -> PyResult<Bound<'py, PyAny>> {
    static SUMMARY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static CLAIMED: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static FAILED: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let claimed_task = |task: &ClaimedTask| {
        let class = CLAIMED.import(py, "agent_data_store._model", "ClaimedTask")?;
        class.call1((&*task.key, task.agent.as_deref(), task.attempt, moment(py, task.until)?))
    };
    let failed_task = |task: &FailedTask| {
        let class = FAILED.import(py, "agent_data_store._model", "FailedTask")?;
        class.call1((&*task.key, task.attempts, task.error.as_deref()))
    };
    let claimed = summary.claimed.iter().map(claimed_task).collect::<PyResult<Vec<_>>>()?;
    let failed = summary.failed.iter().map(failed_task).collect::<PyResult<Vec<_>>>()?;
    let class = SUMMARY.import(py, "agent_data_store._model", "TaskSummary")?;
    class.call1((summary.waiting, claimed, summary.done, failed))
}
