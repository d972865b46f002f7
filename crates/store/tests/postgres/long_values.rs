//! Values that take long to change.

use std::fmt::Write;
use std::thread;

use agent_data_store::{AppendOptions, block_on};
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
        let call = scope.spawn(|| {
            let options = AppendOptions { unique: true, ..AppendOptions::default() };
            block_on(data_store.extend("long", json("[0,-1]"), options))
        });
        wait_until("the long value is not worked out", is_planning);
        assert_eq!(number(&data_store, "short"), 1);
        assert!(is_planning(), "the other call has waited for it");
        assert_eq!(call.join().expect("the call").expect("extend"), 400_001);
    });
}
