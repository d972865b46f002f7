//! Several workers at once: told what to do through their standard input, they tell what they did through their output.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use super::place::Place;

const PART: &str = "ADS_TEST_PART";
const NUMBER: &str = "ADS_TEST_NUMBER";

/// Longer than anything may take: who is silent for so long will say nothing any more.
const DEADLINE: Duration = Duration::from_secs(120);

/// What a worker tells first.
const READY: &str = "ready";
/// What the reader of its output adds last.
const ENDED: &str = "ended";

/// Worker processes that play the same part. Dropping it ends them.
pub(crate) struct Crew {
    part: &'static str,
    place: Place,
    workers: Vec<Worker>,
    sender: Sender<Told>,
    told: Receiver<Told>,
}

struct Worker {
    child: Child,
    input: ChildStdin,
}

/// Something that a worker has told.
#[derive(Debug)]
pub(crate) struct Told {
    /// The number of the worker, which the one that replaces it has as well.
    pub(crate) number: usize,
    /// The process.
    pub(crate) pid: u32,
    pub(crate) what: String,
    pub(crate) value: String,
}

impl Crew {
    /// Starts as many workers and waits until each is ready. They are this test program again, which has a test `worker`.
    pub(crate) fn start(part: &'static str, place: &Place, count: usize) -> Self {
        let (sender, told) = channel();
        let workers = (0..count).map(|number| Worker::start(part, place, number, sender.clone())).collect();
        let crew = Self { part, place: place.clone(), workers, sender, told };
        for _ in 0..count {
            crew.hear_only(READY);
        }
        crew
    }

    /// Tells every worker what to do.
    pub(crate) fn say(&mut self, command: &str) {
        (0..self.workers.len()).for_each(|number| self.say_to(number, command));
    }

    pub(crate) fn say_to(&mut self, number: usize, command: &str) {
        writeln!(self.workers[number].input, "{command}").expect("the worker listens");
    }

    /// The next thing that a worker tells.
    pub(crate) fn hear(&self) -> Told {
        self.hear_within(DEADLINE).expect("no worker says anything")
    }

    /// The next thing that a worker tells, if it does so in time.
    pub(crate) fn hear_within(&self, time: Duration) -> Option<Told> {
        match self.told.recv_timeout(time) {
            Ok(told) => Some(told),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => unreachable!("this keeps a sender"),
        }
    }

    /// The value of the next thing that a worker tells, which must be this.
    pub(crate) fn hear_only(&self, what: &str) -> String {
        let told = self.hear();
        assert_eq!(told.what, what, "{told:?}");
        told.value
    }

    /// The worker that is this process, unless it has been replaced.
    pub(crate) fn number_of(&self, pid: u32) -> Option<usize> {
        self.workers.iter().position(|worker| worker.child.id() == pid)
    }

    /// `kill -9`. What it has told before can still be heard.
    pub(crate) fn kill(&mut self, number: usize) {
        self.workers[number].kill();
    }

    /// `kill -9`, and another one in its place, which is told `command`.
    pub(crate) fn replace(&mut self, number: usize, command: &str) {
        self.kill(number);
        self.workers[number] = Worker::start(self.part, &self.place, number, self.sender.clone());
        self.say_to(number, command);
    }

    /// Kills all workers and returns what they have told and was not heard yet.
    pub(crate) fn end(mut self) -> Vec<Told> {
        self.workers.iter_mut().for_each(Worker::kill);
        self.rest()
    }

    /// Waits until all workers have ended well and returns what they have told and was not heard yet.
    pub(crate) fn finish(mut self) -> Vec<Told> {
        for worker in &mut self.workers {
            assert!(worker.child.wait().expect("a worker").success(), "a worker failed; it has said why");
        }
        self.rest()
    }

    fn rest(&self) -> Vec<Told> {
        let mut running = self.workers.len();
        let mut rest = Vec::new();
        while running > 0 {
            let told = self.hear();
            match self.number_of(told.pid) {
                Some(_) if told.what == ENDED => running -= 1,
                _ => rest.push(told),
            }
        }
        rest.retain(|told| told.what != ENDED && told.what != READY);
        rest
    }
}

impl Worker {
    fn start(part: &str, place: &Place, number: usize, sender: Sender<Told>) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.args(["--exact", "worker", "--nocapture", "--quiet"]).env(PART, part).env(NUMBER, number.to_string());
        place.seat(number).tell(&mut command);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a worker starts");
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let pid = child.id();
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            let told =
                lines.filter_map(|line| line.split_once('=').map(|(what, value)| (what.to_owned(), value.to_owned())));
            for (what, value) in told.chain([(ENDED.to_owned(), String::new())]) {
                // Nobody listens any more once the test has failed.
                let _ = sender.send(Told { number, pid, what, value });
            }
        });
        Self { child, input }
    }

    fn kill(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The worker's side: tells the test something, in one piece.
pub(crate) fn tell(what: &str, value: impl Display) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{what}={value}\n").as_bytes()).and_then(|()| out.flush()).expect("the test listens");
}

/// The worker's side: what it is told to do, once it has said that it is ready.
pub(crate) fn commands() -> impl Iterator<Item = String> {
    tell(READY, "");
    std::io::stdin().lines().map_while(Result::ok)
}

/// The worker's side: its part, unless this is not a worker.
pub(crate) fn part() -> Option<String> {
    std::env::var(PART).ok()
}

/// The worker's side: its number.
pub(crate) fn number() -> usize {
    std::env::var(NUMBER).ok().and_then(|number| number.parse().ok()).expect("a worker of a crew has a number")
}
