//! Running agents: what `ads run` asks of whoever has a Python interpreter.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use agent_data_store::limits::check_agent;
use agent_data_store::{Error, ErrorKind, Result, Token};

use crate::args::RunArgs;
use crate::input::{self, Source};
use crate::settings::Settings;

/// Runs the agent of an [`AgentCall`] and returns the program's exit code: 0, or 1 for an agent that failed.
///
/// One that has an interpreter takes [`AgentCall::request`], executes the file, prints what `run` returned on stdout as
/// JSON, and on failure a traceback on stderr. An `Err` is for what kept the agent from starting, for instance a store
/// that cannot be opened: `ads` prints its message and exits with the code of its kind. Nothing is held while it runs: no
/// lock on a standard stream, no open store.
///
/// With [`AgentRequest::trace`], give [`TracePrinter::stderr`](crate::TracePrinter::stderr) to the agent's store with
/// [`DataStore::with_observer`](agent_data_store::DataStore::with_observer).
pub type AgentRunner<'a> = dyn Fn(&AgentCall<'_>) -> Result<u8> + 'a;

/// One `ads run …`, understood but not begun.
#[derive(Debug)]
pub struct AgentCall<'a> {
    arguments: &'a [OsString],
    run: &'a RunArgs,
    settings: Settings,
}

/// Everything that running an agent needs, every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRequest {
    /// The agent's Python file, which can be read.
    pub file: PathBuf,
    /// What `run` gets as `input_dict`: the text of a JSON object.
    pub input: String,
    /// What `run` gets as `tools`: the text of a JSON object.
    pub tools: String,
    /// A Python file whose public names become globals of the agent.
    pub globals: Option<PathBuf>,
    /// The URL to open. It may hold a password: not for messages.
    pub store_url: String,
    /// The token for a server.
    pub token: Option<Token>,
    /// The owner of the data, within the limits; `None` for the one whom the store takes its caller for.
    pub user: Option<String>,
    /// The agent's name, within the limits; the file's stem where none was given.
    pub agent: String,
    /// The namespace of `data_store`, within the limits.
    pub namespace: String,
    /// Whether to print every operation on stderr.
    pub trace: bool,
}

impl<'a> AgentCall<'a> {
    pub(crate) fn new(arguments: &'a [OsString], run: &'a RunArgs, settings: Settings) -> Self {
        Self { arguments, run, settings }
    }

    /// The arguments as they were given, without the program's name: for passing the call on as it is.
    pub fn arguments(&self) -> &'a [OsString] {
        self.arguments.get(1..).unwrap_or_default()
    }

    /// Reads what has to be read (files, stdin, the environment) and fills in defaults. Call it once: stdin can be read
    /// only once.
    ///
    /// # Errors
    /// `InvalidArgument` where the file is not there, the input or the tools are not a JSON object, both are to come from
    /// stdin, or the file's name does not do as an agent's name; those of [`agent_data_store::default_url`].
    pub fn request(&self) -> Result<AgentRequest> {
        let run = self.run;
        for file in [Some(&run.file), run.globals.as_ref()].into_iter().flatten() {
            check_readable(file)?;
        }
        if run.input == "-" && run.tools == "-" {
            return Err(invalid("--input and --tools cannot both come from stdin: give one as @FILE"));
        }
        Ok(AgentRequest {
            file: run.file.clone(),
            input: input::object("--input", Source::argument_or_file(&run.input))?,
            tools: input::object("--tools", Source::argument_or_file(&run.tools))?,
            globals: run.globals.clone(),
            store_url: self.settings.store_url()?,
            token: self.settings.token()?,
            user: self.settings.user.clone(),
            agent: self.agent()?,
            namespace: self.settings.namespace.clone(),
            trace: run.trace,
        })
    }

    fn agent(&self) -> Result<String> {
        if let Some(agent) = &self.settings.agent {
            return Ok(agent.clone());
        }
        let stem = self.run.file.file_stem().and_then(|stem| stem.to_str());
        let stem = stem.filter(|stem| check_agent(stem).is_ok()).ok_or_else(|| {
            invalid(format!("the name of {} does not do as an agent's name: give --agent", self.run.file.display()))
        })?;
        Ok(stem.to_owned())
    }
}

/// The runner of the plain binary: hands the whole call to `python3 -m agent_data_store`, which then has the standard
/// streams, the environment and, on Unix, this very process.
///
/// # Errors
/// `Unavailable` where there is no `python3`, or where it does not have the package `agent_data_store`.
pub fn python_process(call: &AgentCall<'_>) -> Result<u8> {
    const INTERPRETER: &str = "python3";
    const HAS_PACKAGE: &str =
        "import importlib.util, sys; sys.exit(importlib.util.find_spec('agent_data_store') is None)";

    let asked = Command::new(INTERPRETER)
        .args(["-c", HAS_PACKAGE])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|source| {
            let message =
                format!("cannot start {INTERPRETER}, which runs agents ({source}): install Python 3.10 or later");
            Error::new(ErrorKind::Unavailable, message).caused_by(source)
        })?;
    if !asked.success() {
        let message = format!(
            "the {INTERPRETER} on the path has no package agent_data_store, which runs agents: activate an environment \
             that has it, or install it"
        );
        return Err(Error::new(ErrorKind::Unavailable, message));
    }
    let mut command = Command::new(INTERPRETER);
    command.args(["-m", "agent_data_store"]).args(call.arguments());
    hand_over(command).map_err(|source| {
        Error::new(ErrorKind::Unavailable, format!("cannot start {INTERPRETER}: {source}")).caused_by(source)
    })
}

/// Becomes the command: signals, streams and the exit code are then the agent's own.
#[cfg(unix)]
fn hand_over(mut command: Command) -> std::io::Result<u8> {
    use std::os::unix::process::CommandExt;
    Err(command.exec())
}

#[cfg(not(unix))]
fn hand_over(mut command: Command) -> std::io::Result<u8> {
    let status = command.status()?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

fn check_readable(file: &Path) -> Result<()> {
    let is_folder = std::fs::metadata(file).and_then(|data| {
        // A pipe must not be opened only to look: its content would be gone.
        if data.is_file() {
            std::fs::File::open(file)?;
        }
        Ok(data.is_dir())
    });
    match is_folder {
        Ok(false) => Ok(()),
        Ok(true) => Err(invalid(format!("{} is a folder: give a Python file", file.display()))),
        Err(source) => Err(invalid(format!("cannot read {}: {source}", file.display())).caused_by(source)),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}
