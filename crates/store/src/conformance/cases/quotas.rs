//! Quotas: what a user's live records may take, kept at every write that says so.

use std::thread;

use super::Cases;
use crate::blocking::block_on;
use crate::conformance::subject::{
    Handle, SECOND, WriteExt, append, increment, json, merge, pairs, put, refused,
};
use crate::data_store::SetOptions;
use crate::error::{Error, ErrorKind};
use crate::model::{Expiry, Mutation};
use crate::quota::Quota;

fn records(records: u64) -> Quota {
    Quota { records: Some(records), bytes: None }
}

fn bytes(bytes: u64) -> Quota {
    Quota { records: None, bytes: Some(bytes) }
}

#[track_caller]
fn exceeds(notes: &Handle, key: &str, mutation: Mutation) -> Error {
    refused(notes.try_apply(key, mutation), ErrorKind::QuotaExceeded)
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("a quota can be used up to the last record and byte", |subject| {
        let notes = subject.notes();
        let two = notes.within(records(2));
        two.set("a", "1");
        two.set("b", "1");
        exceeds(&two, "c", put("1"));
        assert!(two.delete("a"));
        two.set("c", "1");
        notes.clear();
        // Two bytes of the key, five of the value.
        let seven = notes.within(bytes(7));
        exceeds(&seven, "é", put("\"1234\""));
        seven.set("é", "\"123\"");
        exceeds(&seven, "b", put("1"));
        assert_eq!(notes.stats().map(|stats| (stats.records, stats.bytes)), Some((1, 7)));
        exceeds(&notes.within(Quota { records: Some(9), bytes: Some(8) }), "b", put("1"));
        exceeds(&notes.within(Quota { records: Some(1), bytes: Some(99) }), "b", put("1"));
        notes.within(Quota { records: Some(2), bytes: Some(9) }).set("b", "1");
        notes.within(Quota::default()).set("c", "1");
        notes.set("d", "1");
        notes.clear();
        exceeds(&notes.within(records(0)), "a", put("1"));
        exceeds(&notes.within(bytes(0)), "a", put("1"));
    });

    cases.add("what exceeds a quota is refused, says why and does nothing", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("a", "1"), ("list", "[]")]);
        let (all, feed) = (notes.everything(), subject.feed());
        let full = notes.within(records(2));
        for error in [
            exceeds(&full, "b", put("1")),
            exceeds(&full, "b", increment("1")),
            exceeds(&full, "b", append("[1]")),
            exceeds(&full, "b", merge("{}")),
            refused(full.try_write(vec![full.write_to("a", put("2")), full.write_to("b", put("2"))]), ErrorKind::QuotaExceeded),
            refused(block_on(full.verbs().set_many(vec![("b", json("1"))], None, None)), ErrorKind::QuotaExceeded),
        ] {
            assert!(error.message().contains("may have 2 records, has 2 and would have 3"), "{error}");
            assert!(error.message().contains("delete"), "{error}");
            assert!(!error.is_retryable());
        }
        let full = notes.within(bytes(8));
        let metadata = SetOptions { metadata: Some(json(r#"{"a":1}"#)), ..SetOptions::default() };
        for error in [
            exceeds(&full, "a", put("12")),
            exceeds(&full, "list", append("[1]")),
            refused(full.try_set("a", "1", metadata), ErrorKind::QuotaExceeded),
        ] {
            assert!(error.message().contains("may have 8 bytes, has 8 and would have"), "{error}");
        }
        assert_eq!((notes.everything(), subject.feed()), (all, feed));
    });

    cases.add("a write that does not grow is done although the quota is exceeded", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("a", "111"), ("b", "111"), ("c", "111")]);
        let over = notes.within(Quota { records: Some(1), bytes: Some(1) });
        over.set("a", "222");
        over.set("a", "22");
        over.apply("a", increment("1"));
        over.apply("a", Mutation::Check);
        assert!(block_on(over.verbs().expire("a", Some(SECOND))).expect("no byte more"));
        exceeds(&over, "a", put("222"));
        exceeds(&over, "d", put("1"));
        // One goes, one comes, with a shorter name than is its due.
        over.write(vec![over.write_to("b", Mutation::Delete), over.write_to("d", put("1"))]);
        assert!(over.delete("d"));
        assert!(!over.delete("d"));
        assert_eq!(over.clear(), 2);
        assert_eq!(notes.count(""), 0);
    });

    cases.add("a quota looks at that which grows", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("a", "111"), ("b", "111")]);
        let swap = |quota| {
            let notes = notes.within(quota);
            notes.try_write(vec![notes.write_to("a", put("1")), notes.write_to("c", put("\"\""))])
        };
        // Three records in place of two, with one byte more.
        refused(swap(Quota { records: Some(2), bytes: Some(100) }), ErrorKind::QuotaExceeded);
        refused(swap(Quota { records: Some(3), bytes: Some(8) }), ErrorKind::QuotaExceeded);
        swap(Quota { records: Some(3), bytes: Some(9) }).expect("both have room");
        // More bytes, as many records as before: too many of those do not matter, nor the other way round.
        notes.within(Quota { records: Some(1), bytes: Some(10) }).set("a", "11");
        let fewer_bytes = notes.within(Quota { records: Some(4), bytes: Some(1) });
        fewer_bytes.write(vec![fewer_bytes.write_to("b", put("1")), fewer_bytes.write_to("d", put("1"))]);
        assert_eq!(notes.count(""), 4);
    });

    cases.add("a quota counts all namespaces of its user and no other's", |subject| {
        let notes = subject.notes();
        let other = notes.in_namespace("other");
        notes.of_user("other").set_many(&[("a", "1"), ("b", "1"), ("c", "1")]);
        notes.set("a", "1");
        other.set("a", "1");
        exceeds(&notes.within(records(2)), "b", put("1"));
        exceeds(&other.within(bytes(4)), "b", put("1"));
        exceeds(&notes.in_namespace("third").within(records(2)), "a", put("1"));
        let third = notes.within(records(3)).verbs().use_namespace("third").expect("a namespace");
        block_on(third.set("a", json("1"), SetOptions::default())).expect("there is room for one");
        refused(block_on(third.set("b", json("1"), SetOptions::default())), ErrorKind::QuotaExceeded);
        // Moved from one to another.
        let full = notes.within(records(3));
        full.write(vec![full.write_to("b", put("1")), other.write_to("a", Mutation::Delete)]);
        assert_eq!(notes.list_namespaces(""), ["notes", "third"]);
        assert_eq!(notes.in_namespace("third").within(records(3)).clear(), 1);
        full.set("c", "1");
        exceeds(&full, "d", put("1"));
    });

    cases.add("expired records take nothing of a quota, swept or not", |subject| {
        for swept in [false, true] {
            let notes = subject.notes().of_user(if swept { "swept" } else { "not swept" });
            let three = notes.within(Quota { records: Some(3), bytes: Some(6) });
            notes.set("a", "1");
            notes.in_namespace("other").set_for(SECOND, "b", "1");
            notes.set_for(SECOND, "c", "1");
            notes.of_user("other").set_for(SECOND, "d", "\"of somebody else\"");
            exceeds(&three, "d", put("1"));
            subject.advance(SECOND);
            if swept {
                subject.maintain();
            }
            three.set("d", "1");
            // In the place of one that has expired.
            three.set("c", "1");
            exceeds(&three, "e", put("1"));
            // Neither makes room for more than is there: it had gone already.
            exceeds(&notes.in_namespace("other").within(records(3)), "b", put("1"));
            assert!(!notes.in_namespace("other").within(records(0)).delete("b"));
            exceeds(&notes.within(bytes(6)), "c", put("12"));
            assert_eq!(notes.get_all(), pairs([("a", "1"), ("c", "1"), ("d", "1")]));
        }
    });

    cases.add("only the end of a batch counts for a quota", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        let full = notes.within(Quota { records: Some(1), bytes: Some(2) });
        full.write(vec![
            full.write_to("b", put("1")),
            full.write_to("c", put("\"much too long\"")),
            full.write_to("c", Mutation::Delete),
            full.write_to("a", Mutation::Delete),
        ]);
        full.write(vec![full.write_to("b", Mutation::Delete), full.write_to("b", put("2"))]);
        full.write(vec![full.write_to("b", put("\"long\"")), full.write_to("b", put("3"))]);
        full.write(vec![
            full.write_to("d", put("1")).expiring(Expiry::After(SECOND)),
            full.write_to("d", Mutation::Delete),
        ]);
        refused(
            full.try_write(vec![
                full.write_to("b", Mutation::Delete),
                full.write_to("b", put("4")),
                full.write_to("c", put("4")),
            ]),
            ErrorKind::QuotaExceeded,
        );
        assert_eq!(notes.get_all(), pairs([("b", "3")]));
    });

    cases.add("what a quota refuses is no request that was made", |subject| {
        let notes = subject.notes();
        let request = || notes.within(records(1)).requesting("r").try_apply("n", increment("1"));
        notes.set("a", "1");
        refused(request(), ErrorKind::QuotaExceeded);
        notes.delete("a");
        let first = request().expect("there is room");
        notes.set("a", "1");
        assert_eq!(request().expect("it was done"), first);
    });

    cases.add("many writers fill a quota exactly, and those it refuses take down none beside them", |subject| {
        const THREADS: usize = 4;
        const ROUNDS: usize = 25;
        const ROOM: u64 = 60;
        let notes = subject.notes();
        let stored: usize = thread::scope(|scope| {
            let write = |thread: usize| {
                let own = notes.in_namespace(&thread.to_string()).within(records(ROOM));
                (0..ROUNDS)
                    .filter(|round| {
                        notes.of_user("other").apply("n", increment("1"));
                        let done = match round % 2 {
                            0 => own.try_apply(&round.to_string(), put("1")).map(drop),
                            _ => own.try_write(vec![own.write_to(&round.to_string(), put("1"))]).map(drop),
                        };
                        done.inspect_err(|error| assert_eq!(error.kind(), ErrorKind::QuotaExceeded, "{error}")).is_ok()
                    })
                    .count()
            };
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || write(thread))).collect();
            threads.into_iter().map(|thread| thread.join().expect("the thread")).sum()
        });
        let there: u64 = notes.namespaces().iter().map(|stats| stats.records).sum();
        assert_eq!((stored as u64, there), (ROOM, ROOM));
        assert_eq!(notes.of_user("other").get("n"), Some((THREADS * ROUNDS).to_string()));
    });
}
