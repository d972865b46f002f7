//! Opening stores, starting workers, checking files.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use agent_data_store::{DataStore, Identity, Json, Limits, Options, SetOptions, Store, block_on, sqlite_url};

pub(crate) const PART: &str = "ADS_TEST_WORKER";
pub(crate) const STORE_PATH: &str = "ADS_TEST_STORE";

pub(crate) fn open(path: &Path) -> Store {
    block_on(Store::open(&sqlite_url(path), Options::default())).expect("the store opens")
}

pub(crate) fn view(store: &Store, namespace: &str) -> DataStore {
    store.data_store(Identity::new("user", Some("tester")).unwrap(), namespace).unwrap()
}

pub(crate) fn json(text: &str) -> Json {
    Json::parse(text, &Limits::default()).unwrap()
}

pub(crate) fn set(data_store: &DataStore, key: &str, value: &str) -> agent_data_store::Result<u64> {
    block_on(data_store.set(key, json(value), SetOptions::default()))
}

/// Starts a worker; what it prints comes through its standard output.
pub(crate) fn start(part: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this program has a path"))
        .args(["--exact", "worker", "--nocapture", "--quiet"])
        .env(PART, part)
        .env(STORE_PATH, path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a worker starts")
}

/// What must hold of every store file at any time: SQLite finds it sound, and the counts are those of the rows.
pub(crate) fn check_file(path: &Path) {
    let connection = rusqlite::Connection::open(path).expect("the file opens");
    let sound: String = connection.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    let wrong: u64 = connection
        .query_row(
            "SELECT count(*) FROM namespaces n WHERE records != (SELECT count(*) FROM records WHERE namespace_id = n.id)
                OR bytes != (SELECT ifnull(sum(octet_length(key) + octet_length(value)
                             + ifnull(octet_length(metadata), 0)), 0) FROM records WHERE namespace_id = n.id)
                OR records = 0",
            (),
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(wrong, 0, "namespaces whose counts are not those of their rows");
    let orphans: u64 = connection
        .query_row(
            "SELECT (SELECT count(*) FROM records WHERE namespace_id NOT IN
                        (SELECT id FROM namespaces UNION ALL SELECT id FROM dropped_namespaces))
                  + (SELECT count(*) FROM accesses WHERE record_id NOT IN (SELECT id FROM records))",
            (),
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(orphans, 0, "rows that belong to nothing");
}
