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

/// What a test does by default, or what it does where the long form is asked for.
fn short_or_long<T>(short: T, long: T) -> T {
    if std::env::var_os("ADS_TEST_LONG").is_some() { long } else { short }
}

/// From which everything random follows.
fn seed() -> u64 {
    match std::env::var("ADS_TEST_SEED") {
        Ok(seed) => seed.parse().expect("ADS_TEST_SEED is a whole number"),
        Err(_) => fastrand::u64(..),
    }
}

/// Said where the test fails.
struct Says(String);

impl Drop for Says {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}
