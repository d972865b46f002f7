//! Namespaces exist while they hold a live record; their statistics are exact.

use super::Cases;
use crate::conformance::subject::{Handle, SECOND, Subject, WriteExt, append, increment, json, merge, put, refused};
use crate::error::ErrorKind;
use crate::model::{Expiry, Mutation};

/// The statistics of every namespace are those of a recount.
fn assert_exact(subject: &Subject<'_>, notes: &Handle, after: &str) {
    let everything = notes.everything();
    let names: Vec<&str> = everything.iter().map(|(stats, _)| &*stats.namespace).collect();
    assert_eq!(notes.list_namespaces(""), names, "{after}");
    for (stats, records) in &everything {
        assert_eq!(stats.records, records.len() as u64, "records after {after}");
        let bytes = records.iter().map(|record| {
            let metadata = record.metadata.as_str();
            record.key.len() + record.value.len() + if metadata == "{}" { 0 } else { metadata.len() }
        });
        assert_eq!(stats.bytes, bytes.sum::<usize>() as u64, "bytes after {after}");
        assert!(stats.updated_at <= subject.now(), "{after}");
    }
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("a namespace exists from its first record to its last", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        notes.set("b", "1");
        assert_eq!(notes.list_namespaces(""), [notes.namespace()]);
        notes.delete("a");
        assert_eq!(notes.list_namespaces(""), [notes.namespace()]);
        notes.delete("b");
        assert_eq!(notes.list_namespaces(""), [""; 0]);
        notes.set("a", "1");
        assert_eq!(notes.list_namespaces(""), [notes.namespace()]);
    });

    cases.add("a namespace that a batch makes and empties again has never been", |subject| {
        let notes = subject.notes();
        notes.write(vec![notes.write_to("a", put("1")), notes.write_to("a", Mutation::Delete)]);
        assert_eq!(notes.list_namespaces(""), [""; 0]);
        let before = subject.feed().len();
        assert_eq!(notes.clear(), 0);
        assert_eq!(subject.feed().len(), before, "there was nothing to clear");
        notes.as_agent("later").set("b", "1");
        let agents = notes.stats().map(|stats| stats.agents);
        assert_eq!(agents, Some(vec!["later".into()]));
    });

    cases.add("bytes count keys, values and metadata as UTF-8, without an empty metadata object", |subject| {
        let notes = subject.notes();
        notes.set("é", "\"中\"");
        assert_eq!(notes.stats().map(|stats| (stats.records, stats.bytes)), Some((1, 2 + 5)));
        notes.set_with(r#"{"a":1}"#, "b", "12");
        assert_eq!(notes.stats().map(|stats| (stats.records, stats.bytes)), Some((2, 7 + 1 + 2 + 7)));
        notes.set("b", "1");
        assert_eq!(notes.stats().map(|stats| (stats.records, stats.bytes)), Some((2, 7 + 1 + 1 + 7)));
        notes.delete("é");
        assert_eq!(notes.stats().map(|stats| (stats.records, stats.bytes)), Some((1, 9)));
    });

    cases.add("records and bytes are exact after every write", |subject| {
        let notes = subject.notes();
        let other = notes.in_namespace("other");
        let check = |after: &str| assert_exact(subject, &notes, after);
        notes.set("a", "1");
        check("set");
        notes.set_with(r#"{"source":"web"}"#, "a", "\"longer\"");
        check("overwrite");
        notes.set("a", "1");
        check("overwrite that keeps metadata");
        notes.set_many(&[("a", "2"), ("b", "22"), ("c", "222")]);
        check("set_many");
        notes.apply("n", increment("9"));
        notes.apply("n", increment("1"));
        check("increment");
        notes.apply("l", append("[1,2]"));
        notes.apply("l", Mutation::Append { items: json("[2,3]"), unique: true, max_length: Some(1) });
        check("append");
        notes.apply("m", merge(r#"{"a":{"b":1}}"#));
        notes.apply("m", merge(r#"{"a":null}"#));
        check("merge");
        notes.write(vec![notes.write_to("m", Mutation::Touch).with_metadata(r#"{"é":"😀"}"#)]);
        check("touch");
        notes.write(vec![notes.write_to("m", Mutation::Check).if_version(notes.record("m").version)]);
        check("check");
        notes.write(vec![
            notes.write_to("x", put("1")),
            notes.write_to("x", put("12345")).with_metadata(r#"{"a":1}"#),
            notes.write_to("x", Mutation::Delete),
            notes.write_to("x", put("1")),
            other.write_to("y", put("1")),
            notes.write_to("b", Mutation::Delete),
            other.write_to("z", Mutation::Delete),
        ]);
        check("batch");
        let refused_batch = vec![notes.write_to("x", put("[1,2,3]")), notes.write_to("x", increment("1"))];
        refused(notes.try_write(refused_batch), ErrorKind::InvalidArgument);
        check("refused batch");
        notes.delete("c");
        notes.delete("missing");
        check("delete");
        notes.delete_many(&["x", "n", "missing"]);
        check("delete_many");
        other.clear();
        check("clear");
        other.set("z", "null");
        check("set after clear");
    });

    cases.add("records and bytes are exact around every expiry", |subject| {
        let notes = subject.notes();
        let check = |after: &str| assert_exact(subject, &notes, after);
        for (seconds, key) in [(1, "a"), (1, "b"), (2, "c"), (2, "d"), (3, "e"), (9, "f")] {
            let set = notes.write_to(key, put("\"value\"")).with_metadata(r#"{"a":1}"#);
            notes.write(vec![set.expiring(Expiry::After(seconds * SECOND))]);
        }
        notes.set("kept", "1");
        check("set");
        subject.advance(SECOND);
        check("expiry");
        notes.set("a", "1");
        notes.delete("b");
        check("writes to expired records");
        subject.maintain();
        check("sweeping");
        notes.apply("c", merge(r#"{"a":1}"#));
        notes.write(vec![notes.write_to("d", Mutation::Touch).expiring(Expiry::Never)]);
        notes.write(vec![notes.write_to("e", put("1")).expiring(Expiry::After(5 * SECOND))]);
        subject.advance(SECOND);
        check("expiry of what was not touched");
        notes.write(vec![notes.write_to("c", put("1")), notes.write_to("c", Mutation::Delete)]);
        check("batch on an expired record");
        subject.advance(5 * SECOND);
        check("expiry of what was moved");
        subject.maintain();
        check("sweeping again");
        notes.clear();
        check("clear");
        subject.advance(5 * SECOND);
        subject.maintain();
        check("sweeping after the clear");
        assert_eq!(notes.namespaces(), []);
    });

    cases.add("statistics tell when a record was last written or deleted", |subject| {
        let notes = subject.notes();
        let updated_at = || notes.stats().map(|stats| stats.updated_at);
        notes.set_many(&[("a", "1"), ("b", "1")]);
        assert_eq!(updated_at(), Some(subject.now()));
        subject.advance(SECOND);
        notes.apply("a", increment("1"));
        assert_eq!(updated_at(), Some(subject.now()));
        subject.advance(SECOND);
        notes.delete("a");
        assert_eq!(updated_at(), Some(subject.now()));
        let last = updated_at();
        subject.advance(SECOND);
        notes.get("b");
        notes.delete("missing");
        notes.apply("b", Mutation::Check);
        notes.in_namespace("other").set("a", "1");
        subject.flush();
        assert_eq!(updated_at(), last);
    });

    cases.add("statistics name the agents that have written or read, sorted, once each", |subject| {
        let notes = subject.notes();
        notes.as_agent("writer").set("a", "1");
        notes.as_administrator().set("b", "1");
        notes.as_agent("Another").apply("a", increment("1"));
        notes.as_agent("reader").get("a");
        notes.as_agent("absent").get("missing");
        notes.as_administrator().get("a");
        notes.as_agent("elsewhere").in_namespace("other").set("a", "1");
        notes.as_agent("remover").delete("b");
        subject.flush();
        let agents = ["Another", "reader", "remover", "writer"].map(Into::into);
        assert_eq!(notes.stats().expect("stats").agents, agents);
        notes.as_agent("writer").set("c", "1");
        assert_eq!(notes.stats().expect("stats").agents, agents);
    });

    cases.add("agents are remembered for as long as the namespace is", |subject| {
        let notes = subject.notes();
        notes.as_agent("one").set("a", "1");
        notes.as_agent("two").set("b", "1");
        notes.as_agent("two").delete("a");
        assert_eq!(notes.stats().expect("stats").agents, ["one".into(), "two".into()]);
        notes.as_agent("two").delete("b");
        notes.as_agent("three").set("a", "1");
        assert_eq!(notes.stats().expect("stats").agents, ["three".into()]);
        notes.clear();
        notes.as_agent("four").set("a", "1");
        assert_eq!(notes.stats().expect("stats").agents, ["four".into()]);
    });

    cases.add("a namespace that a batch empties and fills again has never been gone", |subject| {
        let notes = subject.notes();
        notes.as_agent("one").set("a", "1");
        notes.as_agent("two").write(vec![notes.write_to("a", Mutation::Delete), notes.write_to("b", put("1"))]);
        assert_eq!(notes.stats().expect("stats").agents, ["one".into(), "two".into()]);
    });

    cases.add("a thousand namespaces are all listed", |subject| {
        let notes = subject.notes();
        let names: Vec<String> = (0..1_000).map(|index| format!("{index:04}")).collect();
        let writes = names.iter().map(|name| notes.in_namespace(name).write_to("a", put("1"))).collect();
        notes.write(writes);
        assert_eq!(notes.list_namespaces(""), names);
        assert_eq!(notes.namespaces().len(), 1_000);
        assert!(notes.namespaces().iter().all(|stats| (stats.records, stats.bytes) == (1, 2)));
    });
}
