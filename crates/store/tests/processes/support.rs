//! Opening stores, starting workers, checking files.

use std::path::Path;
use std::process::{Child, Command, Stdio};

pub(crate) use agent_data_store_testing::sqlite::check as check_file;

use agent_data_store::{DataStore, Identity, Json, Limits, Options, SetOptions, Store, block_on, sqlite_url};
pub(crate) use agent_data_store_testing::forms::short_or_long;

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
    command(part, path).stdin(Stdio::null()).spawn().expect("a worker starts")
}

/// This program, set to play a part.
pub(crate) fn command(part: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.args(["--exact", "worker", "--nocapture", "--quiet"]);
    command.env(PART, part).env(STORE_PATH, path).stdout(Stdio::piped());
    command
}
