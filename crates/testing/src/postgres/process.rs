//! A server's process, which does not outlive the test's.

use std::os::unix::process::CommandExt;
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::disk::SmallDisk;
use super::programs::Command;

/// A process that is watched by a thread of its own: the system ends it when that thread ends, however that comes.
pub(super) struct Process {
    id: i32,
    ended: Receiver<()>,
    watch: JoinHandle<()>,
}

impl Process {
    /// Starts it, with a small disk that nobody else has where one is named.
    pub(super) fn start(command: Command, disk: Option<SmallDisk>) -> Self {
        let Command(mut command) = command;
        // SAFETY: between fork and exec one system call is made, and nothing else.
        #[cfg(target_os = "linux")]
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGQUIT) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        let (say_id, id) = channel();
        let (say_ended, ended) = channel();
        let watch = thread::Builder::new().name("postgres".into()).spawn(move || {
            // What this thread mounts is seen by what it starts, and is gone with that.
            disk.iter().for_each(|disk| disk.mount().expect("a small disk is mounted"));
            let mut child: Child = command.spawn().expect("PostgreSQL starts");
            say_id.send(i32::try_from(child.id()).expect("a process id")).expect("the test listens");
            child.wait().expect("the child can be waited for");
            // Nobody may be there to hear.
            let _ = say_ended.send(());
        });
        let watch = watch.expect("a thread");
        Self { id: id.recv().expect("PostgreSQL starts"), ended, watch }
    }

    pub(super) fn id(&self) -> i32 {
        self.id
    }

    pub(super) fn is_running(&self) -> bool {
        !self.watch.is_finished()
    }

    /// Sends the signal and waits for the end.
    pub(super) fn end(self, signal: i32, deadline: Duration) {
        if self.is_running() {
            // SAFETY: the process is a child that has not been waited for, so the number is its own.
            unsafe { libc::kill(self.id, signal) };
        }
        if self.ended.recv_timeout(deadline).is_err() && self.is_running() {
            // SAFETY: as above.
            unsafe { libc::kill(self.id, libc::SIGKILL) };
        }
        let _ = self.watch.join();
    }
}
