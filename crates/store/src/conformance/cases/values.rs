//! Setting, getting, deleting; values come out as they went in.

use super::Cases;
use crate::blocking::block_on;
use crate::conformance::subject::{Handle, json, pairs};
use crate::limits::Limits;

/// Each value must be the same bytes when it comes back, alone and among others.
fn assert_kept(notes: &Handle, values: &[&str]) {
    for (index, value) in values.iter().enumerate() {
        let key = format!("{index:03}");
        notes.set(&key, value);
        assert!(notes.get(&key).as_deref() == Some(value), "changed: {value:.200}");
        assert!(notes.record(&key).value.as_str() == *value, "changed in the record: {value:.200}");
    }
    let all = notes.get_all();
    assert!(all.iter().map(|(_, value)| value.as_str()).eq(values.iter().copied()), "changed in get_all");
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("a fresh store is empty", |subject| {
        let notes = subject.notes();
        assert_eq!(notes.get("a"), None);
        assert_eq!(notes.get_all(), []);
        assert_eq!(notes.keys(""), [""; 0]);
        assert_eq!(notes.count(""), 0);
        assert_eq!(notes.list_namespaces(""), [""; 0]);
        assert_eq!(notes.namespaces(), []);
        assert_eq!(subject.feed(), []);
    });

    cases.add("a value set is a value got", |subject| {
        let notes = subject.notes();
        notes.set("a", r#"{"status":"active"}"#);
        assert_eq!(notes.get("a").as_deref(), Some(r#"{"status":"active"}"#));
        assert_eq!(notes.record("a").value.as_str(), r#"{"status":"active"}"#);
    });

    cases.add("an overwrite replaces the value", |subject| {
        let notes = subject.notes();
        notes.set("a", r#"{"long":"before"}"#);
        notes.set("a", "1");
        assert_eq!(notes.get("a").as_deref(), Some("1"));
        assert_eq!(notes.count(""), 1);
    });

    cases.add("a missing key has neither value nor record", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        assert_eq!(notes.get("b"), None);
        assert_eq!(notes.find("b"), None);
    });

    cases.add("null is a value, not a missing key", |subject| {
        let notes = subject.notes();
        notes.set("a", "null");
        assert_eq!(notes.get("a").as_deref(), Some("null"));
        assert_eq!(notes.get_many(&["a", "b"]), pairs([("a", "null")]));
        assert_eq!(notes.count(""), 1);
        assert!(notes.delete("a"));
    });

    cases.add("a deleted key is missing", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("a", "1"), ("b", "2")]);
        assert!(notes.delete("a"));
        assert_eq!(notes.get("a"), None);
        assert_eq!(notes.find("a"), None);
        assert_eq!(notes.get_all(), pairs([("b", "2")]));
        assert_eq!(notes.keys(""), ["b"]);
        assert_eq!(notes.count(""), 1);
    });

    cases.add("delete tells whether a record was there", |subject| {
        let notes = subject.notes();
        assert!(!notes.delete("a"));
        notes.set("a", "1");
        assert!(notes.delete("a"));
        assert!(!notes.delete("a"));
    });

    cases.add("get_many returns what is there in the order asked, once each", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("a", "1"), ("b", "2"), ("c", "3")]);
        assert_eq!(notes.get_many(&["c", "missing", "a", "c", "b"]), pairs([("c", "3"), ("a", "1"), ("b", "2")]));
        assert_eq!(notes.get_many(&["missing"]), []);
        assert_eq!(notes.get_many(&[]), []);
    });

    cases.add("get_all returns a whole namespace in order of its keys", |subject| {
        let notes = subject.notes();
        notes.set("b", "2");
        notes.set("a", "1");
        notes.in_namespace("other").set("c", "3");
        assert_eq!(notes.get_all(), pairs([("a", "1"), ("b", "2")]));
    });

    cases.add("set_many sets every item and returns how many", |subject| {
        let notes = subject.notes();
        notes.set("a", "0");
        assert_eq!(notes.set_many(&[("a", "1"), ("b", "2")]), 2);
        assert_eq!(notes.get_all(), pairs([("a", "1"), ("b", "2")]));
        assert_eq!(notes.set_many(&[]), 0);
    });

    cases.add("delete_many removes every key and returns how many were there", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("a", "1"), ("b", "2"), ("c", "3")]);
        assert_eq!(notes.delete_many(&["a", "missing", "c", "a"]), 2);
        assert_eq!(notes.get_all(), pairs([("b", "2")]));
        assert_eq!(notes.delete_many(&[]), 0);
    });

    cases.add("ten thousand records are all kept", |subject| {
        let notes = subject.notes();
        let keys: Vec<String> = (0..10_000).map(|index| format!("{index:05}")).collect();
        let items = keys.iter().map(|key| (key, json(&format!("[\"{key}\"]")))).collect();
        assert_eq!(block_on(notes.verbs().set_many(items, None, None)).expect("set_many"), 10_000);
        assert_eq!(notes.count(""), 10_000);
        assert_eq!(notes.keys(""), keys);
        let all = notes.get_all();
        assert!(all.iter().all(|(key, value)| *value == format!("[\"{key}\"]")));
        let asked: Vec<&str> = keys.iter().rev().map(String::as_str).collect();
        assert!(notes.get_many(&asked).iter().rev().eq(&all));
    });

    cases.add("every kind of value comes back byte for byte", |subject| {
        let kinds = ["true", "false", "null", "0", "\"\"", "[]", "{}", "[[],{}]", "[null,[1,{\"a\":[]}]]", "\"null\""];
        assert_kept(&subject.notes(), &kinds);
    });

    cases.add("integers of any size come back to the last digit", |subject| {
        let huge = "9".repeat(5_000);
        let sizes = ["9007199254740993", "-9223372036854775809", "18446744073709551616", "-0", &huge];
        assert_kept(&subject.notes(), &sizes);
    });

    cases.add("floats come back to the last digit", |subject| {
        let floats = ["0.1", "1.0", "-0.0", "1e5", "1E+05", "1.7976931348623157e308", "5e-324", "0.30000000000000004"];
        assert_kept(&subject.notes(), &floats);
        let long = format!("0.{}", "3".repeat(2_000));
        assert_kept(&subject.notes().in_namespace("long"), &[&long]);
    });

    cases.add("strings come back with every character and every escape", |subject| {
        let strings = [
            "\"é 中 😀 \u{7f}\u{2028}\u{feff}\u{fffe}\u{10ffff}\"",
            "\"e\u{301} is not \u{e9}\"",
            r#""\u0000\u001f\ud83d\ude00\u00E9\/\"\\\b\f\n\r\t""#,
            r#""' \" -- ; % _ \\ ` $1 ? :x @y""#,
            r#""   ""#,
        ];
        assert_kept(&subject.notes(), &strings);
    });

    cases.add("objects come back with the order, repetition and spacing of their members", |subject| {
        let objects =
            [r#"{"b":1,"a":2}"#, r#"{"a":1,"a":2}"#, "{ \"a\" :\t[1,\n 2 ] }", r#"{"":{"":{}}}"#, r#"{"é":1}"#];
        assert_kept(&subject.notes(), &objects);
    });

    cases.add("nesting comes back as deep as the limit", |subject| {
        let depth = Limits::default().depth;
        let lists = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let objects = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert_kept(&subject.notes(), &[&lists, &objects]);
    });

    cases.add("a value as large as the limit comes back", |subject| {
        let notes = subject.notes();
        let value = format!("\"{}\"", "é".repeat(Limits::default().value_bytes / 2 - 1));
        assert_eq!(value.len(), 16 << 20);
        notes.set("a", &value);
        assert!(notes.get("a").as_deref() == Some(&*value), "changed");
        notes.set("a", "1");
        assert_eq!(notes.get("a").as_deref(), Some("1"));
    });

    cases.add("a value may have any size", |subject| {
        let notes = subject.notes();
        // Around the sizes at which engines change how they keep a value.
        let sizes = [2, 100, 1_000, 2_000, 4_000, 4_096, 8_192, 65_535, 65_536, 1_000_003];
        let values: Vec<String> = sizes.iter().map(|size| format!("\"{}\"", "x".repeat(size - 2))).collect();
        for value in &values {
            notes.set("same", value);
            assert!(notes.get("same").as_deref() == Some(value), "changed at {} bytes", value.len());
        }
        assert_kept(&notes.in_namespace("each"), &values.iter().map(String::as_str).collect::<Vec<_>>());
    });
}
