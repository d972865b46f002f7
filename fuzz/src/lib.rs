//! What several targets share: values that are made, and a server that is asked.

mod server;
mod value;

pub use server::{Connection, Reply, ask, record_path, store};
pub use value::{Tree, same};
