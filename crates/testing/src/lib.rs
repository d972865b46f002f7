//! What several packages' tests share.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on panics")]

pub mod forms;
#[cfg(unix)]
pub mod postgres;
pub mod sqlite;
#[cfg(feature = "together")]
pub mod together;
