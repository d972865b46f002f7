//! Work that many share.

use std::collections::HashSet;
use std::time::Duration;

use super::Cases;
use crate::blocking::block_on;
use crate::clock::Timestamp;
use crate::conformance::subject::{Handle, SECOND, Subject, TICK, json, pairs, refused};
use crate::conformance::threads::{Elsewhere, in_threads};
use crate::error::{ErrorKind, Result};
use crate::tasks::{Claim, ClaimOptions, ClaimedTask, FailedTask, TaskSummary};

const TTL: Duration = Duration::from_secs(60);
/// Longer than any case: the clock stands still.
const LONG: Duration = Duration::from_secs(1_000_000);
const TASKS: usize = 100;

const PLAIN: ClaimOptions = ClaimOptions { ttl: TTL, wait: Duration::ZERO, max_attempts: None };

fn try_claim(notes: &Handle, prefix: &str, options: ClaimOptions) -> Option<Claim> {
    block_on(notes.verbs().claim(prefix, options)).expect("claim")
}

#[track_caller]
fn claim(notes: &Handle) -> Claim {
    try_claim(notes, "", PLAIN).expect("a task")
}

/// The key of the task that is claimed.
fn claim_key(notes: &Handle) -> Option<String> {
    try_claim(notes, "", PLAIN).map(|claim| claim.key().to_owned())
}

fn claim_elsewhere(notes: &Handle, wait: Duration) -> Elsewhere<Option<Claim>> {
    let notes = notes.clone();
    Elsewhere::begin(move || try_claim(&notes, "", ClaimOptions { wait, ..PLAIN }))
}

fn complete(claim: Claim, result: Option<&str>) {
    block_on(claim.complete(result.map(json))).expect("complete");
}

fn fail(claim: Claim, error: &str, retry_in: Option<Duration>) {
    block_on(claim.fail(error, retry_in)).expect("fail");
}

fn release(claim: Claim) {
    block_on(claim.release()).expect("release");
}

#[track_caller]
fn lost<T: std::fmt::Debug>(result: Result<T>) {
    let error = refused(result, ErrorKind::LeaseLost);
    assert_eq!(error.key(), Some("a"));
}

fn summary(notes: &Handle, prefix: &str) -> TaskSummary {
    block_on(notes.verbs().tasks(prefix)).expect("tasks")
}

/// How many tasks are waiting, claimed, done and failed.
fn counts(notes: &Handle) -> [u64; 4] {
    let TaskSummary { waiting, claimed, done, failed } = summary(notes, "");
    [waiting, claimed.len() as u64, done, failed.len() as u64]
}

/// The namespaces beside that of the tasks, for those who look into them.
fn done(notes: &Handle) -> Handle {
    notes.in_namespace(notes.verbs().done_tasks().expect("a namespace").namespace())
}

fn failed(notes: &Handle) -> Handle {
    notes.in_namespace(notes.verbs().failed_tasks().expect("a namespace").namespace())
}

/// A claim whose time is over.
fn late(subject: &Subject<'_>, notes: &Handle) -> Claim {
    let claim = claim(notes);
    subject.advance(TTL);
    claim
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("tasks are claimed in the order of their keys, each by one", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("b", r#"{"n":2}"#), ("a", "1"), ("é", "4"), ("c", "3")]);
        let first = claim(&notes);
        assert_eq!((first.key(), first.value().as_str(), first.attempt(), first.last_error()), ("a", "1", 1, None));
        assert_eq!(first.until(), Some(subject.now().saturating_add(TTL)));
        let second = claim(&notes.as_agent("second"));
        assert_eq!((second.key(), second.value().as_str()), ("b", r#"{"n":2}"#));
        assert_eq!([claim_key(&notes), claim_key(&notes), claim_key(&notes)], [Some("c".into()), Some("é".into()), None]);
    });

    cases.add("a claim leaves value, metadata and expiry of the task", |subject| {
        let notes = subject.notes();
        notes.set_with(r#"{"source":"x"}"#, "a", "[1, 2]");
        block_on(notes.verbs().expire("a", Some(LONG))).expect("expire");
        let before = notes.record("a");
        let claim = claim(&notes);
        let record = notes.record("a");
        assert_eq!((&record.value, record.expires_at), (&before.value, before.expires_at));
        assert!(record.metadata.as_str().starts_with(r#"{"source":"x","#), "{}", record.metadata);
        release(claim);
        assert_eq!(notes.record("a").expires_at, before.expires_at);
    });

    cases.add("a claim is for the tasks under a prefix of one namespace of one user", |subject| {
        let notes = subject.notes();
        for place in [&notes, &notes.in_namespace("other"), &notes.of_user("other")] {
            place.set_many(&[("a:1", "1"), ("b:1", "1")]);
        }
        let claim_b = || try_claim(&notes, "b:", PLAIN).map(|claim| claim.key().to_owned());
        assert_eq!([claim_b(), claim_b()], [Some("b:1".to_owned()), None]);
        assert_eq!(claim_key(&notes.in_namespace("other")).as_deref(), Some("a:1"));
        assert_eq!(claim_key(&notes.of_user("other")).as_deref(), Some("a:1"));
        assert_eq!((claim_key(&notes).as_deref(), claim_key(&notes)), (Some("a:1"), None));
    });

    cases.add("locks are no tasks, and an expired task is none", |subject| {
        let notes = subject.notes();
        notes.set_for(SECOND, "a", "1");
        let lease = block_on(notes.verbs().lock("x", crate::lease::LockOptions::default())).expect("lock");
        subject.advance(SECOND);
        assert_eq!(claim_key(&notes), None);
        assert_eq!(counts(&notes), [0, 0, 0, 0]);
        block_on(lease.release()).expect("release");
    });

    cases.add("a task is kept from others for the time of the claim and then goes back by itself", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        for attempt in 1..4 {
            let claim = claim(&notes);
            assert_eq!((claim.attempt(), claim.last_error()), (attempt, None));
            subject.advance(TTL - TICK);
            assert_eq!(claim_key(&notes), None);
            subject.advance(TICK);
        }
    });

    cases.add("renewing a claim keeps the task for another time", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        let mut claim = claim(&notes);
        for _ in 0..3 {
            subject.advance(TTL - TICK);
            block_on(claim.renew(TTL)).expect("renew");
            assert_eq!(claim.until(), Some(subject.now().saturating_add(TTL)));
        }
        refused(block_on(claim.renew(Duration::ZERO)), ErrorKind::InvalidArgument);
        subject.advance(TTL - TICK);
        assert_eq!((claim_key(&notes), claim.attempt()), (None, 1));
        complete(claim, None);
    });

    cases.add("a completed task is out of the work and its result is kept", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("a", "1"), ("b", "1")]);
        complete(claim(&notes), Some(r#"{"pages":3}"#));
        complete(claim(&notes.as_agent("second")), None);
        assert_eq!(notes.keys(""), [""; 0]);
        assert_eq!(done(&notes).get_all(), pairs([("a", r#"{"pages":3}"#), ("b", "null")]));
        assert_eq!(done(&notes).record("b").created_by_agent.as_deref(), Some("second"));
        assert_eq!((claim_key(&notes), counts(&notes)), (None, [0, 0, 2, 0]));
    });

    cases.add("a task that is done is skipped when it is stored again", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("a", "1"), ("b", "1")]);
        complete(claim(&notes), Some("\"first\""));
        notes.set_many(&[("a", "1"), ("b", "1"), ("c", "1")]);
        assert_eq!(counts(&notes), [2, 0, 1, 0], "what is done does not wait again");
        assert_eq!([claim_key(&notes), claim_key(&notes), claim_key(&notes)], [Some("b".into()), Some("c".into()), None]);
        assert_eq!((notes.keys(""), done(&notes).get("a").as_deref()), (vec!["b".to_owned(), "c".to_owned()], Some("\"first\"")));
        // Until its result is deleted.
        done(&notes).delete("a");
        notes.set("a", "1");
        assert_eq!(claim_key(&notes).as_deref(), Some("a"));
    });

    cases.add("a failed task is set aside with its value and error", |subject| {
        let notes = subject.notes();
        notes.set("a", "[1, 2]");
        fail(claim(&notes), "no such page", None);
        assert_eq!((notes.keys(""), claim_key(&notes)), (vec![], None));
        assert_eq!(failed(&notes).get("a").as_deref(), Some("[1, 2]"));
        let error = Some("no such page".to_owned());
        assert_eq!(summary(&notes, "").failed, [FailedTask { key: "a".into(), attempts: 1, error }]);
        // Stored again, it is a new task.
        notes.set("a", "1");
        let claim = claim(&notes);
        assert_eq!((claim.attempt(), claim.last_error()), (1, None));
        complete(claim, None);
    });

    cases.add("a failed task may come back after a pause, with its error and its attempts", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("a", "1"), ("b", "1")]);
        fail(claim(&notes), "busy", Some(SECOND));
        assert_eq!(counts(&notes), [2, 0, 0, 0]);
        assert_eq!((claim_key(&notes).as_deref(), claim_key(&notes)), (Some("b"), None));
        subject.advance(SECOND - TICK);
        assert_eq!(claim_key(&notes), None);
        subject.advance(TICK);
        let second = claim(&notes);
        assert_eq!((second.key(), second.attempt(), second.last_error()), ("a", 2, Some("busy")));
        fail(second, "still busy", Some(Duration::ZERO));
        let third = claim(&notes);
        assert_eq!((third.attempt(), third.last_error()), (3, Some("still busy")));
        complete(third, None);
    });

    cases.add("a released task goes back at once, as if it had not been claimed", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        release(claim(&notes));
        let first = claim(&notes);
        assert_eq!(first.attempt(), 1);
        fail(first, "busy", Some(Duration::ZERO));
        release(claim(&notes));
        let second = claim(&notes);
        assert_eq!((second.attempt(), second.last_error()), (2, Some("busy")));
    });

    cases.add("whoever has lost a task cannot end it, and nothing is stored", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        let ends: [fn(Claim) -> Result<()>; 5] = [
            |claim| block_on(claim.complete(Some(json("\"late\"")))),
            |claim| block_on(claim.fail("late", None)),
            |claim| block_on(claim.fail("late", Some(Duration::ZERO))),
            |claim| block_on(claim.release()),
            |mut claim| block_on(claim.renew(TTL)),
        ];
        for end in ends {
            let (slow, next) = (late(subject, &notes), late(subject, &notes));
            let before = notes.inspect("a");
            lost(end(slow));
            assert_eq!(notes.inspect("a"), before);
            assert_eq!((done(&notes).keys(""), failed(&notes).keys("")), (vec![], vec![]));
            drop(next);
        }
        let claim = claim(&notes);
        notes.delete("a");
        lost(block_on(claim.complete(None)));
        assert_eq!(notes.list_namespaces(""), [""; 0]);
    });

    cases.add("a task that is stored again while somebody works on it is still that one's", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        let mut claimed = claim(&notes);
        notes.set("a", "2");
        assert_eq!((claim_key(&notes), counts(&notes)), (None, [0, 1, 0, 0]));
        block_on(claimed.renew(TTL)).expect("renew");
        notes.set("a", "3");
        release(claimed);
        let claimed = claim(&notes);
        assert_eq!((claimed.value().as_str(), claimed.attempt()), ("3", 1));
        notes.set("a", "4");
        fail(claimed, "busy", Some(Duration::ZERO));
        let claimed = claim(&notes);
        assert_eq!((claimed.value().as_str(), claimed.attempt(), claimed.last_error()), ("4", 2, Some("busy")));
        notes.set("a", "5");
        complete(claimed, Some("\"done\""));
        assert_eq!((counts(&notes), done(&notes).get("a").as_deref()), ([0, 0, 1, 0], Some("\"done\"")));
    });

    cases.add("a task whose time is over may still be completed while nobody else has claimed it", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        complete(late(subject, &notes), Some("1"));
        assert_eq!(counts(&notes), [0, 0, 1, 0]);
    });

    cases.add("a task that was tried too often is set aside with its last error", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("crashing", "[1]"), ("failing", "[2]"), ("good", "[3]")]);
        let options = ClaimOptions { max_attempts: Some(2), ..PLAIN };
        for _ in 0..2 {
            for key in ["crashing", "failing"] {
                let claim = try_claim(&notes, "", options).expect("a task");
                assert_eq!(claim.key(), key);
                if key == "failing" {
                    fail(claim, "bad input", Some(SECOND));
                }
            }
            subject.advance(TTL);
        }
        assert_eq!(try_claim(&notes, "", options).expect("a task").key(), "good");
        assert_eq!(failed(&notes).get_all(), pairs([("crashing", "[1]"), ("failing", "[2]")]));
        let failed: Vec<_> = summary(&notes, "").failed;
        assert!(failed.iter().all(|task| task.attempts == 2));
        assert_eq!(failed[0].error.as_deref(), Some("the claim ended without a result"));
        assert_eq!(failed[1].error.as_deref(), Some("bad input"));
        assert_eq!(try_claim(&notes, "", options).map(|claim| claim.key().to_owned()), None);
    });

    cases.add("what somebody else keeps in the metadata of a task does not matter", |subject| {
        let notes = subject.notes();
        for metadata in [r#"{"task":7}"#, r#"{"task":{"attempt":"many"}}"#, r#"{"task":{"by":"x","until":"noon"}}"#] {
            notes.set_with(metadata, "a", "1");
            assert_eq!(counts(&notes), [1, 0, 0, 0], "{metadata}");
            complete(claim(&notes), None);
            assert_eq!(done(&notes).clear(), 1);
        }
    });

    cases.add("tasks sums up what waits, who has what until when, what is done and what failed", |subject| {
        let notes = subject.notes();
        let keys: Vec<String> = (0..TASKS).map(|n| format!("job:{n:03}")).collect();
        let tasks: Vec<_> = keys.iter().map(|key| (key.as_str(), "1")).chain([("a", "1"), ("z", "1")]).collect();
        notes.set_many(&tasks);
        let claim = |agent, prefix| try_claim(&notes.as_agent(agent), prefix, PLAIN).expect("a task");
        let until = subject.now().saturating_add(TTL);
        let claimed: Vec<_> = (0..40).map(|n| claim(["first", "second"][n % 2], "job:")).collect();
        for _ in 0..3 {
            complete(claim("first", "job:"), None);
        }
        fail(claim("first", "job:"), "broken", None);
        fail(claim("first", "job:"), "busy", Some(SECOND));
        claim("first", "a");
        let of = |n: usize, until: Timestamp| ClaimedTask {
            key: keys[n].as_str().into(),
            agent: Some(["first", "second"][n % 2].to_owned()),
            attempt: 1,
            until,
        };
        let expected = TaskSummary {
            waiting: TASKS as u64 - 40 - 3 - 1,
            claimed: (0..40).map(|n| of(n, until)).collect(),
            done: 3,
            failed: vec![FailedTask { key: "job:043".into(), attempts: 1, error: Some("broken".to_owned()) }],
        };
        assert_eq!(summary(&notes, "job:"), expected);
        assert_eq!(counts(&notes), [expected.waiting + 1, 41, 3, 1]);
        assert_eq!(summary(&notes, "none"), TaskSummary::default());
        subject.advance(TTL);
        assert_eq!(counts(&notes), [expected.waiting + 42, 0, 3, 1]);
        drop(claimed);
    });

    cases.add("a task claimed by an administrator is claimed by nobody in particular", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        let claim = claim(&notes.as_administrator());
        let claimed = summary(&notes, "").claimed;
        assert_eq!(claimed.iter().map(|task| (&*task.key, task.agent.as_deref())).collect::<Vec<_>>(), [("a", None)]);
        assert_eq!(claim_key(&notes), None);
        complete(claim, None);
    });

    cases.add("who waits for a task gets one that is stored, given back or left", |subject| {
        let notes = subject.notes();
        let waiting = claim_elsewhere(&notes, LONG);
        notes.set("a", "1");
        let first = waiting.end().expect("a task");
        let waiting = claim_elsewhere(&notes, LONG);
        release(first);
        let second = waiting.end().expect("a task");
        let waiting = claim_elsewhere(&notes, LONG);
        fail(second, "busy", Some(SECOND));
        let third = waiting.end_while(|| subject.advance(SECOND)).expect("a task");
        let waiting = claim_elsewhere(&notes, LONG);
        subject.advance(TTL);
        let fourth = waiting.end().expect("a task");
        assert_eq!((third.attempt(), fourth.attempt()), (2, 3));
        lost(block_on(third.complete(None)));
        complete(fourth, None);
    });

    cases.add("who waits for a task gets none when the wait is over", |subject| {
        let notes = subject.notes();
        let waiting = claim_elsewhere(&notes, 5 * SECOND);
        assert!(waiting.end_while(|| subject.advance(SECOND)).is_none());
    });

    cases.add("a claim that cannot be is refused", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        let claim = block_on(notes.verbs().claim("", ClaimOptions { ttl: Duration::ZERO, ..PLAIN }));
        refused(claim, ErrorKind::InvalidArgument);
        let (long, longest) = (notes.in_namespace(&"n".repeat(500)), notes.in_namespace(&"n".repeat(499)));
        refused(block_on(long.verbs().claim("", PLAIN)), ErrorKind::InvalidArgument);
        refused(block_on(long.verbs().tasks("")), ErrorKind::InvalidArgument);
        assert_eq!(claim_key(&longest), None);
        assert_eq!(counts(&notes), [1, 0, 0, 0]);
    });

    cases.add("many workers complete every task, and none twice", |subject| {
        let notes = subject.notes();
        let keys: Vec<String> = (0..TASKS).map(|n| format!("{n:03}")).collect();
        notes.set_many(&keys.iter().map(|key| (key.as_str(), "1")).collect::<Vec<_>>());
        let completed = in_threads(|thread| {
            let notes = notes.as_agent(&thread.to_string());
            let mut completed = Vec::new();
            while let Some(claim) = try_claim(&notes, "", PLAIN) {
                assert_eq!(claim.attempt(), 1);
                completed.push(claim.key().to_owned());
                complete(claim, Some(&thread.to_string()));
            }
            completed
        });
        assert_eq!(completed.iter().map(Vec::len).sum::<usize>(), TASKS);
        assert_eq!(completed.iter().flatten().collect::<HashSet<_>>().len(), TASKS);
        assert_eq!((counts(&notes), done(&notes).keys("")), ([0, 0, TASKS as u64, 0], keys));
    });

    cases.add("a store opened twice gives each task to one of the handles", |subject| {
        let beside = subject.again();
        let (here, there) = (subject.notes(), beside.notes().as_agent("beside"));
        let waiting = claim_elsewhere(&there, LONG);
        here.set("a", "1");
        let theirs = waiting.end().expect("a task");
        assert_eq!(claim_key(&here), None);
        assert_eq!(summary(&here, "").claimed[0].agent.as_deref(), Some("beside"));
        let waiting = claim_elsewhere(&here, LONG);
        release(theirs);
        complete(waiting.end().expect("a task"), None);
        assert_eq!((claim_key(&there), counts(&there)), (None, [0, 0, 1, 0]));
    });
}
