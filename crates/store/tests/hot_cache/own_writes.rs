//! What this store itself does: the cache follows, and keeps what is not concerned.

use std::time::Duration;

use agent_data_store::engine::Engine;
use agent_data_store::model::{Expiry, Mutation, Precondition, View, Write};
use agent_data_store::{ErrorKind, block_on};

use crate::support::{NAMESPACE, Subject, USER, json, update, write};

const SECOND: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_micros(1);

fn some(value: &str) -> Option<String> {
    Some(value.to_owned())
}

#[test]
fn a_clear_is_seen() {
    let subject = Subject::new();
    subject.set("a", "1");
    subject.set("b", "1");
    assert_eq!((subject.warm("a"), subject.warm("b")), (some("1"), some("1")));
    block_on(subject.data_store.clear()).unwrap();
    assert_eq!(subject.get("a"), None);
    assert_eq!(subject.warm("b"), None);
}

#[test]
fn a_namespace_that_comes_back_holds_what_is_new_alone() {
    let subject = Subject::new();
    subject.set("a", "1");
    subject.set("b", "1");
    assert_eq!((subject.warm("a"), subject.warm("b")), (some("1"), some("1")));
    block_on(subject.data_store.clear()).unwrap();
    subject.set("a", "2");
    assert_eq!((subject.get("a"), subject.get("b")), (some("2"), None));
    // The namespace goes with its last record, and comes back with its next.
    assert_eq!((subject.warm("a"), subject.warm("b")), (some("2"), None));
    assert!(subject.delete("a"));
    subject.set("b", "3");
    assert_eq!((subject.get("a"), subject.get("b")), (None, some("3")));
}

#[test]
fn a_record_expires_at_its_instant() {
    let subject = Subject::new();
    subject.set_with_ttl("a", "1", SECOND);
    assert_eq!(subject.warm("a"), some("1"));
    subject.clock.advance(SECOND - TICK);
    assert_eq!(subject.get_hit("a"), some("1"));
    subject.clock.advance(TICK);
    assert_eq!(subject.get_hit("a"), None);
    subject.set("a", "2");
    assert_eq!(subject.get("a"), some("2"));
}

#[test]
fn a_changed_expiry_is_seen() {
    let subject = Subject::new();
    let touch = |key, expiry| subject.write(vec![Write { expiry, ..write(key, Mutation::Touch) }]).unwrap();
    subject.set("sooner", "1");
    subject.set_with_ttl("later", "1", SECOND);
    subject.set_with_ttl("never", "1", SECOND);
    for key in ["sooner", "later", "never"] {
        assert_eq!(subject.warm(key), some("1"));
    }
    touch("sooner", Expiry::After(SECOND));
    touch("later", Expiry::After(2 * SECOND));
    touch("never", Expiry::Never);
    subject.clock.advance(SECOND);
    assert_eq!((subject.get("sooner"), subject.get("later"), subject.get("never")), (None, some("1"), some("1")));
    subject.clock.advance(SECOND);
    assert_eq!((subject.get("sooner"), subject.get("later"), subject.get("never")), (None, None, some("1")));
}

#[test]
fn a_swept_record_does_not_come_back_when_the_clock_is_set_back() {
    let subject = Subject::new();
    subject.set_with_ttl("a", "1", SECOND);
    assert_eq!(subject.warm("a"), some("1"));
    subject.clock.advance(SECOND);
    while block_on(subject.store.maintain()).unwrap() {}
    subject.clock.set_back(SECOND);
    assert_eq!(subject.get("a"), None);
}

#[test]
fn deletion_and_creation_are_seen() {
    let subject = Subject::new();
    assert_eq!(subject.get("a"), None);
    subject.set("other", "1");
    assert_eq!(subject.warm("a"), None);
    subject.set("a", "1");
    assert_eq!(subject.get("a"), some("1"));
    assert_eq!(subject.warm("a"), some("1"));
    assert!(subject.delete("a"));
    assert_eq!(subject.get("a"), None);
    subject.set("a", "2");
    assert_eq!(subject.get("a"), some("2"));
}

#[test]
fn a_write_keeps_what_is_cached_of_other_keys() {
    let subject = Subject::new();
    subject.set("a", "1");
    subject.set("b", "1");
    assert_eq!((subject.warm("a"), subject.warm("b"), subject.warm("absent")), (some("1"), some("1"), None));
    subject.set("b", "2");
    subject.set("c", "2");
    subject.write(vec![write("b", Mutation::Set(json("3"))), write("d", Mutation::Set(json("3")))]).unwrap();
    subject.delete("d");
    assert_eq!((subject.get_hit("a"), subject.get_hit("absent")), (some("1"), None));
}

#[test]
fn what_is_written_is_in_the_cache_at_once_if_it_was_read_before() {
    let subject = Subject::new();
    subject.set("n", "1");
    subject.set("list", "[1]");
    subject.set("object", "{\"a\":1}");
    for key in ["n", "list", "object", "absent"] {
        subject.warm(key);
    }
    let append = Mutation::Append { items: json("[2]"), unique: false, max_length: None };
    for mutation in
        [("n", Mutation::Increment(json("2"))), ("list", append), ("object", Mutation::Merge(json("{\"b\":2}")))]
    {
        subject.write(vec![write(mutation.0, mutation.1)]).unwrap();
    }
    subject.set("absent", "4");
    assert_eq!(subject.get_hit("n"), some("3"));
    assert_eq!(subject.get_hit("list"), some("[1,2]"));
    assert_eq!(subject.get_hit("object"), some("{\"a\":1,\"b\":2}"));
    assert_eq!(subject.get_hit("absent"), some("4"));
    subject.delete("n");
    assert_eq!(subject.get_hit("n"), None);
    // The later of two writes to one key counts.
    subject.write(vec![write("n", Mutation::Set(json("5"))), write("n", Mutation::Increment(json("1")))]).unwrap();
    assert_eq!(subject.get_hit("n"), some("6"));
}

#[test]
fn version_and_expiry_are_those_of_the_last_write() {
    let subject = Subject::new();
    let row = |view| block_on(subject.engine.read_one(USER, NAMESPACE, "a", view)).unwrap().unwrap();
    let check = || {
        subject.warm("a");
        let (cached, stored) = (row(View::Value), row(View::Record));
        assert_eq!((cached.version, cached.expires_at), (stored.version, stored.expires_at));
    };
    subject.set("a", "1");
    check();
    subject.set_with_ttl("a", "2", SECOND);
    check();
    let expiry = Expiry::After(2 * SECOND);
    subject.write(vec![Write { expiry, ..write("a", Mutation::Increment(json("1"))) }]).unwrap();
    check();
    subject.write(vec![Write { expiry: Expiry::Never, ..write("a", Mutation::Touch) }]).unwrap();
    check();
}

#[test]
fn a_refused_write_changes_nothing_and_keeps_the_cache() {
    let subject = Subject::new();
    subject.set("a", "1");
    assert_eq!(subject.warm("a"), some("1"));
    let refused = Write { precondition: Precondition::Version(0), ..write("a", Mutation::Set(json("3"))) };
    let error = subject.write(vec![write("a", Mutation::Set(json("2"))), refused]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(subject.get_hit("a"), some("1"));
}

#[test]
fn a_batch_that_is_too_large_to_follow_is_seen() {
    let subject = Subject::new();
    let items = |value: &str| (0..3_000).map(|n| (format!("k{n}"), json(value))).collect::<Vec<_>>();
    block_on(subject.data_store.set_many(items("1"), None, None)).unwrap();
    subject.set("other", "1");
    for key in ["k0", "k1500", "k2999", "other"] {
        assert_eq!(subject.warm(key), some("1"));
    }
    block_on(subject.data_store.set_many(items("2"), None, None)).unwrap();
    for key in ["k0", "k1500", "k2999"] {
        assert_eq!(subject.get(key), some("2"));
    }
    assert_eq!(subject.get("other"), some("1"));
    assert_eq!(subject.warm("other"), some("1"));
}

#[test]
fn writing_access_counts_keeps_the_cache() {
    let subject = Subject::new();
    subject.set("a", "1");
    assert_eq!(subject.warm("a"), some("1"));
    let reads = subject.stats().hits + subject.stats().misses;
    block_on(subject.store.flush()).unwrap();
    let record = block_on(subject.data_store.get_record("a")).unwrap().unwrap();
    assert_eq!(record.access_count, reads, "hits are counted as reads");
    assert_eq!(subject.get_hit("a"), some("1"));
}

#[test]
fn several_values_come_from_the_cache_and_the_database_as_of_one_state() {
    let subject = Subject::new();
    subject.set("a", "1");
    subject.set("b", "1");
    assert_eq!((subject.warm("a"), subject.warm("absent")), (some("1"), None));
    let before = subject.stats();
    assert_eq!(subject.get_many(["a", "b", "absent"]), [some("1"), some("1"), None]);
    assert_eq!(subject.get_many(["b", "a"]), [some("1"), some("1")]);
    let after = subject.stats();
    assert_eq!((after.hits - before.hits, after.misses - before.misses), (4, 1), "b was read once");
    subject.set("b", "2");
    subject.delete("a");
    assert_eq!(subject.get_many(["a", "b", "absent"]), [None, some("2"), None]);
    subject.connection().execute_batch(&update("b", "3")).unwrap();
    assert_eq!(subject.get_many(["a", "b", "absent"]), [None, some("3"), None]);
    drop(subject.store.suspend());
    assert_eq!(subject.get_many(["a", "b", "absent"]), [None, some("3"), None]);
}

#[test]
fn what_expires_together_is_seen_to_go_together() {
    let subject = Subject::new();
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let items = keys.map(|key| (key, json("1"))).to_vec();
    block_on(subject.data_store.set_many(items, None, Some(SECOND))).unwrap();
    for key in keys {
        assert_eq!(subject.warm(key), some("1"));
    }
    subject.clock.advance(SECOND - 4 * TICK);
    subject.clock.go_on_by(TICK);
    for _ in 0..20 {
        let there = subject.get_many(keys).iter().flatten().count();
        assert!(there == 0 || there == keys.len(), "{there} of {}", keys.len());
    }
}

#[test]
fn a_closed_engine_gives_nothing() {
    let subject = Subject::new();
    subject.set("a", "1");
    assert_eq!(subject.warm("a"), some("1"));
    block_on(subject.engine.close()).unwrap();
    assert_eq!(subject.engine.peek(USER, NAMESPACE, "a"), None);
    let error = block_on(subject.engine.read_one(USER, NAMESPACE, "a", View::Value)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}
