//! Random work of several processes on each engine, while processes are killed and paused, connections cut and the clock
//! jumps. Of each call it is kept what it returned and when; afterwards everything that was promised must hold of all of
//! that together.
//!
//! With `ADS_TEST_LONG` set, it goes on for as long as the promises say. `ADS_TEST_SEED` makes the same choices again. One
//! place alone is one test alone.
//!
//! Worker processes are this test program again, told by environment variables what to do.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod check;
mod clock;
mod crew;
mod event;
mod place;
mod proxy;
mod round;
mod server;
mod worker;

use agent_data_store_testing::forms::short_or_long;

use crate::place::Place;
use crate::round::{Form, rounds};

/// Not a test of its own: the entry of worker processes.
#[test]
fn worker() {
    if let Some(task) = worker::task() {
        worker::work(&task);
        // Without the test harness's closing lines the parent reads only what the worker has said.
        std::process::exit(0);
    }
}

/// The same for servers.
#[test]
fn server() {
    if server::serve_if_asked() {
        std::process::exit(0);
    }
}

#[test]
fn what_processes_do_to_a_store_file_holds_together() {
    let long = Form { rounds: 200, faults: 5..9, calls: 200..500 };
    rounds(&mut Place::file(), &short_or_long(Form { rounds: 6, faults: 2..5, calls: 50..250 }, long));
}

#[test]
fn what_clients_do_to_a_server_holds_together() {
    let long = Form { rounds: 100, faults: 4..7, calls: 150..350 };
    rounds(&mut Place::served(), &short_or_long(Form { rounds: 4, faults: 2..4, calls: 50..200 }, long));
}

#[test]
fn what_clients_do_to_a_server_of_a_store_in_memory_holds_together() {
    let long = Form { rounds: 90, faults: 4..7, calls: 200..500 };
    rounds(&mut Place::served_from_memory(), &short_or_long(Form { rounds: 2, faults: 2..4, calls: 50..200 }, long));
}

#[test]
fn what_processes_do_to_a_database_holds_together() {
    if let Some(mut place) = Place::database() {
        let long = Form { rounds: 60, faults: 5..8, calls: 200..500 };
        rounds(&mut place, &short_or_long(Form { rounds: 4, faults: 2..5, calls: 50..250 }, long));
    }
}
