//! What keeps records. Each engine implements [`crate::engine::Engine`] and nothing more.

pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
mod prefix;
#[cfg(feature = "remote")]
pub mod remote;
pub mod sqlite;
