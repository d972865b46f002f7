//! Opening stores, starting workers, checking files.

use std::path::Path;
use std::process::{Child, Command, Stdio};

pub(crate) use agent_data_store_testing::sqlite::check as check_file;

use agent_data_store::{DataStore, Identity, Json, Limits, Options, SetOptions, Store, block_on, sqlite_url};

pub(crate) const PART: &str = "ADS_TEST_WORKER";
pub(crate) const STORE_PATH: &str = "ADS_TEST_STORE";

/// Set, it has everything run as long and with as much as the promises say; else the suite is kept short.
const LONG: &str = "ADS_TEST_LONG";

/// What the test does by default, or what it does where the long form is asked for.
pub(crate) fn short_or_long<T>(short: T, long: T) -> T {
    if std::env::var_os(LONG).is_some() { long } else { short }
}

pub(crate) fn open(path: &Path) -> Store {
    block_on(Store::open(&sqlite_url(path), Options::default())).expect("the store opens")
}

/// The short form does not wait for the disk at every commit: how long that takes on a machine that does other things as
/// well is no promise of the store's.
pub(crate) fn open_quick(path: &Path, options: Options) -> Store {
    let url = sqlite_url(path) + short_or_long("?durability=relaxed", "");
    block_on(Store::open(&url, options)).expect("the store opens")
}

pub(crate) fn view(store: &Store, namespace: &str) -> DataStore {
    view_as(store, "tester", namespace)
}

pub(crate) fn view_as(store: &Store, agent: &str, namespace: &str) -> DataStore {
    store.data_store(Identity::new("user", Some(agent)).unwrap(), namespace).unwrap()
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
