//! What `serve` takes.

use std::net::SocketAddr;

use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// Where to listen; with port 0 the system chooses one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8787")]
    pub(crate) listen: SocketAddr,
}
