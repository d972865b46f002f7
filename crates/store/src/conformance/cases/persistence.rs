//! What is stored is there for whoever opens the store next, or beside.

use std::thread;

use super::Cases;
use crate::conformance::subject::{
    SECOND, USER, assert_rising, events, increment, pairs, refused,
};
use crate::error::ErrorKind;
use crate::model::ChangeKind::{Clear, Expire, Set};

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("a store opened again holds everything", |subject| {
        let notes = subject.notes();
        notes.set_with(r#"{"a":1}"#, "a", "[1, 2.0]");
        subject.advance(SECOND);
        notes.as_agent("second").set("a", "{ \"é\" : 1e2 }");
        notes.as_administrator().set_for(5 * SECOND, "b", "null");
        notes.in_namespace("other").set("c", "\"\\u00e9\"");
        notes.of_user("other").set("d", "1");
        notes.delete("missing");
        notes.get_all();
        subject.flush();
        let (mine, theirs) = (notes.everything(), notes.of_user("other").everything());
        subject.close();
        let again = subject.again();
        assert_eq!(again.notes().everything(), mine);
        assert_eq!(again.notes().of_user("other").everything(), theirs);
        again.maintain();
        assert_eq!(again.notes().everything(), mine);
    });

    cases.add("closing writes the reads gathered so far", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        notes.as_agent("reader").get("a");
        notes.as_agent("reader").get("a");
        subject.close();
        let record = subject.again().notes().inspect("a");
        assert_eq!((record.access_count, record.last_accessed_by_agent.as_deref()), (2, Some("reader")));
    });

    cases.add("versions go on rising in a store opened again", |subject| {
        let mut versions = vec![subject.notes().set("a", "1"), subject.notes().set("a", "2")];
        subject.notes().delete("a");
        subject.close();
        let second = subject.again();
        versions.push(second.notes().set("a", "3"));
        second.notes().clear();
        second.maintain();
        second.close();
        let third = subject.again();
        refused(third.notes().set_if(versions[2], "a", "4"), ErrorKind::Conflict);
        versions.push(third.notes().set("a", "4"));
        assert_rising(&versions);
    });

    cases.add("the change feed goes on in a store opened again", |subject| {
        subject.notes().set("a", "1");
        let before = subject.feed();
        subject.close();
        let again = subject.again();
        assert_eq!(again.feed(), before);
        again.notes().set("b", "1");
        assert_eq!(events(&again.changes_after(USER, before[0].version, 10).changes), [(Set, "b")]);
        assert_eq!(again.changes_after(USER, 0, 10).complete_from, 0);
    });

    cases.add("time goes on while a store is closed", |subject| {
        subject.notes().set_for(SECOND, "a", "1");
        subject.notes().set_for(3 * SECOND, "b", "1");
        subject.close();
        subject.advance(SECOND);
        let again = subject.again();
        assert_eq!(again.notes().keys(""), ["b"]);
        again.maintain();
        assert_eq!(events(&again.feed()), [(Set, "a"), (Set, "b"), (Expire, "a")]);
    });

    cases.add("a cleared namespace stays cleared in a store opened again", |subject| {
        subject.notes().set_many(&[("a", "1"), ("b", "1")]);
        assert_eq!(subject.notes().clear(), 2);
        subject.close();
        let second = subject.again();
        assert_eq!(second.notes().get_all(), []);
        second.notes().set("a", "2");
        second.close();
        let third = subject.again();
        third.maintain();
        assert_eq!(third.notes().get_all(), pairs([("a", "2")]));
        assert_eq!(events(&third.feed()), [(Set, "a"), (Set, "b"), (Clear, ""), (Set, "a")]);
    });

    cases.add("a store opened twice shows each handle the other's writes at once", |subject| {
        let (here, beside) = (subject.notes(), subject.again());
        let there = beside.notes();
        for round in 0..20 {
            let (here, there) = if round % 2 == 0 { (&here, &there) } else { (&there, &here) };
            let version = here.set("a", &round.to_string());
            assert_eq!(there.get("a"), Some(round.to_string()));
            assert_eq!(there.record("a").version, version);
            there.set_if(version, "a", "\"mine\"").expect("nobody came between");
            refused(here.set_if(version, "a", "\"late\""), ErrorKind::Conflict);
            assert_eq!(here.get("a").as_deref(), Some("\"mine\""));
            assert!(here.delete("a"));
            assert_eq!(there.get("a"), None);
            here.set("b", "1");
            assert_eq!(there.clear(), 1);
            assert_eq!((here.count(""), here.get("b")), (0, None));
        }
    });

    cases.add("a store opened twice expires and sweeps in either handle", |subject| {
        let (here, beside) = (subject.notes(), subject.again());
        let there = beside.notes();
        here.set_for(SECOND, "a", "1");
        assert_eq!(there.get("a").as_deref(), Some("1"));
        subject.advance(SECOND);
        assert_eq!((here.get("a"), there.get("a")), (None, None));
        beside.maintain();
        subject.maintain();
        assert_eq!(events(&subject.feed()), [(Set, "a"), (Expire, "a")]);
        assert_eq!(beside.feed(), subject.feed());
    });

    cases.add("a store opened twice loses no write of either handle", |subject| {
        const ROUNDS: usize = 100;
        let beside = subject.again();
        thread::scope(|scope| {
            for handle in [subject, &beside] {
                for agent in ["one", "two"] {
                    scope.spawn(move || {
                        let notes = handle.notes().as_agent(agent);
                        (0..ROUNDS).for_each(|_| _ = notes.apply("n", increment("1")));
                        notes.record("n");
                    });
                }
            }
        });
        beside.close();
        subject.flush();
        assert_eq!(subject.notes().get("n"), Some((4 * ROUNDS).to_string()));
        assert_eq!(subject.notes().inspect("n").access_count, 4);
        assert_eq!(subject.feed().len(), 4 * ROUNDS);
    });
}
