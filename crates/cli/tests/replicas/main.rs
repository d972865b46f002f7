//! Two servers, each a process of its own, and two programs without a server, all on one database: nobody but the database
//! knows of all four, and everything that is promised holds among them.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod together;

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use agent_data_store::{
    ClaimOptions, DataStore, ErrorKind, Identity, Json, Limits, LockOptions, Options, Quota, RequestId, Result,
    SetOptions, Store, block_on,
};
use agent_data_store_testing::postgres::{Database, Schema};

const ROUNDS: usize = 20;
const LONG: Duration = Duration::from_secs(60);

/// Not a test of its own: the entry of worker processes.
#[test]
fn worker() {
    agent_data_store_testing::together::work();
}

/// A process that serves the database; ends with the test.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(store: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ads"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--json", "--store", store]);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("ads starts");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("a line");
        let said: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        Self { child, url: said["url"].as_str().expect("a URL").to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everyone who uses the store.
struct Everyone {
    stores: Vec<Store>,
    _servers: [Server; 2],
    _schema: Schema,
    _database: Database,
}

impl Everyone {
    fn meet() -> Option<Self> {
        let database = Database::find()?;
        let schema = database.schema("pool_size=8");
        let servers = [Server::start(&schema.url), Server::start(&schema.url)];
        let urls = [&servers[0].url, &schema.url, &servers[1].url, &schema.url];
        let open = |url: &String| block_on(Store::open(url, Options::default())).expect("the store opens");
        Some(Self { stores: urls.map(open).into(), _servers: servers, _schema: schema, _database: database })
    }

    fn views(&self) -> Vec<DataStore> {
        let view = |(index, store): (usize, &Store)| {
            let identity = Identity::new("user", Some(&format!("agent {index}"))).unwrap();
            store.data_store(identity, "default").unwrap()
        };
        self.stores.iter().enumerate().map(view).collect()
    }

    /// Has each of them do the same at once.
    fn each<R: Send>(&self, work: impl Fn(usize, DataStore) -> R + Sync) -> Vec<R> {
        thread::scope(|scope| {
            let work = &work;
            let begin = |(index, view)| scope.spawn(move || work(index, view));
            let threads: Vec<_> = self.views().into_iter().enumerate().map(begin).collect();
            threads.into_iter().map(|thread| thread.join().expect("a thread")).collect()
        })
    }
}

fn json(text: &str) -> Json {
    Json::parse(text, &Limits::default()).unwrap()
}

fn set(view: &DataStore, key: &str, value: &str) -> u64 {
    block_on(view.set(key, json(value), SetOptions::default())).expect("set")
}

fn number(view: &DataStore, key: &str) -> usize {
    block_on(view.get(key)).expect("get").map_or(0, |value| value.as_str().parse().expect("a number"))
}

#[test]
fn increments_and_transactions_of_all_add_up() {
    let Some(everyone) = Everyone::meet() else { return };
    let views = everyone.views();
    set(&views[0], "a", "1000");
    set(&views[1], "b", "1000");
    everyone.each(|_, view| {
        for _ in 0..ROUNDS {
            block_on(view.increment("n", json("1"), None)).expect("increment");
            let moved = view.transact(
                async |tx| -> Result<()> {
                    for (key, change) in [("a", -1i64), ("b", 1)] {
                        let balance: i64 = tx.get(key).await?.expect("an account").as_str().parse().unwrap();
                        tx.set(key, json(&(balance + change).to_string()), SetOptions::default())?;
                    }
                    Ok(())
                },
                |error| error.kind() == ErrorKind::Conflict,
            );
            block_on(moved).expect("a transfer");
        }
    });
    let moved = 4 * ROUNDS;
    for view in &views {
        assert_eq!((number(view, "n"), number(view, "a"), number(view, "b")), (moved, 1000 - moved, 1000 + moved));
    }
}

#[test]
fn a_request_is_applied_once_whoever_gets_it() {
    let Some(everyone) = Everyone::meet() else { return };
    for round in 0..ROUNDS {
        let results = everyone.each(|index, _| {
            // Of the same agent, as it is the same request.
            let identity = Identity::new("user", Some("one")).unwrap();
            let view = everyone.stores[index].data_store(identity, "default").unwrap();
            let view = view.with_request(RequestId::new(&format!("request {round}")).unwrap());
            block_on(view.increment("n", json("1"), None)).expect("increment").to_string()
        });
        assert!(results.iter().all(|result| *result == (round + 1).to_string()), "{results:?}");
    }
}

#[test]
fn a_lock_has_one_holder_and_its_tokens_rise() {
    let Some(everyone) = Everyone::meet() else { return };
    let tokens = everyone.each(|_, view| {
        let mut tokens = Vec::new();
        for _ in 0..ROUNDS / 2 {
            let options = LockOptions { wait: LONG, ..LockOptions::default() };
            let lease = block_on(view.lock("counter", options)).expect("lock");
            // Read and written apart: only the lock keeps the others away.
            let counted = number(&view, "n") + 1;
            set(&view, "n", &counted.to_string());
            tokens.push((counted, lease.token()));
            block_on(lease.release()).expect("release");
        }
        tokens
    });
    let mut tokens: Vec<_> = tokens.into_iter().flatten().collect();
    tokens.sort_unstable();
    let counted: Vec<usize> = tokens.iter().map(|(counted, _)| *counted).collect();
    assert_eq!(counted, (1..=4 * (ROUNDS / 2)).collect::<Vec<_>>());
    assert!(tokens.is_sorted_by(|left, right| left.1 < right.1), "{tokens:?}");
}

#[test]
fn each_task_goes_to_one_of_all() {
    let Some(everyone) = Everyone::meet() else { return };
    let items = (0..60).map(|index| (format!("task:{index:02}"), json("1"))).collect();
    block_on(everyone.views()[0].set_many(items, None, None)).expect("set_many");
    let done = everyone.each(|_, view| {
        let mut done = Vec::new();
        while let Some(claim) = block_on(view.claim("task:", ClaimOptions::new(LONG))).expect("claim") {
            done.push(claim.key().to_owned());
            block_on(claim.complete(None)).expect("complete");
        }
        done
    });
    let done: Vec<String> = done.into_iter().flatten().collect();
    assert_eq!((done.len(), done.iter().collect::<HashSet<_>>().len()), (60, 60));
}

#[test]
fn a_quota_holds_for_all_together() {
    let Some(everyone) = Everyone::meet() else { return };
    // Servers take quotas from tokens; these two are without one.
    let direct = [everyone.views()[1].clone(), everyone.views()[3].clone()];
    let within = Quota { records: Some(25), bytes: None };
    let written: usize = thread::scope(|scope| {
        let fill = |(index, view): (usize, &DataStore)| {
            let view = view.clone().with_quota(within);
            scope.spawn(move || {
                let set = |round| block_on(view.set(&format!("{index} {round}"), json("1"), SetOptions::default()));
                (0..30).filter(|round| set(*round).is_ok()).count()
            })
        };
        let threads: Vec<_> = direct.iter().enumerate().map(fill).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).sum()
    });
    assert_eq!((written, block_on(direct[0].count("")).expect("count")), (25, 25));
}

#[test]
fn whoever_waits_or_follows_hears_of_everyones_changes_once() {
    let Some(everyone) = Everyone::meet() else { return };
    let met = everyone.each(|index, view| {
        if index % 2 == 0 {
            let mut versions = Vec::new();
            for round in 0..ROUNDS {
                versions.push(set(&view, &format!("{index} {round}"), "1"));
            }
            let next = format!("{} 0", (index + 2) % 4);
            let found = block_on(view.wait_for(&next, LONG, None, async |_| Ok(true))).expect("wait_for");
            assert!(found.is_some(), "the other one has written {next}");
            return versions;
        }
        let mut follower = view.follow("", 0);
        let next = |_| block_on(follower.next(LONG)).expect("next").expect("a change").version;
        (0..2 * ROUNDS).map(next).collect()
    });
    let mut written = [met[0].clone(), met[2].clone()].concat();
    written.sort_unstable();
    assert_eq!(met[1], written);
    assert_eq!(met[3], written);
}
