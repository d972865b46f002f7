//! Clear: a namespace goes at once, and what comes after begins anew.

use super::Cases;
use crate::blocking::block_on;
use crate::conformance::subject::{json, pairs, put};

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("clear removes every record of the namespace and returns how many", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("a", "1"), ("b", "2"), ("c", "3")]);
        notes.delete("c");
        assert_eq!(notes.clear(), 2);
        assert_eq!(notes.get("a"), None);
        assert_eq!(notes.find("a"), None);
        assert_eq!(notes.get_many(&["a", "b"]), []);
        assert_eq!(notes.get_all(), []);
        assert_eq!(notes.keys(""), [""; 0]);
        assert_eq!(notes.count(""), 0);
        assert_eq!(notes.list_namespaces(""), [""; 0]);
        assert_eq!(notes.namespaces(), []);
        assert!(!notes.delete("a"));
    });

    cases.add("clear of nothing returns 0", |subject| {
        let notes = subject.notes();
        assert_eq!(notes.clear(), 0);
        notes.set("a", "1");
        notes.delete("a");
        assert_eq!(notes.clear(), 0);
        notes.set("a", "1");
        assert_eq!((notes.clear(), notes.clear()), (1, 0));
    });

    cases.add("clear leaves other namespaces and other users", |subject| {
        let notes = subject.notes();
        // Names that begin with the cleared one, or nearly are it.
        let others = ["notes:1", "notesa", "note", "Notes", "notes ", "other"].map(|name| notes.in_namespace(name));
        let stranger = notes.of_user("other");
        notes.set("a", "1");
        stranger.set("a", "1");
        others.iter().for_each(|other| _ = other.set("a", "1"));
        assert_eq!(notes.clear(), 1);
        subject.maintain();
        for other in others.iter().chain([&stranger]) {
            assert_eq!(other.get_all(), pairs([("a", "1")]), "{}", other.namespace());
        }
    });

    cases.add("a namespace begins anew after a clear, whenever it is swept", |subject| {
        let notes = subject.notes();
        for round in 0..4 {
            notes.set_with(r#"{"old":1}"#, "a", "1");
            notes.set_many(&[("b", "2"), ("c", "3")]);
            assert_eq!(notes.count(""), 3, "round {round}");
            assert_eq!(notes.clear(), 3, "round {round}");
            if round % 2 == 0 {
                subject.maintain();
            }
            let outcome = notes.apply("a", put("4"));
            assert!(!outcome.existed);
            assert_eq!(notes.record("a").metadata.as_str(), "{}");
            assert_eq!(notes.get_all(), pairs([("a", "4")]));
            assert_eq!(notes.stats().map(|stats| (stats.records, stats.bytes)), Some((1, 2)));
            subject.maintain();
            assert_eq!(notes.get_all(), pairs([("a", "4")]));
            assert_eq!(notes.clear(), 1);
        }
        subject.maintain();
        assert_eq!(notes.list_namespaces(""), [""; 0]);
    });

    cases.add("clear counts many records exactly", |subject| {
        let notes = subject.notes();
        let items = (0..10_000).map(|index| (index.to_string(), json("1"))).collect();
        block_on(notes.verbs().set_many(items, None, None)).expect("set_many");
        assert_eq!(notes.clear(), 10_000);
        notes.set("again", "1");
        subject.maintain();
        assert_eq!(notes.get_all(), pairs([("again", "1")]));
    });
}
