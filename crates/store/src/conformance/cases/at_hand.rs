//! What can be had without waiting is what a read would return at that moment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::Cases;
use crate::blocking::block_on;
use crate::conformance::subject::{Handle, SECOND, Subject, TICK, WriteExt, increment, put, refused};
use crate::conformance::threads::AtEnd;
use crate::error::ErrorKind::Conflict;
use crate::model::{Expiry, Mutation, Row, View};

/// Compares what was at hand before the read, and what is after it, with the record.
fn assert_fresh(subject: &Subject<'_>, notes: &Handle, after: &str) {
    let peek = || subject.engine().peek(notes.user(), notes.namespace(), "a");
    let read = |view| block_on(subject.engine().read_one(notes.user(), notes.namespace(), "a", view)).expect("read_one");
    let before = peek();
    let value = read(View::Value);
    let at_hand = [before, Some(value), peek()];
    let record = read(View::Record).map(|row| Row { details: None, ..row });
    for value in at_hand.into_iter().flatten() {
        assert_eq!(value, record, "after {after}");
    }
    let address = notes.address("a");
    // Twice, because there is room for a mistake where a key comes twice.
    let asked = [address.clone(), notes.address("missing"), address];
    let several = block_on(subject.engine().read(notes.user(), &asked, View::Value)).expect("read");
    let record = record.map(|row| Row { key: "a".into(), ..row });
    assert_eq!(several, [record.clone(), None, record], "after {after}");
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("a value at hand is the present one, whatever was done", |subject| {
        let notes = subject.notes();
        let check = |after: &str| assert_fresh(subject, &notes, after);
        check("opening");
        notes.set("a", "1");
        check("creation");
        notes.set("a", "2");
        check("overwrite");
        notes.set("b", "1");
        check("another key's write");
        notes.apply("a", increment("1"));
        check("increment");
        notes.write(vec![notes.write_to("a", put("5")), notes.write_to("a", increment("1"))]);
        check("batch");
        let conflict = vec![notes.write_to("a", put("7")), notes.write_to("b", put("1")).if_version(0)];
        refused(notes.try_write(conflict), Conflict);
        check("refused batch");
        notes.write(vec![notes.write_to("a", Mutation::Touch).expiring(Expiry::After(SECOND))]);
        check("touch");
        subject.advance(SECOND - TICK);
        check("the last microsecond");
        subject.advance(TICK);
        check("expiry");
        subject.maintain();
        check("sweeping");
        notes.set("a", "8");
        check("creation after expiry");
        notes.delete("a");
        check("deletion");
        notes.set("a", "9");
        check("creation after deletion");
        notes.clear();
        check("clear");
        notes.set("a", "10");
        check("creation after clear");
        notes.get("a");
        subject.flush();
        check("flush");
        drop(subject.store().suspend());
        check("suspension");
    });

    cases.add("a value at hand belongs to its user, namespace and key", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        notes.get("a");
        for other in [notes.of_user("other"), notes.in_namespace("other"), notes.in_namespace("notesa")] {
            assert_fresh(subject, &other, "a read of the same key elsewhere");
            assert_eq!(other.get("a"), None);
            other.set("a", "2");
            assert_fresh(subject, &other, "a write of the same key elsewhere");
        }
        assert_fresh(subject, &notes, "writes of the same key elsewhere");
        assert_eq!(notes.get("a").as_deref(), Some("1"));
    });

    cases.add("a read of what is at hand is counted", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        let mut reads = 0;
        for _ in 0..3 {
            notes.get("a");
            reads += 1 + u64::from(notes.verbs().get_if_at_hand("a").is_some());
            notes.as_administrator().verbs().get_if_at_hand("a");
            notes.verbs().get_if_at_hand("missing");
        }
        subject.flush();
        assert_eq!(notes.inspect("a").access_count, reads);
    });

    cases.add("nothing is at hand of a closed store or under an invalid key", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        notes.get("a");
        assert!(notes.verbs().get_if_at_hand("").is_none());
        subject.close();
        assert!(notes.verbs().get_if_at_hand("a").is_none());
    });

    cases.add("a value at hand is never older than a write that was acknowledged before", |subject| {
        assert_never_older(subject, &subject.notes());
    });

    cases.add("a store opened twice never has an older value at hand than the other handle wrote", |subject| {
        let beside = subject.again();
        assert_never_older(subject, &beside.notes());
    });
}

/// Two threads read what `writer`, maybe on another handle, writes meanwhile.
fn assert_never_older(subject: &Subject<'_>, writer: &Handle) {
    const WRITES: u64 = 1_000;
    let reader = subject.notes().as_administrator();
    let number = |found: Option<String>| found.expect("a value").parse::<u64>().expect("a number");
    let newest = AtomicU64::new(0);
    writer.set("a", "0");
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let acknowledged = newest.load(Ordering::SeqCst);
                    let found = match reader.verbs().get_if_at_hand("a") {
                        Some(at_hand) => at_hand.expect("at hand").map(|value| value.to_string()),
                        None => reader.get("a"),
                    };
                    let found = number(found);
                    assert!(found >= acknowledged, "{found} after {acknowledged}");
                    if acknowledged >= WRITES {
                        return;
                    }
                }
            });
        }
        // Also when a promise is broken here: the readers wait for the last number.
        let _end = AtEnd(|| newest.store(WRITES, Ordering::SeqCst));
        for written in 1..=WRITES {
            writer.set("a", &written.to_string());
            newest.store(written, Ordering::SeqCst);
            assert_eq!(number(reader.get("a")), written, "one's own write");
        }
    });
}
