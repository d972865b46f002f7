//! Several processes that open a new store at the same time.

use std::path::Path;

use crate::support::{check_file, open, set, start, view};

const PROCESSES: usize = 6;
const STORES: usize = 60;

/// Opens one new store after the other; the others are at the same one.
pub(crate) fn work(folder: &Path) {
    for number in 0..STORES {
        let store = open(&folder.join(format!("{number}.db")));
        set(&view(&store, "default"), &std::process::id().to_string(), "1").expect("a write");
    }
}

#[test]
fn processes_may_create_a_store_together() {
    let folder = tempfile::tempdir().unwrap();
    let workers: Vec<_> = (0..PROCESSES).map(|_| start("opening", folder.path())).collect();
    let outputs: Vec<_> = workers.into_iter().map(|worker| worker.wait_with_output().unwrap()).collect();
    for output in outputs {
        assert!(output.status.success(), "a worker failed: {}", String::from_utf8_lossy(&output.stdout));
    }
    for number in 0..STORES {
        let path = folder.path().join(format!("{number}.db"));
        let keys = agent_data_store::block_on(view(&open(&path), "default").list_keys("")).unwrap();
        assert_eq!(keys.len(), PROCESSES);
        check_file(&path);
    }
}
