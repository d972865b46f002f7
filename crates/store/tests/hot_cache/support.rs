//! A store whose cache can be watched.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use agent_data_store::engines::sqlite::{CacheStats, Durability, SqliteEngine, SqliteOptions};
use agent_data_store::model::{Address, Expiry, Mutation, Precondition, Write};
use agent_data_store::{
    Clock, DataStore, Identity, Json, Limits, Options, Result, SetOptions, Store, Timestamp, block_on,
};
use rusqlite::Connection;
use tempfile::TempDir;

pub(crate) const USER: &str = "user";
pub(crate) const NAMESPACE: &str = "default";

/// A clock that goes where it is told, also back.
#[derive(Debug)]
pub(crate) struct TestClock {
    micros: AtomicI64,
    /// How far it goes each time that somebody looks at it.
    step: AtomicI64,
}

impl TestClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.micros.fetch_add(micros(by), Ordering::SeqCst);
    }

    pub(crate) fn set_back(&self, by: Duration) {
        self.micros.fetch_sub(micros(by), Ordering::SeqCst);
    }

    pub(crate) fn go_on_by(&self, step: Duration) {
        self.step.store(micros(step), Ordering::SeqCst);
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap()
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.micros.fetch_add(self.step.load(Ordering::SeqCst), Ordering::SeqCst))
    }
}

pub(crate) struct Subject {
    pub(crate) engine: Arc<SqliteEngine>,
    pub(crate) store: Store,
    pub(crate) data_store: DataStore,
    pub(crate) clock: Arc<TestClock>,
    path: PathBuf,
    _folder: Option<TempDir>,
}

impl Subject {
    /// A new store.
    pub(crate) fn new() -> Self {
        Self::with_cache_bytes(SqliteOptions::default().cache_bytes)
    }

    pub(crate) fn with_cache_bytes(cache_bytes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let subject = Self::at(&folder.path().join("store.db"), cache_bytes);
        Self { _folder: Some(folder), ..subject }
    }

    /// Another opening of the same file.
    pub(crate) fn again(&self) -> Self {
        Self::at(&self.path, SqliteOptions::default().cache_bytes)
    }

    /// The store in the file at `path`. What it does by itself is left out: it would change the counts.
    pub(crate) fn at(path: &Path, cache_bytes: usize) -> Self {
        let clock = Arc::new(TestClock { micros: AtomicI64::new(1_767_225_600_000_000), step: AtomicI64::new(0) });
        let mut options = Options::default();
        options.clock = Arc::clone(&clock) as Arc<dyn Clock>;
        options.housekeeping = false;
        let mut sqlite_options = SqliteOptions::default();
        sqlite_options.cache_bytes = cache_bytes;
        // Nobody cuts the power here.
        sqlite_options.durability = Durability::Relaxed;
        let engine = Arc::new(SqliteEngine::open(path, &sqlite_options, &options).unwrap());
        let store = Store::over(Arc::clone(&engine) as _, options).unwrap();
        let data_store = store.data_store(Identity::new(USER, Some("tester")).unwrap(), NAMESPACE).unwrap();
        Self { engine, store, data_store, clock, path: path.to_owned(), _folder: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn stats(&self) -> CacheStats {
        self.engine.cache_stats()
    }

    pub(crate) fn get(&self, key: &str) -> Option<String> {
        block_on(self.data_store.get(key)).unwrap().map(|value| value.as_str().to_owned())
    }

    /// Several values in one snapshot; `None` for those that are not there.
    pub(crate) fn get_many<const N: usize>(&self, keys: [&str; N]) -> [Option<String>; N] {
        let found = block_on(self.data_store.get_many(&keys)).unwrap();
        keys.map(|key| found.iter().find(|(other, _)| **other == *key).map(|(_, value)| value.as_str().to_owned()))
    }

    /// Reads, and whether the answer came from the cache.
    fn get_and_see(&self, key: &str) -> (Option<String>, bool) {
        let before = self.stats();
        let value = self.get(key);
        let after = self.stats();
        assert_eq!(after.hits + after.misses, before.hits + before.misses + 1, "one read is one hit or one miss");
        (value, after.hits > before.hits)
    }

    /// What the cache says of `key`.
    pub(crate) fn get_hit(&self, key: &str) -> Option<String> {
        let (value, hit) = self.get_and_see(key);
        assert!(hit, "{key} did not come from the cache");
        value
    }

    /// What the database says of `key`.
    pub(crate) fn get_miss(&self, key: &str) -> Option<String> {
        let (value, hit) = self.get_and_see(key);
        assert!(!hit, "{key} came from the cache");
        value
    }

    /// Reads until the cache has it: the first read of all makes the cache look at the file, another one fills it.
    pub(crate) fn warm(&self, key: &str) -> Option<String> {
        self.get(key);
        self.get(key);
        self.get_hit(key)
    }

    pub(crate) fn set(&self, key: &str, value: &str) {
        block_on(self.data_store.set(key, json(value), SetOptions::default())).unwrap();
    }

    pub(crate) fn set_with_ttl(&self, key: &str, value: &str, ttl: Duration) {
        let options = SetOptions { ttl: Some(ttl), ..SetOptions::default() };
        block_on(self.data_store.set(key, json(value), options)).unwrap();
    }

    pub(crate) fn delete(&self, key: &str) -> bool {
        block_on(self.data_store.delete(key)).unwrap()
    }

    pub(crate) fn write(&self, writes: Vec<Write>) -> Result<()> {
        block_on(self.data_store.write(writes)).map(drop)
    }

    /// A connection that knows nothing of us.
    pub(crate) fn connection(&self) -> Connection {
        Connection::open(&self.path).unwrap()
    }
}

pub(crate) fn json(text: &str) -> Json {
    Json::parse(text, &Limits::default()).unwrap()
}

pub(crate) fn write(key: &str, mutation: Mutation) -> Write {
    Write {
        address: Address { namespace: NAMESPACE.into(), key: key.into() },
        precondition: Precondition::None,
        mutation,
        metadata: None,
        expiry: Expiry::Default,
    }
}

/// SQL that sets the value of a record that is there.
pub(crate) fn update(key: &str, value: &str) -> String {
    format!("UPDATE records SET value = '{value}', version = version + 1 WHERE key = '{key}'")
}
