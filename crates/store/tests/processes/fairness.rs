//! Two processes and eight threads each, writing to one file.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_data_store::block_on;
use agent_data_store::model::{Address, Expiry, Mutation, Precondition, Write};

use crate::support::{check_file, json, open, short_or_long, start, view};

const THREADS: usize = 8;

/// How long the processes write.
fn duration() -> Duration {
    Duration::from_secs(short_or_long(5, 60))
}

fn increment(key: &str) -> Write {
    Write {
        address: Address { namespace: Arc::from("default"), key: key.into() },
        precondition: Precondition::None,
        mutation: Mutation::Increment(json("1")),
        metadata: None,
        expiry: Expiry::Default,
    }
}

pub(crate) fn work(path: &Path) {
    let store = open(path);
    let end = Instant::now() + duration();
    let writes: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let data_store = view(&store, "default");
                scope.spawn(move || {
                    let own = format!("{}-{thread}", std::process::id());
                    let mut acknowledged = 0u64;
                    while Instant::now() < end {
                        block_on(data_store.write(vec![increment(&own), increment("shared")])).expect("a write");
                        acknowledged += 1;
                    }
                    let own = block_on(data_store.get(&own)).unwrap().expect("own key");
                    assert_eq!(own.as_str(), acknowledged.to_string(), "own writes");
                    acknowledged
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).sum()
    });
    println!("\nwrites={writes}");
}

#[test]
fn two_processes_lose_nothing_and_share_evenly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(open(&path));
    let mut workers = [start("fairness", &path), start("fairness", &path)];
    let writes = workers.each_mut().map(|worker| {
        let mut said = String::new();
        worker.stdout.take().expect("piped").read_to_string(&mut said).unwrap();
        assert!(worker.wait().unwrap().success(), "a worker failed: {said}");
        let line = said.lines().find_map(|line| line.strip_prefix("writes=")).expect("a count");
        line.parse::<u64>().unwrap()
    });
    let total = writes[0] + writes[1];
    let store = open(&path);
    let shared = block_on(view(&store, "default").get("shared")).unwrap().expect("the shared counter");
    assert_eq!(shared.as_str(), total.to_string(), "no write is lost");
    println!("writes of the two processes: {writes:?}");
    let least = writes[0].min(writes[1]);
    assert!(least * 4 >= total, "one process starved: {writes:?}");
    drop(store);
    check_file(&path);
}
