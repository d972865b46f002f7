//! The embedded engines against a `BTreeMap`: any sequence of operations, any time between them.
#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent_data_store::{
    AppendOptions, DataStore, ErrorKind, Identity, Json, ManualClock, Options, SetOptions, Store, block_on, sqlite_url,
};
use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;

const KEYS: [&str; 6] = ["a", "a/records/b", "ab", "b", "é", "\u{10ffff}"];
const NAMESPACES: [&str; 3] = ["n", "n:a", "n/records"];
const PREFIXES: [&str; 5] = ["", "a", "a/", "é", "\u{10ffff}"];

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Place {
    namespace: u8,
    key: u8,
}

#[derive(Arbitrary, Clone, Debug)]
enum Op {
    Set { place: Place, value: i8, ttl: Option<u8>, only_if: Option<Guess> },
    SetList { place: Place, length: u8 },
    Get { place: Place },
    Delete { place: Place },
    DeleteMany { namespace: u8, keys: Vec<u8> },
    SetMany { namespace: u8, keys: Vec<u8>, value: i8 },
    Increment { place: Place, by: i8 },
    Append { place: Place, items: Vec<i8>, unique: bool, max_length: Option<u8> },
    Expire { place: Place, ttl: Option<u8> },
    Clear { namespace: u8 },
    List { namespace: u8, prefix: u8 },
    GetAll { namespace: u8 },
    Namespaces,
    Maintain,
    Wait { seconds: u8 },
    Reopen,
}

/// What a writer takes for the record's version.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Guess {
    Right,
    Absent,
    Wrong,
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Number(i64),
    List(Vec<i64>),
}

impl Value {
    fn json(&self) -> Json {
        Json::from_trusted(match self {
            Self::Number(number) => number.to_string(),
            Self::List(items) => format!("[{}]", items.iter().map(i64::to_string).collect::<Vec<_>>().join(",")),
        })
    }
}

#[derive(Clone, Debug)]
struct Kept {
    value: Value,
    version: u64,
    /// In seconds of the model's own time.
    until: Option<u64>,
}

#[derive(Default)]
struct Model {
    records: BTreeMap<(&'static str, &'static str), Kept>,
    now: u64,
    newest: u64,
}

impl Model {
    fn live(&self, place: (&'static str, &'static str)) -> Option<&Kept> {
        self.records.get(&place).filter(|kept| kept.until.is_none_or(|until| until > self.now))
    }

    fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = (&'static str, &Kept)> {
        let now = self.now;
        let live = move |kept: &Kept| kept.until.is_none_or(|until| until > now);
        let records = self.records.iter().filter(move |((here, _), kept)| *here == namespace && live(kept));
        records.map(|((_, key), kept)| (*key, kept))
    }

    /// Keeps a value under a version that must be larger than all before it in this place.
    fn put(&mut self, place: (&'static str, &'static str), value: Value, version: u64, until: Option<u64>) {
        assert!(version > self.newest, "version {version} after {}", self.newest);
        self.newest = version;
        self.records.insert(place, Kept { value, version, until });
    }
}

fuzz_target!(|ops: Vec<Op>| {
    run("memory:", &ops, false);
    let folder = tempfile::tempdir().expect("a temporary folder");
    run(&format!("{}?durability=relaxed", sqlite_url(&folder.path().join("store.db"))), &ops, true);
});

fn run(url: &str, ops: &[Op], reopens: bool) {
    let clock: Arc<ManualClock> = Arc::default();
    let open = || {
        let mut options = Options::default();
        options.clock = Arc::<ManualClock>::clone(&clock);
        options.housekeeping = false;
        block_on(Store::open(url, options)).expect("the store opens")
    };
    let mut store = open();
    let mut model = Model::default();
    for op in ops.iter().take(64) {
        match op {
            Op::Wait { seconds } => {
                clock.advance(Duration::from_secs(u64::from(*seconds)));
                model.now += u64::from(*seconds);
            }
            Op::Reopen if reopens => {
                block_on(store.close()).expect("the store closes");
                store = open();
            }
            Op::Reopen => {}
            Op::Maintain => drop(block_on(store.maintain()).expect("it is tidied")),
            op => step(&store, &mut model, op),
        }
    }
    for namespace in NAMESPACES {
        let view = view(&store, namespace);
        let expected: Vec<_> =
            model.in_namespace(namespace).map(|(key, kept)| (key.into(), kept.value.json())).collect();
        assert_eq!(block_on(view.get_all()).expect("a read"), expected);
    }
    block_on(store.close()).expect("the store closes");
}

fn view(store: &Store, namespace: &str) -> DataStore {
    store.data_store(Identity::new("alice", Some("fuzzer")).expect("a name"), namespace).expect("a name")
}

fn pick<T: Copy>(from: &[T], index: u8) -> T {
    from[usize::from(index) % from.len()]
}

fn step(store: &Store, model: &mut Model, op: &Op) {
    let at = |place: &Place| (pick(&NAMESPACES, place.namespace), pick(&KEYS, place.key));
    let duration = |ttl: &u8| Duration::from_secs(u64::from(*ttl) + 1);
    let until = |model: &Model, ttl: &Option<u8>| ttl.map(|ttl| model.now + u64::from(ttl) + 1);
    match op {
        Op::Set { place, value, ttl, only_if } => {
            let place = at(place);
            let version = model.live(place).map_or(0, |kept| kept.version);
            let if_version = only_if.map(|guess| match guess {
                Guess::Right => version,
                Guess::Absent => 0,
                Guess::Wrong => version + 1,
            });
            let value = Value::Number(i64::from(*value));
            let options = SetOptions { metadata: None, ttl: ttl.as_ref().map(duration), if_version };
            match block_on(view(store, place.0).set(place.1, value.json(), options)) {
                Ok(written) => {
                    assert!(if_version.is_none_or(|expected| expected == version), "written over another version");
                    let until = until(model, ttl);
                    model.put(place, value, written, until);
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                    assert!(if_version.is_some_and(|expected| expected != version), "{error}");
                }
            }
        }
        Op::SetList { place, length } => {
            let place = at(place);
            let value = Value::List((0..i64::from(length % 4)).collect());
            let view = view(store, place.0);
            let written = block_on(view.set(place.1, value.json(), SetOptions::default())).expect("a write");
            model.put(place, value, written, None);
        }
        Op::Get { place } => {
            let place = at(place);
            let found = block_on(view(store, place.0).get_record(place.1)).expect("a read");
            let found = found.map(|record| (record.value, record.version));
            assert_eq!(found, model.live(place).map(|kept| (kept.value.json(), kept.version)));
        }
        Op::Delete { place } => {
            let place = at(place);
            let deleted = block_on(view(store, place.0).delete(place.1)).expect("a write");
            assert_eq!(deleted, model.live(place).is_some());
            model.records.remove(&place);
        }
        Op::DeleteMany { namespace, keys } => {
            let namespace = pick(&NAMESPACES, *namespace);
            let keys: Vec<&'static str> = keys.iter().take(8).map(|key| pick(&KEYS, *key)).collect();
            let deleted = block_on(view(store, namespace).delete_many(&keys)).expect("a write");
            let mut live = 0;
            for key in keys {
                live += u64::from(model.live((namespace, key)).is_some());
                model.records.remove(&(namespace, key));
            }
            assert_eq!(deleted, live);
        }
        Op::SetMany { namespace, keys, value } => {
            let namespace = pick(&NAMESPACES, *namespace);
            let value = Value::Number(i64::from(*value));
            let keys: Vec<&'static str> = keys.iter().take(8).map(|key| pick(&KEYS, *key)).collect();
            let items: Vec<_> = keys.iter().map(|key| (*key, value.json())).collect();
            block_on(view(store, namespace).set_many(items, None, None)).expect("a write");
            for key in keys {
                let record = block_on(view(store, namespace).get_record(key)).expect("a read").expect("just written");
                if model.live((namespace, key)).is_none_or(|kept| kept.version != record.version) {
                    model.newest = model.newest.max(record.version);
                    model
                        .records
                        .insert((namespace, key), Kept { value: value.clone(), version: record.version, until: None });
                }
            }
        }
        Op::Increment { place, by } => {
            let place = at(place);
            let by = i64::from(*by);
            let result = block_on(view(store, place.0).increment(place.1, Json::from_trusted(by.to_string()), None));
            let present = model.live(place).cloned();
            match present.as_ref().map(|kept| &kept.value) {
                Some(Value::List(_)) => {
                    assert_eq!(result.expect_err("a list is no number").kind(), ErrorKind::InvalidArgument);
                }
                None => after(store, model, place, Value::Number(by), None, &result.expect("a sum")),
                Some(Value::Number(number)) => {
                    let until = present.as_ref().and_then(|kept| kept.until);
                    after(store, model, place, Value::Number(number + by), until, &result.expect("a sum"));
                }
            }
        }
        Op::Append { place, items, unique, max_length } => {
            let place = at(place);
            let items: Vec<i64> = items.iter().take(8).map(|item| i64::from(item % 4)).collect();
            let options = AppendOptions { unique: *unique, max_length: max_length.map(usize::from), ttl: None };
            let result = block_on(view(store, place.0).extend(place.1, Value::List(items.clone()).json(), options));
            let present = model.live(place).cloned();
            let until = present.as_ref().and_then(|kept| kept.until);
            let mut list = match present.map(|kept| kept.value) {
                Some(Value::Number(_)) => {
                    assert_eq!(result.expect_err("a number is no list").kind(), ErrorKind::InvalidArgument);
                    return;
                }
                Some(Value::List(list)) => list,
                None => Vec::new(),
            };
            for item in items {
                if !unique || !list.contains(&item) {
                    list.push(item);
                }
            }
            let surplus = max_length.map_or(0, |most| list.len().saturating_sub(most.into()));
            let list = list.split_off(surplus);
            let length = Json::from_trusted(result.expect("a length").to_string());
            assert_eq!(length.as_str(), list.len().to_string());
            written(store, model, place, Value::List(list), until);
        }
        Op::Expire { place, ttl } => {
            let place = at(place);
            let was_there =
                block_on(view(store, place.0).expire(place.1, ttl.as_ref().map(duration))).expect("a write");
            let Some(kept) = model.live(place).cloned() else { return assert!(!was_there) };
            assert!(was_there);
            let until = until(model, ttl);
            written(store, model, place, kept.value, until);
        }
        Op::Clear { namespace } => {
            let namespace = pick(&NAMESPACES, *namespace);
            let cleared = block_on(view(store, namespace).clear()).expect("a write");
            assert_eq!(cleared, model.in_namespace(namespace).count() as u64);
            model.records.retain(|(here, _), _| *here != namespace);
        }
        Op::List { namespace, prefix } => {
            let (namespace, prefix) = (pick(&NAMESPACES, *namespace), pick(&PREFIXES, *prefix));
            let expected: Vec<Box<str>> = model
                .in_namespace(namespace)
                .map(|(key, _)| key)
                .filter(|key| key.starts_with(prefix))
                .map(Into::into)
                .collect();
            let view = view(store, namespace);
            assert_eq!(block_on(view.count(prefix)).expect("a count"), expected.len() as u64);
            assert_eq!(block_on(view.list_keys(prefix)).expect("a list"), expected);
        }
        Op::GetAll { namespace } => {
            let namespace = pick(&NAMESPACES, *namespace);
            let expected: Vec<_> =
                model.in_namespace(namespace).map(|(key, kept)| (key.into(), kept.value.json())).collect();
            assert_eq!(block_on(view(store, namespace).get_all()).expect("a read"), expected);
        }
        Op::Namespaces => {
            let stats = block_on(view(store, NAMESPACES[0]).namespaces()).expect("statistics");
            let mut names = NAMESPACES.to_vec();
            names.sort_unstable();
            let expected: Vec<(Box<str>, u64)> = names
                .into_iter()
                .map(|name| (name.into(), model.in_namespace(name).count() as u64))
                .filter(|(_, records)| *records > 0)
                .collect();
            assert_eq!(stats.into_iter().map(|stats| (stats.namespace, stats.records)).collect::<Vec<_>>(), expected);
        }
        Op::Maintain | Op::Wait { .. } | Op::Reopen => {}
    }
}

fn after(
    store: &Store,
    model: &mut Model,
    place: (&'static str, &'static str),
    value: Value,
    until: Option<u64>,
    result: &Json,
) {
    assert_eq!(*result, value.json());
    written(store, model, place, value, until);
}

/// Takes over the version of what was just written.
fn written(store: &Store, model: &mut Model, place: (&'static str, &'static str), value: Value, until: Option<u64>) {
    let record = block_on(view(store, place.0).get_record(place.1)).expect("a read").expect("just written");
    assert_eq!(record.value, value.json());
    model.put(place, value, record.version, until);
}
