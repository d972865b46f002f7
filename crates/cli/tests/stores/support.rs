//! Stores with everything in them, and whether two hold the same.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use agent_data_store::model::{NamespaceStats, PageSize, Range, Row, Version, View};
use agent_data_store::{DataStore, Identity, Json, Limits, Options, SetOptions, Store, block_on, sqlite_url};
use serde_json::Value;
use tempfile::TempDir;

/// Names that an engine or a file could take for something else.
pub(crate) const NAMES: [&str; 8] =
    ["plain", "a:b", "a/../b", "100%25", "🦀 crab", "שלום", "' OR 1=1 --", "line\nbreak"];

/// A folder for files, and the program.
pub(crate) struct Ads {
    folder: TempDir,
}

impl Ads {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn url(&self, name: &str) -> String {
        sqlite_url(&self.path(name))
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ads"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AGENT_DATA_STORE_"))
        {
            command.env_remove(name);
        }
        command.env("HOME", self.folder.path()).args(args).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Done {
        Done::of(&self.command(args).output().expect("ads runs"))
    }

    /// Expects success; what it printed, as JSON.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let done = self.run(&[&["--json"], args].concat());
        assert_eq!(done.code, Some(0), "{args:?}: {done:?}");
        serde_json::from_str(&done.out).expect("JSON")
    }

    pub(crate) fn fails(&self, code: i32, args: &[&str]) -> String {
        let done = self.run(args);
        assert_eq!(done.code, Some(code), "{args:?}: {done:?}");
        done.err
    }
}

#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

pub(crate) fn open(url: &str) -> Store {
    let mut options = Options::default();
    options.housekeeping = false;
    block_on(Store::open(url, options)).expect("the store opens")
}

pub(crate) fn close(store: Store) {
    block_on(store.close()).expect("close");
}

pub(crate) fn view(store: &Store, user: &str, agent: Option<&str>, namespace: &str) -> DataStore {
    store.data_store(Identity::new(user, agent).unwrap(), namespace).unwrap()
}

pub(crate) fn json(text: &str) -> Json {
    Json::parse(text, &Limits::default()).unwrap()
}

pub(crate) fn set(view: &DataStore, key: &str, value: &str) -> Version {
    block_on(view.set(key, json(value), SetOptions::default())).expect("set")
}

/// Writes records of every kind.
pub(crate) fn fill(url: &str) {
    let store = open(url);
    for (index, user) in NAMES.iter().enumerate() {
        for namespace in NAMES.iter().take(index + 1) {
            let view = view(&store, user, Some("writer 🦀"), namespace);
            for key in NAMES {
                set(
                    &view,
                    key,
                    &format!("{{\"n\": [{index}, 1e2, 123456789012345678901234567890], \"{}\": null}}", "ü"),
                );
            }
        }
        let view = view(&store, user, Some("second"), "mixed");
        set(&view, "large", &format!("\"{}\"", "é".repeat(700_000)));
        for _ in 0..3 {
            set(&view, "written often", "[]");
        }
        let options = SetOptions {
            ttl: Some(Duration::from_secs(3_600)),
            metadata: Some(json("{\"a\":{\"b\":1}}")),
            ..SetOptions::default()
        };
        block_on(view.set("expires", json("1"), options)).expect("set");
        let soon = SetOptions { ttl: Some(Duration::from_micros(1)), ..SetOptions::default() };
        block_on(view.set("is over", json("1"), soon)).expect("set");
        for _ in 0..=index {
            block_on(view.get("large")).expect("get");
        }
        set(&view, "deleted", "1");
        block_on(view.delete("deleted")).expect("delete");
        let cleared = view.use_namespace("cleared").unwrap();
        set(&cleared, "a", "1");
        block_on(cleared.clear()).expect("clear");
        set(&view.use_namespace("nobody").unwrap(), "a", "1");
    }
    let gone = view(&store, "had records once", None, "n");
    set(&gone, "a", "1");
    block_on(gone.delete("a")).expect("delete");
    close(store);
}

/// A namespace and its records.
pub(crate) type Space = (NamespaceStats, Vec<Row>);

/// Everything that a store holds of the users, those of the store itself included: the last version of each, and each
/// namespace with its records.
pub(crate) fn everything(url: &str) -> Vec<(String, Version, Vec<Space>)> {
    let store = open(url);
    let engine = store.engine();
    let users = block_on(engine.users(Range::default(), PageSize::ALL)).expect("users").rows;
    let users = users.iter().filter(|user| &***user != "ads:copy").map(|user| {
        let spaces = block_on(engine.namespaces(user, Range::default(), PageSize::ALL)).expect("namespaces").rows;
        let with_records = |stats: NamespaceStats| {
            let page = engine.scan(user, &stats.namespace, Range::default(), View::Record, PageSize::ALL);
            let rows = block_on(page).expect("scan").rows;
            (stats, rows)
        };
        let last = block_on(engine.changes(user, 0, 0)).expect("changes").last;
        (user.to_string(), last, spaces.into_iter().map(with_records).collect())
    });
    let users = users.collect();
    close(store);
    users
}

#[track_caller]
pub(crate) fn assert_same(one: &str, other: &str) {
    let (one, other) = (everything(one), everything(other));
    assert_eq!(one.len(), other.len(), "users");
    for (one, other) in one.iter().zip(&other) {
        assert_eq!((&one.0, one.1), (&other.0, other.1));
        for ((stats, rows), (other_stats, other_rows)) in one.2.iter().zip(&other.2) {
            assert_eq!(stats, other_stats, "user {}", one.0);
            assert!(rows == other_rows, "records in {:?} of {:?} differ", stats.namespace, one.0);
        }
        assert_eq!(one.2.len(), other.2.len(), "namespaces of {}", one.0);
    }
}

/// What a store's file and log take.
pub(crate) fn size_of(path: &Path) -> u64 {
    let with = |ending: &str| std::path::PathBuf::from(format!("{}{ending}", path.display()));
    ["", "-wal"].iter().map(|ending| std::fs::metadata(with(ending)).map_or(0, |file| file.len())).sum()
}
