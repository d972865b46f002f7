//! What several replicas, restarts and a change of primaries do to a store in PostgreSQL. Without one on this machine nothing
//! is tested, which is said.
//!
//! Worker processes are this test program again, told by environment variables what to do.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod calls;
mod disk;
mod failing;
mod failover;
mod opening;
mod overwriting;
mod support;
mod tls;

/// Not a test of its own: the entry of worker processes.
#[test]
fn worker() {
    if let Some(url) = support::url_of_worker() {
        opening::work(&url);
        std::process::exit(0);
    }
}
