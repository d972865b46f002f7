//! A disk that is full: writes fail clearly and change nothing, and go on by themselves once there is room.

use std::collections::BTreeMap;

use agent_data_store::{DataStore, ErrorKind, block_on};
use agent_data_store_testing::postgres::{Cluster, run_sql};

use crate::support::{open, set, view};

const DISK_BYTES: u64 = 24 << 20;
const WRITERS: usize = 3;

/// Text that the database cannot make smaller.
fn big(seed: &str) -> String {
    let mut random = fastrand::Rng::with_seed(seed.bytes().fold(0, |seed, byte| seed * 31 + u64::from(byte)));
    format!("\"{}\"", (0..32 << 10).map(|_| random.alphanumeric()).collect::<String>())
}

/// Sets one record after the other until there is no room; the keys of those that were acknowledged.
fn fill(data_store: &DataStore, writer: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    loop {
        let key = format!("{writer} {}", acknowledged.len());
        match set(data_store, &key, &big(&key)) {
            Ok(_) => acknowledged.push(key),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                assert!(error.message().contains("disk of the database is full"), "{error}");
                return acknowledged;
            }
        }
    }
}

/// The store holds these records and no others, and its counts and its feed say the same.
fn check(data_store: &DataStore, keys: &[String]) {
    let found: BTreeMap<_, _> = block_on(data_store.get_all()).expect("get_all").into_iter().collect();
    assert_eq!(found.len(), keys.len());
    for key in keys {
        assert!(found.get(&**key).is_some_and(|value| value.as_str() == big(key)), "{key}");
    }
    assert_eq!(block_on(data_store.count("")).expect("count"), keys.len() as u64);
    let changes = block_on(data_store.changes(0, usize::MAX)).expect("changes").changes;
    assert_eq!(changes.len(), keys.len());
}

#[test]
fn a_full_disk_loses_nothing_and_with_room_again_writing_goes_on() {
    let Some(cluster) = Cluster::start_with_small_disk(DISK_BYTES) else { return };
    run_sql(&cluster.url(""), &format!("CREATE TABLESPACE small LOCATION '{}'", cluster.small_disk().display()));
    run_sql(&cluster.url(""), "CREATE DATABASE small TABLESPACE small");
    let url = cluster.url("").replace("/postgres", "/small");
    run_sql(&url, "CREATE TABLE ballast AS SELECT repeat('x', 1000) FROM generate_series(1, 5000)");
    let store = open(&url);
    let data_store = view(&store);
    let filling: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let data_store = data_store.clone();
            std::thread::spawn(move || fill(&data_store, writer))
        })
        .collect();
    let mut keys: Vec<String> = filling.into_iter().flat_map(|thread| thread.join().expect("a writer")).collect();
    assert!(keys.len() > WRITERS, "there was room for something");
    check(&data_store, &keys);

    // Room for it, in the same store and without anybody's help.
    run_sql(&url, "DROP TABLE ballast");
    let stored = keys.len();
    for number in 0..20 {
        let key = format!("later {number}");
        set(&data_store, &key, &big(&key)).expect("there is room again");
        keys.push(key);
    }
    check(&data_store, &keys);
    println!("{stored} records until the disk was full, {} in the end", keys.len());
}
