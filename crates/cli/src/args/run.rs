//! What `run` takes.

use std::path::PathBuf;

use clap::{Args, ValueHint};

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
