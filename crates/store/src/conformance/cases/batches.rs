//! Batches: all or nothing, in order.

use super::Cases;
use crate::blocking::block_on;
use crate::conformance::subject::{
    OutcomeExt, SECOND, TICK, USER, WriteExt, append, increment, json, merge, pairs, put, refused,
};
use crate::error::ErrorKind;
use crate::model::{Batch, Expiry, Mutation, Write};
use crate::quota::Quota;

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("a batch of nothing does nothing", |subject| {
        let notes = subject.notes();
        assert_eq!(notes.write(Vec::new()), []);
        assert_eq!(subject.feed(), []);
    });

    cases.add("a batch writes in several namespaces at once", |subject| {
        let notes = subject.notes();
        let other = notes.in_namespace("other");
        other.set("gone", "1");
        let writes = vec![
            notes.write_to("a", put("1")),
            other.write_to("a", put("2")),
            other.write_to("gone", Mutation::Delete),
            notes.in_namespace("third").write_to("n", increment("3")),
        ];
        let outcomes = notes.write(writes);
        assert_eq!(outcomes.iter().map(|outcome| outcome.existed).collect::<Vec<_>>(), [false, false, true, false]);
        assert_eq!(notes.get_all(), pairs([("a", "1")]));
        assert_eq!(other.get_all(), pairs([("a", "2")]));
        assert_eq!(notes.in_namespace("third").get_all(), pairs([("n", "3")]));
    });

    cases.add("a write of a batch sees the ones before it", |subject| {
        let notes = subject.notes();
        let writes = vec![
            notes.write_to("n", put("40")),
            notes.write_to("n", increment("1")),
            notes.write_to("n", increment("1")),
            notes.write_to("l", append("[1]")),
            notes.write_to("l", append("[2,3]")),
            notes.write_to("m", put(r#"{"a":1}"#)),
            notes.write_to("m", merge(r#"{"b":2}"#)),
        ];
        let outcomes = notes.write(writes);
        let results: Vec<_> = outcomes.iter().map(|outcome| (outcome.existed, outcome.text())).collect();
        let expected = [
            (false, None),
            (true, Some("41")),
            (true, Some("42")),
            (false, Some("1")),
            (true, Some("3")),
            (false, None),
            (true, Some(r#"{"a":1,"b":2}"#)),
        ];
        assert_eq!(results, expected);
        assert_eq!(notes.get_all(), pairs([("l", "[1,2,3]"), ("m", r#"{"a":1,"b":2}"#), ("n", "42")]));
    });

    cases.add("a batch may delete and create the same key", |subject| {
        let notes = subject.notes();
        notes.set_with(r#"{"a":1}"#, "a", "5");
        notes.get("a");
        subject.flush();
        subject.advance(SECOND);
        let writes = vec![notes.write_to("a", Mutation::Delete), notes.write_to("a", increment("1"))];
        let outcomes = notes.write(writes);
        assert_eq!((outcomes[0].existed, outcomes[1].existed), (true, false));
        let record = notes.inspect("a");
        assert_eq!((record.value.as_str(), record.metadata.as_str(), record.access_count), ("1", "{}", 0));
        assert_eq!(record.created_at, subject.now());
    });

    cases.add("a batch may create and delete the same key", |subject| {
        let notes = subject.notes();
        let writes = vec![notes.write_to("a", put("1")), notes.write_to("a", Mutation::Delete)];
        let outcomes = notes.write(writes);
        assert_eq!((outcomes[0].existed, outcomes[1].existed), (false, true));
        assert_eq!(notes.get("a"), None);
        assert_eq!(notes.list_namespaces(""), [""; 0]);
        assert_eq!(notes.stats(), None);
    });

    cases.add("metadata and expiry of a batch build on its earlier writes", |subject| {
        let notes = subject.notes();
        notes.write(vec![
            notes.write_to("a", put("1")).with_metadata(r#"{"a":1}"#).expiring(Expiry::After(SECOND)),
            notes.write_to("a", increment("1")).with_metadata(r#"{"b":2}"#),
        ]);
        let record = notes.record("a");
        assert_eq!(record.metadata.as_str(), r#"{"a":1,"b":2}"#);
        assert_eq!(record.expires_at, Some(subject.now().saturating_add(SECOND)));
    });

    cases.add("a batch that fails at its last write has done nothing", |subject| {
        let notes = subject.notes();
        let other = notes.in_namespace("other");
        notes.set_with(r#"{"a":1}"#, "a", "1");
        notes.set("list", "[]");
        other.set_for(SECOND, "b", "1");
        let before = (notes.as_administrator().records(), other.as_administrator().records());
        let (stats, feed) = (notes.namespaces(), subject.feed());
        subject.advance(TICK);
        let writes = vec![
            notes.write_to("new", put("1")),
            notes.write_to("a", put("2")).with_metadata(r#"{"b":1}"#),
            other.write_to("b", Mutation::Delete),
            notes.in_namespace("new").write_to("a", put("1")),
            notes.write_to("list", increment("1")),
        ];
        refused(notes.try_write(writes), ErrorKind::InvalidArgument);
        assert_eq!((notes.as_administrator().records(), other.as_administrator().records()), before);
        assert_eq!(notes.namespaces(), stats);
        assert_eq!(subject.feed(), feed);
        assert_eq!(notes.list_namespaces(""), ["notes", "other"]);
    });

    cases.add("a batch that was refused gets in the way of none after it", |subject| {
        let notes = subject.notes();
        notes.set("list", "[]");
        for index in 0..3 {
            let writes = vec![notes.write_to("a", increment("1")), notes.write_to("list", increment("1"))];
            refused(notes.try_write(writes), ErrorKind::InvalidArgument);
            assert_eq!(notes.apply("b", increment("1")).text(), Some(&*(index + 1).to_string()));
        }
        assert_eq!(notes.get("a"), None);
    });

    cases.add("set_many is all or nothing", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        let items = vec![("a", json("2")), ("b", json("2")), ("", json("2"))];
        refused(block_on(notes.verbs().set_many(items, None, None)), ErrorKind::InvalidArgument);
        assert_eq!(notes.get_all(), pairs([("a", "1")]));
    });

    cases.add("delete_many is all or nothing", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        refused(block_on(notes.verbs().delete_many(&["a", ""])), ErrorKind::InvalidArgument);
        assert_eq!(notes.get_all(), pairs([("a", "1")]));
    });

    cases.add("a batch of many writes is done in order", |subject| {
        let notes = subject.notes();
        let writes = (0..1_000).map(|index| notes.write_to(&format!("{:03}", index % 500), increment("1"))).collect();
        let outcomes = notes.write(writes);
        assert!(outcomes[..500].iter().all(|outcome| !outcome.existed && outcome.text() == Some("1")));
        assert!(outcomes[500..].iter().all(|outcome| outcome.existed && outcome.text() == Some("2")));
        assert_eq!(notes.count(""), 500);
    });

    cases.add("batches that are brought together are each whole, in order, and fail alone", |subject| {
        let notes = subject.notes();
        notes.set("full", "1");
        let of = |user: &str, writes: Vec<Write>| Batch {
            user: user.into(),
            agent: None,
            writes,
            request: None,
            quota: Some(Quota { records: Some(3), bytes: None }),
        };
        let batches = vec![
            of(USER, vec![notes.write_to("a", increment("1")), notes.write_to("b", put("1"))]),
            of(USER, vec![notes.write_to("a", increment("1")), notes.write_to("full", put("1")).if_version(0)]),
            of(USER, vec![notes.write_to("c", put("1"))]),
            of("other", vec![notes.write_to("a", increment("5"))]),
            of(USER, vec![notes.write_to("a", increment("1"))]),
        ];
        let results = block_on(subject.engine().write_each(batches)).expect("results");
        let results: Vec<_> = results
            .iter()
            .map(|result| result.as_ref().map(|done| done[0].text()).map_err(|error| error.kind()))
            .collect();
        let refused = [Err(ErrorKind::Conflict), Err(ErrorKind::QuotaExceeded)];
        assert_eq!(results, [Ok(Some("1")), refused[0], refused[1], Ok(Some("5")), Ok(Some("2"))]);
        assert_eq!(notes.get_all(), pairs([("a", "2"), ("b", "1"), ("full", "1")]));
        assert_eq!(block_on(subject.engine().write_each(Vec::new())).expect("no results").len(), 0);
    });
}
