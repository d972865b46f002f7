//! What the commands take by which processes work together.

use std::time::Duration;

use clap::Args;

use super::time::parse_wait;

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
