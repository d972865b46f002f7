//! The program `ads` as a library: [`run`] takes arguments and returns an exit code.
//!
//! Everything but running agents happens here. An agent is Python, so the caller says how to run one, with an
//! [`AgentRunner`]: the Python package runs it in its own interpreter, the plain binary starts one ([`python_process`]).
//!
//! Exit codes: 0 success; 1 a negative answer (no such key, not confirmed) or an agent that failed; from 2 to 7 the kind of
//! error, see [`exit_code`]; 8 a task that failed. A command that is run under `lock` gives its own.

mod args;
mod commands;
mod escape;
mod failure;
mod input;
mod log;
mod output;
mod pretty;
mod process;
mod progress;
mod runner;
mod settings;
mod trace;
mod warnings;

use std::ffi::OsString;

use clap::Parser;

pub use failure::exit_code;
pub use runner::{AgentCall, AgentRequest, AgentRunner, python_process};
pub use trace::TracePrinter;

/// Runs `ads` with `args`, the program's name first, on this process's standard streams. Returns the exit code; never
/// ends the process itself, unless `runner` does. Both streams are flushed on return.
pub fn run(args: impl IntoIterator<Item = OsString>, runner: &AgentRunner<'_>) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    // Also before parsing has succeeded, a program must be able to read the error.
    let json = args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--json");
    let result = match args::Cli::try_parse_from(&args) {
        Ok(cli) => commands::dispatch(cli, &args, runner),
        Err(error) => failure::usage(&error),
    };
    let code = result.unwrap_or_else(|failure| failure.report(json));
    if let Some(log) = log::Log::started() {
        log.finish();
    }
    code
}
