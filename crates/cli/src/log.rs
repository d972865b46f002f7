//! Stderr while the store is served: whoever reads it slowly, or not at all, keeps no client waiting.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

/// What may wait to be read, in bytes. Lines beyond it are left out, and how many is said.
const MOST: usize = 1 << 20;
/// How long the last lines may take at the end.
const LAST_LINES: Duration = Duration::from_secs(1);

static LOG: OnceLock<Log> = OnceLock::new();

/// Lines on their way to stderr.
#[derive(Debug, Default)]
pub(crate) struct Log {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    waiting: Vec<u8>,
    left_out: u64,
    writing: bool,
}

impl Log {
    /// From now on all that this program says on stderr goes by a thread of its own.
    pub(crate) fn start() -> io::Result<&'static Self> {
        let mut is_new = false;
        let log = LOG.get_or_init(|| {
            is_new = true;
            Self::default()
        });
        if is_new {
            thread::Builder::new().name("log".to_owned()).spawn(|| log.write_on())?;
        }
        Ok(log)
    }

    /// The log, where there is one.
    pub(crate) fn started() -> Option<&'static Self> {
        LOG.get()
    }

    /// Where one line goes.
    pub(crate) fn line(&'static self) -> Line {
        Line(self)
    }

    /// Adds a whole line.
    pub(crate) fn add(&self, line: &[u8]) {
        let mut lines = self.lock();
        if lines.waiting.len() + line.len() > MOST {
            lines.left_out += 1;
        } else {
            lines.waiting.extend_from_slice(line);
            self.changed.notify_all();
        }
    }

    /// Waits until all lines are written, but not for long.
    pub(crate) fn finish(&self) {
        let is_busy = |lines: &mut Lines| lines.writing || !lines.waiting.is_empty();
        // Lines that nobody reads are lost, which is no reason to stay.
        let _ = self.changed.wait_timeout_while(self.lock(), LAST_LINES, is_busy);
    }

    fn write_on(&self) {
        loop {
            let lines = self.changed.wait_while(self.lock(), |lines| lines.waiting.is_empty());
            let mut lines = lines.unwrap_or_else(PoisonError::into_inner);
            let bytes = std::mem::take(&mut lines.waiting);
            lines.writing = true;
            drop(lines);
            // A closed stderr is no reason to fail.
            let _ = io::stderr().write_all(&bytes);
            let mut lines = self.lock();
            let left_out = std::mem::take(&mut lines.left_out);
            lines.writing = false;
            drop(lines);
            self.changed.notify_all();
            if left_out > 0 {
                tracing::warn!(lines = left_out, "the log was not read in time: lines are missing before this one");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line of the log, which comes in one piece.
pub(crate) struct Line(&'static Log);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
