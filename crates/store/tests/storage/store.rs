//! A store on a file, opened and looked into from all sides.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use agent_data_store_testing::sqlite::check as check_file;

use agent_data_store::model::{Address, Batch, ChangeKind, Outcome, PageSize, Range, Version, View, Write};
use agent_data_store::{Clock, ManualClock, Options, Result, Store, block_on, sqlite_url};

use crate::script::{Contents, KEYS, NAMESPACES};

const USER: &str = "user";
const AGENT: &str = "tester";

/// Where a store is, and how it is opened.
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) durability: &'static str,
    pub(crate) clock: Arc<ManualClock>,
}

/// All that can be seen of a store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) contents: Contents,
    pub(crate) versions: BTreeMap<(String, String), Version>,
    /// The newest position of the change feed.
    pub(crate) last: Version,
}

impl Place {
    pub(crate) fn open(&self) -> Result<Store> {
        let mut options = Options::default();
        options.clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        options.housekeeping = false;
        let url = format!("{}?durability={}", sqlite_url(&self.path), self.durability);
        block_on(Store::open(&url, options))
    }

    /// Does what the engine's own thread does when the log has grown; whether it could.
    pub(crate) fn checkpoint(&self) -> rusqlite::Result<()> {
        let connection = rusqlite::Connection::open(&self.path)?;
        connection.execute_batch("PRAGMA synchronous = FULL")?;
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()))?;
        connection.query_row("PRAGMA wal_checkpoint(RESTART)", (), |_| Ok(()))
    }
}

pub(crate) fn write(store: &Store, writes: &[Write]) -> Result<Vec<Outcome>> {
    let batch =
        Batch { user: USER.into(), agent: Some(AGENT.into()), writes: writes.to_vec(), request: None, quota: None };
    block_on(store.engine().write(batch))
}

pub(crate) fn clear(store: &Store, namespace: &str) -> Result<u64> {
    block_on(store.engine().clear(USER, Some(AGENT), namespace, None))
}

/// Looks at every record by scanning, by its name, and in the cache, and at the counts and the change feed: all must agree.
pub(crate) fn see(store: &Store) -> Result<Seen> {
    let engine = store.engine();
    let mut seen = Seen { contents: BTreeMap::new(), versions: BTreeMap::new(), last: 0 };
    let mut counts = BTreeMap::new();
    for namespace in NAMESPACES {
        let page = block_on(engine.scan(USER, namespace, Range::default(), View::Value, PageSize::ALL))?;
        for row in page.rows {
            let value = row.value.expect("asked for");
            let (records, bytes) = counts.entry(namespace.to_owned()).or_insert((0, 0));
            *records += 1;
            *bytes += (row.key.len() + value.len()) as u64;
            let names = (namespace.to_owned(), row.key.into_string());
            seen.versions.insert(names.clone(), row.version);
            seen.contents.insert(names, value.as_str().to_owned());
        }
        let addresses = KEYS.map(|key| Address { namespace: namespace.into(), key: key.into() });
        let many = block_on(engine.read(USER, &addresses, View::Value))?;
        for (key, of_many) in KEYS.into_iter().zip(many) {
            let names = (namespace.to_owned(), key.to_owned());
            let scanned = seen.contents.get(&names);
            let at_hand = engine.peek(USER, namespace, key);
            let read = block_on(engine.read_one(USER, namespace, key, View::Value))?;
            for row in [Some(of_many), at_hand, Some(read)].into_iter().flatten() {
                let value = row.as_ref().map(|row| row.value.as_ref().expect("asked for").as_str());
                assert_eq!(value, scanned.map(String::as_str), "{names:?}, by its name and by scanning");
                assert_eq!(row.map(|row| row.version), seen.versions.get(&names).copied(), "{names:?}");
            }
        }
    }
    let stats = block_on(engine.namespaces(USER, Range::default(), PageSize::ALL))?.rows;
    assert!(stats.iter().all(|stats| *stats.agents == [AGENT.into()]), "{stats:?}");
    let stats: BTreeMap<_, _> =
        stats.into_iter().map(|stats| (stats.namespace.into_string(), (stats.records, stats.bytes))).collect();
    assert_eq!(stats, counts, "the counts are those of the records");

    let changes = block_on(engine.changes(USER, 0, usize::MAX))?;
    assert!(changes.changes.is_sorted_by(|left, right| left.version < right.version));
    assert_eq!(changes.last, changes.changes.last().map_or(0, |change| change.version));
    seen.last = changes.last;
    for (names, version) in &seen.versions {
        let written = changes.changes.iter().any(|change| {
            let there = (&*change.namespace, change.key.as_deref()) == (names.0.as_str(), Some(names.1.as_str()));
            there && change.version == *version && change.kind == ChangeKind::Set
        });
        assert!(written, "version {version} of {names:?} is in the feed");
    }
    Ok(seen)
}
