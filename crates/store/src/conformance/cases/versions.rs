//! Versions: strictly rising per key, whatever happens to it.

use super::Cases;
use crate::conformance::subject::{SECOND, append, assert_rising, increment, merge, put};
use crate::model::Mutation;

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("set returns the version that the record then has", |subject| {
        let notes = subject.notes();
        let version = notes.set("a", "1");
        assert!(version > 0, "0 means that no record is there");
        assert_eq!(notes.record("a").version, version);
    });

    cases.add("every overwrite gives a greater version, also of an equal value", |subject| {
        let notes = subject.notes();
        assert_rising(&["1", "2", "2", "null", "1"].map(|value| notes.set("a", value)));
    });

    cases.add("every mutation gives a greater version", |subject| {
        let notes = subject.notes();
        let mutations = [
            put("1"),
            increment("1"),
            increment("0"),
            Mutation::Touch,
            merge("{}"),
            merge("[]"),
            append("[1]"),
            append("[]"),
            Mutation::Touch,
        ];
        assert_rising(&mutations.map(|mutation| notes.apply("a", mutation).version));
    });

    cases.add("what changes nothing gives no version", |subject| {
        let notes = subject.notes();
        let version = notes.set("a", "1");
        let check = notes.apply("a", Mutation::Check);
        assert_eq!((check.existed, check.version), (true, version));
        assert_eq!(notes.record("a").version, version);
        for mutation in [Mutation::Check, Mutation::Touch, Mutation::Delete] {
            let nothing = notes.apply("missing", mutation);
            assert_eq!((nothing.existed, nothing.version), (false, 0));
        }
    });

    cases.add("a delete leaves version 0", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        let outcome = notes.apply("a", Mutation::Delete);
        assert_eq!((outcome.existed, outcome.version, outcome.result), (true, 0, None));
    });

    cases.add("a version is greater than all before it, also across a deletion", |subject| {
        let notes = subject.notes();
        let mut versions = Vec::new();
        for value in ["1", "2", "3"] {
            versions.extend([notes.set("a", value), notes.set("a", value)]);
            notes.delete("a");
        }
        assert_rising(&versions);
    });

    cases.add("a version is greater than all before it, also across an expiry", |subject| {
        let notes = subject.notes();
        let mut versions = Vec::new();
        for sweep in [false, true, false] {
            versions.extend([notes.set("a", "1"), notes.set_for(SECOND, "a", "2")]);
            subject.advance(SECOND);
            if sweep {
                subject.maintain();
            }
        }
        versions.push(notes.set("a", "3"));
        assert_rising(&versions);
    });

    cases.add("a version is greater than all before it, also across a clear", |subject| {
        let notes = subject.notes();
        let mut versions = Vec::new();
        for sweep in [false, true, false] {
            versions.extend([notes.set("a", "1"), notes.set("a", "2")]);
            notes.clear();
            if sweep {
                subject.maintain();
            }
        }
        versions.push(notes.set("a", "3"));
        assert_rising(&versions);
    });

    cases.add_with(
        |options| options.changes_kept = 1,
        "a version is greater than all before it, also when the change feed has forgotten them",
        |subject| {
            let notes = subject.notes();
            let mut versions = vec![notes.set("a", "1"), notes.set("a", "2")];
            notes.delete("a");
            for index in 0..20 {
                notes.in_namespace("other").set("b", &index.to_string());
            }
            notes.in_namespace("other").clear();
            subject.maintain();
            versions.push(notes.set("a", "3"));
            assert_rising(&versions);
        },
    );

    cases.add("versions of a batch rise in the order of its writes", |subject| {
        let notes = subject.notes();
        let before = notes.set("a", "1");
        let writes = vec![
            notes.write_to("a", put("2")),
            notes.write_to("a", put("3")),
            notes.write_to("a", Mutation::Delete),
            notes.write_to("a", put("4")),
        ];
        let versions: Vec<_> = notes.write(writes).iter().map(|outcome| outcome.version).collect();
        assert_eq!(versions[2], 0);
        assert_rising(&[before, versions[0], versions[1], versions[3]]);
        assert_eq!(notes.record("a").version, versions[3]);
    });
}
