//! `kill -9` under a writer, again and again on one file.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;

use agent_data_store::{DataStore, RequestId, Store, block_on};

use crate::support::{check_file, json, open, set, start, view};

const ROUNDS: u64 = 50;
const NAMESPACES: [&str; 2] = ["a", "b"];

type Model = BTreeMap<(&'static str, String), String>;

/// The `n`-th operation: the same for the worker, which does it to the store, and the parent, which does it to a model.
enum Operation {
    Set(String, String),
    Delete(String),
    SetMany(Vec<(String, String)>),
    Clear,
}

fn operation(n: u64) -> (&'static str, Operation) {
    let mut random = fastrand::Rng::with_seed(n);
    let namespace = NAMESPACES[random.usize(..NAMESPACES.len())];
    let key = |random: &mut fastrand::Rng| format!("k{}", random.u64(..40));
    let value = |random: &mut fastrand::Rng| format!("\"{n}{}\"", "x".repeat(random.usize(..6_000)));
    let operation = match random.u64(..100) {
        0..60 => Operation::Set(key(&mut random), value(&mut random)),
        60..80 => Operation::Delete(key(&mut random)),
        80..98 => {
            let items: BTreeMap<_, _> =
                (0..random.usize(1..30)).map(|_| (key(&mut random), value(&mut random))).collect();
            Operation::SetMany(items.into_iter().collect())
        }
        _ => Operation::Clear,
    };
    (namespace, operation)
}

fn apply_to_model(model: &mut Model, n: u64) {
    let (namespace, operation) = operation(n);
    match operation {
        Operation::Set(key, value) => drop(model.insert((namespace, key), value)),
        Operation::Delete(key) => drop(model.remove(&(namespace, key))),
        Operation::SetMany(items) => model.extend(items.into_iter().map(|(key, value)| ((namespace, key), value))),
        Operation::Clear => model.retain(|(other, _), _| *other != namespace),
    }
}

fn apply_to_store(views: &[DataStore; 2], n: u64) -> agent_data_store::Result<()> {
    let (namespace, operation) = operation(n);
    let data_store = views.iter().find(|view| view.namespace() == namespace).expect("a known namespace");
    match operation {
        Operation::Set(key, value) => set(data_store, &key, &value).map(drop),
        Operation::Delete(key) => block_on(data_store.delete(&key)).map(drop),
        Operation::SetMany(items) => {
            let items = items.into_iter().map(|(key, value)| (key, json(&value))).collect();
            block_on(data_store.set_many(items, None, None)).map(drop)
        }
        Operation::Clear => block_on(data_store.clear()).map(drop),
    }
}

/// Does one operation after the other and says each that was acknowledged. Ends only by being killed.
pub(crate) fn work(path: &Path) {
    let store = open(path);
    let views = NAMESPACES.map(|namespace| view(&store, namespace));
    let done = block_on(view(&store, "progress").get("n")).unwrap();
    let first = done.map_or(0, |n| n.as_str().parse().expect("a number"));
    let mut out = std::io::stdout().lock();
    for n in first.. {
        apply_to_store(&views, n).expect("a write");
        writeln!(out, "\nacknowledged={n}").unwrap();
        out.flush().unwrap();
    }
}

/// The `n`-th request; returns the counter after it.
fn request(store: &Store, n: u64) -> u64 {
    let view = view(store, "requests").with_request(RequestId::new(&n.to_string()).unwrap());
    block_on(view.increment("counter", json("1"), None)).unwrap().as_str().parse().expect("a number")
}

/// Makes one request after the other and says each that was acknowledged. Ends only by being killed.
pub(crate) fn work_on_requests(path: &Path) {
    let store = open(path);
    let made = block_on(view(&store, "requests").get("counter")).unwrap();
    let first = made.map_or(0, |n| n.as_str().parse().expect("a number"));
    let mut out = std::io::stdout().lock();
    for n in first.. {
        request(&store, n);
        writeln!(out, "\nacknowledged={n}").unwrap();
        out.flush().unwrap();
    }
}

/// Runs the worker `part` until it has acknowledged something, kills it, and returns the last that it had acknowledged.
fn work_and_kill(part: &str, path: &Path) -> Option<u64> {
    let mut worker = start(part, path);
    let lines = BufReader::new(worker.stdout.take().expect("piped")).lines();
    let mut acknowledged = lines
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("acknowledged=").map(|n| n.parse::<u64>().unwrap()));
    let patience = fastrand::usize(1..200);
    let mut last = None;
    for n in acknowledged.by_ref().take(patience) {
        last = Some(n);
    }
    worker.kill().unwrap();
    worker.wait().unwrap();
    // What it had said before it died counts as well.
    acknowledged.last().or(last)
}

fn contents(store: &Store) -> Model {
    let records = |namespace| block_on(view(store, namespace).get_all()).unwrap();
    NAMESPACES
        .into_iter()
        .flat_map(|namespace| {
            records(namespace)
                .into_iter()
                .map(move |(key, value)| ((namespace, key.into_string()), value.as_str().to_owned()))
        })
        .collect()
}

#[test]
fn every_acknowledged_write_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(open(&path));
    let mut model = Model::new();
    let mut next = 0;
    for round in 0..ROUNDS {
        let acknowledged = work_and_kill("crash", &path).map_or(next, |n| n + 1);
        assert!(acknowledged > next, "round {round}: the worker got nothing done");
        (next..acknowledged).for_each(|n| apply_to_model(&mut model, n));
        next = acknowledged;

        let store = open(&path);
        let found = contents(&store);
        if found != model {
            // The operation under way may have been committed and not said.
            apply_to_model(&mut model, next);
            next += 1;
            assert!(found == model, "round {round}: the store holds neither {acknowledged} operations nor one more");
        }
        set(&view(&store, "progress"), "n", &next.to_string()).unwrap();
        if round % 2 == 0 {
            while block_on(store.maintain()).unwrap() {}
        }
        drop(store);
        check_file(&path);
    }
    println!("{ROUNDS} rounds, {next} acknowledged operations, none lost");
}

#[test]
fn a_request_that_is_repeated_after_kill_9_was_applied_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(open(&path));
    for round in 0..ROUNDS / 3 {
        let last = work_and_kill("requests", &path).expect("the worker got something done");
        let store = open(&path);
        // The last one that was acknowledged, and the one under way, of which nobody knows: neither counts twice.
        for n in [last, last + 1, last, last + 1] {
            assert_eq!(request(&store, n), n + 1, "round {round}");
        }
        let counter = block_on(view(&store, "requests").get("counter")).unwrap().expect("a number");
        assert_eq!(counter.as_str(), (last + 2).to_string(), "round {round}");
        drop(store);
        check_file(&path);
    }
}
