//! One call for what is otherwise read, changed and written back.

use std::time::Duration;

use super::Cases;
use crate::atomic::AppendOptions;
use crate::blocking::block_on;
use crate::conformance::subject::{Failure, Handle, SECOND, assert_rising, json, refused};
use crate::conformance::threads::{THREADS, in_threads};
use crate::error::{ErrorKind, Result};
use crate::json::Json;
use crate::model::Version;

const ROUNDS: usize = 30;

fn increment(notes: &Handle, by: &str, ttl: Option<Duration>) -> Result<String> {
    block_on(notes.verbs().increment("a", json(by), ttl)).map(|sum| sum.to_string())
}

fn extend(notes: &Handle, items: &str, ttl: Option<Duration>) -> Result<u64> {
    block_on(notes.verbs().extend("a", json(items), AppendOptions { ttl, ..AppendOptions::default() }))
}

fn merge(notes: &Handle, patch: &str, ttl: Option<Duration>) -> Result<String> {
    block_on(notes.verbs().merge("a", json(patch), ttl)).map(|value| value.to_string())
}

/// Gives `function` the value as text.
fn update(
    notes: &Handle,
    ttl: Option<Duration>,
    mut function: impl FnMut(Option<&str>) -> Result<String, Failure>,
) -> Result<(String, Version), Failure> {
    let function = async |value: Option<&Json>| function(value.map(Json::as_str)).map(|text| json(&text));
    let (value, version) = block_on(notes.verbs().update("a", ttl, function))?;
    Ok((value.to_string(), version))
}

fn expire(notes: &Handle, ttl: Option<Duration>) -> Result<bool> {
    block_on(notes.verbs().expire("a", ttl))
}

/// What each call makes of the value before it, and with which time to live.
type Change = (&'static str, fn(&Handle, Option<Duration>) -> Result<()>);

const CHANGES: [Change; 3] = [
    ("1", |notes, ttl| increment(notes, "1", ttl).map(drop)),
    ("[]", |notes, ttl| extend(notes, "[1]", ttl).map(drop)),
    ("{}", |notes, ttl| merge(notes, r#"{"a":1}"#, ttl).map(drop)),
];

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("a change in one call takes a missing key for 0, an empty list or nothing, and returns what it made", |subject| {
        let notes = subject.notes();
        for round in 1..3 {
            assert_eq!(increment(&notes, "2", None).expect("increment"), (2 * round).to_string());
        }
        assert_eq!(notes.get("a").as_deref(), Some("4"));
        notes.delete("a");
        assert_eq!((extend(&notes, "[1,2]", None).expect("extend"), extend(&notes, "[3]", None).expect("extend")), (2, 3));
        assert_eq!(notes.get("a").as_deref(), Some("[1,2,3]"));
        notes.delete("a");
        assert_eq!(merge(&notes, r#"{"x":1,"y":null}"#, None).expect("merge"), r#"{"x":1}"#);
        assert_eq!(merge(&notes, r#"{"x":null,"z":2}"#, None).expect("merge"), r#"{"z":2}"#);
        assert_eq!(notes.get("a").as_deref(), Some(r#"{"z":2}"#));
    });

    cases.add("a change in one call keeps the expiry unless it brings one", |subject| {
        let notes = subject.notes();
        for (before, change) in CHANGES {
            notes.set_for(5 * SECOND, "a", before);
            let expires_at = notes.record("a").expires_at;
            subject.advance(SECOND);
            change(&notes, None).expect("change");
            assert_eq!(notes.record("a").expires_at, expires_at);
            change(&notes, Some(SECOND)).expect("change");
            assert_eq!(notes.record("a").expires_at, Some(subject.now().saturating_add(SECOND)));
            subject.advance(SECOND);
            assert_eq!(notes.get("a"), None);
        }
    });

    cases.add("a change in one call counts as a write and not as a read", |subject| {
        let notes = subject.notes();
        let changes = CHANGES.into_iter().chain([
            ("1", (|notes, _| update(notes, None, |_| Ok("2".to_owned())).map(drop).map_err(Failure::of_store)) as fn(&_, _) -> _),
            ("1", |notes, _| expire(notes, Some(SECOND)).map(drop)),
        ]);
        for (before, change) in changes {
            notes.set("a", before);
            change(&notes.as_agent("changer"), None).expect("change");
            subject.flush();
            let record = notes.inspect("a");
            assert_eq!(record.access_count, 0);
            assert_eq!(record.created_by_agent.as_deref(), Some("agent"));
            for by in [record.updated_by_agent, record.last_accessed_by_agent] {
                assert_eq!(by.as_deref(), Some("changer"));
            }
            notes.delete("a");
        }
    });

    cases.add("a change in one call that cannot be made names call and key and stores nothing", |subject| {
        let notes = subject.notes();
        notes.set_for(SECOND, "a", "\"text\"");
        let (before, feed) = (notes.inspect("a"), subject.feed());
        for (verb, error) in [
            ("increment", increment(&notes, "1", Some(5 * SECOND)).expect_err("no number")),
            ("extend", extend(&notes, "[1]", Some(5 * SECOND)).expect_err("no list")),
            ("increment", increment(&notes, "1", Some(Duration::ZERO)).expect_err("no time")),
        ] {
            assert_eq!((error.kind(), error.operation()), (ErrorKind::InvalidArgument, Some(verb)), "{error}");
        }
        assert_eq!(increment(&notes, "1", None).expect_err("no number").key(), Some("a"));
        assert_eq!(notes.inspect("a"), before);
        assert_eq!(subject.feed(), feed);
    });

    cases.add("items are appended once, within a length, for a time, all in one call", |subject| {
        let notes = subject.notes();
        let options = AppendOptions { unique: true, max_length: Some(3), ttl: Some(SECOND) };
        let append = |items| block_on(notes.verbs().extend("a", json(items), options)).expect("extend");
        assert_eq!((append("[1,2,1]"), append("[2,3]"), append("[4]")), (2, 3, 3));
        assert_eq!(notes.get("a").as_deref(), Some("[2,3,4]"));
        assert_eq!(append("[2]"), 3);
        assert_eq!(notes.get("a").as_deref(), Some("[2,3,4]"));
        subject.advance(SECOND);
        assert_eq!(append("[1]"), 1);
    });

    cases.add("expire sets, moves and removes the expiry of a live record and leaves the rest", |subject| {
        let notes = subject.notes();
        assert!(!expire(&notes, Some(SECOND)).expect("expire"));
        notes.set_with(r#"{"source":"x"}"#, "a", "[1, 2]");
        for ttl in [Some(SECOND), Some(3 * SECOND), None, Some(SECOND)] {
            assert!(expire(&notes, ttl).expect("expire"));
            let record = notes.record("a");
            assert_eq!(record.expires_at, ttl.map(|ttl| subject.now().saturating_add(ttl)));
            assert_eq!((record.value.as_str(), record.metadata.as_str()), ("[1, 2]", r#"{"source":"x"}"#));
        }
        refused(expire(&notes, Some(Duration::ZERO)), ErrorKind::InvalidArgument);
        subject.advance(SECOND);
        assert!(!expire(&notes, None).expect("expire"));
        assert_eq!(notes.get("a"), None);
    });

    cases.add("update gives its function the value, if there is one, and returns what it stored", |subject| {
        let notes = subject.notes();
        let mut seen = Vec::new();
        let mut step = |next: &str, ttl| {
            let (value, version) = update(&notes, ttl, |value| {
                seen.push(value.map(str::to_owned));
                Ok(next.to_owned())
            })
            .expect("update");
            let record = notes.record("a");
            assert_eq!((value.as_str(), record.value.as_str(), version), (next, next, record.version));
            record.expires_at
        };
        assert_eq!(step("null", None), None);
        assert_eq!(step("[1]", Some(SECOND)), Some(subject.now().saturating_add(SECOND)));
        assert_eq!(step("[2]", None), None, "as a set without time to live");
        assert_eq!(seen, [None, Some("null".to_owned()), Some("[1]".to_owned())]);
    });

    cases.add("update runs its function again on what somebody else wrote in between", |subject| {
        let notes = subject.notes();
        let mut seen = Vec::new();
        let (value, _) = update(&notes, None, |value| {
            match seen.len() {
                0 => _ = notes.set("a", "1"),
                1 => _ = notes.delete("a"),
                2 => _ = notes.set("a", "5"),
                _ => {}
            }
            seen.push(value.map(str::to_owned));
            Ok(format!("[{}]", value.unwrap_or("null")))
        })
        .expect("update");
        assert_eq!(seen, [None, Some("1".to_owned()), None, Some("5".to_owned())]);
        assert_eq!((value.as_str(), notes.get("a").as_deref()), ("[5]", Some("[5]")));
    });

    cases.add("update stores nothing where its function fails, and passes the error on", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        let feed = subject.feed();
        assert!(matches!(update(&notes, None, |_| Err(Failure::Own)), Err(Failure::Own)));
        let refused = update(&notes, Some(Duration::ZERO), |_| Ok("2".to_owned())).map_err(Failure::of_store);
        assert_eq!(refused.expect_err("no time").kind(), ErrorKind::InvalidArgument);
        assert_eq!(subject.feed(), feed);
    });

    cases.add("updates of many threads lose none", |subject| {
        let notes = subject.notes();
        let versions = in_threads(|_| {
            let add_one = |value: Option<&str>| {
                let n: usize = value.map_or(0, |value| value.parse().expect("a number"));
                Ok((n + 1).to_string())
            };
            (0..ROUNDS).map(|_| update(&notes, None, add_one).expect("update").1).collect::<Vec<_>>()
        });
        versions.iter().for_each(|versions| assert_rising(versions));
        assert_eq!(notes.get("a"), Some((THREADS * ROUNDS).to_string()));
    });
}
