//! What can be typed.

mod data;
mod examples;
mod mcp;
mod run;
mod serve;
mod stores;
mod time;
mod token;
mod work;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

pub(crate) use data::{AppendArgs, ExpireArgs, GetArgs, IncrementArgs, MergeArgs, SetArgs};
use examples::*;
pub(crate) use mcp::McpArgs;
pub(crate) use run::RunArgs;
pub(crate) use serve::ServeArgs;
pub(crate) use stores::{BackupArgs, CopyArgs, HowArgs, RestoreArgs, VerifyArgs, WholeStore};
pub(crate) use token::{TokenCommand, TokenCreateArgs};
pub(crate) use work::{ChangesArgs, ClaimArgs, LockArgs, WaitArgs};

/// Agent Data Store: JSON that agents keep, seen and changed from the shell.
///
/// A store holds records: a JSON value under a key, in a namespace, owned by a user. Agents of the same user share them.
/// Results go to stdout, messages to stderr.
#[derive(Debug, Parser)]
#[command(name = "ads", version, after_help = TOP_EXAMPLES, after_long_help = TOP_LONG)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The store: sqlite:///absolute/path.db, memory:, postgresql://user:password@host/database or a server's
    /// http://host:port [env: AGENT_DATA_STORE_URL] [default: a file in your data folder]
    #[arg(long, value_name = "URL", global = true, value_hint = ValueHint::Url)]
    pub(crate) store: Option<String>,

    /// A file that holds the token for a server [env: AGENT_DATA_STORE_TOKEN, the token itself]
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    pub(crate) token_file: Option<PathBuf>,

    /// The owner of the data [env: AGENT_DATA_STORE_USER] [default: the token's user, else default]
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) user: Option<String>,

    /// Act as this agent, so that reading counts as access [env: AGENT_DATA_STORE_AGENT] [default: no agent; for run: the
    /// file's name without its ending]
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) agent: Option<String>,

    /// The namespace of the keys [env: AGENT_DATA_STORE_NAMESPACE] [default: default]
    #[arg(long, short, value_name = "NAME", global = true)]
    pub(crate) namespace: Option<String>,

    /// Print one JSON document for programs; errors on stderr are then JSON too
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a Python agent with `data_store` at hand
    ///
    /// The file is executed as one module with `data_store`, `asyncio`, `json` and `re` as globals; then its function
    /// `run(input_dict, tools)` is called, async or not. What it returns goes to stdout as JSON. A failure is a traceback
    /// on stderr and a non-zero exit code.
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),

    /// Print the value of a key
    ///
    /// The exact JSON text as it was stored; on a terminal it is laid out for reading. A missing key is exit code 1.
    #[command(after_help = GET_EXAMPLES)]
    Get(GetArgs),

    /// Store a JSON value under a key
    ///
    /// Overwrites the value that is there. Metadata is merged into the present one; without --ttl an earlier expiry is
    /// removed.
    #[command(after_help = SET_EXAMPLES, override_usage = SET_USAGE)]
    Set(SetArgs),

    /// Add to a number; prints the new one
    ///
    /// In one step, so that no count is lost however many do so at the same time. A missing key counts as 0. Integers of
    /// any size stay exact. Without --ttl an expiry stays as it is.
    #[command(after_help = INCREMENT_EXAMPLES)]
    Increment(IncrementArgs),

    /// Add to the end of a list; prints its new length
    ///
    /// In one step, so that no item is lost however many do so at the same time. A missing key counts as an empty list.
    /// Without --ttl an expiry stays as it is.
    #[command(after_help = APPEND_EXAMPLES)]
    Append(AppendArgs),

    /// Change parts of a value; prints the new one
    ///
    /// In one step, by JSON Merge Patch (RFC 7396): members of the patch replace those of the value, objects are merged
    /// member by member, and null removes a member. A missing key counts as nothing. Without --ttl an expiry stays as it
    /// is.
    #[command(after_help = MERGE_EXAMPLES)]
    Merge(MergeArgs),

    /// Say when a record expires
    ///
    /// The value stays as it is. A missing key is exit code 1.
    #[command(after_help = EXPIRE_EXAMPLES, override_usage = EXPIRE_USAGE)]
    Expire(ExpireArgs),

    /// Delete records
    ///
    /// All in one step. A key that was not there is exit code 1; the others are deleted all the same.
    #[command(after_help = DELETE_EXAMPLES)]
    Delete {
        /// The keys
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
    },

    /// List keys, one in each line
    ///
    /// In code point order. Control characters in keys are shown escaped; --json gives the exact keys.
    #[command(after_help = KEYS_EXAMPLES)]
    Keys {
        /// Only keys that start with this
        #[arg(default_value = "", hide_default_value = true)]
        prefix: String,
    },

    /// List namespaces with their sizes
    ///
    /// Those that hold a record. Bytes are those of keys, values and metadata; agents are those that have written or read
    /// there.
    #[command(after_help = NAMESPACES_EXAMPLES)]
    Namespaces {
        /// Only namespaces that start with this
        #[arg(default_value = "", hide_default_value = true)]
        prefix: String,
    },

    /// Print all records of the namespace as one JSON object
    ///
    /// Keys in code point order, one record in each line unless on a terminal. Reads page by page, so any size will do;
    /// what is written meanwhile may or may not be there.
    #[command(after_help = ALL_EXAMPLES)]
    All {
        /// Only keys that start with this
        #[arg(default_value = "", hide_default_value = true)]
        prefix: String,
    },

    /// Delete every record of the namespace
    ///
    /// Asks first on a terminal; elsewhere --yes is required. Takes the same time for any number of records.
    #[command(after_help = CLEAR_EXAMPLES)]
    Clear {
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },

    /// Print a record with its bookkeeping
    ///
    /// Value, metadata, version, who created, wrote and read it, when, how often, and when it expires. Times are UTC.
    #[command(after_help = RECORD_EXAMPLES)]
    Record {
        /// The key
        key: String,
    },

    /// Sum up what the user has in the store
    #[command(after_help = STATS_EXAMPLES)]
    Stats,

    /// Run a command while holding a lock
    ///
    /// Like flock(1), for everyone who shares the store. The lock is renewed while the command runs, and given back when it
    /// has ended, also by Ctrl-C or SIGTERM; if this program is killed, the lock ends with its time. The command finds the
    /// fencing token in ADS_LEASE_TOKEN: it is greater than that of every earlier holder, so whatever the lock protects
    /// can refuse smaller ones. The lock on RESOURCE is the record lock:RESOURCE.
    ///
    /// Exits with the command's status: 128 and the number of the signal that ended it, 127 or 126 if it cannot be
    /// started. If someone else holds the lock, the exit code is 3 and the message says who and until when. If the lock is
    /// lost while the command runs, a message says so at once, and the exit code is 3 when the command has ended.
    #[command(after_help = LOCK_EXAMPLES)]
    Lock(LockArgs),

    /// Sum up tasks: waiting, claimed, done, failed
    ///
    /// Every record is a task until a claim has ended it; see claim.
    #[command(after_help = TASKS_EXAMPLES)]
    Tasks {
        /// Only tasks whose key starts with this
        #[arg(default_value = "", hide_default_value = true)]
        prefix: String,
    },

    /// Run a command on a task that nobody else has
    ///
    /// Every record whose key starts with PREFIX is a task. The first one that nobody else has is claimed, and the command
    /// gets its value on stdin, its key in ADS_TASK_KEY, and in ADS_TASK_ATTEMPT which attempt this is, from 1. The claim
    /// is renewed while the command runs; if this program is killed, the task goes back to the others when the claim's time
    /// is over.
    ///
    /// With status 0 the task is done: it moves to the namespace tasks-done:NAMESPACE, and its value is what the command
    /// printed: as it is if that is JSON, else as a string without the final line break; null if it printed nothing. With
    /// another status it fails: it moves to tasks-failed:NAMESPACE with the end of what the command wrote on stderr, or
    /// with --retry-in goes back to the others. If Ctrl-C or SIGTERM ends the command, the task goes back at once, as if it
    /// had not been claimed.
    ///
    /// Exit codes: 0 the task is done; 1 there was none; 8 it failed; 3 the claim was lost to someone else, and nothing was
    /// stored; 128 and the signal's number when interrupted; 127 or 126 if the command cannot be started.
    #[command(after_help = CLAIM_EXAMPLES)]
    Claim(ClaimArgs),

    /// Print what was changed, in order
    ///
    /// One line for each write, deletion, expiry and clear in the namespace, oldest first: version, time (UTC), what
    /// happened, who did it, and the key. With --json each line is an object. To go on later, give the last line's version
    /// to --since. At least the newest 100,000 changes of a user are kept; a position so old that changes after it are
    /// missing is exit code 2.
    #[command(after_help = CHANGES_EXAMPLES)]
    Changes(ChangesArgs),

    /// Wait for a value and print it
    ///
    /// Prints what get would print as soon as the key is there. With --json an object with the value and its version. Exit
    /// code 1 if it is still not there after --timeout.
    #[command(after_help = WAIT_EXAMPLES)]
    Wait(WaitArgs),

    /// Serve the store over HTTP
    ///
    /// Until interrupted; requests in flight then finish. Callers show a token: see token. While the store holds none,
    /// everyone on this machine may do everything, and others cannot connect. GET /docs shows all routes.
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Box<ServeArgs>),

    /// Serve the store to an assistant as tools (Model Context Protocol)
    ///
    /// Over stdin and stdout, for the client that starts this command, until it closes its end. Its records then survive
    /// its sessions and are shared with other agents. With --namespace, in which * stands for any characters, only those
    /// namespaces are reached. Who writes is recorded under the name that the client gives itself, unless --agent says
    /// otherwise. Several clients, each with a command of its own, may use one store. Over HTTP, serve does the same at
    /// /mcp.
    #[command(after_help = MCP_EXAMPLES)]
    Mcp(McpArgs),

    /// Copy a whole store into another one
    ///
    /// All users, namespaces and records with everything that is kept of them: versions, times, agents, counts of reads,
    /// expiry, metadata; tokens too. From SQLite to PostgreSQL, back, or within either. At the end every record is read on
    /// both sides and compared, and the count and the checksum that both have are printed.
    ///
    /// TO is empty, or a copy of FROM that nobody has written to: if a copy is ended, by whatever, the same command goes on
    /// where it was. FROM may be in use. What is written there meanwhile is copied too, up to the moment at which a user's
    /// records are compared; if anything is written after that, the exit code is 1: stop those who write, and run the same
    /// command again, which copies only what has changed. Nobody may use TO before that.
    ///
    /// Versions stay as they are, and TO gives none that FROM has given. Who follows changes goes on from the last version;
    /// earlier ones are not copied, nor are the ids of requests.
    #[command(after_help = COPY_EXAMPLES)]
    Copy(CopyArgs),

    /// Check a store from end to end
    ///
    /// Reads everything: the file itself (with SQLite's integrity_check), every value and name, the counts of namespaces
    /// against their records, versions against the change feed, and what belongs to something that is not there. Prints
    /// each problem with its remedy; at most 1,000 of a kind. Nothing is written, and the store may be in use.
    ///
    /// With --repair, counts are made anew from the records, and what belongs to nothing is removed. Nothing else is changed.
    ///
    /// Exit codes: 0 the store is sound; 1 there are problems; 7 it cannot be opened as a store.
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),

    /// Write a whole store into a file
    ///
    /// The store may be in use, and nobody has to wait: of a store file, the backup is what was committed at one moment, with
    /// everything that is kept. FILE is a store file too, complete by itself. It is written beside its place, looked through
    /// as verify does, and renamed: under its name there is a whole backup or none. Of a store in PostgreSQL it is a copy, as
    /// copy makes it.
    ///
    /// A store with problems is not backed up, so that it does not take the place of a sound backup; --unchecked does so all
    /// the same.
    #[command(after_help = BACKUP_EXAMPLES)]
    Backup(BackupArgs),

    /// Make a store of a backup
    ///
    /// FILE is a backup, or any other store file, and is left as it is. A store in a file is written beside its place, looked
    /// through as verify does, and renamed. With --overwrite it takes the place of the one that is there, which nobody may
    /// have open. A store in PostgreSQL must be empty, and takes over the records as copy does.
    #[command(after_help = RESTORE_EXAMPLES)]
    Restore(RestoreArgs),

    /// Make, list and revoke tokens for those who use the store over HTTP
    #[command(subcommand, after_help = TOKEN_EXAMPLES)]
    Token(TokenCommand),

    /// Print a completion script for a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound_and_every_command_has_examples() {
        Cli::command().debug_assert();
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Examples:\n  "), "{}", command.get_name());
            assert!(command.get_about().is_some(), "{}", command.get_name());
        }
    }
}
