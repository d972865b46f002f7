//! What `token` takes.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::examples::{TOKEN_CREATE_EXAMPLES, TOKEN_LIST_EXAMPLES, TOKEN_REVOKE_EXAMPLES};
use super::time::parse_ttl;

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token for a user, and show it this once
    ///
    /// It acts for --user alone, reads unless more is said, and reaches all namespaces unless --namespace says which. Only
    /// a hash of it is stored. From the first one on, nobody gets in without a token.
    #[command(after_help = TOKEN_CREATE_EXAMPLES)]
    Create(TokenCreateArgs),

    /// List the tokens, also those that have ended, oldest first
    #[command(after_help = TOKEN_LIST_EXAMPLES)]
    List,

    /// End a token, at once and on every server
    ///
    /// It stays in the list. An unknown id is exit code 1.
    #[command(after_help = TOKEN_REVOKE_EXAMPLES)]
    Revoke {
        /// The id, as create and list show it
        id: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct TokenCreateArgs {
    /// Reach only namespaces like this, in which * stands for any characters; may be repeated
    #[arg(id = "namespace", long, short, value_name = "GLOB")]
    pub(crate) namespaces: Vec<String>,

    /// Allow reading, and nothing else; the default
    #[arg(long, conflicts_with_all = ["write", "admin"])]
    pub(crate) read_only: bool,

    /// Allow writing too
    #[arg(long, conflicts_with = "admin")]
    pub(crate) write: bool,

    /// Allow acting for every user, as a platform's own services do
    #[arg(long)]
    pub(crate) admin: bool,

    /// How long it is valid: seconds, or with units such as 12h, 30d [default: until revoked]
    #[arg(long, value_name = "TIME", value_parser = parse_ttl)]
    pub(crate) expires: Option<Duration>,
}
