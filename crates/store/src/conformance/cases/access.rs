//! Reads are counted, late, on the record that was read and on no other.

use std::thread;

use super::Cases;
use crate::conformance::subject::{Handle, SECOND, Subject, TICK};
use crate::model::{PageSize, Range};

fn count_of(subject: &Subject<'_>, notes: &Handle, key: &str) -> u64 {
    subject.flush();
    notes.inspect(key).access_count
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("a read is counted with reader and time once it is flushed", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        subject.advance(SECOND);
        notes.as_agent("reader").get("a");
        subject.flush();
        let record = notes.inspect("a");
        assert_eq!(record.access_count, 1);
        assert_eq!(record.last_accessed_by_agent.as_deref(), Some("reader"));
        assert_eq!(record.last_accessed_at, Some(subject.now()));
    });

    cases.add("every verb that returns values counts a read of each", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("a", "1"), ("b", "2")]);
        notes.get("a");
        assert_eq!(count_of(subject, &notes, "a"), 1);
        notes.record("a");
        assert_eq!(count_of(subject, &notes, "a"), 2);
        notes.get_many(&["a", "b", "a", "missing"]);
        assert_eq!((count_of(subject, &notes, "a"), count_of(subject, &notes, "b")), (3, 1));
        notes.get_all();
        assert_eq!((count_of(subject, &notes, "a"), count_of(subject, &notes, "b")), (4, 2));
        notes.page(Range::default(), PageSize { rows: 1, bytes: usize::MAX });
        assert_eq!((count_of(subject, &notes, "a"), count_of(subject, &notes, "b")), (5, 2));
        notes.records();
        assert_eq!((count_of(subject, &notes, "a"), count_of(subject, &notes, "b")), (6, 3));
    });

    cases.add("verbs that return no values count nothing", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        notes.get("missing");
        notes.keys("");
        notes.count("");
        notes.list_namespaces("");
        notes.namespaces();
        assert_eq!(count_of(subject, &notes, "a"), 0);
    });

    cases.add("a write is an access that is not counted", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        subject.advance(SECOND);
        notes.as_agent("writer").set("a", "2");
        subject.flush();
        let record = notes.inspect("a");
        assert_eq!(record.access_count, 0);
        assert_eq!(record.last_accessed_by_agent.as_deref(), Some("writer"));
        assert_eq!(record.last_accessed_at, Some(subject.now()));
    });

    cases.add("the count survives every overwrite", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        notes.get("a");
        subject.flush();
        notes.set("a", "2");
        assert_eq!(notes.inspect("a").access_count, 1);
        notes.get("a");
        notes.set("a", "3");
        assert_eq!(count_of(subject, &notes, "a"), 2);
    });

    cases.add("reads of several agents add up and the last one is named", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        for agent in ["one", "two", "three", "two"] {
            subject.advance(SECOND);
            notes.as_agent(agent).get("a");
        }
        subject.flush();
        let record = notes.inspect("a");
        assert_eq!(record.access_count, 4);
        assert_eq!(record.last_accessed_by_agent.as_deref(), Some("two"));
        assert_eq!(record.last_accessed_at, Some(subject.now()));
    });

    cases.add("an administrator's reads leave no trace", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        let before = notes.inspect("a");
        subject.advance(SECOND);
        let administrator = notes.as_administrator();
        administrator.get("a");
        administrator.record("a");
        administrator.get_many(&["a"]);
        administrator.get_all();
        administrator.records();
        administrator.page(Range::default(), PageSize::ALL);
        subject.flush();
        assert_eq!(notes.inspect("a"), before);
    });

    cases.add("a read changes neither version nor update, and is no change", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        let (before, feed) = (notes.inspect("a"), subject.feed());
        subject.advance(SECOND);
        notes.get("a");
        subject.flush();
        let after = notes.inspect("a");
        assert_eq!((after.version, after.updated_at), (before.version, before.updated_at));
        assert_eq!(after.updated_by_agent, before.updated_by_agent);
        assert_eq!(subject.feed(), feed);
    });

    cases.add("a read flushed after a later write does not turn the last access back", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        subject.advance(SECOND);
        notes.as_agent("reader").get("a");
        subject.advance(SECOND);
        notes.as_agent("writer").set("a", "2");
        subject.flush();
        let record = notes.inspect("a");
        assert_eq!(record.access_count, 1);
        assert_eq!(record.last_accessed_by_agent.as_deref(), Some("writer"));
        assert_eq!(record.last_accessed_at, Some(subject.now()));
    });

    cases.add("reads of a record that is gone are dropped", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("deleted", "1"), ("kept", "1")]);
        notes.set_for(SECOND, "expired", "1");
        notes.in_namespace("cleared").set("a", "1");
        notes.get_all();
        notes.in_namespace("cleared").get_all();
        notes.delete("deleted");
        notes.in_namespace("cleared").clear();
        subject.advance(SECOND);
        subject.flush();
        assert_eq!(notes.keys(""), ["kept"]);
        assert_eq!(notes.in_namespace("cleared").count(""), 0);
        assert_eq!(notes.list_namespaces(""), [notes.namespace()]);
        assert_eq!(notes.inspect("kept").access_count, 1);
    });

    cases.add("reads of a record are not counted on its successor", |subject| {
        let notes = subject.notes();
        let cleared = notes.in_namespace("cleared");
        notes.set("deleted", "1");
        notes.set_for(SECOND, "expired", "1");
        notes.set_for(SECOND, "swept", "1");
        cleared.set("a", "1");
        notes.as_agent("reader").get_all();
        cleared.as_agent("reader").get_all();
        notes.delete("deleted");
        cleared.clear();
        subject.advance(SECOND);
        notes.set("expired", "2");
        subject.maintain();
        notes.set("swept", "2");
        notes.set("deleted", "2");
        cleared.set("a", "2");
        subject.flush();
        for record in notes.as_administrator().records().iter().chain(&cleared.as_administrator().records()) {
            assert_eq!(record.access_count, 0, "{}", record.key);
            assert_eq!(record.last_accessed_by_agent.as_deref(), Some("agent"), "{}", record.key);
        }
    });

    cases.add("reads are counted up to the last microsecond of a record", |subject| {
        let notes = subject.notes();
        notes.set_for(2 * TICK, "a", "1");
        subject.advance(TICK);
        assert!(notes.get("a").is_some());
        assert_eq!(count_of(subject, &notes, "a"), 1);
        subject.advance(TICK);
        assert!(notes.get("a").is_none());
        notes.set("a", "2");
        assert_eq!(count_of(subject, &notes, "a"), 0);
    });

    cases.add("reads of the same key in other namespaces and of other users are counted apart", |subject| {
        let notes = subject.notes();
        let others = [notes.in_namespace("other"), notes.of_user("other")];
        notes.set("a", "1");
        others.iter().for_each(|other| _ = other.set("a", "1"));
        notes.get("a");
        assert_eq!(count_of(subject, &notes, "a"), 1);
        for other in others {
            assert_eq!(other.inspect("a").access_count, 0);
        }
    });

    cases.add("a flush counts each read once", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        notes.get("a");
        subject.flush();
        subject.flush();
        assert_eq!(count_of(subject, &notes, "a"), 1);
    });

    cases.add("reads of many threads are all counted, whatever is flushed meanwhile", |subject| {
        const THREADS: u64 = 4;
        const READS: u64 = 500;
        let notes = subject.notes();
        notes.set("a", "1");
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| (0..READS).for_each(|_| assert!(notes.get("a").is_some())));
            }
            (0..20).for_each(|_| subject.flush());
        });
        assert_eq!(count_of(subject, &notes, "a"), THREADS * READS);
    });
}
