//! Running a command until it has ended, whatever signals come.

mod pipes;
mod signals;

use std::ffi::OsString;
use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use agent_data_store::{Error, ErrorKind};

use crate::failure::{Failure, Result};
use signals::{Listener, await_end};

/// What a command has left behind may hold its streams for long: after an interrupt they are waited for no longer than
/// this.
const PATIENCE: Duration = Duration::from_secs(1);

/// What becomes of the command's streams.
pub(crate) enum Streams {
    /// They are ours.
    Inherited,
    /// stdin is this text. stdout is kept, up to one byte above this limit; stderr is passed on and its end kept.
    Captured { input: String, limit: usize },
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// The signal that came meanwhile to end it, or us.
    pub(crate) interrupted: Option<i32>,
    /// All that it printed, if it was captured; `None` where an interrupt left no time to wait for it.
    pub(crate) out: Option<Vec<u8>>,
    /// The end of what it wrote on stderr, if it was captured.
    pub(crate) err: Vec<u8>,
}

/// What is told to the thread that attends the command.
enum Event {
    Out(Vec<u8>),
    Err(Vec<u8>),
    Interrupted(i32),
}

impl Ended {
    /// The command's exit code as a shell tells it: 128 and the number for a signal.
    pub(crate) fn code(&self) -> u8 {
        let code = self.status.code().or_else(|| signals::number(self.status).map(|number| 128 + number));
        code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
    }

    /// The same in words.
    pub(crate) fn reason(&self) -> String {
        match signals::number(self.status) {
            Some(number) => format!("ended by signal {number}"),
            None => format!("exit status {}", self.code()),
        }
    }
}

/// Runs `words`, a program and its arguments. It is in our process group, so the terminal's signals reach it as well;
/// those that somebody sends to us alone are passed on.
///
/// # Errors
/// Exit code 127 where there is no such program, 126 where it cannot be started.
pub(crate) fn run(words: &[OsString], variables: &[(&str, String)], streams: Streams) -> Result<Ended> {
    let (program, arguments) = words.split_first().ok_or_else(|| Failure::invalid("no command: give one after --"))?;
    let mut command = Command::new(program);
    command.args(arguments).envs(variables.iter().map(|(name, value)| (name, value)));
    if matches!(streams, Streams::Captured { .. }) {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    // Before the command starts: no signal may fall between.
    let listener = Listener::new().map_err(|source| refused(&source))?;
    let mut child = command.spawn().map_err(|source| Failure::Command {
        code: "not_started",
        message: format!("cannot start {}: {source}", program.display()),
        exit: if source.kind() == io::ErrorKind::NotFound { 127 } else { 126 },
    })?;
    let (events, coming) = mpsc::channel();
    match start_helpers(&mut child, streams, listener, events) {
        Ok((listening, captured)) => attend(&mut child, &listening, captured, &coming),
        Err(source) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(refused(&source))
        }
    }
}

/// Everything that goes on while the command runs has a thread; returns whether the streams are captured.
fn start_helpers(
    child: &mut Child,
    streams: Streams,
    listener: Listener,
    events: Sender<Event>,
) -> io::Result<(signals::Listening, bool)> {
    let captured = match streams {
        Streams::Inherited => false,
        Streams::Captured { input, limit } => {
            pipes::start(child, input, limit, &events)?;
            true
        }
    };
    Ok((listener.start(child, events)?, captured))
}

fn attend(
    child: &mut Child,
    listening: &signals::Listening,
    captured: bool,
    coming: &Receiver<Event>,
) -> Result<Ended> {
    await_end(child).map_err(|source| lost_sight(&source))?;
    // Once it has been waited for, its number may belong to another process.
    listening.stop_passing_on();
    let status = child.wait().map_err(|source| lost_sight(&source))?;
    let mut ended = Ended { status, interrupted: None, out: None, err: Vec::new() };
    let mut still_open = if captured { 2 } else { 0 };
    let mut give_up_at = None;
    loop {
        let event = match give_up_at {
            _ if still_open == 0 => coming.try_recv().ok(),
            None => coming.recv().ok(),
            Some(moment) => coming.recv_timeout(Instant::saturating_duration_since(&moment, Instant::now())).ok(),
        };
        match event {
            Some(Event::Out(bytes)) => {
                still_open -= 1;
                ended.out = Some(bytes);
            }
            Some(Event::Err(bytes)) => {
                still_open -= 1;
                ended.err = bytes;
            }
            Some(Event::Interrupted(number)) => {
                ended.interrupted = Some(number);
                give_up_at.get_or_insert_with(|| Instant::now() + PATIENCE);
            }
            None => return Ok(ended),
        }
    }
}

fn refused(source: &io::Error) -> Failure {
    let message = format!("the system refuses what is needed to run a command ({source}): raise its limits");
    Error::new(ErrorKind::Unavailable, message).into()
}

fn lost_sight(source: &io::Error) -> Failure {
    Error::new(ErrorKind::Unavailable, format!("cannot tell how the command ended: {source}")).into()
}
