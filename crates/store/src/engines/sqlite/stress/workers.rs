//! The other processes: those that write, through the engine, through a connection of their own, through the `sqlite3`
//! program; and the one that stops the test now and then.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rusqlite::Connection;

use super::ledger::{Counted, KEYS, Ledger, Witness};
use super::processes::{STORE_FILE, has_shell};
use super::sql::Scripts;
use super::{open_engine, read, sql, take_step};
use crate::block_on;
use crate::engine::Engine;
use crate::engines::sqlite::Durability;

/// How a process writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Writes, and reads as critically as the test itself, through our engine.
    Engine,
    /// Writes, rolls back and checkpoints through a connection of its own.
    Raw,
    /// Has the `sqlite3` program do the same.
    Shell,
}

/// The task of the process that is no writer.
pub(super) const STOPPER: &str = "stopper";

impl Part {
    pub(super) const ALL: [Self; 3] = [Self::Engine, Self::Raw, Self::Shell];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Raw => "raw",
            Self::Shell => "shell",
        }
    }

    /// Those that this machine can play.
    pub(super) fn of_this_machine() -> &'static [Self] {
        if has_shell() { &Self::ALL } else { &Self::ALL[..2] }
    }

    /// What this one's commits are counted as.
    pub(super) fn commits(self) -> Counted {
        match self {
            Self::Engine => Counted::CommitsOfEngine,
            Self::Raw => Counted::CommitsOfRaw,
            Self::Shell => Counted::CommitsOfShell,
        }
    }

    /// Works until the process is killed, or until who started it is gone.
    pub(super) fn work(self, folder: &Path, ledger: Ledger) -> ! {
        std::thread::spawn(|| {
            wait_for_the_parents_end();
            std::process::exit(0);
        });
        let path = folder.join(STORE_FILE);
        loop {
            ledger.count(Counted::Opened);
            match self {
                Self::Engine => through_the_engine(&path, ledger),
                Self::Raw => through_a_connection(&path, ledger),
                Self::Shell => through_the_program(&path, ledger),
            }
        }
    }
}

/// How a writer goes about it: for a while without a pause, until the scheduler takes the processor away at whatever it
/// is doing; then again with many, which leave the others room.
pub(super) struct Pace {
    hurried: bool,
    left: u32,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { hurried: false, left: 0 }
    }

    /// After each operation.
    pub(super) fn pause(&mut self) {
        if self.left == 0 {
            *self = Self { hurried: fastrand::bool(), left: fastrand::u32(1..100) };
        }
        self.left -= 1;
        if !self.hurried {
            leave_room(Duration::from_micros(300));
        }
    }
}

/// Not a wait for anything.
fn leave_room(at_most: Duration) {
    std::thread::sleep(at_most.mul_f64(fastrand::f64()));
}

fn through_the_engine(path: &Path, ledger: Ledger) {
    let durability = if fastrand::u32(..8) == 0 { Durability::Full } else { Durability::Relaxed };
    let engine = open_engine(path, durability);
    let mut witness = Witness::new(ledger);
    let mut pace = Pace::new();
    for _ in 0..fastrand::u32(1..300) {
        take_step(&engine, ledger, Part::Engine.commits());
        for _ in 0..fastrand::u32(..100) {
            let key = KEYS[fastrand::usize(..KEYS.len())];
            witness.check([key], || [read(&engine, key)]).unwrap();
        }
        pace.pause();
    }
    if fastrand::bool() {
        block_on(engine.close()).unwrap();
    }
}

fn through_a_connection(path: &Path, ledger: Ledger) {
    let mut connection = Connection::open(path).unwrap();
    // Spinning finds the moment after somebody's commit; sleeping leaves the processor to others.
    let spin = fastrand::bool();
    connection
        .busy_handler(Some(move |_| {
            if spin {
                std::thread::yield_now()
            } else {
                std::thread::sleep(Duration::from_micros(20))
            }
            true
        }))
        .unwrap();
    connection.execute_batch(sql::SETTINGS).unwrap();
    let (scripts, read_number) = (Scripts::new(), sql::read_number());
    let mut pace = Pace::new();
    for _ in 0..fastrand::u32(1..300) {
        match fastrand::u32(..20) {
            0..16 => {
                scripts.begin_step.run(&connection, 0);
                let step = connection.prepare_cached(&read_number).unwrap().query_row((), |row| row.get(0)).unwrap();
                scripts.finish_step.run(&connection, step);
                ledger.begin(step);
                connection.execute_batch("COMMIT").unwrap();
                ledger.acknowledge(step, Part::Raw.commits());
            }
            16..18 => {
                scripts.write_in_vain.run(&connection, 0);
                connection.execute_batch("ROLLBACK").unwrap();
                ledger.count(Counted::RolledBack);
            }
            _ => {
                // One that finds readers or writers in its way gives up, which is as good.
                let _ = connection.query_row(&checkpoint(), (), |_| Ok(()));
                ledger.count(Counted::Checkpoints);
            }
        }
        pace.pause();
    }
}

fn through_the_program(path: &Path, ledger: Ledger) {
    let mut shell = Shell::start(path);
    let (scripts, read_number) = (Scripts::new(), sql::read_number());
    for _ in 0..fastrand::u32(1..30) {
        match fastrand::u32(..20) {
            0..14 => {
                let step = shell.ask(&format!("{}{read_number};", scripts.begin_step.text(0))).parse().unwrap();
                shell.say(&scripts.finish_step.text(step));
                ledger.begin(step);
                if fastrand::u32(..40) == 0 {
                    // Killed somewhere in its commit.
                    shell.say("COMMIT;");
                    return;
                }
                shell.ask("COMMIT; SELECT 'done';");
                ledger.acknowledge(step, Part::Shell.commits());
            }
            14..17 => {
                shell.ask(&format!("{}SELECT 'written';", scripts.write_in_vain.text(0)));
                if fastrand::u32(..10) == 0 {
                    return;
                }
                shell.ask("ROLLBACK; SELECT 'done';");
                ledger.count(Counted::RolledBack);
            }
            _ => {
                // Its three numbers come in one line.
                shell.ask(&format!("{};", checkpoint()));
                ledger.count(Counted::Checkpoints);
            }
        }
        // Its transactions wait for two processes in turn: one after the other they would keep everybody else out.
        leave_room(Duration::from_millis(20));
    }
    shell.quit();
}

/// A checkpoint of any kind.
fn checkpoint() -> String {
    format!("PRAGMA wal_checkpoint({})", sql::CHECKPOINTS[fastrand::usize(..sql::CHECKPOINTS.len())])
}

fn wait_for_the_parents_end() {
    // Nobody writes there.
    let _ = std::io::stdin().read(&mut [0]);
}

/// Stops the parent at whatever it is doing while the others go on, as a busy scheduler may: between any two of its
/// instructions they then commit. Until the parent has had enough.
pub(super) fn stop_now_and_then(parent: libc::pid_t) {
    // An interrupt from the keyboard reaches every process, but this one must not leave the parent standing.
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: no memory is involved.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    let ending = std::thread::spawn(wait_for_the_parents_end);
    // SAFETY: no memory is involved.
    let send = |signal| unsafe { libc::kill(parent, signal) };
    while !ending.is_finished() {
        send(libc::SIGSTOP);
        std::thread::sleep(Duration::from_micros(fastrand::u64(50..500)));
        send(libc::SIGCONT);
        std::thread::sleep(Duration::from_micros(fastrand::u64(..500)));
    }
}

/// The running program. Dropping it kills it.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Shell {
    fn start(path: &Path) -> Self {
        let mut child = Command::new("sqlite3")
            .args(["-batch", "-bail", "-cmd", ".timeout 60000"])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut shell = Self { child, input, output };
        shell.say(sql::SETTINGS);
        shell
    }

    fn say(&mut self, sql: &str) {
        if let Err(error) = writeln!(self.input, "{sql}") {
            self.fail(&error.to_string());
        }
    }

    /// The line that `sql` prints.
    fn ask(&mut self, sql: &str) -> String {
        self.say(sql);
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        if !line.ends_with('\n') {
            self.fail("no answer");
        }
        line.trim_end().to_owned()
    }

    fn quit(mut self) {
        self.say(".quit");
        if !self.child.wait().unwrap().success() {
            self.fail("a bad end");
        }
    }

    fn fail(&mut self, how: &str) -> ! {
        let mut said = String::new();
        let _ = self.child.kill();
        let _ = self.child.stderr.take().map(|mut errors| errors.read_to_string(&mut said));
        panic!("sqlite3: {how}: {said}");
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
