//! The background thread of an open store: writes gathered reads, sweeps what is gone.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// How late a read may be counted, at most, is twice this.
const INTERVAL: Duration = Duration::from_secs(5);

/// Between two steps of a longer work, so that writers get most of the time.
const PAUSE: Duration = Duration::from_millis(2);

/// What the thread does at each turn; returns whether there is more to do.
pub(crate) trait Chores: Send + Sync + 'static {
    fn do_chores(&self) -> bool;
}

#[derive(Default)]
struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    wake: bool,
    stop: bool,
}

impl Signal {
    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits for the next turn; `false` to stop.
    fn wait(&self, in_midst: bool) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // In the midst of it nobody needs to wake the thread.
        let interval = if in_midst { PAUSE } else { INTERVAL };
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, interval, |state| (in_midst || !state.wake) && !state.stop)
            .unwrap_or_else(PoisonError::into_inner);
        state.wake = false;
        !state.stop
    }
}

/// A running housekeeping thread.
#[derive(Default)]
pub(crate) struct Housekeeper {
    signal: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
}

impl Housekeeper {
    /// Starts the thread. It holds no strong reference, so it ends by itself once nobody uses the store.
    pub(crate) fn start(chores: Weak<impl Chores>) -> std::io::Result<Self> {
        let signal = Arc::new(Signal::default());
        let waiting = Arc::clone(&signal);
        let thread = std::thread::Builder::new().name("ads-housekeeping".into()).spawn(move || {
            let mut more = false;
            while waiting.wait(more) {
                let Some(chores) = chores.upgrade() else { return };
                more = chores.do_chores();
            }
        })?;
        Ok(Self { signal, thread: Some(thread) })
    }

    /// Asks for a turn now.
    pub(crate) fn wake(&self) {
        self.signal.set(|state| state.wake = true);
    }

    /// Ends the thread and waits for it, unless it is the caller.
    pub(crate) fn stop(&mut self) {
        self.signal.set(|state| state.stop = true);
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != std::thread::current().id()) {
            // A panic there has been reported by its own thread.
            let _ = thread.join();
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.thread.is_some()
    }
}
