//! A record that is written again while its connection is cut.

use std::thread;

use agent_data_store::{ErrorKind, Result, block_on};
use agent_data_store_testing::postgres::{Cluster, query, try_query};

use crate::support::{number, open, set, view, wait_until};

const OURS: &str = "FROM pg_stat_activity WHERE application_name = 'agent-data-store' AND wait_event_type = 'Lock'";
const SLEEPING: &str = "FROM pg_stat_activity WHERE wait_event = 'PgSleep'";

/// Sets the record `a` to 2 again, and meanwhile cuts the connection and then has somebody else do `sql` to the record. Returns
/// what the call did, the value, and how many changes there were.
fn cut_while(sql: &str) -> Option<(Result<u64>, u64, usize)> {
    let cluster = Cluster::start(&[])?;
    let count = |of: &str| query(&cluster.url(""), &format!("SELECT 1 {of}")).len();
    let store = open(&cluster.url(""));
    let data_store = view(&store);
    set(&data_store, "a", "1").expect("set");
    let sql = format!("BEGIN; {sql}; SELECT pg_advisory_lock(42); COMMIT");
    let result = thread::scope(|scope| {
        // Keeps the next one from its end until it is cut off itself.
        scope.spawn(|| try_query(&cluster.url(""), "SELECT pg_advisory_lock(42); SELECT pg_sleep(60)").map(drop));
        wait_until("nobody sleeps", || count(SLEEPING) == 1);
        scope.spawn(|| try_query(&cluster.url(""), &sql).expect("the other writer"));
        wait_until("the other writer does not wait", || {
            count("FROM pg_stat_activity WHERE wait_event = 'advisory'") == 1
        });
        let call = scope.spawn(|| set(&data_store, "a", "2"));
        wait_until("the call does not wait", || count(OURS) == 1);
        query(&cluster.url(""), &format!("SELECT pg_terminate_backend(pid) {OURS}"));
        wait_until("the call is not made again", || count(OURS) == 1);
        query(&cluster.url(""), &format!("SELECT pg_terminate_backend(pid) {SLEEPING}"));
        call.join().expect("the call")
    });
    let changes = block_on(data_store.changes(0, usize::MAX)).expect("changes").changes.len();
    Some((result, number(&data_store, "a"), changes))
}

const RECORD: &str = "agent_data_store.records";

#[test]
fn an_overwriting_that_was_cut_off_is_done_once() {
    let Some(outcome) = cut_while(&format!("SELECT 1 FROM {RECORD} WHERE key = 'a' FOR UPDATE")) else { return };
    let (result, value, changes) = outcome;
    result.expect("set");
    assert_eq!((value, changes), (2, 2));
}

#[test]
fn an_overwriting_that_was_cut_off_is_not_done_over_what_another_wrote_meanwhile() {
    let update = format!("UPDATE {RECORD} SET version = version + 1, value = '3' WHERE key = 'a'");
    let Some((result, value, _)) = cut_while(&update) else { return };
    let error = result.expect_err("nobody can tell whether it was done before");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().contains("may have been applied"), "{error}");
    assert_eq!(value, 3);
}

#[test]
fn an_overwriting_that_was_cut_off_after_its_end_succeeds() {
    let update = format!("UPDATE {RECORD} SET version = version + 1, value = '2' WHERE key = 'a'");
    let Some((result, value, _)) = cut_while(&update) else { return };
    result.expect("what is there is what was to be written");
    assert_eq!(value, 2);
}
