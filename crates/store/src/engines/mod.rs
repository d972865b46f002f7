//! What keeps records. Each engine implements [`crate::engine::Engine`] and nothing more.

pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "remote")]
pub mod remote;
mod sql;
pub mod sqlite;
