//! What `mcp` takes.

use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct McpArgs {
    /// Offer only tools that read
    #[arg(long)]
    pub(crate) read_only: bool,

    /// Longest answer, in characters, at least 2000: what is longer is cut and says so
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub(crate) max_characters: usize,
}
