//! Expiry: at its instant a record is gone for every verb, swept or not.

use std::time::Duration;

use super::Cases;
use crate::blocking::block_on;
use crate::conformance::subject::{
    Handle, OutcomeExt, SECOND, Subject, TICK, WriteExt, append, increment, json, merge, pairs, put,
    refused,
};
use crate::data_store::SetOptions;
use crate::error::ErrorKind;
use crate::model::{Expiry, Mutation, PageSize, Range, View};

/// Namespace "notes" holds `a`, `b`, `c`, of which `b` expires now; namespace "gone" held one record, which expires now.
fn with_expired(subject: &Subject<'_>) -> Handle {
    let notes = subject.notes();
    notes.set_many(&[("a", "1"), ("c", "3")]);
    notes.set_for(SECOND, "b", "2");
    notes.in_namespace("gone").set_for(SECOND, "b", "2");
    subject.advance(SECOND);
    notes
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("a record is there until the instant of its expiry and gone at it", |subject| {
        let notes = subject.notes();
        notes.set_for(SECOND, "a", "1");
        assert_eq!(notes.record("a").expires_at, Some(subject.now().saturating_add(SECOND)));
        subject.advance(SECOND - TICK);
        assert_eq!(notes.get("a").as_deref(), Some("1"));
        assert_eq!(notes.record("a").value.as_str(), "1");
        assert_eq!(notes.get_many(&["a"]), pairs([("a", "1")]));
        assert_eq!(notes.get_all(), pairs([("a", "1")]));
        assert_eq!((notes.keys(""), notes.count("")), (vec!["a".to_owned()], 1));
        assert_eq!(notes.list_namespaces(""), [notes.namespace()]);
        assert_eq!(notes.stats().map(|stats| stats.records), Some(1));
        subject.advance(TICK);
        assert_eq!(notes.get("a"), None);
        assert_eq!(notes.find("a"), None);
        assert_eq!(notes.get_many(&["a"]), []);
        assert_eq!(notes.get_all(), []);
        assert_eq!((notes.keys(""), notes.count("")), (vec![], 0));
        assert_eq!(notes.list_namespaces(""), [""; 0]);
        assert_eq!(notes.namespaces(), []);
    });

    cases.add("an expired record is gone for reads of several", |subject| {
        let notes = with_expired(subject);
        assert_eq!(notes.get_many(&["c", "b", "a"]), pairs([("c", "3"), ("a", "1")]));
        assert_eq!(notes.get_all(), pairs([("a", "1"), ("c", "3")]));
        assert_eq!(notes.page(Range::default(), PageSize::ALL), (pairs([("a", "1"), ("c", "3")]), false));
        assert_eq!(notes.records().len(), 2);
        assert_eq!(notes.keys(""), ["a", "c"]);
        assert_eq!((notes.count(""), notes.count("b")), (2, 0));
    });

    cases.add("an expired record takes no place in a page", |subject| {
        let notes = with_expired(subject);
        notes.set_for(SECOND, "d", "4");
        subject.advance(SECOND);
        let two = PageSize { rows: 2, bytes: usize::MAX };
        assert_eq!(notes.page(Range::default(), two), (pairs([("a", "1"), ("c", "3")]), false));
        let after = Range { prefix: "", after: Some("b") };
        assert_eq!(notes.page(after, two), (pairs([("c", "3")]), false));
    });

    cases.add("expired records are counted out of the prefixes that they begin with, and of no other", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("a_b", "1"), ("a%b", "1"), ("é1", "1"), ("\u{10ffff}", "1"), ("z", "1")]);
        for key in ["aXb", "A_b", "a", "a_", "e\u{301}1", "é", "\u{10ffff}\u{10ffff}", "zz"] {
            notes.set_for(SECOND, key, "1");
        }
        subject.advance(SECOND);
        for (prefix, count) in
            [("", 5), ("a", 2), ("a_", 1), ("a%", 1), ("A", 0), ("e", 0), ("é", 1), ("\u{10ffff}", 1), ("z", 1), ("zz", 0)]
        {
            assert_eq!(notes.count(prefix), count, "{prefix:?}");
            assert_eq!(notes.keys(prefix).len() as u64, count, "{prefix:?}");
        }
    });

    cases.add("a namespace of expired records is none", |subject| {
        let notes = with_expired(subject);
        assert_eq!(notes.list_namespaces(""), [notes.namespace()]);
        let stats = notes.namespaces();
        assert_eq!(stats.len(), 1);
        assert_eq!((stats[0].records, stats[0].bytes), (2, 4));
    });

    cases.add("a delete finds no expired record", |subject| {
        let notes = with_expired(subject);
        assert!(!notes.delete("b"));
        assert_eq!(notes.delete_many(&["a", "b"]), 1);
    });

    cases.add("a clear counts no expired record", |subject| {
        let notes = with_expired(subject);
        assert_eq!(notes.clear(), 2);
        assert_eq!(notes.in_namespace("gone").clear(), 0);
        assert_eq!(notes.get_all(), []);
    });

    cases.add("a precondition finds no expired record", |subject| {
        let notes = with_expired(subject);
        notes.set_if(0, "b", "\"new\"").expect("nothing is there");
        assert_eq!(notes.get("b").as_deref(), Some("\"new\""));
    });

    cases.add("a write to an expired record creates a new one", |subject| {
        let notes = subject.notes();
        let mutations = [
            ("5", put("1"), "1"),
            ("5", increment("1"), "1"),
            ("[5]", append("[1]"), "[1]"),
            (r#"{"a":5}"#, merge(r#"{"b":1}"#), r#"{"b":1}"#),
        ];
        for (before, mutation, after) in mutations {
            let options = SetOptions {
                metadata: Some(json(r#"{"old":1}"#)),
                ttl: Some(SECOND),
                ..SetOptions::default()
            };
            notes.as_agent("first").try_set("a", before, options).expect("set");
            notes.get("a");
            subject.flush();
            subject.advance(SECOND);
            let outcome = notes.apply("a", mutation.clone());
            assert!(!outcome.existed, "{mutation:?}");
            let record = notes.inspect("a");
            assert_eq!((record.value.as_str(), record.metadata.as_str()), (after, "{}"));
            assert_eq!(record.created_by_agent.as_deref(), Some("agent"));
            assert_eq!((record.created_at, record.access_count, record.expires_at), (subject.now(), 0, None));
            notes.delete("a");
        }
    });

    cases.add("an overwrite without a time to live removes the expiry", |subject| {
        let notes = subject.notes();
        notes.set_for(SECOND, "a", "1");
        notes.set("a", "2");
        assert_eq!(notes.record("a").expires_at, None);
        subject.advance(SECOND);
        assert_eq!(notes.get("a").as_deref(), Some("2"));
    });

    cases.add("an overwrite with a time to live counts from then on", |subject| {
        let notes = subject.notes();
        notes.set_for(SECOND, "longer", "1");
        notes.set_for(3 * SECOND, "shorter", "1");
        subject.advance(SECOND - TICK);
        notes.set_for(SECOND, "longer", "2");
        notes.set_for(TICK, "shorter", "2");
        subject.advance(TICK);
        assert_eq!(notes.keys(""), ["longer"]);
        subject.advance(SECOND - 2 * TICK);
        assert_eq!(notes.keys(""), ["longer"]);
        subject.advance(TICK);
        assert_eq!(notes.keys(""), [""; 0]);
    });

    cases.add("every other mutation keeps the expiry unless it brings one", |subject| {
        let notes = subject.notes();
        let mutations =
            [("1", increment("1")), ("[]", append("[1]")), ("{}", merge("{}")), ("1", Mutation::Touch)];
        for (value, mutation) in mutations {
            notes.set_for(5 * SECOND, "a", value);
            let expires_at = notes.record("a").expires_at;
            subject.advance(SECOND);
            notes.apply("a", mutation.clone());
            assert_eq!(notes.record("a").expires_at, expires_at, "{mutation:?}");
            notes.write(vec![notes.write_to("a", mutation.clone()).expiring(Expiry::After(SECOND))]);
            assert_eq!(notes.record("a").expires_at, Some(subject.now().saturating_add(SECOND)), "{mutation:?}");
            notes.write(vec![notes.write_to("a", mutation.clone()).expiring(Expiry::Never)]);
            assert_eq!(notes.record("a").expires_at, None, "{mutation:?}");
        }
    });

    cases.add("a mutation may create a record that expires", |subject| {
        let notes = subject.notes();
        for (key, mutation) in [("n", increment("1")), ("l", append("[1]")), ("m", merge("{}")), ("s", put("1"))] {
            notes.write(vec![notes.write_to(key, mutation).expiring(Expiry::After(SECOND))]);
        }
        assert_eq!(notes.count(""), 4);
        subject.advance(SECOND);
        assert_eq!(notes.count(""), 0);
    });

    cases.add("a time to live beyond all time is for ever", |subject| {
        let notes = subject.notes();
        notes.set_for(Duration::MAX, "a", "1");
        let end = subject.now().saturating_add(Duration::MAX);
        assert_eq!(notes.inspect("a").expires_at, Some(end));
        let row = block_on(subject.engine().read_one(notes.user(), notes.namespace(), "a", View::Value)).expect("read_one");
        assert_eq!(row.expect("a record").expires_at, Some(end));
        subject.advance(Duration::from_secs(1_000_000_000));
        subject.maintain();
        assert_eq!(notes.get("a").as_deref(), Some("1"));
    });

    cases.add("a time to live of nothing is refused", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        for ttl in [Duration::ZERO, Duration::from_nanos(999)] {
            let options = SetOptions { ttl: Some(ttl), ..SetOptions::default() };
            refused(notes.try_set("a", "2", options), ErrorKind::InvalidArgument);
            let write = notes.write_to("a", increment("1")).expiring(Expiry::After(ttl));
            refused(notes.try_write(vec![write]), ErrorKind::InvalidArgument);
        }
        assert_eq!(notes.get("a").as_deref(), Some("1"));
    });

    cases.add("records expire each at its own instant", |subject| {
        let notes = subject.notes();
        for (key, ticks) in [("c", 1), ("a", 3), ("b", 2), ("d", 3)] {
            notes.set_for(ticks * TICK, key, "1");
        }
        notes.set("e", "1");
        for left in [&["a", "b", "c", "d", "e"][..], &["a", "b", "d", "e"], &["a", "d", "e"], &["e"]] {
            assert_eq!(notes.keys(""), left);
            assert_eq!(notes.count(""), left.len() as u64);
            subject.advance(TICK);
        }
    });

    cases.add("an expired counter starts again from 0", |subject| {
        let notes = subject.notes();
        let count = || {
            let write = notes.write_to("n", increment("1")).expiring(Expiry::After(SECOND));
            notes.write(vec![write])[0].text().map(str::to_owned)
        };
        assert_eq!((count().as_deref(), count().as_deref()), (Some("1"), Some("2")));
        subject.advance(SECOND);
        assert_eq!(count().as_deref(), Some("1"));
    });
}
