//! Locks.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use agent_data_store::{Error, ErrorKind, Lease, LockOptions, Result, block_on};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::arguments::{self, Given, Wait};
use crate::blocks::call::{Call, Caller, PyCall, finish, lock};
use crate::data_store::PyDataStore;
use crate::errors::{invalid_argument, raise};
use crate::fork::{self, Opened};

/// A held lock, from `DataStore.lock`; as a context manager it is released at the end of the block.
///
/// A thread renews it until it is released, so it ends only with the process, or where the process stands still for
/// longer than `ttl`. After a fork it belongs to the parent: in the child, every call raises `LeaseLostError`.
#[pyclass(frozen, immutable_type, name = "Lease", module = "agent_data_store")]
pub(crate) struct PyLease {
    slot: Arc<Slot>,
    resource: String,
    token: u64,
    entered: AtomicBool,
    opened: Arc<Opened>,
}

/// Where a lease is kept until it is released.
pub(crate) struct Slot {
    lease: Mutex<Option<Lease>>,
    pid: u32,
    opened: Weak<Opened>,
}

/// Those that may have to be released when their store is closed, or when the interpreter exits.
static HELD: Mutex<Vec<Weak<Slot>>> = Mutex::new(Vec::new());

impl Slot {
    fn new(lease: Lease, opened: &Arc<Opened>) -> Arc<Self> {
        let opened = Arc::downgrade(opened);
        let slot = Arc::new(Self { lease: Mutex::new(Some(lease)), pid: std::process::id(), opened });
        let mut held = lock(&HELD);
        held.retain(|other| other.strong_count() > 0);
        held.push(Arc::downgrade(&slot));
        slot
    }

    fn is_ours(&self) -> bool {
        self.pid == std::process::id()
    }

    fn check_ours(&self, resource: &str) -> Result<()> {
        if self.is_ours() {
            return Ok(());
        }
        let message = format!(
            "the lock {resource:?} is held by the process that took it, not by this fork of it: take it here too"
        );
        Err(Error::new(ErrorKind::LeaseLost, message))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let lease = self.lease.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if self.is_ours() {
            fork::without_interpreter(|| drop(lease));
        } else {
            // The record and the thread that renews it are the parent's.
            std::mem::forget(lease);
        }
    }
}

/// Held over a fork, so that the child does not find it locked by a thread that it does not have.
pub(crate) struct Still(#[allow(dead_code)] MutexGuard<'static, Vec<Weak<Slot>>>);

pub(crate) fn hold_still() -> Still {
    Still(lock(&HELD))
}

/// Releases every lock that this process still holds on `opened`.
pub(crate) fn release_all(opened: &Arc<Opened>) {
    let held: Vec<_> = lock(&HELD).iter().filter_map(Weak::upgrade).collect();
    for slot in held.iter().filter(|slot| slot.is_ours() && std::ptr::eq(slot.opened.as_ptr(), Arc::as_ptr(opened))) {
        drop(lock(&slot.lease).take());
    }
}

/// Who asks for a lock or computes, within this process: this thread, or the task with this number. The process is part of it, because
/// a fork has what its parent had.
pub(crate) fn owner(task: Option<u32>) -> u64 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const TASK: u32 = 1 << 31;
    thread_local! {
        static THREAD: Cell<u32> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed) % TASK);
    }
    let within = task.map_or_else(|| THREAD.get(), |task| task | TASK);
    u64::from(std::process::id()) << 32 | u64::from(within)
}

impl PyDataStore {
    fn lock_call(&self, resource: &Bound<'_, PyAny>, ttl: &Given<'_>, wait: Wait, owner: u64) -> PyResult<Call> {
        let resource = arguments::text("resource", resource)?.to_owned();
        let defaults = LockOptions::default();
        let ttl = ttl.get().map_or(Ok(defaults.ttl), arguments::lease_ttl)?;
        let options = LockOptions { ttl, wait: wait.0, owner: Some(owner), ..defaults };
        let (view, opened) = (self.view.clone(), Arc::clone(&self.opened));
        Ok(Call::new(&self.opened, &Caller::default(), async move {
            let lease = view.lock(&resource, options).await?;
            let (token, slot) = (lease.token(), Slot::new(lease, &opened));
            let lease = PyLease { slot, resource, token, entered: AtomicBool::new(false), opened };
            Ok(finish(move |py| lease.into_bound_py_any(py)))
        }))
    }
}

#[pymethods]
impl PyDataStore {
    /// Takes the lock on `resource`: `with data_store.lock("printer") as lease:`.
    ///
    /// `ttl`: how long it is held unless renewed, in seconds or as a `timedelta`. A thread renews it in the background,
    /// so this is how long others wait if this process dies. `wait`: how long to wait for the lock; 0 for not at all,
    /// `None` for as long as it takes.
    ///
    /// The lock is the record `lock:{resource}` of this namespace, with the agent and the time in its value. One that
    /// was written there by hand, with the time as `datetime.now().isoformat()` in `acquired_at`, counts for 300
    /// seconds.
    ///
    /// Raises `LeaseHeldError` where somebody else holds it, and `InvalidArgumentError` where this thread does (in
    /// `aio`: this task), because locks are not re-entrant. The end of the block raises `LeaseLostError` where the
    /// lock was lost meanwhile, unless the block itself raises.
    #[pyo3(
        signature = (resource, ttl = Given::default(), wait = Wait(Duration::ZERO)),
        text_signature = "($self, resource, ttl=300, wait=0)"
    )]
    fn lock<'py>(
        &self,
        py: Python<'py>,
        resource: &Bound<'py, PyAny>,
        ttl: Given<'py>,
        wait: Wait,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.lock_call(resource, &ttl, wait, owner(None))?.complete(py, None)
    }

    fn _start_lock(&self, resource: &Bound<'_, PyAny>, ttl: Given<'_>, wait: Wait, task: u32) -> PyResult<PyCall> {
        self.lock_call(resource, &ttl, wait, owner(Some(task))).map(PyCall::from)
    }
}

impl PyLease {
    fn call(&self, work: impl FnOnce(&Slot) -> Result<()> + Send + 'static) -> Call {
        let (slot, resource) = (Arc::clone(&self.slot), self.resource.clone());
        Call::new(&self.opened, &Caller::default(), async move {
            slot.check_ours(&resource)?;
            work(&slot)?;
            Ok(finish(|py| Ok(py.None().into_bound(py))))
        })
    }

    fn renew_call(&self) -> Call {
        let resource = self.resource.clone();
        self.call(move |slot| match &*lock(&slot.lease) {
            Some(lease) => block_on(lease.renew()),
            None => Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("the lock {resource:?} was released: take it again"),
            )),
        })
    }

    fn release_call(&self) -> Call {
        self.call(|slot| {
            let lease = lock(&slot.lease).take();
            lease.map_or(Ok(()), |lease| block_on(lease.release()))
        })
    }
}

#[pymethods]
impl PyLease {
    /// The fencing token: greater than that of every earlier holder of the lock.
    ///
    /// Pass it to whatever the lock protects, and have that refuse a token that is smaller than one it has seen.
    #[getter]
    fn token(&self) -> u64 {
        self.token
    }

    /// What is locked.
    #[getter]
    fn resource(&self) -> &str {
        &self.resource
    }

    /// Whether the lock is still held, as far as the last renewal could tell. Asks nobody.
    #[getter]
    fn is_held(&self, py: Python<'_>) -> bool {
        let slot = &self.slot;
        slot.is_ours() && py.detach(|| lock(&slot.lease).as_ref().is_some_and(Lease::is_held))
    }

    /// Holds the lock for another `ttl` from now. The background does so too; this tells whether it succeeds.
    ///
    /// Raises `LeaseLostError` where the lock had ended, and `InvalidArgumentError` where it was released.
    fn renew(&self, py: Python<'_>) -> PyResult<()> {
        self.renew_call().complete(py, None).map(drop)
    }

    fn _start_renew(&self) -> PyCall {
        self.renew_call().into()
    }

    /// Gives the lock back; releasing twice does nothing.
    ///
    /// Raises `LeaseLostError` where the lock had ended before.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        self.release_call().complete(py, None).map(drop)
    }

    fn _start_release(&self) -> PyCall {
        self.release_call().into()
    }

    fn __enter__(this: Py<Self>, py: Python<'_>) -> PyResult<Py<Self>> {
        let lease = this.get();
        lease.slot.check_ours(&lease.resource).map_err(|error| raise(py, &error))?;
        let is_over = py.detach(|| lock(&lease.slot.lease).is_none());
        if lease.entered.swap(true, Ordering::Relaxed) || is_over {
            let message = format!("the lock {:?} was released, or is in use by a block: take it anew", lease.resource);
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
        let released = self.release(py);
        // What the block has raised says more; the lease ends by itself.
        if exception.is_none() { released } else { Ok(()) }
    }

    fn __repr__<'py>(&self, py: Python<'py>) -> PyResult<String> {
        let resource = PyString::new(py, &self.resource).repr()?;
        let is_held = if self.is_held(py) { "True" } else { "False" };
        Ok(format!("Lease(resource={resource}, token={}, is_held={is_held})", self.token))
    }
}
