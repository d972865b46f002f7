//! What the commands on one record take.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::time::parse_ttl;

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

#[derive(Args, Debug)]
pub(crate) struct IncrementArgs {
    /// The key
    pub(crate) key: String,

    /// What to add: a JSON number
    #[arg(default_value = "1", allow_negative_numbers = true)]
    pub(crate) by: String,

    /// Let the record expire after this time: seconds, or with units such as 90s, 5m, 1h, 2d, 1h30m
    #[arg(long, value_name = "TIME", value_parser = parse_ttl)]
    pub(crate) ttl: Option<Duration>,
}

#[derive(Args, Debug)]
pub(crate) struct AppendArgs {
    /// The key
    pub(crate) key: String,

    /// The items, each as JSON; - for stdin
    #[arg(value_name = "VALUE", required = true, allow_negative_numbers = true)]
    pub(crate) values: Vec<String>,

    /// Take the items as plain text, and store them as JSON strings
    #[arg(long, short)]
    pub(crate) string: bool,

    /// Leave out items that the list already holds
    #[arg(long, short)]
    pub(crate) unique: bool,

    /// Drop the oldest items above this length
    #[arg(long, value_name = "N")]
    pub(crate) max_length: Option<usize>,

    /// Let the record expire after this time: seconds, or with units such as 90s, 5m, 1h, 2d, 1h30m
    #[arg(long, value_name = "TIME", value_parser = parse_ttl)]
    pub(crate) ttl: Option<Duration>,
}

#[derive(Args, Debug)]
pub(crate) struct MergeArgs {
    /// The key
    pub(crate) key: String,

    /// The patch as JSON; - for stdin
    #[arg(allow_negative_numbers = true)]
    pub(crate) patch: String,

    /// Let the record expire after this time: seconds, or with units such as 90s, 5m, 1h, 2d, 1h30m
    #[arg(long, value_name = "TIME", value_parser = parse_ttl)]
    pub(crate) ttl: Option<Duration>,
}

#[derive(Args, Debug)]
pub(crate) struct ExpireArgs {
    /// The key
    pub(crate) key: String,

    /// How long the record lives from now on: seconds, or with units such as 90s, 5m, 1h, 2d, 1h30m
    #[arg(value_parser = parse_ttl, required_unless_present = "never", conflicts_with = "never")]
    pub(crate) ttl: Option<Duration>,

    /// Let it live until it is deleted
    #[arg(long)]
    pub(crate) never: bool,
}
