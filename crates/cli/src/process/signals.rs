//! Signals that come while a command runs: they must not end us before it, since a lease is to be given back after it.

use std::io;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::Sender;

use super::Event;

#[cfg(unix)]
pub(super) use unix::{Listener, Listening, await_end, number};

#[cfg(not(unix))]
pub(super) use elsewhere::{Listener, Listening, await_end, number};

#[cfg(unix)]
mod unix {
    use std::mem::MaybeUninit;
    use std::os::unix::process::ExitStatusExt;
    use std::ptr;
    use std::sync::{Arc, Mutex, PoisonError};
    use std::thread::{Builder, JoinHandle};

    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    use signal_hook::iterator::exfiltrator::origin::WithOrigin;
    use signal_hook::iterator::{Handle, SignalsInfo};

    use super::*;

    /// Those by which people and their tools ask a process to end.
    const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

    /// From its making on, no signal ends this process.
    pub(in super::super) struct Listener(SignalsInfo<WithOrigin>);

    /// Passes signals on until it is dropped.
    pub(in super::super) struct Listening {
        command: Arc<Mutex<Option<Pid>>>,
        handle: Handle,
        thread: Option<JoinHandle<()>>,
    }

    impl Listener {
        pub(in super::super) fn new() -> io::Result<Self> {
            // What was ignored at our start (`nohup`, a job in the background) stays so, for the command as well.
            let heeded = ENDING.into_iter().filter(|signal| !is_ignored(*signal));
            SignalsInfo::new(heeded).map(Self)
        }

        pub(in super::super) fn start(self, child: &Child, events: Sender<Event>) -> io::Result<Listening> {
            let Self(mut signals) = self;
            let handle = signals.handle();
            let command = Arc::new(Mutex::new(Some(Pid::from_child(child))));
            let target = Arc::clone(&command);
            let thread = Builder::new().name("ads-signals".into()).spawn(move || {
                for origin in signals.forever() {
                    // First, so that it is known before the command can have ended by it.
                    let _ = events.send(Event::Interrupted(origin.signal));
                    // The terminal's own signals, which no process sent, go to the whole process group.
                    if origin.process.is_some() {
                        pass_on(origin.signal, &target);
                    }
                }
            })?;
            Ok(Listening { command, handle, thread: Some(thread) })
        }
    }

    impl Listening {
        pub(in super::super) fn stop_passing_on(&self) {
            *self.command.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    impl Drop for Listening {
        fn drop(&mut self) {
            self.handle.close();
            if let Some(thread) = self.thread.take() {
                // A panic there has been reported by its own thread.
                let _ = thread.join();
            }
        }
    }

    fn pass_on(signal: i32, target: &Mutex<Option<Pid>>) {
        // Held while sending: the number is the command's for so long.
        let command = target.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(command), Some(signal)) = (*command, Signal::from_named_raw(signal)) {
            // One that has just ended needs no signal, and one of another user gets none.
            let _ = kill_process(command, signal);
        }
    }

    /// Waits for the end, and leaves the command's number to it.
    pub(in super::super) fn await_end(child: &Child) -> io::Result<()> {
        let command = Pid::from_child(child);
        rustix::io::retry_on_intr(|| waitid(WaitId::Pid(command), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT))?;
        Ok(())
    }

    /// The number of the signal that ended a command.
    pub(in super::super) fn number(status: ExitStatus) -> Option<i32> {
        status.signal()
    }

    fn is_ignored(signal: i32) -> bool {
        let mut present = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: without a new action this only writes the present one, for which there is room; all zeros is one, too.
        let present = unsafe {
            libc::sigaction(signal, ptr::null(), present.as_mut_ptr());
            present.assume_init()
        };
        present.sa_sigaction == libc::SIG_IGN
    }
}

/// Where there are no signals, whoever ends us ends us.
#[cfg(not(unix))]
mod elsewhere {
    use super::*;

    pub(in super::super) struct Listener;

    /// Keeps the channel open.
    pub(in super::super) struct Listening(#[allow(dead_code)] Sender<Event>);

    impl Listener {
        pub(in super::super) fn new() -> io::Result<Self> {
            Ok(Self)
        }

        pub(in super::super) fn start(self, _: &Child, events: Sender<Event>) -> io::Result<Listening> {
            Ok(Listening(events))
        }
    }

    impl Listening {
        pub(in super::super) fn stop_passing_on(&self) {}
    }

    pub(in super::super) fn await_end(_: &Child) -> io::Result<()> {
        Ok(())
    }

    pub(in super::super) fn number(_: ExitStatus) -> Option<i32> {
        None
    }
}
