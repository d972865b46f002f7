//! Calls that may wait for others or ask for a Python function to be called: one future, driven to its end by the calling
//! thread, or step by step by a coroutine.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use agent_data_store::{Error, ErrorKind};
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::blocks::wake::Wakeup;
use crate::errors::{invalid_argument, is_conflict, raise};
use crate::fork::{self, Opened};
use crate::secrets;

/// How long a thread that waits leaves signals, such as Ctrl-C, unnoticed.
const SIGNALS_EVERY: Duration = Duration::from_millis(100);

/// Makes the result of a call, once there is an interpreter again.
pub(crate) type Finish = Box<dyn for<'py> FnOnce(Python<'py>) -> PyResult<Bound<'py, PyAny>> + Send>;

/// A question that waits for its answer. It borrows nothing: the compiler cannot tell of a closure that is asked with
/// borrows whether its futures may cross threads.
pub(crate) type Asking<T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send>>;

type Running = Pin<Box<dyn Future<Output = Result<Finish, Failure>> + Send>>;

/// Makes the arguments of the function that the caller has passed.
pub(crate) type Arguments = Box<dyn for<'py> FnOnce(Python<'py>) -> PyResult<Bound<'py, PyTuple>> + Send>;
type Answer = Box<dyn FnOnce(Python<'_>, PyResult<Bound<'_, PyAny>>) + Send>;

pub(crate) fn finish(
    function: impl for<'py> FnOnce(Python<'py>) -> PyResult<Bound<'py, PyAny>> + Send + 'static,
) -> Finish {
    Box::new(function)
}

pub(crate) fn arguments(
    function: impl for<'py> FnOnce(Python<'py>) -> PyResult<Bound<'py, PyTuple>> + Send + 'static,
) -> Arguments {
    Box::new(function)
}

/// Why a call failed: in the store, or in a function of the caller.
pub(crate) enum Failure {
    Store(Error),
    Python { error: PyErr, is_conflict: bool },
}

impl Failure {
    fn python(py: Python<'_>, error: PyErr) -> Self {
        Self::Python { is_conflict: is_conflict(py, &error), error }
    }

    pub(crate) fn is_conflict(&self) -> bool {
        match self {
            Self::Store(error) => error.kind() == ErrorKind::Conflict,
            Self::Python { is_conflict, .. } => *is_conflict,
        }
    }

    pub(crate) fn into_exception(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Store(error) => raise(py, &error),
            Self::Python { error, .. } => error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// The way from inside a call to the function that the caller has passed.
#[derive(Clone, Default)]
pub(crate) struct Caller(Arc<Mutex<Option<Question>>>);

/// The caller's function is to be called.
pub(crate) struct Question {
    pub(crate) arguments: Arguments,
    pub(crate) answer: Answer,
}

impl Caller {
    /// Has the caller's function called with `arguments`, and makes of its result what `accept` does.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        arguments: Arguments,
        accept: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<T> + Send + 'static,
    ) -> Asking<T> {
        let slot: Arc<Mutex<Option<Result<T, Failure>>>> = Arc::default();
        let filled = Arc::clone(&slot);
        *self.question() = Some(Question {
            arguments,
            answer: Box::new(move |py, answer| {
                let answer = answer.and_then(|answer| accept(&answer)).map_err(|error| Failure::python(py, error));
                *lock(&filled) = Some(answer);
            }),
        });
        // Whoever drives the call polls again when there is an answer.
        Box::pin(poll_fn(move |_| lock(&slot).take().map_or(Poll::Pending, Poll::Ready)))
    }

    fn question(&self) -> MutexGuard<'_, Option<Question>> {
        lock(&self.0)
    }
}

/// A call under way.
pub(crate) struct Call {
    running: Option<Running>,
    caller: Caller,
    pid: u32,
    /// Keeps the store open until the call is over.
    _opened: Arc<Opened>,
}

pub(crate) enum Step {
    Done(Result<Finish, Failure>),
    Asks(Question),
    Waits,
}

impl Call {
    pub(crate) fn new(
        opened: &Arc<Opened>,
        caller: &Caller,
        future: impl Future<Output = Result<Finish, Failure>> + Send + 'static,
    ) -> Self {
        let (opened, caller) = (Arc::clone(opened), caller.clone());
        Self { running: Some(Box::pin(future)), caller, pid: std::process::id(), _opened: opened }
    }

    /// Goes on until it is done, asks or has to wait. Call it without the interpreter lock.
    fn advance(&mut self, waker: &Waker) -> Step {
        if self.pid != std::process::id() {
            return Step::Done(Err(self.forked().into()));
        }
        let Some(running) = self.running.as_mut() else {
            return Step::Done(
                Err(Error::new(ErrorKind::InvalidArgument, "the call is over: make another one").into()),
            );
        };
        match running.as_mut().poll(&mut Context::from_waker(waker)) {
            Poll::Ready(result) => {
                self.running = None;
                Step::Done(result)
            }
            Poll::Pending => {
                let question = self.caller.question().take();
                question.map_or(Step::Waits, Step::Asks)
            }
        }
    }

    /// As [`Call::advance`], but waits for a while.
    fn advance_or_wait(&mut self, waker: &Waker) -> Step {
        let until = Instant::now() + SIGNALS_EVERY;
        loop {
            match self.advance(waker) {
                Step::Waits => match until.checked_duration_since(Instant::now()) {
                    Some(rest) => std::thread::park_timeout(rest),
                    None => return Step::Waits,
                },
                step => return step,
            }
        }
    }

    /// Drives the call to its end on this thread; `function` answers its questions. Signals are seen to meanwhile, and one
    /// whose handler raises ends the call.
    pub(crate) fn complete<'py>(
        mut self,
        py: Python<'py>,
        function: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let waker = Waker::from(Arc::new(Parked(std::thread::current())));
        loop {
            match py.detach(|| self.advance_or_wait(&waker)) {
                Step::Done(result) => return finished(py, result),
                Step::Waits => py.check_signals()?,
                Step::Asks(Question { arguments, answer }) => {
                    let function = function.ok_or_else(|| invalid_argument(py, "the call has no function to ask"))?;
                    let result = arguments(py).and_then(|arguments| function.call1(arguments)).and_then(no_coroutine);
                    if self.pid == std::process::id() {
                        answer(py, result);
                    } else {
                        // What the function has raised says more than that it has forked.
                        result?;
                    }
                }
            }
        }
    }

    fn forked(&self) -> Error {
        Error::new(
            ErrorKind::InvalidArgument,
            "the call belongs to the process that began it, not to this fork of it: make another one",
        )
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        if self.pid == std::process::id() {
            // It may hold a lock of the store, which is then released.
            fork::without_interpreter(|| drop(running));
        } else {
            // What it holds is the parent's to release, with threads that only the parent has.
            std::mem::forget(running);
        }
    }
}

/// Nobody awaits a coroutine here: what it would do does not happen.
fn no_coroutine(result: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: it is a live object, and the interpreter lock is held.
    if unsafe { ffi::PyCoro_CheckExact(result.as_ptr()) } == 0 {
        return Ok(result);
    }
    result.call_method0("close")?;
    Err(PyTypeError::new_err("the function is a coroutine function: give a plain one, or use data_store.aio"))
}

fn finished(py: Python<'_>, result: Result<Finish, Failure>) -> PyResult<Bound<'_, PyAny>> {
    let finish = result.map_err(|failure| {
        secrets::forget();
        failure.into_exception(py)
    })?;
    secrets::warn(py)?;
    finish(py)
}

/// Wakes a thread that waits.
struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A call that a coroutine drives. Its steps may wait for the disk, so they are for threads.
#[pyclass(frozen, immutable_type, name = "Call", module = "agent_data_store._native")]
pub(crate) struct PyCall(Mutex<State>);

struct State {
    call: Option<Call>,
    question: Option<Arguments>,
    answer: Option<Answer>,
    result: Option<Result<Finish, Failure>>,
}

impl From<Call> for PyCall {
    fn from(call: Call) -> Self {
        Self(Mutex::new(State { call: Some(call), question: None, answer: None, result: None }))
    }
}

#[pymethods]
impl PyCall {
    /// Goes on: `True` when the call is done, `False` when it asks, `None` when it waits until `wake` is called.
    fn advance(&self, py: Python<'_>, wake: Py<PyAny>) -> Option<bool> {
        let waker = Waker::from(Arc::new(Wakeup::new(wake)));
        py.detach(|| {
            let mut state = lock(&self.0);
            let step = state.call.as_mut().map(|call| call.advance(&waker));
            match step {
                Some(Step::Waits) => None,
                Some(Step::Asks(Question { arguments, answer })) => {
                    (state.question, state.answer) = (Some(arguments), Some(answer));
                    Some(false)
                }
                Some(Step::Done(result)) => {
                    (state.call, state.result) = (None, Some(result));
                    Some(true)
                }
                None => Some(true),
            }
        })
    }

    /// The arguments of the function that the call wants called.
    fn question<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let question = py.detach(|| lock(&self.0).question.take());
        question.ok_or_else(|| invalid_argument(py, "the call has no question"))?(py)
    }

    /// What the function has returned.
    fn answer(&self, py: Python<'_>, result: Bound<'_, PyAny>) {
        self.give(py, Ok(result));
    }

    /// What the function has raised.
    fn fail(&self, py: Python<'_>, exception: Bound<'_, PyAny>) {
        self.give(py, Err(PyErr::from_value(exception)));
    }

    /// The result of a call that is done.
    fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let result = py.detach(|| lock(&self.0).result.take());
        let result = result.ok_or_else(|| invalid_argument(py, "the call was ended before it was done"))?;
        finished(py, result)
    }

    /// Ends the call, and releases what it holds.
    fn cancel(&self, py: Python<'_>) {
        py.detach(|| {
            let mut state = lock(&self.0);
            (state.call, state.question, state.answer, state.result) = (None, None, None, None);
        });
    }
}

impl PyCall {
    fn give(&self, py: Python<'_>, result: PyResult<Bound<'_, PyAny>>) {
        if let Some(answer) = py.detach(|| lock(&self.0).answer.take()) {
            answer(py, result);
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
