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

mod app;
mod auth;
mod body;
mod caller;
mod connection;
mod error;
mod off_thread;
mod place;
mod router;
mod routes;
mod server;

pub use auth::{Access, IssuedToken, NewToken, Token, Tokens};
pub use server::{Running, Server, ServerOptions};
