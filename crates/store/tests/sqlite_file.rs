//! The store file: what opening accepts, refuses and leaves alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent_data_store::model::{Address, Expiry, Mutation, Precondition, Write};
use agent_data_store::{
    Clock, DataStore, ErrorKind, Identity, Json, Limits, ManualClock, Options, RequestId, SetOptions, Store, block_on,
    sqlite_url,
};
use agent_data_store_testing::sqlite::check;

fn open(path: &Path) -> agent_data_store::Result<Store> {
    block_on(Store::open(&sqlite_url(path), Options::default()))
}

fn open_under(clock: &Arc<ManualClock>, path: &Path) -> Store {
    let mut options = Options::default();
    options.clock = Arc::clone(clock) as Arc<dyn Clock>;
    options.housekeeping = false;
    block_on(Store::open(&sqlite_url(path), options)).unwrap()
}

/// What the query gives in the closed file.
fn number(path: &Path, query: &str) -> u64 {
    rusqlite::Connection::open(path).unwrap().query_row(query, (), |row| row.get(0)).unwrap()
}

fn alice(store: &Store) -> DataStore {
    store.data_store(Identity::new("alice", Some("tester")).unwrap(), "default").unwrap()
}

fn json(text: &str) -> Json {
    Json::parse(text, &Limits::default()).unwrap()
}

fn set(data_store: &DataStore, key: &str, value: &str) -> agent_data_store::Result<u64> {
    block_on(data_store.set(key, json(value), SetOptions::default()))
}

/// Opening must fail, say why, and leave the file and its folder as they were.
fn refused(path: &Path, kind: ErrorKind, words: &str) {
    let folder = path.parent().unwrap();
    let listing = || {
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(&path).unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = listing();
    let error = open(path).expect_err("must be refused");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.message().contains(words), "{error}");
    assert!(error.message().contains(&*path.to_string_lossy()), "{error} names the file");
    assert!(listing() == before, "the folder was touched");
}

#[test]
fn what_is_stored_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a store.db");
    for round in 0..3 {
        let store = open(&path).unwrap();
        let data_store = alice(&store);
        assert_eq!(block_on(data_store.count("")).unwrap(), round);
        set(&data_store, &format!("k{round}"), "{\"a\":[1,2.50,\"é\"]}").unwrap();
        assert_eq!(block_on(data_store.get("k0")).unwrap().unwrap().as_str(), "{\"a\":[1,2.50,\"é\"]}");
        block_on(store.close()).unwrap();
        assert_eq!(block_on(data_store.get("k0")).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "close folds up the log");
}

#[test]
fn two_stores_on_one_file_see_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let (first, second) = (open(&path).unwrap(), open(&path).unwrap());
    set(&alice(&first), "k", "1").unwrap();
    assert_eq!(block_on(alice(&second).get("k")).unwrap().unwrap().as_str(), "1");
    drop(first);
    set(&alice(&second), "k", "2").unwrap();
    assert_eq!(block_on(alice(&open(&path).unwrap()).get("k")).unwrap().unwrap().as_str(), "2");
}

/// More than SQLite keeps in memory, so that much of it is in the log when it is refused.
#[test]
fn a_large_batch_that_is_refused_takes_nothing_from_what_others_write_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let (first, second) = (open(&path).unwrap(), open(&path).unwrap());
    let view = alice(&first);
    set(&view, "there", "1").unwrap();
    // The log begins anew.
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(RESTART)", (), |_| Ok(())).unwrap();
    drop(connection);
    let write = |key: &str, precondition| Write {
        address: Address { namespace: "default".into(), key: key.into() },
        precondition,
        mutation: Mutation::Set(json(&format!("\"{}\"", "x".repeat(10_000)))),
        metadata: None,
        expiry: Expiry::Default,
    };
    let many = (0..450).map(|key| write(&format!("refused {key}"), Precondition::None));
    // Beside the one before, so that nothing more is read until it is refused.
    let batch = many.chain([write("refused 449", Precondition::Version(77))]).collect();
    assert_eq!(block_on(view.write(batch)).expect_err("another version").kind(), ErrorKind::Conflict);
    for key in 0..150 {
        set(&alice(&second), &format!("k{key}"), &format!("\"{}\"", "y".repeat(4_000))).unwrap();
    }
    set(&view, "last", "1").unwrap();
    drop((view, first, second));
    check(&path);
    assert_eq!(block_on(alice(&open(&path).unwrap()).count("")).unwrap(), 152);
}

#[test]
fn the_file_is_private_to_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let _store = open(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_is_not_ours_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "just some notes, longer than a header: ".repeat(20)).unwrap();
    refused(&path, ErrorKind::CorruptStore, "no SQLite database");
    std::fs::write(&path, "short").unwrap();
    refused(&path, ErrorKind::CorruptStore, "not an agent data store");
}

#[test]
fn the_database_of_another_program_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
    refused(&path, ErrorKind::CorruptStore, "another program");
    drop(other);
    refused(&path, ErrorKind::CorruptStore, "another program");
}

#[test]
fn requests_leave_the_file_when_their_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let clock = Arc::new(ManualClock::default());
    let store = open_under(&clock, &path);
    let request = |id: usize| {
        let view = alice(&store).with_request(RequestId::new(&id.to_string()).unwrap());
        block_on(view.increment("n", json("1"), None)).unwrap()
    };
    // More than one step of housekeeping removes.
    (0..250).for_each(|id| _ = request(id));
    clock.advance(Duration::from_secs(60 * 60));
    (250..260).for_each(|id| _ = request(id));
    clock.advance(Duration::from_secs(23 * 60 * 60));
    // Whose time is over, but which is made again.
    request(7);
    while block_on(store.maintain()).unwrap() {}
    drop(store);
    assert_eq!(number(&path, "SELECT count(*) FROM requests"), 11);
}

#[test]
fn a_truncated_file_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = open(&path).unwrap();
    for key in 0..50 {
        set(&alice(&store), &format!("k{key}"), &format!("\"{}\"", "x".repeat(4_000))).unwrap();
    }
    drop(store);
    let length = std::fs::metadata(&path).unwrap().len();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(length / 2).unwrap();
    refused(&path, ErrorKind::CorruptStore, "cut short");
}

#[test]
fn damage_inside_is_reported_as_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(open(&path).unwrap());
    let mut bytes = std::fs::read(&path).unwrap();
    // The schema's first page after the header.
    bytes[100..4_096].fill(0xAB);
    std::fs::write(&path, bytes).unwrap();
    let error = open(&path).expect_err("must be refused");
    assert_eq!(error.kind(), ErrorKind::CorruptStore, "{error}");
}

#[test]
fn a_missing_folder_or_a_folder_for_a_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = open(&folder.path().join("missing/store.db")).expect_err("no folder");
    assert!(error.message().contains("folder does not exist"), "{error}");
    let error = open(folder.path()).expect_err("a folder");
    assert!(error.message().contains("not a file"), "{error}");
}

/// SQLite's locks belong to the process: a second copy of SQLite in it takes them away when it closes the file.
#[test]
fn a_second_sqlite_library_in_the_process_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = open(&path).unwrap();
    let other_handle = open(&path).unwrap();
    let data_store = alice(&store);
    set(&data_store, "before", "1").unwrap();

    // What a second library's close does, as far as the file system sees: the log is folded up and both files go.
    let copy = folder.path().join("copy.db");
    for suffix in ["", "-wal"] {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        std::fs::copy(name(&path), name(&copy)).unwrap();
    }
    drop(rusqlite::Connection::open(&copy).unwrap().query_row("SELECT count(*) FROM records", (), |_| Ok(())));
    std::fs::write(&path, std::fs::read(&copy).unwrap()).unwrap();
    for suffix in ["-wal", "-shm"] {
        std::fs::remove_file(format!("{}{suffix}", path.display())).unwrap();
    }

    let error = set(&data_store, "lost", "2").expect_err("must not be acknowledged");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("another SQLite library"), "{error}");
    assert!(error.is_retryable());

    // Opened anew: what was acknowledged is there, writing works, and everyone sees it.
    set(&data_store, "after", "3").unwrap();
    for store in [&store, &other_handle, &open(&path).unwrap()] {
        let keys = block_on(alice(store).list_keys("")).unwrap();
        assert_eq!(keys.iter().map(|key| &**key).collect::<Vec<_>>(), ["after", "before"]);
    }
}
