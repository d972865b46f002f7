//! How far a long work has come: a bar on a terminal, else a line now and then. On stderr.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::{message, number};

/// Between two lines where there is no terminal.
const QUIET: Duration = Duration::from_secs(10);

/// The progress of one work after the other.
pub(crate) struct Progress {
    /// Nothing is shown to a program.
    silent: bool,
    bar: Option<ProgressBar>,
    stage: &'static str,
    shown_at: Instant,
}

impl Progress {
    pub(crate) fn new(silent: bool) -> Self {
        let bar = (!silent && io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{msg:10} {wide_bar} {human_pos} of {human_len} {eta}");
            style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style))
        });
        Self { silent, bar, stage: "", shown_at: Instant::now() }
    }

    /// So much is done of what `stage` has to do.
    pub(crate) fn show(&mut self, stage: &'static str, done: u64, of: u64) {
        // What came meanwhile is more than there was.
        let of = of.max(done);
        let is_new = stage != std::mem::replace(&mut self.stage, stage);
        match &self.bar {
            Some(bar) => {
                if is_new {
                    bar.reset();
                    bar.set_message(stage);
                }
                bar.set_length(of);
                bar.set_position(done);
            }
            None if self.silent => {}
            None if is_new || self.shown_at.elapsed() >= QUIET => {
                self.shown_at = Instant::now();
                message(&format!("{stage}: {} of {}", number(done), number(of)));
            }
            None => {}
        }
    }

    /// Leaves the terminal as it was.
    pub(crate) fn end(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
