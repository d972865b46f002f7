//! Closing and suspending.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::Cases;
use crate::blocking::block_on;
use crate::conformance::subject::{increment, json, put};
use crate::conformance::threads::AtEnd;
use crate::data_store::SetOptions;
use crate::error::{ErrorKind, Result};
use crate::model::{Batch, PageSize, Range, View};

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("every verb of a closed store fails", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        subject.close();
        let verbs = notes.verbs();
        let results: [(&str, Result<()>); 15] = [
            ("get", block_on(verbs.get("a")).map(drop)),
            ("get_record", block_on(verbs.get_record("a")).map(drop)),
            ("get_many", block_on(verbs.get_many(&["a"])).map(drop)),
            ("get_all", block_on(verbs.get_all()).map(drop)),
            ("page", block_on(verbs.page(Range::default(), PageSize::ALL)).map(drop)),
            ("records", block_on(verbs.records(Range::default(), PageSize::ALL)).map(drop)),
            ("list_keys", block_on(verbs.list_keys("")).map(drop)),
            ("count", block_on(verbs.count("")).map(drop)),
            ("list_namespaces", block_on(verbs.list_namespaces("")).map(drop)),
            ("namespaces", block_on(verbs.namespaces()).map(drop)),
            ("set", block_on(verbs.set("a", json("1"), SetOptions::default())).map(drop)),
            ("set_many", block_on(verbs.set_many(vec![("a", json("1"))], None, None)).map(drop)),
            ("delete", block_on(verbs.delete("a")).map(drop)),
            ("clear", block_on(verbs.clear()).map(drop)),
            ("write", block_on(verbs.write(vec![notes.write_to("a", put("1"))])).map(drop)),
        ];
        for (verb, result) in results {
            let error = result.expect_err(verb);
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{verb}");
            assert!(error.message().contains("closed"), "{verb}: {error}");
        }
    });

    cases.add("an engine fails after its store was closed", |subject| {
        subject.close();
        let (engine, notes) = (subject.engine(), subject.notes());
        let batch = Batch {
            user: notes.user().into(),
            agent: None,
            writes: vec![notes.write_to("a", put("1"))],
            request: None,
            quota: None,
        };
        assert!(block_on(engine.read_one("user", "notes", "a", View::Value)).is_err());
        assert!(block_on(engine.write(batch)).is_err());
        assert!(block_on(engine.clear("user", None, "notes", None)).is_err());
        assert!(block_on(engine.changes("user", 0, 1)).is_err());
        assert!(block_on(engine.maintain()).is_err());
    });

    cases.add("a store may be closed twice", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        notes.get("a");
        subject.close();
        subject.close();
        drop(notes);
        subject.close();
    });

    cases.add("a close while others read and write lets each call succeed or fail whole", |subject| {
        let notes = subject.notes();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    // Ends at the first refusal: the store is closed.
                    while let Ok(outcome) = notes.try_apply("n", increment("1")) {
                        assert!(outcome.version > 0);
                        let _ = block_on(notes.verbs().get("n"));
                    }
                });
            }
            (0..20).for_each(|_| _ = notes.get("n"));
            subject.close();
        });
    });

    cases.add("a store goes on after it was held still", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        notes.get("a");
        for _ in 0..2 {
            drop(subject.store().suspend());
        }
        assert_eq!(notes.get("a").as_deref(), Some("1"));
        notes.set("b", "2");
        subject.flush();
        assert_eq!(notes.inspect("a").access_count, 2);
        assert_eq!(notes.count(""), 2);
    });

    cases.add("calls made while the store is held still are done afterwards", |subject| {
        let notes = subject.notes();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        notes.apply("n", increment("1"));
                        assert!(notes.find("n").is_some());
                    }
                });
            }
            for _ in 0..10 {
                drop(subject.store().suspend());
                thread::yield_now();
            }
        });
        assert_eq!(notes.record("n").value.as_str(), "100");
    });

    cases.add("a walk and whoever holds the store still do not wait for each other", |subject| {
        const WALKS: usize = 20;
        let notes = subject.notes();
        for number in 0..50 {
            notes.set(&number.to_string(), "1");
        }
        let walking = AtomicBool::new(true);
        thread::scope(|scope| {
            scope.spawn(|| {
                let _end = AtEnd(|| walking.store(false, Ordering::SeqCst));
                for _ in 0..WALKS {
                    let pieces = notes.pieces(PageSize { rows: 1, bytes: usize::MAX }, |_| thread::yield_now());
                    assert_eq!(pieces.concat().len(), 50);
                }
            });
            while walking.load(Ordering::SeqCst) {
                drop(subject.store().suspend());
                thread::yield_now();
            }
        });
        subject.flush();
        assert_eq!(notes.inspect("0").access_count, WALKS as u64, "each walk is counted");
    });
}
