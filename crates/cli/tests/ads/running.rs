//! Programs that go on while a test does something else.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything that happens at all takes to happen.
const DEADLINE: Duration = Duration::from_secs(60);

/// A command for `python3 -c`: says that it is ready, reports signals, and ends with status 7 after a line on stdin.
pub(crate) const STAYS: &str = "\
import os, signal, sys
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(number, lambda number, _: print('caught', number, flush=True))
print('ready', os.environ.get('ADS_LEASE_TOKEN'), flush=True)
sys.stdin.readline()
sys.exit(7)
";

/// A started program, killed at the latest with the test.
pub(crate) struct Running {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
}

/// Has the program heed signals even where those who run the tests ignore them (`nohup`, a job in the background).
pub(crate) fn heed_signals(command: &mut Command) {
    // SAFETY: only makes system calls.
    unsafe {
        command.pre_exec(|| {
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        });
    }
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        heed_signals(&mut command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let (out, err) = (lines(child.stdout.take().expect("piped")), lines(child.stderr.take().expect("piped")));
        Self { child, out, err }
    }

    /// The next line on stdout.
    pub(crate) fn line(&self) -> String {
        self.out.recv_timeout(DEADLINE).expect("a line on stdout")
    }

    /// The next line on stderr.
    pub(crate) fn message(&self) -> String {
        self.err.recv_timeout(DEADLINE).expect("a line on stderr")
    }

    pub(crate) fn type_line(&mut self) {
        self.child.stdin.as_mut().expect("piped").write_all(b"go\n").expect("it reads");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Waits for the end: exit code (128 and the number for a signal), and what was on stdout and stderr since.
    pub(crate) fn end(mut self) -> (i32, Vec<String>, Vec<String>) {
        let (out, err) = (rest(&self.out), rest(&self.err));
        let status = self.child.wait().expect("an end");
        (status.code().or_else(|| status.signal().map(|number| 128 + number)).expect("one of them"), out, err)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    lines
}

fn rest(lines: &Receiver<String>) -> Vec<String> {
    let mut rest = Vec::new();
    loop {
        match lines.recv_timeout(DEADLINE) {
            Ok(line) => rest.push(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => return rest,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end; so far: {rest:?}"),
        }
    }
}
