//! Metadata: an object beside the value, merged key by key.

use super::Cases;
use crate::blocking::block_on;
use crate::conformance::subject::{Handle, SECOND, WriteExt, append, increment, json, merge, put, refused};
use crate::data_store::SetOptions;
use crate::error::ErrorKind;
use crate::model::Mutation;

fn metadata_of(notes: &Handle, key: &str) -> String {
    notes.record(key).metadata.to_string()
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("metadata is an empty object where none was given", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        notes.set_with("{}", "b", "1");
        notes.apply("c", increment("1"));
        for key in ["a", "b", "c"] {
            assert_eq!(metadata_of(&notes, key), "{}", "{key}");
        }
    });

    cases.add("metadata is merged key by key", |subject| {
        let notes = subject.notes();
        notes.set_with(r#"{"source":"web","rank":1}"#, "a", "1");
        notes.set_with(r#"{"rank":2,"checked":true}"#, "a", "2");
        assert_eq!(metadata_of(&notes, "a"), r#"{"source":"web","rank":2,"checked":true}"#);
    });

    cases.add("metadata is merged no deeper than its keys", |subject| {
        let notes = subject.notes();
        notes.set_with(r#"{"a":{"x":1},"b":[1],"c":1}"#, "a", "1");
        notes.set_with(r#"{"a":{"y":2},"b":[2],"c":null}"#, "a", "1");
        assert_eq!(metadata_of(&notes, "a"), r#"{"a":{"y":2},"b":[2],"c":null}"#);
    });

    cases.add("no metadata, or an empty object, leaves what is there", |subject| {
        let notes = subject.notes();
        notes.set_with(r#"{"a":1}"#, "a", "1");
        notes.set("a", "2");
        assert_eq!(metadata_of(&notes, "a"), r#"{"a":1}"#);
        notes.set_with("{}", "a", "3");
        assert_eq!(metadata_of(&notes, "a"), r#"{"a":1}"#);
    });

    cases.add("every mutation keeps metadata and merges what it brings", |subject| {
        let notes = subject.notes();
        let starts = [("set", "1", put("2")), ("increment", "1", increment("1")), ("append", "[]", append("[1]"))];
        let more = [("merge", "{}", merge("{}")), ("touch", "1", Mutation::Touch)];
        for (key, value, mutation) in starts.into_iter().chain(more) {
            notes.set_with(r#"{"a":1}"#, key, value);
            notes.apply(key, mutation.clone());
            assert_eq!(metadata_of(&notes, key), r#"{"a":1}"#, "{key}");
            notes.write(vec![notes.write_to(key, mutation).with_metadata(r#"{"b":2}"#)]);
            assert_eq!(metadata_of(&notes, key), r#"{"a":1,"b":2}"#, "{key}");
        }
    });

    cases.add("metadata keeps odd names and exact numbers", |subject| {
        let notes = subject.notes();
        let odd = r#"{"":1,"a:b/%":9007199254740993,"\"":1.0,"😀":"é"}"#;
        notes.set_with(odd, "a", "1");
        assert_eq!(metadata_of(&notes, "a"), odd);
        notes.set_with(r#"{"z":0}"#, "a", "1");
        assert_eq!(metadata_of(&notes, "a"), format!("{},\"z\":0}}", &odd[..odd.len() - 1]));
    });

    cases.add("set_many gives every item its metadata and time to live", |subject| {
        let notes = subject.notes();
        notes.set_with(r#"{"old":1}"#, "a", "0");
        let items = vec![("a", json("1")), ("b", json("2"))];
        block_on(notes.verbs().set_many(items, Some(json(r#"{"new":2}"#)), Some(SECOND))).expect("set_many");
        assert_eq!(metadata_of(&notes, "a"), r#"{"old":1,"new":2}"#);
        assert_eq!(metadata_of(&notes, "b"), r#"{"new":2}"#);
        for record in notes.records() {
            assert_eq!(record.expires_at, Some(subject.now().saturating_add(SECOND)));
        }
    });

    cases.add("metadata goes with its record", |subject| {
        let notes = subject.notes();
        notes.set_with(r#"{"a":1}"#, "deleted", "1");
        notes.delete("deleted");
        notes.set("deleted", "1");
        assert_eq!(metadata_of(&notes, "deleted"), "{}");

        notes.set_with(r#"{"a":1}"#, "expired", "1");
        notes.set_for(SECOND, "expired", "1");
        subject.advance(SECOND);
        notes.set_with(r#"{"b":1}"#, "expired", "1");
        assert_eq!(metadata_of(&notes, "expired"), r#"{"b":1}"#);

        notes.clear();
        notes.set("expired", "1");
        assert_eq!(metadata_of(&notes, "expired"), "{}");
    });

    cases.add("metadata that is not an object is refused", |subject| {
        let notes = subject.notes();
        for metadata in ["null", "[]", "1", "\"a\""] {
            let options = SetOptions { metadata: Some(json(metadata)), ..SetOptions::default() };
            refused(notes.try_set("a", "1", options), ErrorKind::InvalidArgument);
        }
        assert_eq!(notes.get("a"), None);
    });

    cases.add_with(
        |options| options.limits.metadata_bytes = 33,
        "metadata is limited in what it has become, and an excess stores nothing",
        |subject| {
            let notes = subject.notes();
            notes.set_with(r#"{"a":"0123456789","b":"01234567"}"#, "exact", "1");
            notes.set_with(r#"{"a":"0123456789"}"#, "a", "1");
            let before = notes.inspect("a");
            let options = SetOptions { metadata: Some(json(r#"{"b":"012345678"}"#)), ..SetOptions::default() };
            let error = refused(notes.try_set("a", "2", options), ErrorKind::TooLarge);
            assert_eq!((error.namespace(), error.key()), (Some(notes.namespace()), Some("a")));
            assert_eq!(notes.inspect("a"), before);
            notes.set_with(r#"{"b":"01234567"}"#, "a", "2");
            assert_eq!(notes.get("a").as_deref(), Some("2"));
        },
    );
}
