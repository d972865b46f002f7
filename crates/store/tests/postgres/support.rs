//! Stores on a database, writers that count what was acknowledged, and sessions that are in the way.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use agent_data_store::{DataStore, Identity, Json, Limits, Options, Result, SetOptions, Store, block_on};
use agent_data_store_testing::postgres::{Cluster, query, try_query};

/// How long anything may take that has to come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

const URL: &str = "ADS_TEST_WORKER_URL";

pub(crate) fn url_of_worker() -> Option<String> {
    std::env::var(URL).ok()
}

/// This program, set to open the store at `url`.
pub(crate) fn start_worker(url: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.args(["--exact", "worker", "--nocapture", "--quiet"]).env(URL, url).stdin(Stdio::null());
    command.stdout(Stdio::null()).spawn().expect("a worker starts")
}

pub(crate) fn try_open(url: &str) -> Result<Store> {
    let mut options = Options::default();
    options.housekeeping = false;
    block_on(Store::open(url, options))
}

pub(crate) fn open(url: &str) -> Store {
    try_open(url).expect("the store opens")
}

pub(crate) fn view(store: &Store) -> DataStore {
    store.data_store(Identity::new("user", Some("tester")).unwrap(), "default").unwrap()
}

pub(crate) fn json(text: &str) -> Json {
    Json::parse(text, &Limits::default()).unwrap()
}

pub(crate) fn set(view: &DataStore, key: &str, value: &str) -> Result<u64> {
    block_on(view.set(key, json(value), SetOptions::default()))
}

pub(crate) fn number(view: &DataStore, key: &str) -> u64 {
    block_on(view.get(key)).expect("get").map_or(0, |value| value.as_str().parse().expect("a number"))
}

/// Waits for what has to come.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < until, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Threads that count, each in a record of its own and all in one, until they are told to stop.
pub(crate) struct Counting {
    threads: Vec<JoinHandle<Counted>>,
    stop: Arc<AtomicBool>,
}

/// What one of them was told.
pub(crate) struct Counted {
    pub(crate) acknowledged: u64,
    pub(crate) longest: Duration,
}

impl Counting {
    pub(crate) fn begin(store: &Store, threads: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let begin = |index: usize| {
            let (view, stop) = (view(store), Arc::clone(&stop));
            thread::spawn(move || {
                let mut counted = Counted { acknowledged: 0, longest: Duration::ZERO };
                while !stop.load(Ordering::SeqCst) {
                    let began = Instant::now();
                    for key in [&*format!("of {index}"), "of all"] {
                        block_on(view.increment(key, json("1"), None)).expect("no call fails");
                    }
                    counted.acknowledged += 1;
                    counted.longest = counted.longest.max(began.elapsed());
                }
                counted
            })
        };
        Self { threads: (0..threads).map(begin).collect(), stop: Arc::clone(&stop) }
    }

    /// Stops them, and sees that each of their writes was applied once, in the records and in the change feed. Returns how
    /// many there were, and the longest time that two of them took.
    pub(crate) fn end(self, view: &DataStore) -> (u64, Duration) {
        self.stop.store(true, Ordering::SeqCst);
        let counted: Vec<Counted> = self.threads.into_iter().map(|thread| thread.join().expect("a thread")).collect();
        for (index, counted) in counted.iter().enumerate() {
            assert_eq!(number(view, &format!("of {index}")), counted.acknowledged);
        }
        let sum: u64 = counted.iter().map(|counted| counted.acknowledged).sum();
        assert_eq!(number(view, "of all"), sum);
        let changes = block_on(view.changes(0, usize::MAX)).expect("changes").changes;
        assert_eq!(changes.len() as u64, 2 * sum);
        (sum, counted.iter().map(|counted| counted.longest).max().unwrap_or_default())
    }
}

/// A session that has locked a record, until it is dropped.
pub(crate) struct InTheWay<'c> {
    cluster: &'c Cluster,
    session: Option<JoinHandle<()>>,
}

const SLEEPING: &str = "FROM pg_stat_activity WHERE wait_event = 'PgSleep'";

impl<'c> InTheWay<'c> {
    pub(crate) fn of(cluster: &'c Cluster, key: &str) -> Self {
        let (url, table) = (cluster.url(""), "agent_data_store.records");
        let lock = format!("BEGIN; SELECT 1 FROM {table} WHERE key = '{key}' FOR UPDATE; SELECT pg_sleep(60)");
        // Ends with an error, as it is cut off.
        let session = thread::spawn(move || drop(try_query(&url, &lock)));
        wait_until("the record is not locked", || !query(&cluster.url(""), &format!("SELECT 1 {SLEEPING}")).is_empty());
        Self { cluster, session: Some(session) }
    }
}

impl Drop for InTheWay<'_> {
    fn drop(&mut self) {
        query(&self.cluster.url(""), &format!("SELECT pg_terminate_backend(pid) {SLEEPING}"));
        let _ = self.session.take().map(JoinHandle::join);
    }
}
