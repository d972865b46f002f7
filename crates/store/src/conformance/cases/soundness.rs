//! A store agrees with itself: counts, versions and the change feed are those of its records, whatever was done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::Cases;
use crate::blocking::block_on;
use crate::conformance::subject::{Handle, SECOND, Subject, WriteExt, append, increment, merge, put};
use crate::conformance::threads::AtEnd;
use crate::model::{Expiry, Mutation};

#[track_caller]
fn is_sound(subject: &Subject<'_>) {
    assert_eq!(block_on(subject.engine().check()).expect("check"), []);
}

/// One of each kind of write, on a few keys.
fn write(notes: &Handle, round: usize) {
    let key = format!("key {}", round % 7);
    match round % 11 {
        0 => _ = notes.set(&key, &round.to_string()),
        1 => _ = notes.set_for((round % 3 + 1) as u32 * SECOND, &key, "1"),
        2 => _ = notes.delete(&key),
        3 => _ = notes.apply(&format!("number {}", round % 3), increment("1")),
        4 => _ = notes.apply(&format!("list {}", round % 3), append("[1,2]")),
        5 => _ = notes.apply(&format!("object {}", round % 3), merge("{\"a\":{\"b\":1}}")),
        6 => _ = notes.set_with("{\"a\":1}", &key, "\"ü\""),
        7 => _ = notes.delete_many(&["key 1", "key 2", "not there"]),
        8 => {
            notes.write(vec![
                notes.write_to(&key, put("1")),
                notes.write_to(&key, Mutation::Delete),
                notes.write_to(&key, put("22")).with_metadata("{\"b\":[]}").expiring(Expiry::After(2 * SECOND)),
                notes.in_namespace("other").write_to(&key, put("1")),
            ]);
        }
        9 => _ = notes.get(&key),
        _ if round.is_multiple_of(4) => _ = notes.clear(),
        _ => _ = notes.in_namespace("other").set(&key, "1"),
    }
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add_with(
        // Fewer changes are kept than are made.
        |options| options.changes_kept = 40,
        "a store agrees with itself whatever is done to it",
        |subject| {
            let notes = subject.notes();
            is_sound(subject);
            for round in 0..220 {
                write(&notes, round);
                if round.is_multiple_of(9) {
                    subject.advance(SECOND / 2);
                }
                if round.is_multiple_of(31) {
                    subject.flush();
                    is_sound(subject);
                    subject.maintain_a_step();
                }
                if round.is_multiple_of(10) {
                    is_sound(subject);
                }
            }
            subject.advance(Duration::from_secs(60));
            is_sound(subject);
            subject.maintain();
            is_sound(subject);
        },
    );

    cases.add("a store agrees with itself at every moment at which it is written", |subject| {
        let notes = subject.notes();
        let running = AtomicBool::new(true);
        thread::scope(|scope| {
            for writer in 0..2 {
                let (notes, running) = (notes.as_agent(&format!("agent {writer}")), &running);
                scope.spawn(move || {
                    let _end = AtEnd(|| running.store(false, Ordering::SeqCst));
                    (0..150).for_each(|round| write(&notes, round * 2 + writer));
                });
            }
            while running.load(Ordering::SeqCst) {
                is_sound(subject);
            }
        });
        is_sound(subject);
    });
}
