//! Worker processes: started, listened to, killed, paused.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::event::Event;
use crate::worker::Task;

/// Longer than anything may take: who is silent for so long will say nothing any more.
const DEADLINE: Duration = Duration::from_secs(120);

/// Workers of a round. Dropping it ends them.
pub(crate) struct Crew {
    workers: Vec<Worker>,
    sender: Sender<Told>,
    told: Receiver<Told>,
    events: Vec<(u32, Event)>,
    /// How many calls have returned.
    returned: usize,
    /// How many of those who were started have ended.
    ended: usize,
    started: usize,
}

struct Worker {
    child: Child,
    /// Its end is the worker's sign to end.
    input: Option<ChildStdin>,
}

enum Told {
    Event(u32, Event),
    Ended,
}

impl Crew {
    pub(crate) fn start(tasks: impl Iterator<Item = Task>) -> Self {
        let (sender, told) = channel();
        let mut crew =
            Self { workers: Vec::new(), sender, told, events: Vec::new(), returned: 0, ended: 0, started: 0 };
        tasks.for_each(|task| crew.add(&task));
        crew
    }

    /// One more.
    pub(crate) fn add(&mut self, task: &Task) {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.args(["--exact", "worker", "--nocapture", "--quiet"]).envs(task.variables());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a worker starts");
        let input = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let (pid, sender) = (child.id(), self.sender.clone());
        thread::spawn(move || {
            for event in lines.filter_map(|line| Event::parse(&line)) {
                // Nobody listens any more once the test has failed.
                let _ = sender.send(Told::Event(pid, event));
            }
            let _ = sender.send(Told::Ended);
        });
        self.started += 1;
        self.workers.push(Worker { child, input });
    }

    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Listens until so many more calls have returned; at the latest for `patience`, for they may all be waiting.
    pub(crate) fn hear(&mut self, calls: usize, patience: Duration) {
        let (until, enough) = (Instant::now() + patience, self.returned + calls);
        while self.returned < enough {
            match self.told.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(told) => self.keep(told),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => unreachable!("this keeps a sender"),
            }
        }
    }

    /// The same where nothing is in the way.
    pub(crate) fn hear_all(&mut self, calls: usize) {
        let enough = self.returned + calls;
        self.hear(calls, DEADLINE);
        assert!(self.returned >= enough, "the workers do nothing any more");
    }

    fn keep(&mut self, told: Told) {
        match told {
            Told::Ended => self.ended += 1,
            Told::Event(pid, event) => {
                self.returned += usize::from(matches!(event, Event::Returns { .. }));
                self.events.push((pid, event));
            }
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, number: usize) {
        let mut worker = self.workers.remove(number);
        worker.child.kill().expect("it can be killed");
        worker.child.wait().expect("it ends");
    }

    /// `SIGSTOP`, and after `calls` of the others, if they get on, `SIGCONT`.
    pub(crate) fn pause(&mut self, number: usize, calls: usize) {
        let pid = self.workers[number].child.id();
        pause(pid, || self.hear(calls, Duration::from_millis(300)));
    }

    /// Has all of them end, and returns all that they have told.
    pub(crate) fn finish(mut self) -> Vec<(u32, Event)> {
        for worker in &mut self.workers {
            worker.input = None;
        }
        while self.ended < self.started {
            let told = self.told.recv_timeout(DEADLINE).expect("a worker does not end");
            self.keep(told);
        }
        for worker in &mut self.workers {
            assert!(worker.child.wait().expect("it ends").success(), "a worker failed; it has said why");
        }
        std::mem::take(&mut self.events)
    }
}

/// Has a process stand still meanwhile.
pub(crate) fn pause(pid: u32, meanwhile: impl FnOnce()) {
    let send = |signal| {
        let pid = i32::try_from(pid).expect("a process id");
        // SAFETY: the process is a child that has not been waited for, so the number is its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    };
    send(libc::SIGSTOP);
    meanwhile();
    send(libc::SIGCONT);
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
