//! What can be had without waiting is what a read would return at that moment.

use std::thread;

use super::Cases;
use crate::blocking::block_on;
use crate::conformance::subject::{Handle, SECOND, Subject, TICK, WriteExt, increment, put, refused};
use crate::error::ErrorKind::Conflict;
use crate::model::{Expiry, Mutation, View};

/// Compares what was at hand before the read, and what is after it.
fn assert_fresh(subject: &Subject<'_>, notes: &Handle, after: &str) {
    let peek = || subject.engine().peek(notes.user(), notes.namespace(), "a");
    let before = peek();
    let read = block_on(subject.engine().read_one(notes.user(), notes.namespace(), "a", View::Value)).expect("read_one");
    for at_hand in [before, peek()].into_iter().flatten() {
        assert_eq!(at_hand, read, "after {after}");
    }
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
        const WRITES: u64 = 200;
        let notes = subject.notes().as_administrator();
        notes.set("a", "0");
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut newest = 0;
                    while newest < WRITES {
                        let found = match notes.verbs().get_if_at_hand("a") {
                            Some(at_hand) => at_hand.expect("at hand").map(|value| value.to_string()),
                            None => notes.get("a"),
                        };
                        let found = found.expect("a value").parse().expect("a number");
                        assert!(found >= newest, "{found} after {newest}");
                        newest = found;
                    }
                });
            }
            for number in 1..=WRITES {
                notes.set("a", &number.to_string());
                assert_eq!(notes.get("a"), Some(number.to_string()), "one's own write");
            }
        });
    });
}
