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
