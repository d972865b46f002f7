//! Limits hold, at the sizes that the store was opened with.

use super::Cases;
use crate::blocking::block_on;
use crate::conformance::subject::{append, increment, json, merge, pairs, put, refused};
use crate::data_store::SetOptions;
use crate::error::ErrorKind::TooLarge;
use crate::json::Json;

pub(super) fn add_to(cases: &mut Cases) {
    cases.add_with(
        |options| options.limits.value_bytes = 10,
        "a value above the limit is refused by every verb and nothing is stored",
        |subject| {
            let notes = subject.notes();
            notes.set("a", "\"01234567\"");
            notes.set("l", "[]");
            let long = "\"012345678\"";
            let list = "[123456789]";
            refused(notes.try_set("a", long, SetOptions::default()), TooLarge);
            refused(block_on(notes.verbs().set_many(vec![("a", json("1")), ("b", json(long))], None, None)), TooLarge);
            refused(notes.try_write(vec![notes.write_to("a", put("1")), notes.write_to("b", put(long))]), TooLarge);
            refused(notes.try_apply("b", merge(long)), TooLarge);
            refused(notes.try_apply("l", append(list)), TooLarge);
            refused(notes.try_apply("n", increment("12345678901")), TooLarge);
            refused(Json::parse(long, subject.store().limits()), TooLarge);
            assert_eq!(notes.get_all(), pairs([("a", "\"01234567\""), ("l", "[]")]));
        },
    );

    cases.add_with(
        |options| options.limits.value_bytes = 17 << 20,
        "the limit of values may be raised",
        |subject| {
            let notes = subject.notes();
            let value = format!("\"{}\"", "x".repeat(subject.store().limits().value_bytes - 2));
            let checked = Json::parse(&value, subject.store().limits()).expect("within the raised limit");
            block_on(notes.verbs().set("a", checked, SetOptions::default())).expect("set");
            assert!(notes.get("a").as_deref() == Some(&*value), "changed");
        },
    );

    cases.add_with(
        |options| options.limits.metadata_bytes = 10,
        "metadata above the limit is refused by every verb and nothing is stored",
        |subject| {
            let notes = subject.notes();
            notes.set_with(r#"{"a":1234}"#, "a", "1");
            let long = || Some(json(r#"{"a":12345}"#));
            let options = SetOptions { metadata: long(), ..SetOptions::default() };
            refused(notes.try_set("b", "1", options), TooLarge);
            refused(block_on(notes.verbs().set_many(vec![("b", json("1"))], long(), None)), TooLarge);
            let mut write = notes.write_to("b", put("1"));
            write.metadata = long();
            refused(notes.try_write(vec![write]), TooLarge);
            assert_eq!(notes.keys(""), ["a"]);
        },
    );

    cases.add_with(
        |options| options.limits.batch_writes = 3,
        "a batch above the limit is refused by every verb and nothing is done",
        |subject| {
            let notes = subject.notes();
            let verbs = notes.verbs();
            let items = |count: usize| (0..count).map(|index| (index.to_string(), json("1"))).collect::<Vec<_>>();
            assert_eq!(block_on(verbs.set_many(items(3), None, None)).expect("set_many"), 3);
            refused(block_on(verbs.set_many(items(4), None, None)), TooLarge);
            let writes = |count| (0..count).map(|_| notes.write_to("n", increment("1"))).collect::<Vec<_>>();
            assert_eq!(notes.write(writes(3)).len(), 3);
            refused(notes.try_write(writes(4)), TooLarge);
            assert_eq!(notes.get_many(&["0", "1", "2"]).len(), 3);
            refused(block_on(verbs.get_many(&["0", "1", "2", "3"])), TooLarge);
            refused(block_on(verbs.delete_many(&["0", "1", "2", "3"])), TooLarge);
            assert_eq!(notes.get_all(), pairs([("0", "1"), ("1", "1"), ("2", "1"), ("n", "3")]));
            assert_eq!(notes.delete_many(&["0", "1", "2"]), 3);
        },
    );

    cases.add_with(
        |options| options.limits.batch_writes = 3,
        "what returns a whole namespace is not limited by the size of batches",
        |subject| {
            let notes = subject.notes();
            for key in ["a", "b", "c", "d", "e"] {
                notes.set(key, "1");
            }
            assert_eq!((notes.get_all().len(), notes.keys("").len(), notes.clear()), (5, 5, 5));
        },
    );

    cases.add("a batch of as many writes as the limit is done", |subject| {
        let notes = subject.notes();
        let limit = subject.store().limits().batch_writes;
        let items = (0..limit).map(|index| (index.to_string(), json("1"))).collect();
        assert_eq!(block_on(notes.verbs().set_many(items, None, None)).expect("set_many"), limit as u64);
        assert_eq!(notes.count(""), limit as u64);
    });

    cases.add("no error carries a value", |subject| {
        let notes = subject.notes();
        notes.set("a", "\"secret\"");
        let errors = [
            notes.try_apply("a", increment("1")).map(drop),
            notes.try_apply("a", increment("\"secret\"")).map(drop),
            notes.try_apply("a", append("[\"secret\"]")).map(drop),
            notes.set_if(0, "a", "\"secret\"").map(drop),
        ];
        for error in errors {
            let error = error.expect_err("must be refused");
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
    });
}
