//! Servers that go and come back, and connections that end in the midst of a call.

use std::sync::mpsc::channel;
use std::thread;

use agent_data_store::{ErrorKind, block_on};

use crate::support::{Act, Between, TestServer, at_first, get, json, notes, open, set, try_open};

#[test]
fn a_server_that_starts_again_between_calls_fails_neither_reads_nor_writes() {
    let mut server = TestServer::start();
    let store = open(&server.url());
    let notes = notes(&store);
    set(&notes, "n", "1");
    for round in 0..3 {
        server.stop();
        server.start_again();
        assert_eq!(get(&notes, "n"), Some((2 * round + 1).to_string()));
        server.stop();
        server.start_again();
        let sum = block_on(notes.increment("n", json("2"), None)).expect("increment");
        assert_eq!(sum.as_str(), (2 * round + 3).to_string());
    }
    assert_eq!(block_on(notes.clear()).expect("clear"), 1);
}

#[test]
fn a_call_waits_for_a_server_that_is_starting() {
    let mut server = TestServer::start();
    let store = open(&server.url());
    let notes = notes(&store);
    set(&notes, "n", "1");
    server.stop();
    let (begin, begun) = channel();
    thread::scope(|scope| {
        let calls = scope.spawn(|| {
            begin.send(()).expect("the test waits");
            block_on(notes.increment("n", json("1"), None)).expect("increment").to_string()
        });
        begun.recv().expect("a call");
        server.start_again();
        assert_eq!(calls.join().expect("the thread"), "2");
    });
}

#[test]
fn a_write_whose_answer_is_lost_is_applied_once() {
    for bytes in [0, 20, 120] {
        let server = TestServer::start();
        let between = Between::before(&server, at_first(2, "/data-store/batch", Act::Cut(bytes)));
        let store = open(&between.url());
        let notes = notes(&store);
        assert_eq!(block_on(notes.increment("n", json("1"), None)).expect("increment").as_str(), "1");
        assert_eq!(get(&server.served(), "n").as_deref(), Some("1"), "cut after {bytes} bytes");
        let heard = between.heard("/data-store/batch");
        assert_eq!(heard.len(), 3);
        let ids: Vec<_> = heard.iter().map(|heard| heard.header("idempotency-key").expect("an id")).collect();
        assert!(ids.iter().all(|id| *id == ids[0] && id.len() == 32), "{ids:?}");
        set(&notes, "m", "1");
        let next = between.heard("/data-store/batch");
        assert_ne!(next[3].header("idempotency-key"), Some(ids[0]), "another write has another id");
    }
}

#[test]
fn a_clear_whose_answer_is_lost_is_done_once() {
    let server = TestServer::start();
    let between = Between::before(&server, at_first(1, "/data-store/namespaces/default", Act::Cut(0)));
    let store = open(&between.url());
    let notes = notes(&store);
    set(&notes, "a", "1");
    set(&notes, "b", "1");
    assert_eq!(block_on(notes.clear()).expect("clear"), 2);
    assert_eq!(between.heard("/data-store/namespaces/default").len(), 2);
}

#[test]
fn a_read_whose_answer_is_cut_is_repeated() {
    for act in [Act::Close, Act::Cut(0), Act::Cut(30), Act::Cut(140)] {
        let server = TestServer::start();
        set(&server.served(), "a", "\"a value of some length\"");
        let between = Between::before(&server, at_first(2, "/data-store/namespaces/default/records", act));
        let store = open(&between.url());
        assert_eq!(get(&notes(&store), "a").as_deref(), Some("\"a value of some length\""));
        assert_eq!(between.heard("/data-store/namespaces/default/records").len(), 3);
    }
}

#[test]
fn counted_reads_whose_answer_is_lost_are_not_sent_again_in_the_same_call() {
    let server = TestServer::start();
    let between = Between::before(&server, at_first(1, "/data-store/access", Act::Cut(0)));
    let store = open(&between.url());
    let reader = crate::support::view(&store, "default", Some("reader"));
    set(&reader, "a", "1");
    get(&reader, "a");
    assert_eq!(block_on(store.flush()).expect_err("nobody knows").kind(), ErrorKind::Unavailable);
    assert_eq!(between.heard("/data-store/access").len(), 1);
}

#[test]
fn a_server_that_is_gone_is_named_without_the_token() {
    let mut server = TestServer::start();
    let place = server.address().to_string();
    let url = format!("{}?timeout=0.2", server.url());
    let token = server.make_token();
    let store = try_open(&url, Some(&token)).expect("the store opens");
    let notes = notes(&store);
    server.stop();
    let errors = [
        block_on(notes.get("a")).expect_err("no server"),
        block_on(notes.increment("a", json("1"), None)).expect_err("no server"),
        block_on(notes.clear()).expect_err("no server"),
        try_open(&url, Some(&token)).expect_err("no server"),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.is_retryable() && error.message().contains(&place), "{error}");
        assert!(!format!("{error} {error:?}").contains(&token), "{error}");
    }
}
