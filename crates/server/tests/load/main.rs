//! A server in a process of its own, under more than it is used to: many clients at once, some of them slow, large or
//! silent, and `kill -9` in the middle. With `ADS_TEST_LONG` set, everything runs as long and with as much as the promises
//! say.
//!
//! The server's process is this test program again, told so by an environment variable.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod abuse;
mod client;
mod killed;
mod served;

/// Not a test of its own: the entry of the server's process.
#[test]
fn serve() {
    let Some(path) = std::env::var_os(served::STORE_PATH) else { return };
    served::serve(path.as_ref());
    std::process::exit(0);
}
