//! The store file: what opening accepts, refuses and leaves alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use agent_data_store::{
    DataStore, ErrorKind, Identity, Json, Limits, Options, SetOptions, Store, block_on, sqlite_url,
};

fn open(path: &Path) -> agent_data_store::Result<Store> {
    block_on(Store::open(&sqlite_url(path), Options::default()))
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
fn a_newer_schema_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(open(&path).unwrap());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 999).unwrap();
    refused(&path, ErrorKind::CorruptStore, "schema version 999");
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
