//! The change feed: what happened, in order, once.

use super::Cases;
use crate::blocking::block_on;
use crate::conformance::subject::{
    SECOND, Subject, USER, append, assert_rising, events, increment, merge, put, refused,
};
use crate::error::ErrorKind;
use crate::model::ChangeKind::{Clear, Delete, Set};
use crate::model::{Change, Mutation, Version};

fn positions(changes: &[Change]) -> Vec<Version> {
    changes.iter().map(|change| change.version).collect()
}

fn complete_from(subject: &Subject<'_>) -> Version {
    subject.changes_after(USER, 0, 0).complete_from
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("the feed tells of a write what, where, who and when", |subject| {
        let notes = subject.notes();
        let first = notes.as_agent("writer").set("a", "1");
        let first_at = subject.now();
        subject.advance(SECOND);
        let second = notes.as_administrator().in_namespace("other").set("b", "1");
        let change = |version, namespace: &str, key: &str, agent: Option<&str>, at| Change {
            version,
            kind: Set,
            namespace: namespace.into(),
            key: Some(key.into()),
            agent: agent.map(Into::into),
            at,
        };
        let expected = [
            change(first, notes.namespace(), "a", Some("writer"), first_at),
            change(second, "other", "b", None, subject.now()),
        ];
        assert_eq!(subject.feed(), expected);
    });

    cases.add("the feed holds every write that changed a record", |subject| {
        let notes = subject.notes();
        let mut versions = vec![notes.set("s", "1"), notes.set("s", "1")];
        for (key, mutation) in [("n", increment("1")), ("l", append("[]")), ("m", merge("{}")), ("s", Mutation::Touch)] {
            versions.push(notes.apply(key, mutation).version);
        }
        let feed = subject.feed();
        assert_eq!(events(&feed), [(Set, "s"), (Set, "s"), (Set, "n"), (Set, "l"), (Set, "m"), (Set, "s")]);
        assert_eq!(positions(&feed), versions);
    });

    cases.add("the feed holds nothing of what changed nothing", |subject| {
        let notes = subject.notes();
        notes.set("a", "\"text\"");
        let feed = subject.feed();
        for mutation in [Mutation::Touch, Mutation::Check, Mutation::Delete] {
            notes.apply("missing", mutation);
        }
        notes.apply("a", Mutation::Check);
        refused(notes.try_apply("a", increment("1")), ErrorKind::InvalidArgument);
        refused(notes.set_if(0, "a", "1"), ErrorKind::Conflict);
        notes.in_namespace("empty").clear();
        notes.get("a");
        subject.flush();
        subject.maintain();
        assert_eq!(subject.feed(), feed);
    });

    cases.add("the feed holds deletions and clears", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("a", "1"), ("b", "1"), ("c", "1")]);
        subject.advance(SECOND);
        notes.as_agent("remover").delete("a");
        notes.as_agent("cleaner").clear();
        let feed = subject.feed();
        let expected = [(Set, "a"), (Set, "b"), (Set, "c"), (Delete, "a"), (Clear, "")];
        assert_eq!(events(&feed), expected);
        assert_rising(&positions(&feed));
        assert_eq!(feed[3].agent.as_deref(), Some("remover"));
        assert_eq!((feed[4].agent.as_deref(), &feed[4].key), (Some("cleaner"), &None));
        assert!(feed[3..].iter().all(|change| change.at == subject.now() && &*change.namespace == notes.namespace()));
    });

    cases.add("a record created after its deletion or clear comes later in the feed", |subject| {
        let notes = subject.notes();
        let mut versions = vec![notes.set("a", "1")];
        notes.delete("a");
        versions.push(notes.set("a", "2"));
        notes.clear();
        versions.push(notes.set("a", "3"));
        let feed = subject.feed();
        assert_eq!(events(&feed), [(Set, "a"), (Delete, "a"), (Set, "a"), (Clear, ""), (Set, "a")]);
        assert_rising(&positions(&feed));
        let sets: Vec<_> = feed.iter().filter(|change| change.kind == Set).map(|change| change.version).collect();
        assert_eq!(sets, versions);
    });

    cases.add("a batch comes in the order of its writes", |subject| {
        let notes = subject.notes();
        let other = notes.in_namespace("other");
        notes.set("gone", "1");
        let outcomes = notes.write(vec![
            notes.write_to("b", put("1")),
            other.write_to("a", put("1")),
            notes.write_to("gone", Mutation::Delete),
            notes.write_to("b", increment("1")),
            notes.write_to("missing", Mutation::Delete),
        ]);
        let feed = &subject.feed()[1..];
        assert_eq!(events(feed), [(Set, "b"), (Set, "a"), (Delete, "gone"), (Set, "b")]);
        assert_rising(&positions(feed));
        assert_eq!(
            [feed[0].version, feed[1].version, feed[3].version],
            [outcomes[0].version, outcomes[1].version, outcomes[3].version]
        );
    });

    cases.add("the feed goes on from any position, with as many changes as asked for", |subject| {
        let notes = subject.notes();
        for index in 0..10 {
            notes.set(&index.to_string(), "1");
        }
        let feed = subject.feed();
        for (index, change) in feed.iter().enumerate() {
            let rest = subject.changes_after(USER, change.version, usize::MAX).changes;
            assert_eq!(rest, feed[index + 1..]);
            let two = subject.changes_after(USER, change.version, 2).changes;
            assert_eq!(two, feed[index + 1..feed.len().min(index + 3)]);
        }
        let last = feed[9].version;
        assert_eq!(subject.changes_after(USER, last + 1_000, 10).changes, []);
        notes.set("next", "1");
        assert_eq!(events(&subject.changes_after(USER, last, 10).changes), [(Set, "next")]);
    });

    cases.add("the feed tells its newest position, however much of it is read", |subject| {
        let notes = subject.notes();
        let last = |user: &str, since, limit| subject.changes_after(user, since, limit).last;
        assert_eq!((last(USER, 0, 10), last("nobody", 0, 10)), (0, 0));
        notes.set("a", "1");
        let newest = notes.set("b", "1");
        notes.of_user("other").set("a", "1");
        for (since, limit) in [(0, 0), (0, 1), (0, 10), (newest, 10), (newest + 1_000, 10)] {
            assert_eq!(last(USER, since, limit), newest);
        }
        notes.clear();
        let feed = subject.feed();
        assert_eq!(last(USER, 0, 0), feed[feed.len() - 1].version);
        assert_eq!(block_on(notes.verbs().position()).expect("position"), last(USER, 0, 0));
    });

    cases.add("a feed from which nothing has gone is complete from 0", |subject| {
        assert_eq!(complete_from(subject), 0);
        subject.notes().set("a", "1");
        subject.maintain();
        assert_eq!(complete_from(subject), 0);
    });

    cases.add_with(
        |options| options.changes_kept = 5,
        "the feed keeps the newest changes and tells from where it is complete",
        |subject| {
            let notes = subject.notes();
            let mut all = Vec::new();
            for round in 0..20 {
                for key in ["a", "b", "c"] {
                    let version = notes.set(key, &round.to_string());
                    all.push((version, Set));
                }
                subject.maintain();
                let known = |since: Version| all.iter().filter(move |(version, _)| *version > since).copied();
                let from = complete_from(subject);
                let kept = subject.changes_after(USER, from, usize::MAX).changes;
                assert!(kept.iter().map(|change| (change.version, change.kind)).eq(known(from)), "a gap after {from}");
                let newest = all.len().saturating_sub(5);
                assert!(known(from).count() >= all[newest..].len(), "too few are kept");
                assert!(from == 0 || all.iter().any(|(version, _)| *version <= from), "complete_from is too high");
                // Whoever follows from before is told that something is missing.
                let verbs = notes.verbs();
                assert!(block_on(verbs.changes(from, 10)).is_ok());
                assert_eq!(block_on(verbs.changes(0, 10)).is_ok(), from == 0);
                assert_eq!(block_on(verbs.position()).expect("position"), all[all.len() - 1].0);
                // Whoever asks from before gets what is left, without a gap in it.
                let left = subject.changes_after(USER, 0, usize::MAX).changes;
                assert!(left.ends_with(&kept));
                assert_rising(&positions(&left));
            }
        },
    );
}
