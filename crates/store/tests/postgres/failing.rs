//! A database that restarts, crashes, cuts connections or is slow: no acknowledged write is lost, none is applied twice, and
//! what cannot be done is said.

use std::time::Duration;

use agent_data_store::{ErrorKind, block_on};
use agent_data_store_testing::postgres::{AllConnections, Cluster, query};

use crate::support::{Counting, InTheWay, json, number, open, set, view, wait_until};

const CUT: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'agent-data-store'";

fn count_through_failures(parameters: &str) {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let store = open(&cluster.url(parameters));
    let data_store = view(&store);
    let counting = Counting::begin(&store, 3);
    let goes_on = || {
        let counted = number(&data_store, "of all");
        wait_until("nobody counts any more", || number(&data_store, "of all") > counted + 10);
    };
    for _ in 0..3 {
        goes_on();
        query(&cluster.url(""), CUT);
    }
    goes_on();
    cluster.stop();
    cluster.start_again();
    goes_on();
    cluster.crash();
    cluster.start_again();
    goes_on();
    let (count, longest) = counting.end(&data_store);
    println!("{count} increments through cut connections, a restart and a crash; the longest took {longest:?}");
}

#[test]
fn writes_through_cut_connections_restarts_and_crashes_are_each_applied_once() {
    count_through_failures("");
}

#[test]
fn writes_are_each_applied_once_with_counters_of_users_too() {
    count_through_failures("ordering=serial");
}

#[test]
fn a_statement_that_takes_too_long_is_given_up_and_changes_nothing() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let store = open(&cluster.url("statement_timeout=1"));
    let data_store = view(&store);
    set(&data_store, "a", "1").expect("set");
    let in_the_way = InTheWay::of(&cluster, "a");
    let error = set(&data_store, "a", "2").expect_err("the record is locked");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().contains("statement_timeout"), "{error}");
    // Readers do not wait, and writers of other records do not either.
    assert_eq!(number(&data_store, "a"), 1);
    set(&data_store, "b", "1").expect("another record");
    drop(in_the_way);
    set(&data_store, "a", "3").expect("the record is free");
    assert_eq!(number(&data_store, "a"), 3);
}

#[test]
fn a_call_that_gets_no_connection_in_time_says_so() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let store = open(&cluster.url("pool_size=1&pool_timeout=1&statement_timeout=20"));
    let data_store = view(&store);
    set(&data_store, "a", "1").expect("set");
    let in_the_way = InTheWay::of(&cluster, "a");
    let waiting = std::thread::spawn({
        let data_store = data_store.clone();
        move || set(&data_store, "a", "2")
    });
    wait_until("nobody waits for the record", || {
        !query(&cluster.url(""), "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'").is_empty()
    });
    let error = block_on(data_store.get("a")).expect_err("the one connection is in use");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().contains("pool_size"), "{error}");
    drop(in_the_way);
    waiting.join().expect("the thread").expect("the record is free");
    assert_eq!(number(&data_store, "a"), 2);
}

#[test]
fn a_database_without_a_connection_to_spare_is_said_and_goes_on_when_it_has_one() {
    let Some(cluster) = Cluster::start(&["max_connections=4", "superuser_reserved_connections=0"]) else { return };
    let store = open(&cluster.url("pool_size=1"));
    let data_store = view(&store);
    set(&data_store, "a", "1").expect("set");
    let others = AllConnections::take(&cluster.url(""));
    let error = set(&data_store, "a", "2").expect_err("there is no connection");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().contains("max_connections"), "{error}");
    drop(others);
    assert_eq!(number(&data_store, "a"), 1);
    set(&data_store, "a", "3").expect("there is a connection again");
}

#[test]
fn without_a_database_calls_fail_clearly_and_go_on_when_it_is_back() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let store = open(&cluster.url(""));
    let data_store = view(&store);
    set(&data_store, "a", "1").expect("set");
    cluster.stop();
    let error = block_on(data_store.increment("a", json("1"), None)).expect_err("there is no database");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.is_retryable());
    cluster.start_again();
    assert_eq!(number(&data_store, "a"), 1);
    // Somebody who waits for a change waits on.
    let waiting = std::thread::spawn({
        let data_store = data_store.clone();
        move || block_on(data_store.wait_for("b", Duration::from_secs(60), None, async |_| Ok(true)))
    });
    cluster.stop();
    cluster.start_again();
    set(&data_store, "b", "1").expect("set");
    assert!(waiting.join().expect("the thread").expect("wait_for").is_some());
}
