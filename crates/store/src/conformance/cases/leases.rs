//! Locks: one holder at a time, for a time.

use std::mem;
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use super::Cases;
use crate::blocking::block_on;
use crate::clock::Timestamp;
use crate::conformance::subject::{Handle, SECOND, Subject, TICK, assert_rising, refused};
use crate::conformance::threads::{Elsewhere, THREADS, eventually, in_threads};
use crate::error::{Error, ErrorKind, LeaseHolder, Result};
use crate::lease::{Lease, LockOptions};

const TTL: Duration = Duration::from_secs(60);
/// For how long those who write locks by hand take one to be held.
const HANDWRITTEN: Duration = Duration::from_secs(300);
/// Longer than any case: the clock stands still.
const LONG: Duration = Duration::from_secs(1_000_000);
const ROUNDS: usize = 20;

/// Nothing but the case renews these, so that the clock alone says when they end.
const PLAIN: LockOptions = LockOptions { ttl: TTL, wait: Duration::ZERO, keep_alive: false, owner: None };

fn try_lock(notes: &Handle, options: LockOptions) -> Result<Lease> {
    block_on(notes.verbs().lock("x", options))
}

fn lock(notes: &Handle) -> Lease {
    try_lock(notes, PLAIN).expect("lock")
}

/// A lock whose holder has died: nobody will renew or release it.
fn lock_and_die(notes: &Handle) {
    mem::forget(lock(notes));
}

/// Where those who wait have their places.
fn places(subject: &Subject<'_>) -> Handle {
    let notes = subject.notes().as_administrator();
    notes.in_namespace(&format!("locks-waiting:{}", notes.namespace()))
}

/// Until as many wait.
#[track_caller]
fn until_waiting(subject: &Subject<'_>, count: u64) {
    eventually("they wait", || places(subject).count("") == count);
}

fn release(lease: Lease) {
    block_on(lease.release()).expect("release");
}

/// Who holds the lock, and until when.
#[track_caller]
fn held_by(notes: &Handle) -> (Option<String>, Option<Timestamp>) {
    let error = refused(try_lock(notes, PLAIN), ErrorKind::LeaseHeld);
    assert_eq!((error.namespace(), error.key()), (Some(notes.namespace()), Some("lock:x")));
    assert!(error.is_retryable());
    let LeaseHolder { agent, expires_at } = error.lease_holder().expect("a holder").clone();
    if let Some(agent) = &agent {
        assert!(error.message().contains(&format!("{agent:?}")), "{error}");
    }
    (agent, expires_at)
}

#[track_caller]
fn lost<T: std::fmt::Debug>(result: Result<T>) -> Error {
    let error = refused(result, ErrorKind::LeaseLost);
    assert_eq!(error.key(), Some("lock:x"));
    error
}

/// Takes the lock in a thread of its own, waiting for it.
fn lock_elsewhere(notes: &Handle, wait: Duration) -> Elsewhere<Result<Lease>> {
    lock_elsewhere_with(notes, LockOptions { wait, ..PLAIN })
}

fn lock_elsewhere_with(notes: &Handle, options: LockOptions) -> Elsewhere<Result<Lease>> {
    let notes = notes.clone();
    Elsewhere::begin(move || try_lock(&notes, options))
}

/// A lock as the recipe writes it: `{"agent": …, "acquired_at": datetime.now().isoformat()}`.
fn write_by_hand(notes: &Handle, agent: &str, acquired_at: Timestamp) {
    let acquired_at = acquired_at.to_naive_local();
    notes.set("lock:x", &format!(r#"{{"agent":"{agent}","acquired_at":"{acquired_at}"}}"#));
}

/// What the recipe finds: the holder, if a lock is there that is not older than five minutes.
fn look_by_hand(subject: &Subject<'_>) -> Option<String> {
    let lock = subject.notes().get("lock:x")?;
    let lock: serde_json::Value = serde_json::from_str(&lock).expect("JSON");
    let acquired_at = Timestamp::parse_naive_local(lock["acquired_at"].as_str().expect("a time")).expect("a time");
    let is_held = subject.now() < acquired_at.saturating_add(HANDWRITTEN);
    is_held.then(|| lock["agent"].as_str().expect("an agent").to_owned())
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("a lock is held until it is released", |subject| {
        let notes = subject.notes();
        let lease = lock(&notes.as_agent("first"));
        assert!(lease.is_held() && lease.resource() == "x");
        let until = subject.now().saturating_add(TTL);
        for _ in 0..2 {
            assert_eq!(held_by(&notes.as_agent("second")), (Some("first".to_owned()), Some(until)));
        }
        release(lease);
        assert_eq!(notes.keys(""), [""; 0]);
        release(lock(&notes.as_agent("second")));
    });

    cases.add("a lock is released when its lease is dropped", |subject| {
        let notes = subject.notes();
        drop(lock(&notes));
        assert_eq!(notes.keys(""), [""; 0]);
        drop(try_lock(&notes, LockOptions::default()).expect("lock"));
        assert_eq!(notes.keys(""), [""; 0]);
    });

    cases.add("a lock that nobody renews is free from the instant at which its time is over", |subject| {
        let notes = subject.notes();
        lock_and_die(&notes);
        subject.advance(TTL - TICK);
        held_by(&notes);
        subject.advance(TICK);
        assert_eq!(notes.get("lock:x"), None);
        release(lock(&notes));
    });

    cases.add("the token rises with each holder and stays the same while one renews", |subject| {
        let notes = subject.notes();
        let mut tokens = Vec::new();
        let mut take = || {
            let lease = lock(&notes);
            let token = lease.token();
            assert_eq!(notes.record("lock:x").version, token);
            block_on(lease.renew()).expect("renew");
            assert_eq!(lease.token(), token);
            tokens.push(token);
            lease
        };
        release(take());
        drop(take());
        mem::forget(take());
        subject.advance(TTL);
        let taken_over = take();
        notes.delete("lock:x");
        let after_deletion = take();
        notes.clear();
        subject.maintain();
        release(take());
        assert_rising(&tokens);
        drop((taken_over, after_deletion));
    });

    cases.add("renewing holds the lock for its whole time again", |subject| {
        let notes = subject.notes();
        let lease = lock(&notes);
        for _ in 0..3 {
            subject.advance(TTL - TICK);
            block_on(lease.renew()).expect("renew");
            assert_eq!(held_by(&notes).1, Some(subject.now().saturating_add(TTL)));
        }
        subject.advance(TTL);
        release(lock(&notes));
    });

    cases.add("a thread renews the lock as long as it is held", |subject| {
        let notes = subject.notes();
        // That thread goes by real time.
        let ttl = Duration::from_millis(50);
        let lease = try_lock(&notes, LockOptions { ttl, keep_alive: true, ..PLAIN }).expect("lock");
        for _ in 0..4 {
            let version = notes.record("lock:x").version;
            eventually("the lock is renewed", || notes.record("lock:x").version > version);
            // Renewed since the clock was moved, so the whole time is left.
            subject.advance(ttl - TICK);
            eventually("the lock is renewed", || held_by(&notes).1 == Some(subject.now().saturating_add(ttl)));
        }
        assert!(lease.is_held());
        release(lease);
        assert_eq!(notes.keys(""), [""; 0]);
    });

    cases.add("whoever has lost a lock is told so and leaves that of the next holder alone", |subject| {
        let notes = subject.notes();
        let [renewing, releasing, dropped] = [(); 3].map(|()| {
            let lease = lock(&notes.as_agent("slow"));
            subject.advance(TTL);
            lease
        });
        let next = lock(&notes.as_agent("next"));
        lost(block_on(renewing.renew()));
        assert!(!renewing.is_held());
        lost(block_on(renewing.renew()));
        lost(block_on(renewing.release()));
        lost(block_on(releasing.release()));
        drop(dropped);
        assert_eq!(held_by(&notes).0.as_deref(), Some("next"));
        block_on(next.renew()).expect("renew");
        release(next);
    });

    cases.add("a lock that has ended cannot be renewed or released even if nobody has taken it", |subject| {
        let notes = subject.notes();
        let [renewing, releasing] = ["x", "y"].map(|x| block_on(notes.verbs().lock(x, PLAIN)).expect("lock"));
        subject.advance(TTL);
        refused(block_on(renewing.renew()), ErrorKind::LeaseLost);
        refused(block_on(releasing.release()), ErrorKind::LeaseLost);
        drop(renewing);
        assert_eq!(notes.keys(""), [""; 0]);
    });

    cases.add("a lock written by hand is respected for five minutes", |subject| {
        let notes = subject.notes();
        let until = subject.now().saturating_add(HANDWRITTEN);
        write_by_hand(&notes, "old agent", subject.now());
        subject.advance(HANDWRITTEN - TICK);
        assert_eq!(held_by(&notes), (Some("old agent".to_owned()), Some(until)));
        subject.advance(TICK);
        let lease = lock(&notes.as_agent("new agent"));
        assert_eq!(held_by(&notes).0.as_deref(), Some("new agent"));
        release(lease);
        assert_eq!(notes.keys(""), [""; 0]);
    });

    cases.add("a lock written by hand is free once it is deleted", |subject| {
        let notes = subject.notes();
        write_by_hand(&notes, "old agent", subject.now());
        let waiting = lock_elsewhere(&notes, LONG);
        until_waiting(subject, 1);
        notes.delete("lock:x");
        release(waiting.end().expect("lock"));
    });

    cases.add("a record in the place of a lock that says no time is respected until it is deleted", |subject| {
        let notes = subject.notes();
        for value in ["true", "{}", r#"{"agent":7,"acquired_at":"noon"}"#] {
            notes.set("lock:x", value);
            subject.advance(10 * HANDWRITTEN);
            assert_eq!(held_by(&notes), (None, None));
        }
        notes.delete("lock:x");
        release(lock(&notes));
    });

    cases.add("locks written by hand see ours as long as it is held", |subject| {
        let notes = subject.notes();
        assert_eq!(look_by_hand(subject), None);
        let lease = try_lock(&notes.as_agent("new agent"), LockOptions { ttl: HANDWRITTEN, ..PLAIN }).expect("lock");
        for _ in 0..3 {
            subject.advance(HANDWRITTEN - TICK);
            assert_eq!(look_by_hand(subject).as_deref(), Some("new agent"));
            block_on(lease.renew()).expect("renew");
        }
        release(lease);
        assert_eq!(look_by_hand(subject), None);
        // A short one ends for them too.
        lock_and_die(&notes);
        subject.advance(TTL);
        assert_eq!(look_by_hand(subject), None);
    });

    cases.add("a lock that is overwritten or deleted by hand is lost", |subject| {
        let notes = subject.notes();
        let lease = lock(&notes);
        write_by_hand(&notes, "old agent", subject.now());
        lost(block_on(lease.renew()));
        drop(lease);
        assert_eq!(look_by_hand(subject).as_deref(), Some("old agent"));
        notes.delete("lock:x");
        let lease = lock(&notes);
        notes.delete("lock:x");
        lost(block_on(lease.release()));
    });

    cases.add("a lock is not re-entrant, and whoever asks for what they hold is told at once", |subject| {
        let notes = subject.notes();
        let take = |owner| try_lock(&notes, LockOptions { owner: Some(owner), ..PLAIN });
        let wait = |owner| lock_elsewhere_with(&notes, LockOptions { owner: Some(owner), wait: LONG, ..PLAIN }).end();
        let lease = take(1).expect("lock");
        for again in [take(1), wait(1)] {
            let error = refused(again, ErrorKind::InvalidArgument);
            assert!(error.message().contains("not re-entrant"), "{error}");
        }
        block_on(lease.renew()).expect("renew");
        refused(wait(1), ErrorKind::InvalidArgument);
        refused(take(2), ErrorKind::LeaseHeld);
        held_by(&notes);
        release(lease);
        release(take(1).expect("lock"));
        // One that is lost is somebody else's.
        let lost = take(1).expect("lock");
        subject.advance(TTL);
        let next = take(2).expect("lock");
        refused(take(1), ErrorKind::LeaseHeld);
        drop(lost);
        refused(wait(2), ErrorKind::InvalidArgument);
        release(next);
    });

    cases.add("locks of different resources, namespaces and users do not meet", |subject| {
        let notes = subject.notes();
        let places = [notes.clone(), notes.in_namespace("other"), notes.of_user("other")];
        let leases: Vec<_> = places.iter().map(lock).collect();
        places.iter().for_each(|place| _ = held_by(place));
        let another = block_on(notes.verbs().lock("y", PLAIN)).expect("lock");
        leases.into_iter().chain([another]).for_each(release);
    });

    cases.add("a lock of an administrator has a holder without a name", |subject| {
        let notes = subject.notes();
        let lease = lock(&notes.as_administrator());
        assert_eq!(held_by(&notes), (None, Some(subject.now().saturating_add(TTL))));
        release(lease);
    });

    cases.add("a lock that cannot be is refused and nothing is stored", |subject| {
        let notes = subject.notes();
        refused(try_lock(&notes, LockOptions { ttl: Duration::ZERO, ..PLAIN }), ErrorKind::InvalidArgument);
        for resource in ["x".repeat(1_020), "x\0".to_owned()] {
            refused(block_on(notes.verbs().lock(&resource, PLAIN)), ErrorKind::InvalidArgument);
        }
        assert_eq!(notes.keys(""), [""; 0]);
        release(block_on(notes.verbs().lock(&"x".repeat(1_019), PLAIN)).expect("lock"));
    });

    cases.add("who waits for a lock gets it when it is released", |subject| {
        let notes = subject.notes();
        let lease = lock(&notes);
        let waiting = lock_elsewhere(&notes, LONG);
        until_waiting(subject, 1);
        block_on(lease.renew()).expect("renew");
        release(lease);
        let token = notes.find("lock:x").map(|record| record.version);
        let lease = waiting.end().expect("lock");
        assert!(token.is_none_or(|token| token == lease.token()));
    });

    cases.add("who waits for a lock gets it when the time of its holder is over", |subject| {
        let notes = subject.notes();
        lock_and_die(&notes);
        let waiting = lock_elsewhere(&notes, LONG);
        until_waiting(subject, 1);
        subject.advance(TTL);
        release(waiting.end().expect("lock"));
        write_by_hand(&notes, "old agent", subject.now());
        let waiting = lock_elsewhere(&notes, LONG);
        until_waiting(subject, 1);
        subject.advance(HANDWRITTEN);
        release(waiting.end().expect("lock"));
    });

    cases.add("who waits for a lock is told of its holder when the wait is over", |subject| {
        let notes = subject.notes();
        let lease = lock(&notes);
        let waiting = lock_elsewhere(&notes, 5 * SECOND);
        // It may not have begun to wait yet.
        let error = refused(waiting.end_while(|| {
            subject.advance(SECOND);
            block_on(lease.renew()).expect("renew");
        }), ErrorKind::LeaseHeld);
        assert_eq!(error.lease_holder().expect("a holder").agent.as_deref(), Some("agent"));
        release(lease);
    });

    cases.add("those who wait for a lock get it in the order in which they asked", |subject| {
        let notes = subject.notes();
        let lease = lock(&notes);
        let order = Arc::new(Mutex::new(Vec::new()));
        let wait = |number: u64| {
            let (notes, order) = (notes.clone(), Arc::clone(&order));
            let waiting = Elsewhere::begin(move || {
                let lease = try_lock(&notes, LockOptions { wait: LONG, ..PLAIN }).expect("lock");
                order.lock().expect("no panic").push(number);
                release(lease);
            });
            until_waiting(subject, number);
            waiting
        };
        let waiting: Vec<_> = (1..=5).map(wait).collect();
        release(lease);
        // Whoever has just had it is quick to ask again.
        release(lock_elsewhere(&notes, LONG).end().expect("lock"));
        assert_eq!(*order.lock().expect("no panic"), [1, 2, 3, 4, 5]);
        waiting.into_iter().for_each(Elsewhere::end);
        assert_eq!(notes.list_namespaces(""), [""; 0], "nobody waits any more");
    });

    cases.add("a free lock is left to who waits for it longest, for a moment", |subject| {
        let notes = subject.notes();
        // Of those who died while they waited.
        for number in 0..3 {
            places(subject).set(&format!("x:{number:016x}"), "null");
            places(subject).set(&format!("x:y:{number:016x}"), "null");
        }
        let waiting = lock_elsewhere(&notes, LONG);
        until_waiting(subject, 7);
        release(lock(&notes));
        assert_eq!(places(subject).count("x:y"), 3);
        let lease = waiting.end_while(|| subject.advance(SECOND / 20)).expect("lock");
        assert_eq!(places(subject).count(""), 3, "those who died are passed over, and nobody at another lock");
        // The clock may have gone on.
        drop(lease);
    });

    cases.add("whoever gives up waiting for a lock leaves its place", |subject| {
        let notes = subject.notes();
        let lease = lock(&notes);
        let waiting = lock_elsewhere(&notes, 30 * SECOND);
        until_waiting(subject, 1);
        subject.advance(30 * SECOND);
        refused(waiting.end(), ErrorKind::LeaseHeld);
        assert_eq!(places(subject).count(""), 0);
        release(lease);
    });

    cases.add("a place in the order of those who wait is kept as long as one waits", |subject| {
        let notes = subject.notes();
        let lease = try_lock(&notes, LockOptions { ttl: LONG, ..PLAIN }).expect("lock");
        let first = lock_elsewhere(&notes.as_agent("first"), LONG);
        until_waiting(subject, 1);
        for _ in 0..5 {
            subject.advance(30 * SECOND);
            let until = Some(subject.now().saturating_add(30 * SECOND));
            eventually("it keeps its place", || places(subject).records().iter().all(|place| place.expires_at > until));
        }
        let second = lock_elsewhere(&notes.as_agent("second"), LONG);
        until_waiting(subject, 2);
        subject.advance(30 * SECOND);
        release(lease);
        let lease = first.end().expect("lock");
        assert_eq!(held_by(&notes).0.as_deref(), Some("first"));
        release(lease);
        release(second.end().expect("lock"));
    });

    cases.add("a lock with the longest name, in the namespace with the longest name, is waited for as well", |subject| {
        let notes = subject.notes();
        for (namespace, resource) in [("n".repeat(512), "x".to_owned()), ("notes".to_owned(), "x".repeat(1_019))] {
            let verbs = notes.in_namespace(&namespace).verbs().clone();
            let lease = block_on(verbs.lock(&resource, PLAIN)).expect("lock");
            let waiting = Elsewhere::begin(move || block_on(verbs.lock(&resource, LockOptions { wait: LONG, ..PLAIN })));
            release(lease);
            release(waiting.end().expect("lock"));
        }
    });

    cases.add("of many who ask for a lock at once one gets it", |subject| {
        let notes = subject.notes();
        for round in 0..ROUNDS {
            let together = Barrier::new(THREADS);
            let leases = in_threads(|_| {
                together.wait();
                try_lock(&notes, PLAIN)
            });
            assert_eq!(leases.iter().filter(|lease| lease.is_ok()).count(), 1, "round {round}");
        }
    });

    cases.add("of many who wait for a lock each gets it, one at a time", |subject| {
        let notes = subject.notes();
        let options = LockOptions { ttl: LONG, wait: LONG, ..PLAIN };
        let tokens = in_threads(|_| {
            let hold = |_| {
                let lease = try_lock(&notes, options).expect("lock");
                // Not atomic: two holders at a time would lose a round.
                let count = notes.get("count").map_or(0, |count| count.parse::<usize>().expect("a number"));
                notes.set("count", &(count + 1).to_string());
                let token = lease.token();
                release(lease);
                token
            };
            (0..ROUNDS).map(hold).collect::<Vec<_>>()
        });
        tokens.iter().for_each(|tokens| assert_rising(tokens));
        assert_eq!(notes.get("count"), Some((THREADS * ROUNDS).to_string()));
    });

    cases.add("a store opened twice has one holder of a lock, which the other handle may take over", |subject| {
        let beside = subject.again();
        let (here, there) = (subject.notes(), beside.notes().as_agent("beside"));
        let lease = lock(&here);
        assert_eq!(held_by(&there).0.as_deref(), Some("agent"));
        let waiting = lock_elsewhere(&there, LONG);
        release(lease);
        let theirs = waiting.end().expect("lock");
        assert_eq!(held_by(&here).0.as_deref(), Some("beside"));
        subject.advance(TTL);
        let ours = lock(&here);
        assert!(ours.token() > theirs.token());
        lost(block_on(theirs.release()));
        release(ours);
    });
}

