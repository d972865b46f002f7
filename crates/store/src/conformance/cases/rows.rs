//! What engines return to the store: views, and reads across namespaces.

use super::Cases;
use crate::blocking::block_on;
use crate::conformance::subject::{Handle, SECOND, Subject, USER, json};
use crate::data_store::SetOptions;
use crate::model::{Address, PageSize, Range, Row, View};

fn with_record(subject: &Subject<'_>) -> Handle {
    let notes = subject.notes();
    notes.try_set(
        "a",
        "[1]",
        SetOptions {
            metadata: Some(json(r#"{"a":1}"#)),
            ttl: Some(SECOND),
            if_version: None,
        },
    )
    .expect("set");
    notes
}

/// The same row by each way of reading it.
fn rows(subject: &Subject<'_>, at: &Address, view: View) -> [Row; 3] {
    let engine = subject.engine();
    let one = block_on(engine.read_one(USER, &at.namespace, &at.key, view)).expect("read_one").expect("a record");
    let mut many = block_on(engine.read(USER, std::slice::from_ref(at), view)).expect("read");
    let scan = engine.scan(USER, &at.namespace, Range::default(), view, PageSize::ALL);
    let mut page = block_on(scan).expect("scan");
    assert_eq!((many.len(), page.rows.len(), page.more), (1, 1, false));
    assert!(one.key.is_empty(), "who reads one record has its key");
    let one = Row { key: at.key.clone(), ..one };
    [one, many.remove(0).expect("a record"), page.rows.remove(0)]
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("a row holds what its view asks for and nothing else", |subject| {
        let notes = with_record(subject);
        let record = notes.inspect("a");
        let address = notes.address("a");
        for row in rows(subject, &address, View::Key) {
            let bare = Row { key: "a".into(), version: 0, expires_at: None, value: None, details: None };
            assert_eq!(row, bare);
        }
        for row in rows(subject, &address, View::Version) {
            assert_eq!((&*row.key, row.version, row.expires_at), ("a", record.version, record.expires_at));
            assert_eq!((row.value, row.details), (None, None));
        }
        for row in rows(subject, &address, View::Value) {
            assert_eq!((&*row.key, row.version, row.expires_at), ("a", record.version, record.expires_at));
            assert_eq!((row.value.as_ref(), row.details), (Some(&record.value), None));
        }
        for row in rows(subject, &address, View::Record) {
            assert_eq!((&*row.key, row.version, row.expires_at), ("a", record.version, record.expires_at));
            assert_eq!(row.value.as_ref(), Some(&record.value));
            let details = row.details.expect("details");
            assert_eq!((details.metadata, details.access_count), (record.metadata.clone(), record.access_count));
            assert_eq!((details.created_at, details.updated_at), (record.created_at, record.updated_at));
            assert_eq!(details.last_accessed_at, record.last_accessed_at);
            assert_eq!(details.created_by_agent, record.created_by_agent);
            assert_eq!(details.updated_by_agent, record.updated_by_agent);
            assert_eq!(details.last_accessed_by_agent, record.last_accessed_by_agent);
        }
    });

    cases.add("a read answers each address in turn, in any namespace", |subject| {
        let notes = subject.notes();
        let other = notes.in_namespace("other");
        notes.set("a", "1");
        other.set("a", "2");
        other.set("b", "3");
        let asked =
            [other.address("b"), notes.address("b"), notes.address("a"), other.address("a"), other.address("b")];
        let rows = block_on(subject.engine().read(USER, &asked, View::Value)).expect("read");
        let found: Vec<_> = rows.iter().map(|row| row.as_ref()?.value.as_ref().map(|value| value.as_str())).collect();
        assert_eq!(found, [Some("3"), None, Some("1"), Some("2"), Some("3")]);
        assert_eq!(block_on(subject.engine().read(USER, &[], View::Record)).expect("read"), []);
    });

    cases.add("a read of many addresses finds each", |subject| {
        let notes = subject.notes();
        let keys: Vec<String> = (0..3_000).map(|index| index.to_string()).collect();
        let items: Vec<_> = keys.iter().step_by(2).map(|key| (key.as_str(), key.as_str())).collect();
        notes.set_many(&items);
        let asked: Vec<_> = keys.iter().rev().map(|key| notes.address(key)).collect();
        let rows = block_on(subject.engine().read(USER, &asked, View::Record)).expect("read");
        assert_eq!(rows.len(), asked.len());
        for (address, row) in asked.iter().zip(rows) {
            let even = address.key.ends_with(['0', '2', '4', '6', '8']);
            assert_eq!(row.as_ref().map(|row| &row.key), even.then_some(&address.key));
            assert_eq!(row.and_then(|row| row.value).map(|value| value.to_string()), even.then(|| address.key.to_string()));
        }
    });

    cases.add("an engine has a name", |subject| {
        assert!(!subject.engine().name().is_empty());
    });
}
