//! The cache of values that were read: nothing that happens to a store makes it give anything but the present value, and
//! it stays within its limits.
//!
//! Each test first makes sure that the value in question comes from the cache.

// Elsewhere there is no cache.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod limits;
mod other_connections;
mod own_writes;
mod rest;
mod support;

/// Not a test of its own: the entry of the process that forks.
#[test]
fn worker() {
    if let Some(path) = std::env::var_os(rest::FORKS) {
        rest::fork(std::path::Path::new(&path));
    }
}
