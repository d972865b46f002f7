//! A file of an earlier version, opened by several processes of this one at once.

use std::io::{BufRead, BufReader};
use std::path::Path;

use agent_data_store::{RequestId, block_on};

use crate::support::{check_file, json, open, start, view};

const PROCESSES: usize = 6;
/// As the first version of the program has left it: see `sqlite_file.rs`.
const VERSION_1: &[u8] = include_bytes!("../fixtures/version_1.db");

pub(crate) fn work(path: &Path) {
    println!("\nopening");
    let store = open(path);
    let request = RequestId::new("of all processes").unwrap();
    block_on(view(&store, "migrated").with_request(request).increment("n", json("1"), None)).expect("a write");
    println!("\ndone");
}

#[test]
fn a_file_of_version_1_is_migrated_once_by_processes_that_open_it_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    std::fs::write(&path, VERSION_1).unwrap();
    // All of them find version 1, and wait for the one that goes first.
    let held = rusqlite::Connection::open(&path).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut workers: Vec<_> = (0..PROCESSES).map(|_| start("migration", &path)).collect();
    let mut outputs: Vec<_> =
        workers.iter_mut().map(|worker| BufReader::new(worker.stdout.take().expect("piped")).lines()).collect();
    let says = |lines: &mut dyn Iterator<Item = std::io::Result<String>>, word: &str| {
        lines.map_while(Result::ok).any(|line| line == word)
    };
    assert!(outputs.iter_mut().all(|lines| says(lines, "opening")));
    held.execute_batch("ROLLBACK").unwrap();
    drop(held);
    assert!(outputs.iter_mut().all(|lines| says(lines, "done")));
    assert!(workers.iter_mut().all(|worker| worker.wait().unwrap().success()));
    assert_eq!(block_on(view(&open(&path), "migrated").get("n")).unwrap().expect("a number").as_str(), "1");
    check_file(&path);
}
