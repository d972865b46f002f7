//! The program `ads`.

use std::process::ExitCode;

use agent_data_store_cli::{python_process, run};

fn main() -> ExitCode {
    run(std::env::args_os(), &python_process).into()
}
