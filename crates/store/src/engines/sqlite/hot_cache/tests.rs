//! What needs two threads at the same moment, one step after the other.

use rusqlite::Connection;
use tempfile::TempDir;

use super::super::wal_index::Anchor;
use super::*;

/// A database to commit to, and a cache that looks at it.
struct Subject {
    cache: HotCache,
    connection: Connection,
    // The order in which they go: the cache has its view from the anchor.
    anchor: Anchor,
    _folder: TempDir,
}

impl Subject {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x)").unwrap();
        let anchor = Anchor::open(&path).unwrap().unwrap();
        let cache = HotCache::new(1 << 20);
        cache.attach(anchor.view());
        Self { cache, connection, anchor, _folder: folder }
    }

    fn commit(&self) {
        self.connection.execute_batch("INSERT INTO t VALUES (1)").unwrap();
    }

    fn state(&self) -> Header {
        self.anchor.view().read().unwrap()
    }

    /// What the cache says of the key, in the words of the tests.
    fn find(&self) -> Result<Option<Version>, Option<Header>> {
        match self.cache.find("user", "namespace", "key") {
            Found::Hit(known) => Ok(known.map(|live| live.version)),
            Found::Miss(state) => Err(state),
            Found::FirstMiss => self.find(),
        }
    }

    fn keep(&self, state: Header, version: Version) {
        self.cache.keep("user", "namespace", "key", state, known(version));
    }

    /// Carries the cache over a commit that wrote the key.
    fn carry(&self, now: Option<Known>) {
        let before = self.state();
        self.commit();
        let address = Address { namespace: "namespace".into(), key: "key".into() };
        self.cache.carry(before, self.state(), &[Written { user: "user".into(), address, now }]);
    }
}

fn known(version: Version) -> Known {
    Some(Live { value: Json::from_trusted("1"), version, expires_at: None })
}

#[test]
fn of_two_threads_that_read_the_same_one_entry_stays() {
    let subject = Subject::new();
    let (first, second) = (subject.find().unwrap_err().unwrap(), subject.find().unwrap_err().unwrap());
    subject.keep(first, 1);
    let one = subject.cache.stats().bytes;
    subject.keep(second, 1);
    assert_eq!(subject.cache.stats().bytes, one);
    subject.carry(Some(known(2)));
    assert_eq!(subject.find(), Ok(Some(2)));
    // Only the database knows: no other entry may answer for the one that goes.
    subject.carry(None);
    assert_eq!(subject.find(), Err(Some(subject.state())));
}

#[test]
fn what_was_read_before_a_commit_is_not_kept_after_it() {
    let subject = Subject::new();
    let before = subject.find().unwrap_err().unwrap();
    subject.commit();
    subject.keep(before, 1);
    assert_eq!(subject.find(), Err(Some(subject.state())));
    // Nor does it take the place of what was read since.
    let state = subject.state();
    subject.keep(state, 2);
    subject.keep(before, 1);
    assert_eq!(subject.find(), Ok(Some(2)));
    // Nor does a commit of ours make good what was read before another's.
    subject.commit();
    subject.carry(None);
    assert_eq!(subject.find(), Err(Some(subject.state())));
}

#[test]
fn only_a_commit_that_stands_alone_is_taken_for_our_own() {
    let subject = Subject::new();
    let before = subject.state();
    assert!(!is_own_commit(&before, &before, before.frames()), "nothing was committed");
    subject.commit();
    let after = subject.state();
    assert!(is_own_commit(&before, &after, after.frames()));
    assert!(!is_own_commit(&before, &after, after.frames() + 1), "ours ended elsewhere in the log");
    // Ours wrote nothing; then another committed, and a checkpoint emptied the log.
    subject.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).unwrap();
    let emptied = subject.state();
    assert_eq!((emptied.frames(), emptied.change_counter()), (0, after.change_counter()));
    assert!(!is_own_commit(&before, &emptied, 0));
    subject.commit();
    let later = subject.state();
    assert!(!is_own_commit(&before, &later, later.frames()), "another has committed as well");
}

#[test]
fn a_cache_that_is_let_go_finds_and_keeps_nothing() {
    let subject = Subject::new();
    let state = subject.find().unwrap_err().unwrap();
    subject.keep(state, 1);
    assert_eq!(subject.find(), Ok(Some(1)));
    let detached = subject.cache.detach();
    // A fork holds it so: who must not wait learns nothing, but does not wait.
    assert!(subject.cache.peek("user", "namespace", "key").is_none());
    drop(detached);
    assert_eq!(subject.find(), Err(None));
    subject.keep(state, 1);
    assert_eq!(subject.find(), Err(None));
    subject.cache.attach(subject.anchor.view());
    assert_eq!(subject.find(), Err(Some(state)));
}
