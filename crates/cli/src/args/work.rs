//! What the commands take by which processes work together.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::time::{parse_pause, parse_ttl, parse_wait};

#[derive(Args, Debug)]
pub(crate) struct LockArgs {
    /// What to lock: any name on which all agree
    pub(crate) resource: String,

    /// How long the lock outlives this program if it is killed: seconds, or with units such as 90s, 5m, 1h, 2d, 1h30m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_ttl)]
    pub(crate) ttl: Duration,

    /// Wait at most this long for someone else's lock to end, or `forever`
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = parse_wait)]
    pub(crate) wait: Duration,

    /// The command to run, with its arguments
    #[arg(last = true, required = true, value_hint = ValueHint::CommandName)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct ClaimArgs {
    /// What the keys of the tasks start with; '' for all records of the namespace
    pub(crate) prefix: String,

    /// How long the claim outlives this program if it is killed: seconds, or with units such as 90s, 5m, 1h, 2d, 1h30m
    #[arg(long, value_name = "TIME", value_parser = parse_ttl)]
    pub(crate) ttl: Duration,

    /// Set a task aside as failed once it has had this many attempts
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_attempts: Option<u64>,

    /// Wait at most this long for a task, or `forever`
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = parse_wait)]
    pub(crate) wait: Duration,

    /// If the command fails, give the task back to the others after this time
    #[arg(long, value_name = "TIME", value_parser = parse_pause)]
    pub(crate) retry_in: Option<Duration>,

    /// The command to run, with its arguments
    #[arg(last = true, required = true, value_hint = ValueHint::CommandName)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct ChangesArgs {
    /// Only keys that start with this
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,

    /// Only changes after this version [default: all that are kept; with --follow: from now on]
    #[arg(long, value_name = "VERSION")]
    pub(crate) since: Option<u64>,

    /// Print at most this many
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,

    /// Go on with changes as they come, until interrupted or --limit
    #[arg(long, short)]
    pub(crate) follow: bool,
}

#[derive(Args, Debug)]
pub(crate) struct WaitArgs {
    /// The key
    pub(crate) key: String,

    /// Wait at most this long: seconds, with units such as 90s, 5m, 1h, 2d, or `forever`
    #[arg(long, value_name = "TIME", default_value = "forever", value_parser = parse_wait)]
    pub(crate) timeout: Duration,

    /// Only a record with a greater version will do: one that was written since
    #[arg(long, value_name = "VERSION")]
    pub(crate) since_version: Option<u64>,
}
