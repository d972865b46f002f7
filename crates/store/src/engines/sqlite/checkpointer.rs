//! Moves the write-ahead log into the database file, on a thread of its own: done inside a commit it would stall that
//! writer for tens of milliseconds.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::connection::{Role, connect};
use super::failure::Result;

/// How many pages the log grows by before they are moved. Moving costs two syncs of the disk, for which the writers' own
/// then wait, so not at every commit; and a log that starts over soon is written in place, where a sync costs half of what
/// it does at the end of a growing file.
const MOVE_EVERY_PAGES: i32 = 1_000;

#[derive(Default)]
struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_due: bool,
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
            while waiting.wait() {
                // What fails now (a busy moment, a full disk) is tried again when the log has grown further.
                let _ = checkpoint(&mut connection, &path);
            }
        })?;
        Ok(Self { signal, thread: Some(thread) })
    }

    /// What to call after each commit with the length of the log.
    pub(super) fn notifier(&self) -> impl FnMut(i32) + Send + 'static {
        let signal = Arc::clone(&self.signal);
        let mut growth = Growth::default();
        move |log_pages| {
            if growth.is_worth_moving(log_pages) {
                signal.state.lock().unwrap_or_else(PoisonError::into_inner).is_due = true;
                signal.changed.notify_one();
            }
        }
    }
}

/// How long the log was when its pages were last asked to be moved.
#[derive(Default)]
struct Growth {
    moved_at: i32,
}

impl Growth {
    fn is_worth_moving(&mut self, log_pages: i32) -> bool {
        if log_pages < self.moved_at {
            // It has started over.
            self.moved_at = 0;
        }
        let is_due = log_pages - self.moved_at >= MOVE_EVERY_PAGES;
        if is_due {
            self.moved_at = log_pages;
        }
        is_due
    }
}

impl Signal {
    /// Waits for work; `false` to stop.
    fn wait(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self
            .changed
            .wait_while(state, |state| !state.is_due && !state.stop)
            .unwrap_or_else(PoisonError::into_inner);
        state.is_due = false;
        !state.stop
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

fn checkpoint(connection: &mut Option<Connection>, path: &std::path::Path) -> Result<()> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(connect(path, Role::Checkpointer)?),
    };
    // Most of it beside the writers; then, while they wait a moment, what they have added meanwhile. Without that steady
    // writers never let the log start over, and it grows for ever.
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()))?;
    connection.query_row("PRAGMA wal_checkpoint(RESTART)", (), |_| Ok(()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_moved_once_for_each_length_that_it_grows_by() {
        let mut growth = Growth::default();
        let mut asked = |pages: std::ops::RangeInclusive<i32>| pages.filter(|at| growth.is_worth_moving(*at)).count();
        assert_eq!(asked(1..=MOVE_EVERY_PAGES - 1), 0);
        assert_eq!(asked(MOVE_EVERY_PAGES..=3 * MOVE_EVERY_PAGES), 3);
        // The log has started over.
        assert_eq!(asked(1..=MOVE_EVERY_PAGES), 1);
    }
}
