//! Random work of several processes on each engine, while processes are killed and paused and connections cut. Of each call it
//! is kept what it returned and when; afterwards everything that was promised must hold of all of that together.
//!
//! With `ADS_TEST_LONG` set, it goes on for as long as the promises say. `ADS_TEST_SEED` makes the same choices again.
//!
//! Worker processes are this test program again, told by environment variables what to do.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod check;
mod crew;
mod event;
mod place;
mod proxy;
mod round;
mod worker;

use agent_data_store_testing::forms::short_or_long;

use crate::place::Place;
use crate::round::rounds;

/// Not a test of its own: the entry of worker processes.
#[test]
fn worker() {
    if let Some(task) = worker::task() {
        worker::work(&task);
        // Without the test harness's closing lines the parent reads only what the worker has said.
        std::process::exit(0);
    }
}

#[test]
fn what_processes_do_to_a_store_file_holds_together() {
    rounds(&mut Place::file(), short_or_long(6, 600), short_or_long(50..400, 100..700));
}

#[test]
fn what_clients_do_to_a_server_holds_together() {
    rounds(&mut Place::served(), short_or_long(4, 250), short_or_long(50..400, 100..700));
}

#[test]
fn what_processes_do_to_a_database_holds_together() {
    if let Some(mut place) = Place::database() {
        rounds(&mut place, short_or_long(4, 200), short_or_long(50..400, 100..700));
    }
}
