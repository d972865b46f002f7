//! A store as a user of the crate opens it, and the few calls that are timed.

use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use agent_data_store::engine::Engine;
use agent_data_store::engines::sqlite::{CacheStats, Durability, SqliteEngine, SqliteOptions};
use agent_data_store::{DataStore, Identity, Json, Options, Result, SetOptions, Store, block_on};

use crate::Error;

const USER: &str = "bench";
const NAMESPACE: &str = "bench";

/// Records that are filled in with one write.
const FILLED_AT_ONCE: u64 = 10_000;

/// Reads between two looks at the clock.
const READS_AT_ONCE: usize = 1_000;

pub(crate) struct Ours {
    engine: Arc<SqliteEngine>,
    store: Store,
    /// As an agent, whose reads are counted.
    view: DataStore,
    administrator: DataStore,
}

/// How a record is read.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// With the verb, as an agent.
    Agent,
    /// With the verb, uncounted.
    Administrator,
    /// From the cache alone, where nothing is checked or counted.
    Cache,
}

/// A call with what it needs.
pub(crate) enum Call<'a> {
    Get(&'a str),
    Set(&'a str, &'a str),
}

/// How long calls took.
#[derive(Default)]
pub(crate) struct Spent {
    pub(crate) reading: Duration,
    pub(crate) writing: Duration,
    /// Bytes of the last value read; 0 for none.
    pub(crate) found: usize,
}

impl Ours {
    /// Writes do not wait for the disk: none of what is held against a target here does.
    pub(crate) fn open(path: &Path, cache_bytes: usize) -> Result<Self> {
        let mut sqlite_options = SqliteOptions::default();
        sqlite_options.durability = Durability::Relaxed;
        sqlite_options.cache_bytes = cache_bytes;
        let options = Options::default();
        let engine = Arc::new(SqliteEngine::open(path, &sqlite_options, &options)?);
        let store = Store::over(Arc::clone(&engine) as _, options)?;
        let view = store.data_store(Identity::new(USER, Some(USER))?, NAMESPACE)?;
        let administrator = store.data_store(Identity::new(USER, None)?, NAMESPACE)?;
        Ok(Self { engine, store, view, administrator })
    }

    pub(crate) fn close(self) -> Result<()> {
        block_on(self.store.close())
    }

    pub(crate) fn cache_stats(&self) -> CacheStats {
        self.engine.cache_stats()
    }

    /// Records `start..start + count`, their values taken from `texts` in turn.
    pub(crate) fn fill(&self, start: u64, count: u64, texts: &[&str]) -> Result<()> {
        let values: Vec<Json> = texts.iter().map(|text| self.json(text)).collect::<Result<_>>()?;
        for first in (start..start + count).step_by(FILLED_AT_ONCE as usize) {
            let numbers = first..(first + FILLED_AT_ONCE).min(start + count);
            let value = |number: u64| values[(number % values.len() as u64) as usize].clone();
            let items = numbers.map(|number| (key(number), value(number))).collect();
            block_on(self.view.set_many(items, None, None))?;
        }
        Ok(())
    }

    /// Runs of reads and runs of writes are timed by themselves.
    pub(crate) fn time(&self, calls: Vec<Call<'_>>, way: Way) -> Result<Spent> {
        let mut spent = Spent::default();
        for run in calls.chunk_by(|one, next| matches!((one, next), (Call::Get(_), Call::Get(_)))) {
            match run {
                [Call::Set(key, text)] => {
                    let value = self.json(text)?;
                    let started = Instant::now();
                    block_on(self.view.set(key, value, SetOptions::default()))?;
                    spent.writing += started.elapsed();
                }
                reads => {
                    let keys: Vec<&str> = reads.iter().map(|call| call.key()).collect();
                    let started = Instant::now();
                    let found = match way {
                        Way::Agent => last(&keys, |key| block_on(self.view.get(key)))?,
                        Way::Administrator => last(&keys, |key| block_on(self.administrator.get(key)))?,
                        Way::Cache => last(&keys, |key| Ok(self.engine.peek(USER, NAMESPACE, key)))?
                            .flatten()
                            .and_then(|row| row.value),
                    };
                    spent.reading += started.elapsed();
                    spent.found = found.map_or(0, |value| value.len());
                }
            }
        }
        Ok(spent)
    }

    /// Reads a second that threads make together, each of its own keys again and again.
    pub(crate) fn read_on(&self, keys: &[Vec<&str>], during: Duration) -> Result<f64, Error> {
        let start = Barrier::new(keys.len());
        let read = |keys: &[&str]| -> Result<f64> {
            let mut keys = keys.iter().cycle();
            start.wait();
            let started = Instant::now();
            let mut reads = 0;
            loop {
                for key in keys.by_ref().take(READS_AT_ONCE) {
                    black_box(block_on(self.view.get(key))?);
                }
                reads += READS_AT_ONCE;
                let elapsed = started.elapsed();
                if elapsed >= during {
                    return Ok(reads as f64 / elapsed.as_secs_f64());
                }
            }
        };
        std::thread::scope(|scope| {
            let read = &read;
            let running: Vec<_> = keys.iter().map(|keys| scope.spawn(move || read(keys))).collect();
            let rate = |thread: ScopedJoinHandle<'_, Result<f64>>| -> Result<f64, Error> {
                Ok(thread.join().map_err(|_| "a reading thread has panicked")??)
            };
            running.into_iter().map(rate).sum()
        })
    }

    /// Records `start..start + count`, each twice in a row, since the cache keeps what is asked for again, and all
    /// uncounted: what is kept of them is then the cache's alone.
    pub(crate) fn read_twice(&self, start: u64, count: u64) -> Result<()> {
        for number in start..start + count {
            for _ in 0..2 {
                black_box(block_on(self.administrator.get(&key(number)))?);
            }
        }
        Ok(())
    }

    fn json(&self, text: &str) -> Result<Json> {
        Json::parse(text, self.store.limits())
    }
}

impl<'a> Call<'a> {
    fn key(&self) -> &'a str {
        match self {
            Call::Get(key) | Call::Set(key, _) => key,
        }
    }
}

/// What the last of all keys gives.
#[inline]
fn last<T>(keys: &[&str], read: impl Fn(&str) -> Result<Option<T>>) -> Result<Option<T>> {
    let mut found = None;
    for key in keys {
        found = black_box(read(key)?);
    }
    Ok(found)
}

/// As in `data.py`.
fn key(number: u64) -> String {
    format!("project:{:06}:file:{:02}", number / 100, number % 100)
}
