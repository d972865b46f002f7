//! A disk that fails in every way, and the loss of power at any moment: what was acknowledged is there, what was refused is
//! not, and nothing is damaged.
//!
//! With `ADS_TEST_LONG` set, everything runs as long as the promises say. `ADS_TEST_SEED` repeats a run.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod disk;
mod faults;
mod power;
mod script;
mod store;
mod unsynced;
mod vfs;
