//! A read sees one committed state, whatever is written meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::Cases;
use crate::blocking::block_on;
use crate::conformance::subject::{Handle, Subject, increment, put};
use crate::conformance::threads::AtEnd;
use crate::model::{Mutation, PageSize, Range, View, Write};

const WRITERS: usize = 2;
const BATCHES: usize = 150;
const TOTAL: i64 = 1_000;

/// Reads in the calling thread for as long as other threads apply batches.
fn while_writing(
    notes: &Handle,
    batch: impl Fn(usize, usize) -> Vec<Write> + Sync,
    mut read: impl FnMut(),
) {
    let running = AtomicUsize::new(WRITERS);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (running, batch) = (&running, &batch);
            scope.spawn(move || {
                // Counted down even when a write panics: the reader must not wait for ever.
                let _end = AtEnd(|| _ = running.fetch_sub(1, Ordering::SeqCst));
                for round in 0..BATCHES {
                    notes.write(batch(writer, round));
                }
            });
        }
        while running.load(Ordering::SeqCst) > 0 {
            read();
        }
    });
    read();
}

/// Moves an amount from one account to the other, back and forth.
fn transfer(from: (&Handle, &str), to: (&Handle, &str), writer: usize, round: usize) -> Vec<Write> {
    let amount = i64::try_from(writer * 7 + round % 5 + 1).expect("small");
    let amount = if round.is_multiple_of(2) { amount } else { -amount };
    vec![
        from.0.write_to(from.1, increment(&(-amount).to_string())),
        to.0.write_to(to.1, increment(&amount.to_string())),
    ]
}

fn sum<'a>(values: impl Iterator<Item = &'a str>) -> i64 {
    values.map(|value| value.parse::<i64>().expect("a number")).sum()
}

fn with_accounts(subject: &Subject<'_>) -> Handle {
    let notes = subject.notes().as_administrator();
    notes.set("a", &TOTAL.to_string());
    notes.set("b", "0");
    notes
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("get_many never sees half a batch", |subject| {
        let notes = with_accounts(subject);
        let batch = |writer, round| transfer((&notes, "a"), (&notes, "b"), writer, round);
        while_writing(&notes, batch, || {
            let found = notes.get_many(&["a", "b"]);
            assert_eq!(sum(found.iter().map(|(_, value)| value.as_str())), TOTAL);
        });
    });

    cases.add("get_all and pages never see half a batch", |subject| {
        let notes = with_accounts(subject);
        let batch = |writer, round| transfer((&notes, "a"), (&notes, "b"), writer, round);
        while_writing(&notes, batch, || {
            assert_eq!(sum(notes.get_all().iter().map(|(_, value)| value.as_str())), TOTAL);
            let small = PageSize { rows: 1, bytes: usize::MAX };
            let pieces = notes.pieces(small, |_| ()).concat();
            assert_eq!(sum(pieces.iter().map(|(_, value)| value.as_str())), TOTAL);
            let page = notes.page(Range::default(), PageSize { rows: 2, bytes: usize::MAX }).0;
            assert_eq!(sum(page.iter().map(|(_, value)| value.as_str())), TOTAL);
            assert_eq!(sum(notes.records().iter().map(|record| record.value.as_str())), TOTAL);
        });
    });

    cases.add("everything in pieces is everything of one moment, each record once and in order", |subject| {
        let notes = subject.notes().as_administrator();
        assert_eq!(notes.pieces(PageSize::ALL, |_| ()).concat(), []);
        for number in 0..100 {
            notes.set(&format!("{number:03}"), &format!("\"{number:050}\""));
        }
        notes.set_for(Duration::from_secs(1), "expired", "1");
        subject.advance(Duration::from_secs(2));
        let before = notes.get_all();
        assert_eq!(before.len(), 100);
        let writer = notes.clone();
        thread::scope(|scope| {
            // By another thread, since a piece must not wait for the store.
            let (seen, to_write) = std::sync::mpsc::channel();
            scope.spawn(move || {
                for number in to_write {
                    writer.set(&format!("{number:03} and a half"), "0");
                    writer.delete("099");
                }
            });
            let pieces = notes.pieces(PageSize { rows: 7, bytes: 300 }, move |number| _ = seen.send(number));
            assert!(pieces.iter().all(|piece| !piece.is_empty()));
            assert_eq!(pieces.concat(), before);
        });
        assert_eq!(notes.get("099"), None);
    });

    cases.add("a read across namespaces never sees half a batch", |subject| {
        let notes = with_accounts(subject);
        let other = notes.in_namespace("other");
        other.set("c", "0");
        let asked = [notes.address("a"), other.address("c")];
        let batch = |writer, round| transfer((&notes, "a"), (&other, "c"), writer, round);
        while_writing(&notes, batch, || {
            let rows = block_on(subject.engine().read(notes.user(), &asked, View::Value)).expect("read");
            let values: Vec<_> = rows.into_iter().flatten().filter_map(|row| row.value).collect();
            assert_eq!(values.len(), 2);
            assert_eq!(sum(values.iter().map(|value| value.as_str())), TOTAL);
        });
    });

    cases.add("listings and counts never see half a batch", |subject| {
        let notes = subject.notes().as_administrator();
        // Each writer keeps one record, which moves at every batch.
        for writer in 0..WRITERS {
            notes.set(&format!("{writer} {BATCHES:03}"), "1");
        }
        let batch = |writer: usize, round: usize| {
            let old = if round == 0 { BATCHES } else { round - 1 };
            vec![
                notes.write_to(&format!("{writer} {old:03}"), Mutation::Delete),
                notes.write_to(&format!("{writer} {round:03}"), put("1")),
            ]
        };
        while_writing(&notes, batch, || {
            assert_eq!(notes.keys("").len(), WRITERS);
            assert_eq!(notes.count(""), WRITERS as u64);
            assert_eq!(notes.stats().map(|stats| (stats.records, stats.bytes)), Some((2, 12)));
        });
    });

    cases.add("statistics of several namespaces are of one moment", |subject| {
        let notes = subject.notes().as_administrator();
        let spaces = [notes.in_namespace("left"), notes.in_namespace("right")];
        for space in &spaces {
            space.set("stays", "1");
        }
        spaces[0].set("0", "1");
        spaces[0].set("1", "1");
        let batch = |writer: usize, round: usize| {
            let (from, to) = (&spaces[round % 2], &spaces[(round + 1) % 2]);
            let key = writer.to_string();
            vec![from.write_to(&key, Mutation::Delete), to.write_to(&key, put("1"))]
        };
        while_writing(&notes, batch, || {
            let stats = notes.namespaces();
            assert_eq!(stats.len(), 2);
            assert_eq!(stats.iter().map(|stats| stats.records).sum::<u64>(), 4);
            assert_eq!(notes.list_namespaces(""), ["left", "right"]);
        });
    });

    cases.add("a record is never seen half written", |subject| {
        let notes = subject.notes().as_administrator();
        let value = |writer: usize, round: usize| format!("\"{}\"", format!("{writer}{:02}", round % 100).repeat(2_000));
        notes.set("a", &value(0, 0));
        let batch = |writer, round| vec![notes.write_to("a", put(&value(writer, round)))];
        while_writing(&notes, batch, || {
            let found = notes.get("a").expect("a value");
            assert!(found == format!("\"{}\"", found[1..4].repeat(2_000)), "torn");
        });
    });
}
