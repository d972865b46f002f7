//! A primary that dies and a standby that takes its place.

use agent_data_store::block_on;
use agent_data_store_testing::postgres::Cluster;

use crate::support::{Counting, number, open, set, view, wait_until};

#[test]
fn with_synchronous_replication_nothing_acknowledged_is_lost_when_the_primary_dies() {
    let Some(primary) = Cluster::start(&["wal_level=replica", "max_wal_senders=4"]) else { return };
    let standby = primary.standby("standby");
    primary.wait_for_standbys("standby");
    let url = format!("postgresql://ads@{},{}/postgres", primary.host(), standby.host());
    let store = open(&url);
    let data_store = view(&store);
    let counting = Counting::begin(&store, 3);
    wait_until("nobody counts", || number(&data_store, "of all") > 50);
    primary.kill();
    standby.promote();
    let counted = number(&data_store, "of all");
    wait_until("nobody counts any more", || number(&data_store, "of all") > counted + 50);
    let (count, longest) = counting.end(&data_store);
    println!("{count} increments, each applied once; the longest waited {longest:?} for the standby");
    // Waiting and writing go on there as before.
    let waiting = std::thread::spawn({
        let data_store = data_store.clone();
        move || block_on(data_store.wait_for("b", crate::support::DEADLINE, None, async |_| Ok(true)))
    });
    set(&data_store, "b", "1").expect("set");
    assert!(waiting.join().expect("the thread").expect("wait_for").is_some());
}
