//! Every open store of this process, so that a `fork` finds all of them at rest and `exit` finds all of them closed.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard, Weak};

use agent_data_store::{Error, ErrorKind, Options, Result, Store, Suspension, Token, block_on};
use pyo3::ffi;
use pyo3::prelude::*;

use crate::blocks::{lease, wake};
use crate::secrets;

/// A store that Python holds; the last handle closes it.
pub(crate) struct Opened {
    pub(crate) store: Store,
}

static OPENED: Mutex<Vec<Weak<Opened>>> = Mutex::new(Vec::new());

/// Read while a store is being opened, written from before a fork until after it: no store can slip in between.
static FORKING: RwLock<()> = RwLock::new(());

/// Whether stores are at rest or about to be. Changed and read with the interpreter lock held.
static AT_REST: AtomicBool = AtomicBool::new(false);

thread_local! {
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
}

/// What the forking thread holds. The order of the fields is the order in which they are let go.
struct Held {
    _suspensions: Vec<Suspension>,
    _stores: Vec<Arc<Opened>>,
    _wakeups: wake::Still,
    _leases: lease::Still,
    _forking: RwLockWriteGuard<'static, ()>,
}

impl Opened {
    /// Opens the store at `url`. Call it without the interpreter lock: it waits for a fork that is under way.
    pub(crate) fn open(url: &str, token: Option<Token>) -> Result<Arc<Self>> {
        if HELD.with_borrow(Option::is_some) {
            return Err(Error::new(ErrorKind::Unavailable, "the process is forking: open the store before or after"));
        }
        let _no_fork = FORKING.read().unwrap_or_else(PoisonError::into_inner);
        let mut options = Options::default();
        options.warnings = Some(Arc::new(secrets::Found));
        options.token = token;
        let opened = Arc::new(Self { store: block_on(Store::open(url, options))? });
        let mut all = all_opened();
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(&opened));
        Ok(opened)
    }
}

impl Opened {
    /// Releases the locks that are held on the store, for which others would wait, and closes it.
    pub(crate) fn close(self: &Arc<Self>) -> Result<()> {
        lease::release_all(self);
        block_on(self.store.close())
    }
}

impl Drop for Opened {
    /// Python drops the last handle wherever its garbage is collected: closing writes to disk, which must not stop the
    /// other threads of the interpreter.
    fn drop(&mut self) {
        without_interpreter(|| {
            // What could not be written on the way out was only counted reads; there is nobody left to tell.
            let _ = block_on(self.store.close());
        });
    }
}

/// Runs `work` without the interpreter lock, for where it is not known whether it is held.
pub(crate) fn without_interpreter(work: impl FnOnce() + Send) {
    let mut work = Some(work);
    let mut run = || {
        if let Some(work) = work.take() {
            work();
        }
    };
    // SAFETY: the call has no precondition.
    if unsafe { ffi::PyGILState_Check() } == 1 {
        // There is no attaching any more while the interpreter shuts down.
        let _ = Python::try_attach(|py| py.detach(&mut run));
    }
    run();
}

fn all_opened() -> MutexGuard<'static, Vec<Weak<Opened>>> {
    OPENED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn living() -> Vec<Arc<Opened>> {
    all_opened().iter().filter_map(Weak::upgrade).collect()
}

/// Whether a store may be asked without giving up the interpreter lock. Its own locks are taken while it is at rest, and
/// the thread that holds them waits for the interpreter's.
pub(crate) fn may_keep_interpreter(_py: Python<'_>) -> bool {
    !AT_REST.load(Ordering::Relaxed)
}

/// Brings every store to rest. Without the interpreter lock, since running calls may want it to end.
pub(crate) fn before_fork(py: Python<'_>) {
    AT_REST.store(true, Ordering::Relaxed);
    py.detach(|| {
        let forking = FORKING.write().unwrap_or_else(PoisonError::into_inner);
        let stores = living();
        let suspensions = stores.iter().map(|opened| opened.store.suspend()).collect();
        let (wakeups, leases) = (wake::hold_still(), lease::hold_still());
        HELD.set(Some(Held {
            _suspensions: suspensions,
            _stores: stores,
            _wakeups: wakeups,
            _leases: leases,
            _forking: forking,
        }));
    });
}

/// Lets every store go on, in the parent as in the child.
pub(crate) fn after_fork(py: Python<'_>) {
    py.detach(|| drop(HELD.take()));
    AT_REST.store(false, Ordering::Relaxed);
}

/// Releases every lock and closes every store that is still open: at exit objects are not collected, so others would wait
/// for the locks, and gathered reads would be lost.
pub(crate) fn close_all(py: Python<'_>) {
    py.detach(|| {
        wake::stop();
        for opened in living() {
            let _ = opened.close();
        }
    });
}
