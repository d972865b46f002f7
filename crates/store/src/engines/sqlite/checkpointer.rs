//! Moves the write-ahead log into the database file, on a thread of its own: done inside a commit it would stall that
//! writer for tens of milliseconds.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::connection::{Role, connect};
use super::failure::Result;

/// Log pages from which it is worth moving them.
const BEGIN_AT_PAGES: i32 = 1_000;

/// Log pages from which writers are made to wait a moment, so that the log can start over. Without that, steady writers
/// keep adding to it while it is being moved, and it grows for ever.
const FORCE_AT_PAGES: i32 = 16_000;

#[derive(Default)]
struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    log_pages: i32,
    stop: bool,
}

/// The running thread; dropping it stops it and closes its connection.
pub(super) struct Checkpointer {
    signal: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    pub(super) fn start(path: PathBuf) -> std::io::Result<Self> {
        let signal = Arc::new(Signal::default());
        let waiting = Arc::clone(&signal);
        let thread = std::thread::Builder::new().name("ads-checkpoint".into()).spawn(move || {
            let mut connection = None;
            while let Some(log_pages) = waiting.wait() {
                // What fails now (a busy moment, a full disk) is tried again after the next commit.
                let _ = checkpoint(&mut connection, &path, log_pages);
            }
        })?;
        Ok(Self { signal, thread: Some(thread) })
    }

    /// What to call after each commit with the length of the log.
    pub(super) fn notifier(&self) -> impl Fn(i32) + Send + 'static {
        let signal = Arc::clone(&self.signal);
        move |log_pages| {
            if log_pages >= BEGIN_AT_PAGES {
                signal.state.lock().unwrap_or_else(PoisonError::into_inner).log_pages = log_pages;
                signal.changed.notify_one();
            }
        }
    }
}

impl Signal {
    /// Waits for work; `None` to stop.
    fn wait(&self) -> Option<i32> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self
            .changed
            .wait_while(state, |state| state.log_pages == 0 && !state.stop)
            .unwrap_or_else(PoisonError::into_inner);
        (!state.stop).then(|| std::mem::take(&mut state.log_pages))
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.signal.state.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.signal.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its own thread.
            let _ = thread.join();
        }
    }
}

fn checkpoint(connection: &mut Option<Connection>, path: &std::path::Path, log_pages: i32) -> Result<()> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(connect(path, Role::Checkpointer)?),
    };
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()))?;
    if log_pages >= FORCE_AT_PAGES {
        connection.query_row("PRAGMA wal_checkpoint(RESTART)", (), |_| Ok(()))?;
    }
    Ok(())
}
