//! Whole stores move: users are listed, and records are taken over with all that is kept of them.

use std::time::Duration;

use super::Cases;
use crate::blocking::block_on;
use crate::conformance::subject::{AGENT, Handle, NAMESPACE, SECOND, Subject, USER, events, increment, json, put, refused};
use crate::error::{ErrorKind, Result};
use crate::import::{Guard, Import, ImportedNamespace};
use crate::model::ChangeKind::{Delete, Set};
use crate::model::{PageSize, Range, Row, Version, View};

const ODD_NAMES: [&str; 6] = ["a:b", "a/b", "100%", "🦀", "שלום", "ads"];

fn users(subject: &Subject<'_>, range: Range<'_>, rows: usize) -> (Vec<String>, bool) {
    let page = block_on(subject.engine().users(range, PageSize { rows, bytes: usize::MAX })).expect("users");
    (page.rows.into_iter().map(Into::into).collect(), page.more)
}

fn rows(subject: &Subject<'_>, namespace: &str) -> Vec<Row> {
    let scanned = subject.engine().scan(USER, namespace, Range::default(), View::Record, PageSize::ALL);
    block_on(scanned).expect("scan").rows
}

/// Everything that `from` has of the usual user.
fn whole(from: &Subject<'_>) -> Import {
    let stats = block_on(from.engine().namespaces(USER, Range::default(), PageSize::ALL)).expect("namespaces").rows;
    let namespaces = stats.into_iter().map(|stats| ImportedNamespace {
        records: rows(from, &stats.namespace),
        name: stats.namespace.into(),
        gone: Vec::new(),
        agents: stats.agents,
        updated_at: stats.updated_at,
    });
    let namespaces = namespaces.collect();
    let last = from.changes_after(USER, 0, 0).last;
    let newest = from.changes_after(USER, last.saturating_sub(1), 1).changes.pop();
    Import { user: USER.into(), namespaces, newest, guard: None }
}

fn take_over(to: &Subject<'_>, import: Import) {
    try_take_over(to, import).expect("import");
}

fn try_take_over(to: &Subject<'_>, import: Import) -> Result<()> {
    block_on(to.engine().import(import))
}

/// One namespace in which these are records, and those are none.
fn one(records: Vec<Row>, gone: &[&str]) -> Import {
    let namespace = ImportedNamespace {
        name: NAMESPACE.into(),
        records,
        gone: gone.iter().map(|key| (*key).into()).collect(),
        agents: Vec::new(),
        updated_at: crate::clock::Timestamp::from_micros(0),
    };
    Import { user: USER.into(), namespaces: vec![namespace], newest: None, guard: None }
}

/// Records of every kind, under names of every kind.
fn fill(notes: &Handle, subject: &Subject<'_>) {
    for name in ODD_NAMES {
        let space = notes.in_namespace(name);
        space.set(name, &format!("[\"{name}\"]"));
        subject.advance(SECOND);
        space.as_agent("second").set_with("{\"of\":[1,2]}", name, "\"\\u0000\"");
        space.as_administrator().set("by nobody", "1e400".replace("e400", "0").as_str());
    }
    notes.set("large", &format!("\"{}\"", "x".repeat(300_000)));
    notes.set_for(Duration::from_secs(3_600), "goes", "1");
    notes.set_for(SECOND, "is gone", "1");
    notes.set("deleted", "1");
    subject.advance(2 * SECOND);
    notes.get("large");
    notes.as_agent("reader").get("large");
    subject.flush();
    notes.delete("deleted");
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("users are those for whom anything was ever written, in order and page by page", |subject| {
        let notes = subject.notes();
        assert_eq!(users(subject, Range::default(), 10), (vec![], false));
        for name in ODD_NAMES {
            notes.of_user(name).set("a", "1");
        }
        assert!(notes.of_user("a:b").delete("a"), "a user without records has had some");
        notes.of_user("nobody").delete("a");
        notes.of_user("nobody").get("a");
        let mut all: Vec<String> = ODD_NAMES.map(Into::into).to_vec();
        all.sort();
        assert_eq!(users(subject, Range::default(), 10), (all.clone(), false));
        let (mut seen, mut after): (Vec<String>, Option<String>) = (Vec::new(), None);
        loop {
            let (page, more) = users(subject, Range { prefix: "", after: after.as_deref() }, 2);
            assert!(page.len() <= 2);
            after = page.last().cloned();
            seen.extend(page);
            if !more {
                break;
            }
        }
        assert_eq!(seen, all);
        assert_eq!(users(subject, Range { prefix: "a", after: Some("a/b") }, 10).0, ["a:b", "ads"]);
        assert_eq!(users(subject, Range { prefix: "no", after: None }, 10), (vec![], false));
    });

    cases.add("an import takes records over with all that is kept of them", |subject| {
        let other = subject.another(subject.clock());
        fill(&subject.notes(), subject);
        take_over(&other, whole(subject));
        assert_eq!(other.notes().everything(), subject.notes().everything());
        // The instants of expiry too.
        subject.advance(Duration::from_secs(3_600));
        other.maintain();
        subject.maintain();
        assert_eq!(other.notes().everything(), subject.notes().everything());
        assert_eq!(other.notes().as_administrator().get("goes"), None);
    });

    cases.add("an import may be repeated, and brings what has changed", |subject| {
        let other = subject.another(subject.clock());
        let notes = subject.notes();
        fill(&notes, subject);
        for _ in 0..2 {
            take_over(&other, whole(subject));
        }
        assert_eq!(other.notes().namespaces(), notes.namespaces());
        notes.set("large", "1");
        notes.get("goes");
        subject.flush();
        notes.delete("by nobody");
        let mut import = whole(subject);
        import.namespaces[0].gone = vec!["not there".into()];
        take_over(&other, import);
        assert_eq!(other.notes().namespaces(), notes.namespaces());
        assert_eq!(rows(&other, NAMESPACE), rows(subject, NAMESPACE));
    });

    cases.add("an import removes what is to be gone, and a namespace that it empties", |subject| {
        let other = subject.another(subject.clock());
        let notes = subject.notes();
        notes.set("a", "1");
        notes.set("b", "[1,2,3]");
        take_over(&other, whole(subject));
        take_over(&other, one(vec![], &["a", "c"]));
        assert_eq!(other.notes().keys(""), ["b"]);
        assert_eq!(other.notes().stats().map(|stats| (stats.records, stats.bytes)), Some((1, 8)));
        take_over(&other, one(vec![], &["b"]));
        assert_eq!(other.notes().list_namespaces(""), [""; 0]);
        take_over(&other, one(vec![], &["b"]));
        assert_eq!(other.notes().namespaces(), []);
    });

    cases.add("an import never takes a version back", |subject| {
        let other = subject.another(subject.clock());
        let notes = subject.notes();
        notes.set("a", "1");
        let before = rows(subject, NAMESPACE);
        notes.set("a", "2");
        take_over(&other, one(rows(subject, NAMESPACE), &[]));
        take_over(&other, one(before, &[]));
        assert_eq!(rows(&other, NAMESPACE), rows(subject, NAMESPACE));
    });

    cases.add("versions after an import are greater than all that were given before it", |subject| {
        let other = subject.another(subject.clock());
        let (notes, copied) = (subject.notes(), other.notes());
        for round in 0..20 {
            notes.set("a", &round.to_string());
        }
        notes.set("deleted", "1");
        notes.delete("deleted");
        let last = subject.changes_after(USER, 0, 0).last;
        take_over(&other, whole(subject));
        assert_eq!(copied.record("a").version, notes.record("a").version);
        assert!(copied.set("deleted", "2") > last);
        assert!(copied.set("a", "2") > last);
        // Also where nothing but a record tells.
        let third = subject.another(subject.clock());
        take_over(&third, one(rows(subject, NAMESPACE), &[]));
        let version = notes.record("a").version;
        assert!(third.notes().delete("a"));
        assert!(third.notes().set("a", "1") > version);
        copied.apply("a", increment("1"));
        copied.as_agent("other").apply("new", put("1"));
    });

    cases.add("the feed after an import begins with the newest change, and goes on", |subject| {
        let other = subject.another(subject.clock());
        let notes = subject.notes();
        notes.set("a", "1");
        notes.set("b", "1");
        notes.delete("b");
        let last = subject.changes_after(USER, 0, 0).last;
        let newest = subject.feed().pop();
        take_over(&other, whole(subject));
        let feed = other.changes_after(USER, 0, 10);
        assert_eq!((feed.changes, feed.last), (newest.into_iter().collect(), last));
        assert!(feed.complete_from > 0 && feed.complete_from < last, "who stood further back has missed changes");
        other.notes().set("c", "1");
        let feed = other.changes_after(USER, last, 10);
        assert_eq!(events(&feed.changes), [(Set, "c")]);
        assert!(feed.complete_from <= last, "who stood at the end has missed nothing");
        assert_eq!(events(&other.feed()), [(Delete, "b"), (Set, "c")]);
        // Once more, from where the other store is now.
        for round in 0..5 {
            notes.set("a", &round.to_string());
        }
        let last = subject.changes_after(USER, 0, 0).last.max(other.changes_after(USER, 0, 0).last);
        take_over(&other, whole(subject));
        assert!(other.notes().set("d", "1") > last);
    });

    cases.add("an import is of one user alone", |subject| {
        let other = subject.another(subject.clock());
        other.notes().of_user("neighbour").set("a", "1");
        let before = other.notes().of_user("neighbour").everything();
        subject.notes().set("a", "2");
        take_over(&other, whole(subject));
        assert_eq!(other.notes().of_user("neighbour").everything(), before);
        assert_eq!(users(&other, Range::default(), 10).0, ["neighbour", USER]);
    });

    cases.add("an import is for nothing where its guard does not hold", |subject| {
        let other = subject.another(subject.clock());
        subject.notes().set("a", "1");
        let keeper = other.notes().of_user("keeper");
        let version: Version = keeper.set("a", "1");
        let guarded = |key: &str, version| {
            let guard = Guard { user: "keeper".into(), address: keeper.address(key), version };
            Import { guard: Some(guard), ..whole(subject) }
        };
        for (key, version) in [("a", version + 1), ("b", version)] {
            refused(try_take_over(&other, guarded(key, version)), ErrorKind::Conflict);
            assert_eq!(rows(&other, NAMESPACE), []);
            assert_eq!(other.feed(), []);
        }
        take_over(&other, guarded("a", version));
        assert_eq!(rows(&other, NAMESPACE), rows(subject, NAMESPACE));
        keeper.set("a", "2");
        refused(try_take_over(&other, guarded("a", version)), ErrorKind::Conflict);
    });

    cases.add("what was taken over is written, read and expires as if it had been written here", |subject| {
        let other = subject.another(subject.clock());
        let notes = subject.notes();
        notes.set_for(10 * SECOND, "goes", "1");
        notes.set_with("{\"a\":1}", "a", "1");
        notes.get("a");
        subject.flush();
        // Reads of another record of that name, which are not those of the one that comes.
        other.notes().set("a", "0");
        other.notes().get("a");
        other.flush();
        assert!(other.notes().delete("a"));
        take_over(&other, whole(subject));
        let copied = other.notes();
        assert_eq!(copied.get("a").as_deref(), Some("1"));
        other.flush();
        let record = copied.as_administrator().record("a");
        assert_eq!((record.access_count, record.last_accessed_by_agent.as_deref()), (2, Some(AGENT)));
        copied.write(vec![copied.write_to("a", increment("4"))]);
        let record = copied.as_administrator().record("a");
        assert_eq!((record.value, record.metadata), (json("5"), json("{\"a\":1}")));
        assert_eq!((record.access_count, record.created_at < record.updated_at), (2, false));
        subject.advance(10 * SECOND);
        assert_eq!(copied.get("goes"), None);
        other.maintain();
        assert_eq!(copied.as_administrator().stats().map(|stats| stats.records), Some(1));
        assert_eq!(copied.clear(), 1);
    });
}
