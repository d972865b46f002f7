//! Waiting for a change on a server.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use agent_data_store::{ErrorKind, block_on};

use crate::support::{Act, Between, TestServer, at_first, notes, open, set, view};

/// Longer than any wait here lasts, unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// Less than one request waits on the server.
const SOONER: Duration = Duration::from_secs(20);

const CHANGES: &str = "/data-store/changes";

#[test]
fn however_many_wait_one_request_waits_for_each_user() {
    let server = TestServer::start();
    let between = Between::before(&server, |_| Act::Pass);
    let store = open(&between.url());
    let waits = |between: &Between| between.heard(CHANGES).iter().filter(|heard| heard.head.contains("wait=")).count();
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..6)
            .map(|index| {
                let view = view(&store, if index < 3 { "one" } else { "two" }, None);
                scope.spawn(move || block_on(view.wait_for_changes(0, PATIENCE)))
            })
            .collect();
        for user in ["one", "two"] {
            let store = open(&server.url());
            set(&view(&store, user, None), "a", "1");
        }
        for wait in waiting {
            assert!(wait.join().expect("the thread").expect("a wait"));
        }
    });
    // One that has its news may have gone on waiting before all were gone.
    assert!((0..=4).contains(&waits(&between)), "{}", waits(&between));
}

#[test]
fn a_wait_lives_through_connections_that_end_and_servers_that_start_again() {
    let mut server = TestServer::start();
    let store = open(&server.url());
    let waiting = {
        let notes = notes(&store);
        thread::spawn(move || block_on(notes.wait_for_changes(0, PATIENCE)))
    };
    server.stop();
    server.start_again();
    set(&server.served(), "a", "1");
    assert!(waiting.join().expect("the thread").expect("a wait"));

    let between = Between::before(&server, at_first(5, CHANGES, Act::Close));
    let other = open(&between.url());
    let since = block_on(notes(&other).position()).expect("position");
    let waiting = thread::spawn(move || block_on(notes(&other).wait_for_changes(since, PATIENCE)));
    set(&server.served(), "a", "2");
    assert!(waiting.join().expect("the thread").expect("a wait"));
}

#[test]
fn a_wait_fails_when_the_server_is_gone_for_good() {
    let mut server = TestServer::start();
    let store = open(&format!("{}?timeout=0.2", server.url()));
    let notes = notes(&store);
    server.stop();
    let error = block_on(notes.wait_for_changes(0, PATIENCE)).expect_err("no server");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains(&server.address().to_string()), "{error}");
}

#[test]
fn closing_a_store_cuts_the_request_that_waits() {
    let server = TestServer::start();
    let between = Between::before(&server, |_| Act::Pass);
    let store = open(&between.url());
    let waiting = {
        let notes = notes(&store);
        thread::spawn(move || block_on(notes.wait_for_changes(0, PATIENCE)))
    };
    let (sender, closed) = channel();
    thread::spawn(move || sender.send(block_on(store.close())));
    closed.recv_timeout(SOONER).expect("it is not waited for").expect("close");
    assert!(waiting.join().expect("the thread").is_err());
}
