//! Starting, killing and watching the worker processes: this test program again, told by its environment what to do.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::workers::{Part, STOPPER};

pub(super) const STORE_FILE: &str = "store.db";
pub(super) const LEDGER_FILE: &str = "ledger";

/// Environment variables of a child: its task, where the store is, and who has started it.
pub(super) const TASK: &str = "ADS_STRESS_TASK";
pub(super) const FOLDER: &str = "ADS_STRESS_FOLDER";
pub(super) const PARENT: &str = "ADS_STRESS_PARENT";

/// This program, set to run nothing but the `worker` entry.
pub(super) fn this_program(task: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command
        .args(["--exact", "engines::sqlite::stress::worker", "--nocapture", "--quiet"])
        .env(TASK, task)
        .env(FOLDER, folder)
        .env(PARENT, std::process::id().to_string());
    command
}

/// Whether the `sqlite3` program is there.
pub(super) fn has_shell() -> bool {
    Command::new("sqlite3").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The processes that write, and the one that stops this one now and then. Dropping them ends them.
pub(super) struct Workers {
    folder: PathBuf,
    writing: Vec<(Part, Child)>,
    stopper: Child,
    pub(super) kills: u64,
}

impl Workers {
    pub(super) fn start(folder: &Path, parts: &[Part]) -> Self {
        Self {
            folder: folder.to_owned(),
            writing: parts.iter().map(|part| (*part, start(part.name(), folder))).collect(),
            stopper: start(STOPPER, folder),
            kills: 0,
        }
    }

    /// `kill -9` for a writer, and another in its place.
    pub(super) fn kill_one(&mut self) -> Result<(), String> {
        self.check()?;
        let chosen = fastrand::usize(..self.writing.len());
        let (part, child) = &mut self.writing[chosen];
        child.kill().and_then(|()| child.wait()).expect("a worker dies");
        *child = start(part.name(), &self.folder);
        self.kills += 1;
        Ok(())
    }

    /// They go on until they are ended: one that has ended by itself has failed.
    pub(super) fn check(&mut self) -> Result<(), String> {
        let writing = self.writing.iter_mut().map(|(part, child)| (part.name(), child));
        for (task, child) in writing.chain([(STOPPER, &mut self.stopper)]) {
            if let Some(status) = child.try_wait().expect("a worker") {
                return Err(format!("the worker {task:?} failed: {status}; it has said why"));
            }
        }
        Ok(())
    }
}

fn start(task: &str, folder: &Path) -> Child {
    this_program(task, folder).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("a worker starts")
}

impl Drop for Workers {
    fn drop(&mut self) {
        for (_, child) in &mut self.writing {
            // Both fail only where it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
        // Killed between stopping this process and letting it go on, it would leave it standing.
        drop(self.stopper.stdin.take());
        let _ = self.stopper.wait();
    }
}
