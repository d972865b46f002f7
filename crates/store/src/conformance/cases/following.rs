//! Waiting for values and following changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::Cases;
use crate::blocking::block_on;
use crate::conformance::subject::{Handle, SECOND, Subject, USER, assert_rising, events, increment, put, refused};
use crate::conformance::threads::{Elsewhere, THREADS, eventually, in_threads};
use crate::error::{ErrorKind, Result};
use crate::feed::Follower;
use crate::json::Json;
use crate::model::ChangeKind::{Clear, Delete, Expire, Set};
use crate::model::{Change, Version};

/// Longer than any case: the clock stands still.
const LONG: Duration = Duration::from_secs(1_000_000);
const ROUNDS: usize = 50;

/// Waits for `a` to hold a value that `accepts`.
fn wait_for(
    notes: &Handle,
    timeout: Duration,
    since_version: Option<Version>,
    accepts: impl Fn(&str) -> bool,
) -> Option<(String, Version)> {
    let accepts = async |value: &Json| Ok(accepts(value.as_str()));
    let found = block_on(notes.verbs().wait_for("a", timeout, since_version, accepts)).expect("wait_for");
    found.map(|(value, version)| (value.to_string(), version))
}

fn wait_elsewhere(
    notes: &Handle,
    timeout: Duration,
    since_version: Option<Version>,
    accepts: impl Fn(&str) -> bool + Send + 'static,
) -> Elsewhere<Option<(String, Version)>> {
    let notes = notes.clone();
    Elsewhere::begin(move || wait_for(&notes, timeout, since_version, accepts))
}

fn next(follower: &mut Follower) -> Option<Change> {
    block_on(follower.next(Duration::ZERO)).expect("next")
}

/// All that has come by now.
fn rest(follower: &mut Follower) -> Vec<Change> {
    std::iter::from_fn(|| next(follower)).collect()
}

/// The feed of the namespace, as far as keys start with `prefix`.
fn feed_of(subject: &Subject<'_>, notes: &Handle, prefix: &str) -> Vec<Change> {
    let is_followed = |change: &Change| {
        *change.namespace == *notes.namespace() && change.key.as_ref().is_none_or(|key| key.starts_with(prefix))
    };
    subject.feed().into_iter().filter(is_followed).collect()
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("a wait for a value that is there ends at once", |subject| {
        let notes = subject.notes();
        let version = notes.set("a", "null");
        for timeout in [Duration::ZERO, LONG] {
            assert_eq!(wait_for(&notes, timeout, None, |_| true), Some(("null".to_owned(), version)));
            assert_eq!(wait_for(&notes, timeout, Some(version - 1), |_| true), Some(("null".to_owned(), version)));
        }
        assert_eq!(wait_for(&notes, Duration::ZERO, Some(version), |_| true), None);
        assert_eq!(wait_for(&notes, Duration::ZERO, None, |value| value == "1"), None);
    });

    cases.add("a wait for a value ends when it is written", |subject| {
        let notes = subject.notes();
        let waiting = wait_elsewhere(&notes, LONG, None, |_| true);
        notes.set("b", "1");
        notes.in_namespace("other").set("a", "1");
        notes.of_user("other").set("a", "1");
        let version = notes.set("a", "[1]");
        assert_eq!(waiting.end(), Some(("[1]".to_owned(), version)));
    });

    cases.add("a wait since a version is for a later one, also of a record made anew", |subject| {
        let notes = subject.notes();
        let seen = notes.set("a", "1");
        let waiting = wait_elsewhere(&notes, LONG, Some(seen), |_| true);
        notes.delete("a");
        let version = notes.set("a", "1");
        assert_eq!(waiting.end(), Some(("1".to_owned(), version)));
    });

    cases.add("a wait passes over values that it does not accept", |subject| {
        let notes = subject.notes();
        let looks = Arc::new(AtomicUsize::new(0));
        let waiting = wait_elsewhere(&notes, LONG, None, {
            let looks = Arc::clone(&looks);
            move |value| {
                looks.fetch_add(1, Ordering::SeqCst);
                value == "3"
            }
        });
        let versions = ["1", "2", "3"].map(|value| notes.set("a", value));
        assert_eq!(waiting.end(), Some(("3".to_owned(), versions[2])));
        assert!((1..=3).contains(&looks.load(Ordering::SeqCst)), "each value is looked at once");
    });

    cases.add("a wait judges a value once, whatever else changes meanwhile", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        let looks = Arc::new(AtomicUsize::new(0));
        let waiting = wait_elsewhere(&notes, SECOND, None, {
            let (looks, notes) = (Arc::clone(&looks), notes.clone());
            move |_| {
                looks.fetch_add(1, Ordering::SeqCst);
                notes.set("b", "1");
                false
            }
        });
        eventually("the value is judged", || looks.load(Ordering::SeqCst) > 0);
        assert_eq!(waiting.end_while(|| subject.advance(SECOND / 100)), None);
        assert_eq!(looks.load(Ordering::SeqCst), 1);
    });

    cases.add("a wait for a value ends with nothing when its time is over", |subject| {
        let notes = subject.notes();
        notes.set_for(SECOND, "a", "1");
        let waiting = wait_elsewhere(&notes, 5 * SECOND, None, |value| value == "2");
        assert_eq!(waiting.end_while(|| subject.advance(SECOND)), None);
        assert_eq!(wait_for(&notes, Duration::ZERO, None, |_| true), None, "it has expired");
    });

    cases.add("a wait passes on the error of who judges the value", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        let refuse = async |_: &Json| Err(crate::error::Error::invalid("mine"));
        let error = refused(block_on(notes.verbs().wait_for("a", LONG, None, refuse)), ErrorKind::InvalidArgument);
        assert_eq!(error.message(), "mine");
    });

    cases.add("a wait counts as one read, of the value that it ends with", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        assert_eq!(wait_for(&notes, Duration::ZERO, None, |_| false), None);
        let waiting = wait_elsewhere(&notes.as_agent("waiter"), LONG, None, |value| value == "2");
        notes.set("a", "2");
        waiting.end();
        subject.flush();
        let record = notes.inspect("a");
        assert_eq!((record.access_count, record.last_accessed_by_agent.as_deref()), (1, Some("waiter")));
    });

    cases.add("a wait for changes tells whether there are any", |subject| {
        let notes = subject.notes();
        let wait = |since, timeout| block_on(notes.verbs().wait_for_changes(since, timeout)).expect("wait");
        assert!(!wait(0, Duration::ZERO));
        let version = notes.in_namespace("other").set("a", "1");
        assert!(wait(0, Duration::ZERO) && wait(version - 1, LONG) && !wait(version, Duration::ZERO));
        let waiting = Elsewhere::begin({
            let notes = notes.clone();
            move || block_on(notes.verbs().wait_for_changes(version, LONG)).expect("wait")
        });
        notes.delete("missing");
        notes.in_namespace("other").delete("a");
        assert!(waiting.end());
    });

    cases.add("changes are those of all namespaces of one user, page by page", |subject| {
        let notes = subject.notes();
        for n in 0..5 {
            notes.set(&n.to_string(), "1");
            notes.in_namespace("other").set(&n.to_string(), "1");
            notes.of_user("other").set(&n.to_string(), "1");
        }
        let (mut met, mut position) = (Vec::new(), 0);
        loop {
            let page = block_on(notes.verbs().changes(position, 3)).expect("changes").changes;
            assert!(page.len() <= 3);
            let Some(last) = page.last() else { break };
            position = last.version;
            met.extend(page);
        }
        assert_eq!((met.len(), met), (10, subject.feed()));
        assert_eq!(position, block_on(notes.verbs().position()).expect("position"));
    });

    cases.add("a follower meets each change under its prefix once, in order, whatever its kind", |subject| {
        let notes = subject.notes();
        notes.set("a:before", "1");
        let since = block_on(notes.verbs().position()).expect("position");
        let mut follower = notes.verbs().follow("a:", since);
        assert_eq!(next(&mut follower), None);
        notes.set("a:1", "1");
        notes.set_for(SECOND, "a:2", "1");
        notes.set_many(&[("a:3", "1"), ("b:1", "1"), ("a", "1")]);
        notes.in_namespace("other").set("a:1", "1");
        notes.of_user("other").set("a:1", "1");
        notes.apply("a:1", increment("1"));
        notes.delete("a:3");
        subject.advance(SECOND);
        subject.maintain();
        notes.in_namespace("other").clear();
        notes.clear();
        notes.set("a:1", "1");
        let met = rest(&mut follower);
        let expected = [
            (Set, "a:1"),
            (Set, "a:2"),
            (Set, "a:3"),
            (Set, "a:1"),
            (Delete, "a:3"),
            (Expire, "a:2"),
            (Clear, ""),
            (Set, "a:1"),
        ];
        assert_eq!(events(&met), expected);
        assert_eq!(met, feed_of(subject, &notes, "a:")[1..]);
        assert_eq!(rest(&mut follower), []);
    });

    cases.add("a follower waits for the next change", |subject| {
        let notes = subject.notes();
        let mut follower = notes.verbs().follow("a", 0);
        let waiting = Elsewhere::begin(move || {
            let change = block_on(follower.next(LONG)).expect("next");
            (change, follower)
        });
        notes.set("b", "1");
        notes.in_namespace("other").set("a", "1");
        let version = notes.set("a", "1");
        let (change, mut follower) = waiting.end();
        assert_eq!(change.map(|change| change.version), Some(version));
        let waiting = Elsewhere::begin(move || block_on(follower.next(5 * SECOND)));
        assert_eq!(waiting.end_while(|| subject.advance(SECOND)).expect("next"), None);
    });

    cases.add("a follower may stop anywhere and go on from its position", |subject| {
        let notes = subject.notes();
        for n in 0..ROUNDS {
            notes.set(&format!("{}:{n}", ["a", "b", "c"][n % 3]), "1");
        }
        let whole = rest(&mut notes.verbs().follow("b:", 0));
        let mut met = Vec::new();
        let mut position = 0;
        while position < notes.record("b:49").version {
            let mut follower = notes.verbs().follow("b:", position);
            met.extend(next(&mut follower));
            position = follower.position();
        }
        assert_eq!((met.len(), &met), (ROUNDS / 3 + 1, &whole));
        assert_eq!(whole, feed_of(subject, &notes, "b:"));
    });

    cases.add_with(
        |options| options.changes_kept = 5,
        "a position that is too old is an error for those who follow, not a silent gap",
        |subject| {
            let notes = subject.notes();
            notes.set("a", "1");
            let mut follower = notes.verbs().follow("", 0);
            assert!(next(&mut follower).is_some());
            let seen = follower.position();
            for round in 0..100 {
                notes.set("a", &round.to_string());
                subject.maintain();
            }
            let complete_from = subject.changes_after(USER, 0, 0).complete_from;
            assert!(complete_from > seen);
            for error in [
                refused(block_on(follower.next(LONG)), ErrorKind::InvalidArgument),
                refused(block_on(notes.verbs().changes(complete_from - 1, 10)), ErrorKind::InvalidArgument),
            ] {
                assert!(error.message().contains(&complete_from.to_string()), "{error}");
                assert!(error.message().contains("read the records"), "{error}");
            }
            let mut follower = notes.verbs().follow("", complete_from);
            let kept = rest(&mut follower);
            assert!(kept.len() >= 5 && kept.iter().all(|change| change.version > complete_from));
            assert_eq!(follower.position(), notes.record("a").version);
        },
    );

    cases.add("many followers meet every change of many writers once, in order", |subject| {
        let notes = subject.notes();
        let followed = in_threads(|thread| {
            // Some write, some follow.
            if thread % 2 == 0 {
                let keys = [format!("own {thread}"), "shared".to_owned()];
                for round in 0..ROUNDS {
                    notes.set(&keys[round % 2], "1");
                    notes.write(keys.iter().map(|key| notes.write_to(key, put("2"))).collect());
                }
                return Vec::new();
            }
            let mut follower = notes.verbs().follow("", 0);
            let count = THREADS / 2 * ROUNDS * 3;
            (0..count).map(|_| block_on(follower.next(LONG)).expect("next").expect("a change")).collect()
        });
        let feed = subject.feed();
        assert_rising(&feed.iter().map(|change| change.version).collect::<Vec<_>>());
        assert!(followed.iter().enumerate().all(|(thread, met)| thread % 2 == 0 || *met == feed));
    });

    cases.add("a store opened twice has values and changes of the other handle waited for", |subject| {
        let beside = subject.again();
        let waiting = wait_elsewhere(&beside.notes(), LONG, None, |_| true);
        let mut follower = beside.notes().verbs().follow("a", 0);
        let following = Elsewhere::begin(move || block_on(follower.next(LONG)));
        let version = subject.notes().set("a", "1");
        assert_eq!(waiting.end(), Some(("1".to_owned(), version)));
        let change: Result<_> = following.end();
        assert_eq!(change.expect("next").map(|change| change.version), Some(version));
    });
}

