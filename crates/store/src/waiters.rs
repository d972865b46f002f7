//! Waiting for a change or a moment, for engines that nobody notifies of what other processes do: one thread looks for
//! all who wait, and there is none while nobody does.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::error::{Error, Result};

/// How long a change by another process may go unnoticed, about. Looking costs a few microseconds.
const INTERVAL: Duration = Duration::from_millis(10);

/// Says whether anything has changed since it was asked last.
pub(crate) type Probe = Box<dyn FnMut() -> bool + Send>;

pub(crate) struct Waiters {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    stopped: Condvar,
    /// Spares those who change something the lock while nobody waits.
    anyone: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Rises at every change.
    generation: u64,
    waiting: HashMap<u64, Waiting>,
    next_id: u64,
    /// Those between [`Waiters::watch`] and the end of their wait; the thread runs while there are any.
    watchers: usize,
    running: bool,
    stop: bool,
}

struct Waiting {
    until: Timestamp,
    waker: Waker,
}

/// From its making on, no change goes unnoticed. Made anew for each wait.
pub(crate) struct Watch<'a> {
    waiters: &'a Waiters,
    generation: u64,
    id: u64,
}

impl Waiters {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::default(), clock, thread: Mutex::default() }
    }

    /// Something has changed.
    pub(crate) fn notify(&self) {
        if self.shared.anyone.load(Ordering::SeqCst) {
            self.shared.notify();
        }
    }

    /// Begins to look for changes, with the probe that `make` makes unless somebody is at it already.
    pub(crate) fn watch(&self, make: impl FnOnce() -> Result<Probe>) -> Result<Watch<'_>> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.shared.state();
        if !state.running {
            drop(state);
            if let Some(ended) = thread.take() {
                // A panic there has been reported by its own thread.
                let _ = ended.join();
            }
            let probe = make()?;
            let (shared, clock) = (Arc::clone(&self.shared), Arc::clone(&self.clock));
            state = self.shared.state();
            state.running = true;
            state.stop = false;
            let started =
                std::thread::Builder::new().name("ads-watch".into()).spawn(move || shared.look(probe, &*clock));
            match started {
                Ok(started) => *thread = Some(started),
                Err(source) => {
                    state.running = false;
                    return Err(Error::unavailable("the system refuses a thread for waiting: raise its limit")
                        .caused_by(source));
                }
            }
        }
        state.watchers += 1;
        state.next_id += 1;
        self.shared.anyone.store(true, Ordering::SeqCst);
        Ok(Watch { waiters: self, generation: state.generation, id: state.next_id })
    }

    /// Ends the thread and wakes everyone: they will look again, and so start anew.
    pub(crate) fn stop(&self) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut state = self.shared.state();
            state.stop = true;
        }
        self.shared.stopped.notify_all();
        if let Some(thread) = thread.take() {
            let _ = thread.join();
        }
        self.shared.notify();
    }
}

impl Watch<'_> {
    /// Waits until something has changed since this was made, at the latest until `until`. May end early.
    pub(crate) async fn changed(self, until: Timestamp) {
        let shared = &self.waiters.shared;
        poll_fn(|context| {
            let mut state = shared.state();
            let over = state.generation != self.generation || !state.running || self.waiters.clock.now() >= until;
            if over {
                return Poll::Ready(());
            }
            state.waiting.insert(self.id, Waiting { until, waker: context.waker().clone() });
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let mut state = self.waiters.shared.state();
        state.waiting.remove(&self.id);
        state.watchers -= 1;
        if state.watchers == 0 {
            self.waiters.shared.anyone.store(false, Ordering::SeqCst);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self) {
        let woken = {
            let mut state = self.state();
            state.generation += 1;
            std::mem::take(&mut state.waiting)
        };
        woken.into_values().for_each(|waiting| waiting.waker.wake());
    }

    /// The thread: looks again and again until nobody watches any more.
    fn look(&self, mut probe: Probe, clock: &dyn Clock) {
        // A panic must not leave the others waiting for a thread that is gone.
        struct Ended<'a>(&'a Shared);
        impl Drop for Ended<'_> {
            fn drop(&mut self) {
                self.0.state().running = false;
                self.0.notify();
            }
        }
        let _ended = Ended(self);
        loop {
            let state = self.state();
            let (mut state, _) = self
                .stopped
                .wait_timeout_while(state, INTERVAL, |state| !state.stop)
                .unwrap_or_else(PoisonError::into_inner);
            if state.stop || state.watchers == 0 {
                // Under the lock: who begins to watch after this starts a new thread.
                state.running = false;
                return;
            }
            let now = clock.now();
            let due: Vec<u64> =
                state.waiting.iter().filter(|(_, waiting)| waiting.until <= now).map(|(id, _)| *id).collect();
            let due: Vec<Waiting> = due.iter().filter_map(|id| state.waiting.remove(id)).collect();
            drop(state);
            due.into_iter().for_each(|waiting| waiting.waker.wake());
            if probe() {
                self.notify();
            }
        }
    }
}

impl std::fmt::Debug for Waiters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiters").finish_non_exhaustive()
    }
}
