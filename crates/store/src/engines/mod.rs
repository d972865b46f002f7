//! What keeps records. Each engine implements [`crate::engine::Engine`] and nothing more.

pub mod memory;
pub mod sqlite;
