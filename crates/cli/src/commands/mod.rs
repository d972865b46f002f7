//! What each command does.

mod atomic;
mod backup;
mod data;
mod feed;
mod keeping;
mod lock;
mod mcp;
mod namespace;
mod serve;
mod stores;
mod tasks;
mod token;
mod verify;

use std::ffi::OsString;
use std::sync::Arc;

use agent_data_store::{DataStore, Limits, Options, Store, block_on};
use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::{Cli, Command};
use crate::failure::{Failure, Result};
use crate::output::{Output, message};
use crate::runner::{AgentCall, AgentRunner};
use crate::settings::Settings;
use crate::warnings::Warnings;

pub(crate) fn dispatch(cli: Cli, args: &[OsString], runner: &AgentRunner<'_>) -> Result<u8> {
    let mut out = Output::new(cli.global.json);
    if let Command::Completions { shell } = cli.command {
        return completions(shell, &mut out).map(|()| 0);
    }
    let settings = Settings::new(&cli.global)?;
    if let Command::Run(run) = &cli.command {
        return Ok(runner(&AgentCall::new(args, run, settings))?);
    }
    let session = Session { settings, limits: Limits::default() };
    match &cli.command {
        Command::Get(args) => session.get(args, &mut out),
        Command::Set(args) => session.set(args, &mut out),
        Command::Increment(args) => session.increment(args, &mut out),
        Command::Append(args) => session.append(args, &mut out),
        Command::Merge(args) => session.merge(args, &mut out),
        Command::Expire(args) => session.expire(args, &mut out),
        Command::Delete { keys } => session.delete(keys, &mut out),
        Command::Keys { prefix } => session.keys(prefix, &mut out),
        Command::Namespaces { prefix } => session.namespaces(prefix, &mut out),
        Command::All { prefix } => session.all(prefix, &mut out),
        Command::Clear { yes } => session.clear(*yes, &mut out),
        Command::Record { key } => session.record(key, &mut out),
        Command::Stats => session.stats(&mut out),
        Command::Lock(args) => return session.lock(args, &out),
        Command::Tasks { prefix } => session.tasks(prefix, &mut out),
        Command::Claim(args) => session.claim(args, &mut out),
        Command::Changes(args) => session.changes(args, &mut out),
        Command::Wait(args) => session.wait(args, &mut out),
        Command::Serve(args) => session.serve(args, &mut out),
        Command::Mcp(args) => session.mcp(args, &cli.global),
        Command::Copy(args) => session.copy(args, &cli.global, &mut out),
        Command::Verify(args) => session.verify(args, &cli.global, &mut out),
        Command::Backup(args) => session.backup(args, &cli.global, &mut out),
        Command::Restore(args) => session.restore(args, &cli.global, &mut out),
        Command::Token(command) => session.token(command, &cli.global, &mut out),
        Command::Run(_) | Command::Completions { .. } => Ok(()),
    }?;
    Ok(0)
}

fn completions(shell: Shell, out: &mut Output) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ads", &mut script);
    out.text(&String::from_utf8_lossy(&script))?;
    out.flush()
}

/// What a command leaves to be swept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sweep {
    Nothing,
    /// A share, so that a store that only this program uses stays tidy.
    Step,
    All,
    /// Nothing, since a thread does it meanwhile: for commands that may take long.
    Meanwhile,
}

struct Session {
    settings: Settings,
    limits: Limits,
}

impl Session {
    /// Opens the store for one command, which flushes its output, and closes it.
    fn with<T>(&self, sweep: Sweep, command: impl FnOnce(&Store, &DataStore) -> Result<T>) -> Result<T> {
        let mut options = Options::default();
        options.limits = self.limits.clone();
        options.warnings = Some(Arc::new(Warnings::default()));
        // Most are over before a background thread would have a turn.
        options.housekeeping = sweep == Sweep::Meanwhile;
        options.token = self.settings.token()?;
        let store = block_on(Store::open(&self.settings.store_url()?, options))?;
        let view = self.settings.view(&store)?;
        let result = command(&store, &view);
        if result.is_ok() {
            // What cannot be swept now is swept by whoever opens the store next.
            match sweep {
                Sweep::Nothing | Sweep::Meanwhile => {}
                Sweep::Step => drop(block_on(store.maintain())),
                Sweep::All => while matches!(block_on(store.maintain()), Ok(true)) {},
            }
        }
        drop(view);
        if let Err(error) = block_on(store.close()) {
            // The command itself is done: only counts of reads can be lost here.
            message(&format!("ads: warning: {}", error.message()));
        }
        result
    }
}

fn place_of(view: &DataStore) -> String {
    format!("namespace {:?} of user {:?}", view.namespace(), view.identity().user())
}

fn no_keys(view: &DataStore, keys: &[&str]) -> Failure {
    /// More keys than this are not named: the rest is in the output of --json.
    const NAMED: usize = 5;
    let named: Vec<String> = keys.iter().take(NAMED).map(|key| format!("{key:?}")).collect();
    let word = if keys.len() == 1 { "key" } else { "keys" };
    let more = match keys.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Failure::missing(format!("no {word} {}{more} in {}", named.join(", "), place_of(view)))
}

/// An empty screen leaves a person wondering whether this is the right place.
fn explain_nothing(view: &DataStore, nothing: bool, what: &str, out: &Output) {
    if nothing && out.is_for_reading() {
        out.note(&format!("{what} in {}", place_of(view)));
    }
}
