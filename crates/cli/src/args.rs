//! What can be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

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
    /// The store: sqlite:///absolute/path.db or memory: [env: AGENT_DATA_STORE_URL] [default: a file in your data folder]
    #[arg(long, value_name = "URL", global = true, value_hint = ValueHint::Url)]
    pub(crate) store: Option<String>,

    /// The owner of the data [env: AGENT_DATA_STORE_USER] [default: default]
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

    /// Print a completion script for a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// The agent's Python file
    #[arg(value_name = "AGENT.py", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// What the agent gets as `input_dict`: a JSON object, @FILE, or - for stdin
    #[arg(long, value_name = "JSON|@FILE|-", default_value = "{}", value_hint = ValueHint::FilePath)]
    pub(crate) input: String,

    /// What the agent gets as `tools`: a JSON object, @FILE, or - for stdin
    #[arg(long, value_name = "JSON|@FILE|-", default_value = "{}", value_hint = ValueHint::FilePath)]
    pub(crate) tools: String,

    /// Make the public names of this Python file globals of the agent
    #[arg(long, value_name = "PROVIDE.py", value_hint = ValueHint::FilePath)]
    pub(crate) globals: Option<PathBuf>,

    /// Print every operation on stderr as it happens: time (UTC), operation, namespace, key, whether it was found or how
    /// many, microseconds, and the first 200 characters of the value
    #[arg(long)]
    pub(crate) trace: bool,
}

#[derive(Args, Debug)]
pub(crate) struct GetArgs {
    /// The key
    pub(crate) key: String,

    /// Print this JSON value where the key is missing, with exit code 0
    #[arg(long, value_name = "JSON", allow_negative_numbers = true)]
    pub(crate) default: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct SetArgs {
    /// The key
    pub(crate) key: String,

    /// The value as JSON; - for stdin
    #[arg(required_unless_present = "file", conflicts_with = "file", allow_negative_numbers = true)]
    pub(crate) value: Option<String>,

    /// Read the value from this file; - for stdin
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,

    /// Take the value as plain text, a final line break included, and store it as a JSON string
    #[arg(long, short)]
    pub(crate) string: bool,

    /// Let the record expire after this time: seconds, or with units such as 90s, 5m, 1h, 2d, 1h30m
    #[arg(long, value_name = "TIME", value_parser = parse_ttl)]
    pub(crate) ttl: Option<Duration>,

    /// A JSON object to merge into the record's metadata, key by key
    #[arg(long, value_name = "JSON")]
    pub(crate) metadata: Option<String>,

    /// Write only if the record has this version; 0: only if there is none. Otherwise exit code 3
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<u64>,
}

fn parse_ttl(text: &str) -> Result<Duration, String> {
    const FORMS: &str = "give seconds, or units such as 90s, 5m, 1h or 2d";
    let parsed = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()),
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string()),
    };
    match parsed {
        Ok(ttl) if ttl.as_micros() == 0 => Err("a record must live for at least a microsecond".to_owned()),
        Ok(ttl) => Ok(ttl),
        Err(reason) => Err(format!("{reason}: {FORMS}")),
    }
}

const SET_USAGE: &str = "\
ads set [OPTIONS] <KEY> <VALUE>
       ads set [OPTIONS] <KEY> --file <FILE>";

const TOP_EXAMPLES: &str = "\
Examples:
  ads run agent.py --input '{\"name\": \"Ada\"}'
  ads set greeting '{\"text\": \"hello\"}'
  ads get greeting
  ads namespaces

`ads help COMMAND` or `ads COMMAND --help` tells more, with examples.";

const TOP_LONG: &str = "\
Examples:
  ads run agent.py --input '{\"name\": \"Ada\"}'
  ads set greeting '{\"text\": \"hello\"}'
  ads get greeting
  ads namespaces

Exit codes:
  0  success
  1  a negative answer: no such key, not confirmed; or an agent that failed
  2  something in the call that cannot be: a name, a value, an option, a limit
  3  conflict: the record has another version, or a lease is held
  4  quota exceeded
  5  not authenticated, or not allowed
  6  unavailable: busy, disk full, file or server out of reach
  7  the store is damaged or is not one

Colours appear on a terminal only, and not where NO_COLOR is set.

`ads help COMMAND` or `ads COMMAND --help` tells more, with examples.";

const RUN_EXAMPLES: &str = "\
Examples:
  ads run agent.py
  ads run agent.py --input '{\"name\": \"Ada\"}' --trace
  ads run agent.py --input @input.json --user alice --agent reviewer
  curl -s example.org/job.json | ads run agent.py --input -
  ads run agent.py --globals helpers.py --tools '{\"search\": {\"limit\": 10}}'";

const GET_EXAMPLES: &str = "\
Examples:
  ads get greeting
  ads get Ada --namespace visits
  ads get settings --default '{}'
  ads get report > report.json
  ads get -- -key-that-starts-with-a-dash";

const SET_EXAMPLES: &str = "\
Examples:
  ads set answer 42
  ads set project '{\"status\": \"active\"}' --metadata '{\"source\": \"shell\"}'
  ads set note 'plain text' --string
  ads set report --file report.json --namespace reports
  date | ads set now - --string --ttl 5m
  ads set leader '\"me\"' --if-version 0";

const DELETE_EXAMPLES: &str = "\
Examples:
  ads delete greeting
  ads delete Ada Grace --namespace visits";

const KEYS_EXAMPLES: &str = "\
Examples:
  ads keys
  ads keys project: --namespace work
  ads keys --json | jq length";

const NAMESPACES_EXAMPLES: &str = "\
Examples:
  ads namespaces
  ads namespaces repo:
  ads namespaces --json | jq -r '.[].namespace'";

const ALL_EXAMPLES: &str = "\
Examples:
  ads all --namespace visits
  ads all project: > projects.json";

const CLEAR_EXAMPLES: &str = "\
Examples:
  ads clear --namespace scratch
  ads clear --namespace scratch --yes";

const RECORD_EXAMPLES: &str = "\
Examples:
  ads record greeting
  ads record Ada --namespace visits --json | jq .version";

const STATS_EXAMPLES: &str = "\
Examples:
  ads stats
  ads stats --user alice --json";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  ads completions bash > ~/.local/share/bash-completion/completions/ads
  ads completions zsh > \"${fpath[1]}/_ads\"
  ads completions fish > ~/.config/fish/completions/ads.fish";

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

    #[test]
    fn a_ttl_is_seconds_or_has_units() {
        let seconds = [
            ("90", 90.0),
            ("0.5", 0.5),
            ("90s", 90.0),
            ("5m", 300.0),
            ("1h", 3_600.0),
            ("2d", 172_800.0),
            ("1h30m", 5_400.0),
        ];
        for (text, expected) in seconds {
            assert_eq!(parse_ttl(text), Ok(Duration::from_secs_f64(expected)), "{text}");
        }
        for text in ["", "0", "0s", "-1", "soon", "inf", "NaN", "1e300", "5 parsecs", "1ns"] {
            assert!(parse_ttl(text).is_err(), "{text:?} must be refused");
        }
    }
}
