//! Requests: whoever repeats one under its id gets what it did, and it is done once.

use std::thread;
use std::time::Duration;

use super::Cases;
use crate::atomic::AppendOptions;
use crate::blocking::block_on;
use crate::conformance::subject::{
    Handle, OutcomeExt, TICK, WriteExt, append, increment, json, merge, pairs, put, refused,
};
use crate::data_store::SetOptions;
use crate::error::{ErrorKind, Result};
use crate::limits::REQUEST_ID_BYTES;
use crate::model::{Mutation, Write};
use crate::request::{KEPT_FOR, RESULT_BYTES, RequestId};

const THREADS: usize = 8;

/// A string whose JSON text has this length.
fn text_of(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("a repeated request is not applied again and returns the outcomes of the first time", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("gone", "1"), ("map", r#"{"a":1}"#)]);
        let writes = || {
            vec![
                notes.write_to("new", put("1")).with_metadata(r#"{"a":1}"#),
                notes.write_to("gone", Mutation::Delete),
                notes.write_to("gone", Mutation::Delete),
                notes.write_to("n", increment("2")),
                notes.write_to("n", increment("0.5")),
                notes.in_namespace("other").write_to("list", append("[1,2]")),
                notes.write_to("map", merge(r#"{"b":null,"c":[ 1 ]}"#)),
                notes.write_to("null", merge("null")),
                notes.write_to("new", Mutation::Touch),
                notes.write_to("new", Mutation::Check),
            ]
        };
        let first = notes.requesting("r").write(writes());
        let (all, feed) = (notes.everything(), subject.feed());
        assert_eq!(notes.requesting("r").write(writes()), first);
        assert_eq!((notes.everything(), subject.feed()), (all, feed));
        for key in ["new", "gone", "n", "map", "null"] {
            notes.set(key, "77");
        }
        assert_eq!(notes.requesting("r").write(writes()), first);
        assert_eq!(notes.get("n").as_deref(), Some("77"));
        assert_ne!(notes.requesting("another").write(writes()), first);
    });

    cases.add("every verb that writes can be repeated", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1"), ("n", "1")]);
        type Verb = fn(&Handle) -> Result<String>;
        let verbs: [(&str, Verb); 10] = [
            ("set", |on| Ok(format!("{}", on.try_set("a", "2", SetOptions::default())?))),
            ("set_many", |on| Ok(on.set_many(&[("a", "3"), ("b", "3")]).to_string())),
            ("delete", |on| Ok(on.delete("a").to_string())),
            ("delete_many", |on| Ok(on.delete_many(&["b", "c"]).to_string())),
            ("increment", |on| Ok(block_on(on.verbs().increment("n", json("1"), None))?.to_string())),
            ("extend", |on| Ok(block_on(on.verbs().extend("l", json("[1]"), AppendOptions::default()))?.to_string())),
            ("merge", |on| Ok(block_on(on.verbs().merge("m", json(r#"{"a":1}"#), None))?.to_string())),
            ("expire", |on| Ok(block_on(on.verbs().expire("n", Some(Duration::from_secs(1))))?.to_string())),
            ("write", |on| Ok(format!("{:?}", on.try_write(vec![on.write_to("n", increment("1"))])?))),
            ("clear", |on| Ok(on.clear().to_string())),
        ];
        for (name, verb) in verbs {
            let first = verb(&notes.requesting(name)).expect(name);
            let feed = subject.feed();
            assert_eq!(verb(&notes.requesting(name)).expect(name), first, "{name}");
            assert_eq!(subject.feed(), feed, "{name}");
        }
        assert_eq!(notes.count(""), 0);
    });

    cases.add("a repeated request is not held to its preconditions again", |subject| {
        let notes = subject.notes();
        let create = |value| {
            notes.requesting("r").try_set("a", value, SetOptions { if_version: Some(0), ..SetOptions::default() })
        };
        let version = create("1").expect("nothing is there");
        assert_eq!(create("1").expect("it was done"), version);
        notes.delete("a");
        assert_eq!(create("1").expect("it was done"), version);
        assert_eq!(notes.get("a"), None);
    });

    cases.add("another write under the id of a request is refused and does nothing", |subject| {
        let notes = subject.notes();
        let request = || notes.requesting("r");
        notes.set("b", "1");
        let first = request().apply("a", put("1"));
        let feed = subject.feed();
        let others: [Vec<Write>; 6] = [
            vec![notes.write_to("a", put("2"))],
            vec![notes.write_to("b", put("1"))],
            vec![notes.in_namespace("other").write_to("a", put("1"))],
            vec![notes.write_to("a", put("1")).if_version(first.version)],
            vec![notes.write_to("a", put("1")), notes.write_to("a", Mutation::Check)],
            vec![notes.write_to("a", Mutation::Delete)],
        ];
        for writes in others {
            let error = refused(request().try_write(writes), ErrorKind::InvalidArgument);
            assert!(error.message().contains("an id of its own"), "{error}");
        }
        let as_another = notes.as_agent("another").requesting("r");
        refused(as_another.try_apply("a", put("1")), ErrorKind::InvalidArgument);
        refused(block_on(request().verbs().clear()), ErrorKind::InvalidArgument);
        assert_eq!(subject.feed(), feed);
        assert_eq!(request().apply("a", put("1")), first);
    });

    cases.add("request ids of different users never meet", |subject| {
        let notes = subject.notes();
        for (user, id) in [("u", "r"), ("other", "r"), ("ur", ""), ("u:r", "1"), ("u", "r:1")] {
            let own = notes.of_user(user);
            let id = if id.is_empty() { "x" } else { id };
            assert_eq!(own.requesting(id).apply(id, increment("1")).text(), Some("1"), "{user} {id}");
            assert_eq!(own.requesting(id).apply(id, increment("1")).text(), Some("1"), "{user} {id}");
            assert_eq!(own.get(id).as_deref(), Some("1"));
        }
        // What one user has done is no reason to refuse another one's.
        notes.of_user("u").requesting("same").set("a", "1");
        notes.of_user("other").requesting("same").set("b", "2");
    });

    cases.add("a request that fails is tried again when it is repeated", |subject| {
        let notes = subject.notes();
        notes.set("list", "[]");
        let writes = || vec![notes.write_to("a", increment("1")), notes.write_to("list", increment("1"))];
        for _ in 0..2 {
            refused(notes.requesting("r").try_write(writes()), ErrorKind::InvalidArgument);
        }
        let single = || notes.requesting("s").try_apply("list", increment("1"));
        refused(single(), ErrorKind::InvalidArgument);
        let version = notes.set("list", "1");
        assert_eq!(notes.requesting("r").write(writes())[1].text(), Some("2"));
        assert_eq!(notes.requesting("r").write(writes())[1].text(), Some("2"));
        assert_eq!(single().expect("it is a number now").text(), Some("3"));
        // The id of a request that has only failed may go to another one.
        let stale = |value| vec![notes.write_to("list", put(value)).if_version(version)];
        refused(notes.requesting("t").try_write(stale("1")), ErrorKind::Conflict);
        notes.requesting("t").set("list", "5");
        assert_eq!(notes.get_all(), pairs([("a", "1"), ("list", "5")]));
    });

    cases.add("a request that found nothing to do does nothing when it is repeated", |subject| {
        let notes = subject.notes();
        assert!(!notes.requesting("delete").delete("a"));
        assert_eq!(notes.requesting("clear").clear(), 0);
        assert_eq!(subject.feed(), []);
        notes.set("a", "1");
        assert!(!notes.requesting("delete").delete("a"));
        assert_eq!(notes.requesting("clear").clear(), 0);
        assert_eq!(notes.get("a").as_deref(), Some("1"));
    });

    cases.add("a repeated clear takes nothing and returns how many went the first time", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("a", "1"), ("b", "1")]);
        assert_eq!(notes.requesting("r").clear(), 2);
        notes.set("c", "1");
        subject.maintain();
        assert_eq!(notes.requesting("r").clear(), 2);
        assert_eq!(notes.get_all(), pairs([("c", "1")]));
        refused(block_on(notes.in_namespace("other").requesting("r").verbs().clear()), ErrorKind::InvalidArgument);
        refused(notes.requesting("r").try_apply("c", put("2")), ErrorKind::InvalidArgument);
        assert_eq!(notes.requesting("another").clear(), 1);
    });

    cases.add("a request is known for 24 hours", |subject| {
        let notes = subject.notes();
        let repeat = |id: &str| notes.requesting(id).apply(id, increment("1")).text().map(str::to_owned);
        for (id, swept) in [("swept", true), ("not swept", false)] {
            let tidy = || _ = swept.then(|| subject.maintain());
            assert_eq!(repeat(id).as_deref(), Some("1"));
            subject.advance(KEPT_FOR - TICK);
            tidy();
            assert_eq!(repeat(id).as_deref(), Some("1"), "{id}");
            subject.advance(TICK);
            tidy();
            assert_eq!(repeat(id).as_deref(), Some("2"), "{id}: from now on it is another request");
            subject.advance(KEPT_FOR - TICK);
            assert_eq!(repeat(id).as_deref(), Some("2"), "{id}");
            // Nor is it held to what it was.
            subject.advance(TICK);
            notes.requesting(id).set("a", "1");
        }
        subject.maintain();
        assert_eq!(notes.get("swept").as_deref(), Some("2"));
    });

    cases.add("sweeping forgets requests in the order in which their time is over", |subject| {
        const REQUESTS: usize = 250;
        let notes = subject.notes();
        let request = |index: usize| notes.requesting(&index.to_string()).apply("n", increment("1"));
        let first: Vec<_> = (0..REQUESTS)
            .map(|index| {
                subject.advance(TICK);
                request(index)
            })
            .collect();
        subject.advance(KEPT_FOR - TICK * (REQUESTS / 2) as u32);
        subject.maintain();
        (REQUESTS / 2..REQUESTS).for_each(|index| assert_eq!(request(index), first[index]));
        assert_eq!(request(0).text(), Some(&*(REQUESTS + 1).to_string()));
    });

    cases.add("a long result is not kept: a repeat returns the value that is there by then", |subject| {
        let notes = subject.notes();
        let (short, long) = (text_of(RESULT_BYTES), text_of(RESULT_BYTES + 1));
        let request = |value: &str| notes.requesting(&value.len().to_string()).apply("a", merge(value));
        let (kept, not_kept) = (request(&short), request(&long));
        assert_eq!(request(&long), not_kept);
        notes.set("a", "1");
        assert_eq!(request(&short), kept);
        let repeated = request(&long);
        assert_eq!((repeated.text(), repeated.version), (Some("1"), not_kept.version));
        notes.delete("a");
        assert_eq!(request(&short), kept);
        let repeated = request(&long);
        assert_eq!((repeated.text(), repeated.version, repeated.existed), (Some("null"), not_kept.version, true));
    });

    cases.add("a request id is 1 to 256 bytes without NUL", |subject| {
        let notes = subject.notes();
        for id in ["r".repeat(REQUEST_ID_BYTES), "é".repeat(REQUEST_ID_BYTES / 2), " ".into(), "'\"%\u{1}\u{10FFFF}".into()] {
            notes.requesting(&id).apply("n", increment("1"));
            assert_eq!(notes.requesting(&id).apply("n", increment("1")).text(), notes.get("n").as_deref());
        }
        assert_eq!(notes.get("n").as_deref(), Some("4"));
        for id in [String::new(), "r".repeat(REQUEST_ID_BYTES + 1), "a\0b".into()] {
            let error = refused(RequestId::new(&id), ErrorKind::InvalidArgument);
            assert!(error.message().starts_with("request id"), "{error}");
        }
    });

    cases.add("a view with a request id makes one write", |subject| {
        let notes = subject.notes();
        let view = notes.requesting("r");
        // These come to no write.
        refused(view.try_set("", "1", SetOptions::default()), ErrorKind::InvalidArgument);
        assert_eq!((view.get("a"), view.write(Vec::new())), (None, Vec::new()));
        let clone = view.clone();
        let elsewhere = view.verbs().use_namespace("other").expect("a namespace");
        view.set("a", "1");
        for again in [
            view.try_set("a", "1", SetOptions::default()).map(drop),
            clone.try_set("a", "1", SetOptions::default()).map(drop),
            block_on(elsewhere.delete("a")).map(drop),
            block_on(view.verbs().clear()).map(drop),
        ] {
            let error = refused(again, ErrorKind::InvalidArgument);
            assert!(error.message().contains("another id"), "{error}");
        }
        assert_eq!(view.get("a").as_deref(), Some("1"));
    });

    cases.add("of a request that comes many times at once one is applied, and all return what it did", |subject| {
        const REQUESTS: usize = 20;
        let notes = subject.notes();
        let repeat = |id: usize| {
            let writes = vec![notes.write_to("n", increment("1")), notes.write_to("list", append("[0]"))];
            let request = notes.requesting(&id.to_string());
            if id.is_multiple_of(2) { request.write(writes) } else { vec![request.apply("n", increment("1"))] }
        };
        let outcomes: Vec<Vec<_>> = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..THREADS).map(|_| scope.spawn(|| (0..REQUESTS).map(repeat).collect::<Vec<_>>())).collect();
            threads.into_iter().map(|thread| thread.join().expect("the thread")).collect()
        });
        assert!(outcomes.iter().all(|same| *same == outcomes[0]));
        assert_eq!(notes.get("n"), Some(REQUESTS.to_string()));
        assert_eq!(subject.feed().len(), REQUESTS + REQUESTS / 2);
    });

    cases.add("a request is known in a store opened again", |subject| {
        let first = subject.notes().requesting("write").apply("n", increment("1"));
        assert_eq!(subject.notes().in_namespace("other").requesting("clear").clear(), 0);
        subject.close();
        subject.advance(KEPT_FOR - TICK);
        let second = subject.again();
        second.maintain();
        let notes = second.notes();
        notes.in_namespace("other").set("a", "1");
        assert_eq!(notes.requesting("write").apply("n", increment("1")), first);
        assert_eq!(notes.in_namespace("other").requesting("clear").clear(), 0);
        refused(notes.requesting("write").try_apply("n", increment("2")), ErrorKind::InvalidArgument);
        second.close();
        subject.advance(TICK);
        let third = subject.again();
        third.maintain();
        assert_eq!(third.notes().requesting("write").apply("n", increment("1")).text(), Some("2"));
    });

    cases.add("a store opened twice applies a request once, whichever handle gets it first", |subject| {
        const REQUESTS: usize = 50;
        let beside = subject.again();
        thread::scope(|scope| {
            for handle in [subject, &beside, subject, &beside] {
                scope.spawn(move || {
                    let notes = handle.notes();
                    (0..REQUESTS).for_each(|id| _ = notes.requesting(&id.to_string()).apply("n", increment("1")));
                });
            }
        });
        assert_eq!(subject.notes().get("n"), Some(REQUESTS.to_string()));
    });
}
