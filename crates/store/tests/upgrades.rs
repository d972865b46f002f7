//! Store files of each schema version, and what the present program makes of them.
//!
//! A file `fixtures/version_N.db` was made by the program when its schema had version N, with the clock at
//! 2026-01-01T00:00:00Z, then a minute later for the reads.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agent_data_store::{
    AppendOptions, Clock, DataStore, ErrorKind, Identity, Json, Limits, ManualClock, Options, RequestId, SetOptions,
    Store, block_on, sqlite_url,
};

const PRESENT_VERSION: u64 = 2;

fn fixture(version: u64) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/version_{version}.db"))
}

fn try_open(clock: &Arc<ManualClock>, path: &Path) -> agent_data_store::Result<Store> {
    let mut options = Options::default();
    options.clock = Arc::clone(clock) as Arc<dyn Clock>;
    options.housekeeping = false;
    block_on(Store::open(&sqlite_url(path), options))
}

/// A copy of the fixture, opened a minute after it was made.
fn open_copy(version: u64, path: &Path) -> (Store, Arc<ManualClock>) {
    std::fs::copy(fixture(version), path).unwrap();
    let clock = Arc::new(ManualClock::default());
    clock.advance(Duration::from_secs(60));
    (try_open(&clock, path).unwrap(), clock)
}

fn view(store: &Store, user: &str, agent: Option<&str>, namespace: &str) -> DataStore {
    store.data_store(Identity::new(user, agent).unwrap(), namespace).unwrap()
}

fn json(text: &str) -> Json {
    Json::parse(text, &Limits::default()).unwrap()
}

fn set(view: &DataStore, key: &str, value: &str, options: SetOptions) -> u64 {
    block_on(view.set(key, json(value), options)).unwrap()
}

fn for_seconds(seconds: u64) -> SetOptions {
    SetOptions { ttl: Some(Duration::from_secs(seconds)), ..SetOptions::default() }
}

/// What the query gives in the closed file.
fn number(path: &Path, query: &str) -> u64 {
    rusqlite::Connection::open(path).unwrap().query_row(query, (), |row| row.get(0)).unwrap()
}

fn long() -> String {
    format!("\"{}\"", "long ".repeat(1_200))
}

/// Whoever adds a version adds its file before it is released, see below.
#[test]
fn there_is_a_file_of_every_version() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(try_open(&Arc::default(), &path).unwrap());
    assert_eq!(number(&path, "SELECT user_version FROM pragma_user_version"), PRESENT_VERSION);
    for version in 1..=PRESENT_VERSION {
        assert_eq!(number(&copy_of(version, folder.path()), "SELECT user_version FROM pragma_user_version"), version);
    }
}

fn copy_of(version: u64, folder: &Path) -> PathBuf {
    let path = folder.join(format!("copy_{version}.db"));
    std::fs::copy(fixture(version), &path).unwrap();
    path
}

/// `cargo test --package agent-data-store --test upgrades -- --ignored` makes the file of a version that has none yet.
#[test]
#[ignore = "makes a file in the sources, once for each version"]
fn the_file_of_the_present_version_is_made() {
    let path = fixture(PRESENT_VERSION);
    assert!(!path.exists(), "what was released stays as it is");
    let clock = Arc::new(ManualClock::default());
    let store = try_open(&clock, &path).unwrap();
    let notes = view(&store, "alice", Some("writer"), "notes");
    let source = SetOptions { metadata: Some(json(r#"{"source":"v2"}"#)), ..SetOptions::default() };
    set(&notes, "plan", r#"{"steps": [1, 2.50, "é"]}"#, source);
    set(&notes, "long", &long(), SetOptions::default());
    set(&notes, "expiring", "1", for_seconds(3_600));
    set(&notes, "over", "1", for_seconds(30));
    set(&notes, "deleted", "1", SetOptions::default());
    assert!(block_on(notes.delete("deleted")).unwrap());
    block_on(notes.extend("list", json("[1, 2]"), AppendOptions::default())).unwrap();
    let request = notes.clone().with_request(RequestId::new("first").unwrap());
    block_on(request.increment("count", json("42"), None)).unwrap();
    let cleared = view(&store, "alice", Some("writer"), "cleared");
    (0..3).for_each(|key| _ = set(&cleared, &key.to_string(), "1", SetOptions::default()));
    assert_eq!(block_on(cleared.clear()).unwrap(), 3);
    set(&view(&store, "bob", Some("writer"), "notes"), "plan", "\"bob's\"", SetOptions::default());
    clock.advance(Duration::from_secs(60));
    let reading = view(&store, "alice", Some("reader"), "notes");
    (0..2).for_each(|_| _ = block_on(reading.get("plan")).unwrap());
    block_on(store.close()).unwrap();
}

#[test]
fn a_file_of_version_1_is_migrated_and_holds_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let (store, _) = open_copy(1, &path);
    let view = |user| view(&store, user, None, "notes");
    let notes = view("alice");
    let values = block_on(notes.get_all()).unwrap();
    assert_eq!(
        values.iter().map(|(key, value)| (&**key, value.as_str())).collect::<Vec<_>>(),
        [("count", "42"), ("expiring", "1"), ("long", &*long()), ("plan", r#"{"steps": [1, 2.50, "é"]}"#)]
    );
    let plan = block_on(notes.get_record("plan")).unwrap().expect("a record");
    assert_eq!((plan.version, plan.access_count, plan.metadata.as_str()), (1, 2, r#"{"source":"v1"}"#));
    assert_eq!(plan.created_by_agent.as_deref(), Some("writer"));
    assert_eq!(plan.last_accessed_by_agent.as_deref(), Some("reader"));
    let stats = block_on(notes.namespaces()).unwrap();
    assert_eq!(stats.iter().map(|stats| (&*stats.namespace, stats.records)).collect::<Vec<_>>(), [("notes", 4)]);
    let changes = block_on(store.engine().changes("alice", 0, 100)).unwrap();
    assert_eq!((changes.changes.len(), changes.complete_from, changes.last), (10, 0, 10));
    assert_eq!(block_on(view("bob").get("plan")).unwrap().expect("a value").as_str(), "\"bob's\"");
    // And it has what came with version 2, and goes on as before.
    for _ in 0..2 {
        let request = notes.clone().with_request(RequestId::new("r").unwrap());
        assert_eq!(block_on(request.increment("count", json("1"), None)).unwrap().as_str(), "43");
    }
    while block_on(store.maintain()).unwrap() {}
    assert_eq!(block_on(store.engine().changes("alice", 11, 100)).unwrap().last, 12, "the write, and the expiry");
    drop(store);
    assert_eq!(number(&path, "SELECT user_version FROM pragma_user_version"), 2);
    assert_eq!(number(&path, "SELECT count(*) FROM records"), 5, "what was cleared or had expired is swept");
}

#[test]
fn a_file_of_version_2_holds_everything_and_what_it_has_applied_is_not_applied_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let (store, clock) = open_copy(2, &path);
    let notes = view(&store, "alice", Some("writer"), "notes");
    let values = block_on(notes.get_all()).unwrap();
    assert_eq!(
        values.iter().map(|(key, value)| (&**key, value.as_str())).collect::<Vec<_>>(),
        [
            ("count", "42"),
            ("expiring", "1"),
            ("list", "[1,2]"),
            ("long", &*long()),
            ("plan", r#"{"steps": [1, 2.50, "é"]}"#)
        ]
    );
    let plan = block_on(notes.get_record("plan")).unwrap().expect("a record");
    assert_eq!((plan.version, plan.access_count, plan.metadata.as_str()), (1, 2, r#"{"source":"v2"}"#));
    assert_eq!(plan.created_by_agent.as_deref(), Some("writer"));
    let stats = block_on(notes.namespaces()).unwrap();
    assert_eq!(stats.iter().map(|stats| (&*stats.namespace, stats.records)).collect::<Vec<_>>(), [("notes", 5)]);
    assert_eq!(
        block_on(view(&store, "bob", None, "notes").get("plan")).unwrap().expect("a value").as_str(),
        "\"bob's\""
    );
    let request = notes.clone().with_request(RequestId::new("first").unwrap());
    assert_eq!(block_on(request.increment("count", json("42"), None)).unwrap().as_str(), "42");
    let last = block_on(notes.position()).unwrap();
    assert_eq!(set(&notes, "deleted", "2", SetOptions::default()), last + 1, "versions go on");
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(block_on(notes.get("expiring")).unwrap(), None);
    while block_on(store.maintain()).unwrap() {}
    drop((request, notes, store));
    assert_eq!(number(&path, "SELECT count(*) FROM records"), 6, "what was cleared or had expired is swept");
}

#[test]
fn a_file_of_a_newer_version_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = copy_of(PRESENT_VERSION, folder.path());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", PRESENT_VERSION + 1).unwrap();
    refused(&path, folder.path());
}

#[test]
fn a_file_whose_log_has_a_newer_version_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = copy_of(PRESENT_VERSION, folder.path());
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", PRESENT_VERSION + 1).unwrap();
    // As a crash leaves it.
    let crashed = tempfile::tempdir().unwrap();
    let path_of = |folder: &Path, ending| folder.join(format!("{}{ending}", path.file_name().unwrap().display()));
    for ending in ["", "-wal"] {
        std::fs::copy(path_of(folder.path(), ending), path_of(crashed.path(), ending)).unwrap();
    }
    refused(&path_of(crashed.path(), ""), crashed.path());
}

fn refused(path: &Path, folder: &Path) {
    let files = || {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        // The index of the log holds nothing of its own.
        let kept = entries.filter(|path| !path.to_string_lossy().ends_with("-shm"));
        let mut files: Vec<_> = kept.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
        files.sort();
        files
    };
    let before = files();
    let error = try_open(&Arc::default(), path).expect_err("must be refused");
    assert_eq!(error.kind(), ErrorKind::CorruptStore, "{error}");
    assert!(error.message().contains(&format!("schema version {}", PRESENT_VERSION + 1)), "{error}");
    assert!(error.message().contains(&*path.to_string_lossy()), "{error} names the file");
    assert!(files() == before, "the file was touched");
}
