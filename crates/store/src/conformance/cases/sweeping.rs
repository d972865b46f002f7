//! Housekeeping shows in the change feed and nowhere else.

use super::Cases;
use crate::blocking::block_on;
use crate::conformance::subject::{SECOND, TICK, USER, WriteExt, events, json, pairs};
use crate::model::ChangeKind::{Clear, Expire, Set};
use crate::model::{Expiry, Mutation};

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("sweeping changes nothing that a verb shows", |subject| {
        let notes = subject.notes();
        notes.set_with(r#"{"a":1}"#, "kept", "1");
        notes.set_for(SECOND, "expired", "1");
        notes.set_for(2 * SECOND, "expiring", "1");
        notes.in_namespace("gone").set_for(SECOND, "a", "1");
        notes.in_namespace("cleared").set("a", "1");
        notes.get_all();
        subject.flush();
        subject.advance(SECOND);
        notes.in_namespace("cleared").clear();
        notes.in_namespace("cleared").set("b", "2");
        let before = notes.everything();
        subject.advance(SECOND / 2);
        subject.maintain();
        assert_eq!(notes.everything(), before);
        assert_eq!(notes.keys(""), ["expiring", "kept"]);
        assert_eq!(notes.in_namespace("cleared").get_all(), pairs([("b", "2")]));
    });

    cases.add("sweeping takes nothing before its time", |subject| {
        let notes = subject.notes();
        notes.set_for(SECOND, "a", "1");
        subject.advance(SECOND - TICK);
        subject.maintain();
        assert_eq!(notes.get("a").as_deref(), Some("1"));
        assert_eq!(events(&subject.feed()), [(Set, "a")]);
        subject.advance(TICK);
        subject.maintain();
        assert_eq!(events(&subject.feed()), [(Set, "a"), (Expire, "a")]);
    });

    cases.add("sweeping leaves a record whose expiry was moved or removed", |subject| {
        let notes = subject.notes();
        for key in ["moved", "removed", "overwritten"] {
            notes.set_for(SECOND, key, "1");
        }
        notes.write(vec![notes.write_to("moved", Mutation::Touch).expiring(Expiry::After(5 * SECOND))]);
        notes.write(vec![notes.write_to("removed", Mutation::Touch).expiring(Expiry::Never)]);
        notes.set("overwritten", "2");
        subject.advance(2 * SECOND);
        subject.maintain();
        assert_eq!(notes.keys(""), ["moved", "overwritten", "removed"]);
        assert!(events(&subject.feed()).iter().all(|(kind, _)| *kind != Expire));
    });

    cases.add("sweeping leaves what was created again", |subject| {
        let notes = subject.notes();
        let cleared = notes.in_namespace("cleared");
        notes.set_for(SECOND, "a", "1");
        cleared.set("a", "1");
        subject.advance(SECOND);
        notes.set("a", "2");
        cleared.clear();
        cleared.set("a", "2");
        subject.maintain();
        assert_eq!(notes.get("a").as_deref(), Some("2"));
        assert_eq!(cleared.get("a").as_deref(), Some("2"));
    });

    cases.add("an expiry is in the feed once, by nobody, after the write that it ends", |subject| {
        let notes = subject.notes();
        notes.set_for(SECOND, "a", "1");
        subject.advance(2 * SECOND);
        subject.maintain();
        subject.maintain();
        let feed = subject.feed();
        assert_eq!(events(&feed), [(Set, "a"), (Expire, "a")]);
        assert!(feed[1].version > feed[0].version);
        assert_eq!((&*feed[1].namespace, &feed[1].agent), (notes.namespace(), &None));
    });

    cases.add("an expiry is in the feed before the write that creates the record again", |subject| {
        let notes = subject.notes();
        notes.set_for(SECOND, "a", "1");
        subject.advance(SECOND);
        let version = notes.set("a", "2");
        subject.maintain();
        let feed = subject.feed();
        assert_eq!(events(&feed), [(Set, "a"), (Expire, "a"), (Set, "a")]);
        assert_eq!(feed[2].version, version);
    });

    cases.add("many expired and cleared records are swept in steps, and the rest stays", |subject| {
        const RECORDS: usize = 3_000;
        let notes = subject.notes();
        let cleared = notes.in_namespace("cleared");
        let items = |ttl| {
            let prefix = if ttl { "expiring" } else { "kept" };
            (0..RECORDS).map(|index| (format!("{prefix} {index}"), json("1"))).collect::<Vec<_>>()
        };
        block_on(notes.verbs().set_many(items(true), None, Some(SECOND))).expect("set_many");
        block_on(notes.verbs().set_many(items(false), None, None)).expect("set_many");
        block_on(cleared.verbs().set_many(items(false), None, None)).expect("set_many");
        subject.advance(SECOND);
        assert_eq!(cleared.clear(), RECORDS as u64);
        // A step takes something: there cannot be more of them than there is to take.
        let finished = (0..3 * RECORDS).any(|_| {
            let more = subject.maintain_a_step();
            assert_eq!((notes.count(""), cleared.count("")), (RECORDS as u64, 0));
            assert_eq!(notes.stats().map(|stats| stats.records), Some(RECORDS as u64));
            !more
        });
        assert!(finished, "housekeeping does not end");
        let feed = subject.feed();
        let count = |wanted| feed.iter().filter(|change| change.kind == wanted).count();
        assert_eq!((count(Expire), count(Clear), count(Set)), (RECORDS, 1, 3 * RECORDS));
    });

    cases.add("sweeping works for every user", |subject| {
        let notes = subject.notes();
        let users = [USER, "other", "third"];
        for user in users {
            notes.of_user(user).set_for(SECOND, "a", "1");
        }
        subject.advance(SECOND);
        subject.maintain();
        for user in users {
            assert_eq!(events(&subject.changes_after(user, 0, 10).changes), [(Set, "a"), (Expire, "a")]);
        }
    });
}
