//! Append and merge.

use super::Cases;
use crate::conformance::subject::{Handle, OutcomeExt, append, json, merge, refused};
use crate::error::ErrorKind;
use crate::model::Mutation;

fn append_within(items: &str, max_length: usize) -> Mutation {
    Mutation::Append { items: json(items), unique: false, max_length: Some(max_length) }
}

fn append_unique(items: &str) -> Mutation {
    Mutation::Append { items: json(items), unique: true, max_length: None }
}

/// The length is returned, the list stored.
fn assert_list(notes: &Handle, mutation: Mutation, length: &str, list: &str) {
    assert_eq!(notes.apply("l", mutation).text(), Some(length));
    assert_eq!(notes.get("l").as_deref(), Some(list));
}

/// The merged value is returned and stored.
fn assert_merged(notes: &Handle, patch: &str, merged: &str) {
    assert_eq!(notes.apply("m", merge(patch)).text(), Some(merged), "{patch}");
    assert_eq!(notes.get("m").as_deref(), Some(merged), "{patch}");
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("append adds items at the end and returns the length", |subject| {
        let notes = subject.notes();
        notes.set("l", "[1]");
        assert_list(&notes, append(r#"["two",{"three":3.0}]"#), "3", r#"[1,"two",{"three":3.0}]"#);
        assert_list(&notes, append("[[],null]"), "5", r#"[1,"two",{"three":3.0},[],null]"#);
        assert_list(&notes, append("[]"), "5", r#"[1,"two",{"three":3.0},[],null]"#);
    });

    cases.add("append takes a missing key for an empty list", |subject| {
        let notes = subject.notes();
        let outcome = notes.apply("l", append("[1,2]"));
        assert_eq!((outcome.existed, outcome.text()), (false, Some("2")));
        assert_eq!(notes.get("l").as_deref(), Some("[1,2]"));
        notes.delete("l");
        assert_list(&notes, append("[]"), "0", "[]");
    });

    cases.add("append can leave out what the list holds already", |subject| {
        let notes = subject.notes();
        assert_list(&notes, append_unique(r#"[1,"a",1,{"x":1,"y":2}]"#), "3", r#"[1,"a",{"x":1,"y":2}]"#);
        assert_list(&notes, append_unique(r#"[1.0,"a",{"y":2,"x":1}]"#), "3", r#"[1,"a",{"x":1,"y":2}]"#);
        assert_list(&notes, append_unique(r#"["1",true]"#), "5", r#"[1,"a",{"x":1,"y":2},"1",true]"#);
    });

    cases.add("append can drop the oldest items above a length", |subject| {
        let notes = subject.notes();
        assert_list(&notes, append_within("[1,2]", 3), "2", "[1,2]");
        assert_list(&notes, append_within("[3,4]", 3), "3", "[2,3,4]");
        assert_list(&notes, append_within("[5,6,7,8]", 3), "3", "[6,7,8]");
        assert_list(&notes, append_within("[]", 1), "1", "[8]");
    });

    cases.add("append refuses what is not a list and changes nothing", |subject| {
        let notes = subject.notes();
        for value in ["null", "1", "\"[]\"", "{}"] {
            notes.set("l", value);
            let before = notes.inspect("l");
            let error = refused(notes.try_apply("l", append("[1]")), ErrorKind::InvalidArgument);
            assert_eq!(error.key(), Some("l"));
            assert_eq!(notes.inspect("l"), before);
            refused(notes.try_apply("missing", append(value)), ErrorKind::InvalidArgument);
        }
        assert_eq!(notes.get("missing"), None);
    });

    cases.add_with(
        |options| options.limits.value_bytes = 9,
        "append and merge refuse a result larger than the limit and change nothing",
        |subject| {
            let notes = subject.notes();
            notes.set("l", "[1,2,3]");
            notes.apply("l", append("[4]"));
            refused(notes.try_apply("l", append("[5]")), ErrorKind::TooLarge);
            assert_list(&notes, append_within("[5]", 4), "4", "[2,3,4,5]");
            notes.set("m", r#"{"a":100}"#);
            refused(notes.try_apply("m", merge(r#"{"b":1}"#)), ErrorKind::TooLarge);
            assert_eq!(notes.get("m").as_deref(), Some(r#"{"a":100}"#));
        },
    );

    cases.add("merge sets members, removes those patched with null and leaves the rest", |subject| {
        let notes = subject.notes();
        notes.set("m", r#"{"title":"a","author":{"name":"b","mail":"c"},"tags":["x"],"n":1}"#);
        assert_merged(
            &notes,
            r#"{"title":"z","author":{"mail":null},"tags":["y","z"],"phone":"1"}"#,
            r#"{"title":"z","author":{"name":"b"},"tags":["y","z"],"n":1,"phone":"1"}"#,
        );
        assert_merged(&notes, r#"{"missing":null}"#, r#"{"title":"z","author":{"name":"b"},"tags":["y","z"],"n":1,"phone":"1"}"#);
    });

    cases.add("merge replaces what is not an object, and by what is not an object", |subject| {
        let notes = subject.notes();
        notes.set("m", "[1,2]");
        assert_merged(&notes, r#"{"a":{"b":null,"c":1}}"#, r#"{"a":{"c":1}}"#);
        assert_merged(&notes, r#"{"a":[{"b":null}]}"#, r#"{"a":[{"b":null}]}"#);
        assert_merged(&notes, "[null]", "[null]");
        assert_merged(&notes, "null", "null");
        assert_merged(&notes, r#""text""#, r#""text""#);
    });

    cases.add("merge takes a missing key for absent", |subject| {
        let notes = subject.notes();
        let outcome = notes.apply("m", merge(r#"{"a":1,"b":null,"c":{"d":null}}"#));
        assert_eq!((outcome.existed, outcome.text()), (false, Some(r#"{"a":1,"c":{}}"#)));
        assert_eq!(notes.get("m").as_deref(), Some(r#"{"a":1,"c":{}}"#));
    });

    cases.add("merge keeps numbers and strings that it does not touch to the last digit", |subject| {
        let notes = subject.notes();
        notes.set("m", r#"{"big":123456789012345678901234567890,"float":1.0,"text":"\u00e9"}"#);
        assert_merged(
            &notes,
            r#"{"new":1e2}"#,
            r#"{"big":123456789012345678901234567890,"float":1.0,"text":"\u00e9","new":1e2}"#,
        );
    });
}
