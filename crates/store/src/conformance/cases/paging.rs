//! Pages: a walk meets everything once.

use super::Cases;
use crate::blocking::block_on;
use crate::conformance::subject::{Handle, pairs};
use crate::model::{PageSize, Range};

const ALL: usize = usize::MAX;

/// Walks with pages of `size` and returns the length of each.
fn walk(notes: &Handle, prefix: &str, size: PageSize) -> Vec<usize> {
    let expected: Vec<_> = notes.get_all().into_iter().filter(|(key, _)| key.starts_with(prefix)).collect();
    let (mut met, mut lengths): (Vec<(String, String)>, _) = (Vec::new(), Vec::new());
    loop {
        let after = met.last().map(|(key, _)| key.clone());
        let (rows, more) = notes.page(Range { prefix, after: after.as_deref() }, size);
        lengths.push(rows.len());
        met.extend(rows);
        assert!(met.len() <= expected.len(), "the walk met something twice");
        if !more {
            break;
        }
        assert_ne!(lengths.last(), Some(&0), "an empty page says that there is more");
    }
    assert_eq!(met, expected);
    lengths
}

fn with_ten(notes: Handle) -> Handle {
    let names: Vec<String> = (0..10).map(|index| format!("k{index}")).collect();
    let values: Vec<String> = (0..10).map(|index| format!("\"{}\"", "x".repeat(index))).collect();
    let items: Vec<_> = names.iter().zip(&values).map(|(key, value)| (key.as_str(), value.as_str())).collect();
    notes.set_many(&items);
    notes
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("a walk by rows meets everything once and ends exactly", |subject| {
        let notes = with_ten(subject.notes());
        assert_eq!(walk(&notes, "", PageSize { rows: 3, bytes: ALL }), [3, 3, 3, 1]);
        assert_eq!(walk(&notes, "", PageSize { rows: 5, bytes: ALL }), [5, 5]);
        assert_eq!(walk(&notes, "", PageSize { rows: 10, bytes: ALL }), [10]);
        assert_eq!(walk(&notes, "", PageSize { rows: 1, bytes: ALL }), [1; 10]);
        assert_eq!(walk(&notes, "", PageSize::ALL), [10]);
    });

    cases.add("a walk by bytes meets everything once", |subject| {
        let notes = with_ten(subject.notes());
        // Keys and values are 4, 5, …, 13 bytes.
        assert_eq!(walk(&notes, "", PageSize { rows: ALL, bytes: 15 }), [3, 2, 1, 1, 1, 1, 1]);
        assert_eq!(walk(&notes, "", PageSize { rows: ALL, bytes: 85 }), [10]);
        assert_eq!(walk(&notes, "", PageSize { rows: 2, bytes: 15 }), [2, 2, 1, 1, 1, 1, 1, 1]);
    });

    cases.add("a page holds at least one row, however large", |subject| {
        let notes = with_ten(subject.notes());
        assert_eq!(walk(&notes, "", PageSize { rows: ALL, bytes: 0 }), [1; 10]);
    });

    cases.add("a page of no rows holds one all the same", |subject| {
        let notes = with_ten(subject.notes());
        assert_eq!(walk(&notes, "", PageSize { rows: 0, bytes: ALL }), [1; 10]);
        let size = PageSize { rows: 0, bytes: 0 };
        let page = block_on(subject.engine().namespaces(notes.user(), Range::default(), size)).expect("page");
        assert_eq!((page.rows.len(), page.more), (1, false));
    });

    cases.add("a walk may keep to a prefix", |subject| {
        let notes = with_ten(subject.notes());
        notes.set_many(&[("a", "1"), ("k", "1"), ("k10", "1"), ("l", "1")]);
        assert_eq!(walk(&notes, "k1", PageSize { rows: 1, bytes: ALL }), [1, 1]);
        assert_eq!(walk(&notes, "k", PageSize { rows: 6, bytes: ALL }), [6, 6]);
        assert_eq!(walk(&notes, "z", PageSize { rows: 6, bytes: ALL }), [0]);
    });

    cases.add("a page begins after any name, there or not", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("b", "1"), ("c", "2"), ("ca", "3"), ("d", "4")]);
        let after = |prefix, after| notes.page(Range { prefix, after: Some(after) }, PageSize::ALL).0;
        assert_eq!(after("", "b"), pairs([("c", "2"), ("ca", "3"), ("d", "4")]));
        assert_eq!(after("", "bb"), pairs([("c", "2"), ("ca", "3"), ("d", "4")]));
        assert_eq!(after("", "a"), pairs([("b", "1"), ("c", "2"), ("ca", "3"), ("d", "4")]));
        assert_eq!(after("", "d"), []);
        assert_eq!(after("", "\u{10ffff}"), []);
        assert_eq!(after("c", "c"), pairs([("ca", "3")]));
        assert_eq!(after("c", "a"), pairs([("c", "2"), ("ca", "3")]), "before the prefix");
        assert_eq!(after("c", "d"), [], "beyond the prefix");
        assert_eq!(after("", ""), pairs([("b", "1"), ("c", "2"), ("ca", "3"), ("d", "4")]), "before all names");
    });

    cases.add("a walk goes on from a key that has been deleted", |subject| {
        let notes = with_ten(subject.notes());
        let (rows, more) = notes.page(Range::default(), PageSize { rows: 4, bytes: ALL });
        assert!(more);
        notes.delete("k3");
        let last = rows.last().map(|(key, _)| key.as_str());
        let (rest, more) = notes.page(Range { prefix: "", after: last }, PageSize::ALL);
        assert_eq!(rest.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["k4", "k5", "k6", "k7", "k8", "k9"]);
        assert!(!more);
    });

    cases.add("records come in pages too", |subject| {
        let notes = with_ten(subject.notes());
        let range = Range { prefix: "k", after: Some("k6") };
        let page = block_on(notes.verbs().records(range, PageSize { rows: 2, bytes: ALL })).expect("records");
        assert!(page.rows.iter().map(|record| &*record.key).eq(["k7", "k8"]));
        assert!(page.more);
    });

    cases.add("a page of an empty namespace is empty and the last", |subject| {
        assert_eq!(subject.notes().page(Range::default(), PageSize { rows: 1, bytes: 1 }), (vec![], false));
    });

    cases.add("statistics of namespaces come in pages", |subject| {
        let notes = subject.notes();
        let names = ["a", "b", "job:1", "job:2", "job:3", "z"];
        for name in names {
            notes.in_namespace(name).set("k", "1");
        }
        let page = |prefix, after, rows| {
            let size = PageSize { rows, bytes: ALL };
            let page = block_on(subject.engine().namespaces(notes.user(), Range { prefix, after }, size)).expect("page");
            (page.rows.into_iter().map(|stats| String::from(stats.namespace)).collect::<Vec<_>>(), page.more)
        };
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(page("", None, 4), (owned(&names[..4]), true));
        assert_eq!(page("", Some("job:2"), 2), (owned(&names[4..]), false));
        assert_eq!(page("job:", None, 2), (owned(&["job:1", "job:2"]), true));
        assert_eq!(page("job:", Some("job:2"), 2), (owned(&["job:3"]), false));
        assert_eq!(page("x", None, 2), (vec![], false));
    });
}
