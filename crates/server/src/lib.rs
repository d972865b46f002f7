//! An agent data store over HTTP: one store for many machines and any language.
//!
//! ```no_run
//! use agent_data_store::{Options, Store};
//! use agent_data_store_server::{Server, ServerOptions};
//!
//! # async fn serve() -> Result<(), agent_data_store::Error> {
//! let store = Store::open("memory:", Options::default()).await?;
//! let running = Server::bind(&store, ServerOptions::default()).await?;
//! println!("http://{}", running.local_addr());
//! running.shutdown().await?;
//! # Ok(())
//! # }
//! ```

mod admission;
mod answer;
mod app;
mod auth;
mod body;
mod caller;
mod config;
mod config_values;
mod connection;
mod error;
mod listing;
mod mcp;
mod memory;
mod metrics;
mod observe;
mod off_thread;
mod openapi;
mod other_sites;
mod patience;
mod place;
mod precondition;
mod router;
mod routes;
mod schemas;
mod server;
mod tls;
mod visible;
mod waiting;
mod write;

pub use auth::{Access, IssuedToken, NewToken, Token, Tokens};
pub use config::{Config, LogFormat, LogLevel, ServerOptions, UserOptions};
pub use mcp::{McpOptions, McpServer};
pub use server::{Running, Server};
