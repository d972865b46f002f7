//! Increment.

use super::Cases;
use crate::conformance::subject::{Handle, OutcomeExt, increment, refused};
use crate::error::ErrorKind;

/// The sum is returned and stored.
fn assert_sum(notes: &Handle, by: &str, sum: &str) {
    assert_eq!(notes.apply("n", increment(by)).text(), Some(sum));
    assert_eq!(notes.get("n").as_deref(), Some(sum));
}

fn assert_refused(notes: &Handle, by: &str) {
    let before = notes.inspect("n");
    let error = refused(notes.try_apply("n", increment(by)), ErrorKind::InvalidArgument);
    assert_eq!((error.namespace(), error.key()), (Some(notes.namespace()), Some("n")));
    assert_eq!(notes.inspect("n"), before);
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("increment adds and returns the sum", |subject| {
        let notes = subject.notes();
        notes.set("n", "40");
        assert_sum(&notes, "2", "42");
        assert_sum(&notes, "-50", "-8");
        assert_sum(&notes, "0", "-8");
    });

    cases.add("increment takes a missing key for 0", |subject| {
        let notes = subject.notes();
        let outcome = notes.apply("n", increment("5"));
        assert_eq!((outcome.existed, outcome.text()), (false, Some("5")));
        assert!(outcome.version > 0);
        assert_sum(&notes, "1", "6");
        notes.delete("n");
        assert_sum(&notes, "1", "1");
    });

    cases.add("increment is exact for integers of any size", |subject| {
        let notes = subject.notes();
        notes.set("n", "9007199254740993");
        assert_sum(&notes, "1", "9007199254740994");
        notes.set("n", "9223372036854775807");
        assert_sum(&notes, "1", "9223372036854775808");
        assert_sum(&notes, "-18446744073709551617", "-9223372036854775809");
        notes.set("n", &"9".repeat(1_000));
        assert_sum(&notes, "1", &format!("1{}", "0".repeat(1_000)));
        assert_sum(&notes, "-1", &"9".repeat(1_000));
    });

    cases.add("increment with a float gives a float", |subject| {
        let notes = subject.notes();
        notes.set("n", "2");
        assert_sum(&notes, "0.5", "2.5");
        assert_sum(&notes, "0.5", "3.0");
        assert_sum(&notes, "1", "4.0");
        notes.set("n", "0.1");
        assert_sum(&notes, "0.2", "0.30000000000000004");
    });

    cases.add("increment refuses what is not a number and changes nothing", |subject| {
        let notes = subject.notes();
        for value in ["null", "true", "\"1\"", "[1]", r#"{"n":1}"#] {
            notes.set_with(r#"{"a":1}"#, "n", value);
            assert_refused(&notes, "1");
            notes.set("n", "1");
            assert_refused(&notes, value);
        }
        refused(notes.try_apply("missing", increment("\"1\"")), ErrorKind::InvalidArgument);
        assert_eq!(notes.get("missing"), None);
    });

    cases.add("increment refuses a sum beyond the range of floats and changes nothing", |subject| {
        let notes = subject.notes();
        notes.set("n", "1e308");
        assert_refused(&notes, "1e308");
        notes.set("n", &"9".repeat(400));
        assert_refused(&notes, "0.5");
    });

    cases.add_with(
        |options| options.limits.value_bytes = 3,
        "increment refuses a sum longer than the limit and changes nothing",
        |subject| {
            let notes = subject.notes();
            notes.set("n", "999");
            let error = refused(notes.try_apply("n", increment("1")), ErrorKind::TooLarge);
            assert_eq!(error.key(), Some("n"));
            assert_eq!(notes.get("n").as_deref(), Some("999"));
        },
    );
}
