//! Waking coroutines. Whoever changes a record does not wait for the interpreter to do so: a thread of its own does.

use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Wake;
use std::thread::JoinHandle;

use pyo3::prelude::*;

use crate::blocks::call::lock;

/// A function of Python that is called, without arguments, when a call can go on.
pub(crate) struct Wakeup(Py<PyAny>);

impl Wakeup {
    pub(crate) fn new(function: Py<PyAny>) -> Self {
        Self(function)
    }
}

impl Wakeup {
    fn call(&self) {
        // An event loop that is closed refuses; nobody waits there any more.
        let _ = Python::try_attach(|py| self.0.call0(py).map(drop));
    }
}

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        let mut thread = lock(&THREAD);
        match &*thread {
            WakingThread::Running { pid, sender, .. } if *pid == std::process::id() => {
                // The thread lives until it is stopped, which replaces this.
                let _ = sender.send(self);
            }
            WakingThread::Stopped => {}
            _ => {
                let (sender, wakeups) = mpsc::channel::<Arc<Wakeup>>();
                let started = std::thread::Builder::new()
                    .name("ads-wake".into())
                    .spawn(move || wakeups.into_iter().for_each(|wakeup| wakeup.call()));
                match started {
                    Ok(handle) => {
                        let _ = sender.send(self);
                        let running = WakingThread::Running { pid: std::process::id(), sender, handle };
                        // One from before a fork is a thread that this process does not have.
                        std::mem::forget(std::mem::replace(&mut *thread, running));
                    }
                    Err(_) => {
                        drop(thread);
                        self.call();
                    }
                }
            }
        }
    }
}

enum WakingThread {
    None,
    Running { pid: u32, sender: Sender<Arc<Wakeup>>, handle: JoinHandle<()> },
    Stopped,
}

static THREAD: Mutex<WakingThread> = Mutex::new(WakingThread::None);

/// Held over a fork, so that the child does not find it locked by a thread that it does not have.
pub(crate) struct Still(#[allow(dead_code)] MutexGuard<'static, WakingThread>);

pub(crate) fn hold_still() -> Still {
    Still(lock(&THREAD))
}

/// Ends the thread for good. Call it without the interpreter lock.
pub(crate) fn stop() {
    let thread = std::mem::replace(&mut *lock(&THREAD), WakingThread::Stopped);
    if let WakingThread::Running { pid, sender, handle } = thread
        && pid == std::process::id()
    {
        drop(sender);
        // A panic there has been reported by its own thread.
        let _ = handle.join();
    }
}
