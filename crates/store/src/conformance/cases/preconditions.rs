//! Compare and set: a write that holds only of the version that was read.

use super::Cases;
use crate::conformance::subject::{Handle, SECOND, WriteExt, append, increment, merge, put, refused};
use crate::error::{ErrorKind, Result, VersionMismatch};
use crate::model::{Mutation, Version};

fn assert_conflict<T: std::fmt::Debug>(
    result: Result<T>,
    notes: &Handle,
    key: &str,
    [expected, actual]: [Version; 2],
) {
    let error = refused(result, ErrorKind::Conflict);
    assert_eq!(error.version_mismatch(), Some(VersionMismatch { expected, actual }));
    assert_eq!((error.namespace(), error.key()), (Some(notes.namespace()), Some(key)));
    assert!(!error.is_retryable(), "the same call cannot succeed later");
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("a write for the present version is done", |subject| {
        let notes = subject.notes();
        let version = notes.set("a", "1");
        let next = notes.set_if(version, "a", "2").expect("set");
        assert!(next > version);
        assert_eq!(notes.record("a").version, next);
        assert_eq!(notes.get("a").as_deref(), Some("2"));
    });

    cases.add("a write for another version is a conflict that names both and stores nothing", |subject| {
        let notes = subject.notes();
        let old = notes.set("a", "1");
        let present = notes.set_with(r#"{"a":1}"#, "a", "2");
        let (before, feed) = (notes.inspect("a"), subject.feed());
        for expected in [old, present + 1, 0] {
            assert_conflict(notes.set_if(expected, "a", "3"), &notes, "a", [expected, present]);
        }
        assert_eq!(notes.inspect("a"), before);
        assert_eq!(subject.feed(), feed);
    });

    cases.add("version 0 stands for a missing record", |subject| {
        let notes = subject.notes();
        assert_conflict(notes.set_if(7, "a", "1"), &notes, "a", [7, 0]);
        assert_eq!(notes.get("a"), None);
        let version = notes.set_if(0, "a", "1").expect("set");
        assert_conflict(notes.set_if(0, "a", "2"), &notes, "a", [0, version]);
        assert_eq!(notes.get("a").as_deref(), Some("1"));
    });

    cases.add("a version is never that of a record created later", |subject| {
        let notes = subject.notes();
        let version = notes.set("deleted", "1");
        notes.delete("deleted");
        assert_conflict(notes.set_if(version, "deleted", "2"), &notes, "deleted", [version, 0]);
        let later = notes.set_if(0, "deleted", "1").expect("set");
        assert_conflict(notes.set_if(version, "deleted", "2"), &notes, "deleted", [version, later]);

        let version = notes.set_for(SECOND, "expired", "1");
        subject.advance(SECOND);
        assert_conflict(notes.set_if(version, "expired", "2"), &notes, "expired", [version, 0]);
        let later = notes.set_if(0, "expired", "1").expect("set");
        assert_conflict(notes.set_if(version, "expired", "2"), &notes, "expired", [version, later]);

        notes.clear();
        assert_conflict(notes.set_if(later, "expired", "2"), &notes, "expired", [later, 0]);
        let latest = notes.set_if(0, "expired", "1").expect("set");
        assert_conflict(notes.set_if(later, "expired", "2"), &notes, "expired", [later, latest]);
    });

    cases.add("every mutation heeds its precondition", |subject| {
        let notes = subject.notes();
        let mutations = [
            ("1", put("2")),
            ("1", increment("1")),
            ("[]", append("[1]")),
            ("{}", merge("{}")),
            ("1", Mutation::Touch),
            ("1", Mutation::Check),
            ("1", Mutation::Delete),
        ];
        for (value, mutation) in mutations {
            let version = notes.set("a", value);
            let before = notes.inspect("a");
            let stale = notes.write_to("a", mutation.clone()).if_version(version - 1);
            assert_conflict(notes.try_write(vec![stale]), &notes, "a", [version - 1, version]);
            assert_eq!(notes.inspect("a"), before, "{mutation:?}");
            let exact = notes.write_to("a", mutation.clone()).if_version(version);
            assert!(notes.write(vec![exact])[0].existed, "{mutation:?}");
        }
    });

    cases.add("a precondition on a missing record holds of every mutation", |subject| {
        let notes = subject.notes();
        let mutations = [put("1"), increment("1"), append("[1]"), merge("{}")];
        let nothing = [Mutation::Touch, Mutation::Check, Mutation::Delete];
        for (index, mutation) in mutations.into_iter().chain(nothing).enumerate() {
            let key = index.to_string();
            let wrong = notes.write_to(&key, mutation.clone()).if_version(9);
            assert_conflict(notes.try_write(vec![wrong]), &notes, &key, [9, 0]);
            let right = notes.write_to(&key, mutation).if_version(0);
            assert!(!notes.write(vec![right])[0].existed);
        }
        assert_eq!(notes.keys(""), ["0", "1", "2", "3"]);
    });

    cases.add("a conflict stores nothing of its batch", |subject| {
        let notes = subject.notes();
        let other = notes.in_namespace("other");
        let version = notes.set("a", "1");
        other.set("b", "1");
        let feed = subject.feed();
        let writes = vec![
            notes.write_to("new", put("1")),
            other.write_to("b", Mutation::Delete),
            notes.write_to("a", put("2")).if_version(version + 1),
            other.write_to("c", put("1")),
        ];
        assert_conflict(notes.try_write(writes), &notes, "a", [version + 1, version]);
        assert_eq!(notes.keys(""), ["a"]);
        assert_eq!(other.keys(""), ["b"]);
        assert_eq!(notes.get("a").as_deref(), Some("1"));
        assert_eq!(subject.feed(), feed);
    });

    cases.add("a check guards the other writes of its batch", |subject| {
        let notes = subject.notes();
        let version = notes.set("guard", "1");
        let guarded = |version, value| {
            vec![notes.write_to("guard", Mutation::Check).if_version(version), notes.write_to("a", put(value))]
        };
        notes.write(guarded(version, "1"));
        assert_eq!(notes.get("a").as_deref(), Some("1"));
        assert_eq!(notes.record("guard").version, version);
        notes.set("guard", "2");
        refused(notes.try_write(guarded(version, "2")), ErrorKind::Conflict);
        assert_eq!(notes.get("a").as_deref(), Some("1"));
    });

    cases.add("the conflict of a batch is its first one", |subject| {
        let notes = subject.notes();
        let other = notes.in_namespace("other");
        let writes = vec![
            notes.write_to("a", put("1")).if_version(0),
            other.write_to("b", put("1")).if_version(5),
            notes.write_to("c", put("1")).if_version(6),
        ];
        assert_conflict(notes.try_write(writes), &other, "b", [5, 0]);
    });

    cases.add("a precondition sees the earlier writes of its batch", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        let replace =
            vec![notes.write_to("a", Mutation::Delete), notes.write_to("a", put("2")).if_version(0)];
        notes.write(replace);
        assert_eq!(notes.get("a").as_deref(), Some("2"));
        let version = notes.record("a").version;
        let twice = vec![
            notes.write_to("a", put("3")).if_version(version),
            notes.write_to("a", put("4")).if_version(version),
        ];
        let error = refused(notes.try_write(twice), ErrorKind::Conflict);
        assert!(error.version_mismatch().expect("versions").actual > version);
        assert_eq!(notes.get("a").as_deref(), Some("2"));
    });

    cases.add("the message of a conflict carries no value", |subject| {
        let notes = subject.notes();
        notes.set("a", "\"secret\"");
        let error = refused(notes.set_if(0, "a", "\"secret\""), ErrorKind::Conflict);
        assert!(!error.to_string().contains("secret") && !format!("{error:?}").contains("secret"));
    });
}
