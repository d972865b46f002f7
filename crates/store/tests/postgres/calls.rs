//! Who does the work of a call, and for how long.

use std::fmt::Write;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::thread;

use agent_data_store::{AppendOptions, SetOptions, block_on};
use agent_data_store_testing::postgres::{Cluster, query};

use crate::support::{json, number, open, set, view, wait_until};

const PLANNING: &str = "SELECT 1 FROM pg_stat_activity
     WHERE application_name = 'agent-data-store' AND state = 'idle in transaction' AND query NOT LIKE 'COMMIT%'";

#[test]
fn a_long_value_that_is_worked_out_keeps_no_other_call_waiting() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let store = open(&cluster.url(""));
    let data_store = view(&store);
    let mut items = String::from("[0");
    for number in 1..400_000 {
        write!(items, ",{number}").expect("text");
    }
    items.push(']');
    set(&data_store, "long", &items).expect("set");
    set(&data_store, "short", "1").expect("set");
    let is_planning = || !query(&cluster.url(""), PLANNING).is_empty();
    thread::scope(|scope| {
        // Not with this crate's own function, in which each thread works for itself.
        let call = scope.spawn(|| {
            let options = AppendOptions { unique: true, ..AppendOptions::default() };
            pollster::block_on(data_store.extend("long", json("[0,-1]"), options))
        });
        wait_until("the long value is not worked out", is_planning);
        let mut has_gone_on = false;
        while !has_gone_on && is_planning() {
            pollster::block_on(data_store.get("short")).expect("get");
            has_gone_on = is_planning();
        }
        assert!(has_gone_on, "the other call has waited for it");
        assert_eq!(call.join().expect("the call").expect("extend"), 400_001);
    });
}

#[test]
fn a_call_that_nobody_waits_for_any_more_is_done_all_the_same() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let store = open(&cluster.url(""));
    let data_store = view(&store);
    block_on(async {
        let mut call = pin!(data_store.set("a", json("1"), SetOptions::default()));
        poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_ready())).await
    });
    wait_until("it is not done", || number(&data_store, "a") == 1);
}
